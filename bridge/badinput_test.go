package bridge

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"wechat-bridge/bridge/sim"
	"wechat-bridge/bridge/sim/verify"
	"wechat-bridge/bridge/wire"
)

// bad is one command that must not go out.
type bad struct {
	name    string
	body    string
	code    string
	field   string
	nearest string
	id      string // where it can be read
}

func listOf(n int, who string) string {
	return "[" + strings.TrimSuffix(strings.Repeat(`"`+who+`",`, n), ",") + "]"
}

// badInputs are those of the issue, and their neighbours.
var badInputs = []bad{
	{name: "not JSON", body: `{"to":"filehelper","text":"hi"`, code: "not_json"},
	{name: "words", body: `hello`, code: "not_json"},
	{name: "something after it", body: `{"to":"filehelper","text":"hi"} x`, code: "not_json"},
	{name: "array", body: `[{"to":"filehelper","text":"hi"}]`, code: "not_an_object"},
	{name: "null", body: `null`, code: "not_an_object"},
	{name: "number", body: `42`, code: "not_an_object"},
	{name: "empty", body: ``, code: "empty_command"},
	{name: "spaces", body: " \n\t", code: "empty_command"},
	{name: "unknown field", body: `{"id":"b-field","too":"filehelper","text":"hi"}`, code: "unknown_field", field: "too", nearest: "to", id: "b-field"},
	{name: "synonym", body: `{"to":"filehelper","message":"hi"}`, code: "unknown_field", field: "message", nearest: "text"},
	{name: "double field", body: `{"to":"filehelper","text":"hi","text":"ho"}`, code: "duplicate_field", field: "text"},
	{name: "invalid UTF-8", body: "{\"id\":\"b-utf8\",\"to\":\"filehelper\",\"text\":\"\xff\xfe\"}", code: "invalid_utf8"},
	{name: "half a surrogate", body: `{"id":"b-half","to":"filehelper","text":"\ud83d"}`, code: "invalid_utf8"},

	{name: "no to", body: `{"text":"hi"}`, code: "missing_field", field: "to"},
	{name: "to empty", body: `{"to":"","text":"hi"}`, code: "empty_recipient", field: "to"},
	{name: "to spaces", body: `{"to":"  ","text":"hi"}`, code: "empty_recipient", field: "to"},
	{name: "to number", body: `{"to":7,"text":"hi"}`, code: "wrong_type", field: "to"},
	{name: "to null", body: `{"to":null,"text":"hi"}`, code: "wrong_type", field: "to"},
	{name: "to empty list", body: `{"to":[],"text":"hi"}`, code: "empty_recipient", field: "to"},
	{name: "list with a bad one", body: `{"to":["Alice",{"remark":""},"Bob"],"text":"hi"}`, code: "empty_recipient", field: "to[1].remark"},
	{name: "list with a number", body: `{"to":["Alice",3],"text":"hi"}`, code: "wrong_type", field: "to[1]"},
	{name: "list of 101", body: `{"to":` + listOf(101, "Alice") + `,"text":"hi"}`, code: "too_many_recipients", field: "to"},
	{name: "two ways", body: `{"to":{"remark":"a","room":"b"},"text":"hi"}`, code: "bad_recipient", field: "to.room"},

	{name: "two contents", body: `{"to":"filehelper","text":"hi","image":{"data":"aGk="}}`, code: "two_contents", field: "image"},
	{name: "no content", body: `{"to":"filehelper"}`, code: "no_content"},
	{name: "text of 0", body: `{"to":"filehelper","text":""}`, code: "empty_text", field: "text"},
	{name: "text of 100,000", body: `{"to":"filehelper","text":"` + strings.Repeat("漢", 100_000) + `"}`, code: "not_supported_yet", field: "text"},
	{name: "two sources", body: `{"to":"filehelper","image":{"data":"aGk=","object":"x"}}`, code: "two_sources", field: "image.data"},
	{name: "no source", body: `{"to":"filehelper","image":{}}`, code: "no_source", field: "image"},
	{name: "broken base64", body: `{"to":"filehelper","file":{"data":"a$b"}}`, code: "bad_base64", field: "file.data"},
	{name: "data of 0", body: `{"to":"filehelper","file":{"data":""}}`, code: "empty_file", field: "file.data"},
	{name: "folder in the name", body: `{"to":"filehelper","file":{"data":"aGk=","name":"../../etc/passwd"}}`, code: "bad_name", field: "file.name"},
	{name: "no such object", body: `{"to":"filehelper","file":{"object":"nowhere.bin"}}`, code: "object_unreadable", field: "file.object"},
	{name: "link to another bucket", body: `{"to":"filehelper","file":{"object":"sneaky"}}`, code: "object_unreadable", field: "file.object"},
	{name: "link to another object", body: `{"to":"filehelper","file":{"object":"alias"}}`, code: "object_unreadable", field: "file.object"},
	{name: "zero-byte object", body: `{"to":"filehelper","file":{"object":"nothing.bin"}}`, code: "empty_file", field: "file.object"},
	{name: "link without host", body: `{"to":"filehelper","link":{"url":"javascript:alert(1)"}}`, code: "bad_url", field: "link.url"},

	{name: "id of 129", body: `{"id":"` + strings.Repeat("x", 129) + `","to":"filehelper","text":"hi"}`, code: "bad_id", field: "id"},
	{name: "id of 0", body: `{"id":"","to":"filehelper","text":"hi"}`, code: "bad_id", field: "id"},
	{name: "id with a control character", body: `{"id":"a\u0007b","to":"filehelper","text":"hi"}`, code: "bad_id", field: "id"},
	{name: "id with a new line", body: `{"id":"a\nb","to":"filehelper","text":"hi"}`, code: "bad_id", field: "id"},
	{name: "id with bidi", body: `{"id":"a\u202eb","to":"filehelper","text":"hi"}`, code: "bad_id", field: "id"},
	{name: "id number", body: `{"id":5,"to":"filehelper","text":"hi"}`, code: "wrong_type", field: "id"},

	{name: "unknown recipient", body: `{"id":"b-nobody","to":"Alicf","text":"hi"}`, code: "unknown_recipient", field: "to", nearest: "Alice", id: "b-nobody"},
	{name: "ambiguous recipient", body: `{"id":"b-liwei","to":"李伟","text":"hi"}`, code: "ambiguous_recipient", field: "to", id: "b-liwei"},
	{name: "mention in no room", body: `{"to":"Alice","text":"hi","mention":["Bob"]}`, code: "not_a_room", field: "mention"},
	{name: "unknown member", body: `{"to":"Team","text":"hi","mention":["Bobb"]}`, code: "unknown_member", field: "mention[0]", nearest: "Bob"},
	{name: "revoke of nothing", body: `{"revoke":"never-sent"}`, code: "unknown_id", field: "revoke"},

	{name: "send_at", body: `{"to":"filehelper","text":"hi","send_at":"2030-01-01T00:00:00Z"}`, code: "not_supported_yet", field: "send_at"},
	{name: "priority urgent", body: `{"to":"filehelper","text":"hi","priority":"hihg"}`, code: "bad_value", field: "priority", nearest: "high"},
	{name: "reply_to", body: `{"reply_to":"123","text":"hi"}`, code: "not_supported_yet", field: "reply_to"},
	{name: "url", body: `{"to":"filehelper","image":{"url":"https://example.org/a.png"}}`, code: "not_supported_yet", field: "image.url"},
	{name: "path", body: `{"to":"filehelper","image":{"path":"/etc/passwd"}}`, code: "not_supported_yet", field: "image.path"},
	{name: "voice", body: `{"to":"filehelper","voice":{"data":"aGk="}}`, code: "unsupported_by_transport", field: "voice"},
	{name: "ttl", body: `{"to":"filehelper","text":"hi","ttl":"soon"}`, code: "bad_value", field: "ttl"},
	{name: "ttl too long", body: `{"to":"filehelper","text":"hi","ttl":"8760h"}`, code: "expiry_too_far", field: "ttl"},
	{name: "two expiries", body: `{"to":"filehelper","text":"hi","ttl":"1h","expires_at":"2030-01-01T00:00:00Z"}`, code: "two_expiries", field: "expires_at"},
	{name: "on_unknown", body: `{"to":"filehelper","text":"hi","on_unknown":"resned"}`, code: "bad_value", field: "on_unknown", nearest: "resend"},
}

