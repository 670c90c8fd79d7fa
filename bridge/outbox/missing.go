package outbox

import (
	"time"

	"wechat-bridge/bridge/wire"
)

// waitedEnough reports that the recipient of a queue's head had its time to
// appear. An outage is no such time: no contacts load in it, and after it the
// rooms need a moment to show themselves.
func (c *courier) waitedEnough(q *queue, wait wait) bool {
	c.checkGate()
	if !c.open {
		return false
	}
	if !q.missing {
		q.missing, q.since = true, c.openTime()
	}
	waited := c.openTime() - q.since
	if wait == waitLoading && waited < loadPatience {
		return false
	}
	if d := q.head; d.WaitUntil.IsZero() { // it had a lane until a login forgot the peer
		d.WaitUntil = time.Now().Add(c.cfg.RecipientWait - waited)
		if waited < c.cfg.RecipientWait {
			c.sayMissing(q)
			return false
		}
	}
	needed := c.cfg.RecipientWait
	if wait == waitVisible {
		waited, needed = time.Since(c.openedAt), min(time.Minute, needed)
	}
	return !time.Now().Before(q.head.WaitUntil) && waited >= needed
}

// sayMissing writes that a queue's head waits for its recipient.
func (c *courier) sayMissing(q *queue) {
	d := q.head
	q.writing = true
	c.jobs.Go(func() {
		switch o := c.sayWaiting(d); o.what {
		case left:
		case done:
			c.finish(nil, d, o)
		default:
			c.post(func() { q.writing = false; c.attach(q) })
		}
	})
}

// sayWaiting writes once why a delivery waits. Its outcome is repeat where it
// waits now, done where it has ended meanwhile.
func (c *courier) sayWaiting(d *delivery) outcome {
	if d.WaitUntil.IsZero() {
		d.WaitUntil = time.Now().Add(c.cfg.RecipientWait)
	}
	for !d.Waited {
		if d.rec == 0 {
			last, pos, err := c.locate(d)
			switch {
			case err != nil || pos == posLost:
				return c.abandon(d, err)
			case pos == posDone:
				return ended(&last, d.command())
			case pos != posReady || last.State == wire.Waiting && last.Code == codeNotVisible:
				d.waitsSince(&last)
				return outcome{what: repeat}
			}
		}
		_, miss := c.cfg.Peers.Resolve(d.query())
		rec := waiting(d.base(c.cfg.Account, c.cfg.Epoch), nearestOf(miss), "Nobody is visible as "+d.To.Describe()+" yet.", d.WaitUntil)
		seq, _, err := c.chain.write(c.work, step{d.Key, d.rec, c.carry(d, rec), d.trace})
		if err != nil {
			return c.abandon(d, err)
		}
		d.rec, d.Rec, d.Waited = seq, seq, seq > 0
	}
	return outcome{what: repeat}
}

// waitsSince goes on with the wait that an earlier process has begun. What its
// chain means is looked at again when it ends.
func (d *delivery) waitsSince(last *record) {
	d.Waited, d.Rec, d.rec = true, 0, 0
	if last.Code == codeNotVisible && last.RetryAt != nil {
		d.WaitUntil = *last.RetryAt
	}
}

func (c *courier) carry(d *delivery, rec wire.Delivery) wire.Delivery {
	certain := rec.Certain
	rec = d.prog.on(rec)
	rec.Certain = rec.Certain && certain
	return rec
}
