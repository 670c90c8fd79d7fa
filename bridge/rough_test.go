package bridge

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"wechat-bridge/bridge/sim"
	"wechat-bridge/bridge/wire"
)

// Contacts that cannot be had while logging in cost no login: what needs none
// goes out, the rest waits and is not refused. The connection's record tells
// that they are missing, until they are there.
func TestLoginHoldsWithoutContacts(t *testing.T) {
	t.Parallel()
	r := newRig(t, sim.Options{})
	r.cfg.RecipientWait = time.Second
	r.fault(sim.Fault{On: []string{"webwxgetcontact", "webwxbatchgetcontact"}, Do: "ret", Ret: 1205})
	r.start()
	r.awaitConnected()
	logins := r.logins()
	r.text("helper", "filehelper", "filehelper", "helper")
	r.text("friend", "Dave", "dave", "friend")
	if d := r.final("helper"); d.State != wire.Sent {
		t.Errorf("to the file helper: %+v", d)
	}
	r.say(sim.Message{From: "alice", Type: "text", Text: "hello"})
	r.eventually("what comes in is stored", func() bool { return len(r.messages()) == 1 })
	r.eventually("the other one waits longer than for somebody unknown", func() bool {
		d, ok := r.last("wechat.status.default.delivery.friend")
		return ok && time.Since(*d.AcceptedAt) > 2*r.cfg.RecipientWait
	})
	if d, _ := r.last("wechat.status.default.delivery.friend"); d.Final {
		t.Errorf("to a friend who cannot be looked up yet: %+v", d)
	}
	r.eventually("the stored state tells what is missing", func() bool {
		c := r.storedState()
		return c.State == wire.StateConnected && c.Reason != nil && c.Reason.Code == "contacts_limited" &&
			strings.Contains(c.Reason.Message, "contact list") && strings.Contains(c.Reason.MessageZH, "通讯录")
	})
	r.sim.ClearFaults() // the next try comes within minutes: the restart is quicker
	r.stopWorker()
	r.start()
	r.awaitConnected()
	r.reckon(0)
	r.eventually("it does not tell so any more", func() bool {
		c := r.storedState()
		return c.State == wire.StateConnected && c.Reason == nil
	})
	r.noLoginSince(logins)
	if logins[0] != 1 || logins[1] != 1 {
		t.Errorf("logins, codes and pushes: %v", logins)
	}
}

// A server that fails in the middle of a login costs no second code.
func TestServerErrorsWhileLoggingIn(t *testing.T) {
	for _, endpoint := range []string{"jslogin", "webwxinit", "webwxstatusnotify", "synccheck", "webwxsync"} {
		t.Run(endpoint, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, sim.Options{})
			r.fault(sim.Fault{On: []string{endpoint}, Do: "status", Status: 503, Count: 2})
			r.start()
			r.awaitConnected()
			r.text("hi", "Alice", "alice", "hi")
			r.reckon(0)
			want := [3]int{1, 1, 0}
			if endpoint == "jslogin" {
				want[1] = 3
			}
			if got := r.logins(); got != want {
				t.Errorf("logins, codes and pushes: %v, want %v", got, want)
			}
		})
	}
}

// A medium that WeChat does not give holds nothing up, and its event says so.
func TestMediaThatCannotBeHad(t *testing.T) {
	t.Parallel()
	r := newRig(t, sim.Options{})
	r.cfg.MaxMedia = 100 << 10
	r.start()
	r.awaitConnected()
	r.fault(sim.Fault{On: []string{"webwxgetmsgimg"}, Do: "status", Status: 404})
	r.say(sim.Message{From: "alice", Type: "image", Data: pixel})
	r.say(sim.Message{From: "bob", Type: "file", Name: "big.bin", Data: bytes.Repeat([]byte("x"), 200<<10)})
	r.say(sim.Message{From: "bob", Type: "text", Text: "after"})
	r.reckon(0)
	states := map[string]string{}
	for _, m := range r.messages() {
		if m.Media != nil {
			states[m.Kind] = m.Media.State + " " + m.Media.Object
		}
	}
	if states["image"] != wire.MediaMissing+" " || states["file"] != wire.MediaTooLarge+" " {
		t.Errorf("media: %v", states)
	}
}

