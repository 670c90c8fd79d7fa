package outbox

import (
	"encoding/base64"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"wechat-bridge/classifier"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/bridge/wire"
)

// Each bad command ends as rejected with a code and the field, also while
// WeChat is away, and the next good one is accepted at once.
func TestBadCommands(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	for name, c := range map[string]struct{ body, key, code, field string }{
		"not JSON":            {`hello`, "", wire.CodeNotJSON, ""},
		"array":               {`[]`, "", wire.CodeNotAnObject, ""},
		"null":                {`null`, "", wire.CodeNotAnObject, ""},
		"empty":               {``, "", wire.CodeEmptyCommand, ""},
		"invalid UTF-8":       {"{\"id\":\"k\",\"to\":\"\xff\"}", "", wire.CodeInvalidUTF8, ""},
		"unknown field":       {`{"id":"k","to":"Alice","txt":"x"}`, "k", wire.CodeUnknownField, "txt"},
		"no to":               {`{"id":"k","text":"x"}`, "k", wire.CodeMissingField, "to"},
		"list with a bad one": {`{"id":"k","to":["Alice",7],"text":"x"}`, "k", wire.CodeWrongType, "to[1]"},
		"two contents":        {`{"id":"k","to":"Alice","text":"x","link":"http://e.org"}`, "k", wire.CodeTwoContents, ""},
		"no content":          {`{"id":"k","to":"Alice"}`, "k", wire.CodeNoContent, ""},
		"empty text":          {`{"id":"k","to":"Alice","text":""}`, "k", wire.CodeEmptyText, "text"},
		"long text":           {`{"id":"k","to":"Alice","text":"` + long + `"}`, "k", wire.CodeNotSupportedYet, "text"},
		"long by mentions":    {`{"id":"k","to":"Team","text":"` + long[:3990] + `","mention":["Alice","Bob"]}`, "k", wire.CodeNotSupportedYet, "text"},
		"long by all":         {`{"id":"k","to":"Team","text":"` + long[:3998] + `","mention":"all"}`, "k", wire.CodeNotSupportedYet, "text"},
		"long link":           {`{"id":"k","to":"Alice","link":{"title":"` + long[:990] + `","description":"` + long[:990] + `","url":"https://e.org/` + long[:2030] + `"}}`, "k", wire.CodeBadValue, "link"},
		"two sources":         {`{"id":"k","to":"Alice","image":{"data":"eA==","object":"o"}}`, "k", wire.CodeTwoSources, ""},
		"broken base64":       {`{"id":"k","to":"Alice","image":{"data":"%%"}}`, "k", wire.CodeBadBase64, "image.data"},
		"no such object":      {`{"id":"k","to":"Alice","image":{"object":"nope"}}`, "k", codeNoObject, "image.object"},
		"link to elsewhere":   {`{"id":"k","to":"Alice","image":{"object":"link"}}`, "k", codeNoObject, "image.object"},
		"empty object":        {`{"id":"k","to":"Alice","image":{"object":"zero"}}`, "k", wire.CodeEmptyFile, "image.object"},
		"large object":        {`{"id":"k","to":"Alice","image":{"object":"large"}}`, "k", codeTooLarge, "image.object"},
		"damaged object":      {`{"id":"k","to":"Alice","image":{"object":"damaged"}}`, "k", codeNoObject, "image.object"},
		"large data":          {`{"id":"k","to":"Alice","image":{"data":"` + base64.StdEncoding.EncodeToString(make([]byte, 2000)) + `"}}`, "k", codeTooLarge, "image.data"},
		"media by url":        {`{"id":"k","to":"Alice","image":{"url":"https://e.org/a.jpg"}}`, "k", wire.CodeNotSupportedYet, ""},
		"voice":               {`{"id":"k","to":"Alice","voice":{"object":"zero"}}`, "k", codeUnsupported, "voice"},
		"send_at":             {`{"id":"k","to":"Alice","text":"x","send_at":"2030-01-01T00:00:00Z"}`, "k", wire.CodeNotSupportedYet, "send_at"},
		"reply_to":            {`{"id":"k","reply_to":"m","text":"x"}`, "k", wire.CodeNotSupportedYet, "reply_to"},
		"ttl above horizon":   {`{"id":"k","to":"Alice","text":"x","ttl":"145h"}`, "k", wire.CodeExpiryTooFar, "ttl"},
		"id of 129":           {`{"id":"` + strings.Repeat("i", 129) + `","to":"Alice","text":"x"}`, "", wire.CodeBadID, "id"},
		"control in the id":   {`{"id":"a\u0000b","to":"Alice","text":"x"}`, "", wire.CodeBadID, "id"},
		"revoke of nothing":   {`{"id":"k","revoke":"never"}`, "k", codeUnknownID, "revoke"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.uploads["zero"], w.uploads["large"] = []byte{}, make([]byte, 2000)
				p := w.start(t, 1, func(p *process, c *Config) {
					c.Abilities.MaxBytes = map[wechat.Kind]int64{wechat.Image: 1000}
				})
				p.gate.set(false)
				w.publish(c.body)
				w.publish(text("good", "Alice", "good"))
				key := c.key
				if key == "" {
					key = wire.Key(wire.MadeID(1, time.Now()))
				}
				d := w.expect(t, key, wire.Rejected, 5*time.Second)
				if d.Code != c.code || c.field != "" && d.Field != c.field || d.Message == "" || !d.Final || d.StreamSeq != 1 {
					t.Errorf("%+v", d)
				}
				w.expect(t, "good", wire.Accepted, 5*time.Second)
				p.gate.set(true)
				w.drain(t, time.Minute)
				if len(w.chat.ledger) != 1 {
					t.Errorf("WeChat has %d messages, want the good one", len(w.chat.ledger))
				}
			})
		})
	}
}

