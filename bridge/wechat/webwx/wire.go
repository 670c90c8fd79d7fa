package webwx

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"wechat-bridge/classifier"
)

const (
	dialTimeout = 10 * time.Second // lookup, connect and TLS handshake
	// idleTime is short: a connection that the server closes just when a send
	// goes out on it leaves the outcome open.
	idleTime    = 20 * time.Second
	smallAnswer = 1 << 20  // bytes of an answer that is a few fields
	largeAnswer = 32 << 20 // bytes of a contact list or a sync
	pageBytes   = 64 << 10 // bytes of a web page that are looked at
)

// errNotTLS guards against a host that the server named without TLS.
var errNotTLS = errors.New("WeChat is only spoken to over TLS")

// dialer opens TLS connections and counts what is written on each, which is
// how a fault knows whether a byte of its request left.
type dialer struct {
	endpoint string // host:port of a simulator, "" for the host that was asked
	roots    *x509.CertPool
	raw      func(ctx context.Context, network, addr string) (net.Conn, error)
}

func (d *dialer) tls(ctx context.Context, network, addr string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	if d.endpoint != "" {
		addr = d.endpoint
	}
	dctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := d.connect(dctx, network, addr, host)
	if err != nil && dctx.Err() != nil && ctx.Err() == nil {
		return nil, fmt.Errorf("connect: %w", errSlow)
	}
	return conn, err
}

func (d *dialer) connect(ctx context.Context, network, addr, host string) (net.Conn, error) {
	raw, err := d.raw(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(raw, &tls.Config{ServerName: host, RootCAs: d.roots, MinVersion: tls.VersionTLS12})
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	return &countedConn{Conn: conn}, nil
}

func refusePlain(context.Context, string, string) (net.Conn, error) { return nil, errNotTLS }

// countedConn counts the writes that were tried. A try counts even if it
// fails: some bytes may have left.
type countedConn struct {
	net.Conn
	writes atomic.Int64
}

func (c *countedConn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

// exchange is one request and what is known about its answer. It travels in
// the context, through the library, to the round tripper.
type exchange struct {
	op     classifier.Operation
	limit  int64
	stream bool // the caller reads the body itself
	page   bool // a web page is a good answer (logout)

	mu     sync.Mutex
	conn   *countedConn
	mark   int64
	left   bool // on an earlier connection
	target string
	status int
	wait   time.Duration // told with Retry-After
	body   []byte
	kind   classifier.Body
}

type exchangeKey struct{}

func (ex *exchange) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		ex.mu.Lock()
		defer ex.mu.Unlock()
		ex.left = ex.leftLocked()
		if c, ok := info.Conn.(*countedConn); ok {
			ex.conn, ex.mark = c, c.writes.Load()
		}
	}}
}

func (ex *exchange) leftLocked() bool {
	return ex.left || ex.conn != nil && ex.conn.writes.Load() != ex.mark
}

// phase tells how far a request without an answer got.
func (ex *exchange) phase() classifier.Phase {
	ex.mu.Lock()
	defer ex.mu.Unlock()
	switch {
	case ex.leftLocked():
		return classifier.PhaseSent
	case ex.target == "":
		return classifier.PhasePrepare
	}
	return classifier.PhaseDial
}

// wire is the round tripper under the library. It bounds and classifies every
// answer before the library or this package parses it, and notes the cookies.
type wire struct {
	base    http.RoundTripper
	idle    func() // closes idle connections
	cookies *cookieBook
}

// newWire never follows a proxy from the environment and speaks HTTP/1.1 only:
// HTTP/2 repeats requests by itself.
func newWire(d *dialer, book *cookieBook) *wire {
	base := &http.Transport{
		DialContext:         refusePlain,
		DialTLSContext:      d.tls,
		MaxIdleConnsPerHost: 4,
		IdleConnTimeout:     idleTime,
	}
	return &wire{cookies: book, base: base, idle: base.CloseIdleConnections}
}

