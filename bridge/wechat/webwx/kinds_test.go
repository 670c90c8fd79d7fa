package webwx

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"wechat-bridge/bridge/sim"
	"wechat-bridge/bridge/wechat"
)

func TestIncomingKinds(t *testing.T) {
	w := newWorld(t)
	s := w.login(wechat.QR)
	quoted := w.say(sim.Message{From: "alice", Text: "the question"})
	w.byID(s, quoted)
	for name, c := range map[string]struct {
		say   sim.Message
		kind  wechat.Kind
		check func(*wechat.Message) bool
	}{
		"text":  {sim.Message{Text: "a\nb & <c> 😀"}, wechat.Text, func(m *wechat.Message) bool { return m.Text == "a\nb & <c> 😀" }},
		"image": {sim.Message{Type: "image", Data: pngBytes}, wechat.Image, holds(pngBytes)},
		"voice": {sim.Message{Type: "voice", Data: []byte("ID3voice")}, wechat.Voice, holds([]byte("ID3voice"))},
		"video": {sim.Message{Type: "video", Data: mp4Bytes}, wechat.Video, holds(mp4Bytes)},
		"short": {sim.Message{Type: "video", Data: mp4Bytes, Variant: "short"}, wechat.Video, holds(mp4Bytes)},
		"file": {sim.Message{Type: "file", Name: "a & b 😀.txt", Data: []byte("file body")}, wechat.File, func(m *wechat.Message) bool {
			return holds([]byte("file body"))(m) && m.Media.Name == "a & b 😀.txt" && m.Media.Size == 9 && strings.HasPrefix(m.Media.MIME, "text/plain")
		}},
		"emoticon": {sim.Message{Type: "emoticon", Data: gifBytes}, wechat.Emoticon, holds(gifBytes)},
		"location": {sim.Message{Type: "location", Name: "外滩", Text: "中山东一路", Lat: 31.24, Lon: 121.49}, wechat.Location, func(m *wechat.Message) bool {
			return m.Location.Latitude == 31.24 && m.Location.Longitude == 121.49 && m.Location.Label == "中山东一路" && m.Location.URL != ""
		}},
		"old place": {sim.Message{Type: "location", Variant: "old", Name: "外滩", Text: "路 <1>", Lat: -31.5, Lon: 121.5}, wechat.Location, func(m *wechat.Message) bool { return m.Location.Latitude == -31.5 && m.Location.Label == "路 <1>" }},
		"link": {sim.Message{Type: "link", Title: "T & <t>", Text: "D", URL: "https://e.org/?a=1&copy=2"}, wechat.Link, func(m *wechat.Message) bool {
			return m.Link.Title == "T & <t>" && m.Link.URL == "https://e.org/?a=1&copy=2" && m.Link.Description == "D" && m.Text == "T & <t>"
		}},
		"card":       {sim.Message{Type: "card", Card: "tom-jerry"}, wechat.Card, func(m *wechat.Message) bool { return m.Card.Name == "Tom & Jerry <3" && m.Card.ID != "" }},
		"card emoji": {sim.Message{Type: "card", Card: "panda"}, wechat.Card, func(m *wechat.Message) bool { return m.Card.Name == "Panda 🐼" }},
		"transfer":   {sim.Message{Type: "transfer", Title: "￥8.88", Text: "lunch"}, wechat.Transfer, func(m *wechat.Message) bool { return m.Link.Description == "￥8.88" && m.Text == "lunch" }},
		"packet":     {sim.Message{Type: "red_packet"}, wechat.RedPacket, func(m *wechat.Message) bool { return m.Text == "微信红包" }},
		"packet n":   {sim.Message{Type: "red_packet", Variant: "notice"}, wechat.RedPacket, func(m *wechat.Message) bool { return m.Text != "" }},
		"program":    {sim.Message{Type: "miniprogram", Title: "Shop", Name: "Prog"}, wechat.MiniProgram, func(m *wechat.Message) bool { return m.Link.Title == "Shop" && m.Link.App == "Prog" }},
		"quote": {sim.Message{Type: "quote", Text: "the answer", MsgID: quoted}, wechat.Quote, func(m *wechat.Message) bool {
			return m.Text == "the answer" && m.Quote.MessageID == quoted && m.Quote.FromName == "Alice" && m.Quote.Text == "the question" && m.Quote.Kind == wechat.Text
		}},
		"notice":  {sim.Message{Type: "notice", Text: "you are friends"}, wechat.Notice, func(m *wechat.Message) bool { return m.Text == "you are friends" }},
		"sys":     {sim.Message{Type: "notice", Text: "sys", Variant: "sys"}, wechat.Notice, func(m *wechat.Message) bool { return m.Text == "sys" }},
		"call":    {sim.Message{Type: "call"}, wechat.Call, func(*wechat.Message) bool { return true }},
		"unknown": {sim.Message{Type: "unknown", MsgType: 777, Text: "?"}, wechat.Other, func(m *wechat.Message) bool { return m.ProtoType == 777 && m.Text == "?" }},
	} {
		t.Run(name, func(t *testing.T) {
			c.say.From = "alice"
			e := w.byID(s, w.say(c.say))
			if e.Type != wechat.EventMessage || e.Message.Kind != c.kind || !c.check(e.Message) || e.Message.From.Name != "Alice" || len(e.Raw) == 0 || e.At.IsZero() {
				t.Errorf("event %+v\nmessage %+v link %+v place %+v card %+v quote %+v media %+v", e.ID, e.Message, e.Message.Link, e.Message.Location, e.Message.Card, e.Message.Quote, e.Message.Media)
			}
		})
	}
}

