package sim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// FaultKinds are the values of Fault.Do.
//
//	ret               answers Ret in the endpoint's own form; the request has no effect;
//	                  for synccheck also a Selector, which with Ret 0 is a false alarm
//	status            answers HTTP Status (default 502) with a page
//	html              answers 200 with a page of HTML
//	empty             answers 200 with an empty body
//	truncate          does the work, then sends half of the answer
//	reset             resets the connection; the request has no effect
//	hang              answers only after the fault was cleared or its For is over
//	delay             waits Delay, then goes on (with the next fault, too)
//	refuse            drops all connections and closes new ones before TLS; with
//	                  endpoints named in On, resets the requests to these instead
//	accept_then_drop  does the work, then resets the connection
//	throttle          answers Ret (default 1205) above Rate ("20/m")
//	notice            does the work and adds a system message to the chat (Text)
var FaultKinds = []string{"ret", "status", "html", "empty", "truncate", "reset", "hang", "delay",
	"refuse", "accept_then_drop", "throttle", "notice"}

// Fault is something that goes wrong. In JSON, durations are written "30s".
type Fault struct {
	ID          int           // given by AddFault
	On          []string      // endpoint names, or "*"; empty means "*"
	Do          string        // see FaultKinds
	Ret         int           // for ret, throttle
	Selector    int           // for ret on synccheck
	Count       int           // how often it applies; 0: no limit
	Probability float64       // of applying to a request that it matches; 0 means 1
	For         time.Duration // how long it applies from when it was added; 0: no limit
	Skip        int           // how many matching requests go by first
	Status      int           // for status
	Delay       time.Duration // for delay
	Rate        string        // for throttle: requests per "s", "m" or "h", e.g. "20/m"
	Burst       int           // for throttle: how many at once; default the number in Rate
	Text        string        // for notice; default the message that says the peer refused
	Hits        int           // how often it applied so far
}

type faultJSON struct {
	ID          int      `json:"id,omitempty"`
	On          []string `json:"on"`
	Do          string   `json:"do"`
	Ret         int      `json:"ret,omitempty"`
	Selector    int      `json:"selector,omitempty"`
	Count       int      `json:"count,omitempty"`
	Probability *float64 `json:"probability,omitempty"`
	For         string   `json:"for,omitempty"`
	Skip        int      `json:"skip,omitempty"`
	Status      int      `json:"status,omitempty"`
	Delay       string   `json:"delay,omitempty"`
	Rate        string   `json:"rate,omitempty"`
	Burst       int      `json:"burst,omitempty"`
	Text        string   `json:"text,omitempty"`
	Hits        int      `json:"hits,omitempty"`
}

// MarshalJSON writes durations as text.
func (f Fault) MarshalJSON() ([]byte, error) {
	j := faultJSON{ID: f.ID, On: f.On, Do: f.Do, Ret: f.Ret, Selector: f.Selector, Count: f.Count, Skip: f.Skip, Status: f.Status,
		Rate: f.Rate, Burst: f.Burst, Text: f.Text, Hits: f.Hits}
	if f.Probability != 0 {
		j.Probability = &f.Probability
	}
	if f.For != 0 {
		j.For = f.For.String()
	}
	if f.Delay != 0 {
		j.Delay = f.Delay.String()
	}
	return json.Marshal(j)
}

// UnmarshalJSON refuses unknown fields and bad durations.
func (f *Fault) UnmarshalJSON(b []byte) error {
	var j faultJSON
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&j); err != nil {
		return fmt.Errorf("%w: fault: %w", ErrInvalid, err)
	}
	*f = Fault{ID: j.ID, On: j.On, Do: j.Do, Ret: j.Ret, Selector: j.Selector, Count: j.Count, Skip: j.Skip, Status: j.Status,
		Rate: j.Rate, Burst: j.Burst, Text: j.Text, Hits: j.Hits}
	if j.Probability != nil {
		if f.Probability = *j.Probability; f.Probability <= 0 {
			return fmt.Errorf("%w: fault: probability must be above 0", ErrInvalid)
		}
	}
	var err error
	if f.For, err = parseWait("for", j.For); err != nil {
		return err
	}
	f.Delay, err = parseWait("delay", j.Delay)
	return err
}

func parseWait(field, s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%w: fault: %s %q is not a duration such as 30s", ErrInvalid, field, s)
	}
	return d, nil
}

// check fills defaults in and refuses what makes no sense.
func (f *Fault) check() error {
	if !slices.Contains(FaultKinds, f.Do) {
		return fmt.Errorf("%w: fault: do %q: want one of %s", ErrInvalid, f.Do, strings.Join(FaultKinds, ", "))
	}
	if len(f.On) == 0 {
		f.On = []string{"*"}
	}
	if f.Probability < 0 || f.Probability > 1 || f.Count < 0 || f.Skip < 0 || f.For < 0 || f.Delay < 0 || f.Burst < 0 {
		return fmt.Errorf("%w: fault: negative number, or probability above 1", ErrInvalid)
	}
	switch f.Do {
	case "ret":
		if f.Ret == 0 && f.Selector == 0 {
			return fmt.Errorf("%w: fault: ret needs a code", ErrInvalid)
		}
	case "delay":
		if f.Delay == 0 {
			return fmt.Errorf("%w: fault: delay needs a duration", ErrInvalid)
		}
	case "status":
		f.Status = orDefault(f.Status, 502)
		if f.Status < 200 || f.Status > 599 {
			return fmt.Errorf("%w: fault: status %d", ErrInvalid, f.Status)
		}
	case "throttle":
		f.Ret = orDefault(f.Ret, 1205)
	case "notice":
		if f.Text == "" {
			f.Text = noticeRefused
		}
	}
	return nil
}

