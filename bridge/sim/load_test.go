package sim

import (
	"fmt"
	"sync"
	"testing"

	"github.com/rs/zerolog"
)

// Everything at once: sends, messages, changes, faults, polls and logouts.
func TestConcurrentUse(t *testing.T) {
	s, c := loggedIn(t, func(o *Options) { o.Control = "127.0.0.1:0" })
	var wg sync.WaitGroup
	run := func(n int, f func(i int)) {
		wg.Go(func() {
			for i := range n {
				f(i)
			}
		})
	}
	body := func(i int) map[string]any {
		return map[string]any{"BaseRequest": c.base, "Msg": map[string]any{"Type": 1, "Content": fmt.Sprint(i),
			"FromUserName": c.self, "ToUserName": "filehelper", "ClientMsgId": fmt.Sprint(i)}}
	}
	for range 3 {
		run(50, func(i int) {
			if m, err := c.tryPost("webwxsendmsg", nil, body(i)); err != nil || ret(m) != "0" {
				t.Errorf("%v %v", m, err)
			}
		})
	}
	run(50, func(i int) { _, _ = s.Say(Message{From: "alice", Room: "team", Text: fmt.Sprint(i)}) })
	run(50, func(i int) { _ = s.ChangeContact(ContactChange{Do: "rename", ID: "bob", Name: fmt.Sprint(i)}) })
	run(50, func(int) { _ = s.State(); _ = s.Faults(); _ = s.Sent() })
	run(50, func(int) {
		if id, err := s.AddFault(Fault{On: []string{"webwxoplog"}, Do: "hang"}); err == nil {
			s.faults.clear(id)
		}
	})
	run(20, func(int) { _ = c.try(c.syncCheckURL()) })
	wg.Wait()
	list := s.Sent()
	seen := map[string]bool{}
	for i, e := range list {
		if e.Seq != i+1 || seen[e.MsgID] {
			t.Fatalf("%+v", e)
		}
		seen[e.MsgID] = true
	}
	if len(list) != 150 {
		t.Errorf("%d accepted", len(list))
	}
}

func TestStartAndStopOften(t *testing.T) {
	for range 20 {
		s, err := Start(Options{Listen: "127.0.0.1:0", Control: "127.0.0.1:0", Log: zerolog.Nop()})
		must(t, err)
		must(t, s.Close())
		must(t, s.Close())
	}
}

func TestSeedRepeats(t *testing.T) {
	var first string
	for range 2 {
		s := start(t, func(o *Options) { o.Seed = 99 })
		c := newClient(t, s)
		c.login()
		got := c.skey + c.sid + c.uin + c.self
		if first == "" {
			first = got
		}
		if got != first {
			t.Errorf("%s, then %s", first, got)
		}
	}
	if s := start(t, func(o *Options) { o.Seed = 0 }); s.Seed() == 0 {
		t.Error("no seed")
	}
}

func BenchmarkSend(b *testing.B) {
	a := newAccount(benchOptions(b), newRand(1), newLedger())
	w := newWeb(a)
	a.session = a.newSession("")
	var req sendRequest
	req.Msg.ToUserName, req.Msg.ClientMsgId = a.session.name("alice", false), "17"
	for b.Loop() {
		a.mu.Lock()
		w.accept(a.session, call{}, &req, "alice", draft{kind: "text", content: "hello"})
		a.mu.Unlock()
	}
}

func BenchmarkSendOverTLS(b *testing.B) {
	s, err := Start(Options{Listen: "127.0.0.1:0", AutoLogin: true, Echo: "off", Log: zerolog.Nop()})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	b.Run("send", func(b *testing.B) {
		c := newClient(b, s)
		c.login()
		for b.Loop() {
			if m, err := c.tryPost("webwxsendmsg", nil, c.msg(1, "filehelper", map[string]any{"Content": "hello"})); err != nil || ret(m) != "0" {
				b.Fatal(m, err)
			}
		}
	})
}

func BenchmarkLogin5000(b *testing.B) {
	a := newAccount(benchOptions(b), newRand(1), newLedger())
	for b.Loop() {
		a.mu.Lock()
		s := a.newSession("")
		for from := 0; ; {
			v, _ := a.contactPage(s, from)
			if from = v.(contactAnswer).Seq; from == 0 {
				break
			}
		}
		a.mu.Unlock()
	}
}

func benchOptions(b *testing.B) Options {
	o, err := Options{World: DefaultWorld().WithContacts(5000), Echo: "off", Seed: 1}.withDefaults()
	if err != nil {
		b.Fatal(err)
	}
	return o
}
