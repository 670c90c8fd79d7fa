package outbox

import (
	"context"
	"strconv"
	"strings"
	"time"

	"wechat-bridge/bridge/wire"
)

// queue is one token of the parking, of one priority. Only its head is in memory. Whom it goes
// to is asked anew for each head, so that a token means nothing.
type queue struct {
	token   string
	high    bool
	lane    *lane // of the head; nil while that has none
	head    *delivery
	floor   order       // nothing in it is older; zero = not known
	cursor  uint64      // the head is looked for after it
	loading bool        // the head is being read
	again   bool        // more was parked meanwhile: an answer "nothing" is out of date
	parking bool        // pending ones are being written
	pending []*delivery // to be parked, in order
	writing bool        // a record of the head is being written
	missing bool        // the head has no lane, since the courier's open time was:
	since   time.Duration
}

func (c *courier) queueOf(token string) *queue {
	q := c.queues[token]
	if q == nil {
		q = &queue{token: token, high: strings.HasPrefix(token, wire.PriorityHigh+".")}
		c.queues[token] = q
	}
	return q
}

func (c *courier) join(q *queue, l *lane) {
	q.lane = l
	l.queues[q.token] = q
}

func (c *courier) leave(q *queue) {
	if q.lane != nil {
		delete(q.lane.queues, q.token)
		q.lane = nil
	}
}

// openParking reads what a former process parked; nothing is sent before.
func (c *courier) openParking() {
	var tokens []string
	err := persist(c.ctx, c.log, "list parked", func() (err error) {
		tokens, err = c.cfg.Parking.Tokens(c.ctx)
		return err
	})
	if err != nil {
		return
	}
	fronts := make([]front, len(c.feeds))
	for i, f := range c.feeds {
		if fronts[i], err = c.readFront(f, 0, windowSize); err != nil {
			return
		}
	}
	c.post(func() {
		for i, f := range c.feeds {
			f.front = fronts[i]
		}
		c.toLoad = len(tokens)
		for _, t := range tokens {
			c.load(c.queueOf(t))
		}
		c.parkingOpen()
	})
}

// parkingOpen starts fetching when all heads of the start are known.
func (c *courier) parkingOpen() {
	if c.loaded || c.toLoad > 0 {
		return
	}
	c.loaded = true
	c.lookAgain()
	for _, f := range c.feeds {
		c.jobs.Go(func() { c.fetch(f) })
	}
}

// load reads a queue's head.
func (c *courier) load(q *queue) {
	if q.loading || q.head != nil {
		q.again = q.loading
		return
	}
	q.loading, q.again = true, false
	after := q.cursor
	c.jobs.Go(func() {
		c.slots <- struct{}{}
		defer func() { <-c.slots }()
		var s wire.Stored
		err := persist(c.ctx, c.log, "read parked", func() (err error) {
			s, err = c.cfg.Parking.Head(c.ctx, q.token, after)
			return err
		})
		if err == nil {
			c.post(func() { c.headRead(q, s) })
		}
	})
}

func (c *courier) headRead(q *queue, s wire.Stored) {
	q.loading = false
	if !c.loaded {
		c.toLoad--
		defer c.parkingOpen()
	}
	switch {
	case s.Seq == 0 && q.again:
		c.load(q)
		return
	case s.Seq == 0:
		c.emptied(q)
		return
	}
	q.cursor = s.Seq
	it, err := decodeItem(s.Body)
	if err != nil {
		c.log.Error().Err(err).Str("event", "outbox_garbage").Uint64("seq", s.Seq).Msg("no delivery: dropped from the parking")
		c.jobs.Go(func() { c.unpark(c.work, s.Seq) })
		if !c.loaded {
			c.toLoad++
		}
		c.load(q)
		return
	}
	q.head = &delivery{item: it, trace: s.Trace, seq: s.Seq, queue: q, rec: it.Rec, since: s.At}
	q.floor = it.order()
	c.held[held{it.Key, it.StreamSeq}] = q.head
	c.attach(q)
}

// emptied is a queue without a head: over, unless something is on its way.
func (c *courier) emptied(q *queue) {
	if q.parking || len(q.pending) > 0 {
		return
	}
	l := q.lane
	c.leave(q)
	delete(c.queues, q.token)
	if l != nil {
		c.wake(l)
	}
}

// attach finds the lane of a queue's head.
func (c *courier) attach(q *queue) {
	peer, err := c.cfg.Peers.Resolve(q.head.query())
	if err == nil {
		q.head.peer, q.missing = peer, false
		l := c.laneOf(peer)
		if q.lane != l {
			c.leave(q)
			c.join(q, l)
		}
		c.wake(l)
		return
	}
	c.leave(q)
	wait := decideWait(q.head.query(), err)
	c.headsLoad = c.headsLoad || wait == waitLoading
	if wait != waitRefuse && !c.waitedEnough(q, wait) {
		return
	}
	q.writing = true
	c.refuse(q.head, err)
}

// park moves a delivery out of memory, behind what its queue holds.
func (c *courier) park(q *queue, d *delivery) {
	if q.head == nil && !q.loading && !q.parking && len(q.pending) == 0 {
		q.floor = d.order()
	}
	q.pending = append(q.pending, d)
	c.parkPending(q)
}

func (c *courier) parkPending(q *queue) {
	if q.parking || len(q.pending) == 0 {
		return
	}
	batch := q.pending
	q.pending, q.parking = nil, true
	visible := q.lane != nil
	c.jobs.Go(func() {
		for _, d := range batch {
			if !c.parkOne(q.token, d, visible) {
				return
			}
		}
		c.post(func() { c.parkedAll(q, batch) })
	})
}

func (c *courier) parkedAll(q *queue, batch []*delivery) {
	for _, d := range batch {
		if name := (held{d.Key, d.StreamSeq}); c.held[name] == d {
			delete(c.held, name)
		}
	}
	q.parking = false
	c.parkPending(q)
	c.load(q)
}

// parkOne parks one delivery: record, parking, acknowledgement. False is the
// end of the work.
func (c *courier) parkOne(token string, d *delivery, visible bool) bool {
	if !visible {
		switch o := c.sayWaiting(d); o.what {
		case left:
			return false
		case done:
			c.finish(nil, d, o)
			return true
		}
	}
	body, err := d.encode()
	if err != nil {
		c.log.Error().Err(err).Msg("a delivery cannot be parked")
		return false
	}
	s := wire.Stored{
		Token: token, Body: body, Trace: d.trace, Expires: d.Expires,
		MsgID: c.cfg.Account + "." + d.Key + "." + strconv.FormatUint(d.StreamSeq, 10),
	}
	if persist(c.work, c.log, "park", func() error { return c.cfg.Parking.Park(c.work, s) }) != nil {
		return false
	}
	c.expirer.addParked(d.Expires)
	c.degrader.addParked(c.degrader.due(d.item))
	if persist(c.work, c.log, "acknowledge", func() error { return d.feed.Done(c.work, d.seq) }) != nil {
		return false
	}
	d.feed.release(1)
	return true
}

// unpark removes one message from the parking.
func (c *courier) unpark(ctx context.Context, seq uint64) bool {
	return persist(ctx, c.log, "remove parked", func() error { return c.cfg.Parking.Remove(ctx, seq) }) == nil
}
