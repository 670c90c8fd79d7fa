//go:build nights

package bridge

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"wechat-bridge/bridge/sim"
)

var update = flag.Bool("update", false, "write docs/nights.md")

const nightsFile = "../docs/nights.md"

// atOnce is how many scenarios are played side by side: they wait most of the
// time.
const atOnce = 4

// TestPeerNights plays each measured night of the bot of the story in real
// time, with the built program, and writes the table.
func TestPeerNights(t *testing.T) {
	program := filepath.Join(t.TempDir(), "wechat-bridge")
	if out, err := exec.Command("go", "build", "-trimpath", "-o", program, "wechat-bridge/cmd/wechat-bridge").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var mu sync.Mutex
	rows := map[string]nightRow{}
	turns := make(chan struct{}, atOnce)
	t.Run("nights", func(t *testing.T) {
		for _, sc := range sim.Nights() {
			if !strings.HasPrefix(sc.Name, "peer-") {
				continue
			}
			t.Run(sc.Name, func(t *testing.T) {
				t.Parallel()
				turns <- struct{}{}
				defer func() { <-turns }()
				n := newRealNight(t, program, sc)
				row := n.run()
				n.judge(row)
				t.Log(row)
				mu.Lock()
				rows[sc.Name] = row
				mu.Unlock()
			})
		}
	})
	if *update && !t.Failed() {
		if err := writeNights(rows); err != nil { // others keep their rows
			t.Error(err)
		}
	}
}

// writeNights puts the measured rows between the two marks of the page.
func writeNights(rows map[string]nightRow) error {
	page, err := os.ReadFile(nightsFile)
	if err != nil {
		return err
	}
	head, rest, ok := strings.Cut(string(page), "<!-- measured -->\n")
	_, tail, ok2 := strings.Cut(rest, "<!-- end -->\n")
	if !ok || !ok2 {
		return fmt.Errorf("%s has no place for the table", nightsFile)
	}
	lines := map[string]string{} // what was measured before, if not again
	for _, line := range strings.Split(rest, "\n") {
		if name, _, _ := strings.Cut(strings.TrimPrefix(line, "| "), " "); strings.HasPrefix(line, "| ") && name != "scenario" {
			lines["peer-"+name] = line
		}
		if line == "<!-- end -->" {
			break
		}
	}
	for name, row := range rows {
		lines[name] = strings.Replace(row.String(), "| ", "| "+strings.TrimPrefix(name, "peer-")+" ", 1)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Measured %s on %s/%s, %d cores, %d scenarios side by side.\n\n", time.Now().UTC().Format(time.DateOnly), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), atOnce)
	b.WriteString("| scenario | warnings and errors; log lines during the fault | requests/s beside the sends | its health | sent / kept / lost | incoming lost | back by itself after the fault; new logins, QR codes | CPU cores, peak RSS MB |\n|---|---|---|---|---|---|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(lines)) {
		fmt.Fprintln(&b, lines[name])
	}
	return os.WriteFile(nightsFile, []byte(head+"<!-- measured -->\n"+b.String()+"<!-- end -->\n"+tail), 0o644)
}
