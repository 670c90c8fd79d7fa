package alert

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"wechat-bridge/bridge/wire"
)

var start = time.Date(2026, 11, 24, 2, 0, 0, 0, time.UTC)

// play feeds records at their minutes, deciding each second between, and gives
// "minute:second kind" of each notice.
type play struct {
	s      state
	limits Limits
	now    time.Time
	told   []Notice
}

func newPlay() *play { return &play{limits: Limits{}.withDefaults(), now: start} }

func (p *play) run(d time.Duration, c wire.Connection) *play {
	p.feed(event{connection: &c})
	for end := p.now.Add(d); p.now.Before(end); {
		p.now = p.now.Add(time.Second)
		p.feed(event{})
	}
	return p
}

func (p *play) feed(e event) {
	var out []Notice
	p.s, out = decide(p.s, e, p.now, p.limits)
	p.told = append(p.told, out...)
}

func (p *play) log() string {
	var out []string
	for _, n := range p.told {
		out = append(out, fmt.Sprintf("%s %s", n.At.Sub(start), n.Kind))
	}
	return strings.Join(out, ", ")
}

func TestDecide(t *testing.T) {
	const min = time.Minute
	act := func(state, action string) wire.Connection { return record(state, wire.SendingHeld, action) }
	unknown := held(1)
	unknown.Reason = &wire.Reason{Class: "unknown", Code: "unknown", Message: "?"}
	other := record(wire.StateConnected, wire.SendingPaused, "none")
	other.Reason = &wire.Reason{Class: "internal", Code: "identity_changed", Message: "Another account."}
	loggedOut := record(wire.StateLoggedOut, wire.SendingHeld, "none")
	loggedOut.Reason = &wire.Reason{Class: "session_expired", Code: "logged_out", Message: "By an operator."}
	tests := []struct {
		name string
		play func(*play)
		want string
	}{
		{"all is well", func(p *play) { p.run(time.Hour, up()) }, ""},
		{"held for less than three minutes", func(p *play) { p.run(179*time.Second, held(1)).run(time.Hour, up()) }, ""},
		{"held for longer, and back", func(p *play) { p.run(10*min, held(1)).run(20*min, up()) }, "3m0s held, 11m0s back"},
		{"held once only", func(p *play) { p.run(10*time.Hour, held(1)) }, "3m0s held"},
		{"ramping and slowed are good", func(p *play) {
			p.run(4*min, held(1)).run(2*min, record(wire.StateConnected, wire.SendingRamping, "none")).run(min, record(wire.StateConnected, wire.SendingSlowed, "none"))
		}, "3m0s held, 5m0s back"},
		{"a person is needed: at once", func(p *play) { p.run(time.Second, up()).run(min, scan()) }, "1s login"},
		{"the steps of one login are one alert", func(p *play) {
			p.run(min, scan()).run(min, act(wire.StateAwaitingConfirm, "confirm_on_phone")).run(min, act(wire.StateAwaitingCode, "enter_code")).run(min, act(wire.StateConnecting, "wait")).run(2*min, up())
		}, "0s login, 5m0s back"},
		{"who knows that a person is needed knows that messages are held", func(p *play) { p.run(time.Hour, scan()) }, "0s login"},
		{"held first, then a person is needed", func(p *play) { p.run(4*min, held(1)).run(min, scan()).run(2*min, up()) }, "3m0s held, 4m0s login, 6m0s back"},
		{"blocked", func(p *play) { p.run(5*min, act(wire.StateBlocked, "open_phone")) }, "0s blocked"},
		{"WeChat's support", func(p *play) { p.run(5*min, act(wire.StateBlocked, "contact_wechat")) }, "0s blocked"},
		{"configuration", func(p *play) { p.run(5*min, act(wire.StateReconnecting, "fix_config")) }, "0s config"},
		{"an action that nobody knows needs somebody", func(p *play) { p.run(5*min, act(wire.StateReconnecting, "dance")) }, "0s person"},
		{"another identity", func(p *play) { p.run(time.Hour, other).run(2*min, up()) }, "0s identity, 1h1m0s back"},
		{"an operator's pause", func(p *play) {
			p.run(time.Hour, record(wire.StateConnected, wire.SendingPaused, "none")).run(time.Hour, up())
		}, ""},
		{"an operator's logout", func(p *play) {
			p.run(min, up()).run(time.Hour, loggedOut).run(30*time.Second, held(1)).run(time.Hour, up())
		}, ""},
		{"an operator's logout during an outage", func(p *play) { p.run(4*min, held(1)).run(time.Hour, loggedOut).run(2*min, up()) }, "3m0s held, 1h5m0s back"},
		{"an unknown error is told sooner", func(p *play) { p.run(10*min, unknown) }, "30s held"},
		{"the end of the process says nothing", func(p *play) { p.run(min, up()).run(time.Hour, record(wire.StateStopped, wire.SendingHeld, "none")) }, ""},
		{"good for a moment only is the same outage", func(p *play) {
			p.run(5*min, held(1))
			for range 10 {
				p.run(50*time.Second, up()).run(2*min, held(1))
			}
			p.run(min, up())
		}, "3m0s held, 34m20s back"},
		{"a relapse soon after is not told again while it is short", func(p *play) {
			p.run(5*min, held(1)).run(5*min, up()).run(5*min, held(1)).run(30*min, up())
		}, "3m0s held, 6m0s back"},
		{"a relapse that lasts is told", func(p *play) { p.run(5*min, held(1)).run(5*min, up()).run(time.Hour, held(1)) }, "3m0s held, 6m0s back, 25m0s held"},
		{"after a quiet time an outage is a new one", func(p *play) {
			p.run(5*min, held(1)).run(16*min, up()).run(4*min, held(1)).run(2*min, up())
		}, "3m0s held, 6m0s back, 24m0s held, 26m0s back"},
		{"another kind soon after is told at once", func(p *play) { p.run(5*min, held(1)).run(2*min, up()).run(min, scan()) }, "3m0s held, 6m0s back, 7m0s login"},
		{"losses that never last three minutes add up", func(p *play) {
			for range 4 {
				p.run(2*min, held(1)).run(2*min, up())
			}
		}, "5m24s held, 7m0s back"},
		{"rare short losses never add up", func(p *play) {
			for range 100 {
				p.run(20*time.Second, held(1)).run(10*min, up())
			}
		}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newPlay()
			test.play(p)
			if got := p.log(); got != test.want {
				t.Errorf("told %q, want %q", got, test.want)
			}
		})
	}
}

