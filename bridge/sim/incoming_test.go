package sim

import (
	"encoding/xml"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// plain undoes what the wire form adds.
func plain(content any) string {
	return html.UnescapeString(strings.ReplaceAll(content.(string), "<br/>", "\n"))
}

func TestIncomingKinds(t *testing.T) {
	s, c := loggedIn(t, nil)
	alice := c.names["Alice"]
	for _, tc := range []struct {
		msg    Message
		kind   string
		fields map[string]string
		holds  []string
	}{
		{Message{Type: "text", Text: "a <b> & c\n😀"}, "1", map[string]string{"Content": `a &lt;b&gt; &amp; c<br/><span class="emoji emoji1f600"></span>`}, nil},
		{Message{Type: "text", Text: "\U0001f1e8\U0001f1f3 \U0001f1e8x"}, "1", map[string]string{"Content": "<span class=\"emoji emoji1f1e81f1f3\"></span> \U0001f1e8x"}, nil},
		{Message{Type: "image"}, "3", map[string]string{"ImgStatus": "2"}, []string{"<img aeskey="}},
		{Message{Type: "voice"}, "34", map[string]string{"VoiceLength": "3240"}, []string{`voicelength="3240"`}},
		{Message{Type: "video"}, "43", map[string]string{"PlayLength": "5"}, []string{"<videomsg"}},
		{Message{Type: "video", Variant: "short"}, "62", nil, []string{"<videomsg"}},
		{Message{Type: "file", Name: "a b&c.pdf", Data: []byte("pdf")}, "49", map[string]string{"AppMsgType": "6", "FileName": "a b&amp;c.pdf", "FileSize": "3", "EncryFileName": "a+b%26c.pdf"},
			[]string{"<title>a b&amp;c.pdf</title>", "<totallen>3</totallen>", "<fileext>pdf</fileext>"}},
		{Message{Type: "emoticon"}, "47", nil, []string{"<emoji fromusername="}},
		{Message{Type: "emoticon", Variant: "store"}, "47", map[string]string{"HasProductId": "1", "Content": ""}, nil},
		{Message{Type: "location", Name: "外滩", Text: "上海市", Lat: 31.24, Lon: 121.49}, "1", map[string]string{"SubMsgType": "48", "Url": "http://apis.map.qq.com/uri/v1/geocoder?coord=31.240000,121.490000"},
			[]string{"外滩:\n", "pictype=location"}},
		{Message{Type: "location", Name: "外滩", Variant: "old"}, "48", nil, []string{`poiname="外滩"`}},
		{Message{Type: "link", Title: "Q&A", Text: "why", URL: "https://go.dev/?a=1&b=2"}, "49", map[string]string{"AppMsgType": "5", "Url": "https://go.dev/?a=1&amp;b=2", "FileName": "Q&amp;A"},
			[]string{"<title>Q&amp;A</title>", "<url>https://go.dev/?a=1&amp;b=2</url>"}},
		{Message{Type: "card", Card: "bob"}, "42", nil, []string{`nickname="Bob"`}},
		{Message{Type: "transfer", Title: "￥5.00", Text: "lunch"}, "49", map[string]string{"AppMsgType": "2000", "FileName": "微信转账"}, []string{"<feedesc>￥5.00</feedesc>", "<pay_memo>lunch</pay_memo>"}},
		{Message{Type: "red_packet"}, "49", map[string]string{"AppMsgType": "2001"}, []string{"恭喜发财"}},
		{Message{Type: "red_packet", Variant: "notice"}, "10000", map[string]string{"Content": "收到红包，请在手机上查看"}, nil},
		{Message{Type: "miniprogram", Title: "Mini", Name: "App"}, "49", map[string]string{"AppMsgType": "33"}, []string{"<weappinfo>", "<sourcedisplayname>App</sourcedisplayname>"}},
		{Message{Type: "quote", Text: "yes"}, "49", map[string]string{"AppMsgType": "57"}, []string{"<refermsg>", "<title>yes</title>", "<displayname>Alice</displayname>"}},
		{Message{Type: "call"}, "50", nil, []string{"<voipinvitemsg>"}},
		{Message{Type: "notice", Text: "you pat"}, "10000", map[string]string{"Content": "you pat"}, nil},
		{Message{Type: "notice", Text: "sys", Variant: "sys"}, "9999", nil, nil},
		{Message{Type: "recall"}, "10002", nil, []string{`<sysmsg type="revokemsg">`, `"Alice" 撤回了一条消息`}},
		{Message{Type: "unknown", Text: "?"}, "12345", nil, nil},
		{Message{Type: "unknown", MsgType: 777}, "777", nil, nil},
	} {
		t.Run(tc.msg.Type+tc.msg.Variant, func(t *testing.T) {
			c.t = t
			tc.msg.From = "alice"
			id := say(t, s, tc.msg)
			m := c.next()[0]
			if m["MsgId"] != id || fmt.Sprint(m["NewMsgId"]) != id || fmt.Sprint(m["MsgType"]) != tc.kind || m["FromUserName"] != alice || m["ToUserName"] != c.self {
				t.Errorf("%v", m)
			}
			for k, want := range tc.fields {
				if got := fmt.Sprint(m[k]); got != want {
					t.Errorf("%s = %q, want %q", k, got, want)
				}
			}
			text := plain(m["Content"])
			for _, want := range tc.holds {
				if !strings.Contains(text, want) {
					t.Errorf("%q not in %q", want, text)
				}
			}
			if strings.HasPrefix(strings.TrimSpace(text), "<") && xml.Unmarshal([]byte(text), new(struct{})) != nil && tc.kind != "50" {
				t.Errorf("not XML: %s", text)
			}
		})
	}
}

func TestRoomMessages(t *testing.T) {
	s, c := loggedIn(t, nil)
	members := c.batch(c.names["Team"])[0]["MemberList"].([]any)
	for _, v := range members {
		c.note(v)
	}
	say(t, s, Message{From: "bob", Room: "team", Text: "hi", Mention: []string{"self", "all"}})
	m := c.next()[0]
	if m["FromUserName"] != c.names["Team"] || m["ToUserName"] != c.self ||
		m["Content"] != c.names["Bob"]+":<br/>@小桥\u2005@所有人\u2005hi" {
		t.Errorf("%v", m)
	}
	say(t, s, Message{From: "alice", Room: "team", Type: "image"})
	if m := c.next()[0]; !strings.HasPrefix(m["Content"].(string), c.names["Alice"]+":<br/>&lt;?xml") {
		t.Errorf("%v", m["Content"])
	}
	say(t, s, Message{Room: "team", Type: "notice", Text: "Bob pats you"})
	if m := c.next()[0]; m["Content"] != "Bob pats you" || m["FromUserName"] != c.names["Team"] {
		t.Errorf("%v", m)
	}
}

func TestOwnMessagesOnThePhone(t *testing.T) {
	s, c := loggedIn(t, nil)
	for _, msg := range []Message{{From: "self", To: "alice", Text: "mine"}, {From: "self", Room: "team", Text: "mine"}, {From: "self", To: "team", Text: "mine"},
		{From: "self", To: "filehelper", Text: "mine"}} {
		say(t, s, msg)
		m := c.next()[0]
		to := map[string]string{"alice": c.names["Alice"], "team": c.names["Team"], "filehelper": "filehelper", "": c.names["Team"]}[msg.To]
		if m["FromUserName"] != c.self || m["ToUserName"] != to || m["Content"] != "mine" {
			t.Errorf("%+v: %v", msg, m)
		}
	}
	if len(s.Sent()) != 0 {
		t.Error("the phone's messages are in the ledger")
	}
}

func TestRecallAndQuoteByID(t *testing.T) {
	s, c := loggedIn(t, nil)
	first := say(t, s, Message{From: "alice", Text: "first"})
	say(t, s, Message{From: "alice", Text: "second"})
	say(t, s, Message{From: "alice", Type: "recall", MsgID: first})
	own := c.text(c.names["Alice"], "from the bridge")["MsgID"].(string)
	say(t, s, Message{From: "alice", Type: "quote", Text: "what?", MsgID: own})
	m := c.sync()
	got := m["AddMsgList"].([]any)
	if text := plain(got[2].(map[string]any)["Content"]); !strings.Contains(text, "<oldmsgid>"+first+"</oldmsgid>") {
		t.Error(text)
	}
	if text := plain(got[3].(map[string]any)["Content"]); !strings.Contains(text, "<svrid>"+own+"</svrid>") || !strings.Contains(text, "<content>from the bridge</content>") {
		t.Error(text)
	}
}

func TestFriendRequest(t *testing.T) {
	s, c := loggedIn(t, nil)
	say(t, s, Message{From: "newcomer", Type: "friend", Name: "New <Comer>", Text: `I'm "N"`})
	m := c.next()[0]
	info := m["RecommendInfo"].(map[string]any)
	if m["FromUserName"] != "fmessage" || fmt.Sprint(m["MsgType"]) != "37" || info["NickName"] != "New &lt;Comer&gt;" || m["Ticket"] != info["Ticket"] {
		t.Errorf("%v", m)
	}
	var x struct {
		Nick    string `xml:"fromnickname,attr"`
		Content string `xml:"content,attr"`
		Ticket  string `xml:"ticket,attr"`
	}
	if err := xml.Unmarshal([]byte(plain(m["Content"])), &x); err != nil || x.Nick != "New <Comer>" || x.Content != `I'm "N"` || x.Ticket != m["Ticket"] {
		t.Errorf("%v %+v", err, x)
	}
	if find(c.contacts(), "New &lt;Comer&gt;") != nil {
		t.Error("a contact before it was accepted")
	}
	accept := func(ticket any) map[string]any {
		return c.post("webwxverifyuser", nil, map[string]any{"Opcode": 3, "VerifyUserListSize": 1, "VerifyContent": "",
			"VerifyUserList": []any{map[string]any{"Value": info["UserName"], "VerifyUserTicket": ticket}}})
	}
	c.wantRet(accept("x"), retTicket)
	c.wantRet(accept(m["Ticket"]), 0)
	c.wantRet(accept(m["Ticket"]), retTicket)
	if find(c.contacts(), "New &lt;Comer&gt;") == nil {
		t.Error("no contact after it was accepted")
	}
	for _, bad := range []Message{{From: "alice", Type: "friend"}, {From: "BAD ID", Type: "friend"}} {
		if _, err := s.Say(bad); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	say(t, s, Message{Type: "friend"}) // somebody is made up
}

func TestSayNonsense(t *testing.T) {
	s := start(t, nil)
	for _, tc := range []struct {
		msg  Message
		want error
	}{
		{Message{From: "alice", Type: "smell"}, ErrInvalid},
		{Message{From: "nobody"}, ErrUnknown},
		{Message{From: "carol", Room: "team"}, ErrUnknown},
		{Message{From: "alice", Room: "nowhere"}, ErrUnknown},
		{Message{From: "self", To: "nobody"}, ErrUnknown},
		{Message{From: "alice", Type: "recall"}, ErrUnknown},
		{Message{From: "alice", Type: "quote", MsgID: "1"}, ErrUnknown},
		{Message{From: "alice", Type: "card", Card: "nobody"}, ErrUnknown},
		{Message{From: "alice", Room: "team", Mention: []string{"nobody"}}, ErrUnknown},
	} {
		if _, err := s.Say(tc.msg); !errors.Is(err, tc.want) {
			t.Errorf("%+v: %v, want %v", tc.msg, err, tc.want)
		}
	}
}

func TestDownloads(t *testing.T) {
	s, c := loggedIn(t, nil)
	fetch := func(kind string, data []byte) (id string, m map[string]any) {
		id = say(t, s, Message{From: "alice", Type: kind, Data: data, Name: "x.txt"})
		return id, c.next()[0]
	}
	want := func(name, u, body string) {
		t.Helper()
		if resp, got := c.get(u); got != body || body == "" && resp.ContentLength != 0 {
			t.Errorf("%s: %q, length %d, want %q", name, got, resp.ContentLength, body)
		}
	}
	id, _ := fetch("image", []byte("picture"))
	want("image", c.cgi("webwxgetmsgimg", url.Values{"MsgID": {id}, "skey": {c.skey}}), "picture")
	want("thumb", c.cgi("webwxgetmsgimg", url.Values{"MsgID": {id}, "skey": {c.skey}, "type": {"slave"}}), "picture")
	want("wrong skey", c.cgi("webwxgetmsgimg", url.Values{"MsgID": {id}, "skey": {"x"}}), "")
	want("unknown", c.cgi("webwxgetmsgimg", url.Values{"MsgID": {"1"}, "skey": {c.skey}}), "")
	id, _ = fetch("voice", []byte("sound"))
	want("voice", c.cgi("webwxgetvoice", url.Values{"msgid": {id}, "skey": {c.skey}}), "sound")
	_, m := fetch("file", []byte("file"))
	q := url.Values{"sender": {c.names["Alice"]}, "mediaid": {m["MediaId"].(string)}, "encryfilename": {"x.txt"}, "fromuser": {c.uin},
		"pass_ticket": {c.pass}, "webwx_data_ticket": {c.cookie("file.wx.qq.com", "webwx_data_ticket")}}
	media := func(change string, value string) string {
		p := url.Values{}
		for k, v := range q {
			p[k] = v
		}
		if change != "" {
			p.Set(change, value)
		}
		return "https://file.wx.qq.com" + cgiBin + "webwxgetmedia?" + p.Encode()
	}
	want("file", media("", ""), "file")
	want("file, by user name", media("fromuser", c.self), "file")
	for _, field := range []string{"webwx_data_ticket", "pass_ticket", "fromuser", "sender", "mediaid"} {
		want("file, wrong "+field, media(field, "x"), "")
	}
	c.setCookie("qq.com", "webwx_data_ticket", "")
	want("file, no cookie", media("", ""), "")
}

func TestVideoWithRange(t *testing.T) {
	s, c := loggedIn(t, nil)
	id := say(t, s, Message{From: "alice", Type: "video", Data: []byte("moving pictures")})
	req, err := http.NewRequest(http.MethodGet, c.cgi("webwxgetvideo", url.Values{"msgid": {id}, "skey": {c.skey}}), nil)
	must(t, err)
	req.Header.Set("Range", "bytes=0-")
	resp, err := c.http.Do(req)
	must(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || string(b) != "moving pictures" || resp.StatusCode != http.StatusPartialContent {
		t.Errorf("%d %q %v", resp.StatusCode, b, err)
	}
}

func TestAvatars(t *testing.T) {
	_, c := loggedIn(t, nil)
	list := c.contacts()
	resp, body := c.get("https://wx.qq.com" + find(list, "Alice")["HeadImgUrl"].(string))
	if resp.Header.Get("Content-Type") != "image/png" || body == "" {
		t.Errorf("%v", resp.Header)
	}
	if _, body := c.get(c.cgi("webwxgetheadimg", url.Values{"username": {"@x"}, "skey": {c.skey}})); body != "" {
		t.Error("a picture of nobody")
	}
}

func TestMediaStoreIsBounded(t *testing.T) {
	st := newMediaStore()
	for i := range 40 {
		st.put(fmt.Sprint(i), "", make([]byte, 4<<20))
	}
	if st.bytes > keptMedia || st.get("0") != nil || st.get("39") == nil || len(st.items) != 16 {
		t.Errorf("%d bytes in %d items", st.bytes, len(st.items))
	}
}
