package alert

import (
	"time"

	"wechat-bridge/bridge/wire"
)

// Types of the CloudEvents that webhook and NATS get.
const (
	TypeAlert    = wire.TypeAlert
	TypeFallback = "wechat.fallback"
)

// Alert is the data of a wechat.alert.
type Alert struct {
	Account    string       `json:"account"`
	Kind       Kind         `json:"kind"`
	Outage     string       `json:"outage,omitempty"` // the same for all alerts of one outage
	Title      string       `json:"title"`
	Text       string       `json:"text"`
	Since      *time.Time   `json:"since,omitempty"`
	DownMS     int64        `json:"down_ms,omitempty"`
	Waited     uint64       `json:"waited,omitempty"` // the most messages that waited at once
	State      string       `json:"state,omitempty"`
	Sending    string       `json:"sending,omitempty"`
	UserAction string       `json:"user_action,omitempty"`
	Reason     *wire.Reason `json:"reason,omitempty"`
	Backlog    wire.Backlog `json:"backlog"`
	Link       string       `json:"link,omitempty"`
	Simulated  bool         `json:"simulated,omitempty"`
}

// message renders a notice for all channels.
func message(lang string, n Notice) (Message, error) {
	title, body := Render(lang, n)
	c := n.Connection
	a := Alert{
		Account: n.Account, Kind: n.Kind, Outage: n.Outage, Title: title, Text: body,
		DownMS: n.Down.Milliseconds(), Waited: n.Waited, State: c.State, Sending: c.Sending,
		UserAction: c.UserAction, Reason: c.Reason, Backlog: c.Backlog, Link: n.Link, Simulated: c.Simulated,
	}
	if !n.Since.IsZero() {
		since := n.Since.UTC()
		a.Since = &since
	}
	event, err := wire.Seal(n.Account, TypeAlert, n.ID(), string(n.Kind), n.At, "", a)
	return Message{ID: n.ID(), Kind: n.Kind, Title: title, Body: body, Event: event}, err
}
