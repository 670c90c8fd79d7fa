package broker

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// makeConsumer asks as a guest for a consumer and gives the server's answer.
func makeConsumer(t testing.TB, nc *nats.Conn, at, stream string, config map[string]any) server.JSApiConsumerCreateResponse {
	t.Helper()
	body := must[[]byte](t)(json.Marshal(map[string]any{"stream_name": stream, "config": config}))
	return askConsumer(t, nc, at, string(body))
}

func askConsumer(t testing.TB, nc *nats.Conn, at, body string) server.JSApiConsumerCreateResponse {
	t.Helper()
	m, err := nc.Request("$JS.API.CONSUMER."+at, []byte(body), 5*time.Second)
	if err != nil {
		t.Fatalf("%s: %v", at, err)
	}
	var answer server.JSApiConsumerCreateResponse
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		t.Fatalf("%s: %s", at, m.Data)
	}
	return answer
}

// A guest that listens to a subject of the other stream makes the server
// forward what is published there, and a push consumer would publish there: an
// old "connected" could be stored again after a newer "blocked".
func TestGuestCannotHaveRecordsStoredAgain(t *testing.T) {
	s, b, _ := guestWorld(t)
	nc, _ := guest(t, s)
	before := state(t, b)
	for _, hop := range []struct{ from, name, to string }{
		{b.Status(), "h1", "wechat.events.default.zz"},
		{b.Events(), "h2", "wechat.status.default.connection.zz"},
	} {
		must[*nats.Subscription](t)(nc.SubscribeSync(hop.to))
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
		answer := makeConsumer(t, nc, "CREATE."+hop.from+"."+hop.name, hop.from, map[string]any{
			"name": hop.name, "deliver_subject": hop.to, "ack_policy": "none", "deliver_policy": "all",
		})
		if answer.Error == nil {
			eventually(t, "the hop's copies", func() bool { return state(t, b) != before })
			t.Errorf("%s to %s: made; before %s, after %s", hop.from, hop.to, before, state(t, b))
		}
	}
}

// Each of these asks the server to publish, or to keep, what a guest may not
// have.
func TestGuardRefuses(t *testing.T) {
	s, b, _ := guestWorld(t)
	nc, _ := guest(t, s)
	must[*nats.Subscription](t)(nc.SubscribeSync("wechat.>"))
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	before := state(t, b)
	status, to := b.Status(), `"deliver_subject":"wechat.events.default.zz"`
	for name, attack := range map[string]struct{ at, body string }{
		"into a stream":           {"CREATE." + status + ".a", `{"stream_name":"WECHAT_STATUS","config":{` + to + `}}`},
		"the name twice":          {"CREATE." + status + ".a", `{"stream_name":"WECHAT_STATUS","config":{"deliver_subject":"_INBOX.a",` + to + `}}`},
		"the name in capitals":    {"CREATE." + status + ".a", `{"stream_name":"WECHAT_STATUS","config":{"Deliver_Subject":"wechat.events.default.zz"}}`},
		"the config twice":        {"CREATE." + status + ".a", `{"stream_name":"WECHAT_STATUS","config":{},"config":{` + to + `}}`},
		"the old way":             {"CREATE." + status, `{"stream_name":"WECHAT_STATUS","config":{` + to + `}}`},
		"with a filter":           {"CREATE." + status + ".a.wechat.status.>", `{"stream_name":"WECHAT_STATUS","config":{"filter_subject":"wechat.status.>",` + to + `}}`},
		"durable, the old way":    {"DURABLE.CREATE." + status + ".a", `{"stream_name":"WECHAT_STATUS","config":{"durable_name":"a",` + to + `}}`},
		"into a bucket":           {"CREATE." + status + ".a", `{"stream_name":"WECHAT_STATUS","config":{"deliver_subject":"$KV.wechat_leases.default"}}`},
		"as a call of the server": {"CREATE." + status + ".a", `{"stream_name":"WECHAT_STATUS","config":{"deliver_subject":"$JS.API.STREAM.PURGE.WECHAT_EVENTS"}}`},
		"to the bridge's inbox":   {"CREATE." + status + ".a", `{"stream_name":"WECHAT_STATUS","config":{"deliver_subject":"_INBOX_bridge.a"}}`},
		"as a queue":              {"CREATE." + status + ".a", `{"stream_name":"WECHAT_STATUS","config":{"deliver_subject":"_INBOX.a","deliver_group":"g"}}`},
		"as a server":             {"CREATE." + status + ".a", `{"stream_name":"WECHAT_STATUS","config":{"direct":true,"sourcing":true}}`},
		"paused":                  {"CREATE." + status + ".a", `{"stream_name":"WECHAT_STATUS","config":{"pause_until":"2100-01-01T00:00:00Z"}}`},
		"the queue of commands":   {"CREATE." + b.Send() + ".a", `{"stream_name":"WECHAT_SEND","config":{}}`},
		"another stream's name":   {"CREATE." + status + ".a", `{"stream_name":"WECHAT_SEND","config":{}}`},
		"sessions":                {"CREATE.KV_wechat_sessions.a", `{"stream_name":"KV_wechat_sessions","config":{}}`},
		"uploads":                 {"CREATE.OBJ_wechat_uploads.a", `{"stream_name":"OBJ_wechat_uploads","config":{}}`},
		"garbage":                 {"CREATE." + status + ".a", `[`},
		"nothing":                 {"CREATE." + status + ".a", ``},
		"too much":                {"CREATE." + status + ".a", `{"stream_name":"WECHAT_STATUS","config":{"description":"` + strings.Repeat("x", 70_000) + `"}}`},
	} {
		if answer := askConsumer(t, nc, attack.at, attack.body); answer.Error == nil {
			t.Errorf("%s: made %v", name, answer.ConsumerInfo)
		}
	}
	if after := state(t, b); after != before {
		t.Errorf("before %s\nafter  %s", before, after)
	}
}

