package bridge

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"wechat-bridge/bridge/sim"
	"wechat-bridge/bridge/sim/verify"
	"wechat-bridge/bridge/wire"
)

// flood publishes n texts without waiting for each PubAck.
func (r *rig) flood(n int, prefix, to, toID string) {
	r.t.Helper()
	inbox := r.nc.NewInbox()
	acks, err := r.nc.SubscribeSync(inbox)
	if err != nil {
		r.t.Fatal(err)
	}
	defer acks.Unsubscribe()
	for i := range n {
		body, err := json.Marshal(map[string]any{"id": fmt.Sprint(prefix, i), "to": to, "text": fmt.Sprint(prefix, i)})
		if err == nil {
			err = r.nc.PublishRequest("wechat.send", inbox, body)
		}
		if err != nil {
			r.t.Fatal(err)
		}
	}
	for i := range n {
		msg, err := acks.NextMsg(patience)
		if err != nil || !strings.Contains(string(msg.Data), `"seq"`) {
			r.t.Fatalf("no PubAck: %v, %+v", err, msg)
		}
		r.commands = append(r.commands, verify.Command{
			Account: "default", ID: fmt.Sprint(prefix, i), To: toID, Digest: verify.Digest(fmt.Sprint(prefix, i)),
		})
	}
}

// 1,500 commands to one slow chat do not hold up another one, and none of them
// gets lost or overtaken. The slow chat alone would take five minutes.
func TestASlowChatHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	r := newRig(t, sim.Options{})
	r.start()
	r.awaitConnected()
	r.fault(sim.Fault{On: []string{"webwxsendmsg"}, Do: "delay", Delay: 200 * time.Millisecond})
	r.flood(1500, "slow-", "Alice", "alice")
	for n := range 3 {
		id := fmt.Sprint("quick-", n)
		r.text(id, "Team", "team", id)
		d := r.final(id)
		if took := d.FinishedAt.Sub(*d.AcceptedAt); d.State != wire.Sent || took > 30*time.Second {
			t.Errorf("%s: %s after %s", id, d.State, took)
		} else {
			t.Logf("%s: sent after %s", id, took)
		}
	}
	if n := len(r.sim.Sent()); n > 1000 {
		t.Fatalf("WeChat has %d already: the chat was not slow", n)
	}
	r.sim.ClearFaults()
	r.drained(1503)
	r.reckon(0)
}

// drained waits until WeChat has n messages, for as long as more come.
func (r *rig) drained(n int) {
	r.t.Helper()
	for have := 0; have < n; {
		before := have
		r.eventually(fmt.Sprintf("WeChat gets more than %d of %d", before, n), func() bool {
			have = len(r.sim.Sent())
			return have > before
		})
	}
}

// A room that cannot be seen: its messages wait, say so once, and go out before
// anything newer of that room when somebody speaks there.
func TestInvisibleRoomIsWaitedFor(t *testing.T) {
	t.Parallel()
	r := newRig(t, sim.Options{})
	r.start()
	r.awaitConnected()
	for n := range 3 {
		id := fmt.Sprint("hidden-", n)
		r.text(id, "Hidden Room", "hidden", id)
	}
	r.text("other", "Alice", "alice", "other")
	if d := r.final("other"); d.State != wire.Sent {
		t.Errorf("another chat: %+v", d)
	}
	r.eventually("all three wait", func() bool {
		n := 0
		for _, rec := range r.records() {
			if rec.State == wire.Waiting && rec.Code == "recipient_not_visible" && rec.RetryAt != nil {
				n++
			}
		}
		return n == 3
	})
	r.stopWorker() // waiting outlives the process
	r.start()
	r.awaitConnected()
	if n := len(r.sim.Sent()); n != 1 {
		t.Errorf("WeChat has %d messages", n)
	}
	r.say(sim.Message{From: "frank", Room: "hidden", Type: "text", Text: "anybody here?"})
	r.text("hidden-new", "Hidden Room", "hidden", "hidden-new")
	r.reckon(0)
	var order []string
	for _, e := range r.sim.Sent()[1:] {
		order = append(order, e.Content)
	}
	if got := strings.Join(order, " "); got != "hidden-0 hidden-1 hidden-2 hidden-new" {
		t.Errorf("order in the room: %s", got)
	}
	if got := r.chain("hidden-0"); got != "accepted waiting sending sent" {
		t.Errorf("its chain: %s", got)
	}
}
