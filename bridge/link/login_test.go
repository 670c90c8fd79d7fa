package link

import (
	"context"
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
		for time.Until(r.Status().RetryAt) < 20*time.Second {
			pass(100 * time.Millisecond)
		}
		planned, tries := r.Status(), len(f.climbs)
		crash(r, v)
		r = start(t, f, v)
		pass(2 * time.Minute)
		if s := r.Status(); s.Attempt < planned.Attempt || len(f.climbs) == tries || f.climbs[tries].at.Before(planned.RetryAt) {
			t.Errorf("attempt %d after %d, tries %v, want none before %v", s.Attempt, planned.Attempt, f.climbs[tries:], planned.RetryAt)
		}
	})
}

func TestALoginThatIgnoresItsContextIsNotOvertaken(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		f.hung, f.deaf = true, true
		r := start(t, f, &vault{})
		pass(10 * time.Second)
		if err := r.Login(t.Context(), true, ""); err != nil {
			t.Fatal(err)
		}
		pass(5 * time.Minute)
		if len(f.climbs) != 1 {
			t.Errorf("climbs %v while the first still runs", f.climbs)
		}
		f.set(func(f *fake) { f.hung = false; close(f.released) })
		r.until(Connected, 20*time.Minute)
		if f.busiest != 1 || f.worst != 1 {
			t.Errorf("%d logins, %d sessions at a time", f.busiest, f.worst)
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

func TestAUsedBudgetIsShownAndWaitedFor(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		f.stored = false
		f.sync = fault(classifier.OpSyncCheck, 1101) // each login is thrown out at once
		f.login = func(ctx context.Context, req wechat.LoginRequest) error {
			if req.Rung != wechat.QR {
				return wechat.ErrNoRung
			}
			return f.rung(ctx, req)
		}
		r := start(t, f, &vault{})
		pass(50 * time.Minute)
		s := r.Status()
		if len(f.scanned) != 6 || s.Reason.Code != "login_budget_used" || s.UserAction != JustWait || s.LoginsLeft != 0 {
			t.Errorf("%d logins, status %+v", len(f.scanned), s)
		}
		if at := f.scanned[0].Add(time.Hour); s.RetryAt.After(at.Add(time.Minute)) || s.RetryAt.Before(at.Add(-time.Minute)) {
			t.Errorf("next try %v, the first login is an hour old at %v", s.RetryAt, at)
		}
		f.set(func(f *fake) { f.sync = nil })
		r.until(Connected, 15*time.Minute)
	})
}
