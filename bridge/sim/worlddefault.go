package sim

import "slices"

// DefaultWorld has 30 friends, a service account, two strangers and 5 rooms.
// Among them: two friends with one nickname (li-wei-1, li-wei-2), an emoji in a
// name (panda), a remark (carol), a dot (j.smith), and two rooms that are
// invisible until somebody writes there (hidden, attic).
func DefaultWorld() *World {
	w := &World{
		Self: Person{Name: "小桥", Alias: "bridge", Signature: "模拟账号", Sex: 1},
		People: []Person{
			{ID: "alice", Name: "Alice", Sex: 2, Signature: "hello"},
			{ID: "bob", Name: "Bob", Sex: 1},
			{ID: "carol", Name: "Carol", Remark: "Carol (Accounting)", Sex: 2},
			{ID: "li-wei-1", Name: "李伟", Sex: 1},
			{ID: "li-wei-2", Name: "李伟", Sex: 1, Signature: "另一个"},
			{ID: "panda", Name: "Panda 🐼", Sex: 2},
			{ID: "j.smith", Name: "J. Smith", Alias: "j.smith"},
			{ID: "tom-jerry", Name: "Tom & Jerry <3"},
			{ID: "wang-fang", Name: "王芳", Remark: "王芳 财务", Sex: 2},
			{ID: "zhang-san", Name: "张三", Sex: 1},
			{ID: "li-si", Name: "李四", Sex: 1},
			{ID: "wang-wu", Name: "王五", Sex: 1},
			{ID: "chen-jing", Name: "陈静", Sex: 2},
			{ID: "liu-yang", Name: "刘洋", Sex: 1},
			{ID: "zhao-min", Name: "赵敏", Sex: 2},
			{ID: "yang-guo", Name: "杨过", Sex: 1},
			{ID: "dave", Name: "Dave", Alias: "dave2000", Sex: 1},
			{ID: "erin", Name: "Erin", Sex: 2},
			{ID: "frank", Name: "Frank", Sex: 1},
			{ID: "grace", Name: "Grace", Sex: 2},
			{ID: "heidi", Name: "Heidi", Sex: 2},
			{ID: "ivan", Name: "Иван", Sex: 1},
			{ID: "judy", Name: "Judy", Sex: 2},
			{ID: "kevin", Name: "Kevin", Sex: 1},
			{ID: "lena", Name: "Léna", Sex: 2},
			{ID: "mallory", Name: "Mallory \u202egnp.exe"},
			{ID: "nina", Name: "にな", Sex: 2},
			{ID: "oscar", Name: "Oscar", Sex: 1},
			{ID: "peggy", Name: "Peggy", Sex: 2},
			{ID: "quinn", Name: "Quinn"},
			{ID: "news", Name: "每日新闻", Kind: "service"},
			{ID: "stranger", Name: "Stranger", Kind: "stranger"},
			{ID: "trent", Name: "Trent", Kind: "stranger", Sex: 1},
		},
		Rooms: []Room{
			{ID: "team", Name: "Team", Members: []string{"alice", "bob"}, Saved: true, Active: true},
			{ID: "family", Name: "一家人 👪", Owner: "wang-fang", Members: []string{"wang-fang", "zhang-san", "li-si"},
				Names: map[string]string{"wang-fang": "妈妈"}, Saved: true},
			{ID: "project", Name: "Project X", Owner: "carol", Members: []string{"carol", "dave", "erin", "trent"},
				Names: map[string]string{selfID: "Bridge"}, Active: true, Muted: true},
			{ID: "hidden", Name: "Hidden Room", Owner: "frank", Members: []string{"frank", "grace", "alice"}},
			{ID: "attic", Name: "Attic", Owner: "oscar", Members: []string{"oscar", "peggy", "quinn"}},
		},
	}
	if err := w.fill(); err != nil {
		panic(err) // a constant of this file is wrong; its test would have failed
	}
	return w
}

// clone copies a world, so that filling it in leaves the caller's as it is.
func (w *World) clone() *World {
	c := *w
	c.People = slices.Clone(w.People)
	c.Rooms = make([]Room, len(w.Rooms))
	for i, r := range w.Rooms {
		c.Rooms[i] = r.clone()
	}
	return &c
}

// clone copies what the simulator changes while it runs.
func (r Room) clone() Room {
	r.Members = slices.Clone(r.Members)
	names := make(map[string]string, len(r.Names))
	for k, v := range r.Names {
		names[k] = v
	}
	r.Names = names
	return r
}
