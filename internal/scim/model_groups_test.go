package scim_test

import (
	"slices"
	"strings"
	"time"

	"parvis/internal/directory"
	"parvis/internal/provisioning"
)

// callGroup is what a call about a group does.
func (m *model) callGroup(d deed, id string) error {
	org := m.sources[d.by].org
	if d.kind == createGroup {
		if there := m.named(org, d.name); there != nil {
			if there.keeper != d.by {
				m.wait(d.by, provisioning.AdoptGroup, there.id, waitModel{external: d.wish.external})
			}
			return errTwice
		}
		g := &groupModel{id: id, name: d.name, external: d.wish.external, org: org, keeper: d.by, members: map[string]bool{}}
		m.groups = append(m.groups, g)
		return m.join(g, d.members)
	}
	g := m.group(d.id)
	if g == nil || g.keeper != d.by {
		return errUnknown
	}
	switch d.kind {
	case deleteGroup:
		if m.loses(g.keeper, len(m.visible(g))) {
			m.wait(g.keeper, provisioning.DeleteGroup, g.id, waitModel{})
			return errAccepted
		}
		m.drop(g)
		return nil
	case addMembers:
		return m.join(g, d.members)
	case removeMembers:
		return m.leave(g, d.members)
	case replaceMembers, putGroup:
		if err := m.rename(g, d.name); err != nil {
			return err
		}
		var others []string
		for _, one := range m.visible(g) {
			if !slices.Contains(d.members, one) {
				others = append(others, one)
			}
		}
		if err := m.join(g, d.members); err != nil {
			return err
		}
		return m.leave(g, others)
	default:
		return m.rename(g, d.name)
	}
}

func (m *model) drop(g *groupModel) {
	m.groups = slices.DeleteFunc(m.groups, func(one *groupModel) bool { return one == g })
}

func (m *model) rename(g *groupModel, name string) error {
	if name == "" || name == g.name {
		return nil
	}
	if m.named(g.org, name) != nil {
		return errTwice
	}
	g.name = name
	return nil
}

func (m *model) join(g *groupModel, ids []string) error {
	for _, id := range ids {
		if p := m.person(id); p == nil || p.keeper != g.keeper || p.gone() {
			return errBad
		}
		g.members[id] = true
	}
	// Who is wanted in the group is not to leave it any more.
	k := waitKey{g.keeper, provisioning.RemoveMembers, g.id}
	if w, held := m.waits[k]; held {
		w.members = slices.DeleteFunc(slices.Clone(w.members), func(id string) bool { return slices.Contains(ids, id) })
		if m.waits[k] = w; len(w.members) == 0 {
			delete(m.waits, k)
		}
	}
	return nil
}

func (m *model) leave(g *groupModel, ids []string) error {
	var there []string
	for _, id := range m.visible(g) {
		if slices.Contains(ids, id) {
			there = append(there, id)
		}
	}
	if m.loses(g.keeper, len(there)) {
		m.wait(g.keeper, provisioning.RemoveMembers, g.id, waitModel{members: there})
		return errAccepted
	}
	for _, id := range there {
		delete(g.members, id)
	}
	return nil
}

// loses counts memberships that go, by the hour that began when the first of them went, and reports
// whether they are too many to go.
func (m *model) loses(source, n int) bool {
	s := &m.sources[source]
	if n == 0 {
		return false
	}
	if s.lostSince.IsZero() || m.now.Sub(s.lostSince) >= time.Hour {
		if n > 10 && n*5 > m.size(source) {
			return true
		}
		s.lost, s.lostSince = n, m.now
		return false
	}
	if s.lost+n > 10 && (s.lost+n)*5 > m.size(source) {
		return true
	}
	s.lost += n
	return false
}

// settled is what somebody in the organization does, and the fault by which it is refused.
func (m *model) settled(d deed, got result) error {
	switch d.kind {
	case agree, dismiss:
		return m.settle(waitKey{d.by, d.ask, d.id}, d.kind == agree)
	case adoptAll:
		return m.adoptAll(d.by)
	case turnOn:
		if !m.sources[d.by].stopped {
			return provisioning.ErrStateHeld
		}
		m.sources[d.by].stopped = false
		return nil
	case arrive:
		m.people = append(m.people, &personModel{
			id: got.id, org: d.org, keeper: nobody, role: directory.Member, wayIn: true, address: d.wish.address, outBy: nobody, goneBy: nobody,
			name: spoken{display: "By Hand"}, said: spoken{display: "By Hand"},
		})
		return nil
	case found:
		g := &groupModel{id: got.id, name: d.name, org: d.org, keeper: nobody, members: map[string]bool{}}
		for _, id := range d.members {
			g.members[id] = true
		}
		m.groups = append(m.groups, g)
		return nil
	case month:
		m.people = slices.DeleteFunc(m.people, func(p *personModel) bool { return p.gone() && m.erased(p) })
		for _, g := range m.groups {
			for id := range g.members {
				if m.person(id) == nil {
					delete(g.members, id)
				}
			}
		}
		return nil
	case password:
		m.person(d.id).wayIn = true
		return nil
	default: // the others are about a person
	}
	return m.standing(d, m.person(d.id))
}

func (m *model) erased(p *personModel) bool { return m.now.Sub(p.goneAt) >= directory.RestorableFor }

