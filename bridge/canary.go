package bridge

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"wechat-bridge/bridge/broker"
	"wechat-bridge/bridge/wire"
)

const (
	canaryMin  = 5 * time.Second // each one is a message
	canaryTTL  = 5 * time.Minute
	canarySoon = time.Minute // after the connection is back
)

// canary sends a message to the file helper when none went out for a while, on
// the way that all commands go: so the business level is a measured fact also in
// a quiet night. It counts for the pace and the day like any other.
func (a *account) canary(ctx context.Context) {
	every := a.w.cfg.Canary
	if every == 0 {
		return
	}
	client := broker.NewClient(a.w.conn, a.w.cfg.Prefix)
	for wait := every; pause(ctx, wait); {
		if wait = every - time.Since(a.w.facts.Business().LastSent); wait > 0 {
			continue
		}
		wait = every
		if c := a.connection(); c.State != wire.StateConnected || c.Sending != wire.SendingFlowing {
			wait = min(every, canarySoon)
			continue
		}
		if err := a.sendCanary(ctx, client, time.Now()); err != nil {
			a.w.log.Warn().Err(err).Str("event", "canary").Msg("no canary could be sent")
		}
	}
}

func (a *account) sendCanary(ctx context.Context, client *broker.Client, now time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, closing)
	defer cancel()
	body, err := json.Marshal(map[string]any{
		"id": fmt.Sprintf("canary-%d", now.UnixMilli()), "to": "filehelper", "ttl": canaryTTL.String(),
		"text": "wechat-bridge: canary " + now.UTC().Format(time.RFC3339),
	})
	if err != nil {
		return err
	}
	_, err = client.Send(ctx, a.w.cfg.Account, "", body)
	return err
}
