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

	saving chan struct{} // held by who stores the day's sends

	mu       sync.Mutex
	daily    int
	days     []time.Time // the sends of the last 24 hours, oldest first
	reserved int         // taken and not among them yet
	count    int         // of all that were ever among them
	saved    int         // count when they were stored last
	until    time.Time   // nothing before: WeChat asked for it
	slow     time.Time   // slowed until
	spare    int         // taken and not used
}

// slowFor is how long a throttled account goes at a quarter of its pace.
const slowFor = 5 * time.Minute

func newPacer(p Pace, memory wechat.Vault) *pacer {
	limit := rate.Inf
	if p.N > 0 {
		limit = rate.Limit(float64(p.N) / p.Per.Seconds())
	}
	return &pacer{
		limit: limit, bucket: rate.NewLimiter(limit, 1), memory: memory, daily: p.Daily, saving: make(chan struct{}, 1),
	}
}

// take takes the right to send one message, with a place in the day, or says how
// long there is none.
func (p *pacer) take(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	wait := p.closed(now)
	if wait <= 0 {
		wait = p.token(now)
	}
	if wait <= 0 {
		p.reserved++
	}
	return wait
}

// token takes one out of the bucket, or says how long there is none; the lock
// is held.
func (p *pacer) token(now time.Time) time.Duration {
	if p.spare > 0 {
		p.spare--
		return 0
	}
	if !p.slowed(now) && p.limit == rate.Inf {
		return 0
	}
	r := p.bucket.ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait > 0 {
		r.CancelAt(now)
	}
	return wait
}

// giveBack returns a right that was not used; counted says that it is among the
// day's sends already.
func (p *pacer) giveBack(counted bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.limit != rate.Inf {
		p.spare++
	}
	if !counted {
		p.reserved--
	}
}

// closed is how long nothing may go: WeChat's wish, or the day's limit. The
// lock is held.
func (p *pacer) closed(now time.Time) time.Duration {
	d := p.until.Sub(now)
	for len(p.days) > 0 && now.Sub(p.days[0]) >= 24*time.Hour {
		p.days = p.days[1:]
	}
	switch {
	case p.daily == 0 || len(p.days)+p.reserved < p.daily:
		return d
	case len(p.days) == 0: // one that is given back has the loop look again
		return max(d, time.Minute)
	}
	return max(d, p.days[0].Add(24*time.Hour).Sub(now))
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
// a crash loop must not send more than the day allows. What cannot be stored is
// not counted. The lock is not held meanwhile: the loop takes rights.
func (p *pacer) used(ctx context.Context, now time.Time) error {
	p.mu.Lock()
	p.reserved--
	if p.daily > 0 {
		p.days = append(p.days, now)
	}
	p.count++
	mine := p.count
	p.mu.Unlock()
	if p.daily == 0 || p.memory == nil {
		return nil
	}
	err := p.save(ctx, mine)
	if err != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.reserved++
		if i := slices.Index(p.days, now); i >= 0 {
			p.days = slices.Delete(p.days, i, i+1)
		}
	}
	return err
}

// save stores the sends of the day in seconds since 1970, those with number
// mine among them, one after the other: one write may store several.
func (p *pacer) save(ctx context.Context, mine int) error {
	select {
	case p.saving <- struct{}{}:
		defer func() { <-p.saving }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	p.mu.Lock()
	count, stored := p.count, p.saved >= mine
	stamps := make([]int64, len(p.days))
	for i, d := range p.days {
		stamps[i] = d.Unix()
	}
	p.mu.Unlock()
	if stored {
		return nil
	}
	body, err := json.Marshal(stamps)
	if err != nil {
		return err
	}
	if err := p.memory.Save(ctx, body); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.saved = count
	return nil
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
