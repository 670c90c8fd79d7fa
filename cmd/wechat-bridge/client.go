package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"

	"wechat-bridge/bridge"
	"wechat-bridge/bridge/broker"
)

// clientFlags are what all commands share that talk to a running bridge. They
// work as a guest of the server on this machine from any folder.
type clientFlags struct {
	bridge.NATSConfig `embed:""`
	Account           string        `help:"Account name." default:"default"`
	Prefix            string        `help:"Subject prefix." default:"wechat"`
	JSON              bool          `name:"json" help:"Print JSON, one object a line."`
	Timeout           time.Duration `help:"How long to wait for an answer." default:"20s"`
	DialTimeout       time.Duration `name:"dial-timeout" help:"How long to wait for the NATS server." default:"5s"`
}

// open connects; the error of a server that is not there says what to do.
func (f *clientFlags) open(t *terminal) (*broker.Client, func(), error) {
	cfg, err := f.Connection()
	if err != nil {
		return nil, nil, err
	}
	if err := bridge.CheckNames(f.Account, f.Prefix, f.NATSConfig); err != nil {
		return nil, nil, err
	}
	cfg.Name, cfg.Log = "wechat-bridge client", zerolog.Nop()
	ctx, cancel := context.WithTimeout(t.ctx, f.DialTimeout)
	defer cancel()
	conn, err := broker.Connect(ctx, cfg)
	if err != nil {
		var access *broker.AccessError
		if errors.As(err, &access) {
			return nil, nil, usageError{err}
		}
		return nil, nil, fmt.Errorf("%s: %w", t.say("no NATS server answers; is `wechat-bridge run` or `demo` running, or do you need --nats?",
			"连接不上 NATS；`wechat-bridge run` 或 `demo` 在运行吗？或者需要 --nats？"), err)
	}
	return broker.NewClient(conn, f.Prefix), conn.Close, nil
}

// within bounds a command that waits for an answer.
func (f *clientFlags) within(t *terminal) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.ctx, f.Timeout)
}

// with connects, lets do ask within the time limit, and says in an error what a
// person can do.
func (f *clientFlags) with(t *terminal, do func(context.Context, *broker.Client) error) error {
	client, done, err := f.open(t)
	if err != nil {
		return err
	}
	defer done()
	ctx, cancel := f.within(t)
	defer cancel()
	return explain(t, do(ctx, client))
}

// verb makes one request on the worker's API and prints the connection that
// it answers with as JSON, or done for people.
func (f *clientFlags) verb(t *terminal, name string, request any, done string) error {
	return f.with(t, func(ctx context.Context, client *broker.Client) error {
		body, err := client.Request(ctx, f.Account, name, request)
		if err != nil {
			return err
		}
		if f.JSON {
			return printJSON(t, json.RawMessage(body))
		}
		fmt.Fprintln(t.out, done)
		return nil
	})
}

// explain adds what a person can do to errors of a client.
func explain(t *terminal, err error) error {
	switch {
	case errors.Is(err, broker.ErrNoBridge):
		return fmt.Errorf("%w: %s", err, t.say("start `wechat-bridge run` first", "请先启动 `wechat-bridge run`"))
	case errors.Is(err, broker.ErrNoWorker):
		return fmt.Errorf("%w: %s", err, t.say("is `wechat-bridge run` running for it?", "它的 `wechat-bridge run` 在运行吗？"))
	}
	return err
}

func printJSON(t *terminal, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(t.out, "%s\n", plainJSON(body))
	return err
}
