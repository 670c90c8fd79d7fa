// Package link is an account's connection to WeChat: a pure state machine, the
// loop that performs what it decides, the login ladder with its budget, the
// circuit breaker that is the only gate, back-off and heartbeat.
//
// It knows no NATS, no HTTP and no message bodies.
package link

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/classifier"
)

// What Admit, Login and Logout refuse with.
var (
	ErrHeld     = errors.New("the connection to WeChat is down: sends wait")
	ErrPaused   = errors.New("sending is paused")
	ErrRamping  = errors.New("after an outage few sends are in flight at a time: this one comes later")
	ErrBlocked  = errors.New("the account is blocked; only a forced login leaves this state")
	ErrLoggedIn = errors.New("already connected; a forced login replaces the session")
	ErrBudget   = errors.New("the budget of logins is used up")
	ErrNoCode   = errors.New("no login waits for digits now")
	ErrBusy     = errors.New("a logout is under way")
	ErrStopped  = errors.New("the connection is stopped")
)

// Sink takes what WeChat told: it stores the events of a batch and then
// commits the batch's cursor on r. An error means that storage is away; the
// link keeps the batch and calls again, with back-off, until it works.
type Sink interface {
	Take(ctx context.Context, r wechat.Receiver, b wechat.Batch) error
}

// Config is what a link needs.
type Config struct {
	Account   string
	Transport wechat.Transport
	// Memory keeps budget, back-off, blocked state and identity over a crash.
	Memory wechat.Vault
	Sink   Sink
	// Observe is called on every change that a person would call one (not for
	// counters and times), in order, by one goroutine; it must not block.
	// May be nil.
	Observe func(Status)
	// Fault is called for each fault, by the loop's goroutine; it must not
	// block. The link itself logs only changes of its state. May be nil.
	Fault  func(FaultReport)
	Log    zerolog.Logger
	Rand   func() float64 // jitter in [0,1); called by one goroutine
	Limits Limits         // zero fields take their defaults
}

func (c Config) check() error {
	switch {
	case c.Account == "":
		return errors.New("link: no account")
	case c.Transport == nil:
		return errors.New("link: no transport")
	case c.Memory == nil:
		return errors.New("link: no memory")
	case c.Sink == nil:
		return errors.New("link: no sink")
	case c.Rand == nil:
		return errors.New("link: no source of jitter")
	}
	return nil
}

// Link is one account's connection. All methods but Run may be called by any
// goroutine, also before Run.
type Link struct {
	cfg     Config
	breaker *breaker
	ramp    *ramp
	saver   *saver
	mail    *mailbox[event]
	changes *mailbox[Status]
	codes   chan string
	turns   chan struct{} // one login at a time, also where one ignores its context
	hold    time.Duration // of a poll that brings nothing
	silence time.Duration // a loss
	ran     atomic.Bool
	done    chan struct{} // closed when Run has ended
	gate    atomic.Pointer[gate]
	closing atomic.Pointer[chan struct{}] // closed when the last session is closed; nil: none was
	loop    loop

	mu   sync.Mutex
	snap Status
	sent time.Time     // WeChat last took a message
	news chan struct{} // closed on each change of snap
}

// gate is what Admit looks at.
type gate struct {
	session *session
	paused  bool
}

// New makes a link that is held: nothing goes out before Run has logged in.
func New(cfg Config) (*Link, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cfg.Limits = cfg.Limits.withDefaults()
	if cfg.Observe == nil {
		cfg.Observe = func(Status) {}
	}
	if cfg.Fault == nil {
		cfg.Fault = func(FaultReport) {}
	}
	l := &Link{
		cfg: cfg, ramp: newRamp(cfg.Limits.Ramp), saver: newSaver(cfg.Memory), mail: newMailbox[event](), changes: newMailbox[Status](),
		codes: make(chan string, 1), turns: make(chan struct{}, 1), done: make(chan struct{}), news: make(chan struct{}),
	}
	l.breaker = newBreaker(cfg.Account, func(v classifier.Verdict) {
		l.mail.put(event{kind: evOpened, verdict: v})
	})
	v, _ := classifier.Known("not_logged_in")
	l.breaker.trip(v) // gobreaker starts closed
	hold := cfg.Transport.Abilities().HoldTime
	if hold <= 0 {
		hold = defaultHold
	}
	l.loop.read = readClocks()
	l.hold, l.silence = hold, hold+cfg.Limits.Slack
	l.loop.m = machine{limits: cfg.Limits, silence: l.silence, state: Starting, since: time.Now()}
	l.snap = l.snapshot()
	return l, nil
}

