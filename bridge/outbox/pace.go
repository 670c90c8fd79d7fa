package outbox

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"wechat-bridge/bridge/wechat"
)

// pacer is the account's token bucket and its limit per day. Throttled, it
// slows down to a quarter for a while.
type pacer struct {
	limit  rate.Limit
	bucket *rate.Limiter
	memory wechat.Vault // of the day's sends; may be nil

	mu    sync.Mutex
	daily int
	days  []time.Time // the newest sends, oldest first, at most daily
	until time.Time   // nothing before: WeChat asked for it
	slow  time.Time   // slowed until
	spare int         // taken and not used
}

// slowFor is how long a throttled account goes at a quarter of its pace.
const slowFor = 5 * time.Minute

func newPacer(p Pace, memory wechat.Vault) *pacer {
	limit := rate.Inf
	if p.N > 0 {
		limit = rate.Limit(float64(p.N) / p.Per.Seconds())
	}
	return &pacer{limit: limit, bucket: rate.NewLimiter(limit, 1), memory: memory, daily: p.Daily}
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
		d = max(d, p.days[0].Add(24*time.Hour).Sub(now))
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

// used counts one send for the day, and stores that before the send goes out:
// a crash loop must not send more than the day allows.
func (p *pacer) used(ctx context.Context, now time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.daily == 0 {
		return nil
	}
	days := append(slices.Clone(p.days), now)
	if len(days) > p.daily {
		days = days[1:]
	}
	if err := p.save(ctx, days); err != nil {
		return err
	}
	p.days = days
	return nil
}

// save stores the sends of the day in seconds since 1970.
func (p *pacer) save(ctx context.Context, days []time.Time) error {
	if p.memory == nil {
		return nil
	}
	stamps := make([]int64, len(days))
	for i, d := range days {
		stamps[i] = d.Unix()
	}
	body, err := json.Marshal(stamps)
	if err != nil {
		return err
	}
	return p.memory.Save(ctx, body)
}

// load reads what a former worker has sent; what cannot be understood
// counts as half a day's sends, since nobody knows.
func (p *pacer) load(ctx context.Context, now time.Time) error {
	if p.daily == 0 || p.memory == nil {
		return nil
	}
	body, err := p.memory.Load(ctx)
	if err != nil {
		return err
	}
	var stamps []int64
	if len(body) > 0 && json.Unmarshal(body, &stamps) != nil {
		stamps = slices.Repeat([]int64{now.Unix()}, p.daily/2)
	}
	if len(stamps) > p.daily {
		stamps = stamps[len(stamps)-p.daily:]
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.days = p.days[:0]
	for _, s := range stamps {
		if at := time.Unix(s, 0); now.Sub(at) < 24*time.Hour {
			p.days = append(p.days, at)
		}
	}
	return nil
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
