package classifier

import "time"

// freshLogin is how soon after a login an answer 1102 speaks about the account
// and not about an aged session (webwx; reported by users of several clients).
const freshLogin = time.Minute

// MaxWait is the longest wait that a server may ask for; more is cut to it, so
// that a wrong header stops nobody for years.
const MaxWait = 24 * time.Hour

// Judge says what a fault means. It is pure, never nil-panics (a nil fault is
// the zero verdict) and is safe for concurrent use. The order is: a
// cancellation, a refusal on our side, WeChat's code for the operation, HTTP
// status and kind of body, the cause, the phase, and the text last.
func Judge(f *Fault) Verdict {
	if f == nil {
		return Verdict{}
	}
	r, op := find(f, kindOf(f.Cause))
	return verdict(r, f, op)
}

// JudgeError says what any error means. It looks for a wrapped *Fault first;
// nil is the zero verdict. An error without a fault is judged by its kind
// (cancellation, network, TLS), then by its words; else it is unknown.
func JudgeError(err error) Verdict {
	if err == nil {
		return Verdict{}
	}
	if f := asFault(err); f != nil {
		return Judge(f)
	}
	f := Fault{Cause: err}
	if neverLeft(err) {
		f.Phase = PhaseDial
	}
	return Judge(&f)
}

// Known gives the verdict of a code as the table has it, for faults that are
// found without an answer of WeChat (silence, a budget that is used up).
func Known(code string) (Verdict, bool) {
	i, ok := codeIndex[code]
	if !ok {
		return Verdict{}, false
	}
	v := codes[i].verdict()
	v.Rule = codes[i].rule
	return v, true
}

// find picks the row, and the operation as far as a text told it.
func find(f *Fault, cause causeKind) (*rule, Operation) {
	if r := structured(f, cause); r != nil {
		return r, f.Op
	}
	if f.Text != "" {
		if r, op := byText(f, f.Text); r != nil {
			return r, op
		}
	}
	if f.Cause != nil {
		if r, op := byText(f, f.Cause.Error()); r != nil {
			return r, op
		}
	}
	return &ruleUnknown, f.Op
}

// structured looks at everything but the text.
func structured(f *Fault, cause causeKind) *rule {
	if cause == causeCancelled {
		return &ruleCancelled
	}
	if f.Phase == PhasePrepare {
		if cause == causeClosed {
			return &ruleClosed
		}
		return &rulePrepare
	}
	if r := byCode(f); r != nil {
		return r
	}
	if r := byWord(f); r != nil {
		return r
	}
	if r := byAnswer(f.Op, f.Status, f.Body); r != nil {
		return r
	}
	if r := byCause(cause); r != nil {
		return r
	}
	return byPhase(f.Phase)
}

// byCode looks an operation's code up; a row for the operation beats one for
// any operation.
func byCode(f *Fault) *rule {
	if !f.HasCode {
		return nil
	}
	for _, key := range [...]codeKey{{f.Transport, f.Op, f.Code}, {f.Transport, "", f.Code}} {
		for _, i := range codeRules[key] {
			if r := &rules[i]; r.fits(f) {
				return r.orSentence(f.Text)
			}
		}
	}
	for i := range anyCodeRules {
		if r := &anyCodeRules[i]; r.transport == f.Transport && r.hasOp(f.Op) && f.Code != 0 {
			return r
		}
	}
	return nil
}

// orSentence gives the row of what WeChat says beside a code that says little:
// Ret 1 with 操作太频繁 is a throttle. WeChat's sentences are Chinese there, so
// that anything else costs nothing.
func (r *rule) orSentence(text string) *rule {
	if !r.vague || !wide(text) {
		return r
	}
	clean, _ := prepare(text)
	if s := first(sentenceRules, known.find(clean)); s != nil {
		return s
	}
	return r
}

// byWord looks iLink's QR status up.
func byWord(f *Fault) *rule {
	if f.Transport != ILink || f.Op != OpCheckLogin || f.Text == "" {
		return nil
	}
	for i := range wordRules {
		if wordRules[i].word == f.Text {
			return &wordRules[i]
		}
	}
	return nil
}

func byAnswer(op Operation, status int, body Body) *rule {
	for i := range answerRules {
		r := &answerRules[i]
		if r.hasOp(op) && r.hasStatus(status) && (r.body == "" || r.body == body) {
			return r
		}
	}
	return nil
}

func byCause(kind causeKind) *rule {
	for i := range causeRules {
		if causeRules[i].cause == kind {
			return &causeRules[i]
		}
	}
	return nil
}

func byPhase(p Phase) *rule {
	for i := range phaseRules {
		if phaseRules[i].phase == p {
			return &phaseRules[i]
		}
	}
	return nil
}

// verdict fills in what depends on the fault and not on the code alone.
func verdict(r *rule, f *Fault, op Operation) Verdict {
	v := codes[codeIndex[r.says]].verdict()
	v.Rule = r.name
	v.Certain = certain(r, f)
	v.Wait = min(max(f.Wait, 0), MaxWait)
	if r.one && op.single() {
		v.Disconnect = false
	}
	if r.soft {
		v.Final, v.Recovery = false, RecoverResume
	}
	return v
}

// certain says that the message surely did not go out: nothing left, or WeChat
// answered that it refuses.
func certain(r *rule, f *Fault) bool {
	switch f.Phase {
	case PhasePrepare, PhaseDial:
		return true
	case PhaseAnswer:
		return r.refusal && !r.open
	}
	return false
}

// single reports operations that concern one message, one room or one contact
// call, so that an unreadable answer to them says little about the connection.
func (o Operation) single() bool {
	for _, s := range singleOps {
		if s == o {
			return true
		}
	}
	return false
}
