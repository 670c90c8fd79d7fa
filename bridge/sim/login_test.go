package sim

import (
	"bytes"
	"encoding/xml"
	"errors"
	"image/png"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// byHand is a simulator whose phone the test plays.
func byHand(t *testing.T, change func(*Options)) *Server {
	return start(t, func(o *Options) {
		o.AutoLogin = false
		if change != nil {
			change(o)
		}
	})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestQRLoginStepByStep(t *testing.T) {
	s := byHand(t, nil)
	c := newClient(t, s)
	if err := s.Scan(); !errors.Is(err, ErrNothingWaits) {
		t.Errorf("scan of nothing: %v", err)
	}
	uuid := c.uuid()
	if got := c.poll(uuid); got != "window.code=408;" {
		t.Errorf("waiting: %q", got)
	}
	if st := s.State(); st.Waiting != "scan" || st.QRText != "https://login.weixin.qq.com/l/"+uuid {
		t.Errorf("state %+v", st)
	}
	if err := s.Confirm(); !errors.Is(err, ErrNothingWaits) {
		t.Errorf("confirm before scan: %v", err)
	}
	must(t, s.Scan())
	if got := c.poll(uuid); !strings.HasPrefix(got, "window.code=201;window.userAvatar = 'data:img/jpg;base64,") {
		t.Errorf("scanned: %q", got)
	}
	if got := c.poll(uuid); got != "window.code=408;" {
		t.Errorf("scanned and told: %q", got)
	}
	must(t, s.Confirm())
	c.finish(uuid)
	if st := s.State(); !st.LoggedIn || st.Logins != 1 || st.Waiting != "" {
		t.Errorf("state %+v", st)
	}
	if got := c.poll(uuid); got != "window.code=400;" {
		t.Errorf("a used code: %q", got)
	}
}

func TestPollEndsAtOnceWhenScanned(t *testing.T) {
	s := byHand(t, func(o *Options) { o.Hold = time.Minute })
	c := newClient(t, s)
	uuid := c.uuid()
	got := make(chan string, 1)
	go func() { got <- c.poll(uuid) }()
	waitFor(t, func() bool { return s.Requests("login") == 1 })
	must(t, s.Scan())
	if body := <-got; !strings.HasPrefix(body, "window.code=201;") {
		t.Errorf("%q", body)
	}
}

func TestQRExpires(t *testing.T) {
	s := byHand(t, func(o *Options) { o.QRLife = 30 * time.Millisecond; o.Hold = time.Minute })
	c := newClient(t, s)
	uuid := c.uuid()
	if got := c.poll(uuid); got != "window.code=400;" {
		t.Errorf("%q", got)
	}
	if err := s.Scan(); !errors.Is(err, ErrNothingWaits) {
		t.Errorf("scan of an old code: %v", err)
	}
	if got := c.poll("nonsense=="); got != "window.code=400;" {
		t.Errorf("unknown uuid: %q", got)
	}
}

func TestJSLoginByPostAndPicture(t *testing.T) {
	s := byHand(t, nil)
	c := newClient(t, s)
	resp, err := c.http.Post("https://login.wx.qq.com/jslogin?appid=wx782c26e4c19acffb&fun=new", "", nil)
	must(t, err)
	_ = resp.Body.Close()
	uuid := c.uuid()
	pic, body := c.get("https://login.weixin.qq.com/qrcode/" + uuid)
	img, err := png.Decode(bytes.NewReader([]byte(body)))
	if err != nil || pic.Header.Get("Content-Type") != "image/png" || img.Bounds().Dx() < 100 {
		t.Errorf("picture: %v", err)
	}
	if pic, _ := c.get("https://login.weixin.qq.com/qrcode/other"); pic.StatusCode != http.StatusNotFound {
		t.Errorf("unknown code: %d", pic.StatusCode)
	}
}

func TestTicketIsGoodOnce(t *testing.T) {
	s := start(t, nil)
	c := newClient(t, s)
	uuid := c.uuid()
	c.poll(uuid)
	uri := match(t, `window.redirect_uri="(.*?)"`, c.poll(uuid))
	if a := credentialsError(t, c, strings.Replace(uri, "wx.qq.com", "wx2.qq.com", 1)); a.Ret != retTicket {
		t.Errorf("on another host: %+v", a)
	}
	c.redeem(uri)
	for _, u := range []string{uri, strings.Replace(uri, "ticket=A", "ticket=B", 1)} {
		if a := credentialsError(t, c, u); a.Ret != retTicket {
			t.Errorf("%s: %+v", u, a)
		}
	}
}

func credentialsError(t *testing.T, c *client, uri string) loginAnswer {
	t.Helper()
	resp, body := c.get(uri)
	var a loginAnswer
	if err := xml.Unmarshal([]byte(body), &a); err != nil || resp.StatusCode != http.StatusMovedPermanently {
		t.Fatal(err, resp.StatusCode)
	}
	if len(resp.Cookies()) > 0 {
		t.Error("cookies in a refusal")
	}
	return a
}

func TestDesktopOnlyAccount(t *testing.T) {
	s := start(t, func(o *Options) { o.World = DefaultWorld(); o.World.DesktopOnly = true })
	c := newClient(t, s)
	uuid := c.uuid()
	c.poll(uuid)
	a := credentialsError(t, c, match(t, `window.redirect_uri="(.*?)"`, c.poll(uuid)))
	if a.Ret != retBlocked || !strings.Contains(a.Message, "为了你的帐号安全") {
		t.Errorf("%+v", a)
	}
	uuid = c.uuid()
	c.poll(uuid)
	req, err := http.NewRequest(http.MethodGet, match(t, `window.redirect_uri="(.*?)"`, c.poll(uuid)), nil)
	must(t, err)
	req.Header.Set("client-version", "2.0.0")
	req.Header.Set("extspam", "Go8FCIkFEokFCggw")
	if _, b, err := c.do(req); err != nil || !strings.Contains(string(b), "<ret>0</ret>") {
		t.Errorf("with the headers: %v %s", err, b)
	}
}

func TestCookieDomains(t *testing.T) {
	s := start(t, func(o *Options) { o.World = DefaultWorld(); o.World.Host = "wx2.qq.com" })
	c := newClient(t, s)
	c.login()
	for host, names := range map[string][]string{
		"wx2.qq.com":         {"wxuin", "wxsid", "webwx_data_ticket", "webwxuvid", "webwx_auth_ticket", "mm_lang", "wxloadtime"},
		"webpush.wx2.qq.com": {"wxuin", "wxsid", "webwx_data_ticket"},
		"file.wx2.qq.com":    {"wxuin", "wxsid", "webwx_data_ticket"},
		"wx.qq.com":          {"webwx_data_ticket"},
	} {
		for _, name := range names {
			if c.cookie(host, name) == "" {
				t.Errorf("no %s on %s", name, host)
			}
		}
	}
	if c.cookie("wx.qq.com", "wxsid") != "" {
		t.Error("wxsid leaves its host")
	}
	c.wantRet(c.text("filehelper", "on another host"), 0)
}

func TestSecondLoginEndsTheFirst(t *testing.T) {
	s := start(t, nil)
	first, second := newClient(t, s), newClient(t, s)
	first.login()
	second.login()
	if code, _ := first.syncCheck(); code != "1101" {
		t.Errorf("synccheck of the first: %s", code)
	}
	first.wantRet(first.text("filehelper", "x"), 1101)
	first.wantRet(first.sync(), 1101)
	second.wantRet(second.text("filehelper", "x"), 0)
}

func TestPushLogin(t *testing.T) {
	s := byHand(t, nil)
	c := newClient(t, s)
	push := func(uin string) string {
		_, body := c.get(c.cgi("webwxpushloginurl", url.Values{"uin": {uin}, "mod": {"desktop"}}))
		return body
	}
	uuid := c.uuid()
	must(t, s.Scan())
	must(t, s.Confirm())
	c.finish(uuid)
	must(t, s.Logout(0))
	self, uin := c.self, c.uin

	uuid = match(t, `"ret":"0","msg":"all ok","uuid":"(.*?)"`, push(uin))
	if err := s.Scan(); !errors.Is(err, ErrNothingWaits) {
		t.Errorf("a push login needs no scan: %v", err)
	}
	if got := c.poll(uuid); got != "window.code=408;" {
		t.Errorf("waits for the button: %q", got)
	}
	must(t, s.Confirm())
	c.finish(uuid)
	if c.uin != uin || c.self == self {
		t.Errorf("uin %s, user name %s", c.uin, c.self)
	}
	if got := push("12345"); !strings.Contains(got, `"ret":"1"`) {
		t.Errorf("another uin: %s", got)
	}
	s.Forget()
	if got := push(uin); !strings.Contains(got, `"ret":"1"`) {
		t.Errorf("phone forgot: %s", got)
	}
}

func TestAnotherPersonScans(t *testing.T) {
	s := byHand(t, nil)
	c := newClient(t, s)
	for i, who := range []string{"", "Eve"} {
		uuid := c.uuid()
		must(t, s.ScanAs(who))
		must(t, s.Confirm())
		uin := c.uin
		c.finish(uuid)
		if i > 0 && (c.uin == uin || s.proto.(*web).self.Name != "Eve") {
			t.Errorf("still %s, %s", uin, s.proto.(*web).self.Name)
		}
	}
	c.wantRet(c.text("filehelper", "x"), 0)
}

func TestLogoutByClient(t *testing.T) {
	s := start(t, nil)
	c := newClient(t, s)
	c.login()
	resp, body := c.get(c.cgi("webwxlogout", url.Values{"redirect": {"1"}, "type": {"0"}, "skey": {"wrong"}}))
	if resp.StatusCode != http.StatusMovedPermanently || body != "" || !s.State().LoggedIn {
		t.Errorf("wrong skey: %d %q", resp.StatusCode, body)
	}
	c.get(c.cgi("webwxlogout", url.Values{"redirect": {"1"}, "type": {"0"}, "skey": {c.skey}}))
	if s.State().LoggedIn {
		t.Error("still logged in")
	}
	c.wantRet(c.text("filehelper", "x"), 1101)
}

// waitFor polls for a fact that no channel tells.
func waitFor(t *testing.T, fact func() bool) {
	t.Helper()
	deadline := time.After(5 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !fact() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("never came true")
		}
	}
}
