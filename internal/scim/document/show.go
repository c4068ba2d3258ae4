package document

import (
	"maps"
	"slices"
	"strings"
)

// Person is what a user's document says that this program acts on.
type Person struct {
	UserName, Name, GivenName, FamilyName, ExternalID string
	Address                                           string // empty if no address was sent
	Active                                            *bool  // nil if the document does not say
	Language, TimeZone                                string
}

// PersonOf reads the document of a user. The user name is the address; where it is none, the
// preferred address of emails is.
func PersonOf(o Object) Person {
	name, _ := o["name"].(Object)
	p := Person{
		UserName: text(o, "userName"), ExternalID: text(o, "externalId"),
		GivenName: text(name, "givenName"), FamilyName: text(name, "familyName"),
		Language: first(text(o, "preferredLanguage"), text(o, "locale")), TimeZone: text(o, "timezone"),
	}
	if p.Address = p.UserName; !strings.Contains(p.UserName, "@") {
		p.Address = preferred(listed(o["emails"]))
	}
	whole := strings.TrimSpace(p.GivenName + " " + p.FamilyName)
	p.Name = first(text(o, "displayName"), text(name, "formatted"), whole, p.UserName)
	if active, ok := o["active"].(bool); ok {
		p.Active = &active
	}
	return p
}

func first(all ...string) string {
	for _, s := range all {
		if strings.TrimSpace(s) != "" {
			return s
		}
	}
	return ""
}

// preferred returns the primary of several values, or the one at work, or the first.
func preferred(values []any) string {
	best, rank := "", 0
	for _, v := range values {
		o, _ := v.(Object)
		r := 1
		if strings.EqualFold(text(o, "type"), "work") {
			r = 2
		}
		if o["primary"] == true {
			r = 3
		}
		if s := text(o, "value"); s != "" && r > rank {
			best, rank = s, r
		}
	}
	return best
}

// Show is what of a resource an answer has (RFC 7644 §3.9).
type Show struct {
	kind     *Kind
	only     []Path // empty: all that is returned by default
	excluded []Path
}

const mostShown = 4 << 10 // bytes of a list of attributes

// ParseShow reads which attributes are asked for. Names that a kind does not have ask for nothing.
func (k *Kind) ParseShow(attributes, excluded []string) (Show, error) {
	s := Show{kind: k}
	if len(attributes) > 0 && len(excluded) > 0 {
		return s, errBoth
	}
	for _, name := range slices.Concat(attributes, excluded) {
		if len(name) > mostShown || strings.ContainsAny(name, "[]\"") {
			return s, refuse(InvalidValue, errList, name)
		}
	}
	if s.excluded = k.paths(excluded); len(attributes) > 0 {
		s.only = append(k.paths(attributes), Path{ref: Ref{attr: named(k.attributes, "id")}})
	}
	return s, nil
}

func (k *Kind) paths(names []string) (all []Path) {
	for _, name := range names {
		if p, err := k.ParsePath(strings.TrimSpace(name)); err == nil && !p.foreign && (p.root != "" || p.ref.attr != nil) {
			all = append(all, p)
		}
	}
	return all
}

// Has reports whether the answer has an attribute that costs something to find.
func (s Show) Has(name string) bool {
	here := func(p Path) bool { return p.ref.attr != nil && p.ref.ext == "" && p.ref.attr.Name == name }
	if s.only != nil {
		return slices.ContainsFunc(s.only, here)
	}
	return !slices.ContainsFunc(s.excluded, func(p Path) bool { return here(p) && p.ref.sub == nil })
}

// Of returns what is shown of a resource.
func (s Show) Of(o Object) Object {
	if s.only == nil {
		shown := maps.Clone(o)
		for _, p := range s.excluded {
			drop(shown, p)
		}
		return shown
	}
	shown := Object{"schemas": o["schemas"]}
	for _, p := range s.only {
		pick(shown, o, p)
	}
	return shown
}

