package link

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/classifier"
)

// night is a bad night as a bot without a bridge had it: one send every 2 s and
// one incoming message every 5 s, during the fault and for a while after.
type night struct {
	*rig
	t       *testing.T
	told    *reports
	waiting int // sends that were accepted and wait
	sent    int
	in      int // messages that WeChat has for us
}

func newNight(t *testing.T, f *fake) *night {
	t.Helper()
	n := &night{t: t, told: &reports{}}
	n.rig = startWith(t, f, &vault{}, func(c *Config) { c.Fault = n.told.add }, func(*Link) {})
	n.until(Connected, 2*time.Second)
	n.pass(30 * time.Second)
	f.set(func(f *fake) { f.polls, f.probes, f.climbs = 0, 0, nil })
	return n
}

// pass lets the load run for so long.
func (n *night) pass(d time.Duration) {
	n.t.Helper()
	for s := range int(d / time.Second) {
		pass(time.Second)
		if s%2 == 0 {
			n.waiting++
			n.send()
		}
		if s%5 == 0 {
			n.in++
			id := fmt.Sprint(n.in)
			n.fake.set(func(f *fake) {
				f.batches = append(f.batches, wechat.Batch{Cursor: wechat.Cursor(id), Events: make([]wechat.Event, 1)})
			})
		}
	}
}

// send takes what waits through the gate, as far as it is open.
func (n *night) send() {
	n.t.Helper()
	for n.waiting > 0 {
		send, report, err := n.Admit()
		if err != nil {
			return
		}
		_, err = send.Send(context.Background(), wechat.Outgoing{})
		report(classifier.JudgeError(err))
		if err != nil {
			return
		}
		n.waiting--
		n.sent++
	}
}

// over wants everything sent once, everything received once, and no login.
func (n *night) over(climbs ...wechat.Rung) {
	n.t.Helper()
	n.pass(90 * time.Second)
	pass(10 * time.Second)
	n.send()
	if n.waiting != 0 {
		n.t.Errorf("%d sends still wait", n.waiting)
	}
	n.sink.mu.Lock()
	defer n.sink.mu.Unlock()
	var cursors []string
	for _, b := range n.sink.taken {
		if c := string(b.Cursor); c != "" && !slices.Contains(cursors, c) {
			cursors = append(cursors, c)
		}
	}
	if len(cursors) != n.in {
		n.t.Errorf("%d of %d incoming messages are there", len(cursors), n.in)
	}
	n.fake.mu.Lock()
	defer n.fake.mu.Unlock()
	for _, c := range n.fake.climbs {
		if !slices.Contains(climbs, c.rung) {
			n.t.Errorf("rung %v was climbed", c.rung)
		}
	}
	if s := n.Status(); s.LoginsLeft != 6 && !slices.Contains(climbs, wechat.Push) {
		n.t.Errorf("%d logins left", s.LoginsLeft)
	}
}

func unresolved() error {
	return &classifier.Fault{Transport: classifier.WebWX, Op: classifier.OpSyncCheck, Phase: classifier.PhaseDial,
		Text: "getaddrinfo EAI_AGAIN wx.qq.com"}
}

// 1, 3 and 4 of "must show": nights 2, 2b and 3, and ten minutes of each.
func TestNightsOfANetworkThatIsGone(t *testing.T) {
	for name, broken := range map[string]func(*fake){
		"the server refuses": func(f *fake) { f.down = refusedConnection() },
		"DNS says EAI_AGAIN": func(f *fake) { f.down = unresolved() },
		"the server hangs":   func(f *fake) { f.hung = true },
	} {
		for _, lasts := range []time.Duration{60 * time.Second, 90 * time.Second, 10 * time.Minute} {
			bubbleless(t, fmt.Sprint(name, " for ", lasts), func(t *testing.T) {
				f := newFake()
				n := newNight(t, f)
				lines := n.log.count()
				f.set(func(f *fake) { broken(f); f.send = f.down })
				n.pass(36 * time.Second)
				if s := n.Status(); s.State != Reconnecting || s.Sending != Held || s.Reason.Class != classifier.Network || s.UserAction != JustWait {
					t.Fatalf("%s %s %s %s: said too late", s.State, s.Sending, s.Reason.Code, s.UserAction)
				}
				n.pass(lasts - 36*time.Second)
				f.set(func(f *fake) { mend(f); f.send = nil })
				next := max(time.Until(n.Status().RetryAt), 0)
				if name == "the server hangs" { // what it took is never answered
					next = max(next, rungTime(wechat.Resume))
				}
				n.until(Connected, next+10*time.Second)
				if got := n.log.count() - lines; got > 3 {
					t.Errorf("%d log lines", got)
				}
				if all := len(n.told.all); all > 30 { // each was a request
					t.Errorf("%d faults", all)
				}
				n.over(wechat.Resume)
			})
		}
	}
}

