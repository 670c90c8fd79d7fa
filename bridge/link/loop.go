package link

import (
	"context"
	"errors"
	"sync"
	"time"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/classifier"
)

const (
	defaultHold = 25 * time.Second // webwx and iLink both hold about so long
	loginTime   = time.Minute      // for a rung that needs nobody
	pushTime    = 6 * time.Minute  // a phone's prompt lives about 5 minutes
	qrTime      = 10 * time.Minute // a code lives 2 (iLink) to 5 minutes (webwx)
	probeTime   = 5 * time.Second
	logoutTime  = 15 * time.Second
	endTime     = 5 * time.Second // for what is left when Run ends
	grace       = 2 * time.Second // for a call to notice that its context ended
	pollGrace   = 250 * time.Millisecond
)

// loop is what only Run's goroutine touches.
type loop struct {
	m        machine
	ctx      context.Context // of Run's work; outlives Run's own until the end
	work     context.Context // of the present generation
	stopWork context.CancelFunc
	session  *session
	batch    wechat.Batch
	probe    func(error) // the half-open probe, while an attempt runs
	shown    Status
	wg       sync.WaitGroup
	read     func() reading // both clocks
}

// errRunTwice says that a link runs once: a new Run needs a new link.
var errRunTwice = errors.New("link: Run was called before")

// Run connects and keeps the connection until ctx ends; then it closes the
// session, without a logout, and returns nil. Its error is that of a memory
// that a newer program wrote.
func (l *Link) Run(ctx context.Context) error {
	if !l.ran.CompareAndSwap(false, true) {
		return errRunTwice
	}
	defer close(l.done)
	work, end := context.WithCancel(context.WithoutCancel(ctx))
	l.loop.ctx = work
	l.loop.work, l.loop.stopWork = context.WithCancel(work)
	aside := l.startAside(work)
	mem, err := l.load(ctx)
	if err == nil && ctx.Err() == nil {
		l.apply(event{kind: evStart, memory: mem})
		l.turn(ctx)
	}
	l.apply(event{kind: evStop})
	l.finish(ctx, end, aside)
	return err
}

// turn performs events until ctx ends.
func (l *Link) turn(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	clocks := l.loop.read()
	for {
		due := l.due()
		timer.Reset(due)
		select {
		case <-ctx.Done():
			return
		case <-l.mail.bell:
			clocks = l.checkClocks(clocks, due)
			for _, e := range l.mail.take() {
				l.apply(e)
			}
		case <-timer.C:
			clocks = l.checkClocks(clocks, due)
			l.apply(event{kind: evTimer})
		}
	}
}

// due is how long the loop may sleep: until the machine wants something, and
// while a session is open until the clocks are looked at.
func (l *Link) due() time.Duration {
	due := time.Hour
	if at := l.loop.m.wake(); !at.IsZero() {
		due = min(due, max(time.Until(at), 0))
	}
	if l.loop.session != nil {
		due = min(due, tickTime)
	}
	return due
}

// checkClocks tells the machine that time stood still or a clock was set,
// before it hears of anything else that happened meanwhile.
func (l *Link) checkClocks(before reading, due time.Duration) reading {
	now := l.loop.read()
	if apart, jump := jumped(before, now, due); jump {
		l.cfg.Log.Info().Str(fieldAccount, l.cfg.Account).Dur("clock_moved", apart).Dur("late", now.mono-before.mono-due).Msg(logJump)
		l.apply(event{kind: evJump, lasted: apart})
	}
	return now
}

// startAside starts the observer and the saver; the function returned waits
// for them after their context has ended.
func (l *Link) startAside(ctx context.Context) func() {
	var wg sync.WaitGroup
	wg.Go(func() { l.observe(ctx) })
	wg.Go(func() { l.saver.run(ctx, l.saveFailed) })
	return wg.Wait
}

func (l *Link) observe(ctx context.Context) {
	tell := func() {
		for _, s := range l.changes.take() {
			l.cfg.Observe(s)
		}
	}
	for {
		select {
		case <-l.changes.bell:
			tell()
		case <-ctx.Done():
			tell()
			return
		}
	}
}

// finish waits for what still runs, for a bounded time, and stores the memory.
func (l *Link) finish(ctx context.Context, end context.CancelFunc, aside func()) {
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTime)
	defer cancel()
	if closing := l.closing.Load(); closing != nil {
		select { // sends in flight may end
		case <-*closing:
		case <-last.Done():
		}
	}
	if err := l.saver.flush(last); err != nil {
		l.saveFailed(err, 1)
	}
	end()
	gone := make(chan struct{})
	go func() { l.loop.wg.Wait(); aside(); close(gone) }()
	select {
	case <-gone:
	case <-last.Done():
		l.cfg.Log.Warn().Str(fieldAccount, l.cfg.Account).Msg(logStuck)
	}
	for _, e := range l.mail.take() { // what came too late
		l.apply(e)
	}
}

