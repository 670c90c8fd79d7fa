package sim

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"
)

func loggedIn(t *testing.T, change func(*Options)) (*Server, *client) {
	t.Helper()
	s := start(t, change)
	c := newClient(t, s)
	c.login()
	c.contacts()
	return s, c
}

func TestTextReachesTheLedger(t *testing.T) {
	s, c := loggedIn(t, nil)
	for i, to := range []string{"filehelper", c.names["Alice"], c.names["Team"], c.names["每日新闻"], c.self} {
		m := c.text(to, fmt.Sprint("text ", i))
		c.wantRet(m, 0)
		e := s.Sent()[i]
		want := []string{"filehelper", "alice", "team", "news", "self"}[i]
		if e.ToID != want || e.To != to || e.Seq != i+1 || e.Type != "text" || e.Content != fmt.Sprint("text ", i) ||
			m["MsgID"] != e.MsgID || m["LocalID"] != e.ClientMsgID || len(e.MsgID) != 19 || e.Login != 1 {
			t.Errorf("%+v, answer %v", e, m)
		}
	}
	if e := s.Sent()[0]; e.ToName != "文件传输助手" {
		t.Errorf("%+v", e)
	}
}

func TestClientMsgIDAsNumber(t *testing.T) {
	s, c := loggedIn(t, nil)
	m := c.post("webwxsendmsg", nil, c.msg(1, "filehelper", map[string]any{"Content": "x", "ClientMsgId": 1700000000000123, "LocalID": 1700000000000123}))
	c.wantRet(m, 0)
	if e := s.Sent()[0]; e.ClientMsgID != "1700000000000123" || m["LocalID"] != "1700000000000123" {
		t.Errorf("%+v %v", e, m)
	}
}

