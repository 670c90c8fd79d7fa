package bridge

import (
	"time"

	"github.com/rs/zerolog"

	"wechat-bridge/bridge/link"
	"wechat-bridge/bridge/monitor"
	"wechat-bridge/bridge/wire"
	"wechat-bridge/classifier"
)

// faultKey is what makes two faults one kind for people.
type faultKey struct {
	class, code, operation string
}

// faultBook counts the faults of an account by kind, for those who ask.
type faultBook struct {
	tally monitor.Tally[faultKey]
}

// groupsShown is how many kinds of faults an answer lists.
const groupsShown = 20

// groups are the kinds of faults that were seen, the newest first.
func (b *faultBook) groups() []wire.FaultGroup {
	var out []wire.FaultGroup
	for _, c := range b.tally.All() {
		if len(out) == groupsShown {
			break
		}
		doc, _ := classifier.Known(c.Key.code)
		out = append(out, wire.FaultGroup{
			Class: c.Key.class, Code: c.Key.code, Operation: c.Key.operation, Count: c.Count,
			First: c.First.UTC(), Last: c.Last.UTC(),
			Message: doc.Message.EN, MessageZH: doc.Message.ZH, Fix: doc.Fix.EN, FixZH: doc.Fix.ZH,
		})
	}
	return out
}

// fault hears of each fault of the connection and of sends; the log's writer
// sees to it that a storm stays short.
func (a *account) fault(r link.FaultReport) {
	v := r.Verdict
	a.w.facts.faults.tally.Note(faultKey{string(v.Class), v.Code, string(r.Op)}, time.Now())
	e := a.w.log.WithLevel(loudness(v)).Str("account", a.w.cfg.Account).Str("transport", a.transport.Name()).
		Str("at", string(r.During)).Str("operation", string(r.Op)).Str("endpoint", wire.Printable(r.Endpoint, 120)).
		Str("class", string(v.Class)).Str("code", v.Code).Str("rule", v.Rule).
		Str("state", string(r.State)).Int("attempt", r.Attempt).Uint64("backlog", a.backlog().Messages)
	if r.HasCode {
		e = e.Int("wechat_code", r.Code)
	}
	if r.Status != 0 {
		e = e.Int("http_status", r.Status)
	}
	if !r.RetryAt.IsZero() {
		e = e.Time("retry_at", r.RetryAt)
	}
	e.Msg("fault")
}

// loudness of what nobody knows is higher than that of a fault with a name.
func loudness(v classifier.Verdict) zerolog.Level {
	if v.Class == classifier.Unknown || v.Class == classifier.Internal {
		return zerolog.ErrorLevel
	}
	return zerolog.WarnLevel
}