func drop(o Object, p Path) {
	if p.root != "" {
		delete(o, p.root)
		return
	}
	a := p.ref.attr
	if a.Returned == "always" {
		return
	}
	if uri := p.ref.ext; uri != "" {
		ext, _ := o[uri].(Object)
		ext = maps.Clone(ext)
		p.ref.ext, o[uri] = "", ext
		if drop(ext, p); len(ext) == 0 {
			delete(o, uri)
		}
		return
	}
	if p.ref.sub == nil {
		delete(o, a.Name)
		return
	}
	if v := each(o[a.Name], func(part Object) Object {
		part = maps.Clone(part)
		delete(part, p.ref.sub.Name)
		return part
	}); v != nil {
		o[a.Name] = v
	}
}

func pick(into, o Object, p Path) {
	if p.root != "" {
		if ext, ok := o[p.root]; ok {
			into[p.root] = ext
		}
		return
	}
	if uri := p.ref.ext; uri != "" {
		ext, _ := o[uri].(Object)
		part, ok := into[uri].(Object)
		if !ok {
			part = Object{}
		}
		p.ref.ext = ""
		if pick(part, ext, p); len(part) > 0 {
			into[uri] = part
		}
		return
	}
	a := p.ref.attr
	v, ok := o[a.Name]
	if !ok {
		return
	}
	if p.ref.sub == nil {
		into[a.Name] = v
		return
	}
	old := listed(into[a.Name])
	i := -1
	into[a.Name] = each(v, func(part Object) Object {
		picked := Object{}
		if i++; i < len(old) { // name.givenName,name.familyName
			was, _ := old[i].(Object)
			maps.Copy(picked, was)
		}
		if value, ok := part[p.ref.sub.Name]; ok {
			picked[p.ref.sub.Name] = value
		}
		return picked
	})
}

// each applies f to one complex value, or to each of a list.
func each(v any, f func(Object) Object) any {
	switch v := v.(type) {
	case Object:
		return f(v)
	case []any:
		all := make([]any, 0, len(v))
		for _, one := range v {
			if o, ok := one.(Object); ok {
				all = append(all, f(o))
			}
		}
		return all
	}
	return v
}

// Sort is an order of resources (RFC 7644 §3.4.2.3).
type Sort struct {
	ref        Ref
	descending bool
}

// ParseSort reads an order.
func (k *Kind) ParseSort(by, order string) (Sort, error) {
	ref, ok := k.refer(by)
	if a := ref.leaf(); ok && a.Type == typeComplex && a.sub("value") != nil && ref.sub == nil {
		ref.sub = a.sub("value")
	}
	if !ok || ref.leaf().secret() || ref.leaf().Type == typeComplex {
		return Sort{}, refuse(InvalidPath, errSort, by)
	}
	if order != "" && !strings.EqualFold(order, "ascending") && !strings.EqualFold(order, "descending") {
		return Sort{}, refuse(InvalidValue, errSort, order)
	}
	return Sort{ref, strings.EqualFold(order, "descending")}, nil
}

// Apply orders resources. Those without a value come last, or first in a descending order.
func (s Sort) Apply(all []Object) {
	keys := make(map[string]string, len(all)) // by id
	for _, o := range all {
		keys[text(o, "id")] = s.key(o)
	}
	slices.SortStableFunc(all, func(x, y Object) int {
		a, b := keys[text(x, "id")], keys[text(y, "id")]
		if s.descending {
			a, b = b, a
		}
		switch {
		case a == b:
			return strings.Compare(text(x, "id"), text(y, "id"))
		case a == "":
			return 1
		case b == "":
			return -1
		}
		return strings.Compare(a, b)
	})
}

func (s Sort) key(o Object) string {
	if s.ref.ext != "" {
		o, _ = o[s.ref.ext].(Object)
	}
	v := o[s.ref.attr.Name]
	for i, one := range listed(v) {
		if part, ok := one.(Object); i == 0 || ok && part["primary"] == true {
			v = one
		}
	}
	if part, ok := v.(Object); ok && s.ref.sub != nil {
		v = part[s.ref.sub.Name]
	}
	switch v := v.(type) {
	case bool:
		return map[bool]string{false: "false", true: "true"}[v]
	case string:
		if s.ref.leaf().CaseExact {
			return v
		}
		return strings.ToLower(v)
	}
	return ""
}
