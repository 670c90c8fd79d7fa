package outbox

import (
	"context"
	"errors"
	"time"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/bridge/wire"
)

// claim makes an entry's id its own, or ends it. The error is the context's.
func (in *intake) claim(ctx context.Context, e *entry) error {
	r := e.why
	if r == nil {
		r = in.check(e.cmd)
	}
	if r == nil && e.cmd.Kind == wire.KindRevoke {
		var err error
		if r, err = in.revoke(ctx, e); err != nil {
			return err
		}
	}
	if e.cmd != nil {
		if late := in.itemize(e); r == nil {
			r = late
		}
	}
	if r == nil {
		return in.accept(ctx, e)
	}
	return in.reject(ctx, e, r)
}

// check refuses what the transport can never do.
func (in *intake) check(c *wire.Command) *wire.Rejection {
	can := in.cfg.Abilities
	switch {
	case c.Kind != wire.KindLink && !can.Can(wechat.Kind(c.Kind)):
		return unsupported(string(c.Kind), "This transport cannot send "+string(c.Kind)+".")
	case (len(c.Mention) > 0 || c.MentionAll) && !can.Mention:
		return unsupported("mention", "This transport cannot mention members.")
	case c.Media != nil && int64(len(c.Media.Data)) > in.limit(c.Kind):
		return tooLarge(c.Kind, "data", in.limit(c.Kind))
	}
	if r := checkLength(c, can.MaxText); r != nil {
		return r
	}
	return in.checkRooms(c)
}

// checkLength refuses what is too long as it will be sent, with names as the
// user wrote them; the courier looks again with those that WeChat knows.
func checkLength(c *wire.Command, limit int) *wire.Rejection {
	text, names := c.Text, c.Mention
	if c.Kind == wire.KindLink {
		text = linkText(c.Link)
	}
	if c.MentionAll {
		names = []string{everybody}
	}
	return tooLong(c.Kind, sentLen(text, names), limit)
}

func (in *intake) checkRooms(c *wire.Command) *wire.Rejection {
	for _, to := range c.To {
		if !in.cfg.Abilities.Rooms && (to.Room != "" || to.Type == string(wechat.Room)) {
			return unsupported("to", "This transport cannot write to rooms.")
		}
	}
	return nil
}

func (in *intake) limit(k wire.Kind) int64 {
	if n := in.cfg.Abilities.MaxBytes[wechat.Kind(k)]; n > 0 {
		return n
	}
	return in.cfg.MaxMedia
}

// itemize makes the deliveries of a command.
func (in *intake) itemize(e *entry) *wire.Rejection {
	c := e.cmd
	expires, r := c.Expiry(e.stored.At, in.cfg.TTL, in.cfg.Horizon-horizonSlack)
	digest := c.Digest()
	for n, to := range c.To {
		it := &item{
			ID: e.id, Key: e.key, StreamSeq: e.stored.Seq, At: e.stored.At, Expires: expires, Digest: digest,
			To: to, Kind: c.Kind, Text: c.Text, Link: c.Link, Mention: c.Mention,
			MentionAll: c.MentionAll, Report: c.OnUnknown == wire.OnUnknownReport, High: c.Priority == wire.PriorityHigh,
		}
		if c.Kind == wire.KindRevoke {
			it.Revoke = e.target
		}
		if c.Media != nil {
			it.Media = &kept{Object: keptName(e.key, e.command()), Name: mediaName(c)}
		}
		if c.List {
			it.ID, it.Key = wire.PartID(e.id, n+1), wire.PartKey(e.key, n+1)
			it.List, it.Part, it.Parts = e.id, n+1, len(c.To)
		}
		e.items = append(e.items, it)
	}
	return r
}

// accept claims the id by writing accepted.
func (in *intake) accept(ctx context.Context, e *entry) error {
	after := make([]uint64, 1+len(e.items)) // of the chain itself and of a list's parts
	for {
		last, stored, err := in.tryAccept(ctx, e, after)
		if err != nil {
			return err
		}
		if stored {
			e.left = toStore
			return nil
		}
		switch decideClaim(&last, e.command(), e.items[0].Digest) {
		case claimMine:
			e.left = toStore
			in.own(e, last.seq)
			return nil
		case claimFree:
			if after, err = in.lastOf(ctx, e, last.seq); err != nil {
				return err
			}
		case claimConflict:
			return in.conflict(ctx, e, idConflict(e.id))
		case claimDone:
			return in.goneOn(ctx, e, &last)
		default:
			return nil
		}
	}
}

// goneOn is for a command that a former process has stored. Its medium is
// copied before it is acknowledged, and removed when it has ended.
func (in *intake) goneOn(ctx context.Context, e *entry, last *record) error {
	switch {
	case e.cmd.Media == nil:
		return nil
	case last.of(e.command()) && !last.State.Final():
		e.left = onlyMedia
		return nil
	}
	return in.lists.dropMedium(ctx, e.items[0])
}