// holds downloads the medium and compares.
func holds(want []byte) func(*wechat.Message) bool {
	return func(m *wechat.Message) bool {
		if m.Media == nil || m.Media.Name == "" || m.Media.MIME == "" {
			return false
		}
		for range 2 { // Open may be called again
			r, err := m.Media.Open(noDeadline)
			if err != nil {
				return false
			}
			got, err := io.ReadAll(r)
			if err != nil || r.Close() != nil || !bytes.Equal(got, want) {
				return false
			}
		}
		return true
	}
}

func TestRecallAndFriendRequest(t *testing.T) {
	w := newWorld(t)
	s := w.login(wechat.QR)
	id := w.say(sim.Message{From: "alice", Room: "team", Text: "oops"})
	w.byID(s, id)
	w.say(sim.Message{From: "alice", Room: "team", Type: "recall", MsgID: id})
	e := w.event(s, func(e wechat.Event) bool { return e.Type == wechat.EventRecall })
	if e.Recall.MessageID != id || e.Recall.By.Name != "Alice" || e.Recall.Chat.Name != "Team" || !strings.Contains(e.Recall.Text, "撤回") || e.ID == id {
		t.Errorf("recall %+v", e.Recall)
	}
	w.say(sim.Message{From: "stranger", Type: "friend", Text: "let me in"})
	e = w.event(s, func(e wechat.Event) bool { return e.Type == wechat.EventFriend })
	if e.Friend.Text != "let me in" || e.Friend.Ticket == "" || e.Friend.From.Name != "Stranger" || e.Friend.From.ID == "" {
		t.Errorf("friend %+v", e.Friend)
	}
}