func TestSendsThatAreRefused(t *testing.T) {
	s, c := loggedIn(t, nil)
	id, _ := c.upload("filehelper", "a.png", sample("image", 1), nil)
	for name, bad := range map[string]struct {
		endpoint string
		body     map[string]any
		want     int
	}{
		"empty text":      {"webwxsendmsg", c.msg(1, "filehelper", nil), retParam},
		"long text":       {"webwxsendmsg", c.msg(1, "filehelper", map[string]any{"Content": strings.Repeat("字", maxText+1)}), retParam},
		"type":            {"webwxsendmsg", c.msg(3, "filehelper", map[string]any{"Content": "x"}), retParam},
		"from another":    {"webwxsendmsg", c.msg(1, "filehelper", map[string]any{"Content": "x", "FromUserName": c.names["Bob"]}), retSystem},
		"to nobody":       {"webwxsendmsg", c.msg(1, "@x", map[string]any{"Content": "x"}), retSystem},
		"image unknown":   {"webwxsendmsgimg", c.msg(3, "filehelper", map[string]any{"MediaId": "@crypt_x"}), retParam},
		"image no id":     {"webwxsendmsgimg", c.msg(3, "filehelper", nil), retParam},
		"image type":      {"webwxsendmsgimg", c.msg(1, "filehelper", map[string]any{"MediaId": id}), retParam},
		"video type":      {"webwxsendvideomsg", c.msg(3, "filehelper", map[string]any{"MediaId": id}), retParam},
		"emoticon":        {"webwxsendemoticon", c.msg(47, "filehelper", map[string]any{"EmojiFlag": 2, "EMoticonMd5": "short"}), retParam},
		"app no xml":      {"webwxsendappmsg", c.msg(6, "filehelper", map[string]any{"Content": "x"}), retParam},
		"app other type":  {"webwxsendappmsg", c.msg(5, "filehelper", map[string]any{"Content": "<appmsg><type>6</type></appmsg>"}), retParam},
		"file not there":  {"webwxsendappmsg", c.msg(6, "filehelper", map[string]any{"Content": "<appmsg><type>6</type></appmsg>"}), retParam},
		"file length":     {"webwxsendappmsg", c.msg(6, "filehelper", map[string]any{"Content": "<appmsg><type>6</type><appattach><totallen>1</totallen><attachid>" + id + "</attachid></appattach></appmsg>"}), retParam},
		"revoke of what":  {"webwxrevokemsg", map[string]any{"SvrMsgId": "1", "ToUserName": "filehelper", "ClientMsgId": "1"}, retSystem},
		"read mark":       {"webwxstatusnotify", map[string]any{"Code": 1, "FromUserName": c.self, "ToUserName": "@x"}, retSystem},
		"remark":          {"webwxoplog", map[string]any{"CmdId": 2, "UserName": "@x", "RemarkName": "x"}, retSystem},
		"oplog command":   {"webwxoplog", map[string]any{"CmdId": 9, "UserName": c.names["Bob"]}, retParam},
		"room of one":     {"webwxcreatechatroom", map[string]any{"MemberCount": 1, "MemberList": []any{map[string]any{"UserName": c.names["Bob"]}}, "Topic": "x"}, retParam},
		"room of nobody":  {"webwxcreatechatroom", map[string]any{"MemberCount": 1, "MemberList": []any{map[string]any{"UserName": "@x"}}, "Topic": "x"}, retSystem},
		"room not there":  {"webwxupdatechatroom", map[string]any{"ChatRoomName": "@@x"}, retSystem},
		"room do what":    {"webwxupdatechatroom", map[string]any{"ChatRoomName": c.names["Team"]}, retParam},
		"verify nobody":   {"webwxverifyuser", map[string]any{"Opcode": 3, "VerifyUserList": []any{map[string]any{"Value": "@x"}}}, retSystem},
		"verify how":      {"webwxverifyuser", map[string]any{"Opcode": 7, "VerifyUserList": []any{map[string]any{"Value": c.names["Bob"]}}}, retParam},
		"verify unasked":  {"webwxverifyuser", map[string]any{"Opcode": 3, "VerifyUserList": []any{map[string]any{"Value": c.names["Bob"]}}}, retTicket},
		"check of whom":   {"webwxcheckupload", map[string]any{"FileMd5": strings.Repeat("a", 32), "FileSize": 1, "FileType": 7, "ToUserName": "@x"}, retSystem},
		"check too large": {"webwxcheckupload", map[string]any{"FileMd5": strings.Repeat("a", 32), "FileSize": maxFile + 1, "FileType": 7, "ToUserName": "filehelper"}, retParam},
	} {
		t.Run(name, func(t *testing.T) {
			c.t = t
			c.wantRet(c.post(bad.endpoint, nil, bad.body), bad.want)
		})
	}
	if n := len(s.Sent()); n != 0 {
		t.Errorf("%d accepted", n)
	}
}

func TestMediaReachTheLedger(t *testing.T) {
	s, c := loggedIn(t, nil)
	data := bytes.Repeat([]byte("0123456789abcdef"), 90_000) // 1.4 MB, three chunks
	sum := md5.Sum(data)
	want := hex.EncodeToString(sum[:])
	id, code := c.upload(c.names["Alice"], "报告.bin", data, nil)
	if code != "0" || s.Requests("webwxuploadmedia") != 3 {
		t.Fatalf("Ret %s after %d chunks", code, s.Requests("webwxuploadmedia"))
	}
	alice := c.names["Alice"]
	file := fmt.Sprintf("<appmsg appid='wxeb7ec651dd0aefa9' sdkver=''><title>报告.bin</title><type>6</type><appattach><totallen>%d</totallen><attachid>%s</attachid><fileext>bin</fileext></appattach></appmsg>", len(data), id)
	link := "<appmsg appid='' sdkver=''><title>Go</title><type>5</type><url>https://go.dev/</url></appmsg>"
	for i, send := range []struct {
		kind, endpoint string
		msg            map[string]any
	}{
		{"image", "webwxsendmsgimg", c.msg(3, alice, map[string]any{"MediaId": id})},
		{"video", "webwxsendvideomsg", c.msg(43, alice, map[string]any{"MediaId": id})},
		{"emoticon", "webwxsendemoticon", c.msg(47, alice, map[string]any{"MediaId": id, "EmojiFlag": 2})},
		{"emoticon", "webwxsendemoticon", c.msg(1, alice, map[string]any{"EMoticonMd5": want, "EmojiFlag": 2})},
		{"file", "webwxsendappmsg", c.msg(6, alice, map[string]any{"Content": file})},
		{"link", "webwxsendappmsg", c.msg(5, alice, map[string]any{"Content": link})},
	} {
		c.wantRet(c.post(send.endpoint, nil, send.msg), 0)
		e := s.Sent()[i]
		if e.Type != send.kind || e.ToID != "alice" {
			t.Errorf("%+v", e)
		}
		if e.Media != nil {
			got, ok := s.MediaBytes(e.MsgID)
			if e.Media.MD5 != want || e.Media.Size != int64(len(data)) || e.Media.Name != "报告.bin" || !ok || !bytes.Equal(got, data) {
				t.Errorf("%+v, %d bytes kept", e.Media, len(got))
			}
		}
	}
	if got := s.Sent(); got[5].Content != "https://go.dev/" || got[4].Content != "报告.bin" || got[3].Content != want || got[3].Media != nil {
		t.Errorf("%+v", got)
	}
}

