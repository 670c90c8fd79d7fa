package link

import (
	"slices"
	"time"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/classifier"
)

// work is what runs now; at most one thing does, besides a probe while the
// sink works.
type work int

const (
	resting  work = iota // nothing, perhaps until a planned moment
	asking               // the breaker
	climbing             // a rung of the ladder
	polling
	taking
	probing
	leaving // a logout
)

// plan is what the planned moment is for.
type plan int

const (
	planNothing plan = iota
	planAttempt
	planPoll
	planTake
)

// machine is everything that decides. It is a value: step gives a new one.
type machine struct {
	limits  Limits
	silence time.Duration

	state  State
	since  time.Time
	reason classifier.Verdict
	work   work
	gen    uint64
	rung   wechat.Rung // of the attempt that runs or comes next

	plan    plan
	retryAt time.Time

	proving  bool // a session is open, no good poll yet
	lost     bool // there was a connection before
	outage   bool // something was lost since the breaker last closed: the next closing ramps
	examine  bool // the lost session is still open and is probed first
	reserved bool // the newest entry of the budget is this attempt's
	scanned  bool // somebody reacted to this attempt
	shown    bool // a code of this attempt was shown
	granted  bool // the phone has confirmed this attempt
	step     *wechat.LoginStep

	pollFails, doubts, takeFails, quick int
	sideProbe                           bool
	goodSince                           time.Time // of the present run of good polls
	lastPulse                           time.Time // last good answer to a poll or probe
	checked                             time.Time // last time that one was asked for
	awoke                               time.Time // last time that the clocks jumped
	slowedUntil                         time.Time
	polls, probes                       spacing
	tries                               int // attempts that were answered "too often"
	current                             wechat.Identity
	changed                             bool // another identity than the backlog's

	mem memory
}

// turn is one step in the making.
type turn struct {
	machine
	now time.Time
	rnd float64
	fx  []effect
}

// step is the machine: a pure function of state, event, time and one random
// number in [0,1).
func step(m machine, e event, now time.Time, rnd float64) (machine, []effect) {
	t := &turn{machine: m, now: now, rnd: rnd}
	if t.state == Stopped {
		t.answer(e, ErrStopped)
		return t.machine, t.fx
	}
	t.handle(e)
	return t.machine, t.fx
}

// handle gives the event to its method; what belongs to an older attempt is
// dropped.
func (t *turn) handle(e event) {
	switch e.kind {
	case evStart:
		t.start(e.memory)
	case evTimer:
		t.timer()
	case evOpened:
		t.opened(e.verdict)
	case evJump:
		t.jumped(e.lasted)
	case evLoginCommand:
		t.answer(e, t.loginCommand(e.force))
	case evLogoutCommand:
		t.logoutCommand(e)
	case evPauseCommand:
		t.pause(e, true)
	case evResumeCommand:
		t.pause(e, false)
	case evStop:
		t.stop()
	default:
		if e.gen == t.gen {
			t.ofThisSession(e)
		}
	}
}

func (t *turn) ofThisSession(e event) {
	switch e.kind {
	case evAllowed:
		t.allowed()
	case evRefused:
		t.wait(planAttempt, e.lasted+refusedPause)
	case evStep:
		t.loginStep(e.step)
	case evLogin:
		t.loggedIn(e.identity)
	case evLoginFault:
		t.loginFault(e.verdict, e.noRung)
	case evPoll:
		t.pulse(e.filled, e.lasted)
	case evHeld:
		t.held()
	case evPollFault:
		t.pollFault(e.verdict)
	case evTaken:
		t.taken()
	case evTakeFault:
		t.takeFault(e.verdict)
	case evProbe, evProbeFault:
		switch {
		case !t.sideProbe && t.work != probing: // what it was asked for is over
		case e.kind == evProbe:
			t.probed()
		default:
			t.probeFault(e.verdict, e.missing)
		}
	case evSend:
		t.sendFault(e.verdict)
	case evLogoutDone:
		t.work = resting
		t.do(effect{does: fxClose})
	}
}

func (t *turn) do(fx effect) { t.fx = append(t.fx, fx) }

func (t *turn) answer(e event, err error) {
	if e.kind == evLoginCommand || e.kind == evLogoutCommand || e.kind == evPauseCommand || e.kind == evResumeCommand {
		t.do(effect{does: fxAnswer, err: err})
	}
}

