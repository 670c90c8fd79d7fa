package webwx

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"wechat-bridge/bridge/wechat"
)

// text is a JSON string, or a number where other versions of WeChat send one.
type text string

func (t *text) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		var s string
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		*t = text(s)
		return nil
	}
	if string(b) != "null" {
		*t = text(b)
	}
	return nil
}

// rawMessage is a message as WeChat sends it.
type rawMessage struct {
	MsgID         text `json:"MsgId"`
	NewMsgID      text `json:"NewMsgId"`
	FromUserName  string
	ToUserName    string
	MsgType       int
	AppMsgType    int
	Content       string
	OriContent    string
	CreateTime    int64
	FileName      string
	FileSize      text
	MediaID       string `json:"MediaId"`
	EncryFileName string
	URL           string `json:"Url"`
	StatusNotify  string `json:"StatusNotifyUserName"`
	Ticket        string
	Recommend     struct {
		UserName, NickName, Alias, Content, Ticket string
	} `json:"RecommendInfo"`
}

func (m *rawMessage) id(raw []byte) string {
	for _, id := range []text{m.MsgID, m.NewMsgID} {
		if id != "" && id != "0" {
			return string(id)
		}
	}
	return hashID("message", string(raw))
}

// hashID makes an id for what has none: the same each time WeChat tells the
// same thing from the same position.
func hashID(parts ...string) string {
	h := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(h[:15]))
}

const typeStatusNotify = 51 // "a chat was opened or read elsewhere": not a message

// events turns a sync's answer into events: changes first, so that the names
// in the messages are the new ones.
func (s *Session) events(ctx context.Context, a *syncAnswer, from position) []wechat.Event {
	events := s.changes(a, from)
	msgs := make([]*rawMessage, len(a.AddMsgList))
	for i, raw := range a.AddMsgList {
		msgs[i] = new(rawMessage)
		if err := json.Unmarshal(raw, msgs[i]); err != nil {
			s.log.Warn().Str("event", "message_unreadable").Msg("a message has another form than known; it is passed on as it came")
		}
	}
	s.meet(ctx, msgs)
	for i, m := range msgs {
		if m.MsgType == typeStatusNotify {
			continue
		}
		events = append(events, s.event(m, a.AddMsgList[i]))
	}
	return events
}

// meet makes the people of a batch known, as far as WeChat tells in time.
func (s *Session) meet(ctx context.Context, msgs []*rawMessage) {
	var now, later []string
	for _, m := range msgs {
		if m.MsgType == typeStatusNotify {
			later = append(later, s.strangers(strings.Split(m.StatusNotify, ",")...)...)
			continue
		}
		chat := s.chatOf(m)
		now = append(now, s.strangers(chat)...)
		if member, _ := s.author(m); isRoom(chat) && member != "" {
			if _, ok := s.people.dir.Member(chat, member); !ok {
				now = append(now, chat)
			}
		}
	}
	s.people.later(later)
	s.people.learn(ctx, compact(now))
}

func compact(ids []string) []string {
	slices.Sort(ids)
	return slices.Compact(ids)
}

// strangers are those ids that the directory does not hold.
func (s *Session) strangers(ids ...string) []string {
	var out []string
	for _, id := range ids {
		if _, ok := s.people.dir.Peer(id); !ok && strings.HasPrefix(id, "@") {
			out = append(out, id)
		}
	}
	return out
}

func (s *Session) chatOf(m *rawMessage) string {
	if m.FromUserName == s.me.ID {
		return m.ToUserName
	}
	return m.FromUserName
}

// event makes one event. Whatever goes wrong on the way, the message is not
// dropped: then it is of an unknown kind, with its raw form.
func (s *Session) event(m *rawMessage, raw []byte) (e wechat.Event) {
	e = wechat.Event{ID: m.id(raw), Raw: raw, At: sentAt(m)}
	defer func() {
		if p := recover(); p != nil {
			s.log.Error().Str("event", "parser_panicked").Str("panic", printable(fmt.Sprint(p))).Msg("a message is passed on undecoded")
			e.Type, e.Message, e.Recall, e.Friend = wechat.EventMessage, s.undecoded(m), nil, nil
		}
	}()
	s.decode(m, &e)
	return e
}