// Each bad command ends in exactly one record that says why, and the next good
// one goes out at once, whatever came before.
func TestEachBadInputIsToldOnceAndHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	r := newRig(t, sim.Options{})
	r.cfg.RecipientWait = 500 * time.Millisecond
	r.start()
	r.awaitConnected()
	r.trickyObjects()

	seqs := map[uint64]bad{}
	for i, b := range badInputs {
		seqs[r.publish([]byte(b.body))] = b
		r.text(fmt.Sprintf("good-%d", i), "filehelper", "filehelper", fmt.Sprintf("after %s", b.name))
	}
	finals := map[uint64][]verify.Record{}
	r.eventually("each bad command has a final record", func() bool {
		clear(finals)
		for _, rec := range r.records() {
			if _, is := seqs[rec.StreamSeq]; is && rec.State.Final() {
				finals[rec.StreamSeq] = append(finals[rec.StreamSeq], rec)
			}
		}
		return len(finals) == len(seqs)
	})
	for seq, b := range seqs {
		b.check(r, finals[seq])
	}
	for i := range badInputs {
		d := r.final(fmt.Sprintf("good-%d", i))
		if took := d.FinishedAt.Sub(*d.AcceptedAt); d.State != wire.Sent || took > 10*time.Second {
			t.Errorf("the good command after %q: %s after %s", badInputs[i].name, d.State, took)
		}
	}
	if sent := r.sim.Sent(); len(sent) != len(badInputs) {
		t.Errorf("WeChat has %d messages, %d commands were good", len(sent), len(badInputs))
	}
}

