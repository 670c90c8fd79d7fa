package verify

import (
	"fmt"

	"wechat-bridge/bridge/wire"
)

// content is what an entry shows of the delivery that it came from.
type content struct{ to, digest string }

// matcher gives each entry of WeChat's ledger to a delivery: by WeChat's
// message id, by the client's id that is the same on every attempt, and else
// by recipient and content.
type matcher struct {
	byMessage map[string]*chain
	byClient  map[string]*chain
	byContent map[content]*queue
}

// queue are deliveries that look alike to WeChat: first those whose records
// leave open whether WeChat got them, then the others, each in the order of
// acceptance.
type queue struct {
	chains []*chain
	next   int
}

// match gives out the entries and says which belong to nobody.
func (b *books) match(ledger []Entry) (unasked []string) {
	m := b.matcher()
	rest := make([]Entry, 0, len(ledger))
	for _, e := range ledger {
		c := m.byMessage[e.MsgID]
		if c == nil || e.MsgID == "" {
			rest = append(rest, e)
			continue
		}
		c.entries = append(c.entries, e)
		if e.ClientMsgID != "" {
			m.byClient[e.ClientMsgID] = c
		}
	}
	for _, e := range rest {
		c := m.find(e)
		if c == nil {
			unasked = append(unasked, fmt.Sprintf("WeChat accepted entry %d to %s (%s), and no delivery accounts for it.",
				e.Seq, quoted(recipient(e)), wire.Printable(e.Type, 20)))
			continue
		}
		c.entries = append(c.entries, e)
		if e.ClientMsgID != "" {
			m.byClient[e.ClientMsgID] = c
		}
	}
	return unasked
}

func (b *books) matcher() *matcher {
	m := &matcher{byMessage: map[string]*chain{}, byClient: map[string]*chain{}, byContent: map[content]*queue{}}
	for _, c := range b.chains {
		if !c.own() {
			continue
		}
		if c.messageID != "" && m.byMessage[c.messageID] == nil {
			m.byMessage[c.messageID] = c
		}
	}
	for _, open := range []bool{true, false} {
		for _, c := range b.chains {
			if c.own() && c.open() == open {
				m.line(c)
			}
		}
	}
	return m
}

// line puts a delivery where entries that look like it are given out. One of
// unknown content could take any entry, so it takes none that its records
// leave no room for.
func (m *matcher) line(c *chain) {
	k := content{c.to, c.digest()}
	if k.digest == "" && !c.open() {
		return
	}
	if m.byContent[k] == nil {
		m.byContent[k] = &queue{}
	}
	m.byContent[k].chains = append(m.byContent[k].chains, c)
}

// find looks from the strongest sign to the weakest.
func (m *matcher) find(e Entry) *chain {
	if c := m.byClient[e.ClientMsgID]; c != nil && e.ClientMsgID != "" {
		return c
	}
	d := Digest(e.Content)
	to := recipient(e)
	for _, k := range []content{{to, d}, {"", d}, {to, ""}, {"", ""}} {
		q := m.byContent[k]
		if q == nil {
			continue
		}
		if c := q.free(); c != nil {
			return c
		}
		if k.digest != "" { // all that look like this have theirs: a double
			return q.chains[0]
		}
	}
	return nil
}

// free is the first delivery that has no entry yet.
func (q *queue) free() *chain {
	for q.next < len(q.chains) && len(q.chains[q.next].entries) > 0 {
		q.next++
	}
	if q.next == len(q.chains) {
		return nil
	}
	return q.chains[q.next]
}

func recipient(e Entry) string {
	if e.ToID != "" {
		return e.ToID
	}
	return e.To
}
