package webwx

import (
	"mime"
	"net/url"
	"path"
	"strconv"
	"strings"

	"wechat-bridge/bridge/wechat"
)

// Message types (webwx).
const (
	typeText       = 1
	typeImage      = 3
	typeVoice      = 34
	typeVerify     = 37
	typeCard       = 42
	typeVideo      = 43
	typeEmoticon   = 47
	typeLocation   = 48
	typeApp        = 49
	typeVoip       = 50
	typeVoipNotify = 52
	typeVoipInvite = 53
	typeShortVideo = 62
	typeSysNotice  = 9999
	typeSystem     = 10000
	typeSysXML     = 10002
)

// App message types (webwx).
const (
	appText      = 1
	appAudio     = 3
	appVideo     = 4
	appLink      = 5
	appFile      = 6
	appEmoji     = 8
	appLive      = 17
	appRecord    = 19
	appProgram   = 33
	appProgram2  = 36
	appQuote     = 57
	appTransfer  = 2000
	appRedPacket = 2001
)

// decode fills an event in from a message.
func (s *Session) decode(m *rawMessage, e *wechat.Event) {
	body, msg := s.frame(m)
	e.Type = wechat.EventMessage
	switch m.MsgType {
	case typeVerify:
		e.Type, e.Friend = wechat.EventFriend, friendRequest(m, body)
		return
	case typeSysXML:
		var x sysXML
		if parseXML(body, &x) && x.Type == "revokemsg" {
			e.Type, e.Recall = wechat.EventRecall, recall(x, msg)
			return
		}
	}
	s.fill(m, body, msg)
	e.Message = msg
}

// frame says who spoke where, and gives the content without the room's prefix.
func (s *Session) frame(m *rawMessage) (body string, msg *wechat.Message) {
	msg = &wechat.Message{ProtoType: m.MsgType, SentAt: sentAt(m), Self: m.FromUserName == s.me.ID}
	chat := s.chatOf(m)
	msg.Chat, body = s.peer(chat), m.Content
	msg.From = s.peer(m.FromUserName)
	if !isRoom(chat) {
		return body, msg
	}
	author, rest := s.author(m)
	if author == "" {
		return body, msg
	}
	who := s.member(chat, author)
	msg.Member, msg.From, msg.Self = &who, who, author == s.me.ID
	return rest, msg
}

// author is who spoke in a room, and what is left of the content. What the
// account itself wrote has no prefix, whatever it looks like.
func (s *Session) author(m *rawMessage) (id, rest string) {
	if m.FromUserName == s.me.ID {
		return s.me.ID, m.Content
	}
	return speaker(m.Content)
}

// fill sets the kind and the content.
func (s *Session) fill(m *rawMessage, body string, msg *wechat.Message) {
	switch m.MsgType {
	case typeText:
		s.fillText(m, body, msg)
	case typeImage, typeEmoticon, typeVoice, typeVideo, typeShortVideo:
		s.fillMedia(m, body, msg)
	case typeCard:
		msg.Kind, msg.Card = wechat.Card, card(m, body)
		msg.Text = msg.Card.Name
	case typeLocation:
		msg.Kind, msg.Location = wechat.Location, place(m, body)
		msg.Text = msg.Location.Label
	case typeApp:
		s.fillApp(m, body, msg)
	case typeVoip, typeVoipNotify, typeVoipInvite:
		msg.Kind = wechat.Call
	case typeSystem, typeSysNotice, typeSysXML:
		msg.Kind, msg.Text = wechat.Notice, decodeText(body)
		if strings.Contains(msg.Text, "红包，请在手机上查看") {
			msg.Kind = wechat.RedPacket
		}
	default:
		msg.Kind, msg.Text = wechat.Other, decodeText(body)
	}
}

func (s *Session) fillText(m *rawMessage, body string, msg *wechat.Message) {
	if m.URL != "" && (strings.Contains(body, "pictype=location") || strings.Contains(m.URL, "apis.map.qq.com")) {
		msg.Kind, msg.Location = wechat.Location, place(m, body)
		msg.Text = msg.Location.Label
		return
	}
	msg.Kind, msg.Text = wechat.Text, decodeText(body)
	msg.Mentioned = s.mentioned(msg)
}

