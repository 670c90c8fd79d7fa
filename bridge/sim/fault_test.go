package sim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

func fault(t *testing.T, s *Server, f Fault) int {
	t.Helper()
	id, err := s.AddFault(f)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// raw sends a text and returns what came back, or the error.
func (c *client) raw() (int, string, error) { return c.rawContext(context.Background()) }

func (c *client) rawContext(ctx context.Context) (int, string, error) {
	c.t.Helper()
	body := c.msg(1, "filehelper", map[string]any{"Content": "x"})
	body["BaseRequest"] = c.base
	b, err := json.Marshal(body)
	must(c.t, err)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.cgi("webwxsendmsg", nil), strings.NewReader(string(b)))
	must(c.t, err)
	req.GetBody = nil // net/http would repeat the request by itself
	resp, got, err := c.do(req)
	if resp == nil {
		return 0, "", err
	}
	return resp.StatusCode, string(got), err
}

// What each fault does to a send: what the client sees, and whether WeChat has
// the message.
func TestFaultKinds(t *testing.T) {
	for _, tc := range []struct {
		fault  Fault
		status int
		body   string
		err    bool
		sent   int
	}{
		{Fault{Do: "ret", Ret: 1205}, 200, `"Ret":1205`, false, 0},
		{Fault{Do: "status"}, 502, "Bad Gateway", false, 0},
		{Fault{Do: "status", Status: 503}, 503, "<html>", false, 0},
		{Fault{Do: "html"}, 200, "<!DOCTYPE html>", false, 0},
		{Fault{Do: "empty"}, 200, "", false, 0},
		{Fault{Do: "reset"}, 0, "", true, 0},
		{Fault{Do: "truncate"}, 200, `{"BaseResponse":`, true, 1},
		{Fault{Do: "accept_then_drop"}, 0, "", true, 1},
		{Fault{Do: "delay", Delay: time.Millisecond}, 200, `"Ret":0`, false, 1},
		{Fault{Do: "notice", Text: "later"}, 200, `"Ret":0`, false, 1},
		{Fault{Do: "throttle", Rate: "1/h"}, 200, `"Ret":0`, false, 1},
		{Fault{Do: "refuse", On: []string{"webwxsendmsg"}}, 0, "", true, 0},
		{Fault{Do: "refuse"}, 0, "", true, 0},
	} {
		t.Run(tc.fault.Do, func(t *testing.T) {
			s, c := loggedIn(t, nil)
			fault(t, s, tc.fault)
			status, body, err := c.raw()
			if status != tc.status || !strings.Contains(body, tc.body) || (err != nil) != tc.err || tc.body == "" && body != "" {
				t.Errorf("%d %q %v", status, body, err)
			}
			if n := len(s.Sent()); n != tc.sent {
				t.Errorf("%d accepted", n)
			}
			s.ClearFaults()
			if _, body, err := c.raw(); err != nil || !strings.Contains(body, `"Ret":0`) {
				t.Errorf("after the fault: %q %v", body, err)
			}
		})
	}
}

func TestFaultForms(t *testing.T) {
	s, c := loggedIn(t, nil)
	fault(t, s, Fault{Do: "ret", Ret: 1101})
	for u, want := range map[string]string{
		"https://login.wx.qq.com/jslogin?appid=x":                  `window.QRLogin.code = 1101;`,
		"https://login.wx.qq.com/cgi-bin/mmwebwx-bin/login?uuid=x": `window.code=1101;`,
		c.syncCheckURL():                                             `window.synccheck={retcode:"1101",selector:"0"}`,
		c.cgi("webwxnewloginpage", nil):                              `<ret>1101</ret>`,
		c.cgi("webwxpushloginurl", nil):                              `{"ret":"1101"`,
		c.cgi("webwxgetcontact", nil):                                `{"BaseResponse":{"Ret":1101,`,
		c.cgi("webwxgetmsgimg", url.Values{"MsgID": {"1"}}):          `"Ret":1101`,
		"https://file.wx.qq.com/cgi-bin/mmwebwx-bin/webwxgetmedia?x": `"Ret":1101`,
	} {
		if _, body := c.get(u); !strings.Contains(body, want) {
			t.Errorf("%s: %q", u, body)
		}
	}
	for _, name := range []string{"webwxinit", "webwxsync", "webwxuploadmedia", "webwxsendmsg"} {
		c.wantRet(c.post(name, nil, map[string]any{}), 1101)
	}
	if !s.State().LoggedIn {
		t.Error("a fault ends no session")
	}
}

