package classifier

import (
	"slices"
	"strings"
)

// reading is a text with what is known about where it comes from.
type reading struct {
	text   string
	in     []bool // which phrases of the dictionary are in it
	torn   string // mojibake that was read back with holes
	where  string
	told   Operation // by the caller
	strong found     // the code of WeChat that explains the others
	weak   found     // one that is only a hint
	poll   int       // what may be an answer of the login poll
	status int       // an HTTP status that says that something failed
}

// byText judges words alone: evidence of NATS, then WeChat's own sentences and
// codes, then what happened on the way, then what the bot did wrong. Within a
// table the first row wins. The innermost cause beats its wrapper, so wrappers
// come late.
func byText(f *Fault, text string) (*rule, Operation) {
	w := read(f, text)
	if w.nats() {
		return first(brokerRules, w.in), f.Op
	}
	r := w.explain()
	if r == nil {
		return nil, f.Op
	}
	op := w.op()
	if op == "" {
		op = r.op
	}
	return r, op
}

func read(f *Fault, text string) *reading {
	w := &reading{where: f.Where, told: f.Op}
	w.text, w.torn = prepare(text)
	w.in = known.find(w.text)
	if w.where == "" {
		w.where = string(f.Transport)
	}
	numbers(w.text, func(n number) {
		c := codeIn(n)
		if c.rank > 0 {
			place := &w.strong
			if _, weak := rankOf(c.code); weak && c.op == "" {
				place = &w.weak
			}
			if place.rank == 0 || c.rank < place.rank {
				*place = c
			}
			return
		}
		switch s := statusIn(n); {
		case s > w.status:
			w.status = s
		case pollLike(n):
			w.poll = n.value
		}
	})
	return w
}

// explain goes through what can explain a text, the more telling first.
func (w *reading) explain() *rule {
	if r := first(sentenceRules, w.in); r != nil {
		return r
	}
	if r := w.bySentenceWithHoles(); r != nil {
		return r
	}
	if r := w.byCode(w.strong); r != nil {
		return r
	}
	if w.foreign() {
		if r := w.abroad(); r != nil {
			return r
		}
	}
	for _, look := range [...]func() *rule{w.byLibrary, w.byWay, w.byWeak} {
		if r := look(); r != nil {
			return r
		}
	}
	return first(internalRules, w.in)
}

// bySentenceWithHoles looks for WeChat's sentences in mojibake that lost bytes.
func (w *reading) bySentenceWithHoles() *rule {
	if w.torn == "" {
		return nil
	}
	pairs := pairsOf(w.torn)
	for i := range sentenceRules {
		for _, p := range sentenceRules[i].any {
			if patched(w.torn, pairs, p) {
				return &sentenceRules[i]
			}
		}
	}
	return nil
}

func (w *reading) byLibrary() *rule { return first(libraryRules, w.in) }

// byWay is what happened between the bot and the answer.
func (w *reading) byWay() *rule {
	if r := first(tunnelRules, w.in); r != nil {
		return r
	}
	if w.status != 0 {
		if r := byAnswer(w.op(), w.status, BodyNone); r != nil {
			return r
		}
	}
	for _, table := range [...][]rule{wayRules, configRules, answerTextRules} {
		if r := first(table, w.in); r != nil {
			return r
		}
	}
	return nil
}

// byWeak is what libraries print around a cause that the text does not show.
func (w *reading) byWeak() *rule {
	if r := first(endRules, w.in); r != nil {
		return r
	}
	if r := w.byCode(w.weak); r != nil {
		return r
	}
	if w.poll != 0 && w.has(markScan) {
		return w.byCode(pollCode(w.poll))
	}
	return first(wrapperRules, w.in)
}