// standing is what an owner does to a person by hand.
func (m *model) standing(d deed, p *personModel) error {
	switch d.kind {
	case shutOut:
		switch {
		case p.gone():
			return directory.ErrDeleted
		case p.out() && p.outBy == nobody:
			return directory.ErrDeactivated
		case !p.out():
			p.outAt, p.bornOut = m.now, false
		}
		p.outBy = nobody
	case letIn:
		return m.letIn(p)
	case deletePerson:
		return m.delete(p)
	case restore:
		return m.restore(p)
	case promote:
		switch {
		case p.gone():
			return directory.ErrDeleted
		case p.role == d.role:
			return directory.ErrRoleHeld
		case (d.role == directory.Owner || d.role == directory.Administrator) && !p.wayIn:
			return directory.ErrNoWayIn
		}
		p.role = d.role
	default: // the others are about what waits, or are calls
	}
	return nil
}

func (m *model) letIn(p *personModel) error {
	switch {
	case p == nil:
		return directory.ErrNotFound
	case p.gone():
		return directory.ErrDeleted
	case !p.out():
		return directory.ErrActive
	}
	p.comeIn()
	return nil
}

func (m *model) delete(p *personModel) error {
	switch {
	case p == nil:
		return directory.ErrNotFound
	case p.gone():
		return directory.ErrDeleted
	}
	if p.goneAt, p.outBy = m.now, nobody; !p.out() {
		p.outAt = m.now
	}
	return nil
}

func (m *model) restore(p *personModel) error {
	switch {
	case !p.gone():
		return directory.ErrNotDeleted
	case m.erased(p):
		return directory.ErrNotFound
	case m.at(p.org, p.address) != nil:
		return directory.ErrAddressGotten
	}
	if !p.outAt.Before(p.goneAt) {
		p.outBy = nobody // the deletion had shut them out, and it is undone by hand
	}
	p.goneAt, p.goneBy = time.Time{}, nobody
	return nil
}

// settle is what becomes of what waits. Where agreeing is refused, it goes on waiting.
func (m *model) settle(k waitKey, agreed bool) error {
	w, waits := m.waits[k]
	if !waits {
		return directory.ErrNotFound
	}
	if agreed {
		if err := m.agree(k, w); err != nil {
			return err
		}
	}
	delete(m.waits, k)
	return nil
}

func (m *model) agree(k waitKey, w waitModel) error {
	p, g := m.person(k.subject), m.group(k.subject)
	switch k.kind {
	case provisioning.AdoptPerson:
		return m.adopt(k.source, p, w.external)
	case provisioning.AdoptGroup:
		if g == nil {
			return directory.ErrNotFound
		}
		if g.keeper != k.source {
			m.overtaken(g.keeper, "", g.id)
		}
		g.keeper, g.external = k.source, w.external
	case provisioning.ChangeAddress:
		switch {
		case p == nil:
			return directory.ErrNotFound
		case p.keeper != k.source || p.role == directory.Owner:
			return directory.ErrDenied
		case p.gone():
			return directory.ErrDeleted
		case p.address != w.email && m.at(p.org, w.email) != nil:
			return directory.ErrAddressTaken
		}
		p.address = w.email
	case provisioning.LetInAgain:
		return m.letIn(p)
	case provisioning.DeletePerson:
		return m.delete(p)
	case provisioning.RemoveMembers, provisioning.DeleteGroup:
		switch {
		case g == nil:
			return directory.ErrNotFound
		case g.keeper != k.source:
			return directory.ErrProvisioned
		case k.kind == provisioning.DeleteGroup:
			m.drop(g)
			return nil
		}
		for _, id := range m.visible(g) {
			if slices.Contains(w.members, id) {
				delete(g.members, id)
			}
		}
	case provisioning.WholeBatch:
		m.bringBack(k.source, w.since)
	case provisioning.ShutOutOwner:
	}
	return nil
}

func (m *model) adopt(source int, p *personModel, external string) error {
	switch {
	case p == nil:
		return directory.ErrNotFound
	case p.gone():
		return directory.ErrDeleted
	case p.role == directory.Owner:
		return provisioning.ErrOwnerStays
	case p.keeper != source:
		m.overtaken(p.keeper, "", p.id) // it is no longer theirs
		// Nobody is let in by a source that did not shut them out.
		p.keeper, p.outBy = source, nobody
	}
	p.external = external
	return nil
}

// adoptAll hands over the members with an address in a proven domain for whom a source waits.
func (m *model) adoptAll(source int) error {
	for k, w := range m.waits {
		p := m.person(k.subject)
		if k.source != source || k.kind != provisioning.AdoptPerson || p == nil || p.gone() || p.role != directory.Member {
			continue
		}
		if m.sources[source].org == 0 && strings.HasSuffix(w.email, "@"+m.domain) {
			if err := m.settle(k, true); err != nil {
				return err
			}
		}
	}
	return nil
}

// bringBack undoes what a source took away since then, and stops it: who was out before stays out. Of
// several people with one address, the one comes back who had it last.
func (m *model) bringBack(source int, since time.Time) {
	var taken []*personModel
	for _, p := range m.people {
		if p.takenBy(source, since) {
			taken = append(taken, p)
		}
	}
	slices.SortStableFunc(taken, func(a, b *personModel) int { return b.goneAt.Compare(a.goneAt) })
	for _, p := range taken {
		wasIn := p.shutOutBy(source, since)
		if p.gone() && m.restore(p) != nil {
			continue
		}
		if wasIn {
			p.comeIn()
		}
	}
	m.sources[source].stopped = true
}
