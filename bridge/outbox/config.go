package outbox

import (
	"context"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"wechat-bridge/bridge/wechat"
)

// Pace bounds what an account sends. The zero Pace has no limit.
type Pace struct {
	N     int           // sends per Per; 0 = no limit
	Per   time.Duration // default 1 m
	Burst int           // sends that may go at once after a quiet time; default 1
	Daily int           // sends in any 24 hours; 0 = no limit
}

// Config is what an Outbox needs. The ports up to Peers must be there, but for
// High; all below them has a default.
type Config struct {
	Account string
	Epoch   uint64 // of the lease; higher than that of any former worker

	Commands Commands // wechat.send.<account>
	Normal   Inlet    // wechat.outbox.<account>.normal
	High     Inlet    // wechat.outbox.<account>.high, or nil
	Ledger   Ledger
	Buffer   Buffer
	Parking  Parking
	Objects  Objects
	Gate     Gate
	Peers    Peers
	// Fallback takes what is of high priority and has waited for FallbackAfter;
	// nil: there is none.
	Fallback        Fallback
	FallbackAfter   time.Duration // since it was accepted; default 2 m
	FallbackInstead bool          // what a channel took does not go to WeChat any more

	Abilities wechat.Abilities
	Pace      Pace
	// Memory keeps the sends of the last 24 hours over a crash, where Pace has
	// a daily limit; nil forgets them.
	Memory wechat.Vault

	TTL           time.Duration // of a command that names none; default 72 h
	Horizon       time.Duration // how long ids are remembered; default 7 days
	RecipientWait time.Duration // for a recipient that is not visible; default 1 h
	Grace         time.Duration // for sends in flight at shutdown; default 40 s
	RevokeWithin  time.Duration // how old a message may be that is taken back; default 2 m (webwx)
	MediaTime     time.Duration // to read one medium; default 2 m
	MaxInFlight   int           // deliveries in the state sending; default 8
	MaxBuffer     uint64        // deliveries in the buffer, above it intake waits; default 100,000
	MaxMedia      int64         // bytes of a medium for which the transport has no limit; default 100 MiB

	Log zerolog.Logger

	// HelpURL is where people read about a code; nil, or empty for nowhere.
	HelpURL func(code string) string

	maxCopyBytes int // of inline media in memory that are not kept yet; default 16 MiB
}

const (
	windowSize   = 1000             // deliveries in the courier's memory
	laneSize     = 16               // of one lane
	loadsAtOnce  = 16               // heads of parked queues
	batchSize    = 500              // messages of one fetch
	maxAttempts  = 5                // that count
	maxTried     = 10 * time.Minute // of attempts that count
	horizonSlack = 24 * time.Hour   // how much longer the ledger remembers than anything waits
	loadPatience = 10 * time.Second // in memory for contacts that load, then parked
	markTime     = 5 * time.Second  // to write sending while admitted
	holdTime     = 2 * time.Second  // before looking again at what is not ready
	minTick      = 100 * time.Millisecond
	minMediaWait = 20 * time.Millisecond
)

func (c Config) withDefaults() Config {
	set := func(p *time.Duration, d time.Duration) {
		if *p <= 0 {
			*p = d
		}
	}
	set(&c.TTL, 72*time.Hour)
	set(&c.Horizon, 7*24*time.Hour)
	set(&c.RecipientWait, time.Hour)
	set(&c.Grace, 40*time.Second)
	set(&c.RevokeWithin, 2*time.Minute)
	set(&c.MediaTime, 2*time.Minute)
	set(&c.Pace.Per, time.Minute)
	set(&c.FallbackAfter, 2*time.Minute)
	if c.MaxInFlight <= 0 {
		c.MaxInFlight = 8
	}
	if c.MaxBuffer == 0 {
		c.MaxBuffer = 100_000
	}
	if c.maxCopyBytes <= 0 {
		c.maxCopyBytes = 16 << 20
	}
	if c.MaxMedia <= 0 {
		c.MaxMedia = 100 << 20
	}
	return c
}

// Outbox is one account's outgoing half.
type Outbox struct {
	intake   *intake
	courier  *courier
	expirer  *expirer
	degrader *degrader
	counts   *counts
}

// New wires an outbox; Run starts it.
func New(cfg Config) *Outbox {
	cfg = cfg.withDefaults()
	cfg.Log = cfg.Log.With().Str("account", cfg.Account).Logger()
	counts := &counts{cfg: cfg}
	ch := &chain{ledger: cfg.Ledger, account: cfg.Account, epoch: cfg.Epoch, help: cfg.HelpURL, log: cfg.Log}
	ls := newLists(ch, cfg.Objects)
	ex := newExpirer(cfg, ch, ls, counts)
	dg := newDegrader(cfg, ch, ex)
	return &Outbox{
		intake:   newIntake(cfg, ch, ls, ex, dg, counts),
		courier:  newCourier(cfg, ch, ls, ex, dg, counts),
		expirer:  ex,
		degrader: dg,
		counts:   counts,
	}
}

// Run works until the context ends, then waits up to the grace for sends in
// flight; what is left then stays sending. It survives all that NATS and
// WeChat do, and returns nil.
func (o *Outbox) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	var once sync.Once
	var first error
	for _, part := range []func(context.Context) error{o.intake.run, o.courier.run, o.expirer.run, o.degrader.run, o.counts.run} {
		wg.Go(func() {
			if err := part(ctx); err != nil {
				once.Do(func() { first = err })
				cancel(err)
			}
		})
	}
	wg.Wait()
	return first
}

// Backlog is the number of accepted deliveries that are not final yet, parked
// ones included, and since when the oldest one in the buffer waits. It costs
// nothing; it is a few seconds old, and too low while a start still counts.
func (o *Outbox) Backlog() (n uint64, oldest time.Time) { return o.counts.backlog() }

// Pace is how fast the account may send now.
func (o *Outbox) Pace() PaceStatus { return o.courier.pace.status(time.Now()) }
