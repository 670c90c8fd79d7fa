package wechat

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"
)

// TestDirectoryUnderFire has many readers, writers and logins at once; the
// race detector watches. What a reader gets is always whole.
func TestDirectoryUnderFire(t *testing.T) {
	d := NewDirectory(map[string]Query{"Owner": {Remark: "r1"}})
	var writers, readers sync.WaitGroup
	done := make(chan struct{})
	for w := range 3 {
		writers.Go(func() {
			for i := range 200 {
				write(d, w, i)
			}
		})
	}
	for range 4 {
		readers.Go(func() {
			for !closed(done) {
				read(t, d)
			}
		})
	}
	writers.Wait()
	last := d.Changed()
	close(done)
	readers.Wait()
	d.Begin()
	<-last
}

func write(d *Directory, w, i int) {
	id := fmt.Sprint("@", i%20)
	switch (w + i) % 6 {
	case 0:
		d.Begin()
	case 1:
		d.Loaded()
	case 2:
		d.Remove(id)
	case 3:
		d.PutMembers("@@room", []Peer{{ID: id, Name: "n" + id, Type: Member}})
	default:
		d.Put(Peer{ID: id, Name: "n" + id, Remark: fmt.Sprint("r", i%3), Type: Friend})
	}
}

func read(t *testing.T, d *Directory) {
	for _, q := range []Query{{Name: "Owner"}, {Name: "n@1"}, {ID: "@2"}, {Remark: "r2"}, {Name: "nobody"}, {ID: "@3", Name: "n@3", Type: Friend}} {
		p, err := d.Resolve(q)
		if err == nil && p.Name != "n"+p.ID {
			t.Errorf("%v gave %v", q, p)
		}
	}
	_, _ = d.ResolveMember("@@room", "n@1")
	d.Members("@@room")
	d.Peers()
	d.Generation()
	d.Changed()
}

// TestWaitingForAPeer is how the outbox waits; no change may slip through.
func TestWaitingForAPeer(t *testing.T) {
	d := NewDirectory(nil)
	d.Loaded()
	found := make(chan Peer)
	go func() {
		for {
			changed := d.Changed()
			if p, err := d.Resolve(Query{Room: "Late"}); err == nil {
				found <- p
				return
			}
			<-changed
		}
	}()
	for i := range 50 {
		d.Put(Peer{ID: fmt.Sprint("@@", i), Name: fmt.Sprint("Room ", i), Type: Room})
	}
	d.Put(Peer{ID: "@@late", Name: "Late", Type: Room})
	select {
	case p := <-found:
		if p.ID != "@@late" {
			t.Errorf("found %v", p)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the change was missed")
	}
}

func crowd(n int) []Peer {
	peers := make([]Peer, n)
	for i := range peers {
		peers[i] = Peer{ID: fmt.Sprintf("@%064x", i), Name: fmt.Sprintf("朋友 %d ❤\ufe0f", i), Type: Friend}
		switch i % 10 {
		case 0:
			peers[i].Remark = fmt.Sprint("customer ", i)
		case 1:
			peers[i].Type, peers[i].ID = Room, "@"+peers[i].ID
		case 2:
			peers[i].Alias = fmt.Sprint("wx_", i)
		}
	}
	return peers
}

// TestFiveThousandContacts holds the budget of DESIGN: 5,000 contacts cost
// less than a second and 50 MB, and a lookup nothing worth naming.
func TestFiveThousandContacts(t *testing.T) {
	peers := crowd(5000)
	before := heap()
	start := time.Now()
	d := NewDirectory(nil)
	d.Begin()
	d.Put(peers...)
	d.Loaded()
	if took := time.Since(start); took > time.Second {
		t.Errorf("loading took %v", took)
	}
	if used := heap() - before; used > 10<<20 {
		t.Errorf("%d KB for 5,000 contacts", used>>10)
	}
	var p Peer
	allocs := testing.AllocsPerRun(100, func() { p, _ = d.Resolve(Query{Name: "customer 4990"}) })
	if p.Remark != "customer 4990" || allocs > 2 {
		t.Errorf("%v with %v allocations", p, allocs)
	}
	if allocs := testing.AllocsPerRun(100, func() { d.Put(peers[7]) }); allocs > 1 {
		t.Errorf("a contact that did not change costs %v allocations", allocs)
	}
	start = time.Now()
	var nf *NotFoundError
	if _, err := d.Resolve(Query{Name: "custmer 4990"}); !errors.As(err, &nf) || nf.Nearest[0] != "customer 4990" {
		t.Errorf("nearest: %v", err)
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("suggestions took %v", took)
	}
	runtime.KeepAlive(peers)
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func BenchmarkPut5000(b *testing.B) {
	peers := crowd(5000)
	b.ReportAllocs()
	for b.Loop() {
		d := NewDirectory(nil)
		d.Put(peers...)
	}
}

func BenchmarkResolve(b *testing.B) {
	for _, n := range []int{5, 5000} {
		d := NewDirectory(nil)
		d.Put(crowd(n)...)
		d.Put(Peer{ID: "@z", Name: "朋友 Zoe ❤\ufe0f", Type: Friend})
		d.Loaded()
		b.Run(fmt.Sprintf("found/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := d.Resolve(Query{Name: "朋友 Zoe ❤\ufe0f"}); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("unknown-after-a-change/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				d.Put(Peer{ID: "@y", Name: fmt.Sprint(i), Type: Friend})
				if _, err := d.Resolve(Query{Name: "朋友 Zoo ❤"}); err == nil {
					b.Fatal("found")
				}
			}
		})
	}
}

// Why the contact list is missing is known until it is there, and only a new
// reason wakes who waits.
func TestDirectoryTellsWhyContactsAreMissing(t *testing.T) {
	d := NewDirectory(nil)
	if d.Failure() != nil {
		t.Error("a reason before the first try")
	}
	changed := d.Changed()
	d.Failed(errors.New("refused"))
	if !closed(changed) || d.Failure() == nil {
		t.Error("nobody is told")
	}
	changed = d.Changed()
	d.Failed(errors.New("refused"))
	if closed(changed) {
		t.Error("woken for nothing new")
	}
	d.Loaded()
	d.Failed(errors.New("late"))
	if d.Failure() != nil {
		t.Errorf("loaded, and yet %v", d.Failure())
	}
	d.Begin()
	d.Failed(errors.New("refused"))
	d.Begin()
	if d.Failure() != nil {
		t.Error("another login's reason")
	}
}