// mentioned looks for the account's own name, as the web client does: "@name"
// and the narrow space that WeChat puts behind a mention.
func (s *Session) mentioned(msg *wechat.Message) bool {
	if msg.Member == nil || msg.Self || !strings.ContainsRune(msg.Text, '@') {
		return false
	}
	names := []string{s.me.Name, "所有人"}
	if m, ok := s.people.dir.Member(msg.Chat.ID, s.me.ID); ok {
		names = append(names, m.Name, m.Alias)
	}
	for _, n := range names {
		if n != "" && (strings.Contains(msg.Text, "@"+n+"\u2005") || strings.HasSuffix(msg.Text, "@"+n)) {
			return true
		}
	}
	return false
}

func (s *Session) fillMedia(m *rawMessage, body string, msg *wechat.Message) {
	kind := map[int]wechat.Kind{
		typeImage: wechat.Image, typeEmoticon: wechat.Emoticon, typeVoice: wechat.Voice,
		typeVideo: wechat.Video, typeShortVideo: wechat.Video,
	}[m.MsgType]
	msg.Kind = kind
	if kind == wechat.Emoticon && m.MsgID == "" {
		msg.Text = decodeText(body)
		return
	}
	msg.Media = s.media(m, kind, "", 0)
}

func (s *Session) fillApp(m *rawMessage, body string, msg *wechat.Message) {
	var x appXML
	good := parseXML(body, &x)
	sub := m.AppMsgType
	if n, err := strconv.Atoi(strings.TrimSpace(x.App.Type)); sub == 0 && err == nil {
		sub = n
	}
	title := first(x.App.Title, m.FileName)
	msg.Text = title
	msg.Link = &wechat.LinkInfo{
		Title: title, Description: x.App.Des, URL: first(x.App.URL, decodeText(m.URL)), App: first(x.Info.Name, x.App.Source),
	}
	msg.Kind = appKind(sub, good && msg.Link.URL != "")
	switch msg.Kind {
	case wechat.File:
		size, _ := strconv.ParseInt(first(string(m.FileSize), x.App.Attach.TotalLen), 10, 64)
		msg.Media, msg.Link = s.media(m, wechat.File, title, max(size, 0)), nil
	case wechat.Quote:
		msg.Quote, msg.Link = quote(x), nil
	case wechat.Transfer:
		msg.Text = first(x.App.Pay.Memo, x.App.Des, title)
		msg.Link.Description = first(x.App.Pay.Fee, x.App.Des)
	case wechat.MiniProgram:
		msg.Link.App = first(x.App.Source, x.Info.Name)
	case wechat.Text, wechat.Emoticon, wechat.Other:
		msg.Link = nil
		if !good {
			msg.Text = first(title, decodeText(body))
		}
	case wechat.Location:
		msg.Location, msg.Link = &wechat.LocationInfo{Label: title}, nil
	}
}

// appKind maps an app message's type; what is not known is a link if it has an
// address.
func appKind(sub int, linked bool) wechat.Kind {
	kind, ok := map[int]wechat.Kind{
		appText: wechat.Text, appAudio: wechat.Link, appVideo: wechat.Link, appLink: wechat.Link, appFile: wechat.File,
		appEmoji: wechat.Emoticon, appLive: wechat.Location, appRecord: wechat.Link, appProgram: wechat.MiniProgram,
		appProgram2: wechat.MiniProgram, appQuote: wechat.Quote, appTransfer: wechat.Transfer, appRedPacket: wechat.RedPacket,
	}[sub]
	switch {
	case ok:
		return kind
	case linked:
		return wechat.Link
	}
	return wechat.Other
}

func first(list ...string) string {
	for _, s := range list {
		if s != "" {
			return s
		}
	}
	return ""
}

