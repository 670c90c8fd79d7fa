package outbox

import (
	"sync"
	"time"
)

const (
	copiesAtOnce = 8   // media
	maxCopies    = 500 // commands whose medium is not kept yet; then nothing more is read
)

// copies are the commands whose medium is on its way to where it rests.
type copies struct {
	slots chan struct{} // held by those that are being copied
	freed chan struct{} // one has ended

	limit int // bytes of inline media, above it nothing more is read

	mu    sync.Mutex
	count int
	bytes int
	// The store refuses media, though the rest of NATS answers, since and last:
	failing, failed time.Time
}

func newCopies(limit int) *copies {
	return &copies{limit: limit, slots: make(chan struct{}, copiesAtOnce), freed: make(chan struct{}, 1)}
}

func (c *copies) begin(bytes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count++
	c.bytes += bytes
}

func (c *copies) end(bytes int) {
	c.mu.Lock()
	c.count--
	c.bytes -= bytes
	c.mu.Unlock()
	select {
	case c.freed <- struct{}{}:
	default:
	}
}

func (c *copies) full() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count >= maxCopies || c.bytes >= c.limit
}

// worked notes that the store took a medium.
func (c *copies) worked() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failing = time.Time{}
}

// refuses notes that it did not, and tells for how long it has not: after a
// pause of patience, anew.
func (c *copies) refuses(now time.Time, patience time.Duration) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failing.IsZero() || now.Sub(c.failed) > patience {
		c.failing = now
	}
	c.failed = now
	return now.Sub(c.failing)
}
