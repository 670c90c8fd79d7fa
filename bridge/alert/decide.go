package alert

import (
	"slices"
	"time"

	"wechat-bridge/bridge/wire"
)

// Limits are the times of the decision.
type Limits struct {
	// HeldAfter is how long nothing can be sent before people are told;
	// default 3 minutes. An error that nobody knows is told after a sixth.
	HeldAfter time.Duration
	// SettleAfter is how long all has to be good before it is called back;
	// default 1 minute. A loss before that belongs to the same outage.
	SettleAfter time.Duration
	// QuietAfter is how long all has to be good before the next outage is told
	// like a first one; default 15 minutes.
	QuietAfter time.Duration
}

func (l Limits) withDefaults() Limits {
	set := func(d *time.Duration, to time.Duration) {
		if *d <= 0 {
			*d = to
		}
	}
	set(&l.HeldAfter, 3*time.Minute)
	set(&l.SettleAfter, time.Minute)
	set(&l.QuietAfter, 15*time.Minute)
	return l
}

// classUnknown is the class of an error that nobody knows.
const classUnknown = "unknown"

// leak is how many seconds of good connection forgive one second of loss, as
// in a leaky bucket: rare short losses never add up to an alert, flapping does.
const leak = 5

// state is all that the decision remembers. Its JSON is kept over restarts, so
// that a crash loop tells nobody twice.
type state struct {
	Connection outage `json:"connection"`
	Broker     outage `json:"broker"`

	seen *wire.Connection // nil: nothing yet
	away bool             // NATS is
}

// outage is one track of good and bad.
type outage struct {
	Since     time.Time     `json:"since,omitzero"`      // of the outage; zero = none
	BadSince  time.Time     `json:"bad_since,omitzero"`  // of this run; zero = not bad now
	GoodSince time.Time     `json:"good_since,omitzero"` // of this run; zero = not good now
	Looked    time.Time     `json:"looked,omitzero"`     // in this run of bad, to the minute: what a crash leaves of it
	Down      time.Duration `json:"down_ns,omitempty"`   // of former runs since the last back, leaking
	Told      []Kind        `json:"told,omitempty"`      // in this outage
	Muted     []Kind        `json:"muted,omitempty"`     // told in outages since the last quiet time
	Most      uint64        `json:"most,omitempty"`      // messages that waited
}

// condition is what is seen, in the words of the decision.
type condition struct {
	bad     bool
	frozen  bool // neither good nor bad: an operator's will, or nobody knows
	person  Kind // a person is needed; empty: not
	held    Kind // told when it lasts
	back    Kind
	unknown bool // for a reason that nobody knows
	backlog uint64
}

// event is what the decision is told; with both nil only time has passed.
type event struct {
	connection *wire.Connection
	away       *bool // NATS
}

// decide is the whole decision: a pure function of state, event and time.
func decide(s state, e event, now time.Time, l Limits) (state, []Notice) {
	if e.connection != nil {
		s.seen = e.connection
	}
	if e.away != nil {
		s.away = *e.away
	}
	var out []Notice
	var told []Notice
	s.Connection, out = s.Connection.step("connection", see(s.seen), now, l)
	for i := range out {
		out[i].Connection = *s.seen
	}
	broker := condition{bad: s.away, held: KindBroker, back: KindBrokerOK}
	s.Broker, told = s.Broker.step("broker", broker, now, l)
	return s, append(out, told...)
}

// see reads a record. An operator's pause or logout is no outage, and the end
// of the process says nothing.
func see(c *wire.Connection) condition {
	v := condition{held: KindHeld, back: KindBack}
	if c == nil {
		v.frozen = true
		return v
	}
	code, class := "", ""
	if c.Reason != nil {
		code, class = c.Reason.Code, c.Reason.Class
	}
	v.backlog = c.Backlog.Messages
	v.frozen = c.State == wire.StateStopped || c.State == wire.StateLoggedOut && code == "logged_out"
	v.person = needs(c.UserAction)
	if c.Sending == wire.SendingPaused && code == "identity_changed" {
		v.person = KindIdentity
	}
	v.bad = c.Sending == wire.SendingHeld || v.person != ""
	v.unknown = class == classUnknown
	return v
}

