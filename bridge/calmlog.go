package bridge

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"

	"wechat-bridge/bridge/monitor"
)

// restAfter is how long a repeated line must be quiet until what was counted and
// not written is summed up. It is longer than any wait between two tries.
const restAfter = 5 * time.Minute

// CalmLog stands between a zerolog logger and w. Of equal warnings and errors it
// passes on the 1st, 2nd, 4th, 8th … with an exact count and the times of the
// first and the last, and what remains once they have stopped: a storm of n
// lines becomes O(log n). Lines are equal if level, message and the fields that
// say what happened are; lines of other levels pass. One writer serves one
// process; Close sums up what remains.
func CalmLog(w io.Writer) io.WriteCloser { return &calmLog{out: w} }

type calmLog struct {
	mu    sync.Mutex
	out   io.Writer
	tally monitor.Tally[lineKey]
	next  time.Time // of the next look at what has become quiet
}

// lineKey is what makes two lines equal: names from closed sets, never a text.
type lineKey struct {
	Level     string `json:"level"`
	Message   string `json:"message"`
	Event     string `json:"event"`
	Account   string `json:"account"`
	Class     string `json:"class"`
	Code      string `json:"code"`
	Operation string `json:"operation"`
	At        string `json:"at"`
	Was       string `json:"was"`
	Verb      string `json:"verb"`
	What      string `json:"what"`
}

// Write implements io.Writer for one line of JSON.
func (c *calmLog) Write(line []byte) (int, error) {
	var key lineKey
	if json.Unmarshal(line, &key) != nil || key.Level != "warn" && key.Level != "error" {
		return c.pass(line)
	}
	now := time.Now()
	s, tell := c.tally.Note(key, now)
	if err := c.rest(now, restAfter); err != nil {
		return 0, err
	}
	if !tell {
		return len(line), nil
	}
	if s.Count == 1 {
		return c.pass(line)
	}
	_, err := c.pass(counted(line, s))
	return len(line), err
}

func (c *calmLog) pass(line []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.Write(line)
}

// counted adds to a line how often it was written.
func counted(line []byte, s monitor.Series) []byte {
	end := bytes.LastIndexByte(line, '}')
	if end <= 0 {
		return line
	}
	return fmt.Appendf(bytes.Clone(line[:end]), `,"count":%d,"first":%q,"last":%q}`+"\n",
		s.Count, s.First.Format(time.RFC3339), s.Last.Format(time.RFC3339))
}

// rest writes one line for each series that has stopped.
func (c *calmLog) rest(now time.Time, quiet time.Duration) error {
	c.mu.Lock()
	due := now.After(c.next) || quiet == 0
	if due {
		c.next = now.Add(restAfter / 6)
	}
	c.mu.Unlock()
	if !due {
		return nil
	}
	for key, s := range c.tally.Quiet(now, quiet) {
		line, err := json.Marshal(map[string]any{
			"level": key.Level, "time": now.Format(time.RFC3339), "message": key.Message, "event": key.Event, "account": key.Account,
			"class": key.Class, "code": key.Code, "operation": key.Operation, "stopped": true,
		})
		if err != nil {
			return err
		}
		if _, err := c.pass(counted(append(line, '\n'), s)); err != nil {
			return err
		}
	}
	return nil
}

// Close sums up what was counted and not written. It does not close w.
func (c *calmLog) Close() error { return c.rest(time.Now(), 0) }
