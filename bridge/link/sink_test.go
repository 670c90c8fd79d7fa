package link

import (
	"testing"
	"time"

	"wechat-bridge/bridge/wechat"
)

func TestStorageAwayIsNoLossOfWeChat(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		r := start(t, f, &vault{})
		r.until(Connected, 2*time.Second)
		r.sink.mu.Lock()
		r.sink.away = true
		r.sink.mu.Unlock()
		f.set(func(f *fake) {
			f.batches = []wechat.Batch{{Cursor: wechat.Cursor("1"), Events: make([]wechat.Event, 3)}}
		})
		pass(20 * time.Minute)
		if s := r.Status(); s.State != Connected || s.Reason.Code != "storage_unavailable" || s.Sending != Flowing {
			t.Errorf("status %+v", s)
		}
		if f.probes < 20 || time.Since(r.Status().LastPulse) > 40*time.Second {
			t.Errorf("%d probes, last pulse %v ago: nobody knows whether WeChat is there", f.probes, time.Since(r.Status().LastPulse))
		}
		r.sink.mu.Lock()
		r.sink.away = false
		r.sink.mu.Unlock()
		pass(time.Minute)
		if s := r.Status(); !s.Reason.OK() || len(r.sink.taken) != 1 || len(r.sink.taken[0].Events) != 3 {
			t.Errorf("status %+v, taken %v", s, r.sink.taken)
		}
		f.set(func(f *fake) { f.alive = true })
	})
}

func TestASlowSinkIsNoSilence(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		f.noProbe, f.prompt = true, true
		r := start(t, f, &vault{})
		r.until(Connected, 2*time.Second)
		r.sink.mu.Lock()
		r.sink.slow = 10 * time.Minute
		r.sink.mu.Unlock()
		f.set(func(f *fake) { f.batches = []wechat.Batch{{Cursor: wechat.Cursor("1")}} })
		pass(12 * time.Minute)
		if s := r.Status(); s.State != Connected || len(r.sink.taken) != 1 {
			t.Errorf("state %s, taken %d", s.State, len(r.sink.taken))
		}
	})
}

func TestALossWhileTheSinkWorksIsSeen(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		r := start(t, f, &vault{})
		r.until(Connected, 2*time.Second)
		r.sink.mu.Lock()
		r.sink.slow = time.Hour
		r.sink.mu.Unlock()
		f.set(func(f *fake) { f.batches = []wechat.Batch{{Cursor: wechat.Cursor("1")}} })
		pass(time.Minute)
		f.set(func(f *fake) { f.down = refusedConnection() })
		r.until(Reconnecting, 3*time.Minute)
		f.set(func(f *fake) { f.down = nil })
		r.sink.mu.Lock()
		r.sink.slow = 0
		r.sink.mu.Unlock()
		r.until(Connected, 2*time.Minute)
		pass(time.Second)
		if len(r.sink.taken) != 1 {
			t.Errorf("taken %d times, want the batch again and once", len(r.sink.taken))
		}
	})
}

func TestAServerThatDoesNotHoldIsPolledGently(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		f.hold = 0
		r := start(t, f, &vault{})
		r.until(Connected, 2*time.Second)
		pass(10 * time.Minute)
		if f.polls > 200 {
			t.Errorf("%d polls in ten minutes", f.polls)
		}
	})
}
