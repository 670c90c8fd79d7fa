// Package wechattest is the conformance suite that every transport passes:
// what the rest of the bridge may rely on, whichever protocol is below.
//
// A transport's test gives a Harness that hides its simulator and calls Run.
// What a protocol cannot do (rooms, names, some kinds) the suite learns from
// the transport's Abilities, and then it checks that the transport refuses.
package wechattest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/classifier"
)

// Harness is one account on one simulator.
type Harness interface {
	// Transport makes a transport as a new process would: with an empty
	// memory and the stored session of the one before.
	Transport(t *testing.T) wechat.Transport
	// Say makes a friend write a text to the account.
	Say(t *testing.T, text string)
	// Sent is what WeChat accepted, in order.
	Sent() []Sent
	// Trouble makes requests go wrong until it is called with NoTrouble.
	Trouble(t *testing.T, kind Trouble)
}

// RoomHarness is implemented where the transport has rooms.
type RoomHarness interface {
	// SayInRoom makes a friend write a text in a room of the account.
	SayInRoom(t *testing.T, text string)
	// Directory is that of the newest transport.
	Directory() *wechat.Directory
}

// Sent is one message that WeChat accepted.
type Sent struct {
	Kind      wechat.Kind
	Text      string // of a text or link
	Name      string // of a medium
	Size      int64  // of a medium
	ClientID  string
	MessageID string
	Revoked   bool
}

// Trouble is a way for a request to go wrong.
type Trouble int

// The troubles. Those with Send concern only the request that hands a message
// over, not uploads and polls.
const (
	NoTrouble    Trouble = iota
	Unreachable          // no connection can be made, and open ones are gone
	SendRefused          // WeChat answers that it does not take the message
	SendLost             // WeChat takes the message, the answer is lost
	SendFrozen           // WeChat does not answer
	UploadLost           // the bytes of a medium meet a broken connection
	ReceiveFails         // polls meet a broken connection
	Frozen               // nothing is answered
)

const patience = 20 * time.Second // for what has to happen some time

func limited(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func login(t *testing.T, tr wechat.Transport, rung wechat.Rung) wechat.Session {
	t.Helper()
	s, err := tr.Login(limited(t), wechat.LoginRequest{Rung: rung})
	must(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// meet makes a friend write, and gives the chat to answer in: a transport
// without names knows nobody who did not write.
func meet(t *testing.T, h Harness, s wechat.Session) wechat.Peer {
	t.Helper()
	h.Say(t, "hello from a friend")
	return await(t, s, "hello from a friend").Chat
}

// await receives and commits until a text comes.
func await(t *testing.T, s wechat.Session, text string) *wechat.Message {
	t.Helper()
	ctx := limited(t)
	for {
		b, err := s.Receive(ctx)
		must(t, err)
		if b.Cursor != nil {
			must(t, s.Commit(ctx, b.Cursor))
		}
		for _, e := range b.Events {
			if e.Message != nil && e.Message.Text == text {
				return e.Message
			}
		}
	}
}

// find looks through what is there now; the last batch stays uncommitted.
func find(t *testing.T, s wechat.Session, text string) (id string, cursor wechat.Cursor) {
	t.Helper()
	ctx := limited(t)
	for {
		b, err := s.Receive(ctx)
		must(t, err)
		for _, e := range b.Events {
			if e.Message != nil && e.Message.Text == text {
				return e.ID, b.Cursor
			}
		}
		if b.Cursor == nil {
			return "", nil
		}
		must(t, s.Commit(ctx, b.Cursor))
	}
}

func faultOf(t *testing.T, err error) *classifier.Fault {
	t.Helper()
	var f *classifier.Fault
	if !errors.As(err, &f) {
		t.Fatalf("want a fault, got %v", err)
	}
	return f
}

func text(to wechat.Peer, s, id string) wechat.Outgoing {
	return wechat.Outgoing{To: to, Kind: wechat.Text, Text: s, ClientID: id}
}

func medium(name string, data []byte) *wechat.OutMedia {
	return &wechat.OutMedia{Name: name, Size: int64(len(data)), Open: func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(data)), nil
	}}
}

// samples are a small good medium of each kind.
var samples = map[wechat.Kind]struct {
	name string
	data []byte
}{
	wechat.Image:    {"picture.png", append([]byte("\x89PNG\r\n\x1a\n"), bytes.Repeat([]byte{1}, 900)...)},
	wechat.Video:    {"film.mp4", append([]byte("\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00"), bytes.Repeat([]byte{2}, 900)...)},
	wechat.File:     {"report 报告.txt", bytes.Repeat([]byte("line\n"), 130000)}, // more than one chunk
	wechat.Emoticon: {"wave.gif", append([]byte("GIF89a"), bytes.Repeat([]byte{3}, 900)...)},
	wechat.Voice:    {"speech.mp3", []byte("ID3 speech")},
}

// eventually waits for a fact.
func eventually(t *testing.T, what string, fact func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !fact() {
		select {
		case <-deadline:
			t.Fatalf("never: %s", what)
		case <-tick.C:
		}
	}
}

func digits(n int) string {
	return strings.Repeat("7", 14) + string(rune('0'+n/10%10)) + string(rune('0'+n%10))
}
