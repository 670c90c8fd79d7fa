package webwx

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/eatmoreapple/openwechat"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/classifier"
)

// The poll's own codes (webwx).
const (
	codeConfirmed = 200
	codeScanned   = 201
	codeExpired   = 400
	codeWaiting   = 408
)

// softPolls is how many polls in a row may fail before the login does: a code
// that somebody is about to scan is worth more than one request.
const softPolls = 3

var (
	uuidCode    = regexp.MustCompile(`QRLogin\.code\s*=\s*(-?\d+)`)
	uuidValue   = regexp.MustCompile(`QRLogin\.uuid\s*=\s*"([^"]*)"`)
	pollCode    = regexp.MustCompile(`window\.code\s*=\s*(-?\d+)`)
	redirectURI = regexp.MustCompile(`window\.redirect_uri\s*=\s*"([^"]*)"`)
)

// scan shows one QR code and waits until it is confirmed or expires.
func (t *Transport) scan(ctx context.Context, step func(wechat.LoginStep)) (*Session, error) {
	l := t.line(nil)
	uuid, err := l.askUUID(ctx)
	if err != nil {
		return nil, t.dropped(l, err)
	}
	until := time.Now().Add(t.cfg.CodeLife)
	step(wechat.LoginStep{Kind: wechat.StepScan, QRText: "https://login.weixin.qq.com/l/" + uuid, ExpiresAt: until})
	p := poll{uuid: uuid, tip: "0", until: until, pace: t.cfg.LoginPace, step: step}
	return t.finish(ctx, l, p)
}

// push asks the phone that still knows this device for a confirmation.
func (t *Transport) push(ctx context.Context, step func(wechat.LoginStep)) (*Session, error) {
	s := t.acct.session()
	if s == nil {
		return nil, fmt.Errorf("push login without a former session: %w", wechat.ErrNoRung)
	}
	l := t.line(s.Cookies)
	l.restore(s)
	l.loginAt = time.Time{} // a new login begins
	uuid, err := l.askPush(ctx, s.Uin)
	if err != nil {
		return nil, t.dropped(l, err)
	}
	until := time.Now().Add(t.cfg.CodeLife)
	step(wechat.LoginStep{Kind: wechat.StepConfirm, ExpiresAt: until})
	// The steps of the poll are the same confirm again: nobody needs them twice.
	p := poll{uuid: uuid, tip: "1", until: until, pace: t.cfg.LoginPace, step: func(wechat.LoginStep) {}}
	return t.finish(ctx, l, p)
}

func (t *Transport) finish(ctx context.Context, l *line, p poll) (*Session, error) {
	redirect, err := l.await(ctx, p)
	if err != nil {
		return nil, t.dropped(l, err)
	}
	step := p.step
	step(wechat.LoginStep{Kind: wechat.StepWait})
	if err := l.credentials(ctx, redirect); err != nil {
		return nil, t.dropped(l, err)
	}
	t.granted(ctx, l.snapshot())
	s, err := t.open(ctx, l, freshLogin)
	if err != nil {
		return nil, t.dropped(l, err)
	}
	return s, nil
}

// granted keeps what a person has just confirmed before the session is opened:
// should that fail, the stored login opens it and nobody has to scan again. It
// has no position yet, so that one begins with the session.
func (t *Transport) granted(ctx context.Context, s *stored) {
	t.acct.renounce(s.Uin)
	if err := t.acct.save(ctx, s); err != nil {
		t.log.Warn().Err(err).Str("event", "session_not_saved").Msg("the new login could not be stored yet")
	}
}

func (t *Transport) dropped(l *line, err error) error {
	l.close()
	return err
}

// askUUID asks for a QR code.
func (l *line) askUUID(ctx context.Context) (string, error) {
	ex := &exchange{op: classifier.OpUUID}
	err := l.call(ctx, ex, l.times.quick, func(ctx context.Context) (*http.Response, error) {
		return l.lib.GetLoginUUID(ctx)
	})
	if err != nil {
		return "", err
	}
	code, found := number(uuidCode, ex.body)
	uuid := uuidValue.FindSubmatch(ex.body)
	switch {
	case found && code != 200:
		return "", l.enrich(ex.coded(code, "no QR code given"))
	case uuid == nil || len(uuid[1]) == 0:
		return "", l.enrich(ex.unreadable("answer holds no uuid", nil))
	}
	return string(uuid[1]), nil
}

// askPush asks for a push login; a phone that forgot the device is ErrNoRung.
func (l *line) askPush(ctx context.Context, uin int64) (string, error) {
	ex := &exchange{op: classifier.OpPushLogin}
	err := l.call(ctx, ex, l.times.quick, func(ctx context.Context) (*http.Response, error) {
		return l.lib.WebWxPushLogin(ctx, uin)
	})
	if err != nil {
		return "", err
	}
	var a struct {
		Ret  json.RawMessage `json:"ret"`
		UUID string          `json:"uuid"`
	}
	if err := json.Unmarshal(ex.body, &a); err != nil {
		return "", l.enrich(ex.unreadable("answer cannot be read", err))
	}
	ret := strings.Trim(string(a.Ret), `"`)
	if ret != "0" || a.UUID == "" {
		return "", fmt.Errorf("push login refused (ret %s): %w", printable(ret), wechat.ErrNoRung)
	}
	return a.UUID, nil
}

