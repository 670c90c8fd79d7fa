package bridge

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"wechat-bridge/bridge/sim"
)

// BenchmarkColdStart is the time from the start of the process with a stored
// session to the line "Connected", and beside it, in the same run, that of a
// process that only prints its version.
func BenchmarkColdStart(b *testing.B) {
	p := newProcess(b)
	p.run(b).stop(b) // the login
	b.Run("version", func(b *testing.B) {
		for b.Loop() {
			if err := exec.CommandContext(b.Context(), p.binary, "--version").Run(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("run", func(b *testing.B) {
		for b.Loop() {
			w := p.run(b)
			b.StopTimer()
			w.stop(b)
			b.StartTimer()
		}
	})
}

// BenchmarkIdle is what a connected worker with the embedded server costs while
// nothing happens: resident memory and the share of a core.
func BenchmarkIdle(b *testing.B) {
	p := newProcess(b)
	w := p.run(b)
	defer w.stop(b)
	const span = 20 * time.Second
	for b.Loop() {
		before := w.cpu(b)
		pause(b.Context(), span)
		b.ReportMetric(100*(w.cpu(b)-before).Seconds()/span.Seconds(), "%core")
		b.ReportMetric(w.rss(b), "MB-resident")
	}
}

// process is the built binary with a simulator to talk to.
type process struct {
	binary string
	args   []string
}

func newProcess(b *testing.B) process {
	dir := b.TempDir()
	p := process{binary: filepath.Join(dir, "wechat-bridge")}
	build := exec.CommandContext(b.Context(), "go", "build", "-o", p.binary, "../cmd/wechat-bridge")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	ca := filepath.Join(dir, "ca.pem")
	s, err := sim.Start(sim.Options{Listen: "127.0.0.1:0", CAFile: ca, AutoLogin: true})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	p.args = []string{"--lang", "en", "run", "--data-dir", filepath.Join(dir, "data"), "--nats-listen", "127.0.0.1:0", "--http", "127.0.0.1:0",
		"--wechat-endpoint", "https://" + s.Addr(), "--wechat-ca", ca}
	return p
}

type running struct{ cmd *exec.Cmd }

// run starts the worker and waits until it is connected.
func (p process) run(b *testing.B) running {
	cmd := exec.CommandContext(b.Context(), p.binary, p.args...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "Connected") {
			go func() { // keep the pipe empty
				for lines.Scan() {
				}
			}()
			return running{cmd}
		}
	}
	b.Fatal("the worker ended before it was connected")
	return running{}
}

func (r running) stop(b *testing.B) {
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		b.Fatal(err)
	}
	_ = r.cmd.Wait()
}

// cpu is the time that the process has used, of proc's clock ticks of 10 ms.
func (r running) cpu(b *testing.B) time.Duration {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", r.cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')'):]))
	var ticks int
	for _, f := range fields[12:14] {
		n, err := strconv.Atoi(f)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

func (r running) rss(b *testing.B) float64 {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", r.cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(raw))[1])
	if err != nil {
		b.Fatal(err)
	}
	return float64(pages*os.Getpagesize()) / 1e6
}
