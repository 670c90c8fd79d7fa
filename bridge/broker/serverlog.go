package broker

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// logEvery is how often the same kind of line is worth writing: guests can
// cause as many violations as they like.
const logEvery = time.Minute

// serverLog sends the embedded server's log lines to zerolog. What it calls
// notices is the detail of a server that works: debug.
type serverLog struct {
	log   zerolog.Logger
	fatal chan string

	mu   sync.Mutex
	seen map[string]*repeat // by format; the server has a fixed number of them
}

type repeat struct {
	at   time.Time
	more int
}

func newServerLog(log zerolog.Logger) *serverLog {
	return &serverLog{
		log:   log.With().Str("part", "nats-server").Logger(),
		fatal: make(chan string, 1), seen: make(map[string]*repeat),
	}
}

// Noticef, Debugf and Tracef are of use only when looking for a fault.
func (l *serverLog) Noticef(format string, v ...any) { l.log.Debug().Msgf(format, v...) }
func (l *serverLog) Debugf(format string, v ...any)  { l.log.Trace().Msgf(format, v...) }
func (l *serverLog) Tracef(format string, v ...any)  { l.log.Trace().Msgf(format, v...) }

// Warnf writes warnings, less the one about passwords in the configuration:
// ours exists in memory only.
func (l *serverLog) Warnf(format string, v ...any) {
	if !strings.HasPrefix(format, "Plaintext passwords") {
		l.write(zerolog.WarnLevel, format, v)
	}
}

// Errorf writes errors. What a client is denied is no fault of ours.
func (l *serverLog) Errorf(format string, v ...any) {
	level := zerolog.ErrorLevel
	if text := fmt.Sprintf(format, v...); strings.Contains(text, "Violation") {
		level = zerolog.WarnLevel
	}
	l.write(level, format, v)
}

// Fatalf must not end the process: whoever starts the server decides.
func (l *serverLog) Fatalf(format string, v ...any) {
	l.write(zerolog.ErrorLevel, format, v)
	select {
	case l.fatal <- fmt.Sprintf(format, v...):
	default:
	}
}

// write drops lines of a kind that was written within the minute, and says
// with the next one how many.
func (l *serverLog) write(level zerolog.Level, format string, v []any) {
	kind := clientPrefix.ReplaceAllString(format, "")
	l.mu.Lock()
	r := l.seen[kind]
	if r == nil {
		r = &repeat{}
		l.seen[kind] = r
	}
	if !r.at.IsZero() && time.Since(r.at) < logEvery {
		r.more++
		l.mu.Unlock()
		return
	}
	more := r.more
	r.at, r.more = time.Now(), 0
	l.mu.Unlock()
	line := l.log.WithLevel(level)
	if more > 0 {
		line = line.Int("more", more)
	}
	if kind == format {
		line.Msgf(format, v...)
		return
	}
	what, _, _ := strings.Cut(kind, "%")
	line.Str("detail", fmt.Sprintf(format, v...)).Msg(strings.TrimRight(what, " -:,"))
}

// clientPrefix is what the server puts into the format of a line about a client:
// without it such lines are of one kind, whoever the client is.
var clientPrefix = regexp.MustCompile(`^\S+ - [a-z]+:[0-9]+(?: - "(?:[^"\\]|\\.)*")* - `)
