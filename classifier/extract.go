package classifier

import "strings"

// number is a number in a text, with what stands around it.
type number struct {
	value  int
	before string // up to 24 bytes, without quotes, brackets and signs of assignment
	after  string // up to 24 bytes
}

const around = 24

// numbers calls visit for each number of one to five digits that stands for
// itself: not a part of a word, a time, a version, an address or a path.
func numbers(text string, visit func(number)) {
	for i := 0; i < len(text); i++ {
		if !digit(text[i]) {
			continue
		}
		end := i
		for end < len(text) && digit(text[end]) {
			end++
		}
		if n, ok := numberAt(text, i, end); ok {
			visit(n)
		}
		i = end
	}
}

func numberAt(text string, start, end int) (number, bool) {
	if end-start > 5 {
		return number{}, false
	}
	value := 0
	for _, c := range text[start:end] {
		value = value*10 + int(c-'0')
	}
	if start > 0 && text[start-1] == '-' && (start < 2 || !wordByte(text[start-2])) {
		value = -value
		start--
	}
	if start > 0 && (wordByte(text[start-1]) || strings.IndexByte("./\\-#%", text[start-1]) >= 0) {
		return number{}, false
	}
	if end < len(text) && (wordByte(text[end]) || text[end] == '%') ||
		end+1 < len(text) && strings.IndexByte(".:-/", text[end]) >= 0 && digit(text[end+1]) {
		return number{}, false
	}
	if start > 1 && text[start-1] == ':' && (digit(text[start-2]) || codeFile(text[:start-1])) {
		return number{}, false // a time, a port or a line of a stack trace
	}
	return number{
		value:  value,
		before: strings.TrimRight(text[max(0, start-around):start], " \t\n\"'`:=(（[{<>\\,"),
		after:  text[end:min(len(text), end+around)],
	}, true
}

// codeFile reports that a text ends with the name of a source file.
func codeFile(s string) bool {
	for _, ext := range [...]string{".js", ".ts", ".py", ".go", ".java", ".php", ".mjs", ".cjs", ".coffee", ".cs", ".rs", ".kt"} {
		if strings.HasSuffix(s, ext) {
			return true
		}
	}
	return false
}

func digit(c byte) bool    { return '0' <= c && c <= '9' }
func wordByte(c byte) bool { return digit(c) || 'a' <= c && c <= 'z' || c == '_' }

// asserted gives what the number was compared with, as node's assert prints
// it: "1205 == 0", "400 != 400".
func (n number) asserted() (operator, with string) {
	rest := strings.TrimLeft(n.after, " '\"")
	for _, op := range [...]string{"===", "!==", "==", "!="} {
		if strings.HasPrefix(rest, op) {
			rest = strings.TrimLeft(rest[len(op):], " '\"")
			end := 0
			for end < len(rest) && digit(rest[end]) {
				end++
			}
			return op[:2], rest[:end]
		}
	}
	return "", ""
}

// named reports that one of the words stands right before the number.
func (n number) named(words ...string) bool {
	for _, w := range words {
		if !strings.HasSuffix(n.before, w) {
			continue
		}
		at := len(n.before) - len(w)
		if at == 0 || !('a' <= w[0] && w[0] <= 'z') || !wordByte(n.before[at-1]) {
			return true
		}
	}
	return false
}

// near reports that one of the words stands around the number.
func (n number) near(words ...string) bool {
	for _, w := range words {
		if strings.Contains(n.before, w) || strings.Contains(n.after, w) {
			return true
		}
	}
	return false
}

// found is a code of WeChat in a text, and how sure it is one.
type found struct {
	code int
	op   Operation // told by the form of the text itself
	rank int       // the smaller explains the larger; 0 = nothing
}

// ranks orders the codes: what ended the session explains what failed after
// it. Below weakRank a code is only a hint, and what happened on the way
// explains more.
var ranks = []struct {
	code int
	weak bool
}{
	{1203, false}, {1102, false}, {1101, false}, {1100, false}, {-14, false}, {1205, false}, {1200, false}, {1204, false},
	{3, false}, {-12, false}, {-2, false}, {-3, false}, {-4, false}, {400, false}, {408, false}, {201, false},
	{1, true}, {-1, true}, {2, true},
}

