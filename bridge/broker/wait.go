package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"wechat-bridge/bridge/wire"
)

// repeatWait is how long a repeat of a delivery that has just been rejected may
// still become a delivery of its own: the bridge reads commands in order, in
// milliseconds.
const repeatWait = 3 * time.Second

// Wait follows the delivery of a command until its final record, which it
// returns. Each record goes to visit on its way, which may be nil; those of a
// list's parts, too. A command that asks for what an earlier one with this id
// asked for is that one's delivery: it has no records of its own.
func (c *Client) Wait(ctx context.Context, account, id string, r Receipt, visit func(Record)) (wire.Delivery, error) {
	w := &waiter{key: wire.Key(id), receipt: r, visit: visit}
	err := c.wait(ctx, account, w)
	if err != nil {
		return w.last, fmt.Errorf("wait for %q: %w", wire.Printable(id, 64), err)
	}
	return w.last, nil
}

func (c *Client) wait(ctx context.Context, account string, w *waiter) error {
	before, err := c.chain(ctx, c.DeliverySubject(account, w.key))
	if err != nil {
		return err
	}
	w.begin(before)
	filters := []string{c.DeliverySubject(account, w.key), c.DeliverySubject(account, wire.ConflictKey(w.key, w.receipt.Seq))}
	for n := range w.receipt.parts {
		filters = append(filters, c.DeliverySubject(account, wire.PartKey(w.key, n+1)))
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w.later = time.AfterFunc(time.Hour, func() { cancel(errEnough) })
	defer w.later.Stop()
	w.later.Stop() // until there is a reason
	err = c.follow(ctx, c.Status(), jetstream.OrderedConsumerConfig{FilterSubjects: filters}, w.see)
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// waiter decides which records are those of one command.
type waiter struct {
	key     string
	receipt Receipt
	visit   func(Record)

	from    uint64 // records of an earlier command count from here on
	earlier uint64 // the command that this one repeats; 0 without one
	last    wire.Delivery
	later   *time.Timer // ends the wait for a delivery of its own
}

// begin looks at what was stored before: records of this very command, or the
// last one of a command that it may repeat.
func (w *waiter) begin(before []Record) {
	for i, r := range before {
		d, _, err := wire.OpenDelivery(r.Body)
		switch {
		case err != nil:
		case d.StreamSeq == w.receipt.Seq:
			w.from, w.earlier = r.Seq+1, 0
			return
		case i == len(before)-1 && w.repeats(d) && d.State != wire.Rejected:
			w.from, w.earlier = r.Seq, d.StreamSeq
			return
		default:
			w.from = r.Seq + 1
		}
	}
}

func (w *waiter) repeats(d wire.Delivery) bool {
	return w.receipt.digest != "" && d.Digest == w.receipt.digest
}

// see is told every record of the id.
func (w *waiter) see(r Record) error {
	d, _, err := wire.OpenDelivery(r.Body)
	if err != nil || !w.mine(r, d) {
		return nil // garbage, or another delivery with this id
	}
	if w.visit != nil {
		w.visit(r)
	}
	if part := r.Token != w.key && r.Token != wire.ConflictKey(w.key, w.receipt.Seq); part {
		return nil
	}
	w.last = d
	switch {
	case !d.State.Final():
		w.later.Stop()
	case d.State == wire.Rejected && d.StreamSeq != w.receipt.Seq:
		w.later.Reset(repeatWait) // a rejected id is free again: this command may be the next
	default:
		return errEnough
	}
	return nil
}

func (w *waiter) mine(r Record, d wire.Delivery) bool {
	if d.StreamSeq == w.receipt.Seq {
		return true
	}
	if r.Seq < w.from {
		return false
	}
	if w.earlier == 0 && r.Token == w.key && w.repeats(d) {
		w.earlier = d.StreamSeq // it was read only just now
	}
	return w.earlier != 0 && d.StreamSeq == w.earlier
}
