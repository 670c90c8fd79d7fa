package broker

import (
	"cmp"
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"wechat-bridge/bridge/wire"
)

// newest visits the messages of a subject among the newest n of a stream,
// oldest first; with bare they come without their bodies.
func (c *Conn) newest(ctx context.Context, stream, filter string, n int, bare bool, visit func(wire.Stored)) error {
	ctx, cancel := withDeadline(ctx, sweepTimeout)
	defer cancel()
	s, err := c.JS.Stream(ctx, stream)
	if err != nil {
		return fmt.Errorf("look at %s: %w", stream, err)
	}
	state := s.CachedInfo().State
	cons, err := c.JS.CreateConsumer(ctx, stream, jetstream.ConsumerConfig{
		FilterSubject: filter, HeadersOnly: bare, MemoryStorage: true,
		AckPolicy: jetstream.AckNonePolicy, InactiveThreshold: sweepTimeout,
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: max(state.FirstSeq, state.LastSeq-min(uint64(n), state.LastSeq)+1, 1),
	})
	if err != nil {
		return fmt.Errorf("read %s: %w", stream, err)
	}
	defer func() { _ = c.JS.DeleteConsumer(context.WithoutCancel(ctx), stream, cons.CachedInfo().Name) }() // it ends by itself, too
	for left := int(cons.CachedInfo().NumPending); left > 0; {
		batch, err := cons.Fetch(min(left, sweepBatch), jetstream.FetchContext(ctx))
		if err != nil {
			return fmt.Errorf("read %s: %w", stream, err)
		}
		for m := range batch.Messages() {
			left--
			if meta, err := m.Metadata(); err == nil {
				visit(toStored(m.Subject(), meta.Sequence.Stream, meta.Timestamp, m.Headers(), m.Data()))
			}
		}
		if err := cmp.Or(batch.Error(), ctx.Err()); err != nil {
			return fmt.Errorf("read %s: %w", stream, err)
		}
	}
	return nil
}
