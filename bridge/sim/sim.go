package sim

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// Values of Options that are left empty.
const (
	DefaultListen = "127.0.0.1:8443"
	DefaultHold   = 25 * time.Second
	DefaultQRLife = 5 * time.Minute
)

// Errors of the calls that play the phone or somebody who writes.
var (
	// ErrNothingWaits says that no login waits for that step (HTTP 409).
	ErrNothingWaits = errors.New("nothing waits for this")
	// ErrUnknown says that a person, room or message is not in the world (HTTP 404).
	ErrUnknown = errors.New("not in this world")
	// ErrInvalid says that a value makes no sense (HTTP 400).
	ErrInvalid = errors.New("invalid")
)

// Options say how WeChat behaves. The zero value plays the default world on
// [DefaultListen], without control API.
type Options struct {
	Listen   string        // TLS address, default DefaultListen; "127.0.0.1:0" picks a free port
	Listener net.Listener  // used instead of Listen, e.g. one in memory; closed by Close
	Control  string        // plain HTTP control API; "" none; refused unless loopback
	CAFile   string        // the CA certificate (PEM), with its key beside it in CAFile.key; written if missing; "" nowhere
	World    *World        // nil: DefaultWorld
	Hold     time.Duration // how long polls are held, default 25 s
	QRLife   time.Duration // how long a QR code is good, default 5 min

	AutoLogin bool   // scans and confirms by itself
	Seed      uint64 // 0: random; see Server.Seed

	// Echo says whether the account's own sends come back through sync: "off",
	// "on", "sometimes". Clients report both; "" lets the seed choose.
	Echo string
	// Retell says which older messages a new login is told: "missed" (default:
	// those that no login was told, at most 20), "all" (the newest 20, told or
	// not), "off".
	Retell string
	// DedupeClientMsgID drops a text or media message whose ClientMsgId was
	// accepted before, and answers with the first one's MsgID.
	DedupeClientMsgID bool

	Log zerolog.Logger
}

// Server is a running simulator.
type Server struct {
	opts    Options
	seed    uint64
	front   *front
	control *control
	faults  *faultTable
	ledger  *ledger
	counts  *counters
	proto   transport

	ctx    context.Context
	cancel context.CancelFunc
	flight inflight
	once   sync.Once
	closed error
}

// Start checks the options, listens and serves until Close.
func Start(opts Options) (*Server, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{opts: opts, seed: opts.Seed, ledger: newLedger(), counts: newCounters()}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.proto = newWeb(newAccount(opts, newRand(opts.Seed), s.ledger))
	s.faults = newFaultTable(newRand(opts.Seed+1), s.proto.names())
	if err := s.listen(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	opts.Log.Info().Str("tls", s.Addr()).Str("control", s.ControlAddr()).Uint64("seed", s.seed).Msg("simulator listens")
	return s, nil
}

// newRand makes the only source of a simulator's random choices.
func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, seed^0x9e3779b97f4a7c15)) }

func (o Options) withDefaults() (Options, error) {
	if o.Listen == "" {
		o.Listen = DefaultListen
	}
	if o.Hold <= 0 {
		o.Hold = DefaultHold
	}
	if o.QRLife <= 0 {
		o.QRLife = DefaultQRLife
	}
	if o.Seed == 0 {
		o.Seed = rand.Uint64()
	}
	if o.World == nil {
		o.World = DefaultWorld()
	}
	o.World = o.World.clone()
	if err := o.World.fill(); err != nil {
		return o, err
	}
	if o.Retell == "" {
		o.Retell = "missed"
	}
	if o.Echo == "" {
		o.Echo = []string{"off", "on", "sometimes"}[o.Seed%3]
	}
	if !oneOf(o.Echo, "off", "on", "sometimes") {
		return o, fmt.Errorf("%w: echo %q: want off, on or sometimes", ErrInvalid, o.Echo)
	}
	if !oneOf(o.Retell, "missed", "all", "off") {
		return o, fmt.Errorf("%w: retell %q: want missed, all or off", ErrInvalid, o.Retell)
	}
	return o, nil
}

