package sim

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// spoil is one thing wrong with a request, and the code that it costs.
type spoil struct {
	name string
	do   func(*client)
	want int
}

func badBase(key string, value any) func(*client) {
	return func(c *client) {
		c.base = maps.Clone(c.base)
		c.base[key] = value
	}
}

// badJSON is what every JSON request of a session checks.
var badJSON = []spoil{
	{"good", func(*client) {}, 0},
	{"uin as text", func(c *client) { badBase("Uin", c.uin)(c) }, 0},
	{"device id of no use", badBase("DeviceID", "x"), 0},
	{"pass_ticket decoded", func(c *client) { c.pass, _ = url.QueryUnescape(c.pass) }, 0},
	{"no pass_ticket", func(c *client) { c.pass = "" }, 0},
	{"wrong uin", badBase("Uin", 1), retCookie},
	{"wrong sid", badBase("Sid", "x"), retCookie},
	{"no sid", badBase("Sid", ""), retCookie},
	{"wrong skey", badBase("Skey", "@crypt_x"), retCookie},
	{"no BaseRequest", func(c *client) { c.base = map[string]any{} }, retCookie},
	{"wrong pass_ticket", func(c *client) { c.pass = "pass_ticket" }, retTicket},
	{"no wxsid cookie", func(c *client) { c.setCookie("wx.qq.com", "wxsid", "") }, retCookie},
	{"wrong wxsid cookie", func(c *client) { c.setCookie("wx.qq.com", "wxsid", "x") }, retCookie},
	{"no wxuin cookie", func(c *client) { c.setCookie("wx.qq.com", "wxuin", "") }, retCookie},
	{"another host of WeChat", func(c *client) { c.host = "wx2.qq.com" }, retCookie},
	{"another host, all cookies", func(c *client) {
		c.host = "wx2.qq.com"
		c.setCookie("wx2.qq.com", "wxsid", c.sid)
		c.setCookie("wx2.qq.com", "wxuin", c.uin)
	}, retCookie},
}

func TestJSONRequestsAreChecked(t *testing.T) {
	s := start(t, nil)
	c := newClient(t, s)
	requests := map[string]func(c *client) map[string]any{
		"webwxsendmsg": func(c *client) map[string]any { return c.msg(1, "filehelper", map[string]any{"Content": "x"}) },
		"webwxinit":    func(*client) map[string]any { return map[string]any{} },
		"webwxsync":    func(c *client) map[string]any { return map[string]any{"SyncKey": c.key} },
		"webwxstatusnotify": func(c *client) map[string]any {
			return map[string]any{"Code": 3, "FromUserName": c.self, "ToUserName": c.self, "ClientMsgId": 1}
		},
		"webwxbatchgetcontact": func(c *client) map[string]any {
			return map[string]any{"Count": 1, "List": []map[string]any{{"UserName": "filehelper"}}}
		},
		"webwxoplog": func(c *client) map[string]any {
			return map[string]any{"CmdId": 2, "RemarkName": "x", "UserName": c.names["Alice"]}
		},
	}
	for name, request := range requests {
		for _, sp := range badJSON {
			t.Run(name+"/"+sp.name, func(t *testing.T) {
				c.login()
				c.t = t
				sp.do(c)
				q := url.Values{}
				if c.pass != "" {
					q.Set("pass_ticket", c.pass)
				}
				c.wantRet(c.post(name, q, request(c)), sp.want)
				c.host = "wx.qq.com"
			})
		}
	}
}

func TestQueryIsChecked(t *testing.T) {
	s := start(t, nil)
	c := newClient(t, s)
	c.login()
	for _, name := range []string{"sid", "skey", "uin"} {
		c.wantRet(c.post("webwxsync", url.Values{name: {"x"}}, map[string]any{"SyncKey": c.key}), retCookie)
	}
	c.wantRet(c.post("webwxsync", url.Values{}, map[string]any{"SyncKey": c.key}), 0)
}

