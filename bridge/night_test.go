package bridge

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"wechat-bridge/bridge/alert"
	"wechat-bridge/bridge/monitor"
	"wechat-bridge/bridge/outbox"
	"wechat-bridge/bridge/sim"
	"wechat-bridge/bridge/wire"
)

// nightWarm is long enough for the first login to be forgotten by alerts.
const nightWarm = 20 * time.Minute

// nightFacts is what a night should come to, besides what its script expects.
type nightFacts struct {
	outages   int          // losses of the connection: one state change each
	alerts    []alert.Kind // in order
	ambiguous int          // deliveries of which nobody can know
	quiet     bool         // the bridge asks for little: less than 0.5 requests a second
	faults    int          // that are unlike each other: each may have 20 lines in the log; 0 is one
}

var nightWants = map[string]nightFacts{
	"night-1328":   {outages: 1, alerts: []alert.Kind{alert.KindHeld, alert.KindBack}, ambiguous: 1, faults: 2},
	"dns-hour":     {outages: 1, alerts: []alert.Kind{alert.KindHeld, alert.KindBack}, ambiguous: 1, faults: 2}, // closed, and reset
	"phone-logout": {outages: 1, alerts: []alert.Kind{alert.KindLogin, alert.KindBack}},
	"restricted":   {outages: 2, alerts: []alert.Kind{alert.KindBlocked}},
	"throttled":    {},
	"html-proxy":   {outages: 1, alerts: []alert.Kind{alert.KindHeld, alert.KindBack}, ambiguous: 3},
	"peer-0":       {},
	"peer-1":       {quiet: true},
	"peer-1b":      {quiet: true},
	"peer-2":       {outages: 1, ambiguous: 1},
	"peer-2b":      {outages: 1, ambiguous: 1},
	"peer-3":       {outages: 1, ambiguous: 1},
	"peer-4":       {outages: 1, alerts: []alert.Kind{alert.KindLogin, alert.KindBack}},
	"peer-5":       {quiet: true},
	"peer-5b":      {quiet: true},
	"peer-5c":      {alerts: []alert.Kind{alert.KindLogin, alert.KindBack}, quiet: true},
	"peer-6":       {ambiguous: 5},
	"peer-7":       {ambiguous: 8},
}

// Each night that comes with the program, to the second, in virtual time: what
// the script expects, one state change for an outage, one alert, few lines.
func TestNights(t *testing.T) {
	for _, sc := range sim.Nights() {
		t.Run(sc.Name, func(t *testing.T) {
			t.Parallel()
			want, known := nightWants[sc.Name]
			if !known {
				t.Fatal("nobody has said what this night should come to")
			}
			opts := sim.Options{Seed: sc.Seed}
			if want.quiet { // an echo is a poll and a sync for each send
				opts.Echo = "off"
			}
			inNight(t, opts, nightPace(sc.Name), func(w *nightWorld) { w.night(sc, want) })
		})
	}
}

// nightPace is the pace of a night: peers are compared without any.
func nightPace(name string) outbox.Pace {
	if strings.HasPrefix(name, "peer-") {
		return outbox.Pace{}
	}
	return outbox.Pace{N: 20, Per: time.Minute}
}

func (w *nightWorld) night(sc sim.Script, want nightFacts) {
	if sc.From == sim.FromLogin {
		w.start()
		w.wantConnected(time.Minute)
		if !slices.ContainsFunc(sc.Steps, func(s sim.Step) bool { return s.AfterLogin }) {
			time.Sleep(nightWarm)
		}
	}
	w.nats.mu.Lock()
	w.nats.alerts = nil
	w.nats.mu.Unlock()
	before := w.sim.State()
	began := w.play(sc)
	if sc.Expect.State != wire.StateBlocked && !w.eventually(2*time.Hour, w.settled) {
		w.t.Error("two hours later there still are messages that are not final or not stored")
	}
	time.Sleep(2 * time.Minute) // for the alert that it is back
	w.judgeState(sc, began)
	w.judgeLogins(sc, before)
	w.judgeTimes(sc, began)
	w.judgeWords(want, began)
	if sc.Expect.State != wire.StateBlocked {
		w.judgeMessages(want)
	}
	if want.quiet {
		w.judgeRequests(sc, began)
	}
	if w.t.Failed() {
		w.tell(began)
	}
}

func (w *nightWorld) wantConnected(within time.Duration) {
	w.t.Helper()
	if !w.eventually(within, func() bool { return w.living().account.connection().State == wire.StateConnected }) {
		w.t.Fatalf("not connected within %s", within)
	}
}

