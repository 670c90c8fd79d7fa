package monitor

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"wechat-bridge/bridge/wire"
)

var now = time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)

func ago(d time.Duration) *time.Time { t := now.Add(-d); return &t }

// good is a worker that is as well as it can be.
func good() Facts {
	return Facts{
		Silence: DefaultSilence,
		Process: Process{
			Started: now.Add(-time.Hour),
			Loops:   []Loop{{Name: "link", Beat: now.Add(-time.Second), Limit: time.Minute}, {Name: "intake", Beat: now, Limit: time.Minute}},
			NATS:    Link{OK: true, Since: now.Add(-time.Hour)}, Lease: Link{OK: true, Since: now.Add(-time.Hour)},
		},
		Connection: wire.Connection{State: wire.StateConnected, Sending: wire.SendingFlowing, Since: now.Add(-time.Hour), LastPulse: ago(10 * time.Second)},
		Business:   Business{LastSent: now.Add(-time.Minute)},
	}
}

func TestLevels(t *testing.T) {
	type levels struct{ process, connection, business string }
	refused := &wire.Reason{Class: "session_expired", Code: "logged_out", Message: "The phone ended the session."}
	tests := []struct {
		name   string
		change func(*Facts)
		want   levels
		ready  bool
		reason string // part of the reason of the worst level that is not passed
	}{
		{"all good", func(*Facts) {}, levels{Pass, Pass, Pass}, true, ""},
		{"a loop hangs", func(f *Facts) { f.Process.Loops[0].Beat = now.Add(-2 * time.Minute) }, levels{Fail, Pass, Pass}, false, `loop "link" has not moved for 2m0s`},
		{"a loop without limit", func(f *Facts) { f.Process.Loops[0] = Loop{Name: "x"} }, levels{Pass, Pass, Pass}, true, ""},
		{"NATS away", func(f *Facts) { f.Process.NATS = Link{Reason: "No server answers."} }, levels{Fail, Pass, Fail}, false, "No server answers."},
		{"NATS away without a word", func(f *Facts) { f.Process.NATS = Link{} }, levels{Fail, Pass, Fail}, false, "NATS is away."},
		{"standby", func(f *Facts) { f.Process.Lease = Link{}; f.Connection = wire.Connection{} }, levels{Warn, Warn, Warn}, false, "Another worker serves"},
		{"standby that remembers", func(f *Facts) { f.Process.Lease = Link{} }, levels{Warn, Warn, Warn}, false, "Another worker serves"},
		{"stale connected", func(f *Facts) { f.Connection.LastPulse = ago(36 * time.Second) }, levels{Pass, Fail, Fail}, false, "has not answered for 36s"},
		{"pulse just in time", func(f *Facts) { f.Connection.LastPulse = ago(35 * time.Second) }, levels{Pass, Pass, Pass}, true, ""},
		{"longer hold", func(f *Facts) { f.Silence = time.Minute; f.Connection.LastPulse = ago(50 * time.Second) }, levels{Pass, Pass, Pass}, true, ""},
		{"connected without a pulse", func(f *Facts) { f.Connection.LastPulse = nil }, levels{Pass, Fail, Fail}, false, "never answered"},
		{"pulse from the future", func(f *Facts) { f.Connection.LastPulse = ago(-time.Hour) }, levels{Pass, Fail, Fail}, false, "has not answered"},
		{"starting", func(f *Facts) {
			f.Connection = wire.Connection{State: wire.StateStarting, Sending: wire.SendingHeld, Since: now.Add(-time.Second)}
		}, levels{Pass, Warn, Warn}, false, "being prepared"},
		{"starting for long", func(f *Facts) {
			f.Connection = wire.Connection{State: wire.StateStarting, Sending: wire.SendingHeld, Since: now.Add(-time.Hour)}
		}, levels{Pass, Fail, Fail}, false, "being prepared"},
		{"login under way after a refusal", func(f *Facts) {
			f.Connection = wire.Connection{State: wire.StateConnecting, Sending: wire.SendingHeld, Since: now, Reason: refused}
		}, levels{Pass, Fail, Fail}, false, "ended the session"},
		{"scan wanted", func(f *Facts) { f.Connection.State, f.Connection.Sending = wire.StateAwaitingScan, wire.SendingHeld }, levels{Pass, Fail, Fail}, false, "scan the QR"},
		{"confirm wanted", func(f *Facts) { f.Connection.State, f.Connection.Sending = wire.StateAwaitingConfirm, wire.SendingHeld }, levels{Pass, Fail, Fail}, false, "confirm"},
		{"code wanted", func(f *Facts) { f.Connection.State, f.Connection.Sending = wire.StateAwaitingCode, wire.SendingHeld }, levels{Pass, Fail, Fail}, false, "digits"},
		{"reconnecting", func(f *Facts) { f.Connection.State, f.Connection.Sending = wire.StateReconnecting, wire.SendingHeld }, levels{Pass, Fail, Fail}, false, "was lost"},
		{"logged out", func(f *Facts) { f.Connection.State, f.Connection.Sending = wire.StateLoggedOut, wire.SendingHeld }, levels{Pass, Fail, Fail}, false, "Nobody"},
		{"blocked", func(f *Facts) { f.Connection.State, f.Connection.Sending = wire.StateBlocked, wire.SendingHeld }, levels{Pass, Fail, Fail}, false, "refuses this account"},
		{"stopped", func(f *Facts) { f.Connection.State, f.Connection.Sending = wire.StateStopped, wire.SendingHeld }, levels{Pass, Fail, Fail}, false, "stopped"},
		{"a state of a later version", func(f *Facts) { f.Connection.State = "dreaming" }, levels{Pass, Fail, Fail}, false, "not known"},
		{"held though connected", func(f *Facts) { f.Connection.Sending = wire.SendingHeld }, levels{Pass, Pass, Fail}, false, "Nothing is sent"},
		{"paused", func(f *Facts) { f.Connection.Sending = wire.SendingPaused }, levels{Pass, Pass, Warn}, false, "by an operator"},
		{"another person", func(f *Facts) {
			f.Connection.Sending, f.Connection.Reason = wire.SendingPaused, &wire.Reason{Code: "identity_changed"}
		}, levels{Pass, Pass, Fail}, false, "Another person"},
		{"the day is used up", func(f *Facts) { f.Connection.Pace.ClosedUntil = ago(-time.Hour) }, levels{Pass, Pass, Warn}, false, "used up"},
		{"a short pause", func(f *Facts) { f.Connection.Pace.ClosedUntil = ago(-time.Minute) }, levels{Pass, Pass, Pass}, true, ""},
		{"slowed", func(f *Facts) { f.Connection.Sending = wire.SendingSlowed }, levels{Pass, Pass, Warn}, true, "slower"},
		{"ramping", func(f *Facts) { f.Connection.Sending = wire.SendingRamping }, levels{Pass, Pass, Pass}, true, ""},
		{"sending unknown", func(f *Facts) { f.Connection.Sending = "" }, levels{Pass, Pass, Fail}, false, "not known"},
		{"one failed send", func(f *Facts) {
			f.Business.LastFault, f.Business.Fault, f.Business.FaultsInRow = now, "WeChat said no.", 1
		}, levels{Pass, Pass, Warn}, true, "WeChat said no."},
		{"three failed sends", func(f *Facts) { f.Business.LastFault, f.Business.FaultsInRow = now, 3 }, levels{Pass, Pass, Fail}, true, "last send failed"},
		{"a good send after a fault", func(f *Facts) { f.Business.LastFault = now.Add(-time.Hour) }, levels{Pass, Pass, Pass}, true, ""},
		{"a canary is a proof", func(f *Facts) {
			f.Business = Business{LastSent: now.Add(-time.Second), LastFault: now.Add(-time.Minute)}
		}, levels{Pass, Pass, Pass}, true, ""},
		{"nothing sent yet", func(f *Facts) { f.Business = Business{} }, levels{Pass, Pass, Warn}, true, "nothing is proven"},
		{"old proof", func(f *Facts) { f.Business.LastSent = now.Add(-25 * time.Hour) }, levels{Pass, Pass, Warn}, true, "25h0m0s ago"},
		{"messages wait and nothing goes", func(f *Facts) {
			f.Connection.Backlog = wire.Backlog{Messages: 3, OldestAgeMS: 20 * 60_000}
			f.Business.LastSent = now.Add(-20 * time.Minute)
		}, levels{Pass, Pass, Warn}, true, "3 messages wait, the oldest for 20m0s"},
		{"messages wait and others go", func(f *Facts) {
			f.Connection.Backlog = wire.Backlog{Messages: 3, OldestAgeMS: 20 * 60_000}
		}, levels{Pass, Pass, Pass}, true, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := good()
			test.change(&f)
			h := Levels(f, now)
			got := levels{h.Process.Status, h.Connection.Status, h.Business.Status}
			if got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
			if h.Status != worst(got.process, got.connection, got.business) {
				t.Errorf("together %s", h.Status)
			}
			if ok, why := Ready(f, now); ok != test.ready || !ok && why == "" {
				t.Errorf("ready %v (%s)", ok, why)
			}
			if reasons := h.Process.Reason + h.Connection.Reason + h.Business.Reason; !strings.Contains(reasons, test.reason) || test.reason == "" && reasons != "" {
				t.Errorf("reasons %q, want %q", reasons, test.reason)
			}
			sound(t, h)
		})
	}
}

