package outbox

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"wechat-bridge/bridge/wire"
)

// What waits in buffer, parking and memory expires on time while WeChat is
// away, and is never sent.
func TestExpiryInAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.chat.answer = answers(noRoute)
		p := w.start(t, 1, trips)
		names := numbered("e", 100)
		for _, n := range names { // some in memory, some parked, one tried
			w.publish(fmt.Sprintf(`{"id":%q,"to":"Alice","text":"x","ttl":"90s"}`, n))
		}
		pass(time.Second)
		if _, _, c := w.left(); c == 0 {
			t.Error("nothing is parked: the test proves little")
		}
		w.publish(`{"id":"b","to":["Alice","Bob"],"text":"x","ttl":"90s"}`) // stays in the buffer
		w.publish(`{"id":"long","to":"Bob","text":"x"}`)
		past := w.publish(`{"id":"past","to":"Bob","text":"x","expires_at":"1999-01-01T00:00:00Z"}`)
		pass(2 * time.Second)
		if d := w.last(t, "past"); d.State != wire.Expired || d.StreamSeq != past {
			t.Errorf("already over: %+v", d)
		}
		pass(148 * time.Second)
		for _, n := range append(names, "b~1", "b~2", "b") {
			if d := w.last(t, n); d.State != wire.Expired || d.PossibleDuplicate {
				t.Errorf("%s: %+v", n, d)
			}
		}
		if d := w.last(t, "e0001"); d.FinishedAt.Sub(*d.ExpiresAt) > time.Minute || d.Code != codeExpired {
			t.Errorf("late: %+v", d)
		}
		pass(24 * time.Hour)
		p.gate.set(true)
		w.drain(t, time.Hour)
		if d := w.last(t, "long"); d.State != wire.Sent {
			t.Errorf("long: %+v", d)
		}
		if len(w.chat.ledger) != 1 {
			t.Errorf("WeChat has %d messages, want one", len(w.chat.ledger))
		}
		pass(refresh * 2)
		if n, _ := p.box.Backlog(); n != 0 {
			t.Errorf("backlog %d", n)
		}
		w.verify(t, append(names, "b~1", "b~2"), false)
	})
}

// After a restart all that waits is found by a sweep.
func TestExpiryAfterRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := w.start(t, 1)
		p.gate.set(false)
		names := numbered("e", 50)
		for _, n := range names {
			w.publish(fmt.Sprintf(`{"id":%q,"to":"Alice","text":"x","ttl":"1h"}`, n))
		}
		pass(time.Minute)
		p.crash()
		q := w.start(t, 2, func(p *process, _ *Config) { p.gate.open = false })
		pass(time.Second)
		if n, _ := q.box.Backlog(); n != 50 {
			t.Errorf("backlog after the restart: %d", n)
		}
		pass(time.Hour)
		for _, n := range names {
			if s := w.last(t, n).State; s != wire.Expired {
				t.Errorf("%s: %s", n, s)
			}
		}
	})
}

// Never while the last record is sending: the answer may still come, or never.
func TestExpiryWhileSending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.chat.takes = func(string) time.Duration { return 5 * time.Minute }
		p := w.start(t, 1)
		w.publish(`{"id":"a","to":"Alice","text":"x","ttl":"1m"}`)
		pass(4 * time.Minute)
		if s := w.last(t, "a").State; s != wire.Sending {
			t.Errorf("during the send: %s", s)
		}
		w.expect(t, "a", wire.Sent, 2*time.Minute)

		w.publish(`{"id":"b","to":"Alice","text":"y","ttl":"1m"}`)
		pass(30 * time.Second)
		p.crash()
		w.chat.takes = nil
		pass(10 * time.Minute)
		w.start(t, 2)
		d := w.expect(t, "b", wire.Unknown, time.Minute) // too late to send again, and it may have arrived
		if d.Code != codeOutcomeLost {
			t.Errorf("%+v", d)
		}
		w.drain(t, time.Minute)
	})
}

// The ledger was cut: what waited still ends with a record, and since nobody
// knows whether it went out, that says so.
func TestExpiryWithoutALedger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := w.start(t, 1)
		p.gate.set(false)
		w.publish(`{"id":"a","to":"Alice","text":"x","ttl":"20s"}`)
		w.publish(`{"id":"b","to":"Alice","text":"x","ttl":"20s"}`)
		pass(time.Second)
		w.mu.Lock()
		delete(w.ledger, "a")
		w.ledger["b"][0].Body = []byte("garbage")
		w.mu.Unlock()
		pass(time.Minute)
		for _, key := range []string{"a", "b"} {
			w.mu.Lock()
			chain := w.ledger[key]
			w.mu.Unlock()
			if len(chain) == 0 {
				t.Fatalf("%s is gone without a record", key)
			}
			if d, _, err := wire.OpenDelivery(chain[len(chain)-1].Body); err != nil || d.State != wire.Unknown || d.Certain {
				t.Errorf("%s: %v %+v", key, err, d)
			}
		}
		if _, n, _ := w.left(); n > 1 {
			t.Errorf("%d are left", n)
		}
	})
}

// Thousands that are due together end within a minute, where each question to
// NATS takes 10 ms.
func TestManyExpireTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := w.start(t, 1)
		p.gate.set(false)
		names := numbered("e", 3000)
		for _, n := range names {
			w.publish(fmt.Sprintf(`{"id":%q,"to":"Alice","text":"x","ttl":"1h"}`, n))
		}
		pass(time.Minute)
		p.crash()
		q := w.start(t, 2, func(p *process, _ *Config) {
			p.gate.open = false
			p.lag = func(string, bool) time.Duration { return 5 * time.Millisecond }
		})
		pass(60 * time.Minute)
		if n := w.count(t, names, wire.Expired); n != len(names) {
			t.Errorf("%d of %d have expired", n, len(names))
		}
		q.stop()
	})
}

// The heap keeps what is due first, and finds the rest when its time comes.
func TestHeapStaysSmall(t *testing.T) {
	e := newTimetable(Config{}, nil)
	for i := range 5 * maxDue {
		e.add(t0.Add(time.Duration((i*7919)%100_000)*time.Second), uint64(i+1), false)
	}
	if len(e.heap) > 2*maxDue {
		t.Errorf("%d in the heap", len(e.heap))
	}
	var got []int64
	for len(e.heap) > 0 {
		d, _, todo := e.next(t0.Add(1e6 * time.Second))
		if todo != sweepNothing || d.at >= e.cut {
			t.Fatalf("%+v, cut %d", d, e.cut)
		}
		got = append(got, d.at)
	}
	if !slices.IsSorted(got) || len(got) < maxDue/2 {
		t.Errorf("%d popped, sorted %v", len(got), slices.IsSorted(got))
	}
	if _, _, todo := e.next(t0); todo != sweepAll {
		t.Error("no sweep for what was left out")
	}
}
