package main

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"parvis/internal/application"
	"parvis/internal/i18n"
)

// settingFlags are the flags of settings, made from their table. A flag that is not given
// changes nothing; for a list, an empty text removes everything.
type settingFlags struct {
	Flags any `embed:""`
}

var placeholders = map[application.Type]string{
	application.Text: "NAME", application.Texts: "LANGUAGE=TEXT", application.Address: "URL", application.Addresses: "URL",
	application.Words: "SCOPE", application.Time: "TIME", application.Document: "FILE", application.Entries: "NAME=SOURCE",
}

// flagged are the settings that have a flag.
var flagged = slices.DeleteFunc(slices.Clone(application.Table), func(t application.Setting) bool { return t.Flag == "" })

// newSettingFlags makes what kong reads into: nil where a flag is not given.
func newSettingFlags() settingFlags {
	var fields []reflect.StructField
	for i, t := range flagged {
		of, tag := reflect.TypeFor[[]string](), fmt.Sprintf(`name:%q setting:%q placeholder:%q`, t.Flag, t.Name, placeholders[t.Type])
		switch {
		case t.Type == application.Switch, t.Switches != "":
			of, tag = reflect.TypeFor[*bool](), tag+` negatable:""`
		case t.Type == application.Document:
			of, tag = reflect.TypeFor[[]byte](), tag+` type:"filecontent"`
		case t.Type == application.Choice:
			tag += fmt.Sprintf(` enum:%q sep:"none"`, strings.Join(t.Choices, ","))
		case t.Type != application.Words:
			tag += ` sep:"none"`
		}
		fields = append(fields, reflect.StructField{Name: fmt.Sprint("Flag", i), Type: of, Tag: reflect.StructTag(tag)})
	}
	return settingFlags{reflect.New(reflect.StructOf(fields)).Interface()}
}

// settingHelp writes the help of flags. The catalogue has that of settings, and is read only
// when somebody asks for help.
func settingHelp(value *kong.Value) string {
	name := value.Tag.Get("setting")
	catalogue, err := i18n.Load()
	if name == "" || err != nil {
		return kong.DefaultHelpValueFormatter(value)
	}
	return catalogue.In("en").Text("op.setting."+name, "Choices", strings.ReplaceAll(value.Enum, ",", ", "))
}

// flagOf returns the flag of the setting with a field's name, if there is one.
func flagOf(field string) string {
	i := slices.IndexFunc(flagged, func(t application.Setting) bool { return t.Field() == field })
	if i < 0 {
		return ""
	}
	return "--" + flagged[i].Flag
}

// apply puts what was given into s, and reports whether anything was.
func (f settingFlags) apply(s *application.Settings) (given bool) {
	for i, t := range flagged {
		value := reflect.ValueOf(f.Flags).Elem().Field(i)
		if value.IsNil() {
			continue
		}
		given = true
		switch t.Name { // one or the other
		case "keys":
			s.KeysURL = ""
		case "keys_url":
			s.Keys = nil
		}
		switch v := value.Interface().(type) {
		case *bool:
			on := cmp.Or(t.Switches, "true")
			t.Set(s, map[bool]string{true: on}[*v])
		case []byte:
			t.Set(s, string(v))
		case []string:
			t.Set(s, cells(t, v)...)
		}
	}
	return given
}

// cells cuts texts into the columns of a setting, which are written as FIRST=SECOND:THIRD.
func cells(t application.Setting, texts []string) (all []string) {
	if t.Columns == nil {
		return texts
	}
	for _, text := range texts {
		one := make([]string, len(t.Columns))
		first, rest, _ := strings.Cut(text, "=")
		copy(one, append([]string{first}, strings.SplitN(rest, ":", len(one)-1)...))
		all = append(all, one...)
	}
	return all
}

// flagValues returns what the flag of a setting has to be given for the value that s has.
func flagValues(t application.Setting, s application.Settings) []string {
	texts := t.Get(s)
	switch {
	case slices.Equal(texts, []string{t.Switches}):
		return []string{"true"}
	case t.Switches != "":
		return nil
	case t.Columns == nil:
		return texts
	}
	var all []string
	for one := range slices.Chunk(texts, len(t.Columns)) {
		all = append(all, one[0]+"="+strings.TrimSuffix(strings.Join(one[1:], ":"), strings.Repeat(":", len(one)-2)))
	}
	return all
}
