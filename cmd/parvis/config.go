package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"parvis/cmd/parvis/machine"
)

// source says where a setting was set; a higher source overrides a lower one.
type source int

const (
	byDefault source = iota
	byFile
	byEnvironment
	byFlag
)

func (s source) String() string {
	return [...]string{"default", "file", "environment", "flag"}[s]
}

// A setting is one value of a Config, with its name.
type setting struct {
	section string // empty at the top of the file
	name    string
	value   reflect.Value // a string, a []string or a []regionTable
	secret  string        // how much of it is hidden: whole, address, or nothing
	own     bool          // nodes of one installation may have it differently
	example string        // what the example shows; nothing for what is in force unless set
	from    source
}

// title returns the setting's name in messages and in the file.
func (s *setting) title() string {
	if s.section == "" {
		return s.name
	}
	return "[" + s.section + "] " + s.name
}

// variable returns the setting's name in the environment.
func (s *setting) variable() string {
	return "PARVIS_" + strings.ToUpper(strings.TrimPrefix(s.section+"_"+s.name, "_"))
}

func (s *setting) empty() bool { return s.value.Len() == 0 }

// set takes a value from the environment or a flag, and reports whether it can be read.
func (s *setting) set(text string, from source) bool {
	s.from = from
	switch s.value.Interface().(type) {
	case string:
		s.value.SetString(text)
		return true
	case []regionTable:
		return s.setRegions([]byte(text))
	}
	var list []string
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			list = append(list, part)
		}
	}
	s.value.Set(reflect.ValueOf(list))
	return true
}

// setRegions reads the list of regions as JSON, as a variable holds it.
func (s *setting) setRegions(text []byte) bool {
	var list []regionTable
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if d.Decode(&list) != nil || d.More() {
		return false
	}
	s.value.Set(reflect.ValueOf(list))
	return true
}

// wants says how a value is written.
func (s *setting) wants() string {
	switch s.value.Interface().(type) {
	case string:
		return "a text in quotes"
	case []string:
		return `a list of texts, such as ["10.0.0.0/8"]`
	}
	return `a table [[regions]] for each region, with id = "eu", address = "https://…" and name = { en = "Europe" }, ` +
		`in the environment [{"id": "eu", "address": "https://…", "name": {"en": "Europe"}}]`
}

// A configuration is a Config together with where each of its values came from, and what is
// wrong with it so far.
type configuration struct {
	Config
	path     string // of the file; empty where there is none
	env      map[string]string
	settings []*setting
	problems []string
}

func (c *configuration) problem(format string, args ...any) {
	c.problems = append(c.problems, machine.Sentence(format, args...))
}

// by returns the setting of a field of c, so that no name is written twice.
func (c *configuration) by(field any) *setting {
	for _, s := range c.settings {
		if s.value.Addr().Interface() == field {
			return s
		}
	}
	panic("no such setting")
}

// list lists the settings of c's fields.
func (c *configuration) list() []*setting { return eachSetting("", reflect.ValueOf(&c.Config).Elem()) }

// eachSetting lists the fields of a struct, those of its sections last, because TOML demands
// that order.
func eachSetting(section string, v reflect.Value) []*setting {
	var own, sections []*setting
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name := f.Tag.Get("toml")
		if f.Type.Kind() == reflect.Struct {
			sections = append(sections, eachSetting(name, v.Field(i))...)
			continue
		}
		own = append(own, &setting{section: section, name: name, value: v.Field(i), secret: f.Tag.Get("secret"), own: f.Tag.Get("node") == "own", example: f.Tag.Get("example")})
	}
	return append(own, sections...)
}

// loadConfig reads file, environment and flags, and fills in defaults. It never fails: what is
// wrong becomes a problem, listed with all others.
func loadConfig(flags servingFlags, environ []string) *configuration {
	c := &configuration{env: map[string]string{}}
	c.settings = c.list()
	for _, line := range environ {
		name, value, _ := strings.Cut(line, "=")
		c.env[name] = value
	}
	data := cmp.Or(flags.Data, c.env["PARVIS_DATA"], defaultData)
	c.readFile(cmp.Or(flags.Config, c.env["PARVIS_CONFIG"]), filepath.Join(data, "parvis.toml"))
	for _, s := range c.settings {
		if text := c.env[s.variable()]; text != "" {
			if !s.set(text, byEnvironment) {
				c.problem("%s must be %s.", s.variable(), s.wants())
			}
		}
	}
	for field, text := range map[*string]string{
		&c.Data: flags.Data, &c.Database: flags.Database, &c.Listen: flags.Listen, &c.PublicAddress: flags.PublicAddress,
	} {
		if text != "" {
			c.by(field).set(text, byFlag)
		}
	}
	c.readSecret(&c.Database, &c.DatabaseFile)
	c.readSecret(&c.Mail.Password, &c.Mail.PasswordFile)
	c.readSecret(&c.RegionKeys, &c.RegionKeysFile)
	c.Data = cmp.Or(c.Data, defaultData)
	return c
}

