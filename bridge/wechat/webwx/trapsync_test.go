package webwx

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"wechat-bridge/bridge/sim"
	"wechat-bridge/bridge/wechat"
	"wechat-bridge/classifier"
)

// receiveFault receives until there is a fault.
func (w *world) receiveFault(s *Session) *classifier.Fault {
	w.t.Helper()
	ctx := w.ctx()
	for {
		b, err := s.Receive(ctx)
		if err != nil {
			return faultOf(w.t, err)
		}
		must(w.t, s.Commit(ctx, b.Cursor))
	}
}

func TestTrap03SyncIgnoresRet(t *testing.T) {
	w := newWorld(t)
	s := w.login(wechat.QR)
	w.fault(sim.Fault{On: []string{"webwxsync"}, Do: "ret", Ret: 3})
	w.say(sim.Message{From: "alice", Text: "hi"})
	f := w.receiveFault(s)
	if f.Code != 3 || !f.HasCode || f.Op != classifier.OpSync || f.Phase != classifier.PhaseAnswer || f.SinceLogin <= 0 || !f.CookiesComplete {
		t.Errorf("fault %+v", f)
	}
}

func TestTrap04ErrorsSpin(t *testing.T) {
	for name, c := range map[string]struct {
		fault sim.Fault
		want  classifier.Fault
	}{
		"1205":  {sim.Fault{Do: "ret", Ret: 1205}, classifier.Fault{Code: 1205, HasCode: true, Phase: classifier.PhaseAnswer, Body: classifier.BodyJSON}},
		"html":  {sim.Fault{Do: "html"}, classifier.Fault{Phase: classifier.PhaseSent, Body: classifier.BodyHTML}},
		"empty": {sim.Fault{Do: "empty"}, classifier.Fault{Phase: classifier.PhaseSent, Body: classifier.BodyEmpty}},
		"reset": {sim.Fault{Do: "reset"}, classifier.Fault{Phase: classifier.PhaseSent}},
		"502":   {sim.Fault{Do: "status"}, classifier.Fault{Phase: classifier.PhaseSent, Body: classifier.BodyHTML, Status: 502}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			s := w.login(wechat.QR)
			tp := w.sim.Requests("synccheck")
			c.fault.On = []string{"synccheck"}
			w.fault(c.fault)
			for range 3 {
				_, err := s.Receive(w.ctx())
				f := faultOf(t, err)
				if f.Op != classifier.OpSyncCheck || f.Code != c.want.Code || f.HasCode != c.want.HasCode || f.Phase != c.want.Phase || f.Body != c.want.Body {
					t.Errorf("fault %+v, want %+v", f, c.want)
				}
			}
			if n := w.sim.Requests("synccheck") - tp; n != 3 {
				t.Errorf("3 calls made %d requests", n)
			}
		})
	}
	t.Run("a selector that never goes away", func(t *testing.T) {
		w := newWorld(t)
		tp := w.tap()
		s := w.login(wechat.QR)
		for { // the news of the login
			b, err := s.Receive(w.ctx())
			must(t, err)
			must(t, s.Commit(w.ctx(), b.Cursor))
			if b.Cursor == nil {
				break
			}
		}
		tp.say("synccheck", `window.synccheck={retcode:"0",selector:"2"}`)
		n := 0
		tp.reply("webwxsync", func() string { // a key that moves with the clock, and nothing new
			n++
			return fmt.Sprintf(`{"BaseResponse":{"Ret":0},"ContinueFlag":%d,"SyncKey":{"Count":1,"List":[{"Key":1,"Val":%d}]}}`, n%2, n)
		})
		before := len(tp.to("synccheck"))
		ctx, cancel := context.WithTimeout(context.Background(), 600*time.Millisecond)
		defer cancel()
		for ctx.Err() == nil {
			b, err := s.Receive(ctx)
			if err == nil && b.Cursor != nil {
				must(t, s.Commit(w.ctx(), b.Cursor))
			}
		}
		if n := len(tp.to("synccheck")) - before; n > 8 {
			t.Errorf("%d polls in 600 ms", n)
		}
	})
}

func TestTrap05CookiesForgottenByHotLogin(t *testing.T) {
	w := newWorld(t)
	must(t, w.login(wechat.QR).Close())
	for range 3 { // the library loses them at the second save
		w.restart()
		s := w.login(wechat.Stored)
		_, err := s.Send(w.ctx(), mediaTo(w.peer("Alice"), wechat.Image, "a.png", pngBytes))
		must(t, err)
		must(t, s.Close())
	}
	if n := len(w.sim.Sent()); n != 3 {
		t.Errorf("%d of 3 images arrived", n)
	}
	if n := w.sim.Requests("jslogin"); n != 1 {
		t.Errorf("%d codes were asked for", n)
	}
}

