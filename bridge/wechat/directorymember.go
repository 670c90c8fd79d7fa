package wechat

// ResolveMember finds a room's member to mention: by the remark or alias that
// the account gave a friend, then by the name in the room, exactly spelled and
// then folded as in Resolve. The errors are *NotFoundError, with Loading while
// the room's members are not known, and *AmbiguousError.
func (d *Directory) ResolveMember(room, name string) (Peer, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	members, ok := d.rooms[room]
	if !ok {
		return Peer{}, &NotFoundError{Loading: true}
	}
	want := name
	for _, exact := range []bool{true, false} {
		if !exact {
			want = fold(name)
		}
		for _, l := range []level{byRemark, byAlias, byNickname} {
			found := d.members(members, l, want, exact)
			if len(found) == 1 {
				return found[0], nil
			}
			if len(found) > 1 {
				return Peer{}, ambiguous(l, found)
			}
		}
	}
	return Peer{}, &NotFoundError{Nearest: nearest(name, suggest(memberNames(members)...))}
}

// members looks through one room: at most 500 people, only when somebody is
// mentioned, so an index of every room would cost more than it saves.
func (d *Directory) members(members map[string]Peer, l level, want string, exact bool) []Peer {
	var found []Peer
	for _, m := range members {
		if d.called(m, l, want, exact) {
			found = append(found, m)
		}
	}
	return found
}

// called asks the member as the room shows it and the friend of the same id,
// as only the latter has a remark.
func (d *Directory) called(m Peer, l level, want string, exact bool) bool {
	for _, v := range [...]string{l.of(m), l.of(d.peers[m.ID])} {
		if v != "" && (v == want || !exact && fold(v) == want) {
			return true
		}
	}
	return false
}

func memberNames(members map[string]Peer) []string {
	var names []string
	for _, m := range members {
		names = append(names, m.Name)
	}
	return names
}
