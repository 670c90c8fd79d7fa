package wechattest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/classifier"
)

// Run runs the suite. Each part gets a harness of its own.
func Run(t *testing.T, newHarness func(t *testing.T) Harness) {
	for name, part := range map[string]func(*testing.T, Harness){
		"connect":            connects,
		"receive":            receives,
		"empty poll":         pollsEmpty,
		"cursor":             keepsTheCursor,
		"order":              keepsTheOrder,
		"send each kind":     sendsEachKind,
		"refuse what cannot": refuses,
		"revoke":             revokes,
		"fault in dial":      failsBeforeTheFirstByte,
		"fault in sent":      failsAfterTheFirstByte,
		"fault in answer":    failsByAnswer,
		"fault in upload":    failsInUpload,
		"fault in receive":   failsInReceive,
		"cancel":             cancels,
		"close":              closes,
		"close under load":   closesUnderLoad,
		"forget":             forgets,
		"probe and logout":   probesAndLogsOut,
		"rooms and names":    knowsRooms,
	} {
		t.Run(name, func(t *testing.T) { part(t, newHarness(t)) })
	}
}

func connects(t *testing.T, h Harness) {
	tr := h.Transport(t)
	a := tr.Abilities()
	if tr.Name() == "" || !a.Can(wechat.Text) || a.HoldTime <= 0 {
		t.Errorf("name %q, abilities %+v", tr.Name(), a)
	}
	for _, rung := range []wechat.Rung{wechat.Resume, wechat.Stored, wechat.Push} {
		if _, err := tr.Login(limited(t), wechat.LoginRequest{Rung: rung}); !errors.Is(err, wechat.ErrNoRung) {
			t.Errorf("%v before the first login: %v", rung, err)
		}
	}
	var steps []wechat.LoginStep
	s, err := tr.Login(limited(t), wechat.LoginRequest{Rung: wechat.QR, Step: func(st wechat.LoginStep) { steps = append(steps, st) }})
	must(t, err)
	who := s.Identity()
	if who.ID == "" || len(steps) == 0 || steps[0].Kind != wechat.StepScan || steps[0].QRText == "" || !steps[0].ExpiresAt.After(time.Now()) {
		t.Errorf("identity %+v, steps %+v", who, steps)
	}
	must(t, s.Close())
	s = login(t, tr, wechat.Resume)
	if s.Identity().ID != who.ID {
		t.Errorf("resumed as %+v", s.Identity())
	}
	must(t, s.Close())
	s = login(t, h.Transport(t), wechat.Stored) // a new process, no scan
	if s.Identity().ID != who.ID {
		t.Errorf("from the stored session: %+v", s.Identity())
	}
	to := meet(t, h, s)
	_, err = s.Send(limited(t), text(to, "still here", digits(1)))
	must(t, err)
}

func receives(t *testing.T, h Harness) {
	s := login(t, h.Transport(t), wechat.QR)
	const words = "line one\nline <two> & 三 😀"
	h.Say(t, words)
	m := await(t, s, words)
	if m.Kind != wechat.Text || m.From.ID == "" || m.Chat.ID == "" || m.Chat.Type != wechat.Friend || m.Self || m.SentAt.IsZero() || m.Member != nil {
		t.Errorf("message %+v", m)
	}
}

func pollsEmpty(t *testing.T, h Harness) {
	tr := h.Transport(t)
	s := login(t, tr, wechat.QR)
	ctx := limited(t)
	for { // what a login brings
		b, err := s.Receive(ctx)
		must(t, err)
		if b.Cursor == nil {
			break
		}
		must(t, s.Commit(ctx, b.Cursor))
	}
	start := time.Now()
	b, err := s.Receive(ctx)
	must(t, err)
	if len(b.Events) != 0 || b.Cursor != nil || time.Since(start) > tr.Abilities().HoldTime+5*time.Second {
		t.Errorf("an empty poll gave %+v after %v", b, time.Since(start))
	}
	must(t, s.Commit(ctx, nil)) // nothing moved: nothing to store
}

// keepsTheCursor: what was not committed comes again, from memory, after a
// resume and after a crash; what was committed never does.
func keepsTheCursor(t *testing.T, h Harness) {
	tr := h.Transport(t)
	s := login(t, tr, wechat.QR)
	h.Say(t, "keep me")
	id, _ := find(t, s, "keep me")
	if id == "" {
		t.Fatal("the message did not come")
	}
	again := func(where string, s wechat.Session) wechat.Cursor {
		t.Helper()
		got, cursor := find(t, s, "keep me")
		if got != id || cursor == nil {
			t.Fatalf("%s: the uncommitted message came as %q, want %q", where, got, id)
		}
		return cursor
	}
	again("in memory", s)
	must(t, s.Close())
	s = login(t, tr, wechat.Resume)
	again("resumed", s)
	must(t, s.Close())
	s = login(t, h.Transport(t), wechat.Stored)
	must(t, s.Commit(limited(t), again("after a crash", s)))
	if got, _ := find(t, s, "keep me"); got != "" {
		t.Error("a committed message came again")
	}
	must(t, s.Close())
	s = login(t, h.Transport(t), wechat.Stored)
	if got, _ := find(t, s, "keep me"); got != "" {
		t.Error("a committed message came again after a crash")
	}
}

