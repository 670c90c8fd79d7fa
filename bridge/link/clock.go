package link

import "time"

// A machine that slept, a process that was stopped and a clock that was set
// look alike from outside: a wait ends and nothing was heard. That is no
// silence of WeChat, so both clocks are compared: some systems stop the
// monotonic one during sleep, others do not.

const (
	// tickTime is how often the loop looks at the clocks while a session is open.
	tickTime = 5 * time.Second
	// jumpTolerance is what a busy machine or a clock that is being corrected
	// may be off by.
	jumpTolerance = 5 * time.Second
)

// reading is both clocks at a moment.
type reading struct {
	wall time.Time
	mono time.Duration // since some moment that never changes
}

// readClocks gives a function that reads them.
func readClocks() func() reading {
	began := time.Now()
	return func() reading {
		now := time.Now()
		return reading{wall: now.Round(0), mono: now.Sub(began)}
	}
}

// jumped compares two readings of which the second was to be taken at most due
// after the first. apart is how much further the wall clock has moved than the
// monotonic one, below zero where it was set back. jump says that time stood
// still or a clock was set.
func jumped(before, after reading, due time.Duration) (apart time.Duration, jump bool) {
	mono := after.mono - before.mono
	apart = after.wall.Sub(before.wall) - mono
	return apart, apart.Abs() > jumpTolerance || mono > due+jumpTolerance
}

// jumped keeps a jump from looking like silence, and the wall times that are
// stored from saying something else than before.
func (t *turn) jumped(apart time.Duration) {
	t.awoke = t.now
	t.mem = t.mem.shifted(apart)
	t.save()
	if t.state == Connected && !t.sideProbe && t.work != probing && t.probes.free(t.now) == 0 {
		t.probeAside(false) // WeChat is asked at once
	}
}

// slept says that the poll that was silent is no proof of it, as time stood
// still meanwhile. It is so once: the poll after it has its whole time.
func (m *machine) slept() bool { return m.polls.last.Before(m.awoke) }

// shifted moves stored times with a clock that was set, so that their ages stay
// what they were: a budget is neither freed nor locked by it.
func (m memory) shifted(apart time.Duration) memory {
	moved := make([]time.Time, 0, len(m.Logins))
	for _, at := range m.Logins {
		moved = append(moved, at.Add(apart))
	}
	m.Logins = moved
	if !m.RetryAt.IsZero() {
		m.RetryAt = m.RetryAt.Add(apart)
	}
	return m
}
