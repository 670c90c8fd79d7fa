package broker

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/rs/zerolog"
)

// external is a NATS server as a user would run it, with a configuration file.
type external struct {
	config string
	port   int
	ns     *server.Server
}

// newExternal starts a server with JetStream and some configuration more.
func newExternal(t testing.TB, config string) *external {
	t.Helper()
	e := &external{config: fmt.Sprintf("jetstream {store_dir: %q}\n%s", t.TempDir(), config), port: server.RANDOM_PORT}
	e.start(t)
	t.Cleanup(e.stop)
	return e
}

func (e *external) start(t testing.TB) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(file, []byte(e.config), 0o600); err != nil {
		t.Fatal(err)
	}
	opts := must[*server.Options](t)(server.ProcessConfigFile(file))
	opts.Host, opts.Port, opts.NoSigs, opts.NoLog = "127.0.0.1", e.port, true, true
	e.ns = must[*server.Server](t)(server.NewServer(opts))
	e.ns.Start()
	if !e.ns.ReadyForConnections(10 * time.Second) {
		t.Fatal("the external server did not start")
	}
	e.port = opts.Port
}

func (e *external) stop() {
	e.ns.Shutdown()
	e.ns.WaitForShutdown()
}

func (e *external) restart(t testing.TB) {
	t.Helper()
	e.stop()
	e.start(t)
}

func (e *external) url() string { return fmt.Sprintf("nats://127.0.0.1:%d", e.port) }

func (e *external) open(t testing.TB) *Broker {
	t.Helper()
	conn := must[*Conn](t)(Connect(t.Context(), ConnConfig{URLs: e.url(), Name: t.Name(), Log: zerolog.Nop()}))
	t.Cleanup(conn.Close)
	return must[*Broker](t)(Open(t.Context(), conn, NewLayout("wechat", testLimits()), zerolog.Nop()))
}
