package sim

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// call sends a request to the control API.
func controlCall(t *testing.T, s *Server, method, path, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequest(method, "http://"+s.ControlAddr()+path, strings.NewReader(body))
	must(t, err)
	resp, err := http.DefaultClient.Do(req)
	must(t, err)
	defer resp.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	b, err := io.ReadAll(resp.Body)
	must(t, err)
	if resp.Header.Get("Content-Type") != "application/json" && !strings.HasSuffix(path, "/media") {
		t.Errorf("%s %s: %s", method, path, resp.Header.Get("Content-Type"))
	}
	return resp.StatusCode, string(b)
}

func withControl(o *Options) { o.Control = "127.0.0.1:0"; o.AutoLogin = false }

func TestControlAPI(t *testing.T) {
	s := start(t, withControl)
	c := newClient(t, s)
	want := func(method, path, body string, status int, holds string) string {
		t.Helper()
		got, text := controlCall(t, s, method, path, body)
		if got != status || !strings.Contains(text, holds) {
			t.Errorf("%s %s %s: %d %s, want %d with %q", method, path, body, got, text, status, holds)
		}
		return text
	}
	want("POST", "/sim/v1/scan", "", 409, `"error"`)
	want("POST", "/sim/v1/confirm", "", 409, `"error"`)
	want("POST", "/sim/v1/logout", `{"retcode":1101}`, 409, `"error"`)
	uuid := c.uuid()
	want("GET", "/sim/v1/state", "", 200, `"waiting": "scan"`)
	want("POST", "/sim/v1/scan", "", 200, "ok")
	want("POST", "/sim/v1/confirm", "", 200, "ok")
	c.finish(uuid)
	want("GET", "/sim/v1/state", "", 200, `"logged_in": true`)
	want("GET", "/sim/v1/sent", "", 200, `[]`)
	id := want("POST", "/sim/v1/messages", `{"from":"alice","room":"team","type":"text","text":"hi"}`, 200, `"msg_id"`)
	if m := c.next()[0]; !strings.Contains(id, m["MsgId"].(string)) {
		t.Errorf("%s, %v", id, m)
	}
	data := base64.StdEncoding.EncodeToString([]byte("pic"))
	want("POST", "/sim/v1/messages", `{"from":"alice","type":"image","data":"`+data+`"}`, 200, `"msg_id"`)
	want("POST", "/sim/v1/messages", `{"from":"nobody","type":"text"}`, 404, "nobody")
	want("POST", "/sim/v1/messages", `{"from":"alice","type":"x"}`, 400, "want one of")
	want("POST", "/sim/v1/messages", `{"form":"alice"}`, 400, "form")
	want("POST", "/sim/v1/messages", `{`, 400, "error")
	want("POST", "/sim/v1/contacts", `{"do":"rename","id":"bob","name":"Robert"}`, 200, "ok")
	want("POST", "/sim/v1/contacts", `{"do":"rename","id":"nobody"}`, 404, "nobody")
	want("POST", "/sim/v1/rooms", `{"do":"join","room":"team","member":"carol"}`, 200, "ok")
	want("POST", "/sim/v1/faults", `{"on":["webwxsendmsg"],"do":"ret","ret":1205,"count":1}`, 200, `"id": 1`)
	want("POST", "/sim/v1/faults", `{"do":"x"}`, 400, "accept_then_drop")
	want("GET", "/sim/v1/faults", "", 200, `"ret": 1205`)
	want("DELETE", "/sim/v1/faults/9", "", 404, "error")
	want("DELETE", "/sim/v1/faults/1", "", 200, "ok")
	want("DELETE", "/sim/v1/faults", "", 200, "ok")
	c.text("filehelper", "hello")
	want("GET", "/sim/v1/sent", "", 200, `"to_name": "文件传输助手"`)
	want("GET", "/sim/v1/sent?after=1", "", 200, `[]`)
	want("GET", "/sim/v1/sent/1/media", "", 404, "error")
	want("POST", "/sim/v1/logout", `{"retcode":1102,"forget":true}`, 200, "ok")
	want("POST", "/sim/v1/forget", "", 200, "ok")
	want("GET", "/sim/v1/nothing", "", 404, "error")
	if code, _ := c.syncCheck(); code != "1102" {
		t.Errorf("synccheck %s", code)
	}
}

