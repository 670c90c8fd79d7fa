package main

import (
	"errors"
	"time"

	"wechat-bridge/bridge"
	"wechat-bridge/bridge/broker"
	"wechat-bridge/bridge/wire"
)

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
	status, err := c.status(ctx, client)
	return status.Connection, explain(t, err)
}

// logoutCmd ends the session.
type logoutCmd struct {
	clientFlags `embed:""`
}

// Help is the long help text of the command.
func (logoutCmd) Help() string { return "Example:\n  wechat-bridge logout" }

// Run asks the worker to log out and to stay so.
func (c *logoutCmd) Run(t *terminal) error {
	return c.verb(t, "logout", nil,
		t.say("Logged out. Messages that wait are kept. Next: wechat-bridge login", "已退出登录，等待中的消息会保留。下一步：wechat-bridge login"))
}

// pauseCmd holds sends.
type pauseCmd struct {
	clientFlags `embed:""`
}

// Help is the long help text of the command.
func (pauseCmd) Help() string { return "Example:\n  wechat-bridge pause" }

// Run asks the worker to hold sends until somebody resumes them.
func (c *pauseCmd) Run(t *terminal) error {
	return c.verb(t, "pause", nil,
		t.say("Paused. Messages are accepted and kept; receiving goes on. Next: wechat-bridge resume", "已暂停发送。消息照常接受并保留，接收不受影响。下一步：wechat-bridge resume"))
}

// resumeCmd lets sends go on.
type resumeCmd struct {
	clientFlags `embed:""`
}

// Help is the long help text of the command.
func (resumeCmd) Help() string {
	return "Resuming also agrees to the WeChat account that is logged in now, if it is another one than before.\n\nExample:\n  wechat-bridge resume"
}

// Run asks the worker to go on with sends.
func (c *resumeCmd) Run(t *terminal) error {
	return c.verb(t, "resume", nil,
		t.say("Resumed. What waits goes out in order. See: wechat-bridge status", "已恢复发送，等待中的消息会按顺序发出。查看：wechat-bridge status"))
}