// byCode looks a code up as a fault would.
func (w *reading) byCode(c found) *rule {
	if c.rank == 0 {
		return nil
	}
	f := Fault{Transport: w.transport(c.code), Op: c.op, Code: c.code, HasCode: true}
	if f.Op == "" {
		f.Op = w.op()
	}
	if f.Transport == WebWX && (f.Op == "" || f.Op == OpLogin || f.Op == OpOther) {
		f.Op = w.loginStep(c.code, f.Op)
	}
	return byCode(&f)
}

// loginStep says which part of a login a code belongs to: nobody but the login
// itself answers 1203, and 1 ends a login only at its init.
func (w *reading) loginStep(code int, op Operation) Operation {
	switch {
	case code == 1203 && !strings.Contains(w.text, "ticket"):
		return OpLogin
	case code == 1 && (op == OpLogin || w.has(markLogin)):
		return OpInit
	}
	return op
}

// transport says whose code it is. Only iLink has -2, -3, -4, -12 in daily
// life; -14 means the same on both.
func (w *reading) transport(code int) Transport {
	switch {
	case w.where == string(ILink), w.has(markILink):
		return ILink
	case slices.Contains(webPrograms, w.where), w.has(markWeb):
		return WebWX
	case code < -1:
		return ILink
	}
	return WebWX
}

var webPrograms = []string{string(WebWX), "wechat4u", "wechaty", "openwechat", "itchat", "wxpy"}

// nats is evidence of NATS, which decides before all else.
func (w *reading) nats() bool { return w.where == "nats" || w.has(markNATS) }

// foreign says that the text is about a service that is not WeChat.
func (w *reading) foreign() bool { return w.has(markOther) && !w.has(markHosts) }

func (w *reading) has(mark int) bool { return oneOf(w.in, marks[mark].anyID) }

// The marks of a text: what it is about.
const (
	markNATS = iota
	markILink
	markWeb
	markLogin
	markScan
	markOther
	markHosts
)

var marks = []rule{
	markNATS:  {any: []string{"~nats", "jetstream", "err_code=", ":4222", "natserror", "natsconnection", "natstimeout", "natsnoresponders", "nats.client", "nats.aio", "nats.js", "nats-server", "jnats"}},
	markILink: {any: []string{"ilink", "openclaw", "[weixin]", "getupdates", "context_token", "sendmessage", "getuploadurl", "platforms.weixin", "weixin: "}},
	markWeb:   {any: []string{"wechat4u", "itchat", "openwechat", "baseresponse", "webwx", "synccheck", "wx.qq.com", "wx2.qq.com", "window."}},
	markLogin: {any: []string{"1 == 0", "登录", "扫码", "扫描", "二维码", "login", "log in", "logged in", "scan", "contactlist"}},
	markScan:  {any: []string{"扫码", "扫描", "二维码", "qrcode", "qr code", "scan", "checklogin", "check_login"}},
	markOther: {any: []string{"api.openai.com", "openai.error", "openai.api", "openai api", "openai error", "chatgpt error", "gemini error", "anthropic", "chat.openai.com", "openaiclient", "[openai]", "[chatgpt]", "gtp request error", "api.telegram.org", "telegram.error", "googleapis.com", "dashscope", "aip.baidubce.com", "api.deepseek.com", "discord.com", "api.github.com", "registry.npmjs", "pypi.org", "open.feishu.cn", "api.dify.ai", "azure.com", "huggingface.co"}},
	markHosts: {any: []string{"wx.qq.com", "wx2.qq.com", "wx8.qq.com", "weixin.qq.com", "wechat.com"}},
}

// abroad judges a fault of another service: the same kinds, but it says
// nothing about the connection to WeChat.
func (w *reading) abroad() *rule {
	if r := first(foreignRules, w.in); r != nil {
		return r
	}
	r := w.byWay()
	if r == nil {
		return nil
	}
	c := &codes[codeIndex[r.says]]
	for i := range abroadRules {
		a := &codes[codeIndex[abroadRules[i].says]]
		if a.Class == c.Class && a.NeedsHuman == c.NeedsHuman {
			return &abroadRules[i]
		}
	}
	return r
}
