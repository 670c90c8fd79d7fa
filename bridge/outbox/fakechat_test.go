package outbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/bridge/wire"
	"wechat-bridge/classifier"
)

// took is one message that WeChat has.
type took struct {
	peer   string
	text   string
	client string
	at     time.Time
	out    wechat.Outgoing
}

// fakeChat is WeChat: its ledger, and what it answers.
type fakeChat struct {
	mu     sync.Mutex
	ledger []took
	open   int // sends under way
	most   int
	busy   map[string]int // per peer
	twoAt  string         // a peer with two sends at once
	takes  func(peer string) time.Duration
	// answer decides about one send: taken, and the answer.
	answer func(out wechat.Outgoing) (taken bool, err error)
}

func (c *fakeChat) texts(peer string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	for _, m := range c.ledger {
		if m.peer == peer {
			out = append(out, m.text)
		}
	}
	return out
}

func (c *fakeChat) begin(peer string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy == nil {
		c.busy = map[string]int{}
	}
	c.open++
	c.most = max(c.most, c.open)
	if c.busy[peer]++; c.busy[peer] > 1 {
		c.twoAt = peer
	}
}

func (c *fakeChat) end(peer string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open--
	c.busy[peer]--
}

func (c *fakeChat) take(out wechat.Outgoing) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ledger = append(c.ledger, took{out.To.ID, out.Text, out.ClientID, time.Now(), out})
}

// sender is one process's session.
type sender struct{ p *proc }

func (s sender) Send(ctx context.Context, out wechat.Outgoing) (wechat.Receipt, error) {
	c := s.p.w.chat
	c.begin(out.To.ID)
	defer c.end(out.To.ID)
	if c.takes != nil {
		if err := pause(ctx, c.takes(out.To.ID)); err != nil {
			return wechat.Receipt{}, lost()
		}
	}
	var answer error
	err := s.p.call("wechat.send", func() error {
		taken := true
		if c.answer != nil {
			taken, answer = c.answer(out)
		}
		if taken {
			c.take(out)
		}
		return nil
	})
	if err != nil {
		return wechat.Receipt{}, lost()
	}
	if answer != nil {
		return wechat.Receipt{}, answer
	}
	return wechat.Receipt{MessageID: cmp.Or(out.Revoke, fmt.Sprint("m", out.ClientID)), Peer: out.To}, nil
}

// lost is an answer that did not come: WeChat may have the message.
func lost() error {
	return &classifier.Fault{Transport: classifier.WebWX, Op: classifier.OpSend, Phase: classifier.PhaseSent, Cause: errors.New("reset")}
}

// undialled is a message that surely did not go out.
func undialled() error {
	return &classifier.Fault{Transport: classifier.WebWX, Op: classifier.OpSend, Phase: classifier.PhaseDial, Cause: errors.New("no route")}
}

func code(n int) error {
	return &classifier.Fault{
		Transport: classifier.WebWX, Op: classifier.OpSend, Phase: classifier.PhaseAnswer, Status: 200,
		Body: classifier.BodyJSON, HasCode: true, Code: n,
	}
}

// gate is the link.
type gate struct {
	p    *proc
	mu   sync.Mutex
	open bool
	news chan struct{}
	// trips: a verdict that disconnects closes it
	trips    bool
	reported []classifier.Verdict
	asked    int // for an admission
	admitted int
	onAdmit  func() // before each admission
}

var errHeld = errors.New("held")

func (g *gate) set(open bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = open
	close(g.news)
	g.news = make(chan struct{})
}

func (g *gate) Wait(ctx context.Context) error {
	for {
		g.mu.Lock()
		open, news := g.open, g.news
		g.mu.Unlock()
		if open {
			return nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (g *gate) Admit() (wechat.Sender, func(classifier.Verdict), error) {
	if g.onAdmit != nil {
		g.onAdmit()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked++
	if !g.open {
		return nil, nil, errHeld
	}
	g.admitted++
	return sender{g.p}, func(v classifier.Verdict) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.reported = append(g.reported, v)
		if v.Disconnect && g.trips {
			g.open = false
		}
	}, nil
}

func friend(id, name string) wechat.Peer {
	return wechat.Peer{ID: id, Name: name, Type: wechat.Friend}
}

func people() *wechat.Directory {
	d := wechat.NewDirectory(nil)
	d.Begin()
	d.Put(friend("@alice", "Alice"), friend("@bob", "Bob"), friend("@carol1", "Carol"), friend("@carol2", "Carol"),
		wechat.Peer{ID: "@@team", Name: "Team", Type: wechat.Room}, wechat.Peer{ID: "filehelper", Type: wechat.Helper})
	d.PutMembers("@@team", []wechat.Peer{{ID: "@alice", Name: "Alice", Type: wechat.Member}, {ID: "@bob", Name: "Bob", Type: wechat.Member}})
	d.Loaded()
	return d
}

// process is one life of the bridge.
type process struct {
	*proc
	box   *Outbox
	gate  *gate
	peers *wechat.Directory
	over  chan struct{}
}

type option func(*process, *Config)

// trips has a verdict that disconnects close the gate.
func trips(p *process, _ *Config) { p.gate.trips = true }

// start begins a process with an epoch; it ends with the test at the latest.
func (w *world) start(t testing.TB, epoch uint64, opts ...option) *process {
	ctx, cancel := context.WithCancelCause(context.Background())
	p := &process{proc: &proc{w: w, kill: cancel}, peers: people(), over: make(chan struct{})}
	p.gate = &gate{p: p.proc, open: true, news: make(chan struct{})}
	cfg := Config{
		Account: "default", Epoch: epoch,
		Commands: &inlet{p: p.proc, name: "commands", s: &w.commands},
		Normal:   &inlet{p: p.proc, name: "outbox", s: &w.outbox, only: wire.PriorityNormal},
		High:     &inlet{p: p.proc, name: "high", s: &w.outbox, only: wire.PriorityHigh},
		Ledger:   p.proc, Buffer: buffer{p.proc}, Parking: parking{p.proc}, Objects: objects{p.proc},
		Gate: p.gate, Abilities: allKinds, Log: zerolog.Nop(),
	}
	for _, o := range opts {
		o(p, &cfg)
	}
	cfg.Peers = p.peers
	p.box = New(cfg)
	go func() { defer close(p.over); p.box.Run(ctx) }()
	t.Cleanup(p.stop)
	return p
}

// stop ends a process in order.
func (p *process) stop() {
	p.kill(context.Canceled)
	<-p.over
}

// crash ends it as kill -9 does.
func (p *process) crash() {
	p.die()
	<-p.over
}

func text(id, to, text string) string {
	return fmt.Sprintf(`{"id":%q,"to":%q,"text":%q}`, id, to, text)
}

// expect waits for the last record of a key to have a state.
func (w *world) expect(t testing.TB, key string, want wire.State, within time.Duration) wire.Delivery {
	t.Helper()
	end := time.Now().Add(within)
	for {
		w.mu.Lock()
		wait := w.changed
		w.mu.Unlock()
		d := w.last(t, key)
		if d.State == want {
			return d
		}
		timer := time.NewTimer(time.Until(end))
		select {
		case <-wait:
			timer.Stop()
		case <-timer.C:
			t.Fatalf("%s: the last record is %q (%s), want %s within %s; all: %v", key, d.State, d.Code, want, within, w.states(t, key))
		}
	}
}