// Ids of all kinds are accepted under the contract's key.
func TestOddIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.start(t, 1)
		ids := []string{"a.b", "a b", "*", ">", "漢字", "a~1", strings.Repeat("i", 128)}
		for _, id := range ids {
			w.publish(text(id, "Alice", "x"))
		}
		w.publish(`{"to":"Alice","text":"x"}`)
		w.publish(`{"to":"Alice","text":"y"}`, "by-header")
		w.drain(t, time.Minute)
		for _, id := range append(ids, "by-header") {
			if d := w.last(t, wire.Key(id)); d.State != wire.Sent || d.ID != id {
				t.Errorf("%q: %+v", id, d)
			}
		}
		if n := len(w.chat.ledger); n != len(ids)+2 {
			t.Errorf("WeChat has %d", n)
		}
	})
}

func TestIDRules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := w.start(t, 1)
		w.publish(text("a", "Alice", "one"))
		w.drain(t, time.Minute)
		w.publish(text("a", "Alice", "one"))
		w.publish(`{"text":"one","id":"a","to":"Alice","on_unknown":"resend"}`) // the same, written otherwise
		second := w.publish(text("a", "Alice", "two"))
		third := w.publish(`{"id":"a","to":"Alice"}`) // wrong, with an id in use
		w.publish(`{"id":"b"}`)
		w.publish(`{"id":"b","to":"Alice","text":"b"}`)
		w.publish(`{"id":"b","to":"Alice","text":"b"}`)
		w.drain(t, time.Minute)
		if got := w.states(t, "a"); len(got) != 3 {
			t.Errorf("the first chain was touched: %v", got)
		}
		for seq, code := range map[uint64]string{second: codeIDConflict, third: wire.CodeNoContent} {
			if d := w.last(t, fmt.Sprintf("a~x%d", seq)); d.State != wire.Rejected || d.Code != code || d.ID != "a" || d.StreamSeq != seq {
				t.Errorf("conflict: %+v", d)
			}
		}
		if got := w.states(t, "b"); !slices.Equal(got, []wire.State{wire.Rejected, wire.Accepted, wire.Sending, wire.Sent}) {
			t.Errorf("a rejected id used again: %v", got)
		}
		if got := w.chat.texts("@alice"); !slices.Equal(got, []string{"one", "b"}) {
			t.Errorf("WeChat has %v", got)
		}
		p.stop()
	})
}

