package outbox

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"wechat-bridge/bridge/wire"
)

func memberField(i int) string { return "mention[" + strconv.Itoa(i) + "]" }

// target finds what a revoke takes back.
func (c *courier) target(d *delivery) (messageID string, o *outcome) {
	last, err := c.chain.last(c.ctx, d.Revoke)
	if err != nil {
		return "", &outcome{what: left}
	}
	switch {
	case last.seq == 0 || last.foreign:
		return "", c.rejectNow(d, noTarget(d.Revoke), nil)
	case !last.State.Final(): // its turn has not ended
		return "", &outcome{what: repeat, wait: holdTime}
	case last.MessageID == "":
		return "", c.rejectNow(d, &wire.Rejection{
			Code: codeNotSent, Field: "revoke", Message: "What revoke names did not go out: it is " + string(last.State) + ".",
		}, nil)
	case last.FinishedAt != nil && time.Since(*last.FinishedAt) > c.cfg.RevokeWithin:
		return "", c.rejectNow(d, &wire.Rejection{
			Code: codeTooLate, Field: "revoke", Message: "WeChat takes messages back only within " + c.cfg.RevokeWithin.String() + ".",
		}, nil)
	}
	return last.MessageID, nil
}

func noTarget(id string) *wire.Rejection {
	return &wire.Rejection{Code: codeUnknownID, Field: "revoke", Message: `Nothing was sent under the id "` + wire.Printable(id, 64) + `".`}
}

// revoke finds whom the message that is to be taken back went to: the revoke
// goes through the same chat, behind it.
func (in *intake) revoke(ctx context.Context, e *entry) (*wire.Rejection, error) {
	key, last, err := in.findTarget(ctx, e.cmd.Revoke)
	if err != nil {
		return nil, err
	}
	switch {
	case last.seq == 0 || last.foreign:
		return noTarget(e.cmd.Revoke), nil
	case last.Deliveries > 0:
		return &wire.Rejection{
			Code: wire.CodeBadValue, Field: "revoke", Message: "That was a list; name one delivery of it: the id, ~ and its number.",
		}, nil
	}
	to, r := recipientOf(last.To)
	if r != nil {
		return noTarget(e.cmd.Revoke), nil
	}
	e.target = key
	e.cmd.To = []wire.Recipient{to}
	return nil, nil
}

// findTarget reads the last record of an id, which may be a part's.
func (in *intake) findTarget(ctx context.Context, id string) (string, record, error) {
	key := wire.Key(id)
	last, err := in.chain.last(ctx, key)
	if err != nil || last.seq > 0 {
		return key, last, err
	}
	i := strings.LastIndexByte(id, '~')
	if i < 1 {
		return key, last, nil
	}
	n, bad := strconv.Atoi(id[i+1:])
	if bad != nil || n < 1 || n > wire.MaxRecipients {
		return key, last, nil
	}
	key = wire.PartKey(wire.Key(id[:i]), n)
	last, err = in.chain.last(ctx, key)
	return key, last, err
}

// recipientOf reads a recipient as a record repeats it.
func recipientOf(to json.RawMessage) (wire.Recipient, *wire.Rejection) {
	body, err := json.Marshal(map[string]any{"to": to, "text": "-"})
	if err != nil {
		return wire.Recipient{}, &wire.Rejection{Code: wire.CodeBadRecipient, Field: "to"}
	}
	c, r := wire.ParseCommand(body, "")
	if r != nil {
		return wire.Recipient{}, r
	}
	return c.To[0], nil
}
