package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
)

// classified runs the command on an input.
func classified(t *testing.T, asJSON bool, input string) (stdout, stderr string, failed int) {
	t.Helper()
	var out, errs bytes.Buffer
	x := &explainer{t: &terminal{ctx: context.Background(), out: &out, err: &errs, lang: "en"}, cmd: &classifyCmd{JSON: asJSON}}
	if err := x.input(strings.NewReader(input)); err != nil {
		t.Fatal(err)
	}
	return out.String(), errs.String(), x.failed
}

// Lines longer than a megabyte, or than the limit, are judged by head and tail
// and do not disturb the lines after them.
func TestClassifyLongLines(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"2 MB": 2 << 20, "above the limit": maxLine + 3<<20} {
		long := strings.Repeat("x", size) + " getaddrinfo EAI_AGAIN wx.qq.com\nuser logout\n"
		out, _, failed := classified(t, true, long)
		lines := strings.Split(strings.TrimSpace(out), "\n")
		if failed != 0 || len(lines) != 2 || !strings.Contains(lines[0], `"dns_failure"`) || !strings.Contains(lines[1], `"login_expired"`) {
			t.Errorf("%s: failed %d, %d lines\n%s", name, failed, len(lines), out)
		}
	}
	fits, _ := json.Marshal(question{Text: ptr(strings.Repeat("x", 2<<20) + " socket hang up")})
	tooLong, _ := json.Marshal(question{Text: ptr(strings.Repeat("x", maxLine+1<<20))})
	out, errs, failed := classified(t, false, string(fits)+"\n"+string(tooLong)+"\n"+`{"text":"nats: timeout"}`)
	if failed != 1 || strings.Count(out, "\n") != 2 || !strings.Contains(errs, "line 2 is no JSON with a text: longer than 8 MB") {
		t.Errorf("failed %d\n%s%s", failed, out, errs)
	}
}

func TestClassifyAnArgumentOfSeveralLinesIsOneText(t *testing.T) {
	t.Parallel()
	var out, errs bytes.Buffer
	text := "login failed\ngetaddrinfo EAI_AGAIN wx.qq.com\nLOG OUT!"
	if code := execute(context.Background(), []string{"classify", "--lang", "en", text}, &out, &errs); code != exitGood {
		t.Fatalf("exit code %d: %s", code, errs.String())
	}
	if got := out.String(); strings.Count(got, " / ") != 1 || !strings.HasPrefix(got, "network / dns_failure") || !strings.Contains(got, "login failed⏎getaddrinfo") {
		t.Errorf("%s", got)
	}
}

func ptr[T any](v T) *T { return &v }

func TestReadLine(t *testing.T) {
	t.Parallel()
	r := bufio.NewReaderSize(strings.NewReader("one\n\ntwo"), 16)
	var got []string
	for {
		line, cut, err := readLine(r)
		if cut {
			t.Error("cut")
		}
		got = append(got, string(line))
		if err != nil {
			break
		}
	}
	if strings.Join(got, "|") != "one\n|\n|two" {
		t.Errorf("%q", got)
	}
}
