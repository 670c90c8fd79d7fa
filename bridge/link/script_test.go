package link

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/classifier"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// breaks are what a script may do to the fake.
var breaks = []func(*fake){
	func(f *fake) { f.down = refusedConnection() },
	func(f *fake) { f.sync = fault(classifier.OpSync, 3) },
	func(f *fake) { f.sync = fault(classifier.OpSync, 1205) },
	func(f *fake) { f.sync = fault(classifier.OpSync, 4711) },
	func(f *fake) { f.notify = fault(classifier.OpNotify, 3) },
	func(f *fake) { f.hung = true },
	func(f *fake) { f.alive = false },
	func(f *fake) { f.stored = false },
	func(f *fake) { f.scan = 0 },
	func(f *fake) { f.down = errors.New("something nobody knows") },
	func(f *fake) {
		f.batches = append(f.batches, wechat.Batch{Cursor: wechat.Cursor{byte(len(f.batches))}})
	},
	mend, mend, mend,
}

func mend(f *fake) { f.down, f.sync, f.notify, f.hung, f.scan = nil, nil, nil, false, time.Second }

// The real loop, real breaker and real goroutines under random scripts; after
// the faults are lifted it is connected again, or waits for a person.
func TestPropertyScripts(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		seed := rapid.SliceOfN(rapid.IntRange(0, len(breaks)+3), 1, 25).Draw(rt, "script")
		gaps := rapid.SliceOfN(rapid.IntRange(0, 400), len(seed), len(seed)).Draw(rt, "seconds")
		synctest.Test(t, func(t *testing.T) { playScript(t, rt, seed, gaps) })
	})
}

func playScript(t *testing.T, rt *rapid.T, script, gaps []int) {
	f, v := newFake(), &vault{}
	r := start(t, f, v)
	for i, n := range script {
		switch {
		case n < len(breaks):
			f.set(breaks[n])
		case n == len(breaks):
			crash(r, v)
			r = start(t, f, v)
		case n == len(breaks)+1:
			_ = r.Login(context.Background(), gaps[i]%2 == 0, "")
		case n == len(breaks)+2:
			_ = r.Logout(context.Background())
		default:
			if _, report, err := r.Admit(); err == nil {
				report(netLost)
			}
		}
		pass(time.Duration(gaps[i]) * time.Second)
	}
	f.set(mend)
	s := r.Status()
	for range 26 { // hours: until then the day's budget is free again
		if s = r.Status(); s.State == Connected || s.State == LoggedOut || s.State == Blocked {
			break
		}
		pass(time.Hour)
	}
	if s.State != Connected && s.State != LoggedOut && s.State != Blocked {
		rt.Errorf("state %s (%s) a day after the faults", s.State, s.Reason.Code)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.worst > 1 {
		rt.Errorf("%d sessions open at a time", f.worst)
	}
	for i := range f.scanned {
		if i >= 6 && f.scanned[i].Sub(f.scanned[i-6]) < time.Hour {
			rt.Errorf("7 logins in %v", f.scanned[i].Sub(f.scanned[i-6]))
		}
	}
}

// Start and stop at any moment, in real time, with senders at work: nothing
// hangs, races or is left behind.
func TestStressStartAndStop(t *testing.T) {
	for i := range 60 {
		f := newFake()
		f.hold = time.Millisecond
		l, err := New(Config{
			Account: "default", Transport: f, Memory: &vault{}, Sink: &sink{},
			Log: zerolog.Nop(), Rand: func() float64 { return 0 },
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- l.Run(ctx) }()
		var running atomic.Int32
		for range 4 {
			running.Add(1)
			go func() { defer running.Add(-1); hammer(ctx, l) }()
		}
		<-time.After(time.Duration(i%20) * 3 * time.Millisecond)
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		for running.Load() > 0 {
			<-time.After(time.Millisecond)
		}
		if l.Status().State != Stopped {
			t.Fatalf("state %s", l.Status().State)
		}
	}
}

// hammer sends, commands and looks until ctx ends.
func hammer(ctx context.Context, l *Link) {
	for n := 0; ctx.Err() == nil; n++ {
		if _, report, err := l.Admit(); err == nil {
			report([]classifier.Verdict{{}, netLost, tooOften, sessOver}[n%4])
		}
		switch n % 50 {
		case 10:
			_ = l.Pause(ctx)
		case 20:
			_ = l.Resume(ctx)
		case 30:
			_ = l.Login(ctx, true, "")
		}
		_ = l.Status()
		<-time.After(100 * time.Microsecond)
	}
}

func TestRunTwiceIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, newFake(), &vault{})
		r.until(Connected, 2*time.Second)
		if err := r.Run(context.Background()); err == nil {
			t.Error("a second Run was taken")
		}
	})
}

func TestNewNeedsItsParts(t *testing.T) {
	if _, err := New(Config{}); err == nil {
		t.Error("an empty configuration was taken")
	}
}

func TestAMemoryOfANewerProgramIsRefused(t *testing.T) {
	l, err := New(Config{
		Account: "default", Transport: newFake(), Memory: &vault{value: []byte(`{"version":2}`)}, Sink: &sink{},
		Log: zerolog.Nop(), Rand: func() float64 { return 0 },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Run(t.Context()); !errors.Is(err, errNewer) {
		t.Errorf("Run: %v", err)
	}
}
