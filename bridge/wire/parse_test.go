package wire

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// textTo puts a to in front of an otherwise good command.
func textTo(to string) string { return `{"to":` + to + `,"text":"hi"}` }

func with(field string) string { return `{"to":"Alice","text":"hi",` + field + `}` }

func content(field string) string { return `{"to":"Alice",` + field + `}` }

func TestBadCommands(t *testing.T) {
	long := strings.Repeat("x", 129)
	hundredOne := `["a"` + strings.Repeat(`,"a"`, 100) + `]`
	deep := strings.Repeat("[", 20000) + strings.Repeat("]", 20000)
	for _, c := range []struct{ name, body, code, field, nearest string }{
		{"empty", "", CodeEmptyCommand, "", ""},
		{"spaces", " \n\t", CodeEmptyCommand, "", ""},
		{"plain text", "hello", CodeNotJSON, "", ""},
		{"cut off", `{"to":"Alice"`, CodeNotJSON, "", ""},
		{"byte order mark", "\ufeff" + textTo(`"a"`), CodeNotJSON, "", ""},
		{"trailing object", textTo(`"a"`) + textTo(`"b"`), CodeNotJSON, "", ""},
		{"trailing garbage", textTo(`"a"`) + "}", CodeNotJSON, "", ""},
		{"too deep", deep, CodeNotJSON, "", ""},
		{"invalid UTF-8", `{"to":"Alice","text":"` + "\xff" + `"}`, CodeInvalidUTF8, "", ""},
		{"invalid UTF-8 before anything", "\xc0\xaf", CodeInvalidUTF8, "", ""},
		{"half a surrogate pair", content(`"text":"\ud83d"`), CodeInvalidUTF8, "", ""},
		{"surrogates the wrong way round", content(`"text":"\ude00\ud83d"`), CodeInvalidUTF8, "", ""},
		{"half a pair before an escape", content(`"text":"\ud83d\n"`), CodeInvalidUTF8, "", ""},
		{"array", `[{"to":"Alice","text":"hi"}]`, CodeNotAnObject, "", ""},
		{"null", "null", CodeNotAnObject, "", ""},
		{"number", "42", CodeNotAnObject, "", ""},
		{"string", `"hi"`, CodeNotAnObject, "", ""},

		{"unknown field", with(`"ttll":"1h"`), CodeUnknownField, "ttll", "ttl"},
		{"swapped letters", `{"to":"Alice","txet":"hi"}`, CodeUnknownField, "txet", "text"},
		{"other case", `{"To":"Alice","text":"hi"}`, CodeUnknownField, "To", "to"},
		{"another API's word", `{"to":"Alice","message":"hi"}`, CodeUnknownField, "message", "text"},
		{"another API's word, misspelled", `{"to":"Alice","mesage":"hi"}`, CodeUnknownField, "mesage", "text"},
		{"nothing near", with(`"qqqqqq":1`), CodeUnknownField, "qqqqqq", ""},
		{"empty key", with(`"":1`), CodeUnknownField, "", ""},
		{"unknown in to", textTo(`{"remrk":"a"}`), CodeUnknownField, "to.remrk", "remark"},
		{"unknown in list", textTo(`["a",{"rom":"a"}]`), CodeUnknownField, "to[1].rom", "room"},
		{"unknown in event peer", textTo(`{"type":"friend","nam":"a"}`), CodeUnknownField, "to.nam", "name"},
		{"name without type", textTo(`{"name":"a"}`), CodeUnknownField, "to.name", "nickname"},
		{"unknown in media", content(`"image":{"objct":"a"}`), CodeUnknownField, "image.objct", "object"},
		{"unknown in link", content(`"link":{"url":"https://a.b","titel":"x"}`), CodeUnknownField, "link.titel", "title"},
		{"escapes in a field's name", with(`"\u001b[31m":1`), CodeUnknownField, "�[31m", ""},
		{"twice", with(`"text":"ho"`), CodeDuplicateField, "text", ""},
		{"twice, escaped", with(`"t\u0065xt":"ho"`), CodeDuplicateField, "text", ""},
		{"twice in to", textTo(`{"id":"a","id":"b"}`), CodeDuplicateField, "to.id", ""},
		{"twice in media", content(`"file":{"object":"a","object":"b"}`), CodeDuplicateField, "file.object", ""},

		{"no to", `{"text":"hi"}`, CodeMissingField, "to", ""},
		{"to empty", textTo(`""`), CodeEmptyRecipient, "to", ""},
		{"to spaces", textTo(`"  "`), CodeEmptyRecipient, "to", ""},
		{"to number", textTo(`7`), CodeWrongType, "to", ""},
		{"to null", textTo(`null`), CodeWrongType, "to", ""},
		{"to true", textTo(`true`), CodeWrongType, "to", ""},
		{"to too long", textTo(`"` + strings.Repeat("x", 257) + `"`), CodeBadValue, "to", ""},
		{"to empty list", textTo(`[]`), CodeEmptyRecipient, "to", ""},
		{"to list with a number", textTo(`["a","b","c",4]`), CodeWrongType, "to[3]", ""},
		{"to list with an empty name", textTo(`["a",""]`), CodeEmptyRecipient, "to[1]", ""},
		{"to list in a list", textTo(`["a",["b"]]`), CodeWrongType, "to[1]", ""},
		{"to list of 101", textTo(hundredOne), CodeTooManyRecipients, "to", ""},
		{"to empty object", textTo(`{}`), CodeEmptyRecipient, "to", ""},
		{"to with two fields", textTo(`{"remark":"a","room":"b"}`), CodeBadRecipient, "to.room", ""},
		{"to with two fields in a list", textTo(`["a","b","c",{"id":"a","alias":"b"}]`), CodeBadRecipient, "to[3].alias", ""},
		{"to with an empty field", textTo(`{"room":""}`), CodeEmptyRecipient, "to.room", ""},
		{"to with a number in it", textTo(`{"room":1}`), CodeWrongType, "to.room", ""},
		{"event peer of no type", textTo(`{"type":"","id":"a"}`), CodeBadValue, "to.type", ""},
		{"event peer of unknown type", textTo(`{"type":"frend","id":"a"}`), CodeBadValue, "to.type", "friend"},
		{"event peer without names", textTo(`{"type":"friend","id":"","name":""}`), CodeEmptyRecipient, "to", ""},
		{"event peer with a number", textTo(`{"type":"friend","id":1}`), CodeWrongType, "to.id", ""},

		{"no content", `{"to":"Alice"}`, CodeNoContent, "", ""},
		{"two contents", content(`"text":"hi","image":{"object":"a"}`), CodeTwoContents, "image", ""},
		{"empty text", content(`"text":""`), CodeEmptyText, "text", ""},
		{"blank text", content(`"text":" \n\u3000 "`), CodeEmptyText, "text", ""},
		{"text number", content(`"text":1`), CodeWrongType, "text", ""},
		{"text null", content(`"text":null`), CodeWrongType, "text", ""},
		{"media as string", content(`"image":"a.png"`), CodeWrongType, "image", ""},
		{"media without source", content(`"image":{"name":"a.png"}`), CodeNoSource, "image", ""},
		{"media with two sources", content(`"file":{"object":"a","data":"aGk="}`), CodeTwoSources, "file.data", ""},
		{"media with url and path", content(`"file":{"url":"https://a.b","path":"/a"}`), CodeTwoSources, "file.path", ""},
		{"broken base64", content(`"file":{"data":"aGk"}`), CodeBadBase64, "file.data", ""},
		{"no base64", content(`"file":{"data":"<>"}`), CodeBadBase64, "file.data", ""},
		{"zero bytes", content(`"file":{"data":""}`), CodeEmptyFile, "file.data", ""},
		{"data number", content(`"file":{"data":1}`), CodeWrongType, "file.data", ""},
		{"object empty", content(`"file":{"object":""}`), CodeBadValue, "file.object", ""},
		{"object with control characters", content(`"file":{"object":"a\n"}`), CodeBadValue, "file.object", ""},
		{"name with folder", content(`"file":{"object":"a","name":"../a"}`), CodeBadName, "file.name", ""},
		{"name with backslash", content(`"file":{"object":"a","name":"a\\b"}`), CodeBadName, "file.name", ""},
		{"name dots", content(`"file":{"object":"a","name":".."}`), CodeBadName, "file.name", ""},
		{"name empty", content(`"file":{"object":"a","name":""}`), CodeBadName, "file.name", ""},
		{"name with control", content(`"file":{"object":"a","name":"a\u0000.txt"}`), CodeBadName, "file.name", ""},
		{"name with bidi", content(`"file":{"object":"a","name":"a\u202egpj.exe"}`), CodeBadName, "file.name", ""},
		{"name too long", content(`"file":{"object":"a","name":"` + strings.Repeat("漢", 86) + `"}`), CodeBadName, "file.name", ""},
		{"name number", content(`"file":{"object":"a","name":1}`), CodeWrongType, "file.name", ""},
		{"link number", content(`"link":1`), CodeWrongType, "link", ""},
		{"link without url", content(`"link":{"title":"a"}`), CodeMissingField, "link.url", ""},
		{"link to a script", content(`"link":"javascript:alert(1)"`), CodeBadURL, "link", ""},
		{"link without host", content(`"link":{"url":"https:///a"}`), CodeBadURL, "link.url", ""},
		{"link with control", content(`"link":"https://a.b/\n"`), CodeBadURL, "link", ""},
		{"link title number", content(`"link":{"url":"https://a.b","title":1}`), CodeWrongType, "link.title", ""},
		{"link title too long", content(`"link":{"url":"https://a.b","title":"` + strings.Repeat("x", 1025) + `"}`), CodeBadValue, "link.title", ""},
		{"revoke number", content(`"revoke":1`), CodeWrongType, "revoke", ""},
		{"revoke nothing", `{"revoke":""}`, CodeBadID, "revoke", ""},
		{"revoke from a list", `{"revoke":"a","to":["b"]}`, CodeBadValue, "to", ""},

		{"mention name", with(`"mention":"Bob"`), CodeBadValue, "mention", ""},
		{"mention number", with(`"mention":1`), CodeWrongType, "mention", ""},
		{"mention list with a number", with(`"mention":["a",1]`), CodeWrongType, "mention[1]", ""},
		{"mention list with an empty name", with(`"mention":[""]`), CodeBadValue, "mention[0]", ""},
		{"mention with an image", content(`"image":{"object":"a"},"mention":"all"`), CodeBadValue, "mention", ""},
		{"ttl number", with(`"ttl":90`), CodeWrongType, "ttl", ""},
		{"ttl without unit", with(`"ttl":"90"`), CodeBadValue, "ttl", ""},
		{"ttl zero", with(`"ttl":"0s"`), CodeBadValue, "ttl", ""},
		{"ttl negative", with(`"ttl":"-1h"`), CodeBadValue, "ttl", ""},
		{"ttl too large for a duration", with(`"ttl":"99999999h"`), CodeBadValue, "ttl", ""},
		{"expires_at without zone", with(`"expires_at":"2026-11-24T18:00:00"`), CodeBadValue, "expires_at", ""},
		{"expires_at number", with(`"expires_at":1764007200`), CodeWrongType, "expires_at", ""},
		{"expires_at in year 0", with(`"expires_at":"0000-01-01T00:00:00Z"`), CodeBadValue, "expires_at", ""},
		{"expires_at in year 10000", with(`"expires_at":"9999-12-31T23:59:59-10:00"`), CodeBadValue, "expires_at", ""},
		{"both expiries", with(`"ttl":"1h","expires_at":"2026-11-24T18:00:00Z"`), CodeTwoExpiries, "expires_at", ""},
		{"on_unknown", with(`"on_unknown":"resent"`), CodeBadValue, "on_unknown", "resend"},
		{"priority", with(`"priority":"hihg"`), CodeBadValue, "priority", "high"},
		{"priority number", with(`"priority":1`), CodeWrongType, "priority", ""},

		{"send_at", with(`"send_at":"2026-11-24T18:00:00Z"`), CodeNotSupportedYet, "send_at", ""},
		{"reply_to", with(`"reply_to":"1"`), CodeNotSupportedYet, "reply_to", ""},
		{"reply_to without to", `{"text":"hi","reply_to":"1"}`, CodeNotSupportedYet, "reply_to", ""},
		{"url", content(`"image":{"url":"https://a.b/c.png"}`), CodeNotSupportedYet, "image.url", ""},
		{"path", content(`"image":{"path":"c.png"}`), CodeNotSupportedYet, "image.path", ""},

		{"id empty", with(`"id":""`), CodeBadID, "id", ""},
		{"id too long", with(`"id":"` + long + `"`), CodeBadID, "id", ""},
		{"id with control", with(`"id":"a\u0007"`), CodeBadID, "id", ""},
		{"id with line break", with(`"id":"a\nb"`), CodeBadID, "id", ""},
		{"id with bidi", with(`"id":"a\u202eb"`), CodeBadID, "id", ""},
		{"id number", with(`"id":1`), CodeWrongType, "id", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd, r := ParseCommand([]byte(c.body), "")
			if r == nil {
				t.Fatalf("parsed as %+v", cmd)
			}
			if r.Code != c.code || r.Field != c.field || r.Nearest != c.nearest {
				t.Errorf("got %s, field %q, nearest %q; want %s, %q, %q\n%s", r.Code, r.Field, r.Nearest, c.code, c.field, c.nearest, r.Message)
			}
			checkRejection(t, r)
		})
	}
}

