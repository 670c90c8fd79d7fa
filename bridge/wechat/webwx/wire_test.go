package webwx

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"wechat-bridge/bridge/sim"
	"wechat-bridge/bridge/wechat"
	"wechat-bridge/classifier"
)

// TestPhases: a fault knows how far its request got, and so whether the
// message may have gone out.
func TestPhases(t *testing.T) {
	for name, c := range map[string]struct {
		fault   sim.Fault
		phase   classifier.Phase
		certain bool
		taken   int
	}{
		"reset before it is read": {sim.Fault{Do: "reset"}, classifier.PhaseSent, false, 0},
		"accepted, answer lost":   {sim.Fault{Do: "accept_then_drop"}, classifier.PhaseSent, false, 1},
		"accepted, answer cut":    {sim.Fault{Do: "truncate"}, classifier.PhaseSent, false, 1},
		"a page":                  {sim.Fault{Do: "html"}, classifier.PhaseSent, false, 0},
		"nothing":                 {sim.Fault{Do: "empty"}, classifier.PhaseSent, false, 0},
		"502":                     {sim.Fault{Do: "status"}, classifier.PhaseSent, false, 0},
		"403":                     {sim.Fault{Do: "status", Status: 403}, classifier.PhaseAnswer, true, 0},
		"refused by code":         {sim.Fault{Do: "ret", Ret: -1}, classifier.PhaseAnswer, true, 0},
		"too often":               {sim.Fault{Do: "ret", Ret: 1205}, classifier.PhaseAnswer, true, 0},
		"perhaps":                 {sim.Fault{Do: "ret", Ret: 1204}, classifier.PhaseAnswer, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			s := w.login(wechat.QR)
			c.fault.On = []string{"webwxsendmsg"}
			w.fault(c.fault)
			_, err := s.Send(w.ctx(), textTo(w.peer("Alice"), "x", "1"))
			f := faultOf(t, err)
			if f.Phase != c.phase || f.Op != classifier.OpSend || !strings.HasSuffix(f.Endpoint, "/webwxsendmsg") {
				t.Errorf("fault %+v", f)
			}
			if v := classifier.Judge(f); v.Certain != c.certain {
				t.Errorf("certain %v, want %v: %+v", v.Certain, c.certain, f)
			}
			if n := len(w.sim.Sent()); n != c.taken {
				t.Errorf("%d were taken, want %d", n, c.taken)
			}
		})
	}
	t.Run("nobody there", func(t *testing.T) {
		w := newWorld(t)
		s := w.login(wechat.QR)
		to := w.peer("Alice")
		must(t, w.sim.Close())
		_, err := s.Send(w.ctx(), textTo(to, "x", "1"))
		if f := faultOf(t, err); f.Phase == classifier.PhaseSent && !errors.Is(f.Cause, io.EOF) {
			t.Errorf("fault %+v", f)
		}
		s.line.close() // no connection is left: the next request has to dial
		_, err = s.Send(w.ctx(), textTo(to, "x", "1"))
		if f := faultOf(t, err); f.Phase != classifier.PhaseDial || f.Text != "connection refused" || !classifier.Judge(f).Certain {
			t.Errorf("fault %+v", f)
		}
	})
	t.Run("no such name", func(t *testing.T) {
		w := newWorld(t)
		w.tr.dial.raw = func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "wx.qq.com"}}
		}
		_, err := w.tr.Login(w.ctx(), wechat.LoginRequest{Rung: wechat.QR})
		if f := faultOf(t, err); f.Phase != classifier.PhaseDial || classifier.Judge(f).Code != "dns_failure" || f.Op != classifier.OpUUID {
			t.Errorf("fault %+v", f)
		}
	})
	t.Run("a certificate nobody trusts", func(t *testing.T) {
		w := newWorld(t)
		w.tr.dial.roots = nil
		_, err := w.tr.Login(w.ctx(), wechat.LoginRequest{Rung: wechat.QR})
		if f := faultOf(t, err); f.Phase != classifier.PhaseDial || f.Text != "TLS certificate refused" {
			t.Errorf("fault %+v", f)
		}
	})
}

func TestFaultsHoldNoSecrets(t *testing.T) {
	w := newWorld(t)
	s := w.login(wechat.QR)
	info := s.line.login()
	secrets := []string{info.SKey, info.WxSid, info.PassTicket, "the text of a message"}
	for _, do := range []string{"reset", "html", "empty", "truncate", "ret", "status"} {
		for _, ep := range []string{"synccheck", "webwxsendmsg", "webwxstatusnotify"} {
			w.sim.ClearFaults()
			w.fault(sim.Fault{On: []string{ep}, Do: do, Ret: 1205})
			var err error
			switch ep {
			case "synccheck":
				_, err = s.Receive(w.ctx())
			case "webwxsendmsg":
				_, err = s.Send(w.ctx(), textTo(w.peer("Alice"), "the text of a message", "1"))
			default:
				err = s.Probe(w.ctx())
			}
			f := faultOf(t, err)
			for _, secret := range secrets {
				if strings.Contains(f.Error()+f.Endpoint+f.Text, secret) || strings.ContainsRune(f.Endpoint, '?') {
					t.Errorf("%s %s tells a secret: %v", ep, do, f)
				}
			}
		}
	}
}

