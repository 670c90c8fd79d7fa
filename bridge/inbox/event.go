package inbox

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/bridge/wire"
)

const (
	shapeTries = 2
	// maxEvent is the largest body: with headers and the server's copy it
	// stays below NATS's default of 1 MiB for one message.
	maxEvent = 900 << 10
	// maxRaw and maxText are what is left of an event that is larger.
	maxRaw  = 256 << 10
	maxText = 256 << 10
)

var (
	errShape    = errors.New("the event lacks the part that its type names")
	errTooLarge = errors.New("the event is larger than NATS takes")
)

// body makes the bytes and the subject's kind of an event. One that cannot be
// mapped arrives as an unknown message with its raw form, never as nothing:
// the cursor would pass it.
func (i *Inbox) body(e wechat.Event, m *medium) (wechat.EventType, []byte) {
	var err error
	for range shapeTries {
		var body []byte
		if body, err = i.guarded(e, m); err == nil {
			return e.Type, body
		}
	}
	tellGarbled(i.cfg.Log, e, err)
	return wechat.EventMessage, unknown(i.cfg.Account, e)
}

// guarded makes a panic an error.
func (i *Inbox) guarded(e wechat.Event, m *medium) (body []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			body, err = nil, fmt.Errorf("the event's mapping panicked: %T", p)
		}
	}()
	body, err = i.shape(e, m)
	if err == nil && len(body) > maxEvent {
		e = shortened(e)
		if body, err = i.shape(e, m); err == nil && len(body) > maxEvent {
			err = errTooLarge
		}
	}
	return body, err
}

// shape maps an event to its CloudEvent.
func shape(account string, raw bool, e wechat.Event, m *medium) ([]byte, error) {
	switch {
	case e.Type == wechat.EventMessage && e.Message != nil:
		out := messageOf(account, e, m)
		if raw {
			out.Raw = rawJSON(e.Raw)
		}
		return wire.SealMessage(e.ID, out, e.At)
	case e.Type == wechat.EventRecall && e.Recall != nil:
		return wire.SealRecall(e.ID, recallOf(account, *e.Recall), e.At)
	case e.Type == wechat.EventFriend && e.Friend != nil: // the ticket is a secret
		f := wire.FriendRequest{Account: account, From: peerOf(e.Friend.From), Text: e.Friend.Text}
		return wire.SealFriend(e.ID, f, e.At)
	case e.Type == wechat.EventRoom && e.Change != nil:
		return wire.SealChange(wire.TypeRoom, e.ID, changeOf(account, *e.Change), e.At)
	case e.Type == wechat.EventContact && e.Change != nil:
		return wire.SealChange(wire.TypeContact, e.ID, changeOf(account, *e.Change), e.At)
	case e.Type == wechat.EventChat && e.Chat != nil:
		return wire.SealChat(e.ID, chatStateOf(account, *e.Chat), e.At)
	case e.Type == wechat.EventGap && e.Gap != nil:
		g := wire.Gap{Account: account, From: e.Gap.From.UTC(), To: e.Gap.To.UTC(), Reason: e.Gap.Reason}
		return wire.SealGap(e.ID, g, e.At)
	}
	return nil, errShape
}

func messageOf(account string, e wechat.Event, m *medium) wire.Message {
	in := e.Message
	out := wire.Message{
		Account: account, Kind: string(in.Kind), ProtoType: in.ProtoType, Text: in.Text, MessageID: e.ID,
		From: peerOf(in.From), Chat: peerOf(in.Chat), Member: peerPtr(in.Member),
		Mentioned: in.Mentioned, Self: in.Self, SentAt: sentAt(e), Media: m.event(),
	}
	if out.Kind == "" {
		out.Kind = string(wechat.Other)
	}
	if l := in.Link; l != nil {
		out.Link = &wire.EventLink{Title: l.Title, Description: l.Description, URL: l.URL, App: l.App}
	}
	if c := in.Card; c != nil {
		out.Card = &wire.Card{ID: c.ID, Name: c.Name, Alias: c.Alias}
	}
	if q := in.Quote; q != nil {
		out.Quote = &wire.Quote{MessageID: q.MessageID, FromName: q.FromName, Kind: string(q.Kind), Text: q.Text}
	}
	if p := in.Location; p != nil {
		out.Location = &wire.Location{Latitude: p.Latitude, Longitude: p.Longitude, Label: p.Label, URL: p.URL}
	}
	return out
}

func sentAt(e wechat.Event) time.Time {
	if e.Message.SentAt.IsZero() {
		return e.At.UTC()
	}
	return e.Message.SentAt.UTC()
}

func recallOf(account string, r wechat.Recall) wire.Recall {
	return wire.Recall{Account: account, MessageID: r.MessageID, By: peerOf(r.By), Chat: peerOf(r.Chat), Text: r.Text}
}

