package main

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"sort"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/goccy/go-yaml"

	"wechat-bridge/bridge/wire"
)

const envPrefix = "WECHAT_BRIDGE"

// configFile gives flags their values from a YAML file whose keys are flag
// names. An environment variable wins over it. Only settings can stand in it:
// flags that have an environment variable.
type configFile struct {
	path   string
	text   string
	values map[string]any
}

// configPath finds the file before the command line is parsed: the flag, else
// the environment.
func configPath(args []string) string {
	for i, arg := range args {
		switch {
		case arg == "--":
			return os.Getenv(envPrefix + "_CONFIG")
		case strings.HasPrefix(arg, "--config="):
			return strings.TrimPrefix(arg, "--config=")
		case arg == "--config" && i+1 < len(args):
			return args[i+1]
		}
	}
	return os.Getenv(envPrefix + "_CONFIG")
}

// readConfig reads the file of --config; no path is an empty file.
func readConfig(path string) (*configFile, error) {
	f := &configFile{path: path, values: map[string]any{}}
	if path == "" {
		return f, nil
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, usageError{fmt.Errorf("--config: the file cannot be read: %w", err)}
	}
	f.text = string(raw)
	var document any
	if err := yaml.UnmarshalWithOptions(raw, &document, yaml.Strict()); err != nil {
		return nil, usageError{fmt.Errorf("--config: %s is not valid YAML: %s", path, yaml.FormatError(err, false, true))}
	}
	switch v := document.(type) {
	case nil:
	case map[string]any:
		f.values = v
	default:
		return nil, usageError{fmt.Errorf("--config: %s is no list of settings: write one a line, e.g. pace: 20/m", path)}
	}
	return f, nil
}

// Validate refuses keys that are no setting's name.
func (f *configFile) Validate(app *kong.Application) error {
	known := settings(app.Node)
	for _, key := range sortedKeys(f.values) {
		if !known[key] {
			return unknownName(f.place(key)+": unknown key", key, known)
		}
	}
	return nil
}

// Resolve gives one flag its value from the file.
func (f *configFile) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	value, found := f.values[flag.Name]
	if !found || len(flag.Envs) == 0 || flag.Name == "config" {
		return nil, nil
	}
	for _, env := range flag.Envs {
		if _, set := os.LookupEnv(env); set {
			return nil, nil
		}
	}
	return plainValue(flag, value)
}

// plainValue makes text of a scalar, so that it is read as on the command line:
// a number is no duration.
func plainValue(flag *kong.Flag, value any) (any, error) {
	switch v := value.(type) {
	case nil:
		return nil, errors.New("the key has no value")
	case map[string]any:
		if flag.Target.Kind() != reflect.Map {
			return nil, errors.New("a single value is wanted")
		}
		book := map[string]any{}
		for name, who := range v {
			book[name] = fmt.Sprint(who)
		}
		return book, nil
	case []any:
		return nil, errors.New("a single value is wanted, not a list")
	}
	if flag.Target.Kind() == reflect.Map {
		return nil, errors.New("one NAME: WHO a line is wanted")
	}
	return fmt.Sprint(value), nil
}

// place is where a key stands in the file.
func (f *configFile) place(key string) string {
	start := regexp.MustCompile(`^\s*["']?` + regexp.QuoteMeta(key) + `["']?\s*:`)
	for i, line := range strings.Split(f.text, "\n") {
		if start.MatchString(line) {
			return fmt.Sprintf("%s, line %d", f.path, i+1)
		}
	}
	return f.path
}

// origin says where a value came from that was not given as a flag.
func (f *configFile) origin(args []string, key string) string {
	flag := "--" + key
	for _, arg := range args {
		if arg == flag || strings.HasPrefix(arg, flag+"=") {
			return ""
		}
	}
	env := envPrefix + "_" + strings.ToUpper(strings.ReplaceAll(key, "-", "_"))
	if _, set := os.LookupEnv(env); set {
		return " (from $" + env + ")"
	}
	if _, found := f.values[key]; found {
		return " (from " + f.place(key) + ")"
	}
	return ""
}

// checkEnvironment refuses variables with our prefix that set nothing.
func checkEnvironment(app *kong.Application, environ []string) error {
	known := map[string]bool{}
	visitFlags(app.Node, func(f *kong.Flag) {
		for _, env := range f.Envs {
			known[env] = true
		}
	})
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, envPrefix+"_") && !known[name] {
			return unknownName("environment: unknown variable", name, known)
		}
	}
	return nil
}

func unknownName(what, name string, known map[string]bool) error {
	msg := fmt.Sprintf("%s %q", what, name)
	if near := wire.Nearest(name, sortedKeys(known)); near != "" {
		msg += fmt.Sprintf("; did you mean %q?", near)
	}
	return usageError{errors.New(msg)}
}

// settings are the flags that may stand in the file.
func settings(node *kong.Node) map[string]bool {
	names := map[string]bool{}
	visitFlags(node, func(f *kong.Flag) {
		if len(f.Envs) > 0 && f.Name != "config" {
			names[f.Name] = true
		}
	})
	return names
}

func visitFlags(node *kong.Node, visit func(*kong.Flag)) {
	for _, f := range node.Flags {
		visit(f)
	}
	for _, child := range node.Children {
		visitFlags(child, visit)
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