func TestDecideBroker(t *testing.T) {
	p := newPlay()
	yes, no := true, false
	p.run(time.Minute, up())
	p.feed(event{away: &yes})
	p.run(5*time.Minute, up())
	p.feed(event{away: &no})
	p.run(2*time.Minute, up())
	if got, want := p.log(), "4m0s broker, 7m0s broker_back"; got != want {
		t.Errorf("told %q, want %q", got, want)
	}
}

func TestBackTellsHowLongAndHowMuch(t *testing.T) {
	p := newPlay()
	p.run(2*time.Minute, held(3)).run(8*time.Minute, held(12)).run(time.Minute, held(7)).run(2*time.Minute, up())
	if len(p.told) != 2 {
		t.Fatalf("told %q", p.log())
	}
	h, b := p.told[0], p.told[1]
	if h.Down != 3*time.Minute || h.Connection.Backlog.Messages != 12 || h.OnAndOff {
		t.Errorf("held: %+v", h)
	}
	if b.Down != 11*time.Minute || b.Waited != 12 || !b.Since.Equal(start) {
		t.Errorf("back: down %s, waited %d, since %s", b.Down, b.Waited, b.Since)
	}
	if h.Outage != b.Outage || h.ID() == b.ID() {
		t.Errorf("ids %s and %s, outages %s and %s", h.ID(), b.ID(), h.Outage, b.Outage)
	}
}

// A clock that is set back or forth makes no alert that is wrong by more than
// the jump.
func TestDecideClockSetBack(t *testing.T) {
	p := newPlay()
	p.run(time.Minute, held(1))
	p.now = p.now.Add(-24 * time.Hour)
	p.run(2*time.Minute+50*time.Second, held(1))
	if len(p.told) != 0 {
		t.Errorf("told %q", p.log())
	}
	p.run(time.Minute, held(1)).run(2*time.Minute, up())
	if len(p.told) != 2 || p.told[1].Down > time.Hour || p.told[1].Down < 0 {
		t.Errorf("told %+v", p.told)
	}
}

// What is remembered over a restart: nobody is told twice, the time without a
// process does not count, that before a crash does.
func TestDecideRestart(t *testing.T) {
	again := func(p *play) {
		body, err := json.Marshal(p.s)
		if err != nil {
			t.Fatal(err)
		}
		p.s = state{}
		if err := json.Unmarshal(body, &p.s); err != nil {
			t.Fatal(err)
		}
		p.s.Connection.wake()
		p.s.Broker.wake()
	}
	p := newPlay().run(time.Minute, scan())
	for range 20 { // a crash loop
		again(p)
		p.run(20*time.Second, held(1)).run(20*time.Second, scan())
	}
	p.run(2*time.Minute, up())
	if got, want := p.log(), "0s login, 15m20s back"; got != want {
		t.Errorf("crash loop: told %q, want %q", got, want)
	}

	p = newPlay().run(2*time.Minute, held(1))
	again(p)
	p.now = p.now.Add(10 * time.Hour) // without a process
	p.run(50*time.Second, held(1)).run(time.Hour, up())
	if got := p.log(); got != "" {
		t.Errorf("time without a process: told %q", got)
	}

	p = newPlay()
	for range 3 { // each run too short to be told by itself
		p.run(2*time.Minute, held(1))
		again(p)
	}
	if got := p.log(); got != "3m0s held" {
		t.Errorf("short runs: told %q", got)
	}
}

