package link

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"wechat-bridge/bridge/wechat"
)

func (w *world) act() {
	w.now = w.now.Add(time.Duration(rapid.IntRange(0, 30).Draw(w.t, "seconds")) * time.Second)
	switch rapid.IntRange(0, 14).Draw(w.t, "act") {
	case 0, 1, 2:
		w.good()
	case 3, 4:
		v := rapid.SampledFrom(verdicts).Draw(w.t, "verdict")
		v.Wait = rapid.SampledFrom(waits).Draw(w.t, "told")
		w.bad(v, rapid.Bool().Draw(w.t, "missing"))
	case 5:
		if rapid.IntRange(0, 5).Draw(w.t, "stop") == 0 {
			w.bad(rapid.SampledFrom(stops).Draw(w.t, "verdict"), false)
		}
	case 6:
		w.trip(rapid.SampledFrom(verdicts).Draw(w.t, "verdict")) // sends have opened it
	case 7:
		k := kind(rapid.IntRange(int(evAllowed), int(evSend)).Draw(w.t, "stale"))
		if k != evOpened {
			w.feed(event{kind: k, gen: w.m.gen + 7, verdict: sessOver})
		}
	case 8:
		w.command()
	case 9:
		w.person = !w.person
	case 10:
		w.aside()
	case 11:
		for range rapid.IntRange(0, 60).Draw(w.t, "a long time") {
			w.good()
			w.drain()
		}
	case 12:
		w.set(time.Duration(rapid.IntRange(-1000, 1000).Draw(w.t, "hours")) * time.Hour)
	default:
		w.tick()
	}
	w.drain()
}

func (w *world) command() {
	e := event{kind: rapid.SampledFrom([]kind{evLoginCommand, evLogoutCommand, evPauseCommand, evResumeCommand}).Draw(w.t, "command")}
	e.force = rapid.Bool().Draw(w.t, "force")
	w.feed(e)
}

// aside is the end of a probe that ran beside other work, or of a send.
func (w *world) aside() {
	v := rapid.SampledFrom(verdicts).Draw(w.t, "verdict")
	switch kind := rapid.IntRange(0, 2).Draw(w.t, "aside"); {
	case kind == 0:
		w.feed(event{kind: evSend, gen: w.m.gen, verdict: v})
	case w.m.work == probing: // it has an end of its own
	case kind == 1:
		w.answered = w.answered || w.m.sideProbe && w.m.proving
		w.feed(event{kind: evProbe, gen: w.m.gen})
	default: // also one that nobody waits for any more
		w.feed(event{kind: evProbeFault, gen: w.m.gen, verdict: v})
	}
}

// crash starts anew on the memory as it was stored, perhaps with a clock that
// was set back meanwhile. One set forward looks like a long time in which
// nothing ran, which nobody can tell from the truth.
func (w *world) crash() {
	b, err := w.m.mem.encode()
	if err != nil {
		w.t.Fatal(err)
	}
	w.skew -= time.Duration(rapid.IntRange(0, 48).Draw(w.t, "set back")) * time.Hour
	mem, err := decodeMemory(b, w.wall(), w.m.limits)
	if err != nil {
		w.t.Fatal(err)
	}
	limits := w.m.limits
	w.m = fresh()
	w.m.limits = limits
	w.closed, w.probe, w.session, w.answered, w.queue = false, false, false, false, nil
	w.openedAt = w.now
	w.feed(event{kind: evStart, memory: mem})
}

func TestPropertyTheMachineKeepsItsPromises(t *testing.T) {
	seen := make(map[any]int)
	for range 20 { // of a hundred sequences each
		rapid.Check(t, func(t *rapid.T) {
			w := &world{t: t, m: fresh(), now: t0, openedAt: t0, seen: seen}
			w.m.limits.LoginsPerHour = rapid.IntRange(1, 6).Draw(t, "logins an hour")
			w.m.limits.QRRenewals = rapid.IntRange(1, 10).Draw(t, "renewals")
			w.feed(event{kind: evStart})
			for range rapid.IntRange(1, 120).Draw(t, "events") {
				if rapid.IntRange(0, 40).Draw(t, "crash") == 0 {
					w.crash()
				}
				w.act()
			}
			w.home()
		})
	}
	for _, want := range []any{
		Starting, AwaitingScan, AwaitingConfirm, Connecting, Connected, Reconnecting, LoggedOut, Blocked,
		resting, asking, climbing, polling, taking, probing, leaving, planAttempt, planPoll, planTake,
		wechat.Resume, wechat.Stored, wechat.Push, wechat.QR,
		"login_budget_used", "qr_unattended", noPulse, "examined", "slept", "throttled while proving", "ramp", "no ramp",
	} {
		if seen[want] == 0 {
			t.Errorf("%v was never reached: the property says nothing about it", want)
		}
	}
}

// home is the way out that every state has: the faults are lifted, somebody has
// the phone, and asks for a login only where one is asked for.
func (w *world) home() {
	w.person = true
	began := w.now
	for range 400 {
		switch {
		case w.m.state == Connected:
			if d := w.now.Sub(began); d > 26*time.Hour {
				w.t.Fatalf("connected after %v", d)
			}
			return
		case stays(w.m.state) && w.m.work != leaving:
			left, free := loginsLeft(w.m.mem.Logins, w.wall(), w.m.limits)
			if left <= 0 {
				w.now = w.now.Add(free.Sub(w.wall()))
			}
			w.feed(event{kind: evLoginCommand, force: w.m.state == Blocked})
		default:
			w.good()
		}
		w.drain()
	}
	w.t.Fatalf("stuck in %s: work %v plan %v rung %v", w.m.state, w.m.work, w.m.plan, w.m.rung)
}
