package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"time"

	"github.com/rs/zerolog"

	"wechat-bridge/bridge/sim"
)

// simCmd runs the simulated servers alone.
type simCmd struct {
	Listen    string        `help:"Address of the TLS port that plays all of WeChat's hosts." default:"127.0.0.1:8443" env:"-"`
	Control   string        `help:"Address of the control API (loopback only)." default:"127.0.0.1:8081" env:"-"`
	CAFile    string        `name:"ca-file" help:"Where the CA certificate is written, its key beside it (.key); if both are there, they are used." default:"./wechat-sim-ca.pem" type:"path" env:"-"`
	Transport string        `help:"Which of WeChat's protocols to play." enum:"webwx" default:"webwx" env:"-"`
	AutoLogin bool          `name:"auto-login" help:"Play the phone: scan and confirm at once." env:"-"`
	Hold      time.Duration `help:"How long polls are held." default:"25s" env:"-"`
	QRLife    time.Duration `name:"qr-life" help:"How long a QR code is good." default:"5m" env:"-"`
	World     string        `help:"YAML file with the people and rooms." type:"existingfile" placeholder:"FILE" env:"-"`
	Contacts  int           `help:"Grow the world to so many contacts." placeholder:"N" env:"-"`
	Seed      uint64        `help:"Seed of all random choices; 0 takes a random one." default:"0" env:"-"`
	Script    string        `help:"Play a fault script: a YAML file, or a shipped night, e.g. dns-hour." placeholder:"FILE" env:"-"`
	Speed     float64       `help:"Divide all times of the script by this; 0 takes the script's own speed." default:"0" env:"-"`
	Echo      string        `help:"Whether own sends come back: off, on, sometimes; empty lets the seed choose." enum:",off,on,sometimes" default:"" env:"-"`
	Dedupe    bool          `name:"dedupe-client-msg-id" help:"Drop a message whose ClientMsgId was accepted before." env:"-"`
	LogLevel  string        `name:"log-level" help:"debug, info, warn or error." enum:"debug,info,warn,error" default:"warn" env:"-"`
}

// Help is the long help text of the command.
func (simCmd) Help() string {
	return `Example:
  wechat-bridge sim --auto-login
  wechat-bridge sim --script night-1328
  wechat-bridge run --wechat-endpoint https://127.0.0.1:8443 --wechat-ca ./wechat-sim-ca.pem`
}

// Run serves until the context ends.
func (c simCmd) Run(t *terminal) error {
	opts, err := c.options(t)
	if err != nil {
		return err
	}
	script, err := c.script(opts.World)
	if err != nil {
		return err
	}
	if opts.Seed == 0 && script != nil {
		opts.Seed = script.Seed
	}
	server, err := sim.Start(opts)
	if err != nil {
		return simError(err)
	}
	c.greet(t, server, script)
	if script != nil {
		err = c.play(t, server, *script)
	}
	if err == nil {
		<-t.ctx.Done()
	}
	return errors.Join(err, server.Close())
}

func (c simCmd) options(t *terminal) (sim.Options, error) {
	level, err := zerolog.ParseLevel(c.LogLevel)
	if err != nil {
		return sim.Options{}, usageError{err}
	}
	world, err := c.world()
	if err != nil {
		return sim.Options{}, err
	}
	return sim.Options{
		Listen: c.Listen, Control: c.Control, CAFile: c.CAFile, World: world, Hold: c.Hold, QRLife: c.QRLife,
		AutoLogin: c.AutoLogin, Seed: c.Seed, Echo: c.Echo, DedupeClientMsgID: c.Dedupe,
		Log: newLog(forPeople(t.err, isTerminal(t.err)), level),
	}, nil
}

func (c simCmd) world() (*sim.World, error) {
	world := sim.DefaultWorld()
	if c.World != "" {
		file, err := os.Open(c.World)
		if err != nil {
			return nil, usageError{err}
		}
		defer file.Close()
		if world, err = sim.LoadWorld(file); err != nil {
			return nil, usageError{fmt.Errorf("--world: %w", err)}
		}
	}
	if c.Contacts > 0 {
		world.WithContacts(c.Contacts)
	}
	return world, nil
}

// simError tells a port that is taken or a bad value from a failure.
func simError(err error) error {
	var listen *net.OpError
	var file *fs.PathError
	if errors.As(err, &listen) || errors.As(err, &file) || errors.Is(err, sim.ErrInvalid) {
		return usageError{fmt.Errorf("the simulator cannot start; choose another --listen, --control or --ca-file: %w", err)}
	}
	return err
}

func (c simCmd) greet(t *terminal, s *sim.Server, script *sim.Script) {
	fmt.Fprintf(t.out, "%s https://%s\n", t.say("Simulated WeChat:", "模拟微信服务器："), s.Addr())
	fmt.Fprintf(t.out, "%s http://%s/sim/v1/state\n", t.say("Control API:     ", "控制接口：      "), s.ControlAddr())
	fmt.Fprintf(t.out, "%s %s\n", t.say("CA certificate:  ", "CA 证书：       "), c.CAFile)
	fmt.Fprintf(t.out, t.say("Next, in another terminal:\n  wechat-bridge run --wechat-endpoint https://%s --wechat-ca %s\n",
		"接下来，在另一个终端运行：\n  wechat-bridge run --wechat-endpoint https://%s --wechat-ca %s\n"), s.Addr(), c.CAFile)
	if !c.AutoLogin && (script == nil || script.AutoLogin == "" || script.AutoLogin == sim.AutoNever) {
		fmt.Fprintf(t.out, "%s\n  curl -X POST http://%s/sim/v1/scan && curl -X POST http://%s/sim/v1/confirm\n",
			t.say("and, when it shows a QR code, play the phone:", "出现二维码后，模拟手机扫码并确认："), s.ControlAddr(), s.ControlAddr())
	}
}
