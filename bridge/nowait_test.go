package bridge

import (
	"encoding/json"
	"testing"
	"time"

	"wechat-bridge/bridge/sim"
	"wechat-bridge/bridge/wire"
)

// The answers of pause and resume tell the state after them.
func TestPauseAnswersWithItsEffect(t *testing.T) {
	t.Parallel()
	r := newRig(t, sim.Options{})
	r.start()
	r.awaitConnected()
	for n := range 20 {
		verb, want := "pause", wire.SendingPaused
		if n%2 == 1 {
			verb, want = "resume", wire.SendingFlowing
		}
		answer, code := r.ask(verb, struct{}{})
		var c wire.Connection
		if err := json.Unmarshal(answer, &c); err != nil || code != "" || c.Sending != want {
			t.Fatalf("%s: sending %q, code %q, %v", verb, c.Sending, code, err)
		}
	}
}

// --recipient-wait 0 is no wait, not the default of an hour.
func TestNoWaitForARecipient(t *testing.T) {
	t.Parallel()
	r := newRig(t, sim.Options{})
	r.cfg.RecipientWait = 0
	r.start()
	r.awaitConnected()
	r.text("known", "Alice", "alice", "hi") // the contacts are there
	r.final("known")
	r.send(map[string]any{"id": "nobody", "to": "Nobody At All", "text": "hi"})
	if d := r.final("nobody"); d.State != wire.Rejected || d.Code != "unknown_recipient" {
		t.Errorf("to nobody: %+v", d)
	}
}

// --grace 0 is no grace, not the default of 40 s.
func TestNoGrace(t *testing.T) {
	t.Parallel()
	r := newRig(t, sim.Options{})
	r.cfg.Grace = 0
	r.start()
	r.awaitConnected()
	r.fault(sim.Fault{On: []string{"webwxsendmsg"}, Do: "hang"})
	r.send(map[string]any{"id": "open", "to": "Alice", "text": "hi"})
	r.eventually("it is in flight", func() bool { return r.sim.Faults()[0].Hits == 1 })
	begin := time.Now()
	r.stopWorker()
	if d := time.Since(begin); d > 20*time.Second {
		t.Errorf("the shutdown took %s", d)
	}
}
