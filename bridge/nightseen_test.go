package bridge

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"wechat-bridge/bridge/monitor"
	"wechat-bridge/bridge/sim"
	"wechat-bridge/bridge/wire"
)

// nightSeen is what was noticed of a night, besides the ledgers.
type nightSeen struct {
	log io.WriteCloser // as the program's, with few lines for many

	mu      sync.Mutex
	lines   [][]byte
	states  []wire.Connection // every change, in order
	times   []time.Time
	records int // stored states
	faults  map[int]sim.Fault
	logins  []time.Time
	wrong   []string
	health  []nightSample
}

// nightSample is how it was at a moment.
type nightSample struct {
	at       time.Time
	health   wire.Health
	c        wire.Connection
	changes  int
	sends    int // requests
	requests int
}

func newNightSeen() *nightSeen {
	s := &nightSeen{faults: map[int]sim.Fault{}}
	s.log = CalmLog(s)
	return s
}

// Write takes a line of the log.
func (s *nightSeen) Write(line []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, bytes.Clone(line))
	return len(line), nil
}

func (s *nightSeen) observe(c wire.Connection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.states, s.times = append(s.states, c), append(s.times, time.Now())
}

func (s *nightSeen) stored(l *life, _ wire.Connection) error {
	return l.do(func() error { s.mu.Lock(); defer s.mu.Unlock(); s.records++; return nil })
}

func (s *nightSeen) fail(format string, args ...any) {
	if len(s.wrong) < 10 {
		s.wrong = append(s.wrong, fmt.Sprintf(format, args...))
	}
}

// loud are the log's warnings and errors.
func (s *nightSeen) loud() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, line := range s.lines {
		var l struct{ Level string }
		if json.Unmarshal(line, &l) == nil && (l.Level == "warn" || l.Level == "error") {
			n++
		}
	}
	return n
}

func (s *nightSeen) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(bytes.Join(s.lines, nil))
}

// hits are how often the faults applied, by endpoints and kind.
func (s *nightSeen) hits() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]int{}
	for _, f := range s.faults {
		out[strings.Join(f.On, ",")+" "+f.Do] += f.Hits
	}
	return out
}

// since gives the changes from a moment on.
func (s *nightSeen) since(began time.Time) []wire.Connection {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, at := range s.times {
		if !at.Before(began) {
			return slices.Clone(s.states[i:])
		}
	}
	return nil
}

// samples are what was seen from a moment on.
func (s *nightSeen) samples(began time.Time) []nightSample {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, _ := slices.BinarySearchFunc(s.health, began, func(n nightSample, at time.Time) int { return n.at.Compare(at) })
	return slices.Clone(s.health[i:])
}

// losses are how often a connection was lost.
func losses(states []wire.Connection) (n int) {
	was := wire.StateConnected
	for _, c := range states {
		if was == wire.StateConnected && c.State != was && c.State != wire.StateStopped && c.State != wire.StateStarting {
			n++
		}
		was = c.State
	}
	return n
}

// watch looks every second of virtual time.
func (w *nightWorld) watch(ctx context.Context) {
	for {
		w.look()
		if !pause(ctx, time.Second) {
			return
		}
	}
}

func (w *nightWorld) look() {
	st := w.sim.State()
	s := w.seen
	sample := nightSample{at: time.Now(), sends: st.Requests["webwxsendmsg"], requests: st.Requests["*"]}
	l := w.living()
	if l != nil {
		f := l.account.w.facts
		sample.c = l.account.connection()
		sample.health = monitor.Levels(monitor.Facts{
			Process:    monitor.Process{NATS: monitor.Link{OK: true}, Lease: monitor.Link{OK: true}},
			Connection: sample.c, Business: f.Business(), Silence: f.Silence(),
		}, sample.at)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	sample.changes = len(s.states)
	for _, f := range st.Faults {
		s.faults[f.ID] = f
	}
	for len(s.logins) < st.Logins {
		s.logins = append(s.logins, sample.at)
	}
	if l != nil {
		s.judge(sample)
	}
	s.health = append(s.health, sample)
}

// judge checks what has to be true at each moment. The lock is held.
func (s *nightSeen) judge(now nightSample) {
	if closed := now.c.Breaker.State == "closed"; closed == (now.c.Sending == wire.SendingHeld) {
		s.fail("%s: the breaker is %s and sending %s", now.at, now.c.Breaker.State, now.c.Sending)
	}
	if now.c.State == wire.StateConnected && (now.c.LastPulse == nil || now.at.Sub(*now.c.LastPulse) > monitor.DefaultSilence+5*time.Second) && now.health.Connection.Status == monitor.Pass {
		s.fail("%s: connected and well, and the last pulse was at %v", now.at, now.c.LastPulse)
	}
	if len(s.health) == 0 {
		return
	}
	was := s.health[len(s.health)-1]
	held := was.c.Sending == wire.SendingHeld && now.c.Sending == wire.SendingHeld && was.changes == now.changes
	if held && now.sends > was.sends {
		s.fail("%s: %d sends went out while sending was held", now.at, now.sends-was.sends)
	}
	if n := len(s.logins); n > 6 && s.logins[n-1].Sub(s.logins[n-7]) < time.Hour {
		s.fail("%s: 7 logins within an hour", now.at)
	}
}