func (b bad) check(r *rig, finals []verify.Record) {
	r.t.Helper()
	if len(finals) != 1 {
		r.t.Errorf("%s: %d final records", b.name, len(finals))
		return
	}
	d := finals[0]
	page, local := strings.CutPrefix(d.HelpURL, "http://"+r.info.HTTP)
	if status, _ := r.get(page); !local || status != http.StatusOK {
		r.t.Errorf("%s: help_url %q: %d", b.name, d.HelpURL, status)
	}
	if d.State != wire.Rejected || d.Code != b.code || d.Field != b.field || d.Message == "" || d.Class != "bad_request" || !d.Certain {
		r.t.Errorf("%s: %s, class %q, code %q (want %q), field %q (want %q), certain %v: %s",
			b.name, d.State, d.Class, d.Code, b.code, d.Field, b.field, d.Certain, d.Message)
	}
	if b.nearest != "" && !strings.Contains(d.Nearest, b.nearest) {
		r.t.Errorf("%s: nearest is %q, want %q", b.name, d.Nearest, b.nearest)
	}
	if b.id != "" && (d.ID != b.id || d.Key != b.id) {
		r.t.Errorf("%s: id %q, key %q", b.name, d.ID, d.Key)
	}
	if b.code == "ambiguous_recipient" && len(d.Candidates) != 2 {
		r.t.Errorf("%s: candidates %+v", b.name, d.Candidates)
	}
}

// trickyObjects puts what a guest can put into wechat_uploads.
func (r *rig) trickyObjects() {
	r.t.Helper()
	uploads := r.guestStore("wechat_uploads")
	if _, err := uploads.PutBytes("nothing.bin", nil); err != nil {
		r.t.Fatal(err)
	}
	plain, err := uploads.PutBytes("plain.bin", []byte("plain"))
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := uploads.AddLink("alias", plain); err != nil {
		r.t.Fatal(err)
	}
	// Clients refuse to link to what they cannot read: written by hand.
	meta := `{"name":"sneaky","bucket":"wechat_uploads","nuid":"SNEAKY","size":0,"mtime":"2026-01-01T00:00:00Z","options":{"link":{"bucket":"wechat_sessions","name":"default"}}}`
	subject := "$O.wechat_uploads.M." + base64.URLEncoding.EncodeToString([]byte("sneaky"))
	reply, err := r.nc.RequestMsg(&nats.Msg{Subject: subject, Data: []byte(meta), Header: nats.Header{"Nats-Rollup": {"sub"}}}, patience)
	if err != nil || strings.Contains(string(reply.Data), "error") {
		r.t.Fatalf("no link: %v, %+v", err, reply)
	}
}

