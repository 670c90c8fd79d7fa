package bridge

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"wechat-bridge/bridge/sim"
	"wechat-bridge/bridge/wire"
)

// pixel is a whole GIF of one pixel.
var pixel = []byte("GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;")

// Each kind arrives whole, by data and by object.
func TestAllKindsGoOut(t *testing.T) {
	t.Parallel()
	r := newRig(t, sim.Options{})
	r.start()
	r.awaitConnected()
	uploads := r.guestStore("wechat_uploads")
	big := bytes.Repeat([]byte("0123456789abcdef"), 1300<<10/16) // more than two chunks of an upload
	contents := map[string][]byte{"image": pixel, "emoticon": pixel, "video": []byte("\x00\x00\x00\x18ftypmp42 a video"), "file": big}
	wantName := map[string]string{"image": "p.gif", "emoticon": "p.gif", "video": "v.mp4", "file": "报告 final.txt"}
	for kind, data := range contents {
		if _, err := uploads.PutBytes(kind+"-object", data); err != nil {
			t.Fatal(err)
		}
		r.send(map[string]any{"id": kind + "-by-object", "to": "Alice", kind: map[string]any{"object": kind + "-object", "name": wantName[kind]}})
		if len(data) < 900<<10/2 {
			r.send(map[string]any{"id": kind + "-by-data", "to": "Alice", kind: map[string]any{"data": data, "name": wantName[kind]}})
		}
	}
	r.send(map[string]any{"id": "link", "to": "Alice", "link": map[string]any{"title": "Example", "url": "https://example.org/a?b=c&d"}})
	r.send(map[string]any{"id": "text", "to": "Alice", "text": "two\nlines 漢字 🐼"})

	byMsgID := map[string]sim.Entry{}
	check := func(id string) sim.Entry {
		d := r.final(id)
		if d.State != wire.Sent {
			t.Fatalf("%s: %+v", id, d)
		}
		for _, e := range r.sim.Sent() {
			byMsgID[e.MsgID] = e
		}
		e, ok := byMsgID[d.MessageID]
		if !ok || e.ToID != "alice" {
			t.Fatalf("%s: WeChat has no %s for Alice", id, d.MessageID)
		}
		return e
	}
	for kind, data := range contents {
		for _, by := range []string{"-by-object", "-by-data"} {
			if kind == "file" && by == "-by-data" {
				continue
			}
			e := check(kind + by)
			got, ok := r.sim.MediaBytes(e.MsgID)
			if e.Type != kind || !ok || !bytes.Equal(got, data) || e.Media.Name != wantName[kind] {
				t.Errorf("%s%s arrived as %s, %d of %d bytes: %+v", kind, by, e.Type, len(got), len(data), e.Media)
			}
		}
	}
	if e := check("link"); !strings.Contains(e.Content, "https://example.org/a?b=c&d") || !strings.Contains(e.Content, "Example") {
		t.Errorf("link: %+v", e)
	}
	if e := check("text"); e.Content != "two\nlines 漢字 🐼" {
		t.Errorf("text: %+v", e)
	}
}

func TestMentionAndRevoke(t *testing.T) {
	t.Parallel()
	r := newRig(t, sim.Options{})
	r.start()
	r.awaitConnected()
	r.send(map[string]any{"id": "m-1", "to": "Team", "text": "look", "mention": []string{"Alice", "Bob"}})
	r.send(map[string]any{"id": "m-2", "to": "Team", "text": "all", "mention": "all"})
	r.send(map[string]any{"id": "m-3", "to": "Team", "text": "gone"})
	r.send(map[string]any{"id": "m-4", "revoke": "m-3"})
	for _, id := range []string{"m-1", "m-2", "m-3", "m-4"} {
		if d := r.final(id); d.State != wire.Sent {
			t.Errorf("%s: %+v", id, d)
		}
	}
	sent := r.sim.Sent()
	if len(sent) != 3 || !strings.Contains(sent[0].Content, "@Alice\u2005") || !strings.Contains(sent[0].Content, "@Bob\u2005") ||
		!strings.Contains(sent[0].Content, "look") || !strings.Contains(sent[1].Content, "@") || !sent[2].Revoked || sent[0].Revoked {
		t.Errorf("WeChat has %+v", sent)
	}
	r.send(map[string]any{"id": "m-5", "revoke": "m-5"})
	if d := r.final("m-5"); d.State != wire.Rejected {
		t.Errorf("a revoke of itself: %+v", d)
	}
}

