package sim

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start runs a simulator for one test.
func start(t *testing.T, change func(*Options)) *Server {
	t.Helper()
	opts := Options{Listen: "127.0.0.1:0", Hold: 200 * time.Millisecond, AutoLogin: true, Seed: 3, Echo: "off", Log: zerolog.Nop()}
	if change != nil {
		change(&opts)
	}
	s, err := Start(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// client is a plain web client that does by hand what a browser does.
type client struct {
	t    testing.TB
	http *http.Client
	jar  *cookiejar.Jar
	host string

	base     map[string]any
	pass     string
	skey     string
	sid      string
	uin      string
	self     string
	names    map[string]string // nickname to user name
	key      map[string]any
	checkKey string
}

func newClient(t testing.TB, s *Server) *client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", s.Addr())
		},
		TLSClientConfig: &tls.Config{RootCAs: s.CAPool()},
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &client{t: t, jar: jar, host: "wx.qq.com", names: map[string]string{}, http: &http.Client{
		Transport: tr, Jar: jar, Timeout: 10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// do sends a request and returns the answer with its body.
func (c *client) do(req *http.Request) (*http.Response, []byte, error) {
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp, b, err
}

// try is a GET that may fail.
func (c *client) try(u string) error {
	req, err := http.NewRequest(http.MethodGet, u, nil)
	if err == nil {
		_, _, err = c.do(req)
	}
	return err
}

func (c *client) get(u string) (*http.Response, string) {
	c.t.Helper()
	req, err := http.NewRequest(http.MethodGet, u, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	resp, b, err := c.do(req)
	if err != nil {
		c.t.Fatalf("GET %s: %v", u, err)
	}
	return resp, string(b)
}

func (c *client) cgi(name string, q url.Values) string {
	return "https://" + c.host + cgiBin + name + "?" + q.Encode()
}

// post sends JSON to an endpoint and decodes the answer.
func (c *client) post(name string, q url.Values, body map[string]any) map[string]any {
	c.t.Helper()
	m, err := c.tryPost(name, q, body)
	if err != nil {
		c.t.Fatalf("%s: %v", name, err)
	}
	return m
}

func (c *client) tryPost(name string, q url.Values, body map[string]any) (map[string]any, error) {
	if _, ok := body["BaseRequest"]; !ok {
		body["BaseRequest"] = c.base
	}
	b, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequest(http.MethodPost, c.cgi(name, q), bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	_, b, err = c.do(req)
	if err != nil {
		return nil, err
	}
	var m map[string]any
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	if err := dec.Decode(&m); err != nil {
		return nil, fmt.Errorf("%w in %q", err, b)
	}
	return m, nil
}

// ret is the return code of an answer.
func ret(m map[string]any) string {
	br, _ := m["BaseResponse"].(map[string]any)
	return fmt.Sprint(br["Ret"])
}

func (c *client) wantRet(m map[string]any, want int) {
	c.t.Helper()
	if got := ret(m); got != fmt.Sprint(want) {
		c.t.Fatalf("Ret = %s, want %d (%v)", got, want, m)
	}
}

func match(t testing.TB, re, s string) string {
	t.Helper()
	m := regexp.MustCompile(re).FindStringSubmatch(s)
	if m == nil {
		t.Fatalf("%q not in %q", re, s)
	}
	return m[1]
}

func (c *client) uuid() string {
	c.t.Helper()
	_, body := c.get("https://login.wx.qq.com/jslogin?appid=wx782c26e4c19acffb&fun=new&lang=zh_CN&_=1")
	return match(c.t, `window.QRLogin.code = 200; window.QRLogin.uuid = "(.*?)";`, body)
}

func (c *client) poll(uuid string) string {
	c.t.Helper()
	_, body := c.get("https://login.wx.qq.com/cgi-bin/mmwebwx-bin/login?loginicon=true&tip=0&r=1&_=1&uuid=" + url.QueryEscape(uuid))
	return body
}

// login goes the whole way with AutoLogin.
func (c *client) login() {
	c.t.Helper()
	c.finish(c.uuid())
}

func (c *client) finish(uuid string) {
	c.t.Helper()
	for range 50 {
		if body := c.poll(uuid); strings.Contains(body, "window.code=200") {
			c.redeem(match(c.t, `window.redirect_uri="(.*?)"`, body))
			c.init()
			return
		}
	}
	c.t.Fatal("no login")
}

func (c *client) redeem(uri string) {
	c.t.Helper()
	resp, body := c.get(uri + "&fun=new&version=v2")
	if resp.StatusCode != http.StatusMovedPermanently {
		c.t.Fatalf("status %d", resp.StatusCode)
	}
	var a loginAnswer
	if err := xml.Unmarshal([]byte(body), &a); err != nil || a.Ret != 0 {
		c.t.Fatalf("credentials: %v, %+v", err, a)
	}
	c.host = resp.Request.URL.Host
	c.skey, c.sid, c.uin, c.pass = a.Skey, a.WxSid, a.WxUin, a.PassTicket
	c.base = map[string]any{"Uin": json.Number(a.WxUin), "Sid": a.WxSid, "Skey": a.Skey, "DeviceID": "e123456789012345"}
}

func (c *client) init() {
	c.t.Helper()
	m := c.post("webwxinit", url.Values{"pass_ticket": {c.pass}}, map[string]any{})
	c.wantRet(m, 0)
	c.self = m["User"].(map[string]any)["UserName"].(string)
	c.setKey(m["SyncKey"].(map[string]any))
	for _, u := range m["ContactList"].([]any) {
		c.note(u)
	}
}

func (c *client) setKey(key map[string]any) {
	c.key = key
	var parts []string
	for _, p := range key["List"].([]any) {
		kv := p.(map[string]any)
		parts = append(parts, fmt.Sprintf("%v_%v", kv["Key"], kv["Val"]))
	}
	c.checkKey = strings.Join(parts, "|")
}

func (c *client) note(u any) {
	m := u.(map[string]any)
	c.names[m["NickName"].(string)] = m["UserName"].(string)
}

// contacts reads all pages of the contact list.
func (c *client) contacts() []map[string]any {
	c.t.Helper()
	var all []map[string]any
	for seq := "0"; ; {
		_, body := c.get(c.cgi("webwxgetcontact", url.Values{"seq": {seq}, "skey": {c.skey}}))
		var m struct {
			BaseResponse baseResponse
			MemberCount  int
			MemberList   []map[string]any
			Seq          int
		}
		if err := json.Unmarshal([]byte(body), &m); err != nil || m.BaseResponse.Ret != 0 || m.MemberCount != len(m.MemberList) {
			c.t.Fatalf("contacts: %v %+v", err, m.BaseResponse)
		}
		for _, u := range m.MemberList {
			c.note(u)
			all = append(all, u)
		}
		if seq = fmt.Sprint(m.Seq); seq == "0" {
			return all
		}
	}
}

func (c *client) syncCheckURL() string {
	q := url.Values{"skey": {c.skey}, "sid": {c.sid}, "uin": {c.uin}, "deviceid": {"e1"}, "synckey": {c.checkKey}}
	return "https://webpush." + c.host + cgiBin + "synccheck?" + q.Encode()
}

func (c *client) syncCheck() (retcode, selector string) {
	c.t.Helper()
	_, body := c.get(c.syncCheckURL())
	m := regexp.MustCompile(`^window.synccheck=\{retcode:"(-?\d+)",selector:"(\d+)"\}$`).FindStringSubmatch(body)
	if m == nil {
		c.t.Fatalf("synccheck: %q", body)
	}
	return m[1], m[2]
}

func (c *client) sync() map[string]any {
	c.t.Helper()
	m := c.post("webwxsync", url.Values{"sid": {c.sid}, "skey": {c.skey}, "pass_ticket": {c.pass}}, map[string]any{"SyncKey": c.key})
	if ret(m) == "0" {
		c.setKey(m["SyncKey"].(map[string]any))
	}
	return m
}

// next waits for messages that are not the status notice after a login.
func (c *client) next() []map[string]any {
	c.t.Helper()
	var list []map[string]any
	for range 100 {
		if code, sel := c.syncCheck(); code != "0" {
			c.t.Fatalf("synccheck: %s", code)
		} else if sel == "0" {
			continue
		}
		m := c.sync()
		c.wantRet(m, 0)
		for _, v := range m["AddMsgList"].([]any) {
			if msg := v.(map[string]any); fmt.Sprint(msg["MsgType"]) != "51" {
				list = append(list, msg)
			}
		}
		if len(list) > 0 {
			return list
		}
	}
	c.t.Fatal("no message")
	return nil
}

var clientMsgID = 16000000000000000

func (c *client) msg(kind int, to string, more map[string]any) map[string]any {
	clientMsgID++
	m := map[string]any{"Type": kind, "FromUserName": c.self, "ToUserName": to,
		"LocalID": fmt.Sprint(clientMsgID), "ClientMsgId": fmt.Sprint(clientMsgID)}
	for k, v := range more {
		m[k] = v
	}
	return map[string]any{"Msg": m, "Scene": 0}
}

func (c *client) text(to, text string) map[string]any {
	c.t.Helper()
	return c.post("webwxsendmsg", url.Values{"pass_ticket": {c.pass}}, c.msg(1, to, map[string]any{"Content": text}))
}
