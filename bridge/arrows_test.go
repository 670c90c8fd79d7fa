package bridge_test

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "wechat-bridge/"

// room is a row of DESIGN.md's table: what a package may import of ours, what
// it must not import of others, and why. A trailing /... is a package and all
// below it.
type room struct {
	ours   []string
	banned []string
	reason string
}

var rooms = map[string]room{
	"classifier":               {nil, []string{"net/http", "os/exec", "io/fs", "bufio", "log", "log/slog", "math/rand/v2"}, "it is one pure function: no other package, no I/O, no logger; standard library only"},
	"bridge/wire":              {nil, []string{"net", "net/http", "os", "io/fs"}, "it must not know where bytes come from"},
	"bridge/wechat":            {nil, nil, "it must not know either protocol, NATS or retry"},
	"bridge/sim":               {nil, nil, "it must not share the mistakes of the adapters or the classifier"},
	"bridge/sim/interop":       {[]string{"bridge/sim"}, nil, "it tries the simulator with foreign clients only"},
	"bridge/wechat/webwx":      {[]string{"bridge/wechat", "classifier"}, nil, "it must not know retry, the state machine or NATS"},
	"bridge/wechat/ilink":      {[]string{"bridge/wechat", "classifier"}, nil, "it must not know retry, the state machine or NATS"},
	"bridge/wechat/wechattest": {[]string{"bridge/wechat", "classifier"}, nil, "it must not know the implementations"},
	"bridge/link":              {[]string{"bridge/wechat", "classifier"}, []string{"net/http"}, "it must not know NATS, message bodies or HTTP"},
	"bridge/outbox":            {[]string{"bridge/wire", "classifier", "bridge/wechat"}, []string{"net/http"}, "it sees its own small ports, not jetstream, openwechat or HTTP"},
	"bridge/inbox":             {[]string{"bridge/wire", "bridge/wechat"}, []string{"net/http"}, "it must not know protocols"},
	"bridge/broker":            {[]string{"bridge/wire"}, nil, "it must not know WeChat"},
	"bridge/alert":             {[]string{"bridge/wire"}, nil, "it must not know why it tells people"},
	"bridge/monitor":           {[]string{"bridge/wire"}, nil, "it is read-only: it must not know how to change anything"},
	"bridge/sim/verify":        {[]string{"bridge/wire"}, []string{"net", "net/http", "os"}, "it judges ledgers: it must not know those who wrote them"},
	"bridge":                   {[]string{"bridge/...", "classifier"}, nil, "it must not know the command line"},
	"cmd/wechat-bridge":        {[]string{"bridge", "bridge/broker", "bridge/wire", "classifier", "bridge/sim", "bridge/sim/verify"}, nil, "it must know nothing but flags, output and exit codes"},
}

// library is a third-party library that stays in the package that owns it.
type library struct {
	prefix string
	homes  []string
	tests  []string // test files there may import it, too; nil: all may
	reason string
}

var libraries = []library{
	{"github.com/nats-io", []string{"bridge/broker"}, nil, "everything NATS belongs to bridge/broker"},
	{"github.com/synadia-io/orbit.go", []string{"bridge/broker"}, nil, "everything NATS belongs to bridge/broker"},
	{"github.com/eatmoreapple/openwechat", []string{"bridge/wechat/webwx"}, []string{"bridge/sim/interop", "bridge/sim"}, "only webwx speaks openwechat"},
	{"github.com/nicholas-fedor/shoutrrr", []string{"bridge/alert"}, []string{}, "only alert knows the services that it tells people with"},
	{"github.com/sony/gobreaker", []string{"bridge/link"}, []string{}, "the breaker is the link's, and the only gate"},
}

// file is a source file: where it is and what it imports.
type file struct {
	dir, name string
	imports   []string
}

func (f file) test() bool { return strings.HasSuffix(f.name, "_test.go") }

// judge gives a sentence for each arrow that must not be.
func judge(f file) []string {
	var out []string
	r, known := rooms[f.dir]
	if !known {
		return []string{fmt.Sprintf("%s is no package of DESIGN.md's table: add it here, with its arrows and a reason", f.dir)}
	}
	for _, imp := range f.imports {
		why := foreign(f, imp)
		if why == "" && !f.test() { // tests may use the simulator, real NATS and their neighbours
			why = r.refuses(f.dir, imp)
		}
		if why != "" {
			out = append(out, fmt.Sprintf("%s/%s imports %s: %s", f.dir, f.name, imp, why))
		}
	}
	return out
}

func (r room) refuses(dir, imp string) string {
	if own, ok := strings.CutPrefix(imp, module); ok {
		if !slices.ContainsFunc(r.ours, func(p string) bool { return covers(p, own) }) {
			return dir + ": " + r.reason
		}
		return ""
	}
	if slices.Contains(r.banned, imp) || dir == "classifier" && thirdParty(imp) {
		return dir + ": " + r.reason
	}
	return ""
}

func covers(pattern, own string) bool {
	if root, ok := strings.CutSuffix(pattern, "/..."); ok {
		return own == root || strings.HasPrefix(own, root+"/")
	}
	return own == pattern
}