// checkRejection is what every rejection promises.
func checkRejection(t *testing.T, r *Rejection) {
	t.Helper()
	if r.Code == "" || r.Message == "" {
		t.Errorf("code %q, message %q", r.Code, r.Message)
	}
	if !strings.HasSuffix(r.Message, ".") && !strings.HasSuffix(r.Message, "?") {
		t.Errorf("no sentence: %s", r.Message)
	}
	for _, s := range []string{r.Message, r.Field} {
		if Printable(s, 1000) != s {
			t.Errorf("not printable or too long: %q", s)
		}
	}
	if r.ID != "" && !ValidID(r.ID) {
		t.Errorf("id %q", r.ID)
	}
}

func TestRejectionKeepsTheID(t *testing.T) {
	for _, c := range []struct{ name, body, msgID, id string }{
		{"own id", `{"id":"order-42","txt":"hi"}`, "", "order-42"},
		{"own id before the header", `{"id":"order-42","txt":"hi"}`, "m", "order-42"},
		{"header", `{"txt":"hi"}`, "m", "m"},
		{"header, no JSON", `hello`, "m", "m"},
		{"bad own id", `{"id":"","text":"hi"}`, "", ""},
		{"bad header", `hello`, "a\nb", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, r := ParseCommand([]byte(c.body), c.msgID)
			if r == nil || r.ID != c.id {
				t.Errorf("got %+v, want id %q", r, c.id)
			}
		})
	}
}