// A list of 100: a delivery and a chain for each, and one final for the list.
func TestListOfAHundred(t *testing.T) {
	t.Parallel()
	r := newRig(t, sim.Options{})
	r.start()
	r.awaitConnected()
	people := []string{"Alice", "Bob", "Dave", "Erin", "Frank"}
	var to []string
	for n := range 100 {
		to = append(to, people[n%len(people)])
	}
	r.send(map[string]any{"id": "list", "to": to, "text": "all of you"})
	d := r.final("list")
	if d.State != wire.Sent || d.Deliveries != 100 || d.ID != "list" {
		t.Fatalf("the list: %+v", d)
	}
	if got := r.chain("list"); got != "accepted sent" {
		t.Errorf("the list's chain: %s", got)
	}
	for n := 1; n <= 100; n++ {
		p := r.final(fmt.Sprintf("list~%d", n))
		if p.State != wire.Sent || p.ID != fmt.Sprintf("list~%d", n) {
			t.Fatalf("part %d: %+v", n, p)
		}
	}
	byPerson := map[string]int{}
	for _, e := range r.sim.Sent() {
		byPerson[e.To]++
	}
	if len(r.sim.Sent()) != 100 || len(byPerson) != len(people) {
		t.Errorf("WeChat has %d messages: %v", len(r.sim.Sent()), byPerson)
	}
	r.send(map[string]any{"id": "mixed", "to": []string{"Alice", "李伟"}, "text": "x"})
	if d := r.final("mixed"); d.State != wire.Failed || d.Code != "list_incomplete" || d.Deliveries != 2 {
		t.Errorf("a list with an ambiguous one: %+v", d)
	}
	if d := r.final("mixed~2"); d.State != wire.Rejected || d.Code != "ambiguous_recipient" {
		t.Errorf("its second part: %+v", d)
	}
}

// What expires during an outage ends on time, during the outage; the rest goes
// out after it.
func TestExpiryDuringAnOutage(t *testing.T) {
	t.Parallel()
	r := newRig(t, sim.Options{})
	r.start()
	r.awaitConnected()
	r.fault(sim.Fault{Do: "refuse"})
	r.awaitState(wire.StateReconnecting)
	published := time.Now()
	r.text("short", "Alice", "alice", "short", "ttl", "2s")
	r.text("until", "Alice", "alice", "until", "expires_at", published.Add(3*time.Second).UTC().Format(time.RFC3339Nano))
	r.text("past", "Alice", "alice", "past", "expires_at", published.Add(-time.Hour).UTC().Format(time.RFC3339))
	r.text("long", "Alice", "alice", "long", "ttl", "1h")
	r.send(map[string]any{"id": "wrong", "to": "Alice", "text": "x", "ttl": "-1s"})
	for id, want := range map[string]time.Duration{"short": 2 * time.Second, "until": 3 * time.Second, "past": 0} {
		d := r.final(id)
		late := d.FinishedAt.Sub(published.Add(want))
		if d.State != wire.Expired || !d.Certain || late > 5*time.Second || late < -100*time.Millisecond {
			t.Errorf("%s: %s, %s after its time: %+v", id, d.State, late, d)
		}
	}
	if d := r.final("wrong"); d.State != wire.Rejected || d.Field != "ttl" {
		t.Errorf("a wrong command during an outage: %+v", d)
	}
	if n := len(r.sim.Sent()); n != 0 {
		t.Errorf("WeChat has %d messages", n)
	}
	r.sim.ClearFaults()
	if d := r.final("long"); d.State != wire.Sent {
		t.Errorf("what had time: %+v", d)
	}
	r.reckon(0)
}
