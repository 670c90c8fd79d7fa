package outbox

import (
	"context"
	"math/rand/v2"
	"time"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/bridge/wire"
	"wechat-bridge/classifier"
)

// attempt composes, asks the gate, and sends. moved says
// that the chain is not where it was thought to be.
func (c *courier) attempt(d *delivery, pos position) (o outcome, moved bool) {
	out, early := c.compose(d)
	if early != nil {
		return *early, false
	}
	if c.ctx.Err() != nil {
		return outcome{what: left}, false
	}
	sender, report, err := c.cfg.Gate.Admit()
	if err != nil {
		return outcome{what: refused}, false
	}
	if c.cfg.Peers.Generation() != d.gen { // the peer has another id now
		report(unused)
		return outcome{what: repeat}, false
	}
	if err := c.countSend(d); err != nil {
		report(unused)
		return outcome{what: repeat, wait: holdTime}, false
	}
	if pos != posMarked {
		if o, moved = c.mark(d); moved || o.what != done {
			report(unused)
			return o, moved
		}
	}
	d.marked = 0
	o, moved = c.send(d, out, sender, report)
	o.sent = true
	return o, moved
}

// countSend takes a send out of the day's before it is used, once in a turn.
// Like mark it does not wait for NATS for long.
func (c *courier) countSend(d *delivery) error {
	if d.counted {
		return nil
	}
	ctx, cancel := context.WithTimeout(c.work, markTime)
	defer cancel()
	err := c.pace.used(ctx, time.Now())
	d.counted = err == nil
	return err
}

// keepPace stores the slowdown; without it a crash would forget it, and the
// next complaint of WeChat would tell again.
func (c *courier) keepPace() {
	ctx, cancel := context.WithTimeout(c.work, markTime)
	defer cancel()
	if err := c.pace.keep(ctx); err != nil {
		c.log.Warn().Err(err).Str("event", "outbox_pace").Msg("the slower pace is not stored")
	}
}

// unused tells the breaker that an admission was given back: it says nothing
// about the connection.
var unused, _ = classifier.Known("cancelled")

// mark writes the sending record: durable before the first byte leaves. It
// does not wait for NATS for long, as the admission is somebody else's turn.
func (c *courier) mark(d *delivery) (o outcome, moved bool) {
	p := d.prog
	p.attempt++
	ctx, cancel := context.WithTimeout(c.work, markTime)
	defer cancel()
	rec := sending(d.base(c.cfg.Account, c.cfg.Epoch), p, d.peer.ID)
	seq, _, err := c.chain.write(ctx, step{d.Key, d.rec, rec, d.trace})
	switch {
	case c.work.Err() != nil:
		return outcome{what: left}, false
	case err != nil: // it may be stored all the same: locate tells
		d.marked = p.attempt
		return outcome{}, true
	case seq == 0:
		return outcome{}, true
	}
	d.rec, d.prog = seq, p
	return outcome{}, false
}

// unmark takes back a sending record upon which nothing was handed over: no
// attempt is used, and nothing is under way. Until then the delivery keeps its
// place among those in flight, so that a crash finds no more of them.
func (c *courier) unmark(d *delivery, o outcome) outcome {
	p := d.prog
	p.attempt--
	rec := retrying(d.base(c.cfg.Account, c.cfg.Epoch), p, heldBack, time.Now().Add(o.wait))
	seq, _, err := c.chain.write(c.work, step{d.Key, d.rec, rec, d.trace})
	if err != nil {
		return c.abandon(d, err)
	}
	d.marked, d.rec, d.prog = 0, seq, p
	return o
}

var heldBack = classifier.Verdict{
	Class: classifier.Broker, Code: codeHeldBack, Retryable: true, Certain: true, Recovery: classifier.RecoverRetry,
	Message: classifier.Text{
		EN: "Its record took so long to be stored that nothing was handed to WeChat any more.",
		ZH: "保存发送记录用时过长，消息没有再交给微信。",
	},
}

// throttles says to which part of itself the pace goes down after a verdict; 0
// is none.
func throttles(v classifier.Verdict) float64 {
	switch {
	case v.Class == classifier.RateLimited:
		return slowHalf
	case v.Code == "send_limited": // 1204 says so only among other things
		return slowSome
	}
	return 0
}

// slowDown lowers the pace if a verdict says that it is too high; tries are
// those in a row.
func (c *courier) slowDown(v classifier.Verdict, now time.Time, tries int) {
	if by := throttles(v); by > 0 {
		c.pace.throttled(now, delay(v, tries, rand.Float64()), by)
		c.keepPace()
	}
}

// send hands the message to WeChat and writes what became of it.
func (c *courier) send(d *delivery, out wechat.Outgoing, sender wechat.Sender, report func(classifier.Verdict)) (outcome, bool) {
	start := time.Now()
	c.corrector.begin(d, start)
	receipt, err := sender.Send(c.work, out)
	now := time.Now()
	v := ours(classifier.JudgeError(err), out.Media, d.source)
	report(v)
	a := attempt{verdict: v, took: now.Sub(start), report: d.Report, stopped: err != nil && c.work.Err() != nil}
	n, p := decideNext(d.prog, a)
	c.slowDown(v, now, d.tries)
	base := d.base(c.cfg.Account, c.cfg.Epoch)
	var rec wire.Delivery
	var wait time.Duration
	switch n {
	case nextLeave:
		return outcome{what: left}, false
	case nextSent:
		rec = sent(base, p, receipt.MessageID, receipt.Peer.ID, now)
	case nextFail:
		rec = failed(base, p, v, now)
	case nextUnknown:
		rec = unknown(base, p, v, now)
	default:
		wait = delay(v, d.tries, rand.Float64())
		if n == nextRetry {
			p.tried += wait
		}
		rec = retrying(base, p, v, now.Add(wait))
	}
	return c.concluded(d, rec, p, wait)
}

// concluded writes the record that follows an attempt.
func (c *courier) concluded(d *delivery, rec wire.Delivery, p progress, wait time.Duration) (outcome, bool) {
	seq, _, err := c.chain.write(c.work, step{d.Key, d.rec, rec, d.trace})
	switch {
	case err != nil:
		return outcome{what: left}, false
	case seq == 0:
		return outcome{}, true
	}
	c.corrector.after(c.work, d, &rec)
	if rec.State.Final() {
		return outcome{what: done, state: rec.State}, false
	}
	d.rec, d.prog = seq, p
	d.tries++
	return outcome{what: repeat, wait: wait}, false
}
