package sim

// Message is something that happens in a chat of the account: somebody writes
// to it, or its owner writes on the phone.
type Message struct {
	// From is the id of who writes: "alice", a service account, or "self" for
	// the owner on the phone, then To or Room names the chat.
	From string `json:"from"`
	Room string `json:"room,omitempty"`
	To   string `json:"to,omitempty"`
	// Type is one of MessageTypes.
	Type string `json:"type"`
	Text string `json:"text,omitempty"` // text, description, notice, greeting
	// Name is a file's, card's, place's or stranger's name.
	Name  string `json:"name,omitempty"`
	Title string `json:"title,omitempty"`
	URL   string `json:"url,omitempty"`
	// Data is the media (base64 in JSON); without it something small is made up.
	Data []byte `json:"data,omitempty"`
	// MsgID is the message that a recall or a quote is about; empty: the newest
	// of that chat, for a recall by that person.
	MsgID string `json:"msg_id,omitempty"`
	// Mention are ids of members, "self", or "all"; put before the text.
	Mention []string `json:"mention,omitempty"`
	// Card is the id of the person on a card.
	Card string `json:"card,omitempty"`
	// Lat and Lon are degrees, for a location.
	Lat float64 `json:"lat,omitempty"`
	Lon float64 `json:"lon,omitempty"`
	// MsgType is the number of an unknown message, default 12345.
	MsgType int `json:"msg_type,omitempty"`
	// Variant picks another form that WeChat uses for the same kind: "notice"
	// for a red_packet, "short" for a video, "sys" (9999) for a notice,
	// "store" for an emoticon without data, "old" for a location (type 48).
	Variant string `json:"variant,omitempty"`
}

// MessageTypes are the values of Message.Type.
var MessageTypes = []string{"text", "image", "voice", "video", "file", "emoticon", "location", "link", "card",
	"transfer", "red_packet", "miniprogram", "quote", "call", "notice", "recall", "friend", "unknown"}

// System messages with which WeChat answers in the chat what it took.
const (
	noticeRefused  = "消息已发出，但被对方拒收了。"
	noticeNoFriend = "开启了朋友验证，你还不是他（她）朋友。请先发送朋友验证请求，对方验证通过后，才能聊天。"
	noticeLeft     = "无法在已退出的群聊中发送消息。"
)
