package broker

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Schema is the version of the layout that this program writes and the newest
// it reads. It is kept in each stream's metadata.
const Schema = 1

const schemaKey = "wechat-bridge.schema"

const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30
)

// MaxCommand is the largest command that WECHAT_SEND takes, headers included,
// in bytes. It leaves room under NATS's payload limit of 1 MiB for the headers
// that a copy of a command has more.
const MaxCommand = 960 * kib

// chunkSize of objects, in bytes: fast, and small enough for slow links.
const chunkSize = 512 * kib

// Limits are the sizes of streams and buckets, in bytes, and ages.
type Limits struct {
	SendBytes, OutboxBytes, EventBytes int64
	MediaBytes, UploadBytes            int64
	// EventAge is how long events are kept.
	EventAge time.Duration
	// Horizon is how long records, and with them ids, are remembered.
	Horizon time.Duration
	// Replicas is 1 on a single server, 3 on a cluster.
	Replicas int
}

// DefaultLimits fit one account on a small machine.
func DefaultLimits() Limits {
	return Limits{
		SendBytes: gib, OutboxBytes: gib, EventBytes: gib,
		MediaBytes: 4 * gib, UploadBytes: gib,
		EventAge: 30 * 24 * time.Hour, Horizon: 7 * 24 * time.Hour, Replicas: 1,
	}
}

// Layout is what the bridge needs on a NATS server, as data.
type Layout struct {
	Names
	Limits
}

// NewLayout derives the layout from the subject prefix, one token.
func NewLayout(prefix string, limits Limits) Layout {
	limits.Replicas = max(limits.Replicas, 1)
	return Layout{Names: Names{Prefix: prefix}, Limits: limits}
}

// Names are the subjects, streams and buckets of one prefix.
type Names struct{ Prefix string }

func (n Names) upper() string { return strings.ToUpper(n.Prefix) }
func (n Names) lower() string { return strings.ToLower(n.Prefix) }

// The streams.
func (n Names) Send() string   { return n.upper() + "_SEND" }
func (n Names) Outbox() string { return n.upper() + "_OUTBOX" }
func (n Names) Parked() string { return n.upper() + "_PARKED" }
func (n Names) Events() string { return n.upper() + "_EVENTS" }
func (n Names) Status() string { return n.upper() + "_STATUS" }

// The buckets and object stores.
func (n Names) Leases() string   { return n.lower() + "_leases" }
func (n Names) Sessions() string { return n.lower() + "_sessions" }
func (n Names) Media() string    { return n.lower() + "_media" }
func (n Names) Uploads() string  { return n.lower() + "_uploads" }

// subject joins tokens below the prefix.
func (n Names) subject(tokens ...string) string {
	return n.Prefix + "." + strings.Join(tokens, ".")
}

// SendSubject is where an account's commands go.
func (n Names) SendSubject(account string) string { return n.subject("send", account) }

// ConnectionSubject has the records of an account's connection.
func (n Names) ConnectionSubject(account string) string {
	return n.subject("status", account, "connection", "state")
}

// DeliverySubject has the chain of one delivery; key is one safe token.
func (n Names) DeliverySubject(account, key string) string {
	return n.subject("status", account, "delivery", key)
}

// HeartbeatSubject is not stored.
func (n Names) HeartbeatSubject(account string) string {
	return n.subject("status", account, "heartbeat")
}

// EventSubject has an account's events of one kind.
func (n Names) EventSubject(account, kind string) string { return n.subject("events", account, kind) }

// APISubject is one verb of the micro service.
func (n Names) APISubject(account, verb string) string { return n.subject("api", account, verb) }

var safeToken = regexp.MustCompile(`^[A-Za-z0-9_=~/-]{1,255}$`)

var accountToken = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)

// Streams are the configurations of all streams, those behind buckets and
// object stores included, in the order in which they are made.
func (l Layout) Streams() []jetstream.StreamConfig {
	return []jetstream.StreamConfig{
		l.send(), l.outbox(), l.parked(), l.events(), l.status(),
		l.leases(), l.sessions(), l.objects(l.Media(), l.MediaBytes), l.objects(l.Uploads(), l.UploadBytes),
	}
}

// base has what all streams share. Limits that are not used are written as
// the server writes them, -1, so that a comparison is exact.
func (l Layout) base(name, description string, subjects ...string) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: name, Description: description, Subjects: subjects,
		Storage: jetstream.FileStorage, Replicas: l.Replicas,
		MaxMsgs: -1, MaxBytes: -1, MaxMsgsPerSubject: -1, MaxMsgSize: -1, MaxConsumers: -1,
		Duplicates: 2 * time.Minute,
		Metadata:   map[string]string{schemaKey: strconv.Itoa(Schema)},
	}
}

