package broker

import (
	"context"
	"errors"
	"fmt"

	"wechat-bridge/bridge/wire"
)

// PublishConnection stores a record of the account's connection.
func (a *Account) PublishConnection(ctx context.Context, body []byte) error {
	m := record(a.ConnectionSubject(a.name), wire.Stored{Body: body})
	if _, err := a.conn.JS.PublishMsg(ctx, m); err != nil {
		return fmt.Errorf("store the connection's record: %w", full(err))
	}
	return nil
}

// LastConnection is the last record of the account's connection; Seq 0 if
// there is none.
func (a *Account) LastConnection(ctx context.Context) (wire.Stored, error) {
	m, _, err := a.conn.read(ctx, a.Broker.Status(), place{Last: a.ConnectionSubject(a.name)})
	return m.Stored, err
}

// Heartbeat tells, without storing it, that the worker is alive, to those who
// listen to the account and to those who listen to all statuses.
func (a *Account) Heartbeat(body []byte) error {
	one := record(a.HeartbeatSubject(a.name), wire.Stored{Body: body})
	all := record(a.subject("status"), wire.Stored{Body: body})
	return errors.Join(a.conn.NC.PublishMsg(one), a.conn.NC.PublishMsg(all))
}
