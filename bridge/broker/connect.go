package broker

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"github.com/synadia-io/orbit.go/natscontext"
)

// BridgeInbox is the inbox prefix of the bridge's own connection: guests of the
// embedded server hear everything below _INBOX.
const BridgeInbox = "_INBOX_bridge"

const (
	reconnectWait    = 200 * time.Millisecond
	connectTimeout   = 5 * time.Second
	requestTimeout   = 5 * time.Second
	maxAsyncPending  = 4096
	firstConnectWait = 200 * time.Millisecond
	lastConnectWait  = 5 * time.Second
	pingInterval     = 20 * time.Second
)

// ConnConfig says where NATS is and who we are. At most one of Creds, NKeySeed,
// User and Token is used; files are paths.
type ConnConfig struct {
	Server *Server // the embedded one; all of the rest but Name, User and Password is ignored then

	URLs     string // comma-separated
	Context  string // of the nats command line; URLs and the rest come from it
	Creds    string // file
	NKeySeed string // file
	User     string
	Password string
	Token    string
	CA       string // file
	Cert     string // file
	Key      string // file

	Name        string
	InboxPrefix string // empty: NATS's own, or that of the context
	Log         zerolog.Logger
	// OnState hears of each change once, not of each try: false with the
	// reason, true when it is there (again). It must not block.
	OnState func(connected bool, err error)
}

// Conn is a connection to NATS with JetStream. It reconnects for ever.
type Conn struct {
	NC *nats.Conn
	JS jetstream.JetStream

	server *Server // the embedded one, if it is that

	mu    sync.Mutex
	epoch uint64        // counts reconnects
	again chan struct{} // closed at the next reconnect

	denied deniedRights
}

// Connect waits until NATS is there, says so through OnState, and returns the
// connection. What waiting cannot mend, wrong credentials or certificates or an
// unknown context, is *AccessError.
func Connect(ctx context.Context, cfg ConnConfig) (*Conn, error) {
	c := &Conn{server: cfg.Server, again: make(chan struct{})}
	opts, err := cfg.options(c)
	if err != nil {
		return nil, err
	}
	wait, said := firstConnectWait, false
	for {
		err := c.dial(cfg, opts)
		if err == nil {
			cfg.state(true, nil)
			return c, nil
		}
		if err := accessError(cfg, err); err != nil {
			return nil, err
		}
		if !said {
			cfg.state(false, err)
			said = true
		}
		if err := sleep(ctx, wait); err != nil {
			return nil, err
		}
		wait = min(2*wait, lastConnectWait)
	}
}

func (c *Conn) dial(cfg ConnConfig, opts []nats.Option) error {
	nc, settings, err := cfg.open(opts)
	if err != nil {
		return err
	}
	js, err := newJetStream(nc, settings)
	if err != nil {
		nc.Close()
		return err
	}
	c.NC, c.JS = nc, js
	return nil
}

func (cfg ConnConfig) open(opts []nats.Option) (*nats.Conn, natscontext.Settings, error) {
	if cfg.Context != "" {
		return natscontext.Connect(cfg.Context, opts...)
	}
	urls := cfg.URLs
	if cfg.Server != nil || urls == "" {
		urls = nats.DefaultURL
	}
	nc, err := nats.Connect(urls, opts...)
	return nc, natscontext.Settings{}, err
}

func newJetStream(nc *nats.Conn, s natscontext.Settings) (jetstream.JetStream, error) {
	opts := []jetstream.JetStreamOpt{
		jetstream.WithDefaultTimeout(requestTimeout), jetstream.WithPublishAsyncMaxPending(maxAsyncPending),
	}
	switch {
	case s.JSAPIPrefix != "":
		return jetstream.NewWithAPIPrefix(nc, strings.TrimSuffix(s.JSAPIPrefix, "."), opts...)
	case s.JSDomain != "":
		return jetstream.NewWithDomain(nc, s.JSDomain, opts...)
	}
	return jetstream.New(nc, opts...)
}

// options are those of a worker: no buffer while NATS is away, since what it
// holds would be stored after it was reported as failed.
func (cfg ConnConfig) options(c *Conn) ([]nats.Option, error) {
	opts := []nats.Option{
		nats.Name(cfg.Name), nats.Timeout(connectTimeout), nats.PingInterval(pingInterval), nats.MaxPingsOutstanding(2),
		nats.MaxReconnects(-1), nats.ReconnectWait(reconnectWait), nats.ReconnectBufSize(-1), nats.IgnoreAuthErrorAbort(),
		nats.DisconnectErrHandler(cfg.disconnected), nats.ReconnectHandler(func(*nats.Conn) { c.reconnected(); cfg.state(true, nil) }),
		nats.ErrorHandler((&asyncErrors{log: cfg.Log, denied: &c.denied}).handle), cfg.inbox,
	}
	if cfg.Server != nil {
		return append(opts, nats.InProcessServer(cfg.Server), nats.UserInfo(cfg.User, cfg.Password)), nil
	}
	return cfg.access(opts)
}

// inbox leaves the prefix of a context alone: its user may be allowed no other.
func (cfg ConnConfig) inbox(o *nats.Options) error {
	if o.InboxPrefix != "" || cfg.InboxPrefix == "" {
		return nil
	}
	return nats.CustomInboxPrefix(cfg.InboxPrefix)(o)
}

func (cfg ConnConfig) access(opts []nats.Option) ([]nats.Option, error) {
	switch {
	case cfg.Creds != "":
		opts = append(opts, nats.UserCredentials(cfg.Creds))
	case cfg.NKeySeed != "":
		opt, err := nats.NkeyOptionFromSeed(cfg.NKeySeed)
		if err != nil {
			return nil, &AccessError{What: "the nkey seed file cannot be used", Err: err}
		}
		opts = append(opts, opt)
	case cfg.Token != "":
		opts = append(opts, nats.Token(cfg.Token))
	case cfg.User != "":
		opts = append(opts, nats.UserInfo(cfg.User, cfg.Password))
	}
	if cfg.CA != "" {
		opts = append(opts, nats.RootCAs(cfg.CA))
	}
	if cfg.Cert != "" || cfg.Key != "" {
		opts = append(opts, nats.ClientCert(cfg.Cert, cfg.Key))
	}
	return opts, nil
}

func (cfg ConnConfig) disconnected(nc *nats.Conn, err error) {
	if nc.IsClosed() {
		return
	}
	if err == nil {
		err = errors.New("the connection to NATS is lost")
	}
	cfg.state(false, err)
}

func (cfg ConnConfig) state(connected bool, err error) {
	if cfg.OnState != nil {
		cfg.OnState(connected, err)
	}
}

func (c *Conn) reconnected() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch++
	close(c.again)
	c.again = make(chan struct{})
}

// life is the number of reconnects so far, and what is closed at the next one.
func (c *Conn) life() (uint64, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.epoch, c.again
}

// Close sends what is waiting and ends the connection.
func (c *Conn) Close() {
	if c.NC.IsConnected() {
		_ = c.NC.FlushTimeout(time.Second) // what is left then is lost either way
	}
	c.NC.Close()
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
