package outbox

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"wechat-bridge/bridge/wire"
)

// urgentStory is one of everything that the fallback can be in the middle of:
// WeChat is away for four minutes.
func urgentStory(w *world) {
	w.uploads["cat.jpg"] = []byte("meow")
	w.publish(high("h1", "Alice", "h1"))
	w.publish(`{"id":"l","to":["Alice","Bob"],"text":"l","priority":"high"}`)
	w.publish(`{"id":"m","to":"Bob","file":{"object":"cat.jpg"},"priority":"high"}`)
	w.publish(`{"id":"e","to":"Bob","text":"e","priority":"high","ttl":"180s"}`)
	w.publish(text("n1", "Alice", "n1"))
	w.publish(high("h2", "Alice", "h2"))
}

var urgentKeys = []string{"h1", "l", "l~1", "l~2", "m", "e", "n1", "h2"}

// live is one process of the story; WeChat comes back four minutes after it began.
func live(w *world, epoch uint64, t testing.TB, began time.Time, opts ...option) *process {
	p := w.start(t, epoch, append(opts, func(p *process, _ *Config) { p.gate.open = time.Since(began) >= 4*time.Minute })...)
	go func() {
		select {
		case <-time.After(time.Until(began.Add(4 * time.Minute))):
			p.gate.set(true)
		case <-p.over:
		}
	}()
	return p
}

// refuseFirst has the channels refuse everything at first.
func refuseFirst(w *world) {
	until := time.Now().Add(123 * time.Second)
	w.channel(func(Notice) error {
		if time.Now().Before(until) {
			return ErrNotOut
		}
		return nil
	})
}

// verifyUrgent checks that no channel got anything twice, and that what the
// records say is true.
func (w *world) verifyUrgent(t testing.TB, instead, crashed bool) {
	t.Helper()
	w.verify(t, urgentKeys, crashed)
	for _, key := range urgentKeys {
		n, d := w.told(key), w.last(t, key)
		switch {
		case n > 1:
			t.Errorf("%s was told %d times: %s", key, n, w.codes(t, key))
		case n == 1 && !d.Degraded:
			t.Errorf("%s was told, and its record does not say so: %s", key, w.codes(t, key))
		case n == 0 && d.Code == codeByFallback && d.Deliveries == 0:
			t.Errorf("%s was not told: %s", key, w.codes(t, key))
		case n == 0 && !crashed && key != "n1" && key != "l":
			t.Errorf("%s was not told: %s", key, w.codes(t, key))
		case d.State == wire.Cancelled && !instead:
			t.Errorf("%s: %s", key, w.codes(t, key))
		}
	}
	if s := w.last(t, "n1").State; s != wire.Sent {
		t.Errorf("n1 is %s", s)
	}
	if len(w.kept) != 0 {
		t.Errorf("%d media are left", len(w.kept))
	}
}

// Each single failure after a call did what it was asked, and each single crash,
// before and after each call; after a crash a new process.
func TestFallbackCrashAnywhere(t *testing.T) {
	for name, policy := range map[string]option{"also": also, "instead": instead} {
		calls := 0
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			urgentStory(w)
			refuseFirst(w)
			began := time.Now()
			p := live(w, 1, t, began, policy)
			w.drain(t, 10*time.Minute)
			p.stop()
			w.verifyUrgent(t, name == "instead", false)
			calls = p.n
		})
		for n := range calls {
			for _, f := range []fault{failAfter, crashBefore, crashAfter} {
				t.Run(fmt.Sprintf("%s/%d.%d", name, n+1, f), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { oneFault(t, policy, name == "instead", n+1, f) })
				})
			}
		}
	}
}

func oneFault(t *testing.T, policy option, instead bool, n int, f fault) {
	w := newWorld()
	urgentStory(w)
	refuseFirst(w)
	began := time.Now()
	p := live(w, 1, t, began, policy, at(n, f))
	if f == crashBefore || f == crashAfter {
		select {
		case <-p.over:
		case <-time.After(6 * time.Minute):
			p.crash()
		}
		live(w, 2, t, began, policy)
	}
	w.drain(t, 20*time.Minute)
	w.verifyUrgent(t, instead, true)
}

