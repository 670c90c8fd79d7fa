package broker

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// ConflictError says that a stream exists with another configuration than the
// bridge needs to keep its promises. Nothing was changed.
type ConflictError struct {
	Stream string
	Field  string // as the server's JSON names it
	Want   string
	Got    string
	// Command is the command line that mends it, for all fields of this stream
	// that differ: one of nats, or, for the embedded server, one that moves the
	// stream away while the bridge does not run.
	Command string
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("stream %s has %s %s, the bridge needs %s; to mend it run:\n  %s",
		e.Stream, e.Field, e.Got, e.Want, e.Command)
}

// NewerError says that a stream was laid out by a newer program.
type NewerError struct {
	Stream string
	Got    int
}

func (e *NewerError) Error() string {
	return fmt.Sprintf("stream %s was made by a newer wechat-bridge (layout %d, this one knows %d); use that one, or another --prefix",
		e.Stream, e.Got, Schema)
}

// field is one field of a stream's configuration that correctness needs.
type field struct {
	name string
	get  func(jetstream.StreamConfig) string
	// flag gives the arguments of nats stream edit; empty if this change is
	// not possible on a stream that exists.
	flag func(want jetstream.StreamConfig) string
}

// fields are compared; what is not here (description, placement, compression,
// metadata, replicas, consumer limits, sizes that have a limit) is the operator's own business.
// Rollup is compared only where it is a danger: the server adds it to a stream
// with schedules.
var fields = []field{
	{"subjects", subjects, subjectFlags},
	{"retention", func(c jetstream.StreamConfig) string { return c.Retention.String() }, nil},
	{"storage", func(c jetstream.StreamConfig) string { return c.Storage.String() }, nil},
	{"discard", func(c jetstream.StreamConfig) string { return c.Discard.String() }, discardFlag},
	{"discard_new_per_subject", func(c jetstream.StreamConfig) string { return boolean(c.DiscardNewPerSubject) },
		switchFlag("discard-per-subject", func(c jetstream.StreamConfig) bool { return c.DiscardNewPerSubject })},
	{"no_ack", func(c jetstream.StreamConfig) string { return boolean(c.NoAck) }, func(jetstream.StreamConfig) string { return "--ack" }},
	{"max_msg_size", maxMsgSize, func(c jetstream.StreamConfig) string {
		return fmt.Sprintf("--max-msg-size=%d", c.MaxMsgSize)
	}},
	{"max_msgs_per_subject", func(c jetstream.StreamConfig) string { return unlimited(c.MaxMsgsPerSubject) },
		func(c jetstream.StreamConfig) string {
			return fmt.Sprintf("--max-msgs-per-subject=%d", c.MaxMsgsPerSubject)
		}},
	{"max_msgs", func(c jetstream.StreamConfig) string { return unlimited(c.MaxMsgs) },
		func(c jetstream.StreamConfig) string { return fmt.Sprintf("--max-msgs=%d", c.MaxMsgs) }},
	{"max_bytes", func(c jetstream.StreamConfig) string { return unlimited(c.MaxBytes) },
		func(c jetstream.StreamConfig) string { return fmt.Sprintf("--max-bytes=%d", c.MaxBytes) }},
	{"duplicate_window", func(c jetstream.StreamConfig) string { return c.Duplicates.String() },
		func(c jetstream.StreamConfig) string { return "--dupe-window=" + c.Duplicates.String() }},
	{"max_age", func(c jetstream.StreamConfig) string { return c.MaxAge.String() },
		func(c jetstream.StreamConfig) string { return "--max-age=" + lifetime(c.MaxAge) }},
	{"subject_transform", transform, transformFlags},
	{"republish", republish, republishFlags},
	{"allow_direct", func(c jetstream.StreamConfig) string { return boolean(c.AllowDirect) },
		switchFlag("allow-direct", func(c jetstream.StreamConfig) bool { return c.AllowDirect })},
	{"allow_atomic", func(c jetstream.StreamConfig) string { return boolean(c.AllowAtomicPublish) },
		switchFlag("allow-batch", func(c jetstream.StreamConfig) bool { return c.AllowAtomicPublish })},
	{"allow_msg_schedules", func(c jetstream.StreamConfig) string { return boolean(c.AllowMsgSchedules) },
		onlyOn("--allow-schedules", func(c jetstream.StreamConfig) bool { return c.AllowMsgSchedules })},
	{"allow_msg_ttl", func(c jetstream.StreamConfig) string { return boolean(c.AllowMsgTTL) },
		onlyOn("--allow-msg-ttl", func(c jetstream.StreamConfig) bool { return c.AllowMsgTTL })},
	{"allow_rollup_hdrs", func(c jetstream.StreamConfig) string { return boolean(c.AllowRollup) },
		switchFlag("allow-rollup", func(c jetstream.StreamConfig) bool { return c.AllowRollup })},
	{"subject_delete_marker_ttl", func(c jetstream.StreamConfig) string { return c.SubjectDeleteMarkerTTL.String() }, nil},
	{"deny_delete", func(c jetstream.StreamConfig) string { return boolean(c.DenyDelete) }, nil},
	{"deny_purge", func(c jetstream.StreamConfig) string { return boolean(c.DenyPurge) }, nil},
	{"sealed", func(c jetstream.StreamConfig) string { return boolean(c.Sealed) }, nil},
}

