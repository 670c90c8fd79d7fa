package wechat

import (
	"maps"
	"slices"
	"sync"
)

// Directory knows the peers of one account and turns what a user wrote into
// one of them. The transport fills it, the outbox asks it. It is safe for
// concurrent use. A lookup costs the same with 5 peers and with 5,000.
type Directory struct {
	book map[string]Query // never changed after NewDirectory
	// folded has the book's names in the form of fold, for spellings that
	// differ only in what nobody sees. A name that two entries share is left out.
	folded map[string]string

	mu      sync.RWMutex
	gen     uint64
	loaded  bool
	failure error         // of the last try to load the contact list
	changed chan struct{} // nil while nobody waits
	peers   map[string]Peer
	index   [levels]map[string][]string // folded value → ids
	rooms   map[string]map[string]Peer  // members by room and id
	nearest nearestCache
}

// NewDirectory makes an empty directory that is still loading. The book is the
// address book of the configuration, a name to what it stands for; it goes
// before everything that WeChat knows.
func NewDirectory(book map[string]Query) *Directory {
	d := &Directory{book: make(map[string]Query, len(book)), folded: make(map[string]string, len(book))}
	twice := map[string]bool{}
	for name, q := range book {
		d.book[name] = q
		f := fold(name)
		if _, ok := d.folded[f]; ok {
			twice[f] = true
		}
		d.folded[f] = name
	}
	for f := range twice {
		delete(d.folded, f)
	}
	d.clear()
	return d
}

// Begin says that a new login begins: all peers are forgotten, as the web
// protocol renames them, and the directory is loading again.
func (d *Directory) Begin() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.gen++
	d.loaded, d.failure = false, nil
	d.clear()
	d.signal()
}

// Loaded says that the contact list is complete: from now on a name that is
// not there is nobody's, and one that fits once is unique.
func (d *Directory) Loaded() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.loaded {
		return
	}
	d.loaded, d.failure = true, nil
	d.signal()
}

// Failed says that the contact list could not be loaded, and why; it is tried
// again.
func (d *Directory) Failed(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.loaded || err == nil {
		return
	}
	again := d.failure != nil && d.failure.Error() == err.Error()
	d.failure = err
	if !again {
		d.signal()
	}
}

// Failure is why the contact list could not be loaded; nil while it loads for
// the first time and once it is there.
func (d *Directory) Failure() error {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.failure
}

// Put adds peers or replaces those with the same id. Peers without an id are
// left out. What changes nothing wakes nobody.
func (d *Directory) Put(peers ...Peer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	moved := false
	for _, p := range peers {
		moved = d.put(p) || moved
	}
	if moved {
		d.signal()
	}
}

// PutMembers replaces what is known about a room's members.
func (d *Directory) PutMembers(room string, members []Peer) {
	set := make(map[string]Peer, len(members))
	for _, m := range members {
		if m.ID != "" {
			set[m.ID] = m
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if old, ok := d.rooms[room]; ok && maps.Equal(old, set) {
		return
	}
	d.rooms[room] = set
	d.signal()
}

// Remove forgets a peer (no longer a friend, a room that was left) and, for a
// room, its members.
func (d *Directory) Remove(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p, ok := d.peers[id]
	_, room := d.rooms[id]
	if !ok && !room {
		return
	}
	if ok {
		d.drop(p)
	}
	delete(d.rooms, id)
	d.signal()
}

// Changed is closed at the next change. Take it before looking something up,
// so that a change in between is not missed.
func (d *Directory) Changed() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.changed == nil {
		d.changed = make(chan struct{})
	}
	return d.changed
}

// Generation counts the logins: peers and ids of another one mean nothing.
func (d *Directory) Generation() uint64 {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.gen
}

// signal wakes who waits for a change; the caller holds the lock.
func (d *Directory) signal() {
	d.nearest.stale()
	if d.changed != nil {
		close(d.changed)
		d.changed = nil
	}
}

func (d *Directory) clear() {
	d.peers = map[string]Peer{}
	d.rooms = map[string]map[string]Peer{}
	for l := range d.index {
		d.index[l] = map[string][]string{}
	}
}

// put stores one peer and reports whether something changed.
func (d *Directory) put(p Peer) bool {
	if p.ID == "" {
		return false
	}
	old, ok := d.peers[p.ID]
	if ok && old == p {
		return false
	}
	if ok {
		d.drop(old)
	}
	d.peers[p.ID] = p
	for l := level(0); l < levels; l++ {
		if v := l.of(p); v != "" {
			f := fold(v)
			d.index[l][f] = append(d.index[l][f], p.ID)
		}
	}
	return true
}

func (d *Directory) drop(p Peer) {
	delete(d.peers, p.ID)
	for l := level(0); l < levels; l++ {
		v := l.of(p)
		if v == "" {
			continue
		}
		f := fold(v)
		ids := d.index[l][f]
		if i := slices.Index(ids, p.ID); i >= 0 {
			ids = slices.Delete(ids, i, i+1)
		}
		if len(ids) == 0 {
			delete(d.index[l], f)
		} else {
			d.index[l][f] = ids
		}
	}
}
