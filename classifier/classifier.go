// Package classifier turns a fault into a verdict: what an error means for the
// connection, for the message and for the person on call.
//
// It is a pure function over rule tables. It performs no I/O, reads no clock
// and imports nothing but the standard library.
package classifier

import (
	"fmt"
	"strings"
	"time"
)

// Transport names the protocol a fault came from.
type Transport string

// The transports the bridge speaks.
const (
	WebWX Transport = "webwx"
	ILink Transport = "ilink"
)

// Operation is what was asked of WeChat when the fault happened. The same code
// means different things in different operations, so it is part of the key.
type Operation string

// The operations of both transports.
const (
	OpUUID          Operation = "uuid"           // ask for a login QR code
	OpCheckLogin    Operation = "check_login"    // poll until somebody scans it
	OpLogin         Operation = "login"          // fetch the credentials
	OpPushLogin     Operation = "push_login"     // ask the phone to confirm
	OpInit          Operation = "init"           // open the session
	OpNotify        Operation = "notify"         // status notify, also the cheap probe
	OpContacts      Operation = "contacts"       // the contact list
	OpBatchContacts Operation = "batch_contacts" // rooms and members
	OpSyncCheck     Operation = "synccheck"      // the held long poll
	OpSync          Operation = "sync"           // fetch what happened
	OpSend          Operation = "send"           // any outgoing message
	OpUpload        Operation = "upload"         // bytes of an outgoing medium
	OpDownload      Operation = "download"       // bytes of an incoming medium
	OpRevoke        Operation = "revoke"         // take a message back
	OpLogout        Operation = "logout"         // end the session
	OpRoom          Operation = "room"           // make a room, change its members or name
	OpTyping        Operation = "typing"         // the typing sign and its ticket
	OpOther         Operation = "other"
)

// Phase is how far the request got. It decides whether WeChat may have taken
// the message all the same.
type Phase string

// The phases, in order.
const (
	PhaseUnknown Phase = ""        // nothing is known: assume the worst
	PhasePrepare Phase = "prepare" // refused on our side, nothing was sent
	PhaseDial    Phase = "dial"    // name lookup, connect or TLS handshake: no byte of the request left
	PhaseSent    Phase = "sent"    // the request may have left, no readable answer came
	PhaseAnswer  Phase = "answer"  // WeChat answered
)

// Body is the kind of body an answer had.
type Body string

// The kinds of body.
const (
	BodyNone  Body = ""      // no answer, or not looked at
	BodyJSON  Body = "json"  // readable as the protocol wants it (JSON, XML or script)
	BodyHTML  Body = "html"  // a web page
	BodyEmpty Body = "empty" // nothing
	BodyOther Body = "other" // something unreadable
)

// Fault is the one error type that crosses package borders: what was tried and
// what came back, in a normal form shared by all transports.
type Fault struct {
	Transport Transport
	Op        Operation
	Endpoint  string // host and path as asked, without query: for logs
	Code      int    // WeChat's own code; meaningful only with HasCode
	HasCode   bool
	Status    int // HTTP status, 0 without an answer
	Body      Body
	Phase     Phase
	Wait      time.Duration // told by the server, 0 = none
	// SinceLogin is the age of the login at the time of the fault; 0 = not
	// logged in or not known.
	SinceLogin time.Duration
	// CookiesComplete says that the session had every cookie WeChat asks for,
	// so that a 1102 cannot be our own fault.
	CookiesComplete bool
	Text            string // the server's words, or an error text; never a secret
	// Where is the program that printed the text, if known: openwechat,
	// wechat4u, wechaty, itchat, ilink, nats. It decides only where the text
	// leaves a choice.
	Where string
	Cause error
}

// Error describes the fault in one line without secrets.
func (f *Fault) Error() string {
	if f == nil { // a typed nil in an error must not end the process
		return "no fault"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", f.Transport, f.Op)
	if f.HasCode {
		fmt.Fprintf(&b, ": code %d", f.Code)
	}
	if f.Status != 0 && f.Status != 200 {
		fmt.Fprintf(&b, ": HTTP %d", f.Status)
	}
	if f.Text != "" {
		fmt.Fprintf(&b, ": %s", f.Text)
	}
	if f.Cause != nil {
		fmt.Fprintf(&b, ": %v", f.Cause)
	}
	return b.String()
}

// Unwrap gives the cause.
func (f *Fault) Unwrap() error {
	if f == nil {
		return nil
	}
	return f.Cause
}

// Class is the kind of an error, as users see it.
type Class string

// The classes of CONTRACT "Error classes".
const (
	Network         Class = "network"
	SessionExpired  Class = "session_expired"
	LoginPending    Class = "login_pending"
	AccountBlocked  Class = "account_blocked"
	RateLimited     Class = "rate_limited"
	RecipientClosed Class = "recipient_closed"
	Protocol        Class = "protocol"
	Server          Class = "server"
	BadRequest      Class = "bad_request"
	Broker          Class = "broker"
	Internal        Class = "internal"
	Unknown         Class = "unknown"
)

// Recovery is what the bridge does about a verdict.
type Recovery string

// The recoveries.
const (
	RecoverNone           Recovery = "none"
	RecoverRetry          Recovery = "retry"
	RecoverResume         Recovery = "resume"
	RecoverRelogin        Recovery = "relogin"
	RecoverRescan         Recovery = "rescan"
	RecoverSlowDown       Recovery = "slow_down"
	RecoverAwaitRecipient Recovery = "await_recipient"
	RecoverStop           Recovery = "stop"
)

// Text is a sentence for a person, in both languages of the project.
type Text struct {
	EN string `json:"en"`
	ZH string `json:"zh"`
}

// Verdict is what a fault means. The zero Verdict means that nothing was wrong.
type Verdict struct {
	Class      Class         `json:"class,omitempty"`
	Code       string        `json:"code,omitempty"` // snake_case, one help page each
	Disconnect bool          `json:"disconnect"`     // counts for the breaker
	Retryable  bool          `json:"retryable"`      // may succeed later by itself
	Certain    bool          `json:"certain"`        // the message surely did not go out
	NeedsHuman bool          `json:"needs_human"`
	Recovery   Recovery      `json:"recovery,omitempty"`
	Wait       time.Duration `json:"wait,omitempty"` // told by the server
	Message    Text          `json:"message"`
	Fix        Text          `json:"fix"`
	Rule       string        `json:"rule,omitempty"` // which rule said so
	// Final says that the session itself is over: the breaker opens at once.
	Final bool `json:"final,omitempty"`
}

// OK reports that nothing was wrong.
func (v Verdict) OK() bool { return v.Class == "" }
