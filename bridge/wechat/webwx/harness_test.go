package webwx

import (
	"context"
	"errors"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"wechat-bridge/bridge/sim"
	"wechat-bridge/bridge/wechat"
	"wechat-bridge/classifier"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// noDeadline is for downloads inside of checks.
var noDeadline = context.Background()

const testHold = 150 * time.Millisecond

// memVault is a vault in memory; fail makes the next saves fail.
type memVault struct {
	mu    sync.Mutex
	value []byte
	fail  error
}

func (v *memVault) Load(context.Context) ([]byte, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.value), nil
}

func (v *memVault) Save(_ context.Context, value []byte) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.fail != nil {
		return v.fail
	}
	v.value = slices.Clone(value)
	return nil
}

func (v *memVault) breakDown(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.fail = err
}

// world is a simulator and one account's transport on it.
type world struct {
	t     testing.TB
	sim   *sim.Server
	vault *memVault
	dir   *wechat.Directory
	tr    *Transport
}

func newWorld(t testing.TB, opts ...func(*sim.Options)) *world {
	t.Helper()
	o := sim.Options{Listen: "127.0.0.1:0", Hold: testHold, AutoLogin: true, Echo: "off", Seed: 7}
	for _, f := range opts {
		f(&o)
	}
	s, err := sim.Start(o)
	must(t, err)
	t.Cleanup(func() { _ = s.Close() })
	w := &world{t: t, sim: s, vault: &memVault{}}
	w.restart()
	return w
}

// restart makes a new process: nothing is left but the vault.
func (w *world) restart(opts ...func(*Config)) {
	w.t.Helper()
	w.dir = wechat.NewDirectory(nil)
	cfg := Config{
		Account: "default", Vault: w.vault, Directory: w.dir, Endpoint: "https://" + w.sim.Addr(), RootCAs: w.sim.CAPool(),
		TempDir: w.t.TempDir(), Log: zerolog.Nop(), Hold: testHold, Slack: 2 * time.Second, Timeout: 5 * time.Second,
		LoginPace: 5 * time.Millisecond, LookupPace: 10 * time.Millisecond, ContactRetry: 20 * time.Millisecond,
	}
	for _, f := range opts {
		f(&cfg)
	}
	tr, err := New(cfg)
	must(w.t, err)
	w.tr = tr
}

func (w *world) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	w.t.Cleanup(cancel)
	return ctx
}

func (w *world) login(rung wechat.Rung) *Session {
	w.t.Helper()
	s, err := w.tr.Login(w.ctx(), wechat.LoginRequest{Rung: rung})
	must(w.t, err)
	w.t.Cleanup(func() { _ = s.Close() })
	return s.(*Session)
}

func (w *world) peer(name string) wechat.Peer {
	w.t.Helper()
	p, err := w.dir.Resolve(wechat.Query{Name: name})
	must(w.t, err)
	return p
}

func (w *world) say(m sim.Message) string {
	w.t.Helper()
	id, err := w.sim.Say(m)
	must(w.t, err)
	return id
}

func (w *world) fault(f sim.Fault) {
	w.t.Helper()
	_, err := w.sim.AddFault(f)
	must(w.t, err)
}

// event receives and commits until an event fits.
func (w *world) event(s *Session, fits func(wechat.Event) bool) wechat.Event {
	w.t.Helper()
	ctx := w.ctx()
	for {
		b, err := s.Receive(ctx)
		must(w.t, err)
		must(w.t, s.Commit(ctx, b.Cursor))
		for _, e := range b.Events {
			if fits(e) {
				return e
			}
		}
	}
}

func (w *world) byID(s *Session, id string) wechat.Event {
	w.t.Helper()
	return w.event(s, func(e wechat.Event) bool { return e.ID == id })
}

func textTo(p wechat.Peer, text, id string) wechat.Outgoing {
	return wechat.Outgoing{To: p, Kind: wechat.Text, Text: text, ClientID: id}
}

func faultOf(t testing.TB, err error) *classifier.Fault {
	t.Helper()
	var f *classifier.Fault
	if !errors.As(err, &f) {
		t.Fatalf("want a fault, got %v", err)
	}
	return f
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually waits for a fact.
func eventually(t testing.TB, what string, fact func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !fact() {
		select {
		case <-deadline:
			t.Fatalf("never: %s", what)
		case <-tick.C:
		}
	}
}

func entries(t testing.TB, dir string) int {
	t.Helper()
	list, err := os.ReadDir(dir)
	must(t, err)
	return len(list)
}