// memo is a log that can be read while it is written.
type memo struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (m *memo) Write(p []byte) (int, error) { m.mu.Lock(); defer m.mu.Unlock(); return m.b.Write(p) }
func (m *memo) String() string              { m.mu.Lock(); defer m.mu.Unlock(); return m.b.String() }

var secrets = regexp.MustCompile(`(?i)skey|pass_?ticket|wxsid|wxuin|data_ticket|@crypt_|@@?[0-9a-f]{32}|login\.weixin\.qq\.com/l/`)

// The log of a rough hour: a handful of lines for each fault, and nobody's
// text, name or secret.
func TestLogIsShortAndKeepsSecrets(t *testing.T) {
	t.Parallel()
	r := newRig(t, sim.Options{})
	out := &memo{}
	r.log = zerolog.New(out).Level(zerolog.InfoLevel)
	r.start()
	r.awaitConnected()
	r.text("1", "Alice", "alice", "hush-text")
	r.say(sim.Message{From: "alice", Type: "image", Data: pixel})
	r.say(sim.Message{From: "alice", Type: "text", Text: "hush-answer"})
	r.reckon(0)
	quiet := strings.Count(out.String(), "\n")
	for _, f := range []sim.Fault{
		{Do: "refuse"}, {On: []string{"webwxsendmsg"}, Do: "html", Count: 1}, {On: []string{"webwxsync"}, Do: "ret", Ret: 3},
	} {
		r.fault(f)
		for n := range 20 {
			r.send(map[string]any{"to": "Alice", "text": "hush-text"})
			r.send(map[string]any{"to": "Nobody-hush", "text": ""})
			if _, err := r.sim.Say(sim.Message{From: "alice", Type: "text", Text: fmt.Sprint("hush-answer ", n)}); err != nil {
				t.Fatal(err)
			}
		}
		r.eventually("the fault was met", func() bool {
			return r.sim.Faults()[0].Hits >= min(3, max(f.Count, 1)) || f.Count == 0 && f.Do != "refuse"
		})
		r.sim.ClearFaults()
		r.drained(1)
	}
	r.text("last", "Alice", "alice", "hush-last")
	r.final("last")
	r.stopWorker()
	log := out.String()
	for _, word := range append([]string{"hush", "Alice", "小桥"}, r.folderSecrets()...) {
		if strings.Contains(log, word) {
			t.Errorf("the log has %q:\n%s", word, log)
		}
	}
	if found := secrets.FindString(log); found != "" {
		t.Errorf("the log has %q:\n%s", found, log)
	}
	if lines := strings.Count(log, "\n") - quiet; lines > 40 {
		t.Errorf("%d lines for three faults:\n%s", lines, log)
	}
}

func (r *rig) folderSecrets() (all []string) {
	for _, name := range []string{"nats-password", "http-token", "session.key"} {
		raw, err := os.ReadFile(filepath.Join(r.cfg.DataDir, name))
		if err != nil || len(raw) < 16 {
			r.t.Fatalf("%s: %v", name, err)
		}
		all = append(all, strings.TrimSpace(string(raw)))
	}
	return all
}

// A session that another key has written is no reason for a new login.
func TestWrongSessionKeyIsAConfigError(t *testing.T) {
	t.Parallel()
	r := newRig(t, sim.Options{})
	r.start()
	r.awaitConnected()
	r.stopWorker()
	logins := r.logins()
	if err := os.Remove(filepath.Join(r.cfg.DataDir, "session.key")); err != nil {
		t.Fatal(err)
	}
	w, err := New(r.cfg, Options{Log: testLog()})
	if err != nil {
		t.Fatal(err)
	}
	var bad *ConfigError
	if err := w.Run(t.Context()); !errors.As(err, &bad) || bad.Key != "session-key-file" {
		t.Errorf("got %v", err)
	}
	r.noLoginSince(logins)
}