func TestRooms(t *testing.T) {
	w := newWorld(t)
	s := w.login(wechat.QR)
	e := w.byID(s, w.say(sim.Message{From: "carol", Room: "project", Text: "hello: all", Mention: []string{"self"}}))
	m := e.Message
	if m.Chat.Type != wechat.Room || m.Chat.Name != "Project X" || m.Member == nil || m.Member.Name != "Carol" || m.From.Remark != "Carol (Accounting)" || !m.Mentioned || m.Self {
		t.Errorf("message %+v member %+v", m, m.Member)
	}
	if m.Text != "@Bridge\u2005hello: all" {
		t.Errorf("text %q", m.Text)
	}
	e = w.byID(s, w.say(sim.Message{From: "bob", Room: "team", Text: "mind @Alice\u2005"}))
	if e.Message.Mentioned {
		t.Error("somebody else was mentioned")
	}
	e = w.byID(s, w.say(sim.Message{From: "bob", Room: "team", Text: "hear", Mention: []string{"all"}}))
	if !e.Message.Mentioned {
		t.Error("everybody is also us")
	}
	e = w.byID(s, w.say(sim.Message{From: "grace", Room: "hidden", Text: "a room that nobody knew"}))
	if e.Message.Chat.Name != "Hidden Room" || e.Message.Member.Name != "Grace" {
		t.Errorf("from an unknown room: %+v", e.Message)
	}
	e = w.byID(s, w.say(sim.Message{From: "trent", Room: "project", Text: "no friend"}))
	if e.Message.Member.Name != "Trent" || e.Message.Member.Type != wechat.Member {
		t.Errorf("member %+v", e.Message.Member)
	}
	e = w.byID(s, w.say(sim.Message{Type: "notice", Room: "team", Text: "Alice joined"}))
	if e.Message.Kind != wechat.Notice || e.Message.Member != nil || e.Message.Chat.Name != "Team" {
		t.Errorf("notice %+v", e.Message)
	}
}

func TestOwnMessagesFromThePhone(t *testing.T) {
	w := newWorld(t)
	s := w.login(wechat.QR)
	for say, chat := range map[*sim.Message]string{
		{From: "self", To: "bob", Text: "to bob"}:           "Bob",
		{From: "self", Room: "team", Text: "to the team"}:   "Team",
		{From: "self", To: "filehelper", Text: "to myself"}: "文件传输助手",
	} {
		e := w.byID(s, w.say(*say))
		m := e.Message
		if !m.Self || m.Chat.Name != chat || m.Text != say.Text || m.From.ID != s.me.ID || m.Mentioned {
			t.Errorf("%s: %+v", chat, m)
		}
	}
	const prefixed = "@a:\nwhat looks like a prefix"
	if e := w.byID(s, w.say(sim.Message{From: "self", Room: "team", Text: prefixed})); e.Message.Text != prefixed || !e.Message.Self {
		t.Errorf("message %+v", e.Message)
	}
	if p := w.peer("filehelper"); p.Type != wechat.Helper {
		t.Errorf("helper %+v", p)
	}
}

func TestTrap20TextDecodedTwice(t *testing.T) {
	w := newWorld(t)
	s := w.login(wechat.QR)
	for _, text := range []string{
		"&lt;b&gt;", "&amp;amp;", `<span class="emoji emoji1f604"></span>`, "<br/>", "a=1&copy=2", "&#60;", "😄 and &amp; 😄", "@a:<br/>b",
	} {
		if e := w.byID(s, w.say(sim.Message{From: "alice", Room: "team", Text: text})); e.Message.Text != text {
			t.Errorf("%q arrived as %q", text, e.Message.Text)
		}
		if e := w.byID(s, w.say(sim.Message{From: "alice", Text: text})); e.Message.Text != text {
			t.Errorf("%q arrived as %q", text, e.Message.Text)
		}
	}
}

