package wire

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func FuzzParseCommand(f *testing.F) {
	for _, seed := range []string{
		``, `null`, `[]`, `{}`, `{"id":"order-42","to":"文件传输助手","text":"hello"}`,
		`{"to":["a",{"room":"b"},{"type":"friend","id":"@a","name":"n"}],"text":"\ud83d\ude00","ttl":"1h","on_unknown":"report"}`,
		`{"to":"a","file":{"data":"aGk=","name":"a.txt"},"expires_at":"2026-11-24T18:00:00+08:00"}`,
		`{"to":"a","link":{"url":"https://a.b/?<&>","title":"t"},"mention":["b"]}`, `{"revoke":"a"}`,
		`{"to":"a","text":"\ud83d"}`, `{"to":"a","to":"b"}`, `{"to":"a","text":"b"}{`, "\xff",
	} {
		f.Add([]byte(seed), "")
		f.Add([]byte(seed), "msg-1")
	}
	f.Fuzz(func(t *testing.T, body []byte, msgID string) {
		c, r := ParseCommand(body, msgID)
		if (c == nil) == (r == nil) {
			t.Fatalf("%v, %v", c, r)
		}
		if r != nil {
			checkRejection(t, r)
			return
		}
		if !json.Valid(body) || c.ID != "" && !ValidID(c.ID) {
			t.Fatalf("accepted %q with id %q", body, c.ID)
		}
		checkRoundTrip(t, c)
	})
}

func FuzzOpen(f *testing.F) {
	good, err := SealDelivery(Delivery{Account: "default", ID: "a", State: Sent}, time.Unix(1, 0), "")
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{``, `null`, `{}`, string(good), `{"type":"wechat.delivery","data":{"id":"a","state":"new"}}`,
		`{"type":"wechat.delivery","data":null}`, `{"type":"wechat.delivery","data":[]}`, `{"type":1}`, "\xff"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if e, err := Open(body); err == nil && (e.Type == "" || len(e.Data) == 0) {
			t.Fatalf("opened %q", body)
		}
		if d, _, err := OpenDelivery(body); err == nil && (d.ID == "" || d.State == "") {
			t.Fatalf("opened %q", body)
		}
	})
}

func FuzzPrintable(f *testing.F) {
	for _, seed := range []string{"", "a\x1b[2J", "\u202ea", "e\u0301\ufe0f", "\xff\xfe", "a\r\nb"} {
		f.Add(seed, 10)
	}
	f.Fuzz(func(t *testing.T, s string, max int) {
		if max < 1 || max > 1000 {
			return
		}
		checkPrintable(t, s, max)
	})
}

// TestAnyCommandComesBack builds commands of all kinds, not only such as a
// fuzzer finds.
func TestAnyCommandComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawCommand(t)
		again, r := ParseCommand(encode(c.canonical()), "")
		if r != nil {
			t.Fatalf("%v\n%s", r, encode(c.canonical()))
		}
		if d := cmp.Diff(c, again); d != "" {
			t.Fatalf("%s\n%s", encode(c.canonical()), d)
		}
		if c.Digest() != again.Digest() {
			t.Fatal("the digest changed")
		}
	})
}

func drawCommand(t *rapid.T) *Command {
	c := &Command{
		ID:        rapid.SampledFrom([]string{"", "order-42", "漢字 *>.", `"\`}).Draw(t, "id"),
		Kind:      rapid.SampledFrom(kinds[:]).Draw(t, "kind"),
		Priority:  rapid.SampledFrom([]string{PriorityNormal, PriorityHigh}).Draw(t, "priority"),
		OnUnknown: rapid.SampledFrom([]string{OnUnknownResend, OnUnknownReport}).Draw(t, "on_unknown"),
	}
	c.To = rapid.SliceOfN(rapid.Custom(drawRecipient), 1, 5).Draw(t, "to")
	c.List = len(c.To) > 1
	drawContent(t, c)
	switch rapid.IntRange(0, 2).Draw(t, "expiry") {
	case 1:
		c.TTL = time.Duration(rapid.Int64Range(1, 1<<63-1).Draw(t, "ttl"))
	case 2:
		c.ExpiresAt = time.Unix(rapid.Int64Range(0, 200_000_000_000).Draw(t, "s"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns")).UTC()
	}
	return c
}

func drawContent(t *rapid.T, c *Command) {
	text := rapid.StringN(1, 50, -1)
	switch c.Kind {
	case KindText:
		c.Text = text.Filter(func(s string) bool { return strings.TrimSpace(s) != "" }).Draw(t, "text")
		c.MentionAll = rapid.Bool().Draw(t, "all")
		if !c.MentionAll && rapid.Bool().Draw(t, "some") {
			c.Mention = rapid.SliceOfN(text, 1, 3).Draw(t, "mention")
		}
	case KindLink:
		c.Link = &Link{URL: "https://a.b/" + rapid.StringMatching(`[a-z?&<>=%]{0,9}`).Filter(func(s string) bool { return !cutEscape(s) }).Draw(t, "url"),
			Title: text.Draw(t, "title"), Description: rapid.StringN(0, 20, -1).Draw(t, "description")}
	case KindRevoke:
		c.Revoke = "order-1"
		c.To, c.List = nil, false
	default:
		c.Media = &Media{Name: rapid.SampledFrom([]string{"", "a.txt", "漢 字.png"}).Draw(t, "name")}
		if rapid.Bool().Draw(t, "data") {
			c.Media.Data = rapid.SliceOfN(rapid.Byte(), 1, 100).Draw(t, "bytes")
		} else {
			c.Media.Object = rapid.StringMatching(`[a-z/]{1,20}`).Draw(t, "object")
		}
	}
}

// cutEscape tells of a % that is no escape, which no URL may have.
func cutEscape(s string) bool {
	for i := range s {
		if s[i] == '%' && (i+2 >= len(s) || !hexOf(s[i+1:i+3], 2)) {
			return true
		}
	}
	return false
}

func drawRecipient(t *rapid.T) Recipient {
	v := rapid.StringN(1, 30, -1).Filter(func(s string) bool { return strings.TrimSpace(s) != "" }).Draw(t, "value")
	return rapid.SampledFrom([]Recipient{
		{Name: v}, {ID: v}, {Remark: v}, {Nickname: v}, {Alias: v}, {Room: v},
		{Type: "friend", ID: v}, {Type: "room", Name: v}, {Type: "member", Name: v, Remark: v, ID: v},
	}).Draw(t, "recipient")
}
