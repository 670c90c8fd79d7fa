package link

import (
	"context"
	"errors"
	"testing"
	"time"

	"wechat-bridge/bridge/wechat"
)

func TestLogoutStaysUntilLogin(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, v := newFake(), &vault{}
		r := start(t, f, v)
		r.until(Connected, 2*time.Second)
		if err := r.Logout(t.Context()); err != nil {
			t.Fatal(err)
		}
		s := r.until(LoggedOut, time.Second)
		if s.Reason.Code != "logged_out" || s.Sending != Held || f.alive || f.stored || f.open != 0 {
			t.Errorf("status %+v, alive %v, stored %v, open %d", s, f.alive, f.stored, f.open)
		}
		pass(time.Hour)
		r.stop()
		r = start(t, f, v)
		pass(time.Hour)
		r.until(LoggedOut, time.Second)
		if len(f.climbs) != 1 {
			t.Errorf("climbs %v", f.climbs)
		}
		if err := r.Login(t.Context(), false, ""); err != nil {
			t.Fatal(err)
		}
		r.until(Connected, time.Minute)
		if f.climbsOf(wechat.QR) != 1 {
			t.Errorf("climbs %v", f.climbs)
		}
	})
}

func TestLoginWhileConnectedNeedsForce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		r := start(t, f, &vault{})
		r.until(Connected, 2*time.Second)
		if err := r.Login(t.Context(), false, ""); err != ErrLoggedIn {
			t.Errorf("%v, want ErrLoggedIn", err)
		}
		if err := r.Login(t.Context(), true, ""); err != nil {
			t.Fatal(err)
		}
		r.until(AwaitingScan, 5*time.Second)
		r.until(Connected, time.Minute)
		for range 5 {
			if err := r.Login(t.Context(), true, ""); err != nil {
				t.Fatal(err)
			}
			r.until(Connected, time.Minute)
		}
		if err := r.Login(t.Context(), true, ""); err != ErrBudget {
			t.Errorf("%v, want ErrBudget", err)
		}
		if s := r.Status(); s.State != Connected || f.worst != 1 {
			t.Errorf("state %s, sessions %d: a refused command changes nothing", s.State, f.worst)
		}
	})
}

func TestANewCodeReplacesTheOneShown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		f.stored, f.scan = false, 0
		r := start(t, f, &vault{})
		r.until(AwaitingScan, 5*time.Second)
		pass(time.Minute)
		for range 10 { // codes that nobody scanned cost nothing
			n := f.climbsOf(wechat.QR)
			if err := r.Login(t.Context(), false, ""); err != nil {
				t.Fatal(err)
			}
			pass(3 * time.Second)
			if s := r.Status(); s.State != AwaitingScan || s.Step == nil || s.QRNumber != 1 || s.LoginsLeft != 5 || f.climbsOf(wechat.QR) != n+1 {
				t.Fatalf("status %+v, %d codes", s, f.climbsOf(wechat.QR)-n)
			}
		}
		if f.busiest != 1 {
			t.Errorf("%d logins at a time", f.busiest)
		}
	})
}

func TestDigitsReachTheLoginThatWaitsForThem(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		f.stored = false
		got := make(chan string, 1)
		f.login = func(ctx context.Context, req wechat.LoginRequest) error {
			if req.Rung != wechat.QR {
				return wechat.ErrNoRung
			}
			req.Step(wechat.LoginStep{Kind: wechat.StepCode})
			select {
			case c := <-req.Code:
				got <- c
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		r := start(t, f, &vault{})
		if err := r.Login(t.Context(), false, "1234"); err != ErrNoCode {
			t.Errorf("%v, want ErrNoCode", err)
		}
		if s := r.until(AwaitingCode, 5*time.Second); s.UserAction != EnterCode {
			t.Errorf("status %+v", s)
		}
		if err := r.Login(t.Context(), false, "1234"); err != nil {
			t.Fatal(err)
		}
		r.until(Connected, 5*time.Second)
		if c := <-got; c != "1234" {
			t.Errorf("got %q", c)
		}
	})
}

func TestAnotherIdentityHoldsSendsUntilAgreed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, v := newFake(), &vault{}
		r := start(t, f, v)
		r.until(Connected, 2*time.Second)
		f.set(func(f *fake) { f.id = "2002" })
		if err := r.Login(t.Context(), true, ""); err != nil {
			t.Fatal(err)
		}
		check := func() {
			t.Helper()
			s := r.until(Connected, time.Minute)
			if s.Sending != Paused || !s.IdentityChanged || s.Reason.Code != "identity_changed" || s.Identity.ID != "2002" {
				t.Errorf("status %+v", s)
			}
			if _, _, err := r.Admit(); err != ErrPaused {
				t.Errorf("Admit: %v, want ErrPaused", err)
			}
		}
		check()
		crash(r, v)
		r = start(t, f, v) // a crash does not make it forget whose backlog it is
		check()
		if err := r.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s := r.Status(); s.Sending != Flowing || !s.Reason.OK() {
			t.Errorf("status %+v", s)
		}
		r.stop()
		r = start(t, f, v)
		if s := r.until(Connected, 2*time.Second); s.Sending != Flowing {
			t.Errorf("sending %s after a restart", s.Sending)
		}
	})
}

func TestPauseOutlivesARestart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, v := newFake(), &vault{}
		r := start(t, f, v)
		r.until(Connected, 2*time.Second)
		if err := r.Pause(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s := r.Status(); s.Sending != Paused || s.State != Connected || s.Breaker.State != "closed" {
			t.Errorf("status %+v", s)
		}
		r.stop()
		r = start(t, f, v)
		r.until(Connected, 2*time.Second)
		waited := make(chan error, 1)
		go func() { waited <- r.Wait(context.Background()) }()
		pass(time.Minute)
		select {
		case err := <-waited:
			t.Fatalf("Wait returned while paused: %v", err)
		default:
		}
		if err := r.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-waited; err != nil {
			t.Fatal(err)
		}
	})
}

func TestStopEndsEveryState(t *testing.T) {
	ways := map[string]func(*fake){
		"starting":   func(*fake) {},
		"down":       func(f *fake) { f.down = refusedConnection() },
		"hung":       func(f *fake) { f.hung = true },
		"unattended": func(f *fake) { f.stored, f.scan = false, 0 },
		"expired":    func(f *fake) { f.alive = false },
	}
	for name, change := range ways {
		for _, after := range []time.Duration{0, time.Second, 1060 * time.Millisecond, 3 * time.Second, 20 * time.Minute} {
			bubbleless(t, name+" "+after.String(), func(t *testing.T) {
				f := newFake()
				change(f)
				r := start(t, f, &vault{})
				pass(after)
				r.stop()
				if s := r.Status(); s.State != Stopped || s.Sending != Held {
					t.Errorf("status %+v", s)
				}
				if f.open != 0 {
					t.Errorf("%d sessions open", f.open)
				}
				if err := r.Login(t.Context(), true, ""); err != ErrStopped {
					t.Errorf("Login: %v", err)
				}
				if err := r.Wait(t.Context()); !errors.Is(err, ErrStopped) {
					t.Errorf("Wait: %v", err)
				}
			})
		}
	}
}
