package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"wechat-bridge/bridge/alert"
	"wechat-bridge/bridge/inbox"
	"wechat-bridge/bridge/link"
	"wechat-bridge/bridge/outbox"
	"wechat-bridge/bridge/sim"
	"wechat-bridge/bridge/sim/verify"
	"wechat-bridge/bridge/wechat"
	"wechat-bridge/bridge/wechat/webwx"
	"wechat-bridge/bridge/wire"
)

// nightWorld is the worker without NATS and sockets, on a simulator in memory:
// hours of it take seconds. It lives in a testing/synctest bubble.
type nightWorld struct {
	t     *testing.T
	nats  *memory
	sim   *sim.Server
	net   *sim.Memory
	pace  outbox.Pace
	seed  uint64
	epoch uint64
	life  *nightLife // nil: killed
	seen  *nightSeen
	// lenient: a step of the phone may find nothing to do.
	lenient bool
	load    sync.WaitGroup

	mu       sync.Mutex
	commands []verify.Command
	told     []string
	toldAt   []time.Time
	read     int // records that settled has seen
	finals   int // among them
}

// nightLife is one process.
type nightLife struct {
	*life
	account *account
	ends    []context.CancelFunc // in the order of a shutdown
	tasks   sync.WaitGroup

	wires sync.Mutex
	conns []net.Conn
}

// inNight runs a test in virtual time on a world.
func inNight(t *testing.T, opts sim.Options, pace outbox.Pace, test func(w *nightWorld)) {
	synctest.Test(t, func(t *testing.T) {
		opts.AutoLogin = true
		opts.Listener = sim.NewMemory()
		w := &nightWorld{t: t, nats: newMemory(), net: opts.Listener.(*sim.Memory), pace: pace,
			seed: opts.Seed, seen: newNightSeen()}
		var err error
		if w.sim, err = sim.Start(opts); err != nil {
			t.Fatal(err)
		}
		watch, stop := context.WithCancel(context.Background())
		var watching sync.WaitGroup
		watching.Go(func() { w.watch(watch) })
		test(w)
		w.end()
		stop()
		watching.Wait()
		if err := w.sim.Close(); err != nil {
			t.Error(err)
		}
	})
}

// start begins a life, as the worker does for an account whose lease it holds.
func (w *nightWorld) start() {
	w.epoch++
	l := &nightLife{life: &life{memory: w.nats}}
	a := w.newAccount(l)
	l.account = a
	observed, told := alertsOf(w.t, l)
	a.w.alerts.now = observed
	sending, linked, telling := l.context(), l.context(), l.context()
	l.tasks.Go(func() { w.check(a.outbox.Run(sending)) })
	l.tasks.Go(func() { w.check(a.link.Run(linked)) })
	l.tasks.Go(func() { a.publisher.Run(telling) })
	l.tasks.Go(func() { told(telling) })
	l.tasks.Go(func() {
		for pause(telling, heartbeatEvery) {
			a.w.alerts.observe(a.connection())
		}
	})
	w.mu.Lock()
	w.life = l
	w.mu.Unlock()
}

func (w *nightWorld) check(err error) {
	if err != nil {
		w.t.Error(err)
	}
}

func (l *nightLife) context() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	l.ends = append(l.ends, cancel)
	return ctx
}

