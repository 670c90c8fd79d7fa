package link

import (
	"context"
	"testing"
	"time"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/classifier"
)

func TestSilenceIsALossThoughTheSocketIsOpen(t *testing.T) {
	for name, deaf := range map[string]bool{"cancellable": false, "deaf": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f := newFake()
				r := start(t, f, &vault{})
				r.until(Connected, 2*time.Second)
				pass(time.Minute)
				hangAt := time.Now()
				f.set(func(f *fake) { f.hung, f.deaf = true, deaf })
				s := r.until(Reconnecting, 70*time.Second)
				if s.Reason.Code != "no_pulse" || s.Sending != Held {
					t.Errorf("status %+v", s)
				}
				if d := time.Since(s.LastPulse); d > 38*time.Second {
					t.Errorf("noticed %v after the last pulse, %v after the hang", d, time.Since(hangAt))
				}
				f.set(func(f *fake) { f.hung = false; close(f.released) })
				r.until(Connected, time.Minute)
				if f.probes == 0 {
					t.Error("the silent session was not examined")
				}
				if f.climbsOf(wechat.Resume) == 0 || f.climbsOf(wechat.QR) > 0 || f.worst > 1 {
					t.Errorf("climbs %v, sessions %d", f.climbs, f.worst)
				}
			})
		})
	}
}

func TestASessionThatEndedInSilenceIsNotResumed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		r := start(t, f, &vault{})
		r.until(Connected, 2*time.Second)
		f.set(func(f *fake) { f.hung = true })
		r.until(Reconnecting, 70*time.Second)
		f.set(func(f *fake) { f.hung, f.alive = false, false })
		r.until(AwaitingScan, 20*time.Second)
		if f.climbsOf(wechat.Resume) != 0 || f.climbsOf(wechat.Stored) != 2 || f.climbsOf(wechat.Push) != 1 {
			t.Errorf("climbs %v: the probe had said 1101", f.climbs)
		}
	})
}

// A bot that logged out on Ret 3 lost a session that was still valid.
func TestRet3AloneNeverCostsTheSession(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		r := start(t, f, &vault{})
		r.until(Connected, 2*time.Second)
		pass(30 * time.Second)
		f.set(func(f *fake) { f.sync = fault(classifier.OpSync, 3); f.polls, f.probes = 0, 0 })
		pass(10 * time.Minute)
		s := r.Status()
		if s.State != Connected || s.Sending != Flowing || s.Reason.Code != "session_doubtful" {
			t.Errorf("%s %s %s: WeChat still takes sends", s.State, s.Sending, s.Reason.Code)
		}
		if n := f.polls + f.probes; n > 120 {
			t.Errorf("%d requests in ten minutes", n)
		}
		f.set(func(f *fake) { f.sync = nil })
		pass(time.Minute)
		if s := r.Status(); s.State != Connected || !s.Reason.OK() {
			t.Errorf("%s %s", s.State, s.Reason.Code)
		}
		if len(f.climbs) != 1 {
			t.Errorf("climbs %v", f.climbs)
		}
	})
}

func TestRet3EverywhereResumesAndNeverLogsInAnew(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		r := start(t, f, &vault{})
		r.until(Connected, 2*time.Second)
		f.set(func(f *fake) { f.sync, f.notify = fault(classifier.OpSync, 3), fault(classifier.OpNotify, 3) })
		r.until(Reconnecting, time.Minute)
		pass(10 * time.Minute)
		f.set(func(f *fake) { f.sync, f.notify = nil, nil })
		r.until(Connected, 2*time.Minute)
		if f.climbsOf(wechat.Push)+f.climbsOf(wechat.QR) != 0 {
			t.Errorf("climbs %v", f.climbs)
		}
	})
}

