package outbox

import (
	"context"

	"wechat-bridge/bridge/wire"
)

// feed brings one priority from the buffer into memory. Each has a window of
// its own, so that what is normal cannot keep out what is high.
type feed struct {
	Inlet
	high   bool
	window chan struct{} // one per delivery in memory that is not parked
	front  front
}

func newFeeds(cfg Config) []*feed {
	feeds := []*feed{{Inlet: cfg.Normal, window: make(chan struct{}, windowSize)}}
	if cfg.High != nil {
		feeds = append(feeds, &feed{Inlet: cfg.High, high: true, window: make(chan struct{}, windowSize)})
	}
	return feeds
}

// fetch reads one priority while the gate is open and the window has room.
func (c *courier) fetch(f *feed) {
	for c.cfg.Gate.Wait(c.ctx) == nil {
		room := f.reserve(c.ctx)
		if room == 0 {
			return
		}
		var got []wire.Stored
		err := persist(c.ctx, c.log, "fetch", func() (err error) {
			got, err = f.Fetch(c.ctx, room)
			return err
		})
		f.release(room - len(got))
		if err != nil {
			return
		}
		c.post(func() { c.arrive(f, got) })
	}
}

// reserve waits for room in the window and takes what there is, at most one
// batch; 0 at the end.
func (f *feed) reserve(ctx context.Context) int {
	select {
	case f.window <- struct{}{}:
	case <-ctx.Done():
		return 0
	}
	for n := 1; n < batchSize; n++ {
		select {
		case f.window <- struct{}{}:
		default:
			return n
		}
	}
	return batchSize
}

func (f *feed) release(n int) {
	for range n {
		<-f.window
	}
}

// arrive takes what was fetched.
func (c *courier) arrive(f *feed, got []wire.Stored) {
	if len(c.queues) > 0 || len(c.limbo) > 0 {
		c.lookAgain() // what waits is older: it goes first
	}
	defer c.arrived(f, got)
	for _, s := range got {
		it, err := decodeItem(s.Body)
		if err != nil {
			c.log.Error().Err(err).Str("event", "outbox_garbage").Uint64("seq", s.Seq).Msg("no delivery: dropped from the buffer")
			c.drop(f, s.Seq)
			continue
		}
		name := held{it.Key, it.StreamSeq}
		if c.held[name] != nil {
			// A crash stored it twice. The other one is still unacknowledged.
			c.drop(f, s.Seq)
			continue
		}
		d := &delivery{item: it, trace: s.Trace, feed: f, seq: s.Seq, rec: it.Rec, since: s.At}
		c.held[name] = d
		c.place(d)
	}
}

// drop acknowledges what is not a delivery, or one that is in memory already.
func (c *courier) drop(f *feed, seq uint64) {
	c.jobs.Go(func() {
		if persist(c.work, c.log, "acknowledge", func() error { return f.Done(c.work, seq) }) == nil {
			f.release(1)
		}
	})
}
