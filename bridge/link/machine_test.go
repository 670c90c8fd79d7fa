package link

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/classifier"
)

func known(code string) classifier.Verdict {
	v, ok := classifier.Known(code)
	if !ok {
		panic("no code " + code)
	}
	return v
}

var t0 = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func fresh() machine {
	return machine{limits: Limits{}.withDefaults(), silence: 35 * time.Second, state: Starting, since: t0}
}

// play runs events one second apart and gives the effects of the last.
func play(m machine, events ...event) (machine, []effect) {
	var fx []effect
	now := t0
	for _, e := range events {
		now = now.Add(time.Second)
		if e.gen == 0 {
			e.gen = m.gen
		}
		m, fx = step(m, e, now, 0.5)
	}
	return m, fx
}

func kinds(fx []effect) (all []does) {
	for _, f := range fx {
		all = append(all, f.does)
	}
	return all
}

// climbing at a rung, after a start.
func at(r wechat.Rung) machine {
	m, _ := play(fresh(), event{kind: evStart}, event{kind: evTimer}, event{kind: evAllowed})
	for m.rung < r {
		m, _ = play(m, event{kind: evLoginFault, noRung: true})
	}
	return m
}

func live() machine {
	m, _ := play(at(wechat.Stored), event{kind: evLogin, identity: wechat.Identity{ID: "1"}}, event{kind: evPoll, lasted: time.Second})
	return m
}

func TestLadder(t *testing.T) {
	for name, tc := range map[string]struct {
		rung  wechat.Rung
		v     classifier.Verdict
		next  wechat.Rung
		state State
		climb bool // at once
	}{
		"network retries the rung":        {wechat.Stored, netLost, wechat.Stored, Connecting, false},
		"server retries the rung":         {wechat.Stored, known("server_error"), wechat.Stored, Connecting, false},
		"HTML retries the rung":           {wechat.Stored, known("html_answer"), wechat.Stored, Connecting, false},
		"too often retries the rung":      {wechat.Stored, known("too_often"), wechat.Stored, Connecting, false},
		"unknown retries the rung":        {wechat.Stored, known("unknown"), wechat.Stored, Connecting, false},
		"doubt retries the rung":          {wechat.Stored, known("session_doubtful"), wechat.Stored, Connecting, false},
		"logged out climbs":               {wechat.Stored, known("logged_out_by_phone"), wechat.Push, Connecting, true},
		"init refused climbs":             {wechat.Stored, known("session_lost"), wechat.Push, Connecting, true},
		"bad request climbs":              {wechat.Stored, known("request_refused"), wechat.Push, Connecting, true},
		"push not possible climbs":        {wechat.Push, known("push_refused"), wechat.QR, Connecting, true},
		"push not confirmed climbs":       {wechat.Push, known("qr_expired"), wechat.QR, Connecting, true},
		"unknown at push climbs":          {wechat.Push, known("unknown"), wechat.QR, Connecting, true},
		"network at push retries":         {wechat.Push, netLost, wechat.Push, Connecting, false},
		"code expired shows another":      {wechat.QR, known("qr_expired"), wechat.QR, AwaitingScan, false},
		"network at the code retries":     {wechat.QR, netLost, wechat.QR, Connecting, false},
		"web login refused ends it":       {wechat.QR, known("web_login_refused"), wechat.QR, Blocked, false},
		"init refused for good ends it":   {wechat.Stored, known("web_init_refused"), wechat.Stored, Blocked, false},
		"restricted ends it at any rung":  {wechat.Push, known("restricted_account"), wechat.Push, Blocked, false},
		"storage away retries the rung":   {wechat.QR, known("storage_unavailable"), wechat.QR, Connecting, false},
		"a silent login retries the rung": {wechat.Stored, known("timeout"), wechat.Stored, Connecting, false},
	} {
		t.Run(name, func(t *testing.T) {
			m, fx := play(at(tc.rung), event{kind: evLoginFault, verdict: tc.v})
			climbs := slices.Contains(kinds(fx), fxClimb)
			if m.rung != tc.next || m.state != tc.state || climbs != tc.climb {
				t.Errorf("rung %v state %s climb %v, want %v %s %v", m.rung, m.state, climbs, tc.next, tc.state, tc.climb)
			}
			if !climbs && tc.state != Blocked && (m.plan != planAttempt || !slices.Contains(kinds(fx), fxSettle)) {
				t.Errorf("plan %v, effects %v: no way on", m.plan, kinds(fx))
			}
		})
	}
}

