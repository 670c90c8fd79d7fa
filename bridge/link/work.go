package link

import (
	"context"
	"errors"
	"time"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/classifier"
)

var errSilent = errors.New("no answer within the hold time and its slack")

// climb takes one rung. A new login waits until the budget that it was taken
// from rests in storage, so that a crash loop is no login loop.
func (l *Link) climb(ctx context.Context, gen uint64, rung wechat.Rung) {
	ctx, cancel := context.WithTimeout(ctx, rungTime(rung))
	defer cancel()
	if err := l.ready(ctx, rung); err != nil {
		v, _ := classifier.Known("storage_unavailable")
		l.mail.put(event{kind: evLoginFault, gen: gen, rung: rung, verdict: v})
		return
	}
	sess, err := await(ctx, grace, func(ctx context.Context) (wechat.Session, error) {
		return l.login(ctx, gen, rung)
	}, closeLate)
	switch {
	case err == nil && ctx.Err() != nil:
		closeLate(sess, nil)
	case err == nil:
		l.mail.put(event{kind: evLogin, gen: gen, session: sess, identity: sess.Identity()})
		return
	}
	l.mail.put(loginFault(ctx, gen, rung, err))
}

func (l *Link) login(ctx context.Context, gen uint64, rung wechat.Rung) (wechat.Session, error) {
	select {
	case l.turns <- struct{}{}:
		defer func() { <-l.turns }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	return l.cfg.Transport.Login(ctx, l.loginRequest(gen, rung))
}

func closeLate(s wechat.Session, err error) {
	if err == nil && s != nil {
		_ = s.Close() // nobody waits for it any more
	}
}

// ready waits until the former session is closed and, for a new login, until
// the memory rests.
func (l *Link) ready(ctx context.Context, rung wechat.Rung) error {
	if closing := l.closing.Load(); closing != nil {
		select {
		case <-*closing:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	select { // digits of an earlier login
	case <-l.codes:
	default:
	}
	if rung < wechat.Push {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, endTime)
	defer cancel()
	return l.saver.flush(ctx)
}

func (l *Link) loginRequest(gen uint64, rung wechat.Rung) wechat.LoginRequest {
	return wechat.LoginRequest{
		Rung: rung,
		Code: l.codes,
		Step: func(s wechat.LoginStep) { l.mail.put(event{kind: evStep, gen: gen, step: s}) },
	}
}

func rungTime(r wechat.Rung) time.Duration {
	switch r {
	case wechat.Push:
		return pushTime
	case wechat.QR:
		return qrTime
	}
	return loginTime
}

// loginFault names why a rung failed. A rung that waits for a person and runs
// out of time is a code that expired, not a network that hangs.
func loginFault(ctx context.Context, gen uint64, rung wechat.Rung, err error) event {
	e := event{kind: evLoginFault, gen: gen, rung: rung, fault: faultIn(err)}
	switch {
	case errors.Is(err, wechat.ErrNoRung):
		e.noRung = true
		e.verdict, _ = classifier.Known("not_logged_in")
	case ctx.Err() != nil && rung >= wechat.Push:
		e.verdict, _ = classifier.Known("qr_expired")
	case ctx.Err() != nil:
		e.verdict, _ = classifier.Known("timeout")
	default:
		e.verdict = classifier.JudgeError(err)
	}
	return e
}

// noPulse is the code of silence.
const noPulse = "no_pulse"

// poll waits for what happens, under a deadline: silence is a loss although
// the socket is open. first is the poll that proves a login, which runs within
// the breaker's probe.
func (l *Link) poll(ctx context.Context, gen uint64, s *session, first bool) {
	var done func(error)
	if first {
		held := time.AfterFunc(heldTime, func() { l.mail.put(event{kind: evHeld, gen: gen}) })
		defer held.Stop()
		done = l.firstDone
	} else {
		var err error
		if done, err = l.breaker.admit(); err != nil {
			return // it has opened, and the loop is about to be told
		}
	}
	start := time.Now()
	held, cancel := context.WithTimeoutCause(ctx, l.silence, errSilent)
	defer cancel()
	batch, err := await(held, pollGrace, s.Receive, nil)
	end := pollEnd{
		err: err, cancelled: ctx.Err() != nil, silent: errors.Is(context.Cause(held), errSilent),
		whole: time.Since(start) >= l.hold,
	}
	e, outcome := end.judge()
	done(outcome)
	if end.cancelled && err != nil {
		return
	}
	e.gen, e.batch, e.lasted = gen, batch, time.Since(start)
	e.filled = len(batch.Events) > 0 || batch.Cursor != nil
	l.mail.put(e)
}

// firstDone reports a first poll that went on after it had closed the breaker;
// before, its outcome is that of the probe, which the loop reports.
func (l *Link) firstDone(outcome error) {
	if done, err := l.breaker.admit(); err == nil {
		done(outcome)
	}
}

// pollEnd is how a poll ended.
type pollEnd struct {
	err       error
	cancelled bool // by the link itself
	silent    bool // the deadline has passed
	whole     bool // it lasted for at least the hold time
}

// judge gives the event for the machine and the outcome for the breaker.
func (p pollEnd) judge() (event, error) {
	e := event{kind: evPollFault, fault: faultIn(p.err)}
	switch {
	case p.err == nil:
		return event{kind: evPoll}, nil
	case p.cancelled:
		return e, outcome{}
	case p.silent:
		e.verdict, _ = classifier.Known(noPulse)
		return e, outcome{} // whether it is a loss the machine decides: time may have stood still
	}
	e.verdict = classifier.JudgeError(p.err)
	if e.verdict.Code == "timeout" && p.whole { // the transport was first to notice
		p.silent = true
		return p.judge()
	}
	if doubtful(e.verdict) {
		return e, outcome{}
	}
	return e, report(e.verdict)
}

// take hands the batch to the sink.
func (l *Link) take(ctx context.Context, gen uint64, s *session, b wechat.Batch) {
	err := l.cfg.Sink.Take(ctx, s, b)
	if ctx.Err() != nil {
		return
	}
	e := event{kind: evTaken, gen: gen}
	if err != nil {
		e.kind = evTakeFault
		e.verdict, _ = classifier.Known("storage_unavailable")
	}
	l.mail.put(e)
}

// ask makes the cheap request. first is within the breaker's probe.
func (l *Link) ask(ctx context.Context, gen uint64, s *session, first bool) {
	e := event{kind: evProbe, gen: gen}
	prober, ok := s.Session.(wechat.Prober)
	if !ok {
		e.kind, e.missing = evProbeFault, true
		l.mail.put(e)
		return
	}
	done := func(error) {}
	if !first {
		var err error
		if done, err = l.breaker.admit(); err != nil {
			return
		}
	}
	limited, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	_, err := await(limited, grace, func(ctx context.Context) (struct{}, error) { return struct{}{}, prober.Probe(ctx) }, nil)
	if ctx.Err() != nil {
		done(outcome{})
		return
	}
	if err != nil {
		e.kind, e.verdict, e.fault = evProbeFault, probeVerdict(limited, err), faultIn(err)
	}
	if e.verdict.Class == classifier.RateLimited { // an answer: it ends a run of failures
		done(nil)
	} else {
		done(report(e.verdict))
	}
	l.mail.put(e)
}

func probeVerdict(ctx context.Context, err error) classifier.Verdict {
	if ctx.Err() != nil {
		v, _ := classifier.Known("timeout")
		return v
	}
	return classifier.JudgeError(err)
}
