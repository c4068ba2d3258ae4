package document

import (
	"maps"
	"slices"
	"strings"
)

// Operation is one change of a PATCH.
type Operation struct {
	Op    string // add, replace or remove
	Path  string
	Value any
}

const mostOperations = 1000 // of one PATCH

// Operations reads the changes of a PATCH. The names of operations are taken in any case, as Entra
// writes them.
func Operations(sent any) ([]Operation, error) {
	body, ok := sent.(Object)
	if !ok {
		return nil, errNoObject
	}
	if err := Is(body, PatchURI); err != nil {
		return nil, err
	}
	list, ok := Get(body, "Operations").([]any)
	if !ok || len(list) == 0 || len(list) > mostOperations {
		return nil, errOperations
	}
	all := make([]Operation, 0, len(list))
	for _, one := range list {
		o, ok := one.(Object)
		name, _ := Get(o, "op").(string)
		path, isText := Get(o, "path").(string)
		op := Operation{Op: strings.ToLower(name), Path: path, Value: Get(o, "value")}
		if !ok || !slices.Contains([]string{"add", "replace", "remove"}, op.Op) || !isText && Get(o, "path") != nil {
			return nil, refuse(InvalidSyntax, errOperation, name)
		}
		if op.Op == "remove" && op.Path == "" {
			return nil, errNoPath
		}
		all = append(all, op)
	}
	return all, nil
}

// Patch changes a resource by the operations of a PATCH, in their order. After an error o is spoiled.
func (k *Kind) Patch(o Object, operations []Operation, notes *Notes) error {
	for _, op := range operations {
		if err := k.change(o, op, notes); err != nil {
			return err
		}
	}
	return k.Complete(o)
}

func (k *Kind) change(o Object, op Operation, notes *Notes) error {
	if op.Path == "" {
		return k.changeAll(o, op, notes)
	}
	p, err := k.ParsePath(op.Path)
	if err != nil {
		return err
	}
	if p.root != "" {
		return k.changeRoot(o, p.root, op, notes)
	}
	if p.ref.attr == nil && !p.foreign {
		op.Path = "" // the schema of the kind itself
		return k.changeAll(o, op, notes)
	}
	return k.changeAt(o, p, op, notes)
}

