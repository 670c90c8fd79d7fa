package alert

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Message is what a channel sends.
type Message struct {
	ID    string // the same on each try
	Kind  Kind
	Title string // one line
	Body  string // lines
	Event []byte // the same as a CloudEvent, for machines
}

// channel is one way to people. Send tries once and returns nil when the other
// side took it; its error is a *Failure. It may be called side by side.
type channel interface {
	Send(ctx context.Context, m Message) error
}

// Target is a channel as an operator configures it.
type Target struct {
	// URL is a secret: webhook+https://host/path#whsec_… or an address of
	// shoutrrr.
	URL string
	// Alerts go there, Fallback deliveries go there; at least one is needed.
	Alerts, Fallback bool
}

// Publisher stores an alert in NATS. The subject that fits the contract is
// wechat.status.<account>.alert.<kind>: stored with the other records and
// copied to wechat.status by the server.
type Publisher interface {
	Publish(ctx context.Context, kind Kind, event []byte) error
}

// published is NATS as a channel.
type published struct{ to Publisher }

func (p published) Send(ctx context.Context, m Message) error {
	if err := p.to.Publish(ctx, m.Kind, m.Event); err != nil {
		return failure(err)
	}
	return nil
}

// way is a channel with its name and use.
type way struct {
	channel
	name             string // such as "2 (wecom)"; no secret
	alerts, fallback bool
}

const (
	schemeWebhook = "webhook+https"
	schemeLocal   = "webhook+http"
	nameNATS      = "nats"
)

var (
	errNoScheme = errors.New("it has no known scheme; known are " + schemeWebhook + ", " + strings.Join(shoutrrrSchemes, ", "))
	errNoUse    = errors.New("it is neither for alerts nor for the fallback")
)

// build makes the channels. Its error names each wrong one by number and
// scheme and shows nothing else of it.
func build(targets []Target, publisher Publisher) ([]way, error) {
	var ways []way
	var wrong []error
	for i, t := range targets {
		w, err := t.open()
		w.name = fmt.Sprintf("%d", i+1)
		if s := t.scheme(); s != "" {
			w.name = fmt.Sprintf("%d (%s)", i+1, s)
		}
		if err != nil {
			wrong = append(wrong, fmt.Errorf("alert channel %s: %w", w.name, err))
			continue
		}
		ways = append(ways, w)
	}
	if publisher != nil {
		ways = append(ways, way{channel: published{publisher}, name: nameNATS, alerts: true})
	}
	return ways, errors.Join(wrong...)
}

func (t Target) open() (way, error) {
	w := way{alerts: t.Alerts, fallback: t.Fallback}
	if !t.Alerts && !t.Fallback {
		return w, errNoUse
	}
	var err error
	switch t.scheme() {
	case "":
		err = errNoScheme
	case schemeWebhook, schemeLocal:
		w.channel, err = newWebhook(t.URL)
	default:
		w.channel, err = newShoutrrr(t.URL)
	}
	return w, err
}

// scheme is the URL's scheme if it is a known one: what stands before the
// first colon of something else could be part of a secret.
func (t Target) scheme() string {
	before, _, _ := strings.Cut(t.URL, "://")
	if before == schemeWebhook || before == schemeLocal {
		return before
	}
	name, _, _ := strings.Cut(before, "+")
	if slices.Contains(shoutrrrSchemes, name) {
		return name
	}
	return ""
}
