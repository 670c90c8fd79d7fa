package inbox

import (
	"github.com/rs/zerolog"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/bridge/wire"
)

// The events of this package's log. Equal lines are thinned and counted where the
// log is written, not here.
const (
	logMedium     = "medium_missing"
	logUnreadable = "event_unreadable"
)

// tellMedium tells of a medium that is not kept.
func tellMedium(log zerolog.Logger, m *medium) {
	if m.State == wire.MediaStored {
		return
	}
	log.Warn().Str("event", logMedium).Str("what", m.State).Int64("size", m.Size).Str("reason", m.Error).
		Msg("a received medium is not kept; its message is")
}

func tellGarbled(log zerolog.Logger, e wechat.Event, err error) {
	log.Error().Str("event", logUnreadable).Str("type", string(e.Type)).Err(err).
		Msg("an event could not be read; it is stored as unknown")
}
