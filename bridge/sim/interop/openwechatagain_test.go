//go:build interop

package interop

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/eatmoreapple/openwechat"
)

// memory is openwechat's storage of a login.
type memory struct{ bytes.Buffer }

func (*memory) Close() error { return nil }

// stored logs in by QR, keeps the login, and ends that client as a crash would.
func stored(t *testing.T, bot *openwechat.Bot) []byte {
	t.Helper()
	if err := bot.Login(); err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	if err := bot.DumpTo(&buf); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// A phone that still knows the browser only has to confirm.
func TestOpenwechatPushLogin(t *testing.T) {
	ctx := story(t)
	s := startSim(t)
	session := stored(t, newBot(ctx, t, s))
	if err := s.Logout(1101); err != nil {
		t.Fatal(err)
	}
	bot := newBot(ctx, t, s)
	done := make(chan error, 1)
	go func() { done <- bot.PushLogin(reader(session)) }()
	confirmWhenAsked(t, s, done)
	self, err := bot.GetCurrentUser()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := self.SendTextToFriend(self.FileHelper(), "after a push login"); err != nil {
		t.Error(err)
	}

	s.Forget()
	if err := newBot(ctx, t, s).PushLogin(reader(session)); err == nil {
		t.Error("push login on a phone that forgot the browser")
	}
}

// A stored session goes on without the phone; openwechat alone then polls
// without cookies (its known defect), and the simulator says so as WeChat does.
func TestOpenwechatHotLogin(t *testing.T) {
	ctx := story(t)
	s := startSim(t)
	session := stored(t, newBot(ctx, t, s))
	bot := newBot(ctx, t, s)
	if err := bot.HotLogin(reader(session)); err != nil {
		t.Fatal(err)
	}
	if s.State().Logins != 1 {
		t.Errorf("%d logins", s.State().Logins)
	}
	var code openwechat.Ret
	if err := bot.Block(); !errors.As(err, &code) || code != 1102 {
		t.Errorf("ended with %v, want 1102", err)
	}
}

func reader(session []byte) openwechat.HotReloadStorage {
	m := &memory{}
	_, _ = m.Write(session) // a buffer does not fail
	return struct {
		io.Reader
		io.Writer
		io.Closer
	}{&m.Buffer, io.Discard, m}
}
