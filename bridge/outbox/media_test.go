package outbox

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/bridge/wire"
)

// keepFails has the store of media refuse, as long as until says.
func keepFails(until func() bool) option {
	return faults(func(_ int, op string) fault {
		if op == "objects.keep" && !until() {
			return failBefore
		}
		return ok
	})
}

func image(id, to string, size int) string {
	return fmt.Sprintf(`{"id":%q,"to":%q,"image":{"data":%q}}`, id, to, base64.StdEncoding.EncodeToString(make([]byte, size)))
}

// One chat that is named in two ways, a medium first, which is slow to copy:
// the order stays, and another chat is not held up.
func TestOrderBehindAMediumByTwoNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		start := time.Now()
		w.start(t, 1, keepFails(func() bool { return time.Since(start) > 20*time.Second }))
		w.publish(image("a", "filehelper", 10))
		w.publish(text("b", "文件传输助手", "second"))
		w.publish(`{"id":"l","to":["Bob",{"id":"filehelper"}],"text":"third"}`)
		w.expect(t, "l~1", wire.Sent, time.Second)
		if n := len(w.chat.ledger); n != 1 {
			t.Errorf("WeChat has %d while the medium is copied", n)
		}
		w.drain(t, time.Minute)
		if got := w.chat.texts("filehelper"); !slices.Equal(got, []string{"", "second", "third"}) {
			t.Errorf("order: %q", got)
		}
	})
}

// A medium waits for nobody once it is there, and is gone once all of its
// deliveries have ended, however they ended.
func TestMediaAreRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		slow := time.Now()
		p := w.start(t, 1, keepFails(func() bool { return time.Since(slow) > 10*time.Second }))
		w.chat.takes = func(peer string) time.Duration {
			if peer == "@bob" {
				return time.Hour
			}
			return 0
		}
		w.publish(image("a", "Alice", 10))
		w.publish(`{"id":"late","to":"Alice","image":{"data":"eA=="},"ttl":"5s"}`)
		w.publish(image("two", "Carol", 10)) // ambiguous
		w.publish(`{"id":"l","to":["Alice","Bob"],"image":{"data":"eA=="}}`)
		w.expect(t, "l~1", wire.Sent, time.Minute)
		w.expect(t, "late", wire.Expired, time.Minute)
		pass(10 * time.Second)
		w.mu.Lock()
		n := len(w.kept)
		w.mu.Unlock()
		if n != 1 {
			t.Errorf("%d media are kept while one part of the list is under way", n)
		}
		w.drain(t, 2*time.Hour)
		for key, want := range map[string]wire.State{"a": wire.Sent, "two": wire.Rejected, "l": wire.Sent} {
			if got := w.last(t, key).State; got != want {
				t.Errorf("%s is %s", key, got)
			}
		}
		if len(w.kept) != 0 {
			t.Errorf("%d media are left", len(w.kept))
		}
		p.stop()
	})
}

// A store of media that never works: those that wait for it end in time, and
// nothing else is held up for long.
func TestMediaStoreThatRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.start(t, 1, keepFails(func() bool { return false }))
		for i := range 520 {
			ttl := ""
			if i%2 == 0 {
				ttl = `,"ttl":"10s"`
			}
			w.publish(fmt.Sprintf(`{"id":"m%d","to":"Alice","image":{"data":"aGVsbG8="}%s}`, i, ttl))
		}
		pass(5 * time.Second)
		w.publish(text("t", "Bob", "hi"))
		w.publish(`{"id":"bad","to":"Bob"}`)
		w.expect(t, "m0", wire.Expired, time.Minute)
		w.expect(t, "t", wire.Sent, 5*time.Minute)
		w.expect(t, "bad", wire.Rejected, 5*time.Minute)
		w.drain(t, time.Hour)
		if d := w.last(t, "m1"); d.State != wire.Rejected || d.Code != codeMediaNotKept || !d.Certain {
			t.Errorf("m1: %+v", d)
		}
	})
}

