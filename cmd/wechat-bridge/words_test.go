package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"wechat-bridge/bridge/broker"
	"wechat-bridge/bridge/wire"
)

func TestCommandsAreAsTheyHaveToBeTyped(t *testing.T) {
	for arg, want := range map[string]string{
		"wechat-bridge": "wechat-bridge", "./wechat-bridge": "./wechat-bridge", "bin/wb": "bin/wb",
		"/tmp/go-build1/b001/exe/wechat-bridge": "go run ./cmd/wechat-bridge", "./a b/wechat-bridge": "wechat-bridge",
	} {
		if got := startedAs(arg); got != want {
			t.Errorf("%s: %s", arg, got)
		}
	}
	s, out := shown("zh", false)
	s.t.self = "./wechat-bridge"
	s.Show(wire.Connection{State: wire.StateLoggedOut})
	s.Show(wire.Connection{State: wire.StateConnected})
	if got := out.String(); !strings.Contains(got, "然后  ./wechat-bridge login\n") || !strings.Contains(got, "试试：./wechat-bridge send") {
		t.Errorf("got %q", got)
	}
}

func TestNearestWordOfAFlag(t *testing.T) {
	if got := nearestWord(`--transport must be one of "webwx","ilink" but got "ilnk"`); got != `; did you mean "ilink"?` {
		t.Errorf("got %q", got)
	}
	if got := nearestWord(`--transport must be one of "webwx" but got "telegram"`); got != "" {
		t.Errorf("got %q", got)
	}
}

func TestReachable(t *testing.T) {
	for addr, want := range map[string]string{
		"[::]:80": "127.0.0.1:80", "0.0.0.0:80": "127.0.0.1:80", ":80": "127.0.0.1:80", "192.0.2.1:80": "192.0.2.1:80", "[::1]:80": "[::1]:80", "localhost:80": "localhost:80",
	} {
		if got := reachable(addr); got != want {
			t.Errorf("%s: %s", addr, got)
		}
	}
}

// Each kind of event and record is a line for people.
func TestLinesForPeople(t *testing.T) {
	at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.Local)
	alice, team := wire.Peer{ID: "@1", Name: "Alice\x1b[2J", Type: "friend"}, wire.Peer{ID: "@@2", Name: "Team", Type: "room"}
	many := make([]wire.Peer, 12)
	for i := range many {
		many[i] = wire.Peer{Name: string(rune('a' + i))}
	}
	for _, c := range []struct {
		typ  string
		data any
		want string
	}{
		{wire.TypeRecall, wire.Recall{MessageID: "7", By: alice, Chat: team, Text: "gone"}, "recall      Team › Alice took back 7: gone"},
		{wire.TypeFriend, wire.FriendRequest{From: alice, Text: "hi"}, "friend      Alice wants to be a friend: hi"},
		{wire.TypeRoom, wire.Change{Action: "renamed", Peer: team, OldName: "Old", By: &alice}, "room        Team: renamed, before: Old, by Alice"},
		{wire.TypeRoom, wire.Change{Action: "members", Peer: team, Members: many}, "room        Team: members: a, b, c, d, e, f, g, h, i, j, … (12)"},
		{wire.TypeContact, wire.Change{Action: "added", Peer: alice}, "contact     Alice: added"},
		{wire.TypeChat, wire.Chat{Chat: alice, OpenUntil: &at, RepliesLeft: 3}, "chat        Alice: open until 2026-11-24 12:00:00, 3 replies left"},
		{wire.TypeChat, wire.Chat{Chat: alice}, "chat        Alice: closed"},
		{wire.TypeGap, wire.Gap{From: at, To: at.Add(time.Hour), Reason: "logged out"}, "gap         what happened from 2026-11-24 12:00:00 to 2026-11-24 13:00:00 is not known: logged out"},
		{wire.TypeDelivery, wire.Delivery{ID: "x", State: wire.Rejected, Code: "unknown_field", Message: "There is no field txt; did you mean text?", Nearest: "text"},
			"delivery    x rejected: unknown_field: There is no field txt; did you mean text?"},
		{wire.TypeDelivery, wire.Delivery{ID: "x", State: wire.Rejected, Code: "unknown_recipient", Nearest: "Alice"}, "delivery    x rejected: unknown_recipient Did you mean Alice?"},
	} {
		data, err := json.Marshal(c.data)
		if err != nil {
			t.Fatal(err)
		}
		body, err := json.Marshal(wire.Envelope{SpecVersion: "1.0", ID: "1", Type: c.typ, Source: "wechat/default", Time: at, Data: data})
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		printer{t: &terminal{out: &out, lang: "en"}}.record(broker.Record{Stored: wire.Stored{Body: body}})
		got := strings.TrimSpace(strings.TrimPrefix(out.String(), "2026-11-24 12:00:00  "))
		if strings.ReplaceAll(got, "\ufffd[2J", "") != c.want {
			t.Errorf("%s:\n got %q\nwant %q", c.typ, got, c.want)
		}
		if err := printableText(out.String()); err != nil {
			t.Error(err)
		}
	}
}
