package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"wechat-bridge/bridge/wire"
)

// HeaderExpires keeps a delivery's end, RFC 3339 with fractions, so that what
// waits can be expired without reading its body.
const HeaderExpires = "Wechat-Expires"

// Error codes of the JetStream API that decide something here.
const (
	codeNotFound        = 10037 // no message found
	codeStreamNotFound  = 10059
	codeFull            = 10077 // maximum bytes or messages exceeded
	codeNoSpace         = 10047 // insufficient storage
	codeWrongSequence   = 10071
	codeSequencePending = 10164 // a competitor's write is in flight
	codeConsumerExists  = 10013
	codeOverlap         = 10100 // filtered consumer not unique on a work queue
)

func apiCode(err error) int {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		return int(api.ErrorCode)
	}
	return 0
}

// toMsg writes a message's headers and body; what is not set leaves no header.
func toMsg(subject string, s wire.Stored) *nats.Msg {
	m := nats.NewMsg(subject)
	m.Data = s.Body
	if s.MsgID != "" {
		m.Header.Set(wire.HeaderMsgID, s.MsgID)
	}
	if s.Trace != "" {
		m.Header.Set(wire.HeaderTrace, s.Trace)
	}
	if !s.Expires.IsZero() {
		m.Header.Set(HeaderExpires, s.Expires.UTC().Format(time.RFC3339Nano))
	}
	return m
}

// record is a message that holds a CloudEvent.
func record(subject string, s wire.Stored) *nats.Msg {
	m := toMsg(subject, s)
	m.Header.Set(wire.HeaderContentType, wire.ContentType)
	return m
}

// toStored reads a message back. Headers come from anybody: one that makes no
// sense counts as missing.
func toStored(subject string, seq uint64, at time.Time, h nats.Header, body []byte) wire.Stored {
	s := wire.Stored{
		Seq: seq, At: at, Body: body, MsgID: h.Get(wire.HeaderMsgID), Trace: h.Get(wire.HeaderTrace),
		Token: subject[strings.LastIndexByte(subject, '.')+1:],
	}
	if t, err := time.Parse(time.RFC3339Nano, h.Get(HeaderExpires)); err == nil {
		s.Expires = t
	}
	return s
}

func rawStored(m *jetstream.RawStreamMsg) wire.Stored {
	return toStored(m.Subject, m.Sequence, m.Time, m.Header, m.Data)
}

// api is the subject of a JetStream API call, with the domain if there is one.
func (c *Conn) api(call string) string {
	o := c.JS.Options()
	switch {
	case o.APIPrefix != "":
		return strings.TrimSuffix(o.APIPrefix, ".") + "." + call
	case o.Domain != "":
		return "$JS." + o.Domain + ".API." + call
	}
	return "$JS.API." + call
}

// request calls the JetStream API where nats.go offers no such call. answer
// may be nil.
func (c *Conn) request(ctx context.Context, call string, question, answer any) error {
	ctx, cancel := withDeadline(ctx, requestTimeout)
	defer cancel()
	body, err := json.Marshal(question)
	if err != nil {
		return fmt.Errorf("%s: %w", call, err)
	}
	m, err := c.NC.RequestWithContext(ctx, c.api(call), body)
	if err != nil {
		return fmt.Errorf("%s: %w", call, err)
	}
	var failure struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &failure); err != nil {
		return fmt.Errorf("%s: %w", call, err)
	}
	if failure.Error != nil {
		return fmt.Errorf("%s: %w", call, failure.Error)
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(m.Data, answer)
}

// place names a message in a stream: by sequence, the last of a subject, or
// the next of a subject from a sequence on.
type place struct {
	Seq  uint64 `json:"seq,omitempty"`
	Last string `json:"last_by_subj,omitempty"`
	Next string `json:"next_by_subj,omitempty"`
}

