package classifier

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/errors anew")

const pages = "../docs/errors"

// The pages are made from the tables. With -update they are written, and those
// of codes that are gone are removed.
func TestPages(t *testing.T) {
	want := map[string]string{"README.md": Index()}
	for _, c := range Codes() {
		page, ok := Page(c.Code)
		if !ok {
			t.Fatalf("no page for %s", c.Code)
		}
		want[c.Code+".md"] = page
	}
	if *update {
		writePages(t, want)
	}
	have, err := filepath.Glob(filepath.Join(pages, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range have {
		if _, ok := want[filepath.Base(path)]; !ok {
			t.Errorf("%s is the page of no code; run: go test ./classifier -run TestPages -update", path)
		}
	}
	for name, text := range want {
		got, err := os.ReadFile(filepath.Join(pages, name))
		if err != nil || string(got) != text {
			t.Errorf("%s differs from the tables (%v); run: go test ./classifier -run TestPages -update", name, err)
		}
	}
}

func writePages(t *testing.T, want map[string]string) {
	t.Helper()
	old, _ := filepath.Glob(filepath.Join(pages, "*.md"))
	for _, path := range old {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(pages, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range want {
		if err := os.WriteFile(filepath.Join(pages, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAPageSaysWhatAPersonWantsToKnow(t *testing.T) {
	page, ok := Page("contacts_limited")
	if !ok {
		t.Fatal("no page")
	}
	for _, part := range []string{"# contacts_limited", "`rate_limited`", "counts for the breaker", "微信提示", "webwx.contacts.1205", "wechaty/puppet-wechat4u#55", "slows down", "code 1205"} {
		if !strings.Contains(page, part) {
			t.Errorf("%q is not in\n%s", part, page)
		}
	}
	if page, ok := Page("../codes"); ok || page != "" {
		t.Errorf("a page for no code: %q", page)
	}
}

func TestEachClassAndRecoveryHasWords(t *testing.T) {
	for _, c := range Codes() {
		class, recovery := c.Class.Words(), c.Recovery.Words()
		if class.EN == "" || class.ZH == "" || recovery.EN == "" || recovery.ZH == "" {
			t.Errorf("%s: class %s or recovery %s has no words", c.Code, c.Class, c.Recovery)
		}
	}
	if w := Recovery("odd").Words(); w != (Text{}) {
		t.Errorf("%+v", w)
	}
	if w := Class("odd").Words(); w != (Text{}) {
		t.Errorf("%+v", w)
	}
}

func TestExplain(t *testing.T) {
	for _, r := range Rules() {
		if got, ok := Explain(r.Name); !ok || got != r {
			t.Errorf("%s: %+v %v", r.Name, got, ok)
		}
		if r.Source == "" || r.Looks.EN == "" || r.Looks.ZH == "" {
			t.Errorf("%+v", r)
		}
	}
	if _, ok := Explain("bridge.no_pulse"); ok {
		t.Error("a row for what the bridge finds out by itself")
	}
}
