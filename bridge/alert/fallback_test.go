package alert

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"wechat-bridge/bridge/wire"
)

func fallbackOver(channels ...*fake) *Alerter {
	ways := []way{{channel: &fake{send: func(int, Message) error { panic("for alerts only") }}, name: "0", alerts: true}}
	for i, c := range channels {
		ways = append(ways, way{channel: c, name: string(rune('a' + i)), fallback: true})
	}
	return alerterOver(zerolog.Nop(), nil, ways...)
}

func TestFallback(t *testing.T) {
	no := func(int, Message) error { return &Failure{Reason: ReasonStatus, Status: 500} }
	hang := func(int, Message) error { return errHang }
	tests := []struct {
		name     string
		channels []*fake
		want     error
		taken    string // the channels that took it
	}{
		{"none", nil, ErrNoFallback, ""},
		{"all", []*fake{{}, {}}, nil, "ab"},
		{"one of two", []*fake{{send: no}, {}}, nil, "b"},
		{"one hangs", []*fake{{}, {send: hang}}, nil, "a"},
		{"no one", []*fake{{send: no}, {send: no}}, ErrNotTaken, ""},
		{"perhaps one", []*fake{{send: no}, {send: hang}}, ErrInDoubt, ""},
	}
	for _, test := range tests {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			results, err := fallbackOver(test.channels...).Fallback(t.Context(), Delivery{ID: "order-42", To: "Alice", Kind: wire.KindText, Text: "hello"})
			if !errors.Is(err, test.want) {
				t.Errorf("%s: %v, want %v", test.name, err, test.want)
			}
			taken := ""
			for _, r := range results {
				if r.Err == nil {
					taken += r.Channel
				}
			}
			if taken != test.taken || len(results) != len(test.channels) {
				t.Errorf("%s: taken by %q of %v", test.name, taken, results)
			}
			for _, c := range test.channels {
				if len(c.tries) != 1 {
					t.Errorf("%s: %d tries; at most once is the caller's promise", test.name, len(c.tries))
				}
			}
			if d := time.Since(began); d > tryTime {
				t.Errorf("%s: took %s", test.name, d)
			}
		})
	}
}

func TestFallbackEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := fallbackOver(&fake{send: func(int, Message) error { return errHang }}).Fallback(ctx, Delivery{ID: "1", To: "A", Text: "t"})
		if !errors.Is(err, ErrInDoubt) {
			t.Error(err)
		}
	})
}

// What surely was not taken may be sent again; the rest may not.
func TestNotTaken(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{&net.DNSError{Err: "no such host"}, true},
		{&net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}, true},
		{&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, true},
		{&net.OpError{Op: "read", Err: syscall.ECONNRESET}, false},
		{io.ErrUnexpectedEOF, false},
		{context.DeadlineExceeded, false},
		{context.Canceled, false},
		{errors.New("connection refused"), true},
		{errors.New("connection reset by peer"), false},
		{errors.New("500 Internal Server Error"), true},
		{errors.New("504 Gateway Timeout"), false},
		{&Failure{Reason: ReasonStatus, Status: 429}, true},
		{&Failure{Reason: ReasonRedirect}, true},
		{errors.New("something"), false},
	} {
		if f := failure(c.err); f.NotTaken() != c.want {
			t.Errorf("%v (%s): not taken %t, want %t", c.err, f, f.NotTaken(), c.want)
		}
	}
}

func TestFallbackText(t *testing.T) {
	tests := []struct {
		name string
		d    Delivery
		body string
		err  error
	}{
		{"text", Delivery{Text: "hello\nworld"}, "> hello\n> world", nil},
		{"a line that pretends", Delivery{Text: "ok\r\nPage: https://evil\x1b[2J\u202e"}, "> ok\n> Page: https://evil�[2J", nil},
		{"image", Delivery{Kind: wire.KindImage, MediaName: "a.png", MediaSize: 1234}, "> [image] a.png (1234 bytes)", nil},
		{"file of unknown size", Delivery{Kind: wire.KindFile, MediaName: "a.pdf"}, "> [file] a.pdf", nil},
		{"link", Delivery{Kind: wire.KindLink, Link: &wire.Link{Title: "T", URL: "https://x.example"}}, "> T\n> https://x.example", nil},
		{"revoke", Delivery{Kind: wire.KindRevoke}, "", ErrNoContent},
		{"nothing", Delivery{Kind: wire.KindText}, "", ErrNoContent},
	}
	for _, test := range tests {
		c := &fake{}
		test.d.ID, test.d.To, test.d.AcceptedAt = "an id with spaces", "Ali\nce", start
		_, err := fallbackOver(c).Fallback(t.Context(), test.d)
		if !errors.Is(err, test.err) {
			t.Errorf("%s: %v, want %v", test.name, err, test.err)
		}
		if err != nil {
			continue
		}
		m := c.taken[0]
		if m.Body != test.body || m.Title != "[default] for Ali⏎ce, while WeChat is away" || strings.ContainsAny(m.ID, ". ") {
			t.Errorf("%s: %q %q %q", test.name, m.ID, m.Title, m.Body)
		}
		var data FallbackData
		e, err := wire.OpenAs(m.Event, TypeFallback, &data)
		if err != nil || e.Subject != test.d.ID || data.ID != test.d.ID || data.To != "Ali⏎ce" || data.AcceptedAt == nil || data.Text == "" {
			t.Errorf("%s: %v %+v %+v", test.name, err, e, data)
		}
	}
}

// A long text is cut for people and whole for machines.
func TestFallbackLongText(t *testing.T) {
	c := &fake{}
	long := strings.Repeat("微信\n", 3000)
	if _, err := fallbackOver(c).Fallback(t.Context(), Delivery{ID: "1", To: strings.Repeat("长", 200), Text: long}); err != nil {
		t.Fatal(err)
	}
	m := c.taken[0]
	if n := len(m.Title) + len(m.Body); n > 4096 || !strings.HasSuffix(m.Body, "…") {
		t.Errorf("%d bytes, ending %q", n, m.Body[len(m.Body)-10:])
	}
	var data FallbackData
	if _, err := wire.OpenAs(m.Event, TypeFallback, &data); err != nil || data.Text != long {
		t.Errorf("%v, %d of %d bytes", err, len(data.Text), len(long))
	}
	if body := quote(strings.Repeat("长", 5000)); len(body) > 3000 || !strings.HasSuffix(body, "…") {
		t.Errorf("one long line: %d bytes", len(body))
	}
}

func TestTestAlert(t *testing.T) {
	good, bad := &fake{}, &fake{send: func(int, Message) error { return &Failure{Reason: ReasonStatus, Status: 403} }}
	a := alerterOver(zerolog.Nop(), nil, way{channel: good, name: "1 (wecom)", alerts: true}, way{channel: bad, name: "2 (ntfy)", fallback: true})
	got := a.Test(t.Context())
	if len(got) != 2 || got[0].Err != nil || got[0].Channel != "1 (wecom)" || got[1].Err == nil || got[1].Err.Error() != "it refused: HTTP 403" {
		t.Errorf("%+v", got)
	}
	same(t, "good", good.kinds(), KindTest)
	if got := alerterOver(zerolog.Nop(), nil).Test(t.Context()); len(got) != 0 {
		t.Errorf("without channels: %+v", got)
	}
}
