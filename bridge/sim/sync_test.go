package sim

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"
)

// texts are the contents of messages that are no status notices.
func texts(m map[string]any) []string {
	var list []string
	for _, v := range m["AddMsgList"].([]any) {
		if msg := v.(map[string]any); fmt.Sprint(msg["MsgType"]) != "51" {
			list = append(list, msg["Content"].(string))
		}
	}
	return list
}

func say(t *testing.T, s *Server, m Message) string {
	t.Helper()
	id, err := s.Say(m)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestPollIsHeldUntilSomethingHappens(t *testing.T) {
	s := start(t, func(o *Options) { o.Hold = time.Minute })
	c := newClient(t, s)
	c.login()
	got := make(chan string, 1)
	go func() {
		code, sel := c.syncCheck()
		got <- code + "/" + sel
	}()
	waitFor(t, func() bool { return s.Requests("synccheck") == 1 })
	select {
	case g := <-got:
		t.Fatalf("answered %s without an event", g)
	default:
	}
	say(t, s, Message{From: "alice", Text: "hi"})
	if g := <-got; g != "0/2" {
		t.Errorf("%s, want 0/2", g)
	}
	go func() {
		c.sync()
		code, sel := c.syncCheck()
		got <- code + "/" + sel
	}()
	waitFor(t, func() bool { return s.Requests("synccheck") == 2 })
	must(t, s.Logout(1101))
	if g := <-got; g != "1101/0" {
		t.Errorf("%s, want 1101/0", g)
	}
}

func TestPollEndsAfterHold(t *testing.T) {
	s := start(t, func(o *Options) { o.Hold = 20 * time.Millisecond })
	c := newClient(t, s)
	c.login()
	if code, sel := c.syncCheck(); code != "0" || sel != "0" {
		t.Errorf("%s/%s", code, sel)
	}
}

func TestOldSyncKeyReplays(t *testing.T) {
	s := start(t, nil)
	c := newClient(t, s)
	c.login()
	initKey := c.key
	if n := len(initKey["List"].([]any)); n != 4 {
		t.Errorf("init has %d keys", n)
	}
	for _, text := range []string{"one", "two"} {
		say(t, s, Message{From: "alice", Text: text})
		c.sync()
	}
	if n := len(c.key["List"].([]any)); n != 10 {
		t.Errorf("sync has %d keys", n)
	}
	newest := c.key
	if got := texts(c.sync()); len(got) != 0 {
		t.Errorf("told again: %v", got)
	}
	c.setKey(initKey)
	if code, sel := c.syncCheck(); code != "0" || sel != "2" {
		t.Errorf("old key: %s/%s", code, sel)
	}
	first, second := c.sync(), c.sync()
	if got := texts(first); fmt.Sprint(got) != "[one two]" {
		t.Errorf("replay: %v", got)
	}
	if got := texts(second); len(got) != 0 {
		t.Errorf("after the replay: %v", got)
	}
	if fmt.Sprint(c.key["List"].([]any)[0]) != fmt.Sprint(newest["List"].([]any)[0]) {
		t.Errorf("position %v, want %v", c.key, newest)
	}
	c.key = map[string]any{"Count": 0, "List": []any{}}
	m := c.post("webwxsync", nil, map[string]any{"SyncKey": c.key})
	c.wantRet(m, retParam)
	for _, field := range []string{"AddMsgList", "ModContactList", "DelContactList", "ModChatRoomMemberList", "SyncKey", "SyncCheckKey"} {
		if m[field] == nil {
			t.Errorf("a refusal has no %s", field)
		}
	}
}

func TestSyncAndCheckKeysDiffer(t *testing.T) {
	s := start(t, nil)
	c := newClient(t, s)
	c.login()
	say(t, s, Message{From: "alice", Text: "x"})
	m := c.sync()
	if fmt.Sprint(m["SyncKey"]) == fmt.Sprint(m["SyncCheckKey"]) {
		t.Error("they are the same")
	}
	c.setKey(m["SyncCheckKey"].(map[string]any))
	if code, sel := c.syncCheck(); code != "0" || sel != "0" {
		t.Errorf("%s/%s", code, sel)
	}
}

func TestLargeBatchesAreContinued(t *testing.T) {
	s := start(t, nil)
	c := newClient(t, s)
	c.login()
	for i := range batchSize + 5 {
		say(t, s, Message{From: "bob", Text: fmt.Sprint(i)})
	}
	m := c.sync()
	if len(texts(m)) != batchSize || fmt.Sprint(m["ContinueFlag"]) != "1" {
		t.Errorf("%d messages, ContinueFlag %v", len(texts(m)), m["ContinueFlag"])
	}
	m = c.sync()
	if got := texts(m); len(got) != 5 || got[4] != fmt.Sprint(batchSize+4) || fmt.Sprint(m["ContinueFlag"]) != "0" {
		t.Errorf("%v, ContinueFlag %v", got, m["ContinueFlag"])
	}
}

func TestResumedSessionGoesOnWhereTheClientWas(t *testing.T) {
	s := start(t, nil)
	c := newClient(t, s)
	c.login()
	say(t, s, Message{From: "alice", Text: "one"})
	c.sync()
	say(t, s, Message{From: "alice", Text: "two"})
	c.sync() // shows the key behind "one"
	self := c.self
	c.init()
	if got := texts(c.sync()); fmt.Sprint(got) != "[two]" || c.self != self {
		t.Errorf("after another init: %v", got)
	}
}

func TestMissedMessagesAreToldAtTheNextLogin(t *testing.T) {
	for retell, want := range map[string]string{"missed": "[while out]", "all": "[seen while out]", "off": "[]"} {
		t.Run(retell, func(t *testing.T) {
			s := start(t, func(o *Options) { o.Retell = retell })
			c := newClient(t, s)
			c.login()
			id := say(t, s, Message{From: "alice", Text: "seen"})
			if got := c.next(); got[0]["MsgId"] != id {
				t.Error(got)
			}
			must(t, s.Logout(0))
			missed := say(t, s, Message{From: "alice", Text: "while out"})
			c.login()
			m := c.sync()
			if got := texts(m); fmt.Sprint(got) != want {
				t.Errorf("told %v, want %s", got, want)
			}
			if retell == "missed" {
				if got := m["AddMsgList"].([]any)[0].(map[string]any); got["MsgId"] != missed {
					t.Errorf("another id: %v", got["MsgId"])
				}
			}
		})
	}
}

func TestOnlyTheNewestMissedMessagesAreTold(t *testing.T) {
	s := start(t, nil)
	c := newClient(t, s)
	for i := range 30 {
		say(t, s, Message{From: "alice", Text: fmt.Sprint(i)})
	}
	c.login()
	if got := texts(c.sync()); len(got) != 20 || got[19] != "29" {
		t.Errorf("%v", got)
	}
}

func TestStatusNoticeAfterLogin(t *testing.T) {
	s := start(t, nil)
	c := newClient(t, s)
	c.login()
	notify := func() {
		c.wantRet(c.post("webwxstatusnotify", nil, map[string]any{"Code": 3, "FromUserName": c.self, "ToUserName": c.self, "ClientMsgId": 1}), 0)
	}
	notify()
	c.login() // nobody fetched the notice of the first login
	if code, sel := c.syncCheck(); code != "0" || sel != "0" {
		t.Errorf("the notice of another login waits: %s/%s", code, sel)
	}
	notify()
	notify()
	list := c.sync()["AddMsgList"].([]any)
	if len(list) != 1 {
		t.Fatalf("%d messages", len(list))
	}
	m := list[0].(map[string]any)
	if fmt.Sprintf("%v %v", m["MsgType"], m["StatusNotifyCode"]) != "51 4" || !strings.Contains(m["StatusNotifyUserName"].(string), c.names["Team"]) {
		t.Errorf("%v", m)
	}
	c.login()
	if got := c.sync()["AddMsgList"].([]any); len(got) != 0 {
		t.Errorf("the notice of another login: %v", got)
	}
}

func TestEcho(t *testing.T) {
	for echo, want := range map[string]int{"off": 0, "on": 20, "sometimes": -1} {
		s := start(t, func(o *Options) { o.Echo = echo })
		c := newClient(t, s)
		c.login()
		for range 20 {
			c.wantRet(c.text(c.names["Alice"], "mine"), 0)
		}
		got := len(texts(c.sync()))
		if want >= 0 && got != want || want < 0 && (got == 0 || got == 20) {
			t.Errorf("%s: %d came back", echo, got)
		}
	}
}

// An own file comes back with the bytes that were sent.
func TestEchoOfAFile(t *testing.T) {
	_, c := loggedIn(t, func(o *Options) { o.Echo = "on" })
	id, code := c.upload("filehelper", "a.txt", []byte("mine"), nil)
	if code != "0" {
		t.Fatalf("upload: %s", code)
	}
	content := `<appmsg><title>a.txt</title><type>6</type><appattach><totallen>4</totallen><attachid>` + id + `</attachid></appattach></appmsg>`
	c.wantRet(c.post("webwxsendappmsg", nil, c.msg(6, "filehelper", map[string]any{"Content": content})), 0)
	m := c.next()[0]
	q := url.Values{"sender": {c.self}, "mediaid": {m["MediaId"].(string)}, "encryfilename": {"a.txt"}, "fromuser": {c.uin},
		"pass_ticket": {c.pass}, "webwx_data_ticket": {c.cookie("file.wx.qq.com", "webwx_data_ticket")}}
	if _, got := c.get("https://file.wx.qq.com" + cgiBin + "webwxgetmedia?" + q.Encode()); got != "mine" {
		t.Errorf("the echo's file is %q", got)
	}
}

func TestOldEventsAreForgotten(t *testing.T) {
	var l eventLog
	for range 3 * maxEvents {
		l.add(event{kind: evMessage, msg: &chatMessage{}})
	}
	if len(l.events) > 2*maxEvents || l.end() != 3*maxEvents {
		t.Errorf("%d kept, end %d", len(l.events), l.end())
	}
	if got := l.after(0); got[0].pos != l.first+1 || len(l.after(l.end())) != 0 || l.after(l.end() - 1)[0].pos != l.end() {
		t.Errorf("positions: %d, first %d", got[0].pos, l.first)
	}
}