func (s *Server) listen() error {
	front, err := newFront(s.opts, s)
	if err != nil {
		return err
	}
	s.front = front
	s.faults.onRefuse = front.dropAll
	if s.opts.Control != "" {
		if s.control, err = newControl(s.opts.Control, s); err != nil {
			return err
		}
	}
	return front.start(s.opts)
}

// Close ends all listeners, connections and held requests and waits until
// their goroutines are done. It may be called more than once.
func (s *Server) Close() error {
	s.once.Do(func() {
		s.cancel()
		s.faults.clear(0)
		if s.control != nil {
			s.closed = errors.Join(s.closed, s.control.close())
		}
		if s.front != nil {
			s.closed = errors.Join(s.closed, s.front.close())
		}
		s.flight.wait()
	})
	return s.closed
}

// Addr is the host:port of the TLS port.
func (s *Server) Addr() string {
	if s.front == nil {
		return ""
	}
	return s.front.addr
}

// ControlAddr is the host:port of the control API, "" without one.
func (s *Server) ControlAddr() string {
	if s.control == nil {
		return ""
	}
	return s.control.addr
}

// CAPEM is the certificate of the CA that signs for all of WeChat's hosts.
func (s *Server) CAPEM() []byte { return s.front.ca.pem }

// CAPool holds that certificate only.
func (s *Server) CAPool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(s.front.ca.cert)
	return pool
}

// Seed is the number that all random choices come from; the same seed gives
// the same tickets, names and ids for the same requests.
func (s *Server) Seed() uint64 { return s.seed }

// Requests counts the requests to an endpoint (its last path element, such as
// "webwxsendmsg"; "*" for all), refused and dropped ones included.
func (s *Server) Requests(endpoint string) int { return s.counts.get(endpoint) }

// Sent is the ledger: what WeChat accepted, in order. The ground truth.
func (s *Server) Sent() []Entry { return s.ledger.all() }

// WaitSent waits until at least n messages were accepted and returns all.
func (s *Server) WaitSent(ctx context.Context, n int) ([]Entry, error) { return s.ledger.wait(ctx, n) }

// AddFault adds a fault and returns its number. Faults apply in the order in
// which they were added.
func (s *Server) AddFault(f Fault) (int, error) { return s.faults.add(f) }

// Faults lists the faults that were added and not cleared, spent ones too.
func (s *Server) Faults() []Fault { return s.faults.list() }

// ClearFaults removes all faults; requests that hang go on.
func (s *Server) ClearFaults() { s.faults.clear(0) }

func oneOf(s string, set ...string) bool {
	for _, v := range set {
		if s == v {
			return true
		}
	}
	return false
}

// inflight counts running handlers and, unlike a WaitGroup, may be entered
// while somebody waits.
type inflight struct {
	mu   sync.Mutex
	n    int
	idle chan struct{}
}

func (f *inflight) enter() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n++
}

func (f *inflight) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n--
	if f.n == 0 && f.idle != nil {
		close(f.idle)
		f.idle = nil
	}
}

func (f *inflight) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.n
}

func (f *inflight) wait() {
	f.mu.Lock()
	if f.n == 0 {
		f.mu.Unlock()
		return
	}
	if f.idle == nil {
		f.idle = make(chan struct{})
	}
	idle := f.idle
	f.mu.Unlock()
	<-idle
}

// counters count requests by endpoint.
type counters struct {
	mu sync.Mutex
	n  map[string]int
}

func newCounters() *counters { return &counters{n: make(map[string]int)} }

func (c *counters) add(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n[name]++
	c.n["*"]++
}

func (c *counters) get(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n[name]
}

func (c *counters) all() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := make(map[string]int, len(c.n))
	for k, v := range c.n {
		m[k] = v
	}
	return m
}
