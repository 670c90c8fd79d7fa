package webwx

import (
	"testing"

	"wechat-bridge/bridge/sim"
	"wechat-bridge/bridge/wechat"
	"wechat-bridge/bridge/wechat/wechattest"
)

// conformance hides the simulator from the suite.
type conformance struct{ *world }

func (c conformance) Transport(t *testing.T) wechat.Transport {
	t.Helper()
	c.restart()
	return c.tr
}

func (c conformance) Say(t *testing.T, text string) {
	t.Helper()
	c.say(sim.Message{From: "alice", Text: text})
}

func (c conformance) SayInRoom(t *testing.T, text string) {
	t.Helper()
	c.say(sim.Message{From: "bob", Room: "team", Text: text})
}

func (c conformance) Directory() *wechat.Directory { return c.dir }

func (c conformance) Sent() []wechattest.Sent {
	var out []wechattest.Sent
	for _, e := range c.sim.Sent() {
		s := wechattest.Sent{Kind: wechat.Kind(e.Type), Text: e.Content, ClientID: e.ClientMsgID, MessageID: e.MsgID, Revoked: e.Revoked}
		if e.Media != nil {
			s.Name, s.Size = e.Media.Name, e.Media.Size
		}
		out = append(out, s)
	}
	return out
}

func (c conformance) Trouble(t *testing.T, kind wechattest.Trouble) {
	t.Helper()
	c.sim.ClearFaults()
	send := []string{"webwxsendmsg"}
	switch kind {
	case wechattest.Unreachable:
		c.fault(sim.Fault{Do: "refuse"})
	case wechattest.SendRefused:
		c.fault(sim.Fault{On: send, Do: "ret", Ret: -1})
	case wechattest.SendLost:
		c.fault(sim.Fault{On: send, Do: "accept_then_drop"})
	case wechattest.SendFrozen:
		c.fault(sim.Fault{On: send, Do: "hang"})
	case wechattest.UploadLost:
		c.fault(sim.Fault{On: []string{"webwxuploadmedia"}, Do: "reset"})
	case wechattest.ReceiveFails:
		c.fault(sim.Fault{On: []string{"synccheck", "webwxsync"}, Do: "reset"})
	case wechattest.Frozen:
		c.fault(sim.Fault{Do: "hang"})
	}
}

func TestConformance(t *testing.T) {
	wechattest.Run(t, func(t *testing.T) wechattest.Harness { return conformance{newWorld(t)} })
}
