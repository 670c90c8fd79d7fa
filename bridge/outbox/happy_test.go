package outbox

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"wechat-bridge/bridge/wire"
)

func TestOneText(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := w.start(t, 1)
		w.publish(text("a", "Alice", "hello"))
		d := w.expect(t, "a", wire.Sent, time.Minute)
		synctest.Wait()
		if diff := cmp.Diff([]wire.State{wire.Accepted, wire.Sending, wire.Sent}, w.states(t, "a")); diff != "" {
			t.Errorf("states: %s", diff)
		}
		if d.MessageID == "" || d.PeerID != "@alice" || d.Attempt != 1 || d.Certain || d.PossibleDuplicate || !d.Final || d.FinishedAt == nil {
			t.Errorf("final record: %+v", d)
		}
		if got := w.chat.texts("@alice"); len(got) != 1 || got[0] != "hello" {
			t.Errorf("WeChat has %v", got)
		}
		if a, b, c := w.left(); a+b+c != 0 {
			t.Errorf("left over: %d commands, %d in the outbox, %d parked", a, b, c)
		}
		if n, _ := p.box.Backlog(); n != 0 {
			t.Errorf("backlog %d, want 0", n)
		}
		p.stop()
	})
}
