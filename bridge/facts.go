package bridge

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"wechat-bridge/bridge/link"
	"wechat-bridge/bridge/monitor"
	"wechat-bridge/bridge/wechat"
	"wechat-bridge/bridge/wire"
	"wechat-bridge/classifier"
)

// beatLimit is how long the worker's own loop may stand still before the
// process counts as hanging.
const beatLimit = 30 * time.Second

// facts is what the monitor may ask at any time. Nothing in it blocks.
type facts struct {
	account string
	http    string
	started time.Time

	mu      sync.Mutex
	natsUp  monitor.Link
	leased  monitor.Link
	beat    time.Time
	conn    wire.Connection
	current func() wire.Connection // of the account that is served
	sends   monitor.Business

	faults faultBook
}

func newFacts(account string) *facts {
	now := time.Now()
	return &facts{
		account: account, started: now, beat: now,
		natsUp: monitor.Link{Since: now, Reason: "NATS is not there yet."},
		leased: monitor.Link{Since: now, Reason: "The account is not taken yet."},
		conn:   wire.Connection{Account: account, State: wire.StateStarting, Sending: string(link.Held), Since: now},
	}
}

// Silence is how long WeChat may say nothing.
func (f *facts) Silence() time.Duration { return monitor.DefaultSilence }

// Process is what can be known without WeChat.
func (f *facts) Process() monitor.Process {
	f.mu.Lock()
	defer f.mu.Unlock()
	return monitor.Process{
		Started: f.started, NATS: f.natsUp, Lease: f.leased,
		Loops: []monitor.Loop{{Name: "worker", Beat: f.beat, Limit: beatLimit}},
	}
}

// Connection is the newest state.
func (f *facts) Connection() wire.Connection {
	f.mu.Lock()
	current, conn := f.current, f.conn
	f.mu.Unlock()
	if current == nil {
		return conn
	}
	return current()
}

// Business is what sends have shown.
func (f *facts) Business() monitor.Business {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sends
}

// serving says whom to ask; nil keeps the last answer.
func (f *facts) serving(current func() wire.Connection) {
	last := f.Connection()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.conn, f.current = last, current
}

// pulse goes round while the link and the outbox can be asked: a deadlock
// there stops it, and /livez says so.
func (f *facts) pulse(ctx context.Context) {
	for {
		f.Connection()
		f.mu.Lock()
		f.beat = time.Now()
		f.mu.Unlock()
		if !pause(ctx, beatLimit/6) {
			return
		}
	}
}

func (f *facts) nats(up bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.natsUp = monitor.Link{OK: up, Since: time.Now()}
	if err != nil {
		f.natsUp.Reason = wire.Printable(err.Error(), 200)
	}
}

func (f *facts) lease(held bool, reason string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.leased = monitor.Link{OK: held, Since: time.Now(), Reason: reason}
}

// outcome counts what a send showed about WeChat. What is the message's own
// fault shows nothing.
func (f *facts) outcome(v classifier.Verdict, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case v.OK():
		f.sends.LastSent, f.sends.FaultsInRow = now, 0
	case v.Class == classifier.BadRequest, v.Class == classifier.RecipientClosed, v.Class == classifier.Internal:
	default:
		f.sends.LastFault, f.sends.Fault = now, v.Message.EN
		f.sends.FaultsInRow++
	}
}

// gate is the link as the outbox sees it; it also tells the monitor what sends
// showed.
type gate struct {
	*link.Link
	facts *facts
}

// Admit lets one send through.
func (g gate) Admit() (wechat.Sender, func(classifier.Verdict), error) {
	sender, report, err := g.Link.Admit()
	if err != nil {
		return nil, nil, err
	}
	var once atomic.Bool
	return sender, func(v classifier.Verdict) {
		if once.CompareAndSwap(false, true) {
			g.facts.outcome(v, time.Now())
			report(v)
		}
	}, nil
}
