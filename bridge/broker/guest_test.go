package broker

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"wechat-bridge/bridge/wire"
)

// guestWorld is a bridge that runs, with something of each kind in its stores.
func guestWorld(t *testing.T) (*Server, *Broker, *Account) {
	t.Helper()
	s := startServer(t)
	b := openBroker(t, s)
	a := account(t, b)
	must[bool](t)(a.Events().Publish(t.Context(), event(t, "default", "m1")))
	must[bool](t)(a.Events().Publish(t.Context(), event(t, "default", "m2")))
	if err := a.PublishConnection(t.Context(), must[[]byte](t)(wire.SealConnection(wire.Connection{Account: "default", State: "connected"}, time.Now()))); err != nil {
		t.Fatal(err)
	}
	if _, _, err := a.Media().Put(t.Context(), "picture", strings.NewReader("bytes of a picture")); err != nil {
		t.Fatal(err)
	}
	if err := a.Vault(newKey(t), "").Save(t.Context(), []byte("session")); err != nil {
		t.Fatal(err)
	}
	svc := must[*Service](t)(a.Serve("0.1.0", map[string]Handler{
		"status": func(context.Context, []byte) (any, error) { return "fine", nil },
	}))
	t.Cleanup(svc.Close)
	return s, b, a
}

func TestGuestMaySendAndWatch(t *testing.T) {
	s, b, a := guestWorld(t)
	nc, _ := guest(t, s)
	ack := must[*nats.Msg](t)(nc.Request("wechat.send", []byte(`{"to":"filehelper","text":"hi"}`), 5*time.Second))
	var stored jetstream.PubAck
	if err := json.Unmarshal(ack.Data, &stored); err != nil || stored.Stream != "WECHAT_SEND" || stored.Sequence == 0 {
		t.Fatalf("ack %s", ack.Data)
	}
	if err := nc.Publish("wechat.send.default", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "both commands", func() bool {
		counts, err := b.conn.perSubject(t.Context(), b.Send(), "wechat.send.default")
		return err == nil && counts["wechat.send.default"] == 2
	})
	for _, subject := range []string{"wechat.events", "wechat.status"} {
		sub := must[*nats.Subscription](t)(nc.SubscribeSync(subject))
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
		if subject == "wechat.events" {
			must[bool](t)(a.Events().Publish(t.Context(), event(t, "default", "m3")))
		} else if err := a.PublishConnection(t.Context(), []byte("{}")); err != nil {
			t.Fatal(err)
		}
		m := must[*nats.Msg](t)(sub.NextMsg(5 * time.Second))
		if m.Header.Get("Nats-Stream") == "" || m.Header.Get("Nats-Subject") == "" || m.Header.Get("Nats-Sequence") == "" {
			t.Errorf("%s: headers %v", subject, m.Header)
		}
	}
}

func TestGuestMayRead(t *testing.T) {
	s, b, _ := guestWorld(t)
	nc, js := guest(t, s)
	for stream, want := range map[string]int{b.Events(): 2, b.Status(): 1} {
		cons := must[jetstream.Consumer](t)(js.OrderedConsumer(t.Context(), stream, jetstream.OrderedConsumerConfig{}))
		msgs := must[jetstream.MessagesContext](t)(cons.Messages())
		for i := range want {
			if _, err := msgs.Next(jetstream.NextMaxWait(5 * time.Second)); err != nil {
				t.Fatalf("%s, message %d: %v", stream, i, err)
			}
		}
		msgs.Stop()
		must[jetstream.Stream](t)(js.Stream(t.Context(), stream))
	}
	c := &Conn{NC: nc, JS: js, again: make(chan struct{})}
	if _, found, err := c.read(t.Context(), b.Events(), place{Seq: 1}); err != nil || !found {
		t.Errorf("stream get: %v", err)
	}
	media := must[jetstream.ObjectStore](t)(js.ObjectStore(t.Context(), b.Layout.Media()))
	res := must[jetstream.ObjectResult](t)(media.Get(within(t, 5*time.Second), "picture"))
	if data := must[[]byte](t)(io.ReadAll(res)); string(data) != "bytes of a picture" {
		t.Errorf("object get: %q", data)
	}
	uploads := must[jetstream.ObjectStore](t)(js.ObjectStore(t.Context(), b.Uploads()))
	must[*jetstream.ObjectInfo](t)(uploads.PutString(within(t, 5*time.Second), "photo", "x"))
	must[*jetstream.ObjectInfo](t)(uploads.PutString(within(t, 5*time.Second), "photo", "y"))
	if lister := js.StreamNames(t.Context()); lister.Err() != nil {
		t.Errorf("stream names: %v", lister.Err())
	}
}

func TestGuestMayDiscoverTheService(t *testing.T) {
	s, _, _ := guestWorld(t)
	nc, _ := guest(t, s)
	for _, call := range []string{"$SRV.PING", "$SRV.INFO.wechat", "$SRV.STATS.wechat"} {
		m := must[*nats.Msg](t)(nc.Request(call, nil, 5*time.Second))
		if !strings.Contains(string(m.Data), `"wechat"`) {
			t.Errorf("%s: %s", call, m.Data)
		}
	}
	m := must[*nats.Msg](t)(nc.Request("wechat.api.default.status", nil, 5*time.Second))
	if string(m.Data) != `"fine"` {
		t.Errorf("status: %s", m.Data)
	}
}

