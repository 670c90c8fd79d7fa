package link

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"wechat-bridge/classifier"
)

func TestTheWindowDoublesAfterEachFullOneAndHalvesOnTrouble(t *testing.T) {
	ok, wrong, cancelled := classifier.Verdict{}, known("request_refused"), known("cancelled")
	for name, tc := range map[string]struct {
		outcomes []classifier.Verdict
		want     []int // the window after each
	}{
		"all good":          {[]classifier.Verdict{ok, ok, ok, ok, ok, ok, ok}, []int{2, 2, 4, 4, 4, 4, 8}},
		"too often":         {[]classifier.Verdict{ok, ok, ok, tooOften, ok, ok, ok}, []int{2, 2, 4, 2, 2, 4, 4}},
		"network":           {[]classifier.Verdict{ok, ok, ok, netLost, netLost, netLost}, []int{2, 2, 4, 2, 1, 1}},
		"trouble restarts":  {[]classifier.Verdict{ok, ok, tooOften, ok}, []int{2, 2, 1, 2}},
		"says nothing":      {[]classifier.Verdict{wrong, cancelled, ok, wrong, ok, cancelled, ok}, []int{1, 1, 2, 2, 2, 2, 4}},
		"over is over":      {[]classifier.Verdict{ok, ok, ok, ok, ok, ok, ok, tooOften, netLost}, []int{2, 2, 4, 4, 4, 4, 8, 8, 8}},
		"only what is good": {[]classifier.Verdict{cancelled, wrong, tooOften}, []int{1, 1, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRamp(8)
			r.begin(true, t0)
			var got []int
			for _, v := range tc.outcomes {
				gen, ok := r.enter()
				if !ok {
					t.Fatal("no room for one at a time")
				}
				_, over := r.leave(gen, v, t0)
				got = append(got, r.status().Window)
				if reached := len(got) > 1 && got[len(got)-1] == 8 && got[len(got)-2] < 8; over != reached {
					t.Errorf("over %v at window %v", over, got)
				}
			}
			if !cmp.Equal(got, tc.want) {
				t.Errorf("windows %v, want %v", got, tc.want)
			}
		})
	}
}

func TestATopThatIsNoPowerOfTwoIsReached(t *testing.T) {
	r := newRamp(5)
	r.begin(true, t0)
	for range 7 {
		gen, _ := r.enter()
		r.leave(gen, classifier.Verdict{}, t0)
	}
	if s := r.status(); s != (RampStatus{Window: 5, Top: 5}) {
		t.Errorf("%+v", s)
	}
}

// A send of the lost connection must not take a place of the next one's, and
// its late outcome must not move the window.
func TestSendsOfAnEarlierConnectionAreNotCounted(t *testing.T) {
	r := newRamp(8)
	r.begin(true, t0)
	old, _ := r.enter()
	r.begin(true, t0)
	gen, ok := r.enter()
	if !ok {
		t.Fatal("a send of before fills the window")
	}
	r.leave(old, classifier.Verdict{}, t0)
	r.cancel(old)
	if s := r.status(); s.Window != 1 || s.InFlight != 1 {
		t.Errorf("%+v", s)
	}
	if _, ok := r.enter(); ok {
		t.Error("two at a time in a window of one")
	}
	r.cancel(gen)
	if _, ok := r.enter(); !ok {
		t.Error("a place that was given back is taken")
	}
}

// lose breaks and mends the connection of a rig that is connected.
func lose(r *rig) {
	r.t.Helper()
	r.fake.set(func(f *fake) { f.down = refusedConnection() })
	r.until(Reconnecting, time.Minute)
	r.fake.set(func(f *fake) { f.down = nil })
	r.until(Connected, 2*time.Minute)
}

func TestAfterAnOutageSendsRampUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, newFake(), &vault{})
		if s := r.until(Connected, 2*time.Second); s.Sending != Flowing || s.Ramp.Window != 8 {
			t.Errorf("%s %+v: nothing was lost before the first login", s.Sending, s.Ramp)
		}
		for range 3 { // each closing begins anew
			lose(r)
			climbRamp(t, r)
		}
	})
}

// climbRamp fills each window, finds it full, and empties it with good outcomes.
func climbRamp(t *testing.T, r *rig) {
	t.Helper()
	for _, window := range []int{1, 2, 4} {
		var reports []func(classifier.Verdict)
		for n := range window {
			_, report, err := r.Admit()
			if err != nil {
				t.Fatalf("send %d in a window of %d: %v", n, window, err)
			}
			reports = append(reports, report)
		}
		if _, _, err := r.Admit(); err != ErrRamping {
			t.Errorf("one more than %d in flight: %v, want ErrRamping", window, err)
		}
		if s := r.Status(); s.Sending != Ramping || s.Ramp != (RampStatus{Window: window, Top: 8, InFlight: window}) {
			t.Errorf("%s %+v, want a window of %d", s.Sending, s.Ramp, window)
		}
		for _, report := range reports {
			report(classifier.Verdict{})
		}
	}
	if s := r.Status(); s.Sending != Flowing || s.Ramp != (RampStatus{Window: 8, Top: 8}) {
		t.Errorf("%s %+v at the top", s.Sending, s.Ramp)
	}
	for range 20 { // the outbox bounds what is open, not the ramp
		_, report, err := r.Admit()
		if err != nil {
			t.Fatal(err)
		}
		defer report(classifier.Verdict{})
	}
	synctest.Wait()
	if last := r.last(); last.Sending != Flowing {
		t.Errorf("the observer was last told %s", last.Sending)
	}
}

