package verify

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"wechat-bridge/bridge/wire"
)

// run makes three ledgers that agree, as an honest bridge would leave them.
type run struct {
	in  Input
	rec uint64
	cmd uint64
}

func (r *run) command(id, to, text string) {
	r.cmd++
	r.in.Commands = append(r.in.Commands, Command{Account: "default", ID: id, StreamSeq: r.cmd, To: to, Digest: Digest(text)})
}

func (r *run) record(id string, seq uint64, s wire.State, change ...func(*wire.Delivery)) {
	r.rec++
	d := wire.Delivery{Account: "default", ID: id, StreamSeq: seq, State: s, Final: s.Final()}
	for _, c := range change {
		c(&d)
	}
	r.in.Records = append(r.in.Records, Record{Seq: r.rec, Key: wire.Key(id), Delivery: d})
}

func (r *run) entry(to, text, client string) string {
	n := len(r.in.Ledger) + 1
	id := fmt.Sprintf("9%05d", n)
	r.in.Ledger = append(r.in.Ledger, Entry{Seq: n, ToID: to, To: "@" + to, Type: "text", Content: text, ClientMsgID: client, MsgID: id})
	return id
}

func messageID(id string) func(*wire.Delivery) { return func(d *wire.Delivery) { d.MessageID = id } }
func marked(d *wire.Delivery)                  { d.PossibleDuplicate = true }
func certain(d *wire.Delivery)                 { d.Certain = true }

// refusedAs is a correction after a notice.
func refusedAs(notice string) func(*wire.Delivery) {
	return func(d *wire.Delivery) { d.Was, d.NoticeID, d.Certain = wire.Sent, notice, true }
}

// deliver is a whole honest life.
func (r *run) deliver(id, to, text string) {
	r.command(id, to, text)
	r.record(id, r.cmd, wire.Accepted)
	r.record(id, r.cmd, wire.Sending)
	r.record(id, r.cmd, wire.Sent, messageID(r.entry(to, text, "c"+id)))
}

func honest() *run {
	r := &run{}
	for n := range 6 {
		r.deliver(fmt.Sprintf("m%d", n), []string{"alice", "bob"}[n%2], fmt.Sprintf("text %d", n))
	}
	r.in.Told, r.in.Stored = []string{"e1", "e2", "e3"}, []string{"e1", "e2", "e3"}
	return r
}

func (r *run) dropRecords(bad func(Record) bool) {
	r.in.Records = slices.DeleteFunc(r.in.Records, bad)
}

// counts is what was found, kind by kind.
func counts(r Report) map[string]int {
	out := map[string]int{}
	for _, f := range r.findings() {
		if len(f.list) > 0 {
			out[f.name] = len(f.list)
		}
	}
	return out
}

func TestHonestRunIsClean(t *testing.T) {
	got := Check(honest().in)
	if !got.OK() || len(counts(got)) > 0 || len(got.Ambiguous) > 0 || got.ByState[wire.Sent] != 6 {
		t.Fatal(got)
	}
}

