package broker

import (
	"context"
	"fmt"
	"strings"

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
	err = e.a.conn.newest(ctx, e.a.Broker.Events(), e.a.EventSubject(e.a.name, "*"), n, true, func(m wire.Stored) {
		ids = append(ids, trimAccount(e.a.name, m.MsgID))
	})
	return ids, err
}

func trimAccount(account, id string) string { return strings.TrimPrefix(id, account+"/") }
