package link

import (
	"time"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/classifier"
)

// loginCommand shows a new code now.
func (t *turn) loginCommand(force bool) error {
	if left, _ := loginsLeft(t.spent(), t.now, t.limits); left <= 0 {
		return ErrBudget
	}
	switch {
	case t.work == leaving:
		return ErrBusy
	case t.state == Blocked && !force:
		return ErrBlocked
	case t.state == Connected && !force:
		return ErrLoggedIn
	}
	t.refund()
	t.abandon()
	t.mem.Blocked, t.mem.LoggedOut, t.mem.QRNumber = "", false, 0
	t.reason = classifier.Verdict{}
	t.rung, t.lost = wechat.QR, false
	t.enter(Connecting)
	t.save()
	t.wait(planAttempt, 0)
	return nil
}

// spent are the logins of the budget without the one that a new command would
// give back.
func (t *turn) spent() []time.Time {
	if t.reserved && !t.scanned {
		return t.mem.Logins[:len(t.mem.Logins)-1]
	}
	return t.mem.Logins
}

// logoutCommand ends the session for good.
func (t *turn) logoutCommand(e event) {
	if t.work == leaving {
		t.answer(e, ErrBusy)
		return
	}
	t.refund()
	t.gen++
	t.outage = t.outage || t.state == Connected
	v, _ := classifier.Known("logged_out")
	t.do(effect{does: fxSettle, verdict: v})
	t.do(effect{does: fxTrip, verdict: v})
	t.do(effect{does: fxLogout})
	t.reset()
	t.examine = false
	t.work = leaving
	t.mem.LoggedOut, t.mem.QRNumber, t.mem.RetryAt = true, 0, time.Time{}
	if t.state != Blocked {
		t.reason = v
		t.enter(LoggedOut)
	}
	t.save()
}
