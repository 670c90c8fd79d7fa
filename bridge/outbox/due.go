package outbox

import (
	"cmp"
	"container/heap"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"wechat-bridge/bridge/wire"
)

// maxDue is how many dues are kept in memory; what lies later is found by another
// sweep when its time comes near.
const maxDue = 16_384

// lookAgainAfter is when something whose time came during an attempt is looked
// at again.
const lookAgainAfter = 20 * time.Second

// due is when something is to be done about a delivery, and where it rests.
type due struct {
	at     int64 // unix milliseconds
	seq    uint64
	parked bool
	again  bool // put off; no sweep finds it
	tries  int  // so far
}

// before is by time, then by age.
func (d due) before(e due) bool { return d.at < e.at || d.at == e.at && d.seq < e.seq }

type dueHeap []due

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].before(h[j]) }
func (h dueHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *dueHeap) Push(x any)        { *h = append(*h, x.(due)) }
func (h *dueHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}

// timetable knows when something is to be done about each delivery that waits. It
// looks at buffer and parking without taking anything out.
type timetable struct {
	cfg      Config
	log      zerolog.Logger
	priority string                      // it is about these; "" for all
	when     func(wire.Stored) time.Time // zero: never
	first    func(wire.Stored)           // hears of all that the first sweep finds; may be nil
	// once says that what was done stays where it is, and no sweep is to find it
	// again.
	once bool

	mu    sync.Mutex
	heap  dueHeap
	cut   int64 // what is due then or later is not in the heap; 0 = all is
	floor int64 // sweeps leave out what was due before
	moved chan struct{}
	// What the courier parked since the last sweep has no known sequence:
	// parkedDue is when the first of it is due (0: nothing), parkedFrom where
	// the next sweep of the parking begins.
	parkedDue  int64
	parkedFrom uint64
}

func newTimetable(cfg Config, when func(wire.Stored) time.Time) *timetable {
	return &timetable{cfg: cfg, log: cfg.Log, when: when, moved: make(chan struct{}, 1)}
}

// add notes one delivery.
func (t *timetable) add(at time.Time, seq uint64, parked bool) {
	if !at.IsZero() {
		t.put(due{at: at.UnixMilli(), seq: seq, parked: parked})
	}
}

// again has something looked at again after a while, at the earliest.
func (t *timetable) again(d due, wait time.Duration) {
	d.at, d.again = time.Now().Add(wait).UnixMilli()+1, true
	t.put(d)
}

func (t *timetable) put(d due) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cut > 0 && d.at >= t.cut && !d.again {
		return
	}
	heap.Push(&t.heap, d)
	if len(t.heap) > 2*maxDue {
		t.shrink()
	}
	if t.heap[0] == d {
		t.nudge()
	}
}

