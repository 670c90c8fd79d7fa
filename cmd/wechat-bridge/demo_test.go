package main

import (
	"net"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// demo starts one whose temporary files can be counted, on a machine where the
// default ports are taken.
func demo(t *testing.T, args ...string) (p *process, temp string) {
	t.Helper()
	for _, port := range []string{"4222", "8080", "8081", "8443"} {
		if l, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil { // else somebody else has it
			t.Cleanup(func() { l.Close() })
		}
	}
	temp = t.TempDir()
	p, err := launch(isolated("TMPDIR="+temp), nil, append([]string{"demo"}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	return p, temp
}

func leftBehind(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// TestDemo plays one demo after the other: they look for free ports, and two
// that look at once may find the same.
func TestDemo(t *testing.T) {
	t.Parallel()
	t.Run("tells its story and leaves", demoTellsItsStoryAndLeaves)
	t.Run("stays up for other terminals", demoStaysUpForOtherTerminals)
	t.Run("is interrupted in the middle", demoIsInterruptedInTheMiddle)
	t.Run("tells the night", demoTellsTheNight)
}

func demoTellsItsStoryAndLeaves(t *testing.T) {
	began := time.Now()
	p, temp := demo(t, "--exit")
	p.endsWith(t, exitGood)
	if took := time.Since(began); took > time.Minute {
		t.Errorf("it took %s", took)
	}
	out := p.out.String()
	for _, line := range []string{
		`WeChat +https://127.0.0.1:844[4-9]`, `NATS +nats://127.0.0.1:42`, `connected as`,
		`demo-1 sent`, `reconnecting`, `all kept on disk`, `connected again, without a scan`,
		`id +to +text +became +number at WeChat`, `demo-6 +Alice +Message 6 +sent +[56]`,
		`6 published, 6 accepted by WeChat, 0 lost, 0 twice`,
	} {
		if !regexp.MustCompile(line).MatchString(out) {
			t.Errorf("no line %q", line)
		}
	}
	if regexp.MustCompile(`127\.0\.0\.1:(4222|8080|8081|8443)\b`).MatchString(out) {
		t.Error("a port that is taken")
	}
	if p.err.String() != "" || t.Failed() {
		t.Errorf("stdout:\n%s\nstderr:\n%s", out, p.err)
	}
	leftBehind(t, temp)
}

func demoStaysUpForOtherTerminals(t *testing.T) {
	p, temp := demo(t, "--lang", "zh")
	p.says(t, "按 Ctrl-C 结束")
	out := p.out.String()
	url := regexp.MustCompile(`wechat-bridge status (--nats \S+)`).FindStringSubmatch(out)
	if url == nil {
		t.Fatalf("no status command in:\n%s", out)
	}
	own, natscli := strings.Index(out, "wechat-bridge watch"), strings.Index(out, "nats -s")
	if own < 0 || natscli < own {
		t.Errorf("our own commands do not come first:\n%s", out)
	}
	server := strings.Fields(url[1])
	if r := runs(t, append([]string{"send", "--to", "Bob", "--text", "hi", "--wait"}, server...)...); r.code != exitGood {
		t.Errorf("send: %d\n%s%s", r.code, r.out, r.err)
	}
	if r := runs(t, append([]string{"get", "demo-3"}, server...)...); r.code != exitGood || !strings.Contains(r.out, "demo-3 sent") {
		t.Errorf("get: %d\n%s%s", r.code, r.out, r.err)
	}
	p.signal(t, syscall.SIGINT)
	p.endsWith(t, exitGood)
	leftBehind(t, temp)
}

func demoIsInterruptedInTheMiddle(t *testing.T) {
	p, temp := demo(t)
	p.says(t, "1. Login")
	p.signal(t, syscall.SIGTERM)
	if code, err := p.ends(); err != nil || code == exitUsage {
		t.Errorf("exit code %d, %v", code, err)
	}
	if strings.Contains(p.err.String(), "goroutine") {
		t.Errorf("stderr: %s", p.err)
	}
	leftBehind(t, temp)
}
