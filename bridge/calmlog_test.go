package bridge

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

// A storm is a handful of lines with an exact count; other lines pass.
func TestAStormIsAHandfulOfLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		calm := CalmLog(&out)
		log := zerolog.New(calm)
		for range 50_000 {
			log.Warn().Str("code", "logged_out").Str("operation", "synccheck").Err(errors.New(time.Now().String())).Msg("fault")
			log.Warn().Str("code", "rate_limited").Msg("fault")
			time.Sleep(time.Millisecond) // the bubble's time
		}
		log.Info().Msg("state")
		log.Info().Msg("state")
		time.Sleep(restAfter + time.Minute)
		log.Warn().Msg("something else")
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if len(lines) != 16+16+2+1+2 {
			t.Errorf("%d lines:\n%s", len(lines), out.String())
		}
		type line struct {
			Code, Operation string
			Count           int
			Stopped         bool
			First, Last     time.Time
		}
		ended := map[string]int{}
		for _, l := range lines {
			var got line
			if err := json.Unmarshal([]byte(l), &got); err != nil {
				t.Fatalf("%s: %v", l, err)
			}
			if got.Stopped {
				ended[got.Code] = got.Count
				if d := got.Last.Sub(got.First); d < 49*time.Second || d > 50*time.Second {
					t.Errorf("from %s to %s", got.First, got.Last)
				}
			}
		}
		if ended["logged_out"] != 50_000 || ended["rate_limited"] != 50_000 {
			t.Errorf("counted %v", ended)
		}
	})
}

func TestClosingTheLogSumsUp(t *testing.T) {
	var out bytes.Buffer
	calm := CalmLog(&out)
	log := zerolog.New(calm)
	for range 3 {
		log.Error().Str("event", "x").Msg("broken")
	}
	if err := calm.Close(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), `"count":3`) || strings.Count(out.String(), "\n") != 3 {
		t.Errorf("got %s", out.String())
	}
	before := out.Len()
	if err := calm.Close(); err != nil || out.Len() != before {
		t.Errorf("closed twice: %v, %s", err, out.String()[before:])
	}
}

func TestWhatIsNoLinePasses(t *testing.T) {
	var out bytes.Buffer
	calm := CalmLog(&out)
	for _, s := range []string{"", "no json\n", `{"level":7}` + "\n", "\x00\xff\n"} {
		if n, err := calm.Write([]byte(s)); n != len(s) || err != nil {
			t.Errorf("%q: %d, %v", s, n, err)
		}
	}
	if out.String() != "no json\n{\"level\":7}\n\x00\xff\n" {
		t.Errorf("got %q", out.String())
	}
}

func BenchmarkCalmLog(b *testing.B) {
	var out bytes.Buffer
	log := zerolog.New(CalmLog(&out))
	for b.Loop() {
		log.Warn().Str("code", "logged_out").Str("operation", "synccheck").Msg("fault")
	}
}