// While the back-off is at its base it is back within ten seconds.
func TestAShortOutageIsOverInSeconds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		n := newNight(t, f)
		f.set(func(f *fake) { f.down, f.send = refusedConnection(), refusedConnection() })
		n.pass(8 * time.Second) // sends notice first
		if s := n.Status(); s.State != Reconnecting {
			t.Fatalf("%s", s.State)
		}
		f.set(func(f *fake) { f.down, f.send = nil, nil })
		n.until(Connected, 10*time.Second)
		n.over(wechat.Resume)
	})
}

// 2 and 3: nights 1, 1b, 5 and 5b. A valid session is never thrown away for
// 1205 or Ret 3; sends go on, health does not flap, requests stay few.
func TestNightsOfDoubt(t *testing.T) {
	ret3, often := fault(classifier.OpSync, 3), fault(classifier.OpSync, 1205)
	for name, broken := range map[string]func(*fake){
		"1: synccheck and sync Ret 3":      func(f *fake) { f.sync = ret3 },
		"1 with a probe that is 1205":      func(f *fake) { f.sync, f.notify = ret3, fault(classifier.OpNotify, 1205) },
		"1b: sync 1205":                    func(f *fake) { f.sync = often },
		"5b: everything but sends is 1205": func(f *fake) { f.sync, f.notify = often, fault(classifier.OpNotify, 1205) },
	} {
		bubbleless(t, name, func(t *testing.T) {
			f := newFake()
			n := newNight(t, f)
			f.set(broken)
			for range 9 {
				n.pass(10 * time.Second)
				if s := n.Status(); s.State != Connected || s.Sending == Held {
					t.Fatalf("%s %s (%s)", s.State, s.Sending, s.Reason.Code)
				}
			}
			if n.waiting != 0 {
				t.Errorf("%d sends wait, which WeChat would take", n.waiting)
			}
			if asked := f.count(&f.polls) + f.count(&f.probes); asked > 45 {
				t.Errorf("%d requests in 90 s beside the sends", asked)
			}
			f.set(mend)
			n.over()
			if got := n.states(); !slices.Equal(got, []State{Starting, Connecting, Connected}) {
				t.Errorf("states %v", got)
			}
		})
	}
}

// 2: night 5c. Contacts answer 1205 while logging in: the login holds.
func TestNightOfALoginWithoutContacts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		f.stored = false
		scans := 0
		f.login = func(ctx context.Context, req wechat.LoginRequest) error {
			f.mu.Lock()
			stored := f.stored
			f.mu.Unlock()
			if req.Rung != wechat.QR {
				if stored {
					return nil
				}
				return wechat.ErrNoRung
			}
			scans++
			req.Step(wechat.LoginStep{Kind: wechat.StepScan})
			req.Step(wechat.LoginStep{Kind: wechat.StepConfirm})
			req.Step(wechat.LoginStep{Kind: wechat.StepWait})
			f.set(func(f *fake) { f.stored = true }) // kept before it is opened
			return fault(classifier.OpContacts, 1205)
		}
		r := start(t, f, &vault{})
		s := r.until(Connected, 30*time.Second)
		if scans != 1 || s.LoginsLeft != 5 {
			t.Errorf("%d scans, %d logins left", scans, s.LoginsLeft)
		}
	})
}

