package outbox

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/bridge/wire"
)

// loading is a login whose contacts are not there yet.
func loading(p *process, _ *Config) {
	p.peers = wechat.NewDirectory(nil)
	p.peers.Begin()
}

// count tells how many of the chains have this last state.
func (w *world) count(t testing.TB, keys []string, s wire.State) (n int) {
	for _, k := range keys {
		if w.last(t, k).State == s {
			n++
		}
	}
	return n
}

// What was parked because its lane was full has its time to find its room
// again after a login that does not show it: all of the recipient wait, for
// all of them together.
func TestOverflowOfARoomThatALoginHides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := w.start(t, 1)
		w.chat.takes = func(string) time.Duration { return time.Hour }
		names := numbered("m", 40)
		for _, n := range names {
			w.publish(text(n, "Team", n))
		}
		pass(2 * time.Second)
		if _, _, parked := w.left(); parked < 10 {
			t.Fatalf("only %d are parked", parked)
		}
		p.gate.set(false)
		pass(2 * time.Hour) // the one in flight ends
		w.chat.takes = nil
		p.peers.Begin()
		p.peers.Put(friend("@alice9", "Alice"))
		p.peers.Loaded()
		p.gate.set(true)
		pass(59 * time.Minute)
		if n := w.count(t, names, wire.Rejected); n != 0 {
			t.Errorf("%d are rejected before the hour is over", n)
		}
		if w.count(t, names, wire.Waiting) == 0 {
			t.Error("no record says why they wait")
		}
		pass(5 * time.Minute)
		if n := w.count(t, names, wire.Rejected); n != 39 {
			t.Errorf("after the hour %d of 39 are rejected", n)
		}
	})
	synctest.Test(t, func(t *testing.T) { // and if it shows itself in time, all are sent in order
		w := newWorld()
		p := w.start(t, 1)
		w.chat.takes = func(string) time.Duration { return time.Minute }
		names := numbered("m", 40)
		for _, n := range names {
			w.publish(text(n, "Team", n))
		}
		pass(2 * time.Second)
		p.peers.Begin()
		p.peers.Loaded()
		pass(40 * time.Minute)
		p.peers.Put(wechat.Peer{ID: "@@team2", Name: "Team", Type: wechat.Room})
		w.drain(t, 2*time.Hour)
		if got := append(w.chat.texts("@@team"), w.chat.texts("@@team2")...); !slices.Equal(got, names) {
			t.Errorf("order: %v", got)
		}
	})
}

// Contacts that never load: the recipient wait bounds that too, and an outage
// does not count.
func TestContactsThatNeverLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := w.start(t, 1, loading)
		w.publish(text("a", "Alice", "a"))
		pass(30 * time.Minute)
		w.publish(text("b", "Alice", "b"))
		w.publish(`{"id":"n","to":{"nickname":"Alice"},"text":"n"}`)
		p.gate.set(false)
		pass(5 * time.Hour)
		w.expect(t, "a", wire.Waiting, time.Second)
		p.gate.set(true)
		pass(25 * time.Minute)
		w.expect(t, "a", wire.Waiting, time.Second)
		pass(10 * time.Minute)
		if d := w.expect(t, "a", wire.Rejected, time.Second); d.Code != codeUnknownTo {
			t.Errorf("%+v", d)
		}
		pass(40 * time.Minute)
		w.expect(t, "b", wire.Rejected, time.Second)
		w.expect(t, "n", wire.Rejected, time.Second)
		w.drain(t, time.Minute)
	})
}

// A room that overflowed is hidden after a crash during a send to it: that one
// may have arrived, and is not rejected with the others.
func TestSendingHeadOfAHiddenRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		first := w.start(t, 1, faults(func(_ int, op string) fault {
			if op == "wechat.send" && len(w.chat.ledger) == 20 {
				return crashAfter
			}
			return ok
		}))
		w.chat.takes = func(string) time.Duration { return time.Second }
		names := numbered("m", 40)
		for _, n := range names {
			w.publish(text(n, "Team", n))
		}
		<-first.over
		sent := w.chat.ledger[20].text
		w.start(t, 2, func(p *process, _ *Config) { p.peers.Remove("@@team") })
		w.drain(t, 3*time.Hour)
		if d := w.last(t, sent); d.State != wire.Unknown || !d.PossibleDuplicate {
			t.Errorf("%s: %+v", sent, d)
		}
		w.verify(t, names, true)
	})
}

// A recipient wait of (next to) nothing refuses at once, and costs nothing while
// nothing waits.
func TestNoRecipientWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.start(t, 1, func(_ *process, c *Config) { c.RecipientWait = time.Nanosecond })
		w.publish(text("a", "Nowhere", "a"))
		w.expect(t, "a", wire.Rejected, 5*time.Second)
		pass(time.Hour)
		w.drain(t, time.Minute)
	})
}

// All parts were sent, and the contacts took long to load after a crash before
// the acknowledgements: the list is sent.
func TestListWhoseSentPartIsParkedAfterACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		first := w.start(t, 1, faults(func(_ int, op string) fault {
			if op == "outbox.done" {
				return crashBefore
			}
			return ok
		}))
		w.publish(`{"id":"l","to":["Team","Alice"],"text":"hello"}`)
		<-first.over
		second := w.start(t, 2, loading)
		pass(30 * time.Second)
		second.peers.Put(people().Peers()...)
		second.peers.Loaded()
		w.drain(t, 10*time.Minute)
		if d := w.last(t, "l"); d.State != wire.Sent {
			t.Errorf("the list is %s (%s): %s; parts %v %v", d.State, d.Code, d.Message, w.states(t, "l~1"), w.states(t, "l~2"))
		}
	})
}

// A worker that was superseded while it parks leaves no copy behind.
func TestSupersededParksNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := w.start(t, 1, loading)
		w.publish(text("a", "Nowhere", "a"))
		pass(5 * time.Second) // it waits in memory for contacts
		if n := len(w.states(t, "a")); n != 1 {
			t.Fatalf("%d records", n)
		}
		later := w.last(t, "a")
		later.State, later.Epoch = wire.Retrying, 2
		w.write(t, "a", later, time.Now())
		pass(time.Minute)
		p.stop()
		if c, o, parked := w.left(); parked != 0 || o != 1 {
			t.Errorf("%d commands, %d in the outbox, %d parked: %v", c, o, parked, w.states(t, "a"))
		}
	})
}

// write appends a record as another worker would; its clock says at.
func (w *world) write(t testing.TB, key string, d wire.Delivery, at time.Time) {
	t.Helper()
	body, err := wire.SealDelivery(d, at, "")
	if err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	rec := wire.Stored{Token: key, Body: body}
	if c := w.ledger[key]; len(c) > 0 {
		rec.After = c[len(c)-1].Seq
	}
	w.record(rec)
}

func TestListsRefuseWhatIsNotFinal(t *testing.T) {
	ls := newLists(nil, nil)
	it := &item{List: "l", Part: 1, Parts: 2}
	for _, s := range []wire.State{"", wire.Waiting, wire.Sending} {
		if _, err := ls.mark(t.Context(), it, "", s); err == nil {
			t.Errorf("%q ended a part", s)
		}
	}
}
