package wire

import (
	"encoding/json"
	"time"
)

// Types of the CloudEvents the bridge writes.
const (
	TypeMessage    = "wechat.message"
	TypeRecall     = "wechat.recall"
	TypeFriend     = "wechat.friend"
	TypeRoom       = "wechat.room"
	TypeContact    = "wechat.contact"
	TypeChat       = "wechat.chat"
	TypeGap        = "wechat.gap"
	TypeConnection = "wechat.connection"
	TypeDelivery   = "wechat.delivery"
	TypeHeartbeat  = "wechat.heartbeat"
	TypeAlert      = "wechat.alert" // what people are told
)

// State is the state of a delivery.
type State string

// The states of a delivery. The first five are not final.
const (
	Accepted  State = "accepted"
	Scheduled State = "scheduled"
	Waiting   State = "waiting"
	Sending   State = "sending"
	Retrying  State = "retrying"
	Sent      State = "sent"
	Failed    State = "failed"
	Rejected  State = "rejected"
	Expired   State = "expired"
	Cancelled State = "cancelled"
	Unknown   State = "unknown"
	Corrected State = "corrected"
)

// Final reports whether a state ends a delivery. Corrected follows a final one.
func (s State) Final() bool {
	switch s {
	case Sent, Failed, Rejected, Expired, Cancelled, Unknown, Corrected:
		return true
	}
	return false
}

// Inferred is the attribution of a finding that fits several deliveries.
const Inferred = "inferred"

// Delivery is the data of a wechat.delivery record. Each record repeats what
// the decision about the next one needs, so that the last one is enough.
type Delivery struct {
	Account string `json:"account"`
	ID      string `json:"id"`
	State   State  `json:"state"`
	Final   bool   `json:"final"`
	Was     State  `json:"was,omitempty"` // of a corrected record: the state of the final one
	// Attribution is inferred where a corrected record may be about another
	// delivery to the same chat.
	Attribution string `json:"attribution,omitempty"`
	// NoticeID is the message id of the system message that a corrected record
	// stems from.
	NoticeID string          `json:"notice_id,omitempty"`
	Attempt  int             `json:"attempt"`
	To       json.RawMessage `json:"to,omitempty"` // as the user wrote it
	// MessageID is WeChat's own id of the message.
	MessageID         string     `json:"message_id,omitempty"`
	Class             string     `json:"class,omitempty"`
	Code              string     `json:"code,omitempty"`
	Field             string     `json:"field,omitempty"`   // of a rejection
	Nearest           string     `json:"nearest,omitempty"` // of a rejection
	Candidates        []Peer     `json:"candidates,omitempty"`
	Message           string     `json:"message,omitempty"`
	HelpURL           string     `json:"help_url,omitempty"`
	Certain           bool       `json:"certain"`
	PossibleDuplicate bool       `json:"possible_duplicate"`
	Degraded          bool       `json:"degraded"`
	RetryAt           *time.Time `json:"retry_at,omitempty"`
	AcceptedAt        *time.Time `json:"accepted_at,omitempty"`
	ExpiresAt         *time.Time `json:"expires_at,omitempty"`
	FinishedAt        *time.Time `json:"finished_at,omitempty"`
	StreamSeq         uint64     `json:"stream_seq"`           // of the command in WECHAT_SEND
	Deliveries        int        `json:"deliveries,omitempty"` // of a list
	// For the chain itself:
	Epoch    uint64 `json:"epoch,omitempty"`        // of the worker that wrote it
	Digest   string `json:"digest,omitempty"`       // of the command, to find id conflicts
	PeerID   string `json:"peer_id,omitempty"`      // whom it went to, for a later revoke
	TriedFor int64  `json:"tried_for_ms,omitempty"` // time spent in attempts so far
}

// Peer is a peer in an event or record; users may send it back as `to`.
type Peer struct {
	ID     string `json:"id"`
	Name   string `json:"name,omitempty"`
	Remark string `json:"remark,omitempty"`
	Type   string `json:"type"`
}

// Message is the data of a wechat.message event.
type Message struct {
	Account   string          `json:"account"`
	Kind      string          `json:"kind"`
	ProtoType int             `json:"proto_type,omitempty"` // the protocol's number of an unknown kind
	Text      string          `json:"text"`
	MessageID string          `json:"message_id"`
	From      Peer            `json:"from"`
	Chat      Peer            `json:"chat"`
	Member    *Peer           `json:"member,omitempty"`
	Mentioned bool            `json:"mentioned"`
	Self      bool            `json:"self"`
	SentAt    time.Time       `json:"sent_at"`
	Media     *EventMedia     `json:"media,omitempty"`
	Link      *EventLink      `json:"link,omitempty"`
	Card      *Card           `json:"card,omitempty"`
	Quote     *Quote          `json:"quote,omitempty"`
	Location  *Location       `json:"location,omitempty"`
	Raw       json.RawMessage `json:"raw,omitempty"`
}

