package broker

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"wechat-bridge/bridge/wire"
)

const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func TestLedgerIsAChain(t *testing.T) {
	b := openBroker(t, startServer(t))
	l := account(t, b).Ledger()
	if last := must[wire.Stored](t)(l.Last(t.Context(), "k")); last.Seq != 0 {
		t.Fatalf("a chain that is not there: %+v", last)
	}
	first, stored, err := l.Append(t.Context(), wire.Stored{Token: "k", Body: []byte("1"), Trace: trace})
	if err != nil || !stored {
		t.Fatal(stored, err)
	}
	if _, stored, err := l.Append(t.Context(), wire.Stored{Token: "k", Body: []byte("late")}); err != nil || stored {
		t.Fatalf("a second first record: stored %t, %v", stored, err)
	}
	second, stored, err := l.Append(t.Context(), wire.Stored{Token: "k", Body: []byte("2"), After: first})
	if err != nil || !stored {
		t.Fatal(stored, err)
	}
	if _, stored, err := l.Append(t.Context(), wire.Stored{Token: "k", Body: []byte("late"), After: first}); err != nil || stored {
		t.Fatalf("two successors: stored %t, %v", stored, err)
	}
	last := must[wire.Stored](t)(l.Last(t.Context(), "k"))
	if last.Seq != second || string(last.Body) != "2" || last.Token != "k" || last.At.IsZero() {
		t.Fatalf("last: %+v", last)
	}
	m, _, err := b.conn.read(t.Context(), b.Status(), place{Seq: first})
	if err != nil || m.header.Get("traceparent") != trace || m.header.Get("Content-Type") != "application/cloudevents+json" {
		t.Fatalf("headers %v, %v", m.header, err)
	}
}

func TestLedgerOneOfManyWins(t *testing.T) {
	b := openBroker(t, startServer(t))
	l := account(t, b).Ledger()
	var wg sync.WaitGroup
	won := make(chan int, 16)
	for i := range 16 {
		wg.Go(func() {
			_, stored, err := l.Append(t.Context(), wire.Stored{Token: "k", Body: fmt.Append(nil, i)})
			if err != nil {
				t.Error(err)
			}
			if stored {
				won <- i
			}
		})
	}
	wg.Wait()
	close(won)
	last := must[wire.Stored](t)(l.Last(t.Context(), "k"))
	if winner, ok := <-won; !ok || string(last.Body) != fmt.Sprint(winner) || len(won) != 0 {
		t.Fatalf("winner %d %t, last %q", winner, ok, last.Body)
	}
}

func TestLedgerAllOrNothing(t *testing.T) {
	b := openBroker(t, startServer(t))
	l := account(t, b).Ledger()
	recs := make([]wire.Stored, 200)
	for i := range recs {
		recs[i] = wire.Stored{Token: fmt.Sprintf("k~%d", i), Body: []byte("{}")}
	}
	if stored, err := l.AppendAll(t.Context(), recs); err != nil || !stored {
		t.Fatal(stored, err)
	}
	again := []wire.Stored{{Token: "new", Body: []byte("{}")}, {Token: "k~7", Body: []byte("{}")}}
	if stored, err := l.AppendAll(t.Context(), again); err != nil || stored {
		t.Fatalf("a batch with a conflict: stored %t, %v", stored, err)
	}
	if last := must[wire.Stored](t)(l.Last(t.Context(), "new")); last.Seq != 0 {
		t.Fatal("half a batch was stored")
	}
	if _, err := l.AppendAll(t.Context(), append(recs, again...)); err == nil {
		t.Fatal("202 records in one batch")
	}
	for _, key := range []string{"", "a.b", "*", ">", "a b", strings.Repeat("x", 300)} {
		if _, _, err := l.Append(t.Context(), wire.Stored{Token: key}); !errors.Is(err, wire.ErrInvalid) {
			t.Errorf("key %q: %v", key, err)
		}
		if _, err := l.Last(t.Context(), key); !errors.Is(err, wire.ErrInvalid) {
			t.Errorf("reading key %q: %v", key, err)
		}
	}
}