// guestStore is an object store as a guest sees it.
func (r *rig) guestStore(bucket string) nats.ObjectStore {
	r.t.Helper()
	js, err := r.nc.JetStream(nats.MaxWait(patience))
	if err != nil {
		r.t.Fatal(err)
	}
	store, err := js.ObjectStore(bucket)
	if err != nil {
		r.t.Fatal(err)
	}
	return store
}

// Ids that are odd but allowed: each is a subject token of its own.
func TestOddIdsGoOut(t *testing.T) {
	t.Parallel()
	r := newRig(t, sim.Options{})
	r.start()
	r.awaitConnected()
	ids := []string{
		strings.Repeat("x", 128), strings.Repeat("漢", 128), "漢字", "a.b.c", "with space", "*", ">", "a.>", "$SYS", "~", "~ABC", "..", "a~1",
		`quote"and\slash`, "<b>&", "🐼", "A", "a", strings.Repeat("k", 64), strings.Repeat("k", 65),
	}
	for i, id := range ids {
		r.text(id, "filehelper", "filehelper", fmt.Sprintf("text %d", i))
	}
	report := r.reckon(0)
	if report.ByState[wire.Sent] != len(ids) || report.Accepted != len(ids) {
		t.Errorf("not all were sent:\n%s", report)
	}
	var keys []string
	for _, rec := range r.records() {
		keys = append(keys, rec.Key)
	}
	if slices.Sort(keys); len(slices.Compact(keys)) != len(ids) {
		t.Errorf("%d ids have %d chains", len(ids), len(slices.Compact(keys)))
	}
}

// The largest command that NATS takes, and the first one that it does not.
func TestLargestCommand(t *testing.T) {
	t.Parallel()
	r := newRig(t, sim.Options{})
	r.start()
	r.awaitConnected()
	command := func(id string, size int) []byte {
		head, tail := `{"id":"`+id+`","to":"filehelper","file":{"name":"big.bin","data":"`, `"}}`
		data := strings.Repeat("AAAA", (size-len(head)-len(tail))/4)
		return []byte(head + data + strings.Repeat(" ", size-len(head)-len(tail)-len(data)) + tail)
	}
	spaces := func(id string, size int) []byte {
		b := command(id, size)
		for n := strings.Count(string(b), " "); n > 0; n-- { // outside of the base64
			b = append([]byte(strings.Replace(string(b), " ", "", 1)), ' ')
		}
		return b
	}
	r.publish(spaces("big", 959<<10))
	if d := r.final("big"); d.State != wire.Sent {
		t.Errorf("959 KiB: %+v", d)
	}
	sent := r.sim.Sent()
	if len(sent) != 1 || sent[0].Media == nil || sent[0].Media.Size < 700<<10 || sent[0].Media.Name != "big.bin" {
		t.Errorf("WeChat has %+v", sent)
	}
	reply, err := r.nc.Request("wechat.send", spaces("bigger", 960<<10+1), patience)
	var ack struct{ Error *struct{ Code, ErrCode int } }
	if err != nil || json.Unmarshal(reply.Data, &ack) != nil || ack.Error == nil {
		t.Fatalf("above 960 KiB: %v, %s", err, reply.Data)
	}
	r.text("next", "filehelper", "filehelper", "next")
	if d := r.final("next"); d.State != wire.Sent {
		t.Errorf("the next one: %+v", d)
	}
	for _, rec := range r.records() {
		if rec.ID == "bigger" {
			t.Errorf("a record of what NATS refused: %+v", rec)
		}
	}
}
