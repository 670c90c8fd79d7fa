package wechat

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// fold brings spellings together that a person cannot tell apart: outer
// spaces, emoji variation selectors (U+FE0E, U+FE0F), Unicode normal form.
func fold(s string) string {
	s = strings.TrimSpace(s)
	if ascii(s) {
		return s
	}
	s = strings.Map(func(r rune) rune {
		if r == '\uFE0E' || r == '\uFE0F' {
			return -1
		}
		return r
	}, s)
	return strings.TrimSpace(norm.NFC.String(s))
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
