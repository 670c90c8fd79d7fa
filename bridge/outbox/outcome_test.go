package outbox

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/bridge/wire"
)

// answers gives one answer after the other, then takes everything.
func answers(list ...func() (bool, error)) func(wechat.Outgoing) (bool, error) {
	return func(wechat.Outgoing) (bool, error) {
		if len(list) == 0 {
			return true, nil
		}
		f := list[0]
		list = list[1:]
		return f()
	}
}

func takenButLost() (bool, error) { return true, lost() }
func noRoute() (bool, error)      { return false, undialled() }
func ret(n int) func() (bool, error) {
	return func() (bool, error) { return false, code(n) }
}

func TestOutcomes(t *testing.T) {
	for name, c := range map[string]struct {
		answers   []func() (bool, error)
		onUnknown string
		state     wire.State
		code      string
		attempt   int
		dup       bool
		has       int // times that WeChat has it
	}{
		"outage costs no attempt":         {[]func() (bool, error){noRoute, noRoute, noRoute, noRoute, noRoute, noRoute, noRoute}, "", wire.Sent, "", 1, false, 1},
		"answer lost: sent again, marked": {[]func() (bool, error){takenButLost}, "", wire.Sent, "", 2, true, 2},
		"answer lost: reported":           {[]func() (bool, error){takenButLost}, "report", wire.Unknown, "answer_lost", 1, false, 1},
		"answer lost for ever":            {[]func() (bool, error){takenButLost, takenButLost, takenButLost, takenButLost, takenButLost}, "", wire.Unknown, "answer_lost", 5, true, 5},
		"throttled costs no attempt":      {[]func() (bool, error){ret(1205), ret(1205), ret(1205), ret(1205), ret(1205), ret(1205)}, "", wire.Sent, "", 1, false, 1},
		"refused":                         {[]func() (bool, error){ret(-1)}, "", wire.Failed, "request_refused", 1, false, 0},
		"refused after a doubt":           {[]func() (bool, error){takenButLost, ret(-1)}, "", wire.Failed, "request_refused", 2, true, 1},
		"logged out, logged in":           {[]func() (bool, error){ret(1101)}, "", wire.Sent, "", 1, false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.chat.answer = answers(c.answers...)
				p := w.start(t, 1)
				body := `{"id":"a","to":"Alice","text":"x"}`
				if c.onUnknown != "" {
					body = `{"id":"a","to":"Alice","text":"x","on_unknown":"` + c.onUnknown + `"}`
				}
				w.publish(body)
				w.publish(text("next", "Alice", "next"))
				d := w.expect(t, "a", c.state, time.Hour)
				if d.Code != c.code || d.Attempt != c.attempt || d.PossibleDuplicate != c.dup {
					t.Errorf("%+v", d)
				}
				w.drain(t, time.Hour)
				clients := map[string]bool{}
				n := 0
				for _, m := range w.chat.ledger {
					if m.text == "x" {
						clients[m.client] = true
						n++
					}
				}
				if n != c.has || len(clients) > 1 {
					t.Errorf("WeChat has it %d times with %d client ids, want %d with one", n, len(clients), c.has)
				}
				if p.gate.admitted != len(p.gate.reported) {
					t.Errorf("%d admissions, %d reports", p.gate.admitted, len(p.gate.reported))
				}
				if d := w.last(t, "next"); d.State != wire.Sent || len(w.chat.texts("@alice")) != n+1 || w.chat.texts("@alice")[n] != "next" {
					t.Errorf("the next one: %s, order %v", d.State, w.chat.texts("@alice"))
				}
			})
		})
	}
}

// The gate closes with the first fault and opens an hour later: nothing is
// tried meanwhile, and it is still the first attempt.
func TestOutageWaitsForTheGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.chat.answer = answers(noRoute)
		p := w.start(t, 1, trips)
		for _, n := range numbered("g", 40) {
			w.publish(text(n, "Alice", n))
		}
		pass(time.Hour)
		if got := w.states(t, "g0000"); !slices.Equal(got, []wire.State{wire.Accepted, wire.Sending, wire.Retrying}) {
			t.Errorf("during the outage: %v", got)
		}
		if n := p.gate.admitted; n != 1 {
			t.Errorf("%d admissions", n)
		}
		if n := p.gate.asked; n > 3 {
			t.Errorf("a closed gate was asked %d times", n)
		}
		p.gate.set(true)
		w.drain(t, time.Minute)
		if got := w.chat.texts("@alice"); !slices.Equal(got, numbered("g", 40)) {
			t.Errorf("order after the outage: %v", got)
		}
		if d := w.last(t, "g0000"); d.Attempt != 1 || d.PossibleDuplicate {
			t.Errorf("%+v", d)
		}
	})
}

// A shutdown lets sends in flight end, within the grace.
func TestGrace(t *testing.T) {
	for _, c := range []struct {
		takes time.Duration
		state wire.State
	}{{30 * time.Second, wire.Sent}, {time.Minute, wire.Sending}} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			w.chat.takes = func(string) time.Duration { return c.takes }
			p := w.start(t, 1)
			w.publish(text("a", "Alice", "a"))
			w.publish(text("b", "Alice", "b"))
			w.expect(t, "a", wire.Sending, time.Second)
			start := time.Now()
			p.stop()
			if took := time.Since(start); took > 40*time.Second {
				t.Errorf("the shutdown took %s", took)
			}
			if s := w.last(t, "a").State; s != c.state {
				t.Errorf("a send of %s is %s after the shutdown, want %s", c.takes, s, c.state)
			}
			if s := w.last(t, "b").State; s != wire.Accepted {
				t.Errorf("the next one is %s", s)
			}
			w.start(t, 2)
			w.drain(t, 10*time.Minute)
			if d := w.last(t, "a"); d.PossibleDuplicate != (c.state == wire.Sending) {
				t.Errorf("%+v", d)
			}
			w.inOrder(t, "@alice", "a", "b")
		})
	}
}

