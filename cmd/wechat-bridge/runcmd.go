package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/rs/zerolog"

	"wechat-bridge/bridge"
)

// runCmd runs the worker. Its flags are those of bridge.Config.
type runCmd struct {
	bridge.Config `embed:""`
	LogLevel      string `name:"log-level" help:"debug, info, warn or error; auto is warn on a terminal, else info." enum:"auto,debug,info,warn,error" default:"auto" group:"Logs"`
	LogFormat     string `name:"log-format" help:"text for people, json for machines." enum:"text,json" default:"text" group:"Logs"`
}

// Help is the long help text of the command.
func (runCmd) Help() string {
	return `Example, with an embedded NATS server and your own account:
  wechat-bridge run
Example, with the simulator and your own NATS server:
  wechat-bridge run --nats nats://127.0.0.1:4222 --wechat-endpoint https://127.0.0.1:8443 --wechat-ca ./wechat-sim-ca.pem`
}

// Run works until the context ends; a second signal leaves at once.
func (c *runCmd) Run(t *terminal) error {
	show := newScreen(t)
	level, err := c.level(show, t.err)
	if err != nil {
		return usageError{err}
	}
	calm := bridge.CalmLog(c.lines(show, t.err))
	defer calm.Close()
	stop := everySecond(show.Tick)
	defer stop()
	worker, err := bridge.New(c.Config, bridge.Options{
		Version: version(), Log: newLog(calm, level), Observe: show.Show, NATS: show.NATS,
		Ready: func(i bridge.Info) { greet(t, i) },
	})
	if err != nil {
		return err
	}
	defer context.AfterFunc(t.ctx, func() { show.leaving(c.Grace) })()
	return worker.Run(t.ctx)
}

// level of the log: on a terminal the screen already says what happens.
func (c *runCmd) level(show *screen, w io.Writer) (zerolog.Level, error) {
	name := c.LogLevel
	if name == "auto" {
		name = "info"
		if show.live && isTerminal(w) {
			name = "warn"
		}
	}
	return zerolog.ParseLevel(name)
}

// lines is where the log goes: stderr, without disturbing the screen.
func (c *runCmd) lines(show *screen, w io.Writer) io.Writer {
	out := w
	if show.live && isTerminal(w) {
		out = show.logs(w)
	}
	if c.LogFormat == "json" {
		return out
	}
	return forPeople(out, isTerminal(w))
}

// greet says where everything is, in one screenful.
func greet(t *terminal, i bridge.Info) {
	kind := t.say("your server", "外部服务器")
	if i.Embedded {
		kind = t.say("embedded; guests of this machine may send and watch", "内置；本机访客可发送和查看")
	}
	fmt.Fprintf(t.out, "NATS    %s (%s)\n", i.NATS, kind)
	fmt.Fprintf(t.out, "HTTP    http://%s/healthz\n", reachable(i.HTTP))
	fmt.Fprintf(t.out, "%s %s\n", t.say("Account", "账号   "), i.Account)
	if i.Simulated {
		fmt.Fprintln(t.out, t.say("This is a simulated WeChat: nobody real gets anything.", "这是模拟微信：不会有真人收到任何消息。"))
	}
}

// reachable is an address that can be opened on this machine where all of its
// addresses are listened on.
func reachable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return addr
}

func everySecond(tick func(time.Time)) (stop func()) {
	ticker := time.NewTicker(time.Second)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-done:
				return
			case now := <-ticker.C:
				tick(now)
			}
		}
	}()
	return func() { ticker.Stop(); close(done) }
}
