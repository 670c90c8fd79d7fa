package link

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

// rig is a link on a fake WeChat.
type rig struct {
	*Link
	t     *testing.T
	fake  *fake
	vault *vault
	sink  *sink
	log   *lines
	mu    sync.Mutex
	seen  []Status
	stop  func()
}

type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, string(p))
	return len(p), nil
}

func (l *lines) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.all)
}

// start runs a link in the test's bubble until the test ends.
func start(t *testing.T, f *fake, v *vault) *rig {
	t.Helper()
	return startWith(t, f, v, func(*Config) {}, func(*Link) {})
}

// startWith does so with a configuration and a link that are changed first.
func startWith(t *testing.T, f *fake, v *vault, change func(*Config), prepare func(*Link)) *rig {
	t.Helper()
	r := &rig{t: t, fake: f, vault: v, sink: &sink{}, log: &lines{}}
	cfg := Config{
		Account: "default", Transport: f, Memory: v, Sink: r.sink,
		Observe: r.observe, Log: zerolog.New(r.log), Rand: func() float64 { return 0.5 },
	}
	change(&cfg)
	l, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	prepare(l)
	r.Link = l
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	var once sync.Once
	r.stop = func() {
		once.Do(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("Run: %v", err)
			}
		})
	}
	t.Cleanup(r.stop)
	return r
}

func (r *rig) observe(s Status) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, s)
	if (s.Breaker.State == "closed") != (s.Sending != Held) {
		r.t.Errorf("breaker %s, sending %s", s.Breaker.State, s.Sending)
	}
}

// states are the different states seen, in order.
func (r *rig) states() (all []State) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.seen {
		if len(all) == 0 || all[len(all)-1] != s.State {
			all = append(all, s.State)
		}
	}
	return all
}

// pass lets virtual time go by.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// until waits for a state, at most for d.
func (r *rig) until(want State, d time.Duration) Status {
	r.t.Helper()
	for end := time.Now().Add(d); ; {
		s := r.Status()
		if s.State == want {
			synctest.Wait()
			return r.Status()
		}
		if !time.Now().Before(end) {
			r.t.Fatalf("state %s (%s) after %v, want %s; seen %v", s.State, s.Reason.Code, d, want, r.states())
		}
		pass(50 * time.Millisecond)
	}
}

// bubble runs a test in virtual time; everything the link started is gone at
// its end, or synctest fails the test.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, f)
}
