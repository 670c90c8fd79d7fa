package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"wechat-bridge/bridge"
	"wechat-bridge/bridge/broker"
	"wechat-bridge/bridge/wire"
)

// alertCmd is about telling people.
type alertCmd struct {
	Test alertTestCmd `cmd:"" help:"Have the worker send a test message over each of its channels."`
}

// alertTestCmd tries the channels of the running worker.
type alertTestCmd struct {
	clientFlags `embed:""`
}

// Help is the long help text of the command.
func (alertTestCmd) Help() string { return "Example:\n  wechat-bridge alert test" }

// testTime is how long the worker may try its channels.
const testTime = 40 * time.Second

// Run prints what became of each channel; exit code 1 if one failed.
func (c *alertTestCmd) Run(t *terminal) error {
	c.Timeout = max(c.Timeout, testTime)
	return c.with(t, func(ctx context.Context, client *broker.Client) error {
		body, err := client.Request(ctx, c.Account, "alert.test", nil)
		if err != nil {
			return err
		}
		var results []bridge.AlertResult
		if err := json.Unmarshal(body, &results); err != nil {
			return fmt.Errorf("the worker's answer cannot be read: %w", err)
		}
		return c.print(t, results)
	})
}

func (c *alertTestCmd) print(t *terminal, results []bridge.AlertResult) error {
	failed := len(results) == 0
	for _, r := range results {
		failed = failed || !r.OK
		if c.JSON {
			if err := printJSON(t, r); err != nil {
				return err
			}
			continue
		}
		what := t.say("taken", "已送达")
		if !r.OK {
			what = t.say("failed: ", "失败：") + wire.Printable(r.Error, 200)
		}
		fmt.Fprintf(t.out, "%s %s\n", pad(wire.Printable(r.Channel, 60), 20), what)
	}
	if len(results) == 0 {
		return fmt.Errorf("%s", t.say("no channel is configured: give --alert-file to `wechat-bridge run`", "没有配置告警通道：请给 `wechat-bridge run` 加 --alert-file"))
	}
	if failed {
		return exitError{code: exitFailed}
	}
	return nil
}
