package bridge

import (
	"fmt"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"wechat-bridge/bridge/sim"
	"wechat-bridge/bridge/wire"
)

// natsServer is a NATS server of the user's own, with JetStream and without
// credentials.
type natsServer struct {
	t    *testing.T
	opts server.Options
	ns   *server.Server
}

func newNATS(t *testing.T) *natsServer {
	t.Helper()
	s := &natsServer{t: t, opts: server.Options{
		Host: "127.0.0.1", Port: freePort(t), JetStream: true, StoreDir: filepath.Join(t.TempDir(), "js"), NoLog: true, NoSigs: true,
	}}
	s.start()
	t.Cleanup(s.stop)
	return s
}

func freePort(t *testing.T) int {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port
}

func (s *natsServer) start() {
	s.t.Helper()
	opts := s.opts
	ns, err := server.NewServer(&opts)
	if err != nil {
		s.t.Fatal(err)
	}
	ns.Start()
	if !ns.ReadyForConnections(patience) {
		s.t.Fatal("the NATS server is not ready")
	}
	s.ns = ns
}

func (s *natsServer) stop() {
	s.ns.Shutdown()
	s.ns.WaitForShutdown()
}

// The user's own NATS server: it works, its restart is said, survived, and
// loses nothing.
func TestExternalNATSRestarts(t *testing.T) {
	t.Parallel()
	own := newNATS(t)
	r := newRig(t, sim.Options{})
	r.cfg.NATS.URL = own.ns.ClientURL()
	r.start()
	r.awaitConnected()
	r.text("before", "Alice", "alice", "before")
	r.final("before")
	logins := r.logins()
	r.wantHealth(200, 200, 200)
	r.fault(sim.Fault{On: []string{"webwxsendmsg"}, Do: "delay", Delay: 50 * time.Millisecond})
	r.flood(30, "under-way-", "Alice", "alice") // the restart comes in the middle of these

	own.stop()
	r.eventually("the loss of NATS is said", func() bool { s, _ := r.get("/readyz"); return s == 503 })
	status, h := r.health()
	if status != 503 || h.Process.Status != "fail" || h.Process.Reason == "" || h.Connection.Status != "pass" {
		t.Errorf("/healthz is %d: %+v", status, h)
	}
	r.wantHealth(200, 503, 503)
	r.say(sim.Message{From: "alice", Type: "text", Text: "while NATS is away"})
	own.start()
	r.eventually("it is ready again", func() bool { s, _ := r.get("/readyz"); return s == 200 })
	r.eventually("a guest is there again", func() bool { return r.nc.IsConnected() && r.owner.IsConnected() })
	r.text("after", "Alice", "alice", "after")
	r.reckon(0)
	r.noLoginSince(logins)
}

// NATS that is not there yet is waited for, visibly.
func TestNATSThatIsNotThereYet(t *testing.T) {
	t.Parallel()
	own := newNATS(t)
	r := newRig(t, sim.Options{})
	r.cfg.NATS.URL, r.cfg.HTTP = own.ns.ClientURL(), fmt.Sprintf("127.0.0.1:%d", freePort(t))
	own.stop()
	r.launch()
	r.info.HTTP = r.cfg.HTTP
	r.eventually("the wait is visible", func() bool {
		conn, err := net.Dial("tcp", r.cfg.HTTP)
		if err != nil {
			return false
		}
		conn.Close()
		s, h := r.health()
		return s == 503 && h.Process.Status == "fail" && h.Process.Reason != ""
	})
	r.wantHealth(200, 503, 503)
	own.start()
	r.awaitReady()
	r.awaitConnected()
	r.text("hi", "Alice", "alice", "hi")
	r.reckon(0)
}

// Two workers for one account: the second one waits and says so, and takes over
// when the first one ends, with the same session and nothing twice.
func TestSecondWorkerWaitsAndTakesOver(t *testing.T) {
	t.Parallel()
	own := newNATS(t)
	r := newRig(t, sim.Options{})
	r.cfg.NATS.URL = own.ns.ClientURL()
	r.start()
	r.awaitConnected()
	second := &rig{t: t, sim: r.sim, cfg: r.cfg, log: r.log}
	second.cfg.DataDir = filepath.Join(t.TempDir(), "second")
	second.cfg.SessionKey = filepath.Join(r.cfg.DataDir, "session.key")
	second.start()
	second.eventually("it stands by", func() bool { _, h := second.health(); return h.Connection.State == "standby" })
	if s, body := second.get("/readyz"); s != 503 {
		t.Errorf("/readyz of the one that waits is %d: %s", s, body)
	}
	if s, h := second.health(); s != 200 || h.Process.Reason == "" {
		t.Errorf("/healthz of the one that waits is %d: %+v", s, h)
	}
	r.text("first", "Alice", "alice", "first")
	r.final("first")
	logins := r.logins()
	r.fault(sim.Fault{On: []string{"webwxsendmsg"}, Do: "delay", Delay: 20 * time.Millisecond})
	r.flood(40, "handed-over-", "Alice", "alice")
	commands := r.commands
	r.stopWorker()
	second.awaitConnected()
	second.commands = commands
	second.text("last", "Alice", "alice", "last")
	if d := second.final("last"); d.State != wire.Sent {
		t.Errorf("%+v", d)
	}
	second.reckon(0)
	second.noLoginSince(logins)
}

// WeChat tells again what came after the last cursor that was saved: after a
// crash between the event and its cursor, or with an older session. The event
// is stored once, and its medium is fetched once.
func TestRepeatsAfterARestartAreNotFetchedAgain(t *testing.T) {
	t.Parallel()
	own := newNATS(t)
	r := newRig(t, sim.Options{})
	r.cfg.NATS.URL = own.ns.ClientURL()
	r.start()
	r.awaitConnected()
	kv, err := r.js.KeyValue(t.Context(), "wechat_sessions")
	if err != nil {
		t.Fatal(err)
	}
	before, err := kv.Get(t.Context(), "default")
	if err != nil {
		t.Fatal(err)
	}
	r.say(sim.Message{From: "alice", Type: "image", Name: "p.gif", Data: []byte("GIF89a")})
	r.eventually("the picture is there", func() bool { return len(r.messages()) == 1 })
	r.stopWorker()
	admin, err := nats.Connect(own.ns.ClientURL(), nats.Timeout(patience))
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	if _, err := admin.Request("$KV.wechat_sessions.default", before.Value(), patience); err != nil {
		t.Fatal(err)
	}
	fetched, told := r.sim.Requests("webwxgetmsgimg"), r.sim.Requests("webwxsync")
	r.start()
	r.awaitConnected()
	r.say(sim.Message{From: "alice", Type: "text", Text: "after"})
	r.eventually("the next message is there", func() bool { return len(r.messages()) == 2 })
	if n := r.sim.Requests("webwxgetmsgimg") - fetched; n != 0 || r.sim.Requests("webwxsync") == told {
		t.Errorf("the picture was fetched %d times more", n)
	}
}
