package bridge

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"wechat-bridge/bridge/sim"
	"wechat-bridge/bridge/wire"
)

// arrival is one thing that happens at WeChat and how its event must look.
type arrival struct {
	in   sim.Message
	kind string
	ok   func(wire.Message) bool
}

func arrivals() []arrival {
	always := func(wire.Message) bool { return true }
	media := func(m wire.Message) bool { return m.Media != nil && m.Media.State == wire.MediaStored }
	return []arrival{
		{sim.Message{Type: "text", Text: "hi\x1b[31m & <b>"}, "text", func(m wire.Message) bool { return m.Text == "hi\x1b[31m & <b>" }},
		{sim.Message{Type: "image", Data: pixel}, "image", media},
		{sim.Message{Type: "voice", Data: []byte("ID3 a voice")}, "voice", media},
		{sim.Message{Type: "video", Data: []byte("\x00\x00\x00\x18ftypmp42 a video")}, "video", media},
		{sim.Message{Type: "file", Name: "bericht ü.pdf", Data: bytes.Repeat([]byte("x"), 700<<10)}, "file",
			func(m wire.Message) bool { return media(m) && m.Media.Name == "bericht ü.pdf" }},
		{sim.Message{Type: "emoticon", Data: pixel}, "emoticon", media},
		{sim.Message{Type: "location", Name: "People's Square", Lat: 31.23, Lon: 121.47}, "location",
			func(m wire.Message) bool { return m.Location != nil && m.Location.Latitude > 31 }},
		{sim.Message{Type: "link", Title: "News", URL: "https://example.org/n?a=1&b=2"}, "link",
			func(m wire.Message) bool {
				return m.Link != nil && m.Link.Title == "News" && m.Link.URL == "https://example.org/n?a=1&b=2"
			}},
		{sim.Message{Type: "card", Card: "carol"}, "card", func(m wire.Message) bool { return m.Card != nil && m.Card.Name == "Carol" }},
		{sim.Message{Type: "transfer"}, "transfer", always},
		{sim.Message{Type: "red_packet"}, "red_packet", always},
		{sim.Message{Type: "red_packet", Variant: "notice"}, "red_packet", always},
		{sim.Message{Type: "miniprogram", Title: "Ride"}, "miniprogram", always},
		{sim.Message{Type: "quote", Text: "yes"}, "quote", func(m wire.Message) bool { return m.Quote != nil && m.Text == "yes" }},
		{sim.Message{Type: "call"}, "call", always},
		{sim.Message{Type: "notice", Text: "somebody did something"}, "notice", always},
		{sim.Message{Type: "unknown", MsgType: 4711}, "unknown", func(m wire.Message) bool { return m.ProtoType == 4711 }},
	}
}

// Each kind arrives as its event, once and in order, its medium readable by a
// guest before the event can be read.
func TestAllKindsComeIn(t *testing.T) {
	t.Parallel()
	r := newRig(t, sim.Options{})
	r.start()
	r.awaitConnected()
	all := arrivals()
	for _, chat := range []string{"", "team"} {
		for _, a := range all {
			a.in.From, a.in.Room = "alice", chat
			r.say(a.in)
		}
	}
	r.eventually("all have arrived", func() bool { return len(r.messages()) >= 2*len(all) })
	got := perChat(r.messages())
	store := r.guestStore("wechat_media")
	for i, m := range got {
		a := all[i%len(all)]
		where := fmt.Sprintf("%d (%s %s)", i, a.in.Type, a.in.Variant)
		if m.MessageID != r.told[i] {
			t.Fatalf("%s: the event is of %s, want %s", where, m.MessageID, r.told[i])
		}
		if m.Kind != a.kind || !a.ok(m) {
			t.Errorf("%s: %+v", where, m)
		}
		if room := i >= len(all); room != (m.Chat.Type == "room") || room && a.kind != "notice" && (m.Member == nil || m.Member.Name != "Alice") {
			t.Errorf("%s: chat %+v, member %+v", where, m.Chat, m.Member)
		}
		if m.Media == nil {
			continue
		}
		data, err := store.GetBytes(m.Media.Object)
		if err != nil || !bytes.Equal(data, a.in.Data) || m.Media.Size != int64(len(data)) {
			t.Errorf("%s: the medium has %d bytes, %v: %+v", where, len(data), err, m.Media)
		}
	}
	if len(got) != 2*len(all) {
		t.Errorf("%d events of %d", len(got), 2*len(all))
	}
}

