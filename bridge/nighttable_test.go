package bridge

import (
	"errors"
	"strings"
	"testing"
	"time"

	"wechat-bridge/bridge/alert"
	"wechat-bridge/bridge/monitor"
	"wechat-bridge/bridge/sim"
	"wechat-bridge/bridge/sim/verify"
	"wechat-bridge/bridge/wire"
)

func TestStripShowsTheWorstOfEachStretch(t *testing.T) {
	p, w, f := monitor.Pass, monitor.Warn, monitor.Fail
	for want, statuses := range map[string][]string{
		"":     nil,
		"·█":   {p, f},
		"·█▒":  {p, p, p, f, w, p},
		"█···": {f, p, p, p, p, p, p, p},
	} {
		if got := strip(statuses, 4); got != want && strip(statuses, 3) != want {
			t.Errorf("%v: %q, want %q", statuses, got, want)
		}
	}
}

// The night fails for each thing that is not as told.
func TestNightIsJudged(t *testing.T) {
	good := func() (*night, verify.Report) {
		s, err := sim.Start(sim.Options{Listen: "127.0.0.1:0"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return &night{
			demo: &demo{sim: s}, before: s.State(), lost: 1, away: time.Second, health: []string{monitor.Fail, monitor.Pass},
			alerts: []alert.Kind{alert.KindHeld, alert.KindBack}, now: wire.Connection{State: wire.StateConnected, Sending: wire.SendingFlowing},
		}, verify.Report{Commands: 2, ByState: map[wire.State]int{wire.Sent: 2}}
	}
	if n, r := good(); n.judge(r) != nil {
		t.Errorf("a good night: %v", n.judge(r))
	}
	for what, spoil := range map[string]func(*night, *verify.Report){
		"do not agree":     func(_ *night, r *verify.Report) { r.OrderBreaks = []string{"x"} },
		"did not go out":   func(_ *night, r *verify.Report) { r.Commands++ },
		"it ends blocked":  func(n *night, _ *verify.Report) { n.now.State = wire.StateBlocked },
		"thrown away":      func(n *night, _ *verify.Report) { n.before.Logins = -1 },
		"did not tell":     func(n *night, _ *verify.Report) { n.health = []string{monitor.Pass} },
		"still bad":        func(n *night, _ *verify.Report) { n.health = []string{monitor.Fail} },
		"the alerts are h": func(n *night, _ *verify.Report) { n.alerts = n.alerts[:1] },
	} {
		n, r := good()
		spoil(n, &r)
		if err := n.judge(r); !errors.Is(err, ErrDemo) || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