func TestDecodeText(t *testing.T) {
	for give, want := range map[string]string{
		"":         "",
		"a<br/>b":  "a\nb",
		"a<BR />b": "a\nb",
		`<span class="emoji emoji1f1e81f1f3"></span>`:        "🇨🇳",
		`<span class="emoji emoji2320e3"></span>`:            "#⃣",
		`<span class="emoji emoji2600"></span>`:              "☀",
		`<span class="emoji emoji1f468200d1f469"></span>`:    "👨\u200d👩",
		`<span class="emoji emojid83dde04"></span>`:          "[emoji]",
		`x&lt;y&gt;z&quot;&#39;&amp;lt;`:                     `x<y>z"'&lt;`,
		`&lt;span class="emoji emoji1f604"&gt;&lt;/span&gt;`: `<span class="emoji emoji1f604"></span>`,
		"&#0;&#xD800;&#99999999999;":                         "\uFFFD\uFFFD&#99999999999;",
	} {
		if got := decodeText(give); got != want {
			t.Errorf("%q: got %q, want %q", give, got, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(1, 0, "@abc:<br/>hi &amp; <span class=\"emoji emoji1f604\"></span>", "", "@@room")
	f.Add(49, 57, "&lt;msg&gt;&lt;appmsg&gt;&lt;type&gt;57&lt;/type&gt;&lt;refermsg&gt;&lt;type&gt;49&lt;/type&gt;&lt;/refermsg&gt;&lt;/appmsg&gt;&lt;/msg&gt;", "", "@a")
	f.Add(10002, 0, "&amp;lt;sysmsg type=&amp;quot;revokemsg&amp;quot;&amp;gt;", "", "@@r")
	f.Add(1, 0, "x:<br/>/cgi?pictype=location", "http://apis.map.qq.com/?coord=1,2", "@a")
	f.Add(42, 0, "<msg nickname='a<b' ", "%zz", "")
	f.Add(37, 0, "<a><a><a><a>", "", "fmessage")
	w := newWorld(f)
	s := w.login(wechat.QR)
	f.Fuzz(func(t *testing.T, kind, app int, content, link, from string) {
		m := &rawMessage{MsgID: "1", MsgType: kind, AppMsgType: app, Content: content, OriContent: content, URL: link, FromUserName: from, ToUserName: s.me.ID}
		var e wechat.Event
		s.decode(m, &e) // without the net of event(): a panic fails here
		if e.Type == wechat.EventMessage && (e.Message == nil || e.Message.Kind == "") {
			t.Errorf("no message: %+v", e)
		}
		if utf8.ValidString(content) && e.Message != nil && !utf8.ValidString(e.Message.Text) {
			t.Errorf("decoding broke the text: %q", e.Message.Text)
		}
	})
}

func TestPanickingParserKeepsTheMessage(t *testing.T) {
	w := newWorld(t)
	s := w.login(wechat.QR)
	s.people, s.me.ID = nil, "" // decoding cannot work like this
	e := s.event(&rawMessage{MsgID: "9", MsgType: 1, Content: "x", FromUserName: "@a"}, []byte(`{"MsgId":"9"}`))
	if e.Type != wechat.EventMessage || e.Message.Kind != wechat.Other || e.ID != "9" || string(e.Raw) != `{"MsgId":"9"}` {
		t.Errorf("event %+v", e)
	}
	s.people = newPeople(w.tr, s.line, s.me)
}

func TestMessagesOfAnotherFormAreNotDropped(t *testing.T) {
	w := newWorld(t)
	s := w.login(wechat.QR)
	raws := []string{`5`, `{"MsgId":7,"MsgType":"x","Content":"kept"}`, `{"MsgId":null,"NewMsgId":9007199254740993,"MsgType":1}`, `{"MsgType":1}`}
	a := &syncAnswer{}
	for _, r := range raws {
		a.AddMsgList = append(a.AddMsgList, []byte(r))
	}
	events := s.events(w.ctx(), a, position{})
	if len(events) != len(raws) {
		t.Fatalf("%d events", len(events))
	}
	for i, e := range events {
		if e.ID == "" || e.Message == nil || string(e.Raw) != raws[i] {
			t.Errorf("event %+v", e)
		}
	}
	if events[1].ID != "7" || events[1].Message.Kind != wechat.Other || events[2].ID != "9007199254740993" || events[3].ID == events[0].ID {
		t.Errorf("events %+v", events)
	}
}
