package main

import (
	"context"
	"errors"
	"fmt"

	"wechat-bridge/bridge/broker"
)

// watchCmd prints events and records as they come.
type watchCmd struct {
	History bool `help:"Print what is stored first." env:"-"`
	Events  bool `help:"Only what happens on WeChat." xor:"what" env:"-"`
	Records bool `help:"Only the records of connection and deliveries." xor:"what" env:"-"`
	All     bool `help:"All accounts." env:"-"`

	clientFlags `embed:""`
}

// Help is the long help text of the command.
func (watchCmd) Help() string {
	return `Example:
  wechat-bridge watch
  wechat-bridge watch --history --records --json`
}

// Run prints until it is interrupted.
func (c *watchCmd) Run(t *terminal) error {
	client, done, err := c.open(t)
	if err != nil {
		return err
	}
	defer done()
	account := c.Account
	if c.All {
		account = ""
	}
	p := printer{t: t, json: c.JSON}
	err = client.Watch(t.ctx, broker.Watch{
		Account: account, Events: !c.Records, Status: !c.Events, History: c.History,
	}, func(r broker.Record) error { p.record(r); return nil })
	if t.ctx.Err() != nil || errors.Is(err, context.Canceled) {
		return nil
	}
	return explain(t, err)
}

// getCmd prints the life of one delivery.
type getCmd struct {
	ID string `arg:"" help:"The id of the command; part n of a list is ID~n."`

	clientFlags `embed:""`
}

// Help is the long help text of the command.
func (getCmd) Help() string { return "Example:\n  wechat-bridge get order-42" }

// Run prints the records, oldest first.
func (c *getCmd) Run(t *terminal) error {
	return c.with(t, func(ctx context.Context, client *broker.Client) error {
		records, err := client.Get(ctx, c.Account, c.ID)
		if err != nil {
			return err
		}
		if len(records) == 0 {
			return fmt.Errorf(t.say("nothing is known of %q; it was never accepted, or its records are older than the horizon", "没有 %q 的记录：从未接受过，或记录已超过保留期"), c.ID)
		}
		p := printer{t: t, json: c.JSON}
		for _, r := range records {
			p.record(r)
		}
		return nil
	})
}
