package broker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"wechat-bridge/bridge/wire"
)

const (
	// ackWait is no timer of ours: what the server redelivers and we still
	// hold is not handed out again. It only has to be long.
	ackWait = 10 * time.Minute
	// maxAckPending is the window: what may be handed out and not done.
	maxAckPending = 1000
	// fetchHold is how long one request waits at the server for a message.
	fetchHold = 30 * time.Second
	// maxFetch and maxFetchBytes bound one request, and so memory: the server
	// cuts a client off that has more than 64 MiB on the way.
	maxFetch      = 256
	maxFetchBytes = 8 * mib
	// moreWait ends a request for what was there a moment ago and is gone.
	moreWait = 100 * time.Millisecond
	ackTries = 3
	// tellAfter failures in a row an inlet says that it cannot read.
	tellAfter = 4
	maxRest   = 5 * time.Second
)

// ErrNotHeld says that another worker serves the account now.
var ErrNotHeld = errors.New("another worker serves this account")

// ErrClosed says that an inlet was closed.
var ErrClosed = errors.New("the inlet is closed")

// Inlet reads a work queue in order through a durable consumer of our epoch.
//
// Messages that were handed out are held until Done. The consumer is made anew
// after a reconnect, since what was on the way then is lost to us but not to
// the server, and would come only after what is newer; all that is
// unacknowledged comes again in stream order, and what we hold is left out.
type Inlet struct {
	a        *Account
	stream   string
	filter   string
	consumer string

	ctx    context.Context
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup

	mu    sync.Mutex
	held  map[uint64]string // sequence → where to acknowledge; "" if its consumer is gone
	ready []wire.Stored
	busy  chan struct{} // closed when the running pull ends
	err   error         // final

	// Of the running pull only:
	cons     jetstream.Consumer
	life     uint64 // of the connection when cons was made
	pending  uint64 // what the server had behind the message that came last
	failures int    // in a row
}

// Intake reads the account's commands.
func (a *Account) Intake() *Inlet {
	return a.inlet(a.Send(), a.SendSubject(a.name), fmt.Sprintf("%s%d", intakePrefix(a.name), a.hold.Epoch()))
}

// Courier reads the account's accepted deliveries of one priority.
func (a *Account) Courier(priority string) *Inlet {
	name := fmt.Sprintf("%s%s_%d", courierPrefix(a.name), priority, a.hold.Epoch())
	return a.inlet(a.Outbox(), a.subject("outbox", a.name, priority), name)
}

func intakePrefix(account string) string  { return "intake_" + account + "_" }
func courierPrefix(account string) string { return "courier_" + account + "_" }

func (a *Account) inlet(stream, filter, consumer string) *Inlet {
	ctx, cancel := context.WithCancelCause(context.Background())
	return &Inlet{
		a: a, stream: stream, filter: filter, consumer: consumer,
		ctx: ctx, cancel: cancel, held: make(map[uint64]string),
	}
}

// Close ends the reading. The consumer stays: it says that the account is
// served, and what was not done comes again to the next epoch's.
func (in *Inlet) Close() {
	in.cancel(ErrClosed)
	in.wg.Wait()
}

// Fetch waits for at least one message and returns those that are there, at
// most max, oldest first. It outlives every failure of NATS; an error is the
// context's cause, ErrNotHeld or ErrClosed. A context that ends loses nothing.
func (in *Inlet) Fetch(ctx context.Context, max int) ([]wire.Stored, error) {
	for {
		msgs, busy, err := in.take(max)
		if err != nil || len(msgs) > 0 {
			return msgs, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-in.ctx.Done():
			return nil, context.Cause(in.ctx)
		case <-busy:
		}
	}
}

// take hands out what is ready; if nothing is, it starts a pull.
func (in *Inlet) take(max int) ([]wire.Stored, <-chan struct{}, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if n := min(max, len(in.ready)); n > 0 {
		msgs := in.ready[:n:n]
		if in.ready = in.ready[n:]; len(in.ready) == 0 {
			in.ready = nil // lets the bodies go
		}
		return msgs, nil, nil
	}
	if in.err != nil {
		return nil, nil, in.err
	}
	if in.ctx.Err() != nil {
		return nil, nil, context.Cause(in.ctx)
	}
	if in.busy == nil {
		in.busy = make(chan struct{})
		in.wg.Add(1)
		go in.pull(min(max, maxFetch), in.busy)
	}
	return nil, in.busy, nil
}

// pull runs beside Fetch, so that a Fetch whose context ends does not lose what
// is already on the way.
func (in *Inlet) pull(max int, done chan struct{}) {
	defer in.wg.Done()
	err := in.pullOnce(max)
	if err != nil && in.ctx.Err() == nil && !errors.Is(err, ErrNotHeld) {
		in.rest(err)
	} else {
		in.failures = 0
	}
	in.mu.Lock()
	if errors.Is(err, ErrNotHeld) {
		in.err = ErrNotHeld
	}
	in.busy = nil
	in.mu.Unlock()
	close(done)
}

// rest waits after a failure, longer each time, and says so once.
func (in *Inlet) rest(err error) {
	in.cons = nil
	if in.failures++; in.failures == tellAfter {
		in.a.log.Warn().Err(err).Str("consumer", in.consumer).Msg("inlet_failing")
	}
	_ = sleep(in.ctx, min(reconnectWait<<min(in.failures-1, 5), maxRest)) // its only error is the end, which Fetch sees
}

