package link

import "sync"

// mailbox is a queue that never blocks its writers. What is written is bounded
// by the requests in flight and by the machine's own pace.
type mailbox[T any] struct {
	mu    sync.Mutex
	items []T
	bell  chan struct{}
}

func newMailbox[T any]() *mailbox[T] {
	return &mailbox[T]{bell: make(chan struct{}, 1)}
}

func (m *mailbox[T]) put(item T) {
	m.mu.Lock()
	m.items = append(m.items, item)
	m.mu.Unlock()
	select {
	case m.bell <- struct{}{}:
	default:
	}
}

func (m *mailbox[T]) take() []T {
	m.mu.Lock()
	defer m.mu.Unlock()
	items := m.items
	m.items = nil
	return items
}
