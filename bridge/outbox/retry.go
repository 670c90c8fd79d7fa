package outbox

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/rs/zerolog"

	"wechat-bridge/bridge/wire"
)

const (
	retryBase = 100 * time.Millisecond
	retryCap  = 5 * time.Second
)

// backoff is the wait after n earlier failures, with full jitter above its
// half: rnd in [0,1).
func backoff(base, limit time.Duration, n int, rnd float64) time.Duration {
	d := limit
	if n < 32 && base<<n > 0 && base<<n < limit {
		d = base << n
	}
	return d/2 + time.Duration(rnd*float64(d/2))
}

// persist repeats what needs NATS until it works or the context ends; its
// error is the context's cause, or wire.ErrInvalid, which no try can mend. Each
// failure is a line: the process's log thins equal ones, over all calls.
func persist(ctx context.Context, log zerolog.Logger, what string, do func() error) error {
	for n := 0; ; n++ {
		err := do()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if errors.Is(err, wire.ErrInvalid) {
			return err
		}
		log.Warn().Err(err).Str("event", "outbox_storage").Str("what", what).Msg("storage does not answer; trying again")
		if err := pause(ctx, backoff(retryBase, retryCap, n, rand.Float64())); err != nil {
			return err
		}
	}
}

// pause waits, or returns the context's cause.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
