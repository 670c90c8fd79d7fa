package classifier

import (
	"bufio"
	"encoding/json"
	"os"
	"slices"
	"testing"
)

// textCase is a line of testdata/cases.jsonl: a text as a library or a user
// gave it (shortened; names, folders, tokens and addresses replaced), what it
// means, and where it comes from.
type textCase struct {
	Text   string    `json:"text"`
	Where  string    `json:"where"`
	Op     Operation `json:"op"`
	Class  Class     `json:"class"`
	Code   string    `json:"code"`
	Rule   string    `json:"rule"` // only where the row matters
	Source string    `json:"source"`
}

func (c *textCase) judge() Verdict {
	return Judge(&Fault{Text: c.Text, Where: c.Where, Op: c.Op})
}

func readLines[T any](t *testing.T, path string) []T {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []T
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var one T
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			t.Fatalf("%s, line %d: %v", path, len(all)+1, err)
		}
		all = append(all, one)
	}
	return all
}

// sample is a line of the shared samples: a text of a user, the right class,
// other classes that are as defensible, the three answers, and which of them
// are debatable.
type sample struct {
	Text       string    `json:"text"`
	Where      string    `json:"where"`
	Op         Operation `json:"op"`
	Class      Class     `json:"class"`
	Accept     []Class   `json:"accept"`
	Disconnect bool      `json:"disconnect"`
	Retryable  bool      `json:"retryable"`
	NeedsHuman bool      `json:"needs_human"`
	Debatable  []string  `json:"debatable"`
	Source     string    `json:"source"`
}

// wrong says what is not as the sample wants it.
func (s *sample) wrong(v Verdict) []string {
	var bad []string
	if v.Class != s.Class && !slices.Contains(s.Accept, v.Class) {
		bad = append(bad, "class")
	}
	for _, answer := range []struct {
		name      string
		got, want bool
	}{{"disconnect", v.Disconnect, s.Disconnect}, {"retryable", v.Retryable, s.Retryable}, {"needs_human", v.NeedsHuman, s.NeedsHuman}} {
		if answer.got != answer.want && !slices.Contains(s.Debatable, answer.name) {
			bad = append(bad, answer.name)
		}
	}
	return bad
}

// The samples lie beside the repository, not in it.
const samples = "../../shared/error-samples.jsonl"

func TestTexts(t *testing.T) {
	t.Run("own", ownTexts)
	if _, err := os.Stat(samples); err != nil && os.Getenv("CI") == "" {
		t.Logf("NOT CHECKED: the shared samples cannot be read: %v", err)
		return
	}
	t.Run("shared", sharedSamples)
}

func sharedSamples(t *testing.T) {
	all := readLines[sample](t, samples)
	if len(all) == 0 {
		t.Error("no samples")
	}
	for i, s := range all {
		v := Judge(&Fault{Text: s.Text, Where: s.Where, Op: s.Op})
		if bad := s.wrong(v); len(bad) > 0 {
			t.Errorf("line %d, %s: %.120q: %s %s by %s is wrong in %v", i+1, s.Source, s.Text, v.Class, v.Code, v.Rule, bad)
		}
	}
}

func ownTexts(t *testing.T) {
	all := readLines[textCase](t, "testdata/cases.jsonl")
	if len(all) < 200 {
		t.Errorf("only %d cases", len(all))
	}
	for i, c := range all {
		v := c.judge()
		if v.Class != c.Class || v.Code != c.Code || c.Rule != "" && v.Rule != c.Rule {
			t.Errorf("line %d: %.120q (%s)\n got %s %s by %s\nwant %s %s by %s", i+1, c.Text, c.Source, v.Class, v.Code, v.Rule, c.Class, c.Code, c.Rule)
		}
		if c.Source == "" {
			t.Errorf("line %d has no source", i+1)
		}
	}
}
