package main

import (
	"io"
	"os"
	"time"

	"github.com/rs/zerolog"
)

// forPeople turns lines for machines into lines for people, with colours only
// on a terminal.
func forPeople(w io.Writer, colour bool) io.Writer {
	return zerolog.ConsoleWriter{Out: w, TimeFormat: time.DateTime, NoColor: !colour}
}

func newLog(w io.Writer, level zerolog.Level) zerolog.Logger {
	return zerolog.New(w).Level(level).With().Timestamp().Logger()
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
