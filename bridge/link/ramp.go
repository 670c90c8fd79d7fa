package link

import (
	"sync"
	"time"

	"wechat-bridge/classifier"
)

// ramp bounds the sends in flight after an outage, so that what has waited does
// not hit WeChat all at once: 1, then 2, 4, … after each full window of good
// outcomes, up to a top, where it ends.
type ramp struct {
	top int

	mu       sync.Mutex
	gen      uint64 // of the present closing; what belongs to an older one is not counted
	window   int
	good     int // outcomes since the window last changed
	inFlight int
	since    time.Time // of the closing, or of the last outcome that was not good
}

func newRamp(top int) *ramp { return &ramp{top: top, window: top} }

// begin starts over: with a window of one, or at the top where nothing was
// lost. Sends of the former connection are no longer counted, as one that never
// ends must not hold up the next connection's.
func (r *ramp) begin(slowly bool, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gen++
	r.inFlight, r.good, r.since, r.window = 0, 0, now, r.top
	if slowly {
		r.window = 1
	}
}

// enter takes a place; false when there is none. The generation goes to leave.
func (r *ramp) enter() (gen uint64, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.roomy() {
		return 0, false
	}
	r.inFlight++
	return r.gen, true
}

// cancel gives back a place that was not used.
func (r *ramp) cancel(gen uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if gen == r.gen {
		r.inFlight--
	}
}

// leave gives a place back with what became of the send. freed says that
// somebody who waits may find room now, over that the top is reached.
func (r *ramp) leave(gen uint64, v classifier.Verdict, now time.Time) (freed, over bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if gen != r.gen {
		return false, false
	}
	r.inFlight--
	if r.window >= r.top {
		return false, false
	}
	switch {
	case v.OK():
		r.good++
	case slows(v):
		r.window, r.good, r.since = max(r.window/2, 1), 0, now
	}
	if r.good >= r.window {
		r.window, r.good = min(r.window*2, r.top), 0
	}
	return true, r.window >= r.top
}

// slows says that an outcome speaks against more sends at a time. What WeChat
// refuses for the message's own sake, and what was never sent, does not.
func slows(v classifier.Verdict) bool {
	return v.Disconnect || v.Class == classifier.RateLimited
}

// rested ends a ramp that nothing was sent on, or nothing went wrong on, for so
// long: an account with little to say is not ramping for days.
func (r *ramp) rested(now time.Time, stable time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.window < r.top && now.Sub(r.since) >= stable {
		r.window, r.good = r.top, 0
	}
}

func (r *ramp) room() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.roomy()
}

// roomy needs the lock. At the top it is the outbox that bounds what is open.
func (r *ramp) roomy() bool { return r.window >= r.top || r.inFlight < r.window }

func (r *ramp) status() RampStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	return RampStatus{Window: r.window, Top: r.top, InFlight: r.inFlight}
}
