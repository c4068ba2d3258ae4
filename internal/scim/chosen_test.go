package scim_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"parvis/internal/directory"
	"parvis/internal/provisioning"
)

// addresses are how many each organization has: some in another domain, and the owner's.
const addresses = 40

func (m *model) address(n int) string {
	switch n %= addresses; {
	case n < 34:
		return fmt.Sprintf("p%02d@%s", n, m.domain)
	case n < 39:
		return fmt.Sprintf("p%02d@elsewhere.example", n)
	default:
		return m.boss()
	}
}

// boss is the address of each organization's owner, whom no step changes.
func (m *model) boss() string { return "boss@" + m.domain }

// chosen chooses what a step is about. What cannot be done, because nothing is there for it, becomes a
// change of a person, or makes the first.
func (m *model) chosen(s step) deed {
	d := deed{kind: s.kind, by: s.by, org: m.sources[s.by].org}
	var ok bool
	switch s.kind {
	case create, find, put, patchPerson, remove, shutOutAll:
		d, ok = m.aboutPerson(d, s)
	case createGroup, renameGroup, addMembers, removeMembers, replaceMembers, putGroup, deleteGroup, found:
		d, ok = m.aboutGroup(d, s)
	case agree, dismiss:
		d, ok = m.aboutAsked(d, s)
	case turnOn:
		ok = m.sources[s.by].stopped || s.k%6 == 0
	case adoptAll, month:
		ok = true
	default:
		d, ok = m.byHand(d, s)
	}
	if ok {
		return d
	}
	d = deed{kind: patchPerson, by: s.by, org: d.org}
	if len(m.kept(s.by)) == 0 {
		d.kind = create
	}
	d, _ = m.aboutPerson(d, s)
	return d
}

func (m *model) aboutPerson(d deed, s step) (deed, bool) {
	active := s.k%4 != 0
	d.wish = wish{address: m.address(s.who), active: &active}
	if s.k%4 == 1 {
		d.wish.active = nil
	}
	if s.n%3 > 0 {
		d.wish.external = fmt.Sprint("x", s.n%7)
	}
	for i, into := range []*string{&d.wish.said.display, &d.wish.said.given, &d.wish.said.family, &d.wish.said.title} {
		if s.n>>i&1 > 0 {
			*into = fmt.Sprint(string("DGFT"[i]), s.k%5)
		}
	}
	if d.kind == create || d.kind == find {
		return d, true
	}
	p, there := m.whom(s)
	if !there {
		return d, false
	}
	if d.id = p.id; s.n%4 > 0 {
		d.wish.address = p.address
	}
	switch {
	case d.kind == shutOutAll:
		d.kind, d.field, d.value = patchPerson, "active", "False"
	case d.kind == patchPerson:
		d.field = []string{"active", "active", "active", "userName", "userName", "externalId", "displayName", "title", "name.givenName"}[s.n%9]
		d.value = map[string]string{"active": "True", "userName": m.address(s.who), "externalId": fmt.Sprint("x", s.k%7)}[d.field]
		if d.field == "active" && s.k%2 == 0 {
			d.value = "False"
		}
		d.value = cmp.Or(d.value, fmt.Sprint("N", s.k%5))
	}
	return d, true
}

// whom returns somebody of the source, or now and then somebody else whose id it knows.
func (m *model) whom(s step) (*personModel, bool) {
	all := m.kept(s.by)
	if s.k%6 == 0 || len(all) == 0 {
		all = slices.DeleteFunc(slices.Clone(m.people), func(p *personModel) bool { return p.org != m.sources[s.by].org })
	}
	if len(all) == 0 {
		return nil, false
	}
	return all[s.who%len(all)], true
}

func (m *model) aboutGroup(d deed, s step) (deed, bool) {
	d.name = fmt.Sprint("Group ", s.n%5)
	// Few members, or all whom the source keeps.
	for i := range s.k % 3 {
		if p, there := m.whom(step{by: s.by, who: s.who + 7*i, k: s.n + i}); there && !slices.Contains(d.members, p.id) {
			d.members = append(d.members, p.id)
		}
	}
	if s.k%4 == 3 {
		d.members = nil
		for _, p := range m.kept(s.by) {
			d.members = append(d.members, p.id)
		}
	}
	switch d.kind {
	case createGroup:
		d.wish.external = fmt.Sprint("g", s.k%3)
		return d, true
	case found:
		d.members = slices.DeleteFunc(d.members, func(id string) bool { return m.person(id).gone() })
		return d, m.named(d.org, d.name) == nil
	default: // the others are about a group that is there
	}
	all := slices.DeleteFunc(slices.Clone(m.groups), func(g *groupModel) bool { return g.org != d.org || g.keeper != s.by && s.k%6 > 0 })
	if len(all) == 0 {
		return d, false
	}
	g := all[s.who%len(all)]
	d.id = g.id
	if d.kind == replaceMembers || d.kind == putGroup && s.n%2 == 0 {
		d.name = g.name
	}
	return d, true
}

func (m *model) aboutAsked(d deed, s step) (deed, bool) {
	var all []waitKey
	asked := map[provisioning.Kind]bool{}
	for k := range m.waits {
		if k.source == s.by {
			all, asked[k.kind] = append(all, k), true
		}
	}
	if len(all) == 0 {
		return d, false
	}
	// First a kind, because adoptions are many.
	chosen := slices.Sorted(maps.Keys(asked))[s.n%len(asked)]
	all = slices.DeleteFunc(all, func(k waitKey) bool { return k.kind != chosen })
	slices.SortFunc(all, func(a, b waitKey) int {
		return cmp.Compare(m.order(a.subject), m.order(b.subject))
	})
	k := all[s.who%len(all)]
	d.ask, d.id = k.kind, k.subject
	return d, true
}

// order is the place of a person or a group, which is the same in each run, as ids are not.
func (m *model) order(id string) int {
	if i := slices.IndexFunc(m.people, func(p *personModel) bool { return p.id == id }); i >= 0 {
		return i
	}
	return slices.IndexFunc(m.groups, func(g *groupModel) bool { return g.id == id })
}

func (m *model) byHand(d deed, s step) (deed, bool) {
	if d.kind == arrive {
		d.wish.address = m.address(s.who)
		return d, m.at(d.org, d.wish.address) == nil
	}
	all := slices.DeleteFunc(slices.Clone(m.people), func(p *personModel) bool { return p.org != d.org || p.address == m.boss() })
	switch { // now and then somebody of whom it will be refused
	case s.k%6 == 0:
	case d.kind == restore:
		all = slices.DeleteFunc(all, func(p *personModel) bool { return !p.gone() })
	case d.kind == promote:
		all = slices.DeleteFunc(all, func(p *personModel) bool { return !p.wayIn })
	}
	if len(all) == 0 {
		return d, false
	}
	p := all[s.who%len(all)]
	d.id, d.role = p.id, []directory.Role{directory.Owner, directory.Administrator, directory.Administrator, directory.Helpdesk, directory.Member, directory.Member}[s.n%6]
	return d, d.kind != password || !p.wayIn && !p.gone()
}
