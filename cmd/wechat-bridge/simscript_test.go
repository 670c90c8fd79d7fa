package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"wechat-bridge/bridge/sim"
)

// A script's steps are told as they happen, in their order in time, and the
// simulator goes on afterwards.
func TestSimPlaysAScript(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "script.yaml")
	text := `
name: order
description: {en: Out of order., zh: 顺序打乱。}
from: start
auto_login: always
lasts: 10s
steps:
  - {at: 9s, as: last, fault: {on: [webwxsync], do: ret, ret: 1205}}
  - {at: 8s, clear: true}
  - {at: 1s, note: {en: Nobody answers., zh: 没有回应。}, fault: {do: hang}}
  - {at: 5s, message: {from: alice, text: SECRET}}
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, "sim", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0", "--ca-file", file+".pem", "--script", file, "--speed", "50", "--log-level", "info")
	p.says(t, "the script is over")
	control := p.says(t, `Control API: +(http://\S+)/sim/v1/state`)
	var at []string
	for _, line := range strings.Split(p.out.String(), "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "+") {
			at = append(at, strings.Join(strings.Fields(line), " "))
		}
	}
	want := "+0s the script begins|+1s fault hang on * # Nobody answers.|+5s message text from alice|+8s clear all|" +
		"+9s fault ret 1205 on webwxsync|+10s the script is over; the simulator goes on"
	if got := strings.Join(at, "|"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if !strings.Contains(p.out.String(), "10s of it are played in 200ms (50 times as fast)") || strings.Contains(p.out.String(), "/sim/v1/scan") {
		t.Errorf("it says:\n%s", p.out)
	}
	resp, err := http.Get(control + "/sim/v1/faults")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var faults []sim.Fault
	if err := json.NewDecoder(resp.Body).Decode(&faults); err != nil || len(faults) != 1 || faults[0].Ret != 1205 {
		t.Errorf("faults: %+v, %v", faults, err)
	}
	if strings.Contains(p.out.String()+p.err.String(), "SECRET") {
		t.Error("a message's text was printed")
	}
	p.signal(t, syscall.SIGINT)
	p.endsWith(t, exitGood)
}

// A file that is too large is refused, however it goes on.
func TestSimRefusesALargeScript(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "large.yaml")
	if err := os.WriteFile(file, append([]byte("name: large\nsteps: []\n"), bytes.Repeat([]byte("#\n"), 1<<20)...), 0o600); err != nil {
		t.Fatal(err)
	}
	r := runs(t, "sim", "--script", file)
	if r.code != exitUsage || !strings.Contains(r.err, "large.yaml:1: it has more than 64 KiB") {
		t.Errorf("exit code %d: %s", r.code, r.err)
	}
}
