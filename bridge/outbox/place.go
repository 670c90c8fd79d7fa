package outbox

import (
	"errors"
	"slices"
	"strings"
	"time"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/bridge/wire"
)

// place finds the lane of a delivery that has just come into memory, or what
// else becomes of it.
func (c *courier) place(d *delivery) {
	if len(c.limbo) > 0 { // what came before it goes before it
		c.limbo = append(c.limbo, d)
		return
	}
	peer, err := c.cfg.Peers.Resolve(d.query())
	if err == nil && c.headsLoad && c.patient() {
		c.limbo = append(c.limbo, d)
		return
	}
	if err != nil {
		c.misplace(d, err)
		return
	}
	c.loadSince = time.Time{}
	d.peer = peer
	l := c.laneOf(peer)
	q := c.older(d)
	if q == nil && !d.placed && l.full(d.High) {
		if o := c.overflow(l, d); !d.order().less(o.floor) {
			q = o
		} // else a crash brought back what is older than all that is parked
	}
	if q != nil && !d.placed {
		c.park(q, d)
		return
	}
	l.add(d)
	c.wake(l)
}

// older is the queue of those that were parked because the same recipient
// could not be found, where its head has no lane yet.
func (c *courier) older(d *delivery) *queue {
	if len(c.queues) == 0 {
		return nil
	}
	if q := c.queues[d.recipientToken()]; q != nil && q.lane == nil {
		return q
	}
	return nil
}

// overflow is the queue for what a lane has no room for, of its priority. One of
// a former name of the peer, whose head goes elsewhere now, is passed over.
func (c *courier) overflow(l *lane, d *delivery) *queue {
	for n := 0; ; n++ {
		q := c.queueOf(d.laneToken(l.peer.ID, n))
		if q.lane == nil && q.head == nil && !q.loading && !q.parking {
			c.join(q, l)
		}
		if q.lane == l {
			return q
		}
	}
}

// misplace is for a recipient that is not one peer.
func (c *courier) misplace(d *delivery, err error) {
	switch decideWait(d.query(), err) {
	case waitLoading:
		if c.patient() {
			c.limbo = append(c.limbo, d)
			return
		}
	case waitRefuse:
		c.refuse(d, err)
		return
	}
	c.park(c.queueOf(d.recipientToken()), d)
}

// wait is what becomes of a delivery whose recipient is not found.
type wait int

const (
	waitRefuse  wait = iota
	waitLoading      // contacts are loading
	waitVisible      // a room shows itself when somebody speaks in it
)

func decideWait(q wechat.Query, err error) wait {
	var missing *wechat.NotFoundError
	switch {
	case !errors.As(err, &missing):
		return waitRefuse
	case missing.Loading:
		return waitLoading
	case q.Type == "" && q.Name == "" && q.Room == "" && q.ID == "":
		return waitRefuse // by remark, nickname or alias only friends are found
	case q.Type != "" && q.Type != wechat.Room:
		return waitRefuse
	}
	return waitVisible
}

// patient reports whether contacts that load are worth waiting for in memory.
func (c *courier) patient() bool {
	now := time.Now()
	if c.loadSince.IsZero() {
		c.loadSince = now
	}
	return now.Sub(c.loadSince) < loadPatience
}

func (c *courier) laneOf(peer wechat.Peer) *lane {
	l := c.lanes[peer.ID]
	if l == nil {
		l = &lane{peer: peer, queues: map[string]*queue{}}
		c.lanes[peer.ID] = l
	}
	return l
}

// lookAgain is for what waits for the directory: the parked ones first, as
// they are older.
func (c *courier) lookAgain() {
	c.renamed()
	if c.rename {
		return
	}
	c.headsLoad = false
	for _, q := range c.unplaced() {
		c.attach(q)
	}
	limbo := c.limbo
	c.limbo = nil
	for _, d := range limbo {
		c.place(d)
	}
}

// unplaced are the queues whose head has no lane, in order.
func (c *courier) unplaced() []*queue {
	var list []*queue
	for _, q := range c.queues {
		if q.lane == nil && q.head != nil && !q.writing {
			list = append(list, q)
		}
	}
	slices.SortFunc(list, func(a, b *queue) int {
		if a.head.before(b.head) {
			return -1
		}
		return 1
	})
	return list
}

// renamed places everything anew after a login: the web protocol gives all
// peers other ids. It waits until nothing is under way, so that no chat has
// two deliveries in flight, one under each id.
func (c *courier) renamed() {
	gen := c.cfg.Peers.Generation()
	if gen != c.gen {
		c.rename = true
	}
	if !c.rename || c.inFlight > 0 {
		return
	}
	c.gen, c.rename, c.loadSince = gen, false, time.Time{}
	var all []*delivery
	for _, l := range c.lanes {
		all = append(all, l.memory...)
		l.memory, l.queues = nil, map[string]*queue{}
	}
	c.lanes, c.readies, c.urgent = map[string]*lane{}, nil, nil
	for _, q := range c.queues {
		q.lane = nil
	}
	c.replace(all)
}

// replace gives deliveries that had a lane their new one; they stay in memory
// even where the new lane has parked ones, which may be older or younger.
func (c *courier) replace(all []*delivery) {
	slices.SortFunc(all, func(a, b *delivery) int {
		if a.before(b) {
			return -1
		}
		return 1
	})
	c.limbo = slices.Concat(all, c.limbo)
	c.lookAgain()
	for _, l := range c.lanes {
		c.wake(l)
	}
}

// refuse ends a delivery whose recipient is nobody or several.
func (c *courier) refuse(d *delivery, err error) {
	rej, candidates := recipientRejection(d.item, err)
	c.jobs.Go(func() { c.finish(nil, d, c.reject(d, rej, candidates)) })
}

func recipientRejection(it *item, err error) (*wire.Rejection, []wire.Peer) {
	var several *wechat.AmbiguousError
	if errors.As(err, &several) {
		return &wire.Rejection{
			Code: codeAmbiguousTo, Field: "to",
			Message: "Several peers are meant by " + it.To.Describe() + " (" + several.Level + "); name one of the candidates.",
		}, wirePeers(several.Candidates)
	}
	message := "Nobody is known as " + it.To.Describe() + "."
	if decideWait(it.query(), err) == waitLoading {
		message = "The contacts could not be loaded in time, and nobody is known as " + it.To.Describe() + " yet."
	}
	return &wire.Rejection{Code: codeUnknownTo, Field: "to", Nearest: nearestOf(err), Message: message}, nil
}

func nearestOf(err error) string {
	var missing *wechat.NotFoundError
	if errors.As(err, &missing) {
		return strings.Join(missing.Nearest, ", ")
	}
	return ""
}

func wirePeers(peers []wechat.Peer) []wire.Peer {
	out := make([]wire.Peer, len(peers))
	for i, p := range peers {
		out[i] = wire.Peer{ID: p.ID, Name: p.Name, Remark: p.Remark, Type: string(p.Type)}
	}
	return out
}
