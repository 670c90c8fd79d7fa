package link

import (
	"time"

	"wechat-bridge/classifier"
)

// "Too often" makes the throttled kind of request rarer; the others go on, and
// the session is kept.
const (
	slowBase     = 5 * time.Second // between two polls or two probes, doubling
	slowMax      = time.Minute
	slowLoginMax = 5 * time.Minute // between two attempts, which also begin at slowBase
)

// spacing keeps one kind of request apart from its next one. It grows with each
// "too often" and shrinks with each good answer, so that the pace comes back
// slowly.
type spacing struct {
	n     int       // of "too often", less the good answers since
	last  time.Time // the newest request
	until time.Time // not before
}

// throttled notes a "too often". A wait that the server named wins.
func (s *spacing) throttled(v classifier.Verdict, now time.Time) {
	s.n++
	d := told(v)
	if d == 0 {
		d = s.gap()
	}
	s.until = now.Add(d)
}

func (s *spacing) good() { s.n = max(s.n-1, 0) }

// gap is how far apart requests are now, start to start.
func (s *spacing) gap() time.Duration {
	if s.n == 0 {
		return 0
	}
	return doubling(slowBase, slowMax, s.n-1)
}

// free is how long the next request has to wait.
func (s *spacing) free(now time.Time) time.Duration {
	at := s.until
	if next := s.last.Add(s.gap()); s.n > 0 && next.After(at) {
		at = next
	}
	return max(at.Sub(now), 0)
}
