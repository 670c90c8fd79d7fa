package wechat

import "slices"

// level is one kind of name, in the order in which a bare name is looked up.
type level int

const (
	byRemark level = iota
	byAlias
	byRoom
	byNickname
	levels
)

// String is the level's name in an AmbiguousError and in a query.
func (l level) String() string {
	return [...]string{"remark", "alias", "room", "nickname"}[l]
}

// of is what a peer is called on this level, or nothing.
func (l level) of(p Peer) string {
	switch {
	case l == byRemark:
		return p.Remark
	case l == byAlias:
		return p.Alias
	case (l == byRoom) == (p.Type == Room):
		return p.Name
	}
	return ""
}

// maxCandidates bounds what an AmbiguousError carries: it ends up in a record.
const maxCandidates = 20

// helperID is the fixed user name of the file helper (webwx).
const helperID = "filehelper"

// helperNames are what a person may type for the file helper.
var helperNames = [...]string{helperID, "文件传输助手"}

// Resolve finds the one peer that a query means. The errors are *NotFoundError
// and *AmbiguousError.
//
// A bare name is looked up in the address book, then as the file helper, then
// as remark, alias, room and nickname. An exact spelling goes before one that
// differs only in outer spaces, emoji variation selectors or Unicode normal
// form. The other fields look at that field alone; a peer of an event is found
// by id while that is of this login and of the same type, else by remark, then
// name.
//
// While contacts are loading only ids and the file helper are found: a name
// that fits now may turn out to be somebody else's, or two people's.
func (d *Directory) Resolve(q Query) (Peer, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.resolve(q, nil)
}

// resolve is Resolve; seen holds the names of the address book on the way.
func (d *Directory) resolve(q Query, seen []string) (Peer, error) {
	switch {
	case q.Type != "":
		return d.resolveEvent(q)
	case q.ID != "":
		if p, ok := d.peers[q.ID]; ok {
			return p, nil
		}
		return Peer{}, &NotFoundError{Loading: !d.loaded}
	case q.Remark != "":
		return d.resolveField(byRemark, q.Remark)
	case q.Alias != "":
		return d.resolveField(byAlias, q.Alias)
	case q.Room != "":
		return d.resolveField(byRoom, q.Room)
	case q.Nickname != "":
		return d.resolveField(byNickname, q.Nickname)
	}
	return d.resolveName(q.Name, seen)
}

// resolveName looks a bare name up, exactly spelled and then folded.
func (d *Directory) resolveName(name string, seen []string) (Peer, error) {
	if entry, ok := d.entry(name); ok && !slices.Contains(seen, entry) {
		return d.resolve(d.book[entry], append(seen, entry))
	}
	if p, ok := d.helper(name); ok {
		return p, nil
	}
	if !d.loaded {
		return Peer{}, &NotFoundError{Loading: true}
	}
	for _, exact := range []bool{true, false} {
		for l := level(0); l < levels; l++ {
			if ids := d.find(l, name, exact, ""); len(ids) > 0 {
				return d.one(l, ids)
			}
		}
	}
	return Peer{}, d.notFound(name)
}

// entry finds a name in the address book and gives it as it is spelled there.
// An entry that leads back to itself is passed over by resolveName, so that
// {"Mum": {"name": "Mum"}} means the contact.
func (d *Directory) entry(name string) (string, bool) {
	if _, ok := d.book[name]; ok {
		return name, true
	}
	if len(d.book) == 0 {
		return "", false
	}
	entry, ok := d.folded[fold(name)]
	return entry, ok
}

func (d *Directory) helper(name string) (Peer, bool) {
	if !slices.Contains(helperNames[:], fold(name)) {
		return Peer{}, false
	}
	p, ok := d.peers[helperID]
	return p, ok && p.Type == Helper
}

func (d *Directory) resolveField(l level, value string) (Peer, error) {
	if !d.loaded {
		return Peer{}, &NotFoundError{Loading: true}
	}
	for _, exact := range []bool{true, false} {
		if ids := d.find(l, value, exact, ""); len(ids) > 0 {
			return d.one(l, ids)
		}
	}
	return Peer{}, d.notFound(value)
}

// resolveEvent finds the peer of an event again, perhaps after a new login.
func (d *Directory) resolveEvent(q Query) (Peer, error) {
	if p, ok := d.peers[q.ID]; ok && sameType(p.Type, q.Type) {
		return p, nil
	}
	if p, ok := d.peers[helperID]; ok && q.Type == Helper {
		return p, nil
	}
	if !d.loaded {
		return Peer{}, &NotFoundError{Loading: true}
	}
	names := byNickname
	if q.Type == Room {
		names = byRoom
	}
	for _, try := range []struct {
		level level
		value string
	}{{byRemark, q.Remark}, {names, q.Name}} {
		if ids := d.find(try.level, try.value, true, q.Type); len(ids) > 0 {
			return d.one(try.level, ids)
		}
	}
	return Peer{}, d.notFound(firstOf(q.Remark, q.Name))
}

// sameType takes a member of a room for a friend: the type of an event's peer
// depends on where it spoke.
func sameType(a, b PeerType) bool {
	if a == Member {
		a = Friend
	}
	if b == Member {
		b = Friend
	}
	return a == b
}

// find gives a fresh list of the ids whose value on a level is this one; typ
// may be empty. The account itself is found only if nobody else is: who writes
// to a name means the other one.
func (d *Directory) find(l level, value string, exact bool, typ PeerType) []string {
	if value == "" {
		return nil
	}
	var ids, self []string
	for _, id := range d.index[l][fold(value)] {
		p := d.peers[id]
		switch {
		case exact && l.of(p) != value:
		case typ != "" && !sameType(p.Type, typ):
		case p.Type == Self:
			self = append(self, id)
		default:
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return self
	}
	return ids
}

// one gives the only peer of a list, or says who else is meant.
func (d *Directory) one(l level, ids []string) (Peer, error) {
	if len(ids) == 1 {
		return d.peers[ids[0]], nil
	}
	candidates := make([]Peer, len(ids))
	for i, id := range ids {
		candidates[i] = d.peers[id]
	}
	return Peer{}, ambiguous(l, candidates)
}

func ambiguous(l level, candidates []Peer) error {
	slices.SortFunc(candidates, byName)
	return &AmbiguousError{Level: l.String(), Candidates: candidates[:min(len(candidates), maxCandidates)]}
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
