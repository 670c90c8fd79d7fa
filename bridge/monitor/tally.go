package monitor

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

const (
	// tallySize bounds the series that a tally knows; the one that was quiet for
	// longest makes room for a new one.
	tallySize = 256
	// seriesEnd is how long a series must be quiet to be over: what comes later
	// begins a new one.
	seriesEnd = 10 * time.Minute
)

// Series are equal things that happened one after another.
type Series struct {
	Count       int // since First
	First, Last time.Time
	Told        int // the count when it was last told of
}

// Tally counts equal things, so that n of them are told of O(log n) times with
// an exact count. Its memory is bounded. The zero Tally is ready; it may be used
// by any goroutine.
type Tally[K comparable] struct {
	mu     sync.Mutex
	series map[K]*Series
}

// Note counts one more. tell is true for the 1st, 2nd, 4th, 8th … of a series.
func (t *Tally[K]) Note(key K, now time.Time) (s Series, tell bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	one := t.series[key]
	switch {
	case one == nil:
		one = t.begin(key)
		fallthrough
	case now.Sub(one.Last) > seriesEnd:
		*one = Series{First: now}
	}
	one.Count, one.Last = one.Count+1, now
	if tell = one.Count&(one.Count-1) == 0; tell {
		one.Told = one.Count
	}
	return *one, tell
}

// begin makes a series, and room for it.
func (t *Tally[K]) begin(key K) *Series {
	if t.series == nil {
		t.series = map[K]*Series{}
	}
	if len(t.series) >= tallySize {
		var oldest K
		var at time.Time
		for k, s := range t.series {
			if at.IsZero() || s.Last.Before(at) {
				oldest, at = k, s.Last
			}
		}
		delete(t.series, oldest)
	}
	s := &Series{}
	t.series[key] = s
	return s
}

// Quiet gives the series that nothing was added to for some time and whose last
// count was not told of, and counts them as told.
func (t *Tally[K]) Quiet(now time.Time, quiet time.Duration) map[K]Series {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out map[K]Series
	for k, s := range t.series {
		if s.Told == s.Count || now.Sub(s.Last) < quiet {
			continue
		}
		s.Told = s.Count
		if out == nil {
			out = map[K]Series{}
		}
		out[k] = *s
	}
	return out
}

// Counted is one key with its series.
type Counted[K comparable] struct {
	Key K
	Series
}

// All lists every series that is known, the newest first.
func (t *Tally[K]) All() []Counted[K] {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]Counted[K], 0, len(t.series))
	for k, s := range t.series {
		out = append(out, Counted[K]{k, *s})
	}
	slices.SortFunc(out, func(a, b Counted[K]) int {
		return cmp.Or(b.Last.Compare(a.Last), b.First.Compare(a.First))
	})
	return out
}
