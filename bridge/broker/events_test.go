package broker

import (
	"slices"
	"strconv"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// A worker that starts learns which events are stored, without their bodies.
func TestNewestEvents(t *testing.T) {
	b := openBroker(t, startServer(t))
	a := account(t, b)
	other := must[*Account](t)(b.Account("other", AlwaysHeld(1)))
	if ids := must[[]string](t)(a.Events().Newest(t.Context(), 10)); len(ids) != 0 {
		t.Errorf("an empty stream has %v", ids)
	}
	var all []string
	for n := range 600 {
		id := "m" + strconv.Itoa(n)
		all = append(all, id)
		must[bool](t)(a.Events().Publish(t.Context(), event(t, "default", id)))
	}
	must[bool](t)(other.Events().Publish(t.Context(), event(t, "other", "theirs")))
	for n, want := range map[int][]string{1000: all, 601: all, 11: all[590:], 1: nil} {
		if ids := must[[]string](t)(a.Events().Newest(t.Context(), n)); !slices.Equal(ids, want) {
			t.Errorf("the newest %d: %d of %d", n, len(ids), len(want))
		}
	}
	info := must[jetstream.Stream](t)(b.conn.JS.Stream(t.Context(), b.Layout.Events())).CachedInfo()
	if info.State.Consumers != 0 {
		t.Errorf("%d consumers are left", info.State.Consumers)
	}
}
