package sim

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// front is the TLS port: it accepts, drops or refuses connections and hands
// requests to the server.
type front struct {
	ca     *authority
	addr   string
	ln     net.Listener
	srv    *http.Server
	faults *faultTable
	done   chan struct{}

	started bool

	mu      sync.Mutex
	conns   map[*frontConn]struct{}
	serving inflight // connections that net/http has a goroutine for
}

func newFront(opts Options, s *Server) (*front, error) {
	ln := opts.Listener
	if ln == nil {
		var err error
		if ln, err = new(net.ListenConfig).Listen(s.ctx, "tcp", opts.Listen); err != nil {
			return nil, fmt.Errorf("listen on %s: %w", opts.Listen, err)
		}
	}
	f := &front{ln: ln, addr: ln.Addr().String(), faults: s.faults,
		done: make(chan struct{}), conns: make(map[*frontConn]struct{})}
	f.srv = &http.Server{
		Handler:           s,
		BaseContext:       func(net.Listener) context.Context { return s.ctx },
		ReadHeaderTimeout: 30 * time.Second,
		MaxHeaderBytes:    64 << 10,
		ConnState:         f.track,
		ErrorLog:          slog.NewLogLogger(slog.NewTextHandler(debugWriter{opts.Log}, nil), slog.LevelInfo),
		TLSNextProto:      map[string]func(*http.Server, *tls.Conn, http.Handler){}, // HTTP/1.1 only: faults cut connections
	}
	return f, nil
}

// start serves once all ports are listened on: until then the CA file may be
// that of another simulator, which goes on running.
func (f *front) start(opts Options) (err error) {
	if f.ca, err = authorityOf(opts.CAFile, knownHosts(opts.World.Host)); err != nil {
		return err
	}
	go f.serve()
	f.started = true
	return nil
}

func (f *front) serve() {
	defer close(f.done)
	conf := &tls.Config{GetCertificate: f.ca.certificate, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	_ = f.srv.Serve(tls.NewListener(f, conf)) // always ends with ErrServerClosed or the listener's end
}

func (f *front) track(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		f.serving.enter()
	case http.StateClosed, http.StateHijacked:
		f.serving.leave()
	}
}

// Accept implements net.Listener: connections are refused here, before TLS.
func (f *front) Accept() (net.Conn, error) {
	for {
		c, err := f.ln.Accept()
		if err != nil {
			return nil, err
		}
		if f.faults.refuses() {
			cut(c)
			continue
		}
		fc := &frontConn{Conn: c, front: f}
		f.mu.Lock()
		f.conns[fc] = struct{}{}
		f.mu.Unlock()
		return fc, nil
	}
}

// Addr implements net.Listener.
func (f *front) Addr() net.Addr { return f.ln.Addr() }

// Close implements net.Listener.
func (f *front) Close() error { return f.ln.Close() }

// dropAll resets all open connections: what an outage does to them.
func (f *front) dropAll() {
	f.mu.Lock()
	conns := make([]*frontConn, 0, len(f.conns))
	for c := range f.conns {
		conns = append(conns, c)
	}
	f.mu.Unlock()
	for _, c := range conns {
		cut(c)
	}
}

func (f *front) close() error {
	err := f.srv.Close()
	if cerr := f.ln.Close(); cerr != nil && !errors.Is(cerr, net.ErrClosed) {
		err = errors.Join(err, cerr)
	}
	if f.started {
		<-f.done
	}
	f.dropAll()
	f.serving.wait() // half a second at most, if a body was too large
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// frontConn is known to the front while it is open.
type frontConn struct {
	net.Conn
	front *front
}

func (c *frontConn) Close() error {
	c.front.mu.Lock()
	delete(c.front.conns, c)
	c.front.mu.Unlock()
	return c.Conn.Close()
}

// cut closes a connection with a reset instead of a farewell, where it can.
func cut(c net.Conn) {
	raw := c
	if fc, ok := c.(*frontConn); ok {
		raw = fc.Conn
	}
	if tcp, ok := raw.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // a reset is a courtesy to the test; closing is what matters
	}
	_ = c.Close()
}
