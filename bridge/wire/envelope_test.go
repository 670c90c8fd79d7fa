package wire

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

var (
	noon = time.Date(2026, 11, 24, 12, 0, 0, 123_000_000, time.UTC)
	one  = time.Date(2026, 11, 24, 13, 0, 0, 0, time.UTC)
)

var (
	alice = Peer{ID: "@a1", Name: "Alice", Remark: "Boss", Type: "friend"}
	team  = Peer{ID: "@@t1", Name: "Team", Type: "room"}
)

// golden is one record or event of each type, with all its fields.
var golden = []struct {
	name string
	seal func() ([]byte, error)
	data any
}{
	{"delivery-sent", delivery(Delivery{
		Account: "default", ID: "order-42", State: Sent, Attempt: 2, To: Recipient{Name: "文件传输助手"}.JSON(),
		MessageID: "7231", Certain: true, PossibleDuplicate: true, AcceptedAt: &noon, FinishedAt: &one, ExpiresAt: &one,
		StreamSeq: 17, Epoch: 3, Digest: "8f14e45fceea167a", PeerID: "filehelper", TriedFor: 1234,
	}), &Delivery{}},
	{"delivery-waiting", delivery(Delivery{
		Account: "default", ID: "a b", State: Waiting, To: Recipient{Remark: "Boss <&>"}.JSON(), Class: "network", Code: "EAI_AGAIN",
		Message: "WeChat cannot be reached.", Degraded: true, RetryAt: &one, AcceptedAt: &noon, ExpiresAt: &one, StreamSeq: 18, Epoch: 3,
	}), &Delivery{}},
	{"delivery-rejected", delivery(Delivery{
		Account: "default", ID: "order-43", State: Rejected, Code: "ambiguous_recipient", Field: "to", Nearest: "Alice",
		Candidates: []Peer{alice}, Message: "Two peers have this name.", HelpURL: "https://example.org/e", Certain: true,
		FinishedAt: &one, StreamSeq: 19,
	}), &Delivery{}},
	{"delivery-corrected", delivery(Delivery{
		Account: "default", ID: "order-42", State: Corrected, Was: Sent, Attribution: Inferred, NoticeID: "7232", Attempt: 2, StreamSeq: 17, Deliveries: 3,
	}), &Delivery{}},
	{"connection", func() ([]byte, error) {
		return SealConnection(Connection{
			Account: "default", Transport: "webwx", Simulated: true, Abilities: []string{"text", "image"}, State: "awaiting_scan",
			Sending: "held", Since: noon, Reason: &Reason{Class: "session_expired", Code: "1101", Message: "WeChat ended the session.", MessageZH: "会话已结束。", Fix: "Scan.", FixZH: "请扫码。", HelpURL: "https://example.org/e"},
			UserAction: "scan_qr", Login: &Login{QRText: "https://login.weixin.qq.com/l/x", QRNumber: 1, ExpiresAt: one},
			Breaker: Breaker{State: "open", Since: &noon, Reason: "1101", Counts: Counts{Requests: 5, Successes: 2, Failures: 3, ConsecutiveFailures: 3}},
			Attempt: 4, RetryAt: &one, Backlog: Backlog{Messages: 9, OldestAgeMS: 60_000}, Identity: &Identity{Name: "Ann"}, InFlight: InFlight{1, 2, 8}, Pace: Pace{6, 20, &one, &one, 500, new(int)}, Logins: Logins{Left: 0, FreeAt: &one}, LastPulse: &noon, LastSent: &noon,
		}, one)
	}, &Connection{}},
	{"heartbeat", func() ([]byte, error) {
		return SealHeartbeat(Heartbeat{Account: "default", Status: "warn", Process: "pass", Connection: "pass", Business: "warn", Version: "1.0.0"}, one)
	}, &Heartbeat{}},
	{"message", func() ([]byte, error) {
		return SealMessage("7231", Message{
			Account: "default", Kind: "file", Text: "hi <b>", MessageID: "7231", From: alice, Chat: team, Member: &alice, Mentioned: true, SentAt: noon,
			Media: &EventMedia{Object: "in/7231", Name: "a.txt", Size: 2, MIME: "text/plain", SHA256: "8f43", State: MediaStored},
			Link:  &EventLink{Title: "T", Description: "D", URL: "https://a.b", App: "App"}, Card: &Card{ID: "@c", Name: "Carl", Alias: "c"},
			Quote: &Quote{MessageID: "7230", FromName: "Bob", Kind: "text", Text: "ho"}, Location: &Location{Latitude: 1.5, Longitude: -2.5, Label: "L", URL: "https://m"},
			Raw: json.RawMessage(`{"MsgType":49}`),
		}, noon)
	}, &Message{}},
	{"message-unknown", func() ([]byte, error) {
		return SealMessage("7232", Message{Account: "default", Kind: "unknown", ProtoType: 9998, MessageID: "7232", From: alice, Chat: alice, SentAt: noon}, noon)
	}, &Message{}},
	{"recall", func() ([]byte, error) {
		return SealRecall("r1", Recall{Account: "default", MessageID: "7231", By: alice, Chat: team, Text: "Alice recalled a message"}, noon)
	}, &Recall{}},
	{"friend", func() ([]byte, error) {
		return SealFriend("f1", FriendRequest{Account: "default", From: alice, Text: "hello"}, noon)
	}, &FriendRequest{}},
	{"room", func() ([]byte, error) {
		return SealChange(TypeRoom, "c1", Change{Account: "default", Action: "renamed", Peer: team, OldName: "Tea", By: &alice, Members: []Peer{alice}}, noon)
	}, &Change{}},
	{"contact", func() ([]byte, error) {
		return SealChange(TypeContact, "c2", Change{Account: "default", Action: "removed", Peer: alice}, noon)
	}, &Change{}},
	{"chat", func() ([]byte, error) {
		return SealChat("o1", Chat{Account: "default", Chat: alice, OpenUntil: &one, RepliesLeft: 5}, noon)
	}, &Chat{}},
	{"gap", func() ([]byte, error) {
		return SealGap("g1", Gap{Account: "default", From: noon, To: one, Reason: "logged_out"}, one)
	}, &Gap{}},
}

