package main

import (
	"encoding/json"
	"strings"
	"syscall"
	"testing"
	"time"

	"wechat-bridge/bridge/sim"
	"wechat-bridge/bridge/wire"
)

func TestCtrlCAndStartAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t, sim.Options{})
	w := b.run()
	b.send(w, "before", "文件传输助手", "filehelper", "one")
	b.accepted(1)
	b.finals(w)
	w.signal(t, syscall.SIGINT)
	w.endsWith(t, exitGood)

	if _, err := b.sim.Say(sim.Message{From: "alice", Type: "text", Text: "while you were out"}); err != nil {
		t.Fatal(err)
	}
	w = b.run()
	b.send(w, "before", "文件传输助手", "filehelper", "one") // the same id: not again
	b.commands = b.commands[:1]
	b.send(w, "after", "Alice", "alice", "two")
	image, err := json.Marshal(map[string]any{"id": "picture", "to": "Bob", "image": map[string]any{"data": pixel, "name": "p.png"}})
	if err != nil {
		t.Fatal(err)
	}
	b.publish(w, image)
	last := b.chain(w, "picture")
	if got := last[len(last)-1]; got.State != wire.Sent {
		t.Errorf("an image after a session login: %+v", got.Delivery)
	}
	sent := b.accepted(3)
	if len(sent) != 3 || sent[2].Type != "image" && sent[1].Type != "image" {
		t.Errorf("WeChat has %+v", sent)
		t.Logf("records of the id that was sent again: %s", runs(t, "get", "--nats", w.url, "--json", "before").out)
	}
	if st := b.sim.State(); st.Logins != 1 {
		t.Errorf("%d logins, want the first one only", st.Logins)
	}
	if _, err := b.sim.Say(sim.Message{From: "alice", Type: "text", Text: "welcome back"}); err != nil {
		t.Fatal(err)
	}
	watch := start(t, "watch", "--nats", w.url, "--history", "--events")
	watch.says(t, "welcome back")
	if n := strings.Count(watch.out.String(), "while you were out"); n != 1 {
		t.Errorf("the message of the pause arrived %d times:\n%s", n, watch.out)
	}
}

// pixel is the smallest picture.
var pixel = []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f\x15\xc4\x89\x00\x00\x00\rIDATx\x9cc\xf8\xff\xff?\x00\x05\xfe\x02\xfe\xa75\x81\x84\x00\x00\x00\x00IEND\xaeB`\x82")

func TestKillInTheMiddleOfFiftySends(t *testing.T) {
	t.Parallel()
	b := newBench(t, sim.Options{})
	b.slow(40 * time.Millisecond)
	w := b.run()
	b.many(w, 50)
	b.accepted(12)
	w.kill()

	w = b.run()
	report := b.judge(w, 8)
	if report.ByState[wire.Sent] != 50 {
		t.Errorf("by state: %v", report.ByState)
	}
	if n := len(b.sim.Sent()); n < 50 || n > 58 {
		t.Errorf("WeChat has %d messages", n)
	}
	if st := b.sim.State(); st.Logins != 1 {
		t.Errorf("%d logins, want no scan after a crash", st.Logins)
	}
}

func TestTermLetsSendsInFlightFinish(t *testing.T) {
	t.Parallel()
	b := newBench(t, sim.Options{})
	b.slow(300 * time.Millisecond)
	w := b.run()
	b.many(w, 12)
	b.accepted(2)
	w.signal(t, syscall.SIGTERM)
	w.endsWith(t, exitGood)
	b.sim.ClearFaults()

	w = b.run()
	report := b.judge(w, 0)
	if report.ByState[wire.Sent] != 12 || len(b.sim.Sent()) != 12 {
		t.Errorf("by state: %v; WeChat has %d", report.ByState, len(b.sim.Sent()))
	}
}

func TestSecondSignalLeavesAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, sim.Options{})
	w := b.run()
	if _, err := b.sim.AddFault(sim.Fault{On: []string{"webwxsendmsg"}, Do: "hang"}); err != nil {
		t.Fatal(err)
	}
	b.send(w, "stuck", "Alice", "alice", "hi")
	b.waitFor(func() bool { return b.sim.Requests("webwxsendmsg") > 0 })
	w.signal(t, syscall.SIGINT)
	w.says(t, "again to leave at once")
	began := time.Now()
	w.signal(t, syscall.SIGINT)
	w.endsWith(t, exitFailed)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
}
