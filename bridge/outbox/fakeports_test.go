package outbox

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing/iotest"
	"time"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/bridge/wire"
)

func (p *proc) Last(_ context.Context, key string) (got wire.Stored, err error) {
	err = p.call("ledger.last", func() error {
		if p.w.noKey(key) {
			return wire.ErrInvalid
		}
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
		if p.w.noKey(rec.Token) {
			return wire.ErrInvalid
		}
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

func (p *proc) Newest(_ context.Context, since time.Time, n int) (got []wire.Stored, err error) {
	err = p.call("ledger.newest", func() error {
		for _, chain := range p.w.ledger {
			got = append(got, chain...)
		}
		got = slices.DeleteFunc(got, func(s wire.Stored) bool { return s.At.Before(since) || s.Seq+uint64(n) <= p.w.records })
		slices.SortFunc(got, func(a, b wire.Stored) int { return cmp.Compare(a.Seq, b.Seq) })
		return nil
	})
	return got, err
}

func (w *world) noKey(key string) bool { return w.refuse != "" && strings.HasPrefix(key, w.refuse) }

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

func (b buffer) Sweep(_ context.Context, priority string, from uint64, visit func(wire.Stored) error) error {
	return b.sweep("buffer.sweep", &b.w.outbox, priority, from, visit)
}

func (b buffer) Next(_ context.Context, from uint64) (wire.Stored, error) {
	return b.next("buffer.next", &b.w.outbox, from)
}

func (k parking) Next(_ context.Context, from uint64) (wire.Stored, error) {
	return k.next("parking.next", &k.w.parked, from)
}

func (p *proc) next(op string, s *stream, from uint64) (got wire.Stored, err error) {
	err = p.call(op, func() error {
		for m := range s.from(from) {
			got = m
			break
		}
		return nil
	})
	return got, err
}

func (p *proc) sweep(op string, s *stream, priority string, from uint64, visit func(wire.Stored) error) error {
	var all []wire.Stored
	if err := p.call(op, func() error { all = slices.Collect(s.from(from)); return nil }); err != nil {
		return err
	}
	for _, m := range all {
		if !strings.HasPrefix(m.Token, priority) {
			continue
		}
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

func (k parking) Sweep(_ context.Context, priority string, from uint64, visit func(wire.Stored) error) error {
	return k.sweep("parking.sweep", &k.w.parked, priority, from, visit)
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
	return o.call("objects.keep", func() error {
		if o.w.noRoom {
			return wire.ErrFull
		}
		o.w.kept[name] = b
		return nil
	})
}

func (o objects) Remove(_ context.Context, name string) error {
	return o.call("objects.remove", func() error { delete(o.w.kept, name); return nil })
}

func (o objects) Kept(_ context.Context, name string) (size int64, f opener, err error) {
	err = o.call("objects.kept", func() error {
		b, there := o.w.kept[name]
		if !there {
			return fs.ErrNotExist
		}
		size, f = int64(len(b)), open(b)
		if o.w.cut > 0 {
			o.w.cut--
			f = func(context.Context) (io.ReadCloser, error) { return io.NopCloser(iotest.ErrReader(errAway)), nil }
		}
		return nil
	})
	return size, f, err
}

var allKinds = wechat.Abilities{
	Kinds: []wechat.Kind{wechat.Text, wechat.Image, wechat.File, wechat.Video, wechat.Emoticon, wechat.Link, wechat.Revoke},
	Rooms: true, Mention: true, Names: true, MaxText: 4000,
}
