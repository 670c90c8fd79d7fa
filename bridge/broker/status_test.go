package broker

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"wechat-bridge/bridge/wire"
)

func connectionBody(t testing.TB, state string) []byte {
	t.Helper()
	return must[[]byte](t)(wire.SealConnection(wire.Connection{Account: "default", State: state}, time.Now()))
}

// lastState is what the stream says, and how many records there are.
func lastState(t testing.TB, a *Account) (string, uint64) {
	t.Helper()
	rec := must[wire.Stored](t)(a.LastConnection(t.Context()))
	var c wire.Connection
	must[wire.Envelope](t)(wire.OpenAs(rec.Body, wire.TypeConnection, &c))
	counts := must[map[string]uint64](t)(a.conn.perSubject(t.Context(), a.Broker.Status(), a.ConnectionSubject("default")))
	return c.State, counts[a.ConnectionSubject("default")]
}

// A worker that lost the account says nothing about it any more.
func TestStateOfALostAccount(t *testing.T) {
	b := openBroker(t, startServer(t))
	if err := account(t, b).PublishConnection(t.Context(), connectionBody(t, "connected")); err != nil {
		t.Fatal(err)
	}
	beats := must[*nats.Subscription](t)(b.conn.NC.SubscribeSync("wechat.status.default.heartbeat"))
	a := must[*Account](t)(b.Account("default", lost{}))
	if err := a.PublishConnection(t.Context(), connectionBody(t, "stopped")); !errors.Is(err, ErrNotHeld) {
		t.Errorf("record: %v", err)
	}
	if err := a.Heartbeat([]byte("{}")); !errors.Is(err, ErrNotHeld) {
		t.Errorf("heartbeat: %v", err)
	}
	if state, n := lastState(t, a); state != "connected" || n != 1 {
		t.Errorf("%s, %d records", state, n)
	}
	if err := b.conn.NC.Flush(); err != nil {
		t.Fatal(err)
	}
	if n, _, err := beats.Pending(); n != 0 || err != nil {
		t.Errorf("%d heartbeats, %v", n, err)
	}
}

// Somebody else's lease is not noticed at once; a record is refused all the
// same as soon as that one has told its state.
func TestStateBesideANewerWorker(t *testing.T) {
	b := openBroker(t, startServer(t))
	first := acquire(t, b, "folder-1")
	old := must[*Account](t)(b.Account("default", first))
	if err := old.PublishConnection(t.Context(), connectionBody(t, "connected")); err != nil {
		t.Fatal(err)
	}
	next := must[*Account](t)(b.Account("default", acquire(t, b, "folder-1"))) // at once: the same folder
	if err := next.PublishConnection(t.Context(), connectionBody(t, "blocked")); err != nil {
		t.Fatal(err)
	}
	if err := old.PublishConnection(t.Context(), connectionBody(t, "stopped")); !errors.Is(err, ErrNotHeld) {
		t.Errorf("got %v", err)
	}
	if state, n := lastState(t, next); state != "blocked" || n != 2 {
		t.Errorf("%s, %d records", state, n)
	}
}

// A record that came between is no reason for the holder to be silent, and one
// whose answer was lost is not stored twice.
func TestStateIsToldByTheHolder(t *testing.T) {
	b := openBroker(t, startServer(t))
	a := must[*Account](t)(b.Account("default", acquire(t, b, "folder-1")))
	for _, state := range []string{"starting", "connecting"} {
		if err := a.PublishConnection(t.Context(), connectionBody(t, state)); err != nil {
			t.Fatal(err)
		}
	}
	between := account(t, b)
	if err := between.PublishConnection(t.Context(), connectionBody(t, "stopped")); err != nil {
		t.Fatal(err)
	}
	body := connectionBody(t, "connected")
	for range 2 {
		if err := a.PublishConnection(t.Context(), body); err != nil {
			t.Fatal(err)
		}
		a.connection.last-- // as if the answer had been lost
	}
	if state, n := lastState(t, a); state != "connected" || n != 4 {
		t.Errorf("%s, %d records", state, n)
	}
}
