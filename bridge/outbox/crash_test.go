package outbox

import (
	"context"
	"encoding/base64"
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

// story is one of everything that intake and courier can be in the middle of.
func story(w *world) {
	w.uploads["cat.jpg"] = []byte("meow")
	w.publish(text("a1", "Alice", "a1"))
	w.publish(text("b1", "Bob", "b1"))
	w.publish(`{"id":"l","to":["Alice","Bob"],"text":"l"}`)
	w.publish(`{"id":"m","to":"Alice","file":{"object":"cat.jpg"}}`)
	w.publish(text("a2", "Alice", "a2"))
	w.publish(text("a1", "Alice", "a1"))      // a repeat
	w.publish(text("a1", "Alice", "another")) // a conflict
	w.publish(`{"id":"bad","to":"Alice"}`)
	w.publish(text("bad", "Alice", "bad")) // used again after the rejection
	w.publish(`{"id":"d","to":"Bob","image":{"data":"` + base64.StdEncoding.EncodeToString([]byte("jpg")) + `"}}`)
	w.publish(text("n", "Carol", "n")) // two of them
	w.publish(text("b2", "Bob", "b2"))
}

// storyKeys are the chains that the story must end.
var storyKeys = []string{"a1", "b1", "l", "l~1", "l~2", "m", "a2", "bad", "d", "n", "b2"}

// drain waits until nothing waits any more.
func (w *world) drain(t testing.TB, within time.Duration) {
	t.Helper()
	for end := time.Now().Add(within); ; {
		synctest.Wait()
		if a, b, c := w.left(); a+b+c == 0 {
			return
		}
		if time.Now().After(end) {
			a, b, c := w.left()
			t.Fatalf("after %s still %d commands, %d in the outbox, %d parked", within, a, b, c)
		}
		_ = pause(context.Background(), time.Second)
	}
}

// verify checks the promises against what WeChat took.
func (w *world) verify(t testing.TB, keys []string, crashed bool) {
	t.Helper()
	count := map[string]int{}
	for _, m := range w.chat.ledger {
		count[m.client]++
	}
	for _, key := range keys {
		finals := map[uint64]int{}
		var last wire.Delivery
		for _, d := range w.chain(t, key) {
			if d.Final {
				finals[d.StreamSeq]++
			}
			last = d
		}
		if !last.Final {
			t.Errorf("%s ends with %q: %v", key, last.State, w.states(t, key))
		}
		for seq, n := range finals {
			if n != 1 {
				t.Errorf("%s of command %d has %d finals: %v", key, seq, n, w.states(t, key))
			}
		}
		if last.Deliveries > 0 {
			continue
		}
		n := count[clientID("default", key, last.StreamSeq)]
		if n > 1 && !last.PossibleDuplicate && last.State != wire.Unknown {
			t.Errorf("%s: WeChat has it %d times and the record does not say so: %+v", key, n, last)
		}
		if last.State == wire.Sent && n == 0 {
			t.Errorf("%s is sent, but WeChat does not have it", key)
		}
		if n > 0 && last.State != wire.Sent && last.State != wire.Unknown {
			t.Errorf("%s is %s, but WeChat has it", key, last.State)
		}
		if !crashed && last.PossibleDuplicate {
			t.Errorf("%s says possible_duplicate without a reason", key)
		}
	}
}

// inOrder checks that first deliveries to a peer came in this order.
func (w *world) inOrder(t testing.TB, peer string, want ...string) {
	t.Helper()
	seen := map[string]bool{}
	var got []string
	for _, s := range w.chat.texts(peer) {
		if !seen[s] {
			seen[s] = true
			got = append(got, s)
		}
	}
	if strings.Join(got, ",") != strings.Join(want, ",") {
		t.Errorf("order of %s: %v, want %v", peer, got, want)
	}
}

func (w *world) verifyStory(t testing.TB, crashed bool) {
	t.Helper()
	w.verify(t, storyKeys, crashed)
	w.inOrder(t, "@alice", "a1", "l", "", "a2", "bad")
	w.inOrder(t, "@bob", "b1", "l", "", "b2")
	for key, want := range map[string]wire.State{"a1": wire.Sent, "l": wire.Sent, "n": wire.Rejected, "bad": wire.Sent, "a1~x7": wire.Rejected} {
		if got := w.last(t, key).State; got != want {
			t.Errorf("%s is %s, want %s", key, got, want)
		}
	}
	if n := len(w.chat.ledger); !crashed && n != 9 {
		t.Errorf("WeChat has %d messages, want 9", n)
	}
	if w.chat.twoAt != "" {
		t.Errorf("two sends to %s at once", w.chat.twoAt)
	}
	if len(w.kept) != 0 {
		t.Errorf("%d media are left", len(w.kept))
	}
}

// faults says what goes wrong with each call.
func faults(f func(n int, op string) fault) option {
	return func(p *process, _ *Config) { p.fault = f }
}

// at fails one call.
func at(n int, f fault) option {
	return faults(func(i int, _ string) fault {
		if i == n {
			return f
		}
		return ok
	})
}

// steps is how many calls the story takes without a fault.
func steps(t *testing.T) (n int) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		story(w)
		p := w.start(t, 1)
		w.drain(t, 10*time.Minute)
		p.stop()
		w.verifyStory(t, false)
		n = p.n
	})
	return n
}

