package webwx

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"wechat-bridge/bridge/sim"
	"wechat-bridge/bridge/wechat"
	"wechat-bridge/classifier"
)

func TestTrap10BotCannotBeUsedAgain(t *testing.T) {
	w := newWorld(t)
	s := w.login(wechat.QR)
	for i, rung := range []wechat.Rung{wechat.Resume, wechat.Stored, wechat.Push, wechat.QR} {
		must(t, s.Close())
		s = w.login(rung)
		_, err := s.Send(w.ctx(), textTo(w.peer("Alice"), "again", "1"))
		must(t, err)
		if n := len(w.sim.Sent()); n != i+1 {
			t.Fatalf("after %v: %d sent", rung, n)
		}
	}
}

// pipes is a listener in memory, for tests in a bubble.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 443} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.conns <- there:
		return here, nil
	case <-p.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// bubble makes a world with WeChat's real times inside a synctest bubble.
func bubble(t *testing.T, f func(w *world)) {
	synctest.Test(t, func(t *testing.T) {
		ln := newPipes()
		s, err := sim.Start(sim.Options{Listener: ln, AutoLogin: true, Echo: "off", Seed: 3})
		must(t, err)
		w := &world{t: t, sim: s, vault: &memVault{}, dir: wechat.NewDirectory(nil)}
		w.tr, err = New(Config{Vault: w.vault, Directory: w.dir, RootCAs: s.CAPool(), TempDir: t.TempDir(), Log: zerolog.Nop()})
		must(t, err)
		w.tr.dial.raw = ln.dial
		f(w)
		if live := w.tr.live.Load(); live != nil {
			must(t, live.Close())
		}
		must(t, s.Close())
	})
}

func TestTrap13OneTimeoutForEverything(t *testing.T) {
	bubble(t, func(w *world) {
		sess, err := w.tr.Login(w.t.Context(), wechat.LoginRequest{Rung: wechat.QR})
		must(t, err)
		s := sess.(*Session)
		if d := s.line.lib.HTTPClient().Timeout; d != 0 {
			t.Errorf("the library's client ends everything after %v", d)
		}
		for { // the news of the login
			b, err := s.Receive(w.t.Context())
			must(t, err)
			must(t, s.Commit(w.t.Context(), b.Cursor))
			if b.Cursor == nil {
				break
			}
		}
		w.fault(sim.Fault{On: []string{"synccheck"}, Do: "delay", Delay: 9 * time.Second, Count: 1})
		start := time.Now()
		if _, err := s.Receive(w.t.Context()); err != nil { // 9 + 25 s: late, but within the slack
			t.Errorf("a poll of %v: %v", time.Since(start), err)
		}
		if d := time.Since(start); d < 30*time.Second || d > 35*time.Second {
			t.Errorf("the poll took %v", d)
		}
		w.fault(sim.Fault{On: []string{"synccheck"}, Do: "hang"})
		start = time.Now()
		_, err = s.Receive(w.t.Context())
		f := faultOf(t, err)
		if d := time.Since(start); d != 35*time.Second || f.Phase != classifier.PhaseSent || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("silence was noticed after %v: %+v", d, f)
		}
		if v := classifier.Judge(f); v.Code != "timeout" {
			t.Errorf("verdict %+v", v)
		}
		w.sim.ClearFaults()
		w.fault(sim.Fault{On: []string{"webwxuploadmedia"}, Do: "delay", Delay: 90 * time.Second, Count: 1})
		_, err = s.Send(w.t.Context(), mediaTo(w.peer("Alice"), wechat.Image, "slow.png", pngBytes))
		must(t, err)
	})
}

