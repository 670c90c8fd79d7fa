package broker

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/rs/zerolog"
)

// ServerConfig is what an embedded NATS server needs.
type ServerConfig struct {
	Listen string // HOST:PORT; port 0 takes a free one
	// StoreDir holds the streams.
	StoreDir string
	// BridgePassword is that of the user "bridge".
	BridgePassword string
	Prefix         string
	// NoSync leaves writes to the system's cache, for benchmarks only: the
	// machine's death then loses what was acknowledged.
	NoSync bool
	Log    zerolog.Logger
}

// ErrPortInUse says that the address to listen on is taken.
var ErrPortInUse = errors.New("the port is in use")

// ErrStore says that the folder of the streams cannot be used.
var ErrStore = errors.New("the folder of the embedded NATS server cannot be used")

// serverStart is how long the server may take to read its streams. A ledger of
// four million records took eight seconds.
const serverStart = 2 * time.Minute

// Server is an embedded NATS server.
type Server struct {
	ns    *server.Server
	store string // the folder of JetStream
	guest bool
	guard *guard // nil without guests
}

// StartServer starts an embedded NATS server with JetStream and waits until it
// is ready. Guests without credentials exist only while the address is a
// loopback one. An address in use is ErrPortInUse, a folder that cannot be
// written or read ErrStore.
func StartServer(ctx context.Context, cfg ServerConfig) (*Server, error) {
	opts, guest, err := cfg.options()
	if err != nil {
		return nil, err
	}
	ns, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("configure the embedded NATS server: %w", err)
	}
	log := newServerLog(cfg.Log)
	ns.SetLoggerV2(log, false, false, false)
	ns.Start()
	s := &Server{ns: ns, store: cfg.StoreDir, guest: guest}
	if err := s.wait(ctx, log.fatal); err != nil {
		s.Close()
		return nil, err
	}
	if guest {
		if s.guard, err = startGuard(ctx, s, Names{Prefix: cfg.Prefix}, cfg.BridgePassword, cfg.Log); err != nil {
			s.Close()
			return nil, err
		}
	}
	return s, nil
}

func (s *Server) wait(ctx context.Context, fatal <-chan string) error {
	deadline := time.Now().Add(serverStart)
	for !s.ns.ReadyForConnections(20 * time.Millisecond) {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case reason := <-fatal:
			if strings.Contains(reason, "JetStream") { // it is all that is stored
				return fmt.Errorf("%w: %s", ErrStore, reason)
			}
			return fmt.Errorf("start the embedded NATS server: %s", reason)
		default:
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the embedded NATS server was not ready after %s", serverStart)
		}
	}
	return nil
}

// URL is where clients connect.
func (s *Server) URL() string { return s.ns.ClientURL() }

// Guest reports whether clients without credentials are let in.
func (s *Server) Guest() bool { return s.guest }

// InProcessConn lets nats.InProcessServer connect without a socket.
func (s *Server) InProcessConn() (net.Conn, error) { return s.ns.InProcessConn() }

// Close ends the server and waits for it. Streams are flushed.
func (s *Server) Close() {
	if s.guard != nil {
		s.guard.close()
	}
	s.ns.Shutdown()
	s.ns.WaitForShutdown()
}

func (cfg ServerConfig) options() (*server.Options, bool, error) {
	host, port, err := splitAddress(cfg.Listen)
	if err != nil {
		return nil, false, err
	}
	if err := probe(cfg.Listen, port); err != nil {
		return nil, false, err
	}
	if err := writable(cfg.StoreDir); err != nil {
		return nil, false, fmt.Errorf("%w: %w", ErrStore, err)
	}
	secret := make([]byte, 16)
	if _, err := rand.Read(secret); err != nil {
		return nil, false, fmt.Errorf("make the guest's password: %w", err)
	}
	guest := loopback(host)
	opts := &server.Options{}
	text := accounts(Names{Prefix: cfg.Prefix}, cfg.BridgePassword, hex.EncodeToString(secret), guest)
	if err := opts.ProcessConfigString(text); err != nil {
		return nil, false, fmt.Errorf("configure the embedded NATS server: %w", err)
	}
	cfg.tune(opts, host, port)
	return opts, guest, nil
}

// tune sets what is not about accounts. Reserved sizes are checked against
// JetStreamMaxStore, not against the disk: else a small disk would refuse the
// streams at their creation, or, worse, at a later start.
func (cfg ServerConfig) tune(opts *server.Options, host string, port int) {
	opts.ServerName = "wechat-bridge"
	opts.Host, opts.Port = host, port
	opts.JetStream, opts.StoreDir = true, cfg.StoreDir
	opts.SyncAlways = !cfg.NoSync
	opts.JetStreamMaxMemory, opts.JetStreamMaxStore = 64*mib, 1<<44
	opts.NoSigs = true
	opts.DisableJetStreamBanner = true
	opts.MaxPayload = mib
	opts.MaxClosedClients = 16
	opts.LameDuckGracePeriod, opts.LameDuckDuration = 10*time.Millisecond, 500*time.Millisecond
}

func splitAddress(listen string) (string, int, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "", 0, fmt.Errorf("the address of the embedded NATS server: %w", err)
	}
	n, err := strconv.Atoi(port)
	if err != nil || n < 0 || n > 65535 {
		return "", 0, fmt.Errorf("the address of the embedded NATS server: %q is no port", port)
	}
	if n == 0 {
		n = server.RANDOM_PORT
	}
	if host == "" {
		host = "0.0.0.0"
	}
	return host, n, nil
}

// writable makes the folder if it is missing and writes into it once: the
// server itself would fail late, and say only that it does.
func writable(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	probe, err := os.CreateTemp(dir, "probe-*")
	if err != nil {
		return err
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// probe binds the port once: the server itself would only log that it can't.
func probe(listen string, port int) error {
	if port == server.RANDOM_PORT {
		return nil
	}
	l, err := net.Listen("tcp", listen)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%s: %w", listen, ErrPortInUse)
	}
	if err != nil {
		return fmt.Errorf("the address of the embedded NATS server: %w", err)
	}
	return l.Close()
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
