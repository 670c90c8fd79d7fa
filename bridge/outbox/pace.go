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

// pacer is the account's token bucket and its limit per day. Throttled, it goes
// more slowly, and slowly faster again.
type pacer struct {
	limit  rate.Limit
	burst  int
	bucket *rate.Limiter
	memory wechat.Vault // of the day's sends and the slowdown; may be nil

	saving chan struct{} // held by who stores them

	mu       sync.Mutex
	daily    int
	days     []time.Time // the sends of the last 24 hours, oldest first
	reserved int         // taken and not among them yet
	count    int         // of all that were ever among them
	saved    int         // count when they were stored last
	until    time.Time   // nothing before: WeChat asked for it
	slow     slowdown
	spare    int // taken and not used
}

// unlimited is from where an account without a pace slows down.
const unlimited = rate.Limit(1) // per second

// memorized is what outlives the process.
type memorized struct {
	Days []int64   `json:"days"` // the sends of the last 24 hours, in seconds since 1970
	Slow *slowdown `json:"slow,omitempty"`
}

func newPacer(p Pace, memory wechat.Vault) *pacer {
	limit := rate.Inf
	if p.N > 0 {
		limit = rate.Limit(float64(p.N) / p.Per.Seconds())
	}
	burst := max(p.Burst, 1)
	return &pacer{
		limit: limit, burst: burst, bucket: rate.NewLimiter(limit, burst), memory: memory, daily: p.Daily, saving: make(chan struct{}, 1),
	}
}

// take takes the right to send one message, with a place in the day, or says how
// long there is none. rnd in [0,1) spreads the waits for the pace by a third, so
// that messages don't go out like clockwork; the pace on average stays.
func (p *pacer) take(now time.Time, rnd float64) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	wait := p.closed(now)
	if wait <= 0 {
		if wait = p.token(now); wait > 0 {
			wait += time.Duration(rnd / 3 * float64(time.Second) / float64(p.bucket.Limit()))
		}
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
	if !p.adjust(now) && p.limit == rate.Inf {
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

// adjust gives the bucket the rate of now and reports whether it is slowed; the
// lock is held.
func (p *pacer) adjust(now time.Time) bool {
	p.slow = p.slow.at(now)
	limit, burst := p.limit, p.burst
	if p.slow.Factor > 0 {
		limit, burst = p.base()*rate.Limit(p.slow.Factor), 1
	}
	if limit != p.bucket.Limit() {
		p.bucket.SetLimitAt(now, limit)
		p.bucket.SetBurstAt(now, burst)
	}
	return p.slow.Factor > 0
}

func (p *pacer) base() rate.Limit {
	if p.limit == rate.Inf {
		return unlimited
	}
	return p.limit
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
	if p.daily == 0 {
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

// keep stores what has changed since the last time.
func (p *pacer) keep(ctx context.Context) error {
	p.mu.Lock()
	mine := p.count
	p.mu.Unlock()
	return p.save(ctx, mine)
}

// save stores the sends of the day, those with number mine among them, and the
// slowdown, one after the other: one write may store several.
func (p *pacer) save(ctx context.Context, mine int) error {
	if p.memory == nil {
		return nil
	}
	select {
	case p.saving <- struct{}{}:
		defer func() { <-p.saving }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	p.mu.Lock()
	count, stored := p.count, p.saved >= mine
	m := p.memorize()
	p.mu.Unlock()
	if stored {
		return nil
	}
	body, err := json.Marshal(m)
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

func (p *pacer) memorize() memorized {
	m := memorized{Days: make([]int64, len(p.days))}
	for i, d := range p.days {
		m.Days[i] = d.Unix()
	}
	if p.slow.Factor > 0 {
		slow := p.slow
		m.Slow = &slow
	}
	return m
}

// load reads what a former worker has sent and how slowly; what cannot be
// understood counts as half a day's sends, since nobody knows.
func (p *pacer) load(ctx context.Context, now time.Time) error {
	if p.memory == nil {
		return nil
	}
	body, err := p.memory.Load(ctx)
	if err != nil {
		return err
	}
	var m memorized
	if len(body) > 0 && json.Unmarshal(body, &m) != nil {
		m = memorized{Days: slices.Repeat([]int64{now.Unix()}, p.daily/2)}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if m.Slow != nil {
		p.slow = m.Slow.at(now)
	}
	p.days = p.days[:0]
	for _, s := range m.Days[max(len(m.Days)-p.daily, 0):] {
		if at := time.Unix(s, 0); now.Sub(at) < 24*time.Hour {
			p.days = append(p.days, at)
		}
	}
	return nil
}

// throttled slows down after WeChat said that it was too often, and has the
// next count store it. Nothing goes out for wait.
func (p *pacer) throttled(now time.Time, wait time.Duration, by float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if until := now.Add(wait); until.After(p.until) {
		p.until = until
	}
	p.slow = p.slow.hit(now, by)
	p.count++ // what is stored is out of date
}

// PaceStatus is how fast an account may send.
type PaceStatus struct {
	PerMinute   float64   // now; 0 = no limit
	Normal      float64   // when it is not slowed; 0 = no limit
	SlowedUntil time.Time // when it is back to normal if WeChat does not complain again; zero: it is not slowed
	ClosedUntil time.Time // nothing goes before: WeChat asked for it, or the day is used up
	Daily       int       // sends in 24 hours; 0 = no limit
	DayLeft     int       // of Daily
}

func (p *pacer) status(now time.Time) PaceStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := PaceStatus{Daily: p.daily}
	if p.limit != rate.Inf {
		s.Normal = float64(p.limit) * 60
		s.PerMinute = s.Normal
	}
	if p.adjust(now) {
		s.PerMinute, s.SlowedUntil = float64(p.bucket.Limit())*60, p.slow.until()
	}
	if wait := p.closed(now); wait > 0 {
		s.ClosedUntil = now.Add(wait)
	}
	if p.daily > 0 {
		s.DayLeft = max(p.daily-len(p.days)-p.reserved, 0)
	}
	return s
}
