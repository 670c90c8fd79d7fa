package broker

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"
)

const testPassword = "s3cret-of-the-bridge"

// TestMain looks for leaked goroutines. The embedded server leaves a few that
// are the process's own, not a server's; nats.go leaves one per connection that
// published asynchronously (objects), if it was closed early.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreTopFunction("github.com/nats-io/nats-server/v2/server.init.0.func1"),
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*Server).internalSendLoop"),
		goleak.IgnoreTopFunction("github.com/nats-io/nats.go/jetstream.(*jetStream).resetPendingAcksOnReconnect"),
	)
}

// testLimits keep the tests' streams small.
func testLimits() Limits {
	l := DefaultLimits()
	l.SendBytes, l.OutboxBytes, l.EventBytes = 16*mib, 16*mib, 16*mib
	l.MediaBytes, l.UploadBytes = 64*mib, 64*mib
	return l
}

func startServer(t testing.TB, change ...func(*ServerConfig)) *Server {
	t.Helper()
	cfg := ServerConfig{
		Listen: "127.0.0.1:0", StoreDir: t.TempDir(), BridgePassword: testPassword, Prefix: "wechat",
		NoSync: true, Log: zerolog.Nop(),
	}
	for _, c := range change {
		c(&cfg)
	}
	s, err := StartServer(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func connect(t testing.TB, s *Server) *Conn {
	t.Helper()
	c, err := Connect(t.Context(), ConnConfig{
		Server: s, User: BridgeUser, Password: testPassword, Name: t.Name(), InboxPrefix: BridgeInbox, Log: zerolog.Nop(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func openBroker(t testing.TB, s *Server) *Broker {
	t.Helper()
	b, err := Open(t.Context(), connect(t, s), NewLayout("wechat", testLimits()), zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// account is the account "default" with an epoch of its own.
func account(t testing.TB, b *Broker) *Account {
	t.Helper()
	a, err := b.Account("default", AlwaysHeld(1))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func guest(t testing.TB, s *Server) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	nc, err := nats.Connect(s.URL(), nats.MaxReconnects(0), nats.Timeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	return nc, js
}

// eventually waits for a fact.
func eventually(t testing.TB, what string, fact func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for !fact() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain for: %s", what)
		}
	}
}

func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// receive waits for one value, but not for ever.
func receive[T any](t testing.TB, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(15 * time.Second):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}
