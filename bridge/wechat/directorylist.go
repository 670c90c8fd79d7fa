package wechat

import (
	"cmp"
	"slices"
)

// Peer gives the peer with this id, if it is of this login.
func (d *Directory) Peer(id string) (Peer, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	p, ok := d.peers[id]
	return p, ok
}

// Member gives a member of a room.
func (d *Directory) Member(room, id string) (Peer, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	p, ok := d.rooms[room][id]
	return p, ok
}

// Members lists a room's members, by name; empty when they are not known.
func (d *Directory) Members(room string) []Peer {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return sorted(d.rooms[room])
}

// Peers lists all peers of this login, by name.
func (d *Directory) Peers() []Peer {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return sorted(d.peers)
}

func sorted(set map[string]Peer) []Peer {
	list := make([]Peer, 0, len(set))
	for _, p := range set {
		list = append(list, p)
	}
	slices.SortFunc(list, byName)
	return list
}

func byName(a, b Peer) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
}