// endless is a body that never ends and counts what was read.
type endless struct {
	head string
	read int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.head)
	e.head = e.head[n:]
	for i := n; i < len(p); i++ {
		p[i] = 'x'
	}
	e.read += len(p)
	return len(p), nil
}

func (e *endless) Close() error { return nil }

func TestAnswersAreReadBounded(t *testing.T) {
	for name, c := range map[string]struct {
		head string
		most int
		body classifier.Body
	}{
		"a page":             {"<!DOCTYPE html><html>", pageBytes + 64<<10, classifier.BodyHTML},
		"JSON without end":   {`{"BaseResponse":{"Ret":0},"MsgID":"`, smallAnswer + 64<<10, classifier.BodyOther},
		"bytes without form": {"\x00\x01", smallAnswer + 64<<10, classifier.BodyOther},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			tp := w.tap()
			s := w.login(wechat.QR)
			body := &endless{head: c.head}
			tp.mu.Lock()
			tp.answer = func(req *http.Request) *http.Response {
				if strings.HasSuffix(req.URL.Path, "/webwxsendmsg") {
					return &http.Response{StatusCode: 200, Header: http.Header{}, Body: body, Request: req}
				}
				return nil
			}
			tp.mu.Unlock()
			_, err := s.Send(w.ctx(), textTo(w.peer("Alice"), "x", "1"))
			if f := faultOf(t, err); f.Body != c.body || f.Phase != classifier.PhaseSent {
				t.Errorf("fault %+v", f)
			}
			if body.read > c.most {
				t.Errorf("%d bytes were read", body.read)
			}
		})
	}
}

func TestRedirectsAndStrangeHosts(t *testing.T) {
	w := newWorld(t)
	tp := w.tap()
	tp.say("login", `window.code=200;window.redirect_uri="https://evil.example/cgi-bin/mmwebwx-bin/webwxnewloginpage?ticket=a";`)
	_, err := w.tr.Login(w.ctx(), wechat.LoginRequest{Rung: wechat.QR})
	if f := faultOf(t, err); f.Op != classifier.OpLogin || f.Phase != classifier.PhasePrepare {
		t.Errorf("fault %+v", f)
	}
	w = newWorld(t)
	tp = w.tap()
	s := w.login(wechat.QR)
	tp.mu.Lock()
	tp.answer = func(req *http.Request) *http.Response {
		if !strings.HasSuffix(req.URL.Path, "/webwxstatusnotify") {
			return nil
		}
		return &http.Response{StatusCode: 302, Header: http.Header{"Location": {"https://evil.example/"}}, Body: http.NoBody, Request: req}
	}
	tp.mu.Unlock()
	if f := faultOf(t, s.Probe(w.ctx())); f.Status != 302 {
		t.Errorf("fault %+v", f)
	}
	tp.mu.Lock()
	defer tp.mu.Unlock()
	for _, s := range tp.seen {
		if s.req.URL.Host == "evil.example" {
			t.Error("a redirect was followed")
		}
	}
}

func TestCancellationIsNoFault(t *testing.T) {
	w := newWorld(t)
	s := w.login(wechat.QR)
	why := errors.New("shutdown")
	w.fault(sim.Fault{On: []string{"synccheck", "webwxsendmsg", "webwxuploadmedia", "webwxstatusnotify"}, Do: "hang"})
	for name, call := range map[string]func(context.Context) error{
		"receive": func(ctx context.Context) error { _, err := s.Receive(ctx); return err },
		"send": func(ctx context.Context) error {
			_, err := s.Send(ctx, textTo(w.peer("Alice"), "x", "1"))
			return err
		},
		"upload": func(ctx context.Context) error {
			_, err := s.Send(ctx, mediaTo(w.peer("Alice"), wechat.Image, "a.png", pngBytes))
			return err
		},
		"probe": s.Probe,
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(context.Background())
			before := w.sim.Requests("*")
			done := make(chan error, 1)
			go func() { done <- call(ctx) }()
			eventually(t, "a request hangs", func() bool { return w.sim.Requests("*") > before })
			cancel(why)
			err := <-done
			var f *classifier.Fault
			if !errors.Is(err, why) || errors.As(err, &f) {
				t.Errorf("got %v", err)
			}
		})
	}
}
