package link

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/classifier"
)

// world plays everything around the machine: the breaker, the session, and
// whatever the work that runs may end with.
type world struct {
	t        *rapid.T
	m        machine
	now      time.Time
	closed   bool
	openedAt time.Time
	probe    bool // the breaker's half-open probe is taken
	session  bool
	answered bool // WeChat answered a poll since the session was opened
	person   bool // somebody reacts to codes and prompts
	reacted  []time.Time
	queue    []event
}

var verdicts = []classifier.Verdict{
	netLost, sessOver, tooOften, known("session_doubtful"), known("server_error"), known("html_answer"),
	known("unknown"), known("request_refused"), known("qr_expired"), known("timeout"), known("no_pulse"),
	known("session_lost"), known("push_refused"), known("tls_untrusted"), known("storage_unavailable"), known("ticket_refused"),
}

var stops = []classifier.Verdict{known("restricted_account"), known("web_login_refused"), known("web_init_refused")}

// feed lets the machine decide and performs what it decides, checking each
// promise on the way.
func (w *world) feed(e event) {
	before := w.m
	var fx []effect
	w.m, fx = step(w.m, e, w.now, rapid.Float64Range(0, 0.999).Draw(w.t, "jitter"))
	if w.m.state == Connected && before.state != Connected && e.kind != evPoll && e.kind != evProbe {
		w.t.Fatalf("connected by event %v", e.kind)
	}
	if before.state == Blocked && w.m.state != Blocked && w.m.state != Stopped && !(e.kind == evLoginCommand && e.force) {
		w.t.Fatalf("left blocked by event %v", e.kind)
	}
	for _, f := range fx {
		w.perform(f)
	}
	w.check()
}

func (w *world) perform(f effect) {
	switch f.does {
	case fxAllow:
		if w.closed || w.probe {
			w.t.Fatalf("asked the breaker: closed %v, probe taken %v", w.closed, w.probe)
		}
		if w.now.Sub(w.openedAt) <= breakerTimeout {
			w.queue = append(w.queue, event{kind: evRefused, gen: w.m.gen})
			return
		}
		w.probe = true
		w.queue = append(w.queue, event{kind: evAllowed, gen: w.m.gen})
	case fxSettle:
		if w.probe {
			w.closed = f.verdict.OK()
			if !w.closed {
				w.openedAt = w.now
			}
		}
		w.probe = false
	case fxTrip:
		w.trip(f.verdict)
	case fxClimb:
		if !w.probe {
			w.t.Fatal("a login outside the breaker's probe")
		}
		if w.session {
			w.t.Fatal("a login while a session is open")
		}
	case fxPoll, fxTake, fxProbe:
		if !w.session {
			w.t.Fatalf("effect %v without a session", f.does)
		}
		if !w.closed && !w.probe {
			w.t.Fatalf("effect %v past an open breaker", f.does)
		}
	case fxClose:
		w.session = false
	}
}

func (w *world) trip(v classifier.Verdict) {
	if w.closed {
		w.closed, w.openedAt = false, w.now
		w.queue = append([]event{{kind: evOpened, verdict: v}}, w.queue...)
	}
}

// check holds between any two events.
func (w *world) check() {
	m := w.m
	if tripped := len(w.queue) > 0 && w.queue[0].kind == evOpened; !tripped && (m.state == Connected) != w.closed {
		w.t.Fatalf("state %s, breaker closed %v", m.state, w.closed)
	}
	if m.state == Connected && !w.answered {
		w.t.Fatal("connected without an answer of WeChat")
	}
	resting := m.work == resting && m.wake().IsZero() && len(w.queue) == 0
	if resting && m.state != Blocked && m.state != LoggedOut && m.state != Stopped {
		w.t.Fatalf("state %s has no way out", m.state)
	}
	if m.plan != planNothing && m.retryAt.Sub(w.now) > 24*time.Hour {
		w.t.Fatalf("waits for %v", m.retryAt.Sub(w.now))
	}
	w.budget()
}

func (w *world) budget() {
	hour, day := 0, 0
	for _, at := range w.reacted {
		if w.now.Sub(at) < time.Hour {
			hour++
		}
		if w.now.Sub(at) < 24*time.Hour {
			day++
		}
	}
	if hour > w.m.limits.LoginsPerHour || day > w.m.limits.LoginsPerDay {
		w.t.Fatalf("%d logins in an hour, %d in a day", hour, day)
	}
}

// drain delivers what is queued.
func (w *world) drain() {
	for len(w.queue) > 0 {
		e := w.queue[0]
		w.queue = w.queue[1:]
		w.feed(e)
	}
}

