package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"wechat-bridge/bridge/wire"
)

const (
	sweepBatch   = 256
	sweepBytes   = 4 * mib
	sweepTimeout = 30 * time.Second
)

// Buffer is WECHAT_OUTBOX of one account: accepted deliveries that wait.
type Buffer struct{ a *Account }

// Buffer gives the account's outbox.
func (a *Account) Buffer() *Buffer { return &Buffer{a: a} }

// Store writes all or nothing, in order, at most 200; Token is the priority.
// It returns the sequence of the last one. A full stream is wire.ErrFull.
func (b *Buffer) Store(ctx context.Context, items []wire.Stored) (last uint64, err error) {
	msgs := make([]*nats.Msg, len(items))
	for i, item := range items {
		if !safeToken.MatchString(item.Token) {
			return 0, fmt.Errorf("%.80q is no priority: %w", item.Token, wire.ErrInvalid)
		}
		msgs[i] = toMsg(b.a.subject("outbox", b.a.name, item.Token), item)
	}
	switch {
	case len(msgs) == 0:
		return 0, nil
	case len(msgs) == 1:
		last, err = b.single(ctx, msgs[0])
	case len(msgs) > maxBatch:
		return 0, fmt.Errorf("%d deliveries are too many for one batch: at most %d", len(msgs), maxBatch)
	default:
		last, err = batch(ctx, b.a.conn.JS, msgs)
	}
	if err != nil {
		return 0, fmt.Errorf("store %d deliveries: %w", len(items), full(err))
	}
	return last, nil
}

func (b *Buffer) single(ctx context.Context, m *nats.Msg) (last uint64, err error) {
	ack, err := b.a.conn.JS.PublishMsg(ctx, m)
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

// Sweep looks at what waits with a priority, "" for each, oldest first, from a
// sequence on. An error of visit ends it and is returned.
func (b *Buffer) Sweep(ctx context.Context, priority string, from uint64, visit func(wire.Stored) error) error {
	return b.a.conn.sweep(ctx, b.a.Outbox(), b.a.subject("outbox", b.a.name, cmp.Or(priority, "*")), from, visit)
}

// Next gives the first delivery from a sequence on; Seq 0 if there is none.
func (b *Buffer) Next(ctx context.Context, from uint64) (wire.Stored, error) {
	return b.a.conn.next(ctx, b.a.Outbox(), b.a.subject("outbox", b.a.name, "*"), from)
}

// Remove deletes one delivery; a missing one is no error.
func (b *Buffer) Remove(ctx context.Context, seq uint64) error {
	return b.a.conn.remove(ctx, b.a.Outbox(), seq)
}

// Count is the number of the account's deliveries that wait.
func (b *Buffer) Count(ctx context.Context) (uint64, error) {
	counts, err := b.a.conn.perSubject(ctx, b.a.Outbox(), b.a.subject("outbox", b.a.name, "*"))
	if err != nil {
		return 0, fmt.Errorf("count the outbox: %w", err)
	}
	var n uint64
	for _, c := range counts {
		n += c
	}
	return n, nil
}

// next reads one message by direct get.
func (c *Conn) next(ctx context.Context, stream, filter string, from uint64) (wire.Stored, error) {
	m, _, err := c.peek(ctx, stream, place{Next: filter, Seq: max(from, 1)})
	if err != nil {
		return wire.Stored{}, fmt.Errorf("read %s: %w", stream, err)
	}
	return m.Stored, nil
}

// sweep reads a stream's messages in batches of direct gets, without a
// consumer.
func (c *Conn) sweep(ctx context.Context, stream, filter string, from uint64, visit func(wire.Stored) error) error {
	next := max(from, 1)
	for {
		last, err := c.sweepOnce(ctx, stream, filter, next, visit)
		if errors.Is(err, jetstreamext.ErrNoMessages) || err == nil && last == 0 {
			return nil
		}
		if err != nil {
			return fmt.Errorf("sweep %s: %w", stream, err)
		}
		next = last + 1
	}
}

func (c *Conn) sweepOnce(ctx context.Context, stream, filter string, from uint64, visit func(wire.Stored) error) (last uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	found, err := jetstreamext.GetBatch(ctx, c.JS, stream, sweepBatch,
		jetstreamext.GetBatchSeq(from), jetstreamext.GetBatchSubject(filter), jetstreamext.GetBatchMaxBytes(sweepBytes))
	if err != nil {
		return 0, err
	}
	// Read all before visiting: a slow visit must not run into the deadline.
	var msgs []*jetstream.RawStreamMsg
	for m, err := range found {
		if err != nil {
			return 0, err
		}
		msgs = append(msgs, m)
	}
	for _, m := range msgs {
		if err := visit(rawStored(m)); err != nil {
			return 0, err
		}
		last = m.Sequence
	}
	return last, nil
}
