package wechat

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// world has a collision on purpose on each border between two levels.
func world() []Peer {
	return []Peer{
		{ID: helperID, Name: "文件传输助手", Type: Helper},
		{ID: "@me", Name: "Ann", Type: Self},
		{ID: "@alice", Name: "Alice", Remark: "Boss", Alias: "alice_wx", Type: Friend},
		{ID: "@bob", Name: "Bob", Type: Friend},
		{ID: "@x1", Name: "小明", Type: Friend},
		{ID: "@x2", Name: "小明", Remark: "Ming", Type: Friend},
		{ID: "@n", Name: "Boss", Type: Friend},                     // nickname = Alice's remark
		{ID: "@r", Name: "Rita", Remark: "alice_wx", Type: Friend}, // remark = Alice's alias
		{ID: "@@team", Name: "Team", Type: Room},
		{ID: "@t", Name: "Team", Type: Friend}, // nickname = a room's topic
		{ID: "@al", Name: "Al", Alias: "Team2", Type: Friend},
		{ID: "@@team2", Name: "Team2", Type: Room}, // topic = Al's alias
		{ID: "@@d1", Name: "Twins", Type: Room},
		{ID: "@@d2", Name: "Twins", Type: Room},
		{ID: "@dot", Name: "J. Doe.", Type: Friend},
		{ID: "@heart", Name: "Love ❤\ufe0f", Type: Friend},
		{ID: "@sp", Name: "Space ", Type: Friend},
		{ID: "@sp2", Name: "Space", Type: Friend},
		{ID: "@cafe", Name: "Cafe\u0301", Type: Friend},
		{ID: "@news", Name: "News", Type: Service},
		{ID: "@ann2", Name: "Ann", Type: Friend}, // as the account itself
	}
}

func loaded(book map[string]Query) *Directory {
	d := NewDirectory(book)
	d.Begin()
	d.Put(world()...)
	d.Loaded()
	return d
}

