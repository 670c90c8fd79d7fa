package link

import (
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/classifier"
)

func TestSleepAndSetClocksAreToldFromTime(t *testing.T) {
	const due = tickTime
	at := func(wall, mono time.Duration) reading { return reading{t0.Add(wall), time.Hour + mono} }
	for name, tc := range map[string]struct {
		after reading
		apart time.Duration
		jump  bool
	}{
		"on time":                             {at(due, due), 0, false},
		"early, as something happened":        {at(time.Second, time.Second), 0, false},
		"a little late":                       {at(due+3*time.Second, due+3*time.Second), 0, false},
		"the clock is corrected a bit":        {at(due+time.Second, due), time.Second, false},
		"slept, the monotonic clock stopped":  {at(8*time.Hour+due, due), 8 * time.Hour, true},
		"slept, the monotonic clock went on":  {at(8*time.Hour, 8*time.Hour), 0, true},
		"the process was stopped for 20 s":    {at(due+20*time.Second, due+20*time.Second), 0, true},
		"set back by an hour":                 {at(due-time.Hour, due), -time.Hour, true},
		"set forward by a year":               {at(due+365*24*time.Hour, due), 365 * 24 * time.Hour, true},
		"set from 1970 to today":              {reading{t0.AddDate(56, 0, 0), time.Hour}, t0.AddDate(56, 0, 0).Sub(t0), true},
		"set back while it slept just as far": {at(0, 8*time.Hour), -8 * time.Hour, true},
	} {
		apart, jump := jumped(at(0, 0), tc.after, due)
		if apart != tc.apart || jump != tc.jump {
			t.Errorf("%s: apart %v, jump %v", name, apart, jump)
		}
	}
}

func TestAJumpAsksWeChatAtOnceAndExcusesOneSilence(t *testing.T) {
	m, now := live(), t0.Add(time.Minute) // a poll runs
	m, fx := step(m, event{kind: evJump, lasted: 8 * time.Hour}, now, 0.5)
	if m.state != Connected || m.work != polling || !slices.Contains(kinds(fx), fxProbe) {
		t.Fatalf("%s, effects %v", m.state, kinds(fx))
	}
	silence := event{kind: evPollFault, gen: m.gen, verdict: known(noPulse)}
	now = now.Add(time.Second)
	m, fx = step(m, silence, now, 0.5) // of the poll that ran during the sleep
	if m.state != Connected || m.work != polling || slices.Contains(kinds(fx), fxTrip) {
		t.Fatalf("%s, work %v, effects %v", m.state, m.work, kinds(fx))
	}
	_, fx = step(m, silence, now.Add(35*time.Second), 0.5) // of the one after it
	if !slices.Contains(kinds(fx), fxTrip) {
		t.Errorf("effects %v: a second silence is a loss", kinds(fx))
	}
}

func TestAJumpExcusesTheFirstPollOfALogin(t *testing.T) {
	m, _ := play(at(wechat.Stored), event{kind: evLogin, identity: wechat.Identity{ID: "1"}})
	m, _ = step(m, event{kind: evJump}, t0.Add(time.Minute), 0.5)
	m, _ = step(m, event{kind: evPollFault, gen: m.gen, verdict: known(noPulse)}, t0.Add(time.Minute), 0.5)
	if m.work != polling || !m.proving {
		t.Errorf("work %v, proving %v", m.work, m.proving)
	}
}

func TestAJumpWhileNothingIsConnectedAsksNobody(t *testing.T) {
	m, _ := play(live(), event{kind: evOpened, verdict: netLost})
	after, fx := play(m, event{kind: evJump, lasted: time.Hour})
	if slices.Contains(kinds(fx), fxProbe) || after.state != Reconnecting || after.plan != planAttempt {
		t.Errorf("%s, effects %v", after.state, kinds(fx))
	}
}