func TestControlServesSentMedia(t *testing.T) {
	s := start(t, func(o *Options) { o.Control = "127.0.0.1:0" })
	c := newClient(t, s)
	c.login()
	id, _ := c.upload("filehelper", "x.png", []byte("picture"), nil)
	m := c.post("webwxsendmsgimg", nil, c.msg(3, "filehelper", map[string]any{"MediaId": id}))
	if status, body := controlCall(t, s, "GET", "/sim/v1/sent/"+m["MsgID"].(string)+"/media", ""); status != 200 || body != "picture" {
		t.Errorf("%d %q", status, body)
	}
	var list []Entry
	_, body := controlCall(t, s, "GET", "/sim/v1/sent", "")
	if err := json.Unmarshal([]byte(body), &list); err != nil || len(list) != 1 || list[0].Media.Size != 7 {
		t.Errorf("%v %s", err, body)
	}
}

// The ledger's names are part of the contract.
func TestLedgerJSON(t *testing.T) {
	e := Entry{Seq: 1, To: "@a", ToID: "alice", ToName: "Alice", Type: "file", Content: "x", ClientMsgID: "2", MsgID: "3",
		At: time.Date(2026, 11, 24, 1, 2, 3, 0, time.UTC), Media: &Media{Name: "n", Size: 4, MD5: "m"}, Login: 5}
	const want = `{"seq":1,"to":"@a","to_id":"alice","to_name":"Alice","type":"file","content":"x","client_msg_id":"2","msg_id":"3",` +
		`"at":"2026-11-24T01:02:03Z","media":{"name":"n","size":4,"md5":"m"},"revoked":false,"login":5}`
	if b, err := json.Marshal(e); err != nil || string(b) != want {
		t.Errorf("%s %v", b, err)
	}
}

func TestControlIsForThisMachineOnly(t *testing.T) {
	for _, addr := range []string{"0.0.0.0:0", "192.0.2.1:0", ":0", "example.org:0", "nonsense"} {
		if s, err := Start(Options{Listen: "127.0.0.1:0", Control: addr}); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", addr, err)
			if err == nil {
				must(t, s.Close())
			}
		}
	}
	s := start(t, withControl)
	for _, change := range []func(*http.Request){
		func(r *http.Request) { r.Host = "evil.example" },
		func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") },
	} {
		req, err := http.NewRequest(http.MethodGet, "http://"+s.ControlAddr()+"/sim/v1/state", nil)
		must(t, err)
		change(req)
		resp, err := http.DefaultClient.Do(req)
		must(t, err)
		must(t, resp.Body.Close())
		http.DefaultClient.CloseIdleConnections()
		if resp.StatusCode != http.StatusForbidden {
			t.Errorf("status %d", resp.StatusCode)
		}
	}
}

func TestStartWithBadOptions(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer busy.Close()
	for name, o := range map[string]Options{
		"echo":    {Echo: "x"},
		"retell":  {Retell: "x"},
		"listen":  {Listen: busy.Addr().String()},
		"ca file": {CAFile: filepath.Join(t.TempDir(), "no", "ca.pem")},
		"control": {Control: busy.Addr().String()},
		"world":   {World: &World{}},
	} {
		if o.Listen == "" {
			o.Listen = "127.0.0.1:0"
		}
		if s, err := Start(o); err == nil {
			t.Errorf("%s was taken", name)
			must(t, s.Close())
		}
	}
}

func TestCAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ca.pem")
	s := start(t, func(o *Options) { o.CAFile = path })
	b, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(b, s.CAPEM()) || bytes.Contains(b, []byte("PRIVATE")) {
		t.Errorf("%v\n%s", err, b)
	}
	c := newClient(t, s)
	for _, host := range []string{"wx8.qq.com", "web2.wechat.com", "file.web.wechat.com", "login.weixin.qq.com", "some.other.host", "localhost"} {
		if resp, _ := c.get("https://" + host + "/"); resp.TLS == nil {
			t.Errorf("%s: no TLS", host)
		}
	}
	for i := range maxLeaves + 1 {
		if err := c.try(fmt.Sprintf("https://h%d.example/", i)); err != nil && i < maxLeaves-1 {
			t.Fatalf("%d: %v", i, err)
		}
	}
}