func TestResolve(t *testing.T) {
	d := loaded(map[string]Query{
		"Owner":    {Remark: "Boss"},
		"Bob":      {ID: "@@team"}, // goes before the nickname
		"Chief":    {Name: "Owner"},
		"Mute":     {Name: "Mute"},
		"Rita":     {Name: "Rita"},
		"loop1":    {Name: "loop2"},
		"loop2":    {Name: "loop1"},
		"gone":     {Name: "Nobody at all"},
		"An Event": {ID: "@old", Name: "Team", Type: Room},
		"helper":   {Name: "filehelper"},
	})
	for _, c := range []struct {
		name  string
		query Query
		want  string // id, or ?level for an ambiguity, or "" for nobody
	}{
		{"address book", Query{Name: "Owner"}, "@alice"},
		{"address book before nickname", Query{Name: "Bob"}, "@@team"},
		{"address book, outer spaces", Query{Name: " Owner "}, "@alice"},
		{"address book over two entries", Query{Name: "Chief"}, "@alice"},
		{"address book names a contact of the same name", Query{Name: "Rita"}, "@r"},
		{"address book names itself", Query{Name: "Mute"}, ""},
		{"address book in a circle", Query{Name: "loop1"}, ""},
		{"address book to nobody", Query{Name: "gone"}, ""},
		{"address book with an event's peer", Query{Name: "An Event"}, "@@team"},
		{"address book to the helper", Query{Name: "helper"}, helperID},
		{"address book is not asked for a field", Query{Nickname: "Bob"}, "@bob"},
		{"helper", Query{Name: "filehelper"}, helperID},
		{"helper in Chinese", Query{Name: "文件传输助手"}, helperID},
		{"helper, spaces", Query{Name: " filehelper\n"}, helperID},
		{"remark before nickname", Query{Name: "Boss"}, "@alice"},
		{"remark before alias", Query{Name: "alice_wx"}, "@r"},
		{"alias before room", Query{Name: "Team2"}, "@al"},
		{"room before nickname", Query{Name: "Team"}, "@@team"},
		{"nickname", Query{Name: "Alice"}, "@alice"},
		{"service", Query{Name: "News"}, "@news"},
		{"two of one nickname", Query{Name: "小明"}, "?nickname"},
		{"but one by remark", Query{Name: "Ming"}, "@x2"},
		{"two rooms", Query{Name: "Twins"}, "?room"},
		{"with a dot", Query{Name: "J. Doe."}, "@dot"},
		{"oneself is meant last", Query{Name: "Ann"}, "@ann2"},
		{"emoji without selector", Query{Name: "Love ❤"}, "@heart"},
		{"emoji with selector", Query{Name: "Love ❤\ufe0f"}, "@heart"},
		{"exact goes before trimmed", Query{Name: "Space "}, "@sp"},
		{"exact goes before trimmed, other way", Query{Name: "Space"}, "@sp2"},
		{"trimmed fits two", Query{Name: " Space"}, "?nickname"},
		{"other normal form", Query{Name: "Café"}, "@cafe"},
		{"case counts", Query{Name: "alice"}, ""},
		{"nobody", Query{Name: "Zoe"}, ""},
		{"empty", Query{}, ""},
		{"spaces", Query{Name: "  "}, ""},
		{"by id", Query{ID: "@bob"}, "@bob"},
		{"by the helper's id", Query{ID: helperID}, helperID},
		{"an id is no name", Query{Name: "@bob"}, ""},
		{"by unknown id", Query{ID: "@zoe"}, ""},
		{"by remark only", Query{Remark: "Alice"}, ""},
		{"by remark", Query{Remark: "Boss"}, "@alice"},
		{"by nickname", Query{Nickname: "Boss"}, "@n"},
		{"nickname is no topic", Query{Nickname: "Team"}, "@t"},
		{"by alias", Query{Alias: "alice_wx"}, "@alice"},
		{"by room", Query{Room: "Team2"}, "@@team2"},
		{"room is no nickname", Query{Room: "Alice"}, ""},
		{"field with spaces", Query{Room: " Team "}, "@@team"},
		{"field, two of them", Query{Room: "Twins"}, "?room"},

		{"event, id of this login", Query{ID: "@x1", Name: "小明", Type: Friend}, "@x1"},
		{"event, id of this login and a new name", Query{ID: "@x1", Name: "old name", Type: Friend}, "@x1"},
		{"event, id of this login, other type", Query{ID: "@x1", Name: "Team", Type: Room}, "@@team"},
		{"event, id of an old login, by remark", Query{ID: "@old", Name: "小明", Remark: "Ming", Type: Friend}, "@x2"},
		{"event, id of an old login, by name", Query{ID: "@old", Name: "Bob", Type: Friend}, "@bob"},
		{"event, id of an old login, ambiguous", Query{ID: "@old", Name: "小明", Type: Friend}, "?nickname"},
		{"event, remark gone, by name", Query{ID: "@old", Name: "Bob", Remark: "Bobby", Type: Friend}, "@bob"},
		{"event, room", Query{ID: "@@old", Name: "Team", Type: Room}, "@@team"},
		{"event, two rooms", Query{ID: "@@old", Name: "Twins", Type: Room}, "?room"},
		{"event, friend called as a room", Query{ID: "@old", Name: "Team", Type: Friend}, "@t"},
		{"event, a service is no friend", Query{ID: "@old", Name: "News", Type: Friend}, ""},
		{"event, service", Query{ID: "@old", Name: "News", Type: Service}, "@news"},
		{"event, self", Query{ID: "@old", Name: "Ann", Type: Self}, "@me"},
		{"event, member who is a friend", Query{ID: "@bob", Name: "Bob", Type: Member}, "@bob"},
		{"event, helper", Query{ID: helperID, Name: "x", Type: Helper}, helperID},
		{"event, book does not count", Query{ID: "@old", Name: "Owner", Type: Friend}, ""},
		{"event, only a type", Query{Type: Friend}, ""},
		{"event, unknown type", Query{ID: "@bob", Name: "Bob", Type: "robot"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := d.Resolve(c.query)
			if got := outcome(p, err); got != c.want {
				t.Errorf("got %q (%v), want %q", got, err, c.want)
			}
		})
	}
}

func outcome(p Peer, err error) string {
	var amb *AmbiguousError
	var nf *NotFoundError
	switch {
	case errors.As(err, &amb):
		return "?" + amb.Level
	case errors.As(err, &nf) && !nf.Loading:
		return ""
	case err != nil:
		return err.Error()
	}
	return p.ID
}