func TestTooOftenKeepsTheSessionAndSlowsDown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		r := start(t, f, &vault{})
		r.until(Connected, 2*time.Second)
		f.set(func(f *fake) { f.sync = fault(classifier.OpSync, 1205); f.polls, f.probes = 0, 0 })
		pass(5 * time.Minute)
		if s := r.Status(); s.State != Connected || s.Sending != Slowed || len(f.climbs) != 1 {
			t.Errorf("%s %s climbs %v", s.State, s.Sending, f.climbs)
		}
		if f.polls > 10 || f.probes > 5 { // a probe where the next poll is later than the silence
			t.Errorf("%d polls, %d probes", f.polls, f.probes)
		}
		f.set(func(f *fake) { f.sync = nil })
		pass(3 * time.Minute)
		if s := r.Status(); s.Sending != Flowing || !s.Reason.OK() {
			t.Errorf("%s %s", s.Sending, s.Reason.Code)
		}
	})
}

func TestUnknownAnswersAreALossInTheEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		r := start(t, f, &vault{})
		r.until(Connected, 2*time.Second)
		f.set(func(f *fake) { f.sync, f.notify = fault(classifier.OpSync, 4711), fault(classifier.OpNotify, 4711) })
		if s := r.until(Reconnecting, 2*time.Minute); s.Reason.Class != classifier.Unknown {
			t.Errorf("reason %+v", s.Reason)
		}
		f.set(func(f *fake) { f.sync, f.notify = nil, nil })
		r.until(Connected, 2*time.Minute)
	})
}

func TestLogoutFromThePhoneOffersPushThenACode(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		pushed := make(chan struct{})
		f.login = func(ctx context.Context, req wechat.LoginRequest) error {
			if req.Rung != wechat.Push {
				return f.rung(ctx, req)
			}
			req.Step(wechat.LoginStep{Kind: wechat.StepConfirm})
			select {
			case <-pushed:
				return nil
			case <-time.After(4 * time.Minute):
				return fault(classifier.OpCheckLogin, 400)
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		r := start(t, f, &vault{})
		r.until(Connected, 2*time.Second)
		f.set(func(f *fake) { f.alive = false })
		s := r.until(AwaitingConfirm, 40*time.Second)
		if s.UserAction != ConfirmOnPhone || s.LoginsLeft != 5 || s.Reason.Code != "logged_out_by_phone" {
			t.Errorf("status %+v", s)
		}
		if s := r.until(AwaitingScan, 5*time.Minute); s.UserAction != ScanQR || s.QRNumber != 1 || s.Step.QRText == "" {
			t.Errorf("status %+v", s)
		}
		r.until(Connected, time.Minute)
		if left := r.Status().LoginsLeft; left != 4 {
			t.Errorf("%d logins left, want 4: a prompt and a scan", left)
		}
	})
}

func TestFlappingIsOneSlowSeries(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		r := start(t, f, &vault{})
		r.until(Connected, 2*time.Second)
		f.set(func(f *fake) { f.climbs = nil })
		for range 30 { // it comes back for ten seconds each time
			f.set(func(f *fake) { f.down = refusedConnection() })
			r.until(Reconnecting, time.Minute)
			f.set(func(f *fake) { f.down = nil })
			r.until(Connected, 2*time.Minute)
			pass(10 * time.Second)
		}
		if n := len(f.climbs); n != 30 {
			t.Errorf("%d climbs", n)
		}
		if took := f.climbs[29].at.Sub(f.climbs[20].at); took < 5*time.Minute {
			t.Errorf("ten late losses took %v: the back-off fell back", took)
		}
	})
}

func TestAWaitToldByTheServerWins(t *testing.T) {
	for _, tc := range []struct{ told, min, max time.Duration }{
		{7 * time.Minute, 7 * time.Minute, 7*time.Minute + time.Second},
		{-time.Second, 0, 5 * time.Second},
		{10 * 365 * 24 * time.Hour, time.Hour, time.Hour + time.Second},
	} {
		bubbleless(t, tc.told.String(), func(t *testing.T) {
			f := newFake()
			busy := fault(classifier.OpInit, 1205)
			busy.Wait = tc.told
			f.down = busy
			r := start(t, f, &vault{})
			pass(1500 * time.Millisecond)
			f.set(func(f *fake) { f.down = nil })
			began := time.Now()
			r.until(Connected, 2*time.Hour)
			if d := time.Since(began); d < tc.min-2*time.Second || d > tc.max {
				t.Errorf("connected after %v", d)
			}
		})
	}
}

