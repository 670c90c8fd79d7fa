package sim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// maxBatch is how many contacts a client may ask for at once.
const maxBatch = 50

// contactPinned is the bit of ContactFlag that a pinned chat has.
const contactPinned = 2048

// userJSON is a contact, a room or a member, with WeChat's field names.
type userJSON struct {
	Uin              int64
	UserName         string
	NickName         string
	HeadImgUrl       string
	ContactFlag      int
	MemberCount      int
	MemberList       []memberJSON
	RemarkName       string
	HideInputBarFlag int
	Sex              int
	Signature        string
	VerifyFlag       int
	OwnerUin         int64
	PYInitial        string
	PYQuanPin        string
	RemarkPYInitial  string
	RemarkPYQuanPin  string
	StarFriend       int
	AppAccountFlag   int
	Statues          int
	AttrStatus       int64
	Province         string
	City             string
	Alias            string
	SnsFlag          int
	UniFriend        int
	DisplayName      string
	ChatRoomId       int
	KeyWord          string
	EncryChatRoomId  string
	IsOwner          int
}

type memberJSON struct {
	Uin             int64
	UserName        string
	NickName        string
	AttrStatus      int64
	PYInitial       string
	PYQuanPin       string
	RemarkPYInitial string
	RemarkPYQuanPin string
	MemberStatus    int
	DisplayName     string
	KeyWord         string
}

var fixedNames = map[string]string{"filehelper": "文件传输助手", "fmessage": "朋友推荐消息", "newsapp": "腾讯新闻", "weixin": "微信团队"}

// contact describes an id for a session; members are told only when asked for.
func (a *account) contact(s *session, id string, members bool) userJSON {
	if r := a.rooms[id]; r != nil {
		return a.roomContact(s, r, members)
	}
	u := userJSON{UserName: s.name(id, false), MemberList: []memberJSON{}, ContactFlag: 3}
	u.HeadImgUrl = avatarURL(s, id)
	if name, ok := fixedNames[id]; ok {
		u.NickName, u.PYQuanPin = name, id
		if id == "weixin" {
			u.VerifyFlag = 56
		}
		return u
	}
	p := a.person(id)
	u.NickName, u.RemarkName, u.Signature = escapeText(p.Name), escapeText(p.Remark), escapeText(p.Signature)
	u.Alias, u.Sex, u.PYQuanPin, u.PYInitial = p.Alias, p.Sex, pinyin(p.Name), strings.ToUpper(pinyin(p.Name))
	u.RemarkPYQuanPin = pinyin(p.Remark)
	if id == selfID {
		u.Uin, u.ContactFlag = a.uin, 0
		return u
	}
	u.AttrStatus = int64(stableNumber(id))
	switch p.Kind {
	case "service":
		u.VerifyFlag = 24
	case "stranger":
		u.ContactFlag = 0
	}
	if q := a.people[id]; q != nil && q.pinned {
		u.ContactFlag |= contactPinned
	}
	return u
}

func (a *account) roomContact(s *session, r *room, members bool) userJSON {
	u := userJSON{UserName: s.name(r.ID, true), NickName: escapeText(r.Name), HeadImgUrl: avatarURL(s, r.ID),
		MemberList: []memberJSON{}, ContactFlag: 2, PYQuanPin: pinyin(r.Name), ChatRoomId: 0,
		EncryChatRoomId: s.name(r.ID, true)[:34]}
	if r.Saved {
		u.ContactFlag = 3
	}
	if r.pinned {
		u.ContactFlag |= contactPinned
	}
	if r.Muted {
		u.Statues = 1
	}
	if r.Owner == selfID {
		u.IsOwner, u.OwnerUin = 1, a.uin
	}
	if !members || r.left {
		return u
	}
	u.MemberCount = len(r.Members)
	for _, m := range r.Members {
		p := a.person(m)
		u.MemberList = append(u.MemberList, memberJSON{UserName: s.name(m, false), NickName: escapeText(p.Name),
			AttrStatus: int64(stableNumber(m)), DisplayName: escapeText(r.Names[m]), KeyWord: ""})
	}
	return u
}

// person is who an id is; someone who is gone keeps the id as the name.
func (a *account) person(id string) Person {
	if id == selfID {
		return a.self
	}
	if p := a.people[id]; p != nil {
		return p.Person
	}
	return Person{ID: id, Name: id, Kind: "stranger"}
}

