package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"wechat-bridge/bridge/broker"
	"wechat-bridge/bridge/wire"
)

// statusCmd prints how the connection is.
type statusCmd struct {
	clientFlags `embed:""`
}

// Help is the long help text of the command.
func (statusCmd) Help() string { return "Example:\n  wechat-bridge status --json" }

// Run asks the worker itself; if none answers it tells the last stored state.
func (c *statusCmd) Run(t *terminal) error {
	return c.with(t, func(ctx context.Context, client *broker.Client) error {
		status, err := c.status(ctx, client)
		if errors.Is(err, broker.ErrNoWorker) {
			return c.last(t, client)
		}
		if err != nil {
			return err
		}
		if err := c.print(t, status); err != nil {
			return err
		}
		conn := status.Connection
		if conn.State != wire.StateConnected || conn.Sending == wire.SendingHeld || conn.Sending == wire.SendingPaused {
			return exitError{code: exitUnhealthy} // as /readyz: a send would not go out now
		}
		return nil
	})
}

// status is how the worker says that it is.
func (f *clientFlags) status(ctx context.Context, client *broker.Client) (wire.Status, error) {
	var status wire.Status
	body, err := client.Request(ctx, f.Account, "status", nil)
	if err != nil {
		return status, err
	}
	if err := json.Unmarshal(body, &status); err != nil {
		return status, fmt.Errorf("the worker's answer cannot be read: %w", err)
	}
	return status, nil
}

// last tells what was stored by a worker that does not answer now. It has a
// time limit of its own: waiting for the worker may have used up the first.
func (c *statusCmd) last(t *terminal, client *broker.Client) error {
	ctx, cancel := c.within(t)
	defer cancel()
	conn, at, err := client.Connection(ctx, c.Account)
	if err != nil {
		return err
	}
	if err := c.print(t, wire.Status{Connection: conn}); err != nil {
		return err
	}
	return exitError{code: exitUnhealthy, msg: fmt.Sprintf(t.say("no worker answers; this is what was stored at %s", "没有 worker 应答；以上是 %s 保存的状态"), at.Local().Format(time.DateTime))}
}

func (c *statusCmd) print(t *terminal, status wire.Status) error {
	if c.JSON {
		return printJSON(t, status)
	}
	conn := status.Connection
	row := func(en, zh, value string) {
		if value != "" {
			fmt.Fprintf(t.out, "%s %s\n", pad(t.say(en, zh), 12), value)
		}
	}
	word := func(s string) string { return t.word(wire.Printable(s, 40)) }
	row("account", "账号", wire.Printable(conn.Account+" ("+conn.Transport, 80)+simulated(t, conn)+")")
	row("state", "状态", word(conn.State)+t.say(" since ", "，自 ")+conn.Since.Local().Format(time.DateTime))
	row("sending", "发送", word(conn.Sending))
	row("logged in", "登录身份", identity(t, conn))
	row("waiting", "等待中", fmt.Sprintf("%d", conn.Backlog.Messages))
	row("pace", "节奏", paceWords(t, conn.Pace))
	if conn.Reason != nil {
		row("reason", "原因", wire.Printable(conn.Reason.Code, 60)+": "+wire.Printable(t.say(conn.Reason.Message, conn.Reason.MessageZH), 400))
		row("fix", "处理", wire.Printable(t.fix(conn), 400))
	}
	row("you", "需要你", wire.Printable(t.action(conn.UserAction), 200))
	if conn.RetryAt != nil {
		row("next try", "下次重试", conn.RetryAt.Local().Format(time.TimeOnly))
	}
	if conn.LastPulse != nil {
		row("last answer", "最近应答", conn.LastPulse.Local().Format(time.DateTime))
	}
	for _, f := range status.Faults {
		row("fault", "故障", fmt.Sprintf(t.say("%s %s at %s, %d times, last %s: %s", "%s %s，操作 %s，%d 次，最近 %s：%s"),
			wire.Printable(f.Class, 40), wire.Printable(f.Code, 60), wire.Printable(f.Operation, 40), f.Count,
			f.Last.Local().Format(time.DateTime), wire.Printable(t.say(f.Message, f.MessageZH), 200)))
	}
	return nil
}

// paceWords says how fast messages may go, and why not faster.
func paceWords(t *terminal, p wire.Pace) string {
	words := t.say("no limit", "不限速")
	if p.PerMinute > 0 {
		words = fmt.Sprintf(t.say("%.3g a minute", "每分钟 %.3g 条"), p.PerMinute)
	}
	clock := func(at *time.Time) string { return at.Local().Format("15:04:05") }
	if p.SlowedUntil != nil {
		words = t.say("slowed by WeChat, ", "被微信限速，") + words + fmt.Sprintf(t.say(", slowly faster until %s", "，逐步恢复至 %s"), clock(p.SlowedUntil))
	}
	if p.DayLeft != nil {
		words += fmt.Sprintf(t.say("; %d of %d left in 24 hours", "；24 小时内还可发 %d/%d 条"), *p.DayLeft, p.Daily)
	}
	if p.ClosedUntil != nil {
		words += fmt.Sprintf(t.say("; nothing before %s", "；%s 前不发送"), clock(p.ClosedUntil))
	}
	return words
}

// identity is who is logged in, or who was.
func identity(t *terminal, conn wire.Connection) string {
	if conn.Identity == nil {
		return "-"
	}
	name := wire.Printable(conn.Identity.Name, 64)
	switch conn.State {
	case wire.StateConnected, wire.StateReconnecting, wire.StateConnecting:
		return name
	}
	return fmt.Sprintf(t.say("- (last: %s)", "-（上次：%s）"), name)
}

func simulated(t *terminal, conn wire.Connection) string {
	if !conn.Simulated {
		return ""
	}
	return t.say(", simulated", "，模拟")
}