func TestEventAboutOneself(t *testing.T) {
	d := NewDirectory(nil)
	d.Put(Peer{ID: "@me", Name: "Ann", Type: Self})
	d.Loaded()
	for _, q := range []Query{{Name: "Ann"}, {ID: "@old", Name: "Ann", Type: Self}} {
		if p, err := d.Resolve(q); err != nil || p.ID != "@me" {
			t.Errorf("%v: %v, %v", q, p, err)
		}
	}
}

func TestAmbiguityNamesTheCandidates(t *testing.T) {
	d := loaded(nil)
	var amb *AmbiguousError
	if _, err := d.Resolve(Query{Name: "小明"}); !errors.As(err, &amb) {
		t.Fatal(err)
	}
	want := []Peer{{ID: "@x1", Name: "小明", Type: Friend}, {ID: "@x2", Name: "小明", Remark: "Ming", Type: Friend}}
	if diff := cmp.Diff(want, amb.Candidates); diff != "" {
		t.Error(diff)
	}
	many := make([]Peer, 500)
	for i := range many {
		many[i] = Peer{ID: fmt.Sprint("@m", 999-i), Name: "Same", Type: Friend}
	}
	d.Put(many...)
	if _, err := d.Resolve(Query{Name: "Same"}); !errors.As(err, &amb) || len(amb.Candidates) != maxCandidates {
		t.Errorf("%d candidates", len(amb.Candidates))
	}
	if !slices.IsSortedFunc(amb.Candidates, byName) {
		t.Error("the same question gets another answer each time")
	}
}

func TestWhileLoading(t *testing.T) {
	d := NewDirectory(map[string]Query{"Pal": {ID: "@bob"}, "Boss": {Remark: "Boss"}})
	loading := func(q Query) {
		t.Helper()
		var nf *NotFoundError
		if _, err := d.Resolve(q); !errors.As(err, &nf) || !nf.Loading || nf.Nearest != nil {
			t.Errorf("%v: %v", q, err)
		}
	}
	found := func(q Query) {
		t.Helper()
		if _, err := d.Resolve(q); err != nil {
			t.Errorf("%v: %v", q, err)
		}
	}
	loading(Query{Name: "filehelper"})
	loading(Query{ID: "@bob"})
	d.Put(Peer{ID: helperID, Type: Helper}, Peer{ID: "@bob", Name: "Bob", Type: Friend})
	found(Query{Name: "filehelper"})
	found(Query{Name: "文件传输助手"})
	found(Query{ID: helperID})
	found(Query{ID: "@bob"})
	found(Query{Name: "Pal"})
	found(Query{ID: "@bob", Name: "Bob", Type: Friend})
	found(Query{ID: "x", Type: Helper})
	loading(Query{Name: "Boss"})
	// Another Bob, or somebody with the remark Bob, may still be on the way.
	loading(Query{Name: "Bob"})
	loading(Query{Nickname: "Bob"})
	loading(Query{ID: "@old", Name: "Bob", Type: Friend})
	d.Loaded()
	found(Query{Name: "Bob"})
	d.Begin()
	loading(Query{Name: "Bob"})
	loading(Query{Name: "filehelper"})
}

func TestWithoutHelper(t *testing.T) {
	d := NewDirectory(nil)
	d.Put(Peer{ID: "o1", Name: "filehelper", Type: Friend})
	d.Loaded()
	if p, err := d.Resolve(Query{Name: "filehelper"}); err != nil || p.ID != "o1" {
		t.Errorf("a transport without a file helper: %v, %v", p, err)
	}
	if _, err := d.Resolve(Query{Name: "文件传输助手"}); outcome(Peer{}, err) != "" {
		t.Errorf("got %v", err)
	}
}

func TestPutReplacesAndRemoveForgets(t *testing.T) {
	d := loaded(nil)
	d.Put(Peer{ID: "@bob", Name: "Robert", Remark: "Bobby", Type: Friend})
	for name, want := range map[string]string{"Bob": "", "Robert": "@bob", "Bobby": "@bob"} {
		if p, err := d.Resolve(Query{Name: name}); outcome(p, err) != want {
			t.Errorf("%s: %v, %v", name, p, err)
		}
	}
	d.Remove("@x1")
	if p, err := d.Resolve(Query{Name: "小明"}); err != nil || p.ID != "@x2" {
		t.Errorf("one of two is gone: %v, %v", p, err)
	}
	d.Remove("@x2")
	d.Remove("@never")
	if _, err := d.Resolve(Query{Name: "小明"}); outcome(Peer{}, err) != "" {
		t.Error(err)
	}
	d.PutMembers("@@team", []Peer{{ID: "@bob", Name: "Bob", Type: Member}})
	d.Remove("@@team")
	if len(d.Members("@@team")) != 0 {
		t.Error("a room that was left has members")
	}
	if _, ok := d.Peer("@x2"); ok {
		t.Error("@x2 is still there")
	}
	d.Put(Peer{Name: "No ID", Type: Friend})
	if _, err := d.Resolve(Query{Name: "No ID"}); outcome(Peer{}, err) != "" {
		t.Error("a peer without an id cannot be written to")
	}
}

