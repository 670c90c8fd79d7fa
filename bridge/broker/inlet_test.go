package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"wechat-bridge/bridge/wire"
)

func publish(t testing.TB, b *Broker, subject string, from, to int) {
	t.Helper()
	for i := from; i <= to; i++ {
		if _, err := b.conn.JS.Publish(t.Context(), subject, fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
}

// fetch collects n messages and gives their bodies.
func fetch(t testing.TB, in *Inlet, n int) (bodies []string, msgs []wire.Stored) {
	t.Helper()
	ctx := within(t, 15*time.Second)
	for len(msgs) < n {
		more, err := in.Fetch(ctx, n-len(msgs))
		if err != nil {
			t.Fatalf("after %d of %d: %v", len(msgs), n, err)
		}
		msgs = append(msgs, more...)
	}
	for _, m := range msgs {
		bodies = append(bodies, string(m.Body))
	}
	return bodies, msgs
}

func numbers(from, to int) (s []string) {
	for i := from; i <= to; i++ {
		s = append(s, fmt.Sprint(i))
	}
	return s
}

func same(t testing.TB, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("got %v\nwant %v", got, want)
	}
}

func TestInletInOrderAndDone(t *testing.T) {
	b := openBroker(t, startServer(t))
	in := account(t, b).Intake()
	defer in.Close()
	publish(t, b, "wechat.send", 1, 3)         // the default account
	publish(t, b, "wechat.send.default", 4, 5) // the same
	publish(t, b, "wechat.send.other", 6, 6)   // not ours
	bodies, msgs := fetch(t, in, 5)
	same(t, bodies, numbers(1, 5))
	for _, m := range msgs {
		if m.At.IsZero() || m.Seq == 0 || m.Token != "default" {
			t.Fatalf("message %+v", m)
		}
		if !must[bool](t)(in.Waits(t.Context(), m.Seq)) {
			t.Fatalf("%d does not wait", m.Seq)
		}
		if err := in.Done(t.Context(), m.Seq); err != nil {
			t.Fatal(err)
		}
		if must[bool](t)(in.Waits(t.Context(), m.Seq)) {
			t.Fatalf("%d waits although it is done", m.Seq)
		}
	}
	counts := must[map[string]uint64](t)(b.conn.perSubject(t.Context(), b.Send(), "wechat.send.*"))
	if len(counts) != 1 || counts["wechat.send.other"] != 1 || in.Held() != 0 {
		t.Fatalf("left in the queue: %v, held %d", counts, in.Held())
	}
}

func TestInletWaitsForTheFirstMessage(t *testing.T) {
	b := openBroker(t, startServer(t))
	in := account(t, b).Intake()
	defer in.Close()
	got := make(chan []wire.Stored, 1)
	go func() {
		msgs, err := in.Fetch(t.Context(), 10)
		if err != nil {
			t.Error(err)
		}
		got <- msgs
	}()
	eventually(t, "a request that waits", func() bool {
		c, err := b.conn.JS.Consumer(t.Context(), b.Send(), "intake_default_1")
		return err == nil && c.CachedInfo().NumWaiting > 0
	})
	publish(t, b, "wechat.send", 1, 1)
	select {
	case msgs := <-got:
		if len(msgs) != 1 {
			t.Fatalf("got %d messages", len(msgs))
		}
	case <-time.After(5 * time.Second):
		t.Fatal("the waiting fetch did not get the message")
	}
}

// A fetch whose context ends while a message is on the way must not lose it,
// nor let newer ones overtake it.
func TestInletCancelledFetchLosesNothing(t *testing.T) {
	b := openBroker(t, startServer(t))
	in := account(t, b).Intake()
	defer in.Close()
	var got []string
	for i := 1; i <= 40; i++ {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%4)*time.Millisecond)
		done := make(chan struct{})
		go func() {
			defer close(done)
			publish(t, b, "wechat.send", i, i)
		}()
		msgs, err := in.Fetch(ctx, 5)
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		for _, m := range msgs {
			got = append(got, string(m.Body))
		}
		<-done
		cancel()
	}
	rest, _ := fetch(t, in, 40-len(got))
	same(t, append(got, rest...), numbers(1, 40))
}

// A new epoch gets all that was not done, in order.
func TestInletNewEpoch(t *testing.T) {
	b := openBroker(t, startServer(t))
	old := account(t, b).Intake()
	publish(t, b, "wechat.send", 1, 10)
	_, msgs := fetch(t, old, 6)
	if err := old.Done(t.Context(), msgs[0].Seq); err != nil {
		t.Fatal(err)
	}
	old.Close()
	if _, err := old.Fetch(t.Context(), 1); !errors.Is(err, ErrClosed) {
		t.Fatalf("fetch after close: %v", err)
	}
	if err := b.dropConsumers(t.Context(), "default"); err != nil {
		t.Fatal(err)
	}
	a := must[*Account](t)(b.Account("default", AlwaysHeld(2)))
	in := a.Intake()
	defer in.Close()
	bodies, _ := fetch(t, in, 9)
	same(t, bodies, numbers(2, 10))
}

