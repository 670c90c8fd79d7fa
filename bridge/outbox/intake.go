package outbox

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"wechat-bridge/bridge/wire"
)

// intake takes commands off wechat.send: each is rejected, or claimed,
// stored in the buffer and acknowledged. It runs whether WeChat is there or
// not. A crash between any two steps repeats them without harm.
type intake struct {
	cfg     Config
	chain   *chain
	expirer *expirer
	counts  *counts
	log     zerolog.Logger

	line  []*entry      // in order, not stored yet
	taken atomic.Int64  // commands that were read and are not stored yet
	ready chan struct{} // a medium has been kept
	media chan struct{} // bounds how many are copied at once
	jobs  jobs
}

const (
	claimsAtOnce = 32  // of one batch
	copiesAtOnce = 8   // media
	maxLine      = 500 // commands that wait behind a medium; then nothing more is read
	storeSize    = 200 // deliveries of one write to the buffer
	fullTime     = time.Second
)

// entry is one command on its way through intake.
type entry struct {
	stored wire.Stored
	cmd    *wire.Command
	id     string
	key    string
	target string // the key of what a revoke takes back
	items  []*item
	to     []string // its recipients
	trace  string
	// kept is closed when the medium rests under out/ and the entry can go on;
	// nil where there is none.
	kept chan struct{}
}

func newIntake(cfg Config, ch *chain, ex *expirer, counts *counts) *intake {
	return &intake{
		cfg: cfg, chain: ch, expirer: ex, counts: counts, log: cfg.Log,
		ready: make(chan struct{}, 1), media: make(chan struct{}, copiesAtOnce),
	}
}

func (in *intake) run(ctx context.Context) error {
	batches := make(chan []wire.Stored)
	in.jobs.Go(func() { in.fetch(ctx, batches) })
	defer in.jobs.wg.Wait()
	for {
		more := batches
		if len(in.line) >= maxLine {
			more = nil
		}
		select {
		case got := <-more:
			if in.claimAll(ctx, got) != nil {
				return nil
			}
		case <-in.ready:
		case <-ctx.Done():
			return nil
		}
		if in.advance(ctx) != nil {
			return nil
		}
	}
}

// fetch reads the queue while the buffer has room.
func (in *intake) fetch(ctx context.Context, batches chan<- []wire.Stored) {
	for {
		room, err := in.room(ctx)
		if err != nil {
			return
		}
		var got []wire.Stored
		err = persist(ctx, in.log, "fetch commands", func() (err error) {
			got, err = in.cfg.Commands.Fetch(ctx, room)
			return err
		})
		if err != nil {
			return
		}
		in.taken.Add(int64(len(got)))
		select {
		case batches <- got:
		case <-ctx.Done():
			return
		}
	}
}

// room waits until the buffer has fewer deliveries than it may have, and tells
// how many commands may be read now.
func (in *intake) room(ctx context.Context) (int, error) {
	for {
		var n uint64
		err := persist(ctx, in.log, "count", func() (err error) {
			n, err = in.cfg.Buffer.Count(ctx)
			return err
		})
		if err != nil {
			return 0, err
		}
		if room := int64(in.cfg.MaxBuffer) - int64(n) - in.taken.Load(); room > 0 {
			return int(min(room, batchSize)), nil
		}
		if err := pause(ctx, fullTime); err != nil {
			return 0, err
		}
	}
}

// claimAll brings a batch of commands through validation and claim. Commands
// with one id go one after the other, the rest side by side.
func (in *intake) claimAll(ctx context.Context, got []wire.Stored) error {
	entries := make([]*entry, len(got))
	chains := map[string][]*entry{}
	var keys []string
	rejections := map[*entry]*wire.Rejection{}
	for i, s := range got {
		e, r := in.read(s)
		entries[i] = e
		if r != nil {
			rejections[e] = r
		}
		if chains[e.key] == nil {
			keys = append(keys, e.key)
		}
		chains[e.key] = append(chains[e.key], e)
	}
	claim := func(key string) error {
		for _, e := range chains[key] {
			if err := in.claim(ctx, e, rejections[e]); err != nil {
				return err
			}
		}
		return nil
	}
	// A revoke looks for a claim that may be of this batch.
	last, first := split(keys, func(key string) bool { return slices.ContainsFunc(chains[key], (*entry).revokes) })
	if err := each(claimsAtOnce, first, claim); err != nil {
		return err
	}
	if err := each(1, last, claim); err != nil {
		return err
	}
	for _, e := range entries {
		for _, it := range e.items {
			e.to = append(e.to, string(it.To.JSON()))
		}
		in.keep(ctx, e)
		in.line = append(in.line, e)
	}
	return nil
}

