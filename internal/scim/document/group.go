package document

import (
	"maps"
	"slices"
	"strings"
)

// GroupChange is what becomes of a group, without the members that stay: they may be 20,000.
type GroupChange struct {
	Name, ExternalID *string
	Members          *[]string // all that it has from now on, or nil if only some come and go
	Add, Remove      []string
}

// GroupOf returns what a whole group says. One without members says nothing about them.
func GroupOf(o Object) (GroupChange, error) {
	var c GroupChange
	if name, ok := o["displayName"].(string); ok {
		c.Name = &name
	}
	if id, ok := o["externalId"].(string); ok {
		c.ExternalID = &id
	}
	if v, ok := o["members"]; ok {
		ids, err := memberIDs(v)
		if err != nil {
			return c, err
		}
		c.Members = &ids
	}
	return c, nil
}

// memberIDs returns the ids of members. Nobody is a member twice, and no group is.
func memberIDs(v any) ([]string, error) {
	ids := []string{}
	seen := map[string]bool{}
	for _, one := range listed(v) {
		o, _ := one.(Object)
		if strings.EqualFold(text(o, "type"), "Group") {
			return nil, refuse(InvalidValue, errNested, "members")
		}
		id := text(o, "value")
		if ref := text(o, "$ref"); id == "" {
			id = ref[strings.LastIndexByte(ref, '/')+1:]
		}
		if id == "" {
			return nil, refuse(InvalidValue, errRequired, "members.value")
		}
		if !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// PatchGroup returns what the operations of a PATCH make of a group, whatever it was before.
func PatchGroup(operations []Operation, notes *Notes) (GroupChange, error) {
	k := Group()
	var c GroupChange
	for _, op := range operations {
		if op.Path == "" {
			if err := c.takeAll(op, notes); err != nil {
				return c, err
			}
			continue
		}
		p, err := k.ParsePath(op.Path)
		if err != nil {
			return c, err
		}
		if p.ref.attr == nil && !p.foreign {
			err = c.takeAll(op, notes) // the schema of the kind itself
		} else {
			err = c.take(p, op, notes)
		}
		if err != nil {
			return c, err
		}
	}
	return c, nil
}

// takeAll takes each key of the value as a path. Okta sends the id along, which stays.
func (c *GroupChange) takeAll(op Operation, notes *Notes) error {
	value, ok := op.Value.(Object)
	if !ok || op.Op == "remove" {
		return refuse(InvalidValue, errType.With("Type", typeComplex), "value")
	}
	for _, name := range slices.Sorted(maps.Keys(value)) {
		p, err := Group().ParsePath(name)
		switch {
		case strings.EqualFold(name, "schemas"):
			continue
		case err != nil:
			notes.add(noteUnknown, name)
			continue
		case p.ref.attr != nil && p.ref.attr.readOnly():
			notes.add(noteReadOnly, name)
			continue
		}
		if err := c.take(p, Operation{op.Op, name, value[name]}, notes); err != nil {
			return err
		}
	}
	return nil
}

func (c *GroupChange) take(p Path, op Operation, notes *Notes) error {
	a := p.ref.attr
	switch {
	case p.foreign:
		notes.add(noteSchema, op.Path)
		return nil
	case a.readOnly():
		return refuse(Mutability, errReadOnly, op.Path)
	case a.Name == "schemas":
		return nil
	case a.Name == "members":
		return c.members(p, op, notes)
	case op.Op == "remove" && a.Required:
		return refuse(Mutability, errKeep, a.Name)
	}
	var v any
	if op.Op != "remove" {
		var err error
		if v, err = notes.value(a, op.Value, op.Path); err != nil {
			return err
		}
	}
	s, _ := v.(string)
	if a.Required && s == "" {
		return refuse(InvalidValue, errRequired, a.Name)
	}
	if a.Name == "displayName" {
		c.Name = &s
	} else {
		c.ExternalID = &s
	}
	return nil
}

// members takes a change of the members. A filter may only name people by their ids: anything else
// would need everybody in the group.
func (c *GroupChange) members(p Path, op Operation, notes *Notes) error {
	if p.ref.sub != nil {
		return refuse(Mutability, errReadOnly, op.Path)
	}
	var ids []string
	switch {
	case p.filter != nil:
		var ok bool
		if ids, ok = p.filter.values(); !ok {
			return refuse(InvalidPath, errMembers, op.Path)
		}
		if op.Op != "remove" {
			return refuse(NoTarget, errNoTarget, op.Path)
		}
	case op.Value != nil:
		v, err := notes.value(p.ref.attr, op.Value, op.Path)
		if err == nil {
			ids, err = memberIDs(v)
		}
		if err != nil {
			return err
		}
	case op.Op == "remove":
		c.Members, c.Add, c.Remove = &[]string{}, nil, nil
		return nil
	}
	switch op.Op {
	case "replace":
		c.Members, c.Add, c.Remove = &ids, nil, nil
	case "add":
		c.add(ids)
	case "remove":
		c.remove(ids)
	}
	return nil
}

func (c *GroupChange) add(ids []string) {
	if c.Members != nil {
		all := union(*c.Members, ids)
		c.Members = &all
		return
	}
	c.Add, c.Remove = union(c.Add, ids), without(c.Remove, ids)
}

func (c *GroupChange) remove(ids []string) {
	if c.Members != nil {
		all := without(*c.Members, ids)
		c.Members = &all
		return
	}
	c.Add, c.Remove = without(c.Add, ids), union(c.Remove, ids)
}

// union and without are linear, because a provider names thousands.
func union(all, more []string) []string { return append(without(all, more), more...) }

func without(all, fewer []string) []string {
	gone := make(map[string]bool, len(fewer))
	for _, id := range fewer {
		gone[id] = true
	}
	return slices.DeleteFunc(slices.Clone(all), func(id string) bool { return gone[id] })
}

// values returns the ids that a filter on members selects, if it does nothing else.
func (f *Filter) values() ([]string, bool) {
	if f.op == "or" {
		left, ok := f.left.values()
		right, also := f.right.values()
		return append(left, right...), ok && also
	}
	id, isText := f.value.(string)
	if f.op != "eq" || !isText || f.ref.attr.Name != "value" {
		return nil, false
	}
	return []string{id}, true
}
