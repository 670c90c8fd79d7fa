package outbox

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"
)

var errGraceOver = errors.New("the grace of the shutdown is over")

// jobs are goroutines that end in order.
type jobs struct{ wg sync.WaitGroup }

// Go starts one.
func (j *jobs) Go(f func()) { j.wg.Go(f) }

// end waits for all; after grace it calls cut first.
func (j *jobs) end(grace time.Duration, cut func()) {
	t := time.AfterFunc(grace, cut)
	j.wg.Wait()
	t.Stop()
}

// watchGate tells the loop when the gate opens. Whether it is open is only
// known by Admit, so it waits until the loop was refused.
func (c *courier) watchGate() {
	for n := 0; c.ctx.Err() == nil; n++ {
		if err := c.cfg.Gate.Wait(c.ctx); err != nil {
			if c.ctx.Err() == nil {
				c.log.Info().Err(err).Str("event", "outbox_gate").Msg("the link is over: nothing more is sent")
			}
			return
		}
		c.post(c.opened)
		since := time.Now()
		select {
		case <-c.shut:
		case <-c.ctx.Done():
			return
		}
		if time.Since(since) > time.Second {
			n = 0
		}
		// A gate that says both yes and no must not make a busy loop.
		if pause(c.ctx, backoff(10*time.Millisecond, time.Second, n, rand.Float64())) != nil {
			return
		}
	}
}

func (c *courier) opened() {
	if !c.open {
		c.open, c.openedAt = true, time.Now()
	}
	select { // a refusal of before
	case <-c.shut:
	default:
	}
}

// openTime is how long the gate was open in this process: a clock that rests
// during an outage.
func (c *courier) openTime() time.Duration {
	if !c.open {
		return c.wasOpen
	}
	return c.wasOpen + time.Since(c.openedAt)
}

// checkGate notices a gate that closed while nothing was to be sent.
func (c *courier) checkGate() {
	ended, cancel := context.WithCancel(c.ctx)
	cancel()
	if c.open && c.cfg.Gate.Wait(ended) != nil {
		c.refused()
	}
}

// refused notes that the gate is closed.
func (c *courier) refused() {
	if !c.open {
		return
	}
	c.wasOpen, c.open = c.openTime(), false
	select {
	case c.shut <- struct{}{}:
	default:
	}
}
