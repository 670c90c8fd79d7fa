package outbox

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/bridge/wire"
)

// pass lets virtual time pass until everything rests.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func numbered(prefix string, n int) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf("%s%04d", prefix, i))
	}
	return out
}

// inMemory is how many deliveries the courier holds.
func (p *process) inMemory() int {
	n := make(chan int, 1)
	p.box.courier.post(func() { n <- len(p.box.courier.held) })
	return <-n
}

// 1,500 commands to a chat that takes a second each don't hold up another one,
// and keep their order; the courier's memory stays within its window.
func TestSlowChatHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.chat.takes = func(peer string) time.Duration {
			if peer == "@alice" {
				return time.Second
			}
			return time.Millisecond
		}
		names := numbered("s", 1500)
		for _, n := range names {
			w.publish(text(n, "Alice", n))
		}
		w.publish(text("b", "Bob", "b"))
		p := w.start(t, 1)
		w.expect(t, "b", wire.Sent, 5*time.Second)
		if held := p.inMemory(); held > 1000 {
			t.Errorf("%d deliveries in memory", held)
		}
		if got := len(w.chat.texts("@alice")); got > 10 {
			t.Errorf("Alice has %d already: the test proves nothing", got)
		}
		pass(5 * time.Second)
		if n, oldest := p.box.Backlog(); n < 1480 || n > 1500 || oldest.IsZero() {
			t.Errorf("backlog %d since %s", n, oldest)
		}
		if held := p.inMemory(); held > 20 {
			t.Errorf("%d deliveries in memory of one slow chat", held)
		}
		w.drain(t, time.Hour)
		if !slices.Equal(w.chat.texts("@alice"), names) {
			t.Error("order of the slow chat is broken")
		}
		if w.chat.twoAt != "" {
			t.Errorf("two sends to %s at once", w.chat.twoAt)
		}
		if n, _ := p.box.Backlog(); n != 0 {
			t.Errorf("backlog %d at the end", n)
		}
	})
}

// NATS answers each question after a time of its own, so that answers overtake
// what was written meanwhile: the order of each chat stays, and nothing is left
// lying.
func TestOrderWhereNATSIsSlow(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { synctest.Test(t, func(t *testing.T) { slowNATS(t, seed) }) })
	}
}

// A parked message is written while the answer "nothing is parked" is still on
// its way.
func TestParkedWhileTheParkingLookedEmpty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.chat.takes = func(string) time.Duration { return time.Second }
		p := w.start(t, 1, func(p *process, _ *Config) {
			p.lag = func(op string, answer bool) time.Duration {
				if op == "parking.head" && answer {
					return 10 * time.Second
				}
				return 0
			}
		})
		names := numbered("m", 40)
		for i, n := range names {
			w.publish(text(n, "Alice", n))
			if i > 16 { // a lane is full then
				pass(15 * time.Second)
			}
		}
		w.drain(t, time.Hour)
		if got := w.chat.texts("@alice"); !slices.Equal(got, names) {
			t.Errorf("order: %v", got)
		}
		p.stop()
	})
}

func slowNATS(t *testing.T, seed uint64) {
	var mu sync.Mutex
	rnd := rand.New(rand.NewPCG(seed, 1))
	random := func(limit time.Duration) time.Duration {
		mu.Lock()
		defer mu.Unlock()
		return time.Duration(rnd.Int64N(int64(limit)))
	}
	w := newWorld()
	w.chat.takes = func(string) time.Duration { return random(20 * time.Millisecond) }
	p := w.start(t, 1, func(p *process, _ *Config) {
		p.lag = func(op string, _ bool) time.Duration {
			if op == "parking.head" && random(2) == 0 {
				return random(time.Second)
			}
			return random(20 * time.Millisecond)
		}
	})
	want := map[string][]string{}
	for n := range 700 { // bursts that overflow a lane, and then as many as are sent
		name := []string{"Alice", "Alice", "Bob"}[random(3)]
		id := fmt.Sprintf("%s-%04d", name, n)
		want[name] = append(want[name], id)
		w.publish(text(id, name, id))
		if n%100 > 40 {
			pass(random(350 * time.Millisecond))
		}
	}
	w.drain(t, time.Hour)
	for name, id := range map[string]string{"Alice": "@alice", "Bob": "@bob"} {
		if got := w.chat.texts(id); !slices.Equal(got, want[name]) {
			t.Errorf("order to %s: %v", name, got)
		}
	}
	p.stop()
}

func TestAtMostMaxInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.chat.takes = func(string) time.Duration { return time.Second }
		p := w.start(t, 1, func(p *process, c *Config) {
			c.MaxInFlight = 3
			for i := range 10 {
				p.peers.Put(friend(fmt.Sprint("@f", i), fmt.Sprint("F", i)))
			}
		})
		for i := range 10 {
			w.publish(text(fmt.Sprint("i", i), fmt.Sprint("F", i), "x"))
		}
		w.drain(t, time.Minute)
		if w.chat.most != 3 {
			t.Errorf("%d sends at once, want 3", w.chat.most)
		}
		p.stop()
	})
}

// A login renames all peers while deliveries wait in memory and in the
// parking, addressed in several ways: each goes to the new id, in order.
func TestLoginThatRenames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.chat.takes = func(string) time.Duration { return 100 * time.Millisecond }
		p := w.start(t, 1)
		names := numbered("r", 120)
		for i, n := range names {
			to := `"Alice"`
			if i%2 == 1 {
				to = `{"nickname":"Alice"}`
			}
			w.publish(fmt.Sprintf(`{"id":%q,"to":%s,"text":%q}`, n, to, n))
		}
		w.publish(`{"id":"old","to":{"id":"@alice","name":"Alice","type":"friend"},"text":"r0120"}`)
		pass(time.Second)
		p.gate.set(false)
		pass(time.Second)
		p.peers.Begin()
		pass(time.Minute)
		p.peers.Put(friend("@bob", "Alice"), friend("@x", "Bob")) // WeChat gives Bob's former id to Alice
		p.peers.Loaded()
		p.gate.set(true)
		w.drain(t, 10*time.Minute)
		all := append(w.chat.texts("@alice"), w.chat.texts("@bob")...)
		if !slices.Equal(all, append(names, "r0120")) {
			t.Errorf("order: %v", all)
		}
		if len(w.chat.texts("@bob")) < 100 {
			t.Errorf("only %d went to the new id", len(w.chat.texts("@bob")))
		}
		w.verify(t, names, false)
	})
}

// The same with a crash in between: nothing in memory helps.
func TestRenamedAfterCrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.chat.takes = func(string) time.Duration { return 100 * time.Millisecond }
		p := w.start(t, 1)
		names := numbered("r", 60)
		for i, n := range names {
			to := `"Alice"`
			if i%3 == 1 {
				to = `{"nickname":"Alice"}`
			}
			w.publish(fmt.Sprintf(`{"id":%q,"to":%s,"text":%q}`, n, to, n))
		}
		pass(950 * time.Millisecond)
		p.crash()
		w.start(t, 2, func(p *process, _ *Config) {
			p.peers = wechat.NewDirectory(nil)
			p.peers.Begin()
			p.peers.Begin()
			p.peers.Put(friend("@new", "Alice"))
			p.peers.Loaded()
		})
		w.drain(t, 10*time.Minute)
		seen := map[string]bool{}
		var all []string
		for _, s := range append(w.chat.texts("@alice"), w.chat.texts("@new")...) {
			if !seen[s] {
				seen[s] = true
				all = append(all, s)
			}
		}
		if !slices.Equal(all, names) {
			t.Errorf("order: %v", all)
		}
		w.verify(t, names, true)
	})
}

// A room that is not visible yet: the delivery waits, says so, and goes before
// what came later, also over a restart.
func TestRoomNotVisibleYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := w.start(t, 1)
		for _, n := range numbered("v", 3) {
			w.publish(text(n, "Laterr", n))
		}
		d := w.expect(t, "v0002", wire.Waiting, time.Second)
		if d.Code != codeNotVisible || d.RetryAt == nil || d.Final {
			t.Errorf("waiting: %+v", d)
		}
		w.publish(text("b", "Bob", "b"))
		w.expect(t, "b", wire.Sent, time.Second)
		pass(10 * time.Minute)

		p.crash()
		p2 := w.start(t, 2)
		w.publish(text("v0003", "Laterr", "v0003"))
		pass(time.Minute)
		p2.peers.Put(wechat.Peer{ID: "@@later", Name: "Laterr", Type: wechat.Room})
		w.publish(text("v0004", "Laterr", "v0004"))
		w.expect(t, "v0004", wire.Sent, time.Minute)
		if got := w.chat.texts("@@later"); !slices.Equal(got, numbered("v", 5)) {
			t.Errorf("the room got %v", got)
		}
		w.drain(t, time.Minute)
	})
}

