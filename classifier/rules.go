package classifier

// rule is one row: what it fits, which code of the code table it says, and
// where the knowledge comes from.
type rule struct {
	name   string // stable; shown as Verdict.Rule
	says   string // a code of the code table
	source string

	transport Transport
	ops       []Operation // nil: any
	code      int
	status    [2]int // inclusive; zero: any
	body      Body   // "": any
	cause     causeKind
	phase     Phase
	texts     []string

	fresh   bool // only within a minute of a login with complete cookies
	refusal bool // an answer that fits this row means that WeChat did not do it
	open    bool // ... but reports say that it may have done it all the same
	one     bool // does not count for the breaker in a single-message operation
	soft    bool // the session may be sound: resume it first
}

type codeKey struct {
	transport Transport
	op        Operation
	code      int
}

func (r *rule) fits(f *Fault) bool {
	if !r.fresh {
		return true
	}
	return f.CookiesComplete && f.SinceLogin > 0 && f.SinceLogin <= freshLogin
}

func (r *rule) hasOp(op Operation) bool {
	if r.ops == nil {
		return true
	}
	for _, o := range r.ops {
		if o == op {
			return true
		}
	}
	return false
}

func (r *rule) hasStatus(status int) bool {
	return r.status[1] == 0 || r.status[0] <= status && status <= r.status[1]
}

// The sources of the rows.
const (
	srcCodes  = "webwx: return codes shared by openwechat, wechat4u and itchat"
	srcLogin  = "webwx: window.code of the login poll"
	srcUsers  = "webwx: reports of users of openwechat, wechat4u and itchat"
	srcNight  = "webwx: a bot that logged out on Ret 3 lost a session that was still valid"
	srcHTTP   = "HTTP semantics (RFC 9110)"
	srcGo     = "errors of Go's net, tls and x509"
	srcBridge = "the bridge's own"
)

// rules are those with a code of WeChat, the more special ones first.
var rules = []rule{
	{name: "webwx.1102.fresh", says: "restricted_account", transport: WebWX, code: 1102, fresh: true, refusal: true, source: srcUsers},
	{name: "webwx.1100", says: "logged_in_elsewhere", transport: WebWX, code: 1100, refusal: true, source: srcCodes},
	{name: "webwx.1101", says: "logged_out_by_phone", transport: WebWX, code: 1101, refusal: true, source: srcCodes},
	{name: "webwx.1102", says: "login_expired", transport: WebWX, code: 1102, refusal: true, source: srcCodes},
	{name: "webwx.login.1203", says: "web_login_refused", transport: WebWX, ops: []Operation{OpLogin, OpInit, OpPushLogin}, code: 1203, refusal: true, source: srcCodes},
	{name: "webwx.1203", says: "ticket_refused", transport: WebWX, code: 1203, refusal: true, source: srcUsers},
	{name: "webwx.1200", says: "too_often", transport: WebWX, code: 1200, refusal: true, source: srcCodes},
	{name: "webwx.1205", says: "too_often", transport: WebWX, code: 1205, refusal: true, source: srcCodes},
	{name: "webwx.1204", says: "send_limited", transport: WebWX, code: 1204, refusal: true, open: true, source: srcUsers},
	{name: "webwx.init.1", says: "web_init_refused", transport: WebWX, ops: []Operation{OpInit}, code: 1, refusal: true, source: srcCodes},
	{name: "webwx.notify.1", says: "web_init_refused", transport: WebWX, ops: []Operation{OpNotify}, code: 1, refusal: true, soft: true, source: srcUsers},
	{name: "webwx.1", says: "bad_parameter", transport: WebWX, code: 1, refusal: true, source: srcCodes},
	{name: "webwx.-1", says: "request_refused", transport: WebWX, code: -1, refusal: true, source: srcCodes},
	{name: "webwx.-2", says: "logic_error", transport: WebWX, code: -2, refusal: true, source: srcCodes},
	{name: "webwx.-14", says: "ticket_invalid", transport: WebWX, code: -14, refusal: true, source: srcCodes},
	{name: "webwx.init.3", says: "session_lost", transport: WebWX, ops: []Operation{OpInit}, code: 3, refusal: true, source: srcNight},
	{name: "webwx.3", says: "session_doubtful", transport: WebWX, code: 3, refusal: true, source: srcNight},
	{name: "webwx.check_login.400", says: "qr_expired", transport: WebWX, ops: []Operation{OpCheckLogin}, code: 400, refusal: true, source: srcLogin},
	{name: "webwx.check_login.408", says: "qr_not_scanned", transport: WebWX, ops: []Operation{OpCheckLogin}, code: 408, refusal: true, source: srcLogin},
	{name: "webwx.check_login.201", says: "qr_not_confirmed", transport: WebWX, ops: []Operation{OpCheckLogin}, code: 201, refusal: true, source: srcLogin},
	{name: "webwx.check_login.500", says: "server_error", transport: WebWX, ops: []Operation{OpCheckLogin}, code: 500, source: srcLogin},
}

// anyCodeRules fit every code but 0 of an operation.
var anyCodeRules = []rule{
	{name: "webwx.push_login.refused", says: "push_refused", transport: WebWX, ops: []Operation{OpPushLogin}, refusal: true, source: srcCodes},
	{name: "webwx.uuid.refused", says: "qr_refused", transport: WebWX, ops: []Operation{OpUUID}, refusal: true, source: srcLogin},
}

