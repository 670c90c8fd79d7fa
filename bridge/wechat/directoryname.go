package wechat

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// fold brings spellings together that a person cannot tell apart: outer
// spaces, emoji variation selectors (U+FE0E, U+FE0F), Unicode normal form.
func fold(s string) string {
	s = strings.TrimSpace(s)
	if ascii(s) {
		return s
	}
	s = strings.Map(func(r rune) rune {
		if r == '\uFE0E' || r == '\uFE0F' {
			return -1
		}
		return r
	}, s)
	return strings.TrimSpace(norm.NFC.String(s))
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

const (
	maxNearest = 3   // names in a NotFoundError
	maxWord    = 32  // characters of a name that are compared
	maxCached  = 256 // names whose nearest ones are remembered
)

// nearestCache remembers suggestions, as a delivery that waits for a room asks
// again at each change. It has a lock of its own: lookups share the big one.
type nearestCache struct {
	mu    sync.Mutex
	names []string // what there is to suggest; nil: to be collected
	found map[string][]string
}

// stale forgets everything; what is there is collected when next asked for.
func (c *nearestCache) stale() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.names, c.found = nil, nil
}

func (c *nearestCache) lookup(name string, collect func() []string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if found, ok := c.found[name]; ok {
		return found
	}
	if c.names == nil {
		c.names = collect()
	}
	if c.found == nil || len(c.found) >= maxCached {
		c.found = map[string][]string{}
	}
	c.found[name] = nearest(name, c.names)
	return c.found[name]
}

func (d *Directory) notFound(name string) error {
	return &NotFoundError{Loading: !d.loaded, Nearest: slices.Clone(d.nearest.lookup(name, d.suggestions))}
}

// suggestions are all names that a user could have meant.
func (d *Directory) suggestions() []string {
	names := make([]string, 0, len(d.peers)+len(d.book))
	for name := range d.book {
		names = append(names, name)
	}
	for _, p := range d.peers {
		for _, n := range [...]string{p.Remark, p.Alias, p.Name} {
			if n != "" {
				names = append(names, n)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// nearest gives at most 3 names that look like the wanted one, best first. Case
// does not count; a third of the characters may differ.
func nearest(want string, names []string) []string {
	w := letters(want)
	bound := max(1, len(w)/3)
	type hit struct {
		name string
		dist int
	}
	var hits []hit
	for _, n := range names {
		if d := distance(w, letters(n), bound); d <= bound && d < max(len(w), 1) {
			hits = append(hits, hit{n, d})
		}
	}
	slices.SortFunc(hits, func(a, b hit) int {
		return cmp.Or(cmp.Compare(a.dist, b.dist), cmp.Compare(a.name, b.name))
	})
	var best []string
	for _, h := range hits[:min(len(hits), maxNearest)] {
		best = append(best, h.name)
	}
	return slices.Compact(best)
}

func letters(s string) []rune {
	r := []rune(strings.ToLower(fold(s)))
	return r[:min(len(r), maxWord)]
}

// distance counts the edits from a to b; more than bound is given as bound+1.
func distance(a, b []rune, bound int) int {
	if len(a)-len(b) > bound || len(b)-len(a) > bound {
		return bound + 1
	}
	var line [maxWord + 1]int
	for j := range b {
		line[j+1] = j + 1
	}
	for i := range a {
		corner, best := line[0], i+1
		line[0] = i + 1
		for j := range b {
			cost := corner
			if a[i] != b[j] {
				cost = 1 + min(corner, line[j], line[j+1])
			}
			corner, line[j+1] = line[j+1], cost
			best = min(best, cost)
		}
		if best > bound {
			return bound + 1
		}
	}
	return min(line[len(b)], bound+1)
}