func TestUnknownRecipient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := w.start(t, 1)
		w.publish(text("u", "Alise", "x"))
		w.publish(`{"id":"n","to":{"nickname":"Alise"},"text":"x"}`)
		d := w.expect(t, "n", wire.Rejected, time.Second) // no room has a nickname
		if d.Code != codeUnknownTo || d.Field != "to" || d.Nearest != "Alice" {
			t.Errorf("at once: %+v", d)
		}
		w.expect(t, "u", wire.Waiting, time.Second)
		pass(59 * time.Minute)
		if s := w.last(t, "u").State; s != wire.Waiting {
			t.Errorf("after 59 minutes: %s", s)
		}
		d = w.expect(t, "u", wire.Rejected, 2*time.Minute)
		if d.Code != codeUnknownTo || d.Nearest != "Alice" {
			t.Errorf("after an hour: %+v", d)
		}
		p.stop()
		if a, b, c := w.left(); a+b+c != 0 {
			t.Error("something is left")
		}
	})
}

// An outage is no time in which a room could show itself.
func TestRecipientWaitsAnOutageOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := w.start(t, 1)
		w.publish(text("u", "Later", "x"))
		w.expect(t, "u", wire.Waiting, time.Second)
		p.gate.set(false)
		pass(10 * time.Hour)
		p.gate.set(true)
		pass(10 * time.Second)
		p.peers.Put(wechat.Peer{ID: "@@later", Name: "Later", Type: wechat.Room})
		w.expect(t, "u", wire.Sent, time.Minute)
	})
}

func TestAmbiguousRecipient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.start(t, 1)
		w.publish(text("c", "Carol", "x"))
		d := w.expect(t, "c", wire.Rejected, time.Second)
		if d.Code != codeAmbiguousTo || len(d.Candidates) != 2 {
			t.Errorf("%+v", d)
		}
	})
}

// While contacts load nothing is written and nothing is overtaken; if it takes
// long, the record says what is waited for.
func TestContactsLoading(t *testing.T) {
	half := func(p *process, c *Config) {
		loading(p, c)
		p.peers.Put(friend("@alice", "Alice"))
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := w.start(t, 1, half)
		w.publish(text("a", "Alice", "a"))
		w.publish(`{"id":"b","to":{"id":"@alice"},"text":"b"}`)
		pass(5 * time.Second)
		p.peers.Loaded()
		w.drain(t, time.Minute)
		if got := w.states(t, "a"); !slices.Equal(got, []wire.State{wire.Accepted, wire.Sending, wire.Sent}) {
			t.Errorf("states: %v", got)
		}
		w.inOrder(t, "@alice", "a", "b")
	})
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := w.start(t, 1, half)
		w.publish(text("a", "Alice", "a"))
		pass(30 * time.Second)
		w.expect(t, "a", wire.Waiting, time.Second)
		pass(50 * time.Minute) // they still load
		p.peers.Loaded()
		w.expect(t, "a", wire.Sent, time.Minute)
	})
}

// renamed is a login after which everybody has another id.
func renamed(d *wechat.Directory) {
	d.Begin()
	d.Put(friend("@alice2", "Alice"), friend("@bob2", "Bob"))
	d.Loaded()
}

// A login between the lookup and the send: the message goes to the new id.
func TestRenamedJustBeforeTheSend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.start(t, 1, func(p *process, _ *Config) {
			first := true
			p.gate.onAdmit = func() {
				if first {
					first = false
					renamed(p.peers)
				}
			}
		})
		w.publish(text("a", "Alice", "a"))
		w.drain(t, time.Minute)
		if len(w.chat.texts("@alice2")) != 1 || len(w.chat.ledger) != 1 {
			t.Errorf("WeChat has %+v", w.chat.ledger)
		}
		if d := w.last(t, "a"); d.Attempt != 1 || d.PossibleDuplicate {
			t.Errorf("%+v", d)
		}
	})
}

// A login while a send to a chat is under way: the next one to that chat, now
// under another id, waits for its end all the same.
func TestRenamedDuringASend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.chat.takes = func(peer string) time.Duration {
			if peer == "@alice" {
				return 10 * time.Second
			}
			return 0
		}
		p := w.start(t, 1)
		w.publish(text("a", "Alice", "a"))
		pass(time.Second)
		renamed(p.peers)
		w.publish(text("b", "Alice", "b"))
		w.publish(text("c", "Bob", "c"))
		pass(5 * time.Second)
		if n := p.gate.admitted; n != 1 {
			t.Errorf("%d admissions during the first send", n)
		}
		w.drain(t, time.Minute)
		if l := w.chat.ledger; len(l) != 3 || l[0].text != "a" || l[1].peer != "@alice2" && l[2].peer != "@alice2" {
			t.Errorf("WeChat has %+v", l)
		}
	})
}
