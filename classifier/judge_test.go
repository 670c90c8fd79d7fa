package classifier

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"regexp"
	"slices"
	"syscall"
	"testing"
	"time"
)

func coded(op Operation, code int) *Fault {
	return &Fault{Transport: WebWX, Op: op, Code: code, HasCode: true, Phase: PhaseAnswer, Body: BodyJSON, Status: 200}
}

func freshly(f *Fault) *Fault {
	f.SinceLogin, f.CookiesComplete = 20*time.Second, true
	return f
}

func answered(op Operation, status int, body Body) *Fault {
	return &Fault{Transport: WebWX, Op: op, Status: status, Body: body, Phase: PhaseAnswer}
}

func caused(op Operation, phase Phase, err error) *Fault {
	return &Fault{Transport: WebWX, Op: op, Phase: phase, Cause: err}
}

func words(text string) *Fault { return &Fault{Transport: WebWX, Op: OpOther, Text: text} }

func dial(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }

func overHTTP(err error) error { return &url.Error{Op: "Post", URL: "https://wx.qq.com", Err: err} }

// want is what a verdict must say: class, code and the three answers.
type want struct {
	class      Class
	code       string
	disconnect bool
	retryable  bool
	human      bool
}

// faultCase is a fault and what it means.
type faultCase struct {
	rule    string
	fault   *Fault
	want    want
	certain bool
}

// cases and the texts of testdata hit each row; TestEveryRowIsHit sees to it.
var cases = slices.Concat(webCases, ilinkCases)