// sound is what holds for all healths.
func sound(t interface{ Errorf(string, ...any) }, h wire.Health) {
	for name, l := range map[string]wire.Level{"process": h.Process, "connection": h.Connection, "business": h.Business} {
		if (l.Status == Pass) != (l.Reason == "") {
			t.Errorf("%s: %s with reason %q", name, l.Status, l.Reason)
		}
		if l.Status != Pass && l.Status != Warn && l.Status != Fail {
			t.Errorf("%s: status %q", name, l.Status)
		}
	}
	if h.Connection.State == wire.StateConnected && h.Connection.Status != Pass {
		t.Errorf("the state says connected, the status %s", h.Connection.Status)
	}
}

func TestLevelsTellSinceProofAndRetry(t *testing.T) {
	f := good()
	f.Connection.LastPulse = ago(time.Minute)
	f.Connection.RetryAt = ago(-7 * time.Second)
	h := Levels(f, now)
	c := h.Connection
	if c.State != wire.StateReconnecting || !c.Since.Equal(now.Add(-25*time.Second)) || !c.LastProof.Equal(*ago(time.Minute)) || !c.RetryAt.Equal(*ago(-7 * time.Second)) {
		t.Errorf("%+v", c)
	}
	if b := h.Business; !b.LastProof.Equal(*ago(time.Minute)) || b.RetryAt == nil {
		t.Errorf("%+v", b)
	}
	if p := h.Process; !p.Since.Equal(f.Process.Started) || !p.LastProof.Equal(now) {
		t.Errorf("%+v", p)
	}
}

