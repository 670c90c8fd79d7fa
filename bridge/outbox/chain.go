package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"

	"wechat-bridge/bridge/wire"
)

// chain writes the records of deliveries. It decides nothing.
type chain struct {
	ledger  Ledger
	account string
	epoch   uint64
	help    func(code string) string
	log     zerolog.Logger
}

// step is one record to write after another.
type step struct {
	key   string
	after uint64 // 0: the first one
	rec   wire.Delivery
	trace string
}

// last reads a key's last record until NATS answers or the context ends.
func (c *chain) last(ctx context.Context, key string) (record, error) {
	var r record
	err := persist(ctx, c.log, "read record", func() (err error) {
		r, err = c.peek(ctx, key)
		return err
	})
	return r, err
}

// peek reads a key's last record once.
func (c *chain) peek(ctx context.Context, key string) (record, error) {
	s, err := c.ledger.Last(ctx, key)
	if err != nil {
		return record{}, fmt.Errorf("last record of %s: %w", key, err)
	}
	return openRecord(s), nil
}

// openRecord reads a record; what cannot be read is foreign, not an error:
// garbage in the stream must not stop a delivery.
func openRecord(s wire.Stored) record {
	if s.Seq == 0 {
		return record{}
	}
	d, env, err := wire.OpenDelivery(s.Body)
	if err != nil {
		return record{seq: s.Seq, foreign: true, at: s.At}
	}
	return record{Delivery: d, seq: s.Seq, trace: env.Traceparent, at: s.At}
}

// write appends a record until it is there or somebody else's is: then seq is
// 0 and last is what was found. An error is the end of the context only.
//
// After an error, and after a refusal, the last record tells whether an
// earlier try was stored all the same: it is this one, by epoch and attempt.
func (c *chain) write(ctx context.Context, s step) (seq uint64, last record, err error) {
	body, err := c.seal(s)
	if err != nil {
		return 0, record{}, err
	}
	err = persist(ctx, c.log, "write record", func() error {
		var stored bool
		seq, stored, err = c.ledger.Append(ctx, body)
		if err == nil && stored {
			return nil
		}
		seq = 0
		var lost error
		if last, lost = c.peek(ctx, s.key); lost != nil {
			return errors.Join(err, lost)
		}
		if mine(&last, s) {
			seq = last.seq
			return nil
		}
		if last.seq == s.after { // surely not stored, and nobody else was there
			return errors.Join(err, errNotStored)
		}
		return nil
	})
	return seq, last, err
}

var errNotStored = errors.New("the record was not stored")

func (c *chain) seal(s step) (wire.Stored, error) {
	if s.rec.Code != "" && c.help != nil {
		s.rec.HelpURL = c.help(s.rec.Code)
	}
	body, err := wire.SealDelivery(s.rec, time.Now(), s.trace)
	if err != nil {
		return wire.Stored{}, fmt.Errorf("record of %s: %w", s.key, err)
	}
	return wire.Stored{Token: s.key, Body: body, Trace: s.trace, After: s.after}, nil
}

// mine reports that a record is the one that a step wanted to write.
func mine(last *record, s step) bool {
	return last.seq > s.after && !last.foreign && last.Epoch == s.rec.Epoch && last.Attempt == s.rec.Attempt &&
		last.State == s.rec.State && last.Code == s.rec.Code && last.Degraded == s.rec.Degraded && last.of(command{s.rec.StreamSeq, *s.rec.AcceptedAt})
}

// settle writes a final record: build gives it for what the last record says,
// or false if there is nothing to do. It returns the record that is last then.
func (c *chain) settle(ctx context.Context, key, trace string, last record, build func(record) (wire.Delivery, bool)) (record, error) {
	for {
		rec, ok := build(last)
		if !ok {
			return last, nil
		}
		seq, now, err := c.write(ctx, step{key, last.seq, rec, trace})
		if err != nil {
			return last, err
		}
		if seq > 0 {
			return record{Delivery: rec, seq: seq, trace: trace, at: time.Now()}, nil
		}
		last = now
	}
}