func quote(x appXML) *wechat.QuoteInfo {
	r := x.App.Refer
	q := &wechat.QuoteInfo{MessageID: r.ID, FromName: decodeText(r.Name), Text: decodeText(r.Content), Kind: wechat.Other}
	t, err := strconv.Atoi(r.Type)
	kinds := map[int]wechat.Kind{
		typeText: wechat.Text, typeImage: wechat.Image, typeVoice: wechat.Voice, typeVideo: wechat.Video,
		typeEmoticon: wechat.Emoticon, typeCard: wechat.Card, typeLocation: wechat.Location,
	}
	var inner appXML
	switch k, ok := kinds[t]; {
	case err == nil && ok:
		q.Kind = k
	case t == typeApp && parseXML(r.Content, &inner):
		n, _ := strconv.Atoi(inner.App.Type)
		q.Kind, q.Text = appKind(n, inner.App.URL != ""), inner.App.Title
	}
	return q
}

func card(m *rawMessage, body string) *wechat.CardInfo {
	var x personXML
	_ = parseXML(body, &x) // then RecommendInfo has to do
	return &wechat.CardInfo{
		ID:    first(m.Recommend.UserName, x.User),
		Name:  first(decodeText(m.Recommend.NickName), decodeText(x.Nick)),
		Alias: first(m.Recommend.Alias, x.Alias),
	}
}

func friendRequest(m *rawMessage, body string) *wechat.FriendRequest {
	var x personXML
	_ = parseXML(body, &x) // then RecommendInfo has to do
	return &wechat.FriendRequest{
		From: wechat.Peer{
			ID: first(m.Recommend.UserName, x.From), Name: first(decodeText(m.Recommend.NickName), decodeText(x.FromNick)),
			Alias: first(m.Recommend.Alias, x.Alias), Type: wechat.Friend,
		},
		Text:   first(decodeText(m.Recommend.Content), decodeText(x.Content)),
		Ticket: first(m.Recommend.Ticket, m.Ticket, x.Ticket),
	}
}

func recall(x sysXML, msg *wechat.Message) *wechat.Recall {
	return &wechat.Recall{
		MessageID: first(x.Revoke.ID, x.Revoke.Old), By: msg.From, Chat: msg.Chat, Text: decodeText(x.Revoke.Text),
	}
}

// place reads a location: its XML, else the address in the text and the
// coordinates of the map link.
func place(m *rawMessage, body string) *wechat.LocationInfo {
	var x placeXML
	if !parseXML(m.OriContent, &x) {
		_ = parseXML(body, &x) // then the link has to do
	}
	label, _, _ := strings.Cut(body, ":<br/>")
	if strings.HasPrefix(strings.TrimSpace(label), "<") || strings.HasPrefix(label, "&lt;") {
		label = ""
	}
	loc := &wechat.LocationInfo{
		Label: first(x.Location.Label, x.Location.Name, decodeText(label)), URL: decodeText(m.URL),
	}
	loc.Latitude, loc.Longitude = coordinates(x.Location.X, x.Location.Y, loc.URL)
	return loc
}

func coordinates(x, y, link string) (lat, lon float64) {
	if x == "" || y == "" {
		u, err := url.Parse(link)
		if err != nil {
			return 0, 0
		}
		x, y, _ = strings.Cut(u.Query().Get("coord"), ",")
	}
	lat, errX := strconv.ParseFloat(x, 64)
	lon, errY := strconv.ParseFloat(y, 64)
	if errX != nil || errY != nil || lat < -90 || lat > 90 || lon < -180 || lon > 180 {
		return 0, 0
	}
	return lat, lon
}

// mimeOf guesses from the kind or the name; the bytes decide later.
func mimeOf(kind wechat.Kind, name string) string {
	switch kind {
	case wechat.Image:
		return "image/jpeg"
	case wechat.Emoticon:
		return "image/gif"
	case wechat.Voice:
		return "audio/mpeg"
	case wechat.Video:
		return "video/mp4"
	}
	return mime.TypeByExtension(path.Ext(name))
}