func TestDecideFallback(t *testing.T) {
	me := worker{epoch: 2, started: t0}
	it := &item{ID: "h", Key: "h", StreamSeq: 7, At: t0, Expires: t0.Add(time.Hour), High: true}
	of := func(s wire.State, change ...func(*record)) *record {
		at := t0
		r := &record{Delivery: wire.Delivery{State: s, StreamSeq: 7, AcceptedAt: &at, Epoch: 2}, seq: 3, at: t0}
		for _, f := range change {
			f(r)
		}
		return r
	}
	former := func(r *record) { r.Epoch = 1 }
	told := func(r *record) { r.Degraded = true }
	by := func(r *record) { r.Degraded, r.Code = true, codeByFallback }
	for name, c := range map[string]struct {
		last *record
		at   time.Duration
		want fallback
	}{
		"accepted":                 {of(wire.Accepted), 0, fallbackNow},
		"waiting":                  {of(wire.Waiting), 0, fallbackNow},
		"retrying":                 {of(wire.Retrying), 0, fallbackNow},
		"told":                     {of(wire.Waiting, told), 0, fallbackOver},
		"its time is over":         {of(wire.Accepted), time.Hour, fallbackOver},
		"being sent":               {of(wire.Sending), 0, fallbackLater},
		"being sent, and told":     {of(wire.Sending, told), 0, fallbackOver},
		"sent by a former one?":    {of(wire.Sending, former), 0, fallbackNow},
		"sent":                     {of(wire.Sent), 0, fallbackOver},
		"cancelled by somebody":    {of(wire.Cancelled), 0, fallbackOver},
		"ended by a channel":       {of(wire.Cancelled, by), 0, fallbackGone},
		"perhaps twice":            {of(wire.Unknown, by), 0, fallbackGone},
		"also by a channel":        {of(wire.Waiting, by), 0, fallbackOver},
		"another command's":        {of(wire.Accepted, func(r *record) { r.StreamSeq = 8 }), 0, fallbackOver},
		"no record":                {&record{}, 0, fallbackOver},
		"garbage":                  {&record{seq: 3, foreign: true}, 0, fallbackOver},
		"another worker's account": {of(wire.Accepted, func(r *record) { r.Epoch, r.at = 3, t0.Add(time.Second) }), 0, fallbackOver},
	} {
		if got := decideFallback(c.last, it, me, t0.Add(c.at)); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

// More wait than a timetable keeps: each has its turn once, though all stay
// where they are; what is put off is not forgotten.
func TestTimetableThatLeavesThemThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const total = 3*maxDue + 5
		w := newWorld()
		for range total {
			w.outbox.put(wire.Stored{Token: wire.PriorityHigh})
		}
		p := &proc{w: w}
		cfg := Config{Buffer: buffer{p}, Parking: parking{p}, Log: zerolog.Nop()}
		tt := newTimetable(cfg, func(s wire.Stored) time.Time { return t0.Add(time.Duration(s.Seq) * time.Second) })
		tt.priority, tt.once = wire.PriorityHigh, true
		if err := tt.sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		turns := map[uint64]int{}
		for now, n := t0.Add(time.Duration(total+1)*time.Second), 0; n < total+2; {
			d, wait, todo := tt.next(now)
			switch {
			case todo == sweepAll:
				if err := tt.sweep(t.Context()); err != nil {
					t.Fatal(err)
				}
			case wait > 0:
				t.Fatalf("nothing is due after %d turns", n)
			default:
				n++
				if turns[d.seq]++; d.seq <= 2 && turns[d.seq] == 1 {
					tt.put(due{at: now.UnixMilli(), seq: d.seq, again: true})
				}
			}
			if len(tt.heap) > 2*maxDue+2 {
				t.Fatalf("%d in the heap", len(tt.heap))
			}
		}
		for seq := range uint64(total) {
			if want := map[bool]int{true: 2, false: 1}[seq < 2]; turns[seq+1] != want {
				t.Fatalf("%d had %d turns, want %d", seq+1, turns[seq+1], want)
			}
		}
	})
}
