package main

import (
	"github.com/rs/zerolog"

	"wechat-bridge/bridge"
)

// demoCmd tells the story on one screen.
type demoCmd struct {
	Exit    bool   `help:"Leave after the story; exit code 0 only if the simulator's ledger and the stored records agree with it." env:"-"`
	DataDir string `help:"Keep the data in this folder." type:"path" placeholder:"DIR" env:"-"`
	Verbose bool   `help:"Also print the worker's log." env:"-"`
}

// Help is the long help text of the command.
func (demoCmd) Help() string { return "Example:\n  wechat-bridge demo" }

// Run plays WeChat, NATS and the worker in this process.
func (c *demoCmd) Run(t *terminal) error {
	log := zerolog.Nop()
	if c.Verbose {
		calm := bridge.CalmLog(forPeople(t.err, isTerminal(t.err)))
		defer calm.Close()
		log = newLog(calm, zerolog.InfoLevel)
	}
	return bridge.Demo(t.ctx, bridge.DemoOptions{
		DataDir: c.DataDir, Exit: c.Exit, Out: t.out, Say: t.say, Version: version(), Log: log,
	})
}
