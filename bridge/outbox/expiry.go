package outbox

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"wechat-bridge/bridge/wire"
)

// maxDue is how many expiries are kept in memory; what lies later is found by
// another sweep when its time comes near.
const maxDue = 16_384

// lookAgainAfter is when something whose time came during an attempt is looked
// at again.
const lookAgainAfter = 20 * time.Second

// expireAtOnce is how many deliveries are ended side by side.
const expireAtOnce = 16

// due is when a delivery expires and where it rests.
type due struct {
	at     int64 // unix milliseconds
	seq    uint64
	parked bool
}

type dueHeap []due

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].at < h[j].at }
func (h dueHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *dueHeap) Push(x any)        { *h = append(*h, x.(due)) }
func (h *dueHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}

// expirer ends in time what waits too long, also while WeChat is away: it
// looks at buffer and parking without taking anything out.
type expirer struct {
	cfg    Config
	chain  *chain
	lists  *lists
	counts *counts
	log    zerolog.Logger

	mu    sync.Mutex
	heap  dueHeap
	cut   int64 // what is due then or later is not in the heap; 0 = all is
	moved chan struct{}
	me    worker
	// What the courier parked since the last sweep has no known sequence:
	// parkedDue is when the first of it expires (0: nothing), parkedFrom where
	// the next sweep of the parking begins.
	parkedDue  int64
	parkedFrom uint64
}

func newExpirer(cfg Config, ch *chain, ls *lists, counts *counts) *expirer {
	return &expirer{cfg: cfg, chain: ch, lists: ls, counts: counts, log: cfg.Log, moved: make(chan struct{}, 1)}
}

