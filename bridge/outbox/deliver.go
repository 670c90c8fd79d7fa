package outbox

import (
	"errors"
	"time"

	"wechat-bridge/bridge/wire"
	"wechat-bridge/classifier"
)

// what became of one turn of a delivery.
type what int

const (
	done    what = iota // its chain is final
	repeat              // its turn comes again after a wait
	refused             // the gate is closed
	left                // the process ends: leave it as it is
)

type outcome struct {
	what  what
	state wire.State // done
	wait  time.Duration
	sent  bool // WeChat was asked
	// counted: expirer or degrader have ended it, and taken it out of the figures.
	counted bool
}

// ended is a delivery whose chain is final already. A later command can have
// its id only if it was rejected.
func ended(last *record, c command) outcome {
	if !last.of(c) {
		return outcome{what: done, state: wire.Rejected}
	}
	return outcome{what: done, state: finalState(last), counted: last.State == wire.Expired || last.Code == codeByFallback}
}

// deliver is one turn of a lane's delivery, outside the loop.
func (c *courier) deliver(l *lane, d *delivery) {
	o := c.turn(d)
	if !o.sent {
		c.pace.giveBack(d.counted)
	}
	d.counted = false
	switch o.what {
	case done:
		c.finish(l, d, o)
	case left:
		c.post(func() { c.inFlight-- })
	default:
		c.post(func() { c.putBack(l, o) })
	}
}

func (c *courier) putBack(l *lane, o outcome) {
	c.inFlight--
	if o.what == refused {
		c.refused()
	}
	l.giveBack(time.Now().Add(o.wait))
	c.wake(l)
}

// finish frees the lane and acknowledges what is final; l may be nil.
func (c *courier) finish(l *lane, d *delivery, o outcome) {
	if o.what != done {
		if l == nil {
			c.released(d)
		}
		return
	}
	c.post(func() { c.freed(l, d) })
	if err := c.lists.ended(c.work, d.item, d.trace, o.state); errors.Is(err, wire.ErrInvalid) {
		c.log.Error().Err(err).Str("event", "outbox_list").Str("key", d.Key).Msg("a list does not learn of its part")
	} else if err != nil {
		return
	}
	if d.queue != nil {
		if !c.unpark(c.work, d.seq) {
			return
		}
	} else {
		if persist(c.work, c.log, "acknowledge", func() error { return d.feed.Done(c.work, d.seq) }) != nil {
			return
		}
		d.feed.release(1)
	}
	if !o.counted {
		c.counts.waiting.Add(-1)
	}
	c.post(func() { c.forget(d) })
}

// released lets a parked head be looked at again.
func (c *courier) released(d *delivery) {
	if d.queue != nil {
		c.post(func() { d.queue.writing = false })
	}
}

func (c *courier) freed(l *lane, d *delivery) {
	if l != nil {
		c.inFlight--
		l.busy = nil
	}
	if q := d.queue; q != nil && q.head == d {
		q.head, q.writing = nil, false
		c.load(q)
	}
	if l != nil {
		c.wake(l)
	}
}

func (c *courier) forget(d *delivery) {
	if name := (held{d.Key, d.StreamSeq}); c.held[name] == d {
		delete(c.held, name)
	}
}

// locate reads where a delivery's chain is.
func (c *courier) locate(d *delivery) (record, position, error) {
	last, err := c.chain.last(c.ctx, d.Key)
	if err != nil {
		return last, posLost, err
	}
	pos := decidePosition(&last, d.command(), c.me, d.marked)
	d.rec, d.prog = last.seq, progressOf(&last)
	if pos == posAmbiguous {
		d.prog.dup = true
	}
	if pos == posLost {
		c.log.Error().Str("event", "outbox_superseded").Str("key", d.Key).Uint64("epoch", last.Epoch).
			Msg("another worker has this account: nothing more is sent here")
	}
	return last, pos, nil
}

// abandon leaves a delivery as it is when the process or its time ends. One
// that can have no records is dropped: else its chat would wait for ever.
func (c *courier) abandon(d *delivery, err error) outcome {
	if !errors.Is(err, wire.ErrInvalid) {
		return outcome{what: left}
	}
	c.log.Error().Err(err).Str("event", "outbox_garbage").Uint64("seq", d.seq).Msg("a delivery that can have no records is dropped")
	return outcome{what: done, state: wire.Failed}
}

// turn takes a delivery as far as it can go now.
func (c *courier) turn(d *delivery) (o outcome) {
	sent := false
	defer func() { o.sent = o.sent || sent }()
	for {
		pos := posReady
		if d.rec == 0 {
			last, at, err := c.locate(d)
			switch {
			case err != nil || at == posLost:
				return c.abandon(d, err)
			case at == posDone:
				c.corrector.after(c.work, d, &last.Delivery)
				return ended(&last, d.command())
			}
			pos = at
		}
		if o, over := c.endEarly(d, pos); over {
			return o
		}
		o, moved := c.attempt(d, pos)
		if !moved {
			if pos == posMarked && !o.sent && o.what != done {
				return c.unmark(d, o)
			}
			return o
		}
		sent = sent || o.sent
		d.rec = 0 // somebody wrote to the chain: decide anew
	}
}

// endEarly ends what must not be sent: its time is over, or nobody may know
// whether it was sent already.
func (c *courier) endEarly(d *delivery, pos position) (outcome, bool) {
	now := time.Now()
	late := !d.Expires.IsZero() && !now.Before(d.Expires)
	switch {
	case pos == posMarked && late: // nothing was handed over
		d.prog.attempt--
		return c.end(d, expired(d.base(c.cfg.Account, c.cfg.Epoch), d.prog, now)), true
	case pos == posAmbiguous && (late || d.Report || d.prog.attempt >= maxAttempts):
		return c.end(d, unknown(d.base(c.cfg.Account, c.cfg.Epoch), d.prog, outcomeLost, now)), true
	case pos == posReady && late:
		return c.end(d, expired(d.base(c.cfg.Account, c.cfg.Epoch), d.prog, now)), true
	}
	return outcome{}, false
}

var outcomeLost = classifier.Verdict{
	Class: classifier.Unknown, Code: codeOutcomeLost,
	Message: classifier.Text{EN: "The bridge ended while WeChat's answer was awaited, so it cannot be known whether WeChat took it."},
}

// end writes a final record after the one that is known. A record that
// somebody else wrote in between is looked at in another turn.
func (c *courier) end(d *delivery, rec wire.Delivery) outcome {
	seq, _, err := c.chain.write(c.work, step{d.Key, d.rec, rec, d.trace})
	if err != nil {
		return outcome{what: left}
	}
	if seq == 0 {
		d.rec = 0
		return outcome{what: repeat}
	}
	c.corrector.after(c.work, d, &rec)
	return outcome{what: done, state: rec.State}
}

// reject ends a delivery as rejected, whatever record is last, unless it is
// final or may have been sent.
func (c *courier) reject(d *delivery, r *wire.Rejection, candidates []wire.Peer) outcome {
	for {
		if d.rec == 0 {
			last, pos, err := c.locate(d)
			switch {
			case err != nil || pos == posLost:
				return c.abandon(d, err)
			case pos == posDone:
				return ended(&last, d.command())
			}
		}
		base := d.base(c.cfg.Account, c.cfg.Epoch)
		rec := c.carry(d, rejected(base, r, candidates, time.Now()))
		if d.prog.dup { // an earlier attempt may have arrived
			rec = unknown(base, d.prog, outcomeLost, time.Now())
		}
		if o := c.end(d, rec); o.what != repeat {
			return o
		}
	}
}
