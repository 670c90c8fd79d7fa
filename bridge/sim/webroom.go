package sim

import (
	"net/http"
	"slices"
	"strings"
)

// inviteFrom is the size from which members are invited instead of added.
const inviteFrom = 40

type opLogRequest struct {
	based
	CmdId      int
	OP         int
	RemarkName string
	UserName   string
}

// opLog sets a remark (2) or pins a chat (3).
func (w *web) opLog(rw http.ResponseWriter, c call) {
	var req opLogRequest
	w.answer(rw, c, &req, func(s *session) (any, int) {
		id := s.ids[req.UserName]
		p, r := w.people[id], w.rooms[id]
		switch {
		case p == nil && r == nil:
			return nil, retSystem
		case req.CmdId == 2 && p != nil:
			p.Remark = req.RemarkName
		case req.CmdId == 3 && p != nil:
			p.pinned = req.OP == 1
		case req.CmdId == 3:
			r.pinned = req.OP == 1
		default:
			return nil, retParam
		}
		w.happened(event{kind: evContact, id: id})
		return sendAnswer{}, retOK
	})
}

// happened logs a change of a contact or room; called with mu held.
func (a *account) happened(e event) {
	a.contactsChanged()
	a.happens(e)
}

// happens logs an event and wakes the polls; called with mu held.
func (a *account) happens(e event) {
	a.log.add(e)
	a.changed()
}

type verifyRequest struct {
	based
	Opcode         int
	VerifyContent  string
	VerifyUserList []struct{ Value, VerifyUserTicket string }
}

// verifyUser accepts a friend request by its ticket (3) or asks somebody (2).
func (w *web) verifyUser(rw http.ResponseWriter, c call) {
	var req verifyRequest
	w.answer(rw, c, &req, func(s *session) (any, int) {
		if len(req.VerifyUserList) != 1 || req.Opcode != 2 && req.Opcode != 3 {
			return nil, retParam
		}
		u := req.VerifyUserList[0]
		p := w.people[s.ids[u.Value]]
		if p == nil {
			return nil, retSystem
		}
		if req.Opcode == 2 {
			return sendAnswer{}, retOK
		}
		// ItChat returns the ticket in VerifyContent.
		if w.asked[u.VerifyUserTicket] != p.ID && w.asked[req.VerifyContent] != p.ID {
			return nil, retTicket
		}
		w.befriend(p)
		return sendAnswer{}, retOK
	})
}

func (a *account) befriend(p *person) {
	p.Kind = "friend"
	for ticket, id := range a.asked {
		if id == p.ID {
			delete(a.asked, ticket)
		}
	}
	a.happened(event{kind: evContact, id: p.ID})
	a.notice(p.ID, false, "你已添加了"+p.Name+"，现在可以开始聊天了。")
}

type createRequest struct {
	based
	MemberCount int
	MemberList  []struct{ UserName string }
	Topic       string
}

// createRoom makes a room with the account as its owner.
func (w *web) createRoom(rw http.ResponseWriter, c call) {
	var req createRequest
	w.answer(rw, c, &req, func(s *session) (any, int) {
		members := []string{selfID}
		for _, m := range req.MemberList {
			id := s.ids[m.UserName]
			if w.people[id] == nil || w.people[id].Kind != "friend" {
				return nil, retSystem
			}
			members = append(members, id)
		}
		if len(members) < 3 || req.MemberCount != len(req.MemberList) {
			return nil, retParam
		}
		r := w.addRoom(Room{Name: req.Topic, Owner: selfID, Members: members})
		return struct {
			BaseResponse baseResponse
			ChatRoomName string
			Topic        string
			MemberCount  int
			MemberList   []memberJSON
		}{ChatRoomName: s.name(r.ID, true), Topic: r.Name, MemberCount: len(members),
			MemberList: w.contact(s, r.ID, true).MemberList}, retOK
	})
}

type roomRequest struct {
	based
	ChatRoomName     string
	AddMemberList    string
	InviteMemberList string
	DelMemberList    string
	NewTopic         string
}

// updateRoom adds, invites or removes members, or renames the room.
func (w *web) updateRoom(rw http.ResponseWriter, c call) {
	var req roomRequest
	fun := c.URL.Query().Get("fun")
	w.answer(rw, c, &req, func(s *session) (any, int) {
		r := w.rooms[s.ids[req.ChatRoomName]]
		if r == nil || r.left {
			return nil, retSystem
		}
		ret := retParam
		switch fun {
		case "addmember":
			ret = w.addMembers(s, r, req.AddMemberList, len(r.Members) < inviteFrom)
		case "invitemember":
			ret = w.addMembers(s, r, req.InviteMemberList, true)
		case "delmember":
			ret = w.removeMembers(s, r, req.DelMemberList)
		case "modtopic":
			ret = w.renameRoom(r, selfID, req.NewTopic)
		}
		return struct {
			BaseResponse baseResponse
			MemberCount  int
			MemberList   []memberJSON
		}{MemberCount: len(r.Members), MemberList: w.contact(s, r.ID, true).MemberList}, ret
	})
}

// idsOf resolves comma-separated user names; nil if one is not a person.
func (w *web) idsOf(s *session, names string) []string {
	var ids []string
	for name := range strings.SplitSeq(names, ",") {
		id := s.ids[name]
		if w.people[id] == nil {
			return nil
		}
		ids = append(ids, id)
	}
	return ids
}

func (w *web) addMembers(s *session, r *room, names string, allowed bool) int {
	ids := w.idsOf(s, names)
	if ids == nil || !allowed {
		return retParam
	}
	for _, id := range ids {
		if w.people[id].Kind != "friend" {
			return retSystem
		}
	}
	for _, id := range ids {
		w.joinRoom(r, id, selfID)
	}
	return retOK
}

// removeMembers is for the room's owner only.
func (w *web) removeMembers(s *session, r *room, names string) int {
	ids := w.idsOf(s, names)
	if ids == nil || r.Owner != selfID {
		return retParam
	}
	for _, id := range ids {
		if !slices.Contains(r.Members, id) {
			return retParam
		}
	}
	for _, id := range ids {
		w.leaveRoom(r, id, selfID)
	}
	return retOK
}