// Each attack must leave every stream as it was.
func TestGuestIsRefused(t *testing.T) {
	t.Parallel() // it mostly waits
	s, b, _ := guestWorld(t)
	nc, js := guest(t, s)
	before := state(t, b)
	short := func() context.Context { return within(t, 300*time.Millisecond) }
	for name, attack := range map[string]func() error{
		"kv get":           func() error { _, err := js.KeyValue(short(), b.Sessions()); return err },
		"kv by direct get": func() error { return ask(nc, "$JS.API.DIRECT.GET.KV_wechat_sessions.$KV.wechat_sessions.default", "") },
		"kv by stream get": func() error { return ask(nc, "$JS.API.STREAM.MSG.GET.KV_wechat_sessions", `{"seq":1}`) },
		"kv info":          func() error { return ask(nc, "$JS.API.STREAM.INFO.KV_wechat_sessions", "") },
		"kv consumer":      func() error { return ask(nc, "$JS.API.CONSUMER.CREATE.KV_wechat_sessions", `{}`) },
		"push to a stream": func() error {
			return ask(nc, "$JS.API.CONSUMER.CREATE.WECHAT_STATUS.a", `{"stream_name":"WECHAT_STATUS","config":{"deliver_subject":"wechat.events.default.zz"}}`)
		},
		"stream rm":         func() error { return js.DeleteStream(short(), b.Status()) },
		"stream purge":      func() error { return ask(nc, "$JS.API.STREAM.PURGE."+b.Events(), "") },
		"media purge":       func() error { return ask(nc, "$JS.API.STREAM.PURGE.OBJ_wechat_media", "") },
		"message delete":    func() error { return ask(nc, "$JS.API.STREAM.MSG.DELETE."+b.Events(), `{"seq":1}`) },
		"stream edit":       func() error { return ask(nc, "$JS.API.STREAM.UPDATE."+b.Events(), `{"name":"WECHAT_EVENTS"}`) },
		"stream add":        func() error { _, err := js.CreateStream(short(), jetstream.StreamConfig{Name: "MINE"}); return err },
		"read the queue":    func() error { return ask(nc, "$JS.API.STREAM.MSG.GET."+b.Send(), `{"seq":1}`) },
		"take the queue":    func() error { return ask(nc, "$JS.API.CONSUMER.MSG.NEXT.WECHAT_SEND.intake_default_1", "") },
		"delete a consumer": func() error { return ask(nc, "$JS.API.CONSUMER.DELETE.WECHAT_SEND.intake_default_1", "") },
		"acknowledge":       func() error { return ask(nc, "$JS.ACK.WECHAT_SEND.intake_default_1.1.1.1.1.1", "+ACK") },
		"forge a status":    func() error { return ask(nc, "wechat.status.default.delivery.x", "{}") },
		"forge a state":     func() error { return ask(nc, "wechat.status.default.connection.state", "{}") },
		"forge an event":    func() error { return ask(nc, "wechat.events.default.message", "{}") },
		"forge a delivery":  func() error { return ask(nc, "wechat.outbox.default.normal", "{}") },
		"park":              func() error { return ask(nc, "wechat.parked.default.normal.x", "{}") },
		"write a session":   func() error { return ask(nc, "$KV.wechat_sessions.default", "x") },
		"take a lease":      func() error { return ask(nc, "$KV.wechat_leases.default", "x") },
		"write media":       func() error { return ask(nc, "$O.wechat_media.C.x", "x") },
		"server's own":      func() error { return ask(nc, "$SYS.REQ.SERVER.PING", "") },
	} {
		if err := attack(); err == nil {
			t.Errorf("%s: not refused", name)
		}
	}
	if after := state(t, b); after != before {
		t.Errorf("before %s\nafter  %s", before, after)
	}
}

// ask also tells an answer that is an error.
func ask(nc *nats.Conn, subject, body string) error {
	m, err := nc.Request(subject, []byte(body), 300*time.Millisecond)
	if err != nil {
		return err
	}
	var answer struct{ Error *jetstream.APIError }
	if err := json.Unmarshal(m.Data, &answer); err == nil && answer.Error != nil {
		return answer.Error
	}
	return nil
}

// state is the last sequence and the number of messages of each stream.
func state(t testing.TB, b *Broker) string {
	t.Helper()
	var lines []string
	for _, cfg := range b.Streams() {
		info := must[jetstream.Stream](t)(b.conn.JS.Stream(t.Context(), cfg.Name)).CachedInfo()
		lines = append(lines, must[string](t)(marshalText(cfg.Name, info.State.LastSeq, info.State.Msgs)))
	}
	return strings.Join(lines, " ")
}

func marshalText(v ...any) (string, error) {
	out, err := json.Marshal(v)
	return string(out), err
}

