package bridge

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"wechat-bridge/bridge/sim"
	"wechat-bridge/bridge/wire"
)

// The same id again is not sent again; with another body it is refused on a
// chain of its own; a rejected id may be used again.
func TestSameIDIsSentOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, sim.Options{})
	r.start()
	r.awaitConnected()
	r.text("order-1", "Alice", "alice", "hello")
	r.final("order-1")
	r.send(map[string]any{"id": "order-1", "to": "Alice", "text": "hello"})
	other := r.send(map[string]any{"id": "order-1", "to": "Alice", "text": "something else"})
	conflict := r.final(fmt.Sprintf("order-1~x%d", other))
	if conflict.State != wire.Rejected || conflict.Code != "id_conflict" || conflict.Field != "id" || conflict.ID != "order-1" {
		t.Errorf("another body: %+v", conflict)
	}
	if got := r.chain("order-1"); got != "accepted sending sent" {
		t.Errorf("the first one's chain: %s", got)
	}
	r.send(map[string]any{"id": "order-2", "to": "Alice", "text": ""})
	if d := r.final("order-2"); d.State != wire.Rejected {
		t.Errorf("empty text: %+v", d)
	}
	r.text("order-2", "Alice", "alice", "no longer empty")
	r.eventually("the rejected id is used again", func() bool {
		return r.chain("order-2") == "rejected accepted sending sent"
	})
	if sent := r.sim.Sent(); len(sent) != 2 {
		t.Errorf("WeChat has %d messages: %+v", len(sent), sent)
	}
}

// Nats-Msg-Id serves as id, per account.
func TestMessageIDOfTwoAccounts(t *testing.T) {
	t.Parallel()
	r := newRig(t, sim.Options{})
	r.start()
	r.awaitConnected()
	publish := func(subject, text string) (duplicate bool) {
		reply, err := r.nc.RequestMsg(&nats.Msg{
			Subject: subject, Header: nats.Header{"Nats-Msg-Id": {"ticket-7"}},
			Data: []byte(`{"to":"Alice","text":"` + text + `"}`),
		}, patience)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(string(reply.Data), `"duplicate"`)
	}
	// Within 100 ms NATS itself drops a repeat, over all accounts, and says so.
	again := func(subject, text string) {
		r.eventually("NATS takes the same Nats-Msg-Id again", func() bool { return !publish(subject, text) })
	}
	publish("wechat.send", "one")
	if d := r.final("ticket-7"); d.State != wire.Sent || d.ID != "ticket-7" {
		t.Fatalf("the header is no id: %+v", d)
	}
	again("wechat.send.defualt", "two")
	r.eventually("the other account's command is rejected", func() bool {
		d, ok := r.last("wechat.status.defualt.delivery.ticket-7")
		return ok && d.Final && d.Code == "unknown_account"
	})
	again("wechat.send.default", "one")
	r.text("after", "Alice", "alice", "after")
	r.final("after")
	if sent := r.sim.Sent(); len(sent) != 2 || sent[0].Content != "one" || sent[1].Content != "after" {
		t.Errorf("WeChat has %+v", sent)
	}
}

// A command for an account that nobody serves is told so, with the nearest
// name, on a chain of that account, also if it is nonsense.
func TestStraysAreRejected(t *testing.T) {
	t.Parallel()
	r := newRig(t, sim.Options{})
	r.start()
	r.awaitConnected()
	r.publishMsg(&nats.Msg{Subject: "wechat.send.defalt", Data: []byte(`{"id":"s-1","to":"Alice","text":"hi"}`)})
	odd := r.publishMsg(&nats.Msg{Subject: "wechat.send.TYPO", Data: []byte(`not json`)})
	r.eventually("both are rejected", func() bool {
		d, ok := r.last("wechat.status.defalt.delivery.s-1")
		return ok && d.State == wire.Rejected && d.Code == "unknown_account" && d.Nearest == "default" && len(r.records()) == 2
	})
	for _, rec := range r.records() {
		if rec.Code != "unknown_account" || rec.Account == "TYPO" && rec.StreamSeq != odd {
			t.Errorf("record: %+v", rec)
		}
	}
	stream, err := r.js.Stream(t.Context(), "WECHAT_SEND")
	if err != nil {
		t.Fatal(err)
	}
	r.eventually("no stray stays in the queue", func() bool {
		info, err := stream.Info(t.Context())
		return err == nil && info.State.Msgs == 0
	})
	if len(r.sim.Sent()) != 0 {
		t.Error("WeChat got a stray")
	}
}

