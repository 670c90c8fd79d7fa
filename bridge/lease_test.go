package bridge

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"wechat-bridge/bridge/sim"
	"wechat-bridge/bridge/wire"
)

// A lease that is lost under way: the worker stops, takes it again when it can,
// goes on with the same session, and nothing is lost or sent twice in silence.
func TestLostLeaseIsTakenAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, sim.Options{})
	r.start()
	r.awaitConnected()
	logins := r.logins()
	r.fault(sim.Fault{On: []string{"webwxsendmsg"}, Do: "delay", Delay: 20 * time.Millisecond})
	r.flood(30, "before-", "Alice", "alice")
	kv, err := r.js.KeyValue(t.Context(), "wechat_leases")
	if err != nil {
		t.Fatal(err)
	}
	if err := kv.Delete(t.Context(), "default"); err != nil {
		t.Fatal(err)
	}
	r.awaitState(wire.StateStopped)
	r.awaitConnected()
	r.text("after", "Alice", "alice", "after")
	r.reckon(8)
	r.noLoginSince(logins)
	r.eventually("it is ready", func() bool { s, _ := r.get("/readyz"); return s == 200 })
}

// Another worker took the lease while this one was frozen, and has told its
// state: this one says nothing more when it notices.
func TestLastWordsOfAWorkerThatLostTheLease(t *testing.T) {
	t.Parallel()
	r := newRig(t, sim.Options{})
	r.start()
	r.awaitConnected()
	const subject = "wechat.status.default.connection.state"
	kv, err := r.js.KeyValue(t.Context(), "wechat_leases")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Put(t.Context(), "default", []byte(`{"folder":"other","instance":"other","host":"b"}`)); err != nil {
		t.Fatal(err)
	}
	body, err := wire.SealConnection(wire.Connection{Account: "default", State: wire.StateBlocked, Transport: "the new worker's"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.js.Publish(t.Context(), subject, body); err != nil {
		t.Fatal(err)
	}
	r.eventually("it waits for the other worker", func() bool {
		_, text := r.get("/healthz")
		return strings.Contains(string(text), "Another worker serves")
	})
	stream, err := r.js.Stream(t.Context(), "WECHAT_STATUS")
	if err != nil {
		t.Fatal(err)
	}
	last, err := stream.GetLastMsgForSubject(t.Context(), subject)
	if err != nil {
		t.Fatal(err)
	}
	if string(last.Data) != string(body) {
		t.Errorf("the last record is %s", last.Data)
	}
}

// The heartbeat comes on both of its subjects, to guests too.
func TestHeartbeat(t *testing.T) {
	t.Parallel()
	r := newRig(t, sim.Options{})
	r.start()
	var subs []*nats.Subscription
	for _, subject := range []string{"wechat.status", "wechat.status.default.heartbeat"} {
		sub, err := r.nc.SubscribeSync(subject)
		if err != nil {
			t.Fatal(err)
		}
		subs = append(subs, sub)
	}
	r.awaitConnected()
	for _, sub := range subs {
		var beat wire.Heartbeat
		r.eventually("a heartbeat comes on "+sub.Subject, func() bool {
			msg, err := sub.NextMsg(time.Second)
			if err != nil {
				return false
			}
			_, err = wire.OpenAs(msg.Data, wire.TypeHeartbeat, &beat)
			return err == nil && beat.Connection == "pass"
		})
		if beat.Account != "default" || beat.Process != "pass" || beat.Version != "test" {
			t.Errorf("%s: %+v", sub.Subject, beat)
		}
	}
}

// What a guest hears live is what NATS has stored: the same records in the same
// order, with the stream's headers.
func TestLiveCopiesAreTheRecords(t *testing.T) {
	t.Parallel()
	r := newRig(t, sim.Options{})
	r.start()
	r.awaitConnected()
	live, err := r.nc.SubscribeSync("wechat.status")
	if err != nil || r.nc.FlushTimeout(patience) != nil {
		t.Fatal(err)
	}
	trace := "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	r.publishMsg(&nats.Msg{
		Subject: "wechat.send", Header: nats.Header{"traceparent": {trace}}, Data: []byte(`{"id":"traced","to":"Alice","text":"hi"}`),
	})
	var heard []string
	for len(heard) < 3 {
		msg, err := live.NextMsg(patience)
		if err != nil {
			t.Fatalf("after %v: %v", heard, err)
		}
		d, env, err := wire.OpenDelivery(msg.Data)
		if err != nil {
			continue // a heartbeat or the connection
		}
		heard = append(heard, fmt.Sprintf("%s %s %s", d.State, env.Traceparent, msg.Header.Get("Nats-Subject")))
	}
	for i, state := range []string{"accepted", "sending", "sent"} {
		if want := fmt.Sprintf("%s %s wechat.status.default.delivery.traced", state, trace); heard[i] != want {
			t.Errorf("heard %q, want %q", heard[i], want)
		}
	}
}

// The night of the story: sync answers 3, contacts answer 1205, and a network
// that comes and goes. Sends and messages go on, one session, few requests.
func TestANightOfAssertionErrors(t *testing.T) {
	t.Parallel()
	r := newRig(t, sim.Options{})
	r.start()
	r.awaitConnected()
	logins := r.logins()
	night := []sim.Fault{
		{On: []string{"synccheck", "webwxsync"}, Do: "ret", Ret: 3},
		{On: []string{"webwxbatchgetcontact", "webwxgetcontact"}, Do: "ret", Ret: 1205},
		{On: []string{"synccheck"}, Do: "reset", Probability: 0.5},
		{On: []string{"webwxsendmsg"}, Do: "status", Status: 502, Count: 2},
		{Do: "refuse", Count: 8},
		{On: []string{"webwxsendmsg"}, Do: "accept_then_drop", Count: 2},
	}
	n := 0
	for _, f := range night {
		r.fault(f)
		for range 5 {
			n++
			r.text(fmt.Sprint("night-", n), []string{"Alice", "Team"}[n%2], []string{"alice", "team"}[n%2], fmt.Sprint("night ", n))
			r.say(sim.Message{From: "bob", Type: "text", Text: fmt.Sprint("in ", n)})
		}
		r.eventually("the fault was met", func() bool { return r.sim.Faults()[0].Hits >= 1 || f.Ret == 1205 })
		r.sim.ClearFaults()
	}
	r.reckon(4) // two lost answers, two 502 that may have been taken
	r.noLoginSince(logins)
	r.eventually("it is ready", func() bool { s, _ := r.get("/readyz"); return s == 200 })
}