func TestTrap06CursorMovesBeforeTheHandler(t *testing.T) {
	w := newWorld(t)
	s := w.login(wechat.QR)
	id := w.say(sim.Message{From: "alice", Text: "do not lose me"})
	find := func(s *Session) bool {
		for range 20 {
			b, err := s.Receive(w.ctx())
			must(t, err)
			for _, e := range b.Events {
				if e.ID == id {
					return true
				}
			}
			if b.Cursor == nil {
				return false
			}
			must(t, s.Commit(w.ctx(), b.Cursor))
		}
		return false
	}
	for range 2 { // not committed: again, from memory
		if !find(s) {
			t.Fatal("the batch did not come again")
		}
	}
	must(t, s.Close())
	s = w.login(wechat.Resume)
	if !find(s) {
		t.Fatal("the batch did not come again after a resume")
	}
	must(t, s.Close())
	w.restart() // a crash: from the old sync key
	s = w.login(wechat.Stored)
	if !find(s) {
		t.Fatal("the batch did not come again after a crash")
	}
	b, err := s.Receive(w.ctx())
	must(t, err)
	must(t, s.Commit(w.ctx(), b.Cursor))
	must(t, s.Commit(w.ctx(), b.Cursor)) // committing twice is no error
	must(t, s.Close())
	w.restart()
	if find(w.login(wechat.Stored)) {
		t.Error("a committed batch came again")
	}
}

func TestCommitThatFailsMovesNothing(t *testing.T) {
	w := newWorld(t)
	s := w.login(wechat.QR)
	id := w.say(sim.Message{From: "alice", Text: "x"})
	var b wechat.Batch
	for {
		var err error
		b, err = s.Receive(w.ctx())
		must(t, err)
		if len(b.Events) > 0 && b.Events[0].ID == id {
			break
		}
		must(t, s.Commit(w.ctx(), b.Cursor))
	}
	w.vault.breakDown(errors.New("no vault"))
	if err := s.Commit(w.ctx(), b.Cursor); err == nil {
		t.Fatal("a commit that stored nothing said nothing")
	}
	w.vault.breakDown(nil)
	again, err := s.Receive(w.ctx())
	must(t, err)
	if len(again.Events) == 0 || again.Events[0].ID != id {
		t.Error("the batch is gone")
	}
	if err := s.Commit(w.ctx(), wechat.Cursor("4711")); err == nil {
		t.Error("a cursor that nobody gave was committed")
	}
}

func TestTrap07SyncDropsFields(t *testing.T) {
	w := newWorld(t)
	s := w.login(wechat.QR)
	var last string
	for i := range 120 { // the simulator tells 50 at once and sets ContinueFlag
		last = w.say(sim.Message{From: "alice", Text: fmt.Sprint(i)})
	}
	checks := w.sim.Requests("synccheck")
	w.byID(s, last)
	if n := w.sim.Requests("synccheck") - checks; n > 2 {
		t.Errorf("%d polls for messages that were announced with ContinueFlag", n)
	}
	must(t, w.sim.ChangeContact(sim.ContactChange{Do: "rename", ID: "bob", Name: "Bobby"}))
	e := w.event(s, func(e wechat.Event) bool { return e.Type == wechat.EventContact })
	if e.Change.Action != "renamed" || e.Change.OldName != "Bob" || e.Change.Peer.Name != "Bobby" || w.peer("Bobby").ID == "" || e.ID == "" {
		t.Errorf("change %+v", e.Change)
	}
	must(t, w.sim.ChangeContact(sim.ContactChange{Do: "delete", ID: "bob"}))
	e = w.event(s, func(e wechat.Event) bool { return e.Type == wechat.EventContact })
	if e.Change.Action != "removed" || e.Change.Peer.Name != "Bobby" {
		t.Errorf("change %+v", e.Change)
	}
	if _, err := w.dir.Resolve(wechat.Query{Name: "Bobby"}); err == nil {
		t.Error("a removed friend is still known")
	}
	must(t, w.sim.ChangeContact(sim.ContactChange{Do: "add", ID: "new", Name: "Newbie"}))
	e = w.event(s, func(e wechat.Event) bool { return e.Type == wechat.EventContact })
	if e.Change.Action != "added" || w.peer("Newbie").ID != e.Change.Peer.ID {
		t.Errorf("change %+v", e.Change)
	}
	must(t, w.sim.ChangeRoom(sim.RoomChange{Do: "join", Room: "team", Member: "carol", By: "alice"}))
	e = w.event(s, func(e wechat.Event) bool { return e.Type == wechat.EventRoom && e.Change.Action == "members" })
	if e.Change.Peer.Name != "Team" || len(e.Change.Members) != 4 {
		t.Errorf("change %+v", e.Change)
	}
	must(t, w.sim.ChangeRoom(sim.RoomChange{Do: "rename", Room: "team", Name: "A-Team", By: "alice"}))
	e = w.event(s, func(e wechat.Event) bool { return e.Type == wechat.EventRoom && e.Change.Action == "renamed" })
	if e.Change.OldName != "Team" || w.peer("A-Team").Type != wechat.Room {
		t.Errorf("change %+v", e.Change)
	}
}

