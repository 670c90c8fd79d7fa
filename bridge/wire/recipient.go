package wire

import (
	"encoding/json"
	"fmt"
	"strings"
)

var (
	peerTypes   = []string{"friend", "room", "service", "self", "helper", "member"}
	queryFields = []string{"id", "remark", "nickname", "alias", "room"}
	eventFields = []string{"id", "name", "remark", "type", "alias"}
)

func index(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

// readTo reads to in all its forms. A revoke may go without: it takes its
// recipient from the earlier send.
func (c *Command) readTo(o *object) *Rejection {
	raw, ok := o.get("to")
	switch {
	case !ok && c.Kind == KindRevoke:
		return nil
	case !ok:
		return reject(CodeMissingField, "to", "The command has no to: nobody to send it to.")
	case kindOf(raw) != '[':
		one, r := readRecipient(raw, "to", "a name, an object or a list of these")
		c.To = []Recipient{one}
		return r
	case c.Kind == KindRevoke:
		return reject(CodeBadValue, "to", "A revoke goes to one recipient; leave to out.")
	}
	return c.readToList(raw)
}

func (c *Command) readToList(raw json.RawMessage) *Rejection {
	list, r := readList(raw, "to")
	if r != nil {
		return r
	}
	if len(list) == 0 {
		return reject(CodeEmptyRecipient, "to", "to is an empty list.")
	}
	if len(list) > MaxRecipients {
		return reject(CodeTooManyRecipients, "to", "to has %d recipients; at most %d are allowed.", len(list), MaxRecipients)
	}
	c.List = true
	for i, v := range list {
		one, r := readRecipient(v, index("to", i), "a name or an object")
		if r != nil {
			return r
		}
		c.To = append(c.To, one)
	}
	return nil
}

func readRecipient(raw json.RawMessage, path, want string) (Recipient, *Rejection) {
	switch kindOf(raw) {
	case '"':
		return readName(raw, path)
	case '{':
		o, r := readObject(raw, path)
		if r != nil {
			return Recipient{}, r
		}
		if _, ok := o.get("type"); ok {
			return readEventPeer(o)
		}
		return readQuery(o)
	}
	return Recipient{}, wrongType(path, want, raw)
}

func readName(raw json.RawMessage, path string) (Recipient, *Rejection) {
	s, r := readString(raw, path, 0)
	if r == nil && strings.TrimSpace(s) == "" {
		r = reject(CodeEmptyRecipient, path, "%s is empty.", path)
	}
	if r == nil {
		s, r = readString(raw, path, maxName)
	}
	return Recipient{Name: s}, r
}

// readQuery reads {"remark":"…"} and its like.
func readQuery(o *object) (Recipient, *Rejection) {
	if r := o.only(queryFields...); r != nil {
		return Recipient{}, r
	}
	if len(o.fields) == 0 {
		return Recipient{}, reject(CodeEmptyRecipient, o.path, "%s is an empty object.", o.path)
	}
	if len(o.fields) > 1 {
		second := o.fields[1].name
		return Recipient{}, reject(CodeBadRecipient, o.at(second), "%s must have exactly one of %s, not both %s and %s.",
			o.path, strings.Join(queryFields, ", "), o.fields[0].name, second)
	}
	var out Recipient
	name := o.fields[0].name
	r := out.set(name, o.fields[0].raw, o.at(name), false)
	return out, r
}

// readEventPeer reads the chat or from of an event as it came: empty parts are
// fine, as long as one of them can find somebody.
func readEventPeer(o *object) (Recipient, *Rejection) {
	if r := o.only(eventFields...); r != nil {
		return Recipient{}, r
	}
	var out Recipient
	for _, f := range o.fields {
		if r := out.set(f.name, f.raw, o.at(f.name), true); r != nil {
			return Recipient{}, r
		}
	}
	raw, _ := o.get("type")
	if _, r := readWord(raw, o.at("type"), peerTypes...); r != nil {
		return Recipient{}, r
	}
	if out.ID == "" && out.Name == "" && out.Remark == "" {
		return Recipient{}, reject(CodeEmptyRecipient, o.path, "%s names nobody: id, name and remark are empty.", o.path)
	}
	return out, nil
}

func (r *Recipient) set(name string, raw json.RawMessage, path string, empty bool) *Rejection {
	s, rej := readString(raw, path, 0)
	if rej != nil || s == "" && empty {
		return rej
	}
	if strings.TrimSpace(s) == "" && !empty {
		return reject(CodeEmptyRecipient, path, "%s is empty.", path)
	}
	if _, rej = readString(raw, path, maxName); rej != nil {
		return rej
	}
	*map[string]*string{
		"name": &r.Name, "id": &r.ID, "remark": &r.Remark, "nickname": &r.Nickname,
		"alias": &r.Alias, "room": &r.Room, "type": &r.Type,
	}[name] = s
	return nil
}

// JSON is the recipient as a user writes it: a string for a bare name, else an
// object.
func (r Recipient) JSON() json.RawMessage {
	if r == (Recipient{Name: r.Name}) {
		return encode(r.Name)
	}
	return encode(r)
}

// Describe says in a few printable words who is meant, for people.
func (r Recipient) Describe() string {
	for _, p := range []struct{ label, value string }{
		{"", r.Name}, {"remark ", r.Remark}, {"nickname ", r.Nickname},
		{"alias ", r.Alias}, {"room ", r.Room}, {"id ", r.ID},
	} {
		if p.value == "" {
			continue
		}
		if r.Type != "" {
			p.label = Printable(r.Type, shownChars) + " "
		}
		return p.label + quoted(p.value)
	}
	return "nobody"
}
