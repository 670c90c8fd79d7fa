package bridge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"wechat-bridge/bridge/broker"
	"wechat-bridge/bridge/monitor"
	"wechat-bridge/bridge/wire"
)

// Options are what a program adds to a configuration.
type Options struct {
	Version string
	Log     zerolog.Logger
	// Observe hears of each change of the connection, in order; it must not
	// block. May be nil.
	Observe func(wire.Connection)
	// NATS hears when the server goes, with the reason, and when it comes back;
	// it must not block. May be nil.
	NATS func(connected bool, err error)
	// Ready hears once where everything listens. May be nil.
	Ready func(Info)
}

// Info is where a running worker can be reached.
type Info struct {
	Account   string
	NATS      string
	Embedded  bool
	HTTP      string
	Simulated bool
}

// Worker serves one account.
type Worker struct {
	cfg  Config
	opts Options
	log  zerolog.Logger
	pace Pace

	folder *Folder
	conn   *broker.Conn
	broker *broker.Broker
	facts  *facts
	alerts *alerting
}

// closing bounds each step of a shutdown that waits for somebody else.
const closing = 5 * time.Second

// New checks the configuration; nothing is started or written.
func New(cfg Config, opts Options) (*Worker, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	pace, err := cfg.ParsePace()
	if err != nil {
		return nil, err
	}
	if opts.Observe == nil {
		opts.Observe = func(wire.Connection) {}
	}
	if opts.NATS == nil {
		opts.NATS = func(bool, error) {}
	}
	if opts.Ready == nil {
		opts.Ready = func(Info) {}
	}
	w := &Worker{cfg: cfg, opts: opts, log: opts.Log, pace: pace, facts: newFacts(cfg.Account)}
	w.alerts = &alerting{w: w}
	return w, nil
}

// Run works until the context ends and then shuts down in order: no new sends,
// the ones in flight within --grace, the session, the records, the lease, NATS.
// A wrong configuration is a *ConfigError.
func (w *Worker) Run(ctx context.Context) (err error) {
	w.folder, err = OpenFolder(w.cfg.DataDir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.folder.Close()) }()
	stopHTTP, err := w.serveHTTP(ctx)
	if err != nil {
		return err
	}
	defer stopHTTP()
	alive, stop := context.WithCancel(ctx)
	defer stop()
	go w.facts.pulse(alive)
	closeNATS, err := w.openNATS(ctx)
	if err != nil && ctx.Err() != nil {
		return nil // it was told to end while it waited
	}
	if err != nil {
		return err
	}
	defer closeNATS()
	defer w.alerts.end()
	return w.serve(ctx)
}

// serveHTTP listens before anything else is there, so that /livez and /healthz
// tell what the start waits for.
func (w *Worker) serveHTTP(ctx context.Context) (stop func(), err error) {
	token, err := w.folder.Secret("http-token", 32)
	if err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", w.cfg.HTTP)
	if err != nil {
		return nil, listenError("http", w.cfg.HTTP, err)
	}
	w.facts.http = ln.Addr().String()
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		err := monitor.Serve(ctx, ln, monitor.Config{Source: w.facts, Silence: w.facts.Silence(), Version: w.opts.Version, Token: token, ErrorPage: errorPage, Log: w.log})
		if err != nil && ctx.Err() == nil {
			w.log.Error().Err(err).Msg("http stopped")
		}
	}()
	return func() { cancel(); <-done }, nil
}

// listenError says what to do about an address that cannot be listened on.
func listenError(key, addr string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, broker.ErrPortInUse) {
		return badValue(key, "%s is in use by another program; stop it, or choose another --%s", addr, key)
	}
	return &ConfigError{Key: key, Msg: "cannot listen on " + addr, Err: err}
}

// openNATS starts the embedded server or waits for the external one, and makes
// sure that the streams are as they should be.
func (w *Worker) openNATS(ctx context.Context) (stop func(), err error) {
	var server *broker.Server
	if w.cfg.NATS.Embedded() {
		if server, err = w.startServer(ctx); err != nil {
			return nil, err
		}
	}
	stop = func() {
		if w.conn != nil {
			w.conn.Close()
		}
		if server != nil {
			server.Close()
		}
	}
	if err := w.connect(ctx, server); err != nil {
		stop()
		return nil, err
	}
	limits := broker.DefaultLimits()
	limits.Horizon = w.cfg.Horizon
	w.broker, err = broker.Open(ctx, w.conn, broker.NewLayout(w.cfg.Prefix, limits), w.log)
	if err != nil {
		stop()
		return nil, natsError(err)
	}
	return stop, nil
}

