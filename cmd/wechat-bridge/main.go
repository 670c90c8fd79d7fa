// Command wechat-bridge is a worker between NATS and WeChat, a simulator of
// WeChat's servers, and the small clients that go with them.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"wechat-bridge/bridge"
	"wechat-bridge/bridge/wire"
)

// Exit codes, as in CONTRACT "Commands".
const (
	exitGood      = 0
	exitFailed    = 1
	exitUsage     = 2
	exitUnhealthy = 3
)

// commands is the command line. Flags are declared where they are used; the
// worker's are those of bridge.Config.
type commands struct {
	Config  string           `help:"YAML file; its keys are the names of flags." placeholder:"FILE"`
	Lang    string           `help:"Language of messages for people: en or zh." enum:"en,zh" default:"${lang}"`
	Version kong.VersionFlag `help:"Print the version and leave." env:"-"`

	Run    runCmd    `cmd:"" help:"Run the worker between NATS and WeChat."`
	Demo   demoCmd   `cmd:"" help:"See it work, without an account and with nothing to install."`
	Sim    simCmd    `cmd:"" help:"Run the simulated WeChat servers."`
	Send   sendCmd   `cmd:"" help:"Send a message."`
	Watch  watchCmd  `cmd:"" help:"Print what happens on WeChat, and what became of messages."`
	Status statusCmd `cmd:"" help:"Print how the connection is; exit code 3 if it is not well."`
	Get    getCmd    `cmd:"" help:"Print what became of a message."`
	Login  loginCmd  `cmd:"" help:"Ask for a new login."`
	Logout logoutCmd `cmd:"" help:"Log out of WeChat and stay logged out."`
	Alert  alertCmd  `cmd:"" help:"Alerts: try whether people would be told."`
	Pause  pauseCmd  `cmd:"" help:"Hold sends; messages are kept."`
	Resume resumeCmd `cmd:"" help:"Let sends go on."`

	Classify classifyCmd `cmd:"" help:"Explain error texts: what they mean and what to do."`
}

// usageError is a wrong command line or configuration.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// exitError ends the program with a code; its message may be empty.
type exitError struct {
	code int
	msg  string
}

func (e exitError) Error() string { return e.msg }

// terminal is where a command writes for people, and in which language.
type terminal struct {
	ctx  context.Context
	in   io.Reader // what a flag reads with -
	out  io.Writer // what was asked for
	err  io.Writer // everything else
	lang string
	self string // how this program is started; empty: wechat-bridge
}

// say gives the sentence in the terminal's language. Commands in it are as they
// have to be typed here.
func (t *terminal) say(en, zh string) string {
	text := en
	if t.lang == "zh" {
		text = zh
	}
	if t.self == "" {
		return text
	}
	return strings.ReplaceAll(text, program+" ", t.self+" ")
}

// program is our name where it is on the PATH.
const program = "wechat-bridge"

// startedAs is what a person types to start this program again: what was typed
// for this start, if it is not found by its name alone.
func startedAs(arg string) string {
	switch {
	case strings.Contains(arg, "go-build"): // a copy of go run's, gone when it ends
		return "go run ./cmd/" + program
	case !strings.ContainsRune(arg, os.PathSeparator), strings.ContainsAny(arg, " \t'\"\\$"):
		return program
	}
	if found, err := exec.LookPath(program); err == nil && found == arg {
		return program
	}
	return arg
}

func main() {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		cancel()
		<-signals
		os.Exit(exitFailed) // at once: what is in flight stays "sending"
	}()
	os.Exit(execute(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// execute runs one command line and returns the exit code.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	err := dispatch(ctx, args, stdout, stderr)
	if err == nil {
		return exitGood
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = errors.New("interrupted")
	}
	if msg := err.Error(); msg != "" {
		fmt.Fprintln(stderr, "wechat-bridge: "+printableLines(msg))
	}
	return exitCode(err)
}

// printableLines keeps what strangers wrote into an error from moving the
// cursor; line breaks of our own stay.
func printableLines(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = wire.Printable(line, 1000)
	}
	return strings.Join(lines, "\n")
}

func exitCode(err error) int {
	var exit exitError
	var usage usageError
	var config *bridge.ConfigError
	var parse *kong.ParseError
	switch {
	case errors.As(err, &exit):
		return exit.code
	case errors.As(err, &usage), errors.As(err, &config), errors.As(err, &parse):
		return exitUsage
	}
	return exitFailed
}

// leave is how kong's help and version flags end the program.
type leave struct{ code int }

func dispatch(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	defer func() {
		if r := recover(); r != nil {
			l, ok := r.(leave)
			if !ok {
				panic(r)
			}
			err = nil
			if l.code != 0 {
				err = exitError{code: l.code}
			}
		}
	}()
	file, err := readConfig(configPath(args))
	if err != nil {
		return err
	}
	var cli commands
	parser, err := kong.New(&cli,
		kong.Name("wechat-bridge"),
		kong.Description("A bridge between NATS and WeChat: publish to wechat.send, subscribe to wechat.events, watch wechat.status."),
		kong.Vars{"lang": defaultLang(), "version": "wechat-bridge " + version()},
		kong.DefaultEnvars(envPrefix),
		kong.Resolvers(file),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { panic(leave{code}) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true, WrapUpperBound: 100}),
	)
	if err != nil {
		return fmt.Errorf("build the command line: %w", err)
	}
	if err := checkEnvironment(parser.Model, os.Environ()); err != nil {
		return err
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	chosen, err := parser.Parse(args)
	if err != nil {
		return parseError(err, file, args)
	}
	term := &terminal{ctx: ctx, in: os.Stdin, out: stdout, err: stderr, lang: cli.Lang, self: startedAs(os.Args[0])}
	err = chosen.Run(term)
	var config *bridge.ConfigError
	if errors.As(err, &config) {
		return fmt.Errorf("%w%s", err, file.origin(args, config.Key))
	}
	return err
}

var flagInError = regexp.MustCompile(`^--([a-z-]+)`)

// parseError adds where a bad value came from and where to read more.
func parseError(err error, file *configFile, args []string) error {
	var usage usageError
	if errors.As(err, &usage) {
		return err
	}
	where := ""
	if m := flagInError.FindStringSubmatch(err.Error()); m != nil && !strings.Contains(err.Error(), " (from ") {
		where = file.origin(args, m[1])
	}
	help := startedAs(os.Args[0])
	var parse *kong.ParseError
	if errors.As(err, &parse) && parse.Context.Command() != "" {
		help += " " + strings.Fields(parse.Context.Command())[0]
	}
	return usageError{fmt.Errorf("%w%s%s\nsee: %s --help", err, nearestWord(err.Error()), where, help)}
}

var wordInError = regexp.MustCompile(`must be one of (.*) but got "(.*)"$`)

// nearestWord is a question about a flag's word that was probably meant.
func nearestWord(text string) string {
	m := wordInError.FindStringSubmatch(text)
	if m == nil {
		return ""
	}
	if near := wire.Nearest(m[2], strings.Split(strings.ReplaceAll(m[1], `"`, ""), ",")); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return ""
}

// defaultLang follows the locale, as other Unix programs do.
func defaultLang() string {
	for _, name := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		if v := os.Getenv(name); v != "" {
			if len(v) >= 2 && v[:2] == "zh" {
				return "zh"
			}
			return "en"
		}
	}
	return "en"
}

// version is the module's version and the commit it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 && (v == "" || v == "(devel)") {
			v = "devel-" + s.Value[:12]
		}
	}
	if v == "" || v == "(devel)" {
		v = "devel"
	}
	return v
}
