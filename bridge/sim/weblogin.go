package sim

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"rsc.io/qr"
)

type qrState int

const (
	qrWaiting qrState = iota
	qrScanned
	qrConfirmed
)

// maxPending bounds the QR codes that are remembered.
const maxPending = 64

// qrLogin is one QR code, or one push login, which nobody has to scan.
type qrLogin struct {
	uuid    string
	push    bool
	state   qrState
	told    bool   // a poll was answered 201
	as      string // another person scanned
	ticket  string
	created time.Time
}

func (a *account) expired(q *qrLogin) bool {
	return q.state != qrConfirmed && time.Since(q.created) >= a.opts.QRLife
}

// newQR makes a login that waits; called with mu held.
func (a *account) newQR(push bool) *qrLogin {
	q := &qrLogin{uuid: base64.URLEncoding.EncodeToString(a.secret(7)), push: push, created: time.Now()}
	if push {
		q.state, q.told = qrScanned, true // the phone shows a button at once
	}
	a.pending = append(a.pending, q)
	if len(a.pending) > maxPending {
		a.pending = append(a.pending[:0], a.pending[1:]...)
	}
	a.changed()
	return q
}

func (a *account) findQR(uuid string) *qrLogin {
	for _, q := range a.pending {
		if q.uuid == uuid {
			return q
		}
	}
	return nil
}

// newest is the newest login in that state that is still good.
func (a *account) newest(state qrState) *qrLogin {
	for i := len(a.pending) - 1; i >= 0; i-- {
		if q := a.pending[i]; q.state == state && !a.expired(q) {
			return q
		}
	}
	return nil
}

// move is what the phone does; called with mu held.
func (a *account) move(q *qrLogin, to qrState) {
	q.state = to
	if to == qrConfirmed {
		q.ticket = "A" + hex.EncodeToString(a.secret(12)) + "@qrticket_0"
	}
	a.changed()
}

func (w *web) jslogin(rw http.ResponseWriter, c call) {
	if c.URL.Query().Get("appid") == "" {
		w.refuse(rw, c.endpoint, 400, 0)
		return
	}
	w.mu.Lock()
	q := w.newQR(false)
	w.mu.Unlock()
	answerJS(rw, fmt.Sprintf("window.QRLogin.code = 200; window.QRLogin.uuid = %q;", q.uuid))
}

// qrcode serves the picture that a phone scans.
func (w *web) qrcode(rw http.ResponseWriter, c call) {
	uuid := strings.TrimPrefix(c.URL.Path, "/qrcode/")
	w.mu.Lock()
	known := w.findQR(uuid) != nil
	w.mu.Unlock()
	if !known {
		answerHTML(rw, http.StatusNotFound, "<html><body>404</body></html>")
		return
	}
	code, err := qr.Encode("https://login.weixin.qq.com/l/"+uuid, qr.L)
	if err != nil {
		answerHTML(rw, http.StatusInternalServerError, "<html><body>500</body></html>")
		return
	}
	rw.Header().Set("Content-Type", "image/png")
	_, _ = rw.Write(code.PNG()) // the client may be gone
}

// qrPage is what the text inside of the code leads to in a browser.
func (w *web) qrPage(rw http.ResponseWriter, _ call) {
	answerHTML(rw, http.StatusOK, "<!DOCTYPE html><html><head><title>微信</title></head><body>请使用微信扫描二维码登录</body></html>")
}

// login is the poll for what the phone did; held until it does something.
func (w *web) login(rw http.ResponseWriter, c call) {
	uuid := c.URL.Query().Get("uuid")
	answer := "window.code=408;"
	w.await(c.Context(), w.holdQR(uuid), func() bool {
		text := w.pollQR(w.findQR(uuid))
		if text != "" {
			answer = text
		}
		return text != ""
	})
	if answer == "window.code=408;" && w.isExpired(uuid) {
		answer = "window.code=400;"
	}
	answerJS(rw, answer)
}

// holdQR is how long a poll is held: not beyond the end of the code.
func (w *web) holdQR(uuid string) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	q := w.findQR(uuid)
	if q == nil {
		return 0
	}
	return min(w.opts.Hold, w.opts.QRLife-time.Since(q.created))
}

func (w *web) isExpired(uuid string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	q := w.findQR(uuid)
	return q == nil || w.expired(q)
}

// pollQR is the answer that a poll gets now, "" if it has to wait.
func (w *web) pollQR(q *qrLogin) string {
	if q == nil || w.expired(q) {
		return "window.code=400;"
	}
	if w.opts.AutoLogin && q.state == qrScanned && q.told {
		w.move(q, qrConfirmed)
	}
	if w.opts.AutoLogin && q.state == qrWaiting {
		w.move(q, qrScanned)
	}
	switch {
	case q.state == qrConfirmed:
		return fmt.Sprintf("window.code=200;\nwindow.redirect_uri=\"https://%s%swebwxnewloginpage?ticket=%s&uuid=%s&lang=zh_CN&scan=%d\";",
			w.opts.World.Host, cgiBin, q.ticket, url.QueryEscape(q.uuid), time.Now().Unix())
	case q.state == qrScanned && !q.told:
		q.told = true
		return "window.code=201;window.userAvatar = 'data:img/jpg;base64," + base64.StdEncoding.EncodeToString(avatar(selfID)) + "';"
	}
	return ""
}

