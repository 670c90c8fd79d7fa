package bridge

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"wechat-bridge/bridge/sim"
	"wechat-bridge/bridge/wire"
)

// login plays the phone that scans, as that person, and confirms.
func (r *rig) login(as string) wire.Connection {
	r.t.Helper()
	c := r.awaitState(wire.StateAwaitingScan)
	if err := r.sim.ScanAs(as); err != nil {
		r.t.Fatal(err)
	}
	r.awaitState(wire.StateAwaitingConfirm)
	if err := r.sim.Confirm(); err != nil {
		r.t.Fatal(err)
	}
	return c
}

// ask is a request to the api, as a guest; code is the error's.
func (r *rig) ask(verb string, body any) (answer []byte, code string) {
	r.t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		r.t.Fatal(err)
	}
	msg, err := r.nc.Request("wechat.api.default."+verb, raw, patience)
	if err != nil {
		r.t.Fatal(err)
	}
	return msg.Data, msg.Header.Get("Nats-Service-Error-Code")
}

// storedState is the connection's last record in NATS.
func (r *rig) storedState() wire.Connection {
	r.t.Helper()
	all := r.stored("WECHAT_STATUS", "wechat.status.default.connection.state")
	var c wire.Connection
	if len(all) == 0 {
		return c
	}
	if _, err := wire.OpenAs(all[len(all)-1].Data(), wire.TypeConnection, &c); err != nil {
		r.t.Fatal(err)
	}
	return c
}

// Ctrl-C and start again: no scan, nothing twice, what was published meanwhile
// goes out, what was said meanwhile comes in, media still go out.
func TestRestart(t *testing.T) {
	t.Parallel()
	r := newRig(t, sim.Options{})
	r.start()
	r.awaitConnected()
	for n := range 20 {
		r.text(fmt.Sprint("first-", n), "Alice", "alice", fmt.Sprint("first ", n))
	}
	r.final("first-0")
	r.stopWorker()
	logins := r.logins()
	r.say(sim.Message{From: "alice", Type: "text", Text: "while you were away"})
	r.start()
	r.awaitConnected()
	for n := range 5 {
		r.text(fmt.Sprint("second-", n), "Alice", "alice", fmt.Sprint("second ", n))
	}
	r.send(map[string]any{"id": "picture", "to": "Team", "image": map[string]any{"data": pixel, "name": "p.gif"}})
	if d := r.final("picture"); d.State != wire.Sent {
		t.Errorf("an image after the restart: %+v", d)
	}
	r.final("second-4")
	r.noLoginSince(logins)
	if n := len(r.sim.Sent()); n != 26 {
		t.Errorf("WeChat has %d messages, want 26", n)
	}
	r.eventually("what was said meanwhile is there once", func() bool { return len(r.messages()) == 1 })
	for n := range 20 {
		if got := r.final(fmt.Sprint("first-", n)); got.State != wire.Sent || got.PossibleDuplicate {
			t.Errorf("first-%d: %+v", n, got)
		}
	}
}

// A longer horizon is taken over at the next start: nobody could change the
// embedded server's streams while it does not run.
func TestALongerHorizonIsTakenOver(t *testing.T) {
	t.Parallel()
	r := newRig(t, sim.Options{})
	r.start()
	r.awaitConnected()
	r.text("before", "Alice", "alice", "before")
	r.final("before")
	r.stopWorker()
	r.cfg.Horizon = 30 * 24 * time.Hour
	r.start()
	r.awaitConnected()
	stream, err := r.js.Stream(t.Context(), "WECHAT_STATUS")
	if err != nil {
		t.Fatal(err)
	}
	if age := stream.CachedInfo().Config.MaxAge; age != r.cfg.Horizon {
		t.Errorf("records are kept for %s", age)
	}
	if d := r.final("before"); d.State != wire.Sent {
		t.Errorf("the record of before: %+v", d)
	}
}

// Logged out from the phone: a confirmation there is enough, sends wait for it,
// and what was said in the gap is told.
func TestLogoutFromThePhone(t *testing.T) {
	t.Parallel()
	r := newManualRig(t, sim.Options{})
	r.start()
	if c := r.login(""); c.Login == nil || c.Login.QRText == "" || c.UserAction != "scan_qr" || c.Login.ExpiresAt.Before(time.Now()) {
		t.Errorf("no code to scan: %+v", c)
	}
	r.awaitConnected()
	logins := r.logins()
	if err := r.sim.Logout(1101); err != nil {
		t.Fatal(err)
	}
	c := r.awaitState(wire.StateAwaitingConfirm)
	if c.UserAction != "confirm_on_phone" || c.Sending != "held" || c.Reason == nil || c.Reason.Code != "logged_out_by_phone" {
		t.Errorf("after the logout: %+v, reason %+v", c, c.Reason)
	}
	r.wantHealth(200, 503, 503)
	r.text("waits", "Alice", "alice", "waits")
	r.say(sim.Message{From: "alice", Type: "text", Text: "in the gap"})
	r.eventually("it is accepted", func() bool { return r.chain("waits") == "accepted" })
	if err := r.sim.Confirm(); err != nil {
		t.Fatal(err)
	}
	r.awaitConnected()
	r.reckon(0)
	if now := r.logins(); now[1] != logins[1] || now[2] != logins[2]+1 {
		t.Errorf("codes and pushes were %v and are %v", logins, now)
	}
}

