package bridge

import (
	"fmt"
	"strings"
	"testing"

	"wechat-bridge/bridge/sim"
	"wechat-bridge/bridge/wechat"
	"wechat-bridge/bridge/wire"
	"wechat-bridge/classifier"
)

// What WeChat says in a chat, and whether it refuses a message of ours.
func TestRefusalOf(t *testing.T) {
	friend := wechat.Peer{ID: "@a", Name: "Alice", Type: wechat.Friend}
	room := wechat.Peer{ID: "@@t", Name: "Team", Type: wechat.Room}
	called := func(name string) wechat.Peer { return wechat.Peer{ID: "@a", Name: name, Type: wechat.Friend} }
	tests := []struct {
		chat wechat.Peer
		text string
		code string // empty: it is no refusal
	}{
		{friend, "消息已发出，但被对方拒收了。", "blocked_by_recipient"},
		{friend, "The message is successfully sent but rejected by the receiver.", "blocked_by_recipient"},
		{friend, "Alice开启了朋友验证，你还不是他（她）朋友。请先发送朋友验证请求，对方验证通过后，才能聊天。", "not_a_friend"},
		{friend, `Alice开启了朋友验证，你还不是他（她）朋友。请先发送朋友验证请求，对方验证通过后，才能聊天。<a href="weixin://findfriend/verifycontact">发送朋友验证</a>`, "not_a_friend"},
		{friend, "Alice has enabled Friend Confirmation. Please send a friend request and chat after the request is accepted.", "not_a_friend"},
		{friend, "发送消息过于频繁，等待对方接受你的好友请求后再发。", "too_often"},
		{friend, "You're sending messages too often. Try again later.", "too_often"},
		{room, "操作太频繁，请稍后再试", "too_often"},
		{room, "无法在已退出的群聊中发送消息。", "left_room"},
		{called("朋友验证"), "朋友验证开启了朋友验证，你还不是他（她）朋友。", "not_a_friend"},
		{called("拒收"), "消息已发出，但被对方拒收了。 操作太频繁", "too_often"}, // the name hides one of two

		{friend, "你撤回了一条消息", ""},
		{friend, "You recalled a message", ""},
		{friend, `"Alice" 撤回了一条消息`, ""},
		{friend, "你已添加了Alice，现在可以开始聊天了。", ""},
		{friend, "You have added Alice as your WeChat contact. Start chatting!", ""},
		{friend, "以上是打招呼的内容", ""},
		{friend, "收到红包，请在手机上查看", ""},
		{friend, "Alice拍了拍你", ""},
		{friend, "如果陌生人主动添加你为朋友，请谨慎核实对方身份。", ""},
		{friend, "", ""},
		{friend, `<sysmsg type="x"><text>被对方拒收了</text></sysmsg>`, ""},
		{called("被对方拒收了"), "你已添加了被对方拒收了，现在可以开始聊天了。", ""},
		{called("太频繁"), "“太频繁”撤回了一条消息", ""},
		{friend, "无法在已退出的群聊中发送消息。", ""},
		{room, "Bob is not friends with others in this group", ""},
		{room, "消息已发出，但被对方拒收了。", ""},
		{room, "你修改群名为“操作太频繁”", ""},
		{room, `"操作"太频繁"" joined the group`, ""},
		{room, "Your account has been restricted", ""}, // no business of one delivery
	}
	for _, test := range tests {
		v, ok := refusalOf(classifier.WebWX, &wechat.Message{Kind: wechat.Notice, Chat: test.chat, Text: test.text})
		if ok != (test.code != "") || ok && (v.Code != test.code || !v.Certain) {
			t.Errorf("%s: %s: %t %s, certain %t", test.chat.Name, test.text, ok, v.Code, v.Certain)
		}
	}
}

// refusedBy has WeChat take the next message, and refuse it in the chat.
func (r *rig) refusedBy(notice string) {
	r.t.Helper()
	r.fault(sim.Fault{On: []string{"webwxsendmsg"}, Do: "notice", Text: notice, Count: 1})
}

func (r *rig) corrected(key string) wire.Delivery {
	r.t.Helper()
	var d wire.Delivery
	r.eventually(key+" is corrected", func() bool {
		d, _ = r.last("wechat.status.default.delivery." + key)
		return d.State == wire.Corrected
	})
	return d
}

// WeChat answers 0, and says in the chat that it refused: the delivery's record
// is corrected, in both languages, and nothing else is.
func TestRefusalsInTheChat(t *testing.T) {
	t.Parallel()
	r := newRig(t, sim.Options{})
	r.start()
	r.awaitConnected()
	cases := []struct{ to, notice, code string }{
		{"Alice", "消息已发出，但被对方拒收了。", "blocked_by_recipient"},
		{"Bob", "The message is successfully sent but rejected by the receiver.", "blocked_by_recipient"},
		{"Dave", "Dave开启了朋友验证，你还不是他（她）朋友。请先发送朋友验证请求，对方验证通过后，才能聊天。", "not_a_friend"},
		{"Erin", "Erin has enabled Friend Confirmation. You are not friends yet.", "not_a_friend"},
		{"Frank", "你撤回了一条消息", ""},
		{"Grace", "You have added Grace as your WeChat contact. Start chatting!", ""},
		{"Heidi", "发送消息过于频繁，等待对方接受你的好友请求后再发。", "too_often"},
		{"Team", "You are sending messages too often. Try again later.", "too_often"},
	}
	for n, c := range cases {
		id := fmt.Sprint("r", n)
		r.refusedBy(c.notice)
		r.text(id, c.to, strings.ToLower(c.to), "hello "+id)
		was := r.final(id)
		if c.code == "" {
			continue
		}
		d := r.corrected(id)
		if d.Was != wire.Sent || d.Code != c.code || !d.Certain || d.Attribution != "" || d.NoticeID == "" || d.NoticeID == d.MessageID ||
			d.MessageID == "" || d.FinishedAt == nil || was.FinishedAt == nil || !d.FinishedAt.Equal(*was.FinishedAt) || d.Message == "" {
			t.Errorf("%s: %+v", c.notice, d)
		}
	}
	r.eventually("all notices are events", func() bool { return len(r.messages()) == len(cases) })
	for n, want := range map[int]string{0: "accepted sending sent corrected", 4: "accepted sending sent", 5: "accepted sending sent"} {
		if got := r.chain(fmt.Sprint("r", n)); got != want {
			t.Errorf("%s: %s", cases[n].notice, got)
		}
	}
	r.told = nil
	r.reckon(0)
}

// After a restart it is still known what went out before: the refusal could be
// about that, too, but not about what was corrected already.
func TestARefusalAfterARestart(t *testing.T) {
	t.Parallel()
	r := newRig(t, sim.Options{})
	r.start()
	r.awaitConnected()
	r.refusedBy("消息已发出，但被对方拒收了。")
	r.text("a", "Alice", "alice", "one")
	r.corrected("a")
	r.text("b", "Alice", "alice", "two")
	r.final("b")
	r.stopWorker()
	r.start()
	r.awaitConnected()
	r.refusedBy("消息已发出，但被对方拒收了。")
	r.text("c", "Alice", "alice", "three")
	if d := r.corrected("c"); d.Attribution != wire.Inferred || d.Certain {
		t.Errorf("b or c: %+v", d)
	}
	for key, want := range map[string]string{"a": "accepted sending sent corrected", "b": "accepted sending sent"} {
		if got := r.chain(key); got != want {
			t.Errorf("%s: %s", key, got)
		}
	}
	r.reckon(0)
}