// perChat puts one chat's messages after the other's: each chat has its order.
func perChat(all []wire.Message) []wire.Message {
	var friend, room []wire.Message
	for _, m := range all {
		if m.Chat.Type == "room" {
			room = append(room, m)
		} else {
			friend = append(friend, m)
		}
	}
	return append(friend, room...)
}

// Recall, friend request, what changes about contacts and rooms.
func TestWhatElseComesIn(t *testing.T) {
	t.Parallel()
	r := newRig(t, sim.Options{})
	r.start()
	r.awaitConnected()
	said := r.say(sim.Message{From: "alice", Type: "text", Text: "oops"})
	for _, m := range []sim.Message{{From: "alice", Type: "recall", MsgID: said}, {Type: "friend", Name: "Zoe", Text: "it's me"}} {
		if _, err := r.sim.Say(m); err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range []error{
		r.sim.ChangeContact(sim.ContactChange{Do: "rename", ID: "dave", Name: "David"}),
		r.sim.ChangeContact(sim.ContactChange{Do: "add", ID: "zed", Name: "Zed"}),
		r.sim.ChangeContact(sim.ContactChange{Do: "delete", ID: "erin"}),
		r.sim.ChangeRoom(sim.RoomChange{Do: "rename", Room: "team", Name: "Team B", By: "alice"}),
		r.sim.ChangeRoom(sim.RoomChange{Do: "join", Room: "team", Member: "carol", By: "alice"}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	var recall wire.Recall
	r.event("recall", wire.TypeRecall, &recall, func() bool { return recall.MessageID == said && recall.Chat.Name == "Alice" })
	var friend wire.FriendRequest
	r.event("friend", wire.TypeFriend, &friend, func() bool { return friend.From.Name == "Zoe" && friend.Text == "it's me" })
	var change wire.Change
	r.event("contact", wire.TypeContact, &change, func() bool { return change.Peer.Name == "David" && change.OldName == "Dave" })
	r.event("contact", wire.TypeContact, &change, func() bool { return change.Peer.Name == "Zed" })
	r.event("contact", wire.TypeContact, &change, func() bool { return change.Peer.Name == "Erin" })
	r.event("room", wire.TypeRoom, &change, func() bool { return change.Peer.Name == "Team B" && change.OldName == "Team" })
	r.event("room", wire.TypeRoom, &change, func() bool {
		return slices.ContainsFunc(change.Members, func(p wire.Peer) bool { return p.Name == "Carol" })
	})

	// What changed counts for sends at once.
	r.text("zed", "Zed", "zed", "welcome")
	r.text("david", "David", "dave", "hello")
	r.text("team", "Team B", "team", "hello")
	r.text("erin", "Erin", "", "gone")
	for id, want := range map[string]wire.State{"zed": wire.Sent, "david": wire.Sent, "team": wire.Sent} {
		if d := r.final(id); d.State != want {
			t.Errorf("%s: %+v", id, d)
		}
	}
}

// event waits for a stored event of a kind that fits.
func (r *rig) event(kind, typ string, into any, fits func() bool) {
	r.t.Helper()
	r.eventually("there is such a "+kind, func() bool {
		for _, m := range r.stored("WECHAT_EVENTS", "wechat.events.default."+kind) {
			clearValue(into)
			if _, err := wire.OpenAs(m.Data(), typ, into); err != nil {
				r.t.Fatalf("%s: %v", m.Data(), err)
			}
			if fits() {
				return true
			}
		}
		return false
	})
}

// clearValue empties what a pointer points to, so that a field that is left out
// does not keep the value of the event before.
func clearValue(p any) { reflect.ValueOf(p).Elem().SetZero() }