var webCases = []faultCase{
	{"webwx.1102.fresh", freshly(coded(OpSyncCheck, 1102)), want{AccountBlocked, "restricted_account", true, false, true}, true},
	{"webwx.1100", coded(OpSyncCheck, 1100), want{SessionExpired, "logged_in_elsewhere", true, false, true}, true},
	{"webwx.1100", freshly(coded(OpSyncCheck, 1100)), want{SessionExpired, "logged_in_elsewhere", true, false, true}, true},
	{"webwx.1101", coded(OpSyncCheck, 1101), want{SessionExpired, "logged_out_by_phone", true, false, true}, true},
	{"webwx.1101", freshly(coded(OpSend, 1101)), want{SessionExpired, "logged_out_by_phone", true, false, true}, true},
	{"webwx.1102", coded(OpSyncCheck, 1102), want{SessionExpired, "login_expired", true, false, true}, true},
	{"webwx.login.1203", coded(OpLogin, 1203), want{AccountBlocked, "web_login_refused", true, false, true}, true},
	{"webwx.1203", coded(OpSync, 1203), want{AccountBlocked, "ticket_refused", true, false, true}, true},
	{"webwx.contacts.1200", coded(OpContacts, 1200), want{RateLimited, "contacts_limited", false, true, false}, true},
	{"webwx.1200", coded(OpSend, 1200), want{RateLimited, "too_often", false, true, false}, true},
	{"webwx.1205", coded(OpSend, 1205), want{RateLimited, "too_often", false, true, false}, true},
	{"webwx.1205", coded(OpInit, 1205), want{RateLimited, "too_often", false, true, false}, true},
	{"webwx.contacts.1205", coded(OpBatchContacts, 1205), want{RateLimited, "contacts_limited", false, true, false}, true},
	{"webwx.1204", coded(OpSend, 1204), want{BadRequest, "send_limited", false, false, false}, false},
	{"webwx.init.1", coded(OpInit, 1), want{AccountBlocked, "web_init_refused", true, false, true}, true},
	{"webwx.notify.1", coded(OpNotify, 1), want{AccountBlocked, "web_init_refused", true, false, true}, true},
	{"webwx.1", coded(OpSend, 1), want{BadRequest, "bad_parameter", false, false, false}, true},
	{"webwx.-1", coded(OpSend, -1), want{BadRequest, "request_refused", false, false, false}, true},
	{"webwx.-1", coded(OpContacts, -1), want{BadRequest, "request_refused", false, false, false}, true},
	{"webwx.-2", coded(OpSend, -2), want{BadRequest, "logic_error", false, false, false}, true},
	{"webwx.-14", coded(OpSync, -14), want{SessionExpired, "ticket_invalid", true, false, true}, true},
	{"webwx.init.3", coded(OpInit, 3), want{SessionExpired, "session_lost", true, false, true}, true},
	{"webwx.3", coded(OpSync, 3), want{SessionExpired, "session_doubtful", true, false, true}, true},
	{"webwx.3", coded(OpNotify, 3), want{SessionExpired, "session_doubtful", true, false, true}, true},
	{"webwx.check_login.400", coded(OpCheckLogin, 400), want{LoginPending, "qr_expired", true, false, true}, true},
	{"webwx.check_login.408", coded(OpCheckLogin, 408), want{LoginPending, "qr_not_scanned", false, false, true}, true},
	{"webwx.check_login.201", coded(OpCheckLogin, 201), want{LoginPending, "qr_not_confirmed", false, false, true}, true},
	{"webwx.check_login.500", coded(OpCheckLogin, 500), want{Server, "server_error", true, true, false}, false},
	{"webwx.push_login.refused", coded(OpPushLogin, 7), want{LoginPending, "push_refused", true, false, true}, true},
	{"webwx.uuid.refused", coded(OpUUID, 500), want{LoginPending, "qr_refused", true, false, true}, true},

	{"http.login.301", answered(OpLogin, 301, BodyEmpty), want{AccountBlocked, "web_login_refused", true, false, true}, true},
	{"http.429", answered(OpSend, 429, BodyHTML), want{RateLimited, "too_often", false, true, false}, true},
	{"http.407", answered(OpSend, 407, BodyHTML), want{Network, "proxy_refused", true, false, true}, true},
	{"http.413", answered(OpUpload, 413, BodyHTML), want{BadRequest, "too_large", false, false, false}, true},
	{"http.5xx", answered(OpSyncCheck, 502, BodyHTML), want{Server, "server_error", true, true, false}, false},
	{"http.5xx", answered(OpSend, 524, BodyEmpty), want{Server, "server_error", false, true, false}, false},
	{"http.4xx.single", answered(OpUpload, 404, BodyHTML), want{BadRequest, "request_refused", false, false, false}, true},
	{"http.4xx", answered(OpSyncCheck, 403, BodyHTML), want{Protocol, "http_refused", true, true, false}, true},
	{"http.3xx", answered(OpSyncCheck, 302, BodyHTML), want{Protocol, "unexpected_redirect", true, true, false}, false},
	{"http.3xx", answered(OpSend, 302, BodyHTML), want{Protocol, "unexpected_redirect", false, true, false}, false},
	{"body.html", answered(OpSync, 200, BodyHTML), want{Protocol, "html_answer", true, true, false}, false},
	{"body.html", answered(OpSend, 200, BodyHTML), want{Protocol, "html_answer", false, true, false}, false},
	{"body.empty", answered(OpSync, 200, BodyEmpty), want{Protocol, "empty_answer", true, true, false}, false},
	{"body.other", answered(OpSync, 200, BodyOther), want{Protocol, "unreadable_answer", true, true, false}, false},

	{"cause.cancelled", caused(OpSend, PhaseSent, overHTTP(context.Canceled)), want{Internal, "cancelled", false, false, false}, false},
	{"cause.cancelled", caused(OpSend, PhasePrepare, context.Canceled), want{Internal, "cancelled", false, false, false}, true},
	{"cause.dns", caused(OpSyncCheck, PhaseDial, dial(&net.DNSError{Err: "server misbehaving", Name: "wx.qq.com", IsTemporary: true})), want{Network, "dns_failure", true, true, false}, true},
	{"cause.dns", caused(OpSyncCheck, PhaseDial, dial(&net.DNSError{Err: "timeout", IsTimeout: true})), want{Network, "dns_failure", true, true, false}, true},
	{"cause.refused", caused(OpSend, PhaseDial, overHTTP(dial(os.NewSyscallError("connect", syscall.ECONNREFUSED)))), want{Network, "connection_refused", true, true, false}, true},
	{"cause.reset", caused(OpSend, PhaseSent, &net.OpError{Op: "read", Err: syscall.ECONNRESET}), want{Network, "connection_reset", true, true, false}, false},
	{"cause.reset", caused(OpSend, PhaseSent, &net.OpError{Op: "write", Err: syscall.EPIPE}), want{Network, "connection_reset", true, true, false}, false},
	{"cause.unreachable", caused(OpSend, PhaseDial, dial(syscall.ENETUNREACH)), want{Network, "unreachable", true, true, false}, true},
	{"cause.timeout", caused(OpSyncCheck, PhaseSent, overHTTP(context.DeadlineExceeded)), want{Network, "timeout", true, true, false}, false},
	{"cause.timeout", caused(OpSend, PhaseDial, dial(os.ErrDeadlineExceeded)), want{Network, "timeout", true, true, false}, true},
	{"cause.eof", caused(OpSend, PhaseSent, overHTTP(io.EOF)), want{Network, "connection_closed", true, true, false}, false},
	{"cause.eof", caused(OpSync, PhaseSent, io.ErrUnexpectedEOF), want{Network, "connection_closed", true, true, false}, false},
	{"cause.closed", caused(OpSend, PhaseDial, fmt.Errorf("the session is closed: %w", net.ErrClosed)), want{Network, "session_closed", false, true, false}, true},
	{"prepare.closed", caused(OpSend, PhasePrepare, net.ErrClosed), want{Network, "session_closed", false, true, false}, true},
	{"cause.tls.clock", caused(OpSend, PhaseDial, &tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Reason: x509.Expired}}), want{Network, "clock_or_certificate", true, false, true}, true},
	{"cause.tls.trust", caused(OpSend, PhaseDial, &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}), want{Network, "tls_untrusted", true, false, true}, true},
	{"cause.tls.trust", caused(OpSend, PhaseDial, x509.HostnameError{Certificate: &x509.Certificate{}, Host: "x"}), want{Network, "tls_untrusted", true, false, true}, true},
	{"cause.tls", caused(OpSend, PhaseDial, tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}), want{Network, "tls_failed", true, true, false}, true},
	{"cause.proxy", caused(OpSend, PhaseDial, &net.OpError{Op: "proxyconnect", Err: syscall.ECONNREFUSED}), want{Network, "proxy_failed", true, true, false}, true},
	{"cause.net", caused(OpSend, PhaseSent, &net.OpError{Op: "read", Err: errors.New("odd")}), want{Network, "network_error", true, true, false}, false},

	{"says.login_refused", words("为了你的帐号安全，此微信号不能登录网页微信。"), want{AccountBlocked, "web_login_refused", true, false, true}, false},
	{"says.too_often", words("操作太频繁，请稍后再试。"), want{RateLimited, "too_often", false, true, false}, false},
	{"says.logged_out", words("你已退出微信"), want{SessionExpired, "logged_out_by_phone", true, false, true}, false},
	{"way.dns", words("getaddrinfo EAI_AGAIN wx.qq.com"), want{Network, "dns_failure", true, true, false}, false},
	{"way.refused", words("connect ECONNREFUSED 1.2.3.4:443"), want{Network, "connection_refused", true, true, false}, false},
	{"way.reset", words("socket hang up"), want{Network, "connection_reset", true, true, false}, false},
	{"way.timeout", words("read tcp: i/o timeout"), want{Network, "timeout", true, true, false}, false},

	{"phase.prepare", caused(OpSend, PhasePrepare, errors.New("a zero-byte file")), want{BadRequest, "invalid_request", false, false, false}, true},
	{"phase.dial", caused(OpSend, PhaseDial, errors.New("odd")), want{Network, "network_error", true, true, false}, true},
	{"phase.sent", caused(OpSend, PhaseSent, errors.New("odd")), want{Network, "answer_lost", true, true, false}, false},

	{"unknown", &Fault{}, want{Unknown, "unknown", false, true, false}, false},
	{"unknown", coded(OpSend, 4711), want{Unknown, "unknown", false, true, false}, false},
	{"unknown", coded(OpSyncCheck, 400), want{Unknown, "unknown", false, true, false}, false},
	{"unknown", coded(OpPushLogin, 0), want{Unknown, "unknown", false, true, false}, false},
	{"unknown", words("登录出现问题"), want{Unknown, "unknown", false, true, false}, false},
	{"unknown", &Fault{Transport: ILink, Op: OpSend, Code: 1101, HasCode: true, Phase: PhaseAnswer}, want{Unknown, "unknown", false, true, false}, false},
}