func (t *turn) save() { t.do(effect{does: fxSave}) }

func (t *turn) enter(s State) {
	if t.state != s {
		t.state, t.since = s, t.now
	}
}

// wait plans the next thing.
func (t *turn) wait(p plan, d time.Duration) {
	t.work, t.plan, t.retryAt = resting, p, t.now.Add(d)
}

// start goes on where the memory says.
func (t *turn) start(m memory) {
	t.mem = m
	t.outage = m.Attempt > 0 || m.Blocked != ""
	t.save() // times that made no sense were bounded: that holds over the next start, too
	switch {
	case m.Blocked != "":
		t.reason, _ = classifier.Known(m.Blocked)
		t.enter(Blocked)
	case m.LoggedOut:
		t.reason, _ = classifier.Known("logged_out")
		t.enter(LoggedOut)
	default:
		t.reason = classifier.Verdict{}
		t.rung = wechat.Stored
		t.wait(planAttempt, max(m.RetryAt.Sub(t.now), 0))
	}
}

func (t *turn) timer() {
	if !t.now.Before(t.slowedUntil) {
		t.slowedUntil = time.Time{}
	}
	if t.stale() {
		t.probeAside(false)
	}
	if t.work != resting || t.plan == planNothing || t.now.Before(t.retryAt) {
		return
	}
	p := t.plan
	t.plan, t.retryAt = planNothing, time.Time{}
	switch p {
	case planAttempt:
		t.attempt()
	case planPoll:
		t.poll()
	case planTake:
		t.work = taking
		t.do(effect{does: fxTake})
	}
}

// stale says that the sink, or a wait that WeChat asked for, has kept the link
// from polling for so long that WeChat must be asked whether it is still there.
func (t *turn) stale() bool {
	at, ok := t.staleAt()
	return ok && !t.now.Before(at)
}

// staleAt is when stale begins to be true.
func (m *machine) staleAt() (time.Time, bool) {
	idle := m.work == taking || m.work == resting && (m.plan == planTake || m.plan == planPoll)
	if !idle || m.sideProbe || m.state != Connected {
		return time.Time{}, false
	}
	at := m.checked.Add(m.silence)
	return at.Add(m.probes.free(at)), true
}

// wake is when the machine wants evTimer next; zero for never.
func (m *machine) wake() time.Time {
	var next time.Time
	sooner := func(at time.Time) {
		if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	if m.work == resting && m.plan != planNothing {
		sooner(m.retryAt)
	}
	if !m.slowedUntil.IsZero() {
		sooner(m.slowedUntil)
	}
	if at, ok := m.staleAt(); ok {
		sooner(at)
	}
	return next
}

func (t *turn) pause(e event, paused bool) {
	t.mem.Paused = paused
	if !paused && t.changed {
		t.changed = false
		t.mem.remember(t.current)
		t.reason = classifier.Verdict{}
	}
	t.save()
	t.answer(e, nil)
}

func (t *turn) stop() {
	t.refund()
	t.mem.RetryAt = time.Time{} // an orderly stop is no crash: the next start need not wait
	if t.rung == wechat.QR {
		t.mem.QRNumber = 0
	}
	t.abandon()
	t.enter(Stopped)
	t.save()
}

// abandon ends whatever runs, and the connection if there is one.
func (t *turn) abandon() {
	t.gen++
	t.outage = t.outage || t.state == Connected
	v, _ := classifier.Known("not_logged_in")
	t.do(effect{does: fxSettle, verdict: v})
	t.do(effect{does: fxTrip, verdict: v})
	t.do(effect{does: fxClose})
	t.reset()
	t.examine = false
}

// reset forgets what belongs to a session.
func (t *turn) reset() {
	t.work, t.plan, t.retryAt = resting, planNothing, time.Time{}
	t.proving, t.sideProbe, t.step = false, false, nil
	t.pollFails, t.doubts, t.takeFails, t.quick = 0, 0, 0, 0
	t.goodSince = time.Time{}
	t.polls, t.probes = spacing{}, spacing{}
}

// refund gives a login back to the budget that nobody saw.
func (t *turn) refund() {
	if t.reserved && !t.scanned {
		t.mem.Logins = slices.Clone(t.mem.Logins[:len(t.mem.Logins)-1])
	}
	t.reserved = false
}
