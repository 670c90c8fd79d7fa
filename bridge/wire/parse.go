package wire

import (
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"
)

// MaxRecipients is the length of a list of recipients.
const MaxRecipients = 100

// maxName bounds names of peers and members, in characters. WeChat's own
// limits are lower (a nickname 32, a room's topic about 50).
const maxName = 256

// kinds in the order in which the contract names them.
var kinds = [...]Kind{KindText, KindImage, KindFile, KindVideo, KindVoice, KindEmoticon, KindLink, KindRevoke}

// commandFields are all fields of a command, also those of later versions.
var commandFields = []string{
	"id", "to", "text", "image", "file", "video", "voice", "emoticon", "link", "revoke",
	"mention", "reply_to", "ttl", "expires_at", "send_at", "priority", "on_unknown",
}

// ParseCommand reads a send command as a user wrote it. msgID is the
// Nats-Msg-Id header, used as id where the command has none. What it returns
// is complete but for the id, which may be empty, and for limits that depend
// on the transport or the time: text length, expiry, what an object holds. A
// rejection's ID is set as far as it could be read. The result does not refer
// to body. It takes time and memory in proportion to the body.
func ParseCommand(body []byte, msgID string) (*Command, *Rejection) {
	c := &Command{OnUnknown: OnUnknownResend, Priority: PriorityNormal}
	if r := c.parse(body, msgID); r != nil {
		r.ID = c.ID
		return nil, r
	}
	return c, nil
}

func (c *Command) parse(body []byte, msgID string) *Rejection {
	if ValidID(msgID) {
		c.ID = msgID
	}
	if r := checkJSON(body); r != nil {
		return r
	}
	if kindOf(body) != '{' {
		return notAnObject(body)
	}
	o, r := readObject(body, "")
	if r != nil {
		return r
	}
	for _, step := range []func(*object) *Rejection{
		func(o *object) *Rejection { return c.readID(o, msgID) },
		func(o *object) *Rejection { return o.only(commandFields...) },
		later, c.readContent, c.readTo, c.readMention, c.readExpiry, c.readRest,
	} {
		if r := step(o); r != nil {
			return r
		}
	}
	return nil
}

func notAnObject(body []byte) *Rejection {
	r := wrongType("The command", "an object", body)
	r.Code, r.Field = CodeNotAnObject, ""
	return r
}

func (c *Command) readID(o *object, msgID string) *Rejection {
	field, id := "Nats-Msg-Id", msgID
	if raw, ok := o.get("id"); ok {
		var r *Rejection
		if id, r = readString(raw, "id", 0); r != nil {
			return r
		}
		field = "id"
	} else if msgID == "" {
		return nil
	}
	if !ValidID(id) {
		return reject(CodeBadID, field, "%s must have 1 to %d printable characters.", field, MaxID)
	}
	c.ID = id
	return nil
}

// readContent finds the one content; it goes before to, as a revoke needs none.
func (c *Command) readContent(o *object) *Rejection {
	var raw json.RawMessage
	for _, k := range kinds {
		v, ok := o.get(string(k))
		if !ok {
			continue
		}
		if c.Kind != "" {
			return reject(CodeTwoContents, string(k), "A command has one content, not both %s and %s.", string(c.Kind), string(k))
		}
		c.Kind, raw = k, v
	}
	switch c.Kind {
	case "":
		return reject(CodeNoContent, "", "The command has no content: one of text, image, file, video, voice, emoticon, link, revoke.")
	case KindText:
		return c.readText(raw)
	case KindLink:
		return c.readLink(raw)
	case KindRevoke:
		return c.readRevoke(raw)
	}
	return c.readMedia(raw)
}

func (c *Command) readText(raw json.RawMessage) (r *Rejection) {
	if c.Text, r = readString(raw, "text", 0); r == nil && strings.TrimSpace(c.Text) == "" {
		r = reject(CodeEmptyText, "text", "The text is empty.") // WeChat's clients send no blank text either
	}
	return r
}

func (c *Command) readRevoke(raw json.RawMessage) (r *Rejection) {
	if c.Revoke, r = readString(raw, "revoke", 0); r == nil && !ValidID(c.Revoke) {
		r = reject(CodeBadID, "revoke", "revoke must be the id of an earlier send.")
	}
	return r
}

