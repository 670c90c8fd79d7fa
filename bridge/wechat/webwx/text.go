package webwx

import (
	"html"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// WeChat's own markup in a text. What a person typed is escaped, so these are
// found before the entities are undone, once, here.
var (
	emojiSpan = regexp.MustCompile(`<span class="emoji emoji([0-9a-fA-F]{2,40})"></span>`)
	lineBreak = regexp.MustCompile(`(?i)<br\s*/?>`)
	entity    = regexp.MustCompile(`&(#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z]{2,8});`)
)

// decodeText turns a content or a name as WeChat sends it into what the person
// wrote: line ends and emoji first, then the entities, each exactly once.
func decodeText(s string) string { return unescape(plain(s)) }

// plain replaces WeChat's own markup.
func plain(s string) string {
	if !strings.ContainsRune(s, '<') {
		return s
	}
	s = lineBreak.ReplaceAllString(s, "\n")
	return emojiSpan.ReplaceAllStringFunc(s, func(span string) string {
		return emoji(emojiSpan.FindStringSubmatch(span)[1])
	})
}

// unescape undoes entities once. Unlike html.UnescapeString it wants the
// semicolon: "a=1&copy=2" is part of many addresses.
func unescape(s string) string {
	if !strings.ContainsRune(s, '&') {
		return s
	}
	return entity.ReplaceAllStringFunc(s, html.UnescapeString)
}

// emoji gives the characters of a span's class: one code of 4 or 5 digits, or
// several of them after one another (flags, keycaps).
func emoji(hex string) string {
	var b strings.Builder
	for len(hex) > 0 {
		n := digits(len(hex), hex)
		v, err := strconv.ParseUint(hex[:n], 16, 32)
		if err != nil || v > utf8.MaxRune || !utf8.ValidRune(rune(v)) || v == 0 {
			return "[emoji]"
		}
		b.WriteRune(rune(v))
		hex = hex[n:]
	}
	return b.String()
}

// digits says how long the next code is: 5 where it begins with 1f (the
// pictures of plane 1), 2 for the base of a keycap, 4 otherwise.
func digits(left int, hex string) int {
	switch {
	case left <= 5:
		return left
	case strings.HasPrefix(strings.ToLower(hex), "1f"):
		return 5
	case left == 6 && strings.EqualFold(hex[2:], "20e3"):
		return 2
	}
	return 4
}

// speaker cuts the "@member:<br/>" that begins a content in a room.
func speaker(content string) (member, rest string) {
	id, rest, ok := strings.Cut(content, ":<br/>")
	if !ok || !strings.HasPrefix(id, "@") || len(id) > 100 || strings.ContainsAny(id, " <>&\n") {
		return "", content
	}
	return id, rest
}