// add notes one delivery.
func (e *expirer) add(at time.Time, seq uint64, parked bool) {
	if at.IsZero() {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	d := due{at.UnixMilli(), seq, parked}
	if e.cut > 0 && d.at >= e.cut {
		return
	}
	heap.Push(&e.heap, d)
	if len(e.heap) > 2*maxDue {
		e.shrink()
	}
	if e.heap[0] == d {
		e.nudge()
	}
}

// addParked notes that something was parked.
func (e *expirer) addParked(at time.Time) {
	if at.IsZero() {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if ms := at.UnixMilli(); e.parkedDue == 0 || ms < e.parkedDue {
		e.parkedDue = ms
		e.nudge()
	}
}

// nudge has run look at the time anew.
func (e *expirer) nudge() {
	select {
	case e.moved <- struct{}{}:
	default:
	}
}

// shrink keeps the earlier half. A sorted slice is a heap.
func (e *expirer) shrink() {
	slices.SortFunc(e.heap, func(a, b due) int { return cmp.Compare(a.at, b.at) })
	e.cut = e.heap[maxDue].at
	n := maxDue
	for n > 0 && e.heap[n-1].at == e.cut {
		n--
	}
	if n == 0 { // all at once: keep them
		e.cut = 0
		return
	}
	e.heap = slices.Clone(e.heap[:n])
}

func (e *expirer) run(ctx context.Context) error {
	e.me = worker{e.cfg.Epoch, time.Now()}
	if e.sweep(ctx, true) != nil {
		return nil
	}
	for ctx.Err() == nil {
		d, wait, todo := e.next(time.Now())
		switch {
		case todo == sweepAll && e.sweep(ctx, false) != nil, todo == sweepParked && e.sweepParking(ctx, false) != nil:
			return nil
		case todo != sweepNothing:
		case wait > 0:
			e.rest(ctx, wait)
		default:
			all := e.alsoDue(time.Now(), d)
			if err := each(expireAtOnce, all, func(d due) error { return e.expire(ctx, d) }); err != nil {
				return unlessEnded(ctx, err)
			}
		}
	}
	return nil
}

// sweep says where the heap no longer knows what exists.
type sweep int

const (
	sweepNothing sweep = iota
	sweepAll           // it has run out of what it kept
	sweepParked        // something that was parked lately may be due
)

// next pops what is due, or tells how long nothing is.
func (e *expirer) next(now time.Time) (d due, wait time.Duration, todo sweep) {
	e.mu.Lock()
	defer e.mu.Unlock()
	wait = time.Hour
	if e.parkedDue > 0 {
		if wait = time.UnixMilli(e.parkedDue).Sub(now); wait <= 0 {
			e.parkedDue = 0
			return d, 0, sweepParked
		}
	}
	if len(e.heap) == 0 {
		if e.cut > 0 {
			e.cut, e.parkedDue, e.parkedFrom = 0, 0, 0
			return d, 0, sweepAll
		}
		return d, wait, sweepNothing
	}
	if first := time.UnixMilli(e.heap[0].at).Sub(now); first > 0 {
		return d, min(wait, first), sweepNothing
	}
	return heap.Pop(&e.heap).(due), 0, sweepNothing
}

// alsoDue pops what is due together with the first one, at most a batch.
func (e *expirer) alsoDue(now time.Time, first due) []due {
	all := []due{first}
	e.mu.Lock()
	defer e.mu.Unlock()
	for len(all) < 4*expireAtOnce && len(e.heap) > 0 && e.heap[0].at <= now.UnixMilli() {
		all = append(all, heap.Pop(&e.heap).(due))
	}
	return all
}

func (e *expirer) rest(ctx context.Context, wait time.Duration) {
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
	case <-e.moved:
	case <-ctx.Done():
	}
}

// sweep fills the heap from buffer and parking. Its error is the context's.
func (e *expirer) sweep(ctx context.Context, count bool) error {
	if _, err := e.sweepOne(ctx, e.cfg.Buffer.Sweep, 0, false, count); err != nil {
		return err
	}
	return e.sweepParking(ctx, count)
}

// sweepParking looks at what was parked since it last did.
func (e *expirer) sweepParking(ctx context.Context, count bool) error {
	e.mu.Lock()
	from := e.parkedFrom
	e.mu.Unlock()
	from, err := e.sweepOne(ctx, e.cfg.Parking.Sweep, from, true, count)
	e.mu.Lock()
	e.parkedFrom = from
	e.mu.Unlock()
	return err
}

type sweeper func(context.Context, uint64, func(wire.Stored) error) error

// sweepOne fills the heap from one stream and tells where it came to.
func (e *expirer) sweepOne(ctx context.Context, look sweeper, from uint64, parked, count bool) (uint64, error) {
	err := persist(ctx, e.log, "sweep", func() error {
		return look(ctx, from, func(s wire.Stored) error {
			from = s.Seq + 1
			e.add(s.Expires, s.Seq, parked)
			if count && s.At.Before(e.me.started) { // intake counts the rest
				e.counts.waiting.Add(1)
			}
			return nil
		})
	})
	return from, err
}

// expire ends one delivery whose time is over. Its error is the context's.
func (e *expirer) expire(ctx context.Context, d due) error {
	s, err := e.read(ctx, d)
	if err != nil || s.Seq != d.seq {
		return err
	}
	it, bad := decodeItem(s.Body)
	if bad != nil {
		return e.remove(ctx, d)
	}
	last, err := e.chain.last(ctx, it.Key)
	if errors.Is(err, wire.ErrInvalid) { // it can have no records
		return e.remove(ctx, d)
	}
	if err != nil {
		return err
	}
	last, err = e.chain.settle(ctx, it.Key, s.Trace, last, func(last record) (wire.Delivery, bool) {
		return decideExpiry(&last, it, e.cfg.Account, e.me, time.Now())
	})
	if err != nil {
		return err
	}
	if last.of(it.command()) && !last.State.Final() { // sending: only its answer ends it
		e.add(time.Now().Add(lookAgainAfter), d.seq, d.parked)
		return nil
	}
	return e.clear(ctx, d, s, it, &last)
}

// decideExpiry gives the final record of a delivery whose time is over; false
// where there is nothing to write: it has ended, or only its send's answer
// ends it. A ledger that was cut cannot say that nothing went out.
func decideExpiry(last *record, it *item, account string, me worker, now time.Time) (wire.Delivery, bool) {
	base := it.base(account, me.epoch)
	switch pos := decidePosition(last, it.command(), me, 0); {
	case pos == posReady:
		return expired(base, progressOf(last), now), true
	case pos == posAmbiguous && (last.seq == 0 || last.foreign):
		return unknown(base, progress{dup: true}, outcomeLost, now), true
	}
	return wire.Delivery{}, false
}

// clear removes what is final.
func (e *expirer) clear(ctx context.Context, d due, s wire.Stored, it *item, last *record) error {
	state := wire.Rejected // a later command can have its id only then
	if last.of(it.command()) {
		state = finalState(last)
	}
	if err := e.lists.ended(ctx, it, s.Trace, state); err != nil {
		return err
	}
	if err := e.remove(ctx, d); err != nil {
		return err
	}
	e.counts.waiting.Add(-1)
	return nil
}

// read gets one message; another sequence says that it is gone.
func (e *expirer) read(ctx context.Context, d due) (got wire.Stored, err error) {
	next := e.cfg.Buffer.Next
	if d.parked {
		next = e.cfg.Parking.Next
	}
	err = persist(ctx, e.log, "read expired", func() (err error) {
		got, err = next(ctx, d.seq)
		return err
	})
	return got, err
}

func (e *expirer) remove(ctx context.Context, d due) error {
	remove := e.cfg.Buffer.Remove
	if d.parked {
		remove = e.cfg.Parking.Remove
	}
	return persist(ctx, e.log, "remove expired", func() error { return remove(ctx, d.seq) })
}
