package alert

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"wechat-bridge/bridge/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a channel that remembers what it was given.
type fake struct {
	mu    sync.Mutex
	send  func(try int, m Message) error // nil: takes all
	tries []Message
	at    []time.Time
	taken []Message
}

func (f *fake) Send(ctx context.Context, m Message) error {
	f.mu.Lock()
	f.tries, f.at = append(f.tries, m), append(f.at, time.Now())
	try, send := len(f.tries), f.send
	f.mu.Unlock()
	var err error
	if send != nil {
		err = send(try, m)
	}
	if errors.Is(err, errHang) {
		<-ctx.Done()
		return ctx.Err()
	}
	if err == nil {
		f.mu.Lock()
		f.taken = append(f.taken, m)
		f.mu.Unlock()
	}
	return err
}

var errHang = errors.New("hang until the context ends")

func (f *fake) kinds() []Kind {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []Kind
	for _, m := range f.taken {
		out = append(out, m.Kind)
	}
	return out
}

func record(state, sending, action string) wire.Connection {
	return wire.Connection{Account: "default", State: state, Sending: sending, UserAction: action}
}

func up() wire.Connection { return record(wire.StateConnected, wire.SendingFlowing, "none") }

func held(backlog uint64) wire.Connection {
	c := record(wire.StateReconnecting, wire.SendingHeld, "wait")
	c.Reason = &wire.Reason{Class: "network", Code: "timeout", Message: "WeChat did not answer in time.", MessageZH: "微信未及时响应。"}
	c.Backlog = wire.Backlog{Messages: backlog, OldestAgeMS: 61_000}
	return c
}

func scan() wire.Connection {
	c := record(wire.StateAwaitingScan, wire.SendingHeld, "scan_qr")
	c.Reason = &wire.Reason{Class: "session_expired", Code: "logged_out_elsewhere", Message: "The session is over.", Fix: "Scan."}
	return c
}

// alerterOver makes an Alerter with channels of the test.
func alerterOver(log zerolog.Logger, memory Memory, ways ...way) *Alerter {
	return newAlerter(Config{Account: "default", Language: English, Memory: memory, Log: log}, ways)
}