func TestUploadsAreChecked(t *testing.T) {
	s, c := loggedIn(t, nil)
	good := bytes.Repeat([]byte{7}, chunkSize+10)
	field := func(key, value string) func(int, map[string]string) {
		return func(_ int, f map[string]string) { f[key] = value }
	}
	inRequest := func(key string, value any) func(int, map[string]string) {
		return func(_ int, f map[string]string) {
			m := map[string]any{}
			if err := json.Unmarshal([]byte(f["uploadmediarequest"]), &m); err != nil {
				t.Error(err)
			}
			m[key] = value
			b, _ := json.Marshal(m) // a map of plain values
			f["uploadmediarequest"] = string(b)
		}
	}
	for name, bad := range map[string]struct {
		change func(int, map[string]string)
		want   string
	}{
		"good":            {nil, "0"},
		"no md5":          {inRequest("FileMd5", ""), "0"},
		"no id":           {func(_ int, f map[string]string) { delete(f, "id") }, "0"},
		"no pass_ticket":  {field("pass_ticket", ""), "0"},
		"pass_ticket x2":  {field("pass_ticket", url.PathEscape(c.pass)), "0"},
		"wrong md5":       {inRequest("FileMd5", strings.Repeat("0", 32)), "1"},
		"wrong ticket":    {field("webwx_data_ticket", "x"), "-14"},
		"no ticket":       {field("webwx_data_ticket", ""), "1"},
		"pass_ticket":     {field("pass_ticket", "x"), "-14"},
		"skey":            {inRequest("BaseRequest", map[string]any{"Uin": c.uin, "Sid": c.sid, "Skey": "x"}), "1102"},
		"to nobody":       {inRequest("ToUserName", "@x"), "-1"},
		"size":            {field("size", "5"), "1"},
		"total":           {inRequest("TotalLen", 5), "1"},
		"chunks":          {field("chunks", "3"), "1"},
		"chunk":           {field("chunk", "2"), "1"},
		"chunk negative":  {field("chunk", "-1"), "1"},
		"no request":      {field("uploadmediarequest", ""), "1"},
		"chunks no digit": {field("chunks", "x"), "1"},
	} {
		t.Run(name, func(t *testing.T) {
			c.t = t
			if id, code := c.upload("filehelper", name, good, bad.change); code != bad.want || (code == "0") != (id != "") {
				t.Errorf("Ret %s, want %s; media id %q", code, bad.want, id)
			}
		})
	}
	c.setCookie("qq.com", "webwx_data_ticket", "")
	ticket := s.proto.(*web).session.dataTicket
	if _, code := c.upload("filehelper", "x", good, field("webwx_data_ticket", ticket)); code != "1102" {
		t.Errorf("no data ticket cookie on file.H: %s", code)
	}
}

