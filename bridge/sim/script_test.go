package sim

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const everything = `# all that a script can say
name: all
description: {en: All of it., zh: 全部。}
seed: 42
from: start
auto_login: never
speed: 2.5
lasts: 1h
load:
  sends: {every: 2s, times: 7}
  incoming: {every: 5s, until: 10m, from: bob, room: team}
expect:
  state: connected
  classes: [network, server]
  noticed: 10s
  back: 1m30s
  logins: 1
  qr_codes: 2
  person: true
steps:
  - at: 30s
    clear: down
  - at: 1s
    as: down
    note: {en: Down., zh: 断了。}
    repeat: {every: 1m, times: 3, until: 9m}
    fault: {on: [synccheck, webwxsync], do: ret, ret: -14, selector: 2, count: 5, probability: 0.5, for: 30s, skip: 1}
  - after_login: 4s
    repeat: {times: 2}
    phone:
      do: logout
      retcode: 1102
      forget: true
  - at: 1m
    fault: {do: throttle, rate: 20/m}
  - at: 1m
    message: {from: alice, type: image, data: aGk=, mention: [self, bob]}
  - at: 2m
    phone: {do: scan, user: Somebody}
  - at: 2m
    clear: true
  - at: 3m
    client: kill
`

func TestScriptHasAllOfIt(t *testing.T) {
	got, err := ParseScript([]byte(everything))
	must(t, err)
	want := Script{
		Name: "all", Description: Words{"All of it.", "全部。"}, Seed: 42, From: "start", AutoLogin: "never", Speed: 2.5, Lasts: time.Hour,
		Load: Load{Line: 9, Sends: Repeat{Every: 2 * time.Second, Times: 7},
			Incoming: Repeat{Every: 5 * time.Second, Until: 10 * time.Minute}, From: "bob", Room: "team"},
		Expect: Expect{State: "connected", Classes: []string{"network", "server"}, Noticed: 10 * time.Second, Back: 90 * time.Second,
			Logins: 1, QRCodes: 2, Person: true},
		Steps: []Step{
			{Line: 23, At: time.Second, As: "down", Note: Words{"Down.", "断了。"},
				Repeat: Repeat{Every: time.Minute, Times: 3, Until: 9 * time.Minute},
				Fault: &Fault{On: []string{"synccheck", "webwxsync"}, Do: "ret", Ret: -14, Selector: 2, Count: 5, Probability: 0.5,
					For: 30 * time.Second, Skip: 1}},
			{Line: 21, At: 30 * time.Second, Clear: "down"},
			{Line: 34, At: time.Minute, Fault: &Fault{On: []string{"*"}, Do: "throttle", Ret: 1205, Rate: "20/m"}},
			{Line: 36, At: time.Minute, Message: &Message{From: "alice", Type: "image", Data: []byte("hi"), Mention: []string{"self", "bob"}}},
			{Line: 38, At: 2 * time.Minute, Phone: &Phone{Do: "scan", User: "Somebody"}},
			{Line: 40, At: 2 * time.Minute, Clear: "all"},
			{Line: 42, At: 3 * time.Minute, Client: "kill"},
			{Line: 28, At: 4 * time.Second, AfterLogin: true, Repeat: Repeat{Times: 2}, Phone: &Phone{Do: "logout", Retcode: 1102, Forget: true}},
		},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	var words []string
	for _, s := range got.Steps {
		words = append(words, s.String())
	}
	if d := cmp.Diff([]string{"fault ret -14 on synccheck, webwxsync for 30s at most 5 times", "clear down", "fault throttle 1205 on * above 20/m",
		"message image from alice", "phone scan", "clear all", "client kill", "phone logout 1102"}, words); d != "" {
		t.Error(d)
	}
}

// A script without lasts ends with the last thing in it.
func TestScriptEndsWithItsLastThing(t *testing.T) {
	for steps, want := range map[string]time.Duration{
		"steps: []":                         0,
		"steps:\n  - {at: 5s, clear: true}": 5 * time.Second,
		"steps:\n  - {at: 5s, fault: {do: reset, for: 10s}}\n  - {at: 1s, clear: true}":                               15 * time.Second,
		"steps:\n  - {at: 5s, repeat: {every: 2s, times: 4}, fault: {do: reset, for: 10s}}":                           21 * time.Second,
		"steps:\n  - {at: 5s, repeat: {every: 2s, until: 10s}, message: {from: alice}}":                               9 * time.Second,
		"load: {incoming: {every: 3s, times: 5}}\nsteps:\n  - {at: 5s, clear: true}":                                  15 * time.Second,
		"load: {sends: {every: 3s, until: 1m}, incoming: {every: 3s, until: 20s}}\nsteps:\n  - {at: 5s, clear: true}": 20 * time.Second,
	} {
		sc, err := ParseScript([]byte("name: x\n" + steps))
		if err != nil || sc.Lasts != want {
			t.Errorf("%s: lasts %s, want %s (%v)", steps, sc.Lasts, want, err)
		}
	}
}

func TestWhenFaultsBeginAndEnd(t *testing.T) {
	for steps, want := range map[string]string{
		"  - {at: 5s, clear: true}": "0s 0s",
		"  - {at: 5s, fault: {do: reset, for: 10s}}\n  - {at: 50s, clear: true}":                                             "5s 15s",
		"  - {at: 5s, fault: {do: reset, for: 10s}}\n  - {at: 8s, clear: true}":                                              "5s 8s",
		"  - {at: 5s, as: a, fault: {do: reset}}\n  - {at: 8s, as: b, fault: {do: empty, for: 1s}}\n  - {at: 20s, clear: a}": "5s 20s",
		"  - {at: 5s, fault: {do: reset}}":                                                                                   "5s 1m0s",
		"  - {at: 7s, phone: {do: logout}}":                                                                                  "7s 7s",
		"  - {after_login: 7s, phone: {do: logout}}":                                                                         "7s 1m0s",
		"  - {at: 1s, repeat: {every: 2s, times: 3}, fault: {do: reset, for: 3s}}":                                           "1s 8s",
	} {
		sc, err := ParseScript([]byte("name: x\nlasts: 1m\nsteps:\n" + steps))
		must(t, err)
		if begin, end := sc.Faults(); fmt.Sprint(begin, end) != want {
			t.Errorf("%s: %s to %s, want %s", steps, begin, end, want)
		}
	}
}

// What is wrong is an error that says where, and which word.
func TestBadScripts(t *testing.T) {
	for _, tc := range []struct{ text, line, message, word string }{
		{"", "1", "it is empty", ""},
		{"\n# nothing\n", "1", "it is empty", ""},
		{"just words", "1", "wants keys with values", ""},
		{"- at: 1s", "1", "wants keys with values", ""},
		{"name: x\n\tsteps: []", "2", "", ""},
		{"name: x\nname: y", "2", "already defined", ""},
		{"name: x\nsteps: [\n", "2", "", ""},
		{"name: x\n---\nname: y", "3", "one document", ""},
		{"name: \xff", "1", "not UTF-8", ""},
		{"steps: []", "1", "needs a name", ""},
		{"name: 5", "1", "name wants text", ""},
		{"name:", "1", "name has no value", ""},
		{"name: [x]", "1", "name wants a single plain value", ""},
		{"name: &a x\n", "1", "single plain value", ""},
		{"name: !!binary aGk=", "1", "single plain value", ""},
		{"name: x\nseed: -1", "2", "seed wants a whole number", ""},
		{"name: x\nseed: 1.5", "2", "seed wants a whole number", ""},
		{"name: x\nspeed: fast", "2", "speed wants a number", ""},
		{"name: x\nspeed: 0.5", "2", "speed 0.5", ""},
		{"name: x\nspeed: .inf", "2", "speed", ""},
		{"name: x\nspeed: 200000", "2", "1 to 100000", ""},
		{"name: x\nfrom: midnight", "2", "want one of login, start", "midnight"},
		{"name: x\nauto_login: frist", "2", "always, first, never", "frist"},
		{"name: x\nlasts: -1h", "2", "lasts -1h is a negative time", ""},
		{"name: x\nlasts: 90", "2", "lasts 90 is not a duration", ""},
		{"name: x\nlasts: 9000000h", "2", "", ""},
		{"name: x\nstep: []", "2", `unknown key "step"`, "step"},
		{"name: x\nsteps: {}", "2", "steps wants a list", ""},
		{"name: x\nload: {sends: {every: 2s}}", "2", "never ends", ""},
		{"name: x\nload:\n  incoming: {evry: 2s}", "3", `unknown key "evry"`, "evry"},
		{"name: x\nlasts: 1m\nload: {incoming: {every: 1ns}}", "3", "at least 1ms", ""},
		{"name: x\nlasts: 1m\nload: {incoming: {every: 1s, times: -1}}", "3", "negative", ""},
		{"name: x\nexpect: {logins: -1}", "2", "negative", ""},
		{"name: x\nexpect: {person: maybe}", "2", "true or false", ""},
		{step("clear: true"), "4", "needs at: or after_login:", ""},
		{step("at: 1s\n    after_login: 1s\n    clear: true"), "4", "not both", ""},
		{step("after_login: 1s\n    clear: true"), "4", "how long the script lasts", ""},
		{step("at: 1s"), "4", "it has 0", ""},
		{step("at: 1s\n    clear: true\n    client: kill"), "4", "it has 2", ""},
		{step("at: -1s\n    clear: true"), "4", "negative time", ""},
		{step("at: soon\n    clear: true"), "4", "not a duration", ""},
		{step("att: 1s\n    clear: true"), "4", `unknown key "att"`, "att"},
		{step("at: 1s\n    clear: false"), "5", "clear false is neither", ""},
		{step("at: 1s\n    clear: nobody"), "4", "no fault is called nobody", "nobody"},
		{step("at: 1s\n    as: x\n    clear: true"), "4", "as: is a name for a fault", ""},
		{step("at: 1s\n    repeat: {every: 1s}\n    clear: true"), "5", "never ends", ""},
		{step("at: 1s\n    fault: {do: refsue}"), "5", "accept_then_drop", "refsue"},
		{step("at: 1s\n    fault:\n      on: [syncheck]\n      do: reset"), "6", "synccheck", "syncheck"},
		{step("at: 1s\n    fault:\n      do: reset\n      fro: 30s"), "7", `unknown key "fro"`, "fro"},
		{step("at: 1s\n    fault: {do: reset, for: -30s}"), "5", "for", ""},
		{step("at: 1s\n    fault: {do: reset, probability: 2}"), "5", "probability", ""},
		{step("at: 1s\n    fault: {do: ret}"), "5", "ret needs a code", ""},
		{step("at: 1s\n    fault: {do: throttle, rate: fast}"), "5", `rate "fast"`, ""},
		{step("at: 1s\n    fault: {do: reset, id: 3}"), "5", "the simulator's to give", ""},
		{step("at: 1s\n    phone: {do: dance}"), "5", "scan, confirm, decline, logout, forget", "dance"},
		{step("at: 1s\n    phone: {do: confirm, retcode: 1101}"), "5", "belong to logout", ""},
		{step("at: 1s\n    phone: {do: confirm, user: x}"), "5", "who scans", ""},
		{step("at: 1s\n    phone: confirm"), "5", "phone wants keys", ""},
		{step("at: 1s\n    message: {from: alice, type: txt}"), "5", "text", "txt"},
		{step("at: 1s\n    message: {form: alice}"), "5", "unknown key", "form"},
		{step("at: 1s\n    message: {from: alice, text: 5}"), "5", "text wants text", ""},
		{step("at: 1s\n    message: {from: alice, type: image, data: '%'}"), "5", "data", ""},
		{step("at: 1s\n    client: explode"), "5", "kill, start, login", "explode"},
		{"name: x\nlasts: 1m\nsteps:\n  - at: 2m\n    clear: true", "4", "after the end of the script", ""},
		{"name: x\nlasts: 1m\nsteps:\n  - after_login: 1s\n    repeat: {every: 1s}\n    clear: true", "5", "how many logins", ""},
		{"name: " + strings.Repeat("x", 1<<20), "1", "more than 64 KiB", ""},
		{"name: x\nseed: " + strings.Repeat("1", 5000), "2", "at most 4 KiB", ""},
		{"name: x\n" + strings.Repeat("[\n", 1000), "", "brackets", ""},
		{"name: x\nsteps:\n" + strings.Repeat("  - {at: 1s, clear: true}\n", 1001), "2", "at most 1000", ""},
	} {
		_, err := ParseScript([]byte(tc.text))
		var se *ScriptError
		if !errors.As(err, &se) || !errors.Is(err, ErrInvalid) {
			t.Errorf("%.60q: %v", tc.text, err)
			continue
		}
		if tc.line != "" && fmt.Sprint(se.Line) != tc.line || !strings.Contains(se.Message, tc.message) || se.Word != tc.word || (tc.word == "") != (se.Known == nil) {
			t.Errorf("%.60q: line %d, word %q of %v: %s", tc.text, se.Line, se.Word, se.Known, se.Message)
		}
	}
}

func step(text string) string { return "name: x\nseed: 1\nsteps:\n  - " + text }

func FuzzParseScript(f *testing.F) {
	f.Add(everything)
	f.Add(step("at: 1s\n    clear: true"))
	f.Add("name: " + strings.Repeat("- ", 30))
	f.Add("a: &a [*a]\n? {b: c}\n: !!x |\n  d")
	f.Fuzz(func(t *testing.T, text string) {
		begin := time.Now()
		sc, err := ParseScript([]byte(text))
		if d := time.Since(begin); d > 5*time.Second {
			t.Errorf("took %v", d)
		}
		var se *ScriptError
		if err != nil && !errors.As(err, &se) {
			t.Errorf("%v is no *ScriptError", err)
		}
		for _, s := range sc.Steps {
			if s.At < 0 || s.Line < 1 || err == nil && s.String() == "client " {
				t.Errorf("%+v", s)
			}
		}
	})
}
