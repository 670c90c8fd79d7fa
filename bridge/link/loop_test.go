package link

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/classifier"
)

func TestStoredSessionConnectsWithoutAPerson(t *testing.T) {
	for name, prompt := range map[string]bool{"first poll held": false, "first poll answered": true} {
		t.Run(name, func(t *testing.T) { connectsAtOnce(t, prompt) })
	}
}

func connectsAtOnce(t *testing.T, prompt bool) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		f.prompt = prompt
		r := start(t, f, &vault{})
		if _, _, err := r.Admit(); err != ErrHeld {
			t.Errorf("Admit before the login: %v, want ErrHeld", err)
		}
		began := time.Now()
		r.until(Connected, 2*time.Second)
		if took := time.Since(began); took > 1400*time.Millisecond {
			t.Errorf("took %v", took)
		}
		if got := r.states(); !cmp.Equal(got, []State{Starting, Connecting, Connected}) {
			t.Errorf("states %v", got)
		}
		if err := r.Wait(context.Background()); err != nil {
			t.Fatal(err)
		}
		send, report, err := r.Admit()
		if err != nil || send == nil {
			t.Fatalf("Admit: %v", err)
		}
		report(classifier.Verdict{})
		if s := r.Status(); s.Sending != Flowing || s.LastSent.IsZero() || !s.Reason.OK() || s.Identity.ID != "1001" {
			t.Errorf("status %+v", s)
		}
		if f.worst != 1 || len(f.climbs) != 1 {
			t.Errorf("sessions %d, climbs %v", f.worst, f.climbs)
		}
	})
}

func TestOutageIsOneLossAndResumesTheSession(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		r := start(t, f, &vault{})
		r.until(Connected, 2*time.Second)
		pass(time.Hour)
		lines := r.log.count()
		f.set(func(f *fake) { f.down = refusedConnection() })
		s := r.until(Reconnecting, 35*time.Second)
		if s.Reason.Code != "connection_refused" || s.Sending != Held || s.RetryAt.IsZero() {
			t.Errorf("status %+v", s)
		}
		pass(10 * time.Minute)
		if d := time.Until(r.Status().RetryAt); d > time.Minute {
			t.Errorf("next try in %v", d)
		}
		f.set(func(f *fake) { f.down = nil })
		r.until(Connected, time.Minute)
		if got := r.states(); !cmp.Equal(got, []State{Starting, Connecting, Connected, Reconnecting, Connected}) {
			t.Errorf("states %v", got)
		}
		if n := r.log.count() - lines; n > 12 {
			t.Errorf("%d log lines", n)
		}
		if f.climbsOf(wechat.QR)+f.climbsOf(wechat.Push)+f.climbsOf(wechat.Stored) != 1 {
			t.Errorf("climbs %v", f.climbs)
		}
		if r.Status().Attempt == 0 {
			t.Error("attempt fell back at once")
		}
		pass(3 * time.Minute)
		if n := r.Status().Attempt; n != 0 {
			t.Errorf("attempt %d after a stable time", n)
		}
	})
}

func TestAHeldPollIsNoProofWhileNothingElseIsAnswered(t *testing.T) {
	for name, change := range map[string]func(*fake){
		"the server hangs":     func(f *fake) { f.hung = true },
		"the probe is refused": func(f *fake) { f.notify = fault(classifier.OpNotify, 3) },
		"there is no probe":    func(f *fake) { f.noProbe = true },
	} {
		bubbleless(t, name, func(t *testing.T) {
			f := newFake()
			f.login = func(context.Context, wechat.LoginRequest) error { f.set(change); return nil }
			r := start(t, f, &vault{})
			pass(20 * time.Second)
			if s := r.Status(); s.State != Connecting || s.Sending != Held {
				t.Errorf("%s, %s", s.State, s.Sending)
			}
		})
	}
}

func TestARefusalAfterTheHeldPollConnectedIsALossAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		f.hold = 10 * time.Second
		r := start(t, f, &vault{})
		r.until(Connected, 2*time.Second)
		f.set(func(f *fake) { f.after = fault(classifier.OpSyncCheck, 1101) })
		if s := r.until(Reconnecting, 11*time.Second); s.Reason.Code != "logged_out_by_phone" {
			t.Errorf("reason %+v", s.Reason)
		}
	})
}
