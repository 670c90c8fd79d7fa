package link

import (
	"context"
	"errors"
	"testing"
	"time"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/classifier"
)

func TestACodeNobodyScansIsRenewedTenTimesMoreSlowly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, v := newFake(), &vault{}
		f.stored, f.scan = false, 0
		r := start(t, f, v)
		if s := r.until(AwaitingScan, 5*time.Second); s.QRNumber != 1 || s.UserAction != ScanQR || s.Step == nil {
			t.Errorf("status %+v", s)
		}
		s := r.until(LoggedOut, 3*time.Hour)
		if s.Reason.Code != "qr_unattended" || s.UserAction != ScanQR || s.LoginsLeft != 6 {
			t.Errorf("status %+v", s)
		}
		var gaps []time.Duration
		var last time.Time
		for _, c := range f.climbs {
			if c.rung == wechat.QR {
				gaps = append(gaps, c.at.Sub(last))
				last = c.at
			}
		}
		if len(gaps) != 11 {
			t.Fatalf("%d codes, want 11", len(gaps))
		}
		for i := 2; i < len(gaps); i++ {
			if gaps[i] < gaps[i-1] {
				t.Errorf("renewal %d after %v, the one before after %v", i, gaps[i], gaps[i-1])
			}
		}
		pass(24 * time.Hour)
		if n := f.climbsOf(wechat.QR); n != 11 {
			t.Errorf("%d codes a day later", n)
		}
		f.set(func(f *fake) { f.scan = time.Second })
		if err := r.Login(context.Background(), false, ""); err != nil {
			t.Fatal(err)
		}
		r.until(Connected, time.Minute)
		if s := r.Status(); s.QRNumber != 0 || s.LoginsLeft != 5 {
			t.Errorf("status %+v", s)
		}
	})
}

// Crash after crash, with a person who scans each code and an account that
// WeChat throws out at once: the budget holds over the restarts.
func TestACrashLoopIsNoLoginLoop(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, v := newFake(), &vault{}
		f.stored = false
		f.sync = fault(classifier.OpSyncCheck, 1101)
		began := time.Now()
		for time.Since(began) < 26*time.Hour {
			r := start(t, f, v)
			pass(8 * time.Minute)
			crash(r, v)
			f.set(func(f *fake) { f.stored = false })
		}
		for i, at := range f.scanned {
			hour, day := 0, 0
			for _, other := range f.scanned[:i+1] {
				if at.Sub(other) < time.Hour {
					hour++
				}
				if at.Sub(other) < 24*time.Hour {
					day++
				}
			}
			if hour > 6 || day > 20 {
				t.Fatalf("%d logins in an hour, %d in a day", hour, day)
			}
		}
		if len(f.scanned) < 20 || len(f.scanned) > 32 {
			t.Errorf("%d logins in 26 hours", len(f.scanned))
		}
	})
}

// crash ends a link so that nothing of its orderly end is stored.
func crash(r *rig, v *vault) {
	v.mu.Lock()
	kept := v.value
	v.mu.Unlock()
	r.stop()
	v.mu.Lock()
	v.value = kept
	v.mu.Unlock()
}

func TestTheBudgetIsStoredBeforeItIsUsed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, v := newFake(), &vault{}
		f.stored = false
		f.login = func(ctx context.Context, req wechat.LoginRequest) error {
			if req.Rung == wechat.QR {
				m, err := decodeMemory(v.value, time.Now(), Limits{}.withDefaults())
				if err != nil || len(m.Logins) != 1 || m.QRNumber != 1 || m.RetryAt.IsZero() {
					t.Errorf("memory when the code is asked for: %+v, %v", m, err)
				}
			}
			return f.rung(ctx, req)
		}
		r := start(t, f, v)
		r.until(Connected, time.Minute)
	})
}

func TestNoNewLoginWhileTheMemoryCannotBeStored(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, v := newFake(), &vault{}
		f.stored = false
		v.away = true
		r := start(t, f, v)
		pass(10 * time.Minute)
		if s := r.Status(); s.State != Starting || s.Reason.Code != "storage_unavailable" || len(f.climbs) > 0 {
			t.Errorf("status %+v, climbs %v", s, f.climbs)
		}
		v.mu.Lock()
		v.away = false
		v.mu.Unlock()
		r.until(AwaitingScan, time.Minute)
		r.until(Connected, time.Minute)
		v.mu.Lock()
		v.away = true
		v.mu.Unlock()
		f.set(func(f *fake) { f.alive = false })
		pass(30 * time.Minute)
		if n := f.climbsOf(wechat.QR); n != 1 {
			t.Errorf("%d codes while the budget cannot be stored", n)
		}
		if s := r.Status(); s.State != Reconnecting || s.Reason.Code != "storage_unavailable" {
			t.Errorf("status %+v", s)
		}
	})
}

func TestDNSTroubleAtAPushCostsNoLogin(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		f.stored = false
		f.login = func(ctx context.Context, req wechat.LoginRequest) error {
			if req.Rung == wechat.Stored {
				return wechat.ErrNoRung
			}
			return refusedConnection()
		}
		r := start(t, f, &vault{})
		pass(time.Hour)
		if s := r.Status(); s.LoginsLeft != 6 || f.climbsOf(wechat.QR) != 0 || f.climbsOf(wechat.Push) < 10 {
			t.Errorf("%d left, climbs %v", s.LoginsLeft, f.climbs)
		}
	})
}

