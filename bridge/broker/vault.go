package broker

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// Vault keeps one secret value of an account in wechat_sessions, encrypted.
type Vault struct {
	a    *Account
	key  *Key
	name string
}

// Vault gives one value of the account: name "" is the session itself, others
// stand beside it as <account>.<name>.
func (a *Account) Vault(key *Key, name string) *Vault {
	full := a.name
	if name != "" {
		full += "." + name
	}
	return &Vault{a: a, key: key, name: full}
}

// Load gives the value; a missing one is (nil, nil). One that cannot be
// decrypted is ErrWrongKey or ErrDamaged; Save replaces it.
func (v *Vault) Load(ctx context.Context) ([]byte, error) {
	ctx, cancel := withDeadline(ctx, requestTimeout)
	defer cancel()
	kv, err := v.bucket(ctx)
	if err != nil {
		return nil, err
	}
	entry, err := kv.Get(ctx, v.name)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("load the stored state %s: %w", v.name, err)
	}
	plain, err := v.key.open(entry.Value())
	if err != nil {
		return nil, fmt.Errorf("load the stored state %s: %w", v.name, err)
	}
	return plain, nil
}

// Save replaces the value; nil or an empty one deletes it. A worker that lost
// the account gets ErrNotHeld: its session is not the current one any more.
func (v *Vault) Save(ctx context.Context, value []byte) error {
	if !v.a.hold.Held() {
		return fmt.Errorf("save the state %s: %w", v.name, ErrNotHeld)
	}
	ctx, cancel := withDeadline(ctx, requestTimeout)
	defer cancel()
	kv, err := v.bucket(ctx)
	if err != nil {
		return err
	}
	if len(value) == 0 {
		err = kv.Purge(ctx, v.name)
	} else {
		err = v.put(ctx, kv, value)
	}
	if err != nil {
		return fmt.Errorf("save the state %s: %w", v.name, err)
	}
	return nil
}

func (v *Vault) put(ctx context.Context, kv jetstream.KeyValue, value []byte) error {
	secret, err := v.key.seal(value)
	if err != nil {
		return err
	}
	_, err = kv.Put(ctx, v.name, secret)
	return err
}

func (v *Vault) bucket(ctx context.Context) (jetstream.KeyValue, error) {
	kv, err := v.a.conn.JS.KeyValue(ctx, v.a.Sessions())
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", v.a.Sessions(), err)
	}
	return kv, nil
}
