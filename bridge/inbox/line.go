package inbox

import (
	"context"
	"fmt"
	"sync"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/bridge/wire"
)

// line is one batch on its way into the stream. Events go out in the order in
// which WeChat told them; one that waits for its medium lets other chats pass,
// but nothing of its own chat.
type line struct {
	in     *Inbox
	ctx    context.Context // ends with the first error
	fail   context.CancelCauseFunc
	media  context.Context // ends when the batch has waited long enough for media
	wg     sync.WaitGroup
	behind map[string]<-chan struct{} // by chat: closed when its last event is stored
}

func (i *Inbox) store(ctx context.Context, events []wechat.Event) error {
	events, again := i.fresh(events)
	for _, e := range again { // a crash may have come between the event and what it means
		if err := i.notice(ctx, e); err != nil {
			return err
		}
	}
	if len(events) == 0 {
		return nil
	}
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	media, stop := context.WithTimeoutCause(ctx, 2*i.cfg.MediaTimeout, errSlow)
	defer stop()
	l := &line{in: i, ctx: ctx, fail: fail, media: media, behind: map[string]<-chan struct{}{}}
	for _, e := range events {
		l.add(e)
		if ctx.Err() != nil {
			break
		}
	}
	l.wg.Wait()
	return context.Cause(ctx)
}

// fresh leaves out what is stored already, and gives those without an id one.
func (i *Inbox) fresh(events []wechat.Event) (out, again []wechat.Event) {
	ids := map[string]bool{}
	for _, e := range events {
		e = identified(e)
		if ids[e.ID] {
			continue
		}
		if i.known.has(wire.Key(e.ID)) {
			again = append(again, e)
			continue
		}
		ids[e.ID] = true
		out = append(out, e)
	}
	i.media.keepOnly(ids)
	return out, again
}

// notice tells of a system message that is stored.
func (i *Inbox) notice(ctx context.Context, e wechat.Event) error {
	if i.cfg.Notice == nil || e.Message == nil || e.Message.Kind != wechat.Notice {
		return nil
	}
	return i.cfg.Notice(ctx, e)
}

func (l *line) add(e wechat.Event) {
	if e.Type == wechat.EventGap { // what was before it is stored before it
		l.wg.Wait()
	}
	chat := chatOf(e)
	before := l.behind[chat]
	medium := mediumOf(e)
	if medium == nil && past(before) {
		l.put(e, nil)
		return
	}
	done := make(chan struct{})
	l.behind[chat] = done
	l.wg.Go(func() {
		defer close(done)
		l.beside(e, medium, before)
	})
}

// beside stores an event that has to wait for its medium or for another event.
func (l *line) beside(e wechat.Event, m *wechat.InMedia, before <-chan struct{}) {
	var got *medium
	if m != nil {
		var err error
		if got, err = l.in.fetch(l.ctx, l.media, e.ID, m); err != nil {
			l.fail(err)
			return
		}
	}
	if before != nil {
		select {
		case <-before:
		case <-l.ctx.Done():
			return
		}
	}
	l.put(e, got)
}

// put stores one event; after a failure nothing more of the batch is stored.
func (l *line) put(e wechat.Event, m *medium) {
	if l.ctx.Err() != nil {
		return
	}
	ev := l.in.stored(e, m)
	fresh, err := l.in.cfg.Events.Publish(l.ctx, ev)
	if err != nil {
		l.fail(fmt.Errorf("store an event: %w", err))
		return
	}
	l.in.known.add(ev.MsgID)
	l.in.media.drop(e.ID)
	if fresh && m != nil {
		tellMedium(l.in.cfg.Log, m)
	}
	if err := l.in.notice(l.ctx, e); err != nil {
		l.fail(fmt.Errorf("act upon a notice: %w", err))
	}
}

// stored is the event as the stream gets it.
func (i *Inbox) stored(e wechat.Event, m *medium) wire.Stored {
	kind, body := i.body(e, m)
	return wire.Stored{MsgID: wire.Key(e.ID), At: e.At, Token: string(kind), Body: body}
}

func past(done <-chan struct{}) bool {
	if done == nil {
		return true
	}
	select {
	case <-done:
		return true
	default:
		return false
	}
}