func delivery(d Delivery) func() ([]byte, error) {
	return func() ([]byte, error) { return SealDelivery(d, one, trace) }
}

func TestGoldenRecords(t *testing.T) {
	for _, g := range golden {
		t.Run(g.name, func(t *testing.T) {
			body, err := g.seal()
			if err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			if err := json.Indent(&got, body, "", "  "); err != nil {
				t.Fatal(err)
			}
			got.WriteByte('\n')
			file := filepath.Join("testdata", g.name+".json")
			if *update {
				if err := os.WriteFile(file, got.Bytes(), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), got.String()); d != "" {
				t.Errorf("the wire format changed (-update writes it anew):\n%s", d)
			}
			checkComesBack(t, body, g.data)
		})
	}
}

// checkComesBack opens an event, seals it again and expects the same bytes of
// data.
func checkComesBack(t *testing.T, body []byte, data any) {
	t.Helper()
	e, err := Open(body)
	if err != nil {
		t.Fatal(err)
	}
	if e.SpecVersion != "1.0" || e.Account() != "default" || e.DataContentType != "application/json" || e.ID == "" || e.Time.IsZero() {
		t.Errorf("envelope %+v", e)
	}
	fresh := reflect.New(reflect.TypeOf(data).Elem()).Interface()
	if _, err := OpenAs(body, e.Type, fresh); err != nil {
		t.Fatal(err)
	}
	again, err := marshal(fresh)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(e.Data), string(again)); d != "" {
		t.Error(d)
	}
}

func TestDeliveryComesBack(t *testing.T) {
	d := Delivery{Account: "a", ID: "x", State: Retrying, Attempt: 1, StreamSeq: 4, Epoch: 2, RetryAt: &one, To: json.RawMessage(`"漢"`)}
	body, err := SealDelivery(d, noon, trace)
	if err != nil {
		t.Fatal(err)
	}
	got, e, err := OpenDelivery(body)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(d, got); diff != "" {
		t.Error(diff)
	}
	if e.Traceparent != trace || !e.Time.Equal(noon) || e.Account() != "a" || e.Subject != "x" {
		t.Errorf("envelope %+v", e)
	}
}

func TestFinalFollowsTheState(t *testing.T) {
	for _, s := range []State{Accepted, Scheduled, Waiting, Sending, Retrying, Sent, Failed, Rejected, Expired, Cancelled, Unknown, Corrected} {
		body, err := SealDelivery(Delivery{Account: "a", ID: "x", State: s, Final: !s.Final()}, noon, "")
		if err != nil {
			t.Fatal(err)
		}
		if d, _, err := OpenDelivery(body); err != nil || d.Final != s.Final() {
			t.Errorf("%s: final %v, %v", s, d.Final, err)
		}
	}
}

func TestEventIDsOfDeliveries(t *testing.T) {
	id := func(d Delivery, at time.Time) string {
		body, err := SealDelivery(d, at, "")
		if err != nil {
			t.Fatal(err)
		}
		e, err := Open(body)
		if err != nil {
			t.Fatal(err)
		}
		return e.ID
	}
	base := Delivery{Account: "a", ID: "x", State: Waiting, Attempt: 1, StreamSeq: 4, Code: "held"}
	if id(base, noon) != id(base, one) {
		t.Error("the same record has two ids")
	}
	final := func(s State) Delivery { return Delivery{Account: "a", ID: "x", State: s, Attempt: 1, StreamSeq: 4} }
	late := final(Sent)
	late.FinishedAt, late.Epoch = &one, 9
	if id(final(Sent), noon) != id(late, noon) {
		t.Error("one final record, written by two workers, has two ids")
	}
	seen := map[string]bool{}
	change := func(f func(*Delivery)) Delivery { d := base; f(&d); return d }
	for _, d := range []Delivery{
		base, final(Sent), final(Corrected), final(Unknown),
		change(func(d *Delivery) { d.Code = "recipient_not_visible" }),
		change(func(d *Delivery) { d.Epoch = 2 }),
		change(func(d *Delivery) { d.Attempt = 2 }),
		change(func(d *Delivery) { d.StreamSeq = 5 }),
		change(func(d *Delivery) { d.State = Sending }),
		change(func(d *Delivery) { d.ID = "x~1" }),
		change(func(d *Delivery) { d.ID, d.State = "x.4.1", Sent }),
	} {
		v := id(d, noon)
		if seen[v] {
			t.Errorf("two records have the id %s", v)
		}
		seen[v] = true
	}
}

