package broker

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

// n equal lines within a minute are one line; the next one has the count.
func TestServerLogOfAStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		l := newServerLog(zerolog.New(&out).Level(zerolog.InfoLevel))
		for i := range 100 {
			l.Errorf("%s - Publish Violation", strings.Repeat("x", i%3))
		}
		l.Warnf("Plaintext passwords detected, use nkeys or bcrypt")
		l.Noticef("Server is ready")
		if n := strings.Count(out.String(), "\n"); n != 1 || !strings.Contains(out.String(), `"level":"warn"`) {
			t.Fatalf("%d lines:\n%s", n, &out)
		}
		time.Sleep(logEvery)
		l.Errorf("%s - Publish Violation", "y")
		if !strings.Contains(out.String(), `"more":99`) {
			t.Fatalf("no count:\n%s", &out)
		}
		l.Fatalf("no %s", "port")
		if reason := <-l.fatal; reason != "no port" {
			t.Fatalf("fatal %q", reason)
		}
	})
}

// Lines about clients are of one kind, whoever the client is and whatever it
// calls itself.
func TestServerLogOfManyClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		l := newServerLog(zerolog.New(&out).Level(zerolog.InfoLevel))
		for i := range 100 {
			l.Errorf(fmt.Sprintf(`127.0.0.1:%d - cid:%d - "v1:go:a \"b\" - c" - "GUEST/user:guest" - Publish Violation - Subject %%q`, 1000+i, i), "x.y")
		}
		if n := strings.Count(out.String(), "\n"); n != 1 || len(l.seen) != 1 ||
			!strings.Contains(out.String(), `"message":"Publish Violation - Subject"`) || !strings.Contains(out.String(), `cid:0`) {
			t.Fatalf("%d lines of %d kinds:\n%s", n, len(l.seen), &out)
		}
	})
}
