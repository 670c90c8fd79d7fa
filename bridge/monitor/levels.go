package monitor

import (
	"fmt"
	"time"

	"wechat-bridge/bridge/wire"
)

// The statuses of a level.
const (
	Pass = "pass"
	Warn = "warn"
	Fail = "fail"
)

const (
	startGrace = time.Minute      // a login that was not refused is under way
	faultsFail = 3                // failed sends in a row that are more than bad luck
	proofStale = 24 * time.Hour   // an older proof says little about now
	backlogOld = 15 * time.Minute // messages that wait for longer while nothing is sent
	skew       = 5 * time.Second  // a proof from further ahead is none: a clock was set back
	shortPause = time.Minute      // of the pace
	standby    = "standby"
)

// Levels decides the three levels of health. Connected is believed only while
// the last pulse is young, whatever the state says.
func Levels(f Facts, now time.Time) wire.Health {
	h := wire.Health{Process: process(f.Process, now)}
	if f.Process.Lease.OK {
		h.Connection = connection(f, now)
		h.Business = business(f, h.Connection, now)
	} else {
		h.Connection = awayOnStandby(f.Process, "Another worker may hold the connection; this one does not.")
		h.Business = awayOnStandby(f.Process, "Another worker may send; this one does not.")
	}
	h.Status = worst(h.Process.Status, h.Connection.Status, h.Business.Status)
	return h
}

func worst(statuses ...string) string {
	out := Pass
	for _, s := range statuses {
		if s == Fail || s == Warn && out == Pass {
			out = s
		}
	}
	return out
}

func process(p Process, now time.Time) wire.Level {
	proof := time.Time{}
	for _, l := range p.Loops {
		if age := now.Sub(l.Beat); hangs(l, now) {
			return wire.Level{Status: Fail, Reason: fmt.Sprintf("The loop %q has not moved for %s.", l.Name, round(age)),
				Since: moment(l.Beat), LastProof: moment(l.Beat)}
		}
		if l.Beat.After(proof) {
			proof = l.Beat
		}
	}
	out := wire.Level{Status: Pass, Since: moment(p.Started), LastProof: moment(proof)}
	switch {
	case !p.NATS.OK:
		out.Status, out.Since, out.Reason = Fail, moment(p.NATS.Since), sentence(p.NATS.Reason, "NATS is away.")
	case !p.Lease.OK:
		out.Status, out.State, out.Since = Warn, standby, moment(p.Lease.Since)
		out.Reason = sentence(p.Lease.Reason, "Another worker serves this account; this one waits.")
	}
	return out
}

// alive is what /livez asks: the process's own loops, nothing else.
func alive(p Process, now time.Time) (bool, string) {
	for _, l := range p.Loops {
		if hangs(l, now) {
			return false, fmt.Sprintf("the loop %q has not moved for %s", l.Name, round(now.Sub(l.Beat)))
		}
	}
	return true, ""
}

func hangs(l Loop, now time.Time) bool { return l.Limit > 0 && now.Sub(l.Beat) > l.Limit }

func awayOnStandby(p Process, reason string) wire.Level {
	return wire.Level{Status: Warn, State: standby, Reason: reason, Since: moment(p.Lease.Since)}
}

func connection(f Facts, now time.Time) wire.Level {
	c := f.Connection
	out := wire.Level{Status: Fail, State: c.State, Since: moment(c.Since), LastProof: c.LastPulse, RetryAt: c.RetryAt}
	switch {
	case c.State == wire.StateConnected && young(c.LastPulse, f.Silence, now):
		out.Status, out.RetryAt = Pass, nil
		return out
	case c.State == wire.StateConnected: // silence is the loss, whatever the state says
		out.State = wire.StateReconnecting
		out.Reason = "WeChat has never answered since the connection was made."
		if c.LastPulse != nil {
			out.Reason = fmt.Sprintf("WeChat has not answered for %s, more than the %s that a poll may take.",
				round(now.Sub(*c.LastPulse)), f.Silence)
			out.Since = moment(c.LastPulse.Add(f.Silence))
		}
		return out
	case under(c.State) && c.Reason == nil && now.Sub(c.Since) < startGrace:
		out.Status = Warn
	}
	out.Reason = connectionReason(c)
	return out
}

// young reports whether WeChat answered lately. An answer from the future
// proves nothing: a clock that was set back would hide a silence.
func young(pulse *time.Time, silence time.Duration, now time.Time) bool {
	if pulse == nil {
		return false
	}
	age := now.Sub(*pulse)
	return age <= silence && age >= -skew
}

func under(state string) bool { return state == wire.StateStarting || state == wire.StateConnecting }

var stateReasons = map[string]string{
	wire.StateStarting:        "The connection is being prepared.",
	wire.StateAwaitingScan:    "A person has to scan the QR code.",
	wire.StateAwaitingConfirm: "A person has to confirm the login on the phone.",
	wire.StateAwaitingCode:    "A person has to enter the digits that the phone shows.",
	wire.StateConnecting:      "A login is under way.",
	wire.StateReconnecting:    "The connection was lost and is being made again.",
	wire.StateLoggedOut:       "Nobody is logged in.",
	wire.StateBlocked:         "WeChat refuses this account; only a person can force a new login.",
	wire.StateStopped:         "The connection is stopped.",
}

