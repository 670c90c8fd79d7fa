// Package wechat is the port to WeChat: what any transport can do, in words
// that belong to no protocol, and the directory that turns names into peers.
//
// A transport reports what went wrong as an error that wraps
// *classifier.Fault; this package does not look inside.
package wechat

import (
	"context"
	"io"
	"time"
)

// Rung is a step of the login ladder, from cheap to dear. A transport that has
// no such step answers ErrNoRung and the next one is tried.
type Rung int

// The rungs. Only Push and QR are new logins in WeChat's eyes.
const (
	Resume Rung = iota // go on with the session in memory
	Stored             // open the stored session again, without the phone
	Push               // ask the phone that still knows this device to confirm
	QR                 // show a code to scan
)

// String names the rung as it appears in logs.
func (r Rung) String() string {
	return [...]string{"resume", "stored", "push", "qr"}[r]
}

// Transport opens sessions of one account. Only one session is open at a time.
type Transport interface {
	// Name is "webwx" or "ilink".
	Name() string
	Abilities() Abilities
	// Login takes exactly one rung and returns an open session, or an error
	// that wraps a fault, ErrNoRung, or the context's cause. It reports what a
	// person has to do through req.Step and never retries by itself.
	Login(ctx context.Context, req LoginRequest) (Session, error)
	// Forget drops the stored session (after a logout).
	Forget(ctx context.Context) error
}

// LoginRequest asks for one rung.
type LoginRequest struct {
	Rung Rung
	// Step receives what a person has to do next; it must not block.
	Step func(LoginStep)
	// Code delivers digits that a phone shows (iLink); may be nil.
	Code <-chan string
}

// StepKind is what a person has to do.
type StepKind string

// The kinds of login step.
const (
	StepScan    StepKind = "scan"    // scan QRText
	StepConfirm StepKind = "confirm" // press the button on the phone
	StepCode    StepKind = "code"    // type the digits that the phone shows
	StepWait    StepKind = "wait"    // nothing: the bridge works
)

// LoginStep is a login as data, so that terminal, page and API show the same.
type LoginStep struct {
	Kind      StepKind
	QRText    string // the text inside the code; a secret to other web sites
	ExpiresAt time.Time
}

// Session is one open login. Receive is called by one goroutine, Send by many.
// After Close every call fails at once; Close ends no WeChat login.
type Session interface {
	Receiver
	Sender
	// Identity is who is logged in.
	Identity() Identity
	Close() error
}

// Receiver is the incoming half of a session.
type Receiver interface {
	// Receive waits for what happens, at most about HoldTime. An empty batch
	// is the end of a hold: a pulse, not a fault. The same batch comes again
	// until its cursor is committed.
	Receive(ctx context.Context) (Batch, error)
	// Commit makes a batch's cursor durable. Call it only after the batch's
	// events are stored.
	Commit(ctx context.Context, cursor Cursor) error
}

// Sender is the outgoing half of a session.
type Sender interface {
	// Send hands one message to WeChat. It never repeats a request. A context
	// that ends before the answer leaves the outcome open.
	Send(ctx context.Context, out Outgoing) (Receipt, error)
}

// Prober is implemented by sessions that have a cheap active request.
type Prober interface {
	Probe(ctx context.Context) error
}

// LoggerOut is implemented by sessions that WeChat lets log out.
type LoggerOut interface {
	Logout(ctx context.Context) error
}

// Vault keeps one account's secret state; a missing value is (nil, nil).
type Vault interface {
	Load(ctx context.Context) ([]byte, error)
	Save(ctx context.Context, value []byte) error
}

// Abilities tells what a transport can do.
type Abilities struct {
	Kinds    []Kind         // what can be sent
	MaxText  int            // characters in one text, 0 = no limit
	MaxBytes map[Kind]int64 // size limit per kind of media
	Rooms    bool
	Mention  bool
	Names    bool // peers can be found by name
	Cards    bool // links go out as cards
	HoldTime time.Duration
}

// Can reports whether a kind can be sent.
func (a Abilities) Can(k Kind) bool {
	for _, x := range a.Kinds {
		if x == k {
			return true
		}
	}
	return false
}

// Identity is the logged-in WeChat account. ID is stable over logins where the
// protocol has such a thing (webwx: uin; iLink: ilink_user_id).
type Identity struct {
	ID     string
	Name   string
	PeerID string // its own peer id in this login
}

// Cursor is a transport's opaque position in the stream of events.
type Cursor []byte