// The consumer is deleted under us, by an operator say: nothing is lost,
// nothing comes twice, and what is held can still be done.
func TestInletConsumerDeleted(t *testing.T) {
	b := openBroker(t, startServer(t))
	in := account(t, b).Intake()
	defer in.Close()
	publish(t, b, "wechat.send", 1, 4)
	bodies, msgs := fetch(t, in, 3)
	if err := b.conn.JS.DeleteConsumer(t.Context(), b.Send(), "intake_default_1"); err != nil {
		t.Fatal(err)
	}
	if err := in.Done(t.Context(), msgs[1].Seq); err != nil {
		t.Fatalf("done without a consumer: %v", err)
	}
	publish(t, b, "wechat.send", 5, 6)
	rest, _ := fetch(t, in, 3)
	same(t, append(bodies, rest...), numbers(1, 6))
	for _, seq := range []uint64{1, 3, 4, 5, 6} {
		if err := in.Done(t.Context(), seq); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "an empty queue", func() bool {
		counts, err := b.conn.perSubject(t.Context(), b.Send(), "wechat.send.*")
		return err == nil && len(counts) == 0
	})
}

// lost is a Hold that another worker took.
type lost struct{}

func (lost) Epoch() uint64 { return 1 }
func (lost) Held() bool    { return false }

func TestInletOfALostAccount(t *testing.T) {
	b := openBroker(t, startServer(t))
	a := must[*Account](t)(b.Account("default", lost{}))
	in := a.Courier("normal")
	defer in.Close()
	if _, err := in.Fetch(within(t, 5*time.Second), 1); !errors.Is(err, ErrNotHeld) {
		t.Fatalf("got %v", err)
	}
	if err := in.Done(t.Context(), 1); !errors.Is(err, ErrNotHeld) {
		t.Fatalf("done: %v", err)
	}
}

// The server goes away and comes back: order is kept, nothing comes twice to
// the reader.
func TestInletReconnect(t *testing.T) {
	s := newExternal(t, "")
	b := s.open(t)
	in := account(t, b).Intake()
	defer in.Close()
	publish(t, b, "wechat.send", 1, 6)
	first, msgs := fetch(t, in, 3)
	waiting := make(chan []string, 1)
	more, _ := fetch(t, in, 3)
	go func() {
		bodies, _ := fetch(t, in, 4)
		waiting <- bodies
	}()
	s.restart(t)
	eventually(t, "the connection", b.conn.NC.IsConnected)
	eventually(t, "publishing", func() bool {
		_, err := b.conn.JS.Publish(t.Context(), "wechat.send", []byte("7"))
		return err == nil
	})
	publish(t, b, "wechat.send", 8, 10)
	same(t, slices.Concat(first, more, receive(t, waiting)), numbers(1, 10))
	for _, m := range msgs {
		if err := in.Done(t.Context(), m.Seq); err != nil {
			t.Fatal(err)
		}
	}
	info := must[jetstream.Stream](t)(b.conn.JS.Stream(t.Context(), b.Send()))
	if n := info.CachedInfo().State.Msgs; n != 7 {
		t.Fatalf("%d messages left, want 7", n)
	}
}

// What was on the way when the connection broke is lost to us but not to the
// server: it must come before what is newer, and not only after ackWait.
func TestInletReconnectBringsWhatWasOnTheWay(t *testing.T) {
	s := newExternal(t, "")
	b := s.open(t)
	in := account(t, b).Intake()
	defer in.Close()
	publish(t, b, "wechat.send", 1, 1)
	first, _ := fetch(t, in, 1)
	publish(t, b, "wechat.send", 2, 4)
	thief := must[jetstream.Consumer](t)(b.conn.JS.Consumer(t.Context(), b.Send(), "intake_default_1"))
	batch := must[jetstream.MessageBatch](t)(thief.FetchNoWait(2))
	for range batch.Messages() { // gone, as in a socket's buffer
	}
	s.restart(t)
	eventually(t, "the connection", func() bool { life, _ := b.conn.life(); return life == 1 })
	rest, _ := fetch(t, in, 3)
	same(t, append(first, rest...), numbers(1, 4))
}

// One request brings no more than the server may have on the way to a client:
// what is large comes in several.
func TestInletIsBoundByBytes(t *testing.T) {
	b := openBroker(t, startServer(t))
	in := account(t, b).Intake()
	defer in.Close()
	const count, size = 20, 690 * kib
	publishLarge(t, b, count, size)
	got := 0
	for got < count {
		msgs, err := in.Fetch(within(t, 15*time.Second), 500)
		if err != nil {
			t.Fatal(err)
		}
		held := 0
		for _, m := range msgs {
			held += len(m.Body)
			got++
			if string(m.Body[:5]) != fmt.Sprintf("%05d", got) {
				t.Fatalf("message %q is number %d", m.Body[:5], got)
			}
		}
		if held > maxFetchBytes+MaxCommand {
			t.Fatalf("%d messages of %d bytes at once", len(msgs), held)
		}
	}
}

func publishLarge(t testing.TB, b *Broker, count, size int) {
	t.Helper()
	body := make([]byte, size)
	for i := range count {
		copy(body, fmt.Sprintf("%05d", i+1))
		if _, err := b.conn.JS.Publish(t.Context(), "wechat.send", body); err != nil {
			t.Fatal(err)
		}
	}
}