// Each single crash, before and after each call to NATS or WeChat; then a new
// process.
func TestCrashAnywhere(t *testing.T) {
	for n := range steps(t) {
		for _, f := range []fault{crashBefore, crashAfter} {
			t.Run(fmt.Sprintf("%d.%d", n+1, f), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld()
					story(w)
					p := w.start(t, 1, at(n+1, f))
					select {
					case <-p.over:
					case <-time.After(time.Minute): // this order of steps had fewer
						p.crash()
					}
					w.start(t, 2)
					w.drain(t, 10*time.Minute)
					w.verifyStory(t, true)
					if k := w.ambiguous(t); k > 8 {
						t.Errorf("%d deliveries are ambiguous after one crash", k)
					}
				})
			})
		}
	}
}

// ambiguous counts records that admit a possible duplicate.
func (w *world) ambiguous(t testing.TB) (n int) {
	for _, key := range storyKeys {
		if d := w.last(t, key); d.PossibleDuplicate || d.State == wire.Unknown {
			n++
		}
	}
	return n
}

// Each single failure of NATS, before and after it did what it was asked.
func TestFailAnywhere(t *testing.T) {
	for n := range steps(t) {
		for _, f := range []fault{failBefore, failAfter} {
			t.Run(fmt.Sprintf("%d.%d", n+1, f), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld()
					story(w)
					sent := false
					p := w.start(t, 1, faults(func(i int, op string) fault {
						if i == n+1 {
							sent = op == "wechat.send"
							return f
						}
						return ok
					}))
					w.drain(t, 10*time.Minute)
					p.stop()
					w.verifyStory(t, sent)
				})
			})
		}
	}
}

// Many crashes and failures, one after the other.
func TestCrashesAtRandom(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		lives := rapid.SliceOfN(rapid.IntRange(1, 60), 1, 6).Draw(r, "lives")
		kinds := rapid.SliceOfN(rapid.SampledFrom([]fault{crashBefore, crashAfter}), len(lives), len(lives)).Draw(r, "kinds")
		fails := rapid.IntRange(5, 40).Draw(r, "fails every")
		failed := false
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			story(w)
			for i, n := range lives {
				p := w.start(t, uint64(i+1), faults(func(k int, op string) fault {
					switch {
					case k == n:
						return kinds[i]
					case k%fails == 0 && op != "wechat.send":
						return failBefore + fault(k/fails%2)
					}
					return ok
				}))
				select {
				case <-p.over:
				case <-time.After(time.Minute):
					p.crash()
				}
			}
			w.start(t, uint64(len(lives)+1))
			w.drain(t, 10*time.Minute)
			w.verifyStory(t, true)
			failed = t.Failed()
		})
		if failed {
			r.Fatal("see above")
		}
	})
}