func (in *Inlet) pullOnce(max int) error {
	life, again := in.a.conn.life()
	if in.cons == nil || in.life != life {
		if err := in.renew(); err != nil {
			return err
		}
		in.life = life
	}
	if n, err := in.more(max); n > 0 || err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(in.ctx, fetchHold)
	defer cancel()
	go func() { // a reconnect ends the wait: the server forgot our request
		select {
		case <-again:
			cancel()
		case <-ctx.Done():
		}
	}()
	n, err := in.gather(in.cons.Fetch(1, jetstream.FetchContext(ctx)))
	if n == 0 || err != nil {
		return err
	}
	_, err = in.more(max - 1)
	return err
}

// more takes what the server is known to have: a request that waits for
// nothing knows no limit of bytes, one for no more than is there does not wait.
func (in *Inlet) more(max int) (int, error) {
	n := int(min(uint64(max), in.pending))
	if n == 0 {
		return 0, nil
	}
	in.pending = 0
	return in.gather(in.cons.Fetch(n, jetstream.FetchMaxBytes(maxFetchBytes), jetstream.FetchMaxWait(moreWait)))
}

// gather takes what a request brought and leaves out what we hold already.
func (in *Inlet) gather(batch jetstream.MessageBatch, err error) (int, error) {
	if err != nil {
		return 0, err
	}
	n := 0
	for m := range batch.Messages() {
		meta, err := m.Metadata()
		if err != nil {
			return n, err
		}
		n++
		in.pending = meta.NumPending
		in.receive(meta.Sequence.Stream, meta.Timestamp, m)
	}
	if err := batch.Error(); err != nil && !errors.Is(err, nats.ErrTimeout) && !errors.Is(err, context.DeadlineExceeded) &&
		!errors.Is(err, context.Canceled) && !errors.Is(err, jetstream.ErrNoMessages) {
		return n, err
	}
	return n, nil
}

func (in *Inlet) receive(seq uint64, at time.Time, m jetstream.Msg) {
	in.mu.Lock()
	defer in.mu.Unlock()
	_, have := in.held[seq]
	in.held[seq] = m.Reply()
	if !have {
		in.ready = append(in.ready, toStored(m.Subject(), seq, at, m.Headers(), m.Data()))
	}
}

// renew makes our epoch's consumer anew. Former epochs' consumers were deleted
// when the lease was taken; one of a later epoch refuses ours.
func (in *Inlet) renew() error {
	if !in.a.hold.Held() {
		return ErrNotHeld
	}
	ctx, cancel := context.WithTimeout(in.ctx, requestTimeout)
	defer cancel()
	err := in.a.conn.JS.DeleteConsumer(ctx, in.stream, in.consumer)
	if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return fmt.Errorf("delete consumer %s: %w", in.consumer, err)
	}
	in.orphan()
	cons, err := in.a.conn.JS.CreateConsumer(ctx, in.stream, jetstream.ConsumerConfig{
		Durable: in.consumer, FilterSubject: in.filter, AckPolicy: jetstream.AckExplicitPolicy,
		AckWait: ackWait, MaxAckPending: maxAckPending, MaxDeliver: -1, DeliverPolicy: jetstream.DeliverAllPolicy,
	})
	if apiCode(err) == codeOverlap && !in.a.hold.Held() {
		return ErrNotHeld
	}
	if err != nil {
		return fmt.Errorf("make consumer %s: %w", in.consumer, err)
	}
	in.cons, in.pending = cons, 0
	return nil
}

// orphan forgets where to acknowledge: the consumer that was asked is gone.
func (in *Inlet) orphan() {
	in.mu.Lock()
	defer in.mu.Unlock()
	for seq := range in.held {
		in.held[seq] = ""
	}
}

// Done acknowledges one message and waits for the server's answer. If its
// consumer is gone, the message is deleted from the queue instead: whoever
// reads the queue now, what is done is done.
func (in *Inlet) Done(ctx context.Context, seq uint64) error {
	err := in.done(ctx, seq)
	if err != nil {
		return fmt.Errorf("acknowledge %d of %s: %w", seq, in.stream, err)
	}
	in.mu.Lock()
	delete(in.held, seq)
	in.mu.Unlock()
	return nil
}

func (in *Inlet) done(ctx context.Context, seq uint64) (err error) {
	for range ackTries {
		in.mu.Lock()
		reply := in.held[seq]
		in.mu.Unlock()
		if reply != "" {
			if err = in.ack(ctx, reply); err == nil {
				return nil
			}
		}
		if reply == "" || errors.Is(err, nats.ErrNoResponders) {
			if !in.a.hold.Held() {
				return ErrNotHeld
			}
			return in.a.conn.remove(ctx, in.stream, seq)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if sleepErr := sleep(ctx, reconnectWait); sleepErr != nil {
			return sleepErr
		}
	}
	return err
}

func (in *Inlet) ack(ctx context.Context, reply string) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	_, err := in.a.conn.NC.RequestWithContext(ctx, reply, []byte("+ACK"))
	return err
}

// Waits tells whether a message is still in the queue, done by nobody. The
// stream's leader is asked, so that it is never stale.
func (in *Inlet) Waits(ctx context.Context, seq uint64) (bool, error) {
	_, found, err := in.a.conn.read(ctx, in.stream, place{Seq: seq})
	if err != nil {
		return false, fmt.Errorf("look for %d in %s: %w", seq, in.stream, err)
	}
	return found, nil
}

// Held is the number of messages that were handed out and are not done.
func (in *Inlet) Held() int {
	in.mu.Lock()
	defer in.mu.Unlock()
	return len(in.held) - len(in.ready)
}
