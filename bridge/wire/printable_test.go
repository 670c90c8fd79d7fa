package wire

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestPrintable(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"plain", "Alice 漢字 é ñ Ω", "Alice 漢字 é ñ Ω"},
		{"escape sequence", "a\x1b[31mred\x1b[0m", "a�[31mred�[0m"},
		{"eight-bit escape", "a\u009b2J", "a�2J"},
		{"bell and backspace", "a\x07\x08", "a��"},
		{"nul and del", "\x00\x7f", "��"},
		{"line breaks", "a\nb\r\nc\rd\u2028e\u2029f\vg\u0085h", "a⏎b⏎c⏎d⏎e⏎f⏎g⏎h"},
		{"tab", "a\tb", "a b"},
		{"spaces of all kinds", "a\u00a0b\u3000c\u2003d", "a b c d"},
		{"bidi", "\u202eevil\u202c\u2066x\u2069\u200f", "evilx"},
		{"zero width", "pay\u200bpal\ufeff\u2060\u00ad", "paypal"},
		{"tags", "a\U000e0041\U000e007f", "a"},
		{"invisible selectors", "a\U000e0100\ufe00", "a"},
		{"blank letters", "\u3164\u115f\u2800", "   "},
		{"family emoji", "👨\u200d👩\u200d👧", "👨👩👧"},
		{"heart", "❤\ufe0f\ufe0f", "❤\ufe0f"},
		{"selector alone", "\ufe0fa", "a"},
		{"mark alone", "\u0301a", "a"},
		{"accent", "e\u0301", "e\u0301"},
		{"piled marks", "a" + strings.Repeat("\u0301", 50) + "b", "a" + strings.Repeat("\u0301", 4) + "b"},
		{"private use", "\ue415", "�"},
		{"broken UTF-8", "a\xffb\xc3", "a�b�"},
		{"surrogate bytes", "\xed\xa0\x80", "���"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Printable(c.in, 100); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			checkPrintable(t, c.in, 100)
		})
	}
}

func TestPrintableIsBounded(t *testing.T) {
	for _, c := range []struct {
		in   string
		max  int
		want string
	}{
		{"hello", 5, "hello"}, {"hello", 4, "hel…"}, {"hello", 1, "…"}, {"h", 1, "h"}, {"hello", 0, ""}, {"hello", -1, ""},
		{"漢字漢字", 3, "漢字…"}, {"ab\u200b", 2, "ab"}, {"", 3, ""}, {"e\u0301e\u0301", 3, "e\u0301…"},
	} {
		if got := Printable(c.in, c.max); got != c.want {
			t.Errorf("Printable(%q, %d) = %q, want %q", c.in, c.max, got, c.want)
		}
	}
}

// checkPrintable is what the filter promises for any text.
func checkPrintable(t interface{ Fatalf(string, ...any) }, s string, max int) {
	got := Printable(s, max)
	if utf8.RuneCountInString(got) > max || !utf8.ValidString(got) {
		t.Fatalf("Printable(%q, %d) = %q", s, max, got)
	}
	if again := Printable(got, max); again != got {
		t.Fatalf("twice: %q, then %q", got, again)
	}
	for _, r := range got {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Bidi_Control, r) ||
			unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r) || unicode.Is(unicode.Co, r) {
			t.Fatalf("%U came through in %q", r, got)
		}
	}
}

func TestPrintableForAnyText(t *testing.T) {
	nasty := rapid.SampledFrom([]rune("ab漢\n\r\t\x1b\x00\u009b\u0301\u202e\u2066\u200b\u200d\ufe0f\ufeff❤👨\u3164\u2028…�\ue000\U000e0041"))
	rapid.Check(t, func(t *rapid.T) {
		s := string(rapid.SliceOf(nasty).Draw(t, "s"))
		if rapid.Bool().Draw(t, "any") {
			s = string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"))
		}
		checkPrintable(t, s, rapid.IntRange(1, 40).Draw(t, "max"))
	})
}

// TestEveryCharacter goes through the planes that have characters: letters,
// pictures, ideographs (a sample) and format characters.
func TestEveryCharacter(t *testing.T) {
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if r > 0x1ffff && (r < 0xe0000 || r > 0xe0fff) && r%97 != 0 {
			continue
		}
		checkPrintable(t, "a"+string(r)+"b", 3)
	}
}
