package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"wechat-bridge/bridge/wire"
)

// Record is a stored record or event, or a live copy of one; Seq is 0 on a
// heartbeat, which is not stored.
type Record struct {
	wire.Stored
	Subject string // where it is stored
}

// Watch says what to watch.
type Watch struct {
	Account        string // empty: all accounts
	Events, Status bool
	// History also gives what was stored before, since Since or, if that is
	// zero, from the beginning. It needs JetStream; without it live copies are
	// heard, as reliable as a core subscription.
	History bool
	Since   time.Time
}

const followTries = 3

// errEnough ends a follow from within.
var errEnough = errors.New("enough")

// Watch gives each record to visit, one at a time, until the context ends or
// visit fails; it returns the context's cause or visit's error.
func (c *Client) Watch(ctx context.Context, w Watch, visit func(Record) error) error {
	if !w.History {
		return c.live(ctx, w, visit)
	}
	type source struct{ stream, filter string }
	account := w.Account
	if account == "" {
		account = "*"
	}
	var sources []source
	if w.Events {
		sources = append(sources, source{c.Events(), c.subject("events", account, "*")})
	}
	if w.Status {
		sources = append(sources, source{c.Status(), c.subject("status", account, "*", "*")})
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	records, ended := make(chan Record), make(chan error, len(sources))
	for _, s := range sources {
		go func() {
			ended <- c.follow(ctx, s.stream, w.consumer(s.filter), func(r Record) error {
				select {
				case records <- r:
					return nil
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			})
		}()
	}
	err := serially(ctx, records, ended, visit)
	cancel(err)
	return err
}

func serially(ctx context.Context, records <-chan Record, ended <-chan error, visit func(Record) error) error {
	for {
		select {
		case r := <-records:
			if err := visit(r); err != nil {
				return err
			}
		case err := <-ended:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (w Watch) consumer(filter string) jetstream.OrderedConsumerConfig {
	cfg := jetstream.OrderedConsumerConfig{FilterSubjects: []string{filter}}
	if !w.Since.IsZero() {
		cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &w.Since
	}
	return cfg
}

// live hears the server's copies, and heartbeats.
func (c *Client) live(ctx context.Context, w Watch, visit func(Record) error) error {
	copies := make(chan *nats.Msg, 1024)
	for subject, wanted := range map[string]bool{c.subject("events"): w.Events, c.subject("status"): w.Status} {
		if !wanted {
			continue
		}
		sub, err := c.conn.NC.ChanSubscribe(subject, copies)
		if err != nil {
			return fmt.Errorf("watch: %w", err)
		}
		defer func() { _ = sub.Unsubscribe() }()
	}
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case m := <-copies:
			r, ok := copied(m)
			if !ok || w.Account != "" && accountOf(r.Body) != w.Account {
				continue
			}
			if err := visit(r); err != nil {
				return err
			}
		}
	}
}

// copied reads a copy; a deletion's marker has no body and is none.
func copied(m *nats.Msg) (Record, bool) {
	if len(m.Data) == 0 {
		return Record{}, false
	}
	subject := m.Header.Get(jetstream.SubjectHeader)
	if subject == "" {
		subject = m.Subject
	}
	at, err := time.Parse(time.RFC3339Nano, m.Header.Get(jetstream.TimeStampHeaer))
	if err != nil {
		at = time.Now()
	}
	return Record{Stored: toStored(subject, sequence(m.Header.Get(jetstream.SequenceHeader)), at, m.Header, m.Data), Subject: subject}, true
}

func accountOf(body []byte) string {
	e, err := wire.Open(body)
	if err != nil {
		return ""
	}
	return e.Account()
}

// follow reads a stream in order through a consumer that repairs itself.
// errEnough of visit ends it without an error.
func (c *Client) follow(ctx context.Context, stream string, cfg jetstream.OrderedConsumerConfig, visit func(Record) error) error {
	msgs, err := c.ordered(ctx, stream, cfg)
	if err != nil {
		return err
	}
	defer msgs.Stop()
	for {
		m, err := msgs.Next(jetstream.NextContext(ctx))
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, jetstream.ErrNoHeartbeat):
			continue // NATS is away; the consumer comes back by itself
		case err != nil:
			return err
		}
		if err := visitMsg(m, visit); errors.Is(err, errEnough) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// ordered makes the consumer. NATS may be away just now: a time-out is tried
// again, but not for ever, since what is forbidden looks like one.
func (c *Client) ordered(ctx context.Context, stream string, cfg jetstream.OrderedConsumerConfig) (jetstream.MessagesContext, error) {
	cfg.InactiveThreshold = 30 * time.Second
	for try := 1; ; try++ {
		start, cancel := context.WithTimeout(ctx, requestTimeout)
		cons, err := c.conn.JS.OrderedConsumer(start, stream, cfg)
		cancel()
		switch {
		case err == nil:
			return cons.Messages()
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case errors.Is(err, jetstream.ErrStreamNotFound), errors.Is(err, nats.ErrNoResponders):
			return nil, ErrNoBridge
		case !errors.Is(err, context.DeadlineExceeded) || try == followTries:
			return nil, fmt.Errorf("read %s: %w", stream, err)
		}
	}
}

func visitMsg(m jetstream.Msg, visit func(Record) error) error {
	meta, err := m.Metadata()
	if err != nil || len(m.Data()) == 0 {
		return err
	}
	s := toStored(m.Subject(), meta.Sequence.Stream, meta.Timestamp, m.Headers(), m.Data())
	return visit(Record{Stored: s, Subject: m.Subject()})
}
