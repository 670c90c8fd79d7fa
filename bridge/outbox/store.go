package outbox

import (
	"context"
	"errors"
	"time"

	"wechat-bridge/bridge/wire"
)

// store writes deliveries to the buffer in order, a list never in two writes.
func (in *intake) store(ctx context.Context, entries []*entry) error {
	var group []*entry
	count, size := 0, 0
	for _, e := range entries {
		if e.left != toStore {
			continue
		}
		more := len(e.items) * e.items[0].size()
		if count > 0 && (count+len(e.items) > storeSize || size+more > storeBytes) {
			if err := in.put(ctx, group); err != nil {
				return err
			}
			group, count, size = nil, 0, 0
		}
		group, count, size = append(group, e), count+len(e.items), size+more
	}
	return in.put(ctx, group)
}

// put writes to the buffer until there is room for it. What expires meanwhile
// ends here, as nobody else knows of it yet.
func (in *intake) put(ctx context.Context, group []*entry) error {
	var items []wire.Stored
	var last uint64
	err := persist(ctx, in.log, "store deliveries", func() (err error) {
		if items, err = sealItems(group); err != nil || len(items) == 0 {
			return err
		}
		last, err = in.cfg.Buffer.Store(ctx, items)
		if errors.Is(err, wire.ErrFull) {
			err = errors.Join(err, in.expireLate(ctx, group), pause(ctx, fullTime))
		}
		return err
	})
	if err != nil {
		return err
	}
	in.counts.waiting.Add(int64(len(items)))
	for i, it := range items {
		in.expirer.add(it.Expires, last-uint64(len(items)-1-i), false)
	}
	in.degrader.stored(items, last)
	return nil
}

func sealItems(group []*entry) ([]wire.Stored, error) {
	var items []wire.Stored
	for _, e := range group {
		if e.left != toStore {
			continue
		}
		for _, it := range e.items {
			body, err := it.encode()
			if err != nil {
				return nil, errors.Join(err, wire.ErrInvalid)
			}
			items = append(items, wire.Stored{Token: priorityOf(it.High), Body: body, Trace: e.trace, Expires: it.Expires})
		}
	}
	return items, nil
}

// expireLate ends what waits for room in the buffer for too long.
func (in *intake) expireLate(ctx context.Context, group []*entry) error {
	now := time.Now()
	for _, e := range group {
		if e.left != toStore || now.Before(e.items[0].Expires) {
			continue
		}
		err := in.endAll(ctx, e, func(it *item, last *record) wire.Delivery {
			return expired(it.base(in.cfg.Account, in.cfg.Epoch), progressOf(last), now)
		})
		if err != nil {
			return err
		}
		e.left = nothing
	}
	return nil
}

// endAll ends the deliveries of an accepted command, and a list's own chain.
func (in *intake) endAll(ctx context.Context, e *entry, final func(*item, *record) wire.Delivery) error {
	states := make([]wire.State, len(e.items))
	for i, it := range e.items {
		last, err := in.chain.last(ctx, it.Key)
		if err != nil {
			return err
		}
		last, err = in.chain.settle(ctx, it.Key, e.trace, last, func(last record) (wire.Delivery, bool) {
			rec := final(it, &last)
			rec.Degraded = last.Degraded
			return rec, decidePosition(&last, it.command(), in.me, 0) == posReady
		})
		if err != nil {
			return err
		}
		states[i] = finalState(&last)
	}
	if !e.cmd.List {
		return nil
	}
	return in.lists.end(ctx, e.key, e.items[0], e.trace, states)
}
