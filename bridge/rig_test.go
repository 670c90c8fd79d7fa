package bridge

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"wechat-bridge/bridge/sim"
	"wechat-bridge/bridge/sim/verify"
	"wechat-bridge/bridge/wire"
)

// rig is a worker with its embedded NATS server on a simulator, seen from
// outside: a guest's connection to NATS, what NATS has stored, and the
// simulator's ledger.
type rig struct {
	t      *testing.T
	sim    *sim.Server
	cfg    Config
	log    zerolog.Logger
	info   Info
	ready  chan Info
	states chan wire.Connection
	stop   context.CancelFunc
	done   chan error
	nc     *nats.Conn // a guest
	owner  *nats.Conn // the embedded server's own user
	js     jetstream.JetStream

	commands []verify.Command // that NATS acknowledged
	told     []string         // ids of what the simulator handed over
}

const patience = 2 * time.Minute

// newRig starts a simulator whose phone scans and confirms by itself; start
// starts a worker on it.
func newRig(t *testing.T, opts sim.Options) *rig {
	t.Helper()
	opts.AutoLogin = true
	return newManualRig(t, opts)
}

// newManualRig is one whose phone does what the test says.
func newManualRig(t *testing.T, opts sim.Options) *rig {
	t.Helper()
	dir := t.TempDir()
	opts.Listen, opts.Hold = "127.0.0.1:0", 2*time.Second
	opts.CAFile = filepath.Join(dir, "ca.pem")
	if opts.Echo == "" {
		opts.Echo = "off"
	}
	s, err := sim.Start(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	cfg := goodConfig()
	cfg.DataDir, cfg.NATSListen, cfg.HTTP = filepath.Join(dir, "data"), "127.0.0.1:0", "127.0.0.1:0"
	cfg.WechatEndpoint, cfg.WechatCA, cfg.Pace, cfg.PaceDay = "https://"+s.Addr(), opts.CAFile, "off", 0
	return &rig{t: t, sim: s, cfg: cfg, log: testLog()}
}

// start runs a worker until stopWorker or the end of the test, and waits until
// it is ready for clients.
func (r *rig) start() {
	r.t.Helper()
	r.launch()
	r.awaitReady()
}

func (r *rig) launch() {
	r.t.Helper()
	r.ready = make(chan Info, 1)
	r.states = make(chan wire.Connection, 1000)
	ready, states := r.ready, r.states
	w, err := New(r.cfg, Options{
		Version: "test", Log: r.log, Ready: func(i Info) { ready <- i },
		Observe: func(c wire.Connection) { states <- c },
	})
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.stop, r.done = cancel, make(chan error, 1)
	done := r.done
	go func() { done <- w.Run(ctx) }()
	r.t.Cleanup(r.stopWorker)
}

func (r *rig) awaitReady() {
	r.t.Helper()
	select {
	case r.info = <-r.ready:
	case err := <-r.done:
		r.t.Fatalf("the worker ended: %v", err)
	case <-time.After(patience):
		r.t.Fatal("the worker was not ready in time")
	}
	r.connect()
}

// testLog is quiet unless somebody looks for the cause of a failure.
func testLog() zerolog.Logger {
	if os.Getenv("BRIDGE_TEST_LOG") == "" {
		return zerolog.Nop()
	}
	return zerolog.New(zerolog.ConsoleWriter{Out: os.Stderr})
}

func (r *rig) connect() {
	r.t.Helper()
	var err error
	if r.nc, err = nats.Connect(r.info.NATS, nats.Timeout(patience), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond)); err != nil {
		r.t.Fatal(err)
	}
	if r.owner, err = nats.Connect(r.info.NATS, append(r.credentials(), nats.Timeout(patience))...); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { r.nc.Close(); r.owner.Close() })
	if r.js, err = jetstream.New(r.owner); err != nil {
		r.t.Fatal(err)
	}
}

// credentials are the embedded server's own; an external one wants none.
func (r *rig) credentials() []nats.Option {
	if !r.info.Embedded {
		return []nats.Option{nats.MaxReconnects(-1), nats.ReconnectWait(100 * time.Millisecond)}
	}
	password, err := os.ReadFile(filepath.Join(r.cfg.DataDir, "nats-password"))
	if err != nil {
		r.t.Fatal(err)
	}
	return []nats.Option{nats.UserInfo("bridge", strings.TrimSpace(string(password)))}
}

