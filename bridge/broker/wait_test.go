package broker

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"wechat-bridge/bridge/wire"
)

// chainOf writes records of one command, one after the other.
type chainOf struct {
	t      *testing.T
	ledger *Ledger
	after  map[string]uint64
}

func (c *chainOf) write(token, id string, r Receipt, states ...wire.State) {
	c.t.Helper()
	for _, s := range states {
		d := wire.Delivery{Account: "default", ID: id, State: s, StreamSeq: r.Seq, Digest: r.digest}
		body := must[[]byte](c.t)(wire.SealDelivery(d, time.Now(), ""))
		seq, stored, err := c.ledger.Append(c.t.Context(), wire.Stored{Token: token, Body: body, After: c.after[token]})
		if err != nil || !stored {
			c.t.Fatal(stored, err)
		}
		c.after[token] = seq
	}
}

// seen is how a wait ended: the states it was told and the final one.
type seen struct {
	states string
	final  wire.Delivery
	err    error
}

func TestWaitForARepeat(t *testing.T) {
	s := startServer(t)
	b := openBroker(t, s)
	client, ledger := guestClient(t, s), account(t, b).Ledger()
	command := func(id, text string) []byte { return []byte(`{"id":"` + id + `","to":"a","text":"` + text + `"}`) }
	send := func(body []byte) Receipt {
		t.Helper()
		return must[Receipt](t)(client.Send(t.Context(), "default", "", body))
	}
	wait := func(ctx context.Context, id string, r Receipt, told chan<- wire.State) seen {
		var out seen
		var states []string
		out.final, out.err = client.Wait(ctx, "default", id, r, func(r Record) {
			d, _, _ := wire.OpenDelivery(r.Body)
			states = append(states, string(d.State))
			if told != nil {
				told <- d.State
			}
		})
		out.states = strings.Join(states, " ")
		return out
	}
	want := func(what string, got seen, states string, seq uint64) {
		t.Helper()
		if got.err != nil || got.states != states || got.final.StreamSeq != seq {
			t.Errorf("%s: told %q, the final record is of %d (%v); want %q of %d", what, got.states, got.final.StreamSeq, got.err, states, seq)
		}
	}
	chain := func() *chainOf { return &chainOf{t: t, ledger: ledger, after: map[string]uint64{}} }

	first := send(command("done", "x"))
	chain().write("done", "done", first, wire.Accepted, wire.Sending, wire.Sent, wire.Corrected)
	again := send(command("done", "x"))
	want("it was sent long ago", wait(within(t, 10*time.Second), "done", again, nil), "corrected", first.Seq)

	// Another text with that id ends with its own record.
	other := send(command("done", "y"))
	chain().write(wire.ConflictKey("done", other.Seq), "done", other, wire.Rejected)
	want("a conflict", wait(within(t, 10*time.Second), "done", other, nil), "rejected", other.Seq)

	// A rejected id is free: nothing ends before the new delivery does.
	first = send(command("free", "x"))
	c := chain()
	c.write("free", "free", first, wire.Rejected)
	again = send(command("free", "x"))
	if got := wait(within(t, repeatWait+time.Second), "free", again, nil); !errors.Is(got.err, context.DeadlineExceeded) || got.states != "" {
		t.Errorf("a rejected id that is used again: %+v", got)
	}
	c.write("free", "free", again, wire.Accepted, wire.Sending, wire.Sent)
	want("a new delivery", wait(within(t, 10*time.Second), "free", again, nil), "accepted sending sent", again.Seq)

	// Of two in a row the first one's rejection is not the second one's end.
	first, again = send(command("two", "x")), send(command("two", "x"))
	told, ended := make(chan wire.State, 8), make(chan seen, 1)
	go func() { ended <- wait(within(t, 10*time.Second), "two", again, told) }()
	c = chain()
	c.write("two", "two", first, wire.Accepted)
	receive(t, told)
	c.write("two", "two", first, wire.Rejected)
	receive(t, told)
	c.write("two", "two", again, wire.Accepted, wire.Sent)
	want("two in a row", receive(t, ended), "accepted rejected accepted sent", again.Seq)

	// One that is under way is followed from where it is.
	for end, left := range map[wire.State]string{wire.Sent: "sending sent", wire.Rejected: "sending rejected"} {
		id := "under-way-" + string(end)
		first = send(command(id, "x"))
		c = chain()
		c.write(id, id, first, wire.Accepted, wire.Sending)
		again = send(command(id, "x"))
		told, ended := make(chan wire.State, 8), make(chan seen, 1)
		go func() { ended <- wait(within(t, 10*time.Second), id, again, told) }()
		receive(t, told)
		c.write(id, id, first, end)
		want("under way, then "+string(end), receive(t, ended), left, first.Seq)
	}
}

func TestWaitTellsOfTheParts(t *testing.T) {
	s := startServer(t)
	b := openBroker(t, s)
	client, ledger := guestClient(t, s), account(t, b).Ledger()
	r := must[Receipt](t)(client.Send(t.Context(), "default", "", []byte(`{"id":"all","to":["a","b"],"text":"x"}`)))
	c := &chainOf{t: t, ledger: ledger, after: map[string]uint64{}}
	c.write("all", "all", r, wire.Accepted)
	for _, part := range []string{"all~1", "all~2"} {
		c.write(part, part, r, wire.Accepted, wire.Sent)
	}
	c.write("all", "all", r, wire.Failed)
	var told []string
	final, err := client.Wait(within(t, 10*time.Second), "default", "all", r, func(r Record) {
		d, _, _ := wire.OpenDelivery(r.Body)
		told = append(told, d.ID+" "+string(d.State))
	})
	if err != nil || final.State != wire.Failed || final.ID != "all" {
		t.Errorf("%+v %v", final, err)
	}
	same(t, told, []string{"all accepted", "all~1 accepted", "all~1 sent", "all~2 accepted", "all~2 sent", "all failed"})
}
