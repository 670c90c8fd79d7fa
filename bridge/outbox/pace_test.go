package outbox

import (
	"context"
	"errors"
	"fmt"
	"sync"
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
	block chan struct{} // a save waits until it is closed
}

func (n *notes) Load(context.Context) ([]byte, error) { return n.value, nil }

func (n *notes) Save(_ context.Context, value []byte) error {
	if n.away.Load() {
		return errors.New("away")
	}
	if n.block != nil {
		<-n.block
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
			if p.take(now, 0) == 0 {
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
	if d := p.take(t0.Add(24*time.Hour), 0); d != 0 {
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

// The day's limit holds for those in flight together, with and without a pace.
func TestDayWithManyInFlight(t *testing.T) {
	for name, pace := range map[string]Pace{"off": {Daily: 3}, "on": {N: 100, Per: time.Second, Daily: 3}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				p := w.start(t, 1, func(_ *process, c *Config) { c.Pace = pace })
				w.chat.takes = func(string) time.Duration { return 50 * time.Millisecond }
				w.chat.answer = answers(noRoute) // one is tried again
				to := []string{"Alice", "Bob", "Team", "filehelper"}
				for i, n := range numbered("m", 12) {
					w.publish(text(n, to[i%4], n))
				}
				pass(time.Hour)
				if n := p.gate.admitted; n != 3 || len(w.chat.ledger) != 2 {
					t.Errorf("%d tries on a day of 3, WeChat has %d", n, len(w.chat.ledger))
				}
				w.drain(t, 6*24*time.Hour)
			})
		})
	}
}

// While the day's sends are stored, which may take long, the loop can ask.
func TestTakeWhileTheDayIsStored(t *testing.T) {
	memory := &notes{block: make(chan struct{})}
	p := newPacer(Pace{Daily: 5}, memory)
	var wg sync.WaitGroup
	for range 3 {
		if p.take(t0, 0) != 0 {
			t.Fatal("no right")
		}
		wg.Go(func() {
			if err := p.used(t.Context(), t0); err != nil {
				t.Error(err)
			}
		})
	}
	taken := make(chan time.Duration)
	go func() { taken <- p.take(t0, 0) }()
	select {
	case <-taken:
	case <-time.After(10 * time.Second):
		t.Error("take waits for the store")
	}
	close(memory.block)
	wg.Wait()
	if string(memory.value) != fmt.Sprintf(`{"days":[%d,%[1]d,%[1]d]}`, t0.Unix()) {
		t.Errorf("stored %s", memory.value)
	}
}