func TestConnectionToldAgainIsAnotherRecord(t *testing.T) {
	id := func(c Connection, at time.Time) string {
		body, err := SealConnection(c, at)
		if err != nil {
			t.Fatal(err)
		}
		e, err := Open(body)
		if err != nil {
			t.Fatal(err)
		}
		return e.ID
	}
	c := Connection{Account: "a", State: "connected"}
	if id(c, noon) == id(c, one) {
		t.Error("the daily repeat has the id of the first record")
	}
	if id(c, noon) == id(Connection{Account: "a", State: "stopped"}, noon) {
		t.Error("two states have one id")
	}
}

func TestSealIsStrict(t *testing.T) {
	for name, err := range map[string]error{
		"account": second(Seal("", TypeGap, "i", "", noon, "", 1)),
		"type":    second(Seal("a", "", "i", "", noon, "", 1)),
		"id":      second(Seal("a", TypeGap, "", "", noon, "", 1)),
		"time":    second(Seal("a", TypeGap, "i", "", time.Time{}, "", 1)),
		"year":    second(Seal("a", TypeGap, "i", "", time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC), "", 1)),
		"data":    second(Seal("a", TypeGap, "i", "", noon, "", make(chan int))),
		"to":      second(SealDelivery(Delivery{Account: "a", ID: "x", State: Sent, To: json.RawMessage("{")}, noon, "")),
		"state":   second(SealDelivery(Delivery{Account: "a", ID: "x"}, noon, "")),
		"no id":   second(SealDelivery(Delivery{Account: "a", State: Sent}, noon, "")),
	} {
		if err == nil {
			t.Errorf("without a good %s it is sealed", name)
		}
	}
}

func second(_ []byte, err error) error { return err }

func TestTrace(t *testing.T) {
	for s, want := range map[string]bool{
		trace: true, "": false, "x": false, strings.ToUpper(trace): false, trace + "-x": false,
		"01" + trace[2:]: false,
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01": false,
		"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01": false,
	} {
		if ValidTrace(s) != want {
			t.Errorf("ValidTrace(%q) = %v", s, !want)
		}
		body, err := Seal("a", TypeGap, "i", "", noon, s, 1)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(body, []byte("traceparent")) != want {
			t.Errorf("%q: %s", s, body)
		}
	}
}

func TestReadingIsTolerant(t *testing.T) {
	good := `{"type":"wechat.delivery","source":"wechat/b","new":[1],"data":{"id":"x","state":"teleported","new":{"a":1}}}`
	d, e, err := OpenDelivery([]byte(good))
	if err != nil || d.State != "teleported" || d.Final || e.Account() != "b" {
		t.Errorf("a newer worker's record: %+v, %v", d, err)
	}
	for _, bad := range []string{
		"", "null", "[]", "x", `{"type":"wechat.delivery"}`, `{"type":"wechat.delivery","data":null}`, `{"data":{}}`,
		`{"type":"wechat.delivery","data":{}}`, `{"type":"wechat.delivery","data":{"id":"x"}}`, `{"type":"wechat.delivery","data":[]}`,
		`{"type":"wechat.delivery","data":{"id":"x","state":1}}`, `{"type":"wechat.gap","data":{"id":"x","state":"sent"}}`,
		`{"type":"wechat.delivery","time":"yesterday","data":{"id":"x","state":"sent"}}`, "\xff\xfe",
	} {
		if d, _, err := OpenDelivery([]byte(bad)); err == nil {
			t.Errorf("%s opened as %+v", bad, d)
		}
	}
	for _, bad := range []string{`{"type":"x"}`, `{"type":"x","data":null}`, `{"data":1}`, "null"} {
		if e, err := Open([]byte(bad)); err == nil {
			t.Errorf("%s opened as %+v", bad, e)
		}
	}
}

func TestRecordsAreReadable(t *testing.T) {
	body, err := SealMessage("1", Message{Account: "a", Text: "<b> & 漢字"}, noon)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(body, []byte("<b> & 漢字")) {
		t.Errorf("escaped: %s", body)
	}
}
