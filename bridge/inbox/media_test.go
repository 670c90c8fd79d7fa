package inbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/bridge/wire"
)

// hangs opens, gives a few bytes and then nothing, and ignores its context.
type hangs struct {
	closed chan struct{}
	once   sync.Once
	given  bool
}

func (h *hangs) Read(p []byte) (int, error) {
	if !h.given {
		h.given = true
		return copy(p, "begin"), nil
	}
	<-h.closed
	return 0, errors.New("closed")
}

func (h *hangs) Close() error { h.once.Do(func() { close(h.closed) }); return nil }

func hanging(name string) *wechat.InMedia {
	return &wechat.InMedia{Name: name, Open: func(context.Context) (io.ReadCloser, error) {
		return &hangs{closed: make(chan struct{})}, nil
	}}
}

func failing(name string, err error, opened *int) *wechat.InMedia {
	var mu sync.Mutex
	return &wechat.InMedia{Name: name, Open: func(context.Context) (io.ReadCloser, error) {
		mu.Lock()
		defer mu.Unlock()
		*opened++
		return nil, err
	}}
}

func mediaOf(t *testing.T, n *nats) map[string]wire.EventMedia {
	t.Helper()
	out := map[string]wire.EventMedia{}
	for _, s := range n.events {
		if m := openMessage(t, s); m.Media != nil {
			out[m.MessageID] = *m.Media
		}
	}
	return out
}

// A download that hangs holds up its own chat only, and that for a bounded
// time; the others' events go out at once, before it is given up.
func TestHangingDownload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNATS()
		i := newInbox(n)
		done := make(chan error)
		start := time.Now()
		go func() {
			done <- i.Take(context.Background(), n, batch("c",
				text("a1", "alice", "before"), withMedium("a2", "alice", hanging("x.jpg")), text("b1", "bob", "hi"),
				text("a3", "alice", "after"), withMedium("b2", "bob", n.medium("ok.txt", []byte("ok"))), text("b3", "bob", "bye")))
		}()
		synctest.Wait()
		if d := cmp.Diff([]string{"a1", "b1", "b2", "b3"}, n.order(t, "")); d != "" {
			t.Fatal(d)
		}
		if n.committed() != 0 {
			t.Fatal("the cursor passed an event that is not stored")
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took != defaultMediaTimeout {
			t.Errorf("took %s", took)
		}
		if d := cmp.Diff([]string{"a1", "a2", "a3"}, n.order(t, "alice")); d != "" {
			t.Fatal(d)
		}
		if m := mediaOf(t, n)["a2"]; m.State != wire.MediaMissing || m.Error != errSlow.Error()+"." || m.Object != "" || m.Name != "x.jpg" {
			t.Errorf("%+v", m)
		}
		if m := mediaOf(t, n)["b2"]; m.State != wire.MediaStored {
			t.Errorf("%+v", m)
		}
	})
}

// Many that hang cost a batch no more than its patience, and no more than
// Downloads are open at once.
func TestManyHangingDownloads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNATS()
		i := newInbox(n)
		var mu sync.Mutex
		open := 0
		hang := &wechat.InMedia{Open: func(ctx context.Context) (io.ReadCloser, error) {
			mu.Lock()
			open++
			mu.Unlock()
			<-ctx.Done()
			mu.Lock()
			open--
			mu.Unlock()
			return nil, context.Cause(ctx)
		}}
		var events []wechat.Event
		for k := range 50 {
			events = append(events, withMedium(fmt.Sprint("m", k), fmt.Sprint("chat", k%7), hang))
		}
		start, done := time.Now(), make(chan error)
		go func() { done <- i.Take(context.Background(), n, batch("c", events...)) }()
		synctest.Wait()
		mu.Lock()
		if open != defaultDownloads {
			t.Errorf("%d downloads at once", open)
		}
		mu.Unlock()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took > 2*defaultMediaTimeout {
			t.Errorf("took %s", took)
		}
		if len(n.events) != 50 {
			t.Errorf("%d events", len(n.events))
		}
		for _, e := range n.events {
			if m := openMessage(t, e); m.Media.State != wire.MediaMissing {
				t.Errorf("%+v", m.Media)
			}
		}
	})
}

func TestDownloadsAreTriedThreeTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		secret := errors.New("GET https://wx.qq.com/img?skey=@crypt_secret: broken")
		n, opened := newNATS(), 0
		var log bytes.Buffer
		i := newInbox(n, func(c *Config) { c.Log = zerolog.New(&log) })
		take(t, i, n, batch("c", withMedium("m1", "alice", failing("a", secret, &opened))))
		m := mediaOf(t, n)["m1"]
		if opened != mediaTries || m.State != wire.MediaMissing || m.Error != "WeChat failed to give it 3 times." {
			t.Errorf("opened %d times, %+v", opened, m)
		}
		if all := log.String() + string(n.events[0].Body); strings.Contains(all, "crypt_secret") || !strings.Contains(all, logMedium) {
			t.Error(all)
		}
	})
}

func TestSecondTrySucceeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, tries := newNATS(), 0
		m := &wechat.InMedia{Name: "a.txt", Open: func(context.Context) (io.ReadCloser, error) {
			if tries++; tries == 1 {
				return io.NopCloser(io.MultiReader(strings.NewReader("half"), &broken{})), nil
			}
			return io.NopCloser(strings.NewReader("whole")), nil
		}}
		take(t, newInbox(n), n, batch("c", withMedium("m1", "alice", m)))
		if got := mediaOf(t, n)["m1"]; got.State != wire.MediaStored || string(n.objects[got.Object]) != "whole" {
			t.Errorf("%+v %q", got, n.objects)
		}
	})
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// A fault in the middle of the stream is the download's, though it is the
// object store that hands it back.
func TestFaultInTheMiddle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, tries := newNATS(), 0
		part := make([]byte, 5*headBytes)
		m := &wechat.InMedia{Open: func(context.Context) (io.ReadCloser, error) {
			if tries++; tries < mediaTries {
				return io.NopCloser(io.MultiReader(bytes.NewReader(part), &broken{})), nil
			}
			return io.NopCloser(bytes.NewReader(part)), nil
		}}
		large := &wechat.InMedia{Open: opens(make([]byte, 100_000))}
		i := newInbox(n, func(c *Config) { c.MaxMedia = 50_000 })
		take(t, i, n, batch("c", withMedium("m1", "alice", m), withMedium("m2", "bob", large)))
		got := mediaOf(t, n)
		if got["m1"].State != wire.MediaStored || got["m1"].Size != int64(len(part)) || got["m2"].State != wire.MediaTooLarge || len(n.objects) != 1 {
			t.Errorf("%+v", got)
		}
	})
}

// A transport that ignores its context is left behind.
func TestOpenThatNeverReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, release := newNATS(), make(chan struct{})
		stuck := &wechat.InMedia{Open: func(context.Context) (io.ReadCloser, error) { <-release; return nil, errAway }}
		take(t, newInbox(n), n, batch("c", withMedium("m1", "alice", stuck)))
		if m := mediaOf(t, n)["m1"]; m.State != wire.MediaMissing {
			t.Errorf("%+v", m)
		}
		close(release)
	})
}

