//go:build interop

package interop

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"os"
	"testing"

	"github.com/eatmoreapple/openwechat"

	"wechat-bridge/bridge/sim"
)

// newBot is openwechat as its own README starts it, but with callbacks that do
// not open a browser, and a transport that leads to the simulator.
func newBot(ctx context.Context, t *testing.T, s *sim.Server) *openwechat.Bot {
	t.Helper()
	bot := openwechat.DefaultBot(openwechat.Desktop, openwechat.WithContextOption(ctx))
	tr := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, s.Addr())
		},
		TLSClientConfig: &tls.Config{RootCAs: s.CAPool()},
	}
	t.Cleanup(tr.CloseIdleConnections)
	bot.Caller.Client.HTTPClient().Transport = tr
	bot.UUIDCallback = func(string) { must(t, s.Scan()) }
	bot.ScanCallBack = func(openwechat.CheckLoginResponse) { must(t, s.Confirm()) }
	bot.LoginCallBack = nil
	bot.SyncCheckCallback = nil
	return bot
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

func TestOpenwechat(t *testing.T) {
	ctx := story(t)
	s := startSim(t)
	bot := newBot(ctx, t, s)
	messages := make(chan *openwechat.Message, 100)
	bot.MessageHandler = func(m *openwechat.Message) { messages <- m }
	if err := bot.Login(); err != nil {
		t.Fatal(err)
	}
	self, err := bot.GetCurrentUser()
	if err != nil {
		t.Fatal(err)
	}
	team := openwechatContacts(t, self)
	openwechatReceives(ctx, t, s, messages)
	openwechatSends(t, self, team)
	checkLedger(ctx, t, s)

	if err := s.Logout(1101); err != nil {
		t.Fatal(err)
	}
	var code openwechat.Ret
	if err := bot.Block(); !errors.As(err, &code) || code != 1101 {
		t.Errorf("thrown out with %v, want 1101", err)
	}
}

func openwechatContacts(t *testing.T, self *openwechat.Self) *openwechat.Group {
	t.Helper()
	friends, err := self.Friends()
	if err != nil {
		t.Fatal(err)
	}
	if friends.SearchByNickName(1, "Alice").First() == nil || friends.SearchByNickName(0, "李伟").Count() != 2 {
		t.Fatalf("%d friends", friends.Count())
	}
	mps, err := self.Mps()
	if err != nil || mps.SearchByNickName(1, "每日新闻").Count() != 1 {
		t.Errorf("service accounts: %v, %v", mps, err)
	}
	groups, err := self.Groups()
	if err != nil {
		t.Fatal(err)
	}
	if groups.SearchByNickName(1, "Hidden Room").Count() != 0 {
		t.Error("a room that nobody wrote in is listed")
	}
	team := groups.SearchByNickName(1, "Team").First()
	if team == nil {
		t.Fatalf("no room Team in %v", groups)
	}
	members, err := team.Members()
	if err != nil || members.Count() != 3 || members.SearchByNickName(1, "Bob").Count() != 1 {
		t.Errorf("members of Team: %v, %v", members, err)
	}
	return team
}

func openwechatReceives(ctx context.Context, t *testing.T, s *sim.Server, messages <-chan *openwechat.Message) {
	t.Helper()
	next := func(id string) *openwechat.Message {
		t.Helper()
		for {
			select {
			case m := <-messages:
				if m.MsgId == id {
					return m
				}
			case <-ctx.Done():
				t.Fatalf("message %s never came", id)
			}
		}
	}
	m := next(say(t, s, sim.Message{From: "alice", Type: "text", Text: "a <b> & 'c'\n😀"}))
	if sender, err := m.Sender(); err != nil || sender.NickName != "Alice" || m.Content != "a <b> & 'c'\n😀" || !m.IsText() {
		t.Errorf("text %q from %v, %v", m.Content, sender, err)
	}
	m = next(say(t, s, sim.Message{From: "bob", Type: "image", Data: photo()}))
	var got bytes.Buffer
	if err := m.SaveFile(&got); err != nil || !m.IsPicture() || !bytes.Equal(got.Bytes(), photo()) {
		t.Errorf("image: %v, %d bytes", err, got.Len())
	}
	m = next(say(t, s, sim.Message{From: "bob", Room: "team", Type: "text", Text: "in the room", Mention: []string{"self"}}))
	if sender, err := m.SenderInGroup(); err != nil || sender.NickName != "Bob" || !m.IsAt() {
		t.Errorf("room message from %v, mentioned %v, %v", sender, m.IsAt(), err)
	}
	m = next(say(t, s, sim.Message{From: "frank", Room: "hidden", Type: "text", Text: "psst"}))
	if sender, err := m.SenderInGroup(); err != nil || sender.NickName != "Frank" {
		t.Errorf("message of the hidden room from %v, %v", sender, err)
	}
}

func openwechatSends(t *testing.T, self *openwechat.Self, team *openwechat.Group) {
	t.Helper()
	friends, err := self.Friends()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := friends.SearchByNickName(1, "Alice").First().SendText("你好 <b>&amp;"); err != nil {
		t.Errorf("text: %v", err)
	}
	if _, err := friends.SearchByNickName(1, "Bob").First().SendImage(open(t, "photo.png", photo())); err != nil {
		t.Errorf("image: %v", err)
	}
	if _, err := team.SendFile(open(t, "report.bin", document())); err != nil {
		t.Errorf("file: %v", err)
	}
	sent, err := team.SendText("oops")
	if err != nil {
		t.Fatalf("text to a room: %v", err)
	}
	if err := sent.Revoke(); err != nil {
		t.Errorf("revoke: %v", err)
	}
}

func open(t *testing.T, name string, data []byte) *os.File {
	t.Helper()
	f, err := os.Open(write(t, name, data))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() }) // openwechat may have closed it
	return f
}
