//go:build interop

package interop

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"wechat-bridge/bridge/sim"
)

// wechat4uVersion is the version that the fact sheets speak of.
const wechat4uVersion = "wechat4u@0.7.14"

// event is a line that testdata/wechat4u.js prints.
type event struct {
	Event  string `json:"event"`
	Do     string `json:"do"`
	ID     string `json:"id"`
	Type   int    `json:"type"`
	Text   string `json:"text"`
	From   string `json:"from"`
	Tips   string `json:"tips"`
	Count  int    `json:"count"`
	Result struct {
		MsgID string
		Size  int      `json:"size"`
		Names []string `json:"names"`
	} `json:"result"`
}

// node is a running wechat4u.
type node struct {
	t      *testing.T
	ctx    context.Context
	in     io.Writer
	events chan event
	seen   []event
}

// install puts wechat4u into a folder of its own that goes away after the test.
func install(ctx context.Context, t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.CommandContext(ctx, "npm", "install", "--prefix", dir, "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", wechat4uVersion)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("npm install %s (node and npm are needed): %v\n%s", wechat4uVersion, err, out)
	}
	return filepath.Join(dir, "node_modules")
}

func startNode(ctx context.Context, t *testing.T, s *sim.Server) *node {
	t.Helper()
	modules := install(ctx, t)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, s.CAPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, "node", "--require", "./testdata/preload.js", "./testdata/wechat4u.js")
	cmd.Env = append(os.Environ(), "SIM_ADDR="+s.Addr(), "NODE_EXTRA_CA_CERTS="+ca, "NODE_PATH="+modules)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	n := &node{t: t, ctx: ctx, in: in, events: make(chan event, 1000)}
	go n.read(out)
	t.Cleanup(func() {
		_ = in.Close() // the script ends when its input does
		for range n.events {
		}
		_ = cmd.Wait() // its exit code says nothing: wechat4u keeps timers
	})
	return n
}

func (n *node) read(out io.Reader) {
	defer close(n.events)
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			e = event{Event: "output", Text: lines.Text()} // wechat4u itself prints there, too
		}
		n.events <- e
	}
}

// wait returns the next event that want likes.
func (n *node) wait(what string, want func(event) bool) event {
	n.t.Helper()
	for {
		select {
		case e, ok := <-n.events:
			if !ok {
				n.t.Fatalf("wechat4u ended before %s: %+v", what, n.seen)
			}
			if n.seen = append(n.seen, e); want(e) {
				return e
			}
		case <-n.ctx.Done():
			n.t.Fatalf("%s never came: %+v", what, n.seen)
		}
	}
}

func (n *node) waitEvent(name string) event {
	n.t.Helper()
	return n.wait(name, func(e event) bool { return e.Event == name })
}

func (n *node) waitMessage(id string) event {
	n.t.Helper()
	return n.wait("message "+id, func(e event) bool { return e.Event == "message" && e.ID == id })
}

// do runs a command and returns its result.
func (n *node) do(command string, args map[string]string) event {
	n.t.Helper()
	line := map[string]string{"do": command}
	for k, v := range args {
		line[k] = v
	}
	b, err := json.Marshal(line)
	if err != nil {
		n.t.Fatal(err)
	}
	if _, err := fmt.Fprintf(n.in, "%s\n", b); err != nil {
		n.t.Fatal(err)
	}
	e := n.wait(command, func(e event) bool { return e.Do == command })
	if e.Event != "done" {
		n.t.Errorf("%s %v: %s (%s)", command, args, e.Text, e.Tips)
	}
	return e
}

func TestWechat4u(t *testing.T) {
	ctx := story(t)
	s := startSim(t)
	n := startNode(ctx, t, s)
	n.waitEvent("uuid")
	must(t, s.Scan())
	n.waitEvent("scanned")
	must(t, s.Confirm())
	n.waitEvent("login")
	n.wait("all contacts", func(e event) bool { return e.Event == "contacts" && e.Count >= 30 })

	wechat4uReceives(t, s, n)
	wechat4uSends(t, n)
	checkLedger(ctx, t, s)

	must(t, s.Logout(1101))
	n.wait("1101", func(e event) bool { return e.Event == "error" && e.Text == "'1101' == 0" })
	n.waitEvent("logout")
}

func wechat4uReceives(t *testing.T, s *sim.Server, n *node) {
	t.Helper()
	if e := n.waitMessage(say(t, s, sim.Message{From: "alice", Type: "text", Text: "a <b> 😀\nc"})); e.Text != "a <b> 😀\nc" || e.From != "Alice" {
		t.Errorf("text: %+v", e)
	}
	image := say(t, s, sim.Message{From: "bob", Type: "image", Data: photo()})
	if e := n.waitMessage(image); e.Type != 3 {
		t.Errorf("image: %+v", e)
	}
	if e := n.do("picture", map[string]string{"id": image}); e.Result.Size != len(photo()) {
		t.Errorf("picture of %d bytes, want %d", e.Result.Size, len(photo()))
	}
	if e := n.waitMessage(say(t, s, sim.Message{From: "bob", Room: "team", Type: "text", Text: "in the room"})); e.Text != "Bob:\nin the room" || e.From != "Team" {
		t.Errorf("room message: %+v", e)
	}
	if e := n.do("members", map[string]string{"to": "Team"}); len(e.Result.Names) != 3 || !slices.Contains(e.Result.Names, "Bob") {
		t.Errorf("members of Team: %v", e.Result.Names)
	}
}

func wechat4uSends(t *testing.T, n *node) {
	t.Helper()
	n.do("text", map[string]string{"to": "Alice", "text": "你好 <b>&amp;"})
	n.do("file", map[string]string{"to": "Bob", "path": write(t, "photo.png", photo())})
	n.do("file", map[string]string{"to": "Team", "path": write(t, "report.bin", document())})
	e := n.do("text", map[string]string{"to": "Team", "text": "oops"})
	n.do("revoke", map[string]string{"to": "Team", "id": e.Result.MsgID})
}
