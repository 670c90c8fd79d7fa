package bridge

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"wechat-bridge/bridge/broker"
	"wechat-bridge/bridge/wire"
)

const (
	// maxUnpublished bounds what is kept while NATS is away; above it the
	// oldest are dropped: the newest is what counts.
	maxUnpublished = 1000
	// republishAfter tells the state again, so that the stream always has one.
	republishAfter = 24 * time.Hour
	publishPause   = 2 * time.Second
)

// publisher stores each change of the connection, in order, however long NATS
// is away.
type publisher struct {
	store func(context.Context, wire.Connection) error
	log   zerolog.Logger

	mu      sync.Mutex
	waiting []wire.Connection
	last    wire.Connection
	signal  chan struct{}
}

func newPublisher(store func(context.Context, wire.Connection) error, log zerolog.Logger) *publisher {
	return &publisher{store: store, log: log, signal: make(chan struct{}, 1)}
}

// Add takes a change; one that differs in counters and times only is none.
func (p *publisher) Add(c wire.Connection) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if reflect.DeepEqual(essence(c), essence(p.last)) {
		return
	}
	p.last = c
	if len(p.waiting) == maxUnpublished {
		// The first may be under way; half at once keeps this cheap.
		p.waiting = append(p.waiting[:1:1], p.waiting[maxUnpublished/2:]...)
	}
	p.waiting = append(p.waiting, c)
	select {
	case p.signal <- struct{}{}:
	default:
	}
}

// essence is what a record is written for.
func essence(c wire.Connection) wire.Connection {
	c.Breaker.Counts, c.Backlog = wire.Counts{}, wire.Backlog{}
	c.LastPulse, c.LastSent = nil, nil
	c.InFlight, c.Pace = wire.InFlight{}, wire.Pace{} // a slower pace shows as Sending
	return c
}

// Run stores changes until the context ends; what is left then is tried once.
func (p *publisher) Run(ctx context.Context) {
	daily := time.NewTicker(republishAfter)
	defer daily.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.signal:
			p.drain(ctx)
		case <-daily.C:
			p.again()
		}
	}
}

// again queues the last state once more.
func (p *publisher) again() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last.State == "" || len(p.waiting) > 0 {
		return
	}
	p.waiting = append(p.waiting, p.last)
	select {
	case p.signal <- struct{}{}:
	default:
	}
}

func (p *publisher) drain(ctx context.Context) {
	failures := 0
	for {
		c, ok := p.head()
		if !ok {
			return
		}
		if err := p.store(ctx, c); err != nil {
			if ctx.Err() != nil || errors.Is(err, broker.ErrNotHeld) { // Flush has the last word
				return
			}
			if failures++; failures == 1 {
				p.log.Warn().Err(err).Msg("connection state not stored, trying again")
			}
			if !pause(ctx, publishPause) {
				return
			}
			continue
		}
		failures = 0
		p.pop()
	}
}

// Flush stores what waits, once, within the context.
func (p *publisher) Flush(ctx context.Context) error {
	for {
		c, ok := p.head()
		if !ok {
			return nil
		}
		if err := p.store(ctx, c); err != nil {
			return err
		}
		p.pop()
	}
}

func (p *publisher) head() (wire.Connection, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiting) == 0 {
		return wire.Connection{}, false
	}
	return p.waiting[0], true
}

func (p *publisher) pop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiting) > 0 {
		p.waiting = p.waiting[1:]
	}
}

// pause waits; false if the context ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
