package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

const (
	// ContentType is the NATS header Content-Type of every event and record.
	ContentType = "application/cloudevents+json"
	// HeaderContentType, HeaderMsgID and HeaderTrace are the NATS headers that
	// the contract names.
	HeaderContentType = "Content-Type"
	HeaderMsgID       = "Nats-Msg-Id"
	HeaderTrace       = "traceparent"

	specVersion  = "1.0"
	sourcePrefix = "wechat/"
	dataType     = "application/json"
)

// Envelope is a CloudEvent 1.0 in structured JSON. (Source, ID) is unique.
type Envelope struct {
	SpecVersion     string          `json:"specversion"`
	ID              string          `json:"id"`
	Type            string          `json:"type"`
	Source          string          `json:"source"`
	Time            time.Time       `json:"time,omitzero"`
	Subject         string          `json:"subject,omitempty"`
	DataContentType string          `json:"datacontenttype,omitempty"`
	Traceparent     string          `json:"traceparent,omitempty"` // W3C
	Data            json.RawMessage `json:"data"`
}

// Account is the account that the source names.
func (e Envelope) Account() string { return strings.TrimPrefix(e.Source, sourcePrefix) }

// Seal writes a CloudEvent. Subject is what it is about, in CloudEvents' sense,
// and may be empty. A trace that is no W3C traceparent is left out: it comes
// from users and must not stop a record. Without account, type, id or time, or
// with data that is no JSON, it is an error.
func Seal(account, typ, id, subject string, at time.Time, trace string, data any) ([]byte, error) {
	body, err := marshal(data)
	if err != nil {
		return nil, fmt.Errorf("seal %s: %w", typ, err)
	}
	return seal(account, typ, id, subject, at, trace, body)
}

func seal(account, typ, id, subject string, at time.Time, trace string, data json.RawMessage) ([]byte, error) {
	if account == "" || typ == "" || id == "" || at.IsZero() {
		return nil, fmt.Errorf("seal %q: account, type, id and time are needed", typ)
	}
	if !ValidTrace(trace) {
		trace = ""
	}
	body, err := marshal(Envelope{
		SpecVersion: specVersion, ID: id, Type: typ, Source: sourcePrefix + account,
		Time: at.UTC(), Subject: subject, DataContentType: dataType, Traceparent: trace, Data: data,
	})
	if err != nil {
		return nil, fmt.Errorf("seal %s: %w", typ, err)
	}
	return body, nil
}

var errNoEvent = errors.New("this is no CloudEvent with data")

// Open reads a CloudEvent. It is tolerant: it wants a type and data, ignores
// what it does not know, and leaves the rest as it is, also what is missing.
func Open(body []byte) (Envelope, error) {
	var e Envelope
	if err := json.Unmarshal(body, &e); err != nil {
		return Envelope{}, fmt.Errorf("open event: %w", err)
	}
	if e.Type == "" || len(e.Data) == 0 || kindOf(e.Data) == 'n' {
		return Envelope{}, errNoEvent
	}
	return e, nil
}

// OpenDelivery reads a delivery's record, with the envelope for its trace and
// time. A state that is not known is left as it is; one that is missing is an
// error.
func OpenDelivery(body []byte) (Delivery, Envelope, error) {
	var d Delivery
	e, err := OpenAs(body, TypeDelivery, &d)
	if err != nil {
		return Delivery{}, Envelope{}, err
	}
	if d.ID == "" || d.State == "" {
		return Delivery{}, Envelope{}, errors.New("open delivery: no id or no state")
	}
	return d, e, nil
}

// OpenAs reads a CloudEvent of one type into data, a pointer to its struct.
func OpenAs(body []byte, typ string, data any) (Envelope, error) {
	e, err := Open(body)
	if err != nil {
		return Envelope{}, err
	}
	if e.Type != typ {
		return Envelope{}, fmt.Errorf("open event: it is %s, not %s", quoted(e.Type), typ)
	}
	if err := json.Unmarshal(e.Data, data); err != nil {
		return Envelope{}, fmt.Errorf("open %s: %w", typ, err)
	}
	return e, nil
}

// ValidTrace reports whether s is a traceparent as W3C Trace Context level 1
// writes it: version 00, neither id all zero.
func ValidTrace(s string) bool {
	p := strings.Split(s, "-")
	return len(p) == 4 && p[0] == "00" && hexOf(p[1], 32) && hexOf(p[2], 16) && hexOf(p[3], 2) &&
		strings.Trim(p[1], "0") != "" && strings.Trim(p[2], "0") != ""
}

func hexOf(s string, n int) bool {
	return len(s) == n && strings.Trim(s, "0123456789abcdef") == ""
}
