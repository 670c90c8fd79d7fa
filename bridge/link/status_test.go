package link

import (
	"testing"
	"time"

	"wechat-bridge/bridge/wechat"
)

func TestPauseIsShownBeforeTheRampAndTheRampBeforeSlowed(t *testing.T) {
	now := t0
	s := Status{Breaker: BreakerStatus{State: "closed"}, Ramp: RampStatus{Window: 2, Top: 8}, SlowedUntil: now.Add(time.Minute)}
	if got := sending(s, now); got != Ramping {
		t.Errorf("%s", got)
	}
	s.PausedByUser = true
	if got := sending(s, now); got != Paused {
		t.Errorf("%s", got)
	}
	s.Breaker.State = "half-open"
	if got := sending(s, now); got != Held {
		t.Errorf("%s", got)
	}
	if got := sending(Status{Breaker: BreakerStatus{State: "closed"}, SlowedUntil: now.Add(time.Minute)}, now); got != Slowed {
		t.Errorf("%s", got)
	}
}

func TestTheBreakersReasonAndTimeAreShown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		r := start(t, f, &vault{})
		r.until(Connected, 2*time.Second)
		closedAt := time.Now()
		if b := r.Status().Breaker; b.State != "closed" || !b.Reason.OK() || closedAt.Sub(b.Since) > 2*time.Second {
			t.Errorf("%+v", b)
		}
		pass(time.Minute)
		f.set(func(f *fake) { f.down = refusedConnection() })
		r.until(Reconnecting, time.Minute)
		if b := r.Status().Breaker; b.State != "open" || b.Reason.Code != "connection_refused" || time.Since(b.Since) > time.Second {
			t.Errorf("%+v", b)
		}
		f.set(func(f *fake) { f.down = nil; f.alive = false })
		r.until(AwaitingScan, 2*time.Minute)
		if s := r.Status(); s.Breaker.State != "half-open" || s.Breaker.Reason.OK() {
			t.Errorf("%+v", s.Breaker)
		}
	})
}

func TestWhenTheNextLoginIsFreeIsShown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		r := start(t, f, &vault{})
		r.until(Connected, 2*time.Second)
		if s := r.Status(); s.LoginsLeft != 6 || !s.LoginFreeAt.IsZero() {
			t.Errorf("%d left, free at %v", s.LoginsLeft, s.LoginFreeAt)
		}
		for range 6 {
			if err := r.Login(t.Context(), true, ""); err != nil {
				t.Fatal(err)
			}
			r.until(Connected, time.Minute)
		}
		first := f.scanned[0]
		if s := r.Status(); s.LoginsLeft != 0 || first.Add(time.Hour).Sub(s.LoginFreeAt).Abs() > 10*time.Second {
			t.Errorf("%d left, free at %v, first at %v", s.LoginsLeft, s.LoginFreeAt, first)
		}
		if f.climbsOf(wechat.QR) != 6 {
			t.Errorf("climbs %v", f.climbs)
		}
	})
}
