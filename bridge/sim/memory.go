package sim

import (
	"context"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// Memory is a listener in memory for Options.Listener, so that a simulator and
// its client live inside of a testing/synctest bubble. Unlike those of net.Pipe
// its connections take all that is written at once: closing TLS over net.Pipe
// waits for the other side with a mutex held, and in a bubble time then stands
// still for ever.
type Memory struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

// NewMemory makes a listener; Start's server closes it.
func NewMemory() *Memory { return &Memory{conns: make(chan net.Conn), done: make(chan struct{})} }

// Dial connects to it, whatever the address; it fits http.Transport.DialContext.
func (m *Memory) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	up, down := newFlow(), newFlow()
	select {
	case m.conns <- &memoryConn{in: up, out: down}:
		return &memoryConn{in: down, out: up}, nil
	case <-m.done:
		return nil, &net.OpError{Op: "dial", Net: "memory", Err: net.ErrClosed}
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Accept implements net.Listener.
func (m *Memory) Accept() (net.Conn, error) {
	select {
	case c := <-m.conns:
		return c, nil
	case <-m.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (m *Memory) Close() error {
	m.once.Do(func() { close(m.done) })
	return nil
}

// Addr implements net.Listener.
func (m *Memory) Addr() net.Addr { return memoryAddr }

var memoryAddr = &net.UnixAddr{Name: "memory", Net: "memory"}

// flow is one direction of a connection.
type flow struct {
	mu       sync.Mutex
	buf      []byte
	ended    bool // by the writer: readers get what is left, then EOF
	left     bool // by the reader: nobody gets anything
	deadline time.Time
	changed  chan struct{}
}

func newFlow() *flow { return &flow{changed: make(chan struct{})} }

// change does something that a reader may wait for.
func (f *flow) change(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
	close(f.changed)
	f.changed = make(chan struct{})
}

// take reads what is there now; if there is nothing, it says what to wait for.
func (f *flow) take(b []byte) (n int, changed chan struct{}, left time.Duration, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	left = forever
	if !f.deadline.IsZero() {
		left = time.Until(f.deadline)
	}
	switch {
	case f.left:
		return 0, nil, 0, net.ErrClosed
	case left <= 0:
		return 0, nil, 0, os.ErrDeadlineExceeded
	case len(f.buf) > 0:
		n = copy(b, f.buf)
		f.buf = f.buf[n:]
		return n, nil, 0, nil
	case f.ended:
		return 0, nil, 0, io.EOF
	}
	return 0, f.changed, left, nil
}

type memoryConn struct{ in, out *flow }

func (c *memoryConn) Read(b []byte) (int, error) {
	for {
		n, changed, left, err := c.in.take(b)
		if changed == nil {
			return n, err
		}
		timer := time.NewTimer(left)
		select {
		case <-changed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// Write never waits.
func (c *memoryConn) Write(b []byte) (n int, err error) {
	c.out.change(func() {
		if c.out.ended || c.out.left {
			err = io.ErrClosedPipe
			return
		}
		c.out.buf = append(c.out.buf, b...)
		n = len(b)
	})
	return n, err
}

func (c *memoryConn) Close() error {
	c.in.change(func() { c.in.left, c.in.buf = true, nil })
	c.out.change(func() { c.out.ended = true })
	return nil
}

func (c *memoryConn) LocalAddr() net.Addr  { return memoryAddr }
func (c *memoryConn) RemoteAddr() net.Addr { return memoryAddr }

func (c *memoryConn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

func (c *memoryConn) SetReadDeadline(t time.Time) error {
	c.in.change(func() { c.in.deadline = t })
	return nil
}

func (c *memoryConn) SetWriteDeadline(time.Time) error { return nil }
