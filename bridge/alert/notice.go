package alert

import (
	"strconv"
	"time"

	"wechat-bridge/bridge/wire"
)

// Kind is what a notice is about.
type Kind string

// The kinds. In one outage each is told once at most.
const (
	KindHeld     Kind = "held"     // nothing could be sent for longer than HeldAfter
	KindLogin    Kind = "login"    // a person has to log in
	KindBlocked  Kind = "blocked"  // WeChat refuses the account: a person has to look
	KindConfig   Kind = "config"   // a person has to mend the configuration
	KindIdentity Kind = "identity" // another person logged in: sending is paused
	KindPerson   Kind = "person"   // a person is needed in a way that this version does not know
	KindBack     Kind = "back"     // messages go out again
	KindBroker   Kind = "broker"   // NATS has been away for longer than HeldAfter
	KindBrokerOK Kind = "broker_back"
	KindTest     Kind = "test"     // an operator asked whether the channels work
	KindFallback Kind = "fallback" // a delivery that went out over the fallback channels
)

// Notice is one thing to tell.
type Notice struct {
	Kind       Kind
	Outage     string          // the same for all notices of one outage
	At         time.Time       // when it was decided
	Since      time.Time       // when the outage began
	Down       time.Duration   // how long nothing could be sent so far; of KindBack: how long the outage was
	OnAndOff   bool            // Down is the sum of several losses
	Waited     uint64          // the most messages that waited at once
	Connection wire.Connection // as it was then; empty for those of NATS and tests
	Account    string
	Link       string // the page; may be empty
}

// ID is the same whenever this notice is tried again, and another one for each
// account.
func (n Notice) ID() string { return n.Account + "-" + n.Outage + "-" + string(n.Kind) }

// back reports whether the notice ends its outage.
func (n Notice) back() bool { return n.Kind == KindBack || n.Kind == KindBrokerOK }

func (n Notice) unknown() bool {
	return n.Connection.Reason != nil && n.Connection.Reason.Class == classUnknown
}

func outageID(track string, since time.Time) string {
	return track + "-" + strconv.FormatInt(since.UnixMilli(), 36)
}