// answerRules look at HTTP status and kind of body, in this order.
var answerRules = []rule{
	{name: "http.login.301", says: "web_login_refused", ops: []Operation{OpLogin}, status: [2]int{301, 302}, refusal: true, source: srcUsers},
	{name: "http.429", says: "too_often", status: [2]int{429, 429}, refusal: true, source: srcHTTP},
	{name: "http.407", says: "proxy_refused", status: [2]int{407, 407}, refusal: true, source: srcHTTP},
	{name: "http.413", says: "too_large", status: [2]int{413, 413}, refusal: true, source: srcHTTP},
	{name: "http.5xx", says: "server_error", status: [2]int{500, 599}, one: true, source: srcHTTP},
	{name: "http.4xx.single", says: "request_refused", ops: singleOps, status: [2]int{400, 499}, refusal: true, source: srcHTTP},
	{name: "http.4xx", says: "http_refused", status: [2]int{400, 499}, refusal: true, source: srcHTTP},
	{name: "http.3xx", says: "unexpected_redirect", status: [2]int{300, 399}, one: true, source: srcHTTP},
	{name: "body.html", says: "html_answer", body: BodyHTML, one: true, source: srcUsers},
	{name: "body.empty", says: "empty_answer", body: BodyEmpty, one: true, source: srcUsers},
	{name: "body.other", says: "unreadable_answer", body: BodyOther, one: true, source: srcUsers},
}

var singleOps = []Operation{OpSend, OpUpload, OpDownload, OpRevoke, OpContacts, OpBatchContacts}

// causeRules look at the error below; kindOf unwraps to the innermost.
var causeRules = []rule{
	{name: "cause.dns", says: "dns_failure", cause: causeDNS, source: srcGo},
	{name: "cause.refused", says: "connection_refused", cause: causeRefused, source: srcGo},
	{name: "cause.reset", says: "connection_reset", cause: causeReset, source: srcGo},
	{name: "cause.unreachable", says: "unreachable", cause: causeUnreachable, source: srcGo},
	{name: "cause.timeout", says: "timeout", cause: causeTimeout, source: srcGo},
	{name: "cause.eof", says: "connection_closed", cause: causeEOF, source: srcGo},
	{name: "cause.closed", says: "session_closed", cause: causeClosed, source: srcGo},
	{name: "cause.tls.clock", says: "clock_or_certificate", cause: causeClock, source: srcGo},
	{name: "cause.tls.trust", says: "tls_untrusted", cause: causeTrust, source: srcGo},
	{name: "cause.tls", says: "tls_failed", cause: causeTLS, source: srcGo},
	{name: "cause.proxy", says: "proxy_failed", cause: causeProxy, source: srcGo},
	{name: "cause.net", says: "network_error", cause: causeNet, source: srcGo},
}

// textRules are for faults whose only evidence is their words.
var textRules = []rule{
	{name: "text.web_login_refused", says: "web_login_refused", texts: []string{"不能登录网页微信", "登录环境异常", "本次登录已失效"}, refusal: true, source: srcUsers},
	{name: "text.too_often", says: "too_often", texts: []string{"太频繁", "过于频繁", "频率过快", "operate too often"}, refusal: true, source: srcUsers},
	{name: "text.logged_out", says: "logged_out_by_phone", texts: []string{"你已退出微信"}, refusal: true, source: srcUsers},
	{name: "text.dns", says: "dns_failure", texts: []string{"no such host", "EAI_AGAIN", "ENOTFOUND"}, source: srcUsers},
	{name: "text.refused", says: "connection_refused", texts: []string{"connection refused", "ECONNREFUSED"}, source: srcUsers},
	{name: "text.reset", says: "connection_reset", texts: []string{"connection reset", "ECONNRESET", "socket hang up"}, source: srcUsers},
	{name: "text.timeout", says: "timeout", texts: []string{"i/o timeout", "ETIMEDOUT"}, source: srcUsers},
}

// phaseRules decide when nothing but the phase is known.
var phaseRules = []rule{
	{name: "phase.dial", says: "network_error", phase: PhaseDial, source: srcBridge},
	{name: "phase.sent", says: "answer_lost", phase: PhaseSent, source: srcBridge},
}

var (
	ruleCancelled = rule{name: "cause.cancelled", says: "cancelled", source: srcGo}
	ruleClosed    = rule{name: "prepare.closed", says: "session_closed", source: srcBridge}
	rulePrepare   = rule{name: "phase.prepare", says: "invalid_request", source: srcBridge}
	ruleUnknown   = rule{name: "unknown", says: "unknown", source: srcBridge}
)

// codeRules indexes rules by what they fit.
var codeRules = indexRules()

func indexRules() map[codeKey][]int {
	m := make(map[codeKey][]int)
	for i := range rules {
		r := &rules[i]
		if r.ops == nil {
			k := codeKey{r.transport, "", r.code}
			m[k] = append(m[k], i)
		}
		for _, op := range r.ops {
			k := codeKey{r.transport, op, r.code}
			m[k] = append(m[k], i)
		}
	}
	return m
}
