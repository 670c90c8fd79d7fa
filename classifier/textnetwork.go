package classifier

const (
	srcProxy  = "wechaty/wechaty#1039, #1898; urllib3 2 exceptions.py; Go net/http proxyconnect"
	srcTrust  = "littlecodersh/ItChat#386, #844, #810; zhayujie/CowAgent#1123; OpenSSL 3 x509_txt.c"
	srcClock  = "wechaty/python-wechaty-getting-started#67; OpenSSL 3 x509_txt.c; Go crypto/x509"
	srcDNS    = "fuergaosi233/wechat-chatgpt#454, lcjqyml/wechatbot#14, littlecodersh/ItChat#164; getaddrinfo(3)"
	srcSocket = "nodeWechat/wechat4u#47, #198; TSIOJeft/WeChatPush#5; libuv errno map, errno(3)"
	srcSilent = "nodeWechat/wechat4u#208; KasperDeng/Hubot-WeChat#43; Go net, Java and Python socket errors"
	srcLost   = "Tencent/openclaw-weixin#200, wechaty/puppet-padlocal#84, littlecodersh/ItChat#487"
	srcParse  = "Devo919/Gewechat#30, iuiaoin/wechat-gptbot#93, eatmoreapple/openwechat#119, #480"
)

// tunnelRules are what stands between the bot and WeChat: proxies and TLS.
var tunnelRules = []rule{
	{name: "way.proxy_login", says: "proxy_refused", source: srcProxy,
		any: []string{"proxy authentication required", "proxyauthentication", "407 proxy", "proxy auth"}},
	{name: "way.proxy", says: "proxy_failed", source: srcProxy,
		any: []string{"err_proxy", "proxyerror", "proxyconnect", "proxy connection failed", "tunneling socket could not be established", "tunnel connection failed", "err_tunnel", "cannot connect to proxy", "unable to connect to proxy", "proxy connect aborted", "proxy error", "via proxy server failed", "proxy server", "proxy refused", "socks connect", "sockshttp", "socks5:", "socks5 proxy", "socks error", "sockserror", "connect to proxy", "代理连接失败", "代理错误", "代理服务器"}},
	{name: "way.clock", says: "clock_or_certificate", source: srcClock,
		any: []string{"certificate has expired", "certificate is not yet valid", "not yet valid", "cert_has_expired", "certificate expired", "certificate is expired", "cert_date_invalid", "certificateexpired", "cert_not_yet_valid", "证书过期", "证书已过期", "notafter:"}},
	{name: "way.trust", says: "tls_untrusted", source: srcTrust,
		any: []string{"certificate verify failed", "certificate_verify_failed", "unknown authority", "self signed cert", "self-signed cert", "self_signed_cert", "local issuer certificate", "issuer_cert", "unable_to_verify_leaf", "verify the first certificate", "hostname mismatch", "doesn't match either of", "does not match certificate", "err_tls_cert_altname", "cert's altnames", "certificate is valid for", "pkix path", "certpath", "ssl module is not available", "ssl module in python is not available", "unknown ca", "unknown_ca", "bad certificate", "certificate unknown", "cert_authority_invalid", "cert_untrusted", "certificate is not trusted", "peer certificate", "certificate is invalid", "invalid certificate", "valid certification path", "证书验证失败", "证书不受信任", "trust anchor"}},
}

