package broker

import (
	"context"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
)

func TestEnsureTwiceChangesNothing(t *testing.T) {
	b := openBroker(t, startServer(t))
	before := must[*jetstream.AccountInfo](t)(b.conn.JS.AccountInfo(t.Context()))
	if err := Ensure(t.Context(), b.conn.JS, b.Layout); err != nil {
		t.Fatalf("second time: %v", err)
	}
	after := must[*jetstream.AccountInfo](t)(b.conn.JS.AccountInfo(t.Context()))
	if before.Streams != 9 || after.Streams != 9 {
		t.Fatalf("streams before %d, after %d, want 9", before.Streams, after.Streams)
	}
	// nats.go itself must recognise the buckets.
	must[jetstream.KeyValue](t)(b.conn.JS.KeyValue(t.Context(), b.Leases()))
	must[jetstream.ObjectStore](t)(b.conn.JS.ObjectStore(t.Context(), b.Uploads()))
}

func TestEnsureMadeByAnotherPrefix(t *testing.T) {
	b := openBroker(t, startServer(t))
	l := NewLayout("other", testLimits())
	if err := Ensure(t.Context(), b.conn.JS, l); err != nil {
		t.Fatal(err)
	}
	if l.Send() != "OTHER_SEND" || l.Sessions() != "other_sessions" || l.EventSubject("a", "message") != "other.events.a.message" {
		t.Fatalf("names: %s %s %s", l.Send(), l.Sessions(), l.EventSubject("a", "message"))
	}
}

// conflicts are streams as somebody else could have made them.
var conflicts = []struct {
	name, field string
	stream      func(Layout) jetstream.StreamConfig
	change      func(*jetstream.StreamConfig)
	command     string
}{
	{"another retention", "retention", Layout.send, func(c *jetstream.StreamConfig) { c.Retention = jetstream.LimitsPolicy },
		"nats stream backup WECHAT_SEND ./WECHAT_SEND.backup && nats stream rm WECHAT_SEND --force"},
	{"memory", "storage", Layout.outbox, func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage },
		"nats stream backup WECHAT_OUTBOX ./WECHAT_OUTBOX.backup && nats stream rm WECHAT_OUTBOX --force"},
	{"discards the old", "discard", Layout.send, func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld },
		"nats stream edit WECHAT_SEND --force --discard=new"},
	{"fewer subjects", "subjects", Layout.parked, func(c *jetstream.StreamConfig) { c.Subjects = c.Subjects[:1] },
		"nats stream edit WECHAT_PARKED --force --subjects='wechat.parked.*.*.*' --subjects='wechat.later.*.*' --subjects='wechat.dead.*.*'"},
	{"a window that hides conflicts", "duplicate_window", Layout.send, func(c *jetstream.StreamConfig) { c.Duplicates = time.Minute },
		"nats stream edit WECHAT_SEND --force --dupe-window=100ms"},
	{"larger commands", "max_msg_size", Layout.send, func(c *jetstream.StreamConfig) { c.MaxMsgSize = -1 },
		"nats stream edit WECHAT_SEND --force --max-msg-size=983040"},
	{"rollup", "allow_rollup_hdrs", Layout.send, func(c *jetstream.StreamConfig) { c.AllowRollup = true },
		"nats stream edit WECHAT_SEND --force --no-allow-rollup"},
	{"TTL by the publisher", "allow_msg_ttl", Layout.send, func(c *jetstream.StreamConfig) { c.AllowMsgTTL = true },
		"nats stream backup WECHAT_SEND ./WECHAT_SEND.backup && nats stream rm WECHAT_SEND --force"},
	{"schedules by the publisher", "discard", Layout.send, func(c *jetstream.StreamConfig) {
		c.AllowMsgSchedules, c.AllowRollup, c.Discard = true, true, jetstream.DiscardOld
	},
		"nats stream backup WECHAT_SEND ./WECHAT_SEND.backup && nats stream rm WECHAT_SEND --force"},
	{"no schedules", "allow_msg_schedules", Layout.parked, func(c *jetstream.StreamConfig) { c.AllowMsgSchedules = false },
		"nats stream edit WECHAT_PARKED --force --allow-schedules"},
	{"no batches", "allow_atomic", Layout.outbox, func(c *jetstream.StreamConfig) { c.AllowAtomicPublish = false },
		"nats stream edit WECHAT_OUTBOX --force --allow-batch"},
	{"no direct get", "allow_direct", Layout.status, func(c *jetstream.StreamConfig) { c.AllowDirect = false },
		"nats stream edit WECHAT_STATUS --force --allow-direct"},
	{"no live copies", "republish", Layout.events, func(c *jetstream.StreamConfig) { c.RePublish = nil },
		"nats stream edit WECHAT_EVENTS --force --republish-source='wechat.events.*.*' --republish-destination='wechat.events'"},
	{"no default account", "subject_transform", Layout.send, func(c *jetstream.StreamConfig) { c.SubjectTransform = nil },
		"nats stream edit WECHAT_SEND --force --transform-source='wechat.send' --transform-destination='wechat.send.default'"},
	{"a shorter memory", "max_age", Layout.status, func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour },
		"nats stream edit WECHAT_STATUS --force --max-age=168h0m0s"},
	{"a ledger that forgets", "max_msgs", Layout.status, func(c *jetstream.StreamConfig) { c.MaxMsgs = 1000 },
		"nats stream edit WECHAT_STATUS --force --max-msgs=-1"},
	{"a ledger of few bytes", "max_bytes", Layout.status, func(c *jetstream.StreamConfig) { c.MaxBytes = mib },
		"nats stream edit WECHAT_STATUS --force --max-bytes=-1"},
	{"one record per delivery", "max_msgs_per_subject", Layout.status, func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 1 },
		"nats stream edit WECHAT_STATUS --force --max-msgs-per-subject=-1"},
	{"leases without end", "allow_msg_ttl", Layout.leases, func(c *jetstream.StreamConfig) { c.AllowMsgTTL, c.SubjectDeleteMarkerTTL = false, 0 },
		"nats stream backup KV_wechat_leases ./KV_wechat_leases.backup && nats kv del wechat_leases --force"},
	{"two at once", "discard", Layout.send, func(c *jetstream.StreamConfig) {
		c.Discard, c.Duplicates = jetstream.DiscardOld, time.Minute
	}, "nats stream edit WECHAT_SEND --force --discard=new --dupe-window=100ms"},
}

