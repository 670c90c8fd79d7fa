package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"wechat-bridge/bridge"
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
	client, done, err := c.open(t)
	if err != nil {
		return err
	}
	defer done()
	ctx, cancel := c.within(t)
	defer cancel()
	body, err := client.Request(ctx, c.Account, "status", nil)
	if errors.Is(err, broker.ErrNoWorker) {
		return c.last(t, client)
	}
	if err != nil {
		return explain(t, err)
	}
	var conn wire.Connection
	if err := json.Unmarshal(body, &conn); err != nil {
		return fmt.Errorf("the worker's answer cannot be read: %w", err)
	}
	if err := c.print(t, conn); err != nil {
		return err
	}
	if conn.State != wire.StateConnected || conn.Sending == "held" {
		return exitError{code: exitUnhealthy}
	}
	return nil
}

// last tells what was stored by a worker that does not answer now.
func (c *statusCmd) last(t *terminal, client *broker.Client) error {
	ctx, cancel := c.within(t)
	defer cancel()
	conn, at, err := client.Connection(ctx, c.Account)
	if err != nil {
		return explain(t, err)
	}
	if err := c.print(t, conn); err != nil {
		return err
	}
	return exitError{code: exitUnhealthy, msg: fmt.Sprintf(t.say("no worker answers; this is what was stored at %s", "没有 worker 应答；以上是 %s 保存的状态"), at.Local().Format(time.DateTime))}
}

func (c *statusCmd) print(t *terminal, conn wire.Connection) error {
	if c.JSON {
		return printJSON(t, conn)
	}
	name := "-"
	if conn.Identity != nil {
		name = wire.Printable(conn.Identity.Name, 64)
	}
	row := func(en, zh, value string) {
		if value != "" {
			fmt.Fprintf(t.out, "%s %s\n", pad(t.say(en, zh), 12), value)
		}
	}
	word := func(s string) string { return t.word(wire.Printable(s, 40)) }
	row("account", "账号", wire.Printable(conn.Account+" ("+conn.Transport, 80)+simulated(t, conn)+")")
	row("state", "状态", word(conn.State)+t.say(" since ", "，自 ")+conn.Since.Local().Format(time.DateTime))
	row("sending", "发送", word(conn.Sending))
	row("logged in", "登录身份", name)
	row("waiting", "等待中", fmt.Sprintf("%d", conn.Backlog.Messages))
	if conn.Reason != nil {
		row("reason", "原因", wire.Printable(conn.Reason.Code, 60)+": "+wire.Printable(t.say(conn.Reason.Message, conn.Reason.MessageZH), 400))
		row("fix", "处理", wire.Printable(t.say(conn.Reason.Fix, conn.Reason.FixZH), 400))
	}
	row("you", "需要你", wire.Printable(t.action(conn.UserAction), 200))
	if conn.RetryAt != nil {
		row("next try", "下次重试", conn.RetryAt.Local().Format(time.TimeOnly))
	}
	if conn.LastPulse != nil {
		row("last answer", "最近应答", conn.LastPulse.Local().Format(time.DateTime))
	}
	return nil
}

func simulated(t *terminal, conn wire.Connection) string {
	if !conn.Simulated {
		return ""
	}
	return t.say(", simulated", "，模拟")
}

// loginCmd asks for a new login and shows the code.
type loginCmd struct {
	Force bool   `help:"Also if the account is blocked or connected." env:"-"`
	Code  string `help:"The digits that the phone shows." env:"-"`

	clientFlags `embed:""`
}

// Help is the long help text of the command.
func (loginCmd) Help() string { return "Example:\n  wechat-bridge login" }

// Run asks the worker and shows the QR code here until somebody has scanned it.
func (c *loginCmd) Run(t *terminal) error {
	client, done, err := c.open(t)
	if err != nil {
		return err
	}
	defer done()
	ctx, cancel := c.within(t)
	defer cancel()
	_, err = client.Request(ctx, c.Account, "login", bridge.LoginRequest{Force: c.Force, Code: c.Code})
	if err != nil {
		return explain(t, err)
	}
	if c.Code != "" {
		return nil
	}
	return c.show(t, client)
}

// loginTime is how long a command waits for a person to scan.
const loginTime = 10 * time.Minute

// show follows the state until it is decided.
func (c *loginCmd) show(t *terminal, client *broker.Client) error {
	screen := newScreen(t)
	for deadline := time.Now().Add(loginTime); time.Now().Before(deadline); {
		conn, err := c.ask(t, client)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(t, conn)
		}
		screen.Show(conn)
		screen.Tick(time.Now())
		switch conn.State {
		case wire.StateConnected:
			return nil
		case wire.StateBlocked, wire.StateLoggedOut, wire.StateStopped:
			return exitError{code: exitFailed}
		}
		select {
		case <-t.ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
	return errors.New(t.say("nobody scanned the code", "没有人扫码"))
}

func (c *loginCmd) ask(t *terminal, client *broker.Client) (wire.Connection, error) {
	ctx, cancel := c.within(t)
	defer cancel()
	var conn wire.Connection
	body, err := client.Request(ctx, c.Account, "status", nil)
	if err != nil {
		return conn, explain(t, err)
	}
	return conn, json.Unmarshal(body, &conn)
}

// logoutCmd ends the session.
type logoutCmd struct {
	clientFlags `embed:""`
}

// Help is the long help text of the command.
func (logoutCmd) Help() string { return "Example:\n  wechat-bridge logout" }

// Run asks the worker to log out and to stay so.
func (c *logoutCmd) Run(t *terminal) error {
	client, done, err := c.open(t)
	if err != nil {
		return err
	}
	defer done()
	ctx, cancel := c.within(t)
	defer cancel()
	if _, err = client.Request(ctx, c.Account, "logout", nil); err != nil {
		return explain(t, err)
	}
	fmt.Fprintln(t.out, t.say("Logged out. Messages that wait are kept. Next: wechat-bridge login", "已退出登录，等待中的消息会保留。下一步：wechat-bridge login"))
	return nil
}
