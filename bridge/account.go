package bridge

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"wechat-bridge/bridge/broker"
	"wechat-bridge/bridge/inbox"
	"wechat-bridge/bridge/link"
	"wechat-bridge/bridge/monitor"
	"wechat-bridge/bridge/outbox"
	"wechat-bridge/bridge/wechat"
	"wechat-bridge/bridge/wechat/webwx"
	"wechat-bridge/bridge/wire"
)

// heartbeatEvery is CONTRACT's interval of the heartbeat.
const heartbeatEvery = 15 * time.Second

// account is everything that works for one account while its lease is held.
type account struct {
	w         *Worker
	ports     *broker.Account
	transport wechat.Transport
	directory *wechat.Directory
	link      *link.Link
	inbox     *inbox.Inbox
	outbox    *outbox.Outbox
	inlets    []*broker.Inlet // what the outbox reads from
	publisher *publisher
	observing sync.Mutex // one record after the other
}

// serveAccount works until the context ends or the lease is lost. Sends in
// flight end before the session does, and the session before the records.
func (w *Worker) serveAccount(ctx context.Context, lease *broker.Lease) error {
	a, err := w.newAccount(ctx, lease)
	if err != nil {
		return err
	}
	w.facts.serving(a.connection)
	defer w.facts.serving(nil)

	sending, stopSending := context.WithCancel(ctx)
	linked, stopLink := context.WithCancel(context.WithoutCancel(ctx))
	telling, stopTelling := context.WithCancel(context.WithoutCancel(ctx))
	defer stopSending()
	defer stopLink()
	defer stopTelling()

	var sends, links, tells sync.WaitGroup
	var failed error
	var once sync.Once
	fail := func(err error) {
		if err != nil && sending.Err() == nil && !errors.Is(err, broker.ErrNotHeld) {
			once.Do(func() { failed = err })
		}
		stopSending()
	}
	sends.Go(func() { fail(a.outbox.Run(sending)) })
	links.Go(func() { fail(a.link.Run(linked)) })
	tells.Go(func() { a.publisher.Run(telling) })
	tells.Go(func() { a.beat(telling) })
	tells.Go(func() { a.watchContacts(telling) })
	tells.Go(func() { a.canary(sending) })
	tells.Go(func() { w.broker.WatchStrays(telling, w.answerStray) })
	closeAPI, err := a.serveAPI()
	if err != nil {
		fail(err)
	}

	select {
	case <-sending.Done():
	case <-lease.Lost():
	}
	stopSending()
	closeAPI()
	sends.Wait()
	for _, in := range a.inlets { // the outbox does not close what it did not open
		in.Close()
	}
	stopLink()
	links.Wait()
	stopTelling()
	tells.Wait()
	a.lastWords(ctx)
	w.alerts.left()
	return failed
}

func (w *Worker) newAccount(ctx context.Context, lease *broker.Lease) (*account, error) {
	ports, err := w.broker.Account(w.cfg.Account, lease)
	if err != nil {
		return nil, err
	}
	a := &account{w: w, ports: ports}
	key, err := w.sessionKey()
	if err != nil {
		return nil, err
	}
	session := ports.Vault(key, "")
	if err := readable(ctx, session); err != nil {
		return nil, err
	}
	if err := a.newTransport(session); err != nil {
		return nil, err
	}
	if err := w.alerts.begin(ports, lasting{ports.Vault(key, "alerts")}); err != nil {
		return nil, err
	}
	a.publisher = newPublisher(a.store, w.log)
	a.inbox = inbox.New(inbox.Config{
		Account: w.cfg.Account, Events: ports.Events(), Media: ports.Media(),
		MaxMedia: w.cfg.MaxMedia, Raw: w.cfg.Raw, Notice: a.notice, Log: w.log,
	})
	a.rememberEvents(ctx)
	a.link, err = link.New(link.Config{
		Account: w.cfg.Account, Transport: a.transport, Memory: lasting{ports.Vault(key, "link")},
		Sink: a.inbox, Observe: a.observe, Fault: a.fault, Log: w.log, Rand: rand.Float64,
		Limits: link.Limits{Ramp: w.cfg.MaxInFlight},
	})
	if err != nil {
		return nil, err
	}
	a.outbox = outbox.New(a.outboxConfig(lease, lasting{ports.Vault(key, "sends")}))
	return a, nil
}

// rememberEvents tells the inbox what the stream has: WeChat tells again what
// came last before a restart, and its media need not be fetched twice. Without
// it the stream drops the repeats all the same.
func (a *account) rememberEvents(ctx context.Context) {
	ids, err := a.ports.Events().Newest(ctx, inbox.MaxKnown)
	if err != nil {
		a.w.log.Warn().Err(err).Msg("the newest events were not read; media of repeated messages are fetched again")
		return
	}
	a.inbox.Remember(ids...)
}