// Names change between crashes: Alice is gone, is two, or has another id. What
// may have been sent never ends as rejected.
func TestNamesChangeOverCrashes(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		lives := rapid.SliceOfN(rapid.IntRange(10, 60), 1, 5).Draw(r, "lives")
		kinds := rapid.SliceOfN(rapid.SampledFrom([]fault{crashBefore, crashAfter}), len(lives), len(lives)).Draw(r, "kinds")
		names := rapid.SliceOfN(rapid.IntRange(0, 3), len(lives)+1, len(lives)+1).Draw(r, "names")
		failed := false
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			keys := numbered("n", 6)
			for i, n := range keys {
				w.publish(text(n, []string{"Alice", "Bob", "Team"}[i%3], n))
			}
			for i, how := range names {
				p := w.start(t, uint64(i+1), func(p *process, c *Config) {
					p.peers = renamedPeople(how)
					if i < len(lives) {
						p.fault = func(k int, _ string) fault {
							if k == lives[i] {
								return kinds[i]
							}
							return ok
						}
					}
				})
				if i == len(lives) {
					w.drain(t, 3*time.Hour)
					continue
				}
				select {
				case <-p.over:
				case <-time.After(time.Minute):
					p.crash()
				}
			}
			w.verify(t, keys, true)
			failed = t.Failed()
		})
		if failed {
			r.Fatal("see above")
		}
	})
}

// renamedPeople are a login's: as they were, with Alice gone, with two of her,
// or with the room hidden.
func renamedPeople(how int) *wechat.Directory {
	d := people()
	switch how {
	case 1:
		d.Remove("@alice")
	case 2:
		d.Put(friend("@alice2", "Alice"))
	case 3:
		d.Remove("@@team")
	}
	return d
}

// Order per chat over crashes with a chat that overflows: some are in memory,
// some parked, some in the buffer; a login renames the peer now and then.
func TestOrderOverCrashes(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		lives := rapid.SliceOfN(rapid.IntRange(20, 250), 1, 3).Draw(r, "lives")
		rename := rapid.SliceOfN(rapid.Bool(), len(lives)+1, len(lives)+1).Draw(r, "rename")
		late := rapid.IntRange(0, 50).Draw(r, "published later")
		failed := false
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			w.chat.takes = func(string) time.Duration { return 50 * time.Millisecond }
			names := numbered("o", 60)
			send := func(list []string) {
				for i, n := range list {
					to := []string{`"Alice"`, `{"nickname":"Alice"}`}[i%7/6]
					w.publish(fmt.Sprintf(`{"id":%q,"to":%s,"text":%q}`, n, to, n))
				}
			}
			send(names[late:])
			names = append(names[late:], names[:late]...)
			for i := range rename {
				p := w.start(t, uint64(i+1), func(p *process, _ *Config) {
					if i < len(lives) {
						p.fault = func(k int, _ string) fault {
							if k == lives[i] {
								return crashAfter
							}
							return ok
						}
					}
					if rename[i] {
						p.peers.Begin()
						p.peers.Put(friend(fmt.Sprint("@alice", i), "Alice"))
						p.peers.Loaded()
					}
				})
				if i == 0 {
					send(names[60-late:])
				}
				if i == len(lives) {
					w.drain(t, time.Hour)
					continue
				}
				select {
				case <-p.over:
				case <-time.After(time.Minute):
					p.crash()
				}
			}
			w.verify(t, names, true)
			var got []string
			seen := map[string]bool{}
			for _, m := range w.chat.ledger {
				if !seen[m.text] {
					seen[m.text] = true
					got = append(got, m.text)
				}
			}
			if !slices.Equal(got, names) {
				t.Errorf("order: %v", got)
			}
			failed = t.Failed()
		})
		if failed {
			r.Fatal("see above")
		}
	})
}