// compare reports the first field that differs, with the one command that
// mends all.
func compare(want, got jetstream.StreamConfig) error {
	if err := newer(got); err != nil {
		return err
	}
	want = tolerate(want, got)
	different := differences(want, got)
	if len(different) == 0 {
		return nil
	}
	f := different[0]
	return &ConflictError{
		Stream: got.Name, Field: f.name, Want: f.get(want), Got: f.get(got), Command: command(want, different),
	}
}

func newer(got jetstream.StreamConfig) error {
	if v, err := strconv.Atoi(got.Metadata[schemaKey]); err == nil && v > Schema {
		return &NewerError{Stream: got.Name, Got: v}
	}
	return nil
}

func differences(want, got jetstream.StreamConfig) []field {
	var different []field
	for _, f := range fields {
		if f.get(want) != f.get(got) {
			different = append(different, f)
		}
	}
	return different
}

// tolerate takes over what may differ: what the server adds by itself, a
// longer life than is needed, and limits where the layout has a limit anyway.
func tolerate(want, got jetstream.StreamConfig) jetstream.StreamConfig {
	if want.AllowMsgSchedules { // the server adds rollup
		want.AllowRollup = got.AllowRollup
	}
	if want.MaxAge > 0 && (got.MaxAge == 0 || got.MaxAge >= want.MaxAge) {
		want.MaxAge = got.MaxAge
	}
	if want.MaxBytes > 0 {
		want.MaxBytes = got.MaxBytes
	}
	return want
}

func command(want jetstream.StreamConfig, different []field) string {
	if strings.HasPrefix(want.Name, "KV_") {
		return anew(want)
	}
	args := []string{"nats", "stream", "edit", want.Name, "--force"}
	for _, f := range different {
		flag := ""
		if f.flag != nil {
			flag = f.flag(want)
		}
		if flag == "" {
			return anew(want)
		}
		args = append(args, flag)
	}
	return strings.Join(args, " ")
}

// anew is for what a stream cannot change in its life: keep a copy, remove it,
// and let the bridge make it at its next start. The CLI edits and removes the
// stream behind a bucket only after a question, so a bucket is removed as such.
func anew(want jetstream.StreamConfig) string {
	if bucket, ok := strings.CutPrefix(want.Name, "KV_"); ok {
		return fmt.Sprintf("nats stream backup %s ./%s.backup && nats kv del %s --force", want.Name, want.Name, bucket)
	}
	return fmt.Sprintf("nats stream backup %[1]s ./%[1]s.backup && nats stream rm %[1]s --force", want.Name)
}

func subjects(c jetstream.StreamConfig) string {
	s := append([]string(nil), c.Subjects...)
	sort.Strings(s)
	return strings.Join(s, ",")
}

func subjectFlags(c jetstream.StreamConfig) string {
	var flags []string
	for _, s := range c.Subjects {
		flags = append(flags, "--subjects='"+s+"'")
	}
	return strings.Join(flags, " ")
}

func discardFlag(c jetstream.StreamConfig) string {
	if c.Discard == jetstream.DiscardNew {
		return "--discard=new"
	}
	return "--discard=old"
}

func boolean(b bool) string { return strconv.FormatBool(b) }

func unlimited(n int64) string {
	if n <= 0 {
		return "unlimited"
	}
	return strconv.FormatInt(n, 10)
}

func maxMsgSize(c jetstream.StreamConfig) string { return unlimited(int64(c.MaxMsgSize)) }

func lifetime(d time.Duration) string {
	if d == 0 {
		return "-1"
	}
	return d.String()
}

func switchFlag(name string, on func(jetstream.StreamConfig) bool) func(jetstream.StreamConfig) string {
	return func(c jetstream.StreamConfig) string {
		if on(c) {
			return "--" + name
		}
		return "--no-" + name
	}
}

// onlyOn is for what the server lets nobody switch off again.
func onlyOn(flag string, on func(jetstream.StreamConfig) bool) func(jetstream.StreamConfig) string {
	return func(c jetstream.StreamConfig) string {
		if on(c) {
			return flag
		}
		return ""
	}
}

func transform(c jetstream.StreamConfig) string {
	if c.SubjectTransform == nil || *c.SubjectTransform == (jetstream.SubjectTransformConfig{}) {
		return "none"
	}
	return c.SubjectTransform.Source + " to " + c.SubjectTransform.Destination
}

func transformFlags(c jetstream.StreamConfig) string {
	if c.SubjectTransform == nil {
		return "--no-transform"
	}
	return fmt.Sprintf("--transform-source='%s' --transform-destination='%s'", c.SubjectTransform.Source, c.SubjectTransform.Destination)
}

func republish(c jetstream.StreamConfig) string {
	if c.RePublish == nil {
		return "none"
	}
	s := c.RePublish.Source + " to " + c.RePublish.Destination
	if c.RePublish.HeadersOnly {
		s += ", headers only"
	}
	return s
}

func republishFlags(c jetstream.StreamConfig) string {
	if c.RePublish == nil {
		return "--no-republish"
	}
	s := fmt.Sprintf("--republish-source='%s' --republish-destination='%s'", c.RePublish.Source, c.RePublish.Destination)
	if c.RePublish.HeadersOnly {
		s += " --republish-headers"
	}
	return s
}
