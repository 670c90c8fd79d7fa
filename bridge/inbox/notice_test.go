package inbox

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wechat-bridge/bridge/wechat"
)

func notice(id, chat, words string) wechat.Event {
	e := text(id, chat, words)
	e.Message.Kind = wechat.Notice
	return e
}

// A notice is told after it is stored and before its cursor, in a batch that
// comes again too, also to the next process: a crash may come in between.
// Nothing else is told.
func TestNoticesAreToldOnceTheyAreStored(t *testing.T) {
	n := newNATS()
	fails := true
	tell := func(c *Config) {
		c.Notice = func(_ context.Context, e wechat.Event) error {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.trace = append(n.trace, "told "+e.ID)
			if fails {
				return errors.New("it is not done")
			}
			return nil
		}
	}
	i := newInbox(n, tell)
	b := batch("c1", notice("m1", "alice", "拒收"), text("m2", "bob", "拒收"))
	if err := i.Take(t.Context(), n, b); err == nil {
		t.Fatal("a notice that was not acted upon is passed")
	}
	fails = false
	take(t, i, n, b)
	other := newInbox(n, tell) // after a restart that remembers
	other.Remember("m1", "m2")
	take(t, other, n, batch("c2", notice("m1", "alice", "拒收"), text("m2", "bob", "拒收")))
	third := newInbox(n, tell) // and one that does not
	take(t, third, n, batch("c3", notice("m1", "alice", "拒收")))
	want := []string{"event m1", "told m1", "told m1", "event m2", "commit c1", "told m1", "commit c2", "told m1", "commit c3"}
	if d := cmp.Diff(want, n.trace); d != "" {
		t.Fatal(d)
	}
	take(t, newInbox(n), n, batch("c4", notice("m5", "alice", "nobody listens")))
}

// A notice behind a medium of its chat is told in its turn.
func TestANoticeBehindAMedium(t *testing.T) {
	n := newNATS()
	i := newInbox(n, func(c *Config) {
		c.Notice = func(_ context.Context, e wechat.Event) error {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.trace = append(n.trace, "told "+e.ID)
			return nil
		}
	})
	take(t, i, n, batch("c1", withMedium("m1", "alice", n.medium("a.txt", []byte("hello"))), notice("m2", "alice", "拒收")))
	want := []string{"medium in/default/m1/a.txt", "event m1", "event m2", "told m2", "commit c1"}
	if d := cmp.Diff(want, n.trace); d != "" {
		t.Fatal(d)
	}
}
