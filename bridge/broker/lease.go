package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

// LeaseTTL is how long a lease outlives a worker that died; it is renewed three
// times as often.
const LeaseTTL = 5 * time.Second

// Owner says who wants or has a lease.
type Owner struct {
	// Folder is the id of the worker's data folder. Whoever asks has locked
	// the folder, so a former holder with the same id is dead.
	Folder   string    `json:"folder"`
	Instance string    `json:"instance"` // of this process; made if empty
	Host     string    `json:"host,omitempty"`
	PID      int       `json:"pid,omitempty"`
	Since    time.Time `json:"since"`
}

// Lease is the right to serve an account. It is a Hold.
type Lease struct {
	b       *Broker
	account string
	owner   Owner
	epoch   uint64

	cancel context.CancelFunc
	done   chan struct{}
	lost   chan struct{}

	mu       sync.Mutex
	revision uint64
	until    time.Time // monotonic: a frozen process finds itself too late
	gone     bool
}

// Acquire takes the lease of an account: at once if nobody has it or a former
// process of the same data folder had it, else when it ends. waiting is called
// once for each holder that it waits for; it may be nil. The former epochs'
// consumers are deleted, so that all that was not acknowledged comes again.
func (b *Broker) Acquire(ctx context.Context, account string, owner Owner, waiting func(Owner)) (*Lease, error) {
	if !accountToken.MatchString(account) {
		return nil, fmt.Errorf("%q is no account name", account)
	}
	if owner.Instance == "" {
		owner.Instance = nuid.Next()
	}
	owner.Since = time.Now().UTC()
	l := &Lease{b: b, account: account, owner: owner, done: make(chan struct{}), lost: make(chan struct{})}
	if err := l.wait(ctx, waiting); err != nil {
		return nil, fmt.Errorf("lease of account %s: %w", account, err)
	}
	l.epoch = l.revision
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	l.cancel = cancel
	go l.keep(run)
	if err := b.dropConsumers(ctx, account); err != nil {
		l.Release(ctx)
		return nil, fmt.Errorf("lease of account %s: %w", account, err)
	}
	return l, nil
}

// Epoch is the revision with which the lease was taken.
func (l *Lease) Epoch() uint64 { return l.epoch }

// Held is false as soon as another worker may have the lease.
func (l *Lease) Held() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.gone && time.Now().Before(l.until)
}

// Confirm asks NATS whether the lease is ours: Held is what this worker knows,
// and somebody may have deleted the lease meanwhile.
func (l *Lease) Confirm(ctx context.Context) (bool, error) {
	if !l.Held() {
		return false, nil
	}
	_, mine, err := l.reread(ctx)
	if err != nil {
		return false, fmt.Errorf("look at the lease of account %s: %w", l.account, err)
	}
	return mine, nil
}

// Lost is closed when the lease is not ours any more, also by Release.
func (l *Lease) Lost() <-chan struct{} { return l.lost }

// Release gives the lease back, so that the next worker need not wait.
func (l *Lease) Release(ctx context.Context) {
	l.cancel()
	<-l.done
	l.mu.Lock()
	held, revision := !l.gone, l.revision
	l.mu.Unlock()
	if held {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
		defer cancel()
		m := nats.NewMsg(l.key())
		m.Header.Set("KV-Operation", "DEL")
		_, _ = l.publish(ctx, m, revision) // if it fails, the lease ends by itself
	}
	l.end()
}

func (l *Lease) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.gone {
		l.gone = true
		close(l.lost)
	}
}

func (l *Lease) key() string { return "$KV." + l.b.Leases() + "." + l.account }

func (l *Lease) stream() string { return "KV_" + l.b.Leases() }

// wait tries until the lease is ours. A watch would save nothing here: nobody
// waits but a standby, and a read each second costs less than it.
func (l *Lease) wait(ctx context.Context, waiting func(Owner)) error {
	var last string
	for {
		holder, err := l.try(ctx)
		if holder == nil && err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if holder != nil && holder.Instance != last {
			last = holder.Instance
			l.b.log.Info().Str("account", l.account).Str("host", holder.Host).Int("pid", holder.PID).Msg("lease_waiting")
			if waiting != nil {
				waiting(*holder)
			}
		}
		if err := sleep(ctx, time.Second/2); err != nil {
			return err
		}
	}
}