// send is the users' queue. The short window leaves the verdict on repeated
// ids to the ledger; TTL, schedules and rollup stay off, since each would let a
// publisher delete commands that were acknowledged.
func (l Layout) send() jetstream.StreamConfig {
	c := l.base(l.Send(), "send commands as users wrote them", l.subject("send"), l.subject("send", "*"))
	c.Retention, c.Discard = jetstream.WorkQueuePolicy, jetstream.DiscardNew
	c.MaxBytes, c.MaxMsgSize = l.SendBytes, MaxCommand
	c.Duplicates = 100 * time.Millisecond
	c.SubjectTransform = &jetstream.SubjectTransformConfig{
		Source: l.subject("send"), Destination: l.subject("send", "default"),
	}
	return c
}

// outbox is a stream of its own: in a full common one, intake could not store
// what it has to move.
func (l Layout) outbox() jetstream.StreamConfig {
	c := l.base(l.Outbox(), "accepted deliveries that wait to be sent", l.subject("outbox", "*", "*"))
	c.Retention, c.Discard, c.MaxBytes = jetstream.WorkQueuePolicy, jetstream.DiscardNew, l.OutboxBytes
	c.AllowAtomicPublish, c.AllowDirect = true, true
	return c
}

// parked has no limit of its own: the server refuses schedules together with
// discard new, and discard old would lose what was accepted.
func (l Layout) parked() jetstream.StreamConfig {
	c := l.base(l.Parked(), "deliveries whose lane is full or whose chat is closed",
		l.subject("parked", "*", "*", "*"), l.subject("later", "*", "*"), l.subject("dead", "*", "*"))
	c.Retention, c.Discard = jetstream.LimitsPolicy, jetstream.DiscardOld
	c.AllowDirect, c.AllowMsgSchedules, c.AllowMsgTTL = true, true, true
	c.RePublish = &jetstream.RePublish{
		Source: l.subject("parked", "*", "*", "*"), Destination: l.subject("wake", "{{wildcard(1)}}"), HeadersOnly: true,
	}
	return c
}

// events drops repeats for a day, since WeChat tells older messages again
// after a login.
func (l Layout) events() jetstream.StreamConfig {
	c := l.base(l.Events(), "what happened on WeChat", l.subject("events", "*", "*"))
	c.Retention, c.Discard = jetstream.LimitsPolicy, jetstream.DiscardOld
	c.MaxAge, c.MaxBytes, c.Duplicates = l.EventAge, l.EventBytes, 24*time.Hour
	c.RePublish = &jetstream.RePublish{Source: l.subject("events", "*", "*"), Destination: l.subject("events")}
	return c
}

// status is the ledger. No TTL and no delete markers: a marker would make the
// first write of a new chain fail.
func (l Layout) status() jetstream.StreamConfig {
	c := l.base(l.Status(), "records of connections and deliveries", l.subject("status", "*", "*", "*"))
	c.Retention, c.Discard = jetstream.LimitsPolicy, jetstream.DiscardOld
	c.MaxAge, c.Duplicates = l.Horizon, 100*time.Millisecond
	c.AllowDirect, c.AllowAtomicPublish = true, true
	c.RePublish = &jetstream.RePublish{Source: l.subject("status", "*", "*", "*"), Destination: l.subject("status")}
	return c
}

// leases are keys that end by themselves; the marker tells those who wait.
func (l Layout) leases() jetstream.StreamConfig {
	c := l.bucket(l.Leases(), "which worker serves an account", 1)
	c.AllowMsgTTL, c.SubjectDeleteMarkerTTL = true, time.Second
	return c
}

func (l Layout) sessions() jetstream.StreamConfig {
	return l.bucket(l.Sessions(), "encrypted sessions", 2)
}

// bucket is a stream as nats.go makes it for a key-value bucket.
func (l Layout) bucket(name, description string, history int64) jetstream.StreamConfig {
	c := l.base("KV_"+name, description, "$KV."+name+".>")
	c.MaxMsgsPerSubject, c.Discard = history, jetstream.DiscardNew
	c.AllowRollup, c.DenyDelete, c.AllowDirect = true, true, true
	return c
}

// objects is a stream as nats.go makes it for an object store. Kept media must
// outlive the deliveries that need them.
func (l Layout) objects(name string, size int64) jetstream.StreamConfig {
	c := l.base("OBJ_"+name, "media", "$O."+name+".C.>", "$O."+name+".M.>")
	c.MaxBytes, c.MaxAge, c.Discard = size, max(7*24*time.Hour, l.Horizon), jetstream.DiscardNew
	c.AllowRollup, c.AllowDirect = true, true
	return c
}
