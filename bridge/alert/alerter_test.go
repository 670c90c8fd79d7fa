package alert

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"wechat-bridge/bridge/wire"
)

// runs starts an Alerter in the bubble; the function ends it and waits.
func runs(t *testing.T, a *Alerter) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { a.Run(ctx) })
	return func() { cancel(); wg.Wait() }
}

func after(d time.Duration) { time.Sleep(d); synctest.Wait() } // the bubble's time

func same(t *testing.T, what string, got []Kind, want ...Kind) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: told %v, want %v", what, got, want)
	}
}

func TestRunTellsHeldAndBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := &fake{}, &fake{}
		a := alerterOver(zerolog.Nop(), nil, way{channel: one, name: "1", alerts: true}, way{channel: two, name: "2", alerts: true}, way{channel: &fake{send: func(int, Message) error { panic("only for the fallback") }}, name: "3", fallback: true})
		stop := runs(t, a)
		a.Observe(held(3))
		after(179 * time.Second)
		same(t, "before three minutes", one.kinds())
		after(2 * time.Second)
		same(t, "after", one.kinds(), KindHeld)
		a.Observe(up())
		after(2 * time.Minute)
		stop()
		same(t, "one", one.kinds(), KindHeld, KindBack)
		same(t, "two", two.kinds(), KindHeld, KindBack)
		for _, s := range a.Status() {
			if s.Sent != 2 || s.Failed != 0 || s.Pending != 0 || s.LastSent.IsZero() || s.LastError != "" {
				t.Errorf("status %+v", s)
			}
		}
	})
}

// A channel that hangs holds up neither the caller nor another channel.
func TestHangingChannelBlocksNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hung := &fake{send: func(int, Message) error { return errHang }}
		good := &fake{}
		a := alerterOver(zerolog.Nop(), nil, way{channel: hung, name: "1", alerts: true}, way{channel: good, name: "2", alerts: true})
		stop := runs(t, a)
		began := time.Now()
		for range 100_000 {
			a.Observe(scan())
		}
		if time.Since(began) != 0 {
			t.Error("Observe blocked")
		}
		synctest.Wait()
		same(t, "good", good.kinds(), KindLogin)
		after(10 * time.Minute)
		if s := a.Status()[0]; s.Pending != 1 || s.LastError != ReasonTimeout {
			t.Errorf("status %+v", s)
		}
		began = time.Now()
		stop()
		if d := time.Since(began); d > lastChance {
			t.Errorf("the end took %s", d)
		}
		if s := a.Status()[0]; s.Failed != 1 || s.Pending != 0 {
			t.Errorf("status after the end %+v", s)
		}
	})
}

func TestRetryUntilTakenOrAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late := &fake{send: func(try int, _ Message) error {
			if try < 4 {
				return &Failure{Reason: ReasonStatus, Status: 500, Wait: 40 * time.Second}
			}
			return nil
		}}
		never := &fake{send: func(int, Message) error { return errors.New("no") }}
		var log bytes.Buffer
		a := alerterOver(zerolog.New(zerolog.SyncWriter(&log)), nil, way{channel: late, name: "1", alerts: true}, way{channel: never, name: "2", alerts: true})
		stop := runs(t, a)
		a.Observe(scan())
		after(2 * time.Hour)
		same(t, "late", late.kinds(), KindLogin)
		for i := 1; i < len(late.at); i++ {
			if gap := late.at[i].Sub(late.at[i-1]); gap < 40*time.Second || gap > 41*time.Second {
				t.Errorf("try %d came after %s, not when the server said", i+1, gap)
			}
		}
		for _, m := range late.tries {
			if m.ID != late.tries[0].ID {
				t.Error("a retry has another id")
			}
		}
		n := len(never.at)
		if span := never.at[n-1].Sub(never.at[0]); span > time.Hour || n < 12 {
			t.Errorf("%d tries within %s", n, span)
		}
		if s := a.Status()[1]; s.Failed != 1 || s.Pending != 0 || s.LastError != ReasonOther {
			t.Errorf("status %+v", s)
		}
		if lines := strings.Count(log.String(), logFailed); lines > 9 {
			t.Errorf("%d lines for %d tries", lines, n)
		}
		stop()
	})
}

// What was not delivered before it was over is told once, by the last word.
func TestUndeliveredHeldIsMergedIntoBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dead atomic.Bool
		dead.Store(true)
		c := &fake{send: func(int, Message) error {
			if dead.Load() {
				return errors.New("no")
			}
			return nil
		}}
		a := alerterOver(zerolog.Nop(), nil, way{channel: c, name: "1", alerts: true})
		stop := runs(t, a)
		a.Observe(held(3))
		after(4 * time.Minute)
		a.Observe(scan())
		after(time.Minute)
		a.Observe(up())
		after(2 * time.Minute)
		if s := a.Status()[0]; s.Pending != 1 || s.Merged != 2 {
			t.Errorf("status %+v", s)
		}
		dead.Store(false)
		after(10 * time.Minute)
		same(t, "channel", c.kinds(), KindBack)
		stop()
	})
}

