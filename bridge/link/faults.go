package link

import (
	"errors"
	"time"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/classifier"
)

// During says what was under way when something failed.
type During string

// What a fault can happen in.
const (
	DuringLogin During = "login" // any rung of the ladder
	DuringPoll  During = "poll"
	DuringProbe During = "probe" // the cheap request
	DuringStore During = "store" // handing what came to the sink
	DuringSend  During = "send"
)

// FaultReport is one fault as the loop has seen it: every poll, probe, login
// step, hand-over to the sink and send whose outcome was not good, each once.
// It holds neither a message text nor a secret.
type FaultReport struct {
	During   During
	Op       classifier.Operation // what was asked of WeChat; empty for DuringStore
	Endpoint string               // host and path; empty if the transport did not tell
	Code     int                  // WeChat's own; meaningful only with HasCode
	HasCode  bool
	Status   int // HTTP status; 0 without an answer
	Verdict  classifier.Verdict
	Attempt  int       // failed tries since the connection was last stable
	RetryAt  time.Time // of the link's next try; zero when it goes on at once, or the try is not the link's
	State    State     // after the fault
}

var during = map[kind]During{
	evLoginFault: DuringLogin, evPollFault: DuringPoll, evProbeFault: DuringProbe,
	evTakeFault: DuringStore, evSend: DuringSend,
}

// cancelled is the code of what was given up by ourselves: no fault.
const cancelled = "cancelled"

// faultOf is the report of an event; false when it is none.
func faultOf(e event, m *machine) (FaultReport, bool) {
	where, ok := during[e.kind]
	if !ok || e.verdict.OK() || e.noRung || e.verdict.Code == cancelled {
		return FaultReport{}, false
	}
	r := FaultReport{
		During: where, Op: usual(where, e.rung), Verdict: e.verdict, Attempt: m.mem.Attempt, State: m.state,
	}
	if m.plan != planNothing && e.kind != evSend {
		r.RetryAt = m.retryAt
	}
	if f := e.fault; f != nil {
		r.Op, r.Endpoint, r.Code, r.HasCode, r.Status = f.Op, f.Endpoint, f.Code, f.HasCode, f.Status
	}
	return r, true
}

// usual is the operation where the fault does not tell, as silence does not.
func usual(d During, rung wechat.Rung) classifier.Operation {
	switch d {
	case DuringPoll:
		return classifier.OpSyncCheck
	case DuringProbe:
		return classifier.OpNotify
	case DuringSend:
		return classifier.OpSend
	case DuringStore:
		return ""
	}
	switch rung {
	case wechat.Push:
		return classifier.OpPushLogin
	case wechat.QR:
		return classifier.OpCheckLogin
	}
	return classifier.OpInit
}

// faultIn finds what the transport told; nil when it told nothing of that kind.
func faultIn(err error) *classifier.Fault {
	var f *classifier.Fault
	if errors.As(err, &f) {
		return f
	}
	return nil
}