// The budget is stored in wall time. A clock that is set while the program runs
// neither frees it nor locks it, also over the next start.
func TestASetClockNeitherFreesNorLocksTheBudget(t *testing.T) {
	limits := Limits{}.withDefaults()
	for name, apart := range map[string]time.Duration{
		"back a year": -365 * 24 * time.Hour, "back an hour": -time.Hour, "forward an hour": time.Hour,
		"forward a year": 365 * 24 * time.Hour, "to 1970": -56 * 365 * 24 * time.Hour,
	} {
		m, now := spent(t0, limits)
		b := reading{now.Add(10*time.Second + apart), 10 * time.Second}
		moved, jump := jumped(reading{now, 0}, b, tickTime)
		if !jump {
			t.Fatalf("%s: no jump", name)
		}
		now = b.wall
		m, _ = step(m, event{kind: evJump, lasted: moved}, now, 0.5)
		for _, when := range []string{"at once", "after a restart"} {
			left, free := loginsLeft(m.mem.Logins, now, limits)
			if wait := free.Sub(now); left != 0 || wait <= 0 || wait > time.Hour {
				t.Errorf("%s, %s: %d left, free in %v", name, when, left, wait)
			}
			if left, _ := loginsLeft(m.mem.Logins, now.Add(time.Hour), limits); left < 1 {
				t.Errorf("%s, %s: still locked after an hour", name, when)
			}
			stored, err := m.mem.encode()
			if err != nil {
				t.Fatal(err)
			}
			if m.mem, err = decodeMemory(stored, now, limits); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// spent is a machine that has used its hour's logins, a minute apart.
func spent(now time.Time, limits Limits) (machine, time.Time) {
	m := fresh()
	m.state = Reconnecting
	for range limits.LoginsPerHour {
		m.mem.Logins = append(m.mem.Logins, now)
		now = now.Add(time.Minute)
	}
	return m, now
}

// While the program was down nobody compared the clocks: times in the future
// count as of now, and that is stored, so that restarts do not prolong it.
func TestAClockSetBackWhileDownLocksForAWindowAtMost(t *testing.T) {
	limits := Limits{}.withDefaults()
	m, now := spent(t0, limits)
	m.mem.RetryAt = now.Add(30 * time.Second)
	stored, err := m.mem.encode()
	if err != nil {
		t.Fatal(err)
	}
	now = now.AddDate(-1, 0, 0)
	began := now
	for range 100 { // a restart every minute
		mem, err := decodeMemory(stored, now, limits)
		if err != nil {
			t.Fatal(err)
		}
		if wait := mem.RetryAt.Sub(now); wait > maxTold {
			t.Fatalf("the next try is in %v", wait)
		}
		m, fx := step(fresh(), event{kind: evStart, memory: mem}, now, 0.5)
		if !slices.Contains(kinds(fx), fxSave) {
			t.Fatal("what was bounded is not stored")
		}
		if left, _ := loginsLeft(m.mem.Logins, now, limits); left > 0 {
			if d := now.Sub(began); d < time.Hour || d > time.Hour+time.Minute {
				t.Errorf("free after %v", d)
			}
			return
		}
		if stored, err = m.mem.encode(); err != nil {
			t.Fatal(err)
		}
		now = now.Add(time.Minute)
	}
	t.Error("locked for more than 100 minutes")
}

func TestALargeBudgetKeepsTheNewestLogins(t *testing.T) {
	var logins []time.Time
	for i := range 2 * maxLogins {
		logins = append(logins, t0.Add(time.Duration(i)*time.Second))
	}
	now := t0.Add(time.Hour)
	slices.Reverse(logins) // as somebody may have stored them
	kept := recentLogins(logins, now)
	if len(kept) != maxLogins || !kept[maxLogins-1].Equal(t0.Add((2*maxLogins-1)*time.Second)) || !slices.IsSortedFunc(kept, time.Time.Compare) {
		t.Errorf("%d kept, newest %v", len(kept), kept[len(kept)-1])
	}
	limits := Limits{LoginsPerHour: 1000, LoginsPerDay: 1000}.withDefaults()
	if left, _ := loginsLeft(kept, now, limits); left > 0 {
		t.Errorf("%d left", left)
	}
}

// clocks are the loop's, with a wall clock that can be moved.
type clocks struct {
	real  func() reading
	moved atomic.Int64
}

func (c *clocks) read() reading {
	r := c.real()
	r.wall = r.wall.Add(time.Duration(c.moved.Load()))
	return r
}

func withClocks(t *testing.T, f *fake) (*rig, *clocks) {
	t.Helper()
	c := &clocks{}
	return startWith(t, f, &vault{}, func(*Config) {}, func(l *Link) {
		c.real = l.loop.read
		l.loop.read = c.read
	}), c
}

func TestASleepIsNoFalseAlarm(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		r, c := withClocks(t, f)
		r.until(Connected, 2*time.Second)
		f.set(func(f *fake) { f.hung = true }) // the poll's socket dies with the sleep
		pass(10 * time.Second)
		f.set(func(f *fake) { f.hung, f.probes = false, 0 })
		c.moved.Store(int64(8 * time.Hour))
		pass(tickTime + time.Second)
		if n := f.count(&f.probes); n != 1 {
			t.Errorf("%d probes after waking", n)
		}
		pass(5 * time.Minute)
		if got := r.states(); slices.Contains(got, Reconnecting) {
			t.Errorf("states %v", got)
		}
		f.set(func(f *fake) { f.hung = true }) // and now in earnest
		if s := r.until(Reconnecting, 36*time.Second); s.Reason.Code != noPulse {
			t.Errorf("%+v", s.Reason)
		}
		f.set(func(f *fake) { f.hung = false })
		r.until(Connected, time.Minute)
	})
}

func TestASessionThatEndedDuringASleepIsNoticedAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		r, c := withClocks(t, f)
		r.until(Connected, 2*time.Second)
		pass(3 * time.Second) // a poll is held
		f.set(func(f *fake) { f.alive = false })
		c.moved.Store(int64(8 * time.Hour))
		if s := r.until(Reconnecting, tickTime+time.Second); s.Reason.Code != "logged_out_by_phone" {
			t.Errorf("%+v", s.Reason)
		}
	})
}

