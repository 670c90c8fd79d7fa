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
		fmt.Fprintf(p.t.out, "%s\n", plainJSON(oneLine(r.Body)))
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
		return describe(env, p.delivery)
	case wire.TypeConnection:
		return describe(env, p.connection)
	case wire.TypeMessage:
		return describe(env, p.message)
	case wire.TypeHeartbeat:
		return describe(env, p.heartbeat)
	case wire.TypeAlert:
		return describe(env, p.alert)
	}
	if line, ok := p.event(env); ok {
		return line
	}
	return fmt.Sprintf("%-11s %s", wire.Printable(strings.TrimPrefix(env.Type, "wechat."), 40), wire.Printable(string(env.Data), 300))
}

func describe[T any](env wire.Envelope, line func(T) string) string {
	var data T
	if err := json.Unmarshal(env.Data, &data); err != nil {
		return wire.Printable(string(env.Data), 300)
	}
	return line(data)
}

// label is the first column: what a line is about.
func (p printer) label(en, zh string) string { return pad(p.t.say(en, zh), 12) }

func (p printer) heartbeat(h wire.Heartbeat) string {
	say, word := p.t.say, func(s string) string { return p.t.word(wire.Printable(s, 20)) }
	return fmt.Sprintf(say("%s%s: process %s, connection %s, business %s, %d waiting", "%s%s：进程%s，连接%s，业务%s，%d 条等待中"),
		p.label("heartbeat", "心跳"), word(h.Status), word(h.Process), word(h.Connection), word(h.Business), h.Backlog.Messages)
}

// told is what a line shows of an alert; its text is in the alert's own language.
type told struct {
	Title string `json:"title"`
	Link  string `json:"link"`
}

func (p printer) alert(a told) string {
	line := p.label("alert", "通知") + wire.Printable(a.Title, 300)
	if a.Link != "" {
		line += " " + wire.Printable(a.Link, 200)
	}
	return line
}

func (p printer) delivery(d wire.Delivery) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s%s %s", p.label("delivery", "消息状态"), wire.Printable(d.ID, 128), p.t.word(wire.Printable(string(d.State), 20)))
	if d.Was != "" {
		fmt.Fprintf(&b, p.t.say(" (was %s)", "（原为%s）"), p.t.word(wire.Printable(string(d.Was), 20)))
	}
	if d.Attempt > 1 {
		fmt.Fprintf(&b, p.t.say(" (attempt %d)", "（第 %d 次）"), d.Attempt)
	}
	if d.MessageID != "" {
		fmt.Fprintf(&b, p.t.say(" as %s", "，微信编号 %s"), wire.Printable(d.MessageID, 40))
	}
	if d.Code != "" {
		fmt.Fprintf(&b, ": %s", wire.Printable(d.Code, 60))
	}
	if d.Field != "" {
		fmt.Fprintf(&b, p.t.say(" in %s", "，字段 %s"), wire.Printable(d.Field, 60))
	}
	if d.Message != "" {
		fmt.Fprintf(&b, ": %s", wire.Printable(d.Message, 300))
	}
	if d.Attribution == wire.Inferred {
		b.WriteString(p.t.say(" [this one or another to the same chat]", " [可能是同一聊天中的另一条]"))
	}
	if d.PossibleDuplicate {
		b.WriteString(p.t.say(" [possible duplicate]", " [可能重复]"))
	}
	if d.Degraded {
		b.WriteString(p.t.say(" [fallback channel]", " [备用通道]"))
	}
	if d.Nearest != "" && !strings.Contains(d.Message, "did you mean") {
		fmt.Fprintf(&b, p.t.say(" Did you mean %s?", " 是否想用 %s？"), wire.Printable(d.Nearest, 128))
	}
	return b.String()
}

func (p printer) connection(c wire.Connection) string {
	word := func(s string) string { return p.t.word(wire.Printable(s, 20)) }
	s := fmt.Sprintf(p.t.say("%s%s, sending %s", "%s%s，%s"), p.label("connection", "连接"), word(c.State), word(c.Sending))
	if c.Reason != nil {
		s += fmt.Sprintf(": %s: %s", wire.Printable(c.Reason.Code, 60), wire.Printable(p.t.say(c.Reason.Message, c.Reason.MessageZH), 300))
	}
	if todo := p.t.action(c.UserAction); todo != "" {
		s += p.t.say(" [you: ", " [需要你：") + wire.Printable(todo, 100) + "]"
	}
	if c.Backlog.Messages > 0 {
		s += fmt.Sprintf(p.t.say(" (%d waiting)", "（%d 条等待中）"), c.Backlog.Messages)
	}
	return s
}

func (p printer) message(m wire.Message) string {
	who := peerName(m.From)
	if m.Member != nil {
		who = peerName(*m.Member)
	}
	text := wire.Printable(m.Text, 300)
	if m.Kind != "text" {
		text = "[" + wire.Printable(m.Kind, 20) + "] " + text
	}
	return fmt.Sprintf("%s%s › %s: %s", p.label("message", "收到消息"), peerName(m.Chat), who, text)
}

func peerName(p wire.Peer) string {
	for _, name := range []string{p.Remark, p.Name, p.ID} {
		if name != "" {
			return wire.Printable(name, 64)
		}
	}
	return "?"
}