func TestJudge(t *testing.T) {
	for _, c := range cases {
		v := Judge(c.fault)
		got := want{v.Class, v.Code, v.Disconnect, v.Retryable, v.NeedsHuman}
		if v.Rule != c.rule || got != c.want || v.Certain != c.certain {
			t.Errorf("%v\n got %s %+v certain %v\nwant %s %+v certain %v", c.fault, v.Rule, got, v.Certain, c.rule, c.want, c.certain)
		}
	}
}

func allRules() map[string]*rule {
	m := make(map[string]*rule)
	for _, t := range tables {
		for i := range t.rows {
			m[t.rows[i].name] = &t.rows[i]
		}
	}
	return m
}

func TestRowsAreComplete(t *testing.T) {
	n := 0
	for _, table := range tables {
		n += len(table.rows)
	}
	if all := allRules(); len(all) != n {
		t.Errorf("%d names for %d rows", len(all), n)
	}
	for name, r := range allRules() {
		if r.source == "" {
			t.Errorf("row %s has no source", name)
		}
		if _, ok := codeIndex[r.says]; !ok {
			t.Errorf("row %s says %q, which is no code", name, r.says)
		}
	}
}

func TestCodesAreComplete(t *testing.T) {
	snake := regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)
	said := make(map[string]bool)
	for _, r := range allRules() {
		said[r.says] = true
	}
	for _, c := range Codes() {
		if !snake.MatchString(c.Code) || codes[codeIndex[c.Code]].Class != c.Class {
			t.Errorf("code %q: bad or twice", c.Code)
		}
		if c.Message.EN == "" || c.Message.ZH == "" || c.Fix.EN == "" || c.Fix.ZH == "" {
			t.Errorf("code %s: a sentence is missing", c.Code)
		}
		if c.Own == said[c.Code] {
			t.Errorf("code %s: own %v, said by a row %v", c.Code, c.Own, said[c.Code])
		}
		if c.Recovery == "" || c.Final && !c.Disconnect {
			t.Errorf("code %s: recovery %q, final %v", c.Code, c.Recovery, c.Final)
		}
		if c.Final && c.Class != SessionExpired && c.Class != AccountBlocked {
			t.Errorf("code %s is final, but not about the session", c.Code)
		}
	}
}

