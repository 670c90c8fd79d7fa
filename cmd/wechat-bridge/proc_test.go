package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// patience bounds every wait of these tests; the machine may be busy.
const patience = 90 * time.Second

// TestMain makes this test binary a `wechat-bridge` on the PATH, so that the
// tests run real processes.
func TestMain(m *testing.M) {
	// They wait for processes more than they compute. A flag given wins.
	_ = flag.Set("test.parallel", "5")
	testscript.Main(m, map[string]func(){"wechat-bridge": main})
}

// process is a running wechat-bridge.
type process struct {
	name string
	cmd  *exec.Cmd
	out  *tail // stdout
	err  *tail // stderr
	done chan struct{}
}

// tail collects what a process writes and wakes those who wait for it.
type tail struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	more chan struct{}
}

func newTail() *tail { return &tail{more: make(chan struct{})} }

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	close(t.more)
	t.more = make(chan struct{})
	return t.buf.Write(p)
}

func (t *tail) String() string { s, _ := t.now(); return s }

func (t *tail) now() (string, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.String(), t.more
}

// isolated is this process's environment without anything that sets a flag.
func isolated(more ...string) []string {
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, envPrefix) && !strings.HasPrefix(e, "LC_") && !strings.HasPrefix(e, "LANG") {
			env = append(env, e)
		}
	}
	return append(append(env, quickExit), more...)
}

// quickExit keeps a process that was built with the race detector from
// sleeping for a second at its end.
const quickExit = "GORACE=atexit_sleep_ms=0"

// launch starts a wechat-bridge with these arguments.
func launch(env []string, stdout io.Writer, args ...string) (*process, error) {
	p := &process{name: "wechat-bridge " + strings.Join(args[:1], " "), out: newTail(), err: newTail(), done: make(chan struct{})}
	p.cmd = exec.Command("wechat-bridge", args...)
	p.cmd.Env = env
	p.cmd.Stdout, p.cmd.Stderr = io.Writer(p.out), p.err
	if stdout != nil {
		p.cmd.Stdout = stdout
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait() // the code is in ProcessState
		close(p.done)
	}()
	return p, nil
}

// start launches a wechat-bridge that does not outlive the test.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	p, err := launch(isolated(), nil, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("%s wrote:\n%s\n%s", p.name, p.out, p.err)
		}
	})
	return p
}

// await waits until what was written matches, and returns the last group.
func (p *process) await(where *tail, pattern string) (string, error) {
	re := regexp.MustCompile(pattern)
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for ended := false; ; {
		text, more := where.now()
		if m := re.FindStringSubmatch(text); m != nil {
			return m[len(m)-1], nil
		}
		if ended {
			return "", fmt.Errorf("%s ended (%v) without %q:\n%s\n%s", p.name, p.cmd.ProcessState, pattern, p.out, p.err)
		}
		select {
		case <-more:
		case <-p.done:
			ended = true
		case <-timeout.C:
			return "", fmt.Errorf("%s never wrote %q:\n%s\n%s", p.name, pattern, p.out, p.err)
		}
	}
}

// says waits for a line on stdout.
func (p *process) says(t *testing.T, pattern string) string {
	t.Helper()
	found, err := p.await(p.out, pattern)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// ends waits for the exit code; -1 is a death by signal.
func (p *process) ends() (int, error) {
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-time.After(patience):
		return 0, errors.New(p.name + " did not end")
	}
}

func (p *process) endsWith(t *testing.T, want int) {
	t.Helper()
	code, err := p.ends()
	if err != nil {
		t.Fatal(err)
	}
	if code != want {
		t.Fatalf("%s ended with %d, want %d:\n%s\n%s", p.name, code, want, p.out, p.err)
	}
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.done
}

// result is what a command that ends has written.
type result struct {
	code     int
	out, err string
}

// runs runs a command to its end.
func runs(t *testing.T, args ...string) result {
	t.Helper()
	p := start(t, args...)
	code, err := p.ends()
	if err != nil {
		t.Fatal(err)
	}
	return result{code: code, out: p.out.String(), err: p.err.String()}
}

// failing wants a code and a sentence, and never a stack trace.
func failing(t *testing.T, want int, sentences []string, args ...string) {
	t.Helper()
	r := runs(t, args...)
	if r.code != want {
		t.Errorf("%v: exit code %d, want %d", args, r.code, want)
	}
	for _, s := range sentences {
		if !strings.Contains(r.err, s) {
			t.Errorf("%v: stderr does not say %q", args, s)
		}
	}
	if strings.Contains(r.err+r.out, "goroutine ") || strings.Contains(r.err, "panic") {
		t.Errorf("%v: a stack trace", args)
	}
	if t.Failed() {
		t.Logf("stdout:\n%s\nstderr:\n%s", r.out, r.err)
	}
}
