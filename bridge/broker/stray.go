package broker

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"wechat-bridge/bridge/wire"
)

const (
	strayEvery = 20 * time.Second
	strayBatch = 200
	strayReads = 5000
)

// Stray is a command for an account that no worker ever served.
type Stray struct {
	wire.Stored
	Account string   // as it was typed; not validated
	Known   []string // the accounts that are served, sorted
}

// Answer is the record that a stray gets: the key of its chain and the JSON.
type Answer struct {
	Key  string
	Body []byte
}

// WatchStrays answers commands for accounts that nobody ever served, within
// half a minute, until the context ends. Any number of workers may do it.
func (b *Broker) WatchStrays(ctx context.Context, answer func(Stray) (Answer, error)) {
	for {
		if n, err := b.AnswerStrays(ctx, answer); err != nil && ctx.Err() == nil {
			b.log.Warn().Err(err).Msg("strays_failed")
		} else if n > 0 {
			b.log.Info().Int("commands", n).Msg("strays_answered")
		}
		if sleep(ctx, strayEvery) != nil {
			return
		}
	}
}

// AnswerStrays does it once: it stores the answer's record and then removes the
// command. What fails in between is found again, and not told twice. n is the
// number of commands answered.
func (b *Broker) AnswerStrays(ctx context.Context, answer func(Stray) (Answer, error)) (n int, err error) {
	counts, err := b.conn.perSubject(ctx, b.Send(), b.subject("send", "*"))
	if err != nil || len(counts) == 0 {
		return 0, err
	}
	known, err := b.Accounts(ctx)
	if err != nil {
		return 0, err
	}
	for subject := range counts {
		account := strings.TrimPrefix(subject, b.subject("send")+".")
		if slices.Contains(known, account) {
			continue
		}
		m, err := b.answerAccount(ctx, Stray{Account: account, Known: known}, subject, answer)
		n += m
		if err != nil {
			return n, fmt.Errorf("commands for %.40q, which nobody serves: %w", account, err)
		}
	}
	return n, nil
}

// answerAccount stops after some, so that a flood for one wrong name does not
// keep the others waiting.
func (b *Broker) answerAccount(ctx context.Context, s Stray, subject string, answer func(Stray) (Answer, error)) (n int, err error) {
	next := uint64(1)
	for reads := 0; n < strayBatch && reads < strayReads; reads++ {
		m, found, err := b.conn.read(ctx, b.Send(), place{Next: subject, Seq: next})
		if err != nil || !found {
			return n, err
		}
		if m.subject != subject { // a literal * in the account's name reads as a wildcard
			next = m.Seq + 1
			continue
		}
		s.Stored = m.Stored
		a, err := answer(s)
		if err != nil {
			return n, err
		}
		if err := b.record(ctx, s.Account, a); err != nil {
			return n, err
		}
		if err := b.conn.remove(ctx, b.Send(), m.Seq); err != nil {
			return n, err
		}
		n, next = n+1, m.Seq+1
	}
	return n, nil
}

// record stores the answer, unless it is already the last record of its key.
func (b *Broker) record(ctx context.Context, account string, a Answer) error {
	if !accountToken.MatchString(account) {
		account = wire.Key(account) // one safe token, whatever was typed
	}
	if !safeToken.MatchString(a.Key) {
		return fmt.Errorf("%.80q is no key of a delivery", a.Key)
	}
	subject := b.DeliverySubject(account, a.Key)
	last, found, err := b.conn.read(ctx, b.Status(), place{Last: subject})
	if err != nil {
		return err
	}
	if found && sameEvent(last.Body, a.Body) {
		return nil
	}
	_, err = b.conn.JS.PublishMsg(ctx, record(subject, wire.Stored{Body: a.Body}), jetstream.WithExpectLastSequencePerSubject(last.Seq))
	return err
}

func sameEvent(a, b []byte) bool {
	x, errA := wire.Open(a)
	y, errB := wire.Open(b)
	return errA == nil && errB == nil && x.ID == y.ID && x.Source == y.Source
}

// Accounts are the accounts that a worker serves or served, sorted: those with
// a consumer of their commands, with a lease, or with a record of their
// connection. One sign is not enough: a worker that takes an account over
// deletes the former consumers before it makes its own.
func (b *Broker) Accounts(ctx context.Context) ([]string, error) {
	names, err := b.consumers(ctx, b.Send())
	if err != nil {
		return nil, err
	}
	var accounts []string
	for _, name := range names {
		rest, ours := strings.CutPrefix(name, "intake_")
		i := strings.LastIndexByte(rest, '_')
		if ours && i > 0 {
			accounts = append(accounts, rest[:i])
		}
	}
	for stream, filter := range map[string]string{
		"KV_" + b.Leases(): "$KV." + b.Leases() + ".*", b.Status(): b.ConnectionSubject("*"),
	} {
		subjects, err := b.conn.perSubject(ctx, stream, filter)
		if err != nil {
			return nil, err
		}
		before, after, _ := strings.Cut(filter, "*")
		for s := range subjects {
			accounts = append(accounts, strings.TrimSuffix(strings.TrimPrefix(s, before), after))
		}
	}
	slices.Sort(accounts)
	return slices.Compact(accounts), nil
}
