package outbox

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"wechat-bridge/bridge/wire"
)

const (
	// refusedWithin is how long after the end of a send WeChat may still say in
	// the chat that it was refused; it does so at once, but what was said during
	// an outage is heard when it is over, with the time when it was said.
	refusedWithin = 2 * time.Minute
	// clockSkew is how far WeChat's clock may be from ours without a doubt.
	clockSkew = 10 * time.Second
	// handedFor and maxHanded bound what is remembered: 2 MB at most.
	handedFor = 5 * time.Minute
	maxHanded = 8192
)

// handed is one delivery that WeChat may have, as far as a later refusal needs
// it. The lock of its memory protects it.
type handed struct {
	held
	cmd   command
	trace string
	peer  string
	began time.Time // before it was handed over first
	ended time.Time // when its final record was written; zero: not yet

	notice  string   // the refusal that was found to be about it
	sure    bool     // ... and could be about no other one
	waiting *finding // that refusal, until there is a final record to correct
	gone    bool
}

// finding is a refusal with the delivery that it is about.
type finding struct {
	Refusal
	about    *handed
	inferred bool
}

// handedOver remembers the deliveries that WeChat may have, newest last, and
// which notices were about one of them.
type handedOver struct {
	mu      sync.Mutex
	byName  map[held]*handed
	byPeer  map[string][]*handed
	all     []*handed
	notices map[string]*handed
}

func newHandedOver() *handedOver {
	return &handedOver{byName: map[held]*handed{}, byPeer: map[string][]*handed{}, notices: map[string]*handed{}}
}

// begin notes that a delivery is about to be handed over. A later attempt is
// the same delivery, unless a login gave the peer another id.
func (m *handedOver) begin(h handed) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if old := m.byName[h.held]; old != nil {
		if old.peer == h.peer {
			return
		}
		m.remove(old)
	}
	m.prune(h.began)
	m.byName[h.held] = &h
	m.byPeer[h.peer] = append(m.byPeer[h.peer], &h)
	m.all = append(m.all, &h)
}

// end notes a delivery's final record, and gives the refusal that waits for it.
func (m *handedOver) end(name held, at time.Time) *finding {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.byName[name]
	if h == nil || !h.ended.IsZero() {
		return nil
	}
	h.ended = at
	f := h.waiting
	h.waiting = nil
	return f
}

// drop forgets a delivery that WeChat surely does not have.
func (m *handedOver) drop(name held) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.remove(m.byName[name])
}

// find says which delivery a refusal is about; nil if none is known. One that
// has no final record yet keeps the finding until end: then open is true. heard
// is a notice that was found to be about a delivery before. undo takes back what
// find did.
func (m *handedOver) find(r Refusal, now time.Time) (f *finding, open, heard bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.notices[r.NoticeID] != nil {
		return nil, false, true
	}
	h, inferred := choose(m.byPeer[r.PeerID], r.At, now)
	if h == nil {
		return nil, false, false
	}
	h.notice, h.sure = r.NoticeID, !inferred
	m.notices[r.NoticeID] = h
	f = &finding{Refusal: r, about: h, inferred: inferred}
	if h.ended.IsZero() {
		h.waiting = f
		return f, true, false
	}
	return f, false, false
}

func (m *handedOver) undo(f *finding) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.notices, f.NoticeID)
	f.about.notice, f.about.sure = "", false
}

// choose picks the delivery that a notice of a chat is about: of those that
// were handed over lately, the newest from before the notice. It is inferred if
// the notice could be about another one, or if the clocks do not agree.
func choose(chat []*handed, said, now time.Time) (h *handed, inferred bool) {
	if said.IsZero() || said.After(now) {
		said = now
	}
	possible := lately(chat, said.Add(-refusedWithin))
	before := from(possible, said.Add(clockSkew))
	if len(before) > 0 {
		possible = before
	}
	// WeChat tells whole seconds.
	if h = newestFree(from(possible, said.Add(time.Second))); h == nil {
		h = newestFree(possible)
	}
	return h, len(possible) > 1 || len(before) == 0
}

// lately are those that were under way after a moment and whose fate is open.
func lately(chat []*handed, after time.Time) (out []*handed) {
	for _, h := range chat {
		if !h.sure && (h.ended.IsZero() || h.ended.After(after)) {
			out = append(out, h)
		}
	}
	return out
}

// from are those that began before a moment.
func from(chat []*handed, moment time.Time) (out []*handed) {
	for _, h := range chat {
		if h.began.Before(moment) {
			out = append(out, h)
		}
	}
	return out
}

func newestFree(chat []*handed) *handed {
	for _, h := range slices.Backward(chat) {
		if h.notice == "" {
			return h
		}
	}
	return nil
}

// remove and prune need the lock.
func (m *handedOver) remove(h *handed) {
	if h == nil || h.gone {
		return
	}
	h.gone = true
	delete(m.byName, h.held)
	delete(m.notices, h.notice)
	chat := slices.DeleteFunc(m.byPeer[h.peer], func(x *handed) bool { return x == h })
	if m.byPeer[h.peer] = chat; len(chat) == 0 {
		delete(m.byPeer, h.peer)
	}
}

// prune forgets from the oldest on what is too old or too much.
func (m *handedOver) prune(now time.Time) {
	n := 0
	for _, h := range m.all {
		old := !h.ended.IsZero() && now.Sub(h.ended) > handedFor
		if !h.gone && !old && len(m.all)-n < maxHanded {
			break
		}
		m.remove(h)
		n++
	}
	m.all = m.all[n:]
}

// read rebuilds the memory from the newest records, oldest first, as the calls
// of the worker that wrote them made it.
func (m *handedOver) read(stored []wire.Stored) {
	names := map[string]held{} // by WeChat's id of the message
	for _, s := range stored {
		r := openRecord(s)
		if r.foreign || r.Deliveries > 0 || r.AcceptedAt == nil {
			continue
		}
		name := held{s.Token, r.StreamSeq}
		if r.MessageID != "" {
			if other, taken := names[r.MessageID]; taken && other != name { // it took that message back
				m.drop(name)
				continue
			}
			names[r.MessageID] = name
		}
		m.readOne(name, &r)
	}
}

func (m *handedOver) readOne(name held, r *record) {
	if r.PeerID != "" {
		m.begin(handed{held: name, cmd: command{r.StreamSeq, *r.AcceptedAt}, trace: r.trace, peer: r.PeerID, began: r.at})
	}
	switch {
	case r.State == wire.Corrected:
		m.end(name, r.at)
		m.corrected(name, r)
	case r.State == wire.Sending:
	case r.Certain:
		m.drop(name)
	case r.State.Final():
		m.end(name, r.at)
	}
}

func (m *handedOver) corrected(name held, r *record) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.byName[name]
	if h == nil {
		return
	}
	h.notice, h.sure = cmp.Or(r.NoticeID, correctedElsewhere), r.Attribution != wire.Inferred
	m.notices[h.notice] = h
}

// correctedElsewhere stands for a correction that no notice made.
const correctedElsewhere = "-"
