package link

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/classifier"
)

// drainTime is how long a session that was given up stays open for the sends
// in flight: each that is cut off is one whose outcome nobody knows.
const drainTime = 5 * time.Second

// session is an open session and the sends in flight on it.
type session struct {
	wechat.Session
	gen uint64

	mu     sync.Mutex
	n      int
	closed bool
	idle   chan struct{} // closed when the last send has ended after close began
}

func newSession(s wechat.Session, gen uint64) *session {
	return &session{Session: s, gen: gen, idle: make(chan struct{})}
}

// enter counts a send; false once the session is being closed.
func (s *session) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.n++
	return true
}

func (s *session) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n--
	if s.closed && s.n == 0 {
		close(s.idle)
	}
}

// end refuses new sends, waits a little for those in flight and closes.
func (s *session) end(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	if s.n == 0 {
		close(s.idle)
	}
	s.mu.Unlock()
	timer := time.NewTimer(drainTime)
	defer timer.Stop()
	select {
	case <-s.idle:
	case <-timer.C:
	case <-ctx.Done():
	}
	return s.Session.Close()
}

// sender keeps what the transport told about a send that failed: the verdict
// that is reported no longer has it.
type sender struct {
	wechat.Sender
	fault atomic.Pointer[classifier.Fault]
}

func (s *sender) Send(ctx context.Context, out wechat.Outgoing) (wechat.Receipt, error) {
	r, err := s.Sender.Send(ctx, out)
	s.fault.Store(faultIn(err))
	return r, err
}

// await runs f and gives its result, or the context's cause soon after the
// context has ended: a call that ignores its context holds nobody up. A result
// that comes too late goes to late, if that is not nil.
func await[T any](ctx context.Context, grace time.Duration, f func(context.Context) (T, error), late func(T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	got := make(chan result, 1)
	go func() {
		v, err := f(ctx)
		got <- result{v, err}
	}()
	select {
	case r := <-got:
		return r.value, r.err
	case <-ctx.Done():
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case r := <-got:
		return r.value, r.err
	case <-timer.C:
	}
	if late != nil {
		go func() { r := <-got; late(r.value, r.err) }()
	}
	var zero T
	return zero, context.Cause(ctx)
}