func (a *account) outboxConfig(lease *broker.Lease, memory wechat.Vault) outbox.Config {
	cfg, p := a.w.cfg, a.ports
	commands, normal, high := p.Intake(), p.Courier(wire.PriorityNormal), p.Courier(wire.PriorityHigh)
	a.inlets = []*broker.Inlet{commands, normal, high}
	return outbox.Config{
		Account: cfg.Account, Epoch: lease.Epoch(),
		Commands: commands, Normal: normal, High: high,
		Ledger: p.Ledger(), Buffer: p.Buffer(), Parking: p.Parking(), Objects: p.Objects(),
		Gate: gate{Link: a.link, facts: a.w.facts}, Peers: a.directory,
		Abilities: a.transport.Abilities(),
		Pace:      outbox.Pace{N: a.w.pace.N, Per: a.w.pace.Per, Burst: a.w.pace.Burst, Daily: a.w.pace.Daily},
		Memory:    memory,
		Fallback:  a.w.alerts.fallback(), FallbackAfter: cfg.Alerts.FallbackAfter, FallbackInstead: cfg.Alerts.FallbackPolicy == policyInstead,
		TTL: cfg.TTL, Horizon: cfg.Horizon, RecipientWait: orNone(cfg.RecipientWait), Grace: orNone(cfg.Grace),
		MaxInFlight: cfg.MaxInFlight, HelpURL: a.w.helpURL, Log: a.w.log,
	}
}

// orNone makes 0 as short as can be: to the outbox 0 is its default.
func orNone(d time.Duration) time.Duration { return max(d, time.Nanosecond) }

func (w *Worker) sessionKey() (*broker.Key, error) {
	path, create := w.cfg.SessionKey, false
	if path == "" {
		path, create = filepath.Join(w.folder.Path, "session.key"), true
	}
	key, err := broker.LoadKey(path, create)
	if err != nil {
		return nil, sessionKeyError(err)
	}
	return key, nil
}

// readable refuses to start over a session that another key has written: the
// right key may be at hand, and a new login would replace the session.
func readable(ctx context.Context, v *broker.Vault) error {
	_, err := v.Load(ctx)
	if errors.Is(err, broker.ErrWrongKey) {
		return &ConfigError{Key: "session-key-file", Msg: "the stored session was written with another key; give that key, or run `wechat-bridge logout` where it is", Err: err}
	}
	return nil
}

func (a *account) newTransport(session wechat.Vault) error {
	book, err := a.w.cfg.Book()
	if err != nil {
		return err
	}
	a.directory = wechat.NewDirectory(book)
	temp := filepath.Join(a.w.folder.Path, "tmp")
	if err := os.MkdirAll(temp, 0o700); err != nil {
		return folderError(a.w.folder.Path, "cannot be written", err)
	}
	roots, err := a.w.cfg.roots()
	if err != nil {
		return err
	}
	a.transport, err = webwx.New(webwx.Config{
		Account: a.w.cfg.Account, Vault: session, Directory: a.directory,
		Endpoint: a.w.cfg.WechatEndpoint, RootCAs: roots, TempDir: temp, Log: a.w.log,
	})
	return err
}

// observe hears each change of the link.
func (a *account) observe(s link.Status) {
	a.observing.Lock()
	defer a.observing.Unlock()
	a.tell(s)
}

func (a *account) tell(s link.Status) {
	c := a.record(s)
	a.publisher.Add(c)
	a.w.alerts.observe(c)
	a.w.opts.Observe(c)
}

func (a *account) connection() wire.Connection { return a.record(a.link.Status()) }

func (a *account) record(s link.Status) wire.Connection {
	c := connectionRecord(s, a.transport.Abilities(), a.w.cfg.WechatEndpoint != "", a.backlog())
	if a.outbox != nil {
		c.Pace = paceOf(a.outbox.Pace())
	}
	if c.Sending == wire.SendingFlowing && c.Pace.SlowedUntil != nil {
		c.Sending = wire.SendingSlowed
	}
	if c.State == wire.StateConnected && c.Reason == nil {
		c.Reason = contactsReason(a.directory.Failure())
	}
	if c.Reason != nil {
		c.Reason.HelpURL = a.w.helpURL(c.Reason.Code)
	}
	return c
}

// backlog is what waits; before the outbox is made there is none to ask.
func (a *account) backlog() wire.Backlog {
	if a.outbox == nil {
		return wire.Backlog{}
	}
	n, oldest := a.outbox.Backlog()
	b := wire.Backlog{Messages: n}
	if !oldest.IsZero() {
		b.OldestAgeMS = max(time.Since(oldest).Milliseconds(), 0)
	}
	return b
}

func (a *account) store(ctx context.Context, c wire.Connection) error {
	body, err := wire.SealConnection(c, time.Now())
	if err != nil {
		return err
	}
	return a.ports.PublishConnection(ctx, body)
}

// beat tells every 15 s how the worker is.
func (a *account) beat(ctx context.Context) {
	for {
		if err := a.heartbeat(time.Now()); err != nil {
			a.w.log.Debug().Err(err).Msg("no heartbeat")
		}
		if !pause(ctx, heartbeatEvery) {
			return
		}
	}
}

func (a *account) heartbeat(now time.Time) error {
	f := a.w.facts
	c := f.Connection()
	a.w.alerts.observe(c) // the backlog is newer than at the last change
	health := monitor.Levels(monitor.Facts{Process: f.Process(), Connection: c, Business: f.Business(), Silence: f.Silence()}, now)
	body, err := wire.SealHeartbeat(monitor.Short(a.w.cfg.Account, a.w.opts.Version, health, c.Backlog), now)
	if err != nil {
		return err
	}
	return a.ports.Heartbeat(body)
}

// lastWords stores what the link said at its end, unless another worker serves
// the account by now: the state is that one's.
func (a *account) lastWords(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closing)
	defer cancel()
	if err := a.publisher.Flush(ctx); err != nil && !errors.Is(err, broker.ErrNotHeld) {
		a.w.log.Warn().Err(err).Msg("the last state was not stored")
	}
}
