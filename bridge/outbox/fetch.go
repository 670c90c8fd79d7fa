package outbox

import (
	"wechat-bridge/bridge/wire"
)

// fetch reads one priority while the gate is open and the window has room.
func (c *courier) fetch(in Inlet, high bool) {
	for c.cfg.Gate.Wait(c.ctx) == nil {
		room := c.reserve()
		if room == 0 {
			return
		}
		var got []wire.Stored
		err := persist(c.ctx, c.log, "fetch", func() (err error) {
			got, err = in.Fetch(c.ctx, room)
			return err
		})
		c.release(room - len(got))
		if err != nil {
			return
		}
		c.post(func() { c.arrive(in, high, got) })
	}
}

// reserve waits for room in the window and takes what there is, at most one
// batch; 0 at the end.
func (c *courier) reserve() int {
	select {
	case c.window <- struct{}{}:
	case <-c.ctx.Done():
		return 0
	}
	for n := 1; n < batchSize; n++ {
		select {
		case c.window <- struct{}{}:
		default:
			return n
		}
	}
	return batchSize
}

func (c *courier) release(n int) {
	for range n {
		<-c.window
	}
}

// arrive takes what was fetched.
func (c *courier) arrive(in Inlet, high bool, got []wire.Stored) {
	if len(c.queues) > 0 || len(c.limbo) > 0 {
		c.lookAgain() // what waits is older: it goes first
	}
	defer c.arrived(in, got)
	for _, s := range got {
		it, err := decodeItem(s.Body)
		if err != nil {
			c.log.Error().Err(err).Str("event", "outbox_garbage").Uint64("seq", s.Seq).Msg("no delivery: dropped from the buffer")
			c.drop(in, s.Seq)
			continue
		}
		name := held{it.Key, it.StreamSeq}
		if c.held[name] != nil {
			// A crash stored it twice. The other one is still unacknowledged.
			c.drop(in, s.Seq)
			continue
		}
		d := &delivery{item: it, trace: s.Trace, high: high, inlet: in, seq: s.Seq, rec: it.Rec, since: s.At}
		c.held[name] = d
		c.place(d)
	}
}

// drop acknowledges what is not a delivery, or one that is in memory already.
func (c *courier) drop(in Inlet, seq uint64) {
	c.jobs.Go(func() {
		if persist(c.work, c.log, "acknowledge", func() error { return in.Done(c.work, seq) }) == nil {
			c.release(1)
		}
	})
}
