package outbox

import (
	"context"
	"errors"
	"time"

	"wechat-bridge/bridge/wire"
)

// expireAtOnce is how many deliveries are ended side by side.
const expireAtOnce = 16

// expirer ends in time what waits too long, also while WeChat is away.
type expirer struct {
	*timetable
	chain  *chain
	lists  *lists
	counts *counts
	me     worker
}

func newExpirer(cfg Config, ch *chain, ls *lists, counts *counts) *expirer {
	e := &expirer{chain: ch, lists: ls, counts: counts}
	e.timetable = newTimetable(cfg, func(s wire.Stored) time.Time { return s.Expires })
	return e
}

func (e *expirer) run(ctx context.Context) error {
	e.me = worker{e.cfg.Epoch, time.Now()}
	e.first = func(s wire.Stored) {
		if s.At.Before(e.me.started) { // intake counts the rest
			e.counts.waiting.Add(1)
		}
	}
	return e.timetable.run(ctx, expireAtOnce, e.expire)
}

// expire ends one delivery whose time is over. Its error is the context's.
func (e *expirer) expire(ctx context.Context, d due) error {
	s, err := e.read(ctx, d)
	if err != nil || s.Seq != d.seq {
		return err
	}
	it, bad := decodeItem(s.Body)
	if bad != nil {
		return e.remove(ctx, d)
	}
	last, err := e.chain.last(ctx, it.Key)
	if errors.Is(err, wire.ErrInvalid) { // it can have no records
		return e.remove(ctx, d)
	}
	if err != nil {
		return err
	}
	last, err = e.chain.settle(ctx, it.Key, s.Trace, last, func(last record) (wire.Delivery, bool) {
		return decideExpiry(&last, it, e.cfg.Account, e.me, time.Now())
	})
	if err != nil {
		return err
	}
	if last.of(it.command()) && !last.State.Final() { // sending: only its answer ends it
		e.again(d, lookAgainAfter)
		return nil
	}
	return e.clear(ctx, d, s, it, &last)
}

// decideExpiry gives the final record of a delivery whose time is over; false
// where there is nothing to write: it has ended, or only its send's answer
// ends it. A ledger that was cut cannot say that nothing went out.
func decideExpiry(last *record, it *item, account string, me worker, now time.Time) (wire.Delivery, bool) {
	base := it.base(account, me.epoch)
	switch pos := decidePosition(last, it.command(), me, 0); {
	case pos == posReady:
		return expired(base, progressOf(last), now), true
	case pos == posAmbiguous && (last.seq == 0 || last.foreign):
		return unknown(base, progress{dup: true}, outcomeLost, now), true
	}
	return wire.Delivery{}, false
}

// clear removes what is final.
func (e *expirer) clear(ctx context.Context, d due, s wire.Stored, it *item, last *record) error {
	state := wire.Rejected // a later command can have its id only then
	if last.of(it.command()) {
		state = finalState(last)
	}
	if err := e.lists.ended(ctx, it, s.Trace, state); err != nil {
		return err
	}
	if err := e.remove(ctx, d); err != nil {
		return err
	}
	e.counts.waiting.Add(-1)
	return nil
}
