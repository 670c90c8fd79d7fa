package bridge

import (
	"bytes"
	"encoding/json"
	"strings"
	"sync"
	"testing"

	"github.com/rs/zerolog"

	"wechat-bridge/bridge/sim"
	"wechat-bridge/bridge/wire"
)

// lockedBuffer may be written and read at the same time.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) lines() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Split(strings.TrimSpace(b.buf.String()), "\n")
}

// A fault's log line says all that a person needs, and the verb status counts
// its kind.
func TestAFaultIsToldWithItsContext(t *testing.T) {
	t.Parallel()
	r, out := newRig(t, sim.Options{}), &lockedBuffer{}
	r.log = zerolog.New(CalmLog(out))
	r.start()
	r.awaitConnected()
	r.fault(sim.Fault{On: []string{"synccheck"}, Do: "ret", Ret: 3, Count: 2})
	var line map[string]any
	r.eventually("the fault is told", func() bool {
		for _, l := range out.lines() {
			if err := json.Unmarshal([]byte(l), &line); err == nil && line["message"] == "fault" {
				return true
			}
		}
		return false
	})
	for field, want := range map[string]any{
		"level": "warn", "account": "default", "transport": "webwx", "operation": "synccheck", "at": "poll", "wechat_code": 3.0,
	} {
		if line[field] != want {
			t.Errorf("%s is %v, want %v", field, line[field], want)
		}
	}
	for _, field := range []string{"endpoint", "class", "code", "rule", "state", "attempt", "backlog"} {
		if line[field] == nil || line[field] == "" {
			t.Errorf("%s is missing: %v", field, line)
		}
	}
	var status wire.Status
	answer, _ := r.ask("status", nil)
	if err := json.Unmarshal(answer, &status); err != nil {
		t.Fatal(err)
	}
	if len(status.Faults) != 1 || status.Faults[0].Code != line["code"] || status.Faults[0].Count < 1 || status.Faults[0].MessageZH == "" {
		t.Errorf("faults: %+v", status.Faults)
	}
}