// stopWorker ends the worker as a signal would; it may be called twice.
func (r *rig) stopWorker() {
	if r.stop == nil {
		return
	}
	if r.nc != nil {
		r.nc.Close()
		r.owner.Close()
	}
	r.stop()
	select {
	case err := <-r.done:
		if err != nil {
			r.t.Errorf("the worker ended with %v", err)
		}
	case <-time.After(patience):
		r.t.Error("the worker did not end in time")
	}
	r.stop = nil
}

// await waits for a state of the connection.
func (r *rig) await(what string, ok func(wire.Connection) bool) wire.Connection {
	r.t.Helper()
	return r.awaitFor(patience, what, ok)
}

func (r *rig) awaitFor(d time.Duration, what string, ok func(wire.Connection) bool) wire.Connection {
	r.t.Helper()
	deadline := time.After(d)
	for {
		select {
		case c := <-r.states:
			if ok(c) {
				return c
			}
		case <-deadline:
			r.t.Fatalf("the connection never was %s", what)
		}
	}
}

func (r *rig) awaitState(state string) wire.Connection {
	r.t.Helper()
	return r.await(state, func(c wire.Connection) bool { return c.State == state })
}

// fault has something go wrong at WeChat.
func (r *rig) fault(f sim.Fault) int {
	r.t.Helper()
	n, err := r.sim.AddFault(f)
	if err != nil {
		r.t.Fatal(err)
	}
	return n
}

func (r *rig) awaitConnected() {
	r.t.Helper()
	r.await("connected, and messages go out", func(c wire.Connection) bool {
		return c.State == wire.StateConnected && (c.Sending == wire.SendingFlowing || c.Sending == wire.SendingRamping)
	})
}

// send publishes a command as a guest, wants it stored, and gives its place in
// WECHAT_SEND.
func (r *rig) send(command map[string]any) uint64 {
	r.t.Helper()
	body, err := json.Marshal(command)
	if err != nil {
		r.t.Fatal(err)
	}
	return r.publish(body)
}

func (r *rig) publish(body []byte) uint64 {
	r.t.Helper()
	return r.publishMsg(&nats.Msg{Subject: "wechat.send", Data: body})
}

func (r *rig) publishMsg(m *nats.Msg) uint64 {
	r.t.Helper()
	reply, err := r.nc.RequestMsg(m, patience)
	if err != nil {
		r.t.Fatal(err)
	}
	var ack struct {
		Stream    string
		Seq       uint64
		Duplicate bool
	}
	if err := json.Unmarshal(reply.Data, &ack); err != nil || ack.Stream != "WECHAT_SEND" || ack.Duplicate {
		r.t.Fatalf("no PubAck: %s", reply.Data)
	}
	return ack.Seq
}

// final waits for the final record of a key, as NATS has stored it.
func (r *rig) final(key string) wire.Delivery {
	r.t.Helper()
	subject := "wechat.status.default.delivery." + key
	var last string
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		d, ok := r.last(subject)
		if ok && d.Final {
			return d
		}
		last = fmt.Sprintf("%+v", d)
		waitABit(r.t.Context())
	}
	r.t.Fatalf("%s never was final; last: %s", key, last)
	return wire.Delivery{}
}

// eventually waits for a fact.
func (r *rig) eventually(what string, ok func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(patience); !ok(); waitABit(r.t.Context()) {
		if time.Now().After(deadline) {
			r.t.Fatalf("it never came true that %s", what)
		}
	}
}

// waitABit is the pause between two looks at a fact.
func waitABit(ctx context.Context) { pause(ctx, 20*time.Millisecond) }

func (r *rig) last(subject string) (wire.Delivery, bool) {
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	stream, err := r.js.Stream(ctx, "WECHAT_STATUS")
	if err != nil {
		r.t.Fatal(err)
	}
	msg, err := stream.GetLastMsgForSubject(ctx, subject)
	if err != nil {
		return wire.Delivery{}, false
	}
	d, _, err := wire.OpenDelivery(msg.Data)
	if err != nil {
		r.t.Fatal(err)
	}
	return d, true
}
