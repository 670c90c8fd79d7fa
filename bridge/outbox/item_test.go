package outbox

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"wechat-bridge/bridge/wire"
)

func goodItem() *item {
	return &item{ID: "a", Key: "a", StreamSeq: 1, At: t0, To: wire.Recipient{Name: "Alice"}, Kind: wire.KindText, Text: "x"}
}

func TestDecodeItem(t *testing.T) {
	decode := func(it *item) error {
		body, err := it.encode()
		if err != nil {
			t.Fatal(err)
		}
		_, err = decodeItem(body)
		return err
	}
	for name, change := range map[string]func(*item){
		"text":       func(*item) {},
		"hashed key": func(i *item) { i.ID, i.Key = "a.b", wire.Key("a.b") },
		"part": func(i *item) {
			i.ID, i.Key, i.List, i.Part, i.Parts = "a b~2", wire.Key("a b")+"~2", "a b", 2, 2
		},
		"revoke": func(i *item) { i.Kind, i.Text, i.Revoke = wire.KindRevoke, "", wire.Key("漢字")+"~100" },
		"image":  func(i *item) { i.Kind, i.Media = wire.KindImage, &kept{Object: "o"} },
	} {
		it := goodItem()
		if change(it); decode(it) != nil {
			t.Errorf("%s: %v", name, decode(it))
		}
	}
	for name, change := range map[string]func(*item){
		"key of another id":    func(i *item) { i.Key = "b" },
		"key with dots":        func(i *item) { i.ID, i.Key = "a.b", "a.b" },
		"no id":                func(i *item) { i.ID, i.Key = "", "" },
		"no sequence":          func(i *item) { i.StreamSeq = 0 },
		"no time":              func(i *item) { i.At = time.Time{} },
		"unknown kind":         func(i *item) { i.Kind = "song" },
		"text without text":    func(i *item) { i.Text = "" },
		"link without link":    func(i *item) { i.Kind = wire.KindLink },
		"image without medium": func(i *item) { i.Kind = wire.KindImage },
		"revoke of anything":   func(i *item) { i.Kind, i.Revoke = wire.KindRevoke, "a.>" },
		"part 0":               func(i *item) { i.ID, i.Key, i.List, i.Parts = "l~0", "l~0", "l", 2 },
		"part 3 of 2":          func(i *item) { i.ID, i.Key, i.List, i.Part, i.Parts = "l~3", "l~3", "l", 3, 2 },
		"a million parts":      func(i *item) { i.ID, i.Key, i.List, i.Part, i.Parts = "l~1", "l~1", "l", 1, 1_000_000 },
	} {
		it := goodItem()
		if change(it); decode(it) == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

// What nobody but a stranger can have written into outbox and parking is
// dropped, and what is good goes out.
func TestGarbageStopsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		names := []string{"Alice", "Bob", "Team", "filehelper"}
		for i := range 40 {
			body, err := json.Marshal(map[string]any{
				"id": fmt.Sprint("x", i), "key": fmt.Sprint("a.b.", i), "kind": "text", "at": time.Now(), "seq": i + 1,
				"to": map[string]any{"name": names[i%4]}, "text": "x",
			})
			if err != nil {
				t.Fatal(err)
			}
			w.outbox.put(wire.Stored{Token: wire.PriorityNormal, Body: body})
			w.parked.put(wire.Stored{Token: "u1", Body: body})
		}
		w.start(t, 1)
		for _, n := range names {
			w.publish(text("good-"+n, n, "hi"))
		}
		w.drain(t, time.Minute)
		if n := len(w.chat.ledger); n != 4 {
			t.Errorf("WeChat has %d, want the 4 good ones", n)
		}
	})
}

// Should the port refuse a key for good all the same, the delivery is dropped:
// neither its chat nor its place among those in flight is lost.
func TestWhatCanHaveNoRecordsIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		for i := range 20 {
			it := goodItem()
			it.ID, it.At, it.StreamSeq = fmt.Sprint("bad", i), time.Now(), uint64(i+1)
			it.Key = it.ID
			it.To.Name = []string{"Alice", "Bob"}[i%2]
			body, err := it.encode()
			if err != nil {
				t.Fatal(err)
			}
			w.outbox.put(wire.Stored{Token: wire.PriorityNormal, Body: body})
		}
		w.refuse = "bad"
		w.start(t, 1)
		w.publish(text("a", "Alice", "a"))
		w.publish(text("b", "Bob", "b"))
		w.drain(t, time.Minute)
		if got := append(w.chat.texts("@alice"), w.chat.texts("@bob")...); !slices.Equal(got, []string{"a", "b"}) {
			t.Errorf("WeChat has %v", got)
		}
	})
}
