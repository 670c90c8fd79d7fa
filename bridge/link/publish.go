package link

import (
	"time"

	"github.com/rs/zerolog"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/classifier"
)

// The log events of this package.
const (
	logChange = "connection"
	logSave   = "memory not stored"
	logMemory = "memory unreadable, starting without it"
	logClose  = "session closed with an error"
	logJump   = "the machine slept or a clock was set"
	logStuck  = "a call to WeChat did not end"

	fieldAccount = "account"
)

// snapshot shows the machine.
func (l *Link) snapshot() Status {
	m := &l.loop.m
	left, freeAt := loginsLeft(m.mem.Logins, time.Now(), m.limits)
	s := Status{
		Account: l.cfg.Account, Transport: l.cfg.Transport.Name(),
		State: m.state, Since: m.since, Reason: m.reason, UserAction: action(m),
		Step: m.step, Attempt: m.mem.Attempt, Identity: m.current,
		PausedByUser: m.mem.Paused, IdentityChanged: m.changed, SlowedUntil: m.slowedUntil,
		LastPulse: m.lastPulse, Silence: m.silence, LoginsLeft: max(left, 0), LoginFreeAt: freeAt,
		Breaker: l.breaker.status(), Ramp: l.ramp.status(),
	}
	if m.plan == planAttempt || m.plan == planPoll && m.pollFails > 0 {
		s.RetryAt = m.retryAt
	}
	if m.rung == wechat.QR && m.state != Connected {
		s.QRNumber = m.mem.QRNumber
	}
	s.Sending = sending(s, time.Now())
	return s
}

// action is what a person has to do.
func action(m *machine) UserAction {
	switch m.state {
	case AwaitingScan:
		if m.step == nil {
			return JustWait
		}
		return ScanQR
	case AwaitingConfirm:
		return ConfirmOnPhone
	case AwaitingCode:
		return EnterCode
	case Blocked:
		return OpenPhone
	case LoggedOut:
		if m.reason.Code == "qr_unattended" {
			return ScanQR
		}
		return DoNothing
	case Connected, Stopped:
		return DoNothing
	}
	if m.reason.NeedsHuman && m.reason.Class == classifier.Network {
		return FixConfig
	}
	if m.reason.OK() {
		return DoNothing
	}
	return JustWait
}

// publish shows the machine to all who look, and tells the observer what a
// person would call a change.
func (l *Link) publish() {
	s := l.snapshot()
	if s.State == Connected {
		l.gate.Store(&gate{session: l.loop.session, paused: s.PausedByUser || s.IdentityChanged})
	} else {
		l.gate.Store(nil)
	}
	l.mu.Lock()
	l.snap = s
	close(l.news)
	l.news = make(chan struct{})
	s.LastSent = l.sent
	l.mu.Unlock()
	if !alike(s, l.loop.shown) {
		l.changes.put(s)
		l.loop.shown = s
	}
}

// alike leaves out counters and times: n equal faults are one change.
func alike(a, b Status) bool {
	return a.State == b.State && a.Sending == b.Sending && a.UserAction == b.UserAction &&
		a.Reason.Class == b.Reason.Class && a.Reason.Code == b.Reason.Code &&
		a.QRNumber == b.QRNumber && sameStep(a.Step, b.Step) && a.Identity == b.Identity &&
		a.PausedByUser == b.PausedByUser && a.IdentityChanged == b.IdentityChanged
}

func sameStep(a, b *wechat.LoginStep) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

// logChange writes one line per change of state.
func (l *Link) logChange(before machine) {
	m := &l.loop.m
	if m.state == before.state {
		return
	}
	loud := zerolog.InfoLevel
	if m.state == Blocked || m.state == Reconnecting {
		loud = level(m.reason)
	}
	e := l.cfg.Log.WithLevel(loud).Str(fieldAccount, l.cfg.Account).Str("transport", l.cfg.Transport.Name()).
		Str("state", string(m.state)).Str("was", string(before.state)).Int("attempt", m.mem.Attempt)
	if m.plan == planAttempt {
		e = e.Stringer("retry_in", time.Until(m.retryAt).Round(time.Millisecond))
	}
	withVerdict(e, m.reason).Msg(logChange)
}

// level is how loud a verdict is: what nobody knows is louder than a fault that
// has a name.
func level(v classifier.Verdict) zerolog.Level {
	if v.Class == classifier.Unknown {
		return zerolog.ErrorLevel
	}
	return zerolog.WarnLevel
}

func withVerdict(e *zerolog.Event, v classifier.Verdict) *zerolog.Event {
	if v.OK() {
		return e
	}
	return e.Str("class", string(v.Class)).Str("code", v.Code).Str("rule", v.Rule)
}

// saveFailed is told by the saver about the n-th failure in a row.
func (l *Link) saveFailed(err error, n int) {
	l.cfg.Log.Warn().Str(fieldAccount, l.cfg.Account).Int("failures", n).Err(err).Msg(logSave)
}
