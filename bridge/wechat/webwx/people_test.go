package webwx

import (
	"errors"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"wechat-bridge/bridge/sim"
	"wechat-bridge/bridge/wechat"
	"wechat-bridge/classifier"
)

func TestContactsAndMembers(t *testing.T) {
	w := newWorld(t)
	w.login(wechat.QR)
	for name, want := range map[string]wechat.Peer{
		"Alice":              {Name: "Alice", Type: wechat.Friend},
		"Carol (Accounting)": {Name: "Carol", Remark: "Carol (Accounting)", Type: wechat.Friend},
		"Panda 🐼":            {Name: "Panda 🐼", Type: wechat.Friend},
		"Tom & Jerry <3":     {Name: "Tom & Jerry <3", Type: wechat.Friend},
		"dave2000":           {Name: "Dave", Alias: "dave2000", Type: wechat.Friend},
		"每日新闻":               {Name: "每日新闻", Type: wechat.Service},
		"Team":               {Name: "Team", Type: wechat.Room},
		"文件传输助手":             {Name: "文件传输助手", Type: wechat.Helper},
		"小桥":                 {Name: "小桥", Alias: "bridge", Type: wechat.Self},
	} {
		got := w.peer(name)
		id := got.ID
		got.ID = ""
		if got != want || id == "" {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
	// Members are there before anybody in the room said a word.
	room := w.peer("一家人 👪").ID
	eventually(t, "members of the rooms are known", func() bool { return len(w.dir.Members(room)) == 4 })
	m, err := w.dir.ResolveMember(room, "妈妈")
	must(t, err)
	byNick, err := w.dir.ResolveMember(room, "王芳")
	must(t, err)
	if m.Name != "妈妈" || m != byNick {
		t.Errorf("member %+v, by nickname %+v", m, byNick)
	}
}

func TestMentionGoesOutInWeChatsForm(t *testing.T) {
	w := newWorld(t)
	s := w.login(wechat.QR)
	room := w.peer("Team")
	eventually(t, "members", func() bool { return len(w.dir.Members(room.ID)) > 0 })
	alice, err := w.dir.ResolveMember(room.ID, "Alice")
	must(t, err)
	for _, c := range []struct {
		out  wechat.Outgoing
		want string
	}{
		{wechat.Outgoing{Text: "hi", Mention: []wechat.Peer{alice}}, "@Alice\u2005hi"},
		{wechat.Outgoing{Text: "hi", MentionAll: true}, "@所有人\u2005hi"},
		{wechat.Outgoing{Text: "hi @Alice\u2005!", Mention: []wechat.Peer{alice}}, "hi @Alice\u2005!"},
	} {
		c.out.To, c.out.Kind, c.out.ClientID = room, wechat.Text, "1"
		n := len(w.sim.Sent())
		_, err := s.Send(w.ctx(), c.out)
		must(t, err)
		if got := w.sim.Sent()[n].Content; got != c.want {
			t.Errorf("sent %q, want %q", got, c.want)
		}
	}
}

func TestLoginHoldsWithoutContacts(t *testing.T) {
	w := newWorld(t)
	w.fault(sim.Fault{On: []string{"webwxgetcontact"}, Do: "ret", Ret: 1205, Count: 3})
	s := w.login(wechat.QR)
	_, err := w.dir.Resolve(wechat.Query{Name: "Heidi"})
	var nf *wechat.NotFoundError
	if !errors.As(err, &nf) || !nf.Loading {
		t.Errorf("while contacts load: %v", err)
	}
	id := w.say(sim.Message{From: "heidi", Text: "hello"})
	if e := w.byID(s, id); e.Message.From.Name != "Heidi" { // asked for one by one
		t.Errorf("from %+v", e.Message.From)
	}
	eventually(t, "the list comes later", func() bool {
		_, err := w.dir.Resolve(wechat.Query{Name: "Judy"})
		return err == nil
	})
	if n := w.sim.Requests("webwxgetcontact"); n != 4 {
		t.Errorf("%d requests for 3 refusals", n)
	}
}

// The contact list is tried for ever: hours later it comes, without another
// login, and until then the directory says why it is missing.
func TestContactRetriesAreSlowAndGoOn(t *testing.T) {
	bubble(t, func(w *world) {
		w.fault(sim.Fault{On: []string{"webwxgetcontact"}, Do: "ret", Ret: 1205})
		s, err := w.tr.Login(w.t.Context(), wechat.LoginRequest{Rung: wechat.QR})
		must(t, err)
		first := w.sim.Requests("webwxgetcontact")
		time.Sleep(10 * time.Minute) // the bubble's clock
		if n := w.sim.Requests("webwxgetcontact"); first != 1 || n > 7 {
			t.Errorf("%d requests at once, %d in ten minutes", first, n)
		}
		time.Sleep(4 * time.Hour)
		before := w.sim.Requests("webwxgetcontact")
		time.Sleep(time.Hour)
		if n := w.sim.Requests("webwxgetcontact") - before; n < 4 || n > 8 {
			t.Errorf("%d requests in a later hour", n)
		}
		if v := classifier.JudgeError(w.dir.Failure()); v.Code != "contacts_limited" {
			t.Errorf("the directory says %v", w.dir.Failure())
		}
		w.sim.ClearFaults()
		time.Sleep(contactRetryMax + time.Minute)
		if _, err := w.dir.Resolve(wechat.Query{Name: "Heidi"}); err != nil || w.dir.Failure() != nil {
			t.Errorf("after WeChat answers again: %v, %v", err, w.dir.Failure())
		}
		must(t, s.Close())
	})
}

// unmeet makes a room active and then unknown again: WeChat mostly tells a
// room before its messages, but not always.
func (w *world) unmeet(s *Session) {
	w.t.Helper()
	e := w.byID(s, w.say(sim.Message{From: "frank", Room: "hidden", Text: "first"}))
	w.dir.Remove(e.Message.Chat.ID)
}

func TestLookupsAreBudgeted(t *testing.T) {
	t.Run("together, once, never more than fifty", func(t *testing.T) {
		w := newWorld(t)
		tp := w.tap()
		s := w.login(wechat.QR)
		eventually(t, "prefetch", func() bool { return len(tp.to("webwxbatchgetcontact")) > 0 })
		w.unmeet(s)
		n := len(tp.to("webwxbatchgetcontact"))
		var last string
		for i := range 40 {
			last = w.say(sim.Message{From: []string{"frank", "grace", "alice"}[i%3], Room: "hidden", Text: "x"})
		}
		if e := w.byID(s, last); e.Message.Chat.Name != "Hidden Room" || e.Message.Member.Name != "Frank" {
			t.Errorf("message %+v", e.Message)
		}
		if got := len(tp.to("webwxbatchgetcontact")) - n; got != 1 {
			t.Errorf("%d look-ups for one unknown room", got)
		}
		for _, r := range tp.to("webwxbatchgetcontact") {
			if c := strings.Count(r.body, `"UserName"`); c > lookupBatch {
				t.Errorf("%d entries in one request", c)
			}
		}
	})
	t.Run("on 1205 messages go on without names", func(t *testing.T) {
		w := newWorld(t)
		s := w.login(wechat.QR)
		eventually(t, "prefetch", func() bool { return len(w.dir.Members(w.peer("Team").ID)) > 0 })
		w.unmeet(s)
		w.fault(sim.Fault{On: []string{"webwxbatchgetcontact"}, Do: "ret", Ret: 1205})
		n := w.sim.Requests("webwxbatchgetcontact")
		start := time.Now()
		for range 5 {
			id := w.say(sim.Message{From: "frank", Room: "hidden", Text: "x"})
			e := w.byID(s, id)
			if e.Message.Text != "x" || e.Message.Chat.Type != wechat.Room || e.Message.Chat.ID == "" || e.Message.Chat.Name != "" {
				t.Errorf("message %+v", e.Message)
			}
		}
		if got := w.sim.Requests("webwxbatchgetcontact") - n; got != 1 {
			t.Errorf("%d look-ups while throttled", got)
		}
		if d := time.Since(start); d > 3*time.Second {
			t.Errorf("five messages were held up for %v", d)
		}
	})
	t.Run("a look-up that hangs holds a message up for a moment only", func(t *testing.T) {
		w := newWorld(t)
		w.restart(func(c *Config) { c.LookupWait = 50 * time.Millisecond })
		s := w.login(wechat.QR)
		eventually(t, "prefetch", func() bool { return len(w.dir.Members(w.peer("Team").ID)) > 0 })
		w.unmeet(s)
		w.fault(sim.Fault{On: []string{"webwxbatchgetcontact"}, Do: "hang"})
		start := time.Now()
		w.byID(s, w.say(sim.Message{From: "frank", Room: "hidden", Text: "x"}))
		if d := time.Since(start); d > 2*time.Second {
			t.Errorf("held up for %v", d)
		}
	})
}

func TestLookupQueue(t *testing.T) {
	var l lookups
	l.init()
	now := time.Now()
	l.queue([]string{"a", "b", "a"}, false, now)
	l.queue([]string{"c", "b"}, true, now)
	if got := l.take(now); !slices.Equal(got, []string{"c", "a", "b"}) {
		t.Fatalf("order %v", got)
	}
	if l.queue([]string{"a"}, true, now) != 0 || !l.pending([]string{"a"}) {
		t.Error("what is asked for is asked again")
	}
	l.done([]string{"c", "a", "b"}, errors.New("1205"), time.Second, now, 0)
	if d, ok := l.nextIn(now); !ok || d != lookupBackoff/2 {
		t.Errorf("after a refusal the next request is in %v", d)
	}
	for range lookupTries {
		l.done(l.take(now), errors.New("1205"), time.Second, now, 0)
	}
	if l.pending([]string{"a", "b", "c"}) {
		t.Error("an id that is always refused is asked for ever")
	}
	if l.queue([]string{"a"}, true, now.Add(lookupAgain)) != 1 {
		t.Error("after a while an id may be asked for again")
	}
}

// Contact requests have a budget per hour, as sends have.
func TestLookupsOfAnHour(t *testing.T) {
	var l lookups
	l.init()
	begin := time.Now()
	now, made := begin, 0
	for n := 0; now.Before(begin.Add(2 * time.Hour)); n++ {
		l.queue([]string{strconv.Itoa(n)}, false, now)
		l.done(l.take(now), nil, time.Second, now, 0)
		made++
		d, _ := l.nextIn(now)
		now = now.Add(max(d, time.Second))
	}
	if made != 2*lookupHourly {
		t.Errorf("%d requests in two hours, want %d", made, 2*lookupHourly)
	}
}

func TestBackoff(t *testing.T) {
	for n, want := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 5 * time.Second, 5 * time.Second} {
		if got := backoff(time.Second, 5*time.Second, n, 0.999999); got > want || got < want*9/10 {
			t.Errorf("n %d: %v", n, got)
		}
		if got := backoff(time.Second, 5*time.Second, n, 0); got != want/2 {
			t.Errorf("n %d: %v", n, got)
		}
	}
	if got := backoff(time.Hour, 2*time.Hour, 62, 0); got != time.Hour {
		t.Errorf("overflow: %v", got)
	}
}

func TestTrap08EveryMessageSortsAllContacts(t *testing.T) {
	w := newWorld(t, func(o *sim.Options) { o.World = sim.DefaultWorld().WithContacts(1000) })
	s := w.login(wechat.QR)
	if n := len(w.dir.Peers()); n < 1000 {
		t.Fatalf("%d peers", n)
	}
	m := &rawMessage{MsgID: "1", MsgType: 1, Content: "@x:<br/>hi", FromUserName: w.peer("Alice").ID, ToUserName: s.me.ID}
	if n := bytesPerRun(func() { s.event(m, nil) }); n > 8<<10 {
		t.Errorf("%d bytes allocated for one message with 1,000 contacts", n)
	}
	before := w.sim.Requests("webwxgetcontact")
	for range 5 {
		w.byID(s, w.say(sim.Message{From: "alice", Room: "team", Text: "x"}))
	}
	if n := w.sim.Requests("webwxgetcontact"); n != before {
		t.Errorf("messages fetched the contact list %d times", n-before)
	}
}

// bytesPerRun is the least of several runs, as others allocate meanwhile.
func bytesPerRun(f func()) uint64 {
	least := ^uint64(0)
	for range 20 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	return least
}

// BenchmarkLoginWith5000Contacts: at most one second and 50 MB.
func BenchmarkLoginWith5000Contacts(b *testing.B) {
	w := newWorld(b, func(o *sim.Options) { o.World = sim.DefaultWorld().WithContacts(5000) })
	w.login(wechat.QR)
	var before, after runtime.MemStats
	for b.Loop() {
		b.StopTimer()
		w.restart()
		runtime.GC()
		runtime.ReadMemStats(&before)
		b.StartTimer()
		s := w.login(wechat.Stored)
		b.StopTimer()
		runtime.ReadMemStats(&after)
		must(b, s.Close())
		b.StartTimer()
	}
	b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/1e6, "MB-allocated/login")
}

// BenchmarkMessageWith5000Contacts: nothing per message.
func BenchmarkMessageWith5000Contacts(b *testing.B) {
	w := newWorld(b, func(o *sim.Options) { o.World = sim.DefaultWorld().WithContacts(5000) })
	s := w.login(wechat.QR)
	m := &rawMessage{MsgID: "1", MsgType: 1, Content: "hi &amp; ho", FromUserName: w.peer("Alice").ID, ToUserName: s.me.ID}
	b.ReportAllocs()
	for b.Loop() {
		s.event(m, nil)
	}
}
