package outbox

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"wechat-bridge/bridge/wire"
)

// slowMark has the first sending records stored, but their answers, and all
// that could tell of them, come only after a while.
func slowMark(away time.Duration) option {
	start := time.Now()
	return func(p *process, _ *Config) {
		marked := false
		p.fault = func(_ int, op string) fault {
			if time.Since(start) > away {
				return ok
			}
			switch op {
			case "ledger.last":
				if marked {
					return failBefore
				}
			case "ledger.append":
				for _, c := range p.w.ledger { // the lock is free: calls come one by one here
					if len(c) == 1 {
						marked = true
					}
				}
				if marked {
					return failAfter
				}
			}
			return ok
		}
	}
}

// sending was stored, too late for the message to be handed over; then the gate
// is closed, and its time passes: the record does not say sending for the
// whole outage, and nothing goes out.
func TestMarkedWhenTheGateCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := w.start(t, 1, slowMark(6*time.Second))
		w.publish(`{"id":"a","to":"Alice","text":"x","ttl":"30s"}`)
		pass(5500 * time.Millisecond)
		p.gate.set(false)
		pass(10 * time.Second)
		if d := w.last(t, "a"); d.State != wire.Retrying || d.Code != codeHeldBack || d.Attempt != 0 || !d.Certain {
			t.Errorf("in the outage: %v %+v", w.states(t, "a"), d)
		}
		pass(10 * time.Minute)
		p.gate.set(true)
		w.drain(t, time.Minute)
		if d := w.last(t, "a"); d.State != wire.Expired || len(w.chat.ledger) != 0 {
			t.Errorf("%v, WeChat has %d", w.states(t, "a"), len(w.chat.ledger))
		}
	})
}

// The same with the gate open, but NATS away until its time is over.
func TestMarkedAndLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.start(t, 1, slowMark(time.Minute))
		w.publish(`{"id":"a","to":"Alice","text":"x","ttl":"30s"}`)
		w.expect(t, "a", wire.Expired, 2*time.Minute)
		w.drain(t, time.Minute)
		if len(w.chat.ledger) != 0 {
			t.Error("it was sent after its time")
		}
	})
}

// Where NATS answers, what was marked is sent, as the first attempt.
func TestMarkedAndSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.start(t, 1, slowMark(20*time.Second))
		w.publish(text("a", "Alice", "x"))
		d := w.expect(t, "a", wire.Sent, time.Minute)
		if got := w.states(t, "a"); len(got) != 3 || d.Attempt != 1 || d.PossibleDuplicate {
			t.Errorf("%v %+v", got, d)
		}
	})
}

// Deliveries whose mark is in doubt keep their place among those in flight: a
// crash finds no more ambiguous ones than may be in flight.
func TestMarksInDoubtKeepTheirPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		down := false
		p := w.start(t, 1, func(p *process, c *Config) {
			c.MaxInFlight = 3
			for i := range 20 {
				p.peers.Put(friend(fmt.Sprint("@f", i), fmt.Sprint("F", i)))
			}
			p.gate.open = false
			p.fault = func(_ int, op string) fault {
				switch {
				case down && op == "ledger.append":
					return failAfter
				case down && op == "ledger.last":
					return failBefore
				}
				return ok
			}
		})
		names := numbered("m", 20)
		for i, n := range names {
			w.publish(text(n, fmt.Sprint("F", i), n))
		}
		pass(time.Second)
		down = true
		p.gate.set(true)
		pass(2 * time.Minute)
		if n := w.count(t, names, wire.Sending); n != 3 {
			t.Errorf("%d are sending, 3 may be", n)
		}
		p.crash()
		w.start(t, 2, func(p *process, _ *Config) {
			for i := range 20 {
				p.peers.Put(friend(fmt.Sprint("@f", i), fmt.Sprint("F", i)))
			}
		})
		w.drain(t, time.Minute)
	})
}
