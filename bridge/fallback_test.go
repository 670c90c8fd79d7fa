package bridge

import (
	"strings"
	"testing"
	"time"

	"wechat-bridge/bridge/alert"
	"wechat-bridge/bridge/sim"
	"wechat-bridge/bridge/wire"
)

// delivery waits for what a fallback channel gets.
func (s *siren) delivery(t *testing.T) alert.FallbackData {
	t.Helper()
	select {
	case d := <-s.delivered:
		return d
	case <-time.After(patience):
		t.Fatal("nothing came over the fallback channel")
	}
	return alert.FallbackData{}
}

func (s *siren) nothingMore(t *testing.T) {
	t.Helper()
	select {
	case d := <-s.delivered:
		t.Errorf("delivered as well: %+v", d)
	default:
	}
}

// degraded has a worker whose WeChat cannot be reached.
func degraded(t *testing.T, policy string) (*rig, *siren) {
	r, hook := newRig(t, sim.Options{}), newSiren(t)
	r.cfg.Alerts.Fallback, r.cfg.Alerts.FallbackAfter, r.cfg.Alerts.FallbackPolicy = hook.address(), time.Second, policy
	r.start()
	r.awaitConnected()
	r.fault(sim.Fault{On: []string{"*"}, Do: "refuse"})
	r.awaitState(wire.StateReconnecting)
	return r, hook
}

// What matters goes out over the fallback channel once, over a restart, too;
// and to WeChat when that is back, before what is normal.
func TestWhatMattersGoesOutInAnOutage(t *testing.T) {
	t.Parallel()
	r, hook := degraded(t, "also")
	r.text("normal", "Alice", "alice", "no hurry")
	r.text("high", "Alice", "alice", "it burns\n[default] back\x1b[2J", "priority", "high")
	got := hook.delivery(t)
	if got.ID != "high" || got.Account != "default" || got.Kind != wire.KindText || !strings.HasPrefix(got.Text, "it burns\n") || strings.Contains(got.Text, "\x1b") {
		t.Errorf("delivered %+v", got)
	}
	r.eventually("its record says so", func() bool {
		d, _ := r.last("wechat.status.default.delivery.high")
		return d.Code == "sent_by_fallback" && d.Degraded && !d.Final
	})
	r.stopWorker()
	r.start()
	r.text("later", "Alice", "alice", "still", "priority", "high")
	if d := hook.delivery(t); d.ID != "later" {
		t.Errorf("after the restart %+v", d)
	}
	r.sim.ClearFaults()
	if d := r.final("high"); d.State != wire.Sent || !d.Degraded || d.PossibleDuplicate {
		t.Errorf("%+v", d)
	}
	if d := r.final("normal"); d.State != wire.Sent || d.Degraded {
		t.Errorf("%+v", d)
	}
	hook.nothingMore(t)
	r.reckon(0)
}

// With instead it ends there, and WeChat does not get it.
func TestWhatMattersGoesOutInstead(t *testing.T) {
	t.Parallel()
	r, hook := degraded(t, "instead")
	r.text("high", "Alice", "alice", "it burns", "priority", "high")
	r.text("normal", "Alice", "alice", "no hurry")
	hook.delivery(t)
	d := r.final("high")
	if d.State != wire.Cancelled || d.Code != "sent_by_fallback" || !d.Degraded || !d.Certain {
		t.Errorf("%+v", d)
	}
	r.sim.ClearFaults()
	r.final("normal")
	hook.nothingMore(t)
	r.reckon(0)
}

// Off, or without a channel, it only overtakes.
func TestNoFallbackWhereThereIsNone(t *testing.T) {
	t.Parallel()
	for _, c := range []AlertConfig{{Fallback: "webhook+https://a.example/1", FallbackPolicy: "off"}, {Alert: "webhook+https://a.example/1", FallbackPolicy: "also"}} {
		if (&alerting{w: &Worker{cfg: Config{Alerts: c}}}).fallback() != nil {
			t.Errorf("%+v has a fallback", c)
		}
	}
}
