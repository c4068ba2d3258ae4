package api_test

import (
	"bytes"
	"fmt"
	"go/format"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"parvis/internal/application"
)

// The settings of applications are those of the one table: a setting that is added there is in the
// document, in the reference and in every change by this command.
func TestTheSettingsAreThoseOfTheTable(t *testing.T) {
	t.Parallel()
	got, err := format.Source(settingsForm())
	if err != nil {
		t.Fatal(err)
	}
	const file = "form/settings.go"
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not made from the table as it is (%v): go test ./internal/api -run 'TheSettings|TheDocument' -update", file, err)
	}
}

// settingsForm writes the Go types of settings.
func settingsForm() []byte {
	var b, entries strings.Builder
	b.WriteString(`// Code generated from application.Table by TestTheSettingsAreThoseOfTheTable with -update. DO NOT EDIT.

package form

import "encoding/json"

// ApplicationSettings is what is registered for an application. Null is what is usual for its kind
// and, in answers, what its kind does not have.
type ApplicationSettings struct {
`)
	for _, s := range application.Table {
		sent, of := s.Name, ""
		switch s.Type {
		case application.Text, application.Address, application.Choice:
			of = "string"
		case application.Texts:
			of = "map[string]string" // by language
		case application.Addresses, application.Words:
			of = "[]string"
		case application.Switch:
			of = "bool"
		case application.Time:
			of, sent = "int64", s.Name+"_seconds"
		case application.Document:
			of = "json.RawMessage"
		case application.Entries:
			entry := entryOf(s)
			of = "[]" + entry.Name()
			fmt.Fprintf(&entries, "\n// %s is an entry of the setting %s.\ntype %s struct {\n", entry.Name(), s.Name, entry.Name())
			for _, f := range reflect.VisibleFields(entry) {
				name, optional, _ := strings.Cut(f.Tag.Get("json"), ",")
				tag := "json:\"" + name + "\""
				if optional != "" {
					tag += ` optional:"true"`
				}
				if name == "source" {
					tag += ` enum:"` + strings.Join(s.Choices, " ") + `"`
				}
				fmt.Fprintf(&entries, "%s string `%s`\n", f.Name, tag)
			}
			entries.WriteString("}\n")
		}
		if len(s.Needed) < len(application.Kinds) {
			of = "*" + of
		}
		tag := "json:\"" + sent + "\""
		if s.Type == application.Choice {
			tag += ` enum:"` + strings.Join(s.Choices, " ") + `"`
		}
		fmt.Fprintf(&b, "%s %s `%s says:%q`\n", goName(sent), of, tag, "console.setting."+s.Name)
	}
	return []byte(b.String() + "}\n" + entries.String())
}

// entryOf returns the type of an entry of a setting.
func entryOf(s application.Setting) reflect.Type {
	fields := reflect.VisibleFields(reflect.TypeFor[application.Settings]())
	i := slices.IndexFunc(fields, func(f reflect.StructField) bool { return strings.Split(f.Tag.Get("json"), ",")[0] == s.Name })
	return fields[i].Type.Elem()
}

func goName(name string) string {
	parts := strings.Split(name, "_")
	for i, p := range parts {
		switch p {
		case "id", "uri", "url":
			parts[i] = strings.ToUpper(p)
		case "uris":
			parts[i] = "URIs"
		default:
			parts[i] = strings.ToUpper(p[:1]) + p[1:]
		}
	}
	return strings.Join(parts, "")
}
