package outbox

import (
	"context"
	"errors"
	"time"

	"github.com/rs/zerolog"

	"wechat-bridge/bridge/wire"
	"wechat-bridge/classifier"
)

// Refusal is what WeChat said in a chat about a message that it had taken: that
// the recipient has blocked the account, is no friend, or that it was too often.
type Refusal struct {
	PeerID   string    // of the chat, as Receipt and records have it
	NoticeID string    // WeChat's id of the system message; the same one counts once
	At       time.Time // when WeChat said so, by its clock, in whole seconds
	Verdict  classifier.Verdict
}

// Refused corrects the delivery that a refusal is about: a record `corrected`
// after its final one, at most one in its life, with attribution "inferred" if
// several deliveries to that chat in the two minutes before are possible. A
// delivery that has no final record yet is corrected when it has. A refusal that
// fits no delivery changes nothing; "too often" slows the pace in any case.
//
// It returns when the record is stored. An error is the end of the context: give
// the same refusal again, also to the next process.
func (o *Outbox) Refused(ctx context.Context, r Refusal) error {
	return o.courier.corrector.refused(ctx, r)
}

// corrector writes corrections. It may be called by any goroutine.
type corrector struct {
	cfg    Config
	chain  *chain
	handed *handedOver
	slow   func(classifier.Verdict, time.Time, int)
	log    zerolog.Logger
	me     worker
	loaded chan struct{} // closed when the memory is rebuilt
}

// newCorrector makes one; slow is what it tells of "too often", once it is
// loaded.
func newCorrector(cfg Config, ch *chain, slow func(classifier.Verdict, time.Time, int)) *corrector {
	return &corrector{
		cfg: cfg, chain: ch, slow: slow, log: cfg.Log, handed: newHandedOver(), loaded: make(chan struct{}),
	}
}

// load reads what former workers handed over lately: WeChat tells notices again
// whose cursor was not saved. An error is the end of the context.
func (c *corrector) load(ctx context.Context) error {
	c.me = worker{c.cfg.Epoch, time.Now()}
	since := c.me.started.Add(-handedFor)
	var stored []wire.Stored
	err := persist(ctx, c.log, "read the newest records", func() (err error) {
		stored, err = c.cfg.Ledger.Newest(ctx, since, maxHanded)
		return err
	})
	if err != nil && !errors.Is(err, wire.ErrInvalid) {
		return err
	}
	c.handed.read(stored)
	close(c.loaded)
	return nil
}

func (c *corrector) refused(ctx context.Context, r Refusal) error {
	select {
	case <-c.loaded:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	now := time.Now()
	f, open, heard := c.handed.find(r, now)
	if heard {
		return nil
	}
	if r.Verdict.Class == classifier.RateLimited && now.Sub(r.At) < refusedWithin {
		c.slow(r.Verdict, now, 0)
	}
	if f == nil || open {
		c.log.Debug().Str("event", "outbox_refusal").Str("code", r.Verdict.Code).Bool("open", open).
			Msg("a refusal in a chat: no delivery that is final is known for it")
		return nil
	}
	if err := c.correct(ctx, f); err != nil {
		c.handed.undo(f)
		return err
	}
	return nil
}

// begin is called before a delivery is handed to WeChat.
func (c *corrector) begin(d *delivery, now time.Time) {
	if d.Kind == wire.KindRevoke {
		return
	}
	c.handed.begin(handed{held: held{d.Key, d.StreamSeq}, cmd: d.command(), trace: d.trace, peer: d.peer.ID, began: now})
}

// after is called when the record that follows an attempt, or ends a delivery,
// is stored; it corrects what was refused while it was under way. ctx is the
// courier's, which ends only with the grace: what is lost then stays as it is.
func (c *corrector) after(ctx context.Context, d *delivery, rec *wire.Delivery) {
	name := held{d.Key, d.StreamSeq}
	switch {
	case rec.State == wire.Sending || !rec.State.Final() && !rec.Certain:
	case rec.Certain:
		c.handed.drop(name)
	default:
		if f := c.handed.end(name, time.Now()); f != nil {
			_ = c.correct(ctx, f) // the end of the context only
		}
	}
}

// correct writes the record, unless the delivery is corrected already.
func (c *corrector) correct(ctx context.Context, f *finding) error {
	h := f.about
	last, err := c.chain.last(ctx, h.key)
	var wrote bool
	if err == nil {
		_, err = c.chain.settle(ctx, h.key, h.trace, last, func(last record) (rec wire.Delivery, ok bool) {
			wrote = last.of(h.cmd) && last.State.Final() && last.State != wire.Corrected && !c.me.superseded(&last)
			return corrected(last.Delivery, f, c.cfg.Epoch), wrote
		})
	}
	if errors.Is(err, wire.ErrInvalid) {
		c.log.Error().Err(err).Str("event", "outbox_garbage").Str("key", h.key).Msg("a delivery that can have no records is not corrected")
		return nil
	}
	if err == nil && wrote {
		c.log.Warn().Str("event", "outbox_corrected").Str("key", h.key).Str("was", string(last.State)).Bool("inferred", f.inferred).
			Str("class", string(f.Verdict.Class)).Str("code", f.Verdict.Code).Str("operation", string(classifier.OpSend)).
			Msg("WeChat took a message and said in the chat that it was refused")
	}
	return err
}

// corrected repeats the final record, and says what was found later.
func corrected(final wire.Delivery, f *finding, epoch uint64) wire.Delivery {
	d := final
	d.Certain = !f.inferred && !final.PossibleDuplicate
	d = judged(d, f.Verdict)
	d.State, d.Was, d.NoticeID, d.Epoch = wire.Corrected, final.State, f.NoticeID, epoch
	if f.inferred {
		d.Attribution = wire.Inferred
	}
	return d
}
