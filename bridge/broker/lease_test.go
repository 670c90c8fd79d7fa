package broker

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"wechat-bridge/bridge/wire"
)

func acquire(t testing.TB, b *Broker, folder string) *Lease {
	t.Helper()
	l := must[*Lease](t)(b.Acquire(t.Context(), "default", Owner{Folder: folder}, nil))
	t.Cleanup(func() { l.Release(context.Background()) })
	return l
}

// abandon is kill -9 as seen from NATS: no renewal any more.
func abandon(l *Lease) {
	l.cancel()
	<-l.done
}

func TestLeaseOfADeadWorkerEnds(t *testing.T) {
	t.Parallel() // it mostly waits
	b := openBroker(t, startServer(t))
	dead := acquire(t, b, "folder-1")
	abandon(dead)
	var waited []Owner
	start := time.Now()
	next := must[*Lease](t)(b.Acquire(within(t, 20*time.Second), "default", Owner{Folder: "folder-2"}, func(o Owner) { waited = append(waited, o) }))
	defer next.Release(t.Context())
	if took := time.Since(start); took < LeaseTTL/2 || took > 10*time.Second {
		t.Fatalf("taken after %s", took)
	}
	if len(waited) != 1 || waited[0].Folder != "folder-1" {
		t.Fatalf("waited for %+v", waited)
	}
	if next.Epoch() <= dead.Epoch() || !next.Held() || dead.Held() {
		t.Fatalf("epochs %d, %d; held %t, %t", dead.Epoch(), next.Epoch(), dead.Held(), next.Held())
	}
}

func TestLeaseIsKept(t *testing.T) {
	t.Parallel() // it mostly waits
	b := openBroker(t, startServer(t))
	l := acquire(t, b, "folder-1")
	ctx, cancel := context.WithTimeout(t.Context(), LeaseTTL+2*time.Second)
	defer cancel()
	if _, err := b.Acquire(ctx, "default", Owner{Folder: "folder-2"}, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a second holder: %v", err)
	}
	if !l.Held() {
		t.Fatal("the lease was not renewed")
	}
}

func TestLeaseReleasedIsFreeAtOnce(t *testing.T) {
	b := openBroker(t, startServer(t))
	first := acquire(t, b, "folder-1")
	first.Release(t.Context())
	select {
	case <-first.Lost():
	default:
		t.Fatal("a released lease is not lost")
	}
	start := time.Now()
	second := acquire(t, b, "folder-2")
	if time.Since(start) > 2*time.Second || second.Epoch() <= first.Epoch() {
		t.Fatalf("after %s, epochs %d and %d", time.Since(start), first.Epoch(), second.Epoch())
	}
}

// The same data folder: its lock says that the former process is dead. The
// former one, if it only slept, finds its renewal refused, and its consumer and
// its session gone.
func TestLeaseOfTheSameFolderIsTakenAtOnce(t *testing.T) {
	t.Parallel() // it mostly waits
	b := openBroker(t, startServer(t))
	former := acquire(t, b, "folder-1")
	old := must[*Account](t)(b.Account("default", former)).Intake()
	defer old.Close()
	publish(t, b, "wechat.send", 1, 3)
	_, msgs := fetch(t, old, 3)

	start := time.Now()
	next := acquire(t, b, "folder-1")
	if took := time.Since(start); took > time.Second {
		t.Fatalf("taken after %s", took)
	}
	in := must[*Account](t)(b.Account("default", next)).Intake()
	defer in.Close()
	bodies, _ := fetch(t, in, 3)
	same(t, bodies, numbers(1, 3))
	select {
	case <-former.Lost():
	case <-time.After(LeaseTTL):
		t.Fatal("the former holder did not notice")
	}
	if former.Held() {
		t.Fatal("two hold it")
	}
	if err := old.Done(t.Context(), msgs[0].Seq); !errors.Is(err, ErrNotHeld) {
		t.Fatalf("the former holder's acknowledgement: %v", err)
	}
	if _, err := old.Fetch(within(t, 5*time.Second), 1); !errors.Is(err, ErrNotHeld) {
		t.Fatalf("the former holder's fetch: %v", err)
	}
	key := newKey(t)
	if err := must[*Account](t)(b.Account("default", former)).Vault(key, "").Save(t.Context(), []byte("x")); !errors.Is(err, ErrNotHeld) {
		t.Fatalf("the former holder's session: %v", err)
	}
}

