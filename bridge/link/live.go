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

// probe makes the cheap request and waits for it; false when WeChat said that
// it was made too often.
func (t *turn) probe() bool {
	if t.probes.free(t.now) > 0 {
		return false
	}
	t.work, t.probes.last = probing, t.now
	t.do(effect{does: fxProbe})
	return true
}

// probeAside makes it beside what runs. first is within the breaker's probe.
func (t *turn) probeAside(first bool) {
	t.sideProbe, t.probes.last = true, t.now
	t.do(effect{does: fxProbe, first: first})
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

// doubtful faults leave open whether the session is still sound: the cheap
// request tells.
func doubtful(v classifier.Verdict) bool {
	switch v.Class {
	case classifier.Network, classifier.Server, classifier.Protocol:
		return false
	}
	return true
}

// pollLater polls again after a fault. While WeChat may not be asked whether
// the session is sound, it is not polled either: three doubts in a row would be
// a loss.
func (t *turn) pollLater(v classifier.Verdict) {
	d := told(v)
	if d == 0 {
		d = max(backoff(t.limits.Base, t.limits.Cap, t.pollFails-1, t.rnd), quickPoll)
	}
	t.wait(planPoll, max(d, t.polls.free(t.now), t.probes.free(t.now)))
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

// probed is a good answer to the cheap request.
func (t *turn) probed() {
	if t.proving {
		t.sideProbe = false
		t.good()
		return
	}
	if t.state != Connected { // a lost session is sound: resume it
		t.resume()
		return
	}
	t.lastPulse, t.checked = t.now, t.now
	t.probes.good()
	t.sound()
}

// sound is a session that WeChat has just shown to know.
func (t *turn) sound() {
	t.doubts, t.sideProbe = 0, false
	if t.work == probing {
		t.pollLater(t.reason)
	}
}

func (t *turn) probeFault(v classifier.Verdict, missing bool) {
	slow := v.Class == classifier.RateLimited
	if slow {
		t.probes.throttled(v, t.now)
	}
	switch {
	case t.proving: // the poll will tell
		t.sideProbe = false
		return
	case t.state != Connected:
		t.examined(v, missing)
		return
	case slow:
		t.throttled(v)
		t.sound()
		return
	}
	t.sideProbe, t.checked = false, t.now
	if missing && t.work != probing {
		return // the sink's time is not WeChat's silence, and nobody can ask
	}
	t.doubts++
	if t.work == probing {
		t.pollLater(v)
	}
	if t.doubts >= patience {
		t.do(effect{does: fxTrip, verdict: t.worse(v, missing)})
	}
}

// resume opens the session in memory anew.
func (t *turn) resume() {
	t.do(effect{does: fxClose})
	t.climb(wechat.Resume)
}

// worse is why a session that cannot be shown to live is given up.
func (t *turn) worse(v classifier.Verdict, missing bool) classifier.Verdict {
	if missing {
		return t.reason
	}
	return v
}

// examined chooses the rung after a silence.
func (t *turn) examined(v classifier.Verdict, missing bool) {
	switch {
	case missing:
		t.resume()
	case v.Recovery == classifier.RecoverStop:
		t.block(v)
	case v.Final:
		t.reason = v
		t.do(effect{does: fxClose})
		t.climb(entry(v))
	default:
		t.fail(v, wechat.Resume)
	}
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