func TestChunksInAnyOrderAndTwice(t *testing.T) {
	_, c := loggedIn(t, nil)
	data := bytes.Repeat([]byte{1, 2, 3}, chunkSize) // three chunks
	data[0], data[len(data)-1] = 9, 8
	sum := md5.Sum(data)
	send := func(i int) map[string]any {
		req, err := json.Marshal(map[string]any{"BaseRequest": c.base, "ClientMediaId": 5, "TotalLen": len(data),
			"FromUserName": c.self, "ToUserName": "filehelper", "FileMd5": hex.EncodeToString(sum[:])})
		must(t, err)
		return c.uploadChunk(map[string]string{"name": "x", "size": fmt.Sprint(len(data)), "chunks": "3", "chunk": fmt.Sprint(i),
			"uploadmediarequest": string(req), "webwx_data_ticket": c.cookie("file.wx.qq.com", "webwx_data_ticket")}, data[i*chunkSize:(i+1)*chunkSize])
	}
	for _, i := range []int{2, 0, 0} {
		if m := send(i); ret(m) != "0" || m["MediaId"] != "" {
			t.Errorf("chunk %d: %v", i, m)
		}
	}
	first, again := send(1), send(1)
	if ret(first) != "0" || first["MediaId"] == "" || first["MediaId"] != again["MediaId"] {
		t.Errorf("%v, again %v", first, again)
	}
}

func TestLargeFilesAreAnnounced(t *testing.T) {
	s, c := loggedIn(t, nil)
	data := make([]byte, needCheck+1)
	if _, code := c.upload("filehelper", "big", data, nil); code != "1" {
		t.Errorf("without webwxcheckupload: Ret %s", code)
	}
	sum := md5.Sum(data)
	check := map[string]any{"FileMd5": hex.EncodeToString(sum[:]), "FileName": "big", "FileSize": len(data), "FileType": 7,
		"FromUserName": c.self, "ToUserName": "filehelper"}
	m := c.post("webwxcheckupload", nil, check)
	c.wantRet(m, 0)
	if m["MediaId"] != "" || m["AESKey"] == "" || m["Signature"] == "" {
		t.Errorf("%v", m)
	}
	// The chunks go in by hand: 25 MB through TLS would only be slow.
	var req uploadRequest
	req.TotalLen, req.FileMd5, req.AESKey = int64(len(data)), hex.EncodeToString(sum[:]), m["AESKey"].(string)
	req.FromUserName, req.ToUserName = c.self, "filehelper"
	w := s.proto.(*web)
	var id string
	for i := 0; i*chunkSize < len(data); i++ {
		ch := chunk{req: req, name: "big", number: i, count: (len(data) + chunkSize - 1) / chunkSize}
		ch.data = data[i*chunkSize : min((i+1)*chunkSize, len(data))]
		w.mu.Lock()
		ans, code := w.takeChunk(w.session, ch)
		w.mu.Unlock()
		if code != retOK {
			t.Fatalf("chunk %d: Ret %d", i, code)
		}
		id = ans.(uploadAnswer).MediaId
	}
	if m := c.post("webwxcheckupload", nil, check); m["MediaId"] != id {
		t.Errorf("a file that is there: %v", m)
	}
}

func TestRevoke(t *testing.T) {
	s, c := loggedIn(t, nil)
	m := c.text(c.names["Alice"], "oops")
	revoke := func(to string) map[string]any {
		return c.post("webwxrevokemsg", nil, map[string]any{"SvrMsgId": m["MsgID"], "ToUserName": to, "ClientMsgId": 1})
	}
	c.wantRet(revoke(c.names["Bob"]), retSystem)
	c.wantRet(revoke(c.names["Alice"]), 0)
	c.wantRet(revoke(c.names["Alice"]), retSystem)
	if !s.Sent()[0].Revoked {
		t.Error("not revoked")
	}
}

func TestRepeatedClientMsgID(t *testing.T) {
	for _, dedupe := range []bool{false, true} {
		s, c := loggedIn(t, func(o *Options) { o.DedupeClientMsgID = dedupe })
		body := c.msg(1, "filehelper", map[string]any{"Content": "once"})
		first, second := c.post("webwxsendmsg", nil, body), c.post("webwxsendmsg", nil, body)
		c.wantRet(second, 0)
		same := first["MsgID"] == second["MsgID"]
		if n := len(s.Sent()); same != dedupe || dedupe != (n == 1) {
			t.Errorf("dedupe %v: %d accepted, same id %v", dedupe, n, same)
		}
		c.wantRet(c.text(c.names["Alice"], "another"), 0)
	}
}