func keepsTheOrder(t *testing.T, h Harness) {
	s := login(t, h.Transport(t), wechat.QR)
	const n = 70
	for i := range n {
		h.Say(t, fmt.Sprintf("number %d", i))
	}
	ctx := limited(t)
	ids := map[string]bool{}
	for next := 0; next < n; {
		b, err := s.Receive(ctx)
		must(t, err)
		for _, e := range b.Events {
			if e.Message == nil {
				continue
			}
			if ids[e.ID] || e.ID == "" {
				t.Fatalf("id %q comes twice, or is none", e.ID)
			}
			ids[e.ID] = true
			if e.Message.Text != fmt.Sprintf("number %d", next) {
				t.Fatalf("got %q, want number %d", e.Message.Text, next)
			}
			next++
		}
		must(t, s.Commit(ctx, b.Cursor))
	}
}

func failsInReceive(t *testing.T, h Harness) {
	s := login(t, h.Transport(t), wechat.QR)
	h.Trouble(t, ReceiveFails)
	var err error
	for ctx := limited(t); err == nil; { // what came before the trouble may still come
		var b wechat.Batch
		if b, err = s.Receive(ctx); err == nil {
			must(t, s.Commit(ctx, b.Cursor))
		}
	}
	if v := classifier.Judge(faultOf(t, err)); !v.Retryable || !v.Disconnect {
		t.Errorf("verdict %+v of %v", v, err)
	}
	h.Trouble(t, NoTrouble)
	h.Say(t, "after the trouble")
	await(t, s, "after the trouble")
}

func cancels(t *testing.T, h Harness) {
	s := login(t, h.Transport(t), wechat.QR)
	to := meet(t, h, s)
	for name, c := range map[string]struct {
		trouble Trouble
		call    func(context.Context) error
	}{
		"receive": {Frozen, func(ctx context.Context) error {
			for {
				b, err := s.Receive(ctx)
				if err != nil {
					return err
				}
				_ = s.Commit(ctx, b.Cursor) // fails when ctx ends, as Receive does next
			}
		}},
		"send": {SendFrozen, func(ctx context.Context) error {
			_, err := s.Send(ctx, text(to, "x", digits(2)))
			return err
		}},
		"send, before it began": {SendFrozen, func(ctx context.Context) error {
			<-ctx.Done()
			_, err := s.Send(ctx, text(to, "x", digits(3)))
			return err
		}},
	} {
		h.Trouble(t, c.trouble)
		why := errors.New("the caller has enough")
		ctx, cancel := context.WithCancelCause(context.Background())
		timer := time.AfterFunc(50*time.Millisecond, func() { cancel(why) })
		err := c.call(ctx)
		timer.Stop()
		cancel(nil)
		var f *classifier.Fault
		if !errors.Is(err, why) || errors.As(err, &f) {
			t.Errorf("%s, cancelled: %v", name, err)
		}
	}
	h.Trouble(t, NoTrouble)
}

func forgets(t *testing.T, h Harness) {
	tr := h.Transport(t)
	must(t, login(t, tr, wechat.QR).Close())
	must(t, tr.Forget(limited(t)))
	for _, tr := range []wechat.Transport{tr, h.Transport(t)} {
		for _, rung := range []wechat.Rung{wechat.Resume, wechat.Stored, wechat.Push} {
			if _, err := tr.Login(limited(t), wechat.LoginRequest{Rung: rung}); !errors.Is(err, wechat.ErrNoRung) {
				t.Errorf("%v after forgetting: %v", rung, err)
			}
		}
	}
}

func probesAndLogsOut(t *testing.T, h Harness) {
	s := login(t, h.Transport(t), wechat.QR)
	if p, ok := s.(wechat.Prober); ok {
		must(t, p.Probe(limited(t)))
	}
	out, ok := s.(wechat.LoggerOut)
	if !ok {
		return
	}
	must(t, out.Logout(limited(t)))
	var err error
	for ctx := limited(t); err == nil; {
		_, err = s.Receive(ctx)
	}
	if v := classifier.Judge(faultOf(t, err)); v.Class != classifier.SessionExpired {
		t.Errorf("after a logout: %+v", v)
	}
}

func knowsRooms(t *testing.T, h Harness) {
	tr := h.Transport(t)
	a := tr.Abilities()
	r, ok := h.(RoomHarness)
	if !a.Rooms {
		return
	}
	if !ok {
		t.Fatal("a transport with rooms needs a RoomHarness")
	}
	s := login(t, tr, wechat.QR)
	r.SayInRoom(t, "hello, room")
	m := await(t, s, "hello, room")
	if m.Chat.Type != wechat.Room || m.Chat.Name == "" || m.Member == nil || m.Member.Name == "" || m.Member.ID == "" {
		t.Fatalf("message %+v member %+v", m, m.Member)
	}
	if !a.Names {
		return
	}
	got, err := r.Directory().Resolve(wechat.Query{Room: m.Chat.Name})
	must(t, err)
	if got.ID != m.Chat.ID {
		t.Errorf("the room is %+v, by name %+v", m.Chat, got)
	}
	if _, err := s.Send(limited(t), text(got, "hello yourself", digits(3))); err != nil {
		t.Error(err)
	}
}
