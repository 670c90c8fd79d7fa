package outbox

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/rs/zerolog"
)

// courier takes accepted deliveries to WeChat. One goroutine owns all of its
// state; what waits for NATS, the pace or WeChat runs beside it and comes back
// as a function to be called there.
type courier struct {
	cfg       Config
	chain     *chain
	lists     *lists
	expirer   *expirer
	degrader  *degrader
	counts    *counts
	pace      *pacer
	corrector *corrector
	log       zerolog.Logger

	events chan func()
	closed chan struct{}   // the loop is over: nobody reads events
	work   context.Context // outlives the loop by the grace
	ctx    context.Context // of the loop
	jobs   jobs

	lanes     map[string]*lane
	readies   []*lane
	urgent    []*lane // what they have next is of high priority
	queues    map[string]*queue
	held      map[held]*delivery // all in memory, parked heads too
	limbo     []*delivery        // contacts are loading
	feeds     []*feed
	inFlight  int
	open      bool
	openedAt  time.Time
	wasOpen   time.Duration // before openedAt
	shut      chan struct{} // tells the watcher of the gate that it closed
	loaded    bool          // the parking's queues are known
	gen       uint64
	pacing    bool // it looks again when the pace allows it
	rename    bool // a login renamed the peers: place all anew when nothing is under way
	loadSince time.Time
	headsLoad bool          // a parked head waits for contacts that load
	toLoad    int           // parked heads to read before anything is sent
	slots     chan struct{} // parked heads being read
	me        worker
}

// held names a delivery: a rejected id may come again.
type held struct {
	key string
	seq uint64
}

func newCourier(cfg Config, ch *chain, ls *lists, ex *expirer, dg *degrader, counts *counts) *courier {
	c := &courier{
		cfg: cfg, chain: ch, lists: ls, expirer: ex, degrader: dg, counts: counts, pace: newPacer(cfg.Pace, cfg.Memory),
		log:    cfg.Log,
		events: make(chan func()), closed: make(chan struct{}), shut: make(chan struct{}, 1),
		lanes: map[string]*lane{}, queues: map[string]*queue{}, held: map[held]*delivery{},
		feeds: newFeeds(cfg), slots: make(chan struct{}, loadsAtOnce),
	}
	c.corrector = newCorrector(cfg, ch, c.slowDown)
	return c
}

func (c *courier) run(ctx context.Context) error {
	work, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	c.ctx, c.work = ctx, work
	c.me = worker{c.cfg.Epoch, time.Now()}
	c.gen = c.cfg.Peers.Generation()
	if persist(ctx, c.log, "read the day's sends", func() error { return c.pace.load(ctx, time.Now()) }) != nil {
		return nil // the context has ended
	}
	if c.corrector.load(ctx) != nil {
		return nil
	}
	c.jobs.Go(c.watchGate)
	c.jobs.Go(c.openParking)
	c.loop(ctx)
	close(c.closed)
	c.jobs.end(c.cfg.Grace, func() { cancel(errGraceOver) })
	return nil
}

func (c *courier) loop(ctx context.Context) {
	tick := time.NewTicker(c.tickTime())
	defer tick.Stop()
	for {
		changed := c.cfg.Peers.Changed()
		c.renamed()
		c.dispatch()
		select {
		case f := <-c.events:
			f()
		case <-changed:
			c.lookAgain()
		case <-tick.C:
			c.checkGate()
			c.lookAgain()
			c.checkFronts()
		case <-ctx.Done():
			return
		}
	}
}

// tickTime is how often waits are looked at.
func (c *courier) tickTime() time.Duration { return max(minTick, min(holdTime, c.cfg.RecipientWait)) }

// post has f called by the loop; after the loop's end it is dropped.
func (c *courier) post(f func()) {
	select {
	case c.events <- f:
	case <-c.closed:
	}
}

// dispatch starts what can go.
func (c *courier) dispatch() {
	for c.open && c.loaded && !c.rename && c.inFlight < c.cfg.MaxInFlight && len(c.urgent)+len(c.readies) > 0 {
		if wait := c.pace.take(time.Now(), rand.Float64()); wait > 0 {
			c.paced(wait)
			break
		}
		if !c.startOne() {
			c.pace.giveBack(false)
		}
	}
}

// startOne begins the turn of the first lane that has something to send.
func (c *courier) startOne() bool {
	for l := c.popLane(); l != nil; l = c.popLane() {
		if d := l.next(time.Now(), c.parkedMayGo); d != nil {
			l.take(d)
			d.gen = c.gen
			c.inFlight++
			c.jobs.Go(func() { c.deliver(l, d) })
			return true
		}
	}
	return false
}

// popLane takes a lane off the lists of those that can go; nil if there is none.
func (c *courier) popLane() (l *lane) {
	switch {
	case len(c.urgent) > 0:
		l, c.urgent = c.urgent[0], c.urgent[1:]
		l.urgent = false
	case len(c.readies) > 0:
		l, c.readies = c.readies[0], c.readies[1:]
		l.ready = false
	}
	return l
}

// paced has the loop look again when the pace allows it.
func (c *courier) paced(wait time.Duration) {
	if c.pacing {
		return
	}
	c.pacing = true
	c.later(min(wait, time.Minute), func() { c.pacing = false })
}

// wake puts a lane into the list of those that can go. One may be in both: it has
// become urgent while it waited for its turn.
func (c *courier) wake(l *lane) {
	if l.busy != nil {
		return
	}
	if l.idle() {
		if c.lanes[l.peer.ID] == l {
			delete(c.lanes, l.peer.ID)
		}
		return
	}
	d := l.first()
	switch {
	case d != nil && time.Now().Before(d.until):
		c.wakeAt(l, d.until)
	case d != nil && d.High:
		if !l.urgent {
			l.urgent, c.urgent = true, append(c.urgent, l)
		}
	case !l.ready:
		l.ready, c.readies = true, append(c.readies, l)
	}
}

// wakeAt wakes a lane later.
func (c *courier) wakeAt(l *lane, at time.Time) {
	if !l.wakes.IsZero() && !at.Before(l.wakes) {
		return
	}
	l.wakes = at
	c.later(time.Until(at), func() {
		if l.wakes.Equal(at) {
			l.wakes = time.Time{}
		}
		c.wake(l)
	})
}

// later posts f after a while, unless the loop ends before.
func (c *courier) later(wait time.Duration, f func()) {
	c.jobs.Go(func() {
		if pause(c.ctx, wait) == nil {
			c.post(f)
		}
	})
}