func changeOf(account string, c wechat.Change) wire.Change {
	out := wire.Change{Account: account, Action: c.Action, Peer: peerOf(c.Peer), OldName: c.OldName, By: peerPtr(c.By)}
	for _, m := range c.Members {
		out.Members = append(out.Members, peerOf(m))
	}
	return out
}

func chatStateOf(account string, c wechat.ChatState) wire.Chat {
	out := wire.Chat{Account: account, Chat: peerOf(c.Chat), RepliesLeft: c.RepliesLeft}
	if !c.OpenUntil.IsZero() {
		until := c.OpenUntil.UTC()
		out.OpenUntil = &until
	}
	return out
}

func peerOf(p wechat.Peer) wire.Peer {
	return wire.Peer{ID: p.ID, Name: p.Name, Remark: p.Remark, Type: string(p.Type)}
}

func peerPtr(p *wechat.Peer) *wire.Peer {
	if p == nil {
		return nil
	}
	out := peerOf(*p)
	return &out
}

// unknown is the event of last resort: it uses nothing that could fail again.
func unknown(account string, e wechat.Event) []byte {
	m := wire.Message{Account: account, Kind: string(wechat.Other), MessageID: e.ID, SentAt: e.At.UTC()}
	if e.Type != wechat.EventFriend { // its raw form holds the ticket
		m.Raw = rawJSON(e.Raw)
	}
	if e.Message != nil {
		m.ProtoType, m.Self = e.Message.ProtoType, e.Message.Self
		m.From, m.Chat = smallPeer(e.Message.From), smallPeer(e.Message.Chat)
	}
	body, err := wire.SealMessage(e.ID, m, e.At)
	if err == nil && len(body) <= maxEvent {
		return body
	}
	m.Raw = nil
	body, _ = wire.SealMessage(e.ID, m, e.At) // strings and numbers only
	return body
}

func smallPeer(p wechat.Peer) wire.Peer {
	return wire.Peer{ID: cut(p.ID, 1024), Name: cut(p.Name, 1024), Type: string(p.Type)}
}

// rawJSON embeds JSON as it is and all else as a string. It has no more than
// maxRaw bytes.
func rawJSON(raw []byte) json.RawMessage {
	if len(raw) == 0 {
		return nil
	}
	if len(raw) <= maxRaw && json.Valid(raw) {
		return bytes.Clone(raw)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // it is XML, most of the time
	if err := enc.Encode(cut(string(raw), maxRaw/8)); err != nil {
		return nil
	}
	return bytes.TrimSpace(b.Bytes())
}

// shortened leaves the raw form out and cuts the text, for an event that NATS
// would never take.
func shortened(e wechat.Event) wechat.Event {
	e.Raw = nil
	if e.Message != nil {
		m := *e.Message
		m.Text = cut(m.Text, maxText)
		e.Message = &m
	}
	return e
}

// cut keeps at most n bytes, whole characters, and marks that it did.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

// identified gives an event what the envelope cannot do without.
func identified(e wechat.Event) wechat.Event {
	if e.At.IsZero() {
		e.At = time.Now().UTC()
		if e.Message != nil && !e.Message.SentAt.IsZero() {
			e.At = e.Message.SentAt
		}
	}
	if e.ID == "" {
		h := sha256.New()
		fmt.Fprintf(h, "%s\x00%s\x00%+v", e.Type, e.Raw, content(e))
		e.ID = hex.EncodeToString(h.Sum(nil)[:16])
	}
	return e
}

// content is the part of an event that has no pointers to what changes from
// one telling to the next.
func content(e wechat.Event) any {
	switch {
	case e.Message != nil:
		return []any{e.Message.Kind, e.Message.Text, e.Message.From.ID, e.Message.Chat.ID, e.Message.SentAt.UnixNano()}
	case e.Recall != nil:
		return *e.Recall
	case e.Friend != nil:
		return *e.Friend
	case e.Change != nil:
		return []any{e.Change.Action, e.Change.Peer, e.Change.OldName, e.Change.Members}
	case e.Chat != nil:
		return []any{e.Chat.Chat, e.Chat.OpenUntil.UnixNano(), e.Chat.RepliesLeft}
	case e.Gap != nil:
		return []any{e.Gap.From.UnixNano(), e.Gap.To.UnixNano(), e.Gap.Reason}
	}
	return nil
}

// chatOf is what an event's order belongs to.
func chatOf(e wechat.Event) string {
	switch {
	case e.Message != nil:
		return e.Message.Chat.ID
	case e.Recall != nil:
		return e.Recall.Chat.ID
	case e.Chat != nil:
		return e.Chat.Chat.ID
	case e.Change != nil:
		return e.Change.Peer.ID
	case e.Friend != nil:
		return e.Friend.From.ID
	}
	return ""
}

func mediumOf(e wechat.Event) *wechat.InMedia {
	if e.Message == nil {
		return nil
	}
	return e.Message.Media
}
