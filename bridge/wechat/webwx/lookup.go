package webwx

import (
	"context"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/eatmoreapple/openwechat"

	"wechat-bridge/classifier"
)

const (
	lookupBatch   = 50               // entries WeChat takes in one request
	lookupTries   = 3                // of one id
	lookupAgain   = 10 * time.Minute // before the same id is asked for again
	lookupBackoff = time.Minute
	lookupMax     = 30 * time.Minute
	lookupQueue   = 2000 // ids that wait
	lookupHourly  = 100  // requests in any hour
)

// lookups is the queue of rooms and people to ask WeChat about. That request
// is the first to be throttled, so each id is asked once in a while, all that
// wait go together, and a refusal stops everything for minutes.
type lookups struct {
	mu     sync.Mutex
	wait   []string
	flying []string // in the request that is under way
	asked  map[string]time.Time
	tries  map[string]int
	next   time.Time     // no request before
	made   []time.Time   // the requests of the last hour, oldest first
	failed int           // refusals in a row
	round  chan struct{} // closed after the next request
}

func (l *lookups) init() {
	l.asked, l.tries, l.round = map[string]time.Time{}, map[string]int{}, make(chan struct{})
}

// queue adds ids; urgent ones go first. It returns how many now wait.
func (l *lookups) queue(ids []string, urgent bool, now time.Time) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	var fresh []string
	for _, id := range ids {
		known := slices.Contains(l.wait, id) || slices.Contains(fresh, id)
		if at, ok := l.asked[id]; !known && (!ok || now.Sub(at) >= lookupAgain) && len(l.wait)+len(fresh) < lookupQueue {
			fresh = append(fresh, id)
		}
	}
	if urgent {
		l.wait = append(fresh, l.wait...)
	} else {
		l.wait = append(l.wait, fresh...)
	}
	return len(l.wait)
}

func (l *lookups) due(now time.Time) bool {
	d, ok := l.nextIn(now)
	return ok && d == 0
}

func (l *lookups) nextIn(now time.Time) (time.Duration, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(l.next.Sub(now), 0), len(l.wait) > 0
}

func (l *lookups) take(now time.Time) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(len(l.wait), lookupBatch)
	ids := slices.Clone(l.wait[:n])
	l.wait = slices.Delete(l.wait, 0, n)
	for _, id := range ids {
		l.asked[id] = now
	}
	l.flying = ids
	l.made = append(l.made, now)
	return ids
}

// done ends a round: it paces the next one and puts back what failed.
func (l *lookups) done(ids []string, err error, pace time.Duration, now time.Time, r float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next, l.flying = now.Add(pace), nil
	if err == nil {
		l.failed = 0
	} else {
		l.next = now.Add(backoff(lookupBackoff, lookupMax, l.failed, r))
		l.failed++
		for _, id := range ids {
			if l.tries[id]++; l.tries[id] < lookupTries {
				l.wait = append(l.wait, id)
			}
		}
	}
	if n := len(l.made); n >= lookupHourly {
		l.made = l.made[n-lookupHourly:]
		if free := l.made[0].Add(time.Hour); free.After(l.next) {
			l.next = free
		}
	}
	close(l.round)
	l.round = make(chan struct{})
}

// open says whether a look-up would be made soon, and when the next is over.
func (l *lookups) open(now time.Time, within time.Duration) (<-chan struct{}, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.round, l.next.Sub(now) < within
}

func (l *lookups) pending(ids []string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(ids, func(id string) bool {
		return slices.Contains(l.wait, id) || slices.Contains(l.flying, id)
	})
}

// learn asks for ids and waits a little. Whoever is still unknown then is
// delivered with what is known.
func (p *people) learn(ctx context.Context, ids []string) {
	if len(ids) == 0 {
		return
	}
	p.lookups.queue(ids, true, time.Now())
	p.poke()
	timer := time.NewTimer(p.cfg.LookupWait)
	defer timer.Stop()
	for {
		round, soon := p.lookups.open(time.Now(), p.cfg.LookupWait)
		if !soon || !p.lookups.pending(ids) {
			return
		}
		select {
		case <-round:
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// later asks for ids without waiting.
func (p *people) later(ids []string) {
	if len(ids) > 0 && p.lookups.queue(ids, false, time.Now()) > 0 {
		p.poke()
	}
}

func (p *people) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

type batchAnswer struct {
	envelope
	ContactList []contact
}

// lookUp makes one request for what waits.
func (p *people) lookUp(ctx context.Context) {
	ids := p.lookups.take(time.Now())
	users := make(openwechat.Members, len(ids))
	for i, id := range ids {
		users[i] = &openwechat.User{UserName: id}
	}
	ex := &exchange{op: classifier.OpBatchContacts, limit: largeAnswer}
	var a batchAnswer
	err := p.line.ask(ctx, ex, p.line.times.quick, func(ctx context.Context) (*http.Response, error) {
		return p.line.lib.WebWxBatchGetContact(ctx, users, p.line.base())
	}, &a)
	if err == nil {
		p.put(slices.DeleteFunc(a.ContactList, func(c contact) bool {
			return c.NickName == "" && c.RemarkName == "" && len(c.MemberList) == 0 // WeChat does not know it
		}))
	} else if ctx.Err() == nil {
		p.log.Warn().Err(err).Str("event", "lookup_failed").Int("ids", len(ids)).Msg("rooms or people could not be looked up; messages go on without their names")
	}
	p.lookups.done(ids, err, p.cfg.LookupPace, time.Now(), rand.Float64())
}
