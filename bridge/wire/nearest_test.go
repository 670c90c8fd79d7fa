package wire

import (
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	accounts := []string{"default", "sales", "support", "a", "shop-1", "shop-2"}
	for word, want := range map[string]string{
		"edfault":                      "default",
		"Default":                      "default",
		" sales":                       "sales",
		"sale":                         "sales",
		"suppor":                       "support",
		"shop-3":                       "shop-1",
		"a":                            "a",
		"b":                            "",
		"":                             "",
		"marketing":                    "",
		strings.Repeat("x", 1_000_000): "",
		strings.Repeat("漢", 70):        "",
		"\xff\xfe":                     "",
	} {
		if got := Nearest(word, accounts); got != want {
			t.Errorf("Nearest(%.20q) = %q, want %q", word, got, want)
		}
	}
	if got := Nearest("default", nil); got != "" {
		t.Errorf("nearest of none is %q", got)
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"a", "", 1}, {"", "abc", 3}, {"kitten", "sitting", 3}, {"txet", "text", 1}, {"ca", "abc", 3}, {"漢字", "漢子", 1},
	} {
		if got := distance([]rune(c.a), []rune(c.b)); got != c.want {
			t.Errorf("%s → %s: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