// poll is one code's wait for the phone.
type poll struct {
	uuid  string
	tip   string
	until time.Time
	pace  time.Duration
	step  func(wechat.LoginStep)
}

// await polls until the phone confirms. It keeps its own pace and its own
// expiry: a server that does not hold the poll must not make it spin.
func (l *line) await(ctx context.Context, p poll) (redirect string, err error) {
	soft, scanned := 0, false
	for time.Now().Before(p.until) {
		start := time.Now()
		code, target, err := l.pollOnce(ctx, p.uuid, p.tip)
		p.tip = "0"
		switch {
		case ctx.Err() != nil:
			return "", context.Cause(ctx)
		case err != nil:
			if soft++; soft > softPolls {
				return "", err
			}
		case code == codeConfirmed:
			return target, nil
		case code == codeExpired:
			return "", l.expired("the code is no longer good")
		default:
			soft = 0
		}
		if code == codeScanned && !scanned {
			scanned = true
			p.step(wechat.LoginStep{Kind: wechat.StepConfirm, ExpiresAt: p.until})
		}
		if err := pause(ctx, time.Until(start.Add(p.pace))); err != nil {
			return "", err
		}
	}
	return "", l.expired("nobody confirmed in time")
}

func (l *line) expired(text string) *classifier.Fault {
	ex := &exchange{op: classifier.OpCheckLogin, target: "login.wx.qq.com/cgi-bin/mmwebwx-bin/login", status: http.StatusOK}
	return l.enrich(ex.coded(codeExpired, text))
}

func (l *line) pollOnce(ctx context.Context, uuid, tip string) (code int, redirect string, err error) {
	ex := &exchange{op: classifier.OpCheckLogin}
	err = l.call(ctx, ex, l.times.hold, func(ctx context.Context) (*http.Response, error) {
		return l.lib.CheckLogin(ctx, uuid, tip)
	})
	if err != nil {
		return 0, "", err
	}
	code, found := number(pollCode, ex.body)
	if !found {
		return 0, "", l.enrich(ex.unreadable("answer holds no code", nil))
	}
	switch code {
	case codeConfirmed:
		m := redirectURI.FindSubmatch(ex.body)
		if m == nil {
			return 0, "", l.enrich(ex.unreadable("answer holds no redirect", nil))
		}
		return code, string(m[1]), nil
	case codeScanned, codeExpired, codeWaiting:
		return code, "", nil
	}
	return 0, "", l.enrich(ex.coded(code, "unknown code"))
}

// credentials takes the login ticket to the account's host.
func (l *line) credentials(ctx context.Context, redirect string) error {
	u, err := url.Parse(redirect)
	if err != nil || u.Scheme != "https" || !ourHost(u.Hostname()) {
		return l.enrich(refused(classifier.OpLogin, "the login leads to a host that is not WeChat's"))
	}
	q := u.Query()
	q.Set("fun", "new")
	q.Set("version", "v2")
	u.RawQuery = q.Encode()
	ex := &exchange{op: classifier.OpLogin}
	err = l.call(ctx, ex, l.times.quick, func(ctx context.Context) (*http.Response, error) {
		return l.lib.GetLoginInfo(ctx, u)
	})
	if err != nil {
		return err
	}
	return l.accept(ex, u.Host)
}

// accept reads the credentials and begins the login's life.
func (l *line) accept(ex *exchange, host string) error {
	var info openwechat.LoginInfo
	if err := xml.Unmarshal(ex.body, &info); err != nil {
		return l.enrich(ex.unreadable("credentials cannot be read", err))
	}
	if info.Ret != 0 {
		return l.enrich(ex.coded(info.Ret, info.Message))
	}
	if info.WxSid == "" || info.WxUin == 0 || info.SKey == "" {
		return l.enrich(ex.unreadable("credentials are not complete", errors.New("sid, uin or skey is missing")))
	}
	l.lib.Domain = openwechat.WechatDomain(host)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.info, l.loginAt = info, time.Now().UTC()
	return nil
}

// ourHost bounds where the server can send the login's secrets to.
func ourHost(host string) bool {
	return strings.HasSuffix(host, ".qq.com") || strings.HasSuffix(host, ".wechat.com")
}

func number(re *regexp.Regexp, body []byte) (int, bool) {
	m := re.FindSubmatch(body)
	if m == nil {
		return 0, false
	}
	n, err := strconv.Atoi(string(m[1]))
	return n, err == nil
}

// pause waits, or returns the cause of ctx.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
