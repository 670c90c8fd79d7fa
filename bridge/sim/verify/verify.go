// Package verify compares three ledgers: what NATS acknowledged to those who
// publish, what the simulated WeChat accepted, and the records that the bridge
// stored. What does not agree is said in plain sentences. The demo, the tests
// and chaos all use it, so that none of them has an own idea of "lost".
//
// It is pure and linear: 50,000 commands take about a second.
package verify

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"wechat-bridge/bridge/wire"
)

// Command is a send command that NATS acknowledged to its publisher.
type Command struct {
	Account   string
	ID        string // as published; empty: the bridge made one
	StreamSeq uint64 // of the PubAck; 0 = not known, then ID counts
	// To is the recipient's to_id in the simulator; empty: any will do.
	To string
	// List has the to_id of each part instead, if To was a list; an empty one
	// will do for any.
	List     []string
	Digest   string // Digest of the text; empty: the content is not compared
	Priority string // empty = normal
	Revoke   bool   // takes a message back: it has no entry of its own
}

// Entry is a message that the simulator accepted, in the form of its control
// API (GET /sim/v1/sent).
type Entry struct {
	Seq         int    `json:"seq"`
	ToID        string `json:"to_id"`
	To          string `json:"to"`
	Type        string `json:"type"`
	Content     string `json:"content"`
	ClientMsgID string `json:"client_msg_id"`
	MsgID       string `json:"msg_id"`
	Notice      string `json:"notice"` // what WeChat said about it in the chat
}

// Record is one stored record of a delivery.
type Record struct {
	Seq uint64 // in the stream of records
	Key string // the last token of its subject
	wire.Delivery
}

// ReadRecord reads a stored record; its Token is the key.
func ReadRecord(s wire.Stored) (Record, error) {
	d, _, err := wire.OpenDelivery(s.Body)
	return Record{Seq: s.Seq, Key: s.Token, Delivery: d}, err
}

// Digest is what stands for a text in a Command.
func Digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:16])
}

// Input is what is compared. Commands are in the order of publishing, Records
// in the order of their stream, Ledger in the order of acceptance.
type Input struct {
	Commands []Command
	Ledger   []Entry
	Records  []Record
	// Told are the ids of the events that the simulator handed over, Stored
	// those of the events in the stream.
	Told, Stored []string
	// MaxAmbiguous is how many deliveries may have an outcome that nobody
	// knows: kills × max_in_flight, and one for each dropped answer.
	MaxAmbiguous int
}

// Report is what was found, a plain sentence each. All but Ambiguous is wrong
// in any case.
type Report struct {
	Lost              []string // acknowledged by NATS, and no record
	SilentDoubles     []string // twice at WeChat, and no record says so
	OrderBreaks       []string // later ones of a chat and priority that went first
	WrongFinals       []string // no final record, two, or something after it
	SentWithoutLedger []string // "sent", and WeChat never got it
	Contradicted      []string // "not sent", and WeChat got it
	Misdelivered      []string // another recipient or another content
	Unasked           []string // WeChat got what nobody had sent
	ReceivedLost      []string
	ReceivedRepeated  []string
	Ambiguous         []string // marked as possible duplicate, or unknown
	TooAmbiguous      bool     // more of these than allowed

	ByState  map[wire.State]int // deliveries by their final state; "" = none
	Commands int
	Accepted int // entries of the simulator
	Received int // events stored
}

// Check compares the ledgers.
func Check(in Input) Report {
	r := Report{ByState: map[wire.State]int{}, Commands: len(in.Commands), Accepted: len(in.Ledger), Received: len(in.Stored)}
	b := index(in.Records)
	r.Lost = b.claim(in.Commands)
	r.Unasked = b.match(in.Ledger)
	for _, c := range b.chains {
		r.judge(c)
	}
	r.OrderBreaks = b.order()
	r.received(in.Told, in.Stored)
	r.TooAmbiguous = len(r.Ambiguous) > in.MaxAmbiguous
	return r
}

func (r *Report) received(told, stored []string) {
	seen := make(map[string]int, len(stored))
	for _, id := range stored {
		seen[id]++
		if seen[id] == 2 {
			r.ReceivedRepeated = append(r.ReceivedRepeated, fmt.Sprintf("The event %s is stored more than once.", quoted(id)))
		}
	}
	for _, id := range told {
		if seen[id] == 0 {
			seen[id]-- // said once
			r.ReceivedLost = append(r.ReceivedLost, fmt.Sprintf("WeChat told the event %s, and it is not stored.", quoted(id)))
		}
	}
}

// finding is one kind of finding with its name.
type finding struct {
	name string
	list []string
}

func (r Report) findings() []finding {
	return []finding{
		{"lost", r.Lost}, {"silent doubles", r.SilentDoubles}, {"order breaks", r.OrderBreaks},
		{"wrong finals", r.WrongFinals}, {"sent without ledger", r.SentWithoutLedger}, {"contradicted", r.Contradicted},
		{"misdelivered", r.Misdelivered}, {"unasked", r.Unasked},
		{"received lost", r.ReceivedLost}, {"received repeated", r.ReceivedRepeated},
	}
}

// OK reports whether the ledgers agree.
func (r Report) OK() bool {
	return !r.TooAmbiguous && !slices.ContainsFunc(r.findings(), func(f finding) bool { return len(f.list) > 0 })
}

const shown = 10 // sentences of one kind that String prints

// String is the report for people: the count of each finding, the first
// sentences of those that are not zero, and the table of states.
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d commands, %d accepted by WeChat, %d events received\n", r.Commands, r.Accepted, r.Received)
	for _, f := range r.findings() {
		printFinding(&b, f)
	}
	printFinding(&b, finding{"ambiguous", r.Ambiguous})
	if r.TooAmbiguous {
		b.WriteString("    more than allowed\n")
	}
	for _, s := range slices.Sorted(maps.Keys(r.ByState)) {
		name := string(s)
		if s == "" {
			name = "no final record"
		}
		fmt.Fprintf(&b, "  %s: %d\n", name, r.ByState[s])
	}
	return b.String()
}

func printFinding(b *strings.Builder, f finding) {
	fmt.Fprintf(b, "  %-20s %d\n", f.name, len(f.list))
	for _, s := range f.list[:min(len(f.list), shown)] {
		fmt.Fprintf(b, "    %s\n", s)
	}
	if more := len(f.list) - shown; more > 0 {
		fmt.Fprintf(b, "    and %d more\n", more)
	}
}

func quoted(s string) string { return `"` + wire.Printable(s, 80) + `"` }
