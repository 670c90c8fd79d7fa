package outbox

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"wechat-bridge/bridge/wire"
	"wechat-bridge/classifier"
)

func verdictOf(code string) classifier.Verdict {
	v, ok := classifier.Known(code)
	if !ok {
		panic(code)
	}
	v.Certain = true
	return v
}

var blocked = verdictOf("blocked_by_recipient")

// said is a notice in a chat, told now.
func said(peer, notice string) Refusal {
	return Refusal{PeerID: peer, NoticeID: notice, At: time.Now().Truncate(time.Second), Verdict: blocked}
}

func (p *process) refused(t testing.TB, r Refusal) {
	t.Helper()
	if err := p.box.Refused(t.Context(), r); err != nil {
		t.Fatal(err)
	}
}

func (w *world) corrections(t testing.TB) map[string]string {
	out := map[string]string{}
	w.mu.Lock()
	keys := make([]string, 0, len(w.ledger))
	for k := range w.ledger {
		keys = append(keys, k)
	}
	w.mu.Unlock()
	for _, k := range keys {
		for i, d := range w.chain(t, k) {
			if d.State != wire.Corrected {
				continue
			}
			if out[k] != "" || i != len(w.chain(t, k))-1 || !w.chain(t, k)[i-1].State.Final() {
				t.Errorf("%s: %v", k, w.states(t, k))
			}
			out[k] = fmt.Sprintf("%s %s %s", d.Was, d.NoticeID, d.Attribution)
		}
	}
	return out
}

func wantCorrections(t testing.TB, w *world, want map[string]string) {
	t.Helper()
	if d := cmp.Diff(want, w.corrections(t)); d != "" {
		t.Error(d)
	}
}

// The correction repeats the final record, with what was found later.
func TestARefusalCorrectsTheDelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := w.start(t, 1, func(_ *process, c *Config) { c.HelpURL = func(code string) string { return "https://help/" + code } })
		w.publish(text("a", "Alice", "hello"))
		was := w.expect(t, "a", wire.Sent, time.Minute)
		time.Sleep(time.Second)
		p.refused(t, said("@alice", "n1"))
		got := w.last(t, "a")
		want := was
		want.State, want.Was, want.NoticeID, want.Certain = wire.Corrected, wire.Sent, "n1", true
		want.Class, want.Code, want.Message, want.HelpURL = "bad_request", "blocked_by_recipient", blocked.Message.EN, "https://help/blocked_by_recipient"
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
		p.refused(t, said("@alice", "n1")) // told again
		p.refused(t, said("@alice", "n2")) // of something else
		wantCorrections(t, w, map[string]string{"a": "sent n1 "})
	})
}

// WeChat is often faster with the notice than with the answer to the send.
func TestARefusalWaitsForTheFinalRecord(t *testing.T) {
	for state, answer := range map[wire.State]error{wire.Sent: nil, wire.Unknown: lost()} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			w.chat.takes = func(string) time.Duration { return 10 * time.Second }
			w.chat.answer = answers(func() (bool, error) { return true, answer })
			p := w.start(t, 1)
			w.publish(`{"id":"a","to":"Alice","text":"x","on_unknown":"report"}`)
			w.expect(t, "a", wire.Sending, time.Minute)
			p.refused(t, said("@alice", "n1"))
			if got := w.states(t, "a"); got[len(got)-1] != wire.Sending {
				t.Errorf("too early: %v", got)
			}
			w.expect(t, "a", wire.Corrected, time.Minute)
			wantCorrections(t, w, map[string]string{"a": string(state) + " n1 "})
			w.drain(t, time.Minute)
		})
	}
}

// An attempt that surely did not go out was not refused in the chat: what comes
// of the next one counts.
func TestARefusalOfNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.chat.takes = func(string) time.Duration { return 10 * time.Second }
		w.chat.answer = answers(noRoute)
		p := w.start(t, 1)
		w.publish(text("a", "Alice", "x"))
		w.expect(t, "a", wire.Sending, time.Minute)
		p.refused(t, said("@alice", "n1"))
		w.expect(t, "a", wire.Sent, time.Minute)
		w.drain(t, time.Minute)
		wantCorrections(t, w, map[string]string{})
	})
}