func TestMediaThatAreNoMedia(t *testing.T) {
	tests := []struct {
		name  string
		m     *wechat.InMedia
		state string
		says  string
	}{
		{"announced too large", &wechat.InMedia{Size: 1001, Open: func(context.Context) (io.ReadCloser, error) { panic("asked for") }}, wire.MediaTooLarge, "more than the 1000 bytes"},
		{"larger than announced", &wechat.InMedia{Size: 5, Open: opens(make([]byte, 1001))}, wire.MediaTooLarge, "more than the 1000 bytes"},
		{"much larger", &wechat.InMedia{Open: opens(make([]byte, 100_000))}, wire.MediaTooLarge, "more than the 1000 bytes"},
		{"just fits", &wechat.InMedia{Open: opens(make([]byte, 1000))}, wire.MediaStored, ""},
		{"empty", &wechat.InMedia{Open: opens(nil)}, wire.MediaMissing, "no bytes"},
		{"no way to open it", &wechat.InMedia{}, wire.MediaMissing, "no bytes"},
		{"negative size", &wechat.InMedia{Size: -5, Open: opens([]byte("x"))}, wire.MediaStored, ""},
		{"panics", &wechat.InMedia{Open: func(context.Context) (io.ReadCloser, error) { panic("secret") }}, wire.MediaMissing, "failed to give it 3 times"},
		{"nothing to read from", &wechat.InMedia{Open: func(context.Context) (io.ReadCloser, error) { return nil, nil }}, wire.MediaMissing, "failed to give it 3 times"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNATS()
				i := newInbox(n, func(c *Config) { c.MaxMedia = 1000 })
				take(t, i, n, batch("c", withMedium("m1", "alice", test.m), text("m2", "alice", "next")))
				m := mediaOf(t, n)["m1"]
				if m.State != test.state || !strings.Contains(m.Error, test.says) || (m.State == wire.MediaStored) != (m.Object != "") || m.Size < 0 {
					t.Errorf("%+v", m)
				}
				if d := cmp.Diff([]string{"m1", "m2"}, n.order(t, "")); d != "" {
					t.Error(d)
				}
				if m.State != wire.MediaStored && len(n.objects) > 0 {
					t.Errorf("something of it stayed in the store: %d", len(n.objects))
				}
			})
		})
	}
}

func opens(data []byte) func(context.Context) (io.ReadCloser, error) {
	return func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
}

// An object store that refuses a medium for ever must not stop what is
// received; while NATS is away nothing is given up.
func TestObjectStoreThatRefuses(t *testing.T) {
	n := newNATS()
	n.fault = func(s, _ string) bool { return s == "medium" }
	i := newInbox(n)
	b := batch("c", withMedium("m1", "alice", n.medium("a", []byte("x"))))
	for k := range storeTries - 1 {
		if err := i.Take(t.Context(), n, b); !errors.Is(err, errAway) {
			t.Fatalf("time %d: %v", k, err)
		}
	}
	take(t, i, n, b)
	if m := mediaOf(t, n)["m1"]; m.State != wire.MediaMissing || m.Error != "NATS did not take it into its object store." {
		t.Fatalf("%+v", m)
	}

	n = newNATS()
	away := true
	n.fault = func(s, _ string) bool { return away }
	i = newInbox(n)
	b = batch("c", withMedium("m1", "alice", n.medium("a", []byte("x"))))
	for range 10 * storeTries {
		if err := i.Take(t.Context(), n, b); !errors.Is(err, errAway) {
			t.Fatal(err)
		}
	}
	away = false
	take(t, i, n, b)
	if m := mediaOf(t, n)["m1"]; m.State != wire.MediaStored {
		t.Fatalf("%+v", m)
	}
}

// A batch that ends in the middle (shutdown, a lost session) says so, and does
// not call its media missing.
func TestCancelDuringADownload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNATS()
		i := newInbox(n)
		ctx, cancel := context.WithCancelCause(context.Background())
		done := make(chan error)
		go func() {
			done <- i.Take(ctx, n, batch("c", withMedium("m1", "alice", hanging("x")), text("m2", "alice", "x")))
		}()
		synctest.Wait()
		why := errors.New("the session is lost")
		cancel(why)
		if err := <-done; !errors.Is(err, why) {
			t.Fatal(err)
		}
		if len(n.trace) != 0 {
			t.Fatal(n.trace)
		}
		take(t, i, n, batch("c", withMedium("m1", "alice", n.medium("x", []byte("now"))), text("m2", "alice", "x")))
		if m := mediaOf(t, n)["m1"]; m.State != wire.MediaStored {
			t.Fatalf("%+v", m)
		}
	})
}

func TestShelfForgetsOtherBatches(t *testing.T) {
	n := newNATS()
	n.fault = func(s, _ string) bool { return s == "event" }
	i := newInbox(n)
	for k := range 100 {
		_ = i.Take(t.Context(), n, batch("c", withMedium(fmt.Sprint("m", k), "alice", n.medium("a", []byte("x")))))
	}
	if len(i.media.have) != 1 {
		t.Fatalf("%d media are remembered", len(i.media.have))
	}
}
