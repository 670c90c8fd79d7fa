package bridge

import (
	"context"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"wechat-bridge/bridge/sim"
	"wechat-bridge/bridge/sim/verify"
	"wechat-bridge/bridge/wire"
)

// text publishes a text for a person of the simulator's world and notes it for
// the reckoning. to is as a user writes it, id where the simulator has it.
func (r *rig) text(id, to, toID, text string, more ...any) {
	r.t.Helper()
	command := map[string]any{"id": id, "to": to, "text": text}
	for i := 0; i+1 < len(more); i += 2 {
		command[more[i].(string)] = more[i+1]
	}
	priority, _ := command["priority"].(string)
	seq := r.send(command)
	r.commands = append(r.commands, verify.Command{
		Account: "default", ID: id, StreamSeq: seq, To: toID, Digest: verify.Digest(text), Priority: priority,
	})
}

// say lets somebody write to the account and notes it for the reckoning.
func (r *rig) say(m sim.Message) string {
	r.t.Helper()
	id, err := r.sim.Say(m)
	if err != nil {
		r.t.Fatal(err)
	}
	r.told = append(r.told, id)
	return id
}

// stored reads all of a stream's messages on a subject, in order.
func (r *rig) stored(stream, subject string) []jetstream.Msg {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	cons, err := r.js.CreateConsumer(ctx, stream, jetstream.ConsumerConfig{
		FilterSubject: subject, AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	var all []jetstream.Msg
	for left := int(cons.CachedInfo().NumPending); left > 0; {
		batch, err := cons.Fetch(min(left, 500), jetstream.FetchMaxWait(patience))
		if err != nil {
			r.t.Fatal(err)
		}
		for m := range batch.Messages() {
			all = append(all, m)
			left--
		}
		if batch.Error() != nil || ctx.Err() != nil {
			r.t.Fatalf("%s: %v, %v", stream, batch.Error(), ctx.Err())
		}
	}
	return all
}

// records are all records of deliveries that NATS has stored.
func (r *rig) records() []verify.Record {
	r.t.Helper()
	var records []verify.Record
	for _, m := range r.stored("WECHAT_STATUS", "wechat.status.*.delivery.*") {
		meta, err := m.Metadata()
		if err != nil {
			r.t.Fatal(err)
		}
		rec, err := verify.ReadRecord(wire.Stored{
			Seq: meta.Sequence.Stream, Token: m.Subject()[strings.LastIndexByte(m.Subject(), '.')+1:], Body: m.Data(),
		})
		if err != nil {
			r.t.Fatalf("%s: %v: %s", m.Subject(), err, m.Data())
		}
		records = append(records, rec)
	}
	return records
}

// chain gives the states of one delivery's records, in order.
func (r *rig) chain(key string) string {
	r.t.Helper()
	var states []string
	for _, rec := range r.records() {
		if rec.Key == key {
			states = append(states, string(rec.State))
		}
	}
	return strings.Join(states, " ")
}

// entries are the simulator's ledger in verify's form.
func (r *rig) entries() []verify.Entry {
	var out []verify.Entry
	for _, e := range r.sim.Sent() {
		out = append(out, verify.Entry{Seq: e.Seq, ToID: e.ToID, To: e.To, Type: e.Type, Content: e.Content, ClientMsgID: e.ClientMsgID, MsgID: e.MsgID, Notice: e.Notice})
	}
	return out
}

// messages are the stored events of the kind message.
func (r *rig) messages() []wire.Message {
	r.t.Helper()
	var out []wire.Message
	for _, msg := range r.stored("WECHAT_EVENTS", "wechat.events.*.message") {
		var m wire.Message
		if _, err := wire.OpenAs(msg.Data(), wire.TypeMessage, &m); err != nil {
			r.t.Fatalf("%s: %v", msg.Data(), err)
		}
		out = append(out, m)
	}
	return out
}

// reckon waits until all that was published by text is final and all that was
// told by say is stored, and wants the three ledgers to agree.
func (r *rig) reckon(ambiguous int) verify.Report {
	r.t.Helper()
	for _, c := range r.commands {
		r.final(wire.Key(c.ID))
	}
	in := verify.Input{Commands: r.commands, Told: r.told, MaxAmbiguous: ambiguous}
	r.eventually(fmt.Sprintf("%d messages are stored", len(r.told)), func() bool { return len(r.messages()) >= len(r.told) })
	for _, m := range r.messages() {
		in.Stored = append(in.Stored, m.MessageID)
	}
	in.Ledger, in.Records = r.entries(), r.records()
	report := verify.Check(in)
	if !report.OK() {
		r.t.Errorf("the ledgers do not agree:\n%s", report)
	}
	return report
}

// logins are how often WeChat was asked for a login, a code, and a push.
func (r *rig) logins() [3]int {
	return [3]int{r.sim.Requests("webwxnewloginpage"), r.sim.Requests("jslogin"), r.sim.Requests("webwxpushloginurl")}
}

// noLoginSince wants no login, no code and no push since.
func (r *rig) noLoginSince(before [3]int) {
	r.t.Helper()
	if now := r.logins(); now != before {
		r.t.Errorf("logins, codes and pushes were %v and are %v", before, now)
	}
}