func foreign(f file, imp string) string {
	for _, l := range libraries {
		if imp != l.prefix && !strings.HasPrefix(imp, l.prefix+"/") || slices.Contains(l.homes, f.dir) {
			continue
		}
		if f.test() && (l.tests == nil || slices.Contains(l.tests, f.dir)) {
			continue
		}
		return l.reason
	}
	return ""
}

// thirdParty tells a library by the dot in its host, as the go command does.
func thirdParty(imp string) bool {
	host, _, _ := strings.Cut(imp, "/")
	return strings.Contains(host, ".")
}

// sources reads the imports of all Go files of the module, whatever their
// build tags.
func sources(t *testing.T, root string) []file {
	t.Helper()
	var files []file
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if p != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "node_modules") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		one := file{dir: path.Dir(filepath.ToSlash(rel)), name: name}
		for _, spec := range f.Imports {
			imp, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			one.imports = append(one.imports, imp)
		}
		files = append(files, one)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestArrows(t *testing.T) {
	files := sources(t, "..")
	dirs := map[string]bool{}
	for _, f := range files {
		dirs[f.dir] = true
		for _, sentence := range judge(f) {
			t.Error(sentence)
		}
	}
	for _, must := range []string{"bridge", "bridge/wire", "classifier"} { // else the walk went nowhere
		if !dirs[must] {
			t.Errorf("%s was not looked at; seen: %v", must, slices.Sorted(maps.Keys(dirs)))
		}
	}
}

// The judge itself: each of these has to be found, and nothing else.
func TestArrowsAreFound(t *testing.T) {
	const nats, own = "github.com/nats-io/nats.go/jetstream", "wechat-bridge/"
	tests := []struct {
		dir, name, imp string
		want           string // part of the sentence; empty: allowed
	}{
		{"bridge/link", "a.go", nats, "NATS belongs to"},
		{"bridge/link", "a.go", own + "bridge/wire", "must not know NATS, message bodies"},
		{"bridge/link", "a.go", "net/http", "or HTTP"},
		{"bridge/link", "a.go", own + "classifier", ""},
		{"bridge/link", "a.go", "github.com/sony/gobreaker/v2", ""},
		{"bridge/link", "a_test.go", own + "bridge/sim", ""},
		{"bridge/outbox", "a.go", "github.com/sony/gobreaker/v2", "the only gate"},
		{"bridge/outbox", "a_test.go", "github.com/sony/gobreaker/v2", "the only gate"},
		{"bridge/outbox", "a.go", own + "bridge/link", "own small ports"},
		{"bridge/outbox", "a_test.go", nats, ""},
		{"bridge/inbox", "a.go", own + "classifier", "protocols"},
		{"bridge/inbox", "a.go", own + "bridge/wechat/webwx", "protocols"},
		{"bridge/inbox", "a.go", "github.com/eatmoreapple/openwechat", "only webwx"},
		{"bridge/inbox", "a_test.go", "github.com/eatmoreapple/openwechat", "only webwx"},
		{"bridge/sim/interop", "a_test.go", "github.com/eatmoreapple/openwechat", ""},
		{"bridge/broker", "a.go", own + "bridge/wechat", "WeChat"},
		{"bridge/broker", "a.go", nats, ""},
		{"bridge/monitor", "a.go", own + "bridge/link", "read-only"},
		{"bridge/alert", "a.go", own + "bridge/link", "must not know why"},
		{"bridge/alert", "a.go", "github.com/nicholas-fedor/shoutrrr/pkg/router", ""},
		{"bridge/outbox", "a.go", "github.com/nicholas-fedor/shoutrrr", "only alert"},
		{"bridge/sim", "a.go", own + "classifier", "mistakes"},
		{"bridge/sim", "a.go", own + "bridge/wire", "mistakes"},
		{"bridge/sim/verify", "a.go", own + "bridge/sim", "judges"},
		{"classifier", "a.go", "net/http", "pure"},
		{"classifier", "a.go", "github.com/rs/zerolog", "standard library only"},
		{"classifier", "a.go", own + "bridge/wire", "pure"},
		{"classifier", "a.go", "strings", ""},
		{"bridge", "a.go", nats, "NATS belongs to"},
		{"bridge", "a_test.go", nats, ""},
		{"bridge", "a.go", own + "bridge/wechat/webwx", ""},
		{"bridge", "a.go", own + "cmd/wechat-bridge", "command line"},
		{"cmd/wechat-bridge", "a.go", own + "bridge/link", "flags"},
		{"cmd/wechat-bridge", "a.go", own + "bridge", ""},
		{"bridge/util", "a.go", "strings", "no package of DESIGN.md's table"},
	}
	for _, test := range tests {
		got := judge(file{test.dir, test.name, []string{test.imp}})
		if (test.want == "") != (len(got) == 0) || !strings.Contains(strings.Join(got, " "), test.want) {
			t.Errorf("%s/%s imports %s: %q, want %q", test.dir, test.name, test.imp, got, test.want)
		}
	}
}
