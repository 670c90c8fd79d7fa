package outbox

import (
	"slices"
	"time"

	"wechat-bridge/bridge/wechat"
)

// delivery is an item in the courier's memory.
type delivery struct {
	*item
	trace string
	feed  *feed  // where it is acknowledged; nil for a parked one
	seq   uint64 // in the buffer or in the parking
	queue *queue // of a parked one

	rec     uint64   // the chain's last record as far as known; 0 = look
	prog    progress // as that record says
	marked  int      // attempt whose sending record is written but was not acted upon
	tries   int      // in a row in this process, for the back-off
	counted bool     // among the day's sends, in this turn
	since   time.Time
	until   time.Time   // not before
	placed  bool        // it has been in a lane's memory
	gen     uint64      // the login that peer belongs to
	peer    wechat.Peer // whom it goes to
	source  *source     // of its medium, as the transport read it last
}

// before orders deliveries of one chat.
func (d *delivery) before(e *delivery) bool { return d.order().less(e.order()) }

// lane is one chat: one delivery at a time, in order.
type lane struct {
	peer   wechat.Peer
	memory []*delivery
	queues map[string]*queue // parked ones that go to this chat
	busy   *delivery
	ready  bool      // it is in the list of those that can go
	urgent bool      // in that of those that go first
	wakes  time.Time // it wakes by itself then; zero = it does not
}

// add puts a delivery in its place.
func (l *lane) add(d *delivery) {
	d.placed = true
	i := len(l.memory)
	for i > 0 && d.before(l.memory[i-1]) {
		i--
	}
	l.memory = slices.Insert(l.memory, i, d)
}

// full reports that the next delivery of a priority must be parked: what is
// parked goes first.
func (l *lane) full(high bool) bool {
	for _, q := range l.queues {
		if q.high == high {
			return true
		}
	}
	n := 0
	for _, d := range l.memory {
		if d.High == high {
			n++
		}
	}
	return n >= laneSize
}

func (l *lane) idle() bool {
	return l.busy == nil && len(l.memory) == 0 && len(l.queues) == 0
}

// next is the delivery whose turn it is, or nil while one is under way, nothing
// is there or a parked one is still being read. Until the buffer's front has
// passed, no parked one has its turn: a crash left older ones there.
func (l *lane) next(now time.Time, passed func(high bool) bool) *delivery {
	if l.busy != nil {
		return nil
	}
	d := l.first()
	if d == nil || now.Before(d.until) || d.queue != nil && !passed(d.High) {
		return nil
	}
	return d
}

// first is the delivery that goes before all others, or nil while it is not
// known.
func (l *lane) first() *delivery {
	var first *delivery
	if len(l.memory) > 0 {
		first = l.memory[0]
	}
	for _, q := range l.queues {
		if q.head != nil && (first == nil || q.head.before(first)) {
			first = q.head
		}
	}
	for _, q := range l.queues {
		if q.head == nil && (first == nil || !q.behind(first)) {
			return nil
		}
	}
	return first
}

// behind reports that all that is parked there goes after a delivery.
func (q *queue) behind(d *delivery) bool {
	return d.High && !q.high || q.floor != (order{}) && d.order().less(q.floor)
}

// take makes a delivery the one under way.
func (l *lane) take(d *delivery) {
	l.busy = d
	if len(l.memory) > 0 && l.memory[0] == d {
		l.memory[0] = nil
		l.memory = l.memory[1:]
	}
}

// giveBack returns what was under way to its place.
func (l *lane) giveBack(until time.Time) {
	d := l.busy
	l.busy, d.until = nil, until
	if d.queue == nil {
		l.add(d)
	}
}