// Reply subjects are not checked by permissions: with one account, the server
// would write the PubAck over the session.
func TestGuestsReplySubjectsStoreNothing(t *testing.T) {
	s, b, _ := guestWorld(t)
	nc, _ := guest(t, s)
	before := state(t, b)
	var sent int
	for _, reply := range []string{
		"$KV.wechat_sessions.default", "$KV.wechat_leases.default", "wechat.outbox.default.normal", "wechat.outbox.default.high",
		"wechat.status.default.delivery.x", "wechat.status.default.connection.state", "wechat.events.default.message",
		"wechat.parked.default.normal.x", "$O.wechat_media.C.x", "$JS.API.STREAM.DELETE.WECHAT_EVENTS", "$JS.API.STREAM.PURGE.WECHAT_STATUS",
	} {
		for _, subject := range []string{"wechat.send", "wechat.send.default", "wechat.api.default.status", "$JS.API.STREAM.NAMES", "$SRV.PING"} {
			if err := nc.PublishRequest(subject, reply, []byte("{}")); err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(subject, "wechat.send") {
				sent++
			}
		}
	}
	eventually(t, "all commands", func() bool {
		counts, err := b.conn.perSubject(t.Context(), b.Send(), "wechat.send.*")
		return err == nil && counts["wechat.send.default"] == uint64(sent)
	})
	clean := must[jetstream.Stream](t)(b.conn.JS.Stream(t.Context(), b.Send()))
	if err := clean.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	after := state(t, b)
	cut := func(s string) string { return s[strings.Index(s, "WECHAT_OUTBOX"):] } // all but WECHAT_SEND, which is first
	if cut(after) != cut(before) {
		t.Errorf("before %s\nafter  %s", before, after)
	}
}

func TestGuestDoesNotOverhear(t *testing.T) {
	s, b, _ := guestWorld(t)
	nc, _ := guest(t, s)
	all := must[*nats.Subscription](t)(nc.SubscribeSync("wechat.>"))
	other := must[*nats.Subscription](t)(nc.SubscribeSync("_INBOX_bridge.>"))
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	publish(t, b, "wechat.send", 1, 1)
	must[uint64](t)(account(t, b).Buffer().Store(t.Context(), []wire.Stored{{Token: "normal", Body: []byte("x")}}))
	must[bool](t)(account(t, b).Events().Publish(t.Context(), event(t, "default", "last")))
	for {
		m := must[*nats.Msg](t)(all.NextMsg(5 * time.Second))
		if !strings.HasPrefix(m.Subject, "wechat.events") && !strings.HasPrefix(m.Subject, "wechat.status") {
			t.Fatalf("a guest heard %s", m.Subject)
		}
		if m.Subject == "wechat.events" {
			break
		}
	}
	if m, err := other.NextMsg(50 * time.Millisecond); err == nil {
		t.Fatalf("a guest heard the bridge's own %s", m.Subject)
	}
}

func TestNoGuestOutsideOfLoopback(t *testing.T) {
	s := startServer(t, func(c *ServerConfig) { c.Listen = "0.0.0.0:0" })
	if s.Guest() {
		t.Fatal("a guest on all interfaces")
	}
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(s.URL(), "nats://"))
	if _, err := nats.Connect("nats://127.0.0.1:" + port); !errors.Is(err, nats.ErrAuthorization) {
		t.Fatalf("without credentials: %v", err)
	}
	nc := must[*nats.Conn](t)(nats.Connect("nats://127.0.0.1:"+port, nats.UserInfo(BridgeUser, testPassword)))
	nc.Close()
}

func TestServerPortInUse(t *testing.T) {
	l := must[net.Listener](t)(net.Listen("tcp", "127.0.0.1:0"))
	defer l.Close()
	_, err := StartServer(t.Context(), ServerConfig{Listen: l.Addr().String(), StoreDir: t.TempDir(), BridgePassword: "x", Prefix: "wechat", Log: zerolog.Nop()})
	if !errors.Is(err, ErrPortInUse) {
		t.Fatalf("got %v", err)
	}
}

func TestServerKeepsWhatItHad(t *testing.T) {
	dir := t.TempDir()
	cfg := ServerConfig{Listen: "127.0.0.1:0", StoreDir: dir, BridgePassword: testPassword, Prefix: "wechat", Log: zerolog.Nop()}
	for i := range 2 { // synced writes, as in production
		s := must[*Server](t)(StartServer(t.Context(), cfg))
		conn := must[*Conn](t)(Connect(t.Context(), ConnConfig{Server: s, User: BridgeUser, Password: testPassword, Log: zerolog.Nop()}))
		b := must[*Broker](t)(Open(t.Context(), conn, NewLayout("wechat", testLimits()), zerolog.Nop()))
		publish(t, b, "wechat.send", i, i)
		if n := must[map[string]uint64](t)(b.conn.perSubject(t.Context(), b.Send(), "wechat.send.*"))["wechat.send.default"]; n != uint64(i+1) {
			t.Errorf("start %d: %d commands", i, n)
		}
		conn.Close()
		s.Close()
	}
}
