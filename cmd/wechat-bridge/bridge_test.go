package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"wechat-bridge/bridge/sim"
	"wechat-bridge/bridge/sim/verify"
	"wechat-bridge/bridge/wire"
)

// bench is a simulator in this process and `run` in another one, on a data
// folder that stays from one start to the next.
type bench struct {
	t   *testing.T
	sim *sim.Server
	dir string
	ca  string

	commands []verify.Command
}

func newBench(t *testing.T, opts sim.Options) *bench {
	t.Helper()
	dir := t.TempDir()
	b := &bench{t: t, dir: filepath.Join(dir, "data"), ca: filepath.Join(dir, "ca.pem")}
	opts.Listen, opts.CAFile, opts.AutoLogin, opts.Echo = "127.0.0.1:0", b.ca, true, "off"
	if opts.Hold == 0 {
		opts.Hold = time.Second
	}
	s, err := sim.Start(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	b.sim = s
	return b
}

// args are those of a `run` on this bench, on ports that nobody else has.
func (b *bench) args(more ...string) []string {
	return append([]string{"run", "--data-dir", b.dir, "--nats-listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--pace", "off",
		"--wechat-endpoint", "https://" + b.sim.Addr(), "--wechat-ca", b.ca}, more...)
}

// worker is one life of `run`.
type worker struct {
	*process
	url string // of its NATS server
	nc  *nats.Conn
}

// run starts a life and waits until it is connected.
func (b *bench) run(more ...string) *worker {
	b.t.Helper()
	w := &worker{process: start(b.t, b.args(more...)...)}
	w.url = w.says(b.t, `NATS +(nats://\S+)`)
	w.says(b.t, "Connected as")
	nc, err := nats.Connect(w.url, nats.Timeout(patience))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(nc.Close)
	w.nc = nc
	return w
}

// send publishes a text as a guest and wants it stored.
func (b *bench) send(w *worker, id, to, toID, text string) {
	b.t.Helper()
	body, err := json.Marshal(map[string]string{"id": id, "to": to, "text": text})
	if err != nil {
		b.t.Fatal(err)
	}
	seq := b.publish(w, body)
	b.commands = append(b.commands, verify.Command{Account: "default", ID: id, StreamSeq: seq, To: toID, Digest: verify.Digest(text)})
}

func (b *bench) publish(w *worker, body []byte) uint64 {
	b.t.Helper()
	reply, err := w.nc.Request("wechat.send", body, patience)
	if err != nil {
		b.t.Fatal(err)
	}
	var ack jetstream.PubAck
	if err := json.Unmarshal(reply.Data, &ack); err != nil || ack.Stream != "WECHAT_SEND" {
		b.t.Fatalf("no PubAck: %s", reply.Data)
	}
	return ack.Sequence
}

// many sends n texts to two chats in turn.
func (b *bench) many(w *worker, n int) {
	b.t.Helper()
	for i := range n {
		to, id := "Alice", "alice"
		if i%2 == 1 {
			to, id = "Team", "team"
		}
		b.send(w, fmt.Sprintf("m%02d", i), to, id, fmt.Sprintf("text %d", i))
	}
}

// slow makes each send take a while, so that some are in flight at any time.
func (b *bench) slow(d time.Duration) {
	b.t.Helper()
	if _, err := b.sim.AddFault(sim.Fault{On: []string{"webwxsendmsg"}, Do: "delay", Delay: d}); err != nil {
		b.t.Fatal(err)
	}
}

// accepted waits until WeChat has taken n messages.
func (b *bench) accepted(n int) []sim.Entry {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	sent, err := b.sim.WaitSent(ctx, n)
	if err != nil {
		b.t.Fatalf("WeChat has %d of %d messages: %v", len(b.sim.Sent()), n, err)
	}
	return sent
}

// finals waits for the final record of each command, by our own command line.
func (b *bench) finals(w *worker) []verify.Record {
	b.t.Helper()
	var records []verify.Record
	for _, c := range b.commands {
		records = append(records, b.chain(w, c.ID)...)
	}
	return records
}

// chain waits until a delivery is final and returns its records.
func (b *bench) chain(w *worker, id string) []verify.Record {
	b.t.Helper()
	js, err := jetstream.New(w.nc)
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	cons, err := js.OrderedConsumer(ctx, "WECHAT_STATUS", jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{"wechat.status.default.delivery." + wire.Key(id)},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	var chain []verify.Record
	for {
		m, err := cons.Next(jetstream.FetchContext(ctx))
		if err != nil {
			b.t.Fatalf("%s has no final record but %v: %v", id, chain, err)
		}
		meta, err := m.Metadata()
		if err != nil {
			b.t.Fatal(err)
		}
		r, err := verify.ReadRecord(wire.Stored{Seq: meta.Sequence.Stream, Token: wire.Key(id), Body: m.Data()})
		if err != nil {
			b.t.Fatal(err)
		}
		if chain = append(chain, r); r.Final {
			return chain
		}
	}
}

// judge compares what was published, what WeChat accepted and what is stored.
func (b *bench) judge(w *worker, ambiguous int) verify.Report {
	b.t.Helper()
	in := verify.Input{Commands: b.commands, Records: b.finals(w), MaxAmbiguous: ambiguous}
	for _, e := range b.sim.Sent() {
		in.Ledger = append(in.Ledger, verify.Entry{Seq: e.Seq, ToID: e.ToID, To: e.To, Type: e.Type, Content: e.Content, ClientMsgID: e.ClientMsgID, MsgID: e.MsgID, Notice: e.Notice})
	}
	report := verify.Check(in)
	if !report.OK() {
		b.t.Errorf("the ledgers do not agree: %s", report)
	}
	return report
}

// waitFor looks at a fact until it is so.
func (b *bench) waitFor(fact func() bool) {
	b.t.Helper()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	timeout := time.After(patience)
	for !fact() {
		select {
		case <-look.C:
		case <-timeout:
			b.t.Fatal("it never was so")
		}
	}
}
