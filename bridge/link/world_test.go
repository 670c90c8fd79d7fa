package link

import (
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
	now      time.Time     // of a clock that nobody sets
	skew     time.Duration // of the wall clock
	closed   bool
	openedAt time.Time
	probe    bool // the breaker's half-open probe is taken
	session  bool
	answered bool // WeChat answered a poll since the session was opened
	person   bool // somebody reacts to codes and prompts
	reacted  []time.Time
	queue    []event
	seen     map[any]int // what was reached
}

var verdicts = []classifier.Verdict{
	netLost, sessOver, tooOften, known("session_doubtful"), known("server_error"), known("html_answer"),
	known("unknown"), known("request_refused"), known("qr_expired"), known("timeout"), known("no_pulse"),
	known("session_lost"), known("push_refused"), known("tls_untrusted"), known("storage_unavailable"), known("ticket_refused"),
}

// waits are what servers ask for, sane or not.
var waits = []time.Duration{0, 0, 0, time.Second, 10 * time.Minute, time.Hour, 10 * 365 * 24 * time.Hour, -1, -1 << 63, 1<<63 - 1}

var stops = []classifier.Verdict{known("restricted_account"), known("web_login_refused"), known("web_init_refused")}

// feed lets the machine decide and performs what it decides, checking each
// promise on the way.
func (w *world) feed(e event) {
	before := w.m
	var fx []effect
	w.m, fx = step(w.m, e, w.wall(), rapid.Float64Range(0, 0.999).Draw(w.t, "jitter"))
	if w.m.state == Connected && before.state != Connected && !(before.proving && (e.kind == evPoll || e.kind == evProbe)) {
		w.t.Fatalf("connected by event %v, proving %v", e.kind, before.proving)
	}
	if before.state == Blocked && w.m.state != Blocked && w.m.state != Stopped && !(e.kind == evLoginCommand && e.force) {
		w.t.Fatalf("left blocked by event %v", e.kind)
	}
	for _, f := range fx {
		w.perform(f)
	}
	w.check()
	w.note(before, e)
}

// note keeps what was reached, so that a property over too little is seen.
func (w *world) note(before machine, e event) {
	for _, x := range []any{w.m.state, w.m.work, w.m.plan, w.m.rung, w.m.reason.Code} {
		w.seen[x]++
	}
	switch {
	case w.m.work == probing && w.m.state != Connected:
		w.seen["examined"]++
	case e.verdict.Code == noPulse && before.slept():
		w.seen["slept"]++
	case before.proving && w.m.proving && e.kind == evPollFault && e.verdict.Class == classifier.RateLimited:
		w.seen["throttled while proving"]++
	}
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
			if w.closed {
				w.seen[map[bool]string{true: "ramp", false: "no ramp"}[f.slowly]]++
			}
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

// wall is the time as the machine sees it.
func (w *world) wall() time.Time { return w.now.Add(w.skew) }

// set moves the wall clock as a person or NTP does. What the machine compares
// among its own is monotonic in earnest, so that goes along; what it stores is
// its own business.
func (w *world) set(by time.Duration) {
	w.skew += by
	m := &w.m
	for _, at := range []*time.Time{
		&m.since, &m.retryAt, &m.goodSince, &m.lastPulse, &m.checked, &m.slowedUntil, &m.awoke,
		&m.polls.last, &m.polls.until, &m.probes.last, &m.probes.until,
	} {
		if !at.IsZero() {
			*at = at.Add(by)
		}
	}
	w.feed(event{kind: evJump, lasted: by})
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
	idle, planned := m.work == resting, m.plan != planNothing
	switch {
	case idle && !planned && !stays(m.state) && len(w.queue) == 0:
		w.t.Fatalf("state %s has no way out", m.state)
	case !idle && planned:
		w.t.Fatalf("work %v and plan %v at a time", m.work, m.plan)
	case planned && m.wake().IsZero():
		w.t.Fatalf("plan %v, and nobody wakes it", m.plan)
	}
	if d := m.retryAt.Sub(w.wall()); m.plan != planNothing && d > longest(m) {
		w.t.Fatalf("plan %v (%s) waits for %v", m.plan, m.reason.Code, d)
	}
	w.budget()
}

// stays says that a state is left by a person only.
func stays(s State) bool { return s == Blocked || s == LoggedOut || s == Stopped }

// longest is the longest wait there is for what is planned.
func longest(m machine) time.Duration {
	switch {
	case m.plan == planTake:
		return takeCap
	case m.reason.Code == "login_budget_used":
		return 24 * time.Hour
	}
	return maxTold
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
		e.filled = rapid.Bool().Draw(w.t, "filled")
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
		if noRung {
			e.verdict = classifier.Verdict{}
		} else {
			w.reportOf(v)
		}
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
	if d := w.m.wake().Sub(w.wall()); d > 0 {
		w.now = w.now.Add(d)
	}
	w.feed(event{kind: evTimer})
}
