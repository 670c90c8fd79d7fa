package outbox

import (
	"math"
	"time"
)

// slowdown is by how much an account goes more slowly than its pace since WeChat
// said that it was too often; the zero slowdown is the full pace. What WeChat
// allows is not known, so it is searched: fast down, slowly up again.
type slowdown struct {
	Factor  float64   `json:"factor,omitempty"` // of the pace; 0 = all of it
	Changed time.Time `json:"changed,omitzero"`
}

const (
	slowHalf     = 0.5             // after 1205 and its like
	slowSome     = 0.75            // after 1204, which may mean something else
	slowLeast    = 1.0 / 16        // no slower than that
	slowStep     = 2 * time.Minute // after so long without a complaint it is faster
	slowFaster   = 1.25            // by that
	slowTogether = 5 * time.Second // complaints about sends under way together are one
)

// hit goes more slowly.
func (s slowdown) hit(now time.Time, by float64) slowdown {
	s = s.at(now)
	switch {
	case s.Factor == 0:
		return slowdown{by, now}
	case now.Sub(s.Changed) < slowTogether:
		return s
	}
	return slowdown{max(s.Factor*by, slowLeast), now}
}

// at is the slowdown at a later time.
func (s slowdown) at(now time.Time) slowdown {
	if s.Factor <= 0 || s.Factor >= 1 || math.IsNaN(s.Factor) {
		return slowdown{}
	}
	if s.Changed.After(now) { // a clock was set back
		s.Changed = now
	}
	steps := now.Sub(s.Changed) / slowStep
	if steps >= s.steps() {
		return slowdown{}
	}
	return slowdown{s.Factor * math.Pow(slowFaster, float64(steps)), s.Changed.Add(steps * slowStep)}
}

// steps are those up to the full pace.
func (s slowdown) steps() time.Duration {
	return time.Duration(math.Ceil(math.Log(1/s.Factor) / math.Log(slowFaster)))
}

// until is when the full pace is back, if WeChat does not complain again.
func (s slowdown) until() time.Time {
	if s.Factor == 0 {
		return time.Time{}
	}
	return s.Changed.Add(s.steps() * slowStep)
}
