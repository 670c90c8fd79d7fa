package wire

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"
)

// canonical is the JSON of a command, in the contract's order, with defaults
// left out; ParseCommand reads it back to an equal command.
type canonical struct {
	ID        string          `json:"id,omitempty"`
	To        json.RawMessage `json:"to,omitempty"`
	Text      string          `json:"text,omitempty"`
	Image     *canonicalMedia `json:"image,omitempty"`
	File      *canonicalMedia `json:"file,omitempty"`
	Video     *canonicalMedia `json:"video,omitempty"`
	Voice     *canonicalMedia `json:"voice,omitempty"`
	Emoticon  *canonicalMedia `json:"emoticon,omitempty"`
	Link      *Link           `json:"link,omitempty"`
	Revoke    string          `json:"revoke,omitempty"`
	Mention   any             `json:"mention,omitempty"`
	TTL       string          `json:"ttl,omitempty"`
	ExpiresAt *time.Time      `json:"expires_at,omitempty"`
	Priority  string          `json:"priority,omitempty"`
	OnUnknown string          `json:"on_unknown,omitempty"`
}

type canonicalMedia struct {
	URL    string `json:"url,omitempty"`
	Object string `json:"object,omitempty"`
	Data   []byte `json:"data,omitempty"`
	Path   string `json:"path,omitempty"`
	Name   string `json:"name,omitempty"`
}

func (c *Command) canonical() canonical {
	out := canonical{ID: c.ID, To: c.ToJSON(), Text: c.Text, Link: c.Link, Revoke: c.Revoke}
	media := (*canonicalMedia)(c.Media)
	switch c.Kind {
	case KindImage:
		out.Image = media
	case KindFile:
		out.File = media
	case KindVideo:
		out.Video = media
	case KindVoice:
		out.Voice = media
	case KindEmoticon:
		out.Emoticon = media
	}
	if c.MentionAll {
		out.Mention = "all"
	} else if len(c.Mention) > 0 {
		out.Mention = c.Mention
	}
	if c.TTL > 0 {
		out.TTL = c.TTL.String()
	}
	if !c.ExpiresAt.IsZero() {
		at := c.ExpiresAt.UTC()
		out.ExpiresAt = &at
	}
	if c.Priority != PriorityNormal {
		out.Priority = c.Priority
	}
	if c.OnUnknown != OnUnknownResend {
		out.OnUnknown = c.OnUnknown
	}
	return out
}

// ToJSON is to as a user writes it, a list where it was one; nil where there
// is no recipient.
func (c *Command) ToJSON() json.RawMessage {
	if len(c.To) == 0 {
		return nil
	}
	if !c.List {
		return c.To[0].JSON()
	}
	list := make([]json.RawMessage, len(c.To))
	for i, r := range c.To {
		list[i] = r.JSON()
	}
	return encode(list)
}

// Digest is a short hash of everything but the id: two commands that ask for
// the same have the same one, however they were written.
func (c *Command) Digest() string {
	out := c.canonical()
	out.ID = ""
	sum := sha256.Sum256(encode(out))
	return hex.EncodeToString(sum[:16])
}

// encode is marshal for values that cannot fail.
func encode(v any) []byte {
	b, err := marshal(v)
	if err != nil {
		return nil
	}
	return b
}

// marshal is json.Marshal without escaping of <, > and &, which would make
// records hard to read in a terminal.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
