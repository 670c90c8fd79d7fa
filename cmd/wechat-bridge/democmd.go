package main

import "wechat-bridge/bridge"

// demoCmd tells the story on one screen.
type demoCmd struct {
	Exit    bool   `help:"Leave after the story; exit code 0 only if the simulator's ledger and the stored records agree with it." env:"-"`
	Night   bool   `help:"Play the night of the 1,328 errors: eight hours in a minute." env:"-"`
	DataDir string `help:"Keep the data in this folder." type:"path" placeholder:"DIR" env:"-"`
	Verbose bool   `help:"Also print the worker's log." env:"-"`
}

// Help is the long help text of the command.
func (demoCmd) Help() string {
	return "Examples:\n  wechat-bridge demo\n  wechat-bridge demo --night --exit"
}

// Run plays WeChat, NATS and the worker in this process.
func (c *demoCmd) Run(t *terminal) error {
	o := bridge.DemoOptions{
		DataDir: c.DataDir, Exit: c.Exit, Night: c.Night, Out: t.out, Say: t.say, Version: version(),
	}
	if c.Verbose {
		o.LogTo = forPeople(t.err, isTerminal(t.err))
	}
	return bridge.Demo(t.ctx, o)
}