func TestStrangersAreAnsweredInTheChat(t *testing.T) {
	s, c := loggedIn(t, nil)
	room := c.batch(c.names["Project X"])[0]
	for _, v := range room["MemberList"].([]any) {
		c.note(v)
	}
	c.wantRet(c.text(c.names["Trent"], "hello?"), 0)
	e := s.Sent()[0]
	got := c.next()[0]
	if !strings.Contains(e.Notice, "朋友验证") || got["Content"] != e.Notice || fmt.Sprint(got["MsgType"]) != "10000" || got["FromUserName"] != c.names["Trent"] {
		t.Errorf("%+v, %v", e, got)
	}
}

func TestRoomsOfTheAccount(t *testing.T) {
	s, c := loggedIn(t, nil)
	user := func(nick string) map[string]any { return map[string]any{"UserName": c.names[nick]} }
	m := c.post("webwxcreatechatroom", url.Values{"pass_ticket": {c.pass}}, map[string]any{"MemberCount": 2,
		"MemberList": []any{user("Alice"), user("Bob")}, "Topic": "Fresh"})
	c.wantRet(m, 0)
	room := m["ChatRoomName"].(string)
	c.wantRet(c.text(room, "hello"), 0)
	do := func(fun, field, value string, want int) {
		t.Helper()
		c.wantRet(c.post("webwxupdatechatroom", url.Values{"fun": {fun}}, map[string]any{"ChatRoomName": room, field: value}), want)
	}
	do("addmember", "AddMemberList", c.names["Carol"]+","+c.names["Dave"], 0)
	do("invitemember", "InviteMemberList", c.names["Erin"], 0)
	do("delmember", "DelMemberList", c.names["Bob"], 0)
	do("delmember", "DelMemberList", c.names["Bob"], retParam)
	do("addmember", "AddMemberList", "@x", retParam)
	do("modtopic", "NewTopic", "Fresher", 0)
	do("modtopic", "NewTopic", "", retParam)
	got := c.batch(room)[0]
	if got["NickName"] != "Fresher" || len(got["MemberList"].([]any)) != 5 {
		t.Errorf("%v", got)
	}
	room = c.names["Project X"]
	do("delmember", "DelMemberList", c.names["Carol"], retParam) // not the owner
	if e := s.Sent()[0]; e.ToName != "Fresh" {
		t.Errorf("%+v", e)
	}
}

func TestRemarkAndPin(t *testing.T) {
	_, c := loggedIn(t, nil)
	c.wantRet(c.post("webwxoplog", nil, map[string]any{"CmdId": 2, "UserName": c.names["Bob"], "RemarkName": "B"}), 0)
	c.wantRet(c.post("webwxoplog", nil, map[string]any{"CmdId": 3, "OP": 1, "UserName": c.names["Bob"], "RemarkName": "B"}), 0)
	c.wantRet(c.post("webwxoplog", nil, map[string]any{"CmdId": 3, "OP": 1, "UserName": c.names["Team"]}), 0)
	u := find(c.contacts(), "Bob")
	if u["RemarkName"] != "B" || int(u["ContactFlag"].(float64))&contactPinned == 0 {
		t.Errorf("%v", u)
	}
	if u := find(c.contacts(), "Team"); int(u["ContactFlag"].(float64))&contactPinned == 0 {
		t.Errorf("%v", u)
	}
}

func TestWaitSent(t *testing.T) {
	s, c := loggedIn(t, nil)
	done := make(chan int, 1)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	go func() {
		list, _ := s.WaitSent(ctx, 2) // the length tells
		done <- len(list)
	}()
	c.text("filehelper", "1")
	c.text("filehelper", "2")
	if n := <-done; n != 2 {
		t.Errorf("%d", n)
	}
	short, cancel2 := context.WithCancel(context.Background())
	cancel2()
	if list, err := s.WaitSent(short, 3); err == nil || len(list) != 2 {
		t.Errorf("%v, %d", err, len(list))
	}
}