func TestMsgID(t *testing.T) {
	body := []byte(textTo(`"a"`))
	if c, r := ParseCommand(body, "m 1"); r != nil || c.ID != "m 1" {
		t.Errorf("got %v, %v", c, r)
	}
	if c, r := ParseCommand([]byte(with(`"id":"own"`)), strings.Repeat("x", 200)); r != nil || c.ID != "own" {
		t.Errorf("a header that is not used must not matter: %v, %v", c, r)
	}
	if _, r := ParseCommand(body, strings.Repeat("x", 129)); r == nil || r.Code != CodeBadID || r.Field != "Nats-Msg-Id" {
		t.Errorf("got %v", r)
	}
	if c, r := ParseCommand(body, ""); r != nil || c.ID != "" {
		t.Errorf("got %v, %v", c, r)
	}
}

func TestGoodCommands(t *testing.T) {
	text := func(to ...Recipient) *Command {
		return &Command{To: to, Kind: KindText, Text: "hi", OnUnknown: OnUnknownResend, Priority: PriorityNormal}
	}
	alice := Recipient{Name: "Alice"}
	media := func(k Kind, m Media) *Command {
		return &Command{To: []Recipient{alice}, Kind: k, Media: &m, OnUnknown: OnUnknownResend, Priority: PriorityNormal}
	}
	change := func(c *Command, f func(*Command)) *Command { f(c); return c }
	for _, c := range []struct {
		name, body string
		want       *Command
	}{
		{"the contract's example", `{"id":"order-42","to":"文件传输助手","text":"hello"}`,
			&Command{ID: "order-42", To: []Recipient{{Name: "文件传输助手"}}, Kind: KindText, Text: "hello", OnUnknown: OnUnknownResend, Priority: PriorityNormal}},
		{"spaces around", " \r\n" + textTo(`"Alice"`) + "\n", text(alice)},
		{"name as typed", textTo(`" Alice "`), text(Recipient{Name: " Alice "})},
		{"by id", textTo(`{"id":"@a"}`), text(Recipient{ID: "@a"})},
		{"by remark", textTo(`{"remark":"a"}`), text(Recipient{Remark: "a"})},
		{"by nickname", textTo(`{"nickname":"a"}`), text(Recipient{Nickname: "a"})},
		{"by alias", textTo(`{"alias":"a"}`), text(Recipient{Alias: "a"})},
		{"by room", textTo(`{"room":"a"}`), text(Recipient{Room: "a"})},
		{"event's chat", textTo(`{"id":"@@a","name":"Team","type":"room"}`), text(Recipient{ID: "@@a", Name: "Team", Type: "room"})},
		{"event's from", textTo(`{"id":"@a","name":"","remark":"Boss","type":"friend"}`), text(Recipient{ID: "@a", Remark: "Boss", Type: "friend"})},
		{"list", textTo(`["Alice",{"room":"Team"}]`), change(text(alice, Recipient{Room: "Team"}), func(c *Command) { c.List = true })},
		{"list of one", textTo(`["Alice"]`), change(text(alice), func(c *Command) { c.List = true })},
		{"emoji as pair", content(`"text":"\ud83d\ude00"`), change(text(alice), func(c *Command) { c.Text = "😀" })},
		{"backslashes", content(`"text":"\\ud83d \\\\"`), change(text(alice), func(c *Command) { c.Text = `\ud83d \\` })},
		{"image by object", content(`"image":{"object":"in/a.png"}`), media(KindImage, Media{Object: "in/a.png"})},
		{"file by data", content(`"file":{"data":"aGk=","name":"a b.txt"}`), media(KindFile, Media{Data: []byte("hi"), Name: "a b.txt"})},
		{"video", content(`"video":{"object":"v"}`), media(KindVideo, Media{Object: "v"})},
		{"voice", content(`"voice":{"object":"v"}`), media(KindVoice, Media{Object: "v"})},
		{"emoticon", content(`"emoticon":{"object":"v"}`), media(KindEmoticon, Media{Object: "v"})},
		{"link", content(`"link":{"url":"https://a.b/?c&d","title":"<T>","description":"D"}`),
			&Command{To: []Recipient{alice}, Kind: KindLink, Link: &Link{Title: "<T>", URL: "https://a.b/?c&d", Description: "D"}, OnUnknown: OnUnknownResend, Priority: PriorityNormal}},
		{"link as string", content(`"link":"http://a.b"`),
			&Command{To: []Recipient{alice}, Kind: KindLink, Link: &Link{URL: "http://a.b"}, OnUnknown: OnUnknownResend, Priority: PriorityNormal}},
		{"revoke", `{"revoke":"order 42"}`, &Command{Kind: KindRevoke, Revoke: "order 42", OnUnknown: OnUnknownResend, Priority: PriorityNormal}},
		{"revoke with to", content(`"revoke":"a"`), &Command{To: []Recipient{alice}, Kind: KindRevoke, Revoke: "a", OnUnknown: OnUnknownResend, Priority: PriorityNormal}},
		{"mention", with(`"mention":["Bob","all"]`), change(text(alice), func(c *Command) { c.Mention = []string{"Bob", "all"} })},
		{"mention nobody", with(`"mention":[]`), text(alice)},
		{"mention all", with(`"mention":"all"`), change(text(alice), func(c *Command) { c.MentionAll = true })},
		{"ttl", with(`"ttl":"1h30m"`), change(text(alice), func(c *Command) { c.TTL = 90 * time.Minute })},
		{"expires_at", with(`"expires_at":"2026-11-24T18:00:00+08:00"`),
			change(text(alice), func(c *Command) { c.ExpiresAt = time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC) })},
		{"priority normal", with(`"priority":"normal"`), text(alice)},
		{"priority high", with(`"priority":"high"`), change(text(alice), func(c *Command) { c.Priority = PriorityHigh })},
		{"on_unknown resend", with(`"on_unknown":"resend"`), text(alice)},
		{"on_unknown report", with(`"on_unknown":"report"`), change(text(alice), func(c *Command) { c.OnUnknown = OnUnknownReport })},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, r := ParseCommand([]byte(c.body), "")
			if r != nil {
				t.Fatal(r)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
			checkRoundTrip(t, got)
		})
	}
}

// checkRoundTrip is what every command promises.
func checkRoundTrip(t *testing.T, c *Command) {
	t.Helper()
	again, r := ParseCommand(encode(c.canonical()), "")
	if r != nil {
		t.Fatalf("its own JSON is refused: %v\n%s", r, encode(c.canonical()))
	}
	if d := cmp.Diff(c, again); d != "" {
		t.Errorf("%s\n%s", encode(c.canonical()), d)
	}
	if c.Digest() != again.Digest() {
		t.Error("the digest changed")
	}
}
