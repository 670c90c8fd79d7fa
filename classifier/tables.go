package classifier

import (
	"fmt"
	"slices"
	"strings"
)

// table is a group of rows that are looked at together.
type table struct {
	what Text // for documentation: what the rows look at
	rows []rule
}

// tables are all rows, in the order in which Judge looks at them.
var tables = []table{
	{Text{"what the bridge did itself", "桥接自身的操作"}, []rule{ruleCancelled, ruleClosed, rulePrepare}},
	{Text{"WeChat's code", "微信返回码"}, rules},
	{Text{"any code", "任意返回码"}, anyCodeRules},
	{Text{"the status of the login code", "登录二维码状态"}, wordRules},
	{Text{"HTTP status and body", "HTTP 状态与正文"}, answerRules},
	{Text{"the error below", "底层错误"}, causeRules},
	{Text{"how far the request got", "请求进度"}, phaseRules},
	{Text{"text about NATS", "NATS 相关文本"}, brokerRules},
	{Text{"WeChat's sentences", "微信提示语"}, sentenceRules},
	{Text{"text about other services", "其他服务的文本"}, foreignRules},
	{Text{"other services", "其他服务"}, abroadRules},
	{Text{"text of a library", "程序库文本"}, libraryRules},
	{Text{"text about proxy and TLS", "代理与 TLS 文本"}, tunnelRules},
	{Text{"text about the way", "网络文本"}, wayRules},
	{Text{"text about a configuration", "配置文本"}, configRules},
	{Text{"text about an answer", "应答文本"}, answerTextRules},
	{Text{"last words of a library", "程序库的结束语"}, endRules},
	{Text{"text around a cause", "外层文本"}, wrapperRules},
	{Text{"text about the bot itself", "机器人自身文本"}, internalRules},
	{Text{"nothing", "无"}, []rule{ruleUnknown}},
}

// RuleDoc explains a row to a person.
type RuleDoc struct {
	Name   string // as in Verdict.Rule
	Code   string // the code it leads to
	Looks  Text   // what it looks at
	Fits   string // what it fits, in short
	Source string // where the knowledge comes from
}

// Rules lists all rows, in the order in which Judge looks at them.
func Rules() []RuleDoc {
	var all []RuleDoc
	for _, t := range tables {
		for i := range t.rows {
			all = append(all, t.rows[i].doc(t.what))
		}
	}
	return all
}

// Explain describes the row that Verdict.Rule names. It is false for verdicts
// that the bridge finds out without a fault ("bridge.…").
func Explain(rule string) (RuleDoc, bool) {
	for _, t := range tables {
		for i := range t.rows {
			if t.rows[i].name == rule {
				return t.rows[i].doc(t.what), true
			}
		}
	}
	return RuleDoc{}, false
}

func (r *rule) doc(looks Text) RuleDoc {
	return RuleDoc{Name: r.name, Code: r.says, Looks: looks, Fits: r.describe(), Source: r.source}
}

// describe says in short what a row fits.
func (r *rule) describe() string {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if r.transport != "" {
		add("%s", r.transport)
	}
	for i, op := range r.ops {
		if i > 0 {
			parts[len(parts)-1] += ", " + string(op)
			continue
		}
		add("%s", op)
	}
	if r.transport != "" && !slices.ContainsFunc(anyCodeRules, func(a rule) bool { return a.name == r.name }) {
		add("code %d", r.code)
	}
	if r.word != "" {
		add("status %q", r.word)
	}
	switch {
	case r.status[1] == 0:
	case r.status[0] == r.status[1]:
		add("HTTP %d", r.status[0])
	default:
		add("HTTP %d to %d", r.status[0], r.status[1])
	}
	if r.body != "" {
		add("body %s", r.body)
	}
	if r.fresh {
		add("within %s of a login with complete cookies", freshLogin)
	}
	switch {
	case len(r.any) == 0:
	case r.any[0] == "":
		add("anything else")
	default:
		add("%s", phrases(r.any))
	}
	if len(r.also) > 0 {
		add("with %s", phrases(r.also))
	}
	if slices.ContainsFunc(abroadRules, func(a rule) bool { return a.name == r.name }) {
		add("the same kinds of fault as on the way to WeChat")
	}
	if r.one {
		add("not counted for the breaker when it concerns one message, room or contact call")
	}
	if r.vague {
		add("unless a sentence of WeChat beside it says more")
	}
	if r.soft {
		add("the session is resumed first")
	}
	return strings.Join(parts, ", ")
}

// phrases shows the first few of a row's phrases.
func phrases(list []string) string {
	const few = 4
	shown := make([]string, 0, few)
	for _, p := range list[:min(few, len(list))] {
		shown = append(shown, "“"+strings.TrimPrefix(p, "~")+"”")
	}
	s := strings.Join(shown, ", ")
	if len(list) > few {
		s += fmt.Sprintf(" … (+%d)", len(list)-few)
	}
	return s
}
