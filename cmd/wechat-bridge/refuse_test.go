package main

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"wechat-bridge/bridge/sim"
)

// refusal runs `run` with flags that cannot work on a bench.
func (b *bench) refusal(want int, sentences []string, more ...string) {
	b.t.Helper()
	failing(b.t, want, sentences, b.args(more...)...)
}

func TestRunRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	b := newBench(t, sim.Options{})
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	addr := taken.Addr().String()
	dir := t.TempDir()
	write := func(path, text string) string {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	file := write("file", "")
	newer := filepath.Dir(write("newer/version", "99\n"))
	garbled := filepath.Dir(write("garbled/version", "abc\n"))
	badKey := write("bad.key", "no key\n")
	noNATS := filepath.Dir(write("no-nats/nats", "a file\n"))
	noStreams := filepath.Dir(filepath.Dir(write("no-streams/nats/jetstream", "a file\n")))
	for name, c := range map[string]struct {
		says []string
		args []string
	}{
		"http port":        {[]string{"--http: " + addr + " is in use", "choose another --http"}, []string{"--http", addr}},
		"nats port":        {[]string{"--nats-listen: " + addr + " is in use", "choose another --nats-listen"}, []string{"--nats-listen", addr}},
		"no such address":  {[]string{"--http: cannot listen on 192.0.2.1:1"}, []string{"--http", "192.0.2.1:1"}},
		"nats no address":  {[]string{"--nats-listen: cannot listen on 192.0.2.1:1"}, []string{"--nats-listen", "192.0.2.1:1"}},
		"folder is a file": {[]string{"--data-dir", "choose another --data-dir"}, []string{"--data-dir", file}},
		"below a file":     {[]string{"--data-dir", "choose another --data-dir"}, []string{"--data-dir", filepath.Join(file, "data")}},
		"newer folder":     {[]string{"newer wechat-bridge (layout 99", "choose another --data-dir"}, []string{"--data-dir", newer}},
		"garbled version":  {[]string{"not a number", "abc"}, []string{"--data-dir", garbled}},
		"nats is a file":   {[]string{"--data-dir: " + noNATS, "not a directory", "choose another --data-dir"}, []string{"--data-dir", noNATS}},
		"no streams":       {[]string{"--data-dir: " + noStreams, "not a directory", "choose another --data-dir"}, []string{"--data-dir", noStreams}},
		"no CA":            {[]string{"--wechat-ca", "is the simulator running?"}, []string{"--wechat-ca", filepath.Join(dir, "missing.pem")}},
		"CA is none":       {[]string{"--wechat-ca", "no certificate"}, []string{"--wechat-ca", badKey}},
		"no session key":   {[]string{"--session-key-file"}, []string{"--session-key-file", filepath.Join(dir, "missing.key")}},
		"bad session key":  {[]string{"--session-key-file"}, []string{"--session-key-file", badKey}},
	} {
		t.Run(name, func(t *testing.T) {
			b := &bench{t: t, sim: b.sim, dir: filepath.Join(dir, strings.ReplaceAll(name, " ", "-")), ca: b.ca}
			b.refusal(exitUsage, c.says, c.args...)
		})
	}
}

func TestSecondRunOnTheSameFolder(t *testing.T) {
	t.Parallel()
	b := newBench(t, sim.Options{})
	w := b.run()
	b.refusal(exitUsage, []string{"is in use by another wechat-bridge", "process", "choose another --data-dir"})
	w.signal(t, syscall.SIGTERM)
	w.endsWith(t, exitGood)

	// The session is there: with another key it must not be overwritten.
	key := filepath.Join(b.dir, "session.key")
	if err := os.Rename(key, key+".away"); err != nil {
		t.Fatal(err)
	}
	b.refusal(exitUsage, []string{"--session-key-file", "written with another key"})
}

// natsServer is somebody's own NATS server, with a user if the name is given.
func natsServer(t *testing.T, port int, user, password string) *server.Server {
	t.Helper()
	return natsServerIn(t, server.Options{Port: port, StoreDir: t.TempDir(), Username: user, Password: password})
}

