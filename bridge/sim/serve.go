package sim

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/rs/zerolog"
)

// maxBody bounds a request's body; WeChat's clients send at most 512 KiB of a
// file at once.
const maxBody = 2 << 20

// protocol is what a transport's servers do with a request.
type protocol interface {
	// endpoint names a request for counters and faults.
	endpoint(r *http.Request) string
	// names are the names that endpoint can give.
	names() []string
	// serve answers; notice, if any, is the in-band message of a fault.
	serve(w http.ResponseWriter, c call)
	// refuse answers with a code in the endpoint's own form; selector is for
	// polls that have one.
	refuse(w http.ResponseWriter, endpoint string, ret, selector int)
}

// call is one request with its body read.
type call struct {
	*http.Request
	endpoint string
	body     []byte
	notice   string
}

// ServeHTTP takes every request of the TLS port through the faults.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.flight.enter()
	defer s.flight.leave()
	name := s.proto.endpoint(r)
	s.counts.add(name)
	// The body is read first: net/http sees a client leave only after that.
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		answerTooLarge(w, err)
		return
	}
	s.play(w, call{Request: r, endpoint: name, body: body}, s.faults.take(name))
}

func answerTooLarge(w http.ResponseWriter, err error) {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		http.Error(w, "Request Entity Too Large", http.StatusRequestEntityTooLarge)
		return
	}
	http.Error(w, "Bad Request", http.StatusBadRequest)
}

// play does what the faults say, and the protocol's own answer else.
func (s *Server) play(w http.ResponseWriter, c call, p plan) {
	c.notice = p.notice
	if !s.pause(c, p.delay, nil) {
		return
	}
	switch p.do {
	case "ret", "throttle":
		s.proto.refuse(w, c.endpoint, p.ret, p.selector)
	case "status":
		answerHTML(w, p.status, "<html><head><title>"+http.StatusText(p.status)+"</title></head><body>nginx</body></html>")
	case "html":
		answerHTML(w, http.StatusOK, "<!DOCTYPE html><html><head><title>微信网页版</title></head><body></body></html>")
	case "empty":
		w.WriteHeader(http.StatusOK)
	case "reset", "refuse":
		cutAnswer(w)
	case "hang":
		if s.pause(c, forever, p.gone) {
			s.proto.serve(w, c)
		}
	case "accept_then_drop":
		s.proto.serve(newRecorder(), c)
		cutAnswer(w)
	case "truncate":
		rec := newRecorder()
		s.proto.serve(rec, c)
		rec.writeHalf(w)
	default:
		s.proto.serve(w, c)
	}
}

const forever = time.Duration(1<<63 - 1)

// pause waits; false means that the client or the server is gone. A closed
// gone ends the wait early.
func (s *Server) pause(c call, d time.Duration, gone <-chan struct{}) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-gone:
		return true
	case <-c.Context().Done():
		return false
	}
}

func answerHTML(w http.ResponseWriter, status int, page string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, page) // the client may be gone
}

// cutAnswer resets the connection instead of answering.
func cutAnswer(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if t, ok := conn.(*tls.Conn); ok {
		cut(t.NetConn()) // closing t itself would say goodbye
		return
	}
	cut(conn)
}

// recorder keeps an answer instead of sending it.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func newRecorder() *recorder { return &recorder{header: make(http.Header), status: http.StatusOK} }

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(status int)      { r.status = status }
func (r *recorder) Write(b []byte) (int, error) { return r.body.Write(b) }

// writeHalf promises the whole answer and sends half of it.
func (r *recorder) writeHalf(w http.ResponseWriter) {
	conn, buf, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer func() { _ = conn.Close() }()
	r.header.Set("Content-Length", strconv.Itoa(r.body.Len()))
	_, _ = buf.WriteString("HTTP/1.1 " + strconv.Itoa(r.status) + " " + http.StatusText(r.status) + "\r\n")
	_ = r.header.Write(buf)
	_, _ = buf.WriteString("\r\n")
	_, _ = buf.Write(r.body.Bytes()[:r.body.Len()/2])
	_ = buf.Flush() // a client that is gone gets less than half
}

// debugWriter takes what net/http complains about, e.g. failed handshakes.
type debugWriter struct{ log zerolog.Logger }

func (d debugWriter) Write(b []byte) (int, error) {
	d.log.Debug().Str("http", string(bytes.TrimSpace(b))).Msg("simulator connection")
	return len(b), nil
}
