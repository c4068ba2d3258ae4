package document

import (
	"encoding/base64"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Judge makes a resource of what was sent. Names are taken in any case, read-only values are left
// out (RFC 7644 §3.3), and what no schema of ours has is left out with a note.
func (k *Kind) Judge(sent any, notes *Notes) (Object, error) {
	body, ok := sent.(Object)
	if !ok {
		return nil, errNoObject
	}
	if err := k.schemas(body, notes); err != nil {
		return nil, err
	}
	o := Object{}
	for _, name := range slices.Sorted(maps.Keys(body)) {
		if err := k.take(o, name, body[name], notes); err != nil {
			return nil, err
		}
	}
	return o, k.Complete(o)
}

// schemas judges which schemas a body says to have. A body without any is of the kind that its
// address says.
func (k *Kind) schemas(body Object, notes *Notes) error {
	uris, err := URIs(body)
	if err != nil {
		return err
	}
	if !hasFold(uris, k.Schema) {
		notes.add(noteNoSchema, k.Schema)
	}
	for _, uri := range uris {
		if name, _ := k.extension(uri); name == "" && !strings.EqualFold(uri, k.Schema) {
			notes.add(noteSchema, uri)
		}
	}
	return nil
}

// URIs returns the schemas that a body or a message says to have.
func URIs(body Object) ([]string, error) {
	var uris []string
	switch v := Get(body, "schemas").(type) {
	case nil:
	case string:
		uris = []string{v}
	case []any:
		for _, one := range v {
			uri, ok := one.(string)
			if !ok {
				return nil, refuse(InvalidSyntax, errSchema, "schemas")
			}
			uris = append(uris, uri)
		}
	default:
		return nil, refuse(InvalidSyntax, errSchema, "schemas")
	}
	return uris, nil
}

// Is refuses a message that does not name a schema as its own.
func Is(body Object, uri string) error {
	uris, err := URIs(body)
	if err == nil && !hasFold(uris, uri) {
		err = refuse(InvalidSyntax, errSchema, uri)
	}
	return err
}

// Get returns a value of an object as it was sent, by its name in any case.
func Get(o Object, name string) any {
	if v, ok := o[name]; ok {
		return v
	}
	for key, v := range o {
		if strings.EqualFold(key, name) {
			return v
		}
	}
	return nil
}

// Has reports whether an object has a value that was sent, null included.
func Has(o Object, name string) bool {
	for key := range o {
		if strings.EqualFold(key, name) {
			return true
		}
	}
	return false
}

func hasFold(all []string, one string) bool {
	return slices.ContainsFunc(all, func(s string) bool { return strings.EqualFold(s, one) })
}

// take puts one value of a body where it belongs in o.
func (k *Kind) take(o Object, name string, sent any, notes *Notes) error {
	if uri, attributes := k.extension(name); uri != "" {
		ext, err := notes.subs(attributes, sent, uri)
		if err == nil && ext != nil {
			o[uri] = ext
		}
		return err
	}
	a := named(k.attributes, name)
	switch {
	case a == nil && isURN(name):
		notes.add(noteSchema, name)
		return nil
	case a == nil:
		notes.add(noteUnknown, name)
		return nil
	case a.secret():
		notes.add(notePassword, a.Name)
		return nil
	case a.readOnly(), a.Name == "schemas":
		return nil
	}
	v, err := notes.value(a, sent, a.Name)
	if err == nil && v != nil {
		o[a.Name] = v
	}
	return err
}

func isURN(s string) bool { return len(s) > 4 && strings.EqualFold(s[:4], "urn:") }

// Complete refuses a resource that lacks what every one of its kind has.
func (k *Kind) Complete(o Object) error {
	for _, a := range k.attributes {
		if v := o[a.Name]; a.Required && (v == nil || v == "") {
			return refuse(InvalidValue, errRequired, a.Name)
		}
	}
	return nil
}

// value judges what was sent for an attribute. What amounts to nothing is nil (RFC 7643 §2.5).
func (n *Notes) value(a *Attribute, sent any, at string) (any, error) {
	if !a.MultiValued {
		if list, ok := sent.([]any); ok && len(list) <= 1 {
			if sent = nil; len(list) == 1 {
				n.add(noteTaken, at)
				sent = list[0] // Entra puts the one value in a list
			}
		}
		return n.single(a, sent, at)
	}
	list, ok := sent.([]any)
	if !ok && sent != nil {
		list = []any{sent}
	}
	var all []any
	for _, one := range list {
		v, err := n.single(a, one, at)
		if err != nil {
			return nil, err
		}
		if v != nil {
			all = append(all, v)
		}
	}
	if all = n.tidy(all, at); len(all) == 0 {
		return nil, nil //nolint:nilnil // No value is a value: the attribute is not assigned.
	}
	return all, nil
}

// single judges one value.
func (n *Notes) single(a *Attribute, sent any, at string) (any, error) {
	if sent == nil {
		return nil, nil //nolint:nilnil // See value.
	}
	if a.Type == typeComplex {
		if text, ok := sent.(string); ok && a.sub("value") != nil {
			n.add(noteTaken, at) // Entra sends a manager as text
			sent = Object{"value": text}
		}
		o, err := n.subs(a.SubAttributes, sent, at)
		if err != nil || o == nil {
			return nil, err
		}
		return o, nil
	}
	text, isText := sent.(string)
	if a.Type == typeBoolean {
		if yes, ok := sent.(bool); ok {
			return yes, nil
		}
		if isText && (strings.EqualFold(text, "true") || strings.EqualFold(text, "false")) {
			n.add(noteTaken, at) // Entra sends booleans as text
			return strings.EqualFold(text, "true"), nil
		}
		return nil, refuse(InvalidValue, errType.With("Type", a.Type), at)
	}
	if a.Type == typeBinary && isText {
		_, err := base64.StdEncoding.DecodeString(text)
		isText = err == nil
	}
	if !isText {
		return nil, refuse(InvalidValue, errType.With("Type", a.Type), at)
	}
	return text, nil
}

// subs judges the parts of a complex value, or of an extension.
func (n *Notes) subs(attributes []Attribute, sent any, at string) (Object, error) {
	if list, ok := sent.([]any); ok && len(list) == 1 {
		sent = list[0]
	}
	if sent == nil {
		return nil, nil //nolint:nilnil // See value.
	}
	body, ok := sent.(Object)
	if !ok {
		return nil, refuse(InvalidValue, errType.With("Type", typeComplex), at)
	}
	o := Object{}
	for _, name := range slices.Sorted(maps.Keys(body)) {
		a := named(attributes, name)
		if a == nil {
			n.add(noteUnknown, at+"."+name)
			continue
		}
		if a.readOnly() {
			continue
		}
		v, err := n.value(a, body[name], at+"."+a.Name)
		if err != nil {
			return nil, err
		}
		if v != nil {
			o[a.Name] = v
		}
	}
	if len(o) == 0 {
		return nil, nil //nolint:nilnil // See value.
	}
	return o, nil
}

// tidy leaves one of values that are the same, with all that was said of it, and one that is the
// primary one: the last that says so, as after a PATCH (RFC 7643 §2.4, RFC 7644 §3.5.2).
func (n *Notes) tidy(all []any, at string) []any {
	seen := map[[2]string]Object{}
	var kept []any
	var primary Object
	for _, v := range all {
		o, ok := v.(Object)
		if !ok {
			if !slices.Contains(kept, v) {
				kept = append(kept, v)
			}
			continue
		}
		key := [2]string{text(o, "type"), text(o, "value")}
		if old := seen[key]; old != nil && key[1] != "" {
			maps.Copy(old, o)
			o = old
		} else if !slices.ContainsFunc(kept, func(old any) bool { return key[1] == "" && reflect.DeepEqual(old, v) }) {
			seen[key] = o
			kept = append(kept, o)
		}
		if o["primary"] == true {
			if primary != nil {
				primary["primary"] = false
				n.add(notePrimary, at)
			}
			o["primary"] = true
			primary = o
		}
	}
	return kept
}

// text returns a text of an object, or an empty one.
func text(o Object, name string) string {
	s, _ := o[name].(string)
	return s
}
