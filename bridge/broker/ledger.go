package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"wechat-bridge/bridge/wire"
)

// maxBatch is the largest atomic batch that we write; the server takes 1000.
const maxBatch = 200

// Ledger is WECHAT_STATUS for one account: a chain of records per key, each
// written only if its predecessor is still the last one.
type Ledger struct{ a *Account }

// Ledger gives the account's ledger.
func (a *Account) Ledger() *Ledger { return &Ledger{a: a} }

// Last gives the last record of a key; Seq 0 when there is none. It is read
// through the stream's leader and not by direct get, which a follower may
// answer with an older one; what is decided on it is decided by Append anyway.
func (l *Ledger) Last(ctx context.Context, key string) (wire.Stored, error) {
	subject, err := l.subject(key)
	if err != nil {
		return wire.Stored{}, err
	}
	m, _, err := l.a.conn.read(ctx, l.a.Status(), place{Last: subject})
	if err != nil {
		return wire.Stored{}, fmt.Errorf("last record of %s: %w", key, err)
	}
	return m.Stored, nil
}

// Append writes the next record of rec.Token if rec.After still is the last
// sequence of it. stored is false if somebody was first; that may have been an
// earlier try of our own whose answer was lost: read Last and compare.
func (l *Ledger) Append(ctx context.Context, rec wire.Stored) (seq uint64, stored bool, err error) {
	subject, err := l.subject(rec.Token)
	if err != nil {
		return 0, false, err
	}
	ack, err := l.a.conn.JS.PublishMsg(ctx, record(subject, rec), jetstream.WithExpectLastSequencePerSubject(rec.After))
	if wasSecond(err) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("record of %s: %w", rec.Token, err)
	}
	return ack.Sequence, true, nil
}

// AppendAll writes all records or none, at most 200, each under the same
// condition as Append, as one atomic batch.
func (l *Ledger) AppendAll(ctx context.Context, recs []wire.Stored) (stored bool, err error) {
	switch {
	case len(recs) == 0:
		return true, nil
	case len(recs) == 1:
		_, stored, err = l.Append(ctx, recs[0])
		return stored, err
	case len(recs) > maxBatch:
		return false, fmt.Errorf("%d records are too many for one batch: at most %d", len(recs), maxBatch)
	}
	msgs := make([]*nats.Msg, len(recs))
	for i, rec := range recs {
		subject, err := l.subject(rec.Token)
		if err != nil {
			return false, err
		}
		msgs[i] = record(subject, rec)
		msgs[i].Header.Set(jetstream.ExpectedLastSubjSeqHeader, fmt.Sprint(rec.After))
	}
	_, err = batch(ctx, l.a.conn.JS, msgs)
	if wasSecond(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("%d records: %w", len(recs), err)
	}
	return true, nil
}

// Newest gives the records of all keys since a moment, oldest first, as far as
// they are among the newest n of the stream.
func (l *Ledger) Newest(ctx context.Context, since time.Time, n int) (records []wire.Stored, err error) {
	status := l.a.Status()
	s, err := l.a.conn.JS.Stream(ctx, status)
	if err != nil {
		return nil, fmt.Errorf("look at %s: %w", status, err)
	}
	if s.CachedInfo().State.LastTime.Before(since) {
		return nil, nil
	}
	err = l.a.conn.newest(ctx, status, l.a.DeliverySubject(l.a.name, "*"), n, false, func(m wire.Stored) {
		if !m.At.Before(since) {
			records = append(records, m)
		}
	})
	return records, err
}

func (l *Ledger) subject(key string) (string, error) {
	if !safeToken.MatchString(key) {
		return "", fmt.Errorf("%.80q is no key of a delivery: %w", key, wire.ErrInvalid)
	}
	return l.a.DeliverySubject(l.a.name, key), nil
}

// wasSecond: the first code tells the real last sequence, the second that a
// competitor's write is under way.
func wasSecond(err error) bool {
	code := apiCode(err)
	return code == codeWrongSequence || code == codeSequencePending
}

// batch stores all or nothing. It needs no flow control at our sizes.
func batch(ctx context.Context, js jetstream.JetStream, msgs []*nats.Msg) (last uint64, err error) {
	ctx, cancel := withDeadline(ctx, requestTimeout)
	defer cancel()
	ack, err := jetstreamext.PublishMsgBatch(ctx, js, msgs, jetstreamext.BatchFlowControl{})
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

// isFull: the stream, the server's account or the disk has no room.
func isFull(err error) bool {
	code := apiCode(err)
	return code == codeFull || code == codeNoSpace
}

// full names a full queue by the error that both sides of the port know.
func full(err error) error {
	if isFull(err) {
		return errors.Join(wire.ErrFull, err)
	}
	return err
}
