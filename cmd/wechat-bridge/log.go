package main

import (
	"io"
	"os"
	"time"

	"github.com/rs/zerolog"
)

// consoleLog writes lines for people, with colours only on a terminal.
func consoleLog(w io.Writer, colour bool, level zerolog.Level) zerolog.Logger {
	out := zerolog.ConsoleWriter{Out: w, TimeFormat: time.DateTime, NoColor: !colour}
	return zerolog.New(out).Level(level).With().Timestamp().Logger()
}

// jsonLog writes lines for machines.
func jsonLog(w io.Writer, level zerolog.Level) zerolog.Logger {
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