func TestTrap14LoginPolls(t *testing.T) {
	t.Run("a poll that is not held does not spin", func(t *testing.T) {
		bubble(t, func(w *world) {
			w.fault(sim.Fault{On: []string{"login"}, Do: "ret", Ret: 408})
			start := time.Now()
			var steps []wechat.LoginStep
			_, err := w.tr.Login(w.t.Context(), wechat.LoginRequest{Rung: wechat.QR, Step: func(s wechat.LoginStep) { steps = append(steps, s) }})
			f := faultOf(t, err)
			if f.Op != classifier.OpCheckLogin || f.Code != 400 || classifier.Judge(f).Code != "qr_expired" {
				t.Errorf("fault %+v", f)
			}
			if d := time.Since(start); d < 5*time.Minute || d > 5*time.Minute+2*time.Second {
				t.Errorf("the code was shown for %v", d)
			}
			if n := w.sim.Requests("login"); n > 301 {
				t.Errorf("%d polls in five minutes", n)
			}
			if len(steps) != 1 || steps[0].Kind != wechat.StepScan || !steps[0].ExpiresAt.Equal(start.Add(5*time.Minute)) ||
				!regexp.MustCompile(`^https://login\.weixin\.qq\.com/l/\S+$`).MatchString(steps[0].QRText) {
				t.Errorf("steps %+v", steps)
			}
		})
	})
	t.Run("400 ends the login", func(t *testing.T) {
		w := newWorld(t)
		w.fault(sim.Fault{On: []string{"login"}, Do: "ret", Ret: 400})
		_, err := w.tr.Login(w.ctx(), wechat.LoginRequest{Rung: wechat.QR})
		if f := faultOf(t, err); f.Code != 400 || f.Op != classifier.OpCheckLogin || w.sim.Requests("jslogin") != 1 || w.sim.Requests("login") != 1 {
			t.Errorf("fault %+v", f)
		}
	})
	t.Run("unknown codes and errors are borne a while, then tell", func(t *testing.T) {
		w := newWorld(t)
		w.fault(sim.Fault{On: []string{"login"}, Do: "ret", Ret: 500, Count: 2})
		w.fault(sim.Fault{On: []string{"login"}, Do: "empty", Count: 1})
		s := w.login(wechat.QR)
		must(t, s.Close())
		w.fault(sim.Fault{On: []string{"login"}, Do: "ret", Ret: 500})
		_, err := w.tr.Login(w.ctx(), wechat.LoginRequest{Rung: wechat.QR})
		if f := faultOf(t, err); f.Code != 500 {
			t.Errorf("fault %+v", f)
		}
	})
	t.Run("scan, confirm, wait", func(t *testing.T) {
		w := newWorld(t)
		var kinds []wechat.StepKind
		_, err := w.tr.Login(w.ctx(), wechat.LoginRequest{Rung: wechat.QR, Step: func(s wechat.LoginStep) { kinds = append(kinds, s.Kind) }})
		must(t, err)
		must(t, w.tr.live.Load().Close())
		if len(kinds) != 3 || kinds[0] != wechat.StepScan || kinds[1] != wechat.StepConfirm || kinds[2] != wechat.StepWait {
			t.Errorf("steps %v", kinds)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		w := newWorld(t, func(o *sim.Options) { o.AutoLogin = false })
		why := errors.New("no more")
		ctx, cancel := context.WithCancelCause(context.Background())
		_, err := w.tr.Login(ctx, wechat.LoginRequest{Rung: wechat.QR, Step: func(wechat.LoginStep) { cancel(why) }})
		var f *classifier.Fault
		if !errors.Is(err, why) || errors.As(err, &f) {
			t.Errorf("got %v", err)
		}
	})
}

func TestTrap15QRCallbackOpensABrowser(t *testing.T) {
	dir := t.TempDir()
	mark := filepath.Join(dir, "opened")
	for _, name := range []string{"xdg-open", "open", "cmd"} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\necho \"$@\" > "+mark+"\n"), 0o700))
	}
	t.Setenv("PATH", dir)
	w := newWorld(t)
	w.login(wechat.QR)
	if _, err := os.Stat(mark); err == nil {
		t.Error("a login opened a browser")
	}
	if n := w.sim.Requests("qrcode"); n != 0 {
		t.Errorf("the picture was fetched %d times", n)
	}
}

