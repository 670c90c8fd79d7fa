package alert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"wechat-bridge/bridge/wire"
)

// Names of log events.
const (
	logSent   = "alert_sent"
	logFailed = "alert_failed"
	logMemory = "alert_memory"
)

const (
	tick       = time.Second
	memoryTime = 2 * time.Second
)

// Memory keeps a small value over restarts; a missing one is (nil, nil).
type Memory interface {
	Load(ctx context.Context) ([]byte, error)
	Save(ctx context.Context, value []byte) error
}

// Config is what an Alerter is made of.
type Config struct {
	Account   string
	Language  string // en (default) or zh
	PublicURL string // of the page, for links; may be empty
	Targets   []Target
	Publisher Publisher // alerts go to NATS, too; may be nil
	Memory    Memory    // may be nil: then a restart forgets what was told
	Limits    Limits
	Log       zerolog.Logger
}

// Alerter tells people. Its methods may be called side by side.
type Alerter struct {
	cfg      Config
	couriers []*courier
	ways     []way

	mu     sync.Mutex
	newest event // what Run has not seen yet
	signal chan struct{}
}

// New checks the configuration without touching the network. An error names
// each wrong channel by its number and scheme and shows nothing else of it.
func New(cfg Config) (*Alerter, error) {
	ways, err := build(cfg.Targets, cfg.Publisher)
	if cfg.Language == "" {
		cfg.Language = English
	}
	if cfg.Language != English && cfg.Language != Chinese {
		err = errors.Join(err, fmt.Errorf("language of alerts %q: it is %s or %s", cfg.Language, English, Chinese))
	}
	if u, bad := url.Parse(cfg.PublicURL); cfg.PublicURL != "" && (bad != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		err = errors.Join(err, errors.New("public URL: it must be a whole http or https address"))
	}
	if err != nil {
		return nil, err
	}
	return newAlerter(cfg, ways), nil
}

func newAlerter(cfg Config, ways []way) *Alerter {
	cfg.Limits = cfg.Limits.withDefaults()
	a := &Alerter{cfg: cfg, ways: ways, signal: make(chan struct{}, 1)}
	for _, w := range ways {
		if w.alerts {
			a.couriers = append(a.couriers, newCourier(w, cfg.Log))
		}
	}
	return a
}

// Observe takes a record of the connection: each change, and again now and
// then for a fresh backlog. It never blocks; of records that come faster than
// they are looked at the newest counts.
func (a *Alerter) Observe(c wire.Connection) { a.note(event{connection: &c}) }

// Broker takes whether NATS is away. It never blocks.
func (a *Alerter) Broker(away bool) { a.note(event{away: &away}) }

func (a *Alerter) note(e event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if e.connection != nil {
		a.newest.connection = e.connection
	}
	if e.away != nil {
		a.newest.away = e.away
	}
	select {
	case a.signal <- struct{}{}:
	default:
	}
}

func (a *Alerter) take() event {
	a.mu.Lock()
	defer a.mu.Unlock()
	e := a.newest
	a.newest = event{}
	return e
}

// Run decides and delivers until ctx ends; what is not delivered then is tried
// once more within 3 seconds. It may be called once, by the worker that holds
// the account: one that does not would tell of an outage that is none.
func (a *Alerter) Run(ctx context.Context) {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for _, c := range a.couriers {
		wg.Go(func() { c.run(work, stop) })
	}
	a.loop(ctx)
	close(stop)
	defer time.AfterFunc(lastChance, cancel).Stop()
	wg.Wait()
}

func (a *Alerter) loop(ctx context.Context) {
	s := a.load(ctx)
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	failures := 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-a.signal:
		}
		now := time.Now()
		next, notices := decide(s, a.take(), now, a.cfg.Limits)
		if changed(s, next) { // stored before it is told: a crash loop tells once
			a.save(ctx, next, &failures)
		}
		for _, n := range notices {
			a.tell(n, now)
		}
		s = next
	}
}

// tell gives a notice to all channels.
func (a *Alerter) tell(n Notice, now time.Time) {
	n.Account, n.Link = a.cfg.Account, a.cfg.PublicURL
	m, err := message(a.cfg.Language, n)
	if err != nil {
		a.cfg.Log.Error().Err(err).Str("event", logFailed).Str("kind", string(n.Kind)).Msg("alert not written")
		return
	}
	for _, c := range a.couriers {
		c.tell(n, m, now)
	}
}

// Status is what became of the alerts since the start, per channel.
func (a *Alerter) Status() []ChannelStatus {
	out := make([]ChannelStatus, 0, len(a.couriers))
	for _, c := range a.couriers {
		out = append(out, c.status())
	}
	return out
}

// changed leaves out the backlog, which changes all the time.
func changed(a, b state) bool {
	a.Connection.Most, a.Broker.Most = b.Connection.Most, b.Broker.Most
	return !reflect.DeepEqual(a.Connection, b.Connection) || !reflect.DeepEqual(a.Broker, b.Broker)
}

func (a *Alerter) load(ctx context.Context) state {
	var s state
	if a.cfg.Memory == nil {
		return s
	}
	ctx, cancel := context.WithTimeout(ctx, memoryTime)
	defer cancel()
	body, err := a.cfg.Memory.Load(ctx)
	if err == nil && body != nil {
		err = json.Unmarshal(body, &s)
	}
	if err != nil {
		a.cfg.Log.Warn().Err(err).Str("event", logMemory).Msg("what was told before is not known; starting anew")
		return state{}
	}
	s.Connection.wake()
	s.Broker.wake()
	return s
}

// save is bounded in time: people are told even if it cannot be stored.
func (a *Alerter) save(ctx context.Context, s state, failures *int) {
	if a.cfg.Memory == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, memoryTime)
	defer cancel()
	body, err := json.Marshal(s)
	if err == nil {
		err = a.cfg.Memory.Save(ctx, body)
	}
	if err == nil {
		*failures = 0
		return
	}
	*failures++
	a.cfg.Log.Warn().Err(err).Str("event", logMemory).Int("failures", *failures).Msg("what was told is not stored; a restart may tell it again")
}
