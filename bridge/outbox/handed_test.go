package outbox

import (
	"fmt"
	"testing"
	"time"
)

// Memory is bounded by number and time, and looks up in constant time.
func TestHandedOverIsBounded(t *testing.T) {
	m, now := newHandedOver(), time.Now()
	name := func(n int) held { return held{fmt.Sprint("k", n), uint64(n)} }
	for n := range 3 * maxHanded {
		m.begin(handed{held: name(n), peer: fmt.Sprint("@", n%100), began: now})
		if n%3 == 0 {
			m.end(name(n), now)
		}
		if n%5 == 0 {
			m.drop(name(n))
		}
	}
	if len(m.all) > maxHanded || len(m.byName) > maxHanded || m.byName[name(0)] != nil || m.byName[name(3*maxHanded-2)] == nil {
		t.Errorf("%d in all, %d by name", len(m.all), len(m.byName))
	}
	for n := range 3 * maxHanded {
		m.end(name(n), now)
	}
	m.begin(handed{held: held{"late", 1}, peer: "@late", began: now.Add(2 * handedFor)})
	if len(m.all) != 1 || len(m.byName) != 1 || len(m.byPeer) != 1 || len(m.notices) != 0 {
		t.Errorf("%d in all, %d by name, %d peers", len(m.all), len(m.byName), len(m.byPeer))
	}
}

// A notice is about what was handed over before it; clocks that do not agree
// make it a guess, not nothing.
func TestChoose(t *testing.T) {
	now := time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)
	at := func(s int) time.Time { return now.Add(time.Duration(s) * time.Second) }
	sent := func(key string, began int) *handed {
		return &handed{held: held{key: key}, began: at(began), ended: at(began + 1)}
	}
	open := func(key string, began int) *handed { return &handed{held: held{key: key}, began: at(began)} }
	taken := func(h *handed, sure bool) *handed { h.notice, h.sure = "n", sure; return h }
	tests := map[string]struct {
		chat     []*handed
		said     int
		want     string
		inferred bool
	}{
		"nothing":                           {nil, 0, "", true},
		"one":                               {[]*handed{sent("a", -5)}, -4, "a", false},
		"one that is open":                  {[]*handed{open("a", -300)}, -4, "a", false},
		"one in the same second":            {[]*handed{sent("a", -4)}, -4, "a", false},
		"one too long ago":                  {[]*handed{sent("a", -200)}, 0, "", true},
		"an outage between":                 {[]*handed{sent("a", -200)}, -190, "a", false},
		"the newest before":                 {[]*handed{sent("a", -30), sent("b", -20), sent("c", -10)}, -15, "b", true},
		"after an outage, and one more":     {[]*handed{sent("a", -100), sent("b", -10)}, -99, "a", false},
		"the other one is corrected":        {[]*handed{sent("a", -30), taken(sent("b", -20), true)}, -15, "a", false},
		"the other one is perhaps":          {[]*handed{sent("a", -30), taken(sent("b", -20), false)}, -15, "a", true},
		"all are corrected":                 {[]*handed{taken(sent("b", -20), true)}, -15, "", true},
		"WeChat's clock is a bit late":      {[]*handed{sent("a", -5)}, -10, "a", false},
		"WeChat's clock is an hour late":    {[]*handed{sent("a", -5)}, -3600, "a", true},
		"WeChat's clock is an hour early":   {[]*handed{sent("a", -5)}, 3600, "a", false},
		"a bit late, the newest of several": {[]*handed{sent("a", -7), sent("b", -5)}, -10, "b", true},
	}
	for name, test := range tests {
		h, inferred := choose(test.chat, at(test.said), now)
		got := ""
		if h != nil {
			got = h.key
		}
		if got != test.want || h != nil && inferred != test.inferred {
			t.Errorf("%s: %q, inferred %t", name, got, inferred)
		}
	}
}
