package sim

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// playScan implements phone: the same world, but with a name another identity
// (uin and nickname).
func (a *account) playScan(as string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	q := a.newest(qrWaiting)
	if q == nil {
		return ErrNothingWaits
	}
	q.as = as
	a.move(q, qrScanned)
	return nil
}

func (a *account) playConfirm() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	q := a.newest(qrScanned)
	if q == nil {
		return ErrNothingWaits
	}
	a.move(q, qrConfirmed)
	return nil
}

func (a *account) playDecline() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	q := a.newest(qrScanned)
	if q == nil {
		return ErrNothingWaits
	}
	q.created = time.Time{}
	a.move(q, qrWaiting)
	return nil
}

func (a *account) playLogout(retcode int) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.session == nil {
		return ErrNothingWaits
	}
	a.endSession(orDefault(retcode, retLoggedIn))
	return nil
}

func (a *account) playForget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.devices)
}

// post implements chats.
func (a *account) post(m Message) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	msg, err := a.say(m)
	if err != nil {
		return "", err
	}
	return formatID(msg.id), nil
}

func (a *account) describe(st *State) {
	a.mu.Lock()
	defer a.mu.Unlock()
	st.Transport, st.Host, st.Logins = "webwx", a.opts.World.Host, a.logins
	if a.session != nil {
		since := a.session.since
		st.LoggedIn, st.Since = true, &since
	}
	if q := a.newest(qrWaiting); q != nil {
		st.Waiting, st.QRText = "scan", "https://login.weixin.qq.com/l/"+q.uuid
	}
	if a.newest(qrScanned) != nil {
		st.Waiting = "confirm"
	}
	for _, p := range a.people {
		if p.Kind != "stranger" {
			st.Contacts++
		}
	}
	for _, id := range a.roomOrder {
		r := a.rooms[id]
		st.Rooms = append(st.Rooms, RoomState{ID: id, Name: r.Name, Members: slices.Clone(r.Members),
			Visible: (r.Active || r.Saved) && !r.left})
	}
}

func (a *account) uploaded(msgID string) ([]byte, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	b := a.media.get(msgID)
	return b, b != nil
}

func (a *account) say(m Message) (*chatMessage, error) {
	if m.Type == "" {
		m.Type = "text"
	}
	if !slices.Contains(MessageTypes, m.Type) {
		return nil, fmt.Errorf("%w: type %q: want one of %v", ErrInvalid, m.Type, MessageTypes)
	}
	if m.Type == "friend" {
		return a.askFriend(m)
	}
	msg := &chatMessage{Message: m, at: time.Now(), author: m.From}
	if err := a.place(msg); err != nil {
		return nil, err
	}
	if err := a.complete(msg); err != nil {
		return nil, err
	}
	msg.id = a.newMsgID()
	a.attach(msg)
	a.deliver(msg)
	return msg, nil
}

// place finds the chat of a message and checks that its author is in it.
func (a *account) place(msg *chatMessage) error {
	m := msg.Message
	if m.Room == "" && m.From == selfID {
		m.Room, msg.chat = m.To, m.To
		if a.rooms[m.To] == nil {
			m.Room = ""
		}
	}
	if m.Room != "" {
		r := a.rooms[m.Room]
		if r == nil || r.left {
			return fmt.Errorf("%w: room %q", ErrUnknown, m.Room)
		}
		msg.chat, msg.inRoom = m.Room, true
		if m.Type == "notice" && m.From == "" {
			msg.author = msg.chat
		} else if !slices.Contains(r.Members, m.From) {
			return fmt.Errorf("%w: %q is no member of %q", ErrUnknown, m.From, m.Room)
		}
		return nil
	}
	if m.From != selfID {
		msg.chat = m.From
	}
	if a.people[msg.chat] == nil && fixedNames[msg.chat] == "" {
		return fmt.Errorf("%w: %q", ErrUnknown, msg.chat)
	}
	return nil
}

