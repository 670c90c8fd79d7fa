package link

import (
	"time"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/classifier"
)

// State is the state of an account's connection; the names are the contract's.
type State string

// The states. docs/states.md has the picture.
const (
	Starting        State = "starting"         // nothing was tried yet
	AwaitingScan    State = "awaiting_scan"    // a code is shown, or the next one soon is
	AwaitingConfirm State = "awaiting_confirm" // somebody has to press the button on the phone
	AwaitingCode    State = "awaiting_code"    // somebody has to type the digits of the phone
	Connecting      State = "connecting"       // a login is under way or done, no good poll yet
	Connected       State = "connected"        // WeChat answered a poll; the breaker is closed
	Reconnecting    State = "reconnecting"     // a connection was lost and comes back by itself
	LoggedOut       State = "logged_out"       // until Login is called
	Blocked         State = "blocked"          // until Login is called with force
	Stopped         State = "stopped"          // Run has ended
)

// Sending says whether messages go out; the names are the contract's.
type Sending string

// The ways of sending. Held is shown exactly while the breaker is not closed.
const (
	Flowing Sending = "flowing"
	Ramping Sending = "ramping" // after an outage: few sends in flight, then more
	Slowed  Sending = "slowed"  // WeChat said "too often" lately
	Held    Sending = "held"    // the breaker is open: messages wait
	Paused  Sending = "paused"  // by an operator, or because the identity changed
)

// UserAction is what a person has to do; the names are the contract's.
type UserAction string

// The actions.
const (
	DoNothing      UserAction = "none"
	ScanQR         UserAction = "scan_qr"
	ConfirmOnPhone UserAction = "confirm_on_phone"
	EnterCode      UserAction = "enter_code"
	OpenPhone      UserAction = "open_phone"
	JustWait       UserAction = "wait"
	FixConfig      UserAction = "fix_config"
	ContactWeChat  UserAction = "contact_wechat"
)

// BreakerStatus is the circuit breaker as it was last seen; reading it moves
// nothing.
type BreakerStatus struct {
	State               string // closed, open, half-open
	Requests            uint32 // of the rolling minute, as are the others
	Successes           uint32
	Failures            uint32
	ConsecutiveFailures uint32
	Since               time.Time          // of State
	Reason              classifier.Verdict // why it opened; zero while it is closed
}

// RampStatus is how many sends may be in flight after an outage. Window equal
// to Top means that there is no ramp.
type RampStatus struct {
	Window   int
	Top      int
	InFlight int
}

// Status is one account's connection at a moment.
type Status struct {
	Account    string
	Transport  string
	State      State
	Sending    Sending
	Since      time.Time          // of State
	Reason     classifier.Verdict // why it is not good; zero when it is
	UserAction UserAction
	// Step is what the login under way asks a person for; nil when nothing.
	Step *wechat.LoginStep
	// QRNumber counts the codes of this login, from 1; 0 without one.
	QRNumber int
	Breaker  BreakerStatus
	Ramp     RampStatus
	Attempt  int       // failed tries since the connection was last stable
	RetryAt  time.Time // of the next try; zero when none is planned
	Identity wechat.Identity
	// PausedByUser and IdentityChanged say why Sending is Paused.
	PausedByUser    bool
	IdentityChanged bool
	SlowedUntil     time.Time
	LastPulse       time.Time     // WeChat's last good answer to a poll or probe
	LastSent        time.Time     // WeChat last took a message
	Silence         time.Duration // longer than this without an answer is a loss
	LoginsLeft      int           // new logins by push or QR that the budget allows now
	LoginFreeAt     time.Time     // when it allows the next one; zero while LoginsLeft is above 0
}
