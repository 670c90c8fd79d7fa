//go:build nights

package bridge

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"wechat-bridge/bridge/broker"
	"wechat-bridge/bridge/sim"
	"wechat-bridge/bridge/sim/verify"
	"wechat-bridge/bridge/wire"
)

// realNight is one scenario of the table: the simulator in this process, the
// built program in another one, seen as a user sees it.
type realNight struct {
	t      *testing.T
	script sim.Script
	sim    *sim.Server
	args   []string
	http   string
	nats   string

	mu       sync.Mutex
	proc     *exec.Cmd
	log      bytes.Buffer // of all lives
	client   *broker.Client
	began    time.Time
	commands []verify.Command
	kept     int
	told     []string
	samples  []realSample
}

// realSample is how it was at a moment.
type realSample struct {
	at       time.Time
	code     int // of /healthz; 0: no answer
	health   wire.Health
	requests map[string]int
	logins   int
	cpu      time.Duration
	rss      int // MB
	lines    int
	loud     int // warnings and errors
}

func newRealNight(t *testing.T, program string, sc sim.Script) *realNight {
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.pem")
	s, err := sim.Start(sim.Options{Listen: "127.0.0.1:0", CAFile: ca, AutoLogin: true, Echo: "off", Seed: sc.Seed})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	n := &realNight{t: t, script: sc, sim: s, http: fmt.Sprint("127.0.0.1:", freePort(t)), nats: fmt.Sprint("127.0.0.1:", freePort(t))}
	n.args = []string{program, "run", "--data-dir", filepath.Join(dir, "data"), "--nats-listen", n.nats, "--http", n.http, "--pace", "off",
		"--pace-day", "0", "--wechat-endpoint", "https://" + s.Addr(), "--wechat-ca", ca, "--log-format", "json", "--log-level", "info"}
	t.Cleanup(n.kill)
	return n
}

// Write takes the log of the process.
func (n *realNight) Write(b []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.log.Write(b)
}

func (n *realNight) start() {
	cmd := exec.Command(n.args[0], n.args[1:]...)
	cmd.Stderr = n
	if err := cmd.Start(); err != nil {
		n.t.Error(err)
		return
	}
	n.mu.Lock()
	n.proc = cmd
	n.mu.Unlock()
}

// kill is kill -9.
func (n *realNight) kill() {
	n.mu.Lock()
	cmd := n.proc
	n.proc = nil
	n.mu.Unlock()
	if cmd != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}

func (n *realNight) act(client string) {
	switch client {
	case "kill":
		n.kill()
	case "start":
		n.start()
	}
}

// connect is what a guest does.
func (n *realNight) connect(ctx context.Context) {
	n.until(time.Minute, "NATS answers", func() bool {
		conn, err := net.Dial("tcp", n.nats)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	conn, err := broker.Connect(ctx, broker.ConnConfig{URLs: "nats://" + n.nats, Name: "nights", Log: zerolog.Nop()})
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(conn.Close)
	n.client = broker.NewClient(conn, "wechat")
}

func (n *realNight) until(within time.Duration, what string, ok func() bool) bool {
	n.t.Helper()
	for deadline := time.Now().Add(within); !ok(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			n.t.Errorf("it never came true that %s", what)
			return false
		}
	}
	return true
}

// watch looks at it every half second.
func (n *realNight) watch(ctx context.Context) {
	for pause(ctx, 500*time.Millisecond) {
		s := realSample{at: time.Now()}
		st := n.sim.State()
		s.requests, s.logins = st.Requests, st.Logins
		s.code, s.health = n.ask()
		n.mu.Lock()
		if n.proc != nil {
			s.cpu, s.rss = usage(n.proc.Process.Pid)
		}
		s.lines = bytes.Count(n.log.Bytes(), []byte("\n"))
		s.loud = bytes.Count(n.log.Bytes(), []byte(`"level":"warn"`)) + bytes.Count(n.log.Bytes(), []byte(`"level":"error"`))
		n.samples = append(n.samples, s)
		n.mu.Unlock()
	}
}

func (n *realNight) ask() (code int, h wire.Health) {
	client := http.Client{Timeout: time.Second}
	resp, err := client.Get("http://" + n.http + "/healthz")
	if err != nil {
		return 0, h
	}
	defer resp.Body.Close()
	_ = json.NewDecoder(resp.Body).Decode(&h)
	return resp.StatusCode, h
}

func (n *realNight) last() realSample {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.samples) == 0 {
		return realSample{}
	}
	return n.samples[len(n.samples)-1]
}

