package outbox

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"wechat-bridge/bridge/wire"
)

// siren are the fallback channels; the world's lock guards it.
type siren struct {
	told   []Notice
	tries  int
	answer func(Notice) error // what becomes of a try; nil: it is taken
	takes  time.Duration
}

// channels are those that one process reaches.
type channels struct{ p *proc }

func (c channels) Send(ctx context.Context, n Notice) error {
	s := &c.p.w.siren
	if takes := c.p.w.heard().takes; takes > 0 && pause(ctx, takes) != nil {
		return errors.New("cut off")
	}
	var answer error
	if err := c.p.call("fallback.send", func() error {
		s.tries++
		if s.answer != nil {
			answer = s.answer(n)
		}
		if answer == nil {
			s.told = append(s.told, n)
		}
		return nil
	}); err != nil {
		return err
	}
	return answer
}

// heard is what the channels have so far.
func (w *world) heard() siren {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.siren
}

// channel says what becomes of each try from now on.
func (w *world) channel(answer func(Notice) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.siren.answer = answer
}

// also and instead are the policies; held begins with a closed gate.
func also(p *process, c *Config) { c.Fallback = channels{p.proc} }
func instead(p *process, c *Config) {
	also(p, c)
	c.FallbackInstead = true
}
func shut(p *process, _ *Config) { p.gate.open = false }

// told counts what the channels took of a delivery.
func (w *world) told(id string) (n int) {
	for _, m := range w.heard().told {
		if m.ID == id {
			n++
		}
	}
	return n
}

// codes are those of a chain's records, where they have one.
func (w *world) codes(t testing.TB, key string) string {
	var out []string
	for _, d := range w.chain(t, key) {
		s := string(d.State)
		if d.Code != "" {
			s += ":" + d.Code
		}
		if d.Degraded {
			s += "!"
		}
		out = append(out, s)
	}
	return strings.Join(out, " ")
}

func TestAlsoOverTheFallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := w.start(t, 1, also, shut)
		w.publish(high("h", "Alice", "it burns"))
		w.publish(text("n", "Alice", "n"))
		w.publish(`{"id":"r","to":"Alice","revoke":"h","priority":"high"}`)
		pass(119 * time.Second)
		if len(w.heard().told) != 0 {
			t.Fatalf("told too early: %+v", w.heard().told)
		}
		pass(2 * time.Second)
		want := Notice{ID: "h", To: `"Alice"`, Kind: wire.KindText, Text: "it burns", AcceptedAt: *w.last(t, "h").AcceptedAt}
		if diff := cmp.Diff([]Notice{want}, w.heard().told); diff != "" {
			t.Error(diff)
		}
		pass(5 * time.Hour)
		p.gate.set(true)
		w.drain(t, time.Hour)
		if w.heard().tries != 1 {
			t.Errorf("%d tries", w.heard().tries)
		}
		if got := w.codes(t, "h"); got != "accepted waiting:fallback_sending! waiting:sent_by_fallback! sending! sent!" {
			t.Errorf("records: %s", got)
		}
		if got := w.codes(t, "n"); got != "accepted sending sent" {
			t.Errorf("the normal one: %s", got)
		}
		w.verify(t, []string{"h", "n"}, false)
	})
}

func TestInsteadOverTheFallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := w.start(t, 1, instead, shut)
		w.uploads["cat.jpg"] = []byte("meow")
		w.publish(`{"id":"l","to":["Alice","Nobody"],"file":{"object":"cat.jpg"},"priority":"high"}`)
		w.publish(text("n", "Alice", "n"))
		pass(3 * time.Minute)
		for _, key := range []string{"l~1", "l~2"} {
			if d := w.last(t, key); d.State != wire.Cancelled || d.Code != codeByFallback || !d.Degraded || !d.Certain || d.FinishedAt == nil {
				t.Errorf("%s: %+v", key, d)
			}
			if w.told(key) != 1 {
				t.Errorf("%s was told %d times", key, w.told(key))
			}
		}
		if n := w.heard().told[0]; n.Kind != wire.KindFile || n.MediaName != "cat.jpg" || n.Text != "" {
			t.Errorf("%+v", n)
		}
		if d := w.last(t, "l"); d.State != wire.Cancelled || d.Deliveries != 2 {
			t.Errorf("the list: %+v", d)
		}
		if n, _ := p.box.Backlog(); n != 1 || len(w.kept) != 0 {
			t.Errorf("backlog %d, %d media", n, len(w.kept))
		}
		p.gate.set(true)
		w.drain(t, time.Minute)
		if got := w.chat.texts("@alice"); len(got) != 1 || got[0] != "n" {
			t.Errorf("WeChat has %v", got)
		}
		if n, _ := p.box.Backlog(); n != 0 {
			t.Errorf("backlog %d", n)
		}
	})
}

// Without a fallback there is none, and nothing is marked.
func TestNoFallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := w.start(t, 1, shut)
		w.publish(high("h", "Alice", "h"))
		pass(time.Hour)
		p.gate.set(true)
		w.drain(t, time.Minute)
		if got := w.codes(t, "h"); got != "accepted sending sent" {
			t.Errorf("records: %s", got)
		}
	})
}

