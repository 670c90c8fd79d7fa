package broker

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
)

// mends are the differences that a stream can lose without losing a message.
// What is not here needs a new stream.
var mends = map[string]func(c *jetstream.StreamConfig, want jetstream.StreamConfig){
	"subjects":                func(c *jetstream.StreamConfig, want jetstream.StreamConfig) { c.Subjects = want.Subjects },
	"discard":                 func(c *jetstream.StreamConfig, want jetstream.StreamConfig) { c.Discard = want.Discard },
	"discard_new_per_subject": func(c *jetstream.StreamConfig, _ jetstream.StreamConfig) { c.DiscardNewPerSubject = false },
	"no_ack":                  func(c *jetstream.StreamConfig, _ jetstream.StreamConfig) { c.NoAck = false },
	"max_msg_size":            func(c *jetstream.StreamConfig, want jetstream.StreamConfig) { c.MaxMsgSize = want.MaxMsgSize },
	"max_msgs":                func(c *jetstream.StreamConfig, want jetstream.StreamConfig) { c.MaxMsgs = want.MaxMsgs },
	"max_bytes":               func(c *jetstream.StreamConfig, want jetstream.StreamConfig) { c.MaxBytes = want.MaxBytes },
	"max_msgs_per_subject": func(c *jetstream.StreamConfig, want jetstream.StreamConfig) {
		c.MaxMsgsPerSubject = want.MaxMsgsPerSubject
	},
	"max_age":          func(c *jetstream.StreamConfig, want jetstream.StreamConfig) { c.MaxAge = want.MaxAge },
	"duplicate_window": func(c *jetstream.StreamConfig, want jetstream.StreamConfig) { c.Duplicates = want.Duplicates },
	"subject_transform": func(c *jetstream.StreamConfig, want jetstream.StreamConfig) {
		c.SubjectTransform = want.SubjectTransform
	},
	"republish":    func(c *jetstream.StreamConfig, want jetstream.StreamConfig) { c.RePublish = want.RePublish },
	"allow_direct": func(c *jetstream.StreamConfig, want jetstream.StreamConfig) { c.AllowDirect = want.AllowDirect },
	"allow_atomic": func(c *jetstream.StreamConfig, want jetstream.StreamConfig) {
		c.AllowAtomicPublish = want.AllowAtomicPublish
	},
	"allow_rollup_hdrs": func(c *jetstream.StreamConfig, want jetstream.StreamConfig) { c.AllowRollup = want.AllowRollup },
	"allow_msg_schedules": func(c *jetstream.StreamConfig, want jetstream.StreamConfig) {
		c.AllowMsgSchedules = want.AllowMsgSchedules
	},
	"allow_msg_ttl": func(c *jetstream.StreamConfig, want jetstream.StreamConfig) { c.AllowMsgTTL = want.AllowMsgTTL },
}

// mendOwn brings the streams of the embedded server to the layout where no
// message is lost by it: the data are the bridge's own, and once it has ended
// there is no server that an operator could ask. A longer horizon is such a
// change; a shorter one changes nothing, since records may live longer.
func mendOwn(ctx context.Context, js jetstream.JetStream, l Layout, log zerolog.Logger) error {
	for _, want := range l.Streams() {
		if err := mendStream(ctx, js, want, log); err != nil {
			return err
		}
	}
	return nil
}

func mendStream(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig, log zerolog.Logger) error {
	ctx, cancel := withDeadline(ctx, ensureTimeout)
	defer cancel()
	s, err := js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at stream %s: %w", want.Name, err)
	}
	got := s.CachedInfo().Config
	if newer(got) != nil {
		return nil // Ensure tells
	}
	want = tolerate(want, got)
	different := differences(want, got)
	mended := got
	for _, f := range different {
		mend := mends[f.name]
		if mend == nil || drops(f, want, got) {
			return nil // Ensure tells
		}
		mend(&mended, want)
	}
	if len(different) == 0 {
		return nil
	}
	_, err = js.UpdateStream(ctx, mended)
	if apiCode(err) != 0 {
		return nil // the server refuses, such as to switch TTLs off again; Ensure tells
	}
	if err != nil {
		return fmt.Errorf("change stream %s: %w", want.Name, err)
	}
	for _, f := range different {
		log.Info().Str("stream", want.Name).Str("field", f.name).Str("was", f.get(got)).Str("now", f.get(want)).Msg("stream_changed")
	}
	return nil
}

// drops: fewer messages per key than there may be.
func drops(f field, want, got jetstream.StreamConfig) bool {
	return f.name == "max_msgs_per_subject" && want.MaxMsgsPerSubject > 0 &&
		(got.MaxMsgsPerSubject <= 0 || got.MaxMsgsPerSubject > want.MaxMsgsPerSubject)
}

// ownConflicts puts a way that works into the conflicts of the embedded server,
// which has gone when an operator reads them.
func ownConflicts(conflicts []error, store string) {
	for _, err := range conflicts {
		var conflict *ConflictError
		if errors.As(err, &conflict) {
			dir := filepath.Join(store, "jetstream", bridgeAccount, "streams", conflict.Stream)
			conflict.Command = fmt.Sprintf("mv %s ./%s.backup", shellQuoted(dir), conflict.Stream)
		}
	}
}

func shellQuoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
