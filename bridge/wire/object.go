package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// field is one member of a JSON object, undecoded.
type field struct {
	name string
	raw  json.RawMessage
}

// object is a JSON object as it was written, in order.
type object struct {
	path   string // "" for the command itself, else such as to[3]
	fields []field
}

func (o *object) get(name string) (json.RawMessage, bool) {
	for _, f := range o.fields {
		if f.name == name {
			return f.raw, true
		}
	}
	return nil, false
}

func (o *object) at(name string) string {
	if o.path == "" {
		return name
	}
	return o.path + "." + name
}

// readObject reads one level of an object; encoding/json alone would take the
// last of two equal keys and any spelling of a key. The bytes are known to be
// valid JSON.
func readObject(raw json.RawMessage, path string) (*object, *Rejection) {
	if kindOf(raw) != '{' {
		return nil, wrongType(path, "an object", raw)
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	o := &object{path: path}
	if _, err := dec.Token(); err != nil {
		return nil, notJSON(err)
	}
	seen := map[string]bool{}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, notJSON(err)
		}
		f := field{name: name.(string)}
		if err := dec.Decode(&f.raw); err != nil {
			return nil, notJSON(err)
		}
		if seen[f.name] {
			return nil, reject(CodeDuplicateField, o.at(f.name), "%s is there twice.", o.at(f.name))
		}
		seen[f.name] = true
		o.fields = append(o.fields, f)
	}
	return o, nil
}

// only refuses fields that are not known.
func (o *object) only(known ...string) *Rejection {
	for _, f := range o.fields {
		if contains(known, f.name) {
			continue
		}
		r := reject(CodeUnknownField, o.at(f.name), "There is no field %s.", quoted(o.at(f.name)))
		r.Nearest = nearestField(f.name, known)
		if r.Nearest != "" {
			r.Message = fmt.Sprintf("There is no field %s; did you mean %s?", quoted(o.at(f.name)), r.Nearest)
		}
		return r
	}
	return nil
}

// readString reads a string that has to have 1 to max characters; max 0 is no
// limit but that of the command, and lets an empty one pass.
func readString(raw json.RawMessage, path string, max int) (string, *Rejection) {
	if kindOf(raw) != '"' {
		return "", wrongType(path, "a string", raw)
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return "", notJSON(err)
	}
	if max == 0 {
		return s, nil
	}
	if s == "" {
		return "", reject(CodeBadValue, path, "%s is empty.", path)
	}
	if n := utf8.RuneCountInString(s); n > max {
		return "", reject(CodeBadValue, path, "%s has %d characters; at most %d are allowed.", path, n, max)
	}
	return s, nil
}

// readList reads one level of an array.
func readList(raw json.RawMessage, path string) ([]json.RawMessage, *Rejection) {
	if kindOf(raw) != '[' {
		return nil, wrongType(path, "a list", raw)
	}
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, notJSON(err)
	}
	return list, nil
}

// kindOf is the first character of a JSON value.
func kindOf(raw json.RawMessage) byte {
	raw = bytes.TrimLeft(raw, " \t\r\n")
	if len(raw) == 0 {
		return 0
	}
	return raw[0]
}

func wrongType(path, want string, raw json.RawMessage) *Rejection {
	got := "a number"
	switch kindOf(raw) {
	case '"':
		got = "a string"
	case '{':
		got = "an object"
	case '[':
		got = "a list"
	case 't', 'f':
		got = "true or false"
	case 'n':
		return reject(CodeWrongType, path, "%s must be %s, not null; leave a field out that has no value.", path, want)
	}
	return reject(CodeWrongType, path, "%s must be %s, not %s.", path, want, got)
}

func notJSON(err error) *Rejection {
	return reject(CodeNotJSON, "", "The command is not JSON: %s.", strings.TrimSuffix(err.Error(), "."))
}

// checkJSON refuses what is no JSON value on its own, with the reason.
func checkJSON(body []byte) *Rejection {
	if len(bytes.TrimLeft(body, " \t\r\n")) == 0 {
		return reject(CodeEmptyCommand, "", `The command is empty; it has to be JSON such as {"to":"filehelper","text":"hi"}.`)
	}
	if !utf8.Valid(body) {
		return reject(CodeInvalidUTF8, "", "The command is not valid UTF-8, at byte %d.", invalidAt(body))
	}
	if json.Valid(body) {
		return checkEscapes(body)
	}
	var v json.RawMessage
	dec := json.NewDecoder(bytes.NewReader(body))
	err := dec.Decode(&v)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return reject(CodeNotJSON, "", "The command is not JSON: it ends too early.")
	}
	if err != nil {
		return notJSON(err)
	}
	return reject(CodeNotJSON, "", "There is something after the JSON, at byte %d.", dec.InputOffset())
}

// invalidAt is the place of the first byte that is no UTF-8.
func invalidAt(b []byte) int {
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return len(b)
}

// checkEscapes refuses half of a surrogate pair, which encoding/json would
// silently replace: two ids could become one. The bytes are valid JSON, so a
// backslash is always the start of an escape.
func checkEscapes(body []byte) *Rejection {
	for i := bytes.IndexByte(body, '\\'); i >= 0; {
		n := 2
		if r := escaped(body[i:]); utf16.IsSurrogate(r) {
			if utf16.DecodeRune(r, escaped(body[i+6:])) == utf8.RuneError {
				return reject(CodeInvalidUTF8, "", `The command has half of a surrogate pair, %s.`, body[i:i+6])
			}
			n = 12
		}
		next := bytes.IndexByte(body[i+n:], '\\')
		if next < 0 {
			return nil
		}
		i += n + next
	}
	return nil
}

// escaped is the code unit of a \uXXXX at the start of b, or -1.
func escaped(b []byte) rune {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return -1
	}
	n, err := strconv.ParseUint(string(b[2:6]), 16, 16)
	if err != nil {
		return -1
	}
	return rune(n)
}
