package main

import (
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"wechat-bridge/bridge/sim"
)

// TestNATSGoesAndComesBack is an outage of somebody's own NATS server.
func TestNATSGoesAndComesBack(t *testing.T) {
	t.Parallel()
	store := t.TempDir()
	ns := natsServerIn(t, server.Options{Port: -1, StoreDir: store})
	port := ns.Addr().(*net.TCPAddr).Port
	b := newBench(t, sim.Options{})
	w := b.run("--nats", ns.ClientURL())
	b.send(w, "before", "Alice", "alice", "one")
	b.accepted(1)

	ns.Shutdown()
	ns.WaitForShutdown()
	w.says(t, "Waiting for NATS")
	natsServerIn(t, server.Options{Port: port, StoreDir: store})
	w.says(t, "NATS is there")
	b.waitFor(w.nc.IsConnected)
	b.send(w, "after", "Alice", "alice", "two")
	b.accepted(2)
	b.judge(w, 1)
	if n := strings.Count(w.err.String(), "\n"); n > 25 {
		t.Errorf("%d log lines for one outage:\n%s", n, w.err)
	}

	// The worker goes; what it stored last is told, and that it is old.
	w.signal(t, syscall.SIGTERM)
	w.endsWith(t, exitGood)
	r := runs(t, "status", "--nats", w.url)
	if r.code != exitUnhealthy || !strings.Contains(r.out, "stopped since") || !strings.Contains(r.err, "no worker answers; this is what was stored at") {
		t.Errorf("status without a worker: %d\n%s%s", r.code, r.out, r.err)
	}
	failing(t, exitFailed, []string{"no worker answers"}, "logout", "--nats", w.url)
}

func TestNATSWithoutABridge(t *testing.T) {
	t.Parallel()
	ns := natsServer(t, -1, "", "")
	for _, args := range [][]string{
		{"status"}, {"get", "x"}, {"watch", "--history"}, {"send", "--to", "x", "--text", "y"},
	} {
		failing(t, exitFailed, []string{"no bridge was ever here", "start `wechat-bridge run` first"}, append(args, "--nats", ns.ClientURL())...)
	}
}

func TestRefusedAccount(t *testing.T) {
	t.Parallel()
	b := newBench(t, sim.Options{})
	if _, err := b.sim.AddFault(sim.Fault{On: []string{"synccheck"}, Do: "ret", Ret: 1102}); err != nil {
		t.Fatal(err)
	}
	w := start(t, b.args()...)
	url := w.says(t, `NATS +(nats://\S+)`)
	w.says(t, `WeChat refuses this account`)
	w.says(t, `(?m)^  why   .*restricted`)
	w.says(t, `(?m)^  fix   .*another account`)
	w.says(t, `(?m)^  then  wechat-bridge login --force`)
	r := runs(t, "status", "--nats", url)
	if r.code != exitUnhealthy || !strings.Contains(r.out, "blocked since") || !strings.Contains(r.out, "restricted_account") {
		t.Errorf("status: %d\n%s%s", r.code, r.out, r.err)
	}
	failing(t, exitFailed, []string{"only a forced login"}, "login", "--nats", url)
	if st := b.sim.State(); st.Logins != 1 {
		t.Errorf("%d logins: more make a restriction worse", st.Logins)
	}
}

// What a guest is refused, over and over, is a few lines of the log.
func TestRefusedGuestsAreAFewLines(t *testing.T) {
	t.Parallel()
	w := newBench(t, sim.Options{}).run()
	before := strings.Count(w.err.String(), "Violation")
	for i := range 60 {
		nc, err := nats.Connect(w.url, nats.Name("guest"), nats.NoReconnect())
		if err != nil {
			t.Fatal(err)
		}
		refused := make(chan error, 1)
		nc.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err })
		if err := nc.Publish(fmt.Sprintf("wechat.outbox.x%d", i), nil); err != nil {
			t.Fatal(err)
		}
		select {
		case <-refused:
		case <-time.After(patience):
			t.Fatal("nobody refused it")
		}
		nc.Close()
	}
	w.signal(t, syscall.SIGTERM)
	w.endsWith(t, exitGood)
	if n := strings.Count(w.err.String(), "Violation") - before; n < 1 || n > 8 {
		t.Errorf("%d lines for 60 refusals:\n%s", n, w.err)
	}
}