// The server's own subject and a consumer that is changed later are no ways
// around it.
func TestGuardCannotBeGoneAround(t *testing.T) {
	s, b, _ := guestWorld(t)
	nc, _ := guest(t, s)
	must[*nats.Subscription](t)(nc.SubscribeSync("wechat.events.default.zz"))
	before := state(t, b)
	if answer := makeConsumer(t, nc, "CREATE."+b.Status()+".a", b.Status(), map[string]any{"name": "a"}); answer.Error != nil {
		t.Fatalf("a plain consumer: %v", answer.Error)
	}
	answer := askConsumer(t, nc, "CREATE."+b.Status()+".a", `{"stream_name":"WECHAT_STATUS","action":"update","config":{"name":"a","deliver_subject":"wechat.events.default.zz"}}`)
	if answer.Error == nil {
		t.Error("a pull consumer became a push consumer")
	}
	create := `{"stream_name":"WECHAT_STATUS","config":{"name":"b","deliver_subject":"wechat.events.default.zz"}}`
	for _, reply := range []string{"$JS.API.CONSUMER.CREATE.WECHAT_STATUS.b", "wechat.guard.create.WECHAT_STATUS.b"} {
		for _, subject := range []string{"wechat.send", "$JS.API.STREAM.NAMES", "wechat.api.default.status"} {
			if err := nc.PublishRequest(subject, reply, []byte(create)); err != nil {
				t.Fatal(err)
			}
		}
	}
	m := nats.NewMsg("wechat.send")
	m.Header.Set("Nats-Trace-Dest", "$JS.API.CONSUMER.CREATE.WECHAT_STATUS.b")
	m.Data = []byte(create)
	if err := nc.PublishMsg(m); err != nil {
		t.Fatal(err)
	}
	// What a pull delivers comes to the guest's own account.
	if err := nc.PublishRequest("$JS.API.CONSUMER.MSG.NEXT.WECHAT_STATUS.a", "wechat.events.default.zz", []byte(`{"batch":5,"expires":1000000000}`)); err != nil {
		t.Fatal(err)
	}
	must[*nats.Msg](t)(nc.Request("$JS.API.STREAM.NAMES", nil, 5*time.Second))
	infos := must[jetstream.Stream](t)(b.conn.JS.Stream(t.Context(), b.Status())).CachedInfo()
	if infos.State.Consumers != 1 {
		t.Errorf("%d consumers", infos.State.Consumers)
	}
	eventually(t, "the guest's commands", func() bool {
		counts, err := b.conn.perSubject(t.Context(), b.Send(), "wechat.send.*")
		return err == nil && counts["wechat.send.default"] >= 2
	})
	cut := func(s string) string { return s[strings.Index(s, "WECHAT_OUTBOX"):] }
	if after := state(t, b); cut(after) != cut(before) {
		t.Errorf("before %s\nafter  %s", before, after)
	}
}