func TestASetClockChangesNothing(t *testing.T) {
	for name, moved := range map[string]time.Duration{"back": -24 * time.Hour, "forward": 24 * time.Hour} {
		bubbleless(t, name, func(t *testing.T) {
			f := newFake()
			r, c := withClocks(t, f)
			r.until(Connected, 2*time.Second)
			if err := r.Login(t.Context(), true, ""); err != nil {
				t.Fatal(err)
			}
			r.until(Connected, time.Minute)
			for range 5 {
				c.moved.Add(int64(moved))
				pass(30 * time.Second)
			}
			pass(2 * time.Minute)
			// Only what the loop reads has moved, not the time in the bubble, so
			// that a budget that follows the clock back looks older than it is.
			if s := r.Status(); s.State != Connected || s.LoginsLeft != 5 && moved > 0 {
				t.Errorf("%s, %d logins left", s.State, s.LoginsLeft)
			}
			if got := r.states(); slices.Contains(got, Reconnecting) {
				t.Errorf("states %v", got)
			}
			if f.climbsOf(wechat.QR) != 1 {
				t.Errorf("climbs %v", f.climbs)
			}
		})
	}
}

// A dead session is noticed within the hold time + 5 s, a hang within the hold
// time + 10 s, whenever in a poll it begins.
func TestTheHeartbeatNoticesInTime(t *testing.T) {
	dead := func(f *fake) { f.alive = false }
	hang := func(f *fake) { f.hung = true }
	frozen := func(f *fake) { f.hung, f.deaf = true, true }
	ends := func(f *fake) { f.after = fault(classifier.OpSyncCheck, 1101) }
	for name, tc := range map[string]struct {
		change func(*fake)
		within time.Duration
	}{
		"dead": {dead, 30 * time.Second}, "dead, told by the held poll": {ends, 30 * time.Second},
		"hung": {hang, 35 * time.Second}, "hung and deaf": {frozen, 35*time.Second + pollGrace},
	} {
		for _, into := range []time.Duration{0, 100 * time.Millisecond, 12 * time.Second, 24900 * time.Millisecond} {
			bubbleless(t, name+" "+into.String(), func(t *testing.T) {
				f := newFake()
				r := start(t, f, &vault{})
				r.until(Connected, 2*time.Second)
				pass(25*time.Second + into)
				last := r.Status().LastPulse
				f.set(tc.change)
				began := time.Now()
				s := r.until(Reconnecting, tc.within)
				if s.LastPulse.Before(last) || s.Since.Sub(began) > tc.within || s.Since.Sub(s.LastPulse) > 35*time.Second+pollGrace {
					t.Errorf("noticed %v after it began, %v after the last pulse", s.Since.Sub(began), s.Since.Sub(s.LastPulse))
				}
				f.set(func(f *fake) { f.hung = false; close(f.released) })
			})
		}
	}
}
