package broker

import (
	"cmp"
	"context"
	"fmt"
	"sort"
	"strings"

	"wechat-bridge/bridge/wire"
)

// Parking is WECHAT_PARKED for one account: queues that are read head by head.
// A queue is named by its priority and a token, with a dot between. There is no
// consumer, so no timer and no redelivery.
type Parking struct{ a *Account }

// Parking gives the account's parked deliveries.
func (a *Account) Parking() *Parking { return &Parking{a: a} }

// Park adds an item to the queue that Token names. The same MsgID within two
// minutes is stored once. A full stream is wire.ErrFull.
func (p *Parking) Park(ctx context.Context, item wire.Stored) error {
	subject, err := p.subject(item.Token)
	if err != nil {
		return err
	}
	m := toMsg(subject, item)
	if item.MsgID != "" { // the window is the whole stream's
		m.Header.Set(wire.HeaderMsgID, p.a.name+"/"+item.MsgID)
	}
	if _, err := p.a.conn.JS.PublishMsg(ctx, m); err != nil {
		return fmt.Errorf("park in %s: %w", item.Token, full(err))
	}
	return nil
}

// Head gives the first item of a queue after a sequence; Seq 0 if none. It is
// read by direct get: give the sequence of the head that you removed, since a
// follower of a cluster may not know of it yet.
func (p *Parking) Head(ctx context.Context, token string, after uint64) (wire.Stored, error) {
	subject, err := p.subject(token)
	if err != nil {
		return wire.Stored{}, err
	}
	m, _, err := p.a.conn.peek(ctx, p.a.Parked(), place{Next: subject, Seq: after + 1})
	if err != nil {
		return wire.Stored{}, fmt.Errorf("head of %s: %w", token, err)
	}
	if m.Seq > 0 {
		m.Token = token
	}
	return p.plain(m.Stored), nil
}

// Remove deletes one item; a missing one is no error.
func (p *Parking) Remove(ctx context.Context, seq uint64) error {
	return p.a.conn.remove(ctx, p.a.Parked(), seq)
}

// Tokens lists the queues that hold something, sorted.
func (p *Parking) Tokens(ctx context.Context) ([]string, error) {
	prefix := p.a.subject("parked", p.a.name) + "."
	counts, err := p.a.conn.perSubject(ctx, p.a.Parked(), prefix+"*.*")
	if err != nil {
		return nil, fmt.Errorf("list parked queues: %w", err)
	}
	tokens := make([]string, 0, len(counts))
	for s := range counts {
		tokens = append(tokens, s[len(prefix):])
	}
	sort.Strings(tokens)
	return tokens, nil
}

// Next gives the first item of the account from a sequence on; Seq 0 if there is
// none. Token is without the priority.
func (p *Parking) Next(ctx context.Context, from uint64) (wire.Stored, error) {
	s, err := p.a.conn.next(ctx, p.a.Parked(), p.a.subject("parked", p.a.name, "*", "*"), from)
	return p.plain(s), err
}

// Sweep looks at all items of the account and a priority, "" for each, oldest
// first. Token is without the priority.
func (p *Parking) Sweep(ctx context.Context, priority string, from uint64, visit func(wire.Stored) error) error {
	filter := p.a.subject("parked", p.a.name, cmp.Or(priority, "*"), "*")
	return p.a.conn.sweep(ctx, p.a.Parked(), filter, from, func(s wire.Stored) error { return visit(p.plain(s)) })
}

func (p *Parking) subject(token string) (string, error) {
	priority, name, _ := strings.Cut(token, ".")
	if !safeToken.MatchString(priority) || !safeToken.MatchString(name) {
		return "", fmt.Errorf("%.80q is no queue: %w", token, wire.ErrInvalid)
	}
	return p.a.subject("parked", p.a.name, priority, name), nil
}

// plain gives back the id that Park was given.
func (p *Parking) plain(s wire.Stored) wire.Stored {
	s.MsgID = trimAccount(p.a.name, s.MsgID)
	return s
}
