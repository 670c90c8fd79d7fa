package outbox

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"wechat-bridge/bridge/wire"
)

// intake takes commands off wechat.send: each is rejected, or claimed,
// stored in the buffer and acknowledged. It runs whether WeChat is there or
// not. A crash between any two steps repeats them without harm.
//
// A medium is copied beside all that: its delivery is stored at once, in
// order, and its command acknowledged when the medium rests where only the
// bridge writes. So the courier, which finds the medium missing, knows by the
// command that it is to come.
type intake struct {
	cfg      Config
	chain    *chain
	lists    *lists
	expirer  *expirer
	degrader *degrader
	counts   *counts
	log      zerolog.Logger

	taken  atomic.Int64 // commands that were read and are not stored yet
	copies *copies
	jobs   jobs
	me     worker
}

const (
	claimsAtOnce = 32  // of one batch
	storeSize    = 200 // deliveries of one write to the buffer
	storeBytes   = 8 << 20
	fullTime     = time.Second
)

// entry is one command on its way through intake.
type entry struct {
	stored wire.Stored // without its body
	cmd    *wire.Command
	id     string
	key    string
	target string // the key of what a revoke takes back
	items  []*item
	trace  string
	why    *wire.Rejection // it is to be rejected
	left   todo
}

// todo is what is left to be done for a command once its id is decided.
type todo int

const (
	nothing   todo = iota // it is rejected, a repeat, or over
	onlyMedia             // a former process stored it; the medium may be missing
	toStore               // deliveries, and the medium if there is one
)

func newIntake(cfg Config, ch *chain, ls *lists, ex *expirer, dg *degrader, counts *counts) *intake {
	return &intake{cfg: cfg, chain: ch, lists: ls, expirer: ex, degrader: dg, counts: counts, log: cfg.Log, copies: newCopies(cfg.maxCopyBytes)}
}

func (in *intake) run(ctx context.Context) error {
	in.me = worker{in.cfg.Epoch, time.Now()}
	batches := make(chan []wire.Stored)
	in.jobs.Go(func() { in.fetch(ctx, batches) })
	defer in.jobs.wg.Wait()
	for {
		more := batches
		if in.copies.full() {
			more = nil
		}
		select {
		case got := <-more:
			if err := in.takeIn(ctx, got); err != nil {
				return unlessEnded(ctx, err)
			}
		case <-in.copies.freed:
		case <-ctx.Done():
			return nil
		}
	}
}

// unlessEnded leaves out the error that says that the context is over.
func unlessEnded(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
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
		n, err := in.waiting(ctx)
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

// waiting counts the deliveries in the buffer.
func (in *intake) waiting(ctx context.Context) (n uint64, err error) {
	err = persist(ctx, in.log, "count", func() (err error) {
		n, err = in.cfg.Buffer.Count(ctx)
		return err
	})
	return n, err
}

// takeIn brings a batch of commands through intake, as far as there is room at
// once for the deliveries of its lists.
func (in *intake) takeIn(ctx context.Context, got []wire.Stored) error {
	entries := make([]*entry, len(got))
	for i, s := range got {
		entries[i] = in.read(s)
	}
	for len(entries) > 0 {
		n, err := in.fitting(ctx, entries)
		if err != nil {
			return err
		}
		if err := in.settle(ctx, entries[:n]); err != nil {
			return err
		}
		entries = entries[n:]
	}
	return nil
}

// fitting waits until the buffer has room for the deliveries of the first
// command, and tells how many commands it has room for. The room that fetch
// saw is enough where each command is one delivery.
func (in *intake) fitting(ctx context.Context, entries []*entry) (int, error) {
	if !slices.ContainsFunc(entries, func(e *entry) bool { return e.deliveries() > 1 }) {
		return len(entries), nil
	}
	for {
		n, err := in.waiting(ctx)
		if err != nil {
			return 0, err
		}
		room, fit := int64(in.cfg.MaxBuffer)-int64(n), 0
		for fit < len(entries) && room >= int64(entries[fit].deliveries()) {
			room -= int64(entries[fit].deliveries())
			fit++
		}
		if fit > 0 || n == 0 {
			return max(fit, 1), nil
		}
		if err := pause(ctx, fullTime); err != nil {
			return 0, err
		}
	}
}

func (e *entry) deliveries() int {
	if e.cmd == nil {
		return 0
	}
	return max(1, len(e.cmd.To))
}

// settle claims, stores and acknowledges; where there is a medium to copy, the
// copy's end acknowledges.
func (in *intake) settle(ctx context.Context, entries []*entry) error {
	if err := in.claimAll(ctx, entries); err != nil {
		return err
	}
	if err := in.store(ctx, entries); err != nil {
		return err
	}
	in.taken.Add(-int64(len(entries)))
	copied, over := split(entries, func(e *entry) bool { return e.left != nothing && e.cmd.Media != nil })
	for _, e := range copied {
		in.copy(ctx, e)
	}
	return each(claimsAtOnce, over, func(e *entry) error { return in.done(ctx, e) })
}

func (in *intake) done(ctx context.Context, e *entry) error {
	return persist(ctx, in.log, "acknowledge command", func() error { return in.cfg.Commands.Done(ctx, e.stored.Seq) })
}

// claimAll brings a batch of commands through validation and claim. Commands
// with one id go one after the other, the rest side by side.
func (in *intake) claimAll(ctx context.Context, entries []*entry) error {
	chains := map[string][]*entry{}
	var keys []string
	for _, e := range entries {
		if chains[e.key] == nil {
			keys = append(keys, e.key)
		}
		chains[e.key] = append(chains[e.key], e)
	}
	claim := func(key string) error {
		for _, e := range chains[key] {
			if err := in.claim(ctx, e); err != nil {
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
	return each(1, last, claim)
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

// read turns a stored message into an entry with an id. The body is let go.
func (in *intake) read(s wire.Stored) *entry {
	cmd, r := wire.ParseCommand(s.Body, s.MsgID)
	s.Body = nil
	e := &entry{stored: s, trace: s.Trace, cmd: cmd, why: r}
	if r != nil {
		e.id, e.cmd = r.ID, nil
	} else {
		e.id = cmd.ID
	}
	if e.id == "" {
		e.id = wire.MadeID(s.Seq, s.At)
	}
	e.key = wire.Key(e.id)
	return e
}
