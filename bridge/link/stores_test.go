package link

import (
	"context"
	"errors"
	"sync"
	"time"

	"wechat-bridge/bridge/wechat"
)

// vault keeps a memory, and can be away.
type vault struct {
	mu    sync.Mutex
	value []byte
	away  bool
	saves int
}

func (v *vault) Load(context.Context) ([]byte, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.away {
		return nil, errors.New("storage is away")
	}
	return v.value, nil
}

func (v *vault) Save(_ context.Context, b []byte) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.away {
		return errors.New("storage is away")
	}
	v.value = b
	v.saves++
	return nil
}

// sink stores batches and commits their cursors, and can be away.
type sink struct {
	mu    sync.Mutex
	away  bool
	slow  time.Duration
	taken []wechat.Batch
}

func (s *sink) set(away bool, slow time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away, s.slow = away, slow
}

func (s *sink) Take(ctx context.Context, r wechat.Receiver, b wechat.Batch) error {
	s.mu.Lock()
	away, slow := s.away, s.slow
	s.mu.Unlock()
	if err := pause(ctx, slow); err != nil {
		return err
	}
	if away {
		return errors.New("storage is away")
	}
	s.mu.Lock()
	s.taken = append(s.taken, b)
	s.mu.Unlock()
	return r.Commit(ctx, b.Cursor)
}
