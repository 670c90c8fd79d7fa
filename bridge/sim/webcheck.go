package sim

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
)

// flexText reads a JSON text or number: clients write ids and uin as either.
type flexText string

// UnmarshalJSON implements json.Unmarshaler.
func (f *flexText) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, (*string)(f))
	}
	var n json.Number
	if err := json.Unmarshal(b, &n); err != nil {
		return err
	}
	*f = flexText(n)
	return nil
}

// baseRequest is in each JSON request. DeviceID is not checked: ItChat sends
// the pass_ticket there.
type baseRequest struct {
	Uin      flexText
	Sid      string
	Skey     string
	DeviceID flexText
}

// credentials are what a request shows.
type credentials struct {
	uin, sid, skey string
	passTicket     string // "" if the request has none
	dataTicket     string // "" if the request has none
}

func (b baseRequest) credentials(c call) credentials {
	return credentials{uin: string(b.Uin), sid: b.Sid, skey: b.Skey, passTicket: c.URL.Query().Get("pass_ticket")}
}

// cookie is the value of a cookie, "" if it was not sent to this host.
func (c call) cookie(name string) string {
	if ck, err := c.Cookie(name); err == nil {
		return ck.Value
	}
	return ""
}

// authorize says whose session this is, or with which code it is refused.
// Called with mu held. The session's cookies are checked on its own hosts only.
func (a *account) authorize(c call, cr credentials) (*session, int) {
	s := a.bySid(cr.sid)
	if s == nil {
		return nil, retCookie
	}
	if s.ended != 0 {
		return nil, s.ended
	}
	if _, base := hostKind(c.Host); base != s.host || cr.uin != s.uin || cr.skey != s.skey {
		return nil, retCookie
	}
	if !sameQuery(c.URL.Query(), s) {
		return nil, retCookie
	}
	if cr.passTicket != "" && !sameTicket(cr.passTicket, s.passTicket) {
		return nil, retTicket
	}
	if cr.dataTicket != "" && cr.dataTicket != s.dataTicket {
		return nil, retTicket
	}
	return s, a.checkCookies(c, s)
}

// sameQuery wants skey, sid and uin right where the query has them, too.
func sameQuery(q url.Values, s *session) bool {
	for name, want := range map[string]string{"skey": s.skey, "sid": s.sid, "uin": s.uin} {
		if got := q.Get(name); got != "" && got != want {
			return false
		}
	}
	return true
}

// checkCookies wants wxsid and wxuin, on file.H the data ticket instead.
func (a *account) checkCookies(c call, s *session) int {
	if kind, _ := hostKind(c.Host); kind == "file" {
		if c.cookie("webwx_data_ticket") != s.dataTicket {
			return retCookie
		}
		return retOK
	}
	if c.cookie("wxsid") != s.sid || c.cookie("wxuin") != s.uin {
		return retCookie
	}
	return retOK
}

// byCookies is for requests that carry no BaseRequest: sid and uin come from
// the cookies, the skey from the query.
func (a *account) byCookies(c call) (*session, int) {
	q := c.URL.Query()
	return a.authorize(c, credentials{uin: c.cookie("wxuin"), sid: c.cookie("wxsid"), skey: q.Get("skey"),
		passTicket: q.Get("pass_ticket")})
}

// sameTicket compares pass tickets: WeChat takes them as it gave them
// (percent-encoded) and decoded, and clients encode them once more.
func sameTicket(got, want string) bool {
	for range 3 {
		if got == want {
			return true
		}
		next, err := url.PathUnescape(got)
		if err != nil || next == got {
			break
		}
		got = next
	}
	// A client that puts the decoded ticket into a query unescaped turns + into a space.
	return strings.ReplaceAll(got, " ", "+") == want
}

// based is what all JSON requests have in common.
type based struct{ BaseRequest baseRequest }

func (b *based) base() baseRequest { return b.BaseRequest }

// answer reads a JSON request, checks it, and answers with what do returns, or
// refuses with its code. do runs with mu held.
func (w *web) answer(rw http.ResponseWriter, c call, req interface{ base() baseRequest }, do func(*session) (any, int)) {
	if err := json.Unmarshal(c.body, req); err != nil {
		w.refuse(rw, c.endpoint, retParam, 0)
		return
	}
	v, ret := w.locked(func() (*session, int) { return w.authorize(c, req.base().credentials(c)) }, do)
	if ret != retOK {
		w.refuse(rw, c.endpoint, ret, 0)
		return
	}
	answerJSON(rw, v)
}

func (w *web) locked(auth func() (*session, int), do func(*session) (any, int)) (any, int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s, ret := auth()
	if ret != retOK {
		return nil, ret
	}
	return do(s)
}
