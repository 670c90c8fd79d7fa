package link

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/classifier"
)

// reports keeps what the hook was told.
type reports struct {
	mu  sync.Mutex
	all []FaultReport
}

func (r *reports) add(f FaultReport) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, f)
}

func (r *reports) of(d During) (all []FaultReport) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.all {
		if f.During == d {
			all = append(all, f)
		}
	}
	return all
}

func hooked(t *testing.T, f *fake) (*rig, *reports) {
	t.Helper()
	told := &reports{}
	return startWith(t, f, &vault{}, func(c *Config) { c.Fault = told.add }, func(*Link) {}), told
}

func at503(op classifier.Operation) *classifier.Fault {
	return &classifier.Fault{Transport: classifier.WebWX, Op: op, Phase: classifier.PhaseAnswer,
		Status: 503, Body: classifier.BodyEmpty, Endpoint: "wx.qq.com/cgi-bin/mmwebwx-bin/x"}
}

func TestEachFaultIsReportedOnceWithWhatTheTransportTold(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		r, told := hooked(t, f)
		r.until(Connected, 2*time.Second)
		doubt := fault(classifier.OpSync, 3)
		doubt.Endpoint = "wx.qq.com/cgi-bin/mmwebwx-bin/webwxsync"
		f.set(func(f *fake) { f.sync, f.notify, f.probes = doubt, fault(classifier.OpNotify, 3), 0 })
		r.until(Reconnecting, 2*time.Minute)
		poll, probe := told.of(DuringPoll), told.of(DuringProbe)
		if len(poll) != f.faulty() || len(probe) != f.probes || len(probe) == 0 {
			t.Fatalf("%d polls and %d probes were reported", len(poll), len(probe))
		}
		if p := poll[0]; p.Op != classifier.OpSync || p.Status != 200 || p.Endpoint == "" || p.Code != 3 || !p.HasCode || p.State != Connected {
			t.Errorf("%+v", p)
		}
		if p := probe[0]; p.Op != classifier.OpNotify || p.Code != 3 || !p.HasCode {
			t.Errorf("%+v", p)
		}
		f.set(func(f *fake) { f.sync, f.notify, f.down = nil, nil, at503(classifier.OpInit) })
		pass(5 * time.Minute)
		logins := told.of(DuringLogin)
		last := logins[len(logins)-1]
		if last.Op != classifier.OpInit || last.Status != 503 || last.State != Reconnecting || last.Attempt < 5 || last.RetryAt.IsZero() {
			t.Errorf("%+v", last)
		}
		if n := r.log.count(); n > 4 { // only changes of state
			t.Errorf("%d log lines beside the hook", n)
		}
	})
}

// faulty counts the polls that failed, as the first is held and good.
func (f *fake) faulty() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.polls - 1
}

func TestASendIsReportedWithItsFaultAndAGivenBackOneIsNot(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		f.send = at503(classifier.OpSend)
		r, told := hooked(t, f)
		r.until(Connected, 2*time.Second)
		send, report, err := r.Admit()
		if err != nil {
			t.Fatal(err)
		}
		_, err = send.Send(t.Context(), wechat.Outgoing{})
		report(classifier.JudgeError(err))
		_, unused, err := r.Admit()
		if err != nil {
			t.Fatal(err)
		}
		unused(known(cancelled))
		_, unasked, err := r.Admit() // a verdict without a fault
		if err != nil {
			t.Fatal(err)
		}
		unasked(tooOften)
		pass(time.Second)
		all := told.of(DuringSend)
		if len(all) != 2 || all[0].Status != 503 || all[0].Op != classifier.OpSend || all[0].Endpoint == "" || !all[0].RetryAt.IsZero() {
			t.Fatalf("%+v", all)
		}
		if all[1].Op != classifier.OpSend || all[1].Verdict.Class != classifier.RateLimited {
			t.Errorf("%+v", all[1])
		}
	})
}

func TestSilenceAndStorageAreReportedWithoutAnAnswer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		r, told := hooked(t, f)
		r.until(Connected, 2*time.Second)
		r.sink.mu.Lock()
		r.sink.away = true
		r.sink.mu.Unlock()
		f.set(func(f *fake) { f.batches = []wechat.Batch{{Cursor: wechat.Cursor("1")}} })
		pass(40 * time.Second)
		stored := told.of(DuringStore)
		if len(stored) == 0 || stored[0].Op != "" || stored[0].Verdict.Code != "storage_unavailable" || stored[0].RetryAt.IsZero() {
			t.Errorf("%+v", stored)
		}
		r.sink.mu.Lock()
		r.sink.away = false
		r.sink.mu.Unlock()
		pass(time.Minute)
		f.set(func(f *fake) { f.hung = true })
		r.until(Reconnecting, time.Minute)
		silent := told.of(DuringPoll)
		if len(silent) != 1 || silent[0].Op != classifier.OpSyncCheck || silent[0].Verdict.Code != "no_pulse" {
			t.Errorf("%+v", silent)
		}
	})
}

func TestARungThatATransportLacksIsNoFault(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		f.stored, f.scan = false, 0
		_, told := hooked(t, f)
		pass(time.Minute)
		if all := told.of(DuringLogin); len(all) != 0 {
			t.Errorf("%+v", all)
		}
		pass(4 * time.Minute)
		if all := told.of(DuringLogin); len(all) != 1 || all[0].Op != classifier.OpCheckLogin || all[0].Code != 400 || all[0].State != AwaitingScan {
			t.Errorf("%+v", all)
		}
	})
}

// What nobody knows is retried, and loud.
func TestTheUnknownIsLoud(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		r := start(t, f, &vault{})
		r.until(Connected, 2*time.Second)
		f.set(func(f *fake) {
			f.sync, f.notify = fault(classifier.OpSync, 4711), fault(classifier.OpNotify, 4711)
			f.login = func(context.Context, wechat.LoginRequest) error { return fault(classifier.OpInit, 4711) }
		})
		s := r.until(Reconnecting, 2*time.Minute)
		if s.Reason.Class != classifier.Unknown || s.RetryAt.IsZero() {
			t.Errorf("%+v", s)
		}
		pass(time.Minute)
		loud := 0
		for _, l := range r.log.lines() {
			if strings.Contains(l, `"level":"error"`) && strings.Contains(l, `"class":"unknown"`) && strings.Contains(l, `"state":"reconnecting"`) {
				loud++
			}
		}
		if loud != 1 {
			t.Errorf("%d loud lines for one loss: %v", loud, r.log.lines())
		}
		f.set(func(f *fake) { f.sync, f.notify, f.login = nil, nil, nil })
		r.until(Connected, 2*time.Minute)
	})
}

func (l *lines) lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.all...)
}

// Counting and showing a storm is the hook's; the link adds nothing of its own,
// keeps no memory of it, and its observer hears of no change.
func TestAStormReachesTheHookAndNothingElse(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, told := hooked(t, newFake())
		r.until(Connected, 2*time.Second)
		lines, seen := r.log.count(), len(r.states())
		for range 30_000 {
			_, report, err := r.Admit()
			if err != nil {
				t.Fatal(err)
			}
			report(known("request_refused"))
		}
		pass(time.Second)
		if n := len(told.of(DuringSend)); n != 30_000 {
			t.Errorf("%d reports", n)
		}
		if n := r.log.count() - lines; n != 0 || len(r.states()) != seen {
			t.Errorf("%d lines, states %v", n, r.states())
		}
	})
}