func alertsOf(t *testing.T, l *nightLife) (*alert.Alerter, func(context.Context)) {
	one, err := alert.New(alert.Config{
		Account: "default", Publisher: memoryAlerts{l.life}, Memory: memoryVault{l.life, "alerts"}, Log: zerolog.Nop(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return one, one.Run
}

// newAccount wires what account.go wires, on the ports of the memory.
func (w *nightWorld) newAccount(l *nightLife) *account {
	log := zerolog.New(w.seen.log).With().Timestamp().Logger().Level(zerolog.InfoLevel)
	worker := &Worker{cfg: Defaults(), log: log, facts: newFacts("default"), alerts: &alerting{}}
	worker.cfg.WechatEndpoint = "https://memory:443"
	worker.opts.Observe = w.seen.observe
	worker.facts.nats(true, nil)
	worker.facts.lease(true, "")
	a := &account{w: worker, directory: wechat.NewDirectory(nil)}
	w.t.Helper()
	var err error
	a.transport, err = webwx.New(webwx.Config{
		Account: "default", Vault: memoryVault{l.life, "session"}, Directory: a.directory,
		Endpoint: worker.cfg.WechatEndpoint, RootCAs: w.sim.CAPool(), TempDir: w.t.TempDir(), Log: log,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return l.dial(ctx, w.net, network, addr)
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	a.publisher = newPublisher(func(_ context.Context, c wire.Connection) error { return w.seen.stored(l.life, c) }, log)
	a.inbox = inbox.New(inbox.Config{Account: "default", Events: memoryEvents{l.life}, Media: memoryMedia{l.life}, Log: log})
	a.link, err = link.New(link.Config{
		Account: "default", Transport: a.transport, Memory: memoryVault{l.life, "link"},
		Sink: a.inbox, Observe: a.observe, Log: log, Fault: a.fault, Rand: rand.New(rand.NewPCG(w.seed, w.epoch)).Float64,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	a.outbox = outbox.New(outbox.Config{
		Account: "default", Epoch: w.epoch,
		Commands: &memoryInlet{life: l.life, q: &w.nats.commands}, Normal: &memoryInlet{life: l.life, q: &w.nats.outbox},
		Ledger: l.life, Buffer: memoryBuffer{l.life}, Parking: memoryParking{l.life}, Objects: memoryObjects{l.life},
		Gate: gate{Link: a.link, facts: worker.facts}, Peers: a.directory, Abilities: a.transport.Abilities(),
		Pace: w.pace, Memory: memoryVault{l.life, "sends"}, Log: log,
	})
	worker.facts.serving(a.connection)
	return a
}

// dial connects to the simulator while the process lives.
func (l *nightLife) dial(ctx context.Context, to *sim.Memory, network, addr string) (net.Conn, error) {
	conn, err := to.Dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	l.wires.Lock()
	defer l.wires.Unlock()
	if l.do(func() error { return nil }) != nil {
		_ = conn.Close()
		return nil, errKilled
	}
	l.conns = append(l.conns, conn)
	return socket{conn}, nil
}

// socket says of a connection that the other side has closed what TCP says.
type socket struct{ net.Conn }

func (s socket) Write(b []byte) (int, error) {
	n, err := s.Conn.Write(b)
	if errors.Is(err, io.ErrClosedPipe) {
		err = &net.OpError{Op: "write", Net: "memory", Err: syscall.EPIPE}
	}
	return n, err
}

// kill ends the process as kill -9 does: nothing is stored any more, nothing
// is said, the connections break.
func (w *nightWorld) kill() {
	w.mu.Lock()
	l := w.life
	w.life = nil
	w.mu.Unlock()
	if l == nil {
		return
	}
	l.kill()
	l.wires.Lock()
	for _, c := range l.conns {
		_ = c.Close()
	}
	l.wires.Unlock()
	for _, end := range l.ends {
		end()
	}
	l.tasks.Wait()
}

// end is an orderly shutdown.
func (w *nightWorld) end() {
	w.load.Wait()
	l := w.living()
	if l == nil {
		return
	}
	for _, end := range l.ends {
		end()
	}
	l.tasks.Wait()
}

func (w *nightWorld) living() *nightLife {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.life
}

// send publishes a command as a user does.
func (w *nightWorld) send(n int) {
	to, id := "Alice", "alice"
	if n%2 == 0 {
		to, id = "Team", "team"
	}
	text := fmt.Sprintf("message %d", n)
	body, err := json.Marshal(map[string]string{"id": fmt.Sprintf("night-%d", n), "to": to, "text": text})
	if err != nil {
		w.t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.commands = append(w.commands, verify.Command{
		Account: "default", ID: fmt.Sprintf("night-%d", n), StreamSeq: w.nats.publish(body), To: id, Digest: verify.Digest(text),
	})
}

// reckon compares the three ledgers.
func (w *nightWorld) reckon(ambiguous int) verify.Report {
	w.mu.Lock()
	in := verify.Input{Commands: w.commands, Told: w.told, MaxAmbiguous: ambiguous}
	w.mu.Unlock()
	for _, e := range w.sim.Sent() {
		in.Ledger = append(in.Ledger, verify.Entry{Seq: e.Seq, ToID: e.ToID, To: e.To, Type: e.Type, Content: e.Content, ClientMsgID: e.ClientMsgID, MsgID: e.MsgID, Notice: e.Notice})
	}
	w.nats.mu.Lock()
	defer w.nats.mu.Unlock()
	for _, s := range w.nats.records {
		r, err := verify.ReadRecord(s)
		if err != nil {
			w.t.Errorf("record %d: %v", s.Seq, err)
		}
		in.Records = append(in.Records, r)
	}
	for _, e := range w.nats.events {
		var m wire.Message
		if _, err := wire.OpenAs(e.Body, wire.TypeMessage, &m); err == nil {
			in.Stored = append(in.Stored, m.MessageID)
		}
	}
	return verify.Check(in)
}

// settled reports whether nothing is left to do for messages.
func (w *nightWorld) settled() bool {
	w.mu.Lock()
	commands, told := len(w.commands), w.told
	w.mu.Unlock()
	w.nats.mu.Lock()
	defer w.nats.mu.Unlock()
	for ; w.read < len(w.nats.records); w.read++ {
		if d, _, err := wire.OpenDelivery(w.nats.records[w.read].Body); err == nil && d.Final && d.State != wire.Corrected {
			w.finals++
		}
	}
	return w.finals >= commands && !slices.ContainsFunc(told, func(id string) bool { return !w.nats.eventIDs[id] })
}

// eventually waits for a fact in virtual time.
func (w *nightWorld) eventually(within time.Duration, ok func() bool) bool {
	for deadline := time.Now().Add(within); !ok(); {
		if time.Now().After(deadline) {
			return false
		}
		time.Sleep(time.Second)
	}
	return true
}