// read asks the stream's leader for one message, so that it is never stale.
// found is false if there is none.
func (c *Conn) read(ctx context.Context, stream string, at place) (msg storedMsg, found bool, err error) {
	var answer struct {
		Message struct {
			Subject string    `json:"subject"`
			Seq     uint64    `json:"seq"`
			Header  []byte    `json:"hdrs"`
			Data    []byte    `json:"data"`
			Time    time.Time `json:"time"`
		} `json:"message"`
	}
	err = c.request(ctx, "STREAM.MSG.GET."+stream, at, &answer)
	if apiCode(err) == codeNotFound {
		return storedMsg{}, false, nil
	}
	if err != nil {
		return storedMsg{}, false, err
	}
	m := answer.Message
	h, err := header(m.Header)
	if err != nil {
		return storedMsg{}, false, fmt.Errorf("message %d of %s: %w", m.Seq, stream, err)
	}
	return storedMsg{Stored: toStored(m.Subject, m.Seq, m.Time, h, m.Data), subject: m.Subject, header: h}, true, nil
}

// storedMsg is a message with all that Stored leaves out.
type storedMsg struct {
	wire.Stored
	subject string
	header  nats.Header
}

func header(raw []byte) (nats.Header, error) {
	if len(raw) == 0 {
		return nats.Header{}, nil
	}
	return nats.DecodeHeadersMsg(raw)
}

// peek reads one message by direct get: cheap, and possibly stale on a cluster.
func (c *Conn) peek(ctx context.Context, stream string, at place) (msg storedMsg, found bool, err error) {
	ctx, cancel := withDeadline(ctx, requestTimeout)
	defer cancel()
	body, err := json.Marshal(at)
	if err != nil {
		return storedMsg{}, false, err
	}
	m, err := c.NC.RequestWithContext(ctx, c.api("DIRECT.GET."+stream), body)
	if err != nil {
		return storedMsg{}, false, fmt.Errorf("direct get from %s: %w", stream, err)
	}
	switch status := m.Header.Get("Status"); status {
	case "404":
		return storedMsg{}, false, nil
	case "":
	default:
		return storedMsg{}, false, fmt.Errorf("direct get from %s: %s %s", stream, status, m.Header.Get("Description"))
	}
	msg, err = directMsg(m)
	return msg, err == nil, err
}

func directMsg(m *nats.Msg) (storedMsg, error) {
	subject := m.Header.Get(jetstream.SubjectHeader)
	seq, err := strconv.ParseUint(m.Header.Get(jetstream.SequenceHeader), 10, 64)
	if err != nil || subject == "" {
		return storedMsg{}, errors.New("direct get: an answer without subject or sequence")
	}
	at, err := time.Parse(time.RFC3339Nano, m.Header.Get(jetstream.TimeStampHeaer))
	if err != nil {
		return storedMsg{}, fmt.Errorf("direct get: %w", err)
	}
	return storedMsg{Stored: toStored(subject, seq, at, m.Header, m.Data), subject: subject, header: m.Header}, nil
}

// remove deletes one message without overwriting its bytes, which would be 30
// times slower. A missing message is no error.
func (c *Conn) remove(ctx context.Context, stream string, seq uint64) error {
	question := map[string]any{"seq": seq, "no_erase": true}
	err := c.request(ctx, "STREAM.MSG.DELETE."+stream, question, nil)
	if err == nil || apiCode(err) == 0 {
		return err
	}
	_, found, readErr := c.read(ctx, stream, place{Seq: seq})
	if readErr == nil && !found {
		return nil
	}
	return err
}

// perSubject counts a stream's messages by subject, page by page.
func (c *Conn) perSubject(ctx context.Context, stream, filter string) (map[string]uint64, error) {
	counts := make(map[string]uint64)
	for {
		var page struct {
			State struct {
				Subjects map[string]uint64 `json:"subjects"`
			} `json:"state"`
			Total int `json:"total"`
		}
		question := map[string]any{"subjects_filter": filter, "offset": len(counts)}
		if err := c.request(ctx, "STREAM.INFO."+stream, question, &page); err != nil {
			return nil, err
		}
		for s, n := range page.State.Subjects {
			counts[s] = n
		}
		if len(page.State.Subjects) == 0 || len(counts) >= page.Total {
			return counts, nil
		}
	}
}
