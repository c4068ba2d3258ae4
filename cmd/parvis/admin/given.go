package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"parvis/internal/api/form"
)

// given is what the flags and arguments of a command say about an object of the API.
type given struct {
	Values []string `arg:"" optional:"" name:"NAME=VALUE" help:"What to set, by the names that 'show' lists. Of a list, name it once for each value."`
	File   string   `placeholder:"FILE" help:"What to set, as a JSON object in a file, or from standard input if it is -."`
}

// Validate refuses what is not in the form in which it is written.
func (g given) Validate() error {
	for _, v := range g.Values {
		if name, _, ok := strings.Cut(v, "="); !ok || name == "" {
			return fmt.Errorf("%q is not NAME=VALUE", v)
		}
	}
	return nil
}

// something wants anything to be given.
func (g given) something() error {
	if len(g.Values) == 0 && g.File == "" {
		return errors.New("say what to set: NAME=VALUE, or a file with --file")
	}
	return g.Validate()
}

// over puts what is given over an object: first the file, then the values, of which a.b=VALUE is a
// part of a. The API says what is wrong with it.
func (g given) over(t *Terminal, all map[string]json.RawMessage) error {
	if g.File != "" {
		text, err := readFile(t.In, g.File)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(text, &all); err != nil {
			return fmt.Errorf("%s is no JSON object: %w", g.File, err)
		}
	}
	lists := map[string][]string{}
	for _, v := range g.Values {
		name, value, _ := strings.Cut(v, "=")
		if slices.Contains(listed, name) && value != "null" {
			lists[name] = append(lists[name], value)
			put(all, name, encoded(lists[name]))
			continue
		}
		put(all, name, literal(value))
	}
	return nil
}

// put sets a value by its name, whose dot parts an object from what is in it.
func put(all map[string]json.RawMessage, name string, value json.RawMessage) {
	of, part, parted := strings.Cut(name, ".")
	if !parted {
		all[name] = value
		return
	}
	inside := map[string]json.RawMessage{}
	if json.Unmarshal(all[of], &inside) != nil || inside == nil {
		inside = map[string]json.RawMessage{} // of a file, which the API judges
	}
	inside[part] = value
	all[of] = encoded(inside)
}

// encoded returns texts as JSON.
func encoded(v any) json.RawMessage {
	text, _ := json.Marshal(v) // texts always encode
	return text
}

// listed are the settings of applications and connections that are lists of texts.
var listed = func() []string {
	names := []string{"oidc.scopes", "oidc.context", "saml.context", "saml.certificates"}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[form.ApplicationSettings]()) {
		if f.Type == reflect.TypeFor[*[]string]() {
			names = append(names, f.Tag.Get("json"))
		}
	}
	return names
}()