func orDefault(n, d int) int {
	if n == 0 {
		return d
	}
	return n
}

// parseRate reads "20/m".
func parseRate(s string) (n int, per time.Duration, err error) {
	num, unit, ok := strings.Cut(s, "/")
	n, aerr := strconv.Atoi(num)
	per = map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}[unit]
	if !ok || aerr != nil || n <= 0 || per == 0 {
		return 0, 0, fmt.Errorf("%w: fault: rate %q: want e.g. 20/m", ErrInvalid, s)
	}
	return n, per, nil
}

// liveFault is a fault with what happened to it so far.
type liveFault struct {
	Fault
	since time.Time
	seen  int
	limit *rate.Limiter
	gone  chan struct{}
	timer *time.Timer
}

func newLiveFault(f Fault) (*liveFault, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	l := &liveFault{Fault: f, since: time.Now(), gone: make(chan struct{})}
	if f.Do == "throttle" {
		n, per, err := parseRate(f.Rate)
		if err != nil {
			return nil, err
		}
		l.limit = rate.NewLimiter(rate.Limit(float64(n)/per.Seconds()), orDefault(f.Burst, n))
	}
	return l, nil
}

func (l *liveFault) matches(endpoint string) bool {
	return slices.Contains(l.On, "*") || slices.Contains(l.On, endpoint)
}

// spent says that it cannot apply any more.
func (l *liveFault) spent(now time.Time) bool {
	return l.Count > 0 && l.Hits >= l.Count || l.For > 0 && now.Sub(l.since) >= l.For
}

// hit decides whether it applies to a request that it matches.
func (l *liveFault) hit(now time.Time, p float64) bool {
	if l.spent(now) {
		return false
	}
	if l.seen++; l.seen <= l.Skip {
		return false
	}
	if l.Probability > 0 && p >= l.Probability {
		return false
	}
	if l.limit != nil && l.limit.AllowN(now, 1) {
		return false
	}
	l.Hits++
	return true
}

// plan is what the faults do to one request.
type plan struct {
	delay    time.Duration
	notice   string
	do       string
	ret      int
	selector int
	status   int
	gone     <-chan struct{}
}

// faultTable holds the faults in the order in which they were added.
type faultTable struct {
	mu       sync.Mutex
	rng      *rand.Rand
	names    []string // endpoints that exist
	next     int
	faults   []*liveFault
	onRefuse func() // drops open connections
}

func newFaultTable(rng *rand.Rand, names []string) *faultTable {
	return &faultTable{rng: rng, names: names}
}

func (t *faultTable) add(f Fault) (int, error) {
	f.Hits = 0
	l, err := newLiveFault(f)
	if err != nil {
		return 0, err
	}
	for _, on := range l.On {
		if on != "*" && !slices.Contains(t.names, on) {
			return 0, fmt.Errorf("%w: fault: on %q: want * or one of %s", ErrInvalid, on, strings.Join(t.names, ", "))
		}
	}
	t.mu.Lock()
	t.next++
	l.ID = t.next
	t.faults = append(t.faults, l)
	if l.For > 0 && l.Do == "hang" {
		l.timer = time.AfterFunc(l.For, func() { close(l.gone) })
	}
	drop := t.onRefuse
	t.mu.Unlock()
	if l.Do == "refuse" && l.Skip == 0 && slices.Contains(l.On, "*") && drop != nil {
		drop()
	}
	return l.ID, nil
}

func (t *faultTable) list() []Fault {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := make([]Fault, 0, len(t.faults))
	for _, l := range t.faults {
		list = append(list, l.Fault)
	}
	return list
}

// clear removes one fault, or all when id is 0, and says whether there was one.
func (t *faultTable) clear(id int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	keep := t.faults[:0]
	for _, l := range t.faults {
		if id != 0 && l.ID != id {
			keep = append(keep, l)
			continue
		}
		// A timer that already ran has closed gone.
		if l.timer == nil || l.timer.Stop() {
			close(l.gone)
		}
	}
	removed := len(t.faults) - len(keep)
	clear(t.faults[len(keep):])
	t.faults = keep
	return removed > 0
}

// take decides what happens to a request to that endpoint.
func (t *faultTable) take(endpoint string) plan {
	t.mu.Lock()
	defer t.mu.Unlock()
	var p plan
	now := time.Now()
	for _, l := range t.faults {
		if l.Do == "refuse" && slices.Contains(l.On, "*") || !l.matches(endpoint) || !l.hit(now, t.rng.Float64()) {
			continue
		}
		switch l.Do {
		case "delay":
			p.delay += l.Delay
		case "notice":
			p.notice = l.Text
		default:
			p.do, p.ret, p.selector, p.status, p.gone = l.Do, l.Ret, l.Selector, l.Status, l.gone
			return p
		}
	}
	return p
}

// refuses decides whether a new connection is closed before TLS.
func (t *faultTable) refuses() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	for _, l := range t.faults {
		if l.Do == "refuse" && slices.Contains(l.On, "*") && l.hit(now, t.rng.Float64()) {
			return true
		}
	}
	return false
}
