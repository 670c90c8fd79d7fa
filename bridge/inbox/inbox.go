package inbox

import (
	"context"
	"fmt"
	"time"

	"github.com/rs/zerolog"

	"wechat-bridge/bridge/wechat"
)

// What Config's zero fields become.
const (
	defaultMaxMedia     = 100 << 20
	defaultMediaTimeout = 30 * time.Second
	defaultDownloads    = 4
)

// Config is what an inbox needs. Account, Events and Media are required.
type Config struct {
	Account string
	Events  Events
	Media   Media
	// MaxMedia is the largest medium that is kept, in bytes; default 100 MiB.
	MaxMedia int64
	// MediaTimeout bounds all tries to get one medium; default 30 s. A batch
	// waits at most twice as long for all of its media together.
	MediaTimeout time.Duration
	// Downloads is how many media are fetched at once; default 4.
	Downloads int
	// Notice hears of each system message in a chat, after it is stored and
	// before its cursor is saved, and again when WeChat tells it again. It must
	// not block for long. An error has the batch given again. May be nil.
	Notice func(context.Context, wechat.Event) error
	// Raw adds WeChat's own form to each message.
	Raw bool
	Log zerolog.Logger
}

func (c Config) withDefaults() Config {
	if c.MaxMedia <= 0 {
		c.MaxMedia = defaultMaxMedia
	}
	if c.MediaTimeout <= 0 {
		c.MediaTimeout = defaultMediaTimeout
	}
	if c.Downloads <= 0 {
		c.Downloads = defaultDownloads
	}
	return c
}

// Inbox stores what WeChat told. Its methods may be called by any goroutine.
type Inbox struct {
	cfg   Config
	turn  chan struct{} // one batch at a time, also over a change of session
	slots chan struct{} // downloads at once
	known *known
	media *shelf
	// shape makes an event's body; a field, so that a test can break it.
	shape func(wechat.Event, *medium) ([]byte, error)
}

// New makes an inbox.
func New(cfg Config) *Inbox {
	cfg = cfg.withDefaults()
	i := &Inbox{
		cfg: cfg, turn: make(chan struct{}, 1), slots: make(chan struct{}, cfg.Downloads),
		known: newKnown(MaxKnown), media: newShelf(),
	}
	i.shape = func(e wechat.Event, m *medium) ([]byte, error) { return shape(cfg.Account, cfg.Raw, e, m) }
	return i
}

// Remember says that events with these message ids (wire.Stored's MsgID) are in
// the stream already, newest last: they and their media are not fetched again.
// At most the newest MaxKnown count.
func (i *Inbox) Remember(ids ...string) {
	for _, id := range ids {
		i.known.add(id)
	}
}

// Take stores a batch's events, each after its medium, and then commits the
// batch's cursor on r. An event that was stored before is dropped by its id.
// An error means that the events are not all stored, or the cursor is not
// saved: give the same batch again. A medium that cannot be had, and an event
// that cannot be read, are no errors: the events say so.
func (i *Inbox) Take(ctx context.Context, r wechat.Receiver, b wechat.Batch) error {
	select {
	case i.turn <- struct{}{}:
		defer func() { <-i.turn }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if err := i.store(ctx, b.Events); err != nil {
		return err
	}
	if b.Cursor == nil {
		return nil
	}
	if err := r.Commit(ctx, b.Cursor); err != nil {
		return fmt.Errorf("commit the cursor: %w", err)
	}
	return nil
}
