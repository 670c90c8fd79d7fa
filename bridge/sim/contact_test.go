package sim

import (
	"fmt"
	"strings"
	"testing"
)

func find(list []map[string]any, nick string) map[string]any {
	for _, u := range list {
		if u["NickName"] == nick {
			return u
		}
	}
	return nil
}

func TestUserNamesAreNewAtEachLogin(t *testing.T) {
	s := start(t, nil)
	c := newClient(t, s)
	c.login()
	c.contacts()
	alice, team := c.names["Alice"], c.names["Team"]
	if !strings.HasPrefix(alice, "@") || len(alice) != 33 && len(alice) != 65 || !strings.HasPrefix(team, "@@") || len(team) != 66 {
		t.Errorf("names %q, %q", alice, team)
	}
	c.login()
	c.contacts()
	if c.names["Alice"] == alice || c.names["Team"] == team || c.names["文件传输助手"] != "filehelper" {
		t.Error("the same names")
	}
	c.wantRet(c.text(alice, "to an old name"), retSystem)
	c.wantRet(c.text(team, "to an old name"), retSystem)
	c.wantRet(c.text("@0123", "to nobody"), retSystem)
	if n := len(s.Sent()); n != 0 {
		t.Errorf("%d accepted", n)
	}
}

func TestContactList(t *testing.T) {
	s := start(t, func(o *Options) { o.World = DefaultWorld(); o.World.PageSize = 7 })
	c := newClient(t, s)
	c.login()
	list := c.contacts()
	if len(list) != 3+30+1+2 || s.Requests("webwxgetcontact") != 6 {
		t.Errorf("%d contacts in %d pages", len(list), s.Requests("webwxgetcontact"))
	}
	if u := find(list, "Panda <span class=\"emoji emoji1f43c\"></span>"); u == nil {
		t.Error("no emoji span")
	}
	if u := find(list, "Tom &amp; Jerry &lt;3"); u == nil {
		t.Error("names are not escaped")
	}
	if u := find(list, "Carol"); u["RemarkName"] != "Carol (Accounting)" {
		t.Errorf("%v", u)
	}
	if u := find(list, "每日新闻"); fmt.Sprint(u["VerifyFlag"]) != "24" {
		t.Errorf("%v", u)
	}
	team := find(list, "Team")
	if fmt.Sprint(team["MemberCount"], len(team["MemberList"].([]any)), team["Sex"], team["IsOwner"]) != "0 0 0 1" {
		t.Errorf("%v", team)
	}
	if find(list, "Hidden Room") != nil || find(list, "Attic") != nil || find(list, "Project X") != nil || find(list, "Stranger") != nil {
		t.Error("somebody is listed who is no contact")
	}
	if c.names["Project X"] == "" {
		t.Error("an active room is not among the chats of init")
	}
}

// batch asks for user names and returns the answers.
func (c *client) batch(names ...string) []map[string]any {
	c.t.Helper()
	m := c.post("webwxbatchgetcontact", nil, batchOf(names...))
	c.wantRet(m, 0)
	var list []map[string]any
	for _, v := range m["ContactList"].([]any) {
		list = append(list, v.(map[string]any))
	}
	return list
}

func batchOf(names ...string) map[string]any {
	list := make([]map[string]any, 0, len(names))
	for _, n := range names {
		list = append(list, map[string]any{"UserName": n, "EncryChatRoomId": ""})
	}
	return map[string]any{"Count": len(names), "List": list}
}