func rankOf(code int) (rank int, weak bool) {
	for i, r := range ranks {
		if r.code == code {
			return i + 1, r.weak
		}
	}
	return 0, false
}

// retNames stand before WeChat's code; codeNames before codes of all kinds, so
// that only numbers that nobody else uses count after them.
var (
	retNames   = []string{"retcode", "ret", "errcode", "err_code", "baseresponse.ret"}
	retNamesZH = []string{"retcode值为", "ret值为", "retcode为", "ret为", "ret返回", "retcode返回", "ret返回值", "返回值", "返回码", "错误码", "错误代码", "状态码异常"}
	codeWords  = []string{"code", "错误", "返回", "失败", "代码", "error", "fail", "exit", "sync_check", "synccheck", "信息", "异常", "出现", "报错", "login", "init", "登录", "同步", "状态", "收到", "提示", "ret", "selector"}
)

// codeIn reads a number as a code of WeChat.
func codeIn(n number) found {
	operator, with := n.asserted()
	switch {
	case operator == "!=" && with == "400" && n.value == 400:
		return ranked(400, OpCheckLogin)
	case operator == "==" && with == "200":
		return found{code: n.value, op: OpUUID, rank: len(ranks)}
	case operator == "==" && with == "0":
		return ranked(n.value, "")
	case n.named("window.code"):
		return pollCode(n.value)
	case n.named("qrlogin.code"):
		return found{}
	case n.named(retNames...), n.named(retNamesZH...):
		return retCode(n.value)
	case n.value == -14 && n.near(codeWords...) && !n.named("errno"):
		return ranked(n.value, "")
	case n.value >= 1100 && n.value <= 1205 && n.value != 1200 && n.near(codeWords...) && !n.named("line", "port", "pid", "第"):
		return ranked(n.value, "")
	}
	return found{}
}

func pollCode(code int) found {
	switch code {
	case 400, 408, 201:
		return ranked(code, OpCheckLogin)
	}
	return found{}
}

// pollLike reports a number that the login poll answers, after a word that many
// use: it counts only in a text about a login code.
func pollLike(n number) bool {
	return (n.value == 400 || n.value == 408 || n.value == 201) && n.named("code", "状态", "返回", "status")
}

// retCode leaves out codes that gateways of all kinds use for HTTP statuses.
func retCode(code int) found {
	if code == 400 || code == 408 || code == 201 {
		return found{}
	}
	return ranked(code, "")
}

func ranked(code int, op Operation) found {
	rank, _ := rankOf(code)
	return found{code: code, op: op, rank: rank}
}

// statusNames stand before an HTTP status; the rest only count for 5xx.
var (
	statusNames = []string{"status code", "statuscode", "status_code", "status", "http", "http error", "http/1.1", "http/1.0", "http/2", "http/2.0", "httperror", "http status", "响应码", "状态码", "http code", "httpcode", "response code", "http错误", "client error", "server error", "upload error"}
	badWords    = []string{"失败", "错误", "error", "http", "请求", "status", "返回", "服务", "fail", "报", "bad gateway", "bad request", "getupdates", "sendmessage", "getuploadurl", "getconfig", "sendtyping", "exception", "异常", "response", "download", "upload", "gateway"}
)

// statusIn reads a number as an HTTP status that says that something failed.
func statusIn(n number) int {
	if n.value < 400 || n.value > 599 {
		return 0
	}
	if op, _ := n.asserted(); op != "" {
		return 0
	}
	if n.named(statusNames...) {
		return n.value
	}
	if !n.near(badWords...) || n.named("ret", "retcode", "errcode", "code", "msg") || n.named("line", "port", "pid", "第") {
		return 0
	}
	for _, unit := range [...]string{"ms", "条", "个", "秒", "次", "人", "字", "k", "m", "s ", "行", "多", "名", "天"} {
		if strings.HasPrefix(strings.TrimLeft(n.after, " "), unit) {
			return 0
		}
	}
	if n.value < 500 && !n.near("http", "client error", "entity too large", "too many requests", "unauthorized", "forbidden", "not found", "bad request") {
		return 0
	}
	return n.value
}