// needs is the kind of a user_action; an action that is not known needs
// somebody, too.
func needs(action string) Kind {
	switch action {
	case "", "none", "wait":
		return ""
	case "scan_qr", "confirm_on_phone", "enter_code":
		return KindLogin
	case "open_phone", "contact_wechat":
		return KindBlocked
	case "fix_config":
		return KindConfig
	}
	return KindPerson
}

func (o outage) step(track string, c condition, now time.Time, l Limits) (outage, []Notice) {
	o.Told, o.Muted = slices.Clip(o.Told), slices.Clip(o.Muted) // values: nothing is shared
	o.clock(now)
	switch {
	case c.frozen:
		o.end(now)
		o.GoodSince = time.Time{}
		return o, nil
	case c.bad:
		return o.bad(track, c, now, l)
	}
	return o.good(track, c, now, l)
}

// clock survives a clock that was set back, or a state from another machine.
func (o *outage) clock(now time.Time) {
	for _, t := range []*time.Time{&o.Since, &o.BadSince, &o.GoodSince, &o.Looked} {
		if t.After(now) {
			*t = now
		}
	}
}

// end closes a run of bad.
func (o *outage) end(now time.Time) {
	if !o.BadSince.IsZero() {
		o.Down += now.Sub(o.BadSince)
		o.BadSince = time.Time{}
	}
}

// wake goes on after a restart: the time without a process is neither good nor
// bad.
func (o *outage) wake() {
	if !o.BadSince.IsZero() {
		o.Down += max(0, o.Looked.Sub(o.BadSince))
	}
	o.BadSince, o.GoodSince = time.Time{}, time.Time{}
}

func (o outage) bad(track string, c condition, now time.Time, l Limits) (outage, []Notice) {
	if o.BadSince.IsZero() {
		o.BadSince, o.Looked = now, now
		if !o.GoodSince.IsZero() {
			o.Down = max(0, o.Down-now.Sub(o.GoodSince)/leak)
			o.GoodSince = time.Time{}
		}
		if o.Since.IsZero() {
			o.Since = now
		}
	}
	if now.Sub(o.Looked) >= time.Minute {
		o.Looked = now
	}
	o.Most = max(o.Most, c.backlog)
	down := o.Down + now.Sub(o.BadSince)
	kind, after := c.due(l)
	if o.knows(kind) || down < o.patience(kind, after, l) {
		return o, nil
	}
	o.Told = append(o.Told, kind)
	return o, []Notice{{
		Kind: kind, Outage: outageID(track, o.Since), At: now, Since: o.Since,
		Down: down, OnAndOff: o.Down > down/4, Waited: o.Most,
	}}
}

// due is what there is to tell now, and after how much loss.
func (c condition) due(l Limits) (Kind, time.Duration) {
	switch {
	case c.person != "":
		return c.person, 0
	case c.unknown:
		return c.held, l.HeldAfter / 6
	}
	return c.held, l.HeldAfter
}

// knows reports whether people know this already: that a person is needed says
// that messages are held, too.
func (o *outage) knows(k Kind) bool {
	return slices.Contains(o.Told, k) || k == KindHeld && len(o.Told) > 0
}

// patience damps flapping: what was told lately is told again only when the
// losses since then add up to the quiet time.
func (o *outage) patience(k Kind, after time.Duration, l Limits) time.Duration {
	if slices.Contains(o.Muted, k) {
		return max(after, l.QuietAfter)
	}
	return after
}

func (o outage) good(track string, c condition, now time.Time, l Limits) (outage, []Notice) {
	o.end(now)
	if o.GoodSince.IsZero() {
		o.GoodSince = now
		o.Most = max(o.Most, c.backlog) // what came since the last record still waits
	}
	var out []Notice
	good := now.Sub(o.GoodSince)
	if !o.Since.IsZero() && good >= l.SettleAfter {
		if len(o.Told) > 0 {
			out = []Notice{{
				Kind: c.back, Outage: outageID(track, o.Since), At: now, Since: o.Since,
				Down: o.GoodSince.Sub(o.Since), Waited: o.Most,
			}}
			o.mute()
			o.Down = 0
		}
		o.Since, o.Told, o.Most = time.Time{}, nil, 0
	}
	if good >= l.QuietAfter {
		o.Muted, o.Down = nil, 0
	}
	return o, out
}

func (o *outage) mute() {
	for _, k := range o.Told {
		if !slices.Contains(o.Muted, k) {
			o.Muted = append(o.Muted, k)
		}
	}
}
