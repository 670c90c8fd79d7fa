package wire

import "time"

// Kind is the content of a send command; the names are the contract's.
type Kind string

// The kinds of content a command can have.
const (
	KindText     Kind = "text"
	KindImage    Kind = "image"
	KindFile     Kind = "file"
	KindVideo    Kind = "video"
	KindVoice    Kind = "voice"
	KindEmoticon Kind = "emoticon"
	KindLink     Kind = "link"
	KindRevoke   Kind = "revoke"
)

// Priorities of a command.
const (
	PriorityNormal = "normal"
	PriorityHigh   = "high"
)

// What to do when it cannot be known whether WeChat took a message.
const (
	OnUnknownResend = "resend"
	OnUnknownReport = "report"
)

// Command is a valid send command. Its JSON form (CONTRACT "Send command") is
// read by ParseCommand.
type Command struct {
	ID         string // as the user gave it, or from Nats-Msg-Id, or empty
	To         []Recipient
	List       bool // To was a list: one delivery each
	Kind       Kind
	Text       string // text, or nothing
	Media      *Media
	Link       *Link
	Revoke     string // id of an earlier send
	Mention    []string
	MentionAll bool
	TTL        time.Duration // 0 = default
	ExpiresAt  time.Time     // zero = by TTL
	Priority   string        // PriorityNormal or PriorityHigh
	OnUnknown  string
}

// Recipient is one recipient as the user wrote it: a bare Name, exactly one of
// ID, Remark, Nickname, Alias, Room, or (Type set) a peer object of an event.
type Recipient struct {
	Name     string `json:"name,omitempty"`
	ID       string `json:"id,omitempty"`
	Remark   string `json:"remark,omitempty"`
	Nickname string `json:"nickname,omitempty"`
	Alias    string `json:"alias,omitempty"`
	Room     string `json:"room,omitempty"`
	Type     string `json:"type,omitempty"`
}

// Media has exactly one source: Data or Object (URL and Path come later).
type Media struct {
	URL    string
	Object string // name in wechat_uploads
	Data   []byte
	Path   string
	Name   string
}

// Link goes out as title and URL where the transport has no card.
type Link struct {
	Title       string `json:"title,omitempty"`
	URL         string `json:"url"`
	Description string `json:"description,omitempty"`
}

// Rejection says why a command is refused. It is never about WeChat's state.
type Rejection struct {
	Code    string // snake_case, as in the record
	Field   string // the offending field, a path such as to[3].room
	Message string // one plain sentence
	Nearest string // the nearest right name, if there is one
	ID      string // the command's id as far as it could be read and is valid
}

// Error makes a Rejection an error.
func (r *Rejection) Error() string { return r.Code + ": " + r.Message }