// addParked notes that something was parked.
func (t *timetable) addParked(at time.Time) {
	if at.IsZero() {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if ms := at.UnixMilli(); t.parkedDue == 0 || ms < t.parkedDue {
		t.parkedDue = ms
		t.nudge()
	}
}

// nudge has run look at the time anew.
func (t *timetable) nudge() {
	select {
	case t.moved <- struct{}{}:
	default:
	}
}

// shrink keeps the earlier half. A sorted slice is a heap.
func (t *timetable) shrink() {
	slices.SortFunc(t.heap, func(a, b due) int { return cmp.Compare(a.at, b.at) })
	t.cut = t.heap[maxDue].at
	n := maxDue
	for n > 0 && t.heap[n-1].at == t.cut {
		n--
	}
	if n == 0 { // all at once: keep them
		t.cut = 0
		return
	}
	again := slices.DeleteFunc(slices.Clone(t.heap[n:]), func(d due) bool { return !d.again })
	t.heap = append(slices.Clone(t.heap[:n]), again...)
}

// run has act called for what is due, for at most so many at once, until the
// context ends.
func (t *timetable) run(ctx context.Context, atOnce int, act func(context.Context, due) error) error {
	if t.sweep(ctx) != nil {
		return nil
	}
	t.first = nil
	for ctx.Err() == nil {
		d, wait, todo := t.next(time.Now())
		switch {
		case todo == sweepAll && t.sweep(ctx) != nil, todo == sweepParked && t.sweepParking(ctx) != nil:
			return nil
		case todo != sweepNothing:
		case wait > 0:
			t.rest(ctx, wait)
		default:
			all := t.alsoDue(time.Now(), d, 4*atOnce)
			if err := each(atOnce, all, func(d due) error { return act(ctx, d) }); err != nil {
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
func (t *timetable) next(now time.Time) (d due, wait time.Duration, todo sweep) {
	t.mu.Lock()
	defer t.mu.Unlock()
	wait = time.Hour
	if t.parkedDue > 0 {
		if wait = time.UnixMilli(t.parkedDue).Sub(now); wait <= 0 {
			t.parkedDue = 0
			return d, 0, sweepParked
		}
	}
	if len(t.heap) == 0 {
		if t.cut > 0 {
			if t.once {
				t.floor = t.cut
			}
			t.cut, t.parkedDue, t.parkedFrom = 0, 0, 0
			return d, 0, sweepAll
		}
		return d, wait, sweepNothing
	}
	if first := time.UnixMilli(t.heap[0].at).Sub(now); first > 0 {
		return d, min(wait, first), sweepNothing
	}
	return heap.Pop(&t.heap).(due), 0, sweepNothing
}

// alsoDue pops what is due together with the first one, at most so many.
func (t *timetable) alsoDue(now time.Time, first due, most int) []due {
	all := []due{first}
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(all) < most && len(t.heap) > 0 && t.heap[0].at <= now.UnixMilli() {
		all = append(all, heap.Pop(&t.heap).(due))
	}
	return all
}

func (t *timetable) rest(ctx context.Context, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.moved:
	case <-ctx.Done():
	}
}

// sweep fills the heap from buffer and parking. Its error is the context's.
func (t *timetable) sweep(ctx context.Context) error {
	if _, err := t.sweepOne(ctx, t.cfg.Buffer.Sweep, 0, false); err != nil {
		return err
	}
	return t.sweepParking(ctx)
}

// sweepParking looks at what was parked since it last did.
func (t *timetable) sweepParking(ctx context.Context) error {
	t.mu.Lock()
	from := t.parkedFrom
	t.mu.Unlock()
	from, err := t.sweepOne(ctx, t.cfg.Parking.Sweep, from, true)
	t.mu.Lock()
	t.parkedFrom = from
	t.mu.Unlock()
	return err
}

type sweeper func(context.Context, string, uint64, func(wire.Stored) error) error

// sweepOne fills the heap from one stream and tells where it came to.
func (t *timetable) sweepOne(ctx context.Context, look sweeper, from uint64, parked bool) (uint64, error) {
	err := persist(ctx, t.log, "sweep", func() error {
		return look(ctx, t.priority, from, func(s wire.Stored) error {
			from = s.Seq + 1
			if at := t.when(s); at.UnixMilli() >= t.floor {
				t.add(at, s.Seq, parked)
			}
			if t.first != nil {
				t.first(s)
			}
			return nil
		})
	})
	return from, err
}

// read gets one message; another sequence says that it is gone.
func (t *timetable) read(ctx context.Context, d due) (got wire.Stored, err error) {
	next := t.cfg.Buffer.Next
	if d.parked {
		next = t.cfg.Parking.Next
	}
	err = persist(ctx, t.log, "read what is due", func() (err error) {
		got, err = next(ctx, d.seq)
		return err
	})
	return got, err
}

func (t *timetable) remove(ctx context.Context, d due) error {
	remove := t.cfg.Buffer.Remove
	if d.parked {
		remove = t.cfg.Parking.Remove
	}
	return persist(ctx, t.log, "remove what is over", func() error { return remove(ctx, d.seq) })
}