// Status is the connection now. It moves nothing.
func (l *Link) Status() Status {
	l.mu.Lock()
	s := l.snap
	s.LastSent = l.sent
	l.mu.Unlock()
	s.Breaker, s.Ramp = l.breaker.status(), l.ramp.status()
	s.Sending = sending(s, time.Now())
	return s
}

// sending derives what is shown from the breaker first: held if and only if it
// is not closed. A ramp is shown before "slowed", which WeChat may have said
// during it.
func sending(s Status, now time.Time) Sending {
	switch {
	case s.Breaker.State != "closed":
		return Held
	case s.PausedByUser || s.IdentityChanged:
		return Paused
	case s.Ramp.Window < s.Ramp.Top:
		return Ramping
	case now.Before(s.SlowedUntil):
		return Slowed
	}
	return Flowing
}

// Wait returns when a send could be admitted: connected, not held, not paused,
// and the ramp has room. Its error is the context's cause, or ErrStopped.
func (l *Link) Wait(ctx context.Context) error {
	for {
		l.mu.Lock()
		news := l.news
		l.mu.Unlock()
		if g := l.gate.Load(); g != nil && !g.paused && l.breaker.closed() && l.ramp.room() {
			return nil
		}
		select {
		case <-news:
		case <-l.done:
			return ErrStopped
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Admit lets one send through. The report function must be called exactly
// once with what the outcome means; the zero verdict says that WeChat took it.
// Without admission the error is ErrHeld, ErrPaused or ErrRamping.
func (l *Link) Admit() (wechat.Sender, func(classifier.Verdict), error) {
	g := l.gate.Load()
	if g == nil || !l.breaker.closed() {
		return nil, nil, ErrHeld
	}
	if g.paused {
		return nil, nil, ErrPaused
	}
	if !g.session.enter() {
		return nil, nil, ErrHeld
	}
	place, ok := l.ramp.enter()
	if !ok {
		g.session.leave()
		return nil, nil, ErrRamping
	}
	done, err := l.breaker.admit()
	if err != nil {
		l.ramp.cancel(place)
		g.session.leave()
		return nil, nil, err
	}
	var once sync.Once
	s := &sender{Sender: g.session}
	return s, func(v classifier.Verdict) {
		once.Do(func() { l.sendEnded(g.session, place, done, v, s.fault.Load()) })
	}, nil
}

func (l *Link) sendEnded(s *session, place uint64, done func(error), v classifier.Verdict, f *classifier.Fault) {
	now := time.Now()
	if v.OK() {
		l.mu.Lock()
		l.sent = now
		l.mu.Unlock()
	}
	done(report(v))
	s.leave()
	freed, over := l.ramp.leave(place, v, now)
	if freed {
		l.tellWaiters()
	}
	switch {
	case !v.OK():
		l.mail.put(event{kind: evSend, gen: s.gen, verdict: v, fault: f})
	case over:
		l.mail.put(event{kind: evRamped})
	}
}

// tellWaiters lets those in Wait look again.
func (l *Link) tellWaiters() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.news)
	l.news = make(chan struct{})
}

// Login asks for a new QR code now; force also leaves Blocked or replaces a
// connection that works. With a code it hands the digits that the phone shows
// to the login that waits for them. Errors: ErrBlocked, ErrLoggedIn,
// ErrBudget, ErrBusy, ErrNoCode, ErrStopped.
func (l *Link) Login(ctx context.Context, force bool, code string) error {
	if code != "" {
		return l.giveCode(code)
	}
	return l.command(ctx, event{kind: evLoginCommand, force: force})
}

func (l *Link) giveCode(code string) error {
	if l.Status().State != AwaitingCode {
		return ErrNoCode
	}
	select {
	case l.codes <- code:
		return nil
	default:
		return ErrNoCode
	}
}

// Logout ends the session at WeChat, forgets it and stays logged out until
// Login. An error of WeChat's logout is returned; the session is forgotten all
// the same.
func (l *Link) Logout(ctx context.Context) error {
	return l.command(ctx, event{kind: evLogoutCommand})
}

// Pause holds sends until Resume; it outlives the process. When it returns, the
// status says so. The error is ErrStopped or the context's.
func (l *Link) Pause(ctx context.Context) error {
	return l.command(ctx, event{kind: evPauseCommand})
}

// Resume lets sends go on. It also agrees to a changed identity. It returns as
// Pause does.
func (l *Link) Resume(ctx context.Context) error {
	return l.command(ctx, event{kind: evResumeCommand})
}

// command gives an event to the loop and waits for its answer.
func (l *Link) command(ctx context.Context, e event) error {
	answer := make(chan error, 1)
	e.answer = answer
	l.mail.put(e)
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return fmt.Errorf("the connection did not answer: %w", context.Cause(ctx))
	case <-l.done:
	}
	select {
	case err := <-answer:
		return err
	default:
		return ErrStopped
	}
}
