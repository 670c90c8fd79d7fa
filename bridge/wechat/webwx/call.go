package webwx

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/eatmoreapple/openwechat"

	"wechat-bridge/classifier"
)

// line is one login's way to WeChat: a fresh library client (one that was
// stopped cannot be used again), its cookies and the credentials.
type line struct {
	lib   *openwechat.Client
	wire  *wire
	jar   *openwechat.Jar
	book  *cookieBook
	times times

	mu      sync.Mutex
	info    openwechat.LoginInfo
	device  string
	loginAt time.Time
}

// times are the time-outs, all derived from the configuration.
type times struct {
	hold  time.Duration // a held poll, slack included
	quick time.Duration // everything else but media
	media time.Duration // one chunk of an upload, one download
}

func newLine(d *dialer, ts times, device string, saved []cookie) *line {
	bot := openwechat.NewBot(context.Background())
	openwechat.Desktop.Prepare(bot)
	book, jar := restoreCookies(saved)
	l := &line{lib: bot.Caller.Client, wire: newWire(d, book), jar: jar, book: book, times: ts, device: device}
	l.lib.MaxRetryTimes = 1
	l.lib.SetCookieJar(jar)
	l.lib.HTTPClient().Transport = l.wire
	l.lib.HTTPClient().Timeout = 0
	return l
}

// restore puts a stored session's credentials in.
func (l *line) restore(s *stored) {
	l.lib.Domain = openwechat.WechatDomain(s.Host)
	l.info = openwechat.LoginInfo{WxUin: s.Uin, WxSid: s.Sid, SKey: s.Skey, PassTicket: s.PassTicket}
	l.loginAt = s.LoginAt
}

// snapshot is restore's counterpart.
func (l *line) snapshot() *stored {
	info := l.login()
	l.mu.Lock()
	defer l.mu.Unlock()
	return &stored{
		Host: string(l.lib.Domain), Uin: info.WxUin, Sid: info.WxSid, Skey: info.SKey,
		PassTicket: info.PassTicket, Cookies: l.book.all(), LoginAt: l.loginAt,
	}
}

func (l *line) host() string { return string(l.lib.Domain) }

// login gives a copy of the credentials for one request.
func (l *line) login() *openwechat.LoginInfo {
	l.mu.Lock()
	defer l.mu.Unlock()
	info := l.info
	return &info
}

// base gives the BaseRequest for one request.
func (l *line) base() *openwechat.BaseRequest {
	i := l.login()
	return &openwechat.BaseRequest{Uin: i.WxUin, Sid: i.WxSid, Skey: i.SKey, DeviceID: l.device}
}

// renew takes a new skey; WeChat mostly sends none, and then the old one stays.
func (l *line) renew(skey string) {
	if skey == "" {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.info.SKey = skey
}

func (l *line) age() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.loginAt.IsZero() {
		return 0
	}
	return max(time.Since(l.loginAt), time.Millisecond)
}

// complete reports whether the cookies are there that WeChat asks for, so that
// a 1102 cannot be our own fault.
func (l *line) complete() bool {
	h := l.host()
	return h != "" && cookieValue(l.jar, "webpush."+h, "wxsid") != "" &&
		cookieValue(l.jar, "webpush."+h, "wxuin") != "" && cookieValue(l.jar, "file."+h, "webwx_data_ticket") != ""
}

func (l *line) close() { l.wire.idle() }

// request is one call of the library.
type request func(ctx context.Context) (*http.Response, error)

// call performs one request exactly once, within its own time-out, and returns
// the exchange with its bounded body. Errors are faults, or the cause of ctx.
func (l *line) call(ctx context.Context, ex *exchange, limit time.Duration, do request) error {
	if ex.limit == 0 {
		ex.limit = smallAnswer
	}
	cctx, cancel := context.WithTimeoutCause(context.WithValue(ctx, exchangeKey{}, ex), limit, errSlow)
	defer cancel()
	resp, err := guarded(cctx, do)
	if err != nil {
		return l.failed(ctx, ex, err)
	}
	return resp.Body.Close()
}

// guarded turns a panic inside the library into an error.
func guarded(ctx context.Context, do request) (resp *http.Response, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the library panicked: %v", p)
		}
	}()
	return do(ctx)
}

// failed gives the one error form of this package.
func (l *line) failed(ctx context.Context, ex *exchange, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var f *classifier.Fault
	if !errors.As(err, &f) {
		f = ex.fault(ex.phase(), "request failed")
		f.Cause = bare(err)
	}
	return l.enrich(f)
}

// enrich adds what only the login knows.
func (l *line) enrich(f *classifier.Fault) *classifier.Fault {
	f.SinceLogin, f.CookiesComplete = l.age(), l.complete()
	return f
}

// envelope is the head of every JSON answer.
type envelope struct {
	BaseResponse *struct {
		Ret    int
		ErrMsg string
	}
}

func (e *envelope) head() *envelope { return e }

type answer interface{ head() *envelope }

// ask performs a request with a JSON answer and looks at Ret, always.
func (l *line) ask(ctx context.Context, ex *exchange, limit time.Duration, do request, out answer) error {
	if err := l.call(ctx, ex, limit, do); err != nil {
		return err
	}
	if f := ex.decode(out); f != nil {
		return l.enrich(f)
	}
	return nil
}

func (ex *exchange) decode(out answer) *classifier.Fault {
	if err := json.Unmarshal(ex.body, out); err != nil {
		return ex.unreadable("answer cannot be read", err)
	}
	h := out.head().BaseResponse
	switch {
	case h == nil:
		return ex.unreadable("answer has no BaseResponse", nil)
	case h.Ret != 0:
		return ex.coded(h.Ret, h.ErrMsg)
	}
	return nil
}

// post builds a JSON request of our own, for the calls that the library gets
// wrong. Like WeChat's page it does not escape <, > and &.
func (l *line) post(ctx context.Context, target string, content any) (*http.Response, error) {
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(content); err != nil {
		return nil, fmt.Errorf("encode the request: %w", err)
	}
	return l.send(ctx, target, "application/json; charset=utf-8", &body)
}

func (l *line) send(ctx context.Context, target, contentType string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", contentType)
	return l.lib.Do(req)
}
