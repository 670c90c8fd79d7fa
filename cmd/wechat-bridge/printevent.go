package main

import (
	"fmt"
	"strings"
	"time"

	"wechat-bridge/bridge/wire"
)

// event prints what happens on WeChat beside messages.
func (p printer) event(env wire.Envelope) (line string, known bool) {
	switch env.Type {
	case wire.TypeRecall:
		return describe(env, p.recall), true
	case wire.TypeFriend:
		return describe(env, p.friend), true
	case wire.TypeRoom:
		return p.label("room", "群聊变化") + describe(env, p.change), true
	case wire.TypeContact:
		return p.label("contact", "联系人变化") + describe(env, p.change), true
	case wire.TypeChat:
		return describe(env, p.chat), true
	case wire.TypeGap:
		return describe(env, p.gap), true
	}
	return "", false
}

func (p printer) recall(r wire.Recall) string {
	s := fmt.Sprintf(p.t.say("%s%s › %s took back %s", "%s%s › %s 撤回了 %s"),
		p.label("recall", "撤回"), peerName(r.Chat), peerName(r.By), wire.Printable(r.MessageID, 40))
	if r.Text != "" {
		s += ": " + wire.Printable(r.Text, 300)
	}
	return s
}

func (p printer) friend(f wire.FriendRequest) string {
	s := fmt.Sprintf(p.t.say("%s%s wants to be a friend", "%s%s 请求添加好友"), p.label("friend", "好友请求"), peerName(f.From))
	if f.Text != "" {
		s += ": " + wire.Printable(f.Text, 300)
	}
	return s
}

// changes are the actions of a change of a room or a contact.
var changes = map[string]string{"added": "新增", "removed": "移除", "renamed": "改名", "updated": "更新", "members": "成员变化"}

func (p printer) change(c wire.Change) string {
	action := wire.Printable(c.Action, 40)
	s := peerName(c.Peer) + ": " + p.t.say(action, orSame(changes[action], action))
	if c.OldName != "" {
		s += fmt.Sprintf(p.t.say(", before: %s", "，原名：%s"), wire.Printable(c.OldName, 64))
	}
	if c.By != nil {
		s += fmt.Sprintf(p.t.say(", by %s", "，操作者：%s"), peerName(*c.By))
	}
	if len(c.Members) > 0 {
		s += ": " + peerNames(c.Members)
	}
	return s
}

func orSame(word, same string) string {
	if word == "" {
		return same
	}
	return word
}

// shownMembers bounds how many names one line has.
const shownMembers = 10

func peerNames(peers []wire.Peer) string {
	names := make([]string, 0, shownMembers+1)
	for i, peer := range peers {
		if i == shownMembers {
			names = append(names, fmt.Sprintf("… (%d)", len(peers)))
			break
		}
		names = append(names, peerName(peer))
	}
	return strings.Join(names, ", ")
}

func (p printer) chat(c wire.Chat) string {
	s := p.label("chat", "会话") + peerName(c.Chat) + ": "
	if c.OpenUntil == nil {
		return s + p.t.say("closed", "不可发送")
	}
	return s + fmt.Sprintf(p.t.say("open until %s, %d replies left", "可发送至 %s，还可回复 %d 条"), c.OpenUntil.Local().Format(time.DateTime), c.RepliesLeft)
}

func (p printer) gap(g wire.Gap) string {
	return fmt.Sprintf(p.t.say("%swhat happened from %s to %s is not known: %s", "%s%s 至 %s 期间的消息未知：%s"), p.label("gap", "空缺"),
		g.From.Local().Format(time.DateTime), g.To.Local().Format(time.DateTime), wire.Printable(g.Reason, 200))
}