func TestFaultLimits(t *testing.T) {
	s, c := loggedIn(t, nil)
	codes := func(n int) string {
		t.Helper()
		var list []string
		for range n {
			list = append(list, ret(c.text("filehelper", "x")))
		}
		return strings.Join(list, " ")
	}
	fault(t, s, Fault{On: []string{"webwxsendmsg"}, Do: "ret", Ret: 3, Skip: 1, Count: 2})
	fault(t, s, Fault{On: []string{"webwxsync"}, Do: "ret", Ret: 4})
	if got := codes(5); got != "0 3 3 0 0" {
		t.Errorf("skip and count: %s", got)
	}
	if f := s.Faults()[0]; f.Hits != 2 || f.ID != 1 {
		t.Errorf("%+v", f)
	}
	s.ClearFaults()
	fault(t, s, Fault{On: []string{"webwxsendmsg"}, Do: "throttle", Rate: "3/h"})
	if got := codes(5); got != "0 0 0 1205 1205" {
		t.Errorf("throttle: %s", got)
	}
	s.ClearFaults()
	fault(t, s, Fault{Do: "ret", Ret: 5, Probability: 0.5})
	if got := codes(40); !strings.Contains(got, "0") || !strings.Contains(got, "5") {
		t.Errorf("probability: %s", got)
	}
	s.ClearFaults()
	fault(t, s, Fault{Do: "ret", Ret: 6, For: time.Nanosecond})
	if got := codes(1); got != "0" {
		t.Errorf("for: %s", got)
	}
	fault(t, s, Fault{Do: "delay", Delay: time.Millisecond})
	fault(t, s, Fault{Do: "ret", Ret: 7})
	if got := codes(1); got != "7" {
		t.Errorf("delay, then another: %s", got)
	}
}

func TestFalseAlarm(t *testing.T) {
	s, c := loggedIn(t, nil)
	fault(t, s, Fault{On: []string{"synccheck"}, Do: "ret", Selector: 3, Count: 1})
	if code, sel := c.syncCheck(); code != "0" || sel != "3" {
		t.Errorf("%s/%s", code, sel)
	}
	if got := texts(c.sync()); len(got) != 0 {
		t.Errorf("%v", got)
	}
}

func TestRefuseDropsWhatIsOpen(t *testing.T) {
	s, c := loggedIn(t, func(o *Options) { o.Hold = time.Minute })
	got := make(chan error, 1)
	go func() {
		got <- c.try(c.syncCheckURL())
	}()
	waitFor(t, func() bool { return s.Requests("synccheck") == 1 })
	id := fault(t, s, Fault{Do: "refuse"})
	if err := <-got; err == nil {
		t.Error("a held poll survived")
	}
	if err := c.try("https://wx.qq.com/"); err == nil {
		t.Error("a new connection was taken")
	}
	if !s.faults.clear(id) {
		t.Error("the fault was gone")
	}
	c.get("https://wx.qq.com/")
}

func TestHangEndsWithTheFault(t *testing.T) {
	s, c := loggedIn(t, nil)
	fault(t, s, Fault{On: []string{"webwxsendmsg"}, Do: "hang"})
	got := make(chan string, 1)
	go func() {
		_, body, _ := c.raw()
		got <- body
	}()
	waitFor(t, func() bool { return s.Faults()[0].Hits == 1 })
	if n := len(s.Sent()); n != 0 {
		t.Errorf("%d accepted while it hangs", n)
	}
	s.ClearFaults()
	if body := <-got; !strings.Contains(body, `"Ret":0`) || len(s.Sent()) != 1 {
		t.Errorf("%q", body)
	}
}

