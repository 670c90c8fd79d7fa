package wire

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestMadeID(t *testing.T) {
	at := time.Date(2026, 11, 24, 12, 0, 0, 1, time.UTC)
	id := MadeID(7, at)
	if id != MadeID(7, at.In(time.FixedZone("x", 3600))) {
		t.Error("the same stored message has another id in another time zone")
	}
	seen := map[string]bool{id: true}
	for _, other := range []string{MadeID(8, at), MadeID(7, at.Add(1)), MadeID(77, at), MadeID(7, time.Unix(0, -1)), MadeID(1<<64-1, at)} {
		if seen[other] {
			t.Errorf("%s is there twice", other)
		}
		seen[other] = true
		if Key(other) != other || !ValidID(other) {
			t.Errorf("%s is not its own key", other)
		}
	}
}

func TestKey(t *testing.T) {
	for id, want := range map[string]string{
		"order-42":              "order-42",
		"A_z":                   "A_z",
		strings.Repeat("x", 64): strings.Repeat("x", 64),
		strings.Repeat("x", 65): "~SU34L7PREBEC67KY2JPJ5VMD6U",
		"a.b":                   "~FZZTNXEOXKD66RZN6VUMGVECVP",
		"order-42~1":            "~2YCVZR6VWPCQ6OKCGCCD6L6GYU",
		"漢字":                    "~Y3JJO4JVSXJPKET3IOFKF3BMWM",
	} {
		if got := Key(id); got != want {
			t.Errorf("Key(%q) = %s, want %s: keys must never change, they are subjects of stored records", id, got, want)
		}
	}
}

func TestKeysAreOneTokenAndApart(t *testing.T) {
	token := regexp.MustCompile(`^(~[A-Z2-7]{26}|[A-Za-z0-9_-]{1,64})$`)
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.String().Draw(t, "a"), rapid.String().Draw(t, "b")
		if !token.MatchString(Key(a)) {
			t.Fatalf("Key(%q) = %s", a, Key(a))
		}
		if a != b && Key(a) == Key(b) {
			t.Fatalf("%q and %q share %s", a, b, Key(a))
		}
		n, seq := rapid.IntRange(1, 100).Draw(t, "n"), rapid.Uint64().Draw(t, "seq")
		part, conflict := PartKey(Key(a), n), ConflictKey(Key(a), seq)
		for _, k := range []string{part, conflict} {
			if k == Key(b) || k == Key(a) || strings.ContainsAny(k, ".*> \t") {
				t.Fatalf("%q is no key of its own", k)
			}
		}
		if part == conflict {
			t.Fatal("a part and a conflict share a key")
		}
	})
}

func TestPartID(t *testing.T) {
	if PartID("order 42", 3) != "order 42~3" || PartKey("k", 3) != "k~3" || ConflictKey("k", 9) != "k~x9" {
		t.Error("the contract's names changed")
	}
}

func TestValidID(t *testing.T) {
	for id, want := range map[string]bool{
		"": false, "a": true, " ": true, "a b": true, "*>.": true, "漢字": true, "é": true,
		strings.Repeat("漢", 128): true, strings.Repeat("漢", 129): false, strings.Repeat("x", 100_000): false,
		"a\x00": false, "\x7f": false, "a\u009b": false, "a\u202e": false, "a\u200b": false, "a\u00a0": false, "\xff": false,
	} {
		if ValidID(id) != want {
			t.Errorf("ValidID(%.20q) = %v", id, !want)
		}
	}
}
