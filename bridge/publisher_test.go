package bridge

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"wechat-bridge/bridge/wire"
)

// shelf is NATS as the publisher sees it.
type shelf struct {
	mu     sync.Mutex
	away   bool
	stored []string
}

func (s *shelf) store(_ context.Context, c wire.Connection) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return errors.New("away")
	}
	s.stored = append(s.stored, c.State)
	return nil
}

func (s *shelf) set(away bool) { s.mu.Lock(); defer s.mu.Unlock(); s.away = away }

func (s *shelf) states() []string { s.mu.Lock(); defer s.mu.Unlock(); return slices.Clone(s.stored) }

func TestPublisherKeepsOrderOverAnOutageOfNATS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nats := &shelf{away: true}
		p := newPublisher(nats.store, zerolog.Nop())
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go p.Run(ctx)
		for _, s := range []string{"starting", "connecting", "connecting", "connected"} {
			p.Add(wire.Connection{State: s, Breaker: wire.Breaker{Counts: wire.Counts{Requests: uint32(len(s))}}})
		}
		synctest.Wait()
		nats.set(false)
		time.Sleep(2 * publishPause)
		synctest.Wait()
		if got, want := nats.states(), []string{"starting", "connecting", "connected"}; !slices.Equal(got, want) {
			t.Errorf("stored %v, want %v: each change once, in order", got, want)
		}
		time.Sleep(republishAfter)
		synctest.Wait()
		if got := nats.states(); len(got) != 4 || got[3] != "connected" {
			t.Errorf("after a day: %v, want the state once more", got)
		}
	})
}

func TestPublisherIsBounded(t *testing.T) {
	nats := &shelf{}
	p := newPublisher(nats.store, zerolog.Nop())
	for i := range 3 * maxUnpublished {
		p.Add(wire.Connection{State: strconv.Itoa(i)})
	}
	if err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := nats.states()
	if len(got) > maxUnpublished || got[len(got)-1] != strconv.Itoa(3*maxUnpublished-1) {
		t.Errorf("kept %d, the last %s", len(got), got[len(got)-1])
	}
}
