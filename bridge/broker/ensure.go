package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// ensureTimeout bounds one request of Ensure where the context has no deadline.
const ensureTimeout = 10 * time.Second

// Ensure makes the streams, buckets and object stores that are missing and
// compares those that are there. A difference that correctness cannot bear is
// *ConflictError, a newer layout *NewerError; several are joined. It changes
// nothing that exists and may be called again at any time.
func Ensure(ctx context.Context, js jetstream.JetStream, l Layout) error {
	conflicts, err := ensure(ctx, js, l)
	if err != nil {
		return err
	}
	return errors.Join(conflicts...)
}

func ensure(ctx context.Context, js jetstream.JetStream, l Layout) (conflicts []error, err error) {
	for _, want := range l.Streams() {
		err := ensureStream(ctx, js, want)
		var conflict *ConflictError
		var newer *NewerError
		switch {
		case errors.As(err, &conflict), errors.As(err, &newer):
			conflicts = append(conflicts, err)
		case err != nil:
			return nil, err
		}
	}
	return conflicts, nil
}

func ensureStream(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig) error {
	ctx, cancel := withDeadline(ctx, ensureTimeout)
	defer cancel()
	s, err := js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		s, err = js.CreateStream(ctx, want)
	}
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // another worker was first
		s, err = js.Stream(ctx, want.Name)
	}
	if err != nil {
		return fmt.Errorf("make stream %s: %w", want.Name, err)
	}
	return compare(want, s.CachedInfo().Config)
}

// withDeadline adds a limit to a context that has none.
func withDeadline(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if _, has := ctx.Deadline(); has {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, d)
}
