package outbox

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"wechat-bridge/bridge/wire"
)

const (
	tellAtOnce = 8                // deliveries on their way over the fallback channels
	tellEvery  = 3 * time.Second  // on average: group robots take 20 a minute
	tellTime   = time.Minute      // for one delivery, at most
	tellBase   = 10 * time.Second // the wait after channels that took nothing
	tellCap    = 10 * time.Minute
)

// degrader sends deliveries of high priority over the fallback channels when
// they have waited for too long, whatever they wait for. A record with degraded
// is written before, as sending is before a send: after a crash nobody knows
// whether a channel took it, so it is not sent there again.
type degrader struct {
	*timetable
	chain   *chain
	expirer *expirer
	me      worker
	pace    *rate.Limiter

	mu    sync.Mutex
	busy  map[held]bool // on their way
	fails int           // of the channels, in a row
	until time.Time     // the channels rest: they took nothing lately
}

func newDegrader(cfg Config, ch *chain, ex *expirer) *degrader {
	g := &degrader{chain: ch, expirer: ex, pace: rate.NewLimiter(rate.Every(tellEvery), tellAtOnce), busy: map[held]bool{}}
	g.timetable = newTimetable(cfg, func(s wire.Stored) time.Time {
		it, err := decodeItem(s.Body)
		if err != nil {
			return time.Time{}
		}
		return g.due(it)
	})
	g.priority, g.once = wire.PriorityHigh, true
	return g
}

// due is when a delivery has waited for too long; zero: never.
func (g *degrader) due(it *item) time.Time {
	if g.cfg.Fallback == nil || !it.High || it.Kind == wire.KindRevoke {
		return time.Time{}
	}
	return it.At.Add(g.cfg.FallbackAfter)
}

// stored notes what intake has put into the buffer; last is its end.
func (g *degrader) stored(items []wire.Stored, last uint64) {
	for i, s := range items {
		if s.Token == wire.PriorityHigh {
			g.add(g.when(s), last-uint64(len(items)-1-i), false)
		}
	}
}

func (g *degrader) run(ctx context.Context) error {
	if g.cfg.Fallback == nil {
		return nil
	}
	g.me = worker{g.cfg.Epoch, time.Now()}
	return g.timetable.run(ctx, tellAtOnce, g.act)
}

// act takes one delivery whose time has come. Its error is the context's.
func (g *degrader) act(ctx context.Context, d due) error {
	if wait := g.resting(time.Now()); wait > 0 {
		g.again(d, wait)
		return nil
	}
	s, err := g.read(ctx, d)
	if err != nil || s.Seq != d.seq {
		return err
	}
	it, bad := decodeItem(s.Body)
	if bad != nil {
		return nil
	}
	last, err := g.chain.last(ctx, it.Key)
	switch {
	case errors.Is(err, wire.ErrInvalid):
		return nil
	case err != nil:
		return err
	}
	switch decideFallback(&last, it, g.me, time.Now()) {
	case fallbackLater:
		g.again(d, lookAgainAfter)
	case fallbackGone:
		return g.gone(ctx, d, s, it, &last)
	case fallbackNow:
		return g.tellOnce(ctx, d, s, it, &last)
	}
	return nil
}

// gone removes what a channel took instead of WeChat. Where this process has
// ended it, it is counted already.
func (g *degrader) gone(ctx context.Context, d due, s wire.Stored, it *item, last *record) error {
	if last.Epoch == g.me.epoch {
		return g.remove(ctx, d)
	}
	return g.expirer.clear(ctx, d, s, it, last)
}

// tellOnce keeps to the pace, and to one try of a delivery at a time: a copy of
// it may be in the parking.
func (g *degrader) tellOnce(ctx context.Context, d due, s wire.Stored, it *item, last *record) error {
	name := held{it.Key, it.StreamSeq}
	if !g.begin(name) {
		g.again(d, lookAgainAfter)
		return nil
	}
	defer g.end(name)
	if err := g.pace.Wait(ctx); err != nil {
		return context.Cause(ctx)
	}
	if g.resting(time.Now()) > 0 {
		g.again(d, 0)
		return nil
	}
	return g.tell(ctx, d, s, it, last)
}

