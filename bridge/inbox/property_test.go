package inbox

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/bridge/wire"
)

// Promise 3: whatever fails, and however often the process starts anew, after
// the retries each event is stored exactly once, in the order of its chat,
// after its medium, and before the cursor that passes it.
func TestNothingReceivedIsLost(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		n := newNATS()
		failures := rapid.SliceOfN(rapid.Bool(), 0, 40).Draw(r, "failures")
		n.fault = func(string, string) bool {
			if len(failures) == 0 {
				return false
			}
			hit := failures[0]
			failures = failures[1:]
			return hit
		}
		batches := drawBatches(r, n)
		i := newInbox(n)
		for _, b := range batches {
			for i.Take(t.Context(), n, b) != nil {
				if rapid.Bool().Draw(r, "crash") {
					i = newInbox(n)
				}
			}
			if rapid.IntRange(0, 3).Draw(r, "restart") == 0 { // the cursor is saved, and yet the batch comes again
				i = newInbox(n)
				for i.Take(t.Context(), n, b) != nil {
				}
			}
		}
		checkStored(t, r, n, batches)
	})
}

func drawBatches(r *rapid.T, n *nats) (batches []wechat.Batch) {
	id := 0
	for k := range rapid.IntRange(1, 3).Draw(r, "batches") {
		b := batch(fmt.Sprint("c", k))
		for range rapid.IntRange(0, 6).Draw(r, "events") {
			id++
			chat := rapid.SampledFrom([]string{"alice", "bob", "team"}).Draw(r, "chat")
			e := text(fmt.Sprint("m", id), chat, "x")
			if rapid.Bool().Draw(r, "medium") {
				e = withMedium(e.ID, chat, n.medium(e.ID, []byte(e.ID)))
			}
			b.Events = append(b.Events, e)
			if rapid.IntRange(0, 4).Draw(r, "told twice") == 0 {
				b.Events = append(b.Events, e)
			}
		}
		batches = append(batches, b)
	}
	return batches
}

func checkStored(t *testing.T, r *rapid.T, n *nats, batches []wechat.Batch) {
	want := map[string][]string{}
	for k, b := range batches {
		commit := slices.Index(n.trace, fmt.Sprint("commit c", k))
		for _, e := range b.Events {
			stored := slices.Index(n.trace, "event "+e.ID)
			if stored < 0 || stored > commit {
				r.Fatalf("%s is step %d, its cursor step %d", e.ID, stored, commit)
			}
			if chat := e.Message.Chat.ID; !slices.Contains(want[chat], e.ID) {
				want[chat] = append(want[chat], e.ID)
			}
		}
	}
	total := 0
	for chat, ids := range want {
		if got := n.order(t, chat); !slices.Equal(got, ids) {
			r.Fatalf("%s got %v, want %v", chat, got, ids)
		}
		total += len(ids)
	}
	if len(n.events) != total {
		r.Fatalf("%d events stored, want %d", len(n.events), total)
	}
	for id, m := range mediaOf(t, n) {
		if m.State == wire.MediaStored && string(n.objects[m.Object]) != id {
			r.Fatalf("%s tells of an object that is not there", id)
		}
	}
}

func TestKnownIsBounded(t *testing.T) {
	k := newKnown(3)
	for _, id := range []string{"a", "b", "a", "c", "", "d"} {
		k.add(id)
	}
	if k.has("a") || !k.has("b") || !k.has("c") || !k.has("d") || k.has("") || len(k.set) != 3 {
		t.Fatal(k.set)
	}
}
