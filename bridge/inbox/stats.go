package inbox

import (
	"math/bits"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/bridge/wire"
)

// The events of this package's log.
const (
	logMedium     = "medium_missing"
	logUnreadable = "event_unreadable"
)

// Stats is what the monitor shows of the receiving side, since the start of
// the process.
type Stats struct {
	LastEvent    time.Time // when the last event was stored; zero = none yet
	Stored       uint64    // events that are new in the stream
	Repeats      uint64    // events that were there already
	Unreadable   uint64    // events that arrived as unknown with their raw form
	MediaStored  uint64
	MediaMissing uint64
	MediaLarge   uint64
	Gaps         uint64
	LastGap      wechat.Gap
}

// Stats tells how it goes.
func (i *Inbox) Stats() Stats {
	i.stats.mu.Lock()
	defer i.stats.mu.Unlock()
	return i.stats.s
}

type counters struct {
	mu sync.Mutex
	s  Stats
}

func (c *counters) repeated() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.s.Repeats++
}

func (c *counters) stored(log zerolog.Logger, e wechat.Event, m *medium, fresh bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.s.LastEvent = time.Now()
	if !fresh {
		c.s.Repeats++
		return
	}
	c.s.Stored++
	if e.Gap != nil {
		c.s.Gaps++
		c.s.LastGap = *e.Gap
	}
	if m != nil {
		c.medium(log, m)
	}
}

// medium counts what became of a medium; the caller holds the lock.
func (c *counters) medium(log zerolog.Logger, m *medium) {
	n := &c.s.MediaMissing
	switch m.State {
	case wire.MediaStored:
		c.s.MediaStored++
		return
	case wire.MediaTooLarge:
		n = &c.s.MediaLarge
	}
	*n++
	if rare(*n) {
		log.Warn().Str("event", logMedium).Str("state", m.State).Int64("size", m.Size).Str("reason", m.Error).
			Uint64("count", *n).Msg("a received medium is not kept; its message is")
	}
}

func (c *counters) unreadable(log zerolog.Logger, e wechat.Event, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.s.Unreadable++
	if rare(c.s.Unreadable) {
		log.Error().Str("event", logUnreadable).Str("type", string(e.Type)).Err(err).
			Uint64("count", c.s.Unreadable).Msg("an event could not be read; it is stored as unknown")
	}
}

// rare lets the 1st, 2nd, 4th, 8th … of equal faults into the log.
func rare(n uint64) bool { return bits.OnesCount64(n) == 1 }
