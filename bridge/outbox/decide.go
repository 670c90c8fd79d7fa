package outbox

import (
	"time"

	"wechat-bridge/bridge/wire"
	"wechat-bridge/classifier"
)

// claim is what an id's last record means for a command that wants the id.
type claim int

const (
	claimFree     claim = iota // write accepted after it
	claimMine                  // accepted by an earlier try: go on
	claimDone                  // this command has gone further, or a later one has the id
	claimRepeat                // another command that asks for the same
	claimConflict              // another command that asks for something else
)

func decideClaim(last *record, c command, digest string) claim {
	switch {
	case last.seq == 0:
		return claimFree
	case last.foreign:
		return claimConflict
	case last.of(c) && last.State == wire.Accepted:
		return claimMine
	case last.of(c) || last.after(c):
		return claimDone
	case last.State == wire.Rejected:
		return claimFree // what failed validation does not use up its id
	case last.Digest == digest && digest != "":
		return claimRepeat
	}
	return claimConflict
}

// position is what a chain's last record means for a delivery that is about to
// be sent or ended.
type position int

const (
	posReady     position = iota // nothing is under way: write the next record
	posDone                      // it is final, or a later command has the id
	posMarked                    // sending was written by this process and not acted upon
	posAmbiguous                 // WeChat may have it
	posLost                      // a later worker has the account
)

// worker is who decides.
type worker struct {
	epoch   uint64
	started time.Time
}

// superseded reports that a later worker wrote a record while this one runs. A
// higher epoch from before its start only says that epochs began anew, in a
// bucket that was made again.
func (w worker) superseded(last *record) bool {
	return last.Epoch > w.epoch && last.at.After(w.started)
}

// decidePosition places a delivery. marked is the attempt for which this very
// delivery in memory has written sending without handing anything to WeChat; 0
// is none.
func decidePosition(last *record, c command, w worker, marked int) position {
	switch {
	case last.seq == 0 || last.foreign: // the ledger was cut: it cannot say that nothing went out
		return posAmbiguous
	case !last.of(c):
		return posDone
	case last.State.Final():
		return posDone
	case w.superseded(last):
		return posLost
	case last.State != wire.Sending:
		return posReady
	case marked > 0 && last.Epoch == w.epoch && last.Attempt == marked:
		return posMarked
	}
	return posAmbiguous
}

// next is what follows an attempt.
type next int

const (
	nextSent    next = iota
	nextFail         // WeChat or the bridge refuses it for good
	nextUnknown      // it cannot be known, and nothing more is to be tried
	nextRetry        // an attempt is used up
	nextFree         // try again, no attempt is used up
	nextLeave        // shutdown: leave it sending
)

// attempt is the outcome of one Send.
type attempt struct {
	verdict classifier.Verdict
	took    time.Duration
	report  bool // on_unknown: report
	stopped bool // the grace is over: we cancelled it
}

// decideNext judges an attempt. before is the progress that its sending record
// carries; the result is what the next record carries.
//
// What surely did not go out because of an outage or WeChat's throttle costs
// nothing. What may have gone out counts, also in an outage: else a chat whose
// answers always get lost would be sent the same for ever.
func decideNext(before progress, a attempt) (next, progress) {
	after := before
	v := a.verdict
	sure := v.Certain
	switch {
	case v.OK():
		return nextSent, after
	case a.stopped:
		return nextLeave, after
	case !sure && a.report:
		return nextUnknown, after
	case sure && costless(v):
		after.attempt--
		return nextFree, after
	case !sure:
		after.dup = true
	}
	after.tried += a.took
	switch {
	case !again(v) && sure: // possible_duplicate tells of an earlier attempt
		return nextFail, after
	case !again(v):
		return nextUnknown, after
	case after.attempt >= maxAttempts || after.tried >= maxTried:
		return exhausted(after), after
	}
	return nextRetry, after
}

// exhausted ends what was tried often enough. Failed would be a lie where one
// of the attempts may have arrived.
func exhausted(p progress) next {
	if p.dup {
		return nextUnknown
	}
	return nextFail
}

// again reports that another attempt may succeed.
func again(v classifier.Verdict) bool {
	return v.Retryable || v.Disconnect || interrupted(v)
}

// costless reports that waiting is the answer, not another attempt.
func costless(v classifier.Verdict) bool {
	return v.Disconnect || v.Class == classifier.Network || v.Class == classifier.RateLimited || interrupted(v)
}

// interrupted is a send that the closing of its session cut off.
func interrupted(v classifier.Verdict) bool { return v.Code == "cancelled" }

// delay is the wait before the next attempt: what the server told, else a
// growing one. n counts the attempts of this process in a row.
func delay(v classifier.Verdict, n int, rnd float64) time.Duration {
	if v.Wait > 0 {
		return min(v.Wait, time.Hour)
	}
	base := time.Second
	if v.Class == classifier.RateLimited {
		base = 10 * time.Second
	}
	return backoff(base, time.Minute, n, rnd)
}
