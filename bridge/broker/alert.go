package broker

import (
	"context"
	"fmt"

	"wechat-bridge/bridge/wire"
)

// PublishAlert stores an alert beside the account's other records, on
// <prefix>.status.<account>.alert.<kind>; the server copies it to those who
// listen to all statuses.
func (a *Account) PublishAlert(ctx context.Context, kind string, event []byte) error {
	m := record(a.subject("status", a.name, "alert", kind), wire.Stored{Body: event})
	if _, err := a.conn.JS.PublishMsg(ctx, m); err != nil {
		return fmt.Errorf("store the alert: %w", full(err))
	}
	return nil
}
