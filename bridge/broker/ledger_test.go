package broker

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"wechat-bridge/bridge/wire"
)

// A worker that starts reads what former ones wrote lately, and no more.
func TestNewestRecords(t *testing.T) {
	b := openBroker(t, startServer(t))
	a := account(t, b)
	other := must[*Account](t)(b.Account("other", AlwaysHeld(1)))
	start := time.Now().Add(-time.Minute)
	newest := func(since time.Time, n int) (keys []string) {
		for _, s := range must[[]wire.Stored](t)(a.Ledger().Newest(t.Context(), since, n)) {
			if string(s.Body) != "body "+s.Token || s.At.Before(since) || s.Seq == 0 {
				t.Errorf("%+v", s)
			}
			keys = append(keys, s.Token)
		}
		return keys
	}
	if keys := newest(start, 10); len(keys) != 0 {
		t.Errorf("an empty stream has %v", keys)
	}
	var all []string
	for n := range 300 {
		key := "k" + strconv.Itoa(n)
		all = append(all, key)
		if _, stored, err := a.Ledger().Append(t.Context(), wire.Stored{Token: key, Body: []byte("body " + key)}); err != nil || !stored {
			t.Fatal(stored, err)
		}
	}
	if _, _, err := other.Ledger().Append(t.Context(), wire.Stored{Token: "theirs", Body: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	if err := a.PublishConnection(t.Context(), []byte("{}")); err != nil {
		t.Fatal(err)
	}
	for n, want := range map[int][]string{1000: all, 12: all[290:], 2: nil} {
		if keys := newest(start, n); !slices.Equal(keys, want) {
			t.Errorf("the newest %d: %v", n, keys)
		}
	}
	if keys := newest(time.Now().Add(time.Minute), 1000); len(keys) != 0 {
		t.Errorf("of the future: %v", keys)
	}
	last := must[wire.Stored](t)(a.Ledger().Last(t.Context(), "k200"))
	if keys := newest(last.At, 1000); len(keys) < 100 || keys[len(keys)-1] != "k299" || slices.Contains(keys, "k0") {
		t.Errorf("since k200: %v", keys)
	}
}
