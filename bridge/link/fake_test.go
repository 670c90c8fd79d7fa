package link

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/classifier"
)

// fake is a WeChat that can be broken in every way that the link must survive.
type fake struct {
	mu       sync.Mutex
	hold     time.Duration
	down     error // every request fails with it
	sync     error // every poll fails with it
	notify   error // every probe fails with it
	send     error // every send fails with it
	login    func(ctx context.Context, req wechat.LoginRequest) error
	alive    bool // WeChat knows the session
	stored   bool // there is a session to open again
	hung     bool // requests are taken and never answered
	deaf     bool // and contexts are ignored
	scan     time.Duration
	id       string
	batches  []wechat.Batch
	polls    int
	probes   int
	climbs   []climbed
	scanned  []time.Time // new logins that a person saw
	open     int
	worst    int // most sessions open at a time
	busy     int // logins that run
	busiest  int
	noProbe  bool
	after    error // how a held poll ends
	prompt   bool  // the first poll of a session is not held
	forgot   int
	released chan struct{}
}

type climbed struct {
	rung wechat.Rung
	at   time.Time
}

func newFake() *fake {
	return &fake{hold: 25 * time.Second, stored: true, alive: true, id: "1001", scan: time.Second, released: make(chan struct{})}
}

func (f *fake) set(change func(*fake)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func (f *fake) count(n *int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return *n
}

func (f *fake) Name() string                { return "webwx" }
func (f *fake) Abilities() wechat.Abilities { return wechat.Abilities{HoldTime: f.hold} }
func (f *fake) Forget(context.Context) error {
	f.set(func(f *fake) { f.stored = false; f.forgot++ })
	return nil
}
func (f *fake) climbsOf(r wechat.Rung) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.climbs {
		if c.rung == r {
			n++
		}
	}
	return n
}

func fault(op classifier.Operation, code int) *classifier.Fault {
	return &classifier.Fault{Transport: classifier.WebWX, Op: op, Code: code, HasCode: true, Phase: classifier.PhaseAnswer, Body: classifier.BodyJSON, Status: 200}
}

func refusedConnection() error {
	return &classifier.Fault{Transport: classifier.WebWX, Op: classifier.OpSyncCheck, Phase: classifier.PhaseDial,
		Cause: &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}}
}

func (f *fake) Login(ctx context.Context, req wechat.LoginRequest) (wechat.Session, error) {
	f.mu.Lock()
	f.climbs = append(f.climbs, climbed{req.Rung, time.Now()})
	f.busy++
	f.busiest = max(f.busiest, f.busy)
	hook, down, hung := f.login, f.down, f.hung
	f.mu.Unlock()
	defer f.set(func(f *fake) { f.busy-- })
	if hung {
		if f.deaf {
			<-f.released
		}
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	if down != nil {
		return nil, down
	}
	if hook != nil {
		if err := hook(ctx, req); err != nil {
			return nil, err
		}
	} else if err := f.rung(ctx, req); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.alive, f.stored = true, true
	f.open++
	f.worst = max(f.worst, f.open)
	s := &fakeSession{fake: f, id: f.id, closed: make(chan struct{})}
	if f.noProbe {
		return struct{ wechat.Session }{s}, nil
	}
	return s, nil
}

// rung is what WeChat does by default.
func (f *fake) rung(ctx context.Context, req wechat.LoginRequest) error {
	f.mu.Lock()
	stored, alive, scan := f.stored, f.alive, f.scan
	f.mu.Unlock()
	switch req.Rung {
	case wechat.Resume, wechat.Stored:
		if !stored {
			return wechat.ErrNoRung
		}
		if !alive {
			return fault(classifier.OpInit, 1101)
		}
		return nil
	case wechat.Push:
		return wechat.ErrNoRung
	}
	req.Step(wechat.LoginStep{Kind: wechat.StepScan, QRText: "https://login.weixin.qq.com/l/x", ExpiresAt: time.Now().Add(4 * time.Minute)})
	if scan <= 0 {
		return expired(ctx, 4*time.Minute)
	}
	if err := pause(ctx, scan); err != nil {
		return err
	}
	req.Step(wechat.LoginStep{Kind: wechat.StepConfirm})
	f.set(func(f *fake) { f.scanned = append(f.scanned, time.Now()) })
	return pause(ctx, time.Second)
}

func expired(ctx context.Context, d time.Duration) error {
	if err := pause(ctx, d); err != nil {
		return err
	}
	return fault(classifier.OpCheckLogin, 400)
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

type fakeSession struct {
	fake   *fake
	id     string
	once   sync.Once
	closed chan struct{}
	began  bool
}

func (s *fakeSession) Identity() wechat.Identity {
	return wechat.Identity{ID: s.id, Name: "name of " + s.id}
}

func (s *fakeSession) Close() error {
	s.once.Do(func() { close(s.closed); s.fake.set(func(f *fake) { f.open-- }) })
	return nil
}

func (s *fakeSession) Receive(ctx context.Context) (wechat.Batch, error) {
	f := s.fake
	f.mu.Lock()
	f.polls++
	err, hung, deaf, hold, alive := errors.Join(f.down, f.sync), f.hung, f.deaf, f.hold, f.alive
	var b wechat.Batch
	if len(f.batches) > 0 && err == nil && !hung {
		b = f.batches[0]
		hold = 0
	}
	f.mu.Unlock()
	if !s.began && f.prompt { // the first poll tells at once what is new
		s.began, hold = true, 0
	}
	switch {
	case hung && deaf:
		<-f.released
		return b, io.EOF
	case hung:
		<-ctx.Done()
		return b, context.Cause(ctx)
	case err != nil:
		return wechat.Batch{}, err
	case !alive:
		return wechat.Batch{}, fault(classifier.OpSyncCheck, 1101)
	}
	return b, s.held(ctx, hold)
}

// held ends early when something is broken on the way.
func (s *fakeSession) held(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		s.fake.mu.Lock()
		hung, deaf, after := s.fake.hung, s.fake.deaf, s.fake.after
		s.fake.mu.Unlock()
		if !hung {
			return after
		}
		if deaf {
			<-s.fake.released
		}
		<-ctx.Done() // who hangs does not answer what it holds
		return context.Cause(ctx)
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.closed:
		return &classifier.Fault{Op: classifier.OpSyncCheck, Phase: classifier.PhasePrepare, Cause: net.ErrClosed}
	}
}

func (s *fakeSession) Commit(_ context.Context, c wechat.Cursor) error {
	s.fake.set(func(f *fake) {
		if len(f.batches) > 0 && string(f.batches[0].Cursor) == string(c) {
			f.batches = f.batches[1:]
		}
	})
	return nil
}

func (s *fakeSession) Send(ctx context.Context, _ wechat.Outgoing) (wechat.Receipt, error) {
	s.fake.mu.Lock()
	defer s.fake.mu.Unlock()
	if s.fake.send != nil {
		return wechat.Receipt{}, s.fake.send
	}
	return wechat.Receipt{MessageID: "1"}, ctx.Err()
}

func (s *fakeSession) Probe(ctx context.Context) error {
	s.fake.mu.Lock()
	s.fake.probes++
	err, hung, alive := errors.Join(s.fake.down, s.fake.notify), s.fake.hung, s.fake.alive
	s.fake.mu.Unlock()
	switch {
	case hung:
		<-ctx.Done()
		return context.Cause(ctx)
	case err != nil:
		return err
	case !alive:
		return fault(classifier.OpNotify, 1101)
	}
	return nil
}

func (s *fakeSession) Logout(context.Context) error {
	s.fake.set(func(f *fake) { f.alive = false })
	return nil
}
