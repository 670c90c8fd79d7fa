package wire

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestIDs(t *testing.T) {
	for _, id := range []string{"a", "order.42", "a b", "*", ">", "wechat.>", "漢字", "😀", strings.Repeat("漢", 128), `"\`, "~x1"} {
		raw, err := json.Marshal(id)
		if err != nil {
			t.Fatal(err)
		}
		c, r := ParseCommand([]byte(with(`"id":`+string(raw))), "")
		if r != nil || c.ID != id {
			t.Errorf("%q: %v", id, r)
			continue
		}
		checkRoundTrip(t, c)
	}
}

func TestLargeCommands(t *testing.T) {
	text := strings.Repeat("漢", 100_000)
	c, r := ParseCommand([]byte(content(`"text":"`+text+`"`)), "")
	if r != nil || c.TextLen() != 100_000 {
		t.Fatalf("text of 100,000 characters: %v", r)
	}
	data := base64.StdEncoding.EncodeToString(make([]byte, 700<<10))
	if c, r = ParseCommand([]byte(content(`"file":{"data":"`+data+`"}`)), ""); r != nil || len(c.Media.Data) != 700<<10 {
		t.Fatalf("file of 700 KiB: %v", r)
	}
	var keys strings.Builder
	for i := range 50_000 {
		fmt.Fprintf(&keys, `"k%d":1,`, i)
	}
	if _, r = ParseCommand([]byte(`{`+keys.String()+`"to":"a"}`), ""); r == nil || r.Code != CodeUnknownField {
		t.Fatalf("50,000 unknown fields: %v", r)
	}
	if _, r = ParseCommand([]byte(`{"`+text+`":1}`), ""); r == nil || len(r.Message)+len(r.Field) > 4000 {
		t.Fatalf("the answer to a long field name is long")
	}
}

func TestDigestIsOfTheContent(t *testing.T) {
	parse := func(body string) string {
		c, r := ParseCommand([]byte(body), "")
		if r != nil {
			t.Fatal(r)
		}
		return c.Digest()
	}
	same := parse(`{"id":"a","to":"Alice","text":"hi"}`)
	if parse(`{"text":"h\u0069", "priority":"normal","to":"Alice","id":"b"}`) != same {
		t.Error("the same command written otherwise has another digest")
	}
	seen := map[string]string{same: "base"}
	for _, body := range []string{
		`{"to":"alice","text":"hi"}`, `{"to":["Alice"],"text":"hi"}`, `{"to":{"nickname":"Alice"},"text":"hi"}`,
		`{"to":"Alice","text":"ho"}`, with(`"ttl":"1h"`), with(`"on_unknown":"report"`), with(`"mention":"all"`),
		with(`"mention":["all"]`), content(`"file":{"data":"aGk="}`), content(`"image":{"data":"aGk="}`), `{"revoke":"hi"}`,
	} {
		d := parse(body)
		if other, ok := seen[d]; ok {
			t.Errorf("%s and %s have one digest", body, other)
		}
		seen[d] = body
	}
}

func TestExpiry(t *testing.T) {
	stored := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	const def, max = 72 * time.Hour, 6 * 24 * time.Hour
	for _, c := range []struct {
		name  string
		cmd   Command
		def   time.Duration
		want  time.Time
		field string
	}{
		{"default", Command{}, def, stored.Add(def), ""},
		{"default above the most", Command{}, 10 * max, stored.Add(max), ""},
		{"ttl", Command{TTL: time.Minute}, def, stored.Add(time.Minute), ""},
		{"longest ttl", Command{TTL: max}, def, stored.Add(max), ""},
		{"ttl too long", Command{TTL: max + 1}, def, time.Time{}, "ttl"},
		{"longest duration there is", Command{TTL: 1<<63 - 1}, def, time.Time{}, "ttl"},
		{"expires_at", Command{ExpiresAt: stored.Add(time.Hour)}, def, stored.Add(time.Hour), ""},
		{"in the past", Command{ExpiresAt: stored.Add(-time.Hour)}, def, stored.Add(-time.Hour), ""},
		{"expires_at too far", Command{ExpiresAt: stored.Add(max + 1)}, def, time.Time{}, "expires_at"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, r := c.cmd.Expiry(stored, c.def, max)
			if !got.Equal(c.want) || (r != nil) != (c.field != "") {
				t.Fatalf("got %v, %v", got, r)
			}
			if r != nil {
				checkRejection(t, r)
				if r.Code != CodeExpiryTooFar || r.Field != c.field {
					t.Errorf("got %v", r)
				}
			}
		})
	}
}

func TestRecipientDescribe(t *testing.T) {
	for want, r := range map[string]Recipient{
		`"Alice"`:            {Name: "Alice"},
		`remark "Boss"`:      {Remark: "Boss"},
		`room "Team"`:        {Room: "Team"},
		`id "@a"`:            {ID: "@a"},
		`friend "Bob"`:       {ID: "@b", Name: "Bob", Type: "friend"},
		`"a�[2J"`:            {Name: "a\x1b[2J"},
		"nobody":             {},
		`alias "wx_1"`:       {Alias: "wx_1"},
		`nickname "nick 漢字"`: {Nickname: "nick 漢字"},
	} {
		if got := r.Describe(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