// 5: night 6. The answer of a send is lost: that is no loss of the connection
// while it is one, and what is reported is not certain.
func TestNightOfAnswersThatAreLost(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		n := newNight(t, f)
		lost := &classifier.Fault{Transport: classifier.WebWX, Op: classifier.OpSend, Phase: classifier.PhaseSent, Cause: context.DeadlineExceeded}
		for range 5 {
			f.set(func(f *fake) { f.send = lost })
			n.waiting++
			n.send()
			f.set(func(f *fake) { f.send = nil })
			n.pass(4 * time.Second)
		}
		all := n.told.of(DuringSend)
		if len(all) != 5 || n.Status().State != Connected {
			t.Fatalf("%d reports, %s", len(all), n.Status().State)
		}
		for _, r := range all {
			if r.Verdict.Certain {
				t.Errorf("%+v says that it surely did not arrive", r.Verdict)
			}
		}
		n.over()
	})
}

// 6: night 7. kill -9: back at once, without a login.
func TestNightOfAKill(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, v := newFake(), &vault{}
		r := start(t, f, v)
		r.until(Connected, 2*time.Second)
		for range 8 { // in flight, never reported
			if _, _, err := r.Admit(); err != nil {
				t.Fatal(err)
			}
		}
		crash(r, v)
		r = start(t, f, v)
		if s := r.until(Connected, 2*time.Second); s.LoginsLeft != 6 || f.climbsOf(wechat.QR)+f.climbsOf(wechat.Push) != 0 {
			t.Errorf("%d logins left, climbs %v", s.LoginsLeft, f.climbs)
		}
	})
}

// 7: night 4. Logout from the phone: a push login is offered, sends wait, and
// go out after the confirmation, with the messages of the gap.
func TestNightOfALogoutFromThePhone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		pressed := make(chan struct{})
		n := newNight(t, f)
		f.set(func(f *fake) {
			f.alive, f.send = false, fault(classifier.OpSend, 1101)
			f.login = func(ctx context.Context, req wechat.LoginRequest) error {
				if req.Rung != wechat.Push {
					return f.rung(ctx, req)
				}
				req.Step(wechat.LoginStep{Kind: wechat.StepConfirm})
				select {
				case <-pressed:
					return nil
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			}
		})
		n.pass(40 * time.Second)
		s := n.Status()
		if s.State != AwaitingConfirm || s.UserAction != ConfirmOnPhone || s.Sending != Held || s.Reason.Code != "logged_out_by_phone" {
			t.Fatalf("%s %s %s %s", s.State, s.UserAction, s.Sending, s.Reason.Code)
		}
		n.pass(60 * time.Second)
		if n.waiting < 40 || n.Status().State != AwaitingConfirm {
			t.Errorf("%d wait, %s", n.waiting, n.Status().State)
		}
		f.set(func(f *fake) { f.send = nil })
		close(pressed)
		n.until(Connected, 5*time.Second)
		n.over(wechat.Resume, wechat.Stored, wechat.Push)
		if f.climbsOf(wechat.QR) != 0 {
			t.Errorf("climbs %v", f.climbs)
		}
	})
}

// The night of the story: 1,328 identical errors. It is one loss, one return.
func TestTheNightOfTheStory(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		faults := 0
		r := startWith(t, f, &vault{}, func(c *Config) {
			c.Fault = func(FaultReport) { faults++ }
			c.Log = zerolog.New(&lines{})
		}, func(*Link) {})
		r.until(Connected, 2*time.Second)
		f.set(func(f *fake) { f.down = unresolved() })
		pass(11 * time.Hour)
		if faults < 1000 || faults > 1700 { // half a cap apart
			t.Errorf("%d faults", faults)
		}
		f.set(func(f *fake) { f.down = nil })
		r.until(Connected, time.Minute)
		if got := r.states(); !slices.Equal(got, []State{Starting, Connecting, Connected, Reconnecting, Connected}) {
			t.Errorf("states %v", got)
		}
		if f.climbsOf(wechat.QR)+f.climbsOf(wechat.Push) != 0 {
			t.Error("a login")
		}
	})
}