// A full store is told at once; the id can be used again.
func TestMediaStoreFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.noRoom = true
		p := w.start(t, 1)
		p.gate.set(false)
		w.publish(image("m", "Alice", 10))
		w.publish(text("t", "Alice", "hi"))
		if d := w.expect(t, "m", wire.Rejected, 5*time.Second); d.Code != codeMediaFull || d.Field != "image" {
			t.Errorf("%+v", d)
		}
		w.expect(t, "t", wire.Accepted, time.Second)
		w.mu.Lock()
		w.noRoom = false
		w.mu.Unlock()
		w.publish(image("m", "Alice", 10))
		p.gate.set(true)
		w.expect(t, "m", wire.Sent, 5*time.Second)
		w.drain(t, time.Minute)
	})
}

// A crash while the medium is still to come and the delivery waits for its
// room already: the next process copies the medium before it acknowledges.
func TestMediumOfAParkedDeliveryAfterACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := w.start(t, 1, keepFails(func() bool { return false }))
		w.publish(image("m", "Later", 10))
		w.expect(t, "m", wire.Waiting, time.Minute)
		p.crash()
		q := w.start(t, 2)
		pass(time.Minute)
		if commands, _, _ := w.left(); commands != 0 {
			t.Errorf("%d commands are left", commands)
		}
		q.peers.Put(wechat.Peer{ID: "@@later", Name: "Later", Type: wechat.Room})
		w.expect(t, "m", wire.Sent, time.Minute)
		w.drain(t, time.Minute)
		if len(w.kept) != 0 {
			t.Errorf("%d media are left", len(w.kept))
		}
	})
}

// Inline media that wait to be copied take a bounded part of the memory; the
// rest waits unread.
func TestInlineMediaInMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.fetchBytes = 80 << 10
		start := time.Now()
		p := w.start(t, 1, keepFails(func() bool { return time.Since(start) > time.Minute }), func(_ *process, c *Config) {
			c.maxCopyBytes = 160 << 10
		})
		const size, count = 7 << 10, 100
		for i := range count {
			w.publish(image(fmt.Sprint("m", i), "Alice", size))
		}
		pass(30 * time.Second)
		c := p.box.intake.copies
		c.mu.Lock()
		bytes := c.bytes
		c.mu.Unlock()
		if bytes < 160<<10 || bytes > 250<<10 {
			t.Errorf("%d bytes wait in memory", bytes)
		}
		w.drain(t, time.Hour)
		if n := len(w.chat.ledger); n != count {
			t.Errorf("WeChat has %d", n)
		}
	})
}

// Lists are counted by their deliveries: the buffer keeps its limit.
func TestListsKeepTheBuffersLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := w.start(t, 1, func(_ *process, c *Config) { c.MaxBuffer = 600 })
		p.gate.set(false)
		to := strings.TrimSuffix(strings.Repeat(`"Alice",`, 100), ",")
		for i := range 20 {
			w.publish(fmt.Sprintf(`{"id":"l%d","to":[%s],"text":"x"}`, i, to))
			w.publish(text(fmt.Sprint("s", i), "Bob", "x"))
		}
		pass(time.Minute)
		if _, n, _ := w.left(); n > 600 || n < 500 {
			t.Errorf("%d deliveries in a buffer of 600", n)
		}
		p.gate.set(true)
		w.drain(t, time.Hour)
		if n := len(w.chat.ledger); n != 2020 {
			t.Errorf("WeChat has %d", n)
		}
	})
}

// What was accepted and finds the buffer full expires in time.
func TestExpiryBeforeTheBufferTakesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.full = true
		w.start(t, 1)
		w.publish(`{"id":"a","to":"Alice","text":"x","ttl":"30s"}`)
		w.publish(`{"id":"l","to":["Alice","Bob"],"text":"x","ttl":"30s"}`)
		w.publish(text("b", "Alice", "b"))
		w.expect(t, "a", wire.Expired, time.Minute)
		w.expect(t, "l", wire.Expired, time.Second)
		w.mu.Lock()
		w.full = false
		w.mu.Unlock()
		w.expect(t, "b", wire.Sent, time.Minute)
		w.drain(t, time.Minute)
		if n := len(w.chat.ledger); n != 1 {
			t.Errorf("WeChat has %d", n)
		}
	})
}
