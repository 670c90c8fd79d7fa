package classifier

// rule is one row: what it fits, which code of the code table it says, and
// where the knowledge comes from.
type rule struct {
	name   string // stable; shown as Verdict.Rule
	says   string // a code of the code table
	source string // section of a protocol, repository#thread, or library file

	transport Transport
	ops       []Operation // nil: any
	code      int
	word      string // iLink's QR status, which is a word instead of a code
	status    [2]int // inclusive; zero: any
	body      Body   // "": any
	cause     causeKind
	phase     Phase

	any   []string // text rows: one of these phrases
	also  []string // ... and one of these, if there are any
	never []string // ... and none of these
	// the same as numbers of the dictionary
	anyID, alsoID, neverID []int
	op                     Operation // ... and then this was the operation, if nothing else tells

	fresh   bool // only within a minute of a login with complete cookies
	refusal bool // an answer that fits this row means that WeChat did not do it
	open    bool // ... but reports say that it may have done it all the same
	one     bool // does not count for the breaker in a single-message operation
	soft    bool // the session may be sound: resume it first
	vague   bool // the code says little: a sentence of WeChat beside it says more
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

// The sources that several rows share.
const (
	srcCodes    = "web protocol, return codes: openwechat v1.4.10 stub.go, wechat4u 0.7.14 lib/core.js, ItChat 1.3.10 login.py"
	src1102     = "eatmoreapple/openwechat#565, wangrongding/wechat-bot#255"
	src1203     = "wechaty/wechaty#603, youfou/wxpy#331"
	src1203Sync = "web protocol, return codes; 1203 outside the login is rare"
	src1204     = "wechaty/wechaty#2460"
	src1205     = "wechaty/puppet-wechat4u#55, 0x5e/wechat-deleted-friends#134"
	srcInit1    = "nodeWechat/wechat4u#344, liuwons/wxBot#35"
	srcNight    = "a bot that logged out on Ret 3 lost a session that was still valid (measured with wechatbot-webhook 2.8.2)"
	srcPoll     = "web protocol, login poll: window.code; wechaty/wechaty#2545"
	srcLogin301 = "eatmoreapple/openwechat#134, eatmoreapple/openwechat#295"
	srcILink    = "iLink protocol, codes: @tencent-weixin/openclaw-weixin 2.4.9"
	srcILinkQR  = "iLink protocol, login: openclaw-weixin 2.4.9 src/auth/login-qr.ts"
	srcHTTP     = "HTTP semantics (RFC 9110)"
	srcGo       = "errors of Go's net, tls and x509"
	srcBodies   = "littlecodersh/ItChat#410, Devo919/Gewechat#30"
	srcBridge   = "the bridge's own"
)

// rules are those with a code of WeChat, the more special ones first.
var rules = []rule{
	{name: "webwx.1102.fresh", says: "restricted_account", transport: WebWX, code: 1102, fresh: true, refusal: true, source: src1102},
	{name: "webwx.1100", says: "logged_in_elsewhere", transport: WebWX, code: 1100, refusal: true, source: srcCodes},
	{name: "webwx.1101", says: "logged_out_by_phone", transport: WebWX, code: 1101, refusal: true, source: srcCodes},
	{name: "webwx.1102", says: "login_expired", transport: WebWX, code: 1102, refusal: true, source: srcCodes},
	{name: "webwx.login.1203", says: "web_login_refused", transport: WebWX, ops: []Operation{OpLogin, OpInit, OpPushLogin}, code: 1203, refusal: true, source: src1203},
	{name: "webwx.1203", says: "ticket_refused", transport: WebWX, code: 1203, refusal: true, source: src1203Sync},
	{name: "webwx.contacts.1200", says: "contacts_limited", transport: WebWX, ops: []Operation{OpContacts, OpBatchContacts}, code: 1200, refusal: true, source: srcCodes},
	{name: "webwx.contacts.1205", says: "contacts_limited", transport: WebWX, ops: []Operation{OpContacts, OpBatchContacts}, code: 1205, refusal: true, source: src1205},
	{name: "webwx.1200", says: "too_often", transport: WebWX, code: 1200, refusal: true, source: srcCodes},
	{name: "webwx.1205", says: "too_often", transport: WebWX, code: 1205, refusal: true, source: src1205},
	{name: "webwx.1204", says: "send_limited", transport: WebWX, code: 1204, refusal: true, open: true, source: src1204},
	{name: "webwx.init.1", says: "web_init_refused", transport: WebWX, ops: []Operation{OpInit}, code: 1, refusal: true, vague: true, source: srcInit1},
	{name: "webwx.notify.1", says: "web_init_refused", transport: WebWX, ops: []Operation{OpNotify}, code: 1, refusal: true, soft: true, source: srcCodes},
	{name: "webwx.1", says: "bad_parameter", transport: WebWX, code: 1, refusal: true, vague: true, source: srcCodes},
	{name: "webwx.-1", says: "request_refused", transport: WebWX, code: -1, refusal: true, vague: true, source: srcCodes},
	{name: "webwx.-2", says: "logic_error", transport: WebWX, code: -2, refusal: true, vague: true, source: srcCodes},
	{name: "webwx.-14", says: "ticket_invalid", transport: WebWX, code: -14, refusal: true, source: srcCodes},
	{name: "webwx.init.3", says: "session_lost", transport: WebWX, ops: []Operation{OpInit}, code: 3, refusal: true, source: srcNight},
	{name: "webwx.3", says: "session_doubtful", transport: WebWX, code: 3, refusal: true, source: srcNight},
	{name: "webwx.check_login.400", says: "qr_expired", transport: WebWX, ops: []Operation{OpCheckLogin}, code: 400, refusal: true, source: srcPoll},
	{name: "webwx.check_login.408", says: "qr_not_scanned", transport: WebWX, ops: []Operation{OpCheckLogin}, code: 408, refusal: true, source: srcPoll},
	{name: "webwx.check_login.201", says: "qr_not_confirmed", transport: WebWX, ops: []Operation{OpCheckLogin}, code: 201, refusal: true, source: srcPoll},
	{name: "webwx.check_login.500", says: "server_error", transport: WebWX, ops: []Operation{OpCheckLogin}, code: 500, source: srcPoll},

	{name: "ilink.-14", says: "bot_token_invalid", transport: ILink, code: -14, refusal: true, source: srcILink + "; Tencent/openclaw-weixin#155, #69"},
	{name: "ilink.upload.-2", says: "upload_refused", transport: ILink, ops: []Operation{OpUpload}, code: -2, refusal: true, source: srcILink + "; NousResearch/hermes-agent#64704"},
	{name: "ilink.-2", says: "reply_refused", transport: ILink, code: -2, refusal: true, source: srcILink + "; chenhg5/cc-connect#1640, corespeed-io/wechatbot#80"},
	{name: "ilink.-3", says: "bad_recipient_id", transport: ILink, code: -3, refusal: true, source: srcILink + "; Tencent/openclaw-weixin#243"},
	{name: "ilink.-4", says: "rpc_failed", transport: ILink, code: -4, refusal: true, one: true, source: srcILink + "; Tencent/openclaw-weixin#268"},
	{name: "ilink.-12", says: "too_often", transport: ILink, code: -12, refusal: true, source: "iLink protocol, codes; named by one client only"},
	{name: "ilink.-1", says: "server_error", transport: ILink, code: -1, refusal: true, one: true, source: srcILink + "; Tencent/openclaw-weixin#213"},
	{name: "ilink.2", says: "bad_parameter", transport: ILink, code: 2, refusal: true, source: srcILink + "; Tencent/AI-Infra-Guard#223"},
	{name: "ilink.send.0", says: "accepted_without_id", transport: ILink, ops: []Operation{OpSend}, code: 0, source: "iLink protocol, sendmessage; Tencent/openclaw-weixin#263, #278"},
}

// anyCodeRules fit every code but 0 of an operation.
var anyCodeRules = []rule{
	{name: "webwx.push_login.refused", says: "push_refused", transport: WebWX, ops: []Operation{OpPushLogin}, refusal: true, source: srcCodes},
	{name: "webwx.uuid.refused", says: "qr_refused", transport: WebWX, ops: []Operation{OpUUID}, refusal: true, source: srcPoll},
	{name: "ilink.uuid.refused", says: "qr_refused", transport: ILink, ops: []Operation{OpUUID}, refusal: true, source: srcILinkQR},
}

// wordRules are for iLink's QR status, a word in place of a code.
var wordRules = []rule{
	{name: "ilink.qr.wait", says: "qr_not_scanned", word: "wait", source: srcILinkQR},
	{name: "ilink.qr.scaned", says: "qr_not_confirmed", word: "scaned", source: srcILinkQR},
	{name: "ilink.qr.scaned_but_redirect", says: "qr_not_confirmed", word: "scaned_but_redirect", source: srcILinkQR},
	{name: "ilink.qr.need_verifycode", says: "code_needed", word: "need_verifycode", source: srcILinkQR},
	{name: "ilink.qr.verify_code_blocked", says: "qr_expired", word: "verify_code_blocked", source: srcILinkQR},
	{name: "ilink.qr.expired", says: "qr_expired", word: "expired", source: srcILinkQR},
}

var singleOps = []Operation{OpSend, OpUpload, OpDownload, OpRevoke, OpContacts, OpBatchContacts, OpRoom, OpTyping}

// answerRules look at HTTP status and kind of body, in this order.
var answerRules = []rule{
	{name: "http.login.301", says: "web_login_refused", ops: []Operation{OpLogin}, status: [2]int{301, 302}, refusal: true, source: srcLogin301},
	{name: "http.429", says: "too_often", status: [2]int{429, 429}, refusal: true, source: srcHTTP},
	{name: "http.407", says: "proxy_refused", status: [2]int{407, 407}, refusal: true, source: srcHTTP},
	{name: "http.413", says: "too_large", status: [2]int{413, 413}, refusal: true, source: srcHTTP},
	{name: "http.5xx", says: "server_error", status: [2]int{500, 599}, one: true, source: srcHTTP + "; 524: Tencent/openclaw-weixin#44"},
	{name: "http.4xx.single", says: "request_refused", ops: singleOps, status: [2]int{400, 499}, refusal: true, source: srcHTTP},
	{name: "http.4xx", says: "http_refused", status: [2]int{400, 499}, refusal: true, source: srcHTTP},
	{name: "http.3xx", says: "unexpected_redirect", status: [2]int{300, 399}, one: true, source: srcHTTP},
	{name: "body.html", says: "html_answer", body: BodyHTML, one: true, source: srcBodies},
	{name: "body.empty", says: "empty_answer", body: BodyEmpty, one: true, source: srcBodies},
	{name: "body.other", says: "unreadable_answer", body: BodyOther, one: true, source: srcBodies},
}

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