// create makes a stream. One of the same name that was deleted just now may
// still be in the way: the server removes its folder later.
func create(t testing.TB, conn *Conn, cfg jetstream.StreamConfig) {
	t.Helper()
	var err error
	eventually(t, "the stream "+cfg.Name, func() bool {
		_, err = conn.JS.CreateStream(t.Context(), cfg)
		return apiCode(err) != 10049
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestEnsureReportsEachConflict(t *testing.T) {
	conn := connect(t, startServer(t))
	l := NewLayout("wechat", testLimits())
	for _, tc := range conflicts {
		t.Run(tc.name, func(t *testing.T) {
			cfg := tc.stream(l)
			tc.change(&cfg)
			create(t, conn, cfg)
			defer func() { _ = conn.JS.DeleteStream(context.Background(), cfg.Name) }()
			var conflict *ConflictError
			err := ensureStream(t.Context(), conn.JS, tc.stream(l))
			if !errors.As(err, &conflict) {
				t.Fatalf("got %v, want a conflict", err)
			}
			if conflict.Field != tc.field || conflict.Command != tc.command || conflict.Stream != cfg.Name {
				t.Fatalf("%s %s\n got %s\nwant %s", conflict.Stream, conflict.Field, conflict.Command, tc.command)
			}
			if !strings.Contains(err.Error(), tc.command) || conflict.Want == conflict.Got {
				t.Fatalf("message: %v", err)
			}
		})
	}
}

// TestMendingLinesAreForTheCLI checks each printed flag against the help text of
// nats stream edit, natscli 0.5.1.
func TestMendingLinesAreForTheCLI(t *testing.T) {
	help := string(must[[]byte](t)(os.ReadFile("testdata/nats-stream-edit-help.txt")))
	flag := regexp.MustCompile(`--([a-z-]+)`)
	for _, tc := range conflicts {
		edit, isEdit := strings.CutPrefix(tc.command, "nats stream edit ")
		if !isEdit {
			continue
		}
		for _, m := range flag.FindAllStringSubmatch(edit, -1) {
			known := regexp.MustCompile(`--(\[no-\])?` + regexp.QuoteMeta(strings.TrimPrefix(m[1], "no-")) + `\b`)
			name := regexp.MustCompile(`--` + regexp.QuoteMeta(m[1]) + `\b`)
			if !known.MatchString(help) && !name.MatchString(help) {
				t.Errorf("nats stream edit has no --%s", m[1])
			}
		}
	}
}

func TestEnsureTolerates(t *testing.T) {
	conn := connect(t, startServer(t))
	l := NewLayout("wechat", testLimits())
	for name, change := range map[string]func(*jetstream.StreamConfig){
		"a description":     func(c *jetstream.StreamConfig) { c.Description = "mine" },
		"own metadata":      func(c *jetstream.StreamConfig) { c.Metadata = map[string]string{"team": "x"} },
		"compression":       func(c *jetstream.StreamConfig) { c.Compression = jetstream.S2Compression },
		"a longer memory":   func(c *jetstream.StreamConfig) { c.MaxAge = 1000 * time.Hour },
		"an endless memory": func(c *jetstream.StreamConfig) { c.MaxAge = 0 },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := l.status()
			change(&cfg)
			create(t, conn, cfg)
			defer func() { _ = conn.JS.DeleteStream(context.Background(), cfg.Name) }()
			if err := ensureStream(t.Context(), conn.JS, l.status()); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestEnsureRefusesANewerLayout(t *testing.T) {
	conn := connect(t, startServer(t))
	l := NewLayout("wechat", testLimits())
	cfg := l.status()
	cfg.Metadata = map[string]string{schemaKey: "2"}
	must[jetstream.Stream](t)(conn.JS.CreateStream(t.Context(), cfg))
	_, err := Open(t.Context(), conn, l, zerolog.Nop())
	var newer *NewerError
	if !errors.As(err, &newer) || newer.Got != 2 || newer.Stream != "WECHAT_STATUS" {
		t.Fatalf("got %v", err)
	}
}
