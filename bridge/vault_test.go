package bridge

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"wechat-bridge/bridge/broker"
)

// brokenVault answers Load with an error.
type brokenVault struct{ err error }

func (v brokenVault) Load(context.Context) ([]byte, error) { return nil, v.err }

func (v brokenVault) Save(context.Context, []byte) error { return nil }

func TestDamagedValueDoesNotStopTheWorker(t *testing.T) {
	away := errors.New("nats is away")
	for _, err := range []error{broker.ErrDamaged, broker.ErrWrongKey, away} {
		value, got := lasting{brokenVault{fmt.Errorf("load: %w", err)}}.Load(t.Context())
		if err == away && !errors.Is(got, away) || err != away && (got != nil || len(value) == 0) {
			t.Errorf("%v: %q, %v", err, value, got)
		}
	}
}
