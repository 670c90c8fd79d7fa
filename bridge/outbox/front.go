package outbox

import (
	"errors"

	"wechat-bridge/bridge/wire"
)

// front is the part of a priority's buffer that a former process had in memory,
// at most a window. It is older than what that process had parked, so it must be here
// before anything parked has its turn.
type front struct {
	last    uint64 // sequence of its last delivery
	seen    uint64 // what was fetched so far
	passed  bool
	looking bool
}

var errEnough = errors.New("seen enough")

// readFront looks at the first deliveries of a priority that wait in the buffer
// after a sequence.
func (c *courier) readFront(of *feed, after uint64, limit int) (front, error) {
	f := front{seen: after}
	err := persist(c.ctx, c.log, "look at the buffer", func() error {
		n := 0
		err := c.cfg.Buffer.Sweep(c.ctx, priorityOf(of.high), after+1, func(s wire.Stored) error {
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
func (c *courier) arrived(f *feed, got []wire.Stored) {
	if len(got) == 0 {
		return
	}
	f.front.seen = max(f.front.seen, got[len(got)-1].Seq)
	if !f.front.passed && f.front.seen >= f.front.last {
		c.passed(f)
	}
}

func (c *courier) passed(f *feed) {
	f.front.passed = true
	for _, l := range c.lanes {
		c.wake(l)
	}
}

// parkedMayGo reports that all of a priority that is older than what is parked is
// here.
func (c *courier) parkedMayGo(high bool) bool {
	for _, f := range c.feeds {
		if f.high == high {
			return f.front.passed
		}
	}
	return true
}

// checkFronts is for a front whose last delivery has expired meanwhile.
func (c *courier) checkFronts() {
	for _, f := range c.feeds {
		if c.open && c.loaded && !f.front.passed && !f.front.looking {
			c.checkFront(f)
		}
	}
}

func (c *courier) checkFront(f *feed) {
	f.front.looking = true
	seen := f.front.seen
	c.jobs.Go(func() {
		now, err := c.readFront(f, seen, 1)
		if err != nil {
			return
		}
		c.post(func() {
			f.front.looking = false
			if now.passed && f.front.seen == seen {
				c.passed(f)
			}
		})
	})
}
