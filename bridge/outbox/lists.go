package outbox

import (
	"context"
	"fmt"
	"sync"
	"time"

	"wechat-bridge/bridge/wire"
)

// lists writes a list's final record when all of its parts are final. What it
// knows is rebuilt from the parts' chains, each read at most once, when the
// first part of a list ends in this process. As a part is acknowledged only
// after mark, the last part is seen again after a crash.
type lists struct {
	chain   *chain
	objects Objects
	mu      sync.Mutex
	open    map[held]*list
}

type list struct {
	turn   chan struct{} // held by who reads or writes chains: a lock that can wait for NATS
	states []wire.State  // nil until read; "" = not final yet
	left   int
}

func newLists(ch *chain, objects Objects) *lists {
	return &lists{chain: ch, objects: objects, open: map[held]*list{}}
}

// ended does what follows the final record of a delivery, and precedes its
// acknowledgement: the list learns of it, and the medium is removed when
// nothing needs it any more. Errors are those of mark.
func (ls *lists) ended(ctx context.Context, it *item, trace string, s wire.State) error {
	over := true
	if it.List != "" {
		var err error
		if over, err = ls.mark(ctx, it, trace, s); err != nil {
			return err
		}
	}
	if !over {
		return nil
	}
	return ls.dropMedium(ctx, it)
}

// dropMedium removes a delivery's medium, if it has one.
func (ls *lists) dropMedium(ctx context.Context, it *item) error {
	if it.Media == nil {
		return nil
	}
	return persist(ctx, ls.chain.log, "remove medium", func() error { return ls.objects.Remove(ctx, it.Media.Object) })
}

// mark notes that a part is final; the list's final record is written when it
// was the last one: over. An error is the end of the context, or that the state
// is none that ends a part.
func (ls *lists) mark(ctx context.Context, it *item, trace string, s wire.State) (over bool, err error) {
	if !s.Final() {
		return false, fmt.Errorf("%q ends no part of a list: %w", s, wire.ErrInvalid)
	}
	name := held{wire.Key(it.List), it.StreamSeq}
	l := ls.get(name)
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
	if l.states == nil {
		if err := ls.read(ctx, name.key, it, l); err != nil {
			return false, err
		}
	}
	if i := it.Part - 1; i >= 0 && i < len(l.states) && l.states[i] == "" {
		l.states[i] = s
		l.left--
	}
	if l.left > 0 {
		return false, nil
	}
	if err := ls.end(ctx, name.key, it, trace, l.states); err != nil {
		return false, err
	}
	ls.mu.Lock()
	delete(ls.open, name)
	ls.mu.Unlock()
	return true, nil
}

func (ls *lists) get(name held) *list {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.open[name]
	if l == nil {
		l = &list{turn: make(chan struct{}, 1)}
		ls.open[name] = l
	}
	return l
}

// read looks at all parts but the one that is just final.
func (ls *lists) read(ctx context.Context, key string, it *item, l *list) error {
	states := make([]wire.State, it.Parts)
	left := it.Parts
	for i := range states {
		if i == it.Part-1 {
			continue
		}
		last, err := ls.chain.last(ctx, wire.PartKey(key, i+1))
		if err != nil {
			return err
		}
		if last.of(it.command()) && last.State.Final() {
			states[i] = finalState(&last)
			left--
		}
	}
	l.states, l.left = states, left
	return nil
}

// finalState is the state that ended a delivery; a correction does not count.
func finalState(r *record) wire.State {
	if r.State == wire.Corrected && r.Was != "" {
		return r.Was
	}
	return r.State
}

// end writes the list's final record, unless there is one.
func (ls *lists) end(ctx context.Context, key string, it *item, trace string, states []wire.State) error {
	last, err := ls.chain.last(ctx, key)
	if err != nil {
		return err
	}
	_, err = ls.chain.settle(ctx, key, trace, last, func(last record) (wire.Delivery, bool) {
		if last.seq > 0 && (last.foreign || !last.of(it.command()) || last.State.Final()) {
			return wire.Delivery{}, false
		}
		base := it.base(ls.chain.account, ls.chain.epoch)
		base.ID, base.To = it.List, last.To
		return listFinal(base, states, time.Now()), true
	})
	return err
}