// Media states.
const (
	MediaStored   = "stored"  // it is in the object store
	MediaMissing  = "missing" // WeChat did not give it
	MediaTooLarge = "too_large"
)

// EventMedia tells where a received medium rests.
type EventMedia struct {
	Object string `json:"object,omitempty"`
	Name   string `json:"name,omitempty"`
	Size   int64  `json:"size"`
	MIME   string `json:"mime,omitempty"`
	SHA256 string `json:"sha256,omitempty"`
	State  string `json:"state"`
	Error  string `json:"error,omitempty"`
}

// EventLink is a shared link, mini program, transfer or red packet.
type EventLink struct {
	Title       string `json:"title,omitempty"`
	Description string `json:"description,omitempty"`
	URL         string `json:"url,omitempty"`
	App         string `json:"app,omitempty"`
}

// Card is a recommended contact.
type Card struct {
	ID    string `json:"id,omitempty"`
	Name  string `json:"name,omitempty"`
	Alias string `json:"alias,omitempty"`
}

// Quote is the message that a message answers.
type Quote struct {
	MessageID string `json:"message_id,omitempty"`
	FromName  string `json:"from_name,omitempty"`
	Kind      string `json:"kind,omitempty"`
	Text      string `json:"text,omitempty"`
}

// Location is a place.
type Location struct {
	Latitude  float64 `json:"latitude"`
	Longitude float64 `json:"longitude"`
	Label     string  `json:"label,omitempty"`
	URL       string  `json:"url,omitempty"`
}

// Recall is the data of a wechat.recall event.
type Recall struct {
	Account   string `json:"account"`
	MessageID string `json:"message_id"` // of the message taken back
	By        Peer   `json:"by"`
	Chat      Peer   `json:"chat"`
	Text      string `json:"text,omitempty"`
}

// FriendRequest is the data of a wechat.friend event.
type FriendRequest struct {
	Account string `json:"account"`
	From    Peer   `json:"from"`
	Text    string `json:"text,omitempty"`
}

// Change is the data of a wechat.room or wechat.contact event.
type Change struct {
	Account string `json:"account"`
	Action  string `json:"action"`
	Peer    Peer   `json:"peer"`
	OldName string `json:"old_name,omitempty"`
	By      *Peer  `json:"by,omitempty"`
	Members []Peer `json:"members,omitempty"`
}

// Chat is the data of a wechat.chat event.
type Chat struct {
	Account     string     `json:"account"`
	Chat        Peer       `json:"chat"`
	OpenUntil   *time.Time `json:"open_until,omitempty"`
	RepliesLeft int        `json:"replies_left"`
}

// Gap is the data of a wechat.gap event.
type Gap struct {
	Account string    `json:"account"`
	From    time.Time `json:"from"`
	To      time.Time `json:"to"`
	Reason  string    `json:"reason"`
}

// Connection is the data of a wechat.connection record.
type Connection struct {
	Account    string     `json:"account"`
	Transport  string     `json:"transport"`
	Simulated  bool       `json:"simulated"`
	Abilities  []string   `json:"abilities"`
	State      string     `json:"state"`
	Sending    string     `json:"sending"`
	Since      time.Time  `json:"since"`
	Reason     *Reason    `json:"reason,omitempty"`
	UserAction string     `json:"user_action"`
	Login      *Login     `json:"login,omitempty"`
	Breaker    Breaker    `json:"breaker"`
	Attempt    int        `json:"attempt"`
	RetryAt    *time.Time `json:"retry_at,omitempty"`
	Backlog    Backlog    `json:"backlog"`
	Identity   *Identity  `json:"identity,omitempty"`
	InFlight   InFlight   `json:"in_flight"`
	Pace       Pace       `json:"pace"`
	Logins     Logins     `json:"logins"`
	LastPulse  *time.Time `json:"last_pulse,omitempty"`
	LastSent   *time.Time `json:"last_sent,omitempty"`
}

// Status is what the verb status answers: the connection, and the kinds of
// faults that were seen lately, the newest first.
type Status struct {
	Connection
	Faults []FaultGroup `json:"faults,omitempty"`
}