func (w *Worker) startServer(ctx context.Context) (*broker.Server, error) {
	password, err := w.folder.Secret("nats-password", 24)
	if err != nil {
		return nil, err
	}
	server, err := broker.StartServer(ctx, broker.ServerConfig{
		Listen: w.cfg.NATSListen, StoreDir: filepath.Join(w.folder.Path, "nats"),
		BridgePassword: password, Prefix: w.cfg.Prefix, Log: w.log.With().Str("part", "nats-server").Logger(),
	})
	var listen *net.OpError
	if errors.Is(err, broker.ErrPortInUse) || errors.As(err, &listen) {
		return nil, listenError("nats-listen", w.cfg.NATSListen, err)
	}
	if errors.Is(err, broker.ErrStore) {
		return nil, folderError(w.folder.Path, "cannot keep the streams; mend the permissions of what is in it, or choose another --data-dir", err)
	}
	return server, err
}

func (w *Worker) connect(ctx context.Context, server *broker.Server) error {
	cfg, err := w.natsConn(server)
	if err != nil {
		return err
	}
	w.conn, err = broker.Connect(ctx, cfg)
	if err != nil {
		return natsError(err)
	}
	w.facts.nats(true, nil)
	w.opts.Ready(Info{
		Account: w.cfg.Account, NATS: w.natsName(server), Embedded: server != nil,
		HTTP: w.facts.http, Simulated: w.cfg.WechatEndpoint != "",
	})
	return nil
}

func (w *Worker) natsName(server *broker.Server) string {
	switch {
	case server != nil:
		return server.URL()
	case w.cfg.NATS.Context != "":
		return "context " + w.cfg.NATS.Context
	}
	return redactURLs(w.cfg.NATS.URL)
}

func (w *Worker) natsConn(server *broker.Server) (broker.ConnConfig, error) {
	cfg, err := w.cfg.NATS.conn()
	if err != nil {
		return cfg, err
	}
	cfg.Name, cfg.InboxPrefix = "wechat-bridge "+w.cfg.Account, broker.BridgeInbox
	cfg.Log, cfg.OnState = w.log, w.onNATS
	if server != nil {
		cfg.Server, cfg.User = server, broker.BridgeUser
		if cfg.Password, err = w.folder.Secret("nats-password", 24); err != nil {
			return cfg, err
		}
	}
	return cfg, nil
}

// onNATS hears of each change once, not of each try.
func (w *Worker) onNATS(connected bool, err error) {
	if err != nil && !w.cfg.NATS.Embedded() {
		err = fmt.Errorf("%s: %w", w.natsName(nil), err)
	}
	w.facts.nats(connected, err)
	w.alerts.broker(!connected)
	if connected {
		w.log.Info().Msg("nats is there")
	} else {
		w.log.Warn().Err(err).Msg("nats is not there, waiting")
	}
	w.opts.NATS(connected, err)
}

// serve holds the lease of the account and works; a lease that was lost is
// waited for again.
func (w *Worker) serve(ctx context.Context) error {
	owner := broker.Owner{Folder: w.folder.ID, PID: os.Getpid()}
	owner.Host, _ = os.Hostname()
	for {
		taking, why := w.conn.UntilDenied(ctx)
		lease, err := w.broker.Acquire(taking, w.cfg.Account, owner, w.waiting)
		err = why(err)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("take the account %s: %w", w.cfg.Account, natsError(err))
		}
		w.facts.lease(true, "")
		w.log.Info().Str("account", w.cfg.Account).Uint64("epoch", lease.Epoch()).Msg("serving")
		err = w.serveAccount(ctx, lease)
		w.facts.lease(false, "The lease of the account was given back.")
		release(ctx, lease)
		if err != nil || ctx.Err() != nil {
			return err
		}
		w.log.Warn().Str("account", w.cfg.Account).Msg("the lease was lost, waiting for it")
	}
}

func (w *Worker) waiting(o broker.Owner) {
	reason := fmt.Sprintf("Another worker serves the account %s (host %s, process %d); this one waits.", w.cfg.Account, o.Host, o.PID)
	w.facts.lease(false, reason)
	w.alerts.end()
	w.log.Warn().Str("account", w.cfg.Account).Str("host", o.Host).Int("pid", o.PID).Msg("another worker serves the account, waiting")
}

func release(ctx context.Context, lease *broker.Lease) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closing)
	defer cancel()
	lease.Release(ctx)
}
