package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"wechat-bridge/bridge/sim"
)

// TestScripts are the command line as a user meets it. Beside testscript's own
// commands they have:
//
//	code N COMMAND…   runs it and wants this exit code
//	bridge [FLAG…]    starts a simulator and `run`, connected; sets NATS, HTTP
//	say NAME TEXT     somebody writes to the account
//	fault ENDPOINT RET  the simulator answers this endpoint so from now on
//	sees TEXT         runs `watch` until it prints TEXT, then interrupts it
//	took TYPE WHAT    WeChat has a message of this type with this text or size
//	printable         the last output has nothing in it that moves a cursor
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               setupScript,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code": cmdCode, "bridge": cmdBridge, "say": cmdSay, "fault": cmdFault, "sees": cmdSees, "took": cmdTook, "printable": cmdPrintable,
		},
	})
}

type simKey struct{}

// stage is the simulator of one script.
type stage struct{ sim *sim.Server }

func setupScript(env *testscript.Env) error {
	env.Values[simKey{}] = &stage{}
	port, err := freePort()
	env.Setenv("NOBODY", "nats://127.0.0.1:"+strconv.Itoa(port)) // nothing listens there
	env.Setenv("ESC", "\x1b")
	env.Vars = append(env.Vars, quickExit)
	return err
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func cmdCode(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	if neg || err != nil {
		ts.Fatalf("usage: code N COMMAND…")
	}
	got := 0
	var exit *exec.ExitError
	switch err := ts.Exec(args[1], args[2:]...); {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func cmdBridge(ts *testscript.TestScript, _ bool, args []string) {
	st := ts.Value(simKey{}).(*stage)
	opts := sim.Options{Listen: "127.0.0.1:0", Hold: time.Second, AutoLogin: true, Echo: "off", CAFile: ts.MkAbs("ca.pem")}
	if file, err := os.Open(ts.MkAbs("world.yaml")); err == nil {
		opts.World, err = sim.LoadWorld(file)
		ts.Check(err)
		file.Close()
	}
	s, err := sim.Start(opts)
	ts.Check(err)
	ts.Defer(func() { s.Close() })
	st.sim = s
	// args[0] says what to wait for.
	p, err := launch(isolated(), nil, append([]string{"run", "--data-dir", ts.MkAbs("data"), "--nats-listen", "127.0.0.1:0",
		"--http", "127.0.0.1:0", "--pace", "off", "--wechat-endpoint", "https://" + s.Addr(), "--wechat-ca", ts.MkAbs("ca.pem")}, args[1:]...)...)
	ts.Check(err)
	ts.Defer(p.kill)
	url, err := p.await(p.out, `NATS +(nats://\S+)`)
	ts.Check(err)
	http, err := p.await(p.out, `HTTP +http://(\S+)/healthz`)
	ts.Check(err)
	_, err = p.await(p.out, args[0])
	ts.Check(err)
	ts.Setenv("NATS", url)
	ts.Setenv("HTTP", http)
	ts.Setenv("RUN_OUTPUT", ts.MkAbs("run.out"))
	ts.Check(os.WriteFile(ts.MkAbs("run.out"), []byte(p.out.String()), 0o600))
}

func cmdSay(ts *testscript.TestScript, _ bool, args []string) {
	text, err := strconv.Unquote(`"` + args[1] + `"`)
	ts.Check(err)
	_, err = ts.Value(simKey{}).(*stage).sim.Say(sim.Message{From: args[0], Type: "text", Text: text})
	ts.Check(err)
}

func cmdFault(ts *testscript.TestScript, _ bool, args []string) {
	ret, err := strconv.Atoi(args[1])
	ts.Check(err)
	_, err = ts.Value(simKey{}).(*stage).sim.AddFault(sim.Fault{On: args[:1], Do: "ret", Ret: ret})
	ts.Check(err)
}

func cmdTook(ts *testscript.TestScript, _ bool, args []string) {
	var has []string
	for _, e := range ts.Value(simKey{}).(*stage).sim.Sent() {
		what := e.Content
		if e.Media != nil {
			what = strconv.FormatInt(e.Media.Size, 10)
		}
		if e.Type == args[0] && what == args[1] {
			return
		}
		has = append(has, e.Type+" "+what)
	}
	ts.Fatalf("WeChat has %q", has)
}

// cmdSees leaves what was printed in the file watched.
func cmdSees(ts *testscript.TestScript, _ bool, args []string) {
	p, err := launch(isolated(), nil, append([]string{"watch", "--history", "--nats", ts.Getenv("NATS")}, args[1:]...)...)
	ts.Check(err)
	defer p.kill()
	_, err = p.await(p.out, args[0])
	ts.Check(err)
	ts.Check(p.cmd.Process.Signal(os.Interrupt))
	code, err := p.ends()
	ts.Check(err)
	if code != exitGood {
		ts.Fatalf("watch ended with %d: %s", code, p.err)
	}
	ts.Check(os.WriteFile(ts.MkAbs("watched"), []byte(p.out.String()), 0o600))
}

func cmdPrintable(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		if err := printableText(ts.ReadFile(name)); err != nil {
			ts.Fatalf("%s: %v", name, err)
		}
	}
}

// colour is what our own QR code may do.
var colour = strings.NewReplacer("\x1b[30;107m", "", "\x1b[0m", "", "\x1b[K", "", "\r", "")

// printableText wants no escape, no other control and no change of direction.
func printableText(text string) error {
	for _, r := range colour.Replace(text) {
		bad := r < ' ' && r != '\n' || r >= 0x7f && r < 0xa0 || r >= 0x200b && r <= 0x200f || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
		if bad {
			return fmt.Errorf("%U in %q", r, text)
		}
	}
	return nil
}

// TestEveryCommandHasAnExample reads the help of each command.
func TestEveryCommandHasAnExample(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"run", "demo", "sim", "send", "watch", "status", "get", "login", "logout"} {
		r := runs(t, name, "--help")
		if r.code != exitGood || r.err != "" || !strings.Contains(r.out, "Example") || !strings.Contains(r.out, "wechat-bridge "+name) {
			t.Errorf("%s --help: exit code %d\n%s%s", name, r.code, r.out, r.err)
		}
		for _, line := range strings.Split(r.out, "\n") {
			if len([]rune(line)) > 140 {
				t.Errorf("%s --help has a line of %d characters: %s", name, len([]rune(line)), line)
			}
		}
	}
}
