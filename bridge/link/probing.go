package link

import (
	"wechat-bridge/bridge/wechat"
	"wechat-bridge/classifier"
)

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
	} else {
		t.checked = t.now.Add(quickMax - t.silence) // asked again soon
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