// When the phone has forgotten the device, a person has to scan.
func TestForgottenDeviceWantsAScan(t *testing.T) {
	t.Parallel()
	r := newManualRig(t, sim.Options{})
	r.start()
	r.login("")
	r.awaitConnected()
	r.sim.Forget()
	if err := r.sim.Logout(1101); err != nil {
		t.Fatal(err)
	}
	r.text("waits", "Alice", "alice", "waits")
	r.login("")
	r.awaitConnected()
	r.reckon(0)
}

// Another person scans: the backlog is not theirs to send.
func TestAnotherIdentityPausesSending(t *testing.T) {
	t.Parallel()
	r := newManualRig(t, sim.Options{})
	r.start()
	r.login("Anna")
	r.awaitConnected()
	r.sim.Forget()
	if err := r.sim.Logout(1101); err != nil {
		t.Fatal(err)
	}
	r.text("mine", "Alice", "alice", "mine")
	r.login("Mallory")
	c := r.awaitState(wire.StateConnected)
	if c.Sending != "paused" || c.Reason == nil || c.Reason.Code != "identity_changed" || c.Identity == nil || c.Identity.Name != "Mallory" {
		t.Fatalf("after another person's scan: %+v, reason %+v, identity %+v", c, c.Reason, c.Identity)
	}
	r.wantHealth(200, 503, 503)
	r.text("also-mine", "Alice", "alice", "also mine")
	r.eventually("it is accepted", func() bool { return r.chain("also-mine") == "accepted" })
	if n := len(r.sim.Sent()); n != 0 {
		t.Fatalf("%d messages went out under another name", n)
	}
	r.stopWorker() // it is no way around
	r.start()
	r.await("paused", func(c wire.Connection) bool { return c.State == wire.StateConnected && c.Sending == "paused" })
	if _, code := r.ask("login", LoginRequest{Force: true}); code != "" {
		t.Fatalf("login refused: %s", code)
	}
	r.login("Anna")
	r.awaitConnected()
	r.reckon(0)
}

// A restricted account stops all logins until a person forces one, also over a
// restart.
func TestRestrictedAccountIsBlocked(t *testing.T) {
	t.Parallel()
	r := newManualRig(t, sim.Options{})
	r.fault(sim.Fault{On: []string{"synccheck", "webwxsync"}, Do: "ret", Ret: 1102})
	r.start()
	r.login("")
	c := r.awaitState(wire.StateBlocked)
	if c.Reason == nil || c.Reason.Code != "restricted_account" || c.Reason.Class != "account_blocked" || c.Reason.Fix == "" || c.UserAction == "none" {
		t.Errorf("blocked: %+v, reason %+v", c, c.Reason)
	}
	r.text("waits", "Alice", "alice", "waits")
	r.wantHealth(200, 503, 503)
	logins := r.logins()
	r.stopWorker()
	r.start()
	r.awaitState(wire.StateBlocked)
	r.wantHealth(200, 503, 503)
	if _, code := r.ask("login", LoginRequest{}); code != "blocked" {
		t.Errorf("login without force: %q", code)
	}
	r.noLoginSince(logins)
	r.sim.ClearFaults()
	if _, code := r.ask("login", LoginRequest{Force: true}); code != "" {
		t.Fatalf("login with force: %q", code)
	}
	r.login("")
	r.awaitConnected()
	r.reckon(0)
	r.eventually("NATS has the state", func() bool { return r.storedState().State == wire.StateConnected })
}

// logout ends the session for good; login brings a new code.
func TestLogoutAndLoginVerbs(t *testing.T) {
	t.Parallel()
	r := newManualRig(t, sim.Options{})
	r.start()
	r.login("")
	r.awaitConnected()
	if _, code := r.ask("login", LoginRequest{}); code != "already_connected" {
		t.Errorf("login while connected: %q", code)
	}
	if _, code := r.ask("login", map[string]any{"farce": true}); code != "bad_request" {
		t.Errorf("an unknown field: %q", code)
	}
	if _, code := r.ask("logout", map[string]any{}); code != "" {
		t.Fatalf("logout: %q", code)
	}
	r.awaitState(wire.StateLoggedOut)
	r.wantHealth(200, 503, 503)
	r.text("waits", "Alice", "alice", "waits")
	logins := r.logins()
	r.stopWorker()
	r.start()
	r.awaitState(wire.StateLoggedOut)
	r.noLoginSince(logins)
	if _, code := r.ask("login", LoginRequest{}); code != "" {
		t.Fatalf("login: %q", code)
	}
	r.login("")
	r.awaitConnected()
	r.reckon(0)
}
