package sim

import (
	"encoding/xml"
	"fmt"
	"strings"
)

// escapeText puts text into the form that WeChat's JSON has: HTML-escaped, with
// <br/> for line ends and spans for emoji.
func escapeText(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	flag := rune(0) // first half of a national flag
	for _, r := range s {
		switch {
		case isFlagHalf(r) && flag == 0:
			flag = r
			continue
		case isFlagHalf(r):
			fmt.Fprintf(&b, `<span class="emoji emoji%x%x"></span>`, flag, r)
			flag = 0
			continue
		case flag != 0:
			b.WriteRune(flag)
			flag = 0
		}
		switch {
		case r == '&':
			b.WriteString("&amp;")
		case r == '<':
			b.WriteString("&lt;")
		case r == '>':
			b.WriteString("&gt;")
		case r == '\n':
			b.WriteString("<br/>")
		case isEmoji(r):
			fmt.Fprintf(&b, `<span class="emoji emoji%x"></span>`, r)
		default:
			b.WriteRune(r)
		}
	}
	if flag != 0 {
		b.WriteRune(flag)
	}
	return b.String()
}

// isFlagHalf: a national flag is two of these, in one span.
func isFlagHalf(r rune) bool { return r >= 0x1f1e6 && r <= 0x1f1ff }

// isEmoji covers the runes that WeChat writes as spans, more or less.
func isEmoji(r rune) bool {
	return r >= 0x1f300 && r <= 0x1f64f || r >= 0x1f680 && r <= 0x1f6ff || r >= 0x1f900 && r <= 0x1f9ff ||
		r >= 0x2600 && r <= 0x27bf
}

// escapeXML makes a value safe inside of XML.
func escapeXML(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder does not fail
	return b.String()
}

// xmlf formats XML; texts among the values are escaped. The result is escaped
// once more when it becomes a message's content, so their & arrives as &amp;amp;.
func xmlf(format string, values ...any) string {
	for i, v := range values {
		if s, ok := v.(string); ok {
			values[i] = escapeXML(s)
		}
	}
	return fmt.Sprintf(format, values...)
}