// load reads the memory, waiting for storage as long as it takes.
func (l *Link) load(ctx context.Context) (memory, error) {
	for n := 0; ; n++ {
		b, err := l.cfg.Memory.Load(ctx)
		if err == nil {
			return l.decode(b)
		}
		if ctx.Err() != nil {
			return memory{}, nil
		}
		l.saveFailed(err, n+1)
		l.loop.m.reason, _ = classifier.Known("storage_unavailable")
		l.publish()
		select {
		case <-time.After(doubling(time.Second, takeCap, n)):
		case <-ctx.Done():
			return memory{}, nil
		}
	}
}

// decode survives garbage: it is told, and what it said is forgotten.
func (l *Link) decode(b []byte) (memory, error) {
	m, err := decodeMemory(b, time.Now(), l.cfg.Limits)
	if err != nil && !errors.Is(err, errNewer) {
		l.cfg.Log.Error().Str(fieldAccount, l.cfg.Account).Err(err).Msg(logMemory)
		return memory{}, nil
	}
	return m, err
}

// apply lets the machine decide about an event and performs what it decides.
func (l *Link) apply(e event) {
	if !l.belongs(e) {
		return
	}
	before := l.loop.m
	m, fx := step(before, e, time.Now(), l.cfg.Rand())
	l.loop.m = m
	if m.gen != before.gen {
		l.loop.stopWork()
		l.loop.work, l.loop.stopWork = context.WithCancel(l.loop.ctx)
	}
	for _, f := range fx {
		l.perform(f, e)
	}
	if e.kind == evPoll {
		l.ramp.rested(time.Now(), m.limits.Stable)
	}
	if r, ok := faultOf(e, &l.loop.m); ok {
		l.cfg.Fault(r)
	}
	l.logChange(before)
	l.publish()
	reply(e, fx)
}

// reply answers a command once the status tells what it did.
func reply(e event, fx []effect) {
	for _, f := range fx {
		if f.does == fxAnswer && e.answer != nil {
			e.answer <- f.err
		}
	}
}

// belongs keeps what an event carries, or drops it with its event.
func (l *Link) belongs(e event) bool {
	m := &l.loop.m
	switch e.kind {
	case evLogin:
		if e.gen != m.gen || m.work != climbing {
			l.closeAside(newSession(e.session, e.gen))
			return false
		}
		l.loop.session = newSession(e.session, e.gen)
	case evPoll:
		if e.gen == m.gen {
			l.loop.batch = e.batch
		}
	}
	return true
}

// perform does one effect but fxAnswer; none of them blocks.
func (l *Link) perform(f effect, e event) {
	switch f.does {
	case fxAllow:
		l.allow()
	case fxSettle:
		l.settle(f.verdict, f.slowly)
	case fxTrip:
		l.breaker.trip(f.verdict)
	case fxClimb:
		l.spawn(func(ctx context.Context, gen uint64) { l.climb(ctx, gen, f.rung) })
	case fxPoll:
		s := l.loop.session
		l.spawn(func(ctx context.Context, gen uint64) { l.poll(ctx, gen, s, f.first) })
	case fxTake:
		s, b := l.loop.session, l.loop.batch
		l.spawn(func(ctx context.Context, gen uint64) { l.take(ctx, gen, s, b) })
	case fxProbe:
		s := l.loop.session
		l.spawn(func(ctx context.Context, gen uint64) { l.ask(ctx, gen, s, f.first) })
	case fxClose:
		l.closeSession()
	case fxLogout:
		l.leave(e)
	case fxSave:
		l.saver.put(l.loop.m.mem)
	case fxAnswer: // by reply
	}
}

// spawn runs something of the present generation.
func (l *Link) spawn(f func(ctx context.Context, gen uint64)) {
	ctx, gen := l.loop.work, l.loop.m.gen
	l.loop.wg.Go(func() { f(ctx, gen) })
}

func (l *Link) allow() {
	gen := l.loop.m.gen
	done, err := l.breaker.probe()
	if err != nil {
		l.mail.put(event{kind: evRefused, gen: gen, lasted: l.breaker.shut(time.Now())})
		return
	}
	l.loop.probe = done
	l.mail.put(event{kind: evAllowed, gen: gen})
}

// settle ends the probe. A good one closes the breaker; should it not, that is
// a loss like any other.
func (l *Link) settle(v classifier.Verdict, slowly bool) {
	done := l.loop.probe
	l.loop.probe = nil
	if done == nil {
		return
	}
	if !v.OK() {
		done(outcome{verdict: v, probe: true})
		return
	}
	l.ramp.begin(slowly, time.Now()) // before anything is let through
	done(nil)
	if !l.breaker.closed() {
		lost, _ := classifier.Known("not_logged_in")
		l.mail.put(event{kind: evOpened, verdict: lost})
	}
}
