package broker

import (
	"context"
	"errors"
	"fmt"

	"github.com/rs/zerolog"
)

// Broker is an open connection with the layout on it.
type Broker struct {
	Layout
	conn *Conn
	log  zerolog.Logger
}

// Open makes sure that the layout is there and returns the broker. Errors are
// those of Ensure, and *AccessError where NATS does not let us. On the embedded server it also changes what was laid out
// differently, as far as no message is lost by it.
func Open(ctx context.Context, conn *Conn, layout Layout, log zerolog.Logger) (*Broker, error) {
	ctx, why := conn.UntilDenied(ctx)
	err := open(ctx, conn, layout, log)
	if err = why(err); err != nil {
		return nil, fmt.Errorf("open the streams: %w", err)
	}
	return &Broker{Layout: layout, conn: conn, log: log}, nil
}

func open(ctx context.Context, conn *Conn, layout Layout, log zerolog.Logger) error {
	if conn.server != nil {
		if err := mendOwn(ctx, conn.JS, layout, log); err != nil {
			return err
		}
	}
	conflicts, err := ensure(ctx, conn.JS, layout)
	if conn.server != nil {
		ownConflicts(conflicts, conn.server.store)
	}
	return errors.Join(append(conflicts, err)...)
}

// Account gives the ports of one account.
func (b *Broker) Account(name string, hold Hold) (*Account, error) {
	if !accountToken.MatchString(name) {
		return nil, fmt.Errorf("%q is no account name", name)
	}
	return &Account{Broker: b, name: name, hold: hold}, nil
}

// Hold is the right to serve an account: a lease, or AlwaysHeld where there is
// only one worker.
type Hold interface {
	// Epoch grows from holder to holder.
	Epoch() uint64
	// Held is false as soon as another worker may have it.
	Held() bool
}

// confirmer is a Hold that can ask NATS whether it is still held.
type confirmer interface {
	Confirm(ctx context.Context) (bool, error)
}

// Account makes the ports of one account.
type Account struct {
	*Broker
	name       string
	hold       Hold
	connection connectionChain
}

// Name is the account's name.
func (a *Account) Name() string { return a.name }

// heldForEver is a Hold that nobody takes.
type heldForEver uint64

func (h heldForEver) Epoch() uint64 { return uint64(h) }
func (h heldForEver) Held() bool    { return true }

// AlwaysHeld is a Hold for tests and tools that have the account for
// themselves.
func AlwaysHeld(epoch uint64) Hold { return heldForEver(epoch) }
