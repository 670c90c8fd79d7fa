package link

import (
	"context"
	"sync"
	"time"

	"wechat-bridge/bridge/wechat"
)

// saver stores the newest memory, again and again until that works.
type saver struct {
	vault wechat.Vault
	bell  chan struct{}

	mu     sync.Mutex
	want   memory
	asked  uint64        // versions put
	stored uint64        // newest version that rests
	news   chan struct{} // closed when stored moves
}

func newSaver(v wechat.Vault) *saver {
	return &saver{vault: v, bell: make(chan struct{}, 1), news: make(chan struct{})}
}

func (s *saver) put(m memory) {
	s.mu.Lock()
	s.want = m
	s.asked++
	s.mu.Unlock()
	select {
	case s.bell <- struct{}{}:
	default:
	}
}

// run stores what is put until ctx ends; failed reports a failed try and how
// many there were in a row.
func (s *saver) run(ctx context.Context, failed func(err error, n int)) {
	for fails := 0; ; {
		wait := s.bell
		var again <-chan time.Time
		if fails > 0 {
			again = time.After(doubling(time.Second, takeCap, fails-1))
		}
		select {
		case <-ctx.Done():
			return
		case <-wait:
		case <-again:
		}
		if err := s.once(ctx); err != nil {
			fails++
			failed(err, fails)
		} else {
			fails = 0
		}
	}
}

// once stores the newest memory if it does not rest already.
func (s *saver) once(ctx context.Context) error {
	s.mu.Lock()
	m, version, stored := s.want, s.asked, s.stored
	s.mu.Unlock()
	if version == stored {
		return nil
	}
	b, err := m.encode()
	if err != nil {
		return err
	}
	if err := s.vault.Save(ctx, b); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stored = version
	close(s.news)
	s.news = make(chan struct{})
	return nil
}

// flush returns when all that was put before rests.
func (s *saver) flush(ctx context.Context) error {
	s.mu.Lock()
	version := s.asked
	s.mu.Unlock()
	for {
		s.mu.Lock()
		done, news := s.stored >= version, s.news
		s.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