func (c *Command) readMention(o *object) *Rejection {
	raw, ok := o.get("mention")
	if !ok {
		return nil
	}
	if c.Kind != KindText && c.Kind != KindLink {
		return reject(CodeBadValue, "mention", "mention goes with text or link, not with %s.", string(c.Kind))
	}
	if kindOf(raw) == '"' {
		s, r := readString(raw, "mention", 0)
		if r == nil && s != "all" {
			r = reject(CodeBadValue, "mention", `mention must be a list of names or "all".`)
		}
		c.MentionAll = true
		return r
	}
	list, r := readList(raw, "mention")
	if r != nil {
		return r
	}
	if len(list) > MaxRecipients {
		return reject(CodeBadValue, "mention", "mention has %d names; at most %d are allowed.", len(list), MaxRecipients)
	}
	for i, v := range list {
		name, r := readString(v, index("mention", i), maxName)
		if r != nil {
			return r
		}
		c.Mention = append(c.Mention, name)
	}
	return nil
}

func (c *Command) readExpiry(o *object) *Rejection {
	ttl, short := o.get("ttl")
	at, long := o.get("expires_at")
	switch {
	case short && long:
		return reject(CodeTwoExpiries, "expires_at", "A command has ttl or expires_at, not both.")
	case short:
		return c.readTTL(ttl)
	case long:
		return c.readExpiresAt(at)
	}
	return nil
}

func (c *Command) readTTL(raw json.RawMessage) *Rejection {
	s, r := readString(raw, "ttl", 0)
	if r != nil {
		return r
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return reject(CodeBadValue, "ttl", `ttl must be a duration above zero such as "90s" or "72h".`)
	}
	c.TTL = d
	return nil
}

func (c *Command) readExpiresAt(raw json.RawMessage) *Rejection {
	s, r := readString(raw, "expires_at", 0)
	if r != nil {
		return r
	}
	at, err := time.Parse(time.RFC3339, s)
	at = at.UTC()
	if err != nil || at.Year() < 1970 || at.Year() > 9999 {
		return reject(CodeBadValue, "expires_at", `expires_at must be a time such as "2026-11-24T18:00:00Z".`)
	}
	c.ExpiresAt = at
	return nil
}

// readRest reads on_unknown and priority.
func (c *Command) readRest(o *object) *Rejection {
	if raw, ok := o.get("on_unknown"); ok {
		s, r := readWord(raw, "on_unknown", OnUnknownResend, OnUnknownReport)
		if r != nil {
			return r
		}
		c.OnUnknown = s
	}
	if raw, ok := o.get("priority"); ok {
		s, r := readWord(raw, "priority", PriorityNormal, PriorityHigh)
		if r != nil {
			return r
		}
		c.Priority = s
	}
	return nil
}

// later refuses fields that a later version will read. It goes first, as
// reply_to will make to unnecessary.
func later(o *object) *Rejection {
	for _, name := range []string{"send_at", "reply_to"} {
		if _, ok := o.get(name); ok {
			return reject(CodeNotSupportedYet, name, "%s is not supported yet.", name)
		}
	}
	return nil
}

// readWord reads one of a few words.
func readWord(raw json.RawMessage, path string, words ...string) (string, *Rejection) {
	s, r := readString(raw, path, 0)
	if r != nil || contains(words, s) {
		return s, r
	}
	r = reject(CodeBadValue, path, "%s must be one of: %s.", path, strings.Join(words, ", "))
	r.Nearest = Nearest(s, words)
	return "", r
}

// TextLen is the length of the text in characters, 0 where there is none.
func (c *Command) TextLen() int { return utf8.RuneCountInString(c.Text) }

// Expiry is when a command that was stored at a time expires: by expires_at,
// else by ttl, else after def. Later than max after it was stored is refused;
// def above max counts as max. A time that has passed is no error.
func (c *Command) Expiry(stored time.Time, def, max time.Duration) (time.Time, *Rejection) {
	switch {
	case !c.ExpiresAt.IsZero():
		if c.ExpiresAt.After(stored.Add(max)) {
			return time.Time{}, tooFar("expires_at", max)
		}
		return c.ExpiresAt, nil
	case c.TTL > max:
		return time.Time{}, tooFar("ttl", max)
	case c.TTL > 0:
		return stored.Add(c.TTL), nil
	}
	return stored.Add(min(def, max)), nil
}

func tooFar(field string, max time.Duration) *Rejection {
	return reject(CodeExpiryTooFar, field, "%s is too far away: at most %s after the command is stored.", field, max.String())
}