func natsServerIn(t *testing.T, opts server.Options) *server.Server {
	t.Helper()
	opts.Host, opts.JetStream, opts.NoSigs = "127.0.0.1", true, true
	ns, err := server.NewServer(&opts)
	if err != nil {
		t.Fatal(err)
	}
	ns.Start()
	t.Cleanup(func() { ns.Shutdown(); ns.WaitForShutdown() })
	if !ns.ReadyForConnections(patience) {
		t.Fatal("the NATS server is not ready")
	}
	return ns
}

func TestWrongCredentials(t *testing.T) {
	t.Parallel()
	ns := natsServer(t, -1, "me", "secret")
	b := newBench(t, sim.Options{})
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("wrong\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, more := range [][]string{nil, {"--nats-user", "me", "--nats-password-file", password}} {
		b.refusal(exitUsage, []string{"NATS", "uthorization"}, append(more, "--nats", ns.ClientURL())...)
	}
	failing(t, exitUsage, []string{"uthorization"}, "status", "--nats", ns.ClientURL())

	if err := os.WriteFile(password, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w := start(t, b.args("--nats", ns.ClientURL(), "--nats-user", "me", "--nats-password-file", password)...)
	w.says(t, "NATS .*your server")
	w.says(t, "Connected as")
}

// A user that may not do what a worker does is told which right is missing.
func TestMissingRights(t *testing.T) {
	t.Parallel()
	guest := newBench(t, sim.Options{}).run().url
	limited := natsServerIn(t, server.Options{Port: -1, StoreDir: t.TempDir(), NoAuthUser: "me", Users: []*server.User{{
		Username: "me", Password: "me", Permissions: &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{"$KV.>"}}},
	}}})
	none, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	none.Start()
	t.Cleanup(func() { none.Shutdown(); none.WaitForShutdown() })
	if !none.ReadyForConnections(patience) {
		t.Fatal("the NATS server is not ready")
	}
	b := newBench(t, sim.Options{})
	b.refusal(exitUsage, []string{"lacks a right", "Permissions Violation for", "--nats-user", "guests of a bridge's own server"}, "--nats", guest)
	b.refusal(exitUsage, []string{"lacks a right", "Permissions Violation for Publish", "$KV.wechat_leases."}, "--nats", limited.ClientURL())
	b.refusal(exitUsage, []string{"no JetStream"}, "--nats", none.ClientURL())
}

func TestAnotherLayoutIsRefusedWithTheLineThatMendsIt(t *testing.T) {
	t.Parallel()
	ns := natsServer(t, -1, "", "")
	nc, err := nats.Connect(ns.ClientURL(), nats.Timeout(patience))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "WECHAT_SEND", Subjects: []string{"wechat.send", "wechat.send.*"}, MaxMsgs: 7})
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t, sim.Options{})
	b.refusal(exitUsage, []string{"stream WECHAT_SEND has ", "the bridge needs", "\n  nats stream "}, "--nats", ns.ClientURL())
}

func TestNATSThatComesLaterIsWaitedFor(t *testing.T) {
	t.Parallel()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t, sim.Options{})
	url := "nats://127.0.0.1:" + strconv.Itoa(port)
	w := start(t, b.args("--nats", url)...)
	w.says(t, "Waiting for NATS")
	natsServer(t, port, "", "")
	w.says(t, "Connected as")
	w.signal(t, syscall.SIGINT)
	w.endsWith(t, exitGood)
}

func TestRunThatWaitsForNATSCanBeLeft(t *testing.T) {
	t.Parallel()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t, sim.Options{})
	w := start(t, b.args("--nats", "nats://127.0.0.1:"+strconv.Itoa(port))...)
	w.says(t, "Waiting for NATS")
	began := time.Now()
	w.signal(t, syscall.SIGINT)
	w.endsWith(t, exitGood)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
}

func TestSimulatorThatIsNotThereIsTriedAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t, sim.Options{})
	if _, err := b.sim.AddFault(sim.Fault{On: []string{"*"}, Do: "refuse"}); err != nil {
		t.Fatal(err)
	}
	w := start(t, b.args()...)
	w.says(t, "WeChat cannot be reached")
	b.sim.ClearFaults()
	w.says(t, "Connected as")
	if n := strings.Count(w.err.String(), "\n"); n > 12 {
		t.Errorf("%d log lines for a short outage:\n%s", n, w.err)
	}
}
