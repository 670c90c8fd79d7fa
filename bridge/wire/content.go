package wire

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxFileName = 255  // bytes, as most file systems have it
	maxObject   = 1024 // characters of an object's name
	maxURL      = 8192 // characters
	maxTitle    = 1024 // characters of a link's title or description
)

var sources = []string{"url", "object", "data", "path"}

func (c *Command) readMedia(raw json.RawMessage) *Rejection {
	path := string(c.Kind)
	o, r := readObject(raw, path)
	if r != nil {
		return r
	}
	if r := o.only("url", "object", "data", "path", "name"); r != nil {
		return r
	}
	source, r := oneSource(o)
	if r != nil {
		return r
	}
	c.Media = &Media{}
	if r := c.Media.readName(o); r != nil {
		return r
	}
	return c.Media.readSource(o, source)
}

func oneSource(o *object) (string, *Rejection) {
	source := ""
	for _, s := range sources {
		if _, ok := o.get(s); !ok {
			continue
		}
		if source != "" {
			return "", reject(CodeTwoSources, o.at(s), "%s has one source, not both %s and %s.", o.path, source, s)
		}
		source = s
	}
	if source == "" {
		return "", reject(CodeNoSource, o.path, "%s has no source: one of %s.", o.path, strings.Join(sources, ", "))
	}
	return source, nil
}

func (m *Media) readSource(o *object, source string) *Rejection {
	raw, _ := o.get(source)
	path := o.at(source)
	switch source {
	case "data":
		return m.readData(raw, path)
	case "object":
		var r *Rejection
		m.Object, r = readString(raw, path, maxObject)
		if r == nil && strings.IndexFunc(m.Object, unicode.IsControl) >= 0 {
			r = reject(CodeBadValue, path, "%s has control characters.", path)
		}
		return r
	}
	return reject(CodeNotSupportedYet, path, "Media by %s are not supported yet; use object or data.", source)
}

func (m *Media) readData(raw json.RawMessage, path string) *Rejection {
	s, r := readString(raw, path, 0)
	if r != nil {
		return r
	}
	data, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return reject(CodeBadBase64, path, "%s is not base64 (standard alphabet, with padding).", path)
	}
	if len(data) == 0 {
		return reject(CodeEmptyFile, path, "%s has no bytes.", path)
	}
	m.Data = data
	return nil
}

func (m *Media) readName(o *object) *Rejection {
	raw, ok := o.get("name")
	if !ok {
		return nil
	}
	name, r := readString(raw, o.at("name"), 0)
	if r != nil {
		return r
	}
	if !ValidFileName(name) {
		return reject(CodeBadName, o.at("name"), "%s must be a file name without folder, of 1 to %d bytes, without control characters.", o.at("name"), maxFileName)
	}
	m.Name = name
	return nil
}

// ValidFileName reports whether s is the plain name of a file: 1 to 255 bytes,
// no folder, no control character, nothing that turns the direction of writing
// (which makes exe look like jpg).
func ValidFileName(s string) bool {
	if s == "." || s == ".." || strings.TrimSpace(s) == "" || len(s) > maxFileName || !utf8.ValidString(s) {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return r == '/' || r == '\\' || unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) ||
			r == '\u2028' || r == '\u2029'
	})
}

// readLink takes an object with url and optionally title and description, or
// the plain URL as a string.
func (c *Command) readLink(raw json.RawMessage) *Rejection {
	c.Link = &Link{}
	if kindOf(raw) == '"' {
		return c.Link.readURL(raw, "link")
	}
	if kindOf(raw) != '{' {
		return wrongType("link", "an object or a URL", raw)
	}
	o, r := readObject(raw, "link")
	if r != nil {
		return r
	}
	if r := o.only("title", "url", "description"); r != nil {
		return r
	}
	u, ok := o.get("url")
	if !ok {
		return reject(CodeMissingField, "link.url", "The link has no url.")
	}
	if r := c.Link.readURL(u, "link.url"); r != nil {
		return r
	}
	return c.Link.readWords(o)
}

func (l *Link) readWords(o *object) *Rejection {
	for _, f := range o.fields {
		if f.name == "url" {
			continue
		}
		s, r := readString(f.raw, o.at(f.name), 0)
		if r != nil {
			return r
		}
		if utf8.RuneCountInString(s) > maxTitle {
			return reject(CodeBadValue, o.at(f.name), "%s has more than %d characters.", o.at(f.name), maxTitle)
		}
		if f.name == "title" {
			l.Title = s
		} else {
			l.Description = s
		}
	}
	return nil
}

func (l *Link) readURL(raw json.RawMessage, path string) *Rejection {
	s, r := readString(raw, path, maxURL)
	if r != nil {
		return r
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return reject(CodeBadURL, path, "%s must be a whole http or https address.", path)
	}
	l.URL = s
	return nil
}
