package sim

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// batchSize is how many events one sync tells; then ContinueFlag is set.
const batchSize = 50

type syncKey struct {
	Count int
	List  []syncPair
}

type syncPair struct {
	Key int
	Val uint64
}

// key is the sync key of a position: 4 parts at init, 10 in sync. Parts 1 to 3
// carry the position, the others are counters and times that nobody checks.
func (a *account) key(pos uint64, parts int) syncKey {
	v := a.keyBase + pos
	now := uint64(time.Now().Unix())
	list := []syncPair{{1, v}, {2, v + 17}, {3, v + 41}, {1000, now}}
	if parts > len(list) {
		list = []syncPair{{1, v}, {2, v + 17}, {3, v + 41}, {11, v + 5}, {19, 4024}, {201, now},
			{206, 101}, {1000, now - 60}, {1001, now - 90}, {2004, 0}}
	}
	return syncKey{Count: len(list), List: list}
}

// position reads a sync key; all parts that carry the position must agree.
func (a *account) position(pairs []syncPair) (uint64, bool) {
	var v uint64
	seen := 0
	for _, p := range pairs {
		off, ok := map[int]uint64{1: 0, 2: 17, 3: 41}[p.Key]
		if !ok {
			continue
		}
		if p.Val < off || seen > 0 && p.Val-off != v {
			return 0, false
		}
		v = p.Val - off
		seen++
	}
	if seen < 3 || v < a.keyBase || v-a.keyBase > a.log.end() {
		return 0, false
	}
	return v - a.keyBase, true
}

// parseSyncKey reads the form that synccheck gets: 1_696|2_713|…
func parseSyncKey(s string) ([]syncPair, bool) {
	var pairs []syncPair
	for part := range strings.SplitSeq(s, "|") {
		k, v, ok := strings.Cut(part, "_")
		key, kerr := strconv.Atoi(k)
		val, verr := strconv.ParseUint(v, 10, 64)
		if !ok || kerr != nil || verr != nil || len(pairs) > 64 {
			return nil, false
		}
		pairs = append(pairs, syncPair{key, val})
	}
	return pairs, true
}

// syncCheck is held until something happened behind the sync key.
func (w *web) syncCheck(rw http.ResponseWriter, c call) {
	q := c.URL.Query()
	ret, selector := 0, 0
	pairs, ok := parseSyncKey(q.Get("synckey"))
	w.await(c.Context(), w.opts.Hold, func() bool {
		var s *session
		s, ret = w.authorize(c, credentials{uin: q.Get("uin"), sid: q.Get("sid"), skey: q.Get("skey")})
		if ret != retOK {
			return true
		}
		pos, good := w.position(pairs)
		if !ok || !good {
			ret = retParam
			return true
		}
		if !s.polled {
			s.polled = true
			w.changed()
		}
		selector = w.selector(s, pos)
		return selector != 0
	})
	answerJS(rw, fmt.Sprintf("window.synccheck={retcode:\"%d\",selector:\"%d\"}", ret, selector))
}

// selector says what waits behind a position: 2 a message, 4 a contact
// changed, 6 a contact was added or removed, 7 a room changed, 0 nothing.
func (a *account) selector(s *session, pos uint64) int {
	sel := 0
	for _, e := range a.log.after(pos) {
		if e.login != 0 && e.login != s.number {
			continue
		}
		switch e.kind {
		case evMessage:
			return 2
		case evGone:
			sel = max(sel, 6)
		case evContact:
			sel = max(sel, 4)
		case evRoom, evMembers:
			sel = max(sel, 7)
		}
	}
	return sel
}

type syncRequest struct {
	based
	SyncKey syncKey
}

type syncAnswer struct {
	BaseResponse           baseResponse
	AddMsgCount            int
	AddMsgList             []addMsg
	ModContactCount        int
	ModContactList         []userJSON
	DelContactCount        int
	DelContactList         []delContact
	ModChatRoomMemberCount int
	ModChatRoomMemberList  []userJSON
	Profile                struct{}
	ContinueFlag           int
	SyncKey                syncKey
	SKey                   string
	SyncCheckKey           syncKey
}

type delContact struct {
	UserName    string
	ContactFlag int
}

// emptySync is a refusal: all fields, all empty.
func emptySync(ret int) syncAnswer {
	return syncAnswer{BaseResponse: baseResponse{Ret: ret}, AddMsgList: []addMsg{}, ModContactList: []userJSON{},
		DelContactList: []delContact{}, ModChatRoomMemberList: []userJSON{},
		SyncKey: syncKey{List: []syncPair{}}, SyncCheckKey: syncKey{List: []syncPair{}}}
}

// sync tells what happened behind the sync key, and the next one.
func (w *web) sync(rw http.ResponseWriter, c call) {
	var req syncRequest
	w.answer(rw, c, &req, func(s *session) (any, int) {
		pos, ok := w.position(req.SyncKey.List)
		if !ok {
			return nil, retParam
		}
		s.acked = max(s.acked, pos)
		return w.tell(s, pos), retOK
	})
}

// tell renders a batch of events for a session; called with mu held.
func (a *account) tell(s *session, pos uint64) syncAnswer {
	ans := emptySync(retOK)
	seen := make(map[string]bool) // a contact is told once a batch, as it is now
	taken := 0
	for _, e := range a.log.after(pos) {
		if taken == batchSize {
			ans.ContinueFlag = 1
			break
		}
		pos = e.pos
		if e.login != 0 && e.login != s.number {
			continue
		}
		taken++
		if e.kind == evMessage {
			ans.AddMsgList = append(ans.AddMsgList, a.render(s, e.msg))
		} else if key := fmt.Sprint(e.kind, e.id); !seen[key] {
			seen[key] = true
			a.tellContact(s, e, &ans)
		}
	}
	ans.AddMsgCount, ans.ModContactCount = len(ans.AddMsgList), len(ans.ModContactList)
	ans.DelContactCount, ans.ModChatRoomMemberCount = len(ans.DelContactList), len(ans.ModChatRoomMemberList)
	a.told = max(a.told, pos)
	ans.SyncKey, ans.SyncCheckKey = a.key(pos, 10), a.key(pos, 10)
	// The two differ in what is no position, so that a mix-up can be seen.
	ans.SyncCheckKey.List[4].Val++
	return ans
}

func (a *account) tellContact(s *session, e event, ans *syncAnswer) {
	switch e.kind {
	case evGone:
		ans.DelContactList = append(ans.DelContactList, delContact{UserName: s.name(e.id, a.rooms[e.id] != nil)})
	case evMembers:
		ans.ModChatRoomMemberList = append(ans.ModChatRoomMemberList, a.contact(s, e.id, true))
	default:
		ans.ModContactList = append(ans.ModContactList, a.contact(s, e.id, true))
	}
}