func TestResumeIsTheFirstRungAndDoubtOpensTheStoredSession(t *testing.T) {
	m, _ := play(live(), event{kind: evOpened, verdict: netLost}, event{kind: evTimer}, event{kind: evTimer})
	m, fx := play(m, event{kind: evAllowed})
	if len(fx) != 1 || fx[0].does != fxClimb || fx[0].rung != wechat.Resume {
		t.Fatalf("effects %+v", fx)
	}
	m, fx = play(m, event{kind: evLoginFault, verdict: known("session_doubtful")})
	if m.rung != wechat.Stored || !slices.Contains(kinds(fx), fxClimb) {
		t.Errorf("rung %v effects %v", m.rung, kinds(fx))
	}
	m, _ = play(m, event{kind: evLoginFault, verdict: known("session_doubtful")})
	if m.rung != wechat.Stored || m.plan != planAttempt {
		t.Errorf("rung %v plan %v: doubt must not lead to a new login", m.rung, m.plan)
	}
}

func TestWhereALossEntersTheLadder(t *testing.T) {
	for code, want := range map[string]wechat.Rung{
		"timeout": wechat.Resume, "no_pulse": wechat.Resume, "session_doubtful": wechat.Resume, "server_error": wechat.Resume,
		"unknown": wechat.Resume, "logged_out_by_phone": wechat.Stored, "logged_in_elsewhere": wechat.Stored, "login_expired": wechat.Stored,
	} {
		m, fx := play(live(), event{kind: evOpened, verdict: known(code)})
		if m.rung != want || m.state != Reconnecting || m.plan != planAttempt {
			t.Errorf("%s: rung %v state %s plan %v", code, m.rung, m.state, m.plan)
		}
		if examine := code == "no_pulse"; slices.Contains(kinds(fx), fxClose) == examine {
			t.Errorf("%s: effects %v", code, kinds(fx))
		}
	}
}

func TestTheFirstGoodPollConnectsAndNothingElse(t *testing.T) {
	m, fx := play(at(wechat.Stored), event{kind: evLogin, identity: wechat.Identity{ID: "1"}})
	if m.state != Connecting || !cmp.Equal(kinds(fx), []does{fxSave, fxPoll}) {
		t.Fatalf("state %s effects %v", m.state, kinds(fx))
	}
	again, _ := play(m, event{kind: evPollFault, verdict: netLost})
	if again.state != Connecting || again.rung != wechat.Resume {
		t.Errorf("state %s rung %v after a first poll that failed", again.state, again.rung)
	}
	m, fx = play(m, event{kind: evPoll, lasted: time.Second})
	if m.state != Connected || !cmp.Equal(kinds(fx), []does{fxSettle, fxPoll}) || !fx[0].verdict.OK() {
		t.Errorf("state %s effects %+v", m.state, fx)
	}
}

func TestEventsOfAnOlderGenerationChangeNothing(t *testing.T) {
	m := live()
	m.gen = 9
	for k := evAllowed; k <= evSend; k++ {
		if k == evOpened { // has no generation: the breaker's own
			continue
		}
		after, fx := play(m, event{kind: k, gen: m.gen - 1, verdict: sessOver})
		if len(fx) > 0 || after.state != m.state || after.gen != m.gen || after.work != m.work {
			t.Errorf("event %v of an old generation: effects %v", k, kinds(fx))
		}
	}
}

func TestBackOffIsFullJitterBetweenFloorAndCap(t *testing.T) {
	for n := range 70 {
		for _, rnd := range []float64{0, 0.5, 0.999999} {
			d := backoff(time.Second, time.Minute, n, rnd)
			if limit := min(time.Minute, time.Second<<min(n, 20)); d < 0 || d > limit {
				t.Fatalf("attempt %d, rnd %v: %v", n, rnd, d)
			}
		}
	}
	if d := backoff(time.Second, time.Minute, 1000, 0.5); d != 30*time.Second {
		t.Errorf("late back-off %v", d)
	}
}

