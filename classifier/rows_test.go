package classifier

import "testing"

// A row that no fault can reach is a lie about what the bridge knows: each row
// is hit by a case of TestJudge or by a text of testdata/cases.jsonl.
func TestEveryRowIsHit(t *testing.T) {
	hit := make(map[string]int)
	for _, c := range cases {
		hit[Judge(c.fault).Rule]++
	}
	for _, c := range readLines[textCase](t, "testdata/cases.jsonl") {
		hit[c.judge().Rule]++
	}
	for name := range allRules() {
		if hit[name] == 0 {
			t.Errorf("row %s is hit by no case", name)
		}
		delete(hit, name)
	}
	for name := range hit {
		t.Errorf("rule %s is in no table", name)
	}
}

// sample makes the smallest fault that a structured row describes, so that the
// row answers unless another one stands before it.
func (r *rule) sample() *Fault {
	f := &Fault{Transport: r.transport, Code: r.code, HasCode: r.transport != "", Status: r.status[1], Body: r.body, Phase: r.phase}
	if len(r.ops) > 0 {
		f.Op = r.ops[0]
	}
	if r.fresh {
		f.SinceLogin, f.CookiesComplete = freshLogin, true
	}
	if r.word != "" {
		f.Transport, f.Op, f.Text = ILink, OpCheckLogin, r.word
	}
	return f
}

func TestNoStructuredRowIsShadowed(t *testing.T) {
	for _, table := range [][]rule{rules, wordRules, answerRules, phaseRules} {
		for i := range table {
			if got := Judge(table[i].sample()).Rule; got != table[i].name {
				t.Errorf("row %s can never be reached: %s stands before it", table[i].name, got)
			}
		}
	}
	for i := range anyCodeRules {
		f := anyCodeRules[i].sample()
		f.Code = 4711
		if got := Judge(f).Rule; got != anyCodeRules[i].name {
			t.Errorf("row %s can never be reached: %s stands before it", anyCodeRules[i].name, got)
		}
	}
	for i := range causeRules {
		if r := byCause(causeRules[i].cause); r != &causeRules[i] {
			t.Errorf("row %s can never be reached: %s stands before it", causeRules[i].name, r.name)
		}
	}
}

// Each phrase leads to its row in at least one text; one that never does is
// shadowed by a phrase before it, or is a typing mistake.
func TestNoPhraseIsShadowed(t *testing.T) {
	for _, table := range tables {
		for i := range table.rows {
			r := &table.rows[i]
			for _, phrase := range r.any {
				if !r.reachedBy(phrase) {
					t.Errorf("row %s: %q never leads there, but to %s", r.name, phrase, Judge(r.spoken(phrase, "")).Rule)
				}
			}
			for _, phrase := range r.also {
				if !r.reachedWith(phrase) {
					t.Errorf("row %s: with %q it is never reached", r.name, phrase)
				}
			}
		}
	}
}

// spoken is the smallest text with these phrases.
func (r *rule) spoken(phrase, also string) *Fault {
	f := &Fault{Text: trimWhole(phrase) + " | " + trimWhole(also)}
	switch {
	case r.inTable(brokerRules):
		f.Where = "nats"
	case r.inTable(foreignRules):
		f.Text = "api.openai.com: " + f.Text
	}
	return f
}

func (r *rule) inTable(table []rule) bool {
	for i := range table {
		if table[i].name == r.name {
			return true
		}
	}
	return false
}

func trimWhole(p string) string {
	if p != "" && p[0] == '~' {
		return p[1:]
	}
	return p
}

func (r *rule) reachedBy(phrase string) bool {
	for _, also := range append([]string{""}, r.also...) {
		if Judge(r.spoken(phrase, also)).Rule == r.name {
			return true
		}
	}
	return false
}

func (r *rule) reachedWith(also string) bool {
	for _, phrase := range r.any {
		if Judge(r.spoken(phrase, also)).Rule == r.name {
			return true
		}
	}
	return false
}

func TestEveryStackLineIsKnown(t *testing.T) {
	for _, s := range stackLines {
		last := 0
		for _, l := range s.lines {
			if l.upTo <= last {
				t.Errorf("%s: %d after %d", s.file, l.upTo, last)
			}
			last = l.upTo
		}
	}
	for file, want := range map[string]Operation{
		"lib/core.js:106": OpUUID, "lib/core.js:139": OpCheckLogin, "lib/core.js:112": OpCheckLogin, "lib/core.js:229": OpInit, "lib/core.js:227": OpInit,
		"lib/core.js:265": OpNotify, "lib/core.js:326": OpBatchContacts, "lib/core.js:324": OpBatchContacts, "lib/core.js:410": OpSyncCheck,
		"lib/core.js:446": OpSync, "lib/core.js:444": OpSync, "lib/core.js:537": OpSend, "lib/core.js:820": OpUpload, "lib/core.js:868": OpSend,
		"lib/core.js:909": OpSend, "lib/core.js:950": OpSend, "src/core.js:108": OpCheckLogin, "src/core.js:194": OpInit, "src/core.js:195": OpInit,
		"src/core.js:228": OpNotify, "src/core.js:327": OpSyncCheck, "src/core.js:477": OpSend, "src/core.js:859": OpSend, `lib\core.js:537`: OpSend,
	} {
		if got := opByStack("at /app/node_modules/wechat4u/" + file + ":24"); got != want {
			t.Errorf("%s is %q, want %q", file, got, want)
		}
	}
}
