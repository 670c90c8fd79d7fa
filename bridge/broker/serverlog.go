package broker

import (
	"fmt"

	"github.com/rs/zerolog"
)

// serverLog sends the embedded server's log lines to zerolog. What it calls
// notices is the detail of a server that works: debug.
type serverLog struct {
	log   zerolog.Logger
	fatal chan string
}

func (l *serverLog) Noticef(format string, v ...any) { l.write(zerolog.DebugLevel, format, v) }
func (l *serverLog) Debugf(format string, v ...any)  { l.write(zerolog.TraceLevel, format, v) }
func (l *serverLog) Tracef(format string, v ...any)  { l.write(zerolog.TraceLevel, format, v) }
func (l *serverLog) Warnf(format string, v ...any)   { l.write(zerolog.WarnLevel, format, v) }
func (l *serverLog) Errorf(format string, v ...any)  { l.write(zerolog.ErrorLevel, format, v) }

// Fatalf must not end the process: whoever starts the server decides.
func (l *serverLog) Fatalf(format string, v ...any) {
	l.write(zerolog.ErrorLevel, format, v)
	select {
	case l.fatal <- fmt.Sprintf(format, v...):
	default:
	}
}

func (l *serverLog) write(level zerolog.Level, format string, v []any) {
	l.log.WithLevel(level).Str("part", "nats-server").Msgf(format, v...)
}
