package bridge

import (
	"testing"

	"wechat-bridge/bridge/sim"
	"wechat-bridge/bridge/wire"
)

func TestOneTextGoesOutAndOneComesIn(t *testing.T) {
	r := newRig(t, sim.Options{})
	r.start()
	events, err := r.nc.SubscribeSync("wechat.events")
	if err != nil {
		t.Fatal(err)
	}
	r.awaitConnected()

	r.send(map[string]any{"id": "order-42", "to": "文件传输助手", "text": "hello <b>&"})
	d := r.final("order-42")
	if d.State != wire.Sent || d.MessageID == "" || d.ID != "order-42" {
		t.Fatalf("final record: %+v", d)
	}
	sent := r.sim.Sent()
	if len(sent) != 1 || sent[0].ToID != "filehelper" || sent[0].Content != "hello <b>&" || sent[0].MsgID != d.MessageID {
		t.Fatalf("WeChat has %+v", sent)
	}

	id, err := r.sim.Say(sim.Message{From: "alice", Room: "team", Type: "text", Text: "hi"})
	if err != nil {
		t.Fatal(err)
	}
	msg, err := events.NextMsg(patience)
	if err != nil {
		t.Fatal(err)
	}
	var m wire.Message
	if _, err := wire.OpenAs(msg.Data, wire.TypeMessage, &m); err != nil {
		t.Fatal(err)
	}
	if m.MessageID != id || m.Text != "hi" || m.Chat.Name != "Team" || m.Member == nil || m.Member.Name != "Alice" {
		t.Errorf("event: %+v", m)
	}
	if got := msg.Header.Get("Nats-Subject"); got != "wechat.events.default.message" {
		t.Errorf("the copy is of %s", got)
	}
}
