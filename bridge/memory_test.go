package bridge

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"slices"
	"sync"
	"testing"
	"time"

	"wechat-bridge/bridge/alert"
	"wechat-bridge/bridge/wire"
)

// memory is what NATS keeps, on the ports of outbox, inbox, link and alert, so
// that they run in virtual time. It outlives a life.
type memory struct {
	mu       sync.Mutex
	changed  chan struct{}
	commands memoryQueue
	outbox   memoryQueue
	parked   memoryQueue
	parkIDs  map[string]bool
	ledger   map[string]uint64 // key: place of its last record, from 1
	records  []wire.Stored
	events   []wire.Stored
	eventIDs map[string]bool
	objects  map[string][]byte
	vaults   map[string][]byte
	alerts   []alert.Kind
}

func newMemory() *memory {
	return &memory{
		changed: make(chan struct{}), parkIDs: map[string]bool{}, ledger: map[string]uint64{},
		eventIDs: map[string]bool{}, objects: map[string][]byte{}, vaults: map[string][]byte{},
	}
}

// publish is a user's publish to wechat.send.
func (m *memory) publish(body []byte) uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	defer m.wake()
	return m.commands.put(wire.Stored{Body: body})
}

// wake lets those look again who wait; the lock is held.
func (m *memory) wake() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// memoryQueue is a work queue: what is done is gone.
type memoryQueue struct {
	last  uint64
	items []wire.Stored
}

func (q *memoryQueue) put(m wire.Stored) uint64 {
	q.last++
	m.Seq, m.At, m.Body = q.last, time.Now(), bytes.Clone(m.Body)
	q.items = append(q.items, m)
	return m.Seq
}

func (q *memoryQueue) place(seq uint64) (int, bool) {
	return slices.BinarySearchFunc(q.items, seq, func(m wire.Stored, seq uint64) int { return int(int64(m.Seq) - int64(seq)) })
}

// from is what is there from a sequence on.
func (q *memoryQueue) from(seq uint64) iter.Seq[wire.Stored] {
	i, _ := q.place(seq)
	return slices.Values(q.items[i:])
}

func (q *memoryQueue) remove(seq uint64) {
	if i, there := q.place(seq); there {
		q.items = slices.Delete(q.items, i, i+1)
	}
}

var errKilled = errors.New("the process was killed")

// life is one process's access to the memory: once it is killed, nothing that
// it does has an effect any more.
type life struct {
	*memory
	killed bool
}

// do performs one operation of a living process.
func (l *life) do(what func() error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.killed {
		return errKilled
	}
	return what()
}

func (l *life) kill() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.killed = true
	l.wake()
}

// memoryInlet is a consumer of one life: what is not done comes again to the
// next one.
type memoryInlet struct {
	*life
	q      *memoryQueue
	cursor uint64
}

func (i *memoryInlet) Fetch(ctx context.Context, limit int) (got []wire.Stored, err error) {
	for {
		var changed chan struct{}
		err := i.do(func() error {
			changed = i.changed
			for m := range i.q.from(i.cursor + 1) {
				if len(got) == limit {
					break
				}
				got, i.cursor = append(got, m), m.Seq
			}
			return nil
		})
		if err != nil || len(got) > 0 {
			return got, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (i *memoryInlet) Done(_ context.Context, seq uint64) error {
	return i.do(func() error { i.q.remove(seq); return nil })
}

// Waits is asked of the commands.
func (i *memoryInlet) Waits(_ context.Context, seq uint64) (there bool, err error) {
	err = i.do(func() error { _, there = i.q.place(seq); return nil })
	return there, err
}

// Last, Append, AppendAll and Newest are the ledger of records.
func (l *life) Last(_ context.Context, key string) (got wire.Stored, err error) {
	err = l.do(func() error {
		if n := l.ledger[key]; n > 0 {
			got = l.records[n-1]
		}
		return nil
	})
	return got, err
}

func (l *life) Append(ctx context.Context, rec wire.Stored) (seq uint64, stored bool, err error) {
	stored, err = l.AppendAll(ctx, []wire.Stored{rec})
	if stored {
		seq = l.ledgerPlace(rec.Token)
	}
	return seq, stored, err
}

func (l *life) Newest(_ context.Context, since time.Time, n int) (got []wire.Stored, err error) {
	err = l.do(func() error {
		for _, r := range l.records[max(0, len(l.records)-n):] {
			if !r.At.Before(since) {
				got = append(got, r)
			}
		}
		return nil
	})
	return got, err
}

func (l *life) ledgerPlace(key string) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ledger[key]
}

func (l *life) AppendAll(_ context.Context, recs []wire.Stored) (stored bool, err error) {
	err = l.do(func() error {
		if stored = !slices.ContainsFunc(recs, func(r wire.Stored) bool { return l.ledger[r.Token] != r.After }); !stored {
			return nil
		}
		for _, r := range recs {
			r.Seq, r.At, r.Body = uint64(len(l.records)+1), time.Now(), bytes.Clone(r.Body)
			l.records = append(l.records, r)
			l.ledger[r.Token] = r.Seq
		}
		return nil
	})
	return stored, err
}

// The ports refuse what NATS would refuse: tests that play on them could
// otherwise not fail.
func TestMemory(t *testing.T) {
	m := newMemory()
	l := &life{memory: m}
	rec := func(after uint64) wire.Stored { return wire.Stored{Token: "k", After: after, Body: []byte("{}")} }
	if seq, stored, err := l.Append(t.Context(), rec(0)); seq != 1 || !stored || err != nil {
		t.Errorf("the first record: %d %v %v", seq, stored, err)
	}
	if _, stored, _ := l.Append(t.Context(), rec(0)); stored {
		t.Error("a record was written over")
	}
	if seq, stored, _ := l.Append(t.Context(), rec(1)); seq != 2 || !stored {
		t.Error("the next record was refused")
	}
	m.publish([]byte("a"))
	m.publish([]byte("b"))
	first := &memoryInlet{life: l, q: &m.commands}
	if got, err := first.Fetch(t.Context(), 5); len(got) != 2 || err != nil {
		t.Errorf("%v %v", got, err)
	}
	if err := first.Done(t.Context(), 1); err != nil {
		t.Error(err)
	}
	l.kill()
	if _, err := first.Fetch(t.Context(), 5); err == nil || first.Done(t.Context(), 2) == nil {
		t.Error("a dead process reads")
	}
	next := &memoryInlet{life: &life{memory: m}, q: &m.commands}
	if got, _ := next.Fetch(t.Context(), 5); len(got) != 1 || string(got[0].Body) != "b" {
		t.Errorf("the next life got %v", got)
	}
	e := memoryEvents{next.life}
	if fresh, _ := e.Publish(t.Context(), wire.Stored{MsgID: "x"}); !fresh {
		t.Error("not fresh")
	}
	if fresh, _ := e.Publish(t.Context(), wire.Stored{MsgID: "x"}); fresh {
		t.Error("stored twice")
	}
}