func TestBatchGetContact(t *testing.T) {
	s := start(t, nil)
	c := newClient(t, s)
	c.login()
	c.contacts()
	got := c.batch(c.names["Bob"], "@nobody", c.names["Project X"], "filehelper")
	if len(got) != 4 || got[0]["NickName"] != "Bob" || got[1]["UserName"] != "@nobody" || got[1]["NickName"] != "" || got[3]["UserName"] != "filehelper" {
		t.Errorf("%v", got)
	}
	room := got[2]
	members := room["MemberList"].([]any)
	if fmt.Sprintf("%v %v", room["MemberCount"], room["Statues"]) != "5 1" || len(members) != 5 {
		t.Fatalf("%v", room)
	}
	var display string
	for _, v := range members {
		if m := v.(map[string]any); m["UserName"] == c.self {
			display = m["DisplayName"].(string)
		}
	}
	if display != "Bridge" {
		t.Errorf("own name in the room: %q", display)
	}
	var many []string
	for range maxBatch {
		many = append(many, "filehelper")
	}
	c.batch(many...)
	c.wantRet(c.post("webwxbatchgetcontact", nil, batchOf(append(many, "filehelper")...)), retParam)
}

func TestRoomsAreInvisibleUntilActive(t *testing.T) {
	s := start(t, nil)
	c := newClient(t, s)
	c.login()
	say(t, s, Message{From: "frank", Room: "hidden", Text: "psst"})
	m := c.sync()
	rooms := m["ModContactList"].([]any)
	if len(rooms) != 1 || rooms[0].(map[string]any)["NickName"] != "Hidden Room" || fmt.Sprint(m["ModContactCount"]) != "1" {
		t.Fatalf("%v", rooms)
	}
	name := rooms[0].(map[string]any)["UserName"].(string)
	if got := m["AddMsgList"].([]any)[0].(map[string]any); got["FromUserName"] != name {
		t.Errorf("message from %v", got["FromUserName"])
	}
	c.wantRet(c.text(name, "hello"), 0)
	if e := s.Sent()[0]; e.ToID != "hidden" || e.ToName != "Hidden Room" {
		t.Errorf("%+v", e)
	}
	c.login()
	if c.names["Hidden Room"] == "" {
		t.Error("it is invisible at the next login")
	}
	must(t, s.ChangeRoom(RoomChange{Do: "save", Room: "attic"}))
	if find(c.contacts(), "Attic") == nil {
		t.Error("a saved room is not in the contact list")
	}
}

func TestContactChanges(t *testing.T) {
	s := start(t, nil)
	c := newClient(t, s)
	c.login()
	c.contacts()
	change := func(ch ContactChange, sel string) map[string]any {
		t.Helper()
		must(t, s.ChangeContact(ch))
		if code, got := c.syncCheck(); code != "0" || got != sel {
			t.Errorf("%v: %s/%s, want selector %s", ch, code, got, sel)
		}
		return c.sync()
	}
	first := func(m map[string]any, list string) map[string]any {
		t.Helper()
		if len(m[list].([]any)) != 1 {
			t.Fatalf("%s: %v", list, m[list])
		}
		return m[list].([]any)[0].(map[string]any)
	}
	if u := first(change(ContactChange{Do: "add", ID: "zoe", Name: "Zoe"}, "4"), "ModContactList"); u["NickName"] != "Zoe" {
		t.Errorf("%v", u)
	}
	if u := first(change(ContactChange{Do: "rename", ID: "alice", Name: "Alice II"}, "4"), "ModContactList"); u["UserName"] != c.names["Alice"] || u["NickName"] != "Alice II" {
		t.Errorf("%v", u)
	}
	if u := first(change(ContactChange{Do: "remark", ID: "bob", Name: "Bobby"}, "4"), "ModContactList"); u["RemarkName"] != "Bobby" {
		t.Errorf("%v", u)
	}
	if u := first(change(ContactChange{Do: "delete", ID: "erin"}, "6"), "DelContactList"); u["UserName"] != c.names["Erin"] {
		t.Errorf("%v", u)
	}
	list := c.contacts()
	if find(list, "Erin") != nil || find(list, "Zoe") == nil || find(list, "Alice II") == nil {
		t.Error("the contact list is the old one")
	}
	if u := first(change(ContactChange{Do: "add", ID: "erin"}, "2"), "ModContactList"); u["NickName"] != "Erin" {
		t.Errorf("%v", u)
	}
	for _, bad := range []ContactChange{{Do: "x", ID: "alice"}, {Do: "rename", ID: "nobody"}, {Do: "add", ID: "A B"}, {Do: "add", ID: "new", Kind: "x"}} {
		if err := s.ChangeContact(bad); err == nil {
			t.Errorf("%v was taken", bad)
		}
	}
}