// usage reads what Linux knows of a process.
func usage(pid int) (cpu time.Duration, rss int) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0
	}
	f := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	var user, system, pages int64
	_, _ = fmt.Sscan(f[11]+" "+f[12]+" "+f[21], &user, &system, &pages)
	return time.Duration(user+system) * 10 * time.Millisecond, int(pages * int64(syscall.Getpagesize()) >> 20)
}

// send publishes until NATS says that it is stored.
func (n *realNight) send(ctx context.Context, i int) {
	c := verify.Command{Account: "default", ID: fmt.Sprintf("night-%d", i), To: "alice"}
	to := "Alice"
	if i%2 == 0 {
		c.To, to = "team", "Team"
	}
	text := fmt.Sprintf("message %d", i)
	c.Digest = verify.Digest(text)
	body, _ := json.Marshal(map[string]string{"id": c.ID, "to": to, "text": text})
	held := n.last().code != http.StatusOK
	for ctx.Err() == nil {
		short, cancel := context.WithTimeout(ctx, 2*time.Second)
		receipt, err := n.client.Send(short, "default", "", body)
		cancel()
		if err != nil {
			pause(ctx, 200*time.Millisecond)
			continue
		}
		c.StreamSeq = receipt.Seq
		n.mu.Lock()
		n.commands = append(n.commands, c)
		if held {
			n.kept++
		}
		n.mu.Unlock()
		return
	}
}

// play has the script played with its load and waits until all has ended.
func (n *realNight) play(ctx context.Context) {
	var load sync.WaitGroup
	err := n.sim.Play(ctx, n.script, sim.PlayOptions{Speed: 1, OnStep: func(e sim.Event) {
		switch {
		case e.What == sim.EventBegin:
			n.mu.Lock()
			n.began = time.Now()
			began := n.began
			n.mu.Unlock()
			load.Go(func() { n.load(ctx, began) })
			if n.script.From == sim.FromStart {
				load.Go(n.start)
			}
		case e.Step.Client != "":
			load.Go(func() { n.act(e.Step.Client) })
		}
		if e.MsgID != "" {
			n.told = append(n.told, e.MsgID)
		}
	}})
	if err != nil {
		n.t.Error(err)
	}
	load.Wait()
}

func (n *realNight) load(ctx context.Context, began time.Time) {
	if n.client == nil {
		n.connect(ctx)
	}
	var sends sync.WaitGroup
	defer sends.Wait()
	for i, at := range sendTimes(n.script) {
		if !pause(ctx, time.Until(began.Add(at))) {
			return
		}
		n.send(ctx, i+1)
	}
}

// run plays the whole night and gives what it came to.
func (n *realNight) run() nightRow {
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Minute)
	defer stop()
	var watching sync.WaitGroup
	watching.Go(func() { n.watch(ctx) })
	if n.script.From == sim.FromLogin {
		n.start()
		n.connect(ctx)
		n.until(time.Minute, "it is connected", func() bool { return n.last().code == http.StatusOK })
		pause(ctx, 5*time.Second)
	}
	before := n.last()
	n.play(ctx)
	report := n.reckon(ctx)
	row := n.row(before, report)
	stop()
	watching.Wait()
	return row
}
