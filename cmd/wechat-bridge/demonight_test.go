package main

import (
	"regexp"
	"testing"
)

// demoTellsTheNight is part of TestDemo.
func demoTellsTheNight(t *testing.T) {
	p, temp := demo(t, "--night", "--exit")
	for _, line := range []string{
		`8h of it in 1m0s: one second is 8 minutes`, `Sync answers 3`, `→ reconnecting, held: .+`, `! alert: .*WeChat is away`,
		`→ connected, ramping`, `! alert: .*WeChat is back`, `Morning`, `All of it agrees`,
	} {
		p.says(t, line) // in time, each
	}
	p.endsWith(t, exitGood)
	out := p.out.String()
	for _, line := range []string{
		`faults met, by kind +webwxsync 3 ×[1-9].* refuse ×[1-9]`, `log lines +[1-5]?\d \(`, `connection lost +1 time`, `alerts +2  held, back`,
		`/healthz +·+▒*█+▒*·+ `, `messages out +120 published, ([1-9]\d*) kept while WeChat was away, ([1-9]\d*) replayed, 0 lost`,
		` 0 twice without a word, 0 out of order`, `messages in +161 told by WeChat, 0 lost`, `new logins, QR codes +0, 0`,
	} {
		if !regexp.MustCompile(line).MatchString(out) {
			t.Errorf("no line %q", line)
		}
	}
	if p.err.String() != "" || t.Failed() {
		t.Errorf("stdout:\n%s\nstderr:\n%s", out, p.err)
	}
	leftBehind(t, temp)
}