func TestNothingIsLeftOfARemovedPeer(t *testing.T) {
	d := loaded(nil)
	for _, p := range world() {
		d.Put(Peer{ID: p.ID, Name: p.Name + "!", Remark: "r", Type: p.Type})
		d.Remove(p.ID)
	}
	for l := range d.index {
		if n := len(d.index[l]); n != 0 {
			t.Errorf("%s: %d entries", level(l), n)
		}
	}
}

func TestBeginForgetsEverything(t *testing.T) {
	d := loaded(nil)
	d.PutMembers("@@team", []Peer{{ID: "@bob", Name: "Bob", Type: Member}})
	before := d.Generation()
	d.Begin()
	if d.Generation() != before+1 || len(d.Peers()) != 0 || len(d.Members("@@team")) != 0 {
		t.Error("the former login is still there")
	}
	if _, ok := d.Member("@@team", "@bob"); ok {
		t.Error("a member of the former login")
	}
}

func TestChanged(t *testing.T) {
	d := NewDirectory(nil)
	bob := Peer{ID: "@bob", Name: "Bob", Type: Friend}
	for _, c := range []struct {
		name   string
		act    func()
		change bool
	}{
		{"begin", d.Begin, true},
		{"put", func() { d.Put(bob) }, true},
		{"put again", func() { d.Put(bob) }, false},
		{"put nothing", func() { d.Put() }, false},
		{"put without id", func() { d.Put(Peer{Name: "x"}) }, false},
		{"loaded", d.Loaded, true},
		{"loaded again", d.Loaded, false},
		{"renamed", func() { bob.Name = "Robert"; d.Put(bob) }, true},
		{"members", func() { d.PutMembers("@@r", []Peer{bob}) }, true},
		{"same members", func() { d.PutMembers("@@r", []Peer{bob}) }, false},
		{"fewer members", func() { d.PutMembers("@@r", nil) }, true},
		{"remove", func() { d.Remove("@bob") }, true},
		{"remove again", func() { d.Remove("@bob") }, false},
		{"remove a room known by its members", func() { d.Remove("@@r") }, true},
		{"a query", func() { _, _ = d.Resolve(Query{Name: "x"}) }, false},
	} {
		first, second := d.Changed(), d.Changed()
		c.act()
		for _, ch := range []<-chan struct{}{first, second} {
			if closed(ch) != c.change {
				t.Errorf("%s: changed %v", c.name, !c.change)
			}
		}
	}
}

func closed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

func TestPeersAreSorted(t *testing.T) {
	peers := loaded(nil).Peers()
	if len(peers) != len(world()) || !slices.IsSortedFunc(peers, byName) {
		t.Errorf("%v", peers)
	}
}

// TestBookNamesThatFoldTogether: two entries that only a machine can tell
// apart are found exactly, and never guessed.
func TestBookNamesThatFoldTogether(t *testing.T) {
	d := loaded(map[string]Query{"X": {ID: "@bob"}, "X ": {ID: "@alice"}})
	for name, want := range map[string]string{"X": "@bob", "X ": "@alice", " X": ""} {
		if p, err := d.Resolve(Query{Name: name}); outcome(p, err) != want {
			t.Errorf("%q: %v, %v", name, p, err)
		}
	}
}

func TestBookIsACopy(t *testing.T) {
	book := map[string]Query{"Owner": {ID: "@bob"}}
	d := loaded(book)
	book["Owner"] = Query{ID: "@alice"}
	if p, err := d.Resolve(Query{Name: "Owner"}); err != nil || p.ID != "@bob" {
		t.Errorf("%v, %v", p, err)
	}
}
