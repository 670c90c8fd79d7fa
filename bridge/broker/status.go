package broker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go/jetstream"

	"wechat-bridge/bridge/wire"
)

// connectionChain remembers the last record of the account's connection.
type connectionChain struct {
	mu    sync.Mutex
	known bool
	last  uint64 // its sequence; 0 without one
}

// PublishConnection stores a record of the account's connection. A worker that
// lost the account gets ErrNotHeld, also one that does not know of it yet: the
// record is written only if the last one is still what it was, and if it is
// not, the lease is asked.
func (a *Account) PublishConnection(ctx context.Context, body []byte) error {
	c := &a.connection
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		if !a.hold.Held() {
			return fmt.Errorf("store the connection's record: %w", ErrNotHeld)
		}
		if !c.known {
			done, err := a.rereadConnection(ctx, body)
			if done || err != nil {
				return err
			}
		}
		m := record(a.ConnectionSubject(a.name), wire.Stored{Body: body})
		ack, err := a.conn.JS.PublishMsg(ctx, m, jetstream.WithExpectLastSequencePerSubject(c.last))
		if wasSecond(err) {
			c.known = false
			continue
		}
		if err != nil {
			return fmt.Errorf("store the connection's record: %w", full(err))
		}
		c.last = ack.Sequence
		return nil
	}
}

// rereadConnection learns what the last record is. It may be body itself, if the
// answer to an earlier try was lost. The lease is asked after the record was
// read: who takes it later writes after that record, and ours is refused.
func (a *Account) rereadConnection(ctx context.Context, body []byte) (done bool, err error) {
	last, err := a.LastConnection(ctx)
	if err != nil {
		return false, fmt.Errorf("read the connection's last record: %w", err)
	}
	if lease, ok := a.hold.(confirmer); ok {
		mine, err := lease.Confirm(ctx)
		if err != nil {
			return false, err
		}
		if !mine {
			return false, fmt.Errorf("store the connection's record: %w", ErrNotHeld)
		}
	}
	a.connection.known, a.connection.last = true, last.Seq
	return last.Seq > 0 && bytes.Equal(last.Body, body), nil
}

// LastConnection is the last record of the account's connection; Seq 0 if
// there is none.
func (a *Account) LastConnection(ctx context.Context) (wire.Stored, error) {
	m, _, err := a.conn.read(ctx, a.Broker.Status(), place{Last: a.ConnectionSubject(a.name)})
	return m.Stored, err
}

// Heartbeat tells, without storing it, that the worker is alive, to those who
// listen to the account and to those who listen to all statuses. A worker that
// lost the account gets ErrNotHeld.
func (a *Account) Heartbeat(body []byte) error {
	if !a.hold.Held() {
		return fmt.Errorf("heartbeat: %w", ErrNotHeld)
	}
	one := record(a.HeartbeatSubject(a.name), wire.Stored{Body: body})
	all := record(a.subject("status"), wire.Stored{Body: body})
	return errors.Join(a.conn.NC.PublishMsg(one), a.conn.NC.PublishMsg(all))
}
