package inbox

import (
	"math/bits"
	"sync"

	"github.com/rs/zerolog"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/bridge/wire"
)

// The events of this package's log.
const (
	logMedium     = "medium_missing"
	logUnreadable = "event_unreadable"
)

// counters count what the log tells less and less often.
type counters struct {
	mu                         sync.Mutex
	missing, large, unreadable uint64
}

// medium tells of a medium that is not kept.
func (c *counters) medium(log zerolog.Logger, m *medium) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := &c.missing
	switch m.State {
	case wire.MediaStored:
		return
	case wire.MediaTooLarge:
		n = &c.large
	}
	*n++
	if rare(*n) {
		log.Warn().Str("event", logMedium).Str("state", m.State).Int64("size", m.Size).Str("reason", m.Error).
			Uint64("count", *n).Msg("a received medium is not kept; its message is")
	}
}

func (c *counters) garbled(log zerolog.Logger, e wechat.Event, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unreadable++
	if rare(c.unreadable) {
		log.Error().Str("event", logUnreadable).Str("type", string(e.Type)).Err(err).
			Uint64("count", c.unreadable).Msg("an event could not be read; it is stored as unknown")
	}
}

// rare lets the 1st, 2nd, 4th, 8th … of equal faults into the log.
func rare(n uint64) bool { return bits.OnesCount64(n) == 1 }