func TestKnown(t *testing.T) {
	if v, ok := Known("no_pulse"); !ok || v.Class != Network || v.Rule != "bridge.no_pulse" {
		t.Errorf("%+v %v", v, ok)
	}
	if v, ok := Known("nonsense"); ok || !v.OK() {
		t.Errorf("%+v %v", v, ok)
	}
}

func TestAValidSessionIsNeverGivenUpForRet3Or1205(t *testing.T) {
	for _, op := range []Operation{OpSync, OpSyncCheck, OpNotify, OpContacts, OpBatchContacts, OpSend, OpUpload} {
		if v := Judge(coded(op, 3)); v.Final || v.Recovery != RecoverResume {
			t.Errorf("%s 3: final %v, recovery %s", op, v.Final, v.Recovery)
		}
		if v := Judge(coded(op, 1205)); v.Final || v.Disconnect || v.Recovery != RecoverSlowDown {
			t.Errorf("%s 1205: final %v, disconnect %v, recovery %s", op, v.Final, v.Disconnect, v.Recovery)
		}
	}
}

func TestWhatStopsAndWhatRelogsIn(t *testing.T) {
	for _, c := range []struct {
		f     *Fault
		final bool
		want  Recovery
	}{
		{freshly(coded(OpSyncCheck, 1102)), true, RecoverStop},
		{coded(OpSyncCheck, 1102), true, RecoverRelogin},
		{coded(OpSyncCheck, 1101), true, RecoverRelogin},
		{coded(OpSyncCheck, 1100), true, RecoverRelogin},
		{coded(OpLogin, 1203), true, RecoverStop},
		{coded(OpInit, 1), true, RecoverStop},
		{coded(OpNotify, 1), false, RecoverResume},
		{coded(OpCheckLogin, 400), false, RecoverRescan},
		{coded(OpInit, 3), true, RecoverRelogin},
	} {
		if v := Judge(c.f); v.Final != c.final || v.Recovery != c.want {
			t.Errorf("%v: final %v %s, want %v %s", c.f, v.Final, v.Recovery, c.final, c.want)
		}
	}
}

