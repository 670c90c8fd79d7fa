package outbox

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"wechat-bridge/bridge/wechat"
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

func (s *stream) empty(from uint64) bool {
	for range s.from(from) {
		return false
	}
	return true
}

func (s *stream) remove(seq uint64) {
	delete(s.live, seq)
	if len(s.msgs) > 2*len(s.live)+1000 {
		s.msgs = slices.DeleteFunc(s.msgs, func(m wire.Stored) bool { return !s.live[m.Seq] })
	}
}

// world is all that outlives a process: NATS and WeChat.
type world struct {
	mu       sync.Mutex
	changed  chan struct{}
	commands stream
	outbox   stream
	parked   stream
	parkIDs  map[string]bool
	ledger   map[string][]wire.Stored
	records  uint64
	uploads  map[string][]byte
	kept     map[string][]byte
	full     bool // the buffer refuses
	chat     *fakeChat
}

func newWorld() *world {
	return &world{
		changed: make(chan struct{}), ledger: map[string][]wire.Stored{}, parkIDs: map[string]bool{},
		uploads: map[string][]byte{}, kept: map[string][]byte{}, chat: &fakeChat{},
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

// call performs one operation under the world's lock.
func (p *proc) call(op string, do func() error) error {
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
	cursor uint64
}

func (i *inlet) Fetch(ctx context.Context, limit int) ([]wire.Stored, error) {
	for {
		var got []wire.Stored
		var wait chan struct{}
		i.p.w.mu.Lock()
		empty := i.s.empty(i.cursor + 1)
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
			for m := range i.s.from(i.cursor + 1) {
				if len(got) == limit {
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

func (i *inlet) Done(_ context.Context, seq uint64) error {
	return i.p.call(i.name+".done", func() error { i.s.remove(seq); return nil })
}

func (p *proc) Last(_ context.Context, key string) (got wire.Stored, err error) {
	err = p.call("ledger.last", func() error {
		if c := p.w.ledger[key]; len(c) > 0 {
			got = c[len(c)-1]
		}
		return nil
	})
	return got, err
}

func (p *proc) Append(_ context.Context, rec wire.Stored) (seq uint64, stored bool, err error) {
	op := "ledger.append"
	err = p.call(op, func() error {
		if stored = p.w.fits(rec); stored {
			seq = p.w.record(rec)
		}
		return nil
	})
	return seq, stored, err
}

func (p *proc) AppendAll(_ context.Context, recs []wire.Stored) (stored bool, err error) {
	err = p.call("ledger.appendall", func() error {
		for _, r := range recs {
			if !p.w.fits(r) {
				return nil
			}
		}
		for _, r := range recs {
			p.w.record(r)
		}
		stored = true
		return nil
	})
	return stored, err
}

func (w *world) fits(r wire.Stored) bool {
	c := w.ledger[r.Token]
	return len(c) == 0 && r.After == 0 || len(c) > 0 && c[len(c)-1].Seq == r.After
}

func (w *world) record(r wire.Stored) uint64 {
	w.records++
	r.Seq, r.At = w.records, time.Now()
	w.ledger[r.Token] = append(w.ledger[r.Token], r)
	w.signal()
	return r.Seq
}

// buffer and parking have methods of the same name.
type buffer struct{ *proc }

func (b buffer) Store(_ context.Context, items []wire.Stored) (last uint64, err error) {
	err = b.call("buffer.store", func() error {
		if b.w.full {
			return wire.ErrFull
		}
		for _, m := range items {
			last = b.w.outbox.put(m)
		}
		b.w.signal()
		return nil
	})
	return last, err
}

func (b buffer) Sweep(_ context.Context, from uint64, visit func(wire.Stored) error) error {
	return b.sweep("buffer.sweep", &b.w.outbox, from, visit)
}

func (p *proc) sweep(op string, s *stream, from uint64, visit func(wire.Stored) error) error {
	var all []wire.Stored
	if err := p.call(op, func() error { all = slices.Collect(s.from(from)); return nil }); err != nil {
		return err
	}
	for _, m := range all {
		if err := visit(m); err != nil {
			return err
		}
	}
	return nil
}

func (b buffer) Remove(_ context.Context, seq uint64) error {
	return b.call("buffer.remove", func() error { b.w.outbox.remove(seq); return nil })
}

func (b buffer) Count(context.Context) (n uint64, err error) {
	err = b.call("buffer.count", func() error { n = uint64(len(b.w.outbox.live)); return nil })
	return n, err
}

type parking struct{ *proc }

func (k parking) Park(_ context.Context, item wire.Stored) error {
	return k.call("parking.park", func() error {
		if !k.w.parkIDs[item.MsgID] {
			k.w.parkIDs[item.MsgID] = true
			k.w.parked.put(item)
		}
		return nil
	})
}

func (k parking) Head(_ context.Context, token string, after uint64) (got wire.Stored, err error) {
	err = k.call("parking.head", func() error {
		for m := range k.w.parked.from(after + 1) {
			if m.Token == token {
				got = m
				break
			}
		}
		return nil
	})
	return got, err
}

func (k parking) Remove(_ context.Context, seq uint64) error {
	return k.call("parking.remove", func() error { k.w.parked.remove(seq); return nil })
}

func (k parking) Tokens(context.Context) (tokens []string, err error) {
	err = k.call("parking.tokens", func() error {
		for m := range k.w.parked.from(0) {
			if !slices.Contains(tokens, m.Token) {
				tokens = append(tokens, m.Token)
			}
		}
		return nil
	})
	return tokens, err
}

func (k parking) Sweep(_ context.Context, from uint64, visit func(wire.Stored) error) error {
	return k.sweep("parking.sweep", &k.w.parked, from, visit)
}

type objects struct{ *proc }

// damaged is an object whose bytes don't fit its digest.
type damaged struct{}

func (damaged) Read([]byte) (int, error) { return 0, errors.New("digests do not match") }
func (damaged) Close() error             { return nil }

type opener = func(context.Context) (io.ReadCloser, error)

func open(b []byte) opener {
	return func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
}

func (o objects) Upload(_ context.Context, name string) (size int64, f opener, err error) {
	err = o.call("objects.upload", func() error {
		b, there := o.w.uploads[name]
		size, f = int64(len(b)), open(b)
		switch {
		case name == "link":
			return fs.ErrInvalid
		case name == "damaged":
			size, f = 7, func(context.Context) (io.ReadCloser, error) { return damaged{}, nil }
		case !there:
			return fs.ErrNotExist
		case name == "slow":
			f = func(ctx context.Context) (io.ReadCloser, error) {
				err := pause(ctx, time.Minute)
				return io.NopCloser(bytes.NewReader(b)), err
			}
		}
		return nil
	})
	return size, f, err
}

func (o objects) Keep(_ context.Context, name string, r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	return o.call("objects.keep", func() error { o.w.kept[name] = b; return nil })
}

func (o objects) Kept(_ context.Context, name string) (size int64, f opener, err error) {
	err = o.call("objects.kept", func() error {
		b, there := o.w.kept[name]
		if !there {
			return fs.ErrNotExist
		}
		size, f = int64(len(b)), open(b)
		return nil
	})
	return size, f, err
}

var allKinds = wechat.Abilities{
	Kinds: []wechat.Kind{wechat.Text, wechat.Image, wechat.File, wechat.Video, wechat.Emoticon, wechat.Link, wechat.Revoke},
	Rooms: true, Mention: true, Names: true, MaxText: 4000,
}