// wayRules are faults on the way, the innermost first.
var wayRules = []rule{
	{name: "way.server", says: "server_error", source: "HTTP reason phrases; nginx and Cloudflare error pages; Tencent/openclaw-weixin#3", one: true,
		any: []string{"bad gateway", "service unavailable", "service temporarily unavailable", "temporarily unavailable", "gateway timeout", "gateway time-out", "internal server error", "系统繁忙", "服务器繁忙", "服务不可用", "服务器内部错误", "服务器错误", "a timeout occurred"}},
	{name: "way.dns", says: "dns_failure", source: srcDNS,
		any:   []string{"eai_again", "~enotfound", "gaierror", "getaddrinfo", "no such host", "name or service not known", "temporary failure in name resolution", "nodename nor servname", "name resolution", "nameresolutionerror", "failed to resolve", "unknownhost", "could not resolve host", "couldn't resolve host", "could not be resolved", "name_not_resolved", "server misbehaving", "dial tcp: lookup", "no address associated with hostname", "域名解析", "dns解析", "dns 解析", "无法解析"},
		never: []string{"无法解析的"}},
	{name: "way.unreachable", says: "unreachable", source: srcSocket,
		any: []string{"no route to host", "network is unreachable", "enetunreach", "ehostunreach", "enetdown", "host is unreachable", "network unreachable", "internet_disconnected", "network_changed", "address_unreachable", "noroutetohost", "unreachable host", "网络不可达"}},
	{name: "way.refused", says: "connection_refused", source: srcSocket,
		any: []string{"econnrefused", "connection refused", "connectionrefused", "actively refused", "积极拒绝", "connection_refused", "拒绝连接", "连接被拒绝"}},
	{name: "way.reset", says: "connection_reset", source: srcSocket,
		any: []string{"econnreset", "connection reset", "connectionreset", "connection_reset", "socket hang up", "broken pipe", "brokenpipe", "~epipe", "forcibly closed", "强迫关闭", "connection aborted", "connectionaborted", "wsaeconnaborted", "remotedisconnected", "remote end closed", "remote host closed", "und_err_socket", "other side closed", "peer closed", "closed by peer", "closed by the remote", "连接被重置", "连接重置", "bad record mac"}},
	{name: "way.timeout", says: "timeout", source: srcSilent,
		any: []string{"etimedout", "esockettimedout", "econnaborted", "timed out", "i/o timeout", "deadline exceeded", "deadline_exceeded", "read timeout", "readtimeout", "connecttimeout", "connect timeout", "connection timeout", "connect_timeout", "headers_timeout", "body_timeout", "sockettimeout", "handshake timeout", "awaiting headers", "timeouterror", "timeoutexception", "timeout of", "timeout exceeded", "request timeout", "network timeout", "time out after", "timeout after", "连接超时", "请求超时", "网络超时", "读取超时", "超时未响应", "未响应", "没有响应", "aborterror", "operation was aborted", "request aborted", "err_timed_out"}},
	{name: "way.eof", says: "connection_closed", source: "eatmoreapple/openwechat#9, littlecodersh/ItChat#98, Devo919/Gewechat#53",
		any:   []string{"~eof", "unexpected eof", "eof occurred", "unexpected_eof", "unexpectedeof", "premature close", "premature_close", "rst_stream", "goaway", "stream was reset", "prematureclose", "incompleteread", "incomplete read", "badstatusline", "connection closed", "connection was closed", "closed connection", "connection is closed", "连接关闭", "连接已关闭", "empty reply from server", "stream closed", "stream ended", "clienteof", "server disconnected", "serverdisconnected", "chunkedencodingerror", "use of closed network connection"},
		never: []string{"jsonexception", "eoferror", "xml syntax error", "eof while parsing", "unexpected eof while scanning", "yaml", "eof in string"}},
	{name: "way.tls", says: "tls_failed", source: "hellokaton/wechat-api#9; OpenSSL 3 ssl_err.c; Go crypto/tls",
		any: []string{"tls handshake", "handshake failure", "handshake_failure", "handshake failed", "ssl handshake", "sslhandshake", "sslerror", "ssl connection could not be established", "sslexception", "ssl routines", "ssl_error", "tls: ", "wrong version number", "wrong_version_number", "~eproto", "err_ssl", "tlsv1 alert", "look like a tls", "during handshake", "secure tls connection", "sslv3 alert", "schannel"}},
	{name: "way.lost", says: "network_error", source: srcLost,
		any: []string{"14 unavailable", "unavailable:", "no connection established", "upstream connect error", "connection failure", "fetch failed", "failed to fetch", "network error", "networkerror", "network request failed", "network_error", "err_network", "网络错误", "网络连接异常", "网络连接错误", "网络波动", "连接异常", "网络异常", "网络连接失败", "网络故障", "网络不稳定", "网络问题", "断网", "connectionerror", "connection error", "failed to connect", "could not connect", "couldn't connect", "cannot connect to host", "connect call failed", "clientconnector", "clientoserror", "max retries exceeded", "exceeded maximum retries", "get access to internet", "establish a new connection", "net::err_", "socket closed", "socket is closed", "socket has been ended", "websocket is not open", "websocket connection", "websocket closed", "websocket: close", "connection lost", "lost connection", "connection terminated", "disconnected from", "unable to connect", "无法连接", "连接失败", "连接断开", "连接中断", "连接丢失", "断开连接", "connectexception", "api均不可用"}},
	{name: "way.dead_socket", says: "network_error", source: "a TypeError on a socket that is gone: wechaty/puppet-padlocal#84",
		any:  []string{"typeerror", "nonetype", "of undefined", "of null"},
		also: []string{"~socket", "websocket", "'removealllisteners'", "~ws.", "reading 'send'", "property 'send'", "property 'write'", "reading 'write'", "grpc"}},
}