// A former worker that wakes up in the middle of a send changes nothing: what
// it left is ambiguous for the new one, and its own later writes are refused.
func TestFormerWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		hold := 10 * time.Second
		w.chat.takes = func(string) time.Duration { defer func() { hold = 0 }(); return hold }
		p := w.start(t, 1)
		for _, n := range numbered("z", 5) {
			w.publish(text(n, "Alice", n))
		}
		w.expect(t, "z0000", wire.Sending, time.Second)
		p.gate.set(true)
		pass(time.Second)
		w.start(t, 2) // takes over while the first one waits for WeChat
		w.drain(t, time.Hour)
		pass(time.Minute)
		w.verify(t, numbered("z", 5), true)
		w.inOrder(t, "@alice", numbered("z", 5)...)
		if d := w.last(t, "z0000"); !d.PossibleDuplicate || d.Epoch != 2 {
			t.Errorf("%+v", d)
		}
		for _, n := range numbered("z", 5)[1:] {
			if d := w.last(t, n); d.PossibleDuplicate || d.Epoch != 2 {
				t.Errorf("%s: %+v", n, d)
			}
		}
	})
}

// A crash between store and acknowledgement leaves a delivery in the buffer
// twice: the second copy goes at once, the first one stays until it is final.
func TestStoredTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.publish(text("a", "Alice", "a"))
		p := w.start(t, 1, faults(func(_ int, op string) fault {
			if op == "commands.done" {
				return crashBefore
			}
			return ok
		}), func(p *process, _ *Config) { p.gate.set(false) })
		<-p.over
		w.chat.takes = func(string) time.Duration { return 10 * time.Second }
		w.start(t, 2)
		pass(time.Second)
		if _, n, _ := w.left(); n != 1 || w.last(t, "a").State != wire.Sending {
			t.Errorf("%d copies during the send, the record is %s", n, w.last(t, "a").State)
		}
		w.drain(t, time.Minute)
		if d := w.last(t, "a"); len(w.chat.ledger) != 1 || d.PossibleDuplicate || d.State != wire.Sent {
			t.Errorf("WeChat has it %d times: %+v", len(w.chat.ledger), d)
		}
	})
}

// Garbage in the bridge's own streams is dropped, and harms nobody.
func TestGarbage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.outbox.put(wire.Stored{Token: "normal", Body: []byte("{"), Expires: time.Now().Add(time.Minute)})
		w.outbox.put(wire.Stored{Token: "normal", Body: []byte("null"), Expires: time.Now().Add(time.Minute)})
		w.parked.put(wire.Stored{Token: "x", Body: []byte("[]")})
		w.parked.put(wire.Stored{Token: "x", Body: nil, Expires: time.Now().Add(time.Minute)})
		w.ledger["a"] = []wire.Stored{{Seq: 1, Body: []byte("garbage"), Token: "a"}}
		w.records = 1
		w.publish(text("a", "Alice", "a")) // its chain begins with garbage
		w.publish(text("b", "Alice", "b"))
		w.start(t, 1)
		w.expect(t, "b", wire.Sent, time.Minute)
		if d := w.last(t, "a~x1"); d.State != wire.Rejected || d.Code != codeIDConflict {
			t.Errorf("a chain that cannot be read: %+v", d)
		}
		w.drain(t, time.Hour)
	})
}

// A crash in the middle of a send, after which the recipient's name is
// ambiguous: WeChat may have it, so it is not rejected.
func TestAmbiguousNameAfterACrashDuringASend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		first := w.start(t, 1, faults(func(_ int, op string) fault {
			if op == "wechat.send" {
				return crashAfter
			}
			return ok
		}))
		w.publish(text("a", "Alice", "hello"))
		<-first.over
		if len(w.chat.texts("@alice")) != 1 {
			t.Fatal("WeChat did not take it")
		}
		w.start(t, 2, func(p *process, _ *Config) { p.peers.Put(friend("@alice2", "Alice")) })
		d := w.expect(t, "a", wire.Unknown, time.Minute)
		if d.Certain || !d.PossibleDuplicate {
			t.Errorf("%+v", d)
		}
	})
}

// A later worker whose clock is slow, or one of before whose clock is fast: it
// is NATS's clock that tells when a record was written.
func TestSupersededByAWorkerWithAnotherClock(t *testing.T) {
	for name, c := range map[string]struct {
		after time.Duration // from the record to the start
		clock time.Duration // of who wrote it
		want  position
	}{
		"slow clock": {-time.Minute, -time.Hour, posLost},
		"fast clock": {time.Minute, time.Hour, posReady},
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Now()
			body, err := wire.SealDelivery(wire.Delivery{
				Account: "default", ID: "a", State: wire.Retrying, StreamSeq: 5, AcceptedAt: &now, Epoch: 2,
			}, now.Add(c.clock), "")
			if err != nil {
				t.Fatal(err)
			}
			last := openRecord(wire.Stored{Seq: 1, At: now, Body: body})
			if got := decidePosition(&last, command{5, now}, worker{1, now.Add(c.after)}, 0); got != c.want {
				t.Errorf("%d, want %d", got, c.want)
			}
		})
	}
}