// Channels that take nothing are asked more and more rarely, and again until
// one takes it; that is so after a crash, too.
func TestFallbackThatIsAway(t *testing.T) {
	for name, policy := range map[string]option{"also": also, "instead": instead} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.channel(func(Notice) error { return fmt.Errorf("DNS: %w", ErrNotOut) })
				p := w.start(t, 1, policy, shut)
				names := numbered("h", 500)
				for _, n := range names {
					w.publish(high(n, "Alice", n))
				}
				pass(3 * time.Hour)
				if n := w.heard().tries; n < 15 || n > 500 {
					t.Errorf("%d tries in three hours", n)
				}
				w.mu.Lock()
				n := w.records
				w.mu.Unlock()
				if n > 500+3*500 {
					t.Errorf("%d records", n)
				}
				failed := 0
				for _, n := range names {
					d := w.last(t, n)
					if d.Code == codeFallbackFailed && d.State == wire.Waiting && d.RetryAt != nil {
						failed++
					}
					if d.Degraded {
						t.Errorf("%s: %s", n, w.codes(t, n))
					}
				}
				if failed == 0 {
					t.Error("no record says that it failed")
				}
				p.crash()
				p = w.start(t, 2, policy, shut)
				pass(20 * time.Minute)
				w.channel(nil)
				pass(time.Hour)
				for _, n := range names {
					if w.told(n) != 1 || !w.last(t, n).Degraded {
						t.Fatalf("%s was told %d times: %s", n, w.told(n), w.codes(t, n))
					}
				}
				p.gate.set(true)
				w.drain(t, time.Hour)
				if n, want := len(w.chat.ledger), map[string]int{"also": 500}[name]; n != want {
					t.Errorf("WeChat has %d, want %d", n, want)
				}
			})
		})
	}
}

// A channel that may have it is not asked again; whatever the policy, WeChat
// gets it.
func TestFallbackInDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.channel(func(Notice) error { return errors.New("no answer") })
		p := w.start(t, 1, instead, shut)
		w.publish(high("h", "Alice", "h"))
		pass(time.Hour)
		p.gate.set(true)
		w.drain(t, time.Minute)
		if got := w.codes(t, "h"); got != "accepted waiting:fallback_sending! waiting:fallback_unknown! sending! sent!" || w.heard().tries != 1 {
			t.Errorf("%d tries, records: %s", w.heard().tries, got)
		}
	})
}

// A channel that hangs holds up neither sends nor expiry nor intake, and the
// process ends all the same.
func TestFallbackThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.siren.takes = 24 * time.Hour
		p := w.start(t, 1, also, shut)
		for _, n := range numbered("h", 50) {
			w.publish(fmt.Sprintf(`{"id":%q,"to":"Bob","text":"x","priority":"high","ttl":"150s"}`, n))
		}
		pass(125 * time.Second)
		w.publish(`{"id":"bad","to":"Alice"}`)
		w.publish(text("n", "Alice", "n"))
		w.expect(t, "bad", wire.Rejected, time.Second)
		p.gate.set(true)
		w.expect(t, "n", wire.Sent, time.Second)
		p.gate.set(false)
		for _, n := range numbered("i", 50) {
			w.publish(fmt.Sprintf(`{"id":%q,"to":"Bob","text":"x","priority":"high","ttl":"130s"}`, n))
		}
		pass(131 * time.Second)
		if n := w.count(t, numbered("i", 50), wire.Expired); n != 50 {
			t.Errorf("%d of 50 have expired", n)
		}
		began := time.Now()
		p.stop()
		if d := time.Since(began); d > 41*time.Second {
			t.Errorf("it took %s to end", d)
		}
	})
}

// What waited before a restart is found, in the buffer and in the parking; what
// was told already is not told again.
func TestFallbackAfterRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.chat.takes = func(string) time.Duration { return 10 * time.Hour }
		p := w.start(t, 1, func(p *process, c *Config) { also(p, c); c.FallbackAfter = time.Hour })
		names := numbered("h", 60)
		for _, n := range names[:50] {
			w.publish(high(n, "Alice", n))
		}
		pass(time.Second)
		p.gate.set(false)
		for _, n := range names[50:] {
			w.publish(high(n, "Alice", n))
		}
		pass(10 * time.Minute)
		p.crash()
		if _, b, parked := w.left(); b < 10 || parked < 10 {
			t.Fatalf("%d in the buffer, %d parked", b, parked)
		}
		for epoch := uint64(2); epoch < 4; epoch++ {
			p = w.start(t, epoch, also, shut)
			pass(10 * time.Minute)
			p.crash()
		}
		for _, n := range names { // the first one may have been sent before the crash
			if w.told(n) != 1 {
				t.Errorf("%s was told %d times: %s", n, w.told(n), w.codes(t, n))
			}
		}
	})
}

