package bridge

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"wechat-bridge/bridge/alert"
	"wechat-bridge/bridge/broker"
	"wechat-bridge/bridge/wechat"
	"wechat-bridge/bridge/wire"
)

// AlertConfig says who is told of an outage, and how.
type AlertConfig struct {
	Alert          string        `help:"Where alerts go: addresses of shoutrrr or webhook+https://HOST/PATH#whsec_…, separated by spaces. They are secrets: prefer --alert-file." placeholder:"URL…" group:"Alerts"`
	AlertFile      string        `name:"alert-file" help:"File with such addresses, one a line." type:"path" placeholder:"FILE" group:"Alerts"`
	AlertAfter     time.Duration `name:"alert-after" help:"How long nothing can be sent before people are told; at once where a person is needed." default:"3m" group:"Alerts"`
	AlertLang      string        `name:"alert-lang" help:"Language of alerts: en or zh." enum:"en,zh" default:"en" group:"Alerts"`
	Fallback       string        `help:"Where deliveries of high priority go when WeChat is away; addresses as of --alert." placeholder:"URL…" group:"Alerts"`
	FallbackFile   string        `name:"fallback-file" help:"File with such addresses, one a line." type:"path" placeholder:"FILE" group:"Alerts"`
	FallbackAfter  time.Duration `name:"fallback-after" help:"How long a delivery of high priority waits before it goes there." default:"2m" group:"Alerts"`
	FallbackPolicy string        `name:"fallback-policy" help:"Such a delivery goes to WeChat as well (also), only if no channel took it (instead), or to WeChat only (off)." enum:"also,instead,off" default:"also" group:"Alerts"`
}

// check reads the addresses once, so that a wrong one is told at the start.
func (c *AlertConfig) check() error {
	if c.AlertAfter <= 0 {
		return badValue("alert-after", "%s does not fit: more than 0", c.AlertAfter)
	}
	if c.FallbackAfter <= 0 {
		return badValue("fallback-after", "%s does not fit: more than 0", c.FallbackAfter)
	}
	_, err := c.alerter(alert.Config{Account: "check"})
	return err
}

// targets are the channels of both kinds; an address may be of both.
func (c *AlertConfig) targets() ([]alert.Target, error) {
	var all []alert.Target
	for _, from := range []struct {
		key, list, fileKey, file string
		use                      func(*alert.Target)
	}{
		{"alert", c.Alert, "alert-file", c.AlertFile, func(t *alert.Target) { t.Alerts = true }},
		{"fallback", c.Fallback, "fallback-file", c.FallbackFile, func(t *alert.Target) { t.Fallback = true }},
	} {
		text := from.list
		if from.file != "" {
			raw, err := os.ReadFile(from.file)
			if err != nil {
				return nil, &ConfigError{Key: from.fileKey, Msg: "the file cannot be read", Err: err}
			}
			text += "\n" + string(raw)
		}
		for _, address := range strings.Fields(text) {
			i := slices.IndexFunc(all, func(t alert.Target) bool { return t.URL == address })
			if i < 0 {
				i, all = len(all), append(all, alert.Target{URL: address})
			}
			from.use(&all[i])
		}
	}
	return all, nil
}

func (c *AlertConfig) alerter(cfg alert.Config) (*alert.Alerter, error) {
	targets, err := c.targets()
	if err != nil {
		return nil, err
	}
	cfg.Targets, cfg.Language, cfg.Limits = targets, c.AlertLang, alert.Limits{
		HeldAfter: c.AlertAfter, SettleAfter: c.AlertAfter / 3, QuietAfter: 5 * c.AlertAfter, // 3, 1 and 15 minutes
	}
	a, err := alert.New(cfg)
	if err != nil {
		return nil, &ConfigError{Key: "alert", Msg: "an address cannot be used", Err: err}
	}
	return a, nil
}

// alerting tells people while this worker is the one that serves the account,
// also while NATS, and with it the lease, is away.
type alerting struct {
	w *Worker

	mu   sync.Mutex
	now  *alert.Alerter // nil: another worker tells, or none has begun
	stop context.CancelFunc
	done chan struct{}
	home atomic.Pointer[alertHome]
}

// alertHome is where alerts and what was told of are stored while the lease is
// held.
type alertHome struct {
	ports *broker.Account
	vault wechat.Vault
}

var errNoHome = errors.New("the account's lease is not held now")

// begin tells from now on; a lease that was lost and taken again changes only
// where things are stored.
func (a *alerting) begin(ports *broker.Account, vault wechat.Vault) error {
	a.home.Store(&alertHome{ports, vault})
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.now != nil {
		return nil
	}
	one, err := a.w.cfg.Alerts.alerter(alert.Config{
		Account: a.w.cfg.Account, PublicURL: a.w.cfg.PublicURL, Publisher: a, Memory: a, Log: a.w.log,
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); one.Run(ctx) }()
	a.now, a.stop, a.done = one, cancel, done
	return nil
}

// end has nobody told any more: another worker has the account, or the process
// ends.
func (a *alerting) end() {
	a.mu.Lock()
	stop, done := a.stop, a.done
	a.now, a.stop, a.done = nil, nil, nil
	a.mu.Unlock()
	if stop != nil {
		stop()
		<-done
	}
}

// left is for a lease that is given back or lost: nothing can be stored.
func (a *alerting) left() { a.home.Store(nil) }

func (a *alerting) current() *alert.Alerter {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.now
}

func (a *alerting) observe(c wire.Connection) {
	if one := a.current(); one != nil {
		one.Observe(c)
	}
}

func (a *alerting) broker(away bool) {
	if one := a.current(); one != nil {
		one.Broker(away)
	}
}

// Publish implements alert.Publisher.
func (a *alerting) Publish(ctx context.Context, kind alert.Kind, event []byte) error {
	if home := a.home.Load(); home != nil {
		return home.ports.PublishAlert(ctx, string(kind), event)
	}
	return errNoHome
}

// Load implements alert.Memory.
func (a *alerting) Load(ctx context.Context) ([]byte, error) {
	if home := a.home.Load(); home != nil {
		return home.vault.Load(ctx)
	}
	return nil, errNoHome
}

// Save implements alert.Memory.
func (a *alerting) Save(ctx context.Context, value []byte) error {
	if home := a.home.Load(); home != nil {
		return home.vault.Save(ctx, value)
	}
	return errNoHome
}

// AlertResult is what one channel made of a test message.
type AlertResult struct {
	Channel string `json:"channel"`
	OK      bool   `json:"ok"`
	Error   string `json:"error,omitempty"`
}

// test sends a test message over every channel.
func (a *alerting) test(ctx context.Context, body []byte) (any, error) {
	if err := decodeRequest(body, &struct{}{}); err != nil {
		return nil, err
	}
	one := a.current()
	if one == nil {
		return nil, &broker.CodeError{Code: "stopped", Message: "this worker does not tell people now"}
	}
	results := []AlertResult{}
	for _, r := range one.Test(ctx) {
		out := AlertResult{Channel: r.Channel, OK: r.Err == nil}
		if r.Err != nil {
			out.Error = r.Err.Error()
		}
		results = append(results, out)
	}
	return results, nil
}