func TestBackOffOutlivesACrash(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, v := newFake(), &vault{}
		f.down = refusedConnection()
		r := start(t, f, v)
		pass(10 * time.Minute)
		at := r.Status().Attempt
		crash(r, v)
		before, retryAt := len(f.climbs), r.Status().RetryAt
		if retryAt.IsZero() || !retryAt.After(time.Now()) {
			m, _ := decodeMemory(v.value, time.Now(), Limits{}.withDefaults())
			retryAt = m.RetryAt
		}
		r = start(t, f, v)
		pass(2 * time.Minute)
		if s := r.Status(); s.Attempt < at || len(f.climbs) == before || f.climbs[before].at.Before(retryAt) {
			t.Errorf("attempt %d after %d, tries %v, want none before %v", s.Attempt, at, f.climbs[before:], retryAt)
		}
	})
}

func TestACodeThatWasNeverShownIsNotCounted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		f.stored = false
		f.login = func(ctx context.Context, req wechat.LoginRequest) error {
			if req.Rung != wechat.QR {
				return wechat.ErrNoRung
			}
			return refusedConnection()
		}
		r := start(t, f, &vault{})
		pass(3 * time.Hour)
		if s := r.Status(); s.State == LoggedOut || s.QRNumber > 1 || f.climbsOf(wechat.QR) < 50 {
			t.Errorf("status %+v", s)
		}
	})
}

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
		r.Resume()
		pass(time.Second)
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
		r.Pause()
		pass(time.Second)
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
		r.Resume()
		if err := <-waited; err != nil {
			t.Fatal(err)
		}
	})
}

func TestStorageAwayIsNoLossOfWeChat(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		r := start(t, f, &vault{})
		r.until(Connected, 2*time.Second)
		r.sink.mu.Lock()
		r.sink.away = true
		r.sink.mu.Unlock()
		f.set(func(f *fake) {
			f.batches = []wechat.Batch{{Cursor: wechat.Cursor("1"), Events: make([]wechat.Event, 3)}}
		})
		pass(20 * time.Minute)
		if s := r.Status(); s.State != Connected || s.Reason.Code != "storage_unavailable" || s.Sending != Flowing {
			t.Errorf("status %+v", s)
		}
		if f.probes < 20 || time.Since(r.Status().LastPulse) > 40*time.Second {
			t.Errorf("%d probes, last pulse %v ago: nobody knows whether WeChat is there", f.probes, time.Since(r.Status().LastPulse))
		}
		r.sink.mu.Lock()
		r.sink.away = false
		r.sink.mu.Unlock()
		pass(time.Minute)
		if s := r.Status(); !s.Reason.OK() || len(r.sink.taken) != 1 || len(r.sink.taken[0].Events) != 3 {
			t.Errorf("status %+v, taken %v", s, r.sink.taken)
		}
		f.set(func(f *fake) { f.alive = true })
	})
}

func TestASlowSinkIsNoSilence(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		f.noProbe, f.prompt = true, true
		r := start(t, f, &vault{})
		r.until(Connected, 2*time.Second)
		r.sink.mu.Lock()
		r.sink.slow = 10 * time.Minute
		r.sink.mu.Unlock()
		f.set(func(f *fake) { f.batches = []wechat.Batch{{Cursor: wechat.Cursor("1")}} })
		pass(12 * time.Minute)
		if s := r.Status(); s.State != Connected || len(r.sink.taken) != 1 {
			t.Errorf("state %s, taken %d", s.State, len(r.sink.taken))
		}
	})
}

func TestALossWhileTheSinkWorksIsSeen(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		r := start(t, f, &vault{})
		r.until(Connected, 2*time.Second)
		r.sink.mu.Lock()
		r.sink.slow = time.Hour
		r.sink.mu.Unlock()
		f.set(func(f *fake) { f.batches = []wechat.Batch{{Cursor: wechat.Cursor("1")}} })
		pass(time.Minute)
		f.set(func(f *fake) { f.down = refusedConnection() })
		r.until(Reconnecting, 3*time.Minute)
		f.set(func(f *fake) { f.down = nil })
		r.sink.mu.Lock()
		r.sink.slow = 0
		r.sink.mu.Unlock()
		r.until(Connected, 2*time.Minute)
		pass(time.Second)
		if len(r.sink.taken) != 1 {
			t.Errorf("taken %d times, want the batch again and once", len(r.sink.taken))
		}
	})
}

func TestAServerThatDoesNotHoldIsPolledGently(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		f.hold = 0
		r := start(t, f, &vault{})
		r.until(Connected, 2*time.Second)
		pass(10 * time.Minute)
		if f.polls > 200 {
			t.Errorf("%d polls in ten minutes", f.polls)
		}
	})
}

func TestAStormOfFaultsIsAFewLines(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		r := start(t, f, &vault{})
		r.until(Connected, 2*time.Second)
		before := r.log.count()
		v := classifier.Judge(fault(classifier.OpSend, -1))
		for range 30_000 {
			_, report, err := r.Admit()
			if err != nil {
				t.Fatal(err)
			}
			report(v)
		}
		pass(time.Second)
		if n := r.log.count() - before; n > 20 {
			t.Errorf("%d lines", n)
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