// FaultGroup are faults of one kind, counted exactly since First.
type FaultGroup struct {
	Class     string    `json:"class"`
	Code      string    `json:"code"`
	Operation string    `json:"operation,omitempty"`
	Count     int       `json:"count"`
	First     time.Time `json:"first"`
	Last      time.Time `json:"last"`
	Message   string    `json:"message"`
	MessageZH string    `json:"message_zh,omitempty"`
	Fix       string    `json:"fix,omitempty"`
	FixZH     string    `json:"fix_zh,omitempty"`
}

// Reason says why a connection is as it is.
type Reason struct {
	Class     string `json:"class"`
	Code      string `json:"code"`
	Message   string `json:"message"`
	MessageZH string `json:"message_zh,omitempty"`
	Fix       string `json:"fix,omitempty"`
	FixZH     string `json:"fix_zh,omitempty"`
	HelpURL   string `json:"help_url,omitempty"`
}

// Login is what a person has to scan.
type Login struct {
	QRText    string    `json:"qr_text"`
	QRNumber  int       `json:"qr_number"`
	ExpiresAt time.Time `json:"expires_at"`
}

// Breaker is the circuit breaker's state.
type Breaker struct {
	State  string     `json:"state"` // closed, open, half-open
	Since  *time.Time `json:"since,omitempty"`
	Reason string     `json:"reason,omitempty"` // code of what opened it
	Counts Counts     `json:"counts"`
}

// InFlight is how many sends are under way and how many may be: fewer than Top
// while the replay after an outage ramps up.
type InFlight struct {
	Now    int `json:"now"`
	Window int `json:"window"`
	Top    int `json:"top"`
}

// Pace is how fast the account may send.
type Pace struct {
	PerMinute   float64    `json:"per_minute,omitempty"`        // now; 0 = no limit
	Normal      float64    `json:"normal_per_minute,omitempty"` // when WeChat does not slow it; 0 = no limit
	SlowedUntil *time.Time `json:"slowed_until,omitempty"`      // if WeChat does not complain again
	ClosedUntil *time.Time `json:"closed_until,omitempty"`      // nothing goes before
	Daily       int        `json:"daily,omitempty"`             // sends in 24 hours; 0 = no limit
	DayLeft     *int       `json:"day_left,omitempty"`
}

// Logins is what is left of the budget of new logins.
type Logins struct {
	Left   int        `json:"left"`
	FreeAt *time.Time `json:"free_at,omitempty"` // when there is one again; only while none is left
}

// Counts are those of the breaker's rolling minute.
type Counts struct {
	Requests            uint32 `json:"requests"`
	Successes           uint32 `json:"successes"`
	Failures            uint32 `json:"failures"`
	ConsecutiveFailures uint32 `json:"consecutive_failures"`
}

// Backlog is what waits to be sent.
type Backlog struct {
	Messages    uint64 `json:"messages"`
	OldestAgeMS int64  `json:"oldest_age_ms"`
}

// Identity is who is logged in.
type Identity struct {
	Name string `json:"name"`
}

// Level is one level of health: pass, warn or fail.
type Level struct {
	Status    string     `json:"status"`
	State     string     `json:"state,omitempty"`
	Reason    string     `json:"reason,omitempty"`
	Since     *time.Time `json:"since,omitempty"`
	LastProof *time.Time `json:"last_proof,omitempty"`
	RetryAt   *time.Time `json:"retry_at,omitempty"`
}

// Health is the three levels together; Status is the worst of them.
type Health struct {
	Status     string `json:"status"`
	Process    Level  `json:"process"`
	Connection Level  `json:"connection"`
	Business   Level  `json:"business"`
}

// Heartbeat is the data of a wechat.heartbeat: the three levels in short.
type Heartbeat struct {
	Account    string  `json:"account"`
	Status     string  `json:"status"`
	Process    string  `json:"process"`
	Connection string  `json:"connection"`
	Business   string  `json:"business"`
	Backlog    Backlog `json:"backlog"`
	Version    string  `json:"version"`
}

// Stored is a message as a queue or ledger keeps it. It belongs here so that
// the packages on both sides of a port share it without knowing each other.
type Stored struct {
	Seq     uint64    // its position in the stream
	At      time.Time // when it was stored
	MsgID   string    // Nats-Msg-Id, to drop a repeat
	Trace   string    // traceparent
	Expires time.Time // zero = never
	Token   string    // the last subject token: priority or lane; for the ledger the key
	Body    []byte
	// After is, for a conditional write, the sequence that must be the last
	// one on the same subject (0: none yet).
	After uint64
}