// good lets whatever runs end well.
func (w *world) good() {
	e := event{gen: w.m.gen}
	switch w.m.work {
	case climbing:
		w.climbed(e)
		return
	case polling:
		w.answered = true
		if w.m.proving && rapid.Bool().Draw(w.t, "held") {
			w.feed(event{kind: evHeld, gen: w.m.gen})
			w.feed(event{kind: evProbe, gen: w.m.gen})
			return
		}
		e.kind, e.lasted = evPoll, 25*time.Second
	case taking:
		e.kind = evTaken
	case probing:
		e.kind = evProbe
	case leaving:
		e.kind = evLogoutDone
	default:
		w.tick()
		return
	}
	w.feed(e)
}

// climbed is a rung that works; a new login needs a person.
func (w *world) climbed(e event) {
	if w.m.rung >= wechat.Push {
		if !w.person {
			e.kind, e.verdict = evLoginFault, known("qr_expired")
			w.feed(e)
			return
		}
		w.reacted = append(w.reacted, w.now)
		w.feed(event{kind: evStep, gen: e.gen, step: wechat.LoginStep{Kind: wechat.StepConfirm}})
	}
	w.session, w.answered = true, false
	e.kind, e.identity = evLogin, wechat.Identity{ID: "1"}
	w.feed(e)
}

// bad lets whatever runs fail.
func (w *world) bad(v classifier.Verdict, noRung bool) {
	e := event{gen: w.m.gen, verdict: v}
	switch w.m.work {
	case climbing:
		e.kind, e.noRung = evLoginFault, noRung
	case polling:
		e.kind = evPollFault
		w.reportOf(v)
	case taking:
		e.kind = evTakeFault
	case probing:
		e.kind, e.missing = evProbeFault, noRung
		w.reportOf(v)
	default:
		w.tick()
		return
	}
	w.drain()
	w.feed(e)
}

// reportOf is the report to the breaker that goes before the event.
func (w *world) reportOf(v classifier.Verdict) {
	if v.Final {
		w.trip(v)
	}
}

// tick lets time go by until the machine wants something.
func (w *world) tick() {
	if at := w.m.wake(); at.After(w.now) {
		w.now = at
	}
	w.feed(event{kind: evTimer})
}

func (w *world) act() {
	w.now = w.now.Add(time.Duration(rapid.IntRange(0, 30).Draw(w.t, "seconds")) * time.Second)
	switch rapid.IntRange(0, 11).Draw(w.t, "act") {
	case 0, 1, 2:
		w.good()
	case 3, 4:
		w.bad(rapid.SampledFrom(verdicts).Draw(w.t, "verdict"), rapid.Bool().Draw(w.t, "missing"))
	case 5:
		if rapid.IntRange(0, 5).Draw(w.t, "stop") == 0 {
			w.bad(rapid.SampledFrom(stops).Draw(w.t, "verdict"), false)
		}
	case 6:
		w.trip(rapid.SampledFrom(verdicts).Draw(w.t, "verdict")) // sends have opened it
	case 7:
		k := kind(rapid.IntRange(int(evAllowed), int(evSend)).Draw(w.t, "stale"))
		if k != evOpened {
			w.feed(event{kind: k, gen: w.m.gen + 7, verdict: sessOver})
		}
	case 8:
		w.command()
	case 9:
		w.person = !w.person
	default:
		w.tick()
	}
	w.drain()
}

func (w *world) command() {
	e := event{kind: rapid.SampledFrom([]kind{evLoginCommand, evLogoutCommand, evPauseCommand, evResumeCommand}).Draw(w.t, "command")}
	e.force = rapid.Bool().Draw(w.t, "force")
	w.feed(e)
}

// crash starts anew on the memory as it was stored.
func (w *world) crash() {
	mem := w.m.mem
	w.m = fresh()
	w.closed, w.probe, w.session, w.answered, w.queue = false, false, false, false, nil
	w.openedAt = w.now
	w.feed(event{kind: evStart, memory: mem})
}

func TestPropertyTheMachineKeepsItsPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{t: t, m: fresh(), now: t0, openedAt: t0}
		w.feed(event{kind: evStart})
		for range rapid.IntRange(1, 120).Draw(t, "events") {
			if rapid.IntRange(0, 40).Draw(t, "crash") == 0 {
				w.crash()
			}
			w.act()
		}
		w.person = true // the faults are lifted, and somebody has the phone
		for range 400 {
			if s := w.m.state; s == Connected || s == Blocked || s == LoggedOut {
				return
			}
			w.good()
			w.drain()
		}
		t.Fatalf("stuck in %s: work %v plan %v rung %v", w.m.state, w.m.work, w.m.plan, w.m.rung)
	})
}