func (e *entry) command() command { return command{e.stored.Seq, e.stored.At} }

// own notes the record that a single delivery goes on from.
func (in *intake) own(e *entry, seq uint64) {
	if !e.cmd.List {
		e.items[0].Rec = seq
	}
}

// tryAccept writes accepted once, for a list together with all of its parts.
func (in *intake) tryAccept(ctx context.Context, e *entry, after []uint64) (last record, stored bool, err error) {
	base := e.items[0].base(in.cfg.Account, in.cfg.Epoch)
	if !e.cmd.List {
		seq, last, err := in.chain.write(ctx, step{e.key, after[0], accepted(base, 0), e.trace})
		in.own(e, seq)
		return last, seq > 0, err
	}
	base.ID, base.To = e.id, e.cmd.ToJSON()
	steps := []step{{e.key, after[0], accepted(base, len(e.items)), e.trace}}
	for i, it := range e.items {
		rec := accepted(it.base(in.cfg.Account, in.cfg.Epoch), 0)
		steps = append(steps, step{it.Key, after[i+1], rec, e.trace})
	}
	return in.chain.writeAll(ctx, steps)
}

// lastOf reads after which records a list's claim goes: former parts of an id
// that is used again. first is the list's own, known already.
func (in *intake) lastOf(ctx context.Context, e *entry, first uint64) ([]uint64, error) {
	after := make([]uint64, 1+len(e.items))
	after[0] = first
	if !e.cmd.List {
		return after, nil
	}
	for i, it := range e.items {
		last, err := in.chain.last(ctx, it.Key)
		if err != nil {
			return nil, err
		}
		after[i+1] = last.seq
	}
	return after, nil
}

// reject writes why a command is refused: on its id's chain, or on one of its
// own where the id belongs to another command.
func (in *intake) reject(ctx context.Context, e *entry, r *wire.Rejection) error {
	var last record
	for {
		seq, now, err := in.chain.write(ctx, step{e.key, last.seq, in.rejection(e, r), e.trace})
		if err != nil || seq > 0 {
			return err
		}
		last = now
		switch {
		case last.of(e.command()) && last.State == wire.Accepted: // an earlier try could do more
			if e.cmd != nil && e.cmd.List {
				return in.rejectAll(ctx, e, r)
			}
		case last.of(e.command()) || !last.foreign && last.after(e.command()):
			return nil
		case last.foreign || last.State != wire.Rejected:
			return in.conflict(ctx, e, r)
		}
	}
}

// conflict writes a rejection on a chain of its own; the first one stays as it is.
func (in *intake) conflict(ctx context.Context, e *entry, r *wire.Rejection) error {
	_, _, err := in.chain.write(ctx, step{wire.ConflictKey(e.key, e.stored.Seq), 0, in.rejection(e, r), e.trace})
	return err
}

func (in *intake) rejection(e *entry, r *wire.Rejection) wire.Delivery {
	it := item{ID: e.id, StreamSeq: e.stored.Seq, At: e.stored.At}
	base := it.base(in.cfg.Account, in.cfg.Epoch)
	base.To = nil
	if e.cmd != nil {
		base.To, base.Digest = e.cmd.ToJSON(), e.cmd.Digest()
	}
	return rejected(base, r, nil, time.Now())
}

func idConflict(id string) *wire.Rejection {
	return &wire.Rejection{
		Code: codeIDConflict, Field: "id",
		Message: `The id "` + wire.Printable(id, 64) + `" belongs to another command; give this one an id of its own.`,
	}
}

func unsupported(field, message string) *wire.Rejection {
	return &wire.Rejection{Code: codeUnsupported, Field: field, Message: message}
}

var errInDoubt = errors.New("a batch of records was not stored")

// writeAll appends several records together, the first one deciding whose they
// are: not stored gives the last record of its chain.
func (c *chain) writeAll(ctx context.Context, steps []step) (last record, stored bool, err error) {
	recs := make([]wire.Stored, len(steps))
	for i, s := range steps {
		if recs[i], err = c.seal(s); err != nil {
			return record{}, false, err
		}
	}
	err = persist(ctx, c.log, "write records", func() error {
		var err error
		if stored, err = c.ledger.AppendAll(ctx, recs); err == nil && stored {
			return nil
		}
		stored = false
		var lost error
		if last, lost = c.peek(ctx, steps[0].key); lost != nil {
			return errors.Join(err, lost)
		}
		if mine(&last, steps[0]) {
			stored = true
			return nil
		}
		if err != nil && last.seq == steps[0].after {
			return errors.Join(err, errInDoubt)
		}
		return nil
	})
	return last, stored, err
}