func TestBuffer(t *testing.T) {
	b := openBroker(t, startServer(t))
	buf := account(t, b).Buffer()
	expires := time.Date(2030, 1, 2, 3, 4, 5, 678, time.UTC)
	items := []wire.Stored{
		{Token: "normal", Body: []byte("a"), MsgID: "m1", Trace: trace, Expires: expires},
		{Token: "normal", Body: []byte("b"), MsgID: "m2"},
		{Token: "high", Body: []byte("c")},
	}
	if last := must[uint64](t)(buf.Store(t.Context(), items)); last != 3 {
		t.Fatalf("last %d", last)
	}
	if last := must[uint64](t)(buf.Store(t.Context(), items[2:])); last != 4 {
		t.Fatalf("one more: last %d", last)
	}
	other := must[*Account](t)(b.Account("other", AlwaysHeld(1)))
	must[uint64](t)(other.Buffer().Store(t.Context(), []wire.Stored{{Token: "normal", Body: []byte("x")}}))
	var got []wire.Stored
	collect := func(s wire.Stored) error { s.At = time.Time{}; got = append(got, s); return nil }
	if err := buf.Sweep(t.Context(), "", 0, collect); err != nil {
		t.Fatal(err)
	}
	want := []wire.Stored{
		{Seq: 1, Token: "normal", Body: []byte("a"), MsgID: "m1", Trace: trace, Expires: expires},
		{Seq: 2, Token: "normal", Body: []byte("b"), MsgID: "m2"},
		{Seq: 3, Token: "high", Body: []byte("c")}, {Seq: 4, Token: "high", Body: []byte("c")},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
	got = nil
	if err := buf.Sweep(t.Context(), "high", 0, collect); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want[2:], got); diff != "" {
		t.Fatal(diff)
	}
	for range 2 { // the second time it is missing
		if err := buf.Remove(t.Context(), 2); err != nil {
			t.Fatal(err)
		}
	}
	if n := must[uint64](t)(buf.Count(t.Context())); n != 3 {
		t.Fatalf("count %d", n)
	}
}

// Next finds one message without reading those behind it, of this account only.
func TestNext(t *testing.T) {
	b := openBroker(t, startServer(t))
	a, other := account(t, b), must[*Account](t)(b.Account("other", AlwaysHeld(1)))
	item := func(text string) []wire.Stored { return []wire.Stored{{Token: "normal", Body: []byte(text)}} }
	must[uint64](t)(other.Buffer().Store(t.Context(), item("not ours")))
	must[uint64](t)(a.Buffer().Store(t.Context(), item("first")))
	must[uint64](t)(a.Buffer().Store(t.Context(), item("second")))
	park := must[wire.Stored](t)(a.Parking().Next(t.Context(), 0))
	if park.Seq != 0 {
		t.Errorf("an empty parking has %+v", park)
	}
	if err := a.Parking().Park(t.Context(), wire.Stored{Token: "normal.t", Body: []byte("parked"), MsgID: "m"}); err != nil {
		t.Fatal(err)
	}
	if s := must[wire.Stored](t)(a.Parking().Next(t.Context(), 1)); s.Seq != 1 || s.MsgID != "m" || string(s.Body) != "parked" {
		t.Errorf("parked: %+v", s)
	}
	for from, want := range map[uint64]string{0: "first", 1: "first", 2: "first", 3: "second", 4: ""} {
		if s := must[wire.Stored](t)(a.Buffer().Next(t.Context(), from)); string(s.Body) != want || (want == "") != (s.Seq == 0) {
			t.Errorf("from %d: %+v, want %q", from, s, want)
		}
	}
}