// judgeState looks at where it ends and what it said on the way.
func (w *nightWorld) judgeState(sc sim.Script, began time.Time) {
	c := w.living().account.connection()
	if c.State != sc.Expect.State {
		w.t.Errorf("it ends %s, want %s", c.State, sc.Expect.State)
	}
	person := false
	for _, s := range w.seen.since(began) {
		if s.Reason != nil && !slices.Contains(sc.Expect.Classes, s.Reason.Class) {
			w.t.Errorf("it was %s for a reason of class %s (%s), want %v", s.State, s.Reason.Class, s.Reason.Code, sc.Expect.Classes)
		}
		person = person || s.UserAction != "none" && s.UserAction != "wait"
	}
	if person != sc.Expect.Person && sc.From == sim.FromLogin {
		w.t.Errorf("a person was asked for: %v, want %v", person, sc.Expect.Person)
	}
	for _, wrong := range w.seen.wrong {
		w.t.Error(wrong)
	}
}

func (w *nightWorld) judgeLogins(sc sim.Script, before sim.State) {
	now := w.sim.State()
	if n := now.Logins - before.Logins; n > sc.Expect.Logins {
		w.t.Errorf("%d new logins, want at most %d", n, sc.Expect.Logins)
	}
	if n := now.Requests["jslogin"] - before.Requests["jslogin"]; n > sc.Expect.QRCodes {
		w.t.Errorf("%d new QR codes, want at most %d", n, sc.Expect.QRCodes)
	}
}

// judgeTimes wants the loss to be seen in health in time, and the way back to
// take no longer than said from the fault's end, or from the next try that was
// planned then.
func (w *nightWorld) judgeTimes(sc sim.Script, began time.Time) {
	begin, end := sc.Faults()
	samples := w.seen.samples(began)
	bad := slices.IndexFunc(samples, func(s nightSample) bool { return s.health.Connection.Status == monitor.Fail })
	if sc.Expect.Noticed > 0 && (bad < 0 || samples[bad].at.Sub(began.Add(begin)) > sc.Expect.Noticed) {
		w.t.Errorf("health did not tell within %s", sc.Expect.Noticed)
	}
	if sc.Expect.Back == 0 {
		return
	}
	ended := began.Add(end)
	over := ended
	for _, s := range samples {
		// A try that was under way at the end may have planned the next one since.
		near := s.at.After(ended.Add(-time.Second)) && s.at.Before(ended.Add(2*time.Second))
		if retry := s.c.RetryAt; near && retry != nil && retry.After(over) {
			over = *retry
		}
	}
	for _, s := range samples {
		if s.at.After(over.Add(sc.Expect.Back)) && s.at.Before(over.Add(time.Hour)) && s.health.Connection.Status != monitor.Pass {
			w.t.Errorf("%s after the fault's end, or the try that was planned then, it is %s", s.at.Sub(over), s.c.State)
			return
		}
	}
}

// Lines of the log hold no text of a message and no secret.
var nightSecrets = regexp.MustCompile(`message \d|incoming \d|(?i)skey|pass_ticket|wxsid|hidden room`)

// judgeWords looks at records, alerts and the log.
func (w *nightWorld) judgeWords(want nightFacts, began time.Time) {
	if n := losses(w.seen.since(began)); n != want.outages {
		w.t.Errorf("the connection was lost %d times, want %d", n, want.outages)
	}
	if n := w.seen.loud(); n >= 20*max(1, want.faults) {
		w.t.Errorf("%d warnings and errors in the log", n)
	}
	if found := nightSecrets.FindString(w.seen.text()); found != "" {
		w.t.Errorf("the log has %q", found)
	}
	w.nats.mu.Lock()
	defer w.nats.mu.Unlock()
	if !slices.Equal(w.nats.alerts, want.alerts) {
		w.t.Errorf("alerts: %v, want %v", w.nats.alerts, want.alerts)
	}
}

func (w *nightWorld) judgeMessages(want nightFacts) {
	r := w.reckon(want.ambiguous)
	if !r.OK() || r.ByState[wire.Sent] != len(w.commands) {
		w.t.Errorf("the ledgers:\n%s", r)
	}
}

// judgeRequests counts what the bridge asks of WeChat during the faults,
// besides the sends.
func (w *nightWorld) judgeRequests(sc sim.Script, began time.Time) {
	begin, end := sc.Faults()
	var first, last nightSample
	for _, s := range w.seen.samples(began.Add(begin)) {
		if first.at.IsZero() {
			first = s
		}
		if s.at.Sub(began) <= end {
			last = s
		}
	}
	// Each message that comes in is a poll and a sync.
	told := 0.0
	if every := sc.Load.Incoming.Every; every > 0 {
		told = 2 / every.Seconds()
	}
	n := float64(last.requests-first.requests-(last.sends-first.sends)) / last.at.Sub(first.at).Seconds()
	if n > 0.5+told {
		w.t.Errorf("%.2f requests a second beside the sends", n)
	}
}

// tell is for who looks for the cause.
func (w *nightWorld) tell(began time.Time) {
	var b strings.Builder
	for i, s := range w.seen.states {
		reason := ""
		if s.Reason != nil {
			reason = s.Reason.Class + " " + s.Reason.Code
		}
		fmt.Fprintf(&b, "%s %s %s %s\n", w.seen.times[i].Sub(began).Round(time.Millisecond), s.State, s.Sending, reason)
	}
	w.t.Logf("hits %v\n%s\n%s", w.seen.hits(), b.String(), w.seen.text())
}
