package main

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"wechat-bridge/bridge/broker"
	"wechat-bridge/bridge/wire"
)

// newID makes an id for a command that has none.
func newID() string { return "c" + strings.ToLower(rand.Text()[:16]) }

// printer prints records and events, for people or for machines.
type printer struct {
	t    *terminal
	json bool
}

// record prints one; what cannot be read is shown as such, never dropped.
func (p printer) record(r broker.Record) {
	if p.json {
		fmt.Fprintf(p.t.out, "%s\n", oneLine(r.Body))
		return
	}
	env, err := wire.Open(r.Body)
	if err != nil {
		fmt.Fprintf(p.t.out, "%s\n", wire.Printable(string(r.Body), 200))
		return
	}
	fmt.Fprintf(p.t.out, "%s  %s\n", env.Time.Local().Format(time.DateTime), p.line(env))
}

// oneLine keeps a record of a stranger from breaking the lines of the output.
func oneLine(body []byte) []byte {
	var v json.RawMessage
	if json.Unmarshal(body, &v) != nil {
		body, _ = json.Marshal(string(body))
		return body
	}
	out, err := json.Marshal(v)
	if err != nil {
		return body
	}
	return out
}

func (p printer) line(env wire.Envelope) string {
	switch env.Type {
	case wire.TypeDelivery:
		return describe(env, deliveryLine)
	case wire.TypeConnection:
		return describe(env, connectionLine)
	case wire.TypeMessage:
		return describe(env, messageLine)
	case wire.TypeHeartbeat:
		return describe(env, func(h wire.Heartbeat) string {
			return fmt.Sprintf("heartbeat   %s: process %s, connection %s, business %s, %d wait", h.Status, h.Process, h.Connection, h.Business, h.Backlog.Messages)
		})
	}
	return fmt.Sprintf("%-11s %s", strings.TrimPrefix(env.Type, "wechat."), wire.Printable(string(env.Data), 300))
}

func describe[T any](env wire.Envelope, line func(T) string) string {
	var data T
	if err := json.Unmarshal(env.Data, &data); err != nil {
		return wire.Printable(string(env.Data), 300)
	}
	return line(data)
}

func deliveryLine(d wire.Delivery) string {
	var b strings.Builder
	fmt.Fprintf(&b, "delivery    %s %s", wire.Printable(d.ID, 128), d.State)
	if d.Attempt > 1 {
		fmt.Fprintf(&b, " (attempt %d)", d.Attempt)
	}
	if d.MessageID != "" {
		fmt.Fprintf(&b, " as %s", wire.Printable(d.MessageID, 40))
	}
	if d.Code != "" {
		fmt.Fprintf(&b, ": %s", d.Code)
	}
	if d.Field != "" {
		fmt.Fprintf(&b, " in %s", wire.Printable(d.Field, 60))
	}
	if d.Message != "" {
		fmt.Fprintf(&b, ": %s", wire.Printable(d.Message, 300))
	}
	if d.PossibleDuplicate {
		b.WriteString(" [possible duplicate]")
	}
	return b.String()
}

func connectionLine(c wire.Connection) string {
	s := fmt.Sprintf("connection  %s, sending %s", c.State, c.Sending)
	if c.Reason != nil {
		s += fmt.Sprintf(": %s: %s", c.Reason.Code, wire.Printable(c.Reason.Message, 300))
	}
	if c.UserAction != "" && c.UserAction != "none" {
		s += " [" + c.UserAction + "]"
	}
	if c.Backlog.Messages > 0 {
		s += fmt.Sprintf(" (%d wait)", c.Backlog.Messages)
	}
	return s
}

func messageLine(m wire.Message) string {
	who := peerName(m.From)
	if m.Member != nil {
		who = peerName(*m.Member)
	}
	text := wire.Printable(m.Text, 300)
	if m.Kind != "text" {
		text = "[" + wire.Printable(m.Kind, 20) + "] " + text
	}
	return fmt.Sprintf("message     %s › %s: %s", peerName(m.Chat), who, text)
}

func peerName(p wire.Peer) string {
	for _, name := range []string{p.Remark, p.Name, p.ID} {
		if name != "" {
			return wire.Printable(name, 64)
		}
	}
	return "?"
}
