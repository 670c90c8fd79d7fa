package classifier

import (
	"fmt"
	"slices"
	"strings"
)

// table is a group of rows that are looked at together.
type table struct {
	what string // for documentation: what the rows look at
	rows []rule
}

// tables are all rows, in the order in which Judge looks at them.
var tables = []table{
	{"what the bridge did itself", []rule{ruleCancelled, ruleClosed, rulePrepare}},
	{"WeChat's code", rules},
	{"any code", anyCodeRules},
	{"the status of the login code", wordRules},
	{"HTTP status and body", answerRules},
	{"the error below", causeRules},
	{"how far the request got", phaseRules},
	{"text about NATS", brokerRules},
	{"WeChat's sentences", sentenceRules},
	{"text about other services", foreignRules},
	{"other services", abroadRules},
	{"text of a library", libraryRules},
	{"text about proxy and TLS", tunnelRules},
	{"text about the way", wayRules},
	{"text about a configuration", configRules},
	{"text about an answer", answerTextRules},
	{"last words of a library", endRules},
	{"text around a cause", wrapperRules},
	{"text about the bot itself", internalRules},
	{"nothing", []rule{ruleUnknown}},
}

// RuleDoc explains a row to a person.
type RuleDoc struct {
	Name   string // as in Verdict.Rule
	Code   string // the code it leads to
	Looks  string // what it looks at
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

func (r *rule) doc(looks string) RuleDoc {
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
	if len(r.any) > 0 && r.any[0] != "" {
		add("%s", phrases(r.any))
	}
	if r.one {
		add("not counted for the breaker when it concerns one message, room or contact call")
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
		s += fmt.Sprintf(" and %d more", len(list)-few)
	}
	return s
}