const defaultData = "data"

// readFile reads the file that was named, or the one in the data folder if there is one.
func (c *configuration) readFile(named, implied string) {
	c.path = cmp.Or(named, implied)
	text, err := os.ReadFile(c.path)
	if errors.Is(err, fs.ErrNotExist) && named == "" {
		c.path = ""
		return
	}
	if err != nil {
		c.problem("The configuration file cannot be read: %v.", err)
		return
	}
	var tree map[string]any
	if err := toml.Unmarshal(text, &tree); err != nil {
		at := c.path
		if where, ok := errors.AsType[*toml.DecodeError](err); ok {
			row, column := where.Position()
			at = fmt.Sprintf("%s, line %d, column %d", c.path, row, column)
		}
		c.problem("%s: %v. A setting looks like listen = \"127.0.0.1:8080\".", at, err)
		return
	}
	c.readTree("", tree)
	if named == "" && c.Data != "" {
		c.problem("data cannot be set in %s, because that file is found by it: use --data, PARVIS_DATA or --config.", c.path)
	}
}

func (c *configuration) readTree(section string, tree map[string]any) {
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		value := tree[name]
		if inner, isTable := value.(map[string]any); isTable && section == "" && c.hasSection(name) {
			c.readTree(name, inner)
			continue
		}
		i := slices.IndexFunc(c.settings, func(s *setting) bool { return s.section == section && s.name == name })
		if i < 0 {
			c.problem("%s is not a setting. These are: %s.", (&setting{section: section, name: name}).title(), c.namesIn(section))
			continue
		}
		c.settings[i].from = byFile
		if !c.settings[i].assign(value) {
			c.problem("%s must be %s.", c.settings[i].title(), c.settings[i].wants()) // the value may be a secret
		}
	}
}

func (c *configuration) hasSection(name string) bool {
	return slices.ContainsFunc(c.settings, func(s *setting) bool { return s.section == name })
}

func (c *configuration) namesIn(section string) string {
	var names []string
	for _, s := range c.settings {
		switch {
		case s.section == section:
			names = append(names, s.name)
		case section == "" && !slices.Contains(names, "["+s.section+"]"):
			names = append(names, "["+s.section+"]")
		}
	}
	return strings.Join(names, ", ")
}

// assign takes a value from the file, and reports whether it is of the right kind.
func (s *setting) assign(value any) bool {
	target := s.value
	if text, ok := value.(string); ok && target.Kind() == reflect.String {
		target.SetString(text)
		return true
	}
	list, ok := value.([]any)
	if !ok || target.Kind() != reflect.Slice {
		return false
	}
	if _, ok := target.Interface().([]regionTable); ok {
		text, err := json.Marshal(list)
		return err == nil && s.setRegions(text)
	}
	for _, item := range list {
		text, ok := item.(string)
		if !ok {
			return false
		}
		target.Set(reflect.Append(target, reflect.ValueOf(text)))
	}
	return true
}

// readSecret reads a secret from the file that the setting beside it names, unless the secret
// itself was given by a higher source.
func (c *configuration) readSecret(value, path *string) {
	v, p := c.by(value), c.by(path)
	switch {
	case p.empty() || !v.empty() && v.from > p.from:
		return
	case !v.empty() && v.from == p.from:
		c.problem("%s and %s are both set: write one of them.", v.title(), p.title())
		return
	}
	text, err := os.ReadFile(*path)
	if err != nil {
		c.problem("%s cannot be read: %v.", p.title(), err)
		return
	}
	if v.set(strings.TrimRight(string(text), "\r\n"), p.from); v.empty() {
		c.problem("%s names %s, which is empty.", p.title(), *path)
	}
}

// strangers returns variables in the environment that look like settings of ours and are not:
// most likely they are misspelt. They stop nothing, because a cluster names variables after a
// service that is called parvis.
func (c *configuration) strangers() []string {
	var names []string
	for name := range c.env {
		ours := name == "PARVIS_CONFIG" || slices.ContainsFunc(c.settings, func(s *setting) bool { return s.variable() == name })
		if strings.HasPrefix(name, "PARVIS_") && !ours && !strings.HasPrefix(name, "PARVIS_PORT") && !strings.HasPrefix(name, "PARVIS_SERVICE_") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