func TestTrap18UserNamesChange(t *testing.T) {
	w := newWorld(t)
	s := w.login(wechat.QR)
	alice, gen := w.peer("Alice"), w.dir.Generation()
	must(t, s.Close())
	s = w.login(wechat.Resume)
	if w.dir.Generation() != gen || w.peer("Alice") != alice {
		t.Error("a resumed session forgot its peers")
	}
	must(t, s.Close())
	s = w.login(wechat.QR)
	if w.dir.Generation() == gen || w.peer("Alice").ID == alice.ID {
		t.Error("the directory holds ids of an earlier login")
	}
	if _, ok := w.dir.Peer(alice.ID); ok {
		t.Error("an id of an earlier login is still known")
	}
	_, err := s.Send(w.ctx(), textTo(alice, "to nobody", "1"))
	if f := faultOf(t, err); f.Code != -1 {
		t.Errorf("a stale id: %+v", f)
	}
}

func TestTrap19DeviceIDFromTheSecond(t *testing.T) {
	seen := map[string]bool{}
	for range 50 {
		d := newDevice()
		if !regexp.MustCompile(`^e\d{15}$`).MatchString(d) || seen[d] {
			t.Fatalf("device %q, or twice", d)
		}
		seen[d] = true
	}
	w := newWorld(t)
	tp := w.tap()
	s := w.login(wechat.QR)
	device := w.tr.acct.device()
	must(t, s.Close())
	must(t, w.tr.Forget(w.ctx()))
	w.restart()
	tp2 := w.tap()
	w.login(wechat.QR)
	for _, tp := range []*tap{tp, tp2} {
		if body := tp.to("webwxinit")[0].body; !strings.Contains(body, `"DeviceID":"`+device+`"`) {
			t.Errorf("init with %s, want device %s", body, device)
		}
	}
}

func TestTrap24LogoutFailsOnSuccess(t *testing.T) {
	w := newWorld(t)
	s := w.login(wechat.QR)
	must(t, s.Logout(w.ctx()))
	if n := w.sim.Requests("webwxlogout"); n != 1 {
		t.Errorf("%d logouts", n)
	}
	if f := w.receiveFault(s); !f.HasCode || f.Code < 1100 || f.Code > 1102 {
		t.Errorf("after a logout: %+v", f)
	}
	must(t, w.tr.Forget(w.ctx()))
	for _, rung := range []wechat.Rung{wechat.Resume, wechat.Stored, wechat.Push} {
		if _, err := w.tr.Login(w.ctx(), wechat.LoginRequest{Rung: rung}); !errors.Is(err, wechat.ErrNoRung) {
			t.Errorf("%v after a logout: %v", rung, err)
		}
	}
}

func TestTrap26PushLoginKeepsTheSyncKey(t *testing.T) {
	w := newWorld(t)
	s := w.login(wechat.QR)
	w.byID(s, w.say(sim.Message{From: "alice", Text: "old"}))
	must(t, w.sim.Logout(1101))
	w.receiveFault(s)
	old := w.tr.acct.session().CheckKey.text()
	w.restart()
	tp := w.tap()
	s = w.login(wechat.Push)
	id := w.say(sim.Message{From: "alice", Text: "new"})
	w.byID(s, id)
	key := tp.to("synccheck")[0].req.URL.Query().Get("synckey")
	if key == old || key == "" {
		t.Errorf("the new session polled with the old key %q", key)
	}
	tips := tp.to("login")
	if tips[0].req.URL.Query().Get("tip") != "1" || len(tips) > 1 && tips[1].req.URL.Query().Get("tip") != "0" {
		t.Error("after a push login tip is first 1, then 0")
	}
}
