package wechat

import "sync"

// Directory knows the peers of one account and turns what a user wrote into
// one of them. The transport fills it, the outbox asks it. It is safe for
// concurrent use.
type Directory struct {
	mu sync.RWMutex
}
