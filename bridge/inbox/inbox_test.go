package inbox

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wechat-bridge/bridge/wire"
)

func TestMediumThenEventThenCursor(t *testing.T) {
	n := newNATS()
	take(t, newInbox(n), n, batch("c1", withMedium("m1", "alice", n.medium("照片.png", []byte("\x89PNG\r\n\x1a\nxx")))))
	want := []string{"medium in/default/m1/照片.png", "event m1", "commit c1"}
	if d := cmp.Diff(want, n.trace); d != "" {
		t.Fatal(d)
	}
	m := openMessage(t, n.events[0]).Media
	if m == nil || m.State != wire.MediaStored || m.MIME != "image/png" || m.Size != 10 || len(m.SHA256) != 64 ||
		m.Object != "in/default/m1/照片.png" || m.Name != "照片.png" || m.Error != "" {
		t.Fatalf("%+v", m)
	}
}

func TestRepeatIsDroppedAndItsMediumNotFetchedAgain(t *testing.T) {
	n := newNATS()
	i := newInbox(n)
	e := withMedium("m1", "alice", n.medium("a.txt", []byte("hello")))
	take(t, i, n, batch("c1", e, e))
	take(t, i, n, batch("c2", e))
	if len(n.events) != 1 || n.opens["a.txt"] != 1 {
		t.Fatalf("%d events, opened %d times", len(n.events), n.opens["a.txt"])
	}
	odd := withMedium("m 2, which is no token", "alice", n.medium("b.txt", []byte("hello")))
	take(t, i, n, batch("c3", odd))
	other := newInbox(n) // after a restart
	for _, stored := range n.events {
		other.Remember(stored.MsgID)
	}
	take(t, other, n, batch("c4", e, odd))
	if n.opens["b.txt"] != 1 {
		t.Fatal("a remembered event was fetched again")
	}
	if n.opens["a.txt"] != 1 {
		t.Fatal("a remembered event was fetched again")
	}
}

func TestEmptyBatchCommitsItsCursor(t *testing.T) {
	n := newNATS()
	take(t, newInbox(n), n, batch("c1"))
	take(t, newInbox(n), n, batch(""))
	if d := cmp.Diff([]string{"commit c1", "commit "}, n.trace); d != "" {
		t.Fatal(d)
	}
}

func TestNoCursorNoCommit(t *testing.T) {
	n := newNATS()
	b := batch("", text("m1", "alice", "hi"))
	b.Cursor = nil
	take(t, newInbox(n), n, b)
	if d := cmp.Diff([]string{"event m1"}, n.trace); d != "" {
		t.Fatal(d)
	}
}

// The three places where the process, or NATS, can go away: each time the same
// batch comes again, to the same inbox or to a new one.
func TestCrashBetweenSteps(t *testing.T) {
	for _, step := range []string{"medium", "medium-late", "event", "event-late", "commit", "commit-late"} {
		for _, restart := range []bool{false, true} {
			t.Run(step+map[bool]string{true: " restart", false: ""}[restart], func(t *testing.T) {
				n := newNATS()
				failed := false
				n.fault = func(s, _ string) bool {
					hit := s == step && !failed
					failed = failed || hit
					return hit
				}
				i := newInbox(n)
				b := batch("c1", text("m1", "alice", "1"), withMedium("m2", "alice", n.medium("a", []byte("x"))), text("m3", "alice", "3"))
				err := i.Take(t.Context(), n, b)
				if !errors.Is(err, errAway) {
					t.Fatalf("%v is not storage's error", err)
				}
				if !strings.HasPrefix(step, "commit") && len(n.commits) > 0 {
					t.Fatal("the cursor went before the events")
				}
				if restart {
					i = newInbox(n)
				}
				take(t, i, n, b)
				if d := cmp.Diff([]string{"m1", "m2", "m3"}, n.order(t, "")); d != "" {
					t.Fatal(d)
				}
				if last := n.trace[len(n.trace)-1]; last != "commit c1" {
					t.Fatalf("the last step was %s", last)
				}
			})
		}
	}
}

func TestStoredMediumIsNotFetchedAgainWhenTheEventFailed(t *testing.T) {
	n := newNATS()
	fail := true
	n.fault = func(s, _ string) bool { return s == "event" && fail }
	i := newInbox(n)
	b := batch("c", withMedium("m1", "alice", n.medium("a", []byte("x"))))
	if err := i.Take(t.Context(), n, b); !errors.Is(err, errAway) {
		t.Fatal(err)
	}
	fail = false
	take(t, i, n, b)
	if n.opens["a"] != 1 {
		t.Fatalf("fetched %d times", n.opens["a"])
	}
}

func TestCancelledTakeSaysWhy(t *testing.T) {
	why := errors.New("shutting down")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	n := newNATS()
	if err := newInbox(n).Take(ctx, n, batch("c", text("m1", "a", "x"))); !errors.Is(err, why) {
		t.Fatal(err)
	}
	if len(n.trace) != 0 {
		t.Fatal(n.trace)
	}
}
