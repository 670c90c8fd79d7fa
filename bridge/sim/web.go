package sim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
)

// Return codes of the web protocol that the simulator itself gives; meanings
// are unofficial, as clients have seen them.
const (
	retOK       = 0
	retParam    = 1    // parameter error
	retSystem   = -1   // often an unknown user name
	retTicket   = -14  // ticket error
	retLoggedIn = 1101 // logged out by the phone or by another web client
	retCookie   = 1102 // cookie invalid
	retBlocked  = 1203 // this account may not use the web
)

const cgiBin = "/cgi-bin/mmwebwx-bin/"

// web is the web protocol's servers.
type web struct {
	*account
	endpoints map[string]webEndpoint
}

// webEndpoint is one path: on which hosts it is, and what it does.
type webEndpoint struct {
	host   string // "login", "base", "push" or "file"
	method string // "" any
	serve  func(http.ResponseWriter, call)
}

func newWeb(a *account) *web {
	w := &web{account: a}
	w.endpoints = map[string]webEndpoint{
		"jslogin":              {"login", "", w.jslogin},
		"login":                {"login", "GET", w.login},
		"qrcode":               {"login", "GET", w.qrcode},
		"l":                    {"login", "GET", w.qrPage},
		"webwxnewloginpage":    {"base", "GET", w.newLoginPage},
		"webwxpushloginurl":    {"base", "GET", w.pushLogin},
		"webwxinit":            {"base", "POST", w.init},
		"webwxlogout":          {"base", "", w.logout},
		"webwxstatusnotify":    {"base", "POST", w.statusNotify},
		"synccheck":            {"push", "GET", w.syncCheck},
		"webwxsync":            {"base", "POST", w.sync},
		"webwxgetcontact":      {"base", "", w.getContact},
		"webwxbatchgetcontact": {"base", "POST", w.batchGetContact},
		"webwxsendmsg":         {"base", "POST", w.sendMsg},
		"webwxsendmsgimg":      {"base", "POST", w.sendImage},
		"webwxsendvideomsg":    {"base", "POST", w.sendVideo},
		"webwxsendemoticon":    {"base", "POST", w.sendEmoticon},
		"webwxsendappmsg":      {"base", "POST", w.sendApp},
		"webwxrevokemsg":       {"base", "POST", w.revokeMsg},
		"webwxcheckupload":     {"base", "POST", w.checkUpload},
		"webwxuploadmedia":     {"file", "POST", w.uploadMedia},
		"webwxgetmsgimg":       {"base", "GET", w.getMessageMedia},
		"webwxgetvoice":        {"base", "GET", w.getMessageMedia},
		"webwxgetvideo":        {"base", "GET", w.getMessageMedia},
		"webwxgetmedia":        {"file", "GET", w.getMedia},
		"webwxgeticon":         {"base", "GET", w.getIcon},
		"webwxgetheadimg":      {"base", "GET", w.getIcon},
		"webwxoplog":           {"base", "POST", w.opLog},
		"webwxverifyuser":      {"base", "POST", w.verifyUser},
		"webwxcreatechatroom":  {"base", "POST", w.createRoom},
		"webwxupdatechatroom":  {"base", "POST", w.updateRoom},
		"webwxstatreport":      {"base", "POST", w.statReport},
	}
	return w
}

func (w *web) endpoint(r *http.Request) string {
	name, cgi := strings.CutPrefix(r.URL.Path, cgiBin)
	if !cgi {
		name, _, _ = strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		if !oneOf(name, "jslogin", "qrcode", "l") {
			return "unknown"
		}
	}
	if _, ok := w.endpoints[name]; !ok {
		return "unknown"
	}
	return name
}

// hostKind says which of an account's servers a host name is.
func hostKind(host string) (kind, base string) {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(host)
	for prefix, kind := range map[string]string{"login.": "login", "file.": "file", "webpush.": "push"} {
		if base, ok := strings.CutPrefix(host, prefix); ok {
			return kind, base
		}
	}
	return "base", host
}

func (w *web) serve(rw http.ResponseWriter, c call) {
	e, ok := w.endpoints[c.endpoint]
	if kind, _ := hostKind(c.Host); !ok || kind != e.host {
		answerHTML(rw, http.StatusNotFound, "<html><head><title>404 Not Found</title></head><body>nginx</body></html>")
		return
	}
	if e.method != "" && c.Method != e.method {
		answerHTML(rw, http.StatusMethodNotAllowed, "<html><head><title>405 Not Allowed</title></head><body>nginx</body></html>")
		return
	}
	e.serve(rw, c)
}

func (w *web) names() []string {
	names := append(slices.Collect(maps.Keys(w.endpoints)), "unknown")
	slices.Sort(names)
	return names
}

// refuse answers with a code in the endpoint's own form.
func (w *web) refuse(rw http.ResponseWriter, endpoint string, ret, selector int) {
	switch endpoint {
	case "jslogin":
		answerJS(rw, fmt.Sprintf("window.QRLogin.code = %d; window.QRLogin.uuid = \"\";", ret))
	case "login":
		answerJS(rw, fmt.Sprintf("window.code=%d;", ret))
	case "synccheck":
		answerJS(rw, fmt.Sprintf("window.synccheck={retcode:\"%d\",selector:\"%d\"}", ret, selector))
	case "webwxnewloginpage":
		answerLoginError(rw, ret)
	case "webwxpushloginurl":
		answerJSON(rw, pushAnswer{Ret: fmt.Sprint(ret), Msg: "refused"})
	case "webwxinit":
		answerJSON(rw, initAnswer{BaseResponse: baseResponse{Ret: ret}})
	case "webwxsync":
		answerJSON(rw, emptySync(ret))
	case "webwxgetcontact":
		answerJSON(rw, contactAnswer{BaseResponse: baseResponse{Ret: ret}})
	case "webwxuploadmedia":
		answerJSON(rw, uploadAnswer{BaseResponse: baseResponse{Ret: ret}})
	default:
		answerRet(rw, ret)
	}
}

type baseResponse struct {
	Ret    int
	ErrMsg string
}

func answerRet(w http.ResponseWriter, ret int) {
	answerJSON(w, struct {
		BaseResponse baseResponse
		MsgID        string
		LocalID      string
	}{BaseResponse: baseResponse{Ret: ret}})
}

// answerJSON writes JSON as text/plain, as WeChat does.
func answerJSON(w http.ResponseWriter, v any) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		http.Error(w, "Internal Server Error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	_, _ = w.Write(buf.Bytes()) // the client may be gone
}

func answerJS(w http.ResponseWriter, script string) {
	w.Header().Set("Content-Type", "text/javascript")
	_, _ = io.WriteString(w, script) // the client may be gone
}
