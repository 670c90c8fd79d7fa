package outbox

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"wechat-bridge/bridge/wire"
)

// refresh is how often the age of the oldest delivery is looked up while
// something waits.
const refresh = 5 * time.Second

// counts are figures for the status.
type counts struct {
	cfg     Config
	waiting atomic.Int64

	mu     sync.Mutex
	oldest time.Time
}

func (c *counts) backlog() (uint64, time.Time) {
	n := c.waiting.Load()
	if n <= 0 {
		return 0, time.Time{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return uint64(n), c.oldest
}

func (c *counts) run(ctx context.Context) error {
	for pause(ctx, refresh) == nil {
		if c.waiting.Load() > 0 {
			c.look(ctx)
		}
	}
	return nil
}

// look finds the oldest delivery in buffer and parking.
func (c *counts) look(ctx context.Context) {
	var oldest time.Time
	for _, next := range []func(context.Context, uint64) (wire.Stored, error){c.cfg.Buffer.Next, c.cfg.Parking.Next} {
		s, err := next(ctx, 0)
		if err != nil {
			return // NATS is away: keep what is known
		}
		at := s.At
		if it, err := decodeItem(s.Body); err == nil {
			at = it.At
		}
		if s.Seq > 0 && (oldest.IsZero() || at.Before(oldest)) {
			oldest = at
		}
	}
	c.mu.Lock()
	c.oldest = oldest
	c.mu.Unlock()
}
