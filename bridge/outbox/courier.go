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
	queues    map[string]*queue
	held      map[held]*delivery // all in memory, parked heads too
	limbo     []*delivery        // contacts are loading
	window    chan struct{}      // one per delivery in memory that is not parked
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
	headsLoad bool // a parked head waits for contacts that load
	front     front
	toLoad    int           // parked heads to read before anything is sent
	slots     chan struct{} // parked heads being read
	me        worker
}

// held names a delivery: a rejected id may come again.
type held struct {
	key string
	seq uint64
}

func newCourier(cfg Config, ch *chain, ls *lists, ex *expirer, counts *counts) *courier {
	c := &courier{
		cfg: cfg, chain: ch, lists: ls, expirer: ex, counts: counts, pace: newPacer(cfg.Pace, cfg.Memory),
		log:    cfg.Log,
		events: make(chan func()), closed: make(chan struct{}), shut: make(chan struct{}, 1),
		lanes: map[string]*lane{}, queues: map[string]*queue{}, held: map[held]*delivery{},
		window: make(chan struct{}, windowSize), slots: make(chan struct{}, loadsAtOnce),
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
			c.checkFront()
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
	for c.open && c.loaded && !c.rename && c.inFlight < c.cfg.MaxInFlight && len(c.readies) > 0 {
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
	for len(c.readies) > 0 {
		l := c.readies[0]
		c.readies = c.readies[1:]
		l.ready = false
		if d := l.next(time.Now(), c.front.passed); d != nil {
			l.take(d)
			d.gen = c.gen
			c.inFlight++
			c.jobs.Go(func() { c.deliver(l, d) })
			return true
		}
	}
	return false
}

// paced has the loop look again when the pace allows it.
func (c *courier) paced(wait time.Duration) {
	if c.pacing {
		return
	}
	c.pacing = true
	c.later(min(wait, time.Minute), func() { c.pacing = false })
}

// wake puts a lane into the list of those that can go.
func (c *courier) wake(l *lane) {
	if l.ready || l.busy != nil {
		return
	}
	if l.idle() {
		if c.lanes[l.peer.ID] == l {
			delete(c.lanes, l.peer.ID)
		}
		return
	}
	if wait := time.Until(l.until); wait > 0 {
		if !l.asleep {
			l.asleep = true
			c.later(wait, func() { l.asleep = false; c.wake(l) })
		}
		return
	}
	l.ready = true
	c.readies = append(c.readies, l)
}

// later posts f after a while, unless the loop ends before.
func (c *courier) later(wait time.Duration, f func()) {
	c.jobs.Go(func() {
		if pause(c.ctx, wait) == nil {
			c.post(f)
		}
	})
}