// Promise 8: whatever else is so, an old pulse is never health, never
// "connected" and never ready.
func TestStaleConnectedIsImpossible(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		f := good()
		f.Connection.State = rapid.SampledFrom([]string{wire.StateConnected, wire.StateConnecting, wire.StateStarting, wire.StateReconnecting, "", "x"}).Draw(r, "state")
		f.Connection.Sending = rapid.SampledFrom([]string{wire.SendingFlowing, wire.SendingSlowed, wire.SendingRamping, wire.SendingHeld, wire.SendingPaused, ""}).Draw(r, "sending")
		f.Connection.Since = now.Add(-time.Duration(rapid.Int64Range(0, 1e12).Draw(r, "since")))
		f.Connection.LastPulse = ago(DefaultSilence + time.Duration(rapid.Int64Range(1, 1e13).Draw(r, "silence")))
		if rapid.Bool().Draw(r, "no pulse") {
			f.Connection.LastPulse = nil
		}
		f.Business.LastSent = now.Add(-time.Duration(rapid.Int64Range(0, 1e12).Draw(r, "sent")))
		h := Levels(f, now)
		ready, _ := Ready(f, now)
		if ready || h.Connection.Status == Pass || h.Connection.State == wire.StateConnected || h.Status == Pass {
			r.Fatalf("ready %v, %+v", ready, h)
		}
		sound(r, h)
	})
}

func TestShort(t *testing.T) {
	f := good()
	f.Process.NATS.OK = false
	h := Short("default", "1.2", Levels(f, now), wire.Backlog{Messages: 2})
	if got := fmt.Sprint(h); got != "{default fail fail pass fail {2 0} 1.2}" {
		t.Fatal(got)
	}
}
