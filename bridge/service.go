package bridge

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"wechat-bridge/bridge/broker"
	"wechat-bridge/bridge/link"
	"wechat-bridge/bridge/wire"
)

// apiVersion is the semantic version of the verbs, not of the program.
const apiVersion = "1.0.0"

// Codes of what the verbs refuse.
const (
	codeBadRequest  = "bad_request"
	codeUnknownAcct = "unknown_account"
)

// refusals are the link's refusals in the words of the API.
var refusals = []struct {
	err  error
	code string
}{
	{link.ErrBlocked, "blocked"},
	{link.ErrLoggedIn, "already_connected"},
	{link.ErrBudget, "login_budget_used"},
	{link.ErrNoCode, "no_code_wanted"},
	{link.ErrBusy, "busy"},
	{link.ErrStopped, "stopped"},
}

// serveAPI answers requests on wechat.api.<account>.>.
func (a *account) serveAPI() (stop func(), err error) {
	service, err := a.ports.Serve(apiVersion, map[string]broker.Handler{
		"status": a.statusVerb, "login": a.loginVerb, "logout": a.logoutVerb,
		"pause": a.sendingVerb(a.link.Pause), "resume": a.sendingVerb(a.link.Resume),
		"alert.test": a.w.alerts.test,
	})
	if err != nil {
		return func() {}, fmt.Errorf("offer the api: %w", err)
	}
	return service.Close, nil
}

func (a *account) statusVerb(context.Context, []byte) (any, error) {
	return wire.Status{Connection: a.connection(), Faults: a.w.facts.faults.groups()}, nil
}

// LoginRequest is what the verb login takes.
type LoginRequest struct {
	Force bool   `json:"force,omitempty"`
	Code  string `json:"code,omitempty"` // the digits that a phone shows
}

func (a *account) loginVerb(ctx context.Context, body []byte) (any, error) {
	var req LoginRequest
	if err := decodeRequest(body, &req); err != nil {
		return nil, err
	}
	if err := a.link.Login(ctx, req.Force, req.Code); err != nil {
		return nil, refusal(err)
	}
	return a.connection(), nil
}

func (a *account) logoutVerb(ctx context.Context, body []byte) (any, error) {
	if err := decodeRequest(body, &struct{}{}); err != nil {
		return nil, err
	}
	if err := a.link.Logout(ctx); err != nil {
		return nil, refusal(err)
	}
	return a.connection(), nil
}

// sendingVerb holds sends or lets them go on; the answer tells the state after
// it. Resume also agrees to the account that is logged in now, if it is another
// one than before.
func (a *account) sendingVerb(do func(context.Context) error) broker.Handler {
	return func(ctx context.Context, body []byte) (any, error) {
		if err := decodeRequest(body, &struct{}{}); err != nil {
			return nil, err
		}
		if err := do(ctx); err != nil {
			return nil, refusal(err)
		}
		return a.connection(), nil
	}
}

// decodeRequest reads one JSON object; nothing stands for {}.
func decodeRequest(body []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil && !errors.Is(err, io.EOF) {
		return &broker.CodeError{Code: codeBadRequest, Message: "not a valid request: " + wire.Printable(err.Error(), 200)}
	}
	return nil
}

func refusal(err error) error {
	for _, r := range refusals {
		if errors.Is(err, r.err) {
			return &broker.CodeError{Code: r.code, Message: err.Error()}
		}
	}
	return err
}

// answerStray is the record of a command for an account that nobody serves.
func (w *Worker) answerStray(s broker.Stray) (broker.Answer, error) {
	id := wire.MadeID(s.Seq, s.At)
	if c, _ := wire.ParseCommand(s.Body, s.MsgID); c != nil && c.ID != "" {
		id = c.ID
	}
	near := wire.Nearest(s.Account, s.Known)
	d := wire.Delivery{
		Account: s.Account, ID: id, State: wire.Rejected, Code: codeUnknownAcct, Class: codeBadRequest,
		Message: fmt.Sprintf("no worker ever served the account %q", wire.Printable(s.Account, 64)), Nearest: near,
		Certain: true, StreamSeq: s.Seq, FinishedAt: moment(time.Now()), HelpURL: w.helpURL(codeUnknownAcct),
	}
	if near != "" {
		d.Message += fmt.Sprintf("; did you mean %q?", near)
	}
	body, err := wire.SealDelivery(d, time.Now(), s.Trace)
	return broker.Answer{Key: wire.Key(id), Body: body}, err
}