func avatarURL(s *session, id string) string {
	return fmt.Sprintf("%swebwxgeticon?seq=%d&username=%s&skey=%s", cgiBin, stableNumber(id), s.names[id], s.skey)
}

func stableNumber(id string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(id)) // never fails
	return h.Sum32()
}

// pinyin is the sort key: Latin letters and digits of a name, in lower case.
func pinyin(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r > 0x2e80:
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return -1
	}, name)
}

type contactAnswer struct {
	BaseResponse baseResponse
	MemberCount  int
	MemberList   json.RawMessage
	Seq          int
}

// contactPages keeps the encoded contact list of a session: 5,000 contacts are
// encoded once a login, not once a request.
type contactPages struct {
	ids   []string
	pages map[int]json.RawMessage // by offset
}

// listed are the ids of the contact list: friends, service accounts, rooms
// that are saved.
func (a *account) listed() []string {
	ids := make([]string, 0, len(a.order)+len(a.roomOrder)+3)
	ids = append(ids, "filehelper", "fmessage", "weixin")
	for _, id := range a.order {
		if p := a.people[id]; p != nil && p.Kind != "stranger" {
			ids = append(ids, id)
		}
	}
	for _, id := range a.roomOrder {
		if r := a.rooms[id]; r.Saved && !r.left {
			ids = append(ids, id)
		}
	}
	return ids
}

func (w *web) getContact(rw http.ResponseWriter, c call) {
	seq, err := strconv.Atoi(c.URL.Query().Get("seq"))
	if err != nil || seq < 0 {
		seq = 0
	}
	v, ret := w.locked(func() (*session, int) { return w.byCookies(c) }, func(s *session) (any, int) {
		return w.contactPage(s, seq)
	})
	if ret != retOK {
		w.refuse(rw, c.endpoint, ret, 0)
		return
	}
	answerJSON(rw, v)
}

func (a *account) contactPage(s *session, from int) (any, int) {
	if s.pages == nil {
		s.pages = &contactPages{ids: a.listed(), pages: make(map[int]json.RawMessage)}
	}
	p := s.pages
	if from > len(p.ids) {
		return nil, retParam
	}
	to := min(from+a.opts.World.PageSize, len(p.ids))
	if p.pages[from] == nil {
		list := make([]userJSON, 0, to-from)
		for _, id := range p.ids[from:to] {
			list = append(list, a.contact(s, id, false))
		}
		raw, err := encode(list)
		if err != nil || len(p.pages) > 1000 {
			return nil, retSystem
		}
		p.pages[from] = raw
	}
	ans := contactAnswer{MemberCount: to - from, MemberList: p.pages[from]}
	if to < len(p.ids) {
		ans.Seq = to
	}
	return ans, retOK
}

func encode(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSpace(buf.Bytes()), err
}

// contactsChanged drops what was encoded; called with mu held.
func (a *account) contactsChanged() {
	if a.session != nil {
		a.session.pages = nil
	}
}

type batchRequest struct {
	based
	Count int
	List  []struct {
		UserName        string
		EncryChatRoomId string
	}
}

// batchGetContact answers as many entries as asked, in the same order; who is
// not known comes back with nothing but the name.
func (w *web) batchGetContact(rw http.ResponseWriter, c call) {
	var req batchRequest
	w.answer(rw, c, &req, func(s *session) (any, int) {
		if len(req.List) > maxBatch || req.Count != len(req.List) {
			return nil, retParam
		}
		list := make([]userJSON, 0, len(req.List))
		for _, e := range req.List {
			id := s.ids[e.UserName]
			if id == "" {
				list = append(list, userJSON{UserName: e.UserName, MemberList: []memberJSON{}})
				continue
			}
			list = append(list, w.contact(s, id, true))
		}
		return struct {
			BaseResponse baseResponse
			Count        int
			ContactList  []userJSON
		}{Count: len(list), ContactList: list}, retOK
	})
}

// isFriend says whether messages to that id reach somebody.
func (a *account) isFriend(id string) bool {
	if _, fixed := fixedNames[id]; fixed || id == selfID {
		return true
	}
	if r := a.rooms[id]; r != nil {
		return !r.left && slices.Contains(r.Members, selfID)
	}
	p := a.people[id]
	return p != nil && p.Kind != "stranger"
}

// title is the name of a chat as people see it.
func (a *account) title(id string) string {
	if name, ok := fixedNames[id]; ok {
		return name
	}
	if r := a.rooms[id]; r != nil {
		return r.Name
	}
	return a.person(id).Name
}
