package webwx

import (
	"testing"

	"wechat-bridge/bridge/sim"
	"wechat-bridge/bridge/wechat"
)

func TestLoginReceiveSend(t *testing.T) {
	w := newWorld(t)
	s := w.login(wechat.QR)
	if s.Identity().Name != "小桥" {
		t.Fatalf("identity %+v", s.Identity())
	}
	id := w.say(sim.Message{From: "alice", Type: "text", Text: "hi <b> & 😀"})
	e := w.byID(s, id)
	if e.Message == nil || e.Message.Text != "hi <b> & 😀" || e.Message.From.Name != "Alice" || e.Message.Chat.Type != wechat.Friend {
		t.Fatalf("event %+v message %+v", e, e.Message)
	}
	r, err := s.Send(w.ctx(), textTo(w.peer("Bob"), "a < b && c > d", "12345678901234567"))
	must(t, err)
	sent, err := w.sim.WaitSent(w.ctx(), 1)
	must(t, err)
	if sent[0].Content != "a < b && c > d" || sent[0].ToName != "Bob" || sent[0].MsgID != r.MessageID || sent[0].ClientMsgID != "12345678901234567" {
		t.Fatalf("ledger %+v receipt %+v", sent[0], r)
	}
}
