package link

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"wechat-bridge/classifier"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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
