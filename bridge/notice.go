package bridge

import (
	"context"
	"strings"

	"wechat-bridge/bridge/outbox"
	"wechat-bridge/bridge/wechat"
	"wechat-bridge/classifier"
)

// notice hears of each system message in a chat: WeChat takes a message, and
// says there that it was refused.
func (a *account) notice(ctx context.Context, e wechat.Event) error {
	v, ok := refusalOf(classifier.Transport(a.transport.Name()), e.Message)
	if !ok {
		return nil
	}
	return a.outbox.Refused(ctx, outbox.Refusal{PeerID: e.Message.Chat.ID, NoticeID: e.ID, At: e.At, Verdict: v})
}

// refusing are the codes that say in a chat that a message was refused, and
// where they can: in a room nobody's friendship counts, and a sentence about
// friends is about its members there.
var refusing = map[string]struct{ friends, rooms bool }{
	"not_a_friend":         {friends: true},
	"blocked_by_recipient": {friends: true},
	"left_room":            {rooms: true},
	"too_often":            {friends: true, rooms: true},
}

// refusalOf says whether a system message refuses a message of ours.
func refusalOf(t classifier.Transport, m *wechat.Message) (classifier.Verdict, bool) {
	text := nameless(m)
	if text == "" || strings.HasPrefix(text, "<") { // XML is no sentence
		return classifier.Verdict{}, false
	}
	v := classifier.Judge(&classifier.Fault{Transport: t, Op: classifier.OpSend, Phase: classifier.PhaseAnswer, Text: text})
	where := refusing[v.Code]
	if m.Chat.Type == wechat.Room {
		return v, where.rooms
	}
	return v, where.friends
}

// quotes are what WeChat writes around a name or a text of a person.
var quotes = []struct{ open, end string }{{"“", "”"}, {`"`, `"`}, {"「", "」"}}

// nameless is the sentence without the words of people, who may be called
// anything, such as 被对方拒收: what is quoted, and the first place that has the
// chat's name.
func nameless(m *wechat.Message) string {
	text := strings.TrimSpace(m.Text)
	for _, name := range []string{m.Chat.Remark, m.Chat.Name} {
		if name != "" {
			text = strings.Replace(text, name, "", 1)
		}
	}
	for _, q := range quotes {
		text = unquoted(text, q.open, q.end)
	}
	return strings.TrimSpace(text)
}

// unquoted cuts from each opening quote to the last end, as a name may have
// quotes itself.
func unquoted(text, open, end string) string {
	before, rest, found := strings.Cut(text, open)
	if !found {
		return text
	}
	if i := strings.LastIndex(rest, end); i >= 0 {
		return before + rest[i+len(end):]
	}
	return before
}