// What was sent makes room again in a full bucket, and leaves nothing behind.
func TestObjectsRemove(t *testing.T) {
	b := openBroker(t, startServer(t))
	o := account(t, b).Objects()
	big := make([]byte, 20*mib)
	n := 0
	var err error
	for ; err == nil && n < 10; n++ {
		err = o.Keep(t.Context(), fmt.Sprint("m", n), bytes.NewReader(big))
	}
	if !errors.Is(err, wire.ErrFull) {
		t.Fatalf("after %d: %v", n, err)
	}
	for range 2 { // the second time it is missing
		if err := o.Remove(t.Context(), "m0"); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := o.Kept(t.Context(), "m0"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
	if err := o.Keep(t.Context(), "again", bytes.NewReader(big)); err != nil {
		t.Errorf("no room after a removal: %v", err)
	}
	for i := range n {
		if err := o.Remove(t.Context(), fmt.Sprint("m", i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := o.Remove(t.Context(), "again"); err != nil {
		t.Fatal(err)
	}
	left := must[map[string]uint64](t)(b.conn.perSubject(t.Context(), "OBJ_"+b.Media(), ">"))
	if len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestSweepOfMoreThanOneBatch(t *testing.T) {
	b := openBroker(t, startServer(t))
	buf := account(t, b).Buffer()
	items := make([]wire.Stored, 200)
	for i := range items {
		items[i] = wire.Stored{Token: "normal", Body: make([]byte, 10*kib)}
	}
	for range 5 {
		must[uint64](t)(buf.Store(t.Context(), items))
	}
	n, next := 0, uint64(101)
	err := buf.Sweep(t.Context(), "", next, func(s wire.Stored) error {
		if s.Seq != next || len(s.Body) != 10*kib {
			t.Fatalf("message %d of %d bytes, want %d", s.Seq, len(s.Body), next)
		}
		n, next = n+1, next+1
		return nil
	})
	if err != nil || n != 900 {
		t.Fatalf("%d messages, %v", n, err)
	}
	stop := errors.New("stop")
	if err := buf.Sweep(t.Context(), "", 1, func(wire.Stored) error { return stop }); !errors.Is(err, stop) {
		t.Fatalf("got %v", err)
	}
}

func TestBufferFull(t *testing.T) {
	b := openBroker(t, startServer(t))
	buf := account(t, b).Buffer()
	big := wire.Stored{Token: "normal", Body: make([]byte, 900*kib)}
	var err error
	for range 20 {
		if _, err = buf.Store(t.Context(), []wire.Stored{big}); err != nil {
			break
		}
	}
	if !errors.Is(err, wire.ErrFull) {
		t.Fatalf("one by one: %v", err)
	}
	if _, err = buf.Store(t.Context(), []wire.Stored{big, big}); !errors.Is(err, wire.ErrFull) {
		t.Fatalf("as a batch: %v", err)
	}
}

func TestParking(t *testing.T) {
	b := openBroker(t, startServer(t))
	p := account(t, b).Parking()
	park := func(token, id, body string) {
		t.Helper()
		if err := p.Park(t.Context(), wire.Stored{Token: token, MsgID: id, Body: []byte(body), Trace: trace}); err != nil {
			t.Fatal(err)
		}
	}
	park("normal.lane1", "1", "a")
	park("high.lane1", "2", "b")
	park("normal.lane1", "3", "c")
	park("normal.lane1", "3", "c") // a crash before the acknowledgement: once is enough
	same(t, must[[]string](t)(p.Tokens(t.Context())), []string{"high.lane1", "normal.lane1"})
	head := must[wire.Stored](t)(p.Head(t.Context(), "normal.lane1", 0))
	if string(head.Body) != "a" || head.Token != "normal.lane1" || head.MsgID != "1" || head.Trace != trace {
		t.Fatalf("head %+v", head)
	}
	next := must[wire.Stored](t)(p.Head(t.Context(), "normal.lane1", head.Seq))
	if string(next.Body) != "c" {
		t.Fatalf("next %+v", next)
	}
	for range 2 {
		if err := p.Remove(t.Context(), head.Seq); err != nil {
			t.Fatal(err)
		}
	}
	if head = must[wire.Stored](t)(p.Head(t.Context(), "normal.lane1", 0)); string(head.Body) != "c" {
		t.Fatalf("head after the removal: %+v", head)
	}
	if none := must[wire.Stored](t)(p.Head(t.Context(), "normal.lane1", head.Seq)); none.Seq != 0 {
		t.Fatalf("after the last: %+v", none)
	}
	for priority, want := range map[string]string{"": "bc", "normal": "c", "high": "b"} {
		got := ""
		err := p.Sweep(t.Context(), priority, 0, func(s wire.Stored) error { got += string(s.Body); return nil })
		if err != nil || got != want {
			t.Errorf("swept %q of %q, want %q, %v", got, priority, want, err)
		}
	}
	for _, token := range []string{"", "lane1", "normal.", ".lane1", "normal.*", "*.lane1", "normal.a.b"} {
		if err := p.Park(t.Context(), wire.Stored{Token: token}); !errors.Is(err, wire.ErrInvalid) {
			t.Errorf("a queue %q: %v", token, err)
		}
	}
}

func TestEventsDropRepeats(t *testing.T) {
	b := openBroker(t, startServer(t))
	ev := wire.Stored{Token: "message", MsgID: "7", Body: []byte("{}")}
	for i, want := range []bool{true, false} {
		if fresh := must[bool](t)(account(t, b).Events().Publish(t.Context(), ev)); fresh != want {
			t.Fatalf("publish %d: fresh %t", i, fresh)
		}
	}
	other := must[*Account](t)(b.Account("other", AlwaysHeld(1)))
	if fresh := must[bool](t)(other.Events().Publish(t.Context(), ev)); !fresh {
		t.Fatal("another account's event with the same id was dropped")
	}
}

func TestMediaAndKeptObjects(t *testing.T) {
	b := openBroker(t, startServer(t))
	a := account(t, b)
	data := bytes.Repeat([]byte("0123456789"), 200_000)
	sum := sha256.Sum256(data)
	size, hash, err := a.Media().Put(t.Context(), "default/a b/漢字.bin", bytes.NewReader(data))
	if err != nil || size != int64(len(data)) || hash != hex.EncodeToString(sum[:]) {
		t.Fatal(size, hash, err)
	}
	o := a.Objects()
	if _, _, err := o.Kept(t.Context(), "x"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("missing: %v", err)
	}
	if err := o.Keep(t.Context(), "x", bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	if err := o.Keep(t.Context(), "x", strings.NewReader("not stored again")); err != nil {
		t.Fatal(err)
	}
	size, open, err := o.Kept(t.Context(), "x")
	if err != nil || size != int64(len(data)) {
		t.Fatal(size, err)
	}
	r := must[io.ReadCloser](t)(open(t.Context()))
	if got := must[[]byte](t)(io.ReadAll(r)); !bytes.Equal(got, data) {
		t.Fatalf("%d bytes came back", len(got))
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := o.Keep(t.Context(), "broken", iotest.ErrReader(io.ErrUnexpectedEOF)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatalf("a reader that fails: %v", err)
	}
	if _, _, err := o.Kept(t.Context(), "broken"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("half an object: %v", err)
	}
}

func TestUploadRefusesLinksAndChanges(t *testing.T) {
	b := openBroker(t, startServer(t))
	a := account(t, b)
	uploads := must[jetstream.ObjectStore](t)(b.conn.JS.ObjectStore(t.Context(), b.Uploads()))
	media := must[jetstream.ObjectStore](t)(b.conn.JS.ObjectStore(t.Context(), b.Layout.Media()))
	secret := must[*jetstream.ObjectInfo](t)(media.PutString(t.Context(), "theirs", "secret"))
	mine := must[*jetstream.ObjectInfo](t)(uploads.PutString(t.Context(), "mine", "hello"))
	must[*jetstream.ObjectInfo](t)(uploads.AddLink(t.Context(), "abroad", secret))
	must[*jetstream.ObjectInfo](t)(uploads.AddLink(t.Context(), "at-home", mine))
	must[*jetstream.ObjectInfo](t)(uploads.PutBytes(t.Context(), "empty", nil))
	o := a.Objects()
	for _, name := range []string{"abroad", "at-home"} {
		if _, _, err := o.Upload(t.Context(), name); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("link %s: %v", name, err)
		}
	}
	if _, _, err := o.Upload(t.Context(), ""); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no name: %v", err)
	}
	if size, _, err := o.Upload(t.Context(), "empty"); err != nil || size != 0 {
		t.Errorf("empty object: %d, %v", size, err)
	}
	_, open, err := o.Upload(t.Context(), "mine")
	if err != nil {
		t.Fatal(err)
	}
	// Exchanged for a link between the look and the opening.
	link := *secret
	link.Bucket, link.Name = b.Uploads(), "mine"
	link.Opts = &jetstream.ObjectMetaOptions{Link: &jetstream.ObjectLink{Bucket: b.Layout.Media(), Name: "theirs"}}
	m := nats.NewMsg("$O.wechat_uploads.M." + base64.URLEncoding.EncodeToString([]byte("mine")))
	m.Header.Set(jetstream.MsgRollup, jetstream.MsgRollupSubject)
	m.Data = must[[]byte](t)(json.Marshal(link))
	must[*jetstream.PubAck](t)(b.conn.JS.PublishMsg(t.Context(), m))
	if r, err := open(t.Context()); !errors.Is(err, fs.ErrInvalid) && !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("the exchanged object was opened: %v %v", r, err)
	}
}

// A cut connection must not hold a put for ever: here the deadline is short.
func TestPutEndsWithItsContext(t *testing.T) {
	b := openBroker(t, startServer(t))
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	r, w := io.Pipe()
	stop := context.AfterFunc(ctx, func() { w.CloseWithError(context.Cause(ctx)) })
	defer stop()
	if _, _, err := account(t, b).Media().Put(ctx, "slow", r); err == nil {
		t.Fatal("a put whose source never ends succeeded")
	}
}