// last is what the observer was told last.
func (r *rig) last() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen[len(r.seen)-1]
}

func TestWaitReturnsWhenTheRampHasRoomAndIsNoBusyLoop(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, newFake(), &vault{})
		r.until(Connected, 2*time.Second)
		lose(r)
		_, report, err := r.Admit()
		if err != nil {
			t.Fatal(err)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := r.Wait(ended); err != context.Canceled {
			t.Errorf("Wait with a full window: %v", err)
		}
		var returns atomic.Int32
		waited := make(chan error, 1)
		go func() { waited <- r.Wait(context.Background()); returns.Add(1) }()
		pass(time.Minute)
		if returns.Load() != 0 {
			t.Fatal("Wait returned while the window was full")
		}
		report(classifier.Verdict{})
		synctest.Wait()
		if err := <-waited; err != nil || r.Wait(ended) != nil {
			t.Errorf("Wait: %v", err)
		}
	})
}

// What waited goes out through Wait and Admit as the outbox does it: all of it,
// and never more at a time than the window says.
func TestABacklogDrainsThroughTheRamp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, newFake(), &vault{})
		r.until(Connected, 2*time.Second)
		lose(r)
		var open, most, sent, refused atomic.Int32
		jobs := make(chan struct{}, 60)
		for range 60 {
			jobs <- struct{}{}
		}
		close(jobs)
		began := time.Now()
		ended := make(chan struct{}, 8)
		for range 8 {
			go func() {
				for range jobs {
					report := admitted(r, &refused)
					n := open.Add(1)
					if w := r.Status().Ramp; w.Window < w.Top && int(n) > w.Window {
						t.Errorf("%d in flight in a window of %d", n, w.Window)
					}
					most.Store(max(most.Load(), n))
					<-time.After(200 * time.Millisecond)
					open.Add(-1)
					report(classifier.Verdict{})
					sent.Add(1)
				}
				ended <- struct{}{}
			}()
		}
		for range 8 {
			<-ended
		}
		if sent.Load() != 60 || most.Load() != 8 {
			t.Errorf("%d sent, at most %d at a time", sent.Load(), most.Load())
		}
		if d := time.Since(began); d < 1900*time.Millisecond || d > 3*time.Second { // 3 windows and 53 by eight
			t.Errorf("took %v", d)
		}
		if refused.Load() > 60 {
			t.Errorf("%d refusals for 60 sends", refused.Load())
		}
	})
}

// admitted waits for an admission.
func admitted(r *rig, refused *atomic.Int32) func(classifier.Verdict) {
	for {
		if err := r.Wait(context.Background()); err != nil {
			panic(err)
		}
		if _, report, err := r.Admit(); err == nil {
			return report
		}
		refused.Add(1)
	}
}

func TestAQuietAccountDoesNotRampForDays(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, newFake(), &vault{})
		r.until(Connected, 2*time.Second)
		lose(r)
		pass(100 * time.Second)
		if s := r.Status(); s.Sending != Ramping {
			t.Errorf("%s after 100 s", s.Sending)
		}
		_, report, err := r.Admit()
		if err != nil {
			t.Fatal(err)
		}
		report(tooOften)
		pass(100 * time.Second)
		if s := r.Status(); s.Sending != Ramping {
			t.Errorf("%s 100 s after WeChat said too often", s.Sending)
		}
		pass(time.Minute)
		if s, seen := r.Status(), r.last(); s.Sending != Flowing || seen.Sending != Flowing {
			t.Errorf("%s, told %s", s.Sending, seen.Sending)
		}
	})
}

func TestWhichClosingsRamp(t *testing.T) {
	login := func(force bool) func(*testing.T, *rig) *rig {
		return func(t *testing.T, r *rig) *rig {
			if err := r.Login(t.Context(), force, ""); err != nil {
				t.Fatal(err)
			}
			return r
		}
	}
	for name, tc := range map[string]struct {
		memory string
		first  State
		then   func(t *testing.T, r *rig) *rig
		want   Sending
	}{
		"a clean restart": {"", Connected, func(t *testing.T, r *rig) *rig {
			r.stop()
			return start(t, r.fake, r.vault)
		}, Flowing},
		"a crash during an outage": {"", Connected, func(t *testing.T, r *rig) *rig {
			r.fake.set(func(f *fake) { f.down = refusedConnection() })
			r.until(Reconnecting, time.Minute)
			pass(10 * time.Second)
			crash(r, r.vault)
			r.fake.set(func(f *fake) { f.down = nil })
			return start(t, r.fake, r.vault)
		}, Ramping},
		"a forced login in the place of a connection": {"", Connected, login(true), Ramping},
		"a login after a logout": {"", Connected, func(t *testing.T, r *rig) *rig {
			if err := r.Logout(t.Context()); err != nil {
				t.Fatal(err)
			}
			return login(false)(t, r)
		}, Ramping},
		"a forced login of a blocked account":        {`{"version":1,"blocked":"restricted_account"}`, Blocked, login(true), Ramping},
		"a login where nothing was lost in this run": {`{"version":1,"logged_out":true}`, LoggedOut, login(false), Flowing},
	} {
		bubbleless(t, name, func(t *testing.T) {
			r := start(t, newFake(), &vault{value: []byte(tc.memory)})
			r.until(tc.first, 2*time.Second)
			r = tc.then(t, r)
			pass(time.Second)
			if s := r.until(Connected, 2*time.Minute); s.Sending != tc.want {
				t.Errorf("%s, want %s", s.Sending, tc.want)
			}
		})
	}
}
