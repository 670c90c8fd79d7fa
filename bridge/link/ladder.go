package link

import (
	"slices"
	"time"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/classifier"
)

// entry is where a verdict enters the ladder after a loss.
func entry(v classifier.Verdict) wechat.Rung {
	switch v.Recovery {
	case classifier.RecoverRelogin:
		return wechat.Stored
	case classifier.RecoverRescan:
		return wechat.QR
	}
	return wechat.Resume
}

// refused says that WeChat answered a rung with no, so that the next one is
// due. What says nothing about the login (network, server, too often, a page
// instead of data) is no refusal: the rung is tried again.
func refused(r wechat.Rung, v classifier.Verdict) bool {
	switch v.Class {
	case classifier.Network, classifier.Server, classifier.RateLimited, classifier.Protocol,
		classifier.Broker, classifier.Internal:
		return false
	case classifier.LoginPending, classifier.BadRequest:
		return true
	case classifier.SessionExpired, classifier.AccountBlocked:
		// A doubtful session is opened again from storage, which costs
		// nothing, but it is never given up for a new login.
		return v.Recovery != classifier.RecoverResume || r != wechat.Stored
	}
	return r == wechat.Resume || r == wechat.Push
}

// used says that a try of a rung counts as a login: somebody reacted to it, or
// nobody can know.
func used(r wechat.Rung, v classifier.Verdict, noRung bool) bool {
	if r != wechat.Push || noRung || v.Code == "push_refused" {
		return false
	}
	switch v.Class {
	case classifier.Network:
		return !v.Certain
	case classifier.Server, classifier.Protocol, classifier.Broker:
		return false
	}
	return true
}

// attempt begins a try to connect: one probe of the breaker, however many
// rungs it climbs.
func (t *turn) attempt() {
	t.gen++
	t.work = asking
	t.do(effect{does: fxAllow})
}

func (t *turn) allowed() {
	if t.state != Reconnecting && t.state != AwaitingScan {
		t.enter(Connecting)
	}
	if t.examine {
		t.examine = false
		t.work = probing
		t.do(effect{does: fxProbe, first: true})
		return
	}
	t.climb(t.rung)
}

// climb takes a rung, if the budget has a login for it.
func (t *turn) climb(r wechat.Rung) {
	t.rung, t.scanned, t.shown, t.granted, t.step = r, false, false, false, nil
	if t.state == AwaitingConfirm || t.state == AwaitingCode {
		t.back()
	}
	if r == wechat.QR && t.mem.QRNumber > t.limits.QRRenewals {
		t.unattended()
		return
	}
	if r >= wechat.Push && !t.reserve() {
		return
	}
	if r == wechat.QR {
		t.mem.QRNumber++
		t.mem.RetryAt = t.now.Add(t.qrWait())
		t.save()
	}
	t.work = climbing
	t.do(effect{does: fxClimb, rung: r})
}

// reserve takes a login out of the budget before it is used. Without one left
// the attempt ends and the next one waits until there is.
func (t *turn) reserve() bool {
	left, freeAt := loginsLeft(t.mem.Logins, t.now, t.limits)
	if left <= 0 {
		v, _ := classifier.Known("login_budget_used")
		t.do(effect{does: fxSettle, verdict: v})
		t.reason = v
		t.back()
		t.wait(planAttempt, max(freeAt.Sub(t.now), floor))
		return false
	}
	t.mem.Logins = append(recentLogins(t.mem.Logins, t.now), t.now.Round(0))
	t.reserved = true
	t.save()
	return true
}

// back shows a login that did not come about.
func (t *turn) back() {
	if t.lost {
		t.enter(Reconnecting)
	} else {
		t.enter(Connecting)
	}
}

func (t *turn) qrWait() time.Duration {
	return doubling(qrPause, qrPauseMax, max(t.mem.QRNumber-1, 0))
}

// loginStep shows what a person has to do.
func (t *turn) loginStep(s wechat.LoginStep) {
	if t.work != climbing {
		return
	}
	t.step = &s
	switch s.Kind {
	case wechat.StepScan:
		t.shown = true
		t.enter(AwaitingScan)
	case wechat.StepConfirm:
		t.reacted()
		t.enter(AwaitingConfirm)
	case wechat.StepCode:
		t.reacted()
		t.enter(AwaitingCode)
	case wechat.StepWait:
		t.step, t.granted = nil, true
		t.enter(Connecting)
	}
}

