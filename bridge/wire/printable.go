package wire

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	markNewline = '⏎' // a line break, visible: it cannot pretend to be output of ours
	markBad     = '�' // a control character or broken bytes
	maxMarks    = 4   // combining marks on one character, as much as writing needs
)

// Printable is the filter through which names and texts of strangers reach
// terminals, pages and alerts. The result is one line of at most max
// characters (cut ones end in …) that cannot move a cursor, start an escape
// sequence, turn the direction of writing, hide text or pile marks on the
// lines around it: line breaks become ⏎, other controls, broken UTF-8, private
// and unassigned characters �, every kind of space a plain one; bidi controls,
// zero-width and other format characters are dropped. It does not escape HTML.
// Filtering twice changes nothing.
func Printable(s string, max int) string {
	if max < 1 {
		return ""
	}
	f := filter{max: max}
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == '\r' && strings.HasPrefix(s[i+1:], "\n") {
			n++
		}
		i += n
		if !f.add(r) {
			return f.cut()
		}
	}
	return f.b.String()
}

// filter is the state of one Printable.
type filter struct {
	max   int
	b     strings.Builder
	count int  // characters so far
	end   int  // bytes up to the last but one character, where a cut goes
	base  bool // a mark has something to stand on
	marks int  // on that
	vs    bool // it has its variation selector
}

// add reports false when there is no room left.
func (f *filter) add(r rune) bool {
	r = shown(r)
	switch {
	case r < 0:
		return true
	case r == '\uFE0E' || r == '\uFE0F':
		if !f.base || f.vs {
			return true
		}
		f.vs = true
	case unicode.Is(unicode.M, r):
		if !f.base || f.marks == maxMarks {
			return true
		}
		f.marks++
	default:
		f.base, f.marks, f.vs = true, 0, false
	}
	if f.count == f.max {
		return false
	}
	if f.count == f.max-1 {
		f.end = f.b.Len()
	}
	f.count++
	f.b.WriteRune(r)
	return true
}

func (f *filter) cut() string { return f.b.String()[:f.end] + "…" }

// shown is what one character becomes; -1 is nothing.
func shown(r rune) rune {
	switch {
	case r == '\n' || r == '\r' || r == '\v' || r == '\f' || r == '\u0085' || r == '\u2028' || r == '\u2029':
		return markNewline
	case r == '\t' || unicode.Is(unicode.Zs, r) || blank(r):
		return ' '
	case r == '\uFE0E' || r == '\uFE0F':
		return r
	case unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Variation_Selector, r) ||
		unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r):
		return -1
	case !unicode.IsPrint(r):
		return markBad
	}
	return r
}

// blank are characters that look like nothing, yet count as letters or symbols.
func blank(r rune) bool {
	switch r {
	case '\u115F', '\u1160', '\u3164', '\uFFA0', '\u2800':
		return true
	}
	return false
}
