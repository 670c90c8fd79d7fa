package main

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"wechat-bridge/bridge/sim"
	"wechat-bridge/bridge/wire"
)

// getJSON asks an HTTP port; what cannot be reached has code 0.
func getJSON(t *testing.T, url string, into any) int {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		t.Fatalf("%s: %v", url, err)
	}
	return resp.StatusCode
}

// becomes waits for an answer, longer than others wait: a frozen WeChat is
// noticed when a poll has been silent for its hold time and ten seconds.
func becomes(t *testing.T, url string, want int) (h wire.Health) {
	t.Helper()
	for deadline := time.Now().Add(2 * patience); ; time.Sleep(100 * time.Millisecond) {
		if getJSON(t, url, &h) == want {
			return h
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s never answered %d: %+v", url, want, h)
		}
	}
}

// TestFrozenProcessIsSeen stops WeChat's process with its sockets open: no
// connection breaks, and all the same nobody is told that all is well.
func TestFrozenProcessIsSeen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.pem")
	wechat := start(t, "sim", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0", "--ca-file", ca, "--auto-login", "--hold", "1s", "--echo", "off")
	control := wechat.says(t, `Control API: +(http://\S+)/sim/v1/state`)
	endpoint := wechat.says(t, `Simulated WeChat: +(https://\S+)`)
	w := start(t, "run", "--data-dir", filepath.Join(dir, "data"), "--nats-listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--pace", "off",
		"--wechat-endpoint", endpoint, "--wechat-ca", ca)
	url, health := w.says(t, `NATS +(nats://\S+)`), w.says(t, `HTTP +(http://\S+)`)
	w.says(t, "Connected as")
	if r := runs(t, "send", "--nats", url, "--to", "Alice", "--text", "before", "--wait"); r.code != exitGood {
		t.Fatalf("%s%s", r.out, r.err)
	}

	wechat.signal(t, syscall.SIGSTOP)
	began := time.Now()
	h := becomes(t, health, http.StatusServiceUnavailable)
	if took := time.Since(began); took > 45*time.Second {
		t.Errorf("noticed after %s", took)
	}
	if h.Connection.State != wire.StateReconnecting || h.Connection.Reason == "" {
		t.Errorf("health is %+v", h.Connection)
	}
	if r := runs(t, "send", "--nats", url, "--to", "Alice", "--text", "during"); r.code != exitGood {
		t.Fatalf("%s%s", r.out, r.err)
	}

	wechat.signal(t, syscall.SIGCONT)
	becomes(t, health, http.StatusOK)
	var texts []string
	for deadline := time.Now().Add(patience); len(texts) < 2 && time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		var sent []sim.Entry
		getJSON(t, control+"/sim/v1/sent", &sent)
		texts = nil
		for _, e := range sent {
			texts = append(texts, e.Content)
		}
	}
	var st sim.State
	getJSON(t, control+"/sim/v1/state", &st)
	if got := strings.Join(texts, " "); got != "before during" || st.Logins != 1 {
		t.Errorf("WeChat has %q and saw %d logins", got, st.Logins)
	}
}
