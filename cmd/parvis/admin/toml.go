package admin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
)

// writeTOML writes a form as TOML, its fields in their order: values first, then what has parts of
// its own as tables. What has no value is left out.
func writeTOML(w io.Writer, v any) error {
	var b bytes.Buffer
	writeTable(&b, "", reflect.ValueOf(v), "")
	_, err := w.Write(bytes.TrimLeft(b.Bytes(), "\n"))
	return err
}

// writeTable writes a form below a path. Of a secret, which nobody reads, it suggests a variable that
// is named after its owner.
func writeTable(b *bytes.Buffer, path string, v reflect.Value, owner string) {
	var tables []func()
	for _, f := range reflect.VisibleFields(v.Type()) {
		name := f.Tag.Get("json")
		if name == "" || f.Anonymous {
			continue
		}
		at, value := path+name, v.FieldByIndex(f.Index)
		if value.Kind() == reflect.Pointer {
			if isSecret(strings.ReplaceAll(at, ".", "/")) {
				fmt.Fprintf(b, "# %s_env = %s\n", name, inline(variable(owner+"_"+name)))
			}
			if value.IsNil() {
				continue
			}
			value = value.Elem()
		}
		switch {
		case isTable(value.Type()):
			tables = append(tables, func() {
				if !onlyTables(value.Type()) {
					fmt.Fprintf(b, "\n[%s]\n", at)
				}
				writeTable(b, at+".", value, owner)
			})
		case value.Kind() == reflect.Slice && (path == "" || hasSecret(at, value.Type().Elem())):
			tables = append(tables, func() {
				for i := range value.Len() {
					fmt.Fprintf(b, "\n[[%s]]\n", at)
					one := value.Index(i)
					writeTable(b, at+".", one, strings.TrimPrefix(owner+"_"+one.FieldByName("Name").String(), "_"))
				}
			})
		default:
			fmt.Fprintf(b, "%s = %s\n", name, inTOML(value.Interface()))
		}
	}
	for _, write := range tables {
		write()
	}
}

// hasSecret reports whether the things of a list have a field that no file holds. The comment about
// it has a line of its own, which the things of a list have only as tables.
func hasSecret(at string, t reflect.Type) bool {
	return isTable(t) && slices.ContainsFunc(reflect.VisibleFields(t), func(f reflect.StructField) bool {
		return isSecret(strings.ReplaceAll(at, ".", "/") + "/" + f.Tag.Get("json"))
	})
}

// variable makes the name of a variable of a text.
func variable(text string) string {
	return strings.Trim(notInVariables.ReplaceAllString(strings.ToUpper(text), "_"), "_")
}

var notInVariables = regexp.MustCompile(`[^A-Z0-9]+`)

func isTable(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && t != reflect.TypeFor[time.Time]()
}

// onlyTables reports whether a form has no value outside of its parts, and so needs no line.
func onlyTables(t reflect.Type) bool {
	for _, f := range reflect.VisibleFields(t) {
		if f.Tag.Get("json") != "" && !isTable(f.Type) {
			return false
		}
	}
	return true
}

// inTOML writes one value in a line.
func inTOML(v any) string {
	if at, ok := v.(time.Time); ok {
		return at.UTC().Format(time.RFC3339Nano)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.Encode(v) //nolint:errcheck // Forms encode.
	d := json.NewDecoder(&b)
	d.UseNumber()
	var value any
	d.Decode(&value) //nolint:errcheck // See above.
	return inline(value)
}

var bareKey = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// inline writes what was read from JSON. A text in JSON is one in TOML.
func inline(v any) string {
	switch v := v.(type) {
	case []any:
		all := make([]string, len(v))
		for i := range all {
			all[i] = inline(v[i])
		}
		return "[" + strings.Join(all, ", ") + "]"
	case map[string]any:
		var all []string
		for _, name := range slices.Sorted(maps.Keys(v)) {
			key := name
			if !bareKey.MatchString(name) {
				key = inline(name)
			}
			if v[name] != nil {
				all = append(all, key+" = "+inline(v[name]))
			}
		}
		if all == nil {
			return "{}"
		}
		return "{ " + strings.Join(all, ", ") + " }"
	case string:
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		e.Encode(v) //nolint:errcheck // A text encodes.
		return strings.ReplaceAll(strings.TrimSpace(b.String()), "\x7f", `\u007f`)
	}
	return fmt.Sprint(v)
}
