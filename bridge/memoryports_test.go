package bridge

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"wechat-bridge/bridge/alert"
	"wechat-bridge/bridge/wire"
)

// memoryBuffer is WECHAT_OUTBOX.
type memoryBuffer struct{ *life }

func (b memoryBuffer) Store(_ context.Context, items []wire.Stored) (last uint64, err error) {
	err = b.do(func() error {
		for _, m := range items {
			last = b.outbox.put(m)
		}
		b.wake()
		return nil
	})
	return last, err
}

func (b memoryBuffer) Sweep(_ context.Context, priority string, from uint64, visit func(wire.Stored) error) error {
	return b.sweep(&b.outbox, priority, from, visit)
}

func (b memoryBuffer) Next(_ context.Context, from uint64) (wire.Stored, error) {
	return b.next(&b.outbox, from, "")
}

func (b memoryBuffer) Remove(_ context.Context, seq uint64) error {
	return b.do(func() error { b.outbox.remove(seq); return nil })
}

func (b memoryBuffer) Count(context.Context) (n uint64, err error) {
	err = b.do(func() error { n = uint64(len(b.outbox.items)); return nil })
	return n, err
}

// next is the first of a token, or of any for "".
func (l *life) next(q *memoryQueue, from uint64, token string) (got wire.Stored, err error) {
	err = l.do(func() error {
		for m := range q.from(from) {
			if token == "" || m.Token == token {
				got = m
				break
			}
		}
		return nil
	})
	return got, err
}

func (l *life) sweep(q *memoryQueue, priority string, from uint64, visit func(wire.Stored) error) error {
	var all []wire.Stored
	if err := l.do(func() error { all = slices.Collect(q.from(from)); return nil }); err != nil {
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

// memoryParking is WECHAT_PARKED.
type memoryParking struct{ *life }

func (k memoryParking) Park(_ context.Context, item wire.Stored) error {
	return k.do(func() error {
		if !k.parkIDs[item.MsgID] {
			k.parkIDs[item.MsgID] = true
			k.parked.put(item)
		}
		return nil
	})
}

func (k memoryParking) Head(_ context.Context, token string, after uint64) (wire.Stored, error) {
	return k.next(&k.parked, after+1, token)
}

func (k memoryParking) Next(_ context.Context, from uint64) (wire.Stored, error) {
	return k.next(&k.parked, from, "")
}

func (k memoryParking) Remove(_ context.Context, seq uint64) error {
	return k.do(func() error { k.parked.remove(seq); return nil })
}

func (k memoryParking) Tokens(context.Context) (tokens []string, err error) {
	err = k.do(func() error {
		for _, m := range k.parked.items {
			tokens = append(tokens, m.Token)
		}
		slices.Sort(tokens)
		tokens = slices.Compact(tokens)
		return nil
	})
	return tokens, err
}

func (k memoryParking) Sweep(_ context.Context, priority string, from uint64, visit func(wire.Stored) error) error {
	return k.sweep(&k.parked, priority, from, visit)
}

// memoryObjects is both object stores; nobody uploads here.
type memoryObjects struct{ *life }

type objectOpener = func(context.Context) (io.ReadCloser, error)

func (memoryObjects) Upload(context.Context, string) (int64, objectOpener, error) {
	return 0, nil, fs.ErrNotExist
}

func (o memoryObjects) Keep(_ context.Context, name string, r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	return o.do(func() error { o.objects[name] = b; return nil })
}

func (o memoryObjects) Kept(_ context.Context, name string) (size int64, open objectOpener, err error) {
	err = o.do(func() error {
		b, there := o.objects[name]
		if !there {
			return fs.ErrNotExist
		}
		size, open = int64(len(b)), func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
		return nil
	})
	return size, open, err
}

func (o memoryObjects) Remove(_ context.Context, name string) error {
	return o.do(func() error { delete(o.objects, name); return nil })
}

// memoryEvents is WECHAT_EVENTS, memoryMedia wechat_media.
type memoryEvents struct{ *life }

func (e memoryEvents) Publish(_ context.Context, ev wire.Stored) (fresh bool, err error) {
	err = e.do(func() error {
		if fresh = !e.eventIDs[ev.MsgID]; fresh {
			e.eventIDs[ev.MsgID] = true
			ev.Seq, ev.At = uint64(len(e.events)+1), time.Now()
			e.events = append(e.events, ev)
		}
		return nil
	})
	return fresh, err
}

type memoryMedia struct{ *life }

func (m memoryMedia) Put(_ context.Context, name string, r io.Reader) (size int64, digest string, err error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return 0, "", err
	}
	sum := sha256.Sum256(b)
	err = m.do(func() error { m.objects["in/"+name] = b; return nil })
	return int64(len(b)), hex.EncodeToString(sum[:]), err
}

// memoryVault is one value of wechat_sessions.
type memoryVault struct {
	*life
	name string
}

func (v memoryVault) Load(context.Context) (value []byte, err error) {
	err = v.do(func() error { value = bytes.Clone(v.vaults[v.name]); return nil })
	return value, err
}

func (v memoryVault) Save(_ context.Context, value []byte) error {
	return v.do(func() error { v.vaults[v.name] = bytes.Clone(value); return nil })
}

// memoryAlerts counts what people are told.
type memoryAlerts struct{ *life }

func (a memoryAlerts) Publish(_ context.Context, kind alert.Kind, _ []byte) error {
	return a.do(func() error { a.alerts = append(a.alerts, kind); return nil })
}
