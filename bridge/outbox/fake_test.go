package outbox

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"wechat-bridge/bridge/wire"
)

var (
	errAway  = errors.New("nats is away")
	errCrash = errors.New("the process was killed")
)

// stream is a work queue or the parking, in memory.
type stream struct {
	last uint64
	msgs []wire.Stored   // by sequence, removed ones too until compacted
	live map[uint64]bool // what is not removed
}

func (s *stream) put(m wire.Stored) uint64 {
	s.last++
	m.Seq, m.At = s.last, time.Now()
	m.Body = bytes.Clone(m.Body)
	s.msgs = append(s.msgs, m)
	if s.live == nil {
		s.live = map[uint64]bool{}
	}
	s.live[m.Seq] = true
	return m.Seq
}

// from walks through what is there from a sequence on.
func (s *stream) from(seq uint64) iter.Seq[wire.Stored] {
	i, _ := slices.BinarySearchFunc(s.msgs, seq, func(m wire.Stored, seq uint64) int {
		return int(int64(m.Seq) - int64(seq))
	})
	return func(yield func(wire.Stored) bool) {
		for _, m := range s.msgs[i:] {
			if s.live[m.Seq] && !yield(m) {
				return
			}
		}
	}
}

func (s *stream) remove(seq uint64) {
	delete(s.live, seq)
	if len(s.msgs) > 2*len(s.live)+1000 {
		s.msgs = slices.DeleteFunc(s.msgs, func(m wire.Stored) bool { return !s.live[m.Seq] })
	}
}

// world is all that outlives a process: NATS and WeChat.
type world struct {
	mu         sync.Mutex
	changed    chan struct{}
	commands   stream
	outbox     stream
	parked     stream
	parkIDs    map[string]bool
	ledger     map[string][]wire.Stored
	records    uint64
	uploads    map[string][]byte
	kept       map[string][]byte
	cut        int    // so many kept media break off while they are read
	full       bool   // the buffer refuses
	noRoom     bool   // for media
	fetchBytes int    // of one fetch
	refuse     string // keys that begin so are no keys to the ledger
	chat       *fakeChat
	siren      siren
}

func newWorld() *world {
	return &world{
		changed: make(chan struct{}), ledger: map[string][]wire.Stored{}, parkIDs: map[string]bool{},
		uploads: map[string][]byte{}, kept: map[string][]byte{}, chat: &fakeChat{}, fetchBytes: 8 << 20,
	}
}

// signal wakes who waits; the lock is held.
func (w *world) signal() {
	close(w.changed)
	w.changed = make(chan struct{})
}

// publish is a user's publish to wechat.send.
func (w *world) publish(body string, msgID ...string) uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	m := wire.Stored{Body: []byte(body)}
	if len(msgID) > 0 {
		m.MsgID = msgID[0]
	}
	defer w.signal()
	return w.commands.put(m)
}

// chain gives the records of a key.
func (w *world) chain(t testing.TB, key string) []wire.Delivery {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []wire.Delivery
	for _, s := range w.ledger[key] {
		d, _, err := wire.OpenDelivery(s.Body)
		if err != nil {
			t.Fatalf("record of %s: %v", key, err)
		}
		out = append(out, d)
	}
	return out
}

func (w *world) states(t testing.TB, key string) []wire.State {
	var out []wire.State
	for _, d := range w.chain(t, key) {
		out = append(out, d.State)
	}
	return out
}

func (w *world) last(t testing.TB, key string) wire.Delivery {
	all := w.chain(t, key)
	if len(all) == 0 {
		return wire.Delivery{}
	}
	return all[len(all)-1]
}

// left is what still waits in commands, outbox and parking.
func (w *world) left() (int, int, int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.commands.live), len(w.outbox.live), len(w.parked.live)
}

// proc is one process's connection to the world. Its ports fail as fault says;
// once dead nothing it does has an effect any more.
type proc struct {
	w     *world
	mu    sync.Mutex
	dead  bool
	kill  context.CancelCauseFunc
	n     int
	fault func(n int, op string) fault
	lag   func(op string, answer bool) time.Duration // of a question or an answer on its way; nil: none
}

// fault is what goes wrong with one call.
type fault int

const (
	ok          fault = iota
	failBefore        // error, nothing done
	failAfter         // done, then an error
	crashBefore       // killed before it is done
	crashAfter        // killed after it is done, before the answer
)

// call performs one operation, which takes effect somewhere between the
// question and the answer.
func (p *proc) call(op string, do func() error) error {
	if p.lag != nil {
		time.Sleep(p.lag(op, false))
		defer func() { time.Sleep(p.lag(op, true)) }()
	}
	return p.locked(op, do)
}

// locked performs one operation under the world's lock.
func (p *proc) locked(op string, do func() error) error {
	p.mu.Lock()
	if p.dead {
		p.mu.Unlock()
		return errCrash
	}
	p.n++
	f := ok
	if p.fault != nil {
		f = p.fault(p.n, op)
	}
	if f == crashBefore || f == crashAfter {
		p.dead = true
	}
	if f == failAfter && strings.HasSuffix(op, ".fetch") {
		f = failBefore // the port loses nothing that it has not handed out
	}
	if f == failBefore || f == crashBefore {
		p.mu.Unlock()
		return p.ended(f)
	}
	p.w.mu.Lock()
	err := do()
	p.w.mu.Unlock()
	p.mu.Unlock()
	if f != ok {
		return p.ended(f)
	}
	return err
}

func (p *proc) ended(f fault) error {
	if f == crashBefore || f == crashAfter {
		p.kill(errCrash)
		return errCrash
	}
	return errAway
}

func (p *proc) die() {
	p.mu.Lock()
	p.dead = true
	p.mu.Unlock()
	p.kill(errCrash)
}

// inlet is a consumer of one process: what is not acknowledged comes again to
// the next process.
type inlet struct {
	p      *proc
	name   string
	s      *stream
	only   string // this token; "" for all
	cursor uint64
}

func (i *inlet) Fetch(ctx context.Context, limit int) ([]wire.Stored, error) {
	for {
		var got []wire.Stored
		var wait chan struct{}
		i.p.w.mu.Lock()
		empty := i.empty()
		wait = i.p.w.changed
		i.p.w.mu.Unlock()
		if empty {
			select {
			case <-wait:
				continue
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
		}
		err := i.p.call(i.name+".fetch", func() error {
			size := 0
			for m := range i.s.from(i.cursor + 1) {
				if i.only != "" && m.Token != i.only {
					continue
				}
				if size += len(m.Body); len(got) == limit || len(got) > 0 && size > i.p.w.fetchBytes {
					break
				}
				got = append(got, m)
				i.cursor = m.Seq
			}
			return nil
		})
		return got, err
	}
}

// empty reports that nothing waits for it; the world's lock is held.
func (i *inlet) empty() bool {
	for m := range i.s.from(i.cursor + 1) {
		if i.only == "" || m.Token == i.only {
			return false
		}
	}
	return true
}

func (i *inlet) Done(_ context.Context, seq uint64) error {
	return i.p.call(i.name+".done", func() error { i.s.remove(seq); return nil })
}

func (i *inlet) Waits(_ context.Context, seq uint64) (waits bool, err error) {
	err = i.p.call(i.name+".waits", func() error { waits = i.s.live[seq]; return nil })
	return waits, err
}
