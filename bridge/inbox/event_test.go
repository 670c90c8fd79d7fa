package inbox

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/bridge/wire"
)

var (
	alice = wechat.Peer{ID: "@a1", Name: "Alice 🐱", Remark: "Al", Alias: "wxid_a", Type: wechat.Friend}
	team  = wechat.Peer{ID: "@@t1", Name: "Team", Type: wechat.Room}
	bob   = wechat.Peer{ID: "@b1", Name: "Bob\x1b[31m", Type: wechat.Member}
)

const (
	aliceJSON = `{"id":"@a1","name":"Alice 🐱","remark":"Al","type":"friend"}`
	teamJSON  = `{"id":"@@t1","name":"Team","type":"room"}`
	bobJSON   = `{"id":"@b1","name":"Bob\u001b[31m","type":"member"}`
)

// Every type of event, and every part of a message, in the contract's words.
func TestMapping(t *testing.T) {
	msg := func(m wechat.Message) wechat.Event {
		m.From, m.Chat, m.SentAt = alice, alice, at
		return wechat.Event{Type: wechat.EventMessage, ID: "m1", At: at, Message: &m, Raw: []byte(`{"MsgType":1}`)}
	}
	head := `{"account":"default","kind":"%s","text":"%s","message_id":"m1","from":` + aliceJSON + `,"chat":` + aliceJSON +
		`,"mentioned":false,"self":false,"sent_at":"2026-11-24T08:00:00Z"%s}`
	tests := []struct {
		name       string
		e          wechat.Event
		token, typ string
		subject    string
		data       string
	}{
		{"text", msg(wechat.Message{Kind: wechat.Text, Text: "<b>hi</b> & 你好\n\u202e"}), "message", wire.TypeMessage, "@a1",
			fmt.Sprintf(head, "text", "<b>hi</b> & 你好\\n\u202e", "")},
		{"unknown", msg(wechat.Message{Kind: wechat.Other, ProtoType: 4711}), "message", wire.TypeMessage, "@a1",
			strings.Replace(fmt.Sprintf(head, "unknown", "", ""), `"text"`, `"proto_type":4711,"text"`, 1)},
		{"no kind", msg(wechat.Message{}), "message", wire.TypeMessage, "@a1", fmt.Sprintf(head, "unknown", "", "")},
		{"link", msg(wechat.Message{Kind: wechat.Link, Link: &wechat.LinkInfo{Title: "T", Description: "D", URL: "https://x/?a=1&b=2", App: "A"}}),
			"message", wire.TypeMessage, "@a1", fmt.Sprintf(head, "link", "", `,"link":{"title":"T","description":"D","url":"https://x/?a=1&b=2","app":"A"}`)},
		{"card", msg(wechat.Message{Kind: wechat.Card, Card: &wechat.CardInfo{ID: "@c", Name: "C", Alias: "c1"}}),
			"message", wire.TypeMessage, "@a1", fmt.Sprintf(head, "card", "", `,"card":{"id":"@c","name":"C","alias":"c1"}`)},
		{"quote", msg(wechat.Message{Kind: wechat.Quote, Text: "re", Quote: &wechat.QuoteInfo{MessageID: "m0", FromName: "B", Text: "q", Kind: wechat.Text}}),
			"message", wire.TypeMessage, "@a1", fmt.Sprintf(head, "quote", "re", `,"quote":{"message_id":"m0","from_name":"B","kind":"text","text":"q"}`)},
		{"location", msg(wechat.Message{Kind: wechat.Location, Location: &wechat.LocationInfo{Latitude: 31.2, Longitude: 121.5, Label: "L", URL: "u"}}),
			"message", wire.TypeMessage, "@a1", fmt.Sprintf(head, "location", "", `,"location":{"latitude":31.2,"longitude":121.5,"label":"L","url":"u"}`)},
		{"in a room", wechat.Event{Type: wechat.EventMessage, ID: "m1", At: at, Message: &wechat.Message{
			Kind: wechat.Text, Text: "x", From: team, Chat: team, Member: &bob, Mentioned: true, Self: true, SentAt: at.Add(time.Second)}},
			"message", wire.TypeMessage, "@@t1", `{"account":"default","kind":"text","text":"x","message_id":"m1","from":` + teamJSON + `,"chat":` + teamJSON +
				`,"member":` + bobJSON + `,"mentioned":true,"self":true,"sent_at":"2026-11-24T08:00:01Z"}`},
		{"recall", wechat.Event{Type: wechat.EventRecall, ID: "m1", At: at, Recall: &wechat.Recall{MessageID: "m0", By: bob, Chat: team, Text: "took it back"}},
			"recall", wire.TypeRecall, "@@t1", `{"account":"default","message_id":"m0","by":` + bobJSON + `,"chat":` + teamJSON + `,"text":"took it back"}`},
		{"friend", wechat.Event{Type: wechat.EventFriend, ID: "m1", At: at, Friend: &wechat.FriendRequest{From: alice, Text: "hello", Ticket: "v2_secret"}},
			"friend", wire.TypeFriend, "@a1", `{"account":"default","from":` + aliceJSON + `,"text":"hello"}`},
		{"room", wechat.Event{Type: wechat.EventRoom, ID: "m1", At: at, Change: &wechat.Change{Action: "renamed", Peer: team, OldName: "Crew", By: &bob, Members: []wechat.Peer{alice}}},
			"room", wire.TypeRoom, "@@t1", `{"account":"default","action":"renamed","peer":` + teamJSON + `,"old_name":"Crew","by":` + bobJSON + `,"members":[` + aliceJSON + `]}`},
		{"contact", wechat.Event{Type: wechat.EventContact, ID: "m1", At: at, Change: &wechat.Change{Action: "removed", Peer: alice}},
			"contact", wire.TypeContact, "@a1", `{"account":"default","action":"removed","peer":` + aliceJSON + `}`},
		{"chat", wechat.Event{Type: wechat.EventChat, ID: "m1", At: at, Chat: &wechat.ChatState{Chat: alice, OpenUntil: at, RepliesLeft: 4}},
			"chat", wire.TypeChat, "@a1", `{"account":"default","chat":` + aliceJSON + `,"open_until":"2026-11-24T08:00:00Z","replies_left":4}`},
		{"chat without limit of time", wechat.Event{Type: wechat.EventChat, ID: "m1", At: at, Chat: &wechat.ChatState{Chat: alice}},
			"chat", wire.TypeChat, "@a1", `{"account":"default","chat":` + aliceJSON + `,"replies_left":0}`},
		{"gap", wechat.Event{Type: wechat.EventGap, ID: "m1", At: at, Gap: &wechat.Gap{From: at.Add(-time.Hour), To: at, Reason: "logged out"}},
			"gap", wire.TypeGap, "", `{"account":"default","from":"2026-11-24T07:00:00Z","to":"2026-11-24T08:00:00Z","reason":"logged out"}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			n := newNATS()
			take(t, newInbox(n), n, batch("c", test.e))
			s := n.events[0]
			e := open(t, s)
			if s.Token != test.token || s.MsgID != "m1" || e.Type != test.typ || e.ID != "m1" || e.Source != "wechat/default" || e.Subject != test.subject || !e.Time.Equal(at) {
				t.Errorf("%+v %+v", s, e)
			}
			if d := cmp.Diff(test.data, string(e.Data)); d != "" {
				t.Error(d)
			}
			if strings.Contains(string(s.Body), "secret") {
				t.Error("the ticket is in the event")
			}
		})
	}
}

func TestRawOnlyIfAskedFor(t *testing.T) {
	for raw, want := range map[string]string{`{"a": [1, "x"]}`: `{"a":[1,"x"]}`, "<xml>": `"<xml>"`, "{broken": `"{broken"`, "": ""} {
		e := text("m1", "alice", "hi")
		e.Raw = []byte(raw)
		n := newNATS()
		take(t, newInbox(n, func(c *Config) { c.Raw = true }), n, batch("c", e))
		if got := openMessage(t, n.events[0]).Raw; string(got) != want {
			t.Errorf("%s becomes %s", raw, got)
		}
		n = newNATS()
		take(t, newInbox(n), n, batch("c", e))
		if got := openMessage(t, n.events[0]).Raw; got != nil {
			t.Errorf("raw without being asked for: %s", got)
		}
	}
}

// A mapping that panics, or has nothing to map, yields an unknown event with
// the raw form after bounded tries, and the batch goes on.
func TestUnreadableEvents(t *testing.T) {
	n := newNATS()
	var log bytes.Buffer
	i := newInbox(n, func(c *Config) { c.Log = zerolog.New(&log) })
	tries := 0
	shape := i.shape
	i.shape = func(e wechat.Event, m *medium) ([]byte, error) {
		if e.ID == "m1" {
			tries++
			panic("text of a secret message")
		}
		return shape(e, m)
	}
	bad := text("m1", "alice", "a secret message")
	bad.Raw = []byte(`{"MsgType":99}`)
	take(t, i, n, batch("c", bad,
		wechat.Event{Type: wechat.EventRecall, ID: "m2", At: at, Raw: []byte("raw 2")},
		wechat.Event{Type: "surprise", ID: "m3", At: at, Raw: []byte("raw 3")},
		wechat.Event{Type: wechat.EventFriend, ID: "m4", At: at, Raw: []byte("ticket")},
		text("m5", "alice", "next")))
	if d := cmp.Diff([]string{"m1", "m2", "m3", "m4", "m5"}, n.order(t, "")); d != "" {
		t.Fatal(d)
	}
	if tries != shapeTries {
		t.Errorf("tried %d times", tries)
	}
	for k, want := range []string{`{"MsgType":99}`, `"raw 2"`, `"raw 3"`, ""} {
		m := openMessage(t, n.events[k])
		if m.Kind != "unknown" || string(m.Raw) != want || n.events[k].Token != "message" || m.MessageID != fmt.Sprint("m", k+1) {
			t.Errorf("%+v", m)
		}
	}
	if m := openMessage(t, n.events[0]); m.Chat.ID != "alice" {
		t.Errorf("%+v", m)
	}
	if strings.Contains(log.String(), "secret") || strings.Count(log.String(), logUnreadable) != 4 {
		t.Error(log.String())
	}
	if len(n.events) != 5 {
		t.Errorf("%d events", len(n.events))
	}
}

// What NATS would never take must not block the line for ever.
func TestHugeEvents(t *testing.T) {
	huge := strings.Repeat("漢", 400_000)
	raw, err := json.Marshal(huge)
	if err != nil {
		t.Fatal(err)
	}
	escapes := strings.Repeat("\x01", 200_000) // six bytes each in JSON
	events := map[string]wechat.Event{
		"text":  text("m1", "alice", huge),
		"raw":   text("m1", "alice", "hi"),
		"quote": text("m1", "alice", "hi"),
		"name":  text("m1", "alice", escapes),
	}
	e := events["raw"]
	e.Raw = raw
	events["raw"] = e
	events["quote"].Message.Quote = &wechat.QuoteInfo{Text: huge}
	events["name"].Message.From.Name = escapes
	for name, e := range events {
		for _, withRaw := range []bool{false, true} {
			n := newNATS()
			take(t, newInbox(n, func(c *Config) { c.Raw = withRaw }), n, batch("c", e))
			if got := len(n.events[0].Body); got > maxEvent {
				t.Errorf("%s: %d bytes", name, got)
			}
			m := openMessage(t, n.events[0])
			if name == "text" && (m.Kind != "text" || !strings.HasSuffix(m.Text, "漢…")) || name == "raw" && m.Text != "hi" {
				t.Errorf("%s: %.100s", name, n.events[0].Body)
			}
		}
	}
}

// An event without id or time gets the same id each time it is told.
func TestEventsWithoutID(t *testing.T) {
	n := newNATS()
	i := newInbox(n)
	events := func() []wechat.Event {
		return []wechat.Event{
			{Type: wechat.EventGap, Gap: &wechat.Gap{From: at, To: at, Reason: "a"}}, {Type: wechat.EventGap, Gap: &wechat.Gap{From: at, To: at, Reason: "b"}},
			text("", "alice", "x"), text("", "alice", "y"), {Type: wechat.EventRecall, Recall: &wechat.Recall{MessageID: "1"}},
			{Type: wechat.EventFriend, Friend: &wechat.FriendRequest{From: alice}}, {Type: wechat.EventChat, Chat: &wechat.ChatState{Chat: alice}},
			{Type: wechat.EventRoom, Change: &wechat.Change{Action: "members", By: &wechat.Peer{ID: "x"}}}, {},
		}
	}
	take(t, i, n, batch("c", events()...))
	take(t, newInbox(n), n, batch("c", events()...))
	if len(n.events) != 9 {
		t.Fatalf("%d events", len(n.events))
	}
}

func TestOddIDsAreSafeInHeadersAndObjectNames(t *testing.T) {
	n := newNATS()
	id := "a b/../c\r\nNats-Rollup: all"
	take(t, newInbox(n), n, batch("c", withMedium(id, "alice", n.medium("x.txt", []byte("x")))))
	s := n.events[0]
	if strings.ContainsAny(s.MsgID, " \r\n/") || s.MsgID != wire.Key(id) {
		t.Errorf("%q", s.MsgID)
	}
	if got := mediaOf(t, n)[id].Object; got != "in/default/"+wire.Key(id)+"/x.txt" {
		t.Errorf("%q", got)
	}
}

// A gap stands between what was before and what came after, even if a medium
// is slow.
func TestGapIsABorder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNATS()
		release := make(chan struct{})
		slow := &wechat.InMedia{Open: func(context.Context) (io.ReadCloser, error) {
			<-release
			return io.NopCloser(strings.NewReader("x")), nil
		}}
		done := make(chan error)
		go func() {
			done <- newInbox(n).Take(context.Background(), n, batch("c", withMedium("m1", "alice", slow), text("m2", "bob", "x"),
				wechat.Event{Type: wechat.EventGap, ID: "g", At: at, Gap: &wechat.Gap{From: at, To: at}}, text("m3", "bob", "y")))
		}()
		synctest.Wait()
		if d := cmp.Diff([]string{"m2"}, n.order(t, "")); d != "" {
			t.Error(d)
		}
		close(release)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff([]string{"m2", "m1", "g", "m3"}, n.order(t, "")); d != "" {
			t.Error(d)
		}
	})
}
