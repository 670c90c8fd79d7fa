package sim

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Entry is one message that WeChat accepted.
type Entry struct {
	Seq         int       `json:"seq"`     // from 1, without gaps
	To          string    `json:"to"`      // user name, as it was in that login
	ToID        string    `json:"to_id"`   // id in the world: "alice", "team", "filehelper"
	ToName      string    `json:"to_name"` // nickname or name of the room
	Type        string    `json:"type"`    // text, image, file, video, emoticon, link, app
	Content     string    `json:"content"`
	ClientMsgID string    `json:"client_msg_id"`
	MsgID       string    `json:"msg_id"`
	At          time.Time `json:"at"`
	Media       *Media    `json:"media,omitempty"`
	Revoked     bool      `json:"revoked"`
	// Notice is the in-band system message that answered, e.g. because the peer
	// is no friend: WeChat accepted the message, nobody saw it.
	Notice string `json:"notice,omitempty"`
	Login  int    `json:"login"` // number of the login that sent it, from 1
}

// Media is what was uploaded for an entry.
type Media struct {
	Name string `json:"name"` // as the client gave it
	Size int64  `json:"size"`
	MD5  string `json:"md5"` // of the bytes that arrived, hexadecimal
}

// ledger keeps every entry; its texts are what bounds its size.
type ledger struct {
	mu      sync.Mutex
	entries []Entry
	byMsgID map[string]int // index of the entry
	more    chan struct{}  // closed at the next entry
}

func newLedger() *ledger {
	return &ledger{byMsgID: make(map[string]int), more: make(chan struct{})}
}

// add gives the entry its number.
func (l *ledger) add(e Entry) Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.Seq = len(l.entries) + 1
	l.byMsgID[e.MsgID] = len(l.entries)
	l.entries = append(l.entries, e)
	close(l.more)
	l.more = make(chan struct{})
	return e
}

func (l *ledger) find(msgID string) (Entry, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i, ok := l.byMsgID[msgID]
	if !ok {
		return Entry{}, false
	}
	return l.entries[i], true
}

func (l *ledger) revoke(msgID string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i, ok := l.byMsgID[msgID]; ok {
		l.entries[i].Revoked = true
	}
}

func (l *ledger) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.entries)
}

func (l *ledger) all() []Entry { return l.after(0) }

// after returns the entries behind a number.
func (l *ledger) after(seq int) []Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.entries[min(max(seq, 0), len(l.entries)):])
}

// wait returns when there are at least n entries.
func (l *ledger) wait(ctx context.Context, n int) ([]Entry, error) {
	for {
		l.mu.Lock()
		have, more := len(l.entries), l.more
		l.mu.Unlock()
		if have >= n {
			return l.all(), nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return l.all(), context.Cause(ctx)
		}
	}
}
