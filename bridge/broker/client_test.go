package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"wechat-bridge/bridge/wire"
)

// guestClient is what our commands are on the embedded server.
func guestClient(t testing.TB, s *Server) *Client {
	t.Helper()
	conn := must[*Conn](t)(Connect(t.Context(), ConnConfig{URLs: s.URL(), Name: "test", Log: zerolog.Nop()}))
	t.Cleanup(conn.Close)
	return NewClient(conn, "wechat")
}

func delivery(t testing.TB, id string, seq uint64, s wire.State) []byte {
	t.Helper()
	return must[[]byte](t)(wire.SealDelivery(wire.Delivery{Account: "default", ID: id, State: s, StreamSeq: seq}, time.Now(), ""))
}

func TestClientSendsAndWaitsAsGuest(t *testing.T) {
	s := startServer(t)
	b := openBroker(t, s)
	c, l := guestClient(t, s), account(t, b).Ledger()
	in := account(t, b).Intake()
	defer in.Close()
	receipt := must[Receipt](t)(c.Send(t.Context(), "default", "", []byte(`{"id":"order-42"}`)))
	_, msgs := fetch(t, in, 1)
	if msgs[0].Seq != receipt.Seq || receipt.Duplicate {
		t.Fatalf("receipt %+v, message %d", receipt, msgs[0].Seq)
	}
	states := make(chan wire.State, 8)
	waited := make(chan wire.Delivery, 1)
	go func() {
		d, err := c.Wait(t.Context(), "default", "order-42", receipt, func(r Record) {
			d, _, _ := wire.OpenDelivery(r.Body)
			states <- d.State
		})
		if err != nil {
			t.Error(err)
		}
		waited <- d
	}()
	var after uint64
	write := func(seq uint64, state wire.State) {
		t.Helper()
		var stored bool
		var err error
		after, stored, err = l.Append(t.Context(), wire.Stored{Token: "order-42", Body: delivery(t, "order-42", seq, state), After: after})
		if err != nil || !stored {
			t.Fatal(stored, err)
		}
	}
	write(receipt.Seq+7, wire.Rejected) // an older command with the same id
	write(receipt.Seq, wire.Accepted)
	if s := receive(t, states); s != wire.Accepted {
		t.Fatalf("first state %s", s)
	}
	write(receipt.Seq, wire.Sending)
	write(receipt.Seq, wire.Sent)
	if d := receive(t, waited); d.State != wire.Sent {
		t.Fatalf("final %s", d.State)
	}
	chain := must[[]Record](t)(c.Get(t.Context(), "default", "order-42"))
	if len(chain) != 4 || chain[3].Seq != after || chain[0].Subject != "wechat.status.default.delivery.order-42" {
		t.Fatalf("chain %+v", chain)
	}
	if none := must[[]Record](t)(c.Get(t.Context(), "default", "nothing")); len(none) != 0 {
		t.Fatalf("chain of nothing: %v", none)
	}
}

func TestClientWaitHearsOfAConflict(t *testing.T) {
	s := startServer(t)
	b := openBroker(t, s)
	c, l := guestClient(t, s), account(t, b).Ledger()
	rec := wire.Stored{Token: wire.ConflictKey("id", 5), Body: delivery(t, "id", 5, wire.Rejected)}
	if _, stored, err := l.Append(t.Context(), rec); err != nil || !stored {
		t.Fatal(stored, err)
	}
	d, err := c.Wait(within(t, 5*time.Second), "default", "id", Receipt{Seq: 5}, nil)
	if err != nil || d.State != wire.Rejected {
		t.Fatal(d, err)
	}
	if chain := must[[]Record](t)(c.Get(t.Context(), "default", "id~x5")); len(chain) != 1 {
		t.Fatalf("chain %v", chain)
	}
	if _, err := c.Wait(within(t, 300*time.Millisecond), "default", "other", Receipt{Seq: 1}, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a wait in vain: %v", err)
	}
}

func TestKeysOf(t *testing.T) {
	for id, want := range map[string]string{
		"a": "a", "a~2": wire.PartKey("a", 2), "訂單~12": wire.PartKey(wire.Key("訂單"), 12), "a~x9": wire.ConflictKey("a", 9),
	} {
		keys := keysOf(id)
		if keys[len(keys)-1] != want || keys[0] != wire.Key(id) {
			t.Errorf("%s: %v, want %s", id, keys, want)
		}
	}
}

func TestClientRefusals(t *testing.T) {
	s := startServer(t)
	c := guestClient(t, s)
	if _, err := c.Send(within(t, 5*time.Second), "default", "", []byte("{}")); !errors.Is(err, ErrNoBridge) {
		t.Errorf("no streams yet: %v", err)
	}
	if _, _, err := c.Connection(within(t, 5*time.Second), "default"); !errors.Is(err, ErrNoBridge) {
		t.Errorf("no streams yet: %v", err)
	}
	b := openBroker(t, s)
	if _, err := c.Send(t.Context(), "default", "", make([]byte, MaxCommand+1)); !errors.Is(err, ErrNotStored) {
		t.Errorf("961 KiB: %v", err)
	}
	if _, err := c.Send(t.Context(), "default", "", make([]byte, 2*mib)); !errors.Is(err, ErrNotStored) {
		t.Errorf("2 MiB: %v", err)
	}
	must[Receipt](t)(c.Send(t.Context(), "default", "", make([]byte, 959*kib)))
	if _, err := c.Send(t.Context(), "no/account", "", nil); err == nil {
		t.Error("a bad account name")
	}
	if _, _, err := c.Connection(t.Context(), "default"); !errors.Is(err, ErrNoWorker) {
		t.Errorf("no connection yet: %v", err)
	}
	if _, err := c.Request(t.Context(), "default", "status", nil); !errors.Is(err, ErrNoWorker) {
		t.Errorf("no service: %v", err)
	}
	if err := b.conn.JS.DeleteStream(t.Context(), b.Send()); err != nil {
		t.Fatal(err)
	}
}