func connectionReason(c wire.Connection) string {
	if c.Reason != nil && c.Reason.Message != "" {
		return c.Reason.Message
	}
	return sentence(stateReasons[c.State], "The connection is in a state that is not known.")
}

func business(f Facts, conn wire.Level, now time.Time) wire.Level {
	c, b := f.Connection, f.Business
	proof := b.LastSent
	out := wire.Level{Status: Pass, State: c.Sending, LastProof: moment(proof)}
	var since time.Time
	out.Status, out.Reason, since = judge(f, conn, proof, now)
	if since.IsZero() {
		since = c.Since
	}
	out.Since = moment(since)
	switch at := closedUntil(c, now); {
	case out.Status == Fail:
		out.RetryAt = c.RetryAt
	case at != nil:
		out.RetryAt = at
	}
	return out
}

// judge is the level of business: the worst that is true. since is zero where
// it is the connection's.
func judge(f Facts, conn wire.Level, proof, now time.Time) (status, reason string, since time.Time) {
	c, b := f.Connection, f.Business
	waiting := waitingWords(c.Backlog)
	switch {
	case !f.Process.NATS.OK:
		return Fail, "NATS is away: nothing can be sent.", f.Process.NATS.Since
	case c.Sending == wire.SendingPaused && c.Reason != nil && c.Reason.Code == "identity_changed":
		return Fail, "Another person logged in: sending is paused until an operator agrees." + waiting, time.Time{}
	case c.Sending == wire.SendingPaused:
		return Warn, "Sending is paused by an operator." + waiting, time.Time{}
	case conn.Status != Pass || c.Sending == wire.SendingHeld:
		return worst(Warn, conn.Status, failIf(c.Sending == wire.SendingHeld && conn.Status == Pass)),
			"Nothing is sent until WeChat answers again." + waiting, time.Time{}
	case c.Sending != wire.SendingFlowing && c.Sending != wire.SendingSlowed && c.Sending != wire.SendingRamping:
		return Fail, "It is not known whether sends go out." + waiting, time.Time{}
	case b.LastFault.After(proof):
		return worst(Warn, failIf(b.FaultsInRow >= faultsFail)), sentence(b.Fault, "The last send failed."), b.LastFault
	case closedUntil(c, now) != nil:
		return Warn, "Nothing is sent before " + c.Pace.ClosedUntil.UTC().Format(time.RFC3339) + ": the day's limit is used up, or WeChat asked for a pause." + waiting, time.Time{}
	case c.Sending == wire.SendingSlowed:
		return Warn, "WeChat asks for a slower pace." + waiting, time.Time{}
	case stuck(c.Backlog, proof, now):
		return Warn, "Nothing was sent lately." + waiting, now.Add(-oldest(c.Backlog))
	case proof.IsZero():
		return Warn, "Nothing was sent yet, so nothing is proven.", time.Time{}
	case now.Sub(proof) > proofStale:
		return Warn, fmt.Sprintf("The last message went through %s ago.", round(now.Sub(proof))), proof
	}
	return Pass, "", proof
}

// closedUntil is a time before which the pace lets nothing out; nil for none, and
// for a pause that is short: readiness does not flap for each complaint.
func closedUntil(c wire.Connection, now time.Time) *time.Time {
	if at := c.Pace.ClosedUntil; at != nil && at.Sub(now) > shortPause {
		return at
	}
	return nil
}

func failIf(bad bool) string {
	if bad {
		return Fail
	}
	return Pass
}

func stuck(b wire.Backlog, proof, now time.Time) bool {
	return b.Messages > 0 && oldest(b) > backlogOld && now.Sub(proof) > backlogOld
}

func oldest(b wire.Backlog) time.Duration { return time.Duration(b.OldestAgeMS) * time.Millisecond }

func waitingWords(b wire.Backlog) string {
	switch b.Messages {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf(" 1 message waits, for %s.", round(oldest(b)))
	}
	return fmt.Sprintf(" %d messages wait, the oldest for %s.", b.Messages, round(oldest(b)))
}

// Ready decides whether a send would go out now, and why not.
func Ready(f Facts, now time.Time) (bool, string) {
	if ok, why := alive(f.Process, now); !ok {
		return false, why
	}
	h := Levels(f, now)
	switch {
	case h.Process.Status != Pass:
		return false, h.Process.Reason
	case h.Connection.Status != Pass:
		return false, h.Connection.Reason
	}
	if closedUntil(f.Connection, now) != nil {
		return false, h.Business.Reason
	}
	switch f.Connection.Sending {
	case wire.SendingFlowing, wire.SendingSlowed, wire.SendingRamping:
		return true, ""
	}
	return false, h.Business.Reason
}

// Short is a heartbeat's data.
func Short(account, version string, h wire.Health, b wire.Backlog) wire.Heartbeat {
	return wire.Heartbeat{
		Account: account, Status: h.Status, Process: h.Process.Status, Connection: h.Connection.Status,
		Business: h.Business.Status, Backlog: b, Version: version,
	}
}

func sentence(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func round(d time.Duration) time.Duration { return d.Round(time.Second) }

func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	u := t.UTC()
	return &u
}