// A guest's reply subject inside our streams and buckets: the PubAck must not
// be written there.
func TestReplySubjectsOfGuestsReachNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, sim.Options{})
	r.start()
	r.awaitConnected()
	targets := []string{
		"$KV.wechat_sessions.default", "$KV.wechat_leases.default", "wechat.outbox.default.normal", "wechat.parked.default.x.1",
		"wechat.status.default.connection.state", "wechat.status.default.delivery.evil", "wechat.events.default.message",
		"wechat.dead.default.x", "$O.wechat_media.M.evil", "wechat.send.default", "$JS.API.STREAM.DELETE.WECHAT_SEND",
		"$JS.API.STREAM.PURGE.WECHAT_OUTBOX",
	}
	before := r.streamState()
	for i, reply := range targets {
		body := fmt.Sprintf(`{"id":"reply-%d","to":"filehelper","text":"%d"}`, i, i)
		if err := r.nc.PublishMsg(&nats.Msg{Subject: "wechat.send", Reply: reply, Data: []byte(body)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.nc.FlushTimeout(patience); err != nil {
		t.Fatal(err)
	}
	for i := range targets {
		if d := r.final(fmt.Sprintf("reply-%d", i)); d.State != wire.Sent {
			t.Errorf("%s: %+v", targets[i], d)
		}
	}
	after := r.streamState()
	for stream, n := range before {
		switch stream {
		case "WECHAT_STATUS", "KV_wechat_leases", "KV_wechat_sessions":
			continue // the bridge writes there itself; looked at below
		case "WECHAT_SEND", "WECHAT_OUTBOX":
			n += uint64(len(targets))
		}
		if after[stream] != n {
			t.Errorf("%s: the last sequence is %d, want %d", stream, after[stream], n)
		}
	}
	for stream, subject := range map[string]string{
		"WECHAT_STATUS": ">", "KV_wechat_leases": ">", "KV_wechat_sessions": ">",
	} {
		for _, m := range r.stored(stream, subject) {
			if strings.Contains(string(m.Data()), `"stream":"WECHAT_SEND"`) {
				t.Errorf("a PubAck is written to %s: %s", m.Subject(), m.Data())
			}
		}
	}
}

// streamState is the last sequence of each stream.
func (r *rig) streamState() map[string]uint64 {
	r.t.Helper()
	state := map[string]uint64{}
	list := r.js.ListStreams(r.t.Context())
	for info := range list.Info() {
		state[info.Config.Name] = info.State.LastSeq
	}
	if list.Err() != nil || len(state) < 8 {
		r.t.Fatalf("streams: %v, %v", state, list.Err())
	}
	return state
}

// Recipients in all their forms, with the precedence of the contract.
func TestRecipientsInAllForms(t *testing.T) {
	t.Parallel()
	r := newRig(t, sim.Options{})
	r.cfg.AddressBook = map[string]string{"ops": "room:Team", "Bob": "remark:Carol (Accounting)"}
	r.start()
	events, err := r.nc.SubscribeSync("wechat.events")
	if err != nil {
		t.Fatal(err)
	}
	r.awaitConnected()
	r.say(sim.Message{From: "bob", Room: "team", Type: "text", Text: "hi"})
	msg, err := events.NextMsg(patience)
	if err != nil {
		t.Fatal(err)
	}
	var m wire.Message
	if _, err := wire.OpenAs(msg.Data, wire.TypeMessage, &m); err != nil {
		t.Fatal(err)
	}
	stale := m.Chat
	stale.ID = "@@gone" // of an earlier login
	cases := []struct {
		to   any
		want string
	}{
		{"filehelper", "filehelper"}, {"文件传输助手", "filehelper"}, {"ops", "team"}, {"Bob", "carol"},
		{map[string]any{"nickname": "Bob"}, "bob"}, {map[string]any{"remark": "王芳 财务"}, "wang-fang"},
		{map[string]any{"room": "Team"}, "team"}, {map[string]any{"alias": "dave2000"}, "dave"},
		{"Panda 🐼", "panda"}, {"Tom & Jerry <3", "tom-jerry"}, {"J. Smith", "j.smith"},
		{m.Chat, "team"}, {m.From, "bob"}, {m.Member, "bob"}, {stale, "team"}, {map[string]any{"id": m.Member.ID}, "bob"},
	}
	for i, c := range cases {
		r.send(map[string]any{"id": fmt.Sprintf("to-%d", i), "to": c.to, "text": fmt.Sprintf("to %d", i)})
	}
	got := map[string]string{}
	for i, c := range cases {
		d := r.final(fmt.Sprintf("to-%d", i))
		if d.State != wire.Sent {
			t.Errorf("%v: %+v", c.to, d)
		}
	}
	for _, e := range r.sim.Sent() {
		got[e.Content] = e.ToID
	}
	for i, c := range cases {
		if got[fmt.Sprintf("to %d", i)] != c.want {
			t.Errorf("%+v went to %q, want %q", c.to, got[fmt.Sprintf("to %d", i)], c.want)
		}
	}
}
