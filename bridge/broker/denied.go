package broker

import (
	"context"
	"errors"
	"sync"

	"github.com/nats-io/nats.go"
)

// Codes of the JetStream API that say that there is none for this user.
const (
	codeNotEnabled        = 10076
	codeNotEnabledAccount = 10039
)

// deniedRights hears what the server did not let us do. It tells so beside the
// call, which then ends as if nobody had answered.
type deniedRights struct {
	mu   sync.Mutex
	wake func(error) // nil unless somebody waits for it
}

func (d *deniedRights) note(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	denied := &AccessError{What: "this user of NATS lacks a right that the bridge needs; add that right, " +
		"or give another user with --nats-user, --nats-creds or --nats-nkey (guests of a bridge's own server can send and watch, not work)", Err: err}
	if d.wake != nil {
		d.wake(denied)
	}
}

// UntilDenied ends a context as soon as a right is lacking: the call that lacks
// it would only time out, or be tried for ever. why ends the wait and gives the
// *AccessError where that is why a call has failed, else the call's own error.
// One at a time.
func (c *Conn) UntilDenied(ctx context.Context) (until context.Context, why func(error) error) {
	until, cancel := context.WithCancelCause(ctx)
	wake := func(f func(error)) {
		c.denied.mu.Lock()
		defer c.denied.mu.Unlock()
		c.denied.wake = f
	}
	wake(cancel)
	return until, func(err error) error {
		wake(nil)
		defer cancel(nil)
		return whyDenied(until, err)
	}
}

func whyDenied(ctx context.Context, err error) error {
	var access *AccessError
	switch code := apiCode(err); {
	case err == nil:
		return nil
	case errors.As(context.Cause(ctx), &access):
		return access
	case code == codeNotEnabled, code == codeNotEnabledAccount, errors.Is(err, nats.ErrNoResponders):
		return &AccessError{What: "NATS has no JetStream for this user; start the server with -js, or enable it for the account", Err: err}
	}
	return err
}
