package broker

import (
	"bytes"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"wechat-bridge/bridge/wire"
)

// ownServer is an embedded server on a folder, which can be started again.
func ownServer(t testing.TB, store string) (*Server, *Conn) {
	t.Helper()
	s := startServer(t, func(c *ServerConfig) { c.StoreDir = store })
	return s, connect(t, s)
}

// A longer horizon is taken over by the embedded server's streams at the next
// start, nothing is lost, and the log says what was changed.
func TestLongerHorizonOnTheEmbeddedServer(t *testing.T) {
	store := t.TempDir()
	s, conn := ownServer(t, store)
	b := must[*Broker](t)(Open(t.Context(), conn, NewLayout("wechat", testLimits()), zerolog.Nop()))
	if _, stored, err := account(t, b).Ledger().Append(t.Context(), wire.Stored{Token: "k", Body: []byte("{}")}); err != nil || !stored {
		t.Fatal(err)
	}
	conn.Close()
	s.Close()

	longer := testLimits()
	longer.Horizon = 30 * 24 * time.Hour
	var log bytes.Buffer
	_, conn = ownServer(t, store)
	b = must[*Broker](t)(Open(t.Context(), conn, NewLayout("wechat", longer), zerolog.New(&log)))
	for _, name := range []string{b.Status(), "OBJ_wechat_media", "OBJ_wechat_uploads"} {
		cfg := must[jetstream.Stream](t)(conn.JS.Stream(t.Context(), name)).CachedInfo().Config
		if cfg.MaxAge != longer.Horizon {
			t.Errorf("%s keeps %s", name, cfg.MaxAge)
		}
		if !strings.Contains(log.String(), `"stream":"`+name+`","field":"max_age","was":"168h0m0s","now":"720h0m0s"`) {
			t.Errorf("no line about %s in %s", name, log.String())
		}
	}
	if rec, err := account(t, b).Ledger().Last(t.Context(), "k"); err != nil || rec.Seq == 0 {
		t.Errorf("the record is gone: %v", err)
	}
	// Back again: records may live longer than they must.
	log.Reset()
	must[*Broker](t)(Open(t.Context(), conn, NewLayout("wechat", testLimits()), zerolog.New(&log)))
	if log.Len() > 0 {
		t.Errorf("changed again: %s", log.String())
	}
}

func TestLongerHorizonOnAnExternalServer(t *testing.T) {
	e := newExternal(t, "")
	b := e.open(t)
	longer := testLimits()
	longer.Horizon = 30 * 24 * time.Hour
	_, err := Open(t.Context(), b.conn, NewLayout("wechat", longer), zerolog.Nop())
	var conflict *ConflictError
	if !errors.As(err, &conflict) || conflict.Command != "nats stream edit WECHAT_STATUS --force --max-age=720h0m0s" {
		t.Fatalf("got %v", err)
	}
}

// Whatever differs on the embedded server is either changed, or the conflict
// names a command that works while no server runs.
func TestConflictsOnTheEmbeddedServer(t *testing.T) {
	l := NewLayout("wechat", testLimits())
	mended := 0
	for _, tc := range conflicts {
		store := t.TempDir()
		s, conn := ownServer(t, store)
		cfg := tc.stream(l)
		tc.change(&cfg)
		must[jetstream.Stream](t)(conn.JS.CreateStream(t.Context(), cfg))
		_, err := Open(t.Context(), conn, l, zerolog.Nop())
		conn.Close()
		s.Close()
		if err == nil {
			mended++
			continue
		}
		var conflict *ConflictError
		if !errors.As(err, &conflict) || conflict.Field != tc.field {
			t.Fatalf("%s: %v", tc.name, err)
		}
		run := exec.CommandContext(t.Context(), "sh", "-c", conflict.Command)
		run.Dir = t.TempDir()
		if tc.field == "storage" { // in memory, it went with the server
			continue
		}
		if out, err := run.CombinedOutput(); err != nil {
			t.Fatalf("%s: %s: %v, %s", tc.name, conflict.Command, err, out)
		}
		s, conn = ownServer(t, store)
		must[*Broker](t)(Open(t.Context(), conn, l, zerolog.Nop()))
		conn.Close()
		s.Close()
	}
	if mended != 15 {
		t.Errorf("%d of %d were changed", mended, len(conflicts))
	}
}

// A bucket keeps what it has: fewer values per key would drop some.
func TestNothingIsDroppedToMend(t *testing.T) {
	_, conn := ownServer(t, t.TempDir())
	l := NewLayout("wechat", testLimits())
	cfg := l.sessions()
	cfg.MaxMsgsPerSubject = 10
	must[jetstream.Stream](t)(conn.JS.CreateStream(t.Context(), cfg))
	_, err := Open(t.Context(), conn, l, zerolog.Nop())
	var conflict *ConflictError
	if !errors.As(err, &conflict) || conflict.Field != "max_msgs_per_subject" {
		t.Fatalf("got %v", err)
	}
	if now := must[jetstream.Stream](t)(conn.JS.Stream(t.Context(), cfg.Name)).CachedInfo().Config.MaxMsgsPerSubject; now != 10 {
		t.Errorf("changed to %d", now)
	}
}
