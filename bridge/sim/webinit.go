package sim

import (
	"net/http"
	"strings"
	"time"
)

type initAnswer struct {
	BaseResponse        baseResponse
	Count               int
	ContactList         []userJSON
	SyncKey             syncKey
	User                userJSON
	ChatSet             string
	SKey                string
	ClientVersion       int
	SystemTime          int64
	GrayScale           int
	InviteStartCount    int
	MPSubscribeMsgCount int
	MPSubscribeMsgList  []struct{}
	ClickReportInterval int
}

type initRequest struct{ based }

// init gives the account itself, the recent chats and a sync key: the first
// one, or in a session that is resumed the newest one that the client showed.
func (w *web) init(rw http.ResponseWriter, c call) {
	w.answer(rw, c, &initRequest{}, func(s *session) (any, int) {
		ids := w.recentChats()
		ans := initAnswer{Count: len(ids), SyncKey: w.key(max(s.start, s.acked), 4), User: w.contact(s, selfID, false),
			SKey: s.skey, ClientVersion: 369302288, SystemTime: time.Now().Unix(), GrayScale: 1,
			InviteStartCount: 40, MPSubscribeMsgList: []struct{}{}, ClickReportInterval: 600000}
		names := make([]string, 0, len(ids))
		for _, id := range ids {
			ans.ContactList = append(ans.ContactList, w.contact(s, id, false))
			names = append(names, s.name(id, w.rooms[id] != nil))
		}
		ans.ChatSet = strings.Join(names, ",")
		return ans, retOK
	})
}

// recentChats are the ids of the chats that init lists: the fixed ones, active
// rooms and some friends.
func (a *account) recentChats() []string {
	ids := []string{"filehelper", "weixin"}
	for _, id := range a.roomOrder {
		if r := a.rooms[id]; r.Active && !r.left {
			ids = append(ids, id)
		}
	}
	for _, id := range a.order[:min(3, len(a.order))] {
		if a.people[id].Kind == "friend" {
			ids = append(ids, id)
		}
	}
	return ids
}

type notifyRequest struct {
	based
	Code         int
	FromUserName string
	ToUserName   string
	ClientMsgId  flexText
}

// statusNotify tells the phone that the web client is there (code 3), or that a
// chat was read (1). After the first one WeChat lists the recent chats.
func (w *web) statusNotify(rw http.ResponseWriter, c call) {
	var req notifyRequest
	w.answer(rw, c, &req, func(s *session) (any, int) {
		if s.ids[req.ToUserName] == "" {
			return nil, retSystem
		}
		if req.Code == 3 && !s.notified {
			s.notified = true
			w.happens(event{kind: evMessage, login: s.number, msg: &chatMessage{
				id: w.newMsgID(), at: time.Now(), chat: selfID, author: selfID, status: true}})
		}
		return sendAnswer{MsgID: formatID(w.newMsgID())}, retOK
	})
}

// statReport takes a client's statistics and has no other effect.
func (w *web) statReport(rw http.ResponseWriter, c call) {
	w.answer(rw, c, &initRequest{}, func(*session) (any, int) {
		return struct{ BaseResponse baseResponse }{}, retOK
	})
}
