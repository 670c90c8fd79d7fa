package alert

import (
	"context"
	"math/bits"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

const (
	retryBase  = 5 * time.Second
	retryCap   = 5 * time.Minute
	retryUntil = time.Hour        // from the moment it was decided
	tryTime    = 30 * time.Second // for one try over any channel
	lastChance = 3 * time.Second  // for all that is left when the bridge stops
)

// ChannelStatus is what became of one channel's alerts since the start.
type ChannelStatus struct {
	Name        string    `json:"name"` // such as "2 (wecom)"
	Sent        int       `json:"sent"`
	Failed      int       `json:"failed"` // given up
	Merged      int       `json:"merged"` // told together with a later one
	Pending     int       `json:"pending"`
	LastSent    time.Time `json:"last_sent,omitzero"`
	LastError   string    `json:"last_error,omitempty"` // shows no secret; empty after a success
	LastErrorAt time.Time `json:"last_error_at,omitzero"`
}

// courier delivers one channel's notices in order, each until it is taken, for
// an hour at most.
type courier struct {
	way
	queue *queue
	log   zerolog.Logger

	mu    sync.Mutex
	stats ChannelStatus
}

func newCourier(w way, log zerolog.Logger) *courier {
	return &courier{way: w, queue: newQueue(), log: log, stats: ChannelStatus{Name: w.name}}
}

// tell never blocks.
func (c *courier) tell(n Notice, m Message, now time.Time) {
	merged, dropped := c.queue.put(&item{notice: n, msg: m, due: now, until: now.Add(retryUntil)})
	c.count(func(s *ChannelStatus) { s.Merged += merged; s.Failed += dropped })
}

func (c *courier) count(f func(*ChannelStatus)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.stats)
}

func (c *courier) status() ChannelStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Pending = c.queue.len()
	return s
}

// run delivers until stop is closed; then each notice that is left is tried
// once more, until ctx ends.
func (c *courier) run(ctx context.Context, stop <-chan struct{}) {
	for {
		it := c.queue.head()
		if c.idle(it, stop) {
			continue
		}
		select {
		case <-stop:
			c.finish(ctx)
			return
		default:
		}
		if err := c.try(ctx, it); err != nil {
			c.failed(it, err, time.Now())
		}
	}
}

// idle waits for something to do; false when there is: it is due, or stop.
func (c *courier) idle(it *item, stop <-chan struct{}) bool {
	var due <-chan time.Time
	if it != nil {
		wait := time.Until(it.due)
		if wait <= 0 {
			return false
		}
		t := time.NewTimer(wait)
		defer t.Stop()
		due = t.C
	}
	select {
	case <-stop:
		return false
	case <-due:
	case <-c.queue.signal: // perhaps a better head
	}
	return true
}

// try sends once and books a success.
func (c *courier) try(ctx context.Context, it *item) error {
	err := c.once(ctx, it.msg)
	if err != nil {
		return err
	}
	merged := !c.queue.remove(it) // while it was on its way: told after all
	c.count(func(s *ChannelStatus) {
		s.Sent++
		s.LastSent, s.LastError = time.Now(), ""
		if merged {
			s.Merged--
		}
	})
	c.log.Info().Str("event", logSent).Str("channel", c.name).Str("kind", string(it.msg.Kind)).
		Int("attempt", it.tries+1).Msg("alert told")
	return nil
}

// once is one try with its time limit.
func (w way) once(ctx context.Context, m Message) error {
	ctx, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	if err := w.Send(ctx, m); err != nil {
		return failure(err)
	}
	return nil
}

// failed plans the next try, or gives up.
func (c *courier) failed(it *item, err error, now time.Time) {
	f := failure(err)
	wait := max(backoff(retryBase, retryCap, it.tries, rand.Float64()), f.Wait)
	it.tries++
	it.due = now.Add(wait)
	over := it.due.After(it.until)
	if over && c.queue.remove(it) {
		c.count(func(s *ChannelStatus) { s.Failed++ })
	}
	c.count(func(s *ChannelStatus) { s.LastError, s.LastErrorAt = f.Error(), now })
	if over || bits.OnesCount(uint(it.tries)) == 1 { // a dead channel is O(log n) lines
		c.log.Warn().Str("event", logFailed).Str("channel", c.name).Str("kind", string(it.msg.Kind)).
			Str("error", f.Error()).Int("attempt", it.tries).Bool("given_up", over).Msg("alert not told")
	}
}

// finish is the last chance of what is left.
func (c *courier) finish(ctx context.Context) {
	for it := c.queue.head(); it != nil; it = c.queue.head() {
		if ctx.Err() != nil || c.try(ctx, it) != nil {
			c.queue.remove(it)
			c.count(func(s *ChannelStatus) { s.Failed++ })
			c.log.Warn().Str("event", logFailed).Str("channel", c.name).Str("kind", string(it.msg.Kind)).
				Bool("given_up", true).Msg("alert not told before the end")
		}
	}
}

// backoff is the wait after n earlier failures with full jitter: rnd in [0,1)
// of base·2ⁿ, at most limit.
func backoff(base, limit time.Duration, n int, rnd float64) time.Duration {
	d := limit
	if n < 32 && base<<n > 0 && base<<n < limit {
		d = base << n
	}
	return time.Duration(rnd * float64(d))
}