// An alert that is on its way when it is over arrives first, or not at all.
func TestBackDuringASend(t *testing.T) {
	for _, taken := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			c := &fake{}
			c.send = func(try int, m Message) error {
				if m.Kind != KindLogin {
					return nil
				}
				time.Sleep(20 * time.Second)
				if taken {
					return nil
				}
				return errors.New("no")
			}
			q := newCourier(way{channel: c, name: "1"}, zerolog.Nop())
			stop := make(chan struct{})
			var wg sync.WaitGroup
			wg.Go(func() { q.run(t.Context(), stop) })
			tell := func(k Kind) {
				q.tell(Notice{Kind: k, Outage: "o"}, Message{Kind: k, ID: string(k)}, time.Now())
			}
			tell(KindLogin)
			after(time.Second)
			tell(KindBack)
			after(time.Minute)
			want := []Kind{KindBack}
			if taken {
				want = []Kind{KindLogin, KindBack}
			}
			same(t, "order", c.kinds(), want...)
			if s := q.status(); s.Sent != len(want) || s.Sent+s.Merged != 2 || s.Failed != 0 {
				t.Errorf("status %+v", s)
			}
			close(stop)
			wg.Wait()
		})
	}
}

func TestQueueIsBounded(t *testing.T) {
	q := newCourier(way{channel: &fake{}, name: "1"}, zerolog.Nop())
	for i := range 100 {
		q.tell(Notice{Kind: KindHeld, Outage: string(rune('a' + i))}, Message{}, time.Now())
	}
	if s := q.status(); s.Pending != maxQueue || s.Failed != 100-maxQueue {
		t.Errorf("status %+v", s)
	}
}

// What waits for its next try when the bridge stops gets a last one.
func TestLastChance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &fake{send: func(try int, _ Message) error {
			if try == 1 {
				return &Failure{Reason: ReasonStatus, Status: 503, Wait: time.Minute}
			}
			return nil
		}}
		a := alerterOver(zerolog.Nop(), nil, way{channel: c, name: "1", alerts: true})
		stop := runs(t, a)
		a.Observe(scan())
		after(5 * time.Second)
		stop()
		same(t, "channel", c.kinds(), KindLogin)
	})
}

// stored is a NATS of the test.
type stored struct {
	kinds  []Kind
	bodies [][]byte
	err    error
}

func (s *stored) Publish(_ context.Context, k Kind, body []byte) error {
	s.kinds, s.bodies = append(s.kinds, k), append(s.bodies, body)
	return s.err
}

func TestAlertsGoToNATS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := &stored{}
		a, err := New(Config{Account: "default", Publisher: to, PublicURL: "https://bridge.example/", Log: zerolog.Nop()})
		if err != nil {
			t.Fatal(err)
		}
		stop := runs(t, a)
		a.Observe(scan())
		after(time.Minute)
		stop()
		if len(to.bodies) != 1 || to.kinds[0] != KindLogin {
			t.Fatalf("published %v", to.kinds)
		}
		var got Alert
		e, err := wire.OpenAs(to.bodies[0], TypeAlert, &got)
		if err != nil {
			t.Fatal(err)
		}
		if e.Source != "wechat/default" || e.Subject != "login" || e.ID == "" || got.Kind != KindLogin || got.UserAction != "scan_qr" ||
			got.Link != "https://bridge.example/" || got.Reason.Code != "logged_out_elsewhere" || got.Since == nil || got.Title == "" || got.Text == "" {
			t.Errorf("%+v %+v", e, got)
		}
		if strings.Contains(string(to.bodies[0]), "qr_text") {
			t.Error("an alert shows a QR code: whoever reads it could log in")
		}
		if _, err := a.Fallback(t.Context(), Delivery{ID: "1", To: "x", Text: "t"}); !errors.Is(err, ErrNoFallback) {
			t.Errorf("NATS was used as a fallback: %v", err)
		}
	})
}

// NATS away: the alert waits like one of any channel, and the other channels
// do not wait for it.
func TestNATSRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, err := New(Config{Account: "default", Publisher: &stored{err: errors.New("nats: SESAME")}, Log: zerolog.Nop()})
		if err != nil {
			t.Fatal(err)
		}
		stop := runs(t, a)
		a.Broker(true)
		after(4 * time.Minute)
		if s := a.Status()[0]; s.Name != "nats" || s.Pending != 1 || s.LastError != ReasonOther {
			t.Errorf("status %+v", s)
		}
		stop()
	})
}

func TestNewRefuses(t *testing.T) {
	for want, cfg := range map[string]Config{
		"language":   {Language: "fr"},
		"public URL": {PublicURL: "bridge.example"},
	} {
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want one about the %s", cfg, err, want)
		}
	}
}

func TestBackoff(t *testing.T) {
	for _, test := range []struct {
		n    int
		rnd  float64
		want time.Duration
	}{{0, 0, 0}, {0, 0.5, 2500 * time.Millisecond}, {1, 1, 10 * time.Second}, {6, 1, 5 * time.Minute}, {40, 1, 5 * time.Minute}, {1000, 0.1, 30 * time.Second}} {
		if got := backoff(retryBase, retryCap, test.n, test.rnd); got != test.want {
			t.Errorf("after %d failures with %v: %s, want %s", test.n, test.rnd, got, test.want)
		}
	}
}

// Start and stop in any order leave nothing behind (goleak) and do not race.
func TestStartStopStress(t *testing.T) {
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			c := &fake{send: func(try int, _ Message) error {
				if try%2 == 0 {
					return errHang
				}
				return errors.New("no")
			}}
			a := alerterOver(zerolog.Nop(), nil, way{channel: c, name: "1", alerts: true, fallback: true})
			stop := runs(t, a)
			var wg sync.WaitGroup
			wg.Go(func() { a.Observe(scan()); a.Status() })
			wg.Go(func() { a.Broker(true); a.Observe(up()) })
			wg.Go(func() { a.Test(t.Context()) })
			stop()
			wg.Wait()
		})
	}
}
