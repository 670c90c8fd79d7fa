package link

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"pgregory.net/rapid"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/classifier"
)

// breaks are what a script may do to the fake.
var breaks = []func(*fake){
	func(f *fake) { f.down = refusedConnection() },
	func(f *fake) { f.down = at503(classifier.OpInit) },
	func(f *fake) { f.down = throttledFor(classifier.OpInit, 0) },
	func(f *fake) { f.down = throttledFor(classifier.OpInit, 10*365*24*time.Hour) },
	func(f *fake) { f.sync = fault(classifier.OpSync, 3) },
	func(f *fake) { f.sync = throttledFor(classifier.OpSync, 0) },
	func(f *fake) { f.sync = throttledFor(classifier.OpSync, 20*time.Minute) },
	func(f *fake) { f.sync = throttledFor(classifier.OpSync, -1) },
	func(f *fake) { f.sync = fault(classifier.OpSync, 4711) },
	func(f *fake) { f.notify = fault(classifier.OpNotify, 3) },
	func(f *fake) { f.notify = throttledFor(classifier.OpNotify, 0) },
	func(f *fake) { f.hung = true },
	func(f *fake) { f.hung = true },
	func(f *fake) { f.alive = false },
	func(f *fake) { f.stored = false },
	func(f *fake) { f.scan = 0 },
	func(f *fake) { f.down = errors.New("something nobody knows") },
	func(f *fake) {
		restricted := fault(classifier.OpSyncCheck, 1102)
		restricted.SinceLogin, restricted.CookiesComplete = 3*time.Second, true
		f.after = restricted
	},
	func(f *fake) {
		f.batches = append(f.batches, wechat.Batch{Cursor: wechat.Cursor(fmt.Sprint(len(f.batches)))})
	},
	mend, mend, mend,
}

func mend(f *fake) {
	f.down, f.sync, f.notify, f.after, f.hung, f.scan = nil, nil, nil, nil, false, time.Second
}

// acts are what else may happen.
var acts = []string{"crash", "restart", "login", "force", "logout", "sends", "sends", "sends", "sink away", "sink back", "sleep"}

// The real loop, real breaker and real goroutines under random scripts; after
// the faults are lifted it is connected again, or waits for a person.
func TestPropertyScripts(t *testing.T) {
	for range 5 { // of a hundred scripts each
		rapid.Check(t, func(rt *rapid.T) {
			script := rapid.SliceOfN(rapid.IntRange(0, len(breaks)+len(acts)-1), 1, 25).Draw(rt, "script")
			gaps := rapid.SliceOfN(rapid.IntRange(0, 400), len(script), len(script)).Draw(rt, "seconds")
			synctest.Test(t, func(t *testing.T) { (&scripted{t: t, rt: rt}).run(script, gaps) })
		})
	}
}

// scripted is a script that runs.
type scripted struct {
	t       *testing.T
	rt      *rapid.T
	f       *fake
	v       *vault
	r       *rig
	c       *clocks
	excused time.Time // last time that silence was no wonder
}

func (p *scripted) run(script, gaps []int) {
	p.f, p.v = newFake(), &vault{}
	p.start()
	for i, n := range script {
		if n < len(breaks) {
			p.f.set(breaks[n])
		} else {
			p.act(acts[n-len(breaks)])
		}
		for end := time.Now().Add(time.Duration(gaps[i]) * time.Second); time.Now().Before(end); {
			pass(min(time.Until(end), 47*time.Second))
			p.check()
		}
	}
	p.f.set(mend)
	p.r.sink.set(false, 0)
	pass(time.Second)
	p.home()
}

func (p *scripted) start() {
	p.r = startWith(p.t, p.f, p.v, func(c *Config) { c.Log = zerolog.Nop() }, func(l *Link) {
		p.c = &clocks{real: l.loop.read}
		l.loop.read = p.c.read
	})
}

func (p *scripted) act(what string) {
	switch what {
	case "crash":
		crash(p.r, p.v)
		p.start()
	case "restart":
		p.r.stop()
		p.start()
	case "login", "force":
		_ = p.r.Login(context.Background(), what == "force", "")
	case "logout":
		_ = p.r.Logout(context.Background())
	case "sends":
		p.sends()
	case "sink away":
		p.r.sink.set(true, time.Second)
	case "sink back":
		p.r.sink.set(false, 0)
	case "sleep":
		p.c.moved.Add(int64(time.Hour))
	}
}

