package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/goccy/go-yaml"

	"wechat-bridge/bridge/wire"
)

const envPrefix = "WECHAT_BRIDGE"

// fileResolver gives flags their values from a YAML file whose keys are flag
// names. An environment variable wins over it.
type fileResolver struct {
	values map[string]any
}

// loadFile reads the YAML file of --config.
func loadFile(r io.Reader) (kong.Resolver, error) {
	values := map[string]any{}
	err := yaml.NewDecoder(r, yaml.Strict()).Decode(&values)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("the configuration file is not valid YAML: %s", yaml.FormatError(err, false, true))
	}
	return fileResolver{values: values}, nil
}

// Validate refuses keys that are no flag's name.
func (f fileResolver) Validate(app *kong.Application) error {
	known := flagNames(app.Node)
	for _, key := range sortedKeys(f.values) {
		if !known[key] {
			return unknownName("the configuration file has the unknown key", key, known)
		}
	}
	return nil
}

// Resolve gives one flag its value from the file.
func (f fileResolver) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	for _, env := range flag.Envs {
		if _, set := os.LookupEnv(env); set {
			return nil, nil
		}
	}
	return f.values[flag.Name], nil
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
			return unknownName("the environment has the unknown variable", name, known)
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

func flagNames(node *kong.Node) map[string]bool {
	names := map[string]bool{}
	visitFlags(node, func(f *kong.Flag) { names[f.Name] = true })
	delete(names, "help")
	delete(names, "config")
	delete(names, "version")
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