// A simulator that cannot start leaves the file of the one that runs; one that
// starts again with the same file is trusted by those who trusted the first.
func TestCAFileSurvives(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ca.pem")
	s := start(t, func(o *Options) { o.CAFile = path; o.Control = "127.0.0.1:0" })
	for name, o := range map[string]Options{
		"listen":  {Listen: s.Addr()},
		"control": {Listen: "127.0.0.1:0", Control: s.ControlAddr()},
	} {
		must(t, os.Remove(path+".key")) // else it would take over the CA and write nothing
		o.CAFile = path
		if other, err := Start(o); err == nil {
			must(t, other.Close())
			t.Fatalf("%s was taken twice", name)
		}
		if b, err := os.ReadFile(path); err != nil || !bytes.Equal(b, s.CAPEM()) {
			t.Errorf("%s: the file is another's now: %v", name, err)
		}
		must(t, s.front.ca.store(path))
	}
	if info, err := os.Stat(path + ".key"); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key: %v %v", info, err)
	}
	must(t, s.Close())
	again := start(t, func(o *Options) { o.CAFile = path })
	if !bytes.Equal(again.CAPEM(), s.CAPEM()) {
		t.Error("another CA after a restart")
	}
	if resp, _ := newClient(t, again).get("https://wx.qq.com/"); resp.TLS == nil {
		t.Error("no TLS")
	}
	for name, spoil := range map[string]string{"key": path + ".key", "certificate": path} {
		must(t, os.WriteFile(spoil, []byte("garbage"), 0o644))
		other := start(t, func(o *Options) { o.CAFile = path })
		if b, err := os.ReadFile(path); err != nil || !bytes.Equal(b, other.CAPEM()) || bytes.Equal(b, s.CAPEM()) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLoadWorld(t *testing.T) {
	w, err := LoadWorld(strings.NewReader(`
host: web.wechat.com
self: {name: Boss}
people:
  - {id: ann, name: Ann, remark: A}
  - {id: shop, name: Shop, kind: service}
rooms:
  - {id: hall, name: Hall, members: [ann], saved: true, names: {ann: Queen}}
`))
	must(t, err)
	s := start(t, func(o *Options) { o.World = w })
	c := newClient(t, s)
	c.login()
	if c.host != "web.wechat.com" || find(c.contacts(), "Hall") == nil || c.cookie("web2.wechat.com", "webwx_data_ticket") == "" {
		t.Errorf("%s %v", c.host, c.names)
	}
	for _, bad := range []string{
		"", "people: []", "people: [{id: a, name: A, colour: red}]", "people: [{id: A}]", "people: [{id: self}]", "people: [{id: a}, {id: a}]",
		"people: [{id: a, kind: robot}]", "people: [{id: a}]\nrooms: [{id: r, members: [b]}]", "people: [{id: a}]\nrooms: [{id: a}]",
		"people: [{id: a}]\nrooms: [{id: r, owner: a}]", "host: 'x y'\npeople: [{id: a}]", "people: {",
	} {
		if _, err := LoadWorld(strings.NewReader(bad)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestDefaultWorldHasWhatTestsCountOn(t *testing.T) {
	w := DefaultWorld()
	friends, nick := 0, map[string]int{}
	for _, p := range w.People {
		if p.Kind == "friend" {
			friends++
		}
		nick[p.Name]++
	}
	if friends != 30 || len(w.Rooms) != 5 || nick["李伟"] != 2 || nick["Alice"] != 1 || nick["Bob"] != 1 || w.Host != "wx.qq.com" {
		t.Errorf("%d friends, %d rooms, %v", friends, len(w.Rooms), nick)
	}
	if len(DefaultWorld().People) != len(w.WithContacts(40).People)-9 {
		t.Errorf("%d people with 40 contacts", len(w.People))
	}
}