// complete finds what a message is about, and checks its parts.
func (a *account) complete(msg *chatMessage) error {
	switch msg.Type {
	case "recall", "quote":
		if msg.ref = a.referred(msg); msg.ref == nil {
			return fmt.Errorf("%w: no message that %s could be about", ErrUnknown, msg.Type)
		}
	case "card":
		if msg.Card == "" {
			msg.Card = a.order[0]
		}
		if a.people[msg.Card] == nil {
			return fmt.Errorf("%w: card of %q", ErrUnknown, msg.Card)
		}
	}
	for _, id := range msg.Mention {
		if id != "all" && id != selfID && a.people[id] == nil {
			return fmt.Errorf("%w: mention of %q", ErrUnknown, id)
		}
	}
	return nil
}

// referred finds the message that a quote or recall is about: the one that it
// names, received or sent, else the newest of the chat, for a recall by the
// same person.
func (a *account) referred(msg *chatMessage) *chatMessage {
	ref := a.log.message(func(m *chatMessage) bool {
		if msg.MsgID != "" {
			return formatID(m.id) == msg.MsgID
		}
		return !m.status && m.chat == msg.chat && m.Type != "recall" && (msg.Type == "quote" || m.author == msg.author)
	})
	if ref != nil || msg.MsgID == "" {
		return ref
	}
	e, ok := a.ledger.find(msg.MsgID)
	if !ok {
		return nil
	}
	id, err := strconv.ParseUint(e.MsgID, 10, 64)
	if err != nil {
		return nil
	}
	return &chatMessage{Message: Message{Type: e.Type, Text: e.Content}, id: id, at: e.At, chat: e.ToID,
		author: selfID, inRoom: a.rooms[e.ToID] != nil}
}

// attach stores the media of a message, made up if it has none.
func (a *account) attach(msg *chatMessage) {
	if !oneOf(msg.Type, "image", "voice", "video", "file", "emoticon") {
		return
	}
	data := msg.Data
	if len(data) == 0 {
		data = sample(msg.Type, msg.id)
	}
	msg.media = describe(data)
	if msg.Type == "file" {
		msg.media.mediaID = "@crypt_" + hex.EncodeToString(a.secret(4)) + "_" + hex.EncodeToString(a.secret(64))
		if msg.Name == "" {
			msg.Name = "file.txt"
		}
	}
	msg.Data = nil // the store has it, and forgets it in time
	a.media.put(formatID(msg.id), msg.media.mediaID, data)
}

// deliver logs a message; a room that was invisible becomes visible with it.
func (a *account) deliver(msg *chatMessage) {
	if r := a.rooms[msg.chat]; r != nil && !r.Active {
		r.Active = true
		a.happened(event{kind: evRoom, id: r.ID})
	}
	a.happens(event{kind: evMessage, msg: msg})
}

// notice adds a system message to a chat.
func (a *account) notice(chat string, inRoom bool, text string) {
	a.deliver(&chatMessage{Message: Message{Type: "notice", Text: text}, id: a.newMsgID(), at: time.Now(),
		chat: chat, author: chat, inRoom: inRoom})
}

// maxAsked bounds the friend requests that can still be accepted.
const maxAsked = 1000

// askFriend is a friend request by a stranger, who is made up unless known.
func (a *account) askFriend(m Message) (*chatMessage, error) {
	if p := a.people[m.From]; p != nil && p.Kind != "stranger" {
		return nil, fmt.Errorf("%w: %q is a contact already", ErrInvalid, m.From)
	}
	if a.people[m.From] == nil {
		if m.From == "" {
			a.drafted++
			m.From = fmt.Sprintf("stranger%d", a.drafted)
		}
		if err := a.addPerson(Person{ID: m.From, Name: m.Name, Kind: "stranger"}); err != nil {
			return nil, err
		}
	}
	if len(a.asked) >= maxAsked {
		clear(a.asked)
	}
	ticket := "v2_" + hex.EncodeToString(a.secret(32)) + "@stranger"
	a.asked[ticket] = m.From
	msg := &chatMessage{Message: m, id: a.newMsgID(), at: time.Now(), chat: "fmessage", author: m.From, client: ticket}
	a.deliver(msg)
	return msg, nil
}

func (a *account) addPerson(p Person) error {
	ids := make(map[string]bool)
	if a.people[p.ID] != nil || a.rooms[p.ID] != nil {
		ids[p.ID] = true
	}
	if err := p.fill(ids); err != nil {
		return err
	}
	if p.Name == "" {
		p.Name = p.ID
	}
	a.people[p.ID] = &person{Person: p}
	a.order = append(a.order, p.ID)
	return nil
}
