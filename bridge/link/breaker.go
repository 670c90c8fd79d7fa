package link

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"

	"wechat-bridge/classifier"
)

// outcome carries a verdict through the breaker, whose callbacks see errors.
type outcome struct {
	verdict classifier.Verdict
	hard    bool // opens the breaker at once
	probe   bool // the outcome of an attempt: anything but good keeps it open
}

func (o outcome) Error() string { return string(o.verdict.Class) + ": " + o.verdict.Code }

// report makes the error of an outcome; a good one is nil.
func report(v classifier.Verdict) error {
	if v.OK() {
		return nil
	}
	return outcome{verdict: v, hard: v.Final}
}

// breaker is the only gate to WeChat. It wraps gobreaker's two-step breaker:
// its generations are what discards the late answers of a lost connection.
type breaker struct {
	cb *gobreaker.TwoStepCircuitBreaker[any]
	// now is the state as OnStateChange last told it. gobreaker's own State()
	// is never called, as reading it moves an open breaker on.
	now atomic.Int32
	// since is when it last changed, in ns since 1970.
	since atomic.Int64
	// reason is why it last opened.
	reason atomic.Pointer[classifier.Verdict]
	// hard and last belong to gobreaker's lock: IsSuccessful writes them just
	// before ReadyToTrip or OnStateChange reads them.
	hard bool
	last classifier.Verdict
}

// newBreaker makes a closed breaker; opened is called, under the breaker's
// lock, when it opens after having been closed, and must not block.
func newBreaker(account string, opened func(classifier.Verdict)) *breaker {
	b := &breaker{}
	b.cb = gobreaker.NewTwoStepCircuitBreaker[any](gobreaker.Settings{
		Name:         account,
		MaxRequests:  1,
		Interval:     time.Minute,
		BucketPeriod: 5 * time.Second,
		Timeout:      breakerTimeout,
		IsExcluded:   excluded,
		IsSuccessful: b.successful,
		ReadyToTrip:  func(c gobreaker.Counts) bool { return b.hard || tooMany(c) },
		OnStateChange: func(_ string, from, to gobreaker.State) {
			b.now.Store(int32(to))
			b.since.Store(time.Now().UnixNano())
			if to == gobreaker.StateOpen {
				v := b.last
				b.reason.Store(&v)
			}
			if from == gobreaker.StateClosed {
				opened(b.last)
			}
		},
	})
	return b
}

// excluded says that an outcome tells nothing about the connection.
func excluded(err error) bool {
	var o outcome
	if !errors.As(err, &o) {
		return false
	}
	return !o.hard && !o.probe && !o.verdict.Disconnect
}

func (b *breaker) successful(err error) bool {
	var o outcome
	if !errors.As(err, &o) {
		return err == nil
	}
	b.hard, b.last = o.hard, o.verdict
	return false
}

// tooMany opens the breaker: three in a row, or 60 % of at least five in the
// rolling minute. Requests that are still open and excluded ones don't count.
func tooMany(c gobreaker.Counts) bool {
	if c.ConsecutiveFailures >= patience {
		return true
	}
	n := c.TotalSuccesses + c.TotalFailures
	return n >= 5 && c.TotalFailures*100 >= n*60
}

func (b *breaker) state() gobreaker.State { return gobreaker.State(b.now.Load()) }

func (b *breaker) closed() bool { return b.state() == gobreaker.StateClosed }

// admit lets a request through while the breaker is closed, and never moves an
// open one: only the link's probe does.
func (b *breaker) admit() (func(error), error) {
	if !b.closed() {
		return nil, ErrHeld
	}
	done, err := b.cb.Allow()
	if err != nil {
		return nil, ErrHeld
	}
	if !b.closed() { // it opened in between: give the place back unused
		done(outcome{})
		return nil, ErrHeld
	}
	return done, nil
}

// probe lets one attempt through an open breaker whose time-out is over.
func (b *breaker) probe() (func(error), error) { return b.cb.Allow() }

// shut is how long an open breaker will go on refusing a probe.
func (b *breaker) shut(now time.Time) time.Duration {
	return max(breakerTimeout-now.Sub(time.Unix(0, b.since.Load())), 0)
}

// trip opens a closed breaker at once.
func (b *breaker) trip(v classifier.Verdict) {
	if !b.closed() {
		return
	}
	if done, err := b.cb.Allow(); err == nil {
		done(outcome{verdict: v, hard: true})
	}
}

// status shows the breaker. Its parts are read one by one: while it moves, the
// counts may be of the moment after.
func (b *breaker) status() BreakerStatus {
	c := b.cb.Counts()
	s := BreakerStatus{
		State: b.state().String(), Requests: c.Requests, Successes: c.TotalSuccesses,
		Failures: c.TotalFailures, ConsecutiveFailures: c.ConsecutiveFailures,
		Since: time.Unix(0, b.since.Load()),
	}
	if v := b.reason.Load(); v != nil && s.State != gobreaker.StateClosed.String() {
		s.Reason = *v
	}
	return s
}
