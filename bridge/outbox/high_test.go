package outbox

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/bridge/wire"
)

// high is a command of high priority.
func high(id, to, text string) string {
	return fmt.Sprintf(`{"id":%q,"to":%q,"text":%q,"priority":"high"}`, id, to, text)
}

// byPriority parts what a chat got: names of high ones begin with h.
func byPriority(got []string) (highs, normals []string) {
	return split(got, func(s string) bool { return strings.HasPrefix(s, "h") })
}

// What is high overtakes what is normal in its chat, also where so many wait
// that both priorities are parked; each keeps its order.
func TestHighOvertakesInItsChat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.chat.takes = func(string) time.Duration { return time.Second }
		p := w.start(t, 1)
		normals, highs := numbered("n", 60), numbered("h", 40)
		for _, n := range normals {
			w.publish(text(n, "Alice", n))
		}
		pass(5500 * time.Millisecond)
		before := len(w.chat.texts("@alice"))
		for _, n := range highs {
			w.publish(high(n, "Alice", n))
		}
		pass(time.Second)
		if tokens, _ := (parking{p.proc}).Tokens(t.Context()); len(tokens) != 2 {
			t.Errorf("parked as %v, want a queue of each priority", tokens)
		}
		w.drain(t, time.Hour)
		got := w.chat.texts("@alice")
		h, n := byPriority(got)
		if !slices.Equal(h, highs) || !slices.Equal(n, normals) {
			t.Errorf("order: %v", got)
		}
		// One was under way when they came.
		if h, _ := byPriority(got[before+1 : before+1+len(highs)]); len(h) != len(highs) {
			t.Errorf("after %d: %v", before, got)
		}
		w.verify(t, append(normals, highs...), false)
	})
}

// What is high goes first under the pace, though a thousand others fill the
// courier's memory.
func TestHighOvertakesOtherChats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.start(t, 1, func(p *process, c *Config) {
			c.Pace = Pace{N: 1}
			for i := range 200 {
				p.peers.Put(friend(fmt.Sprint("@f", i), fmt.Sprintf("Friend %03d", i)))
			}
		})
		for i := range 2000 {
			w.publish(text(fmt.Sprint("n", i), fmt.Sprintf("Friend %03d", i%200), "x"))
		}
		pass(10 * time.Minute)
		names := numbered("h", 20)
		for i, n := range names {
			w.publish(high(n, fmt.Sprintf("Friend %03d", i), n))
		}
		pass(20*time.Minute + 10*time.Second)
		if n := w.count(t, names, wire.Sent); n != len(names) {
			t.Errorf("%d of %d went before the others", n, len(names))
		}
	})
}

// A message that waits for its next try does not hold up a high one.
func TestHighOvertakesARetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.chat.answer = func(out wechat.Outgoing) (bool, error) {
			if out.Text == "n" {
				return false, lost()
			}
			return true, nil
		}
		w.start(t, 1)
		w.publish(text("n", "Alice", "n"))
		for w.last(t, "n").Attempt < 4 || w.last(t, "n").State != wire.Retrying {
			pass(100 * time.Millisecond)
		}
		if wait := time.Until(*w.last(t, "n").RetryAt); wait < 2*time.Second {
			t.Fatalf("it waits only %s: the test proves nothing", wait)
		}
		w.publish(high("h", "Alice", "h"))
		w.expect(t, "h", wire.Sent, time.Second)
		if d := w.last(t, "n"); d.Attempt != 4 || d.State != wire.Retrying {
			t.Errorf("the retry did not wait: %+v", d)
		}
		w.expect(t, "n", wire.Unknown, time.Minute)
	})
}

// Both priorities keep their order over crashes.
func TestOrderOfPrioritiesOverCrashes(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		lives := rapid.SliceOfN(rapid.IntRange(20, 160), 1, 3).Draw(r, "lives")
		prefixes := rapid.SliceOfN(rapid.SampledFrom([]string{"n", "n", "h"}), 45, 45).Draw(r, "priorities")
		failed := false
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			w.chat.takes = func(string) time.Duration { return 50 * time.Millisecond }
			var names []string
			for i, prefix := range prefixes {
				n := fmt.Sprintf("%s%04d", prefix, i)
				names = append(names, n)
				if prefix == "h" {
					w.publish(high(n, "Alice", n))
				} else {
					w.publish(text(n, "Alice", n))
				}
			}
			for i, n := range lives {
				p := w.start(t, uint64(i+1), at(n, crashAfter))
				select {
				case <-p.over:
				case <-time.After(time.Minute):
					p.crash()
				}
			}
			w.start(t, uint64(len(lives)+1))
			w.drain(t, time.Hour)
			w.verify(t, names, true)
			var got []string
			for _, s := range w.chat.texts("@alice") {
				if !slices.Contains(got, s) {
					got = append(got, s)
				}
			}
			for _, list := range [2][]string{first(byPriority(got)), second(byPriority(got))} {
				if !slices.IsSorted(list) {
					t.Errorf("order: %v", list)
				}
			}
			if len(got) != len(names) {
				t.Errorf("%d of %d", len(got), len(names))
			}
			failed = t.Failed()
		})
		if failed {
			r.Fatal("see above")
		}
	})
}

func first(a, _ []string) []string  { return a }
func second(_, b []string) []string { return b }