// loginAnswer is the body of the redirect that ends a login.
type loginAnswer struct {
	XMLName     xml.Name `xml:"error"`
	Ret         int      `xml:"ret"`
	Message     string   `xml:"message"`
	Skey        string   `xml:"skey"`
	WxSid       string   `xml:"wxsid"`
	WxUin       string   `xml:"wxuin"`
	PassTicket  string   `xml:"pass_ticket"`
	IsGrayScale int      `xml:"isgrayscale"`
}

// newLoginPage gives the credentials, as cookies and in the XML body of a 301.
func (w *web) newLoginPage(rw http.ResponseWriter, c call) {
	w.mu.Lock()
	s, ret := w.redeem(c)
	w.mu.Unlock()
	if ret != retOK {
		answerLoginError(rw, ret)
		return
	}
	setCookies(rw.Header(), s)
	answerXML(rw, loginAnswer{Skey: s.skey, WxSid: s.sid, WxUin: s.uin,
		PassTicket: url.QueryEscape(s.passTicket), IsGrayScale: 1})
}

// redeem turns a ticket, once, into a session; the former one is kicked out.
func (w *web) redeem(c call) (*session, int) {
	query := c.URL.Query()
	q := w.findQR(query.Get("uuid"))
	if _, base := hostKind(c.Host); q == nil || q.ticket == "" || q.ticket != query.Get("ticket") || base != w.opts.World.Host {
		return nil, retTicket
	}
	q.ticket, q.created, q.state = "", time.Time{}, qrWaiting // used: polls now say that it is expired
	if w.opts.World.DesktopOnly && (c.Header.Get("client-version") == "" || c.Header.Get("extspam") == "") {
		return nil, retBlocked
	}
	w.endSession(retLoggedIn)
	if q.as != "" {
		w.self.Name, w.uin = q.as, 3_000_000_000+int64(stableNumber(q.as)%1_000_000_000)
	}
	w.session = w.newSession(c.cookie("webwxuvid"))
	w.remember(w.session.device)
	w.changed()
	return w.session, retOK
}

// remember makes the phone know a browser; it forgets all when there are many.
func (a *account) remember(device string) {
	if len(a.devices) >= pastSessions {
		clear(a.devices)
	}
	a.devices[device] = true
}

func setCookies(h http.Header, s *session) {
	expires := time.Now().Add(12 * time.Hour).UTC().Format(http.TimeFormat)
	parent := s.host[strings.Index(s.host, "."):] // wx.qq.com: .qq.com
	set := func(name, value, domain string) {
		h.Add("Set-Cookie", fmt.Sprintf("%s=%s; Domain=%s; Path=/; Expires=%s; Secure", name, value, domain, expires))
	}
	set("wxuin", s.uin, s.host)
	set("wxsid", s.sid, s.host)
	set("wxloadtime", fmt.Sprint(s.since.Unix()), s.host)
	set("mm_lang", "zh_CN", s.host)
	set("webwx_data_ticket", s.dataTicket, parent)
	set("webwxuvid", s.device, s.host)
	set("webwx_auth_ticket", s.authTicket, s.host)
}

func answerLoginError(rw http.ResponseWriter, ret int) {
	message := "登录环境异常"
	if ret == retBlocked {
		message = "为了你的帐号安全，此微信号不能登录网页微信。你可以使用Windows微信或Mac微信在电脑端登录。"
	}
	answerXML(rw, loginAnswer{Ret: ret, Message: message})
}

func answerXML(rw http.ResponseWriter, v loginAnswer) {
	body, err := xml.Marshal(v)
	if err != nil {
		http.Error(rw, "Internal Server Error", http.StatusInternalServerError)
		return
	}
	rw.Header().Set("Content-Type", "text/plain")
	rw.WriteHeader(http.StatusMovedPermanently)
	_, _ = rw.Write(body) // the client may be gone
}

type pushAnswer struct {
	Ret  string `json:"ret"`
	Msg  string `json:"msg"`
	UUID string `json:"uuid,omitempty"`
}

// pushLogin asks the phone to confirm without a scan; only for a browser that
// the phone knows, by its cookies.
func (w *web) pushLogin(rw http.ResponseWriter, c call) {
	w.mu.Lock()
	defer w.mu.Unlock()
	uin := fmt.Sprint(w.uin)
	if c.URL.Query().Get("uin") != uin || c.cookie("wxuin") != uin || !w.devices[c.cookie("webwxuvid")] {
		answerJSON(rw, pushAnswer{Ret: "1", Msg: "not allowed"})
		return
	}
	answerJSON(rw, pushAnswer{Ret: "0", Msg: "all ok", UUID: w.newQR(true).uuid})
}

// logout ends the session; clients ignore the answer, a bare redirect.
func (w *web) logout(rw http.ResponseWriter, c call) {
	w.mu.Lock()
	if _, ret := w.byCookies(c); ret == retOK {
		w.endSession(retLoggedIn)
	}
	w.mu.Unlock()
	rw.Header().Set("Location", "https://"+w.opts.World.Host+"/")
	rw.WriteHeader(http.StatusMovedPermanently)
}
