package inbox

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/bridge/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errAway = errors.New("no responders")

// nats is the stream, the object store and WeChat's cursor, in memory. It
// notes what happened in which order, and fails where it is told to.
type nats struct {
	mu      sync.Mutex
	events  []wire.Stored
	ids     map[string]bool
	objects map[string][]byte
	commits [][]byte
	trace   []string
	opens   map[string]int

	// fault says whether the next step of a kind fails: "event", "medium",
	// "commit" fail before, "event-late" and the like after it was done.
	fault func(step, what string) bool
}

func newNATS() *nats {
	return &nats{ids: map[string]bool{}, objects: map[string][]byte{}, opens: map[string]int{},
		fault: func(string, string) bool { return false }}
}

func (n *nats) Publish(ctx context.Context, e wire.Stored) (bool, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	if n.fault("event", e.MsgID) {
		return false, errAway
	}
	fresh := !n.ids[e.MsgID]
	if fresh {
		n.ids[e.MsgID] = true
		n.events = append(n.events, e)
		n.trace = append(n.trace, "event "+e.MsgID)
	}
	if n.fault("event-late", e.MsgID) {
		return false, errAway
	}
	return fresh, nil
}

func (n *nats) Put(ctx context.Context, name string, r io.Reader) (int64, string, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return 0, "", err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if ctx.Err() != nil {
		return 0, "", context.Cause(ctx)
	}
	if n.fault("medium", name) {
		return 0, "", errAway
	}
	n.objects[name] = data
	n.trace = append(n.trace, "medium "+name)
	if n.fault("medium-late", name) {
		return 0, "", errAway
	}
	sum := sha256.Sum256(data)
	return int64(len(data)), hex.EncodeToString(sum[:]), nil
}

func (n *nats) Receive(context.Context) (wechat.Batch, error) { return wechat.Batch{}, errAway }

func (n *nats) Commit(ctx context.Context, c wechat.Cursor) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.fault("commit", string(c)) {
		return errAway
	}
	n.commits = append(n.commits, slices.Clone(c))
	n.trace = append(n.trace, "commit "+string(c))
	if n.fault("commit-late", string(c)) {
		return errAway
	}
	return nil
}

func (n *nats) committed() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.commits)
}

// medium gives bytes and counts how often it was asked for.
func (n *nats) medium(name string, data []byte) *wechat.InMedia {
	return &wechat.InMedia{Name: name, Open: func(context.Context) (io.ReadCloser, error) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.opens[name]++
		return io.NopCloser(bytes.NewReader(data)), nil
	}}
}

// order gives the ids of the stored events that are of a chat; "" is all.
func (n *nats) order(t *testing.T, chat string) []string {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	var ids []string
	for _, s := range n.events {
		e := open(t, s)
		if chat == "" || e.Subject == chat {
			ids = append(ids, e.ID)
		}
	}
	return ids
}

func open(t *testing.T, s wire.Stored) wire.Envelope {
	t.Helper()
	e, err := wire.Open(s.Body)
	if err != nil {
		t.Fatalf("%s: %v", s.Body, err)
	}
	return e
}

func openMessage(t *testing.T, s wire.Stored) wire.Message {
	t.Helper()
	var m wire.Message
	if _, err := wire.OpenAs(s.Body, wire.TypeMessage, &m); err != nil {
		t.Fatalf("%s: %v", s.Body, err)
	}
	return m
}

func newInbox(n *nats, change ...func(*Config)) *Inbox {
	cfg := Config{Account: "default", Events: n, Media: n, Log: zerolog.Nop()}
	for _, f := range change {
		f(&cfg)
	}
	return New(cfg)
}

var at = time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)

func text(id, chat, words string) wechat.Event {
	return wechat.Event{Type: wechat.EventMessage, ID: id, At: at, Message: &wechat.Message{
		Kind: wechat.Text, Text: words, SentAt: at,
		From: wechat.Peer{ID: chat, Name: "N " + chat, Type: wechat.Friend},
		Chat: wechat.Peer{ID: chat, Name: "N " + chat, Type: wechat.Friend},
	}}
}

func withMedium(id, chat string, m *wechat.InMedia) wechat.Event {
	e := text(id, chat, "")
	e.Message.Kind, e.Message.Media = wechat.File, m
	return e
}

func batch(cursor string, events ...wechat.Event) wechat.Batch {
	return wechat.Batch{Events: events, Cursor: wechat.Cursor(cursor)}
}

func take(t *testing.T, i *Inbox, n *nats, b wechat.Batch) {
	t.Helper()
	if err := i.Take(t.Context(), n, b); err != nil {
		t.Fatal(err)
	}
}
