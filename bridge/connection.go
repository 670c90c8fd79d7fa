package bridge

import (
	"time"

	"wechat-bridge/bridge/link"
	"wechat-bridge/bridge/outbox"
	"wechat-bridge/bridge/wechat"
	"wechat-bridge/bridge/wire"
	"wechat-bridge/classifier"
)

// connectionRecord is the link's status in the words of the contract.
func connectionRecord(s link.Status, a wechat.Abilities, simulated bool, backlog wire.Backlog) wire.Connection {
	return wire.Connection{
		Account: s.Account, Transport: s.Transport, Simulated: simulated, Abilities: abilityNames(a),
		State: string(s.State), Sending: string(s.Sending), Since: s.Since,
		Reason: reason(s.Reason), UserAction: string(s.UserAction), Login: loginOf(s),
		Breaker:  breakerOf(s.Breaker),
		InFlight: wire.InFlight{Now: s.Ramp.InFlight, Window: s.Ramp.Window, Top: s.Ramp.Top},
		Logins:   wire.Logins{Left: s.LoginsLeft, FreeAt: moment(s.LoginFreeAt)},
		Attempt:  s.Attempt, RetryAt: moment(s.RetryAt), Backlog: backlog, Identity: identityOf(s.Identity),
		LastPulse: moment(s.LastPulse), LastSent: moment(s.LastSent),
	}
}

func breakerOf(b link.BreakerStatus) wire.Breaker {
	return wire.Breaker{
		State: b.State, Since: moment(b.Since), Reason: b.Reason.Code,
		Counts: wire.Counts{
			Requests: b.Requests, Successes: b.Successes, Failures: b.Failures, ConsecutiveFailures: b.ConsecutiveFailures,
		},
	}
}

func paceOf(p outbox.PaceStatus) wire.Pace {
	w := wire.Pace{
		PerMinute: p.PerMinute, Normal: p.Normal, SlowedUntil: moment(p.SlowedUntil), ClosedUntil: moment(p.ClosedUntil),
	}
	if p.Daily > 0 {
		w.Daily, w.DayLeft = p.Daily, &p.DayLeft
	}
	return w
}

func abilityNames(a wechat.Abilities) []string {
	names := make([]string, 0, len(a.Kinds)+4)
	for _, k := range a.Kinds {
		names = append(names, string(k))
	}
	flags := []struct {
		name string
		has  bool
	}{{"rooms", a.Rooms}, {"mention", a.Mention}, {"names", a.Names}, {"cards", a.Cards}}
	for _, f := range flags {
		if f.has {
			names = append(names, f.name)
		}
	}
	return names
}

func reason(v classifier.Verdict) *wire.Reason {
	if v.OK() {
		return nil
	}
	return &wire.Reason{
		Class: string(v.Class), Code: v.Code,
		Message: v.Message.EN, MessageZH: v.Message.ZH, Fix: v.Fix.EN, FixZH: v.Fix.ZH,
	}
}

func loginOf(s link.Status) *wire.Login {
	if s.Step == nil || s.Step.QRText == "" {
		return nil
	}
	return &wire.Login{QRText: s.Step.QRText, QRNumber: s.QRNumber, ExpiresAt: s.Step.ExpiresAt}
}

func identityOf(id wechat.Identity) *wire.Identity {
	if id.ID == "" && id.Name == "" {
		return nil
	}
	return &wire.Identity{Name: id.Name}
}

// moment leaves a time that never was out of the JSON.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	u := t.UTC()
	return &u
}