func TestPlantedLies(t *testing.T) {
	tests := []struct {
		name string
		lie  func(*run)
		want map[string]int
		says string
	}{
		{"a lost one", func(r *run) { r.command("gone", "alice", "x") },
			map[string]int{"lost": 1}, `acknowledged the command "gone"`},
		{"records that vanished", func(r *run) { r.dropRecords(func(x Record) bool { return x.ID == "m2" }) },
			map[string]int{"lost": 1, "unasked": 1}, `"m2"`},
		{"a silent double", func(r *run) { r.entry("bob", "text 1", "cm1") },
			map[string]int{"silent doubles": 1}, `WeChat got "m1" (account default, command 2) 2 times (entries [2 7])`},
		{"a silent double with another client id", func(r *run) { r.entry("bob", "text 1", "other") },
			map[string]int{"silent doubles": 1}, `"m1"`},
		{"a swap", func(r *run) {
			a, b := &r.in.Ledger[0], &r.in.Ledger[2] // both to Alice
			a.Seq, b.Seq = b.Seq, a.Seq
			*a, *b = *b, *a
		}, map[string]int{"order breaks": 1}, `To "alice" with priority normal, "m0"`},
		{"two finals", func(r *run) { r.record("m3", 4, wire.Failed, certain) },
			map[string]int{"wrong finals": 1}, "2 final records: [sent failed]"},
		{"the same final twice", func(r *run) { r.record("m3", 4, wire.Sent, messageID(r.in.Ledger[3].MsgID)) },
			map[string]int{"wrong finals": 1}, "2 final records: [sent sent]"},
		{"a missing final", func(r *run) { r.dropRecords(func(x Record) bool { return x.ID == "m3" && x.State == wire.Sent }) },
			map[string]int{"wrong finals": 1}, "no final record; the last one is sending"},
		{"a missing final of what never left", func(r *run) { r.command("w", "bob", "y"); r.record("w", r.cmd, wire.Accepted) },
			map[string]int{"wrong finals": 1}, "the last one is accepted"},
		{"it goes on after the end", func(r *run) { r.record("m3", 4, wire.Sending) },
			map[string]int{"wrong finals": 1}, "goes on after its final record: [sending]"},
		{"corrected twice", func(r *run) { r.record("m3", 4, wire.Corrected); r.record("m3", 4, wire.Corrected) },
			map[string]int{"wrong finals": 1}, "[corrected corrected]"},
		{"corrected without a final record", func(r *run) {
			r.dropRecords(func(x Record) bool { return x.ID == "m3" && x.State == wire.Sent })
			r.record("m3", 4, wire.Corrected, refusedAs("n1"))
			r.in.Ledger[3].Notice = "refused"
		}, map[string]int{"wrong finals": 1}, "no final record; the last one is corrected"},
		{"corrected twice by notices", func(r *run) {
			r.record("m3", 4, wire.Corrected, refusedAs("n1"), messageID(r.in.Ledger[3].MsgID))
			r.record("m3", 4, wire.Corrected, refusedAs("n2"), messageID(r.in.Ledger[3].MsgID))
			r.in.Ledger[3].Notice = "refused"
		}, map[string]int{"wrong finals": 1}, "[corrected corrected]"},
		{"corrected from what it never was", func(r *run) {
			r.record("m3", 4, wire.Corrected, func(d *wire.Delivery) { d.Was = wire.Unknown })
		}, map[string]int{"wrong finals": 1}, "does not repeat its final record: was unknown"},
		{"corrected with another message", func(r *run) {
			r.record("m3", 4, wire.Corrected, refusedAs("n1"), messageID("77"))
			r.in.Ledger[3].Notice = "refused"
		}, map[string]int{"wrong finals": 1, "sent without ledger": 1}, "does not repeat its final record: was sent"},
		{"corrected, and WeChat refused nothing", func(r *run) {
			r.record("m3", 4, wire.Corrected, refusedAs("n1"), messageID(r.in.Ledger[3].MsgID))
		}, map[string]int{"contradicted": 1}, "WeChat said nothing about it"},
		{"corrected before it was final", func(r *run) {
			r.command("k", "bob", "y")
			r.record("k", r.cmd, wire.Corrected)
			r.record("k", r.cmd, wire.Failed, certain)
		}, map[string]int{"wrong finals": 1}, "before it was final"},
		{"sent, but WeChat never got it", func(r *run) { r.in.Ledger = r.in.Ledger[:5] },
			map[string]int{"sent without ledger": 1}, `"m5"`},
		{"sent with the id of another message", func(r *run) {
			r.command("fake", "bob", "never")
			r.record("fake", r.cmd, wire.Sent, messageID(r.in.Ledger[1].MsgID))
		}, map[string]int{"sent without ledger": 1}, `"fake"`},
		{"sent without an id of WeChat", func(r *run) { r.command("fake", "bob", "never"); r.record("fake", r.cmd, wire.Sent) },
			map[string]int{"sent without ledger": 1}, `"fake"`},
		{"failed for certain, and WeChat got it", func(r *run) {
			r.command("f", "bob", "y")
			r.record("f", r.cmd, wire.Failed, certain)
			r.entry("bob", "y", "cf")
		}, map[string]int{"contradicted": 1}, `"f" (account default, command 7) is failed`},
		{"expired, and WeChat got it", func(r *run) {
			r.command("f", "bob", "y")
			r.record("f", r.cmd, wire.Expired)
			r.entry("bob", "y", "cf")
		}, map[string]int{"contradicted": 1}, "is expired"},
		{"to the wrong person", func(r *run) { r.in.Ledger[4].ToID = "bob" },
			map[string]int{"misdelivered": 1, "order breaks": 0}, `was for "alice" and went to "bob"`},
		{"another content", func(r *run) { r.in.Ledger[4].Content = "text" },
			map[string]int{"misdelivered": 1}, "another content"},
		{"what nobody sent", func(r *run) { r.entry("bob", "spam", "zz") },
			map[string]int{"unasked": 1}, `entry 7 to "bob"`},
		{"a part of a list", func(r *run) {
			r.list("l", "alice", "bob")
			r.dropRecords(func(x Record) bool { return x.ID == "l~2" })
			r.in.Ledger = r.in.Ledger[:7]
		}, map[string]int{"lost": 1}, "Part 2 of the list"},
		{"a list without an end", func(r *run) {
			r.list("l", "alice", "bob")
			r.dropRecords(func(x Record) bool { return x.ID == "l" && x.Final })
		}, map[string]int{"wrong finals": 1}, `"l"`},
		{"a received one lost", func(r *run) { r.in.Stored = r.in.Stored[1:] },
			map[string]int{"received lost": 1}, `told the event "e1"`},
		{"a received one twice", func(r *run) { r.in.Stored = append(r.in.Stored, "e2", "e2") },
			map[string]int{"received repeated": 1}, `"e2"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := honest()
			test.lie(r)
			got := Check(r.in)
			want := map[string]int{}
			for k, n := range test.want {
				if n > 0 {
					want[k] = n
				}
			}
			if d := cmp.Diff(want, counts(got)); d != "" || got.OK() {
				t.Fatalf("%s\n%s", d, got)
			}
			if !strings.Contains(got.String(), test.says) {
				t.Fatalf("%q is not said:\n%s", test.says, got)
			}
		})
	}
}

// list delivers a list to several people.
func (r *run) list(id string, to ...string) {
	r.cmd++
	seq := r.cmd
	r.in.Commands = append(r.in.Commands, Command{Account: "default", ID: id, StreamSeq: seq, List: to, Digest: Digest("to all")})
	parts := func(d *wire.Delivery) { d.Deliveries = len(to) }
	r.record(id, seq, wire.Accepted, parts)
	for i, who := range to {
		r.record(wire.PartID(id, i+1), seq, wire.Sent, messageID(r.entry(who, "to all", fmt.Sprint(id, i))))
	}
	r.record(id, seq, wire.Sent, parts)
}

// What looks odd, and is honest.
func TestHonestOddities(t *testing.T) {
	tests := []struct {
		name      string
		do        func(*run)
		ambiguous int
	}{
		{"a list", func(r *run) { r.list("l", "alice", "bob", "alice") }, 0},
		{"a list that is rejected", func(r *run) {
			r.list("l", "alice")
			r.in.Ledger = r.in.Ledger[:6]
			r.dropRecords(func(x Record) bool { return x.StreamSeq == 7 })
			r.record("l", 7, wire.Rejected)
		}, 0},
		{"a resend that is marked", func(r *run) {
			r.command("d", "bob", "y")
			r.entry("bob", "y", "cd") // the answer was lost
			r.record("d", r.cmd, wire.Sending)
			r.record("d", r.cmd, wire.Sent, marked, messageID(r.entry("bob", "y", "cd")))
		}, 1},
		{"a marked resend of a medium", func(r *run) {
			r.command("d", "bob", "")
			r.in.Commands[6].Digest = ""
			r.entry("bob", "<xml/>", "cd")
			r.record("d", r.cmd, wire.Sent, marked, messageID(r.entry("bob", "<xml/>", "cd")))
		}, 1},
		{"a marked resend that came after newer ones to others", func(r *run) {
			r.command("d", "bob", "y")
			r.entry("bob", "y", "cd")
			seq := r.cmd
			r.deliver("later", "alice", "z")
			r.record("d", seq, wire.Sent, marked, messageID(r.entry("bob", "y", "cd")))
		}, 1},
		{"unknown that WeChat got", func(r *run) {
			r.command("u", "bob", "y")
			r.entry("bob", "y", "cu")
			r.record("u", r.cmd, wire.Unknown)
		}, 1},
		{"unknown that WeChat did not get", func(r *run) { r.command("u", "bob", "y"); r.record("u", r.cmd, wire.Unknown) }, 1},
		{"unknown media", func(r *run) {
			r.command("u", "bob", "")
			r.in.Commands[len(r.in.Commands)-1].Digest = ""
			r.entry("bob", "<xml/>", "cu")
			r.record("u", r.cmd, wire.Unknown)
		}, 1},
		{"failed, perhaps", func(r *run) {
			r.command("f", "bob", "y")
			r.entry("bob", "y", "cf")
			r.record("f", r.cmd, wire.Failed)
		}, 1},
		{"failed for certain", func(r *run) { r.command("f", "bob", "y"); r.record("f", r.cmd, wire.Failed, certain) }, 0},
		{"corrected", func(r *run) {
			r.command("u", "bob", "y")
			id := r.entry("bob", "y", "cu")
			r.record("u", r.cmd, wire.Unknown)
			r.record("u", r.cmd, wire.Corrected, messageID(id), func(d *wire.Delivery) { d.Was = wire.Unknown })
		}, 1},
		{"refused in the chat", func(r *run) {
			r.record("m3", 4, wire.Corrected, refusedAs("n1"), messageID(r.in.Ledger[3].MsgID))
			r.in.Ledger[3].Notice = "refused"
		}, 0},
		{"refused in the chat, this one or another", func(r *run) {
			r.record("m3", 4, wire.Corrected, refusedAs("n1"), messageID(r.in.Ledger[3].MsgID), func(d *wire.Delivery) { d.Attribution = wire.Inferred })
		}, 0},
		{"the same id and body again", func(r *run) { r.command("m2", "alice", "text 2") }, 0},
		{"the same id with another body", func(r *run) { r.command("m2", "alice", "other"); r.record("m2", r.cmd, wire.Rejected) }, 0},
		{"an id used again after it was rejected", func(r *run) {
			r.command("x", "nobody", "y")
			r.record("x", r.cmd, wire.Rejected)
			r.deliver("x", "bob", "y")
		}, 0},
		{"an id made by the bridge", func(r *run) {
			r.command("", "bob", "y")
			made := wire.MadeID(r.cmd, time.Unix(1, 0))
			r.record(made, r.cmd, wire.Sent, messageID(r.entry("bob", "y", "c")))
		}, 0},
		{"a bad id that is rejected under a made one", func(r *run) {
			r.command(strings.Repeat("x", 129), "bob", "y")
			r.record(wire.MadeID(r.cmd, time.Unix(1, 0)), r.cmd, wire.Rejected)
		}, 0},
		{"a publisher that does not know the sequence", func(r *run) { r.deliver("p", "bob", "y"); r.in.Commands[6].StreamSeq = 0 }, 0},
		{"equal texts to one person", func(r *run) {
			for n := range 3 {
				r.deliver(fmt.Sprint("same", n), "bob", "same")
			}
		}, 0},
		{"a revoke", func(r *run) {
			r.command("rv", "", "")
			r.in.Commands[6].Revoke = true
			r.record("rv", r.cmd, wire.Sent, messageID(r.in.Ledger[0].MsgID))
		}, 0},
		{"high overtakes", func(r *run) {
			r.command("slow", "bob", "slow")
			r.command("fast", "bob", "fast")
			r.in.Commands[7].Priority = wire.PriorityHigh
			r.record("fast", 8, wire.Sent, messageID(r.entry("bob", "fast", "1")))
			r.record("slow", 7, wire.Sent, messageID(r.entry("bob", "slow", "2")))
		}, 0},
		{"a corrected record's stranger: stored though never acknowledged", func(r *run) {
			r.deliver("plain", "bob", "y")
			r.in.Commands = r.in.Commands[:6]
		}, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := honest()
			test.do(r)
			r.in.MaxAmbiguous = test.ambiguous
			got := Check(r.in)
			if !got.OK() || len(got.Ambiguous) != test.ambiguous {
				t.Fatal(got)
			}
			if test.ambiguous > 0 {
				r.in.MaxAmbiguous--
				if Check(r.in).OK() {
					t.Fatal("one ambiguous delivery too many is not found")
				}
			}
		})
	}
}

// Any lie, at any place of a run of any shape, is found.
func TestLiesAreFoundAnywhere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := &run{}
		n := rapid.IntRange(2, 30).Draw(t, "commands")
		for i := range n {
			r.deliver(fmt.Sprint("m", i), rapid.SampledFrom([]string{"a", "b"}).Draw(t, "to"), rapid.SampledFrom([]string{"x", "y", "z"}).Draw(t, "text"))
		}
		if got := Check(r.in); !got.OK() {
			t.Fatal(got)
		}
		k := rapid.IntRange(0, n-1).Draw(t, "victim")
		id := fmt.Sprint("m", k)
		switch rapid.SampledFrom([]string{"lose", "double", "final", "second", "never"}).Draw(t, "lie") {
		case "lose":
			r.dropRecords(func(x Record) bool { return x.ID == id })
		case "double":
			e := r.in.Ledger[k]
			r.entry(e.ToID, e.Content, rapid.SampledFrom([]string{e.ClientMsgID, "other", ""}).Draw(t, "client"))
		case "final":
			r.dropRecords(func(x Record) bool { return x.ID == id && x.Final })
		case "second":
			r.record(id, uint64(k+1), wire.Expired)
		case "never":
			r.in.Ledger = slices.Delete(r.in.Ledger, k, k+1)
		}
		if got := Check(r.in); got.OK() {
			t.Fatal(got)
		}
	})
}

func TestReadRecord(t *testing.T) {
	body, err := wire.SealDelivery(wire.Delivery{Account: "default", ID: "a b", State: wire.Sent, StreamSeq: 3, MessageID: "9"}, time.Unix(1, 0), "")
	if err != nil {
		t.Fatal(err)
	}
	got, err := ReadRecord(wire.Stored{Seq: 7, Token: wire.Key("a b"), Body: body})
	if err != nil || got.Seq != 7 || got.Key != wire.Key("a b") || got.ID != "a b" || got.State != wire.Sent || !got.Final {
		t.Fatalf("%+v %v", got, err)
	}
	if _, err := ReadRecord(wire.Stored{Body: []byte("{}")}); err == nil {
		t.Fatal("a foreign message is taken for a record")
	}
}

// The control API's JSON fits, and what is new there does no harm.
func TestEntryReadsTheControlAPI(t *testing.T) {
	const line = `[{"seq":1,"to":"@ab","to_id":"alice","to_name":"Alice","type":"text","content":"hi","client_msg_id":"17","msg_id":"9","at":"2026-11-24T08:00:00Z","revoked":false,"login":1}]`
	var got []Entry
	if err := json.Unmarshal([]byte(line), &got); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]Entry{{Seq: 1, ToID: "alice", To: "@ab", Type: "text", Content: "hi", ClientMsgID: "17", MsgID: "9"}}, got); d != "" {
		t.Fatal(d)
	}
}

func TestReportIsShortAndPrintable(t *testing.T) {
	r := honest()
	for n := range 100 {
		r.command(fmt.Sprintf("\x1b[2J%d", n), "alice", "x")
	}
	s := Check(r.in).String()
	if strings.Contains(s, "\x1b") || strings.Count(s, "\n") > 40 || !strings.Contains(s, "and 90 more") {
		t.Fatal(s)
	}
}

// big is a run of n commands with everything a long night brings.
func big(n int) Input {
	r := &run{}
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range n {
		id, to := fmt.Sprint("m", i), fmt.Sprint("peer", rnd.IntN(100))
		if i%100 != 0 {
			r.deliver(id, to, "the same text every time")
			continue
		}
		r.command(id, to, "the same text every time")
		r.entry(to, "the same text every time", "c"+id)
		r.record(id, r.cmd, wire.Unknown)
	}
	r.in.MaxAmbiguous = n
	return r.in
}

func TestLongRun(t *testing.T) {
	in := big(10_000) // the benchmark has 50,000
	start := time.Now()
	got := Check(in)
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("took %s", took)
	}
	if !got.OK() || len(got.Ambiguous) != 100 {
		t.Fatal(got)
	}
}

func BenchmarkCheck(b *testing.B) {
	in := big(50_000)
	for b.Loop() {
		Check(in)
	}
}
