package verify

import (
	"cmp"
	"fmt"
	"slices"

	"wechat-bridge/bridge/wire"
)

// judge compares one delivery's records with what WeChat got.
func (r *Report) judge(c *chain) {
	r.ByState[c.state()]++
	r.WrongFinals = append(r.WrongFinals, finals(c)...)
	if !c.own() {
		return
	}
	state, n := c.state(), len(c.entries)
	if n > 1 && !c.marked && state != wire.Unknown {
		r.SilentDoubles = append(r.SilentDoubles, fmt.Sprintf("WeChat got %s %d times (entries %s), and no record says possible_duplicate or unknown.",
			c, n, seqs(c.entries)))
	}
	if state == wire.Sent && !c.got() {
		r.SentWithoutLedger = append(r.SentWithoutLedger, fmt.Sprintf("%s is sent by its record (message id %s), and WeChat never got it.", c, quoted(c.messageID)))
	}
	if denies(state) && n > 0 && !c.ambiguous() {
		r.Contradicted = append(r.Contradicted, fmt.Sprintf("%s is %s by its record, and WeChat got it (entry %d).", c, state, c.entries[0].Seq))
	}
	if c.refused() && !slices.ContainsFunc(c.entries, func(e Entry) bool { return e.Notice != "" }) {
		r.Contradicted = append(r.Contradicted, fmt.Sprintf("%s is corrected after a notice, and WeChat said nothing about it.", c))
	}
	r.Misdelivered = append(r.Misdelivered, misdelivered(c)...)
	if c.ambiguous() {
		r.Ambiguous = append(r.Ambiguous, fmt.Sprintf("%s ended as %s, and WeChat got it %d times.", c, orNone(state), n))
	}
}

// denies are the states that say that WeChat did not get it.
func denies(s wire.State) bool {
	switch s {
	case wire.Failed, wire.Rejected, wire.Expired, wire.Cancelled:
		return true
	}
	return false
}

// refused reports whether a correction says that this very delivery was refused
// in the chat.
func (c *chain) refused() bool {
	return slices.ContainsFunc(c.records, func(r *Record) bool {
		return r.State == wire.Corrected && r.NoticeID != "" && r.Attribution != wire.Inferred
	})
}

// got reports whether WeChat has what a sent record names.
func (c *chain) got() bool {
	return slices.ContainsFunc(c.entries, func(e Entry) bool { return e.MsgID == c.messageID && c.messageID != "" })
}

// finals checks that the chain ends once and that nothing but one correction
// follows.
func finals(c *chain) (wrong []string) {
	switch len(c.finals) {
	case 0:
		return []string{fmt.Sprintf("%s has no final record; the last one is %s.", c, c.records[len(c.records)-1].State)}
	case 1:
	default:
		return []string{fmt.Sprintf("%s has %d final records: %s.", c, len(c.finals), states(c.finals))}
	}
	after := c.records[slices.IndexFunc(c.records, func(r *Record) bool { return r == c.finals[0] })+1:]
	if len(after) > 1 || len(after) == 1 && after[0].State != wire.Corrected {
		wrong = append(wrong, fmt.Sprintf("%s goes on after its final record: %s.", c, states(after)))
	} else if len(after) == 1 && (after[0].Was != c.finals[0].State || after[0].MessageID != c.finals[0].MessageID && after[0].NoticeID != "") {
		wrong = append(wrong, fmt.Sprintf("%s is corrected, and the correction does not repeat its final record: was %s.", c, orNone(after[0].Was)))
	}
	if len(c.records) > len(after)+1 && slices.ContainsFunc(c.records[:len(c.records)-len(after)-1], func(r *Record) bool { return r.State == wire.Corrected }) {
		wrong = append(wrong, fmt.Sprintf("%s was corrected before it was final.", c))
	}
	return wrong
}

func misdelivered(c *chain) (wrong []string) {
	for _, e := range c.entries {
		if c.to != "" && recipient(e) != c.to {
			wrong = append(wrong, fmt.Sprintf("%s was for %s and went to %s (entry %d).", c, quoted(c.to), quoted(recipient(e)), e.Seq))
		}
		if d := c.digest(); d != "" && Digest(e.Content) != d {
			wrong = append(wrong, fmt.Sprintf("%s arrived with another content (entry %d).", c, e.Seq))
		}
	}
	return wrong
}

// lane is what has an order.
type lane struct{ account, to, priority string }

// order finds deliveries that went out after later ones of their chat and
// priority. Only the first time that WeChat got each counts: a resend after an
// unknown outcome comes late by nature.
func (b *books) order() (breaks []string) {
	lanes := map[lane][]*chain{}
	for _, c := range b.chains {
		if c.own() && len(c.entries) > 0 {
			slices.SortFunc(c.entries, func(a, b Entry) int { return cmp.Compare(a.Seq, b.Seq) })
			k := lane{c.account, recipient(c.entries[0]), c.priority()}
			lanes[k] = append(lanes[k], c)
		}
	}
	for k, chains := range lanes {
		slices.SortFunc(chains, func(a, b *chain) int { return cmp.Compare(a.entries[0].Seq, b.entries[0].Seq) })
		newest := chains[0]
		for _, c := range chains[1:] {
			if cmp.Or(cmp.Compare(c.seq, newest.seq), cmp.Compare(c.part, newest.part)) < 0 {
				breaks = append(breaks, fmt.Sprintf("To %s with priority %s, %s went out after %s, which was accepted later.",
					quoted(k.to), wire.Printable(k.priority, 20), c, newest))
				continue
			}
			newest = c
		}
	}
	slices.Sort(breaks)
	return breaks
}

func seqs(entries []Entry) string {
	var out []int
	for _, e := range entries {
		out = append(out, e.Seq)
	}
	return fmt.Sprint(out)
}

func states(records []*Record) string {
	var out []wire.State
	for _, r := range records {
		out = append(out, r.State)
	}
	return fmt.Sprint(out)
}

func orNone(s wire.State) string {
	if s == "" {
		return "nothing yet"
	}
	return string(s)
}