func bubbleless(t *testing.T, name string, f func(*testing.T)) {
	t.Run(name, func(t *testing.T) { bubble(t, f) })
}

func TestRestrictedAccountIsBlockedUntilForced(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, v := newFake(), &vault{}
		f.stored = false
		restricted := fault(classifier.OpSyncCheck, 1102)
		restricted.SinceLogin, restricted.CookiesComplete = 3*time.Second, true
		f.sync = restricted
		r := start(t, f, v)
		s := r.until(Blocked, time.Minute)
		if s.Reason.Code != "restricted_account" || s.UserAction != OpenPhone || s.Sending != Held || !s.RetryAt.IsZero() {
			t.Errorf("status %+v", s)
		}
		pass(24 * time.Hour)
		if n := f.climbsOf(wechat.QR); n != 1 {
			t.Errorf("%d codes", n)
		}
		r.stop()

		r = start(t, f, v) // a restart changes nothing
		if s := r.until(Blocked, time.Second); s.Reason.Code != "restricted_account" {
			t.Errorf("status %+v", s)
		}
		if err := r.Login(t.Context(), false, ""); err != ErrBlocked {
			t.Errorf("Login: %v, want ErrBlocked", err)
		}
		pass(time.Hour)
		f.set(func(f *fake) { f.sync = nil })
		if err := r.Login(t.Context(), true, ""); err != nil {
			t.Fatal(err)
		}
		r.until(Connected, time.Minute)
		r.stop()
		r = start(t, f, v)
		r.until(Connected, 3*time.Second)
	})
}

func TestAnAgedSession1102IsNoRestriction(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		f.scan = time.Hour
		r := start(t, f, &vault{})
		r.until(Connected, 2*time.Second)
		gone := fault(classifier.OpSyncCheck, 1102)
		gone.SinceLogin, gone.CookiesComplete = time.Hour, true
		f.set(func(f *fake) { f.sync, f.alive = gone, false })
		if s := r.until(AwaitingScan, time.Minute); s.Reason.Class != classifier.SessionExpired {
			t.Errorf("reason %+v", s.Reason)
		}
	})
}

func TestASessionThatComesTooLateIsClosed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		r := start(t, f, &vault{})
		r.until(Connected, 2*time.Second)
		late := &fakeSession{fake: f, closed: make(chan struct{})}
		r.mail.put(event{kind: evLogin, gen: 99, session: late})
		pass(time.Second)
		select {
		case <-late.closed:
		default:
			t.Error("it is still open")
		}
		if s := r.Status(); s.State != Connected || s.Sending != Flowing {
			t.Errorf("%s %s", s.State, s.Sending)
		}
		if _, _, err := r.Admit(); err != nil {
			t.Errorf("Admit: %v", err)
		}
	})
}

func TestHowAPollEnds(t *testing.T) {
	for name, tc := range map[string]struct {
		end  pollEnd
		kind kind
		code string
		want error
	}{
		"answer":                   {pollEnd{}, evPoll, "", nil},
		"answer at the last":       {pollEnd{silent: true}, evPoll, "", nil},
		"silence":                  {pollEnd{err: errSilent, silent: true}, evPollFault, "no_pulse", outcome{}},
		"the transport's time-out": {pollEnd{err: context.DeadlineExceeded, whole: true}, evPollFault, "no_pulse", outcome{}},
		"a time-out before":        {pollEnd{err: context.DeadlineExceeded}, evPollFault, "timeout", outcome{verdict: classifier.JudgeError(context.DeadlineExceeded)}},
		"given up by the link":     {pollEnd{err: context.Canceled, cancelled: true}, evPollFault, "", outcome{}},
		"a fault":                  {pollEnd{err: refusedConnection()}, evPollFault, "connection_refused", outcome{verdict: netLost}},
	} {
		e, got := tc.end.judge()
		if e.kind != tc.kind || e.verdict.Code != tc.code || got != tc.want {
			t.Errorf("%s: event %v %q, outcome %v", name, e.kind, e.verdict.Code, got)
		}
	}
}