// reacted notes that somebody did what a login asks for. That is the time which
// WeChat counts from, and it may be minutes after the login was taken out of
// the budget.
func (t *turn) reacted() {
	t.scanned = true
	if !t.reserved {
		return
	}
	last := len(t.mem.Logins) - 1
	t.mem.Logins = append(slices.Clone(t.mem.Logins[:last]), t.now.Round(0))
	t.save()
}

// loggedIn has a session; only a good poll makes it a connection.
func (t *turn) loggedIn(id wechat.Identity) {
	if t.reserved {
		t.reacted()
	}
	t.reserved, t.step, t.tries = false, nil, 0
	t.mem.QRNumber, t.mem.RetryAt = 0, time.Time{}
	t.current = id
	if id.ID != "" && t.mem.Identity == "" {
		t.mem.remember(id)
	}
	t.changed = id.ID != "" && id.ID != t.mem.Identity
	t.save()
	if t.state != Reconnecting {
		t.enter(Connecting)
	}
	t.proving = true
	t.poll()
}

// loginFault decides between the next rung, the same one later, and the end.
func (t *turn) loginFault(v classifier.Verdict, noRung bool) {
	if !t.scanned && used(t.rung, v, noRung) {
		t.reacted()
	}
	t.refund()
	t.step = nil
	switch {
	case noRung && t.rung < wechat.QR:
		t.climb(t.rung + 1)
	case v.Recovery == classifier.RecoverStop:
		t.block(v)
	case t.rung == wechat.QR && v.Class == classifier.LoginPending:
		t.renew(v)
	case t.granted && !refused(wechat.Stored, v): // confirmed, and only its beginning failed
		t.fail(v, wechat.Stored)
	case refused(t.rung, v) && t.rung < wechat.QR:
		t.reason = v
		t.climb(t.rung + 1)
	default:
		if t.rung == wechat.QR && !t.shown {
			t.mem.QRNumber-- // nobody could have scanned it
		}
		t.fail(v, t.rung)
	}
}

// renew plans the next code, more slowly each time, until nobody can be
// expected to come.
func (t *turn) renew(v classifier.Verdict) {
	if t.mem.QRNumber > t.limits.QRRenewals {
		t.unattended()
		return
	}
	t.do(effect{does: fxSettle, verdict: v})
	t.reason = v
	t.enter(AwaitingScan)
	d := t.qrWait()
	t.mem.RetryAt = t.now.Add(d)
	t.save()
	t.wait(planAttempt, d)
}

// unattended stops asking for codes; Login is the way on.
func (t *turn) unattended() {
	v, _ := classifier.Known("qr_unattended")
	t.do(effect{does: fxSettle, verdict: v})
	t.reset()
	t.reason, t.mem.RetryAt = v, time.Time{}
	t.enter(LoggedOut)
	t.save()
}

// fail ends an attempt; the next one begins at rung, later.
func (t *turn) fail(v classifier.Verdict, rung wechat.Rung) {
	t.do(effect{does: fxSettle, verdict: v})
	t.do(effect{does: fxClose})
	t.reset()
	t.reason, t.rung = v, rung
	t.back()
	t.backOff(v)
}

// backOff plans the next attempt and stores that before the wait begins.
func (t *turn) backOff(v classifier.Verdict) {
	d := t.pauseAfter(v)
	t.outage = true
	t.mem.Attempt++
	t.mem.RetryAt = t.now.Add(d)
	t.save()
	t.wait(planAttempt, d)
}

// pauseAfter is how long the next attempt waits: as long as the server said,
// else longer each time, and longest where it said "too often". It is never
// shorter than the breaker's time-out.
func (t *turn) pauseAfter(v classifier.Verdict) time.Duration {
	switch {
	case told(v) > 0:
		return max(told(v), floor)
	case v.Class == classifier.RateLimited:
		d := doubling(slowBase, slowLoginMax, t.tries)
		t.tries++
		return d/2 + time.Duration(t.rnd*float64(d/2))
	}
	return max(backoff(t.limits.Base, t.limits.Cap, t.mem.Attempt, t.rnd), floor)
}

// block stops until a person forces a login.
func (t *turn) block(v classifier.Verdict) {
	t.gen++
	t.do(effect{does: fxSettle, verdict: v})
	t.do(effect{does: fxClose})
	t.reset()
	t.outage = true
	t.mem.Blocked, t.reason = v.Code, v
	t.mem.QRNumber, t.mem.RetryAt = 0, time.Time{}
	t.enter(Blocked)
	t.save()
}