func TestListOf100(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		var to []string
		w.start(t, 1, func(p *process, c *Config) {
			for i := range 100 {
				p.peers.Put(friend(fmt.Sprint("@f", i), fmt.Sprint("F", i)))
			}
		})
		for i := range 100 {
			to = append(to, fmt.Sprintf("%q", fmt.Sprint("F", i)))
		}
		w.publish(`{"id":"l","to":[` + strings.Join(to, ",") + `],"text":"x"}`)
		w.publish(`{"id":"m","to":["Alice","Carol","Bob"],"text":"x"}`)
		w.drain(t, time.Minute)
		d := w.last(t, "l")
		if got := w.states(t, "l"); !slices.Equal(got, []wire.State{wire.Accepted, wire.Sent}) || d.Deliveries != 100 || !strings.HasPrefix(string(d.To), "[") {
			t.Errorf("list: %v %+v", got, d)
		}
		if d := w.last(t, "l~100"); d.ID != "l~100" || d.State != wire.Sent || string(d.To) != `"F99"` {
			t.Errorf("part: %+v", d)
		}
		if d := w.last(t, "m"); d.State != wire.Failed || d.Code != codeListIncomplete || d.Deliveries != 3 {
			t.Errorf("a list with an ambiguous recipient: %+v", d)
		}
		if len(w.chat.ledger) != 102 {
			t.Errorf("WeChat has %d", len(w.chat.ledger))
		}
	})
}

func TestMedia(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.uploads["dir/cat.jpg"] = []byte("meow")
		w.start(t, 1)
		w.publish(`{"id":"o","to":"Alice","image":{"object":"dir/cat.jpg"}}`)
		w.publish(`{"id":"d","to":"Alice","file":{"data":"eHl6","name":"a.txt"}}`)
		w.publish(text("t", "Alice", "after"))
		w.drain(t, time.Minute)
		if len(w.chat.ledger) != 3 || w.chat.ledger[2].text != "after" {
			t.Fatalf("WeChat has %+v", w.chat.ledger)
		}
		for i, want := range []struct{ name, body string }{{"cat.jpg", "meow"}, {"a.txt", "xyz"}} {
			m := w.chat.ledger[i].out.Media
			r, err := m.Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			b := make([]byte, m.Size)
			r.Read(b)
			if m.Name != want.name || string(b) != want.body {
				t.Errorf("medium %d: %s %q", i, m.Name, b)
			}
		}
	})
}

// A medium that cannot be read while NATS is away is tried again, although to
// the transport it looks like a message that cannot be sent.
func TestMediumBreaksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.cut = 2
		w.chat.answer = func(out wechat.Outgoing) (bool, error) {
			r, err := out.Media.Open(t.Context())
			if err == nil {
				_, err = io.ReadAll(r)
			}
			if err != nil {
				return false, &classifier.Fault{Transport: classifier.WebWX, Op: classifier.OpUpload, Phase: classifier.PhasePrepare, Cause: err}
			}
			return true, nil
		}
		w.start(t, 1)
		w.publish(`{"id":"d","to":"Alice","file":{"data":"eHl6","name":"a.txt"}}`)
		w.drain(t, 5*time.Minute)
		if d := w.last(t, "d"); d.State != wire.Sent || d.Attempt != 3 || d.PossibleDuplicate || len(w.chat.ledger) != 1 {
			t.Errorf("%+v, WeChat has %d", d, len(w.chat.ledger))
		}
	})
}

// An object that takes long to copy holds up its own recipient only.
func TestSlowObject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.uploads["slow"] = []byte("zzz")
		w.start(t, 1)
		w.publish(`{"id":"s","to":"Alice","file":{"object":"slow"}}`)
		w.publish(text("a", "Alice", "a"))
		w.publish(text("b", "Bob", "b"))
		w.publish(text("l", "Bob", "l"))
		w.expect(t, "b", wire.Sent, time.Second)
		if s := w.last(t, "a").State; s != wire.Accepted {
			t.Errorf("the next one of the same recipient is %s", s)
		}
		w.drain(t, 5*time.Minute)
		if got := w.chat.texts("@alice"); !slices.Equal(got, []string{"", "a"}) {
			t.Errorf("order: %v", got)
		}
	})
}

func TestMentionAndLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.start(t, 1)
		w.publish(`{"id":"m","to":"Team","text":"hi","mention":["Alice","Bob"]}`)
		w.publish(`{"id":"all","to":"Team","text":"hi","mention":"all"}`)
		w.publish(`{"id":"no","to":"Team","text":"hi","mention":["Alise"]}`)
		w.publish(`{"id":"friend","to":"Alice","text":"hi","mention":["Bob"]}`)
		w.publish(`{"id":"link","to":"Team","link":{"title":"T","url":"https://e.org/"}}`)
		w.drain(t, time.Minute)
		if d := w.last(t, "no"); d.Code != codeUnknownMember || d.Field != "mention[0]" || d.Nearest != "Alice" || d.State != wire.Rejected {
			t.Errorf("unknown member: %+v", d)
		}
		if d := w.last(t, "friend"); d.Code != codeNoRoom || d.State != wire.Rejected {
			t.Errorf("mention outside a room: %+v", d)
		}
		l := w.chat.ledger
		if len(l) != 3 || len(l[0].out.Mention) != 2 || l[0].out.Mention[1].ID != "@bob" || !l[1].out.MentionAll || l[2].text != "T\nhttps://e.org/" {
			t.Errorf("WeChat has %+v", l)
		}
	})
}