func TestDecideIsPure(t *testing.T) {
	p := newPlay().run(5*time.Minute, held(1)).run(2*time.Minute, up()).run(time.Second, scan())
	p.s.Connection.Told = append(make([]Kind, 0, 8), p.s.Connection.Told...) // room for a mistake
	before, _ := json.Marshal(p.s)
	c := record(wire.StateBlocked, wire.SendingHeld, "open_phone")
	s, one := decide(p.s, event{connection: &c}, p.now, p.limits)
	told := slices.Clone(s.Connection.Told)
	_, two := decide(p.s, event{connection: &c}, p.now, p.limits)
	d := record(wire.StateReconnecting, wire.SendingHeld, "fix_config")
	decide(p.s, event{connection: &d}, p.now, p.limits)
	if !slices.Equal(told, s.Connection.Told) {
		t.Errorf("another decision changed %v into %v", told, s.Connection.Told)
	}
	after, _ := json.Marshal(p.s)
	if string(before) != string(after) || cmp.Diff(one, two) != "" || len(one) != 1 {
		t.Errorf("before %s\nafter %s\n%v\n%v", before, after, one, two)
	}
}

// worst is how many notices an hour may bring under any flapping at all;
// flapping of one cause stays below a quarter of it (TestFlappingIsDamped).
const worst = 30

func TestDecideProperties(t *testing.T) {
	other := record(wire.StateConnected, wire.SendingPaused, "none")
	other.Reason = &wire.Reason{Class: "internal", Code: "identity_changed"}
	records := []wire.Connection{
		up(), up(), up(), held(1), held(50), scan(), other,
		record(wire.StateBlocked, wire.SendingHeld, "open_phone"), record(wire.StateReconnecting, wire.SendingHeld, "fix_config"),
		record(wire.StateStopped, wire.SendingHeld, "none"), record(wire.StateConnected, wire.SendingPaused, "none"),
	}
	rapid.Check(t, func(t *rapid.T) {
		p := newPlay()
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			c := rapid.SampledFrom(records).Draw(t, "record")
			d := rapid.SampledFrom([]time.Duration{time.Second, 20 * time.Second, 70 * time.Second, 4 * time.Minute, 16 * time.Minute}).Draw(t, "for")
			p.run(d, c)
		}
		told := map[string][]Kind{}
		for i, n := range p.told {
			if slices.Contains(told[n.Outage], n.Kind) {
				t.Fatalf("%s twice in one outage: %s", n.Kind, p.log())
			}
			if n.back() && len(told[n.Outage]) == 0 {
				t.Fatalf("back without an alert: %s", p.log())
			}
			if len(told[n.Outage]) > 0 && slices.Contains(told[n.Outage], KindBack) {
				t.Fatalf("%s after back: %s", n.Kind, p.log())
			}
			told[n.Outage] = append(told[n.Outage], n.Kind)
			if i >= worst && n.At.Sub(p.told[i-worst].At) < time.Hour {
				t.Fatalf("more than %d in an hour: %s", worst, p.log())
			}
		}
		p.run(20*time.Minute, up()) // after that, all who were told something bad know that it is over
		if n := len(p.told); n > 0 && p.told[n-1].Kind != KindBack {
			t.Fatalf("the last word is %s: %s", p.told[n-1].Kind, p.log())
		}
	})
}

func TestFlappingIsDamped(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := newPlay()
		bad := rapid.SampledFrom([]wire.Connection{held(1), scan()}).Draw(t, "bad")
		down := time.Duration(rapid.IntRange(1, 1200).Draw(t, "down")) * time.Second
		good := time.Duration(rapid.IntRange(1, 890).Draw(t, "up")) * time.Second // never quiet
		for p.now.Sub(start) < 4*time.Hour {
			p.run(down, bad).run(good, up())
		}
		const most = 8
		for i := most; i < len(p.told); i++ {
			if p.told[i].At.Sub(p.told[i-most].At) < time.Hour {
				t.Fatalf("%s down, %s up: more than %d in an hour: %s", down, good, most, p.log())
			}
		}
	})
}
