package link

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/classifier"
)

func throttledFor(op classifier.Operation, wait time.Duration) *classifier.Fault {
	f := fault(op, 1205)
	f.Wait = wait
	return f
}

func TestSpacingGrowsWithEachTooOftenAndShrinksSlowly(t *testing.T) {
	var s spacing
	var got []time.Duration
	now := t0
	tell := func() {
		got = append(got, s.free(now))
		now = now.Add(time.Hour)
		s.last = now
	}
	for range 6 {
		s.throttled(tooOften, now)
		tell()
	}
	for range 7 {
		s.good()
		tell()
	}
	sec := time.Second
	want := []time.Duration{5 * sec, 10 * sec, 20 * sec, 40 * sec, 60 * sec, 60 * sec, // each after an answer
		60 * sec, 40 * sec, 20 * sec, 10 * sec, 5 * sec}
	if !cmp.Equal(got[:11], want) || got[11] > 0 || got[12] > 0 {
		t.Errorf("%v, want %v and nothing after", got, want)
	}
}

func TestAToldWaitWinsOverTheSpacingWithinBounds(t *testing.T) {
	for told, want := range map[time.Duration]time.Duration{
		time.Second: time.Second, 7 * time.Minute: 7 * time.Minute, -time.Second: slowBase, 0: slowBase,
		10 * 365 * 24 * time.Hour: maxTold, -1 << 63: slowBase, 1<<63 - 1: maxTold,
	} {
		var s spacing
		s.last = t0
		s.throttled(classifier.Verdict{Class: classifier.RateLimited, Wait: told}, t0)
		if s.until.Sub(t0) != want {
			t.Errorf("told %v: %v, want %v", told, s.until.Sub(t0), want)
		}
	}
}

// WeChat says "too often" to one kind of request: that kind is made less often,
// the others go on, and the session is kept.
func TestTooOftenToPollsComesBackSlowly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		r := start(t, f, &vault{})
		r.until(Connected, 2*time.Second)
		f.set(func(f *fake) { f.sync = throttledFor(classifier.OpSyncCheck, 0) })
		pass(5 * time.Minute)
		f.set(func(f *fake) { f.sync, f.polls, f.hold = nil, 0, 200*time.Millisecond })
		pass(2 * time.Minute)
		if n := f.count(&f.polls); n > 10 { // a quiet server that does not hold would take hundreds
			t.Errorf("%d polls in the first two minutes", n)
		}
		pass(3 * time.Minute)
		f.set(func(f *fake) { f.polls = 0 })
		pass(time.Minute)
		if n := f.count(&f.polls); n < 200 || len(f.climbs) != 1 {
			t.Errorf("%d polls in a minute later, climbs %v", n, f.climbs)
		}
	})
}

// An hour without polls is told by the server; the cheap request says meanwhile
// whether it is still there.
func TestAConnectionThatMayNotPollIsProbed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		r := start(t, f, &vault{})
		r.until(Connected, 2*time.Second)
		f.set(func(f *fake) { f.sync = throttledFor(classifier.OpSyncCheck, 40*time.Minute) })
		pass(time.Minute)
		f.set(func(f *fake) { f.polls = 0 })
		for range 30 {
			pass(time.Minute)
			if s := r.Status(); s.State != Connected || time.Since(s.LastPulse) > s.Silence+5*time.Second {
				t.Fatalf("%s, last pulse %v ago", s.State, time.Since(s.LastPulse))
			}
		}
		if f.polls > 0 {
			t.Errorf("%d polls within the wait", f.polls)
		}
		f.set(func(f *fake) { f.down = refusedConnection() })
		r.until(Reconnecting, 3*time.Minute)
	})
}

func TestTooOftenToTheProbeIsNoDoubt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		r := start(t, f, &vault{})
		r.until(Connected, 2*time.Second)
		f.set(func(f *fake) {
			f.sync, f.notify, f.probes = fault(classifier.OpSync, 3), throttledFor(classifier.OpNotify, 0), 0
		})
		pass(10 * time.Minute)
		if s := r.Status(); s.State != Connected || len(f.climbs) != 1 {
			t.Errorf("%s, climbs %v", s.State, f.climbs)
		}
		if f.probes > 15 {
			t.Errorf("%d probes in ten minutes", f.probes)
		}
	})
}

func TestTooOftenToTheFirstPollKeepsTheNewSession(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		f.sync = throttledFor(classifier.OpSyncCheck, 0)
		r := start(t, f, &vault{})
		pass(5 * time.Minute)
		if s := r.Status(); s.State != Connecting || len(f.climbs) != 1 || f.polls > 10 {
			t.Errorf("%s, climbs %v, %d polls", s.State, f.climbs, f.polls)
		}
		f.set(func(f *fake) { f.sync = nil })
		r.until(Connected, 2*time.Minute)
		if len(f.climbs) != 1 || f.worst != 1 {
			t.Errorf("climbs %v", f.climbs)
		}
	})
}

func TestTooOftenToLoginsIsTriedSlowlyAndClimbsNowhere(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		f.login = func(context.Context, wechat.LoginRequest) error { return throttledFor(classifier.OpInit, 0) }
		r := start(t, f, &vault{})
		pass(30 * time.Minute)
		if n := len(f.climbs); n > 14 || n != f.climbsOf(wechat.Stored) {
			t.Errorf("climbs %v", f.climbs)
		}
		if s := r.Status(); s.State != Connecting || s.LoginsLeft != 6 {
			t.Errorf("%+v", s)
		}
		f.set(func(f *fake) { f.login = nil })
		r.until(Connected, 6*time.Minute)
	})
}
