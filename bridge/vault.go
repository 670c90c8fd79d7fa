package bridge

import (
	"context"
	"errors"

	"wechat-bridge/bridge/broker"
	"wechat-bridge/bridge/wechat"
)

// unreadable stands for a value that cannot be decrypted any more: its reader
// finds that it makes no sense, and decides what is safe.
var unreadable = []byte("unreadable")

// lasting is a vault whose damaged value does not stop the worker; it is
// replaced at the next save.
type lasting struct{ wechat.Vault }

// Load gives the value, or unreadable for one that is damaged.
func (v lasting) Load(ctx context.Context) ([]byte, error) {
	value, err := v.Vault.Load(ctx)
	if errors.Is(err, broker.ErrDamaged) || errors.Is(err, broker.ErrWrongKey) {
		return unreadable, nil
	}
	return value, err
}