// WeChat may have it from a former process: that stays known.
func TestFallbackOfWhatMayBeSent(t *testing.T) {
	for name, policy := range map[string]option{"also": also, "instead": instead} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			first := w.start(t, 1, faults(func(_ int, op string) fault {
				if op == "wechat.send" {
					return crashAfter
				}
				return ok
			}))
			w.publish(high("h", "Alice", "h"))
			<-first.over
			p := w.start(t, 2, policy, shut)
			pass(3 * time.Minute)
			if w.told("h") != 1 {
				t.Errorf("%s: told %d times", name, w.told("h"))
			}
			p.gate.set(true)
			w.drain(t, time.Minute)
			want := map[string]string{
				"also":    "accepted sending sending:fallback_sending! sending:sent_by_fallback! sending! sent!",
				"instead": "accepted sending sending:fallback_sending! unknown:sent_by_fallback!",
			}[name]
			if got := w.codes(t, "h"); got != want || !w.last(t, "h").PossibleDuplicate {
				t.Errorf("%s: %s", name, got)
			}
			w.verify(t, []string{"h"}, true)
		})
	}
}

// While WeChat is asked, its answer comes first; and what is parked behind it
// is told of, whatever it waits for.
func TestFallbackWhileSending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.chat.takes = func(string) time.Duration { return 4 * time.Minute }
		w.start(t, 1, also)
		names := numbered("h", 30)
		for _, n := range names {
			w.publish(high(n, "Alice", n))
		}
		w.drain(t, 4*time.Hour)
		if w.told(names[0]) != 0 {
			t.Errorf("the first: %s", w.codes(t, names[0]))
		}
		for _, n := range names[1:] {
			if w.told(n) != 1 {
				t.Errorf("%s was told %d times: %s", n, w.told(n), w.codes(t, n))
			}
		}
		w.inOrder(t, "@alice", names...)
		w.verify(t, names, false)
	})
}

// With instead only what was being sent gets to WeChat; what is in the courier's
// hands or parked goes, and is counted once.
func TestInsteadOfASlowWeChat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.chat.takes = func(string) time.Duration { return 4 * time.Minute }
		p := w.start(t, 1, instead)
		names := numbered("h", 30)
		for _, n := range names {
			w.publish(high(n, "Alice", n))
		}
		w.drain(t, time.Hour)
		if got := w.chat.texts("@alice"); len(got) != 1 || w.count(t, names, wire.Cancelled) != 29 {
			t.Errorf("WeChat has %v", got)
		}
		if n := p.box.counts.waiting.Load(); n != 0 {
			t.Errorf("%d are counted as waiting", n)
		}
		w.verify(t, names, false)
	})
}

// WeChat is asked while a channel still works on it: its answer comes first, and
// only if it has it not, the channel's is final.
func TestWeChatIsBackDuringATry(t *testing.T) {
	for want, answer := range map[wire.State]func() (bool, error){
		wire.Sent: func() (bool, error) { return true, nil }, wire.Cancelled: noRoute, wire.Unknown: takenButLost,
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			w.siren.takes = 10 * time.Second
			w.chat.takes = func(string) time.Duration { return 10 * time.Second }
			w.chat.answer = answers(answer)
			p := w.start(t, 1, instead, shut, trips)
			w.publish(high("h", "Alice", "h"))
			pass(125 * time.Second)
			p.gate.set(true)
			w.drain(t, time.Minute)
			if d := w.last(t, "h"); d.State != want || !d.Degraded || w.told("h") != 1 {
				t.Errorf("%s, want %s: %s", d.State, want, w.codes(t, "h"))
			}
			w.verify(t, []string{"h"}, true)
		})
	}
}

// It expires at its time, also after it went out over a channel.
func TestExpiryWhileDegraded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := w.start(t, 1, also, shut)
		w.publish(`{"id":"h","to":"Alice","text":"x","priority":"high","ttl":"5m"}`)
		w.publish(`{"id":"short","to":"Alice","text":"x","priority":"high","ttl":"1m"}`)
		pass(5*time.Minute + time.Second)
		if got := w.codes(t, "h"); got != "accepted waiting:fallback_sending! waiting:sent_by_fallback! expired:expired!" {
			t.Errorf("records: %s", got)
		}
		if got := w.codes(t, "short"); got != "accepted expired:expired" {
			t.Errorf("records of the short one: %s", got)
		}
		p.gate.set(true)
		w.drain(t, time.Minute)
		if n, _ := p.box.Backlog(); n != 0 {
			t.Errorf("backlog %d", n)
		}
	})
}

// A recipient that is not visible keeps its hour and its reason.
func TestFallbackOfAHiddenRecipient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.start(t, 1, also, func(_ *process, c *Config) { c.FallbackAfter = time.Millisecond })
		w.publish(high("h", "Nowhere", "h"))
		pass(59 * time.Minute)
		if d := w.last(t, "h"); d.State != wire.Waiting || !d.Degraded || w.told("h") != 1 || !strings.Contains(w.codes(t, "h"), codeNotVisible) {
			t.Errorf("%s", w.codes(t, "h"))
		}
		d := w.expect(t, "h", wire.Rejected, 2*time.Minute)
		if !d.Degraded {
			t.Errorf("%+v", d)
		}
	})
}
