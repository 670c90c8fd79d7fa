package sim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// yamlFile is a YAML document that knows on which line everything is.
type yamlFile struct {
	body  ast.Node
	lines map[string]int // by path, e.g. steps[3].fault.do
}

// readYAML parses what is small and flat enough; the parser's time grows with
// the square of the nesting.
func readYAML(b []byte) (*yamlFile, error) {
	if err := tooMuch(b); err != nil {
		return nil, err
	}
	f, err := parser.ParseBytes(b, 0)
	if err != nil {
		return nil, yamlError(err)
	}
	if len(f.Docs) > 1 {
		return nil, &ScriptError{Line: lineOf(f.Docs[1]), Message: "a script is one document, nothing follows after ---"}
	}
	if len(f.Docs) == 0 || f.Docs[0].Body == nil {
		return nil, &ScriptError{Line: 1, Message: "it is empty"}
	}
	return &yamlFile{body: f.Docs[0].Body, lines: make(map[string]int)}, nil
}

func tooMuch(b []byte) error {
	if len(b) > maxScript {
		return &ScriptError{Line: 1, Message: fmt.Sprintf("it has more than %d KiB", maxScript>>10)}
	}
	if !utf8.Valid(b) {
		return &ScriptError{Line: 1, Message: "it is not UTF-8 text"}
	}
	depth := 0
	for i, line := range bytes.Split(b, []byte("\n")) {
		depth += bytes.Count(line, []byte("[")) + bytes.Count(line, []byte("{"))
		if len(line) > maxLine || depth > maxNesting {
			return &ScriptError{Line: i + 1, Message: fmt.Sprintf("a line has at most %d KiB, and at most %d brackets are open", maxLine>>10, maxNesting)}
		}
		depth = max(0, depth-bytes.Count(line, []byte("]"))-bytes.Count(line, []byte("}")))
	}
	return nil
}

// yamlError keeps the parser's sentence and line, without its drawing.
func yamlError(err error) error {
	var e interface {
		GetMessage() string
		GetToken() *token.Token
	}
	if errors.As(err, &e) && e.GetToken() != nil && e.GetToken().Position != nil {
		return &ScriptError{Line: e.GetToken().Position.Line, Message: e.GetMessage()}
	}
	return &ScriptError{Message: err.Error()}
}

func lineOf(n ast.Node) int {
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return 0
	}
	return n.GetToken().Position.Line
}

// line is where the value at a path is, or else what it would be part of.
func (y *yamlFile) line(path string) int {
	for path != "" {
		if n, ok := y.lines[path]; ok {
			return n
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
	return 1
}

// fill puts the document into the struct that v points to, by JSON names.
func (y *yamlFile) fill(v any) error { return y.put(y.body, reflect.ValueOf(v).Elem(), "") }

func (y *yamlFile) put(n ast.Node, v reflect.Value, path string) error {
	if v.Kind() == reflect.Pointer && n.Type() != ast.NullType {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	switch {
	case v.Kind() == reflect.Struct:
		return y.putStruct(n, v, path)
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() != reflect.Uint8:
		return y.putList(n, v, path)
	}
	return y.putScalar(n, v, path)
}

func (y *yamlFile) putStruct(n ast.Node, v reflect.Value, path string) error {
	m, ok := n.(ast.MapNode)
	if !ok {
		return &ScriptError{Line: lineOf(n), Message: fmt.Sprintf("%swants keys with values, a line each", prefix(path))}
	}
	fields := fieldsOf(v)
	for it := m.MapRange(); it.Next(); {
		key := it.Key().GetToken().Value
		field, ok := fields[key]
		if !ok {
			return &ScriptError{Line: lineOf(it.Key()), Message: fmt.Sprintf("unknown key %q", key), Word: key, Known: slices.Sorted(maps.Keys(fields))}
		}
		at := strings.TrimPrefix(path+"."+key, ".")
		y.lines[at] = lineOf(it.Key())
		if err := y.put(it.Value(), field, at); err != nil {
			return err
		}
	}
	return nil
}

func (y *yamlFile) putList(n ast.Node, v reflect.Value, path string) error {
	list, ok := n.(*ast.SequenceNode)
	if !ok {
		return &ScriptError{Line: lineOf(n), Message: prefix(path) + "wants a list"}
	}
	v.Set(reflect.MakeSlice(v.Type(), len(list.Values), len(list.Values)))
	for i, item := range list.Values {
		at := fmt.Sprintf("%s[%d]", path, i)
		y.lines[at] = lineOf(item)
		if err := y.put(item, v.Index(i), at); err != nil {
			return err
		}
	}
	return nil
}

// putScalar takes plain values only: no anchors, no tags.
func (y *yamlFile) putScalar(n ast.Node, v reflect.Value, path string) error {
	switch n.Type() {
	case ast.StringType, ast.LiteralType, ast.IntegerType, ast.FloatType, ast.BoolType:
	case ast.NullType:
		return &ScriptError{Line: lineOf(n), Message: prefix(path) + "has no value"}
	default:
		return &ScriptError{Line: lineOf(n), Message: prefix(path) + "wants a single plain value"}
	}
	var value any
	err := yaml.NodeToValue(n, &value)
	var b []byte
	if err == nil {
		b, err = json.Marshal(value)
	}
	if err == nil {
		err = json.Unmarshal(b, v.Addr().Interface())
	}
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &kind):
		return &ScriptError{Line: lineOf(n), Message: prefix(path) + "wants " + wanted(v.Kind())}
	case err != nil:
		return &ScriptError{Line: lineOf(n), Message: prefix(path) + err.Error()}
	}
	return nil
}

func wanted(k reflect.Kind) string {
	switch k {
	case reflect.String:
		return "text; put it in quotes"
	case reflect.Bool:
		return "true or false"
	case reflect.Float64:
		return "a number"
	case reflect.Slice:
		return "base64"
	}
	return "a whole number that is not too large"
}

// prefix names the key that an error is about.
func prefix(path string) string {
	if path == "" {
		return "a script "
	}
	return path[strings.LastIndex(path, ".")+1:] + " "
}

// fieldsOf are a struct's fields by their JSON names, those of embedded ones
// included.
func fieldsOf(v reflect.Value) map[string]reflect.Value {
	fields := make(map[string]reflect.Value)
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Anonymous {
			for name, field := range fieldsOf(v.Field(i)) {
				fields[name] = field
			}
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		fields[name] = v.Field(i)
	}
	return fields
}