// Batch is what one Receive brought.
type Batch struct {
	Events []Event
	Cursor Cursor // nil when nothing moved
}

// Kind is a kind of content, incoming or outgoing; the names are the contract's.
type Kind string

// The kinds of content.
const (
	Text        Kind = "text"
	Image       Kind = "image"
	Voice       Kind = "voice"
	Video       Kind = "video"
	File        Kind = "file"
	Emoticon    Kind = "emoticon"
	Location    Kind = "location"
	Link        Kind = "link"
	Card        Kind = "card"
	Transfer    Kind = "transfer"
	RedPacket   Kind = "red_packet"
	MiniProgram Kind = "miniprogram"
	Quote       Kind = "quote"
	Notice      Kind = "notice"
	Call        Kind = "call"
	Other       Kind = "unknown"
	Revoke      Kind = "revoke" // outgoing only
)

// Outgoing is one message to one peer.
type Outgoing struct {
	To         Peer
	Kind       Kind
	Text       string // text, or the text of a link where there are no cards
	Mention    []Peer // members to mention; MentionAll for everybody
	MentionAll bool
	Media      *OutMedia
	Revoke     string // WeChat's message id of what is taken back
	// ClientID is WeChat's ClientMsgId or client_id: digits, derived from the
	// delivery, the same on every attempt.
	ClientID string
}

// OutMedia is a medium to send.
type OutMedia struct {
	Name string // base name as the recipient will see it
	MIME string
	Size int64
	Open func(ctx context.Context) (io.ReadCloser, error)
}

// Receipt is WeChat's answer to a message it took.
type Receipt struct {
	MessageID string
	// Detail is what a later revoke needs besides the id (webwx: the peer).
	Peer Peer
}

// EventType is a kind of event; the names are those of the events' subjects.
type EventType string

// The types of event.
const (
	EventMessage EventType = "message"
	EventRecall  EventType = "recall"
	EventFriend  EventType = "friend"
	EventRoom    EventType = "room"
	EventContact EventType = "contact"
	EventChat    EventType = "chat"
	EventGap     EventType = "gap"
)

// Event is something that happened on WeChat. Exactly the part that its Type
// names is set.
type Event struct {
	Type EventType
	// ID is the same each time WeChat tells this event (message id, or a hash
	// of what changed); unique per account.
	ID      string
	At      time.Time
	Message *Message
	Recall  *Recall
	Friend  *FriendRequest
	Change  *Change // room and contact
	Chat    *ChatState
	Gap     *Gap
	Raw     []byte // the protocol's own form
}

// Message is one incoming message (or the account's own, sent elsewhere).
type Message struct {
	Kind      Kind
	ProtoType int // the protocol's number, for Kind Other
	Text      string
	From      Peer
	Chat      Peer
	Member    *Peer // who spoke, in rooms
	Mentioned bool
	Self      bool
	SentAt    time.Time
	Media     *InMedia
	Link      *LinkInfo
	Card      *CardInfo
	Quote     *QuoteInfo
	Location  *LocationInfo
}

// InMedia is a received medium. Open downloads it; it may be called again.
type InMedia struct {
	Name string
	Size int64 // as announced, 0 = not known
	MIME string
	Open func(ctx context.Context) (io.ReadCloser, error)
}

// LinkInfo is a shared link, mini program, transfer or red packet.
type LinkInfo struct {
	Title, Description, URL, App string
}

// CardInfo is a recommended contact.
type CardInfo struct {
	ID, Name, Alias string
}

// QuoteInfo is the message that a message answers.
type QuoteInfo struct {
	MessageID, FromName, Text string
	Kind                      Kind
}

// LocationInfo is a place.
type LocationInfo struct {
	Latitude, Longitude float64
	Label, URL          string
}

// Recall says that a message was taken back.
type Recall struct {
	MessageID string
	By        Peer
	Chat      Peer
	Text      string
}

// FriendRequest asks to become a friend.
type FriendRequest struct {
	From   Peer
	Text   string
	Ticket string // needed to accept; a secret
}

// Change says what changed about a contact or a room.
type Change struct {
	Action  string // added, removed, renamed, updated, members
	Peer    Peer
	OldName string
	By      *Peer
	Members []Peer
}

// ChatState says whether a chat can be written to, where that is limited.
type ChatState struct {
	Chat        Peer
	OpenUntil   time.Time
	RepliesLeft int
}

// Gap says that WeChat did not tell what happened in between.
type Gap struct {
	From, To time.Time
	Reason   string
}
