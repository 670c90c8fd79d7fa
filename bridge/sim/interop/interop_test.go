//go:build interop

package interop

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"wechat-bridge/bridge/sim"
)

// limit bounds each client's whole story.
const limit = 80 * time.Second

// startSim runs a simulator that nobody scans for.
func startSim(t *testing.T) *sim.Server {
	t.Helper()
	s, err := sim.Start(sim.Options{Listen: "127.0.0.1:0", Hold: 5 * time.Second, Seed: 11, Echo: "off",
		CAFile: filepath.Join(t.TempDir(), "ca.pem"), Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func story(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	return ctx
}

// say lets somebody write and fails the test if that is impossible.
func say(t *testing.T, s *sim.Server, m sim.Message) string {
	t.Helper()
	id, err := s.Say(m)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// photo is a small real picture; document is 1.3 MB, three chunks.
func photo() []byte {
	var buf bytes.Buffer
	if err := png.Encode(&buf, image.NewGray(image.Rect(0, 0, 40, 30))); err != nil {
		panic(err) // a buffer does not fail
	}
	return buf.Bytes()
}

func document() []byte {
	b := make([]byte, 1_300_000)
	for i := range b {
		b[i] = byte(i * 7 >> 3)
	}
	return b
}

func write(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func sum(data []byte) string {
	h := md5.Sum(data)
	return hex.EncodeToString(h[:])
}

// waitEntry waits until the ledger has an entry that want likes.
func waitEntry(ctx context.Context, t *testing.T, s *sim.Server, what string, want func(sim.Entry) bool) sim.Entry {
	t.Helper()
	for n := 0; ; n++ {
		entries, err := s.WaitSent(ctx, n)
		for _, e := range entries {
			if want(e) {
				return e
			}
		}
		if err != nil {
			t.Fatalf("ledger never had %s: %v\n%+v", what, err, entries)
		}
		n = len(entries)
	}
}

// checkLedger proves the three sends and the revoke of a story.
func checkLedger(ctx context.Context, t *testing.T, s *sim.Server) {
	t.Helper()
	waitEntry(ctx, t, s, "the text", func(e sim.Entry) bool {
		return e.ToID == "alice" && e.Type == "text" && e.Content == "你好 <b>&amp;"
	})
	waitEntry(ctx, t, s, "the image", func(e sim.Entry) bool {
		return e.ToID == "bob" && e.Type == "image" && e.Media != nil && e.Media.MD5 == sum(photo())
	})
	waitEntry(ctx, t, s, "the file", func(e sim.Entry) bool {
		return e.ToID == "team" && e.Type == "file" && e.Media != nil && e.Media.MD5 == sum(document()) && e.Media.Size == 1_300_000
	})
	for _, e := range s.Sent() {
		if e.Type == "text" && e.ToID == "team" && e.Content == "oops" && e.Revoked {
			return
		}
	}
	t.Errorf("nothing was revoked: %+v", s.Sent())
}

// confirmWhenAsked presses the phone's button as soon as there is one.
func confirmWhenAsked(t *testing.T, s *sim.Server, done <-chan error) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			return
		case <-tick.C:
			if s.State().Waiting == "confirm" {
				_ = s.Confirm() // lost a race with nobody: the next tick tries again
			}
		}
	}
}
