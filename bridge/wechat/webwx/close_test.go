package webwx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"

	"wechat-bridge/bridge/sim"
	"wechat-bridge/bridge/wechat"
	"wechat-bridge/classifier"
)

// storm makes everything that a session can do go on at once, until stop.
func (w *world) storm(s *Session) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	to := w.peer("Alice")
	loop := func(f func(i int) error) {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				if err := f(i); errors.Is(err, ErrClosed) {
					return
				}
			}
		})
	}
	loop(func(int) error {
		b, err := s.Receive(ctx)
		if err != nil {
			return err
		}
		for _, e := range b.Events {
			if e.Message != nil && e.Message.Media != nil {
				if r, err := e.Message.Media.Open(ctx); err == nil {
					_, _ = io.Copy(io.Discard, r)
					_ = r.Close()
				}
			}
		}
		return s.Commit(ctx, b.Cursor)
	})
	loop(func(i int) error { _, err := s.Send(ctx, textTo(to, fmt.Sprint(i), "1")); return err })
	loop(func(int) error { _, err := s.Send(ctx, mediaTo(to, wechat.Image, "a.png", pngBytes)); return err })
	loop(func(int) error { return s.Probe(ctx) })
	loop(func(i int) error {
		m := sim.Message{From: []string{"alice", "bob"}[i%2], Room: "team", Text: fmt.Sprint(i)}
		if i%5 == 0 {
			m.Type, m.Data = "image", pngBytes
		}
		_, err := w.sim.Say(m)
		if err == nil && s.ctx.Err() != nil {
			return ErrClosed
		}
		return err
	})
	return func() { wg.Wait(); cancel() }
}

func TestTrap09ExitRacesWithEverything(t *testing.T) {
	w := newWorld(t)
	for _, rung := range []wechat.Rung{wechat.QR, wechat.Resume, wechat.Stored} {
		s := w.login(rung)
		wait := w.storm(s)
		n := w.sim.Requests("*")
		eventually(t, "traffic", func() bool { return w.sim.Requests("*") > n+40 })
		must(t, s.Close())
		must(t, s.Close())
		wait()
	}
}

func TestTrap22ExitDuringARoomMessage(t *testing.T) {
	w := newWorld(t)
	for i := range 4 {
		rung := wechat.Resume
		if i == 0 {
			rung = wechat.QR
		}
		s := w.login(rung)
		for j := range 30 {
			w.say(sim.Message{From: []string{"frank", "grace", "alice"}[j%3], Room: "hidden", Text: fmt.Sprint(j)})
		}
		done := make(chan error, 1)
		ctx := w.ctx()
		go func() {
			for {
				b, err := s.Receive(ctx)
				if err != nil {
					done <- err
					return
				}
				_ = s.Commit(ctx, b.Cursor)
			}
		}()
		must(t, s.Close())
		if err := <-done; !errors.Is(err, ErrClosed) {
			t.Errorf("receive ended with %v", err)
		}
	}
}

func TestClosedSession(t *testing.T) {
	w := newWorld(t)
	s := w.login(wechat.QR)
	id := w.say(sim.Message{From: "alice", Type: "image", Data: pngBytes})
	e := w.byID(s, id)
	to := w.peer("Alice")
	must(t, s.Close())
	asked := func() int {
		return w.sim.Requests("synccheck") + w.sim.Requests("webwxsendmsg") + w.sim.Requests("webwxgetmsgimg")
	}
	n := asked()
	_, err := s.Receive(w.ctx())
	if !errors.Is(err, ErrClosed) {
		t.Errorf("receive: %v", err)
	}
	_, err = s.Send(w.ctx(), textTo(to, "x", "1"))
	f := faultOf(t, err)
	if v := classifier.Judge(f); !errors.Is(err, net.ErrClosed) || !v.Certain || v.Code != "session_closed" {
		t.Errorf("send: %+v %+v", f, v)
	}
	if _, err := e.Message.Media.Open(w.ctx()); !errors.Is(err, ErrClosed) {
		t.Errorf("download: %v", err)
	}
	if m := asked(); m != n {
		t.Errorf("a closed session made %d requests", m-n)
	}
	s = w.login(wechat.Resume) // the medium of the old batch can be had now
	if !holds(pngBytes)(e.Message) {
		t.Error("a medium died with its session")
	}
	_ = s
}

func TestCloseInTheMiddleOfASendLeavesTheOutcomeOpen(t *testing.T) {
	w := newWorld(t)
	s := w.login(wechat.QR)
	to := w.peer("Alice")
	w.fault(sim.Fault{On: []string{"webwxsendmsg"}, Do: "hang"})
	done := make(chan error, 1)
	ctx := w.ctx()
	go func() { _, err := s.Send(ctx, textTo(to, "x", "1")); done <- err }()
	eventually(t, "the send hangs", func() bool { return w.sim.Requests("webwxsendmsg") == 1 })
	must(t, s.Close())
	f := faultOf(t, <-done)
	if f.Phase != classifier.PhaseSent || classifier.Judge(f).Certain {
		t.Errorf("fault %+v", f)
	}
	w.sim.ClearFaults()
	s = w.login(wechat.Resume)
	w.fault(sim.Fault{On: []string{"webwxuploadmedia"}, Do: "hang"})
	go func() { _, err := s.Send(ctx, mediaTo(to, wechat.Image, "a.png", pngBytes)); done <- err }()
	eventually(t, "the upload hangs", func() bool { return w.sim.Requests("webwxuploadmedia") == 1 })
	must(t, s.Close())
	if f := faultOf(t, <-done); f.Op != classifier.OpUpload || !classifier.Judge(f).Certain {
		t.Errorf("an upload that was cut off is no message: %+v", f)
	}
}