// answerTextRules are answers that cannot be understood.
var answerTextRules = []rule{
	{name: "answer.login_form", says: "login_answer_unreadable", op: OpLogin, source: "littlecodersh/ItChat#1022, ehForwarderBot/efb-wechat-slave#132",
		any: []string{"expaterror"}},
	{name: "answer.html", says: "html_answer", one: true, source: srcParse,
		any: []string{"invalid character '<'", "invalid character '\\u003c'", "unexpected token <", "unexpected token '<'", "<!doctype html", "<html", "doctype html", "text/html"}},
	{name: "answer.parse", says: "unreadable_answer", one: true, source: srcParse,
		any:   []string{"invalid character '", "unexpected end of json", "unexpected end of input", "in json at position", "is not valid json", "not valid json", "invalid json", "jsondecodeerror", "json.decoder", "expecting value: line", "expecting property name", "extra data: line", "no json object could be decoded", "xml syntax error", "not well-formed", "no element found", "mismatched tag", "parse sync key failed", "json parse", "parse json", "parsing json", "jsonexception", "malformedjson", "jsonsyntaxexception", "jsonparseexception", "jsonmappingexception", "cannot unmarshal", "saxparse", "解析失败", "解析错误", "解析异常", "解析出错", "xml解析", "json解析", "invalid utf-8", "incorrect padding", "unexpected character", "could not decode json", "content-length mismatch"},
		never: []string{"config"}},
	{name: "answer.missing", says: "unreadable_answer", one: true, source: srcOpen + "; " + srcW4U + "; Tencent/openclaw-weixin#172; hackstoic in littlecodersh/ItChat#130",
		any:   []string{"uuid does not match", "redirect url does not match", "avatar does not match", "error status code match", "no baseresponse", "不带baseresponse", "keyerror: 'baseresponse'", "\"baseresponse\"' of", "reading 'baseresponse'", "property 'baseresponse'", "keyerror: 'synckey'", "reading 'synckey'", "property 'synckey'", "missing x-encrypted-param", "missing header", "missing field", "missing from response", "webwx_data_ticket not found", "undefined == 0", "null == 0", "nan == 0", "undefined == 200", "sync check unknown error", "unexpected sync check result", "unexpected return value", "返回异常值", "返回值异常", "unexpected response", "invalid response", "empty response", "response is empty", "响应为空", "返回为空", "返回空", "空响应", "returned nothing", "content length is 0", "lacks the field", "unrecognized response"},
		never: []string{"\"ret\":"}},
}