func TestMemorySurvivesGarbageAndClocks(t *testing.T) {
	limits := Limits{}.withDefaults()
	now := t0
	for name, in := range map[string]string{
		"text": "x", "array": "[]", "number": "1", "half": `{"attempt":`, "wrong type": `{"attempt":"x"}`,
	} {
		if _, err := decodeMemory([]byte(in), now, limits); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	m, err := decodeMemory([]byte(`{"version":1,"attempt":-5,"qr_number":9999,"retry_at":"2999-01-01T00:00:00Z",
		"logins":["2026-11-24T11:59:00Z","2030-01-01T00:00:00Z","2026-11-20T00:00:00Z"],"blocked":"nonsense"}`), now, limits)
	if err != nil {
		t.Fatal(err)
	}
	if m.Attempt != 0 || m.QRNumber != 10 || m.RetryAt.Sub(now) != maxTold || len(m.Logins) != 2 || m.Blocked != "restricted_account" {
		t.Errorf("%+v", m)
	}
	if _, err := decodeMemory([]byte(`{"version":99}`), now, limits); err == nil {
		t.Error("a newer version was taken")
	}
	b, err := m.encode()
	if err != nil {
		t.Fatal(err)
	}
	again, err := decodeMemory(b, now, limits)
	m.Version = memoryVersion
	if err != nil || !cmp.Equal(again, m) {
		t.Errorf("%+v, %v", again, err)
	}
}

func TestBudgetSaysWhenTheNextLoginIsAllowed(t *testing.T) {
	limits := Limits{}.withDefaults()
	var logins []time.Time
	for i := range 6 {
		logins = append(logins, t0.Add(time.Duration(i)*time.Minute))
	}
	now := t0.Add(10 * time.Minute)
	if left, at := loginsLeft(logins, now, limits); left != 0 || !at.Equal(t0.Add(time.Hour)) {
		t.Errorf("left %d, free at %v", left, at)
	}
	if left, _ := loginsLeft(logins, t0.Add(time.Hour), limits); left != 1 {
		t.Errorf("left %d an hour later", left)
	}
	logins = nil
	for i := range 20 {
		logins = append(logins, t0.Add(time.Duration(i)*time.Hour))
	}
	if left, at := loginsLeft(logins, t0.Add(20*time.Hour), limits); left != 0 || !at.Equal(t0.Add(24*time.Hour)) {
		t.Errorf("left %d, free at %v", left, at)
	}
}

func TestWhatAPersonHasToDo(t *testing.T) {
	for name, tc := range map[string]struct {
		m    machine
		want UserAction
	}{
		"starting":            {fresh(), DoNothing},
		"code shown":          {machine{state: AwaitingScan, step: &wechat.LoginStep{}}, ScanQR},
		"between two codes":   {machine{state: AwaitingScan, plan: planAttempt}, JustWait},
		"scanned":             {machine{state: AwaitingConfirm}, ConfirmOnPhone},
		"digits":              {machine{state: AwaitingCode}, EnterCode},
		"connected":           {live(), DoNothing},
		"network is down":     {machine{state: Reconnecting, plan: planAttempt, reason: netLost}, JustWait},
		"certificate":         {machine{state: Reconnecting, plan: planAttempt, reason: known("tls_untrusted")}, FixConfig},
		"clock":               {machine{state: Connecting, plan: planAttempt, reason: known("clock_or_certificate")}, FixConfig},
		"restricted":          {machine{state: Blocked, reason: known("restricted_account")}, OpenPhone},
		"logged out":          {machine{state: LoggedOut, reason: known("logged_out")}, DoNothing},
		"nobody scanned ever": {machine{state: LoggedOut, reason: known("qr_unattended")}, ScanQR},
		"stopped":             {machine{state: Stopped}, DoNothing},
	} {
		if got := action(&tc.m); got != tc.want {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
}

func FuzzMemory(f *testing.F) {
	for _, s := range []string{"", "{}", "null", `{"attempt":1e99}`, `{"version":1,"logins":["2026-11-24T11:59:00Z"],"retry_at":"0001-01-01T00:00:00Z"}`} {
		f.Add([]byte(s))
	}
	limits := Limits{}.withDefaults()
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeMemory(b, t0, limits)
		if err != nil {
			return
		}
		if m.Attempt < 0 || m.QRNumber < 0 || m.QRNumber > limits.QRRenewals || len(m.Logins) > maxLogins || m.RetryAt.Sub(t0) > maxTold {
			t.Fatalf("unbounded: %+v", m)
		}
		for _, at := range m.Logins {
			if at.After(t0) {
				t.Fatalf("a login in the future: %v", at)
			}
		}
		after, _ := step(fresh(), event{kind: evStart, memory: m}, t0, 0.5)
		if after.state != Blocked && after.state != LoggedOut && after.wake().IsZero() {
			t.Fatalf("no way on from %+v", m)
		}
		if _, err := m.encode(); err != nil {
			t.Fatal(err)
		}
	})
}

// A login that a person has confirmed is never asked for a second time because
// of what a bad connection did to its first requests.
func TestAConfirmedLoginIsOpenedFromStorage(t *testing.T) {
	at := machine{limits: Limits{}.withDefaults(), state: Connecting, work: climbing, rung: wechat.QR, scanned: true}
	wait := event{kind: evStep, step: wechat.LoginStep{Kind: wechat.StepWait}}
	for name, tc := range map[string]struct {
		confirmed bool
		v         classifier.Verdict
		next      wechat.Rung
	}{
		"server":              {true, known("server_error"), wechat.Stored},
		"network":             {true, netLost, wechat.Stored},
		"before it":           {false, netLost, wechat.QR},
		"refused by the init": {true, known("login_expired"), wechat.QR},
	} {
		m := at
		if tc.confirmed {
			m, _ = play(m, wait)
		}
		if m, _ = play(m, event{kind: evLoginFault, verdict: tc.v}); m.rung != tc.next || m.plan != planAttempt {
			t.Errorf("%s: rung %v, plan %v, want %v", name, m.rung, m.plan, tc.next)
		}
	}
}
