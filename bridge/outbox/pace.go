package outbox

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// pacer is the account's token bucket and its limit per day. Throttled, it
// slows down to a quarter for a while.
type pacer struct {
	limit  rate.Limit
	bucket *rate.Limiter

	mu    sync.Mutex
	daily int
	days  []time.Time // sends of the last 24 hours, as a ring
	at    int
	until time.Time // nothing before: WeChat asked for it
	slow  time.Time // slowed until
	spare int       // taken and not used
}

// slowFor is how long a throttled account goes at a quarter of its pace.
const slowFor = 5 * time.Minute

func newPacer(p Pace) *pacer {
	limit := rate.Inf
	if p.N > 0 {
		limit = rate.Limit(float64(p.N) / p.Per.Seconds())
	}
	r := &pacer{limit: limit, bucket: rate.NewLimiter(limit, 1), daily: p.Daily}
	if p.Daily > 0 {
		r.days = make([]time.Time, 0, p.Daily)
	}
	return r
}

// take takes the right to send one message, or says how long there is none.
func (p *pacer) take(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if wait := p.closed(now); wait > 0 {
		return wait
	}
	if p.spare > 0 {
		p.spare--
		return 0
	}
	if p.limit == rate.Inf && !p.slowed(now) {
		return 0
	}
	p.slowed(now)
	r := p.bucket.ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait > 0 {
		r.CancelAt(now)
	}
	return wait
}

// giveBack returns a right that was not used.
func (p *pacer) giveBack() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.limit != rate.Inf {
		p.spare++
	}
}

// closed is how long nothing may go: WeChat's wish, or the day's limit. The
// lock is held.
func (p *pacer) closed(now time.Time) time.Duration {
	d := p.until.Sub(now)
	if p.daily > 0 && len(p.days) == p.daily {
		d = max(d, p.days[p.at].Add(24*time.Hour).Sub(now))
	}
	return d
}

// slowed reports whether the throttle is still felt, and ends it; the lock is held.
func (p *pacer) slowed(now time.Time) bool {
	if p.slow.IsZero() {
		return false
	}
	if now.Before(p.slow) {
		return true
	}
	p.slow = time.Time{}
	p.bucket.SetLimit(p.limit)
	return false
}

// used counts one send for the day.
func (p *pacer) used(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.daily == 0:
	case len(p.days) < p.daily:
		p.days = append(p.days, now)
	default:
		p.days[p.at] = now
		p.at = (p.at + 1) % p.daily
	}
}

// throttled slows down after WeChat said that it was too often.
func (p *pacer) throttled(now time.Time, wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if until := now.Add(wait); until.After(p.until) {
		p.until = until
	}
	p.slow = p.until.Add(slowFor)
	limit := p.limit / 4
	if p.limit == rate.Inf {
		limit = 5
	}
	p.bucket.SetLimit(limit)
}