func (e *entry) revokes() bool { return e.cmd != nil && e.cmd.Kind == wire.KindRevoke }

// split parts a list in two, keeping the order.
func split[T any](all []T, f func(T) bool) (yes, no []T) {
	for _, x := range all {
		if f(x) {
			yes = append(yes, x)
		} else {
			no = append(no, x)
		}
	}
	return yes, no
}

// read turns a stored message into an entry with an id.
func (in *intake) read(s wire.Stored) (*entry, *wire.Rejection) {
	e := &entry{stored: s, trace: s.Trace}
	cmd, r := wire.ParseCommand(s.Body, s.MsgID)
	if r != nil {
		e.id = r.ID
	} else {
		e.cmd, e.id = cmd, cmd.ID
	}
	if e.id == "" {
		e.id = wire.MadeID(s.Seq, s.At)
	}
	e.key = wire.Key(e.id)
	return e, r
}

// advance stores what is ready, in order, but for what stands behind a medium
// of the same recipient that is still being copied.
func (in *intake) advance(ctx context.Context) error {
	var gone, stay []*entry
	blocked := map[string]bool{}
	for _, e := range in.line {
		if e.waits(blocked) {
			stay = append(stay, e)
			continue
		}
		gone = append(gone, e)
	}
	in.line = stay
	if err := in.store(ctx, gone); err != nil {
		return err
	}
	in.taken.Add(-int64(len(gone)))
	return each(claimsAtOnce, gone, func(e *entry) error {
		return persist(ctx, in.log, "acknowledge command", func() error { return in.cfg.Commands.Done(ctx, e.stored.Seq) })
	})
}

// waits reports whether an entry must stay in the line; if so, its recipients
// are blocked for those behind it.
func (e *entry) waits(blocked map[string]bool) bool {
	waits := !e.isKept()
	for _, to := range e.to {
		waits = waits || blocked[to]
	}
	if waits {
		for _, to := range e.to {
			blocked[to] = true
		}
	}
	return waits
}

func (e *entry) isKept() bool {
	if e.kept == nil {
		return true
	}
	select {
	case <-e.kept:
		return true
	default:
		return false
	}
}

// store writes deliveries to the buffer, a list never in two writes.
func (in *intake) store(ctx context.Context, entries []*entry) error {
	var items []wire.Stored
	for _, e := range entries {
		if len(items) > 0 && len(items)+len(e.items) > storeSize {
			if err := in.put(ctx, items); err != nil {
				return err
			}
			items = nil
		}
		for _, it := range e.items {
			body, err := it.encode()
			if err != nil {
				return err
			}
			items = append(items, wire.Stored{Token: wire.PriorityNormal, Body: body, Trace: e.trace, Expires: it.Expires})
		}
	}
	return in.put(ctx, items)
}

// put writes to the buffer until there is room for it.
func (in *intake) put(ctx context.Context, items []wire.Stored) error {
	if len(items) == 0 {
		return nil
	}
	var last uint64
	err := persist(ctx, in.log, "store deliveries", func() (err error) {
		last, err = in.cfg.Buffer.Store(ctx, items)
		if errors.Is(err, wire.ErrFull) {
			return errors.Join(err, pause(ctx, fullTime))
		}
		return err
	})
	if err != nil {
		return err
	}
	in.counts.waiting.Add(int64(len(items)))
	for i, it := range items {
		in.expirer.add(it.Expires, last-uint64(len(items)-1-i), false)
	}
	return nil
}