func TestRoomChanges(t *testing.T) {
	s := start(t, nil)
	c := newClient(t, s)
	c.login()
	do := func(ch RoomChange) map[string]any {
		t.Helper()
		must(t, s.ChangeRoom(ch))
		return c.sync()
	}
	m := do(RoomChange{Do: "join", Room: "team", Member: "carol", By: "alice"})
	room := m["ModChatRoomMemberList"].([]any)[0].(map[string]any)
	if fmt.Sprint(room["MemberCount"]) != "4" || fmt.Sprint(texts(m)) != `["Alice"邀请"Carol"加入了群聊]` {
		t.Errorf("%v %v", room["MemberCount"], texts(m))
	}
	m = do(RoomChange{Do: "leave", Room: "team", Member: "bob"})
	if room := m["ModChatRoomMemberList"].([]any)[0].(map[string]any); fmt.Sprint(room["MemberCount"]) != "3" {
		t.Errorf("%v", room)
	}
	m = do(RoomChange{Do: "rename", Room: "team", By: "alice", Name: "A-Team"})
	if room := m["ModContactList"].([]any)[0].(map[string]any); room["NickName"] != "A-Team" || !strings.Contains(texts(m)[0], "修改群名为“A-Team”") {
		t.Errorf("%v %v", room, texts(m))
	}
	m = do(RoomChange{Do: "create", Room: "new", Name: "New", Members: []string{"alice", "bob"}, By: "alice"})
	if room := m["ModContactList"].([]any)[0].(map[string]any); room["NickName"] != "New" || fmt.Sprint(room["IsOwner"]) != "0" {
		t.Errorf("%v", room)
	}
	m = do(RoomChange{Do: "leave", Room: "team", Member: "self", By: "alice"})
	if gone := m["DelContactList"].([]any); len(gone) != 1 || gone[0].(map[string]any)["UserName"] != c.names["Team"] {
		t.Errorf("%v", gone)
	}
	c.wantRet(c.text(c.names["Team"], "still there?"), 0)
	if e := s.Sent()[0]; e.Notice != noticeLeft {
		t.Errorf("%+v", e)
	}
	for _, bad := range []RoomChange{{Do: "x", Room: "new"}, {Do: "join", Room: "nowhere"}, {Do: "join", Room: "new", Member: "nobody"},
		{Do: "leave", Room: "new", Member: "carol"}, {Do: "rename", Room: "new"}, {Do: "create", Room: "new"}, {Do: "create", Room: "x", Members: []string{"nobody"}}} {
		if err := s.ChangeRoom(bad); err == nil {
			t.Errorf("%v was taken", bad)
		}
	}
}

// 5,000 contacts can be listed, and cost nothing per message.
func TestManyContacts(t *testing.T) {
	s, c := loggedIn(t, func(o *Options) { o.World = DefaultWorld().WithContacts(5000) })
	if n := len(c.contacts()); n < 5000 || s.State().Contacts != 5000 {
		t.Errorf("%d contacts, state says %d", n, s.State().Contacts)
	}
	allocs := func(o Options) float64 {
		o, err := o.withDefaults()
		must(t, err)
		w := newWeb(newAccount(o, newRand(1), newLedger()))
		w.session = w.newSession("")
		var req sendRequest
		req.Msg.ToUserName = w.session.name("alice", false)
		return testing.AllocsPerRun(500, func() {
			w.accept(w.session, call{}, &req, "alice", draft{kind: "text", content: "x"})
			w.tell(w.session, w.log.end())
		})
	}
	few, many := allocs(Options{Seed: 3}), allocs(Options{Seed: 3, World: DefaultWorld().WithContacts(5000)})
	if many > few+2 {
		t.Errorf("%v allocations a message with 5,000 contacts, %v with 30", many, few)
	}
}
