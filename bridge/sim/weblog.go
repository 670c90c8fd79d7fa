package sim

import "time"

type eventKind int

const (
	evMessage eventKind = iota
	evContact           // somebody is new or changed
	evGone              // somebody was deleted
	evRoom              // a room is new or changed
	evMembers           // a room's members changed
)

// event is one thing that sync tells.
type event struct {
	pos   uint64
	kind  eventKind
	login int    // told in that login only; 0: in all
	id    string // the person or room
	msg   *chatMessage
}

// chatMessage is a message as the servers keep it: with ids of the world, as
// user names change. It is not changed once it is in the log.
type chatMessage struct {
	Message
	id     uint64
	at     time.Time
	chat   string // id of the person or room whose chat it is
	author string // id of who wrote, selfID for the account
	inRoom bool
	ref    *chatMessage // what a quote or recall is about
	media  mediaInfo
	status bool // the list of recent chats after a login (type 51)
	client string
}

// eventLog keeps the newest events with their positions, from 1.
type eventLog struct {
	first  uint64 // position before events[0]
	events []event
}

const maxEvents = 20_000

func (l *eventLog) end() uint64 { return l.first + uint64(len(l.events)) }

func (l *eventLog) add(e event) {
	e.pos = l.end() + 1
	l.events = append(l.events, e)
	if len(l.events) >= 2*maxEvents {
		n := len(l.events) - maxEvents
		l.events = append([]event(nil), l.events[n:]...)
		l.first += uint64(n)
	}
}

// after returns the events behind a position; not to be changed.
func (l *eventLog) after(pos uint64) []event {
	if pos < l.first {
		pos = l.first
	}
	if pos >= l.end() {
		return nil
	}
	return l.events[pos-l.first:]
}

// message finds the newest message that want likes.
func (l *eventLog) message(want func(*chatMessage) bool) *chatMessage {
	for i := len(l.events) - 1; i >= 0; i-- {
		if m := l.events[i].msg; m != nil && want(m) {
			return m
		}
	}
	return nil
}