func TestSyncCheckIsChecked(t *testing.T) {
	s := start(t, nil)
	c := newClient(t, s)
	for _, sp := range []spoil{
		{"good", func(*client) {}, 0},
		{"sid", func(c *client) { c.sid = "x" }, retCookie},
		{"skey", func(c *client) { c.skey = "x" }, retCookie},
		{"uin", func(c *client) { c.uin = "1" }, retCookie},
		{"no wxsid on webpush", func(c *client) { c.setCookie("wx.qq.com", "wxsid", "") }, retCookie},
		{"no wxuin on webpush", func(c *client) { c.setCookie("wx.qq.com", "wxuin", "") }, retCookie},
		{"data ticket is not needed", func(c *client) { c.setCookie("qq.com", "webwx_data_ticket", "") }, 0},
		{"no sync key", func(c *client) { c.checkKey = "" }, retParam},
		{"garbage sync key", func(c *client) { c.checkKey = "1_x|2_3" }, retParam},
		{"sync key of nobody", func(c *client) { c.checkKey = "1_5|2_22|3_46" }, retParam},
		{"sync key from the future", func(c *client) { c.checkKey = "1_999999999|2_1000000016|3_1000000040" }, retParam},
		{"parts that disagree", func(c *client) { c.checkKey = strings.Replace(c.checkKey, "2_6", "2_7", 1) }, retParam},
	} {
		t.Run(sp.name, func(t *testing.T) {
			c.login()
			c.t = t
			sp.do(c)
			if code, _ := c.syncCheck(); code != fmt.Sprint(sp.want) {
				t.Errorf("retcode %s, want %d", code, sp.want)
			}
		})
	}
}

func TestGetContactIsChecked(t *testing.T) {
	s := start(t, nil)
	c := newClient(t, s)
	c.login()
	for name, q := range map[string]url.Values{
		"0":     {"seq": {"0"}, "skey": {c.skey}, "pass_ticket": {c.pass}},
		"1102":  {"seq": {"0"}, "skey": {"x"}},
		"1102 ": {"seq": {"0"}},
		"-14":   {"seq": {"0"}, "skey": {c.skey}, "pass_ticket": {"x"}},
		"1":     {"seq": {"999999"}, "skey": {c.skey}},
	} {
		_, body := c.get(c.cgi("webwxgetcontact", q))
		var m struct{ BaseResponse baseResponse }
		if err := json.Unmarshal([]byte(body), &m); err != nil || fmt.Sprint(m.BaseResponse.Ret) != strings.TrimSpace(name) {
			t.Errorf("%v: %v %+v, want %s", q, err, m, name)
		}
	}
}

func TestWrongHostsAndMethods(t *testing.T) {
	s := start(t, nil)
	c := newClient(t, s)
	for u, want := range map[string]int{
		"https://wx.qq.com/jslogin?appid=x":                               404,
		"https://wx.qq.com/cgi-bin/mmwebwx-bin/synccheck":                 404,
		"https://webpush.wx.qq.com/cgi-bin/mmwebwx-bin/webwxgetcontact":   404,
		"https://wx.qq.com/cgi-bin/mmwebwx-bin/webwxgetmedia":             404,
		"https://wx.qq.com/":                                              404,
		"https://wx.qq.com/cgi-bin/mmwebwx-bin/nothing":                   404,
		"https://wx.qq.com/cgi-bin/mmwebwx-bin/webwxsendmsg":              405,
		"https://wx.qq.com/cgi-bin/mmwebwx-bin/webwxinit?pass_ticket=abc": 405,
	} {
		resp, body := c.get(u)
		if resp.StatusCode != want || !strings.Contains(body, "<html>") {
			t.Errorf("%s: %d", u, resp.StatusCode)
		}
	}
	if s.Requests("unknown") != 2 || s.Requests("*") != 8 {
		t.Errorf("counted %d unknown of %d", s.Requests("unknown"), s.Requests("*"))
	}
}

func TestBadBodies(t *testing.T) {
	s := start(t, nil)
	c := newClient(t, s)
	c.login()
	for body, want := range map[string]string{"": `"Ret":1,`, "[]": `"Ret":1,`, "{": `"Ret":1,`, "null": `"Ret":1102,`,
		`{"BaseRequest":{"Uin":[]}}`: `"Ret":1,`} {
		resp, err := c.http.Post(c.cgi("webwxsendmsg", nil), "application/json", strings.NewReader(body))
		must(t, err)
		var buf strings.Builder
		_, err = fmt.Fprint(&buf, readAll(t, resp))
		must(t, err)
		if !strings.Contains(buf.String(), want) {
			t.Errorf("%q: %s", body, buf.String())
		}
	}
	resp, err := c.http.Post(c.cgi("webwxsendmsg", nil), "application/json", strings.NewReader(strings.Repeat(" ", maxBody+1)))
	must(t, err)
	readAll(t, resp)
	if resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d", resp.StatusCode)
	}
}

func readAll(t *testing.T, resp *http.Response) string {
	t.Helper()
	defer resp.Body.Close()
	var b strings.Builder
	buf := make([]byte, 4096)
	for {
		n, err := resp.Body.Read(buf)
		b.Write(buf[:n])
		if err != nil {
			return b.String()
		}
	}
}