// tell writes the mark, sends, and writes what became of it.
func (g *degrader) tell(ctx context.Context, d due, s wire.Stored, it *item, last *record) error {
	mark := fallbackRecord(last, it.base(g.cfg.Account, g.cfg.Epoch), true, codeFallbackSending,
		"It has waited for too long, and goes out over the fallback channels.")
	seq, _, err := g.chain.write(ctx, step{it.Key, last.seq, mark, s.Trace})
	if err != nil {
		return err
	}
	if seq == 0 { // somebody was first: decide anew
		g.again(d, holdTime)
		return nil
	}
	work, stop := outlive(ctx, g.cfg.Grace)
	defer stop()
	err = g.send(work, it)
	rest := g.book(err, time.Now())
	now, err := g.conclude(work, s, it, g.outcome(it, err, time.Now().Add(rest)))
	if err != nil {
		return err
	}
	switch {
	case now.of(it.command()) && now.Code == codeByFallback && now.State.Final():
		return g.expirer.clear(work, d, s, it, &now)
	case !now.Degraded && !now.State.Final():
		wait := max(rest, backoff(tellBase, tellCap, d.tries, rand.Float64()))
		d.tries++
		g.again(d, wait)
	}
	return nil
}

func (g *degrader) send(ctx context.Context, it *item) error {
	ctx, cancel := context.WithTimeout(ctx, tellTime)
	defer cancel()
	n := Notice{ID: it.ID, To: it.To.Describe(), Kind: it.Kind, Text: it.Text, Link: it.Link, AcceptedAt: it.At}
	if it.Media != nil {
		n.MediaName = it.Media.Name
	}
	return g.cfg.Fallback.Send(ctx, n)
}

// outcome gives the record that follows a try; false where there is nothing to
// tell, as the courier has gone on meanwhile.
func (g *degrader) outcome(it *item, err error, retryAt time.Time) func(*record) (wire.Delivery, bool) {
	return func(last *record) (wire.Delivery, bool) {
		base := it.base(g.cfg.Account, g.cfg.Epoch)
		waits := last.Code == codeFallbackSending
		switch {
		case err == nil && g.cfg.FallbackInstead:
			return byFallback(base, last, time.Now()), true
		case err == nil:
			return fallbackRecord(last, base, true, codeByFallback, "A fallback channel took it; it still goes to WeChat."), waits
		case errors.Is(err, ErrNotOut):
			d := fallbackRecord(last, base, false, codeFallbackFailed, "No fallback channel took it; that is tried again.")
			d.RetryAt = &retryAt
			return d, true
		}
		return fallbackRecord(last, base, true, codeFallbackUnknown,
			"It is not known whether a fallback channel took it, so it is not sent there again. It still goes to WeChat."), waits
	}
}

// conclude writes what became of a try as soon as no send of this process is
// under way, whose answer has to come next. It returns the last record.
func (g *degrader) conclude(ctx context.Context, s wire.Stored, it *item, build func(*record) (wire.Delivery, bool)) (record, error) {
	for {
		last, err := g.chain.last(ctx, it.Key)
		if err != nil {
			return last, err
		}
		last, err = g.chain.settle(ctx, it.Key, s.Trace, last, func(last record) (wire.Delivery, bool) {
			if !writable(&last, it, g.me) {
				return wire.Delivery{}, false
			}
			return build(&last)
		})
		if err != nil || !underway(&last, it, g.me) {
			return last, err
		}
		if err := pause(ctx, holdTime); err != nil {
			return last, err
		}
	}
}

// resting is how long the channels still rest.
func (g *degrader) resting(now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.until.Sub(now)
}

// book notes what the channels made of a delivery and tells how long they rest
// now. Those that were tried side by side are one failure.
func (g *degrader) book(err error, now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case err == nil:
		g.fails, g.until = 0, time.Time{}
		return 0
	case !now.Before(g.until):
		g.until = now.Add(backoff(tellBase, tellCap, g.fails, rand.Float64()))
		g.fails++
	}
	return g.until.Sub(now)
}

// begin makes a delivery one that is on its way; false if it is already.
func (g *degrader) begin(name held) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.busy[name] {
		return false
	}
	g.busy[name] = true
	return true
}

func (g *degrader) end(name held) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.busy, name)
}

// outlive gives a context that ends a grace after another one.
func outlive(ctx context.Context, grace time.Duration) (work context.Context, stop func()) {
	work, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	release := context.AfterFunc(ctx, func() {
		t := time.AfterFunc(grace, func() { cancel(errGraceOver) })
		context.AfterFunc(work, func() { t.Stop() })
	})
	return work, func() { release(); cancel(nil) }
}
