package document

import (
	"strings"
	"time"
)

// fit judges whether an attribute can be compared so, and prepares the comparison.
func (f *Filter) fit(name string) error {
	a := f.ref.leaf()
	if a == nil {
		return nil // of another kind
	}
	if a.Type == typeComplex {
		// The value of a complex attribute stands for the attribute (RFC 7643 §2.4).
		if f.ref.sub == nil && a.MultiValued && a.sub("value") != nil {
			f.ref.sub = a.sub("value")
			a = f.ref.sub
		} else {
			return refuse(InvalidFilter, errCompare.With("Operator", f.op), name)
		}
	}
	s, isText := f.value.(string)
	switch a.Type {
	case typeBoolean:
		if isText && (strings.EqualFold(s, "true") || strings.EqualFold(s, "false")) {
			f.value, isText = strings.EqualFold(s, "true"), false
		}
		if _, ok := f.value.(bool); f.value != nil && !ok || f.op != "eq" && f.op != "ne" {
			return refuse(InvalidFilter, errCompare.With("Operator", f.op), name)
		}
	case typeBinary:
		if f.op != "eq" && f.op != "ne" || f.value != nil && !isText {
			return refuse(InvalidFilter, errCompare.With("Operator", f.op), name)
		}
	default:
		if !isText && (f.value != nil || f.op != "eq" && f.op != "ne") {
			return refuse(InvalidFilter, errCompare.With("Operator", f.op), name)
		}
		if _, err := time.Parse(time.RFC3339, s); a.Type == typeDateTime && isText && err != nil {
			return refuse(InvalidFilter, errCompare.With("Operator", f.op), name)
		}
	}
	f.lower = strings.ToLower(s)
	return nil
}

// Match reports whether a resource, as it is shown, is one that the filter asks for.
func (f *Filter) Match(o Object) bool {
	switch f.op {
	case "and":
		return f.left.Match(o) && f.right.Match(o)
	case "or":
		return f.left.Match(o) || f.right.Match(o)
	case "not":
		return !f.left.Match(o)
	}
	if f.ref.attr == nil {
		return f.op == "ne"
	}
	if f.ref.ext != "" {
		o, _ = o[f.ref.ext].(Object)
	}
	values := listed(o[f.ref.attr.Name])
	if f.op == "of" {
		for _, v := range values {
			if part, ok := v.(Object); ok && f.left.Match(part) {
				return true
			}
		}
		return false
	}
	found := false
	for _, v := range values {
		if f.ref.sub != nil {
			part, _ := v.(Object)
			v = part[f.ref.sub.Name]
		}
		found = found || v != nil && f.holds(v)
	}
	if f.op == "ne" {
		return !found
	}
	return found || f.op == "eq" && f.value == nil && !f.present(values)
}

// present reports whether the attribute has any value.
func (f *Filter) present(values []any) bool {
	p := Filter{op: "pr", ref: f.ref}
	for _, v := range values {
		if f.ref.sub != nil {
			part, _ := v.(Object)
			v = part[f.ref.sub.Name]
		}
		if v != nil && p.holds(v) {
			return true
		}
	}
	return false
}

// listed returns the values of an attribute, of which it has one, many or none.
func listed(v any) []any {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		return v
	default:
		return []any{v}
	}
}

// holds compares one value. ne holds for what eq holds for, and is turned around by its caller.
func (f *Filter) holds(v any) bool {
	if f.op == "pr" {
		return v != ""
	}
	s, isText := v.(string)
	want, wantText := f.value.(string)
	if !isText || !wantText {
		return v == f.value && (f.op == "eq" || f.op == "ne")
	}
	a := f.ref.leaf()
	if a.Type == typeDateTime {
		have, err := time.Parse(time.RFC3339, s)
		with, _ := time.Parse(time.RFC3339, want) // fit refused what is none
		return err == nil && f.ordered(have.Compare(with))
	}
	if !a.CaseExact {
		s, want = strings.ToLower(s), f.lower
	}
	switch f.op {
	case "co":
		return strings.Contains(s, want)
	case "sw":
		return strings.HasPrefix(s, want)
	case "ew":
		return strings.HasSuffix(s, want)
	}
	return f.ordered(strings.Compare(s, want))
}

func (f *Filter) ordered(c int) bool {
	switch f.op {
	case "eq", "ne":
		return c == 0
	case "gt":
		return c > 0
	case "ge":
		return c >= 0
	case "lt":
		return c < 0
	case "le":
		return c <= 0
	}
	return false
}

// Equal is an equality that every resource of an answer must hold, so that a database can look it
// up.
type Equal struct {
	Name  string // as in the schema, with its part: emails.value
	Value any    // a text or a boolean
}

// Equals returns the equalities that a filter demands with and at its top, and whether they are all
// that it demands.
func (f *Filter) Equals() (all []Equal, whole bool) {
	if f == nil {
		return nil, true
	}
	switch {
	case f.op == "and":
		left, first := f.left.Equals()
		right, second := f.right.Equals()
		return append(left, right...), first && second
	case f.op == "of" && f.left.op == "eq" && f.ref.ext == "":
		if f.left.value != nil {
			return []Equal{{f.ref.attr.Name + "." + f.left.ref.attr.Name, f.left.value}}, true
		}
	case f.op == "of":
		// One element has all of these, of which one is enough to look for.
		inner, _ := f.left.Equals()
		for i := range inner {
			inner[i].Name = f.ref.attr.Name + "." + inner[i].Name
		}
		if f.ref.ext == "" {
			return inner, false
		}
	case f.op == "eq" && f.value != nil && f.ref.ext == "" && f.ref.attr != nil:
		name := f.ref.attr.Name
		if f.ref.sub != nil {
			name += "." + f.ref.sub.Name
		}
		return []Equal{{name, f.value}}, true
	}
	return nil, false
}

// Names reports whether a filter looks at an attribute.
func (f *Filter) Names(name string) bool {
	if f == nil {
		return false
	}
	return f.left.Names(name) || f.right.Names(name) || f.ref.attr != nil && f.ref.ext == "" && f.ref.attr.Name == name
}
