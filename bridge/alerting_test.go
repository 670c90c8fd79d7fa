package bridge

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"wechat-bridge/bridge/alert"
	"wechat-bridge/bridge/sim"
	"wechat-bridge/bridge/wire"
)

// siren is a webhook that notes what it gets.
type siren struct {
	*httptest.Server
	heard     chan alert.Alert
	delivered chan alert.FallbackData
}

func newSiren(t *testing.T) *siren {
	s := &siren{heard: make(chan alert.Alert, 100), delivered: make(chan alert.FallbackData, 100)}
	s.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var e struct{ Data alert.Alert }
		var d alert.FallbackData
		if _, err := wire.OpenAs(body, alert.TypeFallback, &d); err == nil {
			s.delivered <- d
			return
		}
		if err := json.Unmarshal(body, &e); err != nil {
			t.Errorf("a webhook with %q: %v", body, err)
		}
		s.heard <- e.Data
	}))
	t.Cleanup(s.Close)
	return s
}

// address is that of the channel, with a secret that signs.
func (s *siren) address() string {
	return "webhook+" + s.URL + "/hook#whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
}

func (s *siren) next(t *testing.T, want alert.Kind) alert.Alert {
	t.Helper()
	select {
	case a := <-s.heard:
		if a.Kind != want {
			t.Fatalf("told %s (%s), want %s", a.Kind, a.Title, want)
		}
		return a
	case <-time.After(patience):
		t.Fatalf("nobody was told of %s", want)
	}
	return alert.Alert{}
}

// An outage is told once, and once that it is over; both are stored.
func TestPeopleAreToldOnce(t *testing.T) {
	t.Parallel()
	r, hook := newRig(t, sim.Options{}), newSiren(t)
	r.cfg.Alerts.Alert, r.cfg.Alerts.AlertAfter = hook.address(), 3*time.Second
	r.start()
	r.awaitConnected()
	hook.next(t, alert.KindLogin) // the first login wanted a person, however quick
	hook.next(t, alert.KindBack)
	r.fault(sim.Fault{On: []string{"*"}, Do: "refuse"})
	r.awaitState(wire.StateReconnecting)
	r.text("waits", "Alice", "alice", "hello")
	held := hook.next(t, alert.KindHeld)
	if held.Reason == nil || held.Reason.Class != "network" || held.Account != "default" || !held.Simulated {
		t.Errorf("told %+v", held)
	}
	r.sim.ClearFaults()
	back := hook.next(t, alert.KindBack)
	if back.Outage != held.Outage || back.DownMS < 3000 || back.Waited != 1 {
		t.Errorf("told %+v after %+v", back, held)
	}
	var stored []string
	r.eventually("all four are stored", func() bool {
		stored = nil
		for _, s := range r.stored("WECHAT_STATUS", "wechat.status.default.alert.>") {
			if s.Subject() != "wechat.status.default.alert.test" {
				stored = append(stored, s.Subject())
			}
		}
		return len(stored) >= 4
	})
	if got := strings.Join(stored, " "); got != "wechat.status.default.alert.login wechat.status.default.alert.back wechat.status.default.alert.held wechat.status.default.alert.back" {
		t.Errorf("stored %s", got)
	}
	select {
	case more := <-hook.heard:
		t.Errorf("told again: %+v", more)
	default:
	}
}

// A person who is needed is told at once, with what to do.
func TestAPersonIsCalledAtOnce(t *testing.T) {
	t.Parallel()
	r, hook := newManualRig(t, sim.Options{}), newSiren(t)
	file := filepath.Join(t.TempDir(), "alerts")
	if err := os.WriteFile(file, []byte(hook.address()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.cfg.Alerts.AlertFile, r.cfg.PublicURL = file, "https://bridge.example/"
	r.start()
	a := hook.next(t, alert.KindLogin)
	if a.UserAction != "scan_qr" || !strings.HasPrefix(a.Link, "https://bridge.example/") || !strings.Contains(a.Text, "https://bridge.example/") {
		t.Errorf("told %+v", a)
	}
	answer, code := r.ask("alert.test", nil)
	var results []AlertResult
	if err := json.Unmarshal(answer, &results); err != nil || code != "" || len(results) != 2 || !results[0].OK || !results[1].OK {
		t.Fatalf("alert.test: %s, %s", answer, code)
	}
	hook.next(t, alert.KindTest)
	hook.Close()
	answer, _ = r.ask("alert.test", nil)
	if err := json.Unmarshal(answer, &results); err != nil || results[0].OK || results[0].Error == "" {
		t.Errorf("a channel that is gone: %s", answer)
	}
	if strings.Contains(string(answer), "whsec") || strings.Contains(string(answer), hook.URL) {
		t.Errorf("the answer shows the address: %s", answer)
	}
}

func TestWrongAlertAddresses(t *testing.T) {
	for key, spoil := range map[string]func(*AlertConfig){
		"alert":          func(c *AlertConfig) { c.Alert = "ftp://me:hunter2@example.org" },
		"alert-file":     func(c *AlertConfig) { c.AlertFile = filepath.Join(t.TempDir(), "none") },
		"fallback-file":  func(c *AlertConfig) { c.FallbackFile = t.TempDir() },
		"alert-after":    func(c *AlertConfig) { c.AlertAfter = 0 },
		"fallback-after": func(c *AlertConfig) { c.FallbackAfter = -time.Second },
	} {
		c := goodConfig()
		spoil(&c.Alerts)
		var bad *ConfigError
		err := c.Check()
		if !errors.As(err, &bad) || bad.Key != key || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v", key, err)
		}
	}
}

// An address of both lists is one channel.
func TestOneChannelForBoth(t *testing.T) {
	c := AlertConfig{Alert: "webhook+https://a.example/1 webhook+https://b.example/2", Fallback: "webhook+https://b.example/2"}
	got, err := c.targets()
	if err != nil || len(got) != 2 || got[0].Fallback || !got[0].Alerts || !got[1].Fallback || !got[1].Alerts {
		t.Errorf("%+v, %v", got, err)
	}
}