func TestGuardBoundsWhatItMakes(t *testing.T) {
	s, b, _ := guestWorld(t)
	nc, _ := guest(t, s)
	for at, config := range map[string]map[string]any{
		"CREATE.WECHAT_STATUS.long":        {"name": "long", "inactive_threshold": 24 * time.Hour, "max_waiting": 1 << 20},
		"CREATE.WECHAT_STATUS.pager":       {"durable_name": "pager", "inactive_threshold": time.Hour, "pause_until": time.Time{}}, // as nats stream view asks
		"CREATE.WECHAT_STATUS.stay":        {"durable_name": "stay"},
		"DURABLE.CREATE.WECHAT_STATUS.old": {"durable_name": "old"},
	} {
		answer := makeConsumer(t, nc, at, b.Status(), config)
		if answer.Error != nil || answer.Config.InactiveThreshold != maxGuestIdle || answer.Config.MaxWaiting != maxGuestPulls {
			t.Fatalf("%s: %v, %+v", at, answer.Error, answer.ConsumerInfo)
		}
	}
	made := 4
	for ; made <= maxGuestConsumers; made++ {
		name := fmt.Sprintf("c%d", made)
		answer := makeConsumer(t, nc, "CREATE."+b.Status()+"."+name, b.Status(), map[string]any{
			"name": name, "mem_storage": true, "inactive_threshold": time.Minute,
		})
		if answer.Error != nil {
			if answer.Error.ErrCode != uint16(server.JSMaximumConsumersLimitErr) {
				t.Fatal(answer.Error)
			}
			break
		}
	}
	if made != maxGuestConsumers {
		t.Errorf("made %d consumers, want %d", made, maxGuestConsumers)
	}
	// The other stream has its own places.
	if answer := makeConsumer(t, nc, "CREATE."+b.Events()+".x", b.Events(), map[string]any{"name": "x"}); answer.Error != nil {
		t.Error(answer.Error)
	}
}

// A durable consumer goes like any other when nobody reads from it.
func TestGuestsDurableConsumersEnd(t *testing.T) {
	s, b, _ := guestWorld(t)
	nc, _ := guest(t, s)
	answer := makeConsumer(t, nc, "CREATE."+b.Status()+".d", b.Status(), map[string]any{"durable_name": "d", "inactive_threshold": 100 * time.Millisecond})
	if answer.Error != nil {
		t.Fatal(answer.Error)
	}
	eventually(t, "its end", func() bool {
		info := must[jetstream.Stream](t)(b.conn.JS.Stream(t.Context(), b.Status())).CachedInfo()
		return info.State.Consumers == 0
	})
}

// Clients of the former API, and object stores of both, read through push
// consumers with flow control.
func TestGuestMayReadTheOldWay(t *testing.T) {
	s, b, a := guestWorld(t)
	nc, _ := guest(t, s)
	big := strings.Repeat("0123456789abcdef", 25*mib/16)
	if _, _, err := a.Media().Put(t.Context(), "film", strings.NewReader(big)); err != nil {
		t.Fatal(err)
	}
	old := must[nats.JetStreamContext](t)(nc.JetStream(nats.MaxWait(2 * time.Second)))
	for name, opts := range map[string][]nats.SubOpt{
		"ordered":   {nats.OrderedConsumer(), nats.BindStream(b.Events())},
		"push":      {nats.AckNone(), nats.BindStream(b.Events())},
		"last only": {nats.DeliverLastPerSubject(), nats.AckNone(), nats.BindStream(b.Events())},
	} {
		sub := must[*nats.Subscription](t)(old.SubscribeSync("wechat.events.>", opts...))
		m, err := sub.NextMsg(5 * time.Second)
		if err != nil || !strings.HasPrefix(m.Subject, "wechat.events.default.") {
			t.Errorf("%s: %v, %v", name, m, err)
		}
		if err := sub.Unsubscribe(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	pull := must[*nats.Subscription](t)(old.PullSubscribe("wechat.status.>", "", nats.BindStream(b.Status()), nats.AckNone()))
	if msgs, err := pull.Fetch(1, nats.MaxWait(5*time.Second)); err != nil || len(msgs) != 1 {
		t.Errorf("pull: %d, %v", len(msgs), err)
	}
	store := must[nats.ObjectStore](t)(old.ObjectStore(b.Layout.Media()))
	if got := must[[]byte](t)(store.GetBytes("film", nats.Context(within(t, 20*time.Second)))); string(got) != big {
		t.Errorf("got %d bytes", len(got))
	}
	js := must[jetstream.JetStream](t)(jetstream.New(nc))
	media := must[jetstream.ObjectStore](t)(js.ObjectStore(t.Context(), b.Layout.Media()))
	res := must[jetstream.ObjectResult](t)(media.Get(within(t, 20*time.Second), "film"))
	if got := must[[]byte](t)(io.ReadAll(res)); string(got) != big {
		t.Errorf("got %d bytes", len(got))
	}
}