// sends admits what it can and reports what WeChat could say.
func (p *scripted) sends() {
	outcomes := []classifier.Verdict{{}, {}, netLost, tooOften, known("request_refused"), {}, known("unknown")}
	var reports []func(classifier.Verdict)
	for range 10 {
		s := p.r.Status()
		_, report, err := p.r.Admit()
		if err != nil {
			if err == ErrHeld && s.Sending != Held || err == ErrRamping && s.Sending != Ramping {
				p.rt.Errorf("%v while %s", err, s.Sending)
			}
			break
		}
		if s.Sending == Held || s.Ramp.Window < s.Ramp.Top && s.Ramp.InFlight >= s.Ramp.Window {
			p.rt.Errorf("admitted while %s, %+v", s.Sending, s.Ramp)
		}
		reports = append(reports, report)
	}
	for i, report := range reports {
		report(outcomes[(i+p.f.count(&p.f.polls))%len(outcomes)])
	}
}

// check looks at what must always be so.
func (p *scripted) check() {
	s := p.r.Status()
	closed := s.Breaker.State == "closed"
	if closed != (s.Sending != Held) || closed != (s.State == Connected) {
		p.rt.Errorf("%s, breaker %s, sending %s", s.State, s.Breaker.State, s.Sending)
	}
	// WeChat may forbid polls or probes for an hour; else it is heard, or asked
	// three times in vain, a minute apart at most.
	if s.State != Connected || !s.Reason.OK() && doubtful(s.Reason) {
		p.excused = time.Now()
	}
	if age := min(time.Since(s.LastPulse), time.Since(p.excused)); age > s.Silence+3*slowMax+30*time.Second {
		p.rt.Errorf("connected, and nothing heard for %v", age)
	}
	if d := time.Until(s.RetryAt); d > maxTold && s.Reason.Code != "login_budget_used" || d > 24*time.Hour {
		p.rt.Errorf("the next try (%s) is in %v", s.Reason.Code, d)
	}
	if s.Sending == Ramping && s.Ramp.Window >= s.Ramp.Top {
		p.rt.Errorf("%s, %+v", s.Sending, s.Ramp)
	}
}

// longestStep is how long the step that runs may hang before it is given up.
func (p *scripted) longestStep() time.Duration {
	p.f.mu.Lock()
	defer p.f.mu.Unlock()
	if n := len(p.f.climbs); n > 0 {
		return max(rungTime(p.f.climbs[n-1].rung), 2*time.Minute)
	}
	return 2 * time.Minute
}

// home waits until it is connected again, or until only a person can help.
func (p *scripted) home() {
	var s Status
	for range 27 { // hours: until then the day's budget is free again
		if s = p.r.Status(); s.State == Connected || stays(s.State) {
			break
		}
		// What needs no login comes back with the next try.
		p.f.mu.Lock()
		easy := p.f.alive && p.f.stored && s.LoginsLeft > 0
		p.f.mu.Unlock()
		if !easy {
			pass(time.Hour)
			continue
		}
		pass(max(time.Until(s.RetryAt), 0) + p.longestStep() + time.Minute)
		if now := p.r.Status(); now.State != Connected && !stays(now.State) && p.r.Status().LoginsLeft > 0 {
			p.rt.Errorf("%s (%s) minutes after the try that was planned, before %s (%s)", now.State, now.Reason.Code, s.State, s.Reason.Code)
		}
	}
	if s.State != Connected && !stays(s.State) {
		p.rt.Errorf("state %s (%s) a day after the faults", s.State, s.Reason.Code)
	}
	p.check()
	p.f.mu.Lock()
	defer p.f.mu.Unlock()
	if p.f.worst > 1 || p.f.busiest > 1 {
		p.rt.Errorf("%d sessions, %d logins at a time", p.f.worst, p.f.busiest)
	}
	for i, at := range p.f.scanned {
		for _, b := range []struct {
			n   int
			per time.Duration
		}{{6, time.Hour}, {20, 24 * time.Hour}} {
			if i >= b.n && at.Sub(p.f.scanned[i-b.n]) < b.per {
				p.rt.Errorf("%d logins in %v", b.n+1, at.Sub(p.f.scanned[i-b.n]))
			}
		}
	}
}
