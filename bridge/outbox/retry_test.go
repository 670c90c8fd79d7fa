package outbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/rs/zerolog"

	"wechat-bridge/bridge/wire"
)

// Failures of many calls at once are lines that differ in nothing but time, so
// that the process's log can thin them all together.
func TestFailuresOfManyCallsAreEqualLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := zerolog.New(zerolog.SyncWriter(&out))
		err := each(30, make([]int, 30), func(int) error {
			n := 0
			return persist(t.Context(), log, "acknowledge", func() error {
				if n++; n <= 5 {
					return errAway
				}
				return nil
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		lines := bytes.Split(bytes.TrimSpace(out.Bytes()), []byte("\n"))
		if len(lines) != 150 {
			t.Errorf("%d lines of 150 failures", len(lines))
		}
		for _, l := range lines {
			if !bytes.Equal(l, lines[0]) {
				t.Fatalf("%s and %s", lines[0], l)
			}
		}
		var line struct{ Level, Event, What string }
		if err := json.Unmarshal(lines[0], &line); err != nil || line.Level != "warn" || line.Event != "outbox_storage" || line.What != "acknowledge" {
			t.Errorf("%s", lines[0])
		}
	})
}

// What can never be done is not tried again, and what ends is no failure.
func TestPersistGivesUp(t *testing.T) {
	n := 0
	err := persist(t.Context(), zerolog.Nop(), "x", func() error { n++; return errors.Join(errAway, wire.ErrInvalid) })
	if !errors.Is(err, wire.ErrInvalid) || n != 1 {
		t.Errorf("%v after %d tries", err, n)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errCrash)
	if err := persist(ctx, zerolog.Nop(), "x", func() error { return errAway }); !errors.Is(err, errCrash) {
		t.Error(err)
	}
}