func TestHangEndsWithTheClient(t *testing.T) {
	s, c := loggedIn(t, nil)
	fault(t, s, Fault{On: []string{"webwxsendmsg"}, Do: "hang"})
	ctx, cancel := context.WithCancel(context.Background())
	got := make(chan error, 1)
	go func() {
		_, _, err := c.rawContext(ctx)
		got <- err
	}()
	waitFor(t, func() bool { return s.Faults()[0].Hits == 1 })
	cancel()
	if err := <-got; !errors.Is(err, context.Canceled) {
		t.Errorf("answered: %v", err)
	}
	waitFor(t, func() bool { return s.flight.count() == 0 }) // the server saw it leave
	s.ClearFaults()
	c.wantRet(c.text("filehelper", "next"), 0)
	if n := len(s.Sent()); n != 1 {
		t.Errorf("%d accepted", n)
	}
}

func TestNoticeFault(t *testing.T) {
	s, c := loggedIn(t, nil)
	fault(t, s, Fault{On: []string{"webwxsendmsg"}, Do: "notice", Count: 1})
	c.wantRet(c.text(c.names["Alice"], "x"), 0)
	m := c.next()[0]
	if m["Content"] != noticeRefused || m["FromUserName"] != c.names["Alice"] || s.Sent()[0].Notice != noticeRefused {
		t.Errorf("%v %+v", m, s.Sent())
	}
}

func TestBadFaults(t *testing.T) {
	s := start(t, nil)
	for _, f := range []Fault{{}, {Do: "smell"}, {Do: "ret"}, {Do: "delay"}, {Do: "throttle"}, {Do: "throttle", Rate: "x/m"}, {Do: "throttle", Rate: "0/m"},
		{Do: "throttle", Rate: "5/y"}, {On: []string{"webwxsendmsgs"}, Do: "empty"}, {Do: "status", Status: 99}, {Do: "empty", Count: -1}, {Do: "empty", Probability: 2}, {Do: "empty", Skip: -1}} {
		if _, err := s.AddFault(f); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %v", f, err)
		}
	}
	if len(s.Faults()) != 0 {
		t.Errorf("%v", s.Faults())
	}
}

func TestFaultJSON(t *testing.T) {
	in := `{"on":["synccheck"],"do":"ret","ret":1101,"count":5,"probability":1,"for":"30s","skip":0}`
	var f Fault
	must(t, json.Unmarshal([]byte(in), &f))
	if f.For != 30*time.Second || f.Probability != 1 || f.Count != 5 || f.On[0] != "synccheck" {
		t.Errorf("%+v", f)
	}
	out, err := json.Marshal(f)
	if err != nil || string(out) != `{"on":["synccheck"],"do":"ret","ret":1101,"count":5,"probability":1,"for":"30s"}` {
		t.Errorf("%s %v", out, err)
	}
	for _, bad := range []string{`{"do":"ret","what":1}`, `{"for":"x"}`, `{"for":"-1s"}`, `{"delay":5}`, `{"probability":0}`, `[]`} {
		if err := json.Unmarshal([]byte(bad), &f); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}

func TestTruncatedAnswerIsCutInTheMiddle(t *testing.T) {
	s, c := loggedIn(t, nil)
	fault(t, s, Fault{On: []string{"webwxgetcontact"}, Do: "truncate"})
	req, err := http.NewRequest(http.MethodGet, c.cgi("webwxgetcontact", url.Values{"seq": {"0"}, "skey": {c.skey}}), nil)
	must(t, err)
	resp, err := c.http.Do(req)
	must(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if !errors.Is(err, io.ErrUnexpectedEOF) || len(b) < 1000 || resp.ContentLength < int64(len(b)) {
		t.Errorf("%v after %d of %d", err, len(b), resp.ContentLength)
	}
	if fmt.Sprint(resp.StatusCode) != "200" {
		t.Error(resp.StatusCode)
	}
}
