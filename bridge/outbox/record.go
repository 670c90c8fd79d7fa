package outbox

import (
	"fmt"
	"time"

	"wechat-bridge/bridge/wire"
	"wechat-bridge/classifier"
)

// record is the last record of a chain.
type record struct {
	wire.Delivery
	seq   uint64 // 0: there is none
	trace string
	at    time.Time // by NATS's clock, not by that of who wrote it
	// foreign says that what is there is no record of ours.
	foreign bool
}

// command is what identifies one delivery of an id: the id may be used again
// after a rejection, and a stream made anew counts from 1 again.
type command struct {
	seq uint64
	at  time.Time
}

func (i *item) command() command { return command{i.StreamSeq, i.At} }

// of reports whether a record belongs to a command.
func (r *record) of(c command) bool {
	return r.StreamSeq == c.seq && r.AcceptedAt != nil && r.AcceptedAt.Equal(c.at)
}

// after reports whether a record belongs to a later command than c.
func (r *record) after(c command) bool {
	return r.StreamSeq > c.seq && r.AcceptedAt != nil && !r.AcceptedAt.Before(c.at)
}

// base has what every record of a delivery repeats.
func (i *item) base(account string, epoch uint64) wire.Delivery {
	at, exp := i.At, i.Expires
	d := wire.Delivery{
		Account: account, ID: i.ID, To: i.To.JSON(), AcceptedAt: &at,
		StreamSeq: i.StreamSeq, Epoch: epoch, Digest: i.Digest, Certain: true,
	}
	if !exp.IsZero() {
		d.ExpiresAt = &exp
	}
	return d
}

// progress is what one record hands on to the next.
type progress struct {
	attempt int // that count
	tried   time.Duration
	dup     bool // WeChat may have it already
	// degraded: it went out, or may have gone out, over a fallback channel
	degraded bool
}

func progressOf(r *record) progress {
	return progress{
		attempt: r.Attempt, tried: time.Duration(r.TriedFor) * time.Millisecond,
		dup: r.PossibleDuplicate, degraded: r.Degraded,
	}
}

func (p progress) on(d wire.Delivery) wire.Delivery {
	d.Attempt, d.TriedFor, d.PossibleDuplicate = p.attempt, p.tried.Milliseconds(), p.dup
	d.Certain, d.Degraded = !p.dup, p.degraded
	return d
}

func accepted(base wire.Delivery, deliveries int) wire.Delivery {
	base.State, base.Deliveries = wire.Accepted, deliveries
	return base
}

func waiting(base wire.Delivery, nearest, message string, until time.Time) wire.Delivery {
	base.State, base.Code, base.Class = wire.Waiting, codeNotVisible, string(classifier.RecipientClosed)
	base.Nearest, base.Message, base.RetryAt = nearest, message, &until
	return base
}

func sending(base wire.Delivery, p progress, peer string) wire.Delivery {
	d := p.on(base)
	d.State, d.PeerID, d.Certain = wire.Sending, peer, false
	return d
}

func retrying(base wire.Delivery, p progress, v classifier.Verdict, at time.Time) wire.Delivery {
	d := judged(p.on(base), v)
	d.State, d.RetryAt = wire.Retrying, &at
	return d
}

// final begins every final record.
func final(d wire.Delivery, s wire.State, now time.Time) wire.Delivery {
	d.State, d.FinishedAt = s, &now
	return d
}

func sent(base wire.Delivery, p progress, messageID, peer string, now time.Time) wire.Delivery {
	d := final(p.on(base), wire.Sent, now)
	d.Certain = false // certain says that it surely did not go out
	d.MessageID, d.PeerID = messageID, peer
	return d
}

func failed(base wire.Delivery, p progress, v classifier.Verdict, now time.Time) wire.Delivery {
	return final(judged(p.on(base), v), wire.Failed, now)
}

func unknown(base wire.Delivery, p progress, v classifier.Verdict, now time.Time) wire.Delivery {
	d := final(judged(p.on(base), v), wire.Unknown, now)
	d.Certain = false
	return d
}

func expired(base wire.Delivery, p progress, now time.Time) wire.Delivery {
	d := final(p.on(base), wire.Expired, now)
	d.Code, d.Message = codeExpired, "Its time was over before it could be sent."
	return d
}

func rejected(base wire.Delivery, r *wire.Rejection, candidates []wire.Peer, now time.Time) wire.Delivery {
	d := final(base, wire.Rejected, now)
	d.Class, d.Code, d.Field, d.Nearest, d.Message = string(classifier.BadRequest), r.Code, r.Field, r.Nearest, r.Message
	d.Candidates = candidates
	return d
}

func judged(d wire.Delivery, v classifier.Verdict) wire.Delivery {
	d.Class, d.Code, d.Message = string(v.Class), v.Code, v.Message.EN
	d.Certain = d.Certain && v.Certain
	return d
}

// listFinal sums up a list. All alike: that state; else failed, with how many
// of which.
func listFinal(base wire.Delivery, states []wire.State, now time.Time) wire.Delivery {
	count := map[wire.State]int{}
	for _, s := range states {
		count[s]++
	}
	base.Deliveries = len(states)
	base.Certain = count[wire.Sent] == 0 && count[wire.Unknown] == 0
	if count[states[0]] == len(states) {
		d := final(base, states[0], now)
		d.Message = fmt.Sprintf("All %d deliveries of the list are %s.", len(states), states[0])
		return d
	}
	d := final(base, wire.Failed, now)
	d.Code = codeListIncomplete
	d.Message = fmt.Sprintf("%d of %d deliveries of the list were sent.", count[wire.Sent], len(states))
	return d
}
