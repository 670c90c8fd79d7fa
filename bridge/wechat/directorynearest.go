package wechat

import (
	"cmp"
	"slices"
	"strings"
	"sync"
)

const (
	maxNearest = 3   // names in a NotFoundError
	maxWord    = 32  // characters of a name that are compared
	maxCached  = 256 // names whose nearest ones are remembered
)

// suggestion is a name that a user could have meant.
type suggestion struct {
	name    string
	letters []rune
}

func suggest(names ...string) []suggestion {
	list := make([]suggestion, len(names))
	for i, n := range names {
		list[i] = suggestion{n, letters(n)}
	}
	return list
}

// letters is a name as it is compared: case does not count.
func letters(s string) []rune {
	if len(s) > 8*maxWord { // a name out of a command can be long
		s = strings.ToValidUTF8(s[:8*maxWord], "")
	}
	r := []rune(strings.ToLower(fold(s)))
	return r[:min(len(r), maxWord)]
}

// nearestCache remembers suggestions, as a delivery that waits for a room asks
// again at each change. It has a lock of its own: lookups share the big one.
type nearestCache struct {
	mu    sync.Mutex
	names []suggestion // nil: to be collected
	found map[string][]string
}

// stale forgets everything; what is there is collected when next asked for.
func (c *nearestCache) stale() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.names, c.found = nil, nil
}

func (c *nearestCache) lookup(name string, collect func() []suggestion) []string {
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

// suggestions are the names of all peers and of the address book.
func (d *Directory) suggestions() []suggestion {
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
	return suggest(names...)
}

// nearest gives at most 3 names that look like the wanted one, best first. A
// third of the characters, at least one, may differ.
func nearest(want string, names []suggestion) []string {
	w := letters(want)
	bound := max(1, len(w)/3)
	type hit struct {
		name string
		dist int
	}
	var hits []hit
	for _, n := range names {
		if d := distance(w, n.letters, bound); d <= bound && d < len(w) {
			hits = append(hits, hit{n.name, d})
		}
	}
	slices.SortFunc(hits, func(a, b hit) int {
		return cmp.Or(cmp.Compare(a.dist, b.dist), cmp.Compare(a.name, b.name))
	})
	hits = slices.Compact(hits)
	var best []string
	for _, h := range hits[:min(len(hits), maxNearest)] {
		best = append(best, h.name)
	}
	return best
}

// distance is the optimal string alignment distance; above bound it is given
// as bound+1, early. Both words have at most maxWord characters.
func distance(a, b []rune, bound int) int {
	if len(a)-len(b) > bound || len(b)-len(a) > bound {
		return bound + 1
	}
	var before, last, line [maxWord + 1]int
	for j := range len(b) + 1 {
		last[j] = j
	}
	for i := range a {
		line[0] = i + 1
		best := line[0]
		for j := range b {
			cost := last[j]
			if a[i] != b[j] {
				cost = 1 + min(last[j], last[j+1], line[j])
			}
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				cost = min(cost, before[j-1]+1)
			}
			line[j+1] = cost
			best = min(best, cost)
		}
		if best > bound {
			return bound + 1
		}
		before, last = last, line
	}
	return min(last[len(b)], bound+1)
}