func TestTrap16RetConstants(t *testing.T) {
	w := newWorld(t)
	s := w.login(wechat.QR)
	for _, code := range []int{-14, -2, -1, 1, 3, 1100, 1101, 1102, 1200, 1203, 1204, 1205} {
		w.sim.ClearFaults()
		w.fault(sim.Fault{On: []string{"webwxsendmsg"}, Do: "ret", Ret: code, Count: 1})
		_, err := s.Send(w.ctx(), textTo(w.peer("Alice"), "x", "1"))
		f := faultOf(t, err)
		if f.Code != code || !f.HasCode || f.Op != classifier.OpSend || f.Phase != classifier.PhaseAnswer || f.Transport != classifier.WebWX {
			t.Errorf("code %d: %+v", code, f)
		}
		if v := classifier.Judge(f); v.Class == classifier.Unknown {
			t.Errorf("code %d has no verdict", code)
		}
	}
}

func TestTrap17CodesInThreeForms(t *testing.T) {
	w := newWorld(t)
	s := w.login(wechat.QR)
	must(t, w.sim.Logout(1101)) // text, in synccheck
	if f := w.receiveFault(s); f.Code != 1101 || !f.HasCode {
		t.Errorf("synccheck: %+v", f)
	}
	w.fault(sim.Fault{On: []string{"webwxnewloginpage"}, Do: "ret", Ret: 1203, Count: 1}) // XML, at login
	_, err := w.tr.Login(w.ctx(), wechat.LoginRequest{Rung: wechat.QR})
	if f := faultOf(t, err); f.Code != 1203 || f.Op != classifier.OpLogin || f.Phase != classifier.PhaseAnswer {
		t.Errorf("login: %+v", f)
	}
	w.fault(sim.Fault{On: []string{"webwxinit"}, Do: "ret", Ret: 1205, Count: 1}) // a number, in JSON
	_, err = w.tr.Login(w.ctx(), wechat.LoginRequest{Rung: wechat.QR})
	if f := faultOf(t, err); f.Code != 1205 || f.Op != classifier.OpInit {
		t.Errorf("init: %+v", f)
	}
	w.sim.Forget() // text again, in the answer to a push login
	_, err = w.tr.Login(w.ctx(), wechat.LoginRequest{Rung: wechat.Push})
	if !errors.Is(err, wechat.ErrNoRung) {
		t.Errorf("push: %v", err)
	}
}

func TestTrap21DeadlyBodies(t *testing.T) {
	for name, body := range map[string]string{
		"nothing at all":  `{}`,
		"bare response":   `{"BaseResponse":{"Ret":0,"ErrMsg":""}}`,
		"no list":         `{"BaseResponse":{"Ret":0,"ErrMsg":""},"SyncKey":{"Count":3}}`,
		"null key":        `{"BaseResponse":{"Ret":0,"ErrMsg":""},"SyncKey":null,"AddMsgCount":0}`,
		"a list":          `[1,2]`,
		"cut":             `{"BaseResponse":{"Ret":0,"ErrM`,
		"wrong types":     `{"BaseResponse":{"Ret":"x"}}`,
		"count that lies": `{"BaseResponse":{"Ret":0,"ErrMsg":""},"SyncKey":{"Count":-5,"List":[]}}`,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			tp := w.tap()
			s := w.login(wechat.QR)
			tp.say("webwxsync", body)
			w.say(sim.Message{From: "alice", Text: "hi"})
			if f := w.receiveFault(s); f.Op != classifier.OpSync || f.Body != classifier.BodyOther || f.Phase != classifier.PhaseSent {
				t.Errorf("fault %+v", f)
			}
		})
	}
	t.Run("a bare object is no good answer anywhere", func(t *testing.T) {
		w := newWorld(t)
		tp := w.tap()
		s := w.login(wechat.QR)
		tp.say("webwxstatusnotify", `{}`)
		if f := faultOf(t, s.Probe(w.ctx())); f.Body != classifier.BodyOther {
			t.Errorf("fault %+v", f)
		}
	})
	t.Run("a key whose count is smaller than its list", func(t *testing.T) {
		w := newWorld(t)
		tp := w.tap()
		s := w.login(wechat.QR)
		tp.say("webwxsync", `{"BaseResponse":{"Ret":0},"SyncKey":{"Count":0,"List":[{"Key":1,"Val":2},{"Key":2,"Val":3}]}}`)
		w.say(sim.Message{From: "alice", Text: "hi"})
		b, err := s.Receive(w.ctx())
		must(t, err)
		must(t, s.Commit(w.ctx(), b.Cursor))
		if f := w.receiveFault(s); f.Op != classifier.OpSyncCheck || f.Code != 1 {
			t.Errorf("fault %+v", f)
		}
	})
}

func TestTrap23SynccheckWithoutCookies(t *testing.T) {
	w := newWorld(t)
	must(t, w.login(wechat.QR).Close())
	w.restart()
	tp := w.tap()
	s := w.login(wechat.Stored)
	_, err := s.Receive(w.ctx())
	must(t, err)
	req := tp.to("synccheck")[0].req
	for _, name := range []string{"wxsid", "wxuin"} {
		if c, err := req.Cookie(name); err != nil || c.Value == "" {
			t.Errorf("%s went out without %s", req.URL.Host, name)
		}
	}
	if !s.line.complete() {
		t.Error("the restored cookies are not complete")
	}
}