// try takes the lease, or tells who has it.
func (l *Lease) try(ctx context.Context) (*Owner, error) {
	m, found, err := l.b.conn.read(ctx, l.stream(), place{Last: l.key()})
	if err != nil {
		return nil, err
	}
	if found && live(m) {
		var holder Owner
		if err := json.Unmarshal(m.Body, &holder); err == nil && holder.Folder != l.owner.Folder {
			return &holder, nil
		} // garbage belongs to nobody
	}
	before := time.Now()
	revision, err := l.put(ctx, m.Seq)
	if wasSecond(err) {
		return &Owner{}, nil
	}
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	l.revision, l.until = revision, before.Add(LeaseTTL)
	l.mu.Unlock()
	return nil, nil
}

// live: a deleted or an ended key leaves a marker for a second.
func live(m storedMsg) bool {
	return m.header.Get("KV-Operation") == "" && m.header.Get(jetstream.MarkerReasonHeader) == ""
}

// put writes our claim with its end; kv.Update would write one without.
func (l *Lease) put(ctx context.Context, after uint64) (uint64, error) {
	value, err := json.Marshal(l.owner)
	if err != nil {
		return 0, err
	}
	m := nats.NewMsg(l.key())
	m.Data = value
	m.Header.Set(jetstream.MsgTTLHeader, LeaseTTL.String())
	return l.publish(ctx, m, after)
}

func (l *Lease) publish(ctx context.Context, m *nats.Msg, after uint64) (uint64, error) {
	ack, err := l.b.conn.JS.PublishMsg(ctx, m, jetstream.WithExpectLastSequencePerSubject(after))
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

// keep renews until the lease is lost or released.
func (l *Lease) keep(ctx context.Context) {
	defer close(l.done)
	tick := time.NewTicker(LeaseTTL / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !l.renew(ctx) {
			l.b.log.Warn().Str("account", l.account).Uint64("epoch", l.epoch).Msg("lease_lost")
			l.end()
			return
		}
	}
}

// renew reports whether the lease is still ours. A refused renewal may be our
// own earlier one whose answer was lost.
func (l *Lease) renew(ctx context.Context) bool {
	if !l.Held() {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, LeaseTTL/3)
	defer cancel()
	l.mu.Lock()
	last := l.revision
	l.mu.Unlock()
	before := time.Now()
	revision, err := l.put(ctx, last)
	if wasSecond(err) {
		var mine bool
		if revision, mine, err = l.reread(ctx); err == nil && !mine {
			return false
		}
	}
	if err != nil {
		return l.Held()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.revision, l.until = revision, before.Add(LeaseTTL)
	return true
}

func (l *Lease) reread(ctx context.Context) (revision uint64, mine bool, err error) {
	m, found, err := l.b.conn.read(ctx, l.stream(), place{Last: l.key()})
	if err != nil {
		return 0, false, err
	}
	var holder Owner
	mine = found && live(m) && json.Unmarshal(m.Body, &holder) == nil && holder.Instance == l.owner.Instance
	return m.Seq, mine, nil
}

// dropConsumers deletes the consumers of all former epochs of an account. One
// that is deleted meanwhile is gone, too.
func (b *Broker) dropConsumers(ctx context.Context, account string) error {
	for stream, prefix := range map[string]string{b.Send(): intakePrefix(account), b.Outbox(): courierPrefix(account)} {
		names, err := b.consumers(ctx, stream)
		if err != nil {
			return err
		}
		for _, name := range names {
			if !strings.HasPrefix(name, prefix) {
				continue
			}
			err := b.conn.JS.DeleteConsumer(ctx, stream, name)
			if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
				return fmt.Errorf("delete consumer %s: %w", name, err)
			}
		}
	}
	return nil
}

// consumers lists the names of a stream's consumers, page by page.
func (b *Broker) consumers(ctx context.Context, stream string) ([]string, error) {
	var names []string
	for {
		var page struct {
			Consumers []string `json:"consumers"`
			Total     int      `json:"total"`
		}
		question := map[string]int{"offset": len(names)}
		if err := b.conn.request(ctx, "CONSUMER.NAMES."+stream, question, &page); err != nil {
			return nil, fmt.Errorf("list consumers of %s: %w", stream, err)
		}
		names = append(names, page.Consumers...)
		if len(page.Consumers) == 0 || len(names) >= page.Total {
			return names, nil
		}
	}
}