func TestClientStatus(t *testing.T) {
	s := startServer(t)
	b := openBroker(t, s)
	a, c := account(t, b), guestClient(t, s)
	for _, state := range []string{wire.StateStarting, wire.StateConnected} {
		body := must[[]byte](t)(wire.SealConnection(wire.Connection{Account: "default", State: state}, time.Now()))
		if err := a.PublishConnection(t.Context(), body); err != nil {
			t.Fatal(err)
		}
	}
	conn, at, err := c.Connection(t.Context(), "default")
	if err != nil || conn.State != wire.StateConnected || at.IsZero() {
		t.Fatal(conn, at, err)
	}
	if last := must[wire.Stored](t)(a.LastConnection(t.Context())); last.Seq != 2 {
		t.Fatalf("last %d", last.Seq)
	}
	beats := make(chan wire.Heartbeat, 1)
	go func() {
		beat, err := c.Heartbeat(within(t, 10*time.Second), "default")
		if err != nil {
			t.Error(err)
		}
		beats <- beat
	}()
	body := must[[]byte](t)(wire.SealHeartbeat(wire.Heartbeat{Account: "default", Status: "pass"}, time.Now()))
	var beat wire.Heartbeat
	eventually(t, "a heartbeat", func() bool {
		if err := a.Heartbeat(body); err != nil {
			t.Fatal(err)
		}
		select {
		case beat = <-beats:
			return true
		default:
			return false
		}
	})
	if beat.Status != "pass" {
		t.Fatalf("heartbeat %+v", beat)
	}
}

func event(t testing.TB, account, id string) wire.Stored {
	t.Helper()
	body := must[[]byte](t)(wire.SealMessage(id, wire.Message{Account: account, MessageID: id}, time.Now()))
	return wire.Stored{Token: "message", MsgID: id, Body: body}
}

func TestClientWatches(t *testing.T) {
	s := startServer(t)
	b := openBroker(t, s)
	a, c := account(t, b), guestClient(t, s)
	other := must[*Account](t)(b.Account("other", AlwaysHeld(1)))
	must[bool](t)(a.Events().Publish(t.Context(), event(t, "default", "old")))
	stop := errors.New("enough seen")
	watch := func(w Watch, n int) <-chan []string {
		seen := make(chan []string, 1)
		go func() {
			var ids []string
			err := c.Watch(within(t, 10*time.Second), w, func(r Record) error {
				e, err := wire.Open(r.Body)
				if ids = append(ids, e.ID+" "+r.Subject); err != nil || len(ids) == n {
					return stop
				}
				return nil
			})
			if !errors.Is(err, stop) {
				t.Errorf("watch %+v: %v after %v", w, err, ids)
			}
			seen <- ids
		}()
		return seen
	}
	live := watch(Watch{Account: "default", Events: true}, 1)
	history := watch(Watch{Account: "default", Events: true, Status: true, History: true}, 2)
	i := 0
	eventually(t, "the live watcher", func() bool {
		i++
		must[bool](t)(other.Events().Publish(t.Context(), event(t, "other", fmt.Sprint(i))))
		must[bool](t)(a.Events().Publish(t.Context(), event(t, "default", fmt.Sprint(i))))
		return len(live) > 0
	})
	if ids := receive(t, live); len(ids) != 1 || ids[0][len(ids[0])-len("wechat.events.default.message"):] != "wechat.events.default.message" {
		t.Fatalf("live %v", ids)
	}
	same(t, receive(t, history), []string{"old wechat.events.default.message", "1 wechat.events.default.message"})
}

func TestServiceAnswersGuests(t *testing.T) {
	s := startServer(t)
	a, c := account(t, openBroker(t, s)), guestClient(t, s)
	type in struct{ Force bool }
	svc := must[*Service](t)(a.Serve("1.2.3", map[string]Handler{
		"status": func(context.Context, []byte) (any, error) { return map[string]string{"state": "connected"}, nil },
		"login": func(_ context.Context, body []byte) (any, error) {
			var req in
			if err := json.Unmarshal(body, &req); err != nil {
				return nil, &CodeError{Code: "bad_request", Message: "not JSON"}
			}
			return req, nil
		},
		"logout": func(context.Context, []byte) (any, error) { return nil, errors.New("a detail with a secret") },
		"get":    func(context.Context, []byte) (any, error) { panic("broken") },
	}))
	defer svc.Close()
	if got := must[[]byte](t)(c.Request(t.Context(), "default", "status", nil)); string(got) != `{"state":"connected"}` {
		t.Errorf("status: %s", got)
	}
	if got := must[[]byte](t)(c.Request(t.Context(), "default", "login", in{Force: true})); string(got) != `{"Force":true}` {
		t.Errorf("login: %s", got)
	}
	for verb, want := range map[string]string{"login": "bad_request", "logout": CodeInternal, "get": CodeInternal} {
		_, err := c.Request(t.Context(), "default", verb, nil)
		var coded *CodeError
		if !errors.As(err, &coded) || coded.Code != want {
			t.Errorf("%s: %v", verb, err)
		}
	}
}