func (s *Session) undecoded(m *rawMessage) *wechat.Message {
	return &wechat.Message{Kind: wechat.Other, ProtoType: m.MsgType, From: wechat.Peer{ID: m.FromUserName},
		Chat: wechat.Peer{ID: s.chatOf(m)}, SentAt: sentAt(m)}
}

func sentAt(m *rawMessage) time.Time {
	if m.CreateTime <= 0 {
		return time.Now().UTC()
	}
	return time.Unix(m.CreateTime, 0).UTC()
}

// peer is who an id is; a stranger has an id and a type.
func (s *Session) peer(id string) wechat.Peer {
	if p, ok := s.people.dir.Peer(id); ok {
		return p
	}
	return contact{UserName: id}.peer(s.me.ID)
}

// member is who an id is in a room. A friend's own name and remark go first,
// as the account's owner knows them by these.
func (s *Session) member(room, id string) wechat.Peer {
	m, ok := s.people.dir.Member(room, id)
	if !ok {
		m = wechat.Peer{ID: id, Type: wechat.Member}
		if id == s.me.ID {
			m = s.me
		}
	}
	if f, ok := s.people.dir.Peer(id); ok {
		m.Remark, m.Type = f.Remark, f.Type
		if m.Name == "" {
			m.Name = f.Name
		}
	}
	return m
}

// changes applies what changed about contacts and rooms to the directory and
// tells it as events. The position makes the ids of equal changes differ.
func (s *Session) changes(a *syncAnswer, from position) []wechat.Event {
	var out []wechat.Event
	for kind, list := range [][]json.RawMessage{a.DelContactList, a.ModContactList, a.ModChatRoomMemberList} {
		for i, raw := range list {
			var c contact
			if err := json.Unmarshal(raw, &c); err != nil || c.UserName == "" {
				continue
			}
			e := wechat.Event{
				ID:   hashID("change", strconv.FormatInt(s.uin, 10), from.sync.text(), strconv.Itoa(kind), strconv.Itoa(i), string(raw)),
				Type: wechat.EventContact, At: time.Now().UTC(), Raw: raw, Change: s.change(kind, c),
			}
			if isRoom(c.UserName) {
				e.Type = wechat.EventRoom
			}
			out = append(out, e)
		}
	}
	return out
}

func (s *Session) change(kind int, c contact) *wechat.Change {
	old, known := s.people.dir.Peer(c.UserName)
	if kind == 0 {
		s.people.dir.Remove(c.UserName)
		if !known {
			old = s.peer(c.UserName)
		}
		return &wechat.Change{Action: "removed", Peer: old}
	}
	var before []wechat.Peer
	if isRoom(c.UserName) {
		before = s.people.dir.Members(c.UserName)
	}
	switch {
	case c.NickName != "" || !known:
		s.people.put([]contact{c})
	case len(c.MemberList) > 0: // only the members are told
		s.people.putMembers(c)
	}
	return s.compare(kind, old, known, before, c.UserName)
}

func (s *Session) compare(kind int, old wechat.Peer, known bool, before []wechat.Peer, id string) *wechat.Change {
	ch := &wechat.Change{Action: "updated", Peer: s.peer(id)}
	after := s.people.dir.Members(id)
	switch {
	case !known && s.people.loaded.Load():
		ch.Action = "added"
	case known && old.Name != ch.Peer.Name:
		ch.Action, ch.OldName = "renamed", old.Name
	case kind == 2, !slices.Equal(before, after) && len(before) > 0:
		ch.Action = "members"
	}
	if isRoom(id) {
		ch.Members = after
	}
	return ch
}
