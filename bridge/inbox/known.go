package inbox

import "sync"

// MaxKnown is how many ids of stored events are remembered, about 2 MB. The
// stream drops repeats for a day; remembering saves the media a second download.
const MaxKnown = 20_000

// known is a set of the newest ids, as the stream has them.
type known struct {
	mu   sync.Mutex
	set  map[string]struct{}
	ring []string
	next int
}

func newKnown(n int) *known {
	return &known{set: map[string]struct{}{}, ring: make([]string, n)}
}

func (k *known) has(id string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, ok := k.set[id]
	return ok
}

func (k *known) add(id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, ok := k.set[id]; ok || id == "" {
		return
	}
	delete(k.set, k.ring[k.next])
	k.ring[k.next] = id
	k.set[id] = struct{}{}
	k.next = (k.next + 1) % len(k.ring)
}
