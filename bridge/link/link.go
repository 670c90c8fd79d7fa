// Package link is an account's connection to WeChat: a pure state machine, the
// loop that performs what it decides, the login ladder with its budget, the
// circuit breaker that is the only gate, back-off and heartbeat.
//
// It knows no NATS, no HTTP and no message bodies.
package link

import (
	"context"
	"errors"

	"github.com/rs/zerolog"

	"wechat-bridge/bridge/wechat"
	"wechat-bridge/classifier"
)

// What Admit, Login and Logout refuse with.
var (
	ErrHeld     = errors.New("the connection to WeChat is down: sends wait")
	ErrPaused   = errors.New("sending is paused")
	ErrBlocked  = errors.New("the account is blocked; only a forced login leaves this state")
	ErrLoggedIn = errors.New("already connected; a forced login replaces the session")
	ErrBudget   = errors.New("the budget of logins is used up")
	ErrNoCode   = errors.New("no login waits for digits now")
	ErrBusy     = errors.New("a logout is under way")
	ErrStopped  = errors.New("the connection is stopped")
)

// Sink takes what WeChat told: it stores the events of a batch and then
// commits the batch's cursor on r. An error means that storage is away; the
// link keeps the batch and calls again, with back-off, until it works.
type Sink interface {
	Take(ctx context.Context, r wechat.Receiver, b wechat.Batch) error
}

// Config is what a link needs.
type Config struct {
	Account   string
	Transport wechat.Transport
	// Memory keeps budget, back-off, blocked state and identity over a crash.
	Memory wechat.Vault
	Sink   Sink
	// Observe is called on every change that a person would call one (not for
	// counters and times), in order, by one goroutine; it must not block.
	Observe func(Status)
	Log     zerolog.Logger
	Rand    func() float64 // jitter in [0,1); called by one goroutine
	Limits  Limits         // zero fields take their defaults
}

var _ = classifier.Verdict{}
