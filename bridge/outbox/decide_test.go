package outbox

import (
	"testing"
	"time"

	"wechat-bridge/bridge/wire"
	"wechat-bridge/classifier"
)

var (
	t0  = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	cmd = command{seq: 5, at: t0}
)

// rec is a last record of command seq, stored at an offset from t0.
func rec(s wire.State, seq uint64, off time.Duration) *record {
	at := t0.Add(off)
	return &record{seq: 9, at: t0, Delivery: wire.Delivery{
		ID: "a", State: s, StreamSeq: seq, AcceptedAt: &at, Digest: "d", Epoch: 1, Attempt: 1,
	}}
}

func TestDecideClaim(t *testing.T) {
	for name, c := range map[string]struct {
		last   *record
		digest string
		want   claim
	}{
		"nothing there":                      {&record{}, "d", claimFree},
		"garbage":                            {&record{seq: 1, foreign: true}, "d", claimConflict},
		"accepted by an earlier try":         {rec(wire.Accepted, 5, 0), "d", claimMine},
		"sent by an earlier try":             {rec(wire.Sent, 5, 0), "d", claimDone},
		"rejected by an earlier try":         {rec(wire.Rejected, 5, 0), "d", claimDone},
		"waiting since an earlier try":       {rec(wire.Waiting, 5, 0), "d", claimDone},
		"rejected: used again":               {rec(wire.Rejected, 3, -time.Minute), "e", claimFree},
		"rejected later: an old one again":   {rec(wire.Rejected, 7, time.Minute), "e", claimDone},
		"the same again":                     {rec(wire.Sent, 3, -time.Minute), "d", claimRepeat},
		"the same again, not sent yet":       {rec(wire.Accepted, 3, -time.Minute), "d", claimRepeat},
		"the same again, after it failed":    {rec(wire.Failed, 3, -time.Minute), "d", claimRepeat},
		"something else":                     {rec(wire.Sent, 3, -time.Minute), "e", claimConflict},
		"something else, stream made anew":   {rec(wire.Sent, 300, -time.Hour), "e", claimConflict},
		"the same number, stream made anew":  {rec(wire.Accepted, 5, -time.Hour), "e", claimConflict},
		"rejected in a stream of before":     {rec(wire.Rejected, 300, -time.Hour), "e", claimFree},
		"no digest in an old record: unsafe": {rec(wire.Sent, 3, -time.Minute), "", claimConflict},
	} {
		if got := decideClaim(c.last, cmd, c.digest); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

func TestDecidePosition(t *testing.T) {
	me := worker{epoch: 1, started: t0.Add(-time.Hour)}
	later := func(s wire.State) *record { r := rec(s, 5, 0); r.Epoch = 2; return r }
	reborn := later(wire.Sending)
	reborn.at = t0.Add(-2 * time.Hour)
	for name, c := range map[string]struct {
		last   *record
		marked int
		want   position
	}{
		"accepted":                         {rec(wire.Accepted, 5, 0), 0, posReady},
		"waiting":                          {rec(wire.Waiting, 5, 0), 0, posReady},
		"retrying":                         {rec(wire.Retrying, 5, 0), 0, posReady},
		"sending, not by me":               {rec(wire.Sending, 5, 0), 0, posAmbiguous},
		"sending, marked by me":            {rec(wire.Sending, 5, 0), 1, posMarked},
		"sending, another attempt":         {rec(wire.Sending, 5, 0), 2, posAmbiguous},
		"sending, by a later worker":       {later(wire.Sending), 0, posLost},
		"retrying, by a later worker":      {later(wire.Retrying), 0, posLost},
		"sent, by a later worker":          {later(wire.Sent), 0, posDone},
		"sending, epochs counted anew":     {reborn, 0, posAmbiguous},
		"sent":                             {rec(wire.Sent, 5, 0), 0, posDone},
		"expired":                          {rec(wire.Expired, 5, 0), 0, posDone},
		"corrected":                        {rec(wire.Corrected, 5, 0), 0, posDone},
		"cancelled":                        {rec(wire.Cancelled, 5, 0), 0, posDone},
		"a later command has the id":       {rec(wire.Accepted, 8, time.Minute), 0, posDone},
		"the ledger was emptied":           {&record{}, 0, posAmbiguous},
		"garbage is last":                  {&record{seq: 3, foreign: true}, 0, posAmbiguous},
		"an unknown state is not an error": {rec("napping", 5, 0), 0, posReady},
	} {
		if got := decidePosition(c.last, cmd, me, c.marked); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

func TestDecideNext(t *testing.T) {
	down := classifier.Verdict{Class: classifier.Network, Code: "network_error", Disconnect: true, Retryable: true}
	sure := func(v classifier.Verdict) classifier.Verdict { v.Certain = true; return v }
	slow := classifier.Verdict{Class: classifier.RateLimited, Code: "too_often", Retryable: true, Certain: true}
	bad := classifier.Verdict{Class: classifier.BadRequest, Code: "request_refused", Certain: true}
	limited := classifier.Verdict{Class: classifier.BadRequest, Code: "send_limited"}
	odd := classifier.Verdict{Class: classifier.Unknown, Code: "unknown", Retryable: true}
	over := classifier.Verdict{Class: classifier.SessionExpired, Code: "login_expired", Disconnect: true, Final: true, Certain: true}
	for name, c := range map[string]struct {
		before progress
		a      attempt
		want   next
		after  progress
	}{
		"taken":                           {progress{attempt: 1}, attempt{}, nextSent, progress{attempt: 1}},
		"taken after a doubt":             {progress{attempt: 2, dup: true}, attempt{}, nextSent, progress{attempt: 2, dup: true}},
		"outage, surely not sent":         {progress{attempt: 1}, attempt{verdict: sure(down)}, nextFree, progress{}},
		"outage, again and again":         {progress{attempt: 5}, attempt{verdict: sure(down), took: time.Hour}, nextFree, progress{attempt: 4}},
		"logged out":                      {progress{attempt: 1}, attempt{verdict: over}, nextFree, progress{}},
		"throttled":                       {progress{attempt: 1}, attempt{verdict: slow}, nextFree, progress{}},
		"answer lost":                     {progress{attempt: 1}, attempt{verdict: down, took: time.Second}, nextRetry, progress{attempt: 1, tried: time.Second, dup: true}},
		"answer lost, to be reported":     {progress{attempt: 1}, attempt{verdict: down, report: true}, nextUnknown, progress{attempt: 1}},
		"answer lost five times":          {progress{attempt: 5, dup: true}, attempt{verdict: down}, nextUnknown, progress{attempt: 5, dup: true}},
		"surely refused":                  {progress{attempt: 1}, attempt{verdict: bad}, nextFail, progress{attempt: 1}},
		"surely refused, to be reported":  {progress{attempt: 1}, attempt{verdict: bad, report: true}, nextFail, progress{attempt: 1}},
		"refused, or perhaps not":         {progress{attempt: 1}, attempt{verdict: limited}, nextUnknown, progress{attempt: 1, dup: true}},
		"odd, tried again":                {progress{attempt: 1}, attempt{verdict: sure(odd)}, nextRetry, progress{attempt: 1}},
		"odd five times":                  {progress{attempt: 5}, attempt{verdict: sure(odd)}, nextFail, progress{attempt: 5}},
		"odd for ten minutes":             {progress{attempt: 2, tried: 599 * time.Second}, attempt{verdict: sure(odd), took: time.Second}, nextFail, progress{attempt: 2, tried: 600 * time.Second}},
		"shutdown":                        {progress{attempt: 1}, attempt{verdict: down, stopped: true}, nextLeave, progress{attempt: 1}},
		"shutdown of one to be reported":  {progress{attempt: 1}, attempt{verdict: down, stopped: true, report: true}, nextLeave, progress{attempt: 1}},
		"its session was closed under it": {progress{attempt: 1}, attempt{verdict: classifier.Verdict{Class: classifier.Internal, Code: "cancelled", Certain: true}}, nextFree, progress{}},
	} {
		got, after := decideNext(c.before, c.a)
		if got != c.want || after != c.after {
			t.Errorf("%s: %d %+v, want %d %+v", name, got, after, c.want, c.after)
		}
	}
}

func TestDelay(t *testing.T) {
	if d := delay(classifier.Verdict{Wait: 7 * time.Second}, 3, 0.5); d != 7*time.Second {
		t.Errorf("a wait that the server tells: %s", d)
	}
	for n := range 40 {
		for _, rnd := range []float64{0, 0.5, 0.999} {
			if d := delay(classifier.Verdict{}, n, rnd); d < 500*time.Millisecond || d > time.Minute {
				t.Errorf("delay %d: %s", n, d)
			}
		}
	}
}

func TestClientID(t *testing.T) {
	seen := map[string]bool{}
	for seq := range uint64(1000) {
		id := clientID("default", "a", seq)
		if len(id) != 17 || id[0] == '0' || seen[id] || id != clientID("default", "a", seq) {
			t.Fatalf("client id of %d: %s", seq, id)
		}
		seen[id] = true
	}
	if clientID("a", "bc", 1) == clientID("ab", "c", 1) {
		t.Error("accounts and keys run together")
	}
}

func TestPacer(t *testing.T) {
	p := newPacer(Pace{N: 20, Per: time.Minute, Daily: 3}, nil)
	now := t0
	if d := p.take(now, 0); d != 0 {
		t.Fatalf("first: %s", d)
	}
	if d := p.take(now, 0); d != 3*time.Second {
		t.Errorf("second: %s, want 3s", d)
	}
	if d := p.take(now, 0.999); d <= 3900*time.Millisecond || d >= 4*time.Second {
		t.Errorf("second, with jitter: %s, want almost 4s", d)
	}
	p.giveBack(false)
	if d := p.take(now, 0); d != 0 {
		t.Errorf("after one was given back: %s", d)
	}
	_ = p.used(t.Context(), now)
	for n := range 2 {
		now = now.Add(3 * time.Second)
		if d := p.take(now, 0); d != 0 {
			t.Errorf("number %d: %s", n+2, d)
		}
		_ = p.used(t.Context(), now)
	}
	now = t0.Add(time.Hour)
	if d := p.take(now, 0); d != 23*time.Hour {
		t.Errorf("after the day's limit: %s, want 23h", d)
	}
	if s := p.status(now); s.DayLeft != 0 || s.Daily != 3 || !s.ClosedUntil.Equal(t0.Add(24*time.Hour)) {
		t.Errorf("after the day's limit: %+v", s)
	}
	if d := p.take(now.Add(23*time.Hour), 0); d != 0 {
		t.Errorf("a day later: %s", d)
	}
}

// A burst goes at once, and then the pace holds.
func TestBurst(t *testing.T) {
	p := newPacer(Pace{N: 20, Per: time.Minute, Burst: 5}, nil)
	at := 0
	for range 10 {
		now := t0
		for wait := p.take(now, 0); wait > 0; wait = p.take(now, 0) {
			now = now.Add(wait)
		}
		if now.Equal(t0) {
			at++
		}
	}
	if at != 5 {
		t.Errorf("%d at once, want 5", at)
	}
}

// WeChat's complaints halve the pace, those about sends under way together once;
// without more of them it comes back slowly.
func TestSlowdown(t *testing.T) {
	p := newPacer(Pace{N: 20, Per: time.Minute}, nil)
	now := t0
	p.throttled(now, 10*time.Second, slowHalf)
	p.throttled(now.Add(time.Second), 10*time.Second, slowHalf)
	if s := p.status(now); s.PerMinute != 10 || s.Normal != 20 || !s.ClosedUntil.Equal(t0.Add(11*time.Second)) {
		t.Errorf("after one complaint: %+v", s)
	}
	if d := p.take(now, 0); d != 11*time.Second {
		t.Errorf("throttled: %s", d)
	}
	p.throttled(now.Add(time.Minute), 0, slowHalf)
	for n := range 20 {
		p.throttled(now.Add(time.Minute+time.Duration(n)*time.Minute), 0, slowHalf)
	}
	now = now.Add(21 * time.Minute)
	least := p.status(now)
	if least.PerMinute != 20.0/16 {
		t.Errorf("after many: %+v", least)
	}
	before := least.PerMinute
	for now.Before(least.SlowedUntil) {
		now = now.Add(slowStep)
		s := p.status(now)
		if s.PerMinute > before*1.26 || s.PerMinute < before {
			t.Fatalf("from %f to %f", before, s.PerMinute)
		}
		before = s.PerMinute
	}
	if before != 20 || !p.status(now).SlowedUntil.IsZero() {
		t.Errorf("it did not come back: %+v", p.status(now))
	}
	for _, s := range []slowdown{{Factor: -1}, {Factor: 7, Changed: t0}, {Factor: 0.5, Changed: t0.Add(1000 * time.Hour)}} {
		if got := s.at(t0); got.until().After(t0.Add(10 * time.Minute)) {
			t.Errorf("%+v lasts until %s", s, got.until())
		}
	}
}

// The slowdown outlives the process.
func TestSlowdownOverCrashes(t *testing.T) {
	memory := &notes{}
	p := newPacer(Pace{N: 20, Per: time.Minute}, memory)
	p.throttled(t0, time.Second, slowHalf)
	if err := p.keep(t.Context()); err != nil {
		t.Fatal(err)
	}
	q := newPacer(Pace{N: 20, Per: time.Minute}, memory)
	if err := q.load(t.Context(), t0.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if s := q.status(t0.Add(time.Minute)); s.PerMinute != 10 {
		t.Errorf("after a crash: %+v", s)
	}
}
