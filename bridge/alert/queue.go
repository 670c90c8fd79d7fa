package alert

import (
	"slices"
	"sync"
	"time"
)

// maxQueue is how many notices one channel keeps; above it the oldest goes that
// is not being tried.
const maxQueue = 16

// item is a notice on its way over one channel.
type item struct {
	notice Notice
	msg    Message
	due    time.Time // not tried before
	until  time.Time // given up after
	tries  int
}

// queue is what one channel has to tell, in order.
type queue struct {
	mu     sync.Mutex
	items  []*item
	signal chan struct{}
}

func newQueue() *queue { return &queue{signal: make(chan struct{}, 1)} }

// put takes a notice at the end. One that says that an outage is over makes
// what was not delivered about that outage needless: it tells all of it.
// Merged and dropped are how many went.
func (q *queue) put(it *item) (merged, dropped int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if it.notice.back() {
		before := len(q.items)
		q.items = slices.DeleteFunc(q.items, func(old *item) bool { return old.notice.Outage == it.notice.Outage })
		merged = before - len(q.items)
	}
	if len(q.items) >= maxQueue {
		q.items = slices.Delete(q.items, 1, 2)
		dropped = 1
	}
	q.items = append(q.items, it)
	select {
	case q.signal <- struct{}{}:
	default:
	}
	return merged, dropped
}

func (q *queue) head() *item {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.items) == 0 {
		return nil
	}
	return q.items[0]
}

// remove takes an item out; false if it is not there any more.
func (q *queue) remove(it *item) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.Index(q.items, it)
	if i < 0 {
		return false
	}
	q.items = slices.Delete(q.items, i, i+1)
	return true
}

func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.items)
}
