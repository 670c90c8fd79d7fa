package outbox

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"wechat-bridge/bridge/wire"
)

// notes is a vault in memory.
type notes struct {
	value []byte
	away  atomic.Bool
}

func (n *notes) Load(context.Context) ([]byte, error) { return n.value, nil }

func (n *notes) Save(_ context.Context, value []byte) error {
	if n.away.Load() {
		return errors.New("away")
	}
	n.value = value
	return nil
}

// The day's limit holds over a crash loop: what was sent is stored before it
// goes out.
func TestDayOverCrashes(t *testing.T) {
	memory := &notes{}
	now := t0
	sent := 0
	for range 10 { // workers, one after the other
		p := newPacer(Pace{Daily: 5}, memory)
		if err := p.load(t.Context(), now); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if p.take(now) == 0 {
				if err := p.used(t.Context(), now); err != nil {
					t.Fatal(err)
				}
				sent++
			}
		}
		now = now.Add(time.Minute)
	}
	if sent != 5 {
		t.Errorf("%d were sent on a day of 5", sent)
	}
	p := newPacer(Pace{Daily: 5}, memory)
	if err := p.load(t.Context(), t0.Add(24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if d := p.take(t0.Add(24 * time.Hour)); d != 0 {
		t.Errorf("a day later one has to wait %s", d)
	}
}

func TestDayThatCannotBeReadIsHalfUsed(t *testing.T) {
	p := newPacer(Pace{Daily: 4}, &notes{value: []byte("?")})
	if err := p.load(t.Context(), t0); err != nil {
		t.Fatal(err)
	}
	if len(p.days) != 2 {
		t.Errorf("%d of 4 are counted", len(p.days))
	}
}

// Nothing goes out that could not be counted.
func TestSendsWaitUntilTheyAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		memory := &notes{}
		memory.away.Store(true)
		w.start(t, 1, func(_ *process, c *Config) { c.Memory, c.Pace = memory, Pace{Daily: 5} })
		w.publish(text("a", "Alice", "a"))
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := len(w.chat.ledger); n != 0 {
			t.Fatalf("WeChat has %d that were not counted", n)
		}
		memory.away.Store(false)
		w.expect(t, "a", wire.Sent, time.Minute)
		w.drain(t, time.Minute)
		if string(memory.value) == "" || len(w.chat.ledger) != 1 {
			t.Errorf("stored %q, WeChat has %d", memory.value, len(w.chat.ledger))
		}
	})
}
