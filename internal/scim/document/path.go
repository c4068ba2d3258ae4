package document

import "strings"

// Path is where a PATCH changes something (RFC 7644 §3.5.2).
type Path struct {
	ref     Ref
	filter  *Filter // of the values that are meant
	root    string  // the URI of an extension that is meant as a whole, or of the kind
	foreign bool    // of a schema that is not ours
}

// ParsePath reads a path into resources of a kind.
func (k *Kind) ParsePath(s string) (Path, error) {
	wrong := refuse(InvalidPath, errPath, s)
	if len(s) > mostFilter {
		return Path{}, wrong
	}
	p := &parser{kind: k, text: s}
	name := p.word()
	if uri, _ := k.extension(name); uri != "" || strings.EqualFold(name, k.Schema) {
		if p.skip() != 0 {
			return Path{}, wrong
		}
		return Path{root: uri}, nil
	}
	ref, ok := k.refer(name)
	if !ok {
		if isURN(name) && k.foreign(name) {
			return Path{foreign: true}, nil
		}
		return Path{}, wrong
	}
	path := Path{ref: ref}
	if p.skip() == '[' {
		f, err := p.valuePath(ref)
		if err != nil || !ref.attr.MultiValued {
			return Path{}, wrong
		}
		path.filter = f.left
		if p.at < len(s) && s[p.at] == '.' {
			p.at++
			if path.ref.sub = ref.attr.sub(p.word()); path.ref.sub == nil {
				return Path{}, wrong
			}
		}
	}
	if p.skip() != 0 {
		return Path{}, wrong
	}
	return path, nil
}

// foreign reports whether a name belongs to a schema that is not ours.
func (k *Kind) foreign(name string) bool {
	for uri := range k.extensions {
		if len(name) > len(uri) && strings.EqualFold(name[:len(uri)+1], uri+":") {
			return false
		}
	}
	return !(len(name) > len(k.Schema) && strings.EqualFold(name[:len(k.Schema)+1], k.Schema+":"))
}

// makes returns the value that would be selected by a filter, if equalities are all that it
// demands. It is for Entra, which sets the address at work of somebody who has none. where is
// demanded: that texts are among those that the schema suggests, if it suggests any.
func (p Path) makes(suggested bool) (Object, bool) {
	equals, whole := p.filter.Equals()
	o := Object{}
	for _, e := range equals {
		a := p.ref.attr.sub(e.Name)
		s, isText := e.Value.(string)
		if a == nil || suggested && isText && len(a.CanonicalValues) > 0 && !hasFold(a.CanonicalValues, s) {
			return nil, false
		}
		o[a.Name] = e.Value
	}
	return o, whole && len(o) > 0
}
