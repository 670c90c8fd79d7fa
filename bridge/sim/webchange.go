package sim

import (
	"fmt"
	"slices"
)

// changeContact implements chats; sync tells it (ModContactList, DelContactList).
func (a *account) changeContact(c ContactChange) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.people[c.ID]
	if c.Do == "add" && p == nil {
		if err := a.addPerson(Person{ID: c.ID, Name: c.Name, Kind: c.Kind}); err != nil {
			return err
		}
		a.happened(event{kind: evContact, id: c.ID})
		return nil
	}
	if p == nil {
		return fmt.Errorf("%w: contact %q", ErrUnknown, c.ID)
	}
	switch c.Do {
	case "add":
		a.befriend(p)
	case "rename":
		p.Name = c.Name
		a.happened(event{kind: evContact, id: c.ID})
	case "remark":
		p.Remark = c.Name
		a.happened(event{kind: evContact, id: c.ID})
	case "delete":
		p.Kind = "stranger"
		a.happened(event{kind: evGone, id: c.ID})
	default:
		return fmt.Errorf("%w: do %q: want add, rename, remark or delete", ErrInvalid, c.Do)
	}
	return nil
}

// changeRoom implements chats; sync tells it (ModContactList,
// ModChatRoomMemberList) and a system message in the room says so.
func (a *account) changeRoom(c RoomChange) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c.Do == "create" {
		return a.createRoom(c)
	}
	r := a.rooms[c.Room]
	if r == nil {
		return fmt.Errorf("%w: room %q", ErrUnknown, c.Room)
	}
	switch c.Do {
	case "join":
		if a.people[c.Member] == nil && c.Member != selfID {
			return fmt.Errorf("%w: member %q", ErrUnknown, c.Member)
		}
		a.joinRoom(r, c.Member, c.By)
	case "leave":
		if !slices.Contains(r.Members, c.Member) {
			return fmt.Errorf("%w: member %q", ErrUnknown, c.Member)
		}
		a.leaveRoom(r, c.Member, c.By)
	case "rename":
		if a.renameRoom(r, c.By, c.Name) != retOK {
			return fmt.Errorf("%w: name of a room", ErrInvalid)
		}
	case "save":
		r.Saved = true
		a.happened(event{kind: evRoom, id: r.ID})
	default:
		return fmt.Errorf("%w: do %q: want create, join, leave, rename or save", ErrInvalid, c.Do)
	}
	return nil
}

func (a *account) createRoom(c RoomChange) error {
	r := Room{ID: c.Room, Name: c.Name, Members: c.Members, Owner: c.By}
	ids := map[string]bool{selfID: true}
	for id := range a.people {
		ids[id] = true
	}
	for id := range a.rooms {
		ids[id] = true
	}
	if err := r.fill(ids); err != nil {
		return err
	}
	a.addRoom(r)
	return nil
}

// addRoom makes a room active at once; without an id it gets one.
func (a *account) addRoom(r Room) *room {
	if r.ID == "" {
		a.drafted++
		r.ID = fmt.Sprintf("room%d", a.drafted)
	}
	if r.Name == "" {
		r.Name = "群聊"
	}
	r.Active = true
	nr := &room{Room: r.clone()}
	a.rooms[r.ID] = nr
	a.roomOrder = append(a.roomOrder, r.ID)
	a.happened(event{kind: evRoom, id: r.ID})
	return nr
}

// naming is how a system message names somebody.
func (a *account) naming(id string) string {
	if id == selfID {
		return "你"
	}
	return `"` + a.person(id).Name + `"`
}

func (a *account) joinRoom(r *room, id, by string) {
	if slices.Contains(r.Members, id) {
		return
	}
	r.Members = append(r.Members, id)
	if id == selfID {
		r.left = false
	}
	if by == "" {
		by = r.Owner
	}
	a.happened(event{kind: evMembers, id: r.ID})
	a.notice(r.ID, true, a.naming(by)+"邀请"+a.naming(id)+"加入了群聊")
}

// leaveRoom removes a member; the account itself loses the room.
func (a *account) leaveRoom(r *room, id, by string) {
	text := a.naming(id) + "退出了群聊"
	if by != "" && by != id {
		text = a.naming(by) + "将" + a.naming(id) + "移出了群聊"
	}
	a.notice(r.ID, true, text)
	r.Members = slices.DeleteFunc(r.Members, func(m string) bool { return m == id })
	if id == selfID {
		r.left = true
		a.happened(event{kind: evGone, id: r.ID})
		return
	}
	a.happened(event{kind: evMembers, id: r.ID})
}

func (a *account) renameRoom(r *room, by, name string) int {
	if name == "" {
		return retParam
	}
	if by == "" {
		by = r.Owner
	}
	r.Name = name
	a.happened(event{kind: evRoom, id: r.ID})
	a.notice(r.ID, true, a.naming(by)+"修改群名为“"+name+"”")
	return retOK
}