func Test1102IsARestrictionOnlyWithinAMinuteAndWithAllCookies(t *testing.T) {
	for _, c := range []struct {
		since   time.Duration
		cookies bool
		code    string
	}{
		{0, true, "login_expired"}, {time.Second, true, "restricted_account"}, {time.Minute, true, "restricted_account"},
		{time.Minute + 1, true, "login_expired"}, {time.Second, false, "login_expired"}, {-time.Second, true, "login_expired"},
	} {
		f := coded(OpSyncCheck, 1102)
		f.SinceLogin, f.CookiesComplete = c.since, c.cookies
		if v := Judge(f); v.Code != c.code {
			t.Errorf("%v, cookies %v: %s, want %s", c.since, c.cookies, v.Code, c.code)
		}
	}
}

func TestJudgeError(t *testing.T) {
	var typedNil *Fault
	for name, c := range map[string]struct {
		err     error
		code    string
		certain bool
	}{
		"wrapped fault":     {fmt.Errorf("send: %w", coded(OpSend, -1)), "request_refused", true},
		"cancelled":         {fmt.Errorf("x: %w", context.Canceled), "cancelled", false},
		"dial":              {dial(syscall.ECONNREFUSED), "connection_refused", true},
		"dial time-out":     {dial(os.ErrDeadlineExceeded), "timeout", true},
		"read time-out":     {&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, "timeout", false},
		"plain":             {errors.New("no idea"), "unknown", false},
		"a fault of nobody": {typedNil, "unknown", false},
		"wrapped nobody":    {fmt.Errorf("x: %w", typedNil), "unknown", false},
		"bad URL":           {overHTTP(errors.New("unsupported protocol scheme")), "unknown", false},
	} {
		if v := JudgeError(c.err); v.Code != c.code || v.Certain != c.certain {
			t.Errorf("%s: %s certain %v, want %s %v", name, v.Code, v.Certain, c.code, c.certain)
		}
	}
	if v := JudgeError(nil); !v.OK() {
		t.Errorf("nil: %+v", v)
	}
	if v := Judge(nil); !v.OK() {
		t.Errorf("nil fault: %+v", v)
	}
}

func TestTheServersWaitIsPassedOnButNeverNegative(t *testing.T) {
	f := coded(OpSend, 1205)
	for _, wait := range []time.Duration{-time.Second, 0, time.Minute, MaxWait, 10 * 365 * 24 * time.Hour} {
		f.Wait = wait
		if got := Judge(f).Wait; got != min(max(wait, 0), MaxWait) {
			t.Errorf("told %v, passed on %v", wait, got)
		}
	}
}

func TestRepeatedStructuredFaultsAllocateNothing(t *testing.T) {
	for _, f := range []*Fault{coded(OpSyncCheck, 1101), freshly(coded(OpSyncCheck, 1102)), answered(OpSync, 502, BodyHTML), coded(OpPushLogin, 9)} {
		if n := testing.AllocsPerRun(100, func() { _ = Judge(f) }); n != 0 {
			t.Errorf("%v: %v allocations", f, n)
		}
	}
}

func BenchmarkJudge(b *testing.B) {
	f := coded(OpSyncCheck, 1101)
	b.ReportAllocs()
	for b.Loop() {
		_ = Judge(f)
	}
}

func FuzzJudge(f *testing.F) {
	f.Add("webwx", "synccheck", 1101, true, 200, "json", "answer", int64(0), int64(time.Second), true, "")
	f.Add("", "", 0, false, 0, "", "", int64(-1), int64(-1), false, "操作太频繁\x00\xff")
	f.Add("ilink", "send", -2, true, 524, "html", "sent", int64(1)<<62, int64(1), false, "i/o timeout")
	f.Fuzz(func(t *testing.T, transport, op string, code int, has bool, status int, body, phase string, wait, since int64, cookies bool, text string) {
		fault := &Fault{
			Transport: Transport(transport), Op: Operation(op), Code: code, HasCode: has, Status: status,
			Body: Body(body), Phase: Phase(phase), Wait: time.Duration(wait), SinceLogin: time.Duration(since),
			CookiesComplete: cookies, Text: text,
		}
		v := Judge(fault)
		if bad := incomplete(v); bad != "" {
			t.Fatalf("%s: %+v", bad, v)
		}
		if v != Judge(fault) {
			t.Fatal("not the same twice")
		}
		if v.Certain && (fault.Phase == PhaseSent || fault.Phase == PhaseUnknown) {
			t.Fatalf("certain in phase %q: %+v", fault.Phase, v)
		}
		if v.Final && v.Class != SessionExpired && v.Class != AccountBlocked {
			t.Fatalf("final, but not about the session: %+v", v)
		}
	})
}
