package outbox

import (
	"errors"

	"wechat-bridge/bridge/wire"
)

// front is the part of the buffer that a former process had in memory, at most
// a window. It is older than what that process had parked, so it must be here
// before anything parked has its turn.
type front struct {
	last    uint64 // sequence of its last delivery
	seen    uint64 // what was fetched so far
	passed  bool
	looking bool
}

var errEnough = errors.New("seen enough")

// readFront looks at the first deliveries that wait in the buffer after a
// sequence.
func (c *courier) readFront(after uint64, limit int) (front, error) {
	f := front{seen: after}
	err := persist(c.ctx, c.log, "look at the buffer", func() error {
		n := 0
		err := c.cfg.Buffer.Sweep(c.ctx, after+1, func(s wire.Stored) error {
			f.last = s.Seq
			if n++; n >= limit {
				return errEnough
			}
			return nil
		})
		if errors.Is(err, errEnough) {
			return nil
		}
		return err
	})
	f.passed = f.last == 0
	return f, err
}

// arrived notes how far the buffer was read.
func (c *courier) arrived(in Inlet, got []wire.Stored) {
	if in != c.cfg.Normal || len(got) == 0 {
		return
	}
	c.front.seen = max(c.front.seen, got[len(got)-1].Seq)
	if !c.front.passed && c.front.seen >= c.front.last {
		c.passed()
	}
}

func (c *courier) passed() {
	c.front.passed = true
	for _, l := range c.lanes {
		c.wake(l)
	}
}

// checkFront is for a front whose last delivery has expired meanwhile.
func (c *courier) checkFront() {
	if !c.open || !c.loaded || c.front.passed || c.front.looking {
		return
	}
	c.front.looking = true
	seen := c.front.seen
	c.jobs.Go(func() {
		f, err := c.readFront(seen, 1)
		if err != nil {
			return
		}
		c.post(func() {
			c.front.looking = false
			if f.passed && c.front.seen == seen {
				c.passed()
			}
		})
	})
}