// RoundTrip implements http.RoundTripper. Its errors are faults.
func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	ex, ok := req.Context().Value(exchangeKey{}).(*exchange)
	if !ok {
		ex = &exchange{op: classifier.OpOther, limit: smallAnswer}
	}
	ex.target = req.URL.Host + req.URL.Path
	resp, err := w.base.RoundTrip(req.WithContext(httptrace.WithClientTrace(req.Context(), ex.trace())))
	if err != nil {
		return nil, ex.broken(req.Context(), err)
	}
	w.cookies.note(req.URL, resp.Cookies())
	ex.status, ex.wait = resp.StatusCode, retryAfter(resp.Header.Get("Retry-After"))
	if ex.stream && resp.StatusCode < 300 {
		return resp, nil
	}
	defer func() { _ = resp.Body.Close() }()
	if err := ex.read(resp.Body); err != nil {
		return nil, ex.broken(req.Context(), err)
	}
	if f := ex.refuse(); f != nil {
		return nil, f
	}
	resp.Body = io.NopCloser(bytes.NewReader(ex.body))
	return resp, nil
}

// read takes the answer into memory: a web page only as far as it takes to say
// what it is, anything else up to the operation's limit.
func (ex *exchange) read(r io.Reader) error {
	head, err := io.ReadAll(io.LimitReader(r, pageBytes))
	if err != nil {
		return err
	}
	ex.body, ex.kind = head, kindOf(head)
	if len(head) < pageBytes || ex.kind == classifier.BodyHTML {
		return nil
	}
	rest, err := io.ReadAll(io.LimitReader(r, ex.limit+1-int64(len(head))))
	if err != nil {
		return err
	}
	ex.body = append(head, rest...)
	if int64(len(ex.body)) > ex.limit {
		ex.kind = classifier.BodyOther
	}
	return nil
}

// refuse gives a fault for answers that cannot be what the protocol says. They
// count as "sent, no readable answer": a gateway's error page does not tell
// whether the message behind it was taken. Only a 4xx is a clear no.
func (ex *exchange) refuse() *classifier.Fault {
	redirectOK := ex.op == classifier.OpLogin || ex.page
	switch {
	case ex.status >= 400 && ex.status < 500:
		f := ex.fault(classifier.PhaseAnswer, fmt.Sprintf("HTTP %d", ex.status))
		f.Wait = ex.wait
		return f
	case ex.status >= 500, ex.status >= 300 && !redirectOK:
		return ex.fault(classifier.PhaseSent, fmt.Sprintf("HTTP %d", ex.status))
	case ex.page:
		return nil
	case ex.kind == classifier.BodyEmpty:
		return ex.fault(classifier.PhaseSent, "empty answer")
	case ex.kind != classifier.BodyJSON:
		return ex.fault(classifier.PhaseSent, "answer is not what the protocol says")
	}
	return nil
}

// kindOf tells what an answer is from its first bytes. JSON, the login's XML
// and the polls' script lines all count as readable.
func kindOf(head []byte) classifier.Body {
	t := bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")), " \t\r\n")
	low := bytes.ToLower(t[:min(len(t), 256)])
	switch {
	case len(t) == 0:
		return classifier.BodyEmpty
	case t[0] == '{', bytes.HasPrefix(t, []byte("window.")), bytes.HasPrefix(low, []byte("<error>")):
		return classifier.BodyJSON
	case t[0] == '<' && (bytes.Contains(low, []byte("<html")) || bytes.Contains(low, []byte("<!doctype")) ||
		bytes.Contains(low, []byte("<head")) || bytes.Contains(low, []byte("<body")) || bytes.Contains(low, []byte("<script"))):
		return classifier.BodyHTML
	}
	return classifier.BodyOther
}

// bare drops the library's and net/http's wrapping: url.Error prints the whole
// URL, and with it skey and sid.
func bare(err error) error {
	var u *url.Error
	for errors.As(err, &u) {
		err = u.Err
	}
	return err
}

// retryAfter reads the header's seconds; the form with a date is not used here.
func retryAfter(h string) time.Duration {
	n, err := strconv.Atoi(h)
	if err != nil || n < 0 || n > 86400 {
		return 0
	}
	return time.Duration(n) * time.Second
}
