package bridge

import (
	"context"
	"errors"

	"wechat-bridge/bridge/alert"
	"wechat-bridge/bridge/outbox"
)

// What becomes of deliveries that went out over a fallback channel.
const (
	policyInstead = "instead" // they do not go to WeChat any more
	policyOff     = "off"     // none goes there
)

// fallback is where deliveries of high priority go when they wait for too long;
// nil: nowhere.
func (a *alerting) fallback() outbox.Fallback {
	cfg := a.w.cfg.Alerts
	if cfg.FallbackPolicy == policyOff || cfg.Fallback == "" && cfg.FallbackFile == "" {
		return nil
	}
	return fallback{a}
}

// fallback are the fallback channels as the outbox sees them.
type fallback struct{ *alerting }

// Send implements outbox.Fallback. What is logged shows neither text nor
// recipient.
func (f fallback) Send(ctx context.Context, n outbox.Notice) error {
	one := f.current()
	if one == nil {
		return outbox.ErrNotOut
	}
	results, err := one.Fallback(ctx, alert.Delivery{
		ID: n.ID, To: n.To, Kind: n.Kind, Text: n.Text, Link: n.Link, MediaName: n.MediaName, AcceptedAt: n.AcceptedAt,
	})
	for _, r := range results {
		line := f.w.log.Info()
		if r.Err != nil {
			line = f.w.log.Warn().Str("error", r.Err.Error())
		}
		line.Str("event", "fallback").Str("channel", r.Channel).Bool("taken", r.Err == nil).Msg("delivery over a fallback channel")
	}
	if err == nil || errors.Is(err, alert.ErrInDoubt) {
		return err
	}
	return errors.Join(outbox.ErrNotOut, err)
}