// changeAll takes each key of the value as a path: dotted, with a filter, or with the URI of its
// schema (Entra with aadOptscim062020, Okta). What is no path here is left out with a note.
func (k *Kind) changeAll(o Object, op Operation, notes *Notes) error {
	value, ok := op.Value.(Object)
	if !ok {
		return refuse(InvalidValue, errType.With("Type", typeComplex), "value")
	}
	for _, name := range slices.Sorted(maps.Keys(value)) {
		p, err := k.ParsePath(name)
		switch {
		case strings.EqualFold(name, "schemas"):
			continue
		case err != nil:
			notes.add(noteUnknown, name)
			continue
		case p.root != "":
			err = k.changeRoot(o, p.root, Operation{op.Op, name, value[name]}, notes)
		case p.ref.attr == nil:
			notes.add(noteSchema, name)
		case p.ref.leaf().readOnly():
			notes.add(noteReadOnly, name)
		default:
			err = k.changeAt(o, p, Operation{op.Op, name, value[name]}, notes)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// changeRoot changes an extension as a whole.
func (k *Kind) changeRoot(o Object, uri string, op Operation, notes *Notes) error {
	if op.Op == "remove" || op.Value == nil {
		delete(o, uri)
		return nil
	}
	_, attributes := k.extension(uri)
	ext, err := notes.subs(attributes, op.Value, uri)
	if err != nil || ext == nil {
		return err
	}
	if old, ok := o[uri].(Object); ok {
		maps.Copy(old, ext)
	} else {
		o[uri] = ext
	}
	return nil
}

func (k *Kind) changeAt(o Object, p Path, op Operation, notes *Notes) error {
	if p.foreign {
		notes.add(noteSchema, op.Path)
		return nil
	}
	a := p.ref.attr
	switch {
	case a.readOnly() || p.ref.leaf().readOnly():
		return refuse(Mutability, errReadOnly, op.Path)
	case a.secret():
		notes.add(notePassword, a.Name)
		return nil
	case a.Name == "schemas":
		return nil
	}
	in := o
	if p.ref.ext != "" {
		if in, _ = o[p.ref.ext].(Object); in == nil {
			in = Object{}
		}
	}
	c := changing{Notes: notes, in: in, a: a, op: op}
	var err error
	switch {
	case p.filter != nil:
		err = c.selected(p)
	case p.ref.sub != nil:
		err = c.part(p.ref.sub)
	default:
		err = c.whole()
	}
	if p.ref.ext != "" {
		if o[p.ref.ext] = in; len(in) == 0 {
			delete(o, p.ref.ext)
		}
	}
	return err
}

// changing is one change of one attribute.
type changing struct {
	*Notes

	in Object // what has the attribute
	a  *Attribute
	op Operation
}

// set stores a value of the attribute, or leaves it without one.
func (c changing) set(v any) {
	if list, ok := v.([]any); ok {
		if list = c.tidy(list, c.a.Name); len(list) == 0 {
			v = nil
		} else {
			v = list
		}
	}
	if o, ok := v.(Object); ok && len(o) == 0 {
		v = nil
	}
	if c.in[c.a.Name] = v; v == nil {
		delete(c.in, c.a.Name)
	}
}

// whole changes an attribute without a filter.
func (c changing) whole() error {
	if c.op.Op == "remove" {
		if c.a.Required {
			return refuse(Mutability, errKeep, c.a.Name)
		}
		return c.remove()
	}
	v, err := c.value(c.a, c.op.Value, c.op.Path)
	if err != nil {
		return err
	}
	old := c.in[c.a.Name]
	switch {
	case v == nil && c.a.Required:
		return refuse(InvalidValue, errRequired, c.a.Name)
	case v == nil && c.op.Op == "add":
		return nil
	case c.a.MultiValued && c.op.Op == "add":
		v = append(listed(old), listed(v)...)
	case c.a.Type == typeComplex && !c.a.MultiValued:
		// Parts that the value does not have stay as they are (RFC 7644 §3.5.2.3).
		if parts, ok := old.(Object); ok && v != nil {
			maps.Copy(parts, v.(Object))
			v = parts
		}
	}
	c.set(v)
	return nil
}

// remove removes an attribute or, as Entra means it, only the values that it names.
func (c changing) remove() error {
	if c.op.Value == nil || !c.a.MultiValued {
		c.set(nil)
		return nil
	}
	named, err := c.value(c.a, c.op.Value, c.op.Path)
	if err != nil {
		return err
	}
	c.set(slices.DeleteFunc(listed(c.in[c.a.Name]), func(v any) bool {
		return slices.ContainsFunc(listed(named), func(one any) bool { return c.means(one, v) })
	}))
	return nil
}

// means reports whether what a removal names is a value: by value, or else by all that it says.
func (c changing) means(one, v any) bool {
	want, _ := one.(Object)
	have, _ := v.(Object)
	if want == nil || have == nil {
		return one == v
	}
	if s := text(want, "value"); s != "" {
		return strings.EqualFold(s, text(have, "value"))
	}
	for name, s := range want {
		if have[name] != s {
			return false
		}
	}
	return true
}

// part changes a part of a complex attribute: of its one value, or of each.
func (c changing) part(sub *Attribute) error {
	v, err := c.partValue(sub)
	if err != nil {
		return err
	}
	values := listed(c.in[c.a.Name])
	if len(values) == 0 && v != nil {
		values = []any{Object{}}
	}
	for _, one := range values {
		if o, ok := one.(Object); ok {
			put(o, sub, v)
		}
	}
	if c.a.MultiValued {
		c.set(c.meaning(values))
	} else if len(values) == 1 {
		c.set(values[0])
	}
	return nil
}

func (c changing) partValue(sub *Attribute) (any, error) {
	if c.op.Op == "remove" {
		return nil, nil //nolint:nilnil // See value.
	}
	return c.value(sub, c.op.Value, c.op.Path)
}

func put(o Object, sub *Attribute, v any) {
	if o[sub.Name] = v; v == nil {
		delete(o, sub.Name)
	}
}

// meaning leaves out values of which nothing is left: no parts, or no value where they had one.
func (c changing) meaning(values []any) []any {
	return slices.DeleteFunc(values, func(v any) bool {
		o, ok := v.(Object)
		return ok && (len(o) == 0 || c.a.sub("value") != nil && o["value"] == nil && o["$ref"] == nil)
	})
}

// selected changes the values that a filter selects.
func (c changing) selected(p Path) error {
	values := listed(c.in[c.a.Name])
	var chosen []Object
	for _, v := range values {
		if o, ok := v.(Object); ok && p.filter.Match(o) {
			chosen = append(chosen, o)
		}
	}
	if c.op.Op == "remove" && p.ref.sub == nil {
		c.set(slices.DeleteFunc(values, func(v any) bool {
			o, ok := v.(Object)
			return ok && p.filter.Match(o)
		}))
		return nil
	}
	if len(chosen) == 0 {
		if c.op.Op == "remove" {
			return nil
		}
		made, ok := p.makes(c.op.Op == "replace")
		if !ok {
			return refuse(NoTarget, errNoTarget, c.op.Path)
		}
		values = append(values, made)
		chosen = []Object{made}
	}
	for _, o := range chosen {
		if err := c.give(o, p.ref.sub); err != nil {
			return err
		}
		if o["primary"] == true {
			for _, v := range values {
				if other, ok := v.(Object); ok && other["primary"] == true {
					other["primary"] = false
				}
			}
			o["primary"] = true
		}
	}
	c.set(c.meaning(values))
	return nil
}

// give changes one value, or a part of it.
func (c changing) give(o Object, sub *Attribute) error {
	if sub != nil {
		v, err := c.partValue(sub)
		put(o, sub, v)
		return err
	}
	v, err := c.single(c.a, c.op.Value, c.op.Path)
	if err != nil {
		return err
	}
	parts, _ := v.(Object)
	if c.op.Op == "replace" && parts != nil {
		clear(o)
	}
	maps.Copy(o, parts)
	return nil
}
