package link

import (
	"time"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/classifier"
)

func (t *turn) poll() {
	t.work, t.polls.last = polling, t.now
	t.do(effect{does: fxPoll, first: t.proving})
}

// pollNext polls at once, or when WeChat's "too often" allows it.
func (t *turn) pollNext() {
	if d := t.polls.free(t.now); d > 0 {
		t.wait(planPoll, d)
		return
	}
	t.poll()
}

// pulse is a good answer to a poll.
func (t *turn) pulse(filled bool, lasted time.Duration) {
	t.good()
	t.polls.good()
	if filled {
		t.quick = 0
		t.work = taking
		t.do(effect{does: fxTake})
		return
	}
	t.pollAgain(lasted)
}

// good is WeChat's word that the session works. It is the only way into
// Connected.
func (t *turn) good() {
	t.lastPulse, t.checked = t.now, t.now
	t.pollFails, t.doubts = 0, 0
	if t.proving {
		t.proving = false
		t.do(effect{does: fxSettle, slowly: t.outage})
		t.outage = false
		t.enter(Connected)
		t.lost = true
	}
	t.reason = classifier.Verdict{}
	if t.changed {
		t.reason, _ = classifier.Known("identity_changed")
	}
	t.settle()
}

// held asks whether WeChat is there while it holds the first poll of a quiet
// account: what it does not want it refuses at once, so a held poll together
// with an answered request is as good as an answered poll, 25 s earlier.
func (t *turn) held() {
	if t.proving && t.work == polling {
		t.probeAside(true)
	}
}

// settle lets back-off and attempts fall back once the connection has been
// good for long enough; before, a new loss belongs to the same outage.
func (t *turn) settle() {
	if t.goodSince.IsZero() {
		t.goodSince = t.now
	}
	if t.mem.Attempt > 0 && t.now.Sub(t.goodSince) >= t.limits.Stable {
		t.mem.Attempt, t.mem.RetryAt = 0, time.Time{}
		t.save()
	}
}

// pollAgain polls at once, but not in a busy loop where a server does not hold
// its polls.
func (t *turn) pollAgain(lasted time.Duration) {
	if lasted >= quickPoll {
		t.quick = 0
		t.pollNext()
		return
	}
	t.quick++
	if t.quick <= patience {
		t.pollNext()
		return
	}
	t.wait(planPoll, doubling(quickPoll, quickMax, t.quick-patience-1))
}

// pollFault is a poll that failed without opening the breaker, or the one that
// should have proved a login.
func (t *turn) pollFault(v classifier.Verdict) {
	switch silent := v.Code == noPulse; {
	case silent && t.slept():
		t.poll()
		return
	case t.proving && v.Class != classifier.RateLimited:
		t.unproved(v)
		return
	case silent:
		t.work = resting
		t.do(effect{does: fxTrip, verdict: v})
		return
	}
	t.pollFails++
	t.goodSince = time.Time{}
	t.reason = v
	switch {
	case v.Class == classifier.RateLimited:
		t.polls.throttled(v, t.now)
		t.throttled(v)
		t.pollNext()
		return
	case doubtful(v) || t.pollFails >= patience:
		if t.probe() {
			return
		}
	}
	t.pollLater(v)
}

// throttled is "too often": WeChat is there, and the session is sound.
func (t *turn) throttled(v classifier.Verdict) {
	t.lastPulse, t.checked = t.now, t.now
	t.slow(v)
}

// doubtful faults of a poll leave open whether the session is still sound: the
// cheap request tells, and only its failures count for the breaker.
func doubtful(v classifier.Verdict) bool {
	switch v.Class {
	case classifier.Network, classifier.Server, classifier.Protocol:
		return false
	}
	return !v.Final
}

// pollLater polls again after a fault.
func (t *turn) pollLater(v classifier.Verdict) {
	d := told(v)
	if d == 0 {
		d = max(backoff(t.limits.Base, t.limits.Cap, t.pollFails-1, t.rnd), quickPoll)
	}
	if v.Class != classifier.Network { // what does not reach WeChat is not too often for it
		d = max(d, t.polls.free(t.now))
	}
	t.wait(planPoll, d)
}

// unproved is a login whose first poll failed. A refusal sends the next
// attempt one rung higher, all else resumes what is there. "Too often" does not
// come here: the session is kept and polled later.
func (t *turn) unproved(v classifier.Verdict) {
	switch {
	case v.Recovery == classifier.RecoverStop:
		t.block(v)
	case v.Final && t.rung < wechat.QR:
		t.fail(v, t.rung+1)
	case v.Final:
		t.fail(v, wechat.QR)
	default:
		t.fail(v, wechat.Resume)
	}
}

func (t *turn) taken() {
	t.takeFails = 0
	if t.reason.Class == classifier.Broker {
		t.reason = classifier.Verdict{}
	}
	t.pollNext()
}

func (t *turn) takeFault(v classifier.Verdict) {
	t.reason = v
	d := max(backoff(t.limits.Base, takeCap, t.takeFails, t.rnd), quickPoll)
	t.takeFails++
	t.wait(planTake, d)
}

// opened is the loss: the breaker has opened while the link was connected.
func (t *turn) opened(v classifier.Verdict) {
	if t.state != Connected {
		return
	}
	if v.Recovery == classifier.RecoverStop {
		t.block(v)
		return
	}
	t.gen++
	t.examine = v.Code == noPulse
	if !t.examine {
		t.do(effect{does: fxClose})
	}
	t.reset()
	t.reason, t.rung = v, entry(v)
	t.enter(Reconnecting)
	t.backOff(v)
}

// sendFault notes what sends tell; whether it is a loss the breaker decides.
func (t *turn) sendFault(v classifier.Verdict) {
	if v.Class == classifier.RateLimited {
		t.slow(v)
	}
}

func (t *turn) slow(v classifier.Verdict) {
	d := told(v)
	if d == 0 {
		d = slowTime
	}
	if until := t.now.Add(d); until.After(t.slowedUntil) {
		t.slowedUntil = until
	}
}
