package broker

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"wechat-bridge/bridge/wire"
)

// Events is WECHAT_EVENTS for one account.
type Events struct{ a *Account }

// Events gives the account's events.
func (a *Account) Events() *Events { return &Events{a: a} }

// Publish stores one event; Token is its kind. An event whose MsgID was stored
// within a day is dropped: fresh is false.
func (e *Events) Publish(ctx context.Context, ev wire.Stored) (fresh bool, err error) {
	if !safeToken.MatchString(ev.Token) {
		return false, fmt.Errorf("%.80q is no kind of event", ev.Token)
	}
	m := record(e.a.EventSubject(e.a.name, ev.Token), ev)
	if ev.MsgID != "" { // NATS drops repeats over the whole stream, other accounts included
		m.Header.Set(wire.HeaderMsgID, e.a.name+"/"+ev.MsgID)
	}
	ack, err := e.a.conn.JS.PublishMsg(ctx, m)
	if err != nil {
		return false, fmt.Errorf("store event: %w", full(err))
	}
	return !ack.Duplicate, nil
}

// Newest gives the MsgIDs of the account's events among the newest n of the
// stream, oldest first.
func (e *Events) Newest(ctx context.Context, n int) (ids []string, err error) {
	ctx, cancel := withDeadline(ctx, sweepTimeout)
	defer cancel()
	js, stream := e.a.conn.JS, e.a.Broker.Events()
	s, err := js.Stream(ctx, stream)
	if err != nil {
		return nil, fmt.Errorf("look at %s: %w", stream, err)
	}
	state := s.CachedInfo().State
	cons, err := js.CreateConsumer(ctx, stream, jetstream.ConsumerConfig{
		FilterSubject: e.a.EventSubject(e.a.name, "*"), HeadersOnly: true, MemoryStorage: true,
		AckPolicy: jetstream.AckNonePolicy, InactiveThreshold: sweepTimeout,
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: max(state.FirstSeq, state.LastSeq-min(uint64(n), state.LastSeq)+1, 1),
	})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", stream, err)
	}
	defer func() { _ = js.DeleteConsumer(context.WithoutCancel(ctx), stream, cons.CachedInfo().Name) }() // it ends by itself, too
	for left := int(cons.CachedInfo().NumPending); left > 0; {
		batch, err := cons.Fetch(min(left, sweepBatch), jetstream.FetchContext(ctx))
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", stream, err)
		}
		for m := range batch.Messages() {
			ids = append(ids, trimAccount(e.a.name, m.Headers().Get(wire.HeaderMsgID)))
			left--
		}
		if err := cmp.Or(batch.Error(), ctx.Err()); err != nil {
			return nil, fmt.Errorf("read %s: %w", stream, err)
		}
	}
	return ids, nil
}

func trimAccount(account, id string) string { return strings.TrimPrefix(id, account+"/") }