// What is too long only with the names that WeChat knows is rejected when these
// are known, not failed by the transport; what just fits goes out.
func TestTextThatMentionsMakeTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.start(t, 1, func(p *process, _ *Config) {
			p.peers.Put(wechat.Peer{ID: "@long", Name: strings.Repeat("L", 30), Remark: "Al", Type: wechat.Friend})
			p.peers.PutMembers("@@team", []wechat.Peer{{ID: "@long", Name: strings.Repeat("L", 30), Type: wechat.Member}, {ID: "@bob", Name: "Bob", Type: wechat.Member}})
		})
		x := strings.Repeat("x", 4000)
		w.publish(`{"id":"remark","to":"Team","text":"` + x[:3980] + `","mention":["Al"]}`)
		w.publish(`{"id":"fits","to":"Team","text":"` + x[:3995] + `","mention":["Bob"]}`)
		w.publish(`{"id":"named","to":"Team","text":"` + x[:3996] + `@Bob","mention":["Bob"]}`)
		w.drain(t, time.Minute)
		if d := w.last(t, "remark"); d.State != wire.Rejected || d.Field != "text" {
			t.Errorf("%+v", d)
		}
		for _, key := range []string{"fits", "named"} {
			if d := w.last(t, key); d.State != wire.Sent {
				t.Errorf("%s: %+v", key, d)
			}
		}
	})
}

func TestRevoke(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.chat.takes = func(string) time.Duration { return time.Second }
		p := w.start(t, 1)
		w.publish(text("a", "Alice", "a"))
		w.publish(`{"id":"r","revoke":"a"}`) // before a is sent
		w.publish(`{"id":"l","to":["Alice","Bob"],"text":"l"}`)
		w.publish(`{"id":"r2","revoke":"l~2"}`)
		w.publish(`{"id":"r3","revoke":"l"}`)
		w.publish(text("c", "Carol", "c"))
		w.publish(`{"id":"r4","revoke":"c"}`)
		w.drain(t, time.Minute)
		for key, want := range map[string]string{"r": "", "r2": "", "r3": wire.CodeBadValue, "r4": codeAmbiguousTo} {
			if d := w.last(t, key); d.Code != want || (want == "") != (d.State == wire.Sent) {
				t.Errorf("%s: %+v", key, d)
			}
		}
		var revoked []string
		for _, m := range w.chat.ledger {
			if m.out.Kind == wechat.Revoke {
				revoked = append(revoked, m.peer+" "+m.out.Revoke)
			}
		}
		slices.Sort(revoked)
		if want := []string{"@alice " + w.last(t, "a").MessageID, "@bob " + w.last(t, "l~2").MessageID}; !slices.Equal(revoked, want) {
			t.Errorf("taken back: %v, want %v", revoked, want)
		}
		pass(3 * time.Minute)
		w.publish(`{"id":"r5","revoke":"a"}`)
		if d := w.expect(t, "r5", wire.Rejected, time.Minute); d.Code != codeTooLate {
			t.Errorf("too late: %+v", d)
		}
		p.stop()
	})
}

// A full buffer makes intake wait; nothing is lost.
func TestFullBuffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := w.start(t, 1, func(_ *process, c *Config) { c.MaxBuffer = 600 })
		p.gate.set(false)
		w.publish(text("first", "Alice", "x")) // finds the gate closed
		pass(time.Second)
		for _, n := range numbered("f", 2500) {
			w.publish(text(n, "Bob", n))
		}
		pass(time.Minute)
		if a, b, _ := w.left(); b > 1200 || a < 1000 {
			t.Errorf("%d in the buffer, %d unread", b, a)
		}
		w.mu.Lock()
		w.full = true // and now the stream itself refuses
		w.mu.Unlock()
		p.gate.set(true)
		pass(time.Minute)
		w.mu.Lock()
		w.full = false
		w.mu.Unlock()
		w.drain(t, time.Hour)
		if !slices.Equal(w.chat.texts("@bob"), numbered("f", 2500)) {
			t.Error("order or number is wrong")
		}
	})
}