func TestRefusalsAmongSeveral(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := w.start(t, 1)
		for _, id := range []string{"a", "b", "c"} {
			w.publish(text(id, "Alice", id))
			w.expect(t, id, wire.Sent, time.Minute)
			time.Sleep(5 * time.Second)
		}
		w.publish(text("other", "Bob", "x"))
		w.expect(t, "other", wire.Sent, time.Minute)
		b := said("@alice", "nb")
		b.At = b.At.Add(-6 * time.Second) // when b had gone out and c had not
		p.refused(t, b)
		p.refused(t, said("@alice", "nc"))
		p.refused(t, said("@bob", "no"))
		wantCorrections(t, w, map[string]string{"b": "sent nb inferred", "c": "sent nc inferred", "other": "sent no "})
		if d := w.last(t, "b"); d.Certain {
			t.Error("inferred, and certain")
		}
		for n := range 3 { // more notices than deliveries
			p.refused(t, said("@alice", fmt.Sprint("more", n)))
		}
		if got := w.corrections(t); got["a"] != "sent more0 inferred" || len(got) != 4 {
			t.Error(got)
		}
	})
}

func TestRefusalsThatFitNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := w.start(t, 1)
		w.publish(text("a", "Alice", "hello"))
		w.publish(`{"id":"r","revoke":"a"}`)
		w.expect(t, "r", wire.Sent, time.Minute)
		p.refused(t, said("@bob", "n1"))
		p.refused(t, said("@nobody", "n2"))
		wantCorrections(t, w, map[string]string{})
		time.Sleep(3 * time.Minute)
		p.refused(t, said("@alice", "n3"))
		wantCorrections(t, w, map[string]string{})
		early := said("@alice", "n4") // told late, after an outage
		early.At = early.At.Add(-3 * time.Minute)
		p.refused(t, early)
		wantCorrections(t, w, map[string]string{"a": "sent n4 "}) // not r, which takes a back
	})
}

// A list's part is corrected, and the list stays as its finals were.
func TestARefusedPartOfAList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.chat.takes = func(peer string) time.Duration {
			return map[string]time.Duration{"@bob": time.Minute}[peer]
		}
		p := w.start(t, 1)
		w.publish(`{"id":"l","to":["Alice","Bob"],"text":"x"}`)
		w.expect(t, "l~1", wire.Sent, time.Minute)
		p.refused(t, said("@alice", "n1"))
		list := w.expect(t, "l", wire.Sent, 2*time.Minute)
		w.drain(t, time.Minute)
		wantCorrections(t, w, map[string]string{"l~1": "sent n1 "})
		if list.Deliveries != 2 || !slices.Equal(w.states(t, "l"), []wire.State{wire.Accepted, wire.Sent}) {
			t.Errorf("%+v", list)
		}
	})
}

func TestTooOftenSlowsThePace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := w.start(t, 1, func(_ *process, c *Config) { c.Pace = Pace{N: 60} })
		w.publish(text("a", "Alice", "hello"))
		w.expect(t, "a", wire.Sent, time.Minute)
		p.refused(t, said("@alice", "n1"))
		if s := p.box.courier.pace.status(time.Now()); !s.SlowedUntil.IsZero() {
			t.Errorf("blocked slows down: %+v", s)
		}
		r := said("@bob", "n2") // about what a person wrote on the phone
		r.Verdict = verdictOf("too_often")
		r.At = r.At.Add(-3 * time.Minute)
		p.refused(t, r)
		if s := p.box.courier.pace.status(time.Now()); !s.SlowedUntil.IsZero() {
			t.Errorf("an old notice slows down: %+v", s)
		}
		r.At, r.NoticeID = time.Now(), "n3"
		p.refused(t, r)
		if s := p.box.courier.pace.status(time.Now()); s.SlowedUntil.IsZero() || s.PerMinute >= s.Normal {
			t.Errorf("too often does not slow down: %+v", s)
		}
	})
}