// A frozen process that wakes up must find out by its own clock, before it
// talks to anybody.
func TestLeaseOfAFrozenWorkerIsNotHeld(t *testing.T) {
	b := openBroker(t, startServer(t))
	l := acquire(t, b, "folder-1")
	l.mu.Lock()
	l.until = time.Now().Add(-time.Millisecond)
	l.mu.Unlock()
	if l.Held() || l.renew(t.Context()) {
		t.Fatal("a lease past its end is held")
	}
}

func TestLeaseWithGarbageIsTaken(t *testing.T) {
	b := openBroker(t, startServer(t))
	m := nats.NewMsg("$KV.wechat_leases.default")
	m.Data = []byte("\x00 not JSON")
	if _, err := b.conn.JS.PublishMsg(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	l := acquire(t, b, "folder-1")
	if l.Epoch() != 2 || !l.Held() {
		t.Fatalf("epoch %d, held %t", l.Epoch(), l.Held())
	}
	if !l.renew(t.Context()) {
		t.Fatal("not renewed")
	}
	// Our own renewal whose answer was lost.
	must[uint64](t)(l.put(t.Context(), l.revision))
	if !l.renew(t.Context()) || !l.Held() {
		t.Fatal("our own renewal was taken for another's")
	}
}

func TestStraysAreAnsweredOnce(t *testing.T) {
	b := openBroker(t, startServer(t))
	in := account(t, b).Intake() // "default" is served from its first fetch on
	publish(t, b, "wechat.send", 1, 1)
	fetch(t, in, 1)
	in.Close()
	publish(t, b, "wechat.send.defualt", 1, 2)
	publish(t, b, "wechat.send.*", 3, 3)
	publish(t, b, "wechat.send.UPPER", 4, 4)
	publish(t, b, "wechat.send", 2, 2)
	var seen []Stray
	answer := func(s Stray) (Answer, error) {
		seen = append(seen, s)
		body, err := wire.Seal(s.Account, wire.TypeDelivery, "id-"+string(s.Body), "", s.At, "", map[string]string{"state": "rejected"})
		return Answer{Key: "k" + string(s.Body), Body: body}, err
	}
	if n := must[int](t)(b.AnswerStrays(t.Context(), answer)); n != 4 {
		t.Fatalf("%d answered", n)
	}
	same(t, seen[0].Known, []string{"default"})
	for _, subject := range []string{
		"wechat.status.defualt.delivery.k1", "wechat.status.defualt.delivery.k2",
		"wechat.status." + wire.Key("*") + ".delivery.k3", "wechat.status." + wire.Key("UPPER") + ".delivery.k4",
	} {
		if _, found, err := b.conn.read(t.Context(), b.Status(), place{Last: subject}); err != nil || !found {
			t.Errorf("no record on %s: %v", subject, err)
		}
	}
	left := must[map[string]uint64](t)(b.conn.perSubject(t.Context(), b.Send(), "wechat.send.*"))
	if len(left) != 1 || left["wechat.send.default"] != 2 {
		t.Fatalf("left: %v", left)
	}
	// A crash between the record and the removal: found again, not told twice.
	if err := b.record(t.Context(), "defualt", must[Answer](t)(answer(seen[0]))); err != nil {
		t.Fatal(err)
	}
	chain := must[map[string]uint64](t)(b.conn.perSubject(t.Context(), b.Status(), "wechat.status.defualt.delivery.*"))
	for subject, n := range chain {
		if n != 1 {
			t.Errorf("%d records on %s", n, subject)
		}
	}
	if n := must[int](t)(b.AnswerStrays(t.Context(), answer)); n != 0 {
		t.Fatalf("%d answered again", n)
	}
}

// A worker that takes an account over has deleted the former consumer and has
// not yet made its own: the account's backlog is no stray.
func TestBacklogIsNoStray(t *testing.T) {
	b := openBroker(t, startServer(t))
	publish(t, b, "wechat.send", 1, 1)
	lease := acquire(t, b, "folder-1")
	fail := func(s Stray) (Answer, error) { return Answer{}, errors.New("a stray: " + s.Account) }
	if n, err := b.AnswerStrays(t.Context(), fail); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	a := must[*Account](t)(b.Account("default", lease))
	if err := a.PublishConnection(t.Context(), []byte("{}")); err != nil {
		t.Fatal(err)
	}
	lease.Release(t.Context()) // it died, and its lease ended
	kv := must[jetstream.Stream](t)(b.conn.JS.Stream(t.Context(), "KV_wechat_leases"))
	if err := kv.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, err := b.AnswerStrays(t.Context(), fail); n != 0 || err != nil {
		t.Fatal(n, err)
	}
}