// A notice that WeChat tells again to the next process finds its delivery, and
// one that was acted upon finds no second one.
func TestRefusalsAfterACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := w.start(t, 1)
		for _, id := range []string{"a", "b"} {
			w.publish(text(id, "Alice", id))
			w.expect(t, id, wire.Sent, time.Minute)
		}
		w.publish(text("c", "Bob", "c"))
		w.expect(t, "c", wire.Sent, time.Minute)
		w.publish(`{"id":"r","revoke":"c"}`)
		w.expect(t, "r", wire.Sent, time.Minute)
		p.refused(t, said("@alice", "n1"))
		p.crash()
		p = w.start(t, 2)
		p.refused(t, said("@alice", "n1"))
		wantCorrections(t, w, map[string]string{"b": "sent n1 inferred"})
		p.refused(t, said("@alice", "n2"))
		p.refused(t, said("@bob", "n3"))
		wantCorrections(t, w, map[string]string{"a": "sent n2 inferred", "b": "sent n1 inferred", "c": "sent n3 "})
		if d := w.last(t, "c"); d.Epoch != 2 {
			t.Errorf("written by epoch %d", d.Epoch)
		}
		p.stop()
		time.Sleep(2 * handedFor)
		p = w.start(t, 3)
		p.refused(t, said("@alice", "n4"))
		if n := len(w.corrections(t)); n != 3 {
			t.Errorf("%d corrections", n)
		}
	})
}

// What was being sent at the crash stays open until its final record.
func TestARefusalOfWhatACrashLeftOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := w.start(t, 1, func(p *process, _ *Config) {
			p.fault = func(_ int, op string) fault {
				if op == "wechat.send" {
					return crashAfter
				}
				return ok
			}
		})
		w.publish(`{"id":"a","to":"Alice","text":"x","on_unknown":"report"}`)
		<-p.over
		p = w.start(t, 2, func(p *process, _ *Config) { p.gate.open = false })
		p.refused(t, said("@alice", "n1"))
		wantCorrections(t, w, map[string]string{})
		p.gate.set(true)
		w.expect(t, "a", wire.Corrected, time.Minute)
		wantCorrections(t, w, map[string]string{"a": "unknown n1 "})
	})
}

// NATS fails, answers late or the process dies at any step of a correction:
// there is exactly one in the end.
func TestOneCorrectionWhateverFails(t *testing.T) {
	for _, what := range []fault{failBefore, failAfter, crashBefore, crashAfter} {
		for step := 1; step <= 3; step++ {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				p := w.start(t, 1)
				w.publish(text("a", "Alice", "hello"))
				w.expect(t, "a", wire.Sent, time.Minute)
				synctest.Wait()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				dies := what == crashBefore || what == crashAfter
				p.mu.Lock()
				first := p.n
				p.fault = func(n int, _ string) fault {
					if n == first+step {
						if dies {
							cancel() // the link ends with its process
						}
						return what
					}
					return ok
				}
				p.mu.Unlock()
				if err := p.box.Refused(ctx, said("@alice", "n1")); err != nil && !dies {
					t.Fatal(err)
				}
				if dies {
					p.crash()
					p = w.start(t, 2)
				}
				p.refused(t, said("@alice", "n1"))
				wantCorrections(t, w, map[string]string{"a": "sent n1 "})
			})
		}
	}
}

// follow writes the next record of a chain as somebody else would.
func (w *world) follow(t testing.TB, key string, change func(*wire.Delivery)) {
	t.Helper()
	d := w.last(t, key)
	change(&d)
	body, err := wire.SealDelivery(d, time.Now(), "")
	if err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.ledger[key]
	w.record(wire.Stored{Token: key, Body: body, After: c[len(c)-1].Seq})
}

// Somebody else may end or correct a delivery: the finding still comes after
// the final record, and never is the second one.
func TestRefusalsAndOtherWriters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := w.start(t, 1, func(p *process, _ *Config) {
			p.fault = func(_ int, op string) fault {
				if op == "wechat.send" {
					return crashAfter
				}
				return ok
			}
		})
		w.publish(text("a", "Alice", "x"))
		<-p.over
		p = w.start(t, 2, func(p *process, _ *Config) { p.gate.open = false })
		p.refused(t, said("@alice", "n1"))
		w.follow(t, "a", func(d *wire.Delivery) { d.State = wire.Sent })
		p.gate.set(true)
		w.drain(t, time.Minute)
		wantCorrections(t, w, map[string]string{"a": "sent n1 "})
		w.publish(text("b", "Bob", "x"))
		w.expect(t, "b", wire.Sent, time.Minute)
		w.follow(t, "b", func(d *wire.Delivery) { d.State, d.Was = wire.Corrected, wire.Sent })
		p.refused(t, said("@bob", "n2"))
		wantCorrections(t, w, map[string]string{"a": "sent n1 ", "b": "sent  "})
	})
}
