package scim_test

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/provisioning"
)

// model is what two organizations and the three directories that keep people there ought to look
// like: two directories of the first organization, and one of the second with the same addresses. It
// is written after docs/scim.md, and knows no table.
type model struct {
	now     time.Time
	domain  string // proven in the first organization
	sources [3]sourceModel
	people  []*personModel // in the order in which they came, the deleted too
	groups  []*groupModel
	waits   map[waitKey]waitModel
}

type sourceModel struct {
	org       int
	stopped   bool
	lost      int // memberships taken away since lostSince
	lostSince time.Time
	calls     map[provisioning.Outcome]int
}

// nobody is the source that keeps whom no source keeps.
const nobody = -1

type personModel struct {
	id       string
	org      int
	keeper   int
	role     directory.Role
	wayIn    bool
	address  string
	external string
	name     spoken // as people here see it; without a title
	said     spoken // as the source said it last

	outAt, goneAt time.Time
	outBy, goneBy int  // the source that shut them out and may let them in again; the one that deleted them
	bornOut       bool // made by a source as somebody who is out
}

// spoken is what a source says of somebody and what nothing is decided by.
type spoken struct{ display, given, family, title string }

func (s spoken) whole(address string) string {
	return cmp.Or(s.display, strings.TrimSpace(s.given+" "+s.family), address)
}

type groupModel struct {
	id, name, external string
	org, keeper        int
	members            map[string]bool // ids of people, the deleted too
}

type waitKey struct {
	source  int
	kind    provisioning.Kind
	subject string
}

type waitModel struct {
	email, external string
	members         []string
	since           time.Time
}

func (p *personModel) out() bool  { return !p.outAt.IsZero() }
func (p *personModel) gone() bool { return !p.goneAt.IsZero() }

// copied returns a model that can be changed without changing m.
func (m *model) copied() *model {
	c := *m
	c.people, c.groups, c.waits = nil, nil, maps.Clone(m.waits)
	for _, p := range m.people {
		one := *p
		c.people = append(c.people, &one)
	}
	for _, g := range m.groups {
		one := *g
		one.members = maps.Clone(g.members)
		c.groups = append(c.groups, &one)
	}
	for i := range c.sources {
		c.sources[i].calls = maps.Clone(m.sources[i].calls)
	}
	return &c
}

func (m *model) person(id string) *personModel {
	for _, p := range m.people {
		if p.id == id {
			return p
		}
	}
	return nil
}

// kept are the people whom a source sees.
func (m *model) kept(source int) (all []*personModel) {
	for _, p := range m.people {
		if p.keeper == source && !p.gone() {
			all = append(all, p)
		}
	}
	return all
}

// at returns who has an address.
func (m *model) at(org int, address string) *personModel {
	for _, p := range m.people {
		if p.org == org && p.address == address && !p.gone() {
			return p
		}
	}
	return nil
}

func (m *model) group(id string) *groupModel {
	for _, g := range m.groups {
		if g.id == id {
			return g
		}
	}
	return nil
}

func (m *model) named(org int, name string) *groupModel {
	for _, g := range m.groups {
		if g.org == org && g.name == name {
			return g
		}
	}
	return nil
}

// visible are the members of a group whom its source sees, in order.
func (m *model) visible(g *groupModel) (ids []string) {
	for _, p := range m.kept(g.keeper) {
		if g.members[p.id] {
			ids = append(ids, p.id)
		}
	}
	slices.Sort(ids)
	return ids
}

// wait notes that a source asks an administrator for something.
func (m *model) wait(source int, kind provisioning.Kind, subject string, w waitModel) {
	k := waitKey{source, kind, subject}
	before, asked := m.waits[k]
	if kind == provisioning.WholeBatch && asked {
		return
	}
	for _, id := range before.members {
		if !slices.Contains(w.members, id) {
			w.members = append(w.members, id)
		}
	}
	m.waits[k] = w
}

// overtaken ends what a source asks for, of any kind if none is named.
func (m *model) overtaken(source int, kind provisioning.Kind, subject string) {
	maps.DeleteFunc(m.waits, func(k waitKey, _ waitModel) bool {
		return k.source == source && k.subject == subject && (kind == "" || k.kind == kind)
	})
}

// wish is what a call says of a person. Empty texts, and no word of active, leave out.
type wish struct {
	address, external string
	active            *bool
	said              spoken
}

// shown is a person as their source sees them.
func (p *personModel) shown() wish {
	active := !p.out()
	return wish{p.address, p.external, &active, p.said}
}

func (w wish) String() string {
	active := "as it was"
	if w.active != nil {
		active = fmt.Sprint(*w.active)
	}
	return fmt.Sprintf("%s %s active %s %q", w.address, w.external, active, w.said)
}

// refusal is how a call is refused.
type refusal struct{ status int }

func (r refusal) Error() string { return fmt.Sprint(r.status) }

var (
	errBad      = refusal{400}
	errNever    = refusal{403}
	errUnknown  = refusal{404}
	errTwice    = refusal{409}
	errNotNow   = refusal{503}
	errAccepted = errors.New("held")
)

// apply makes of the model what a deed makes of the house, and says what is wrong with its result.
func (m *model) apply(d deed, got result) error {
	if d.source() {
		return m.applyCall(d, got)
	}
	want := m.settled(d, got)
	if f, refused := errors.AsType[*fault.Error](want); refused != (got.err != nil) || refused && !errors.Is(got.err, f) {
		return fmt.Errorf("%s ended with %w instead of %w", d, got.err, want)
	}
	return nil
}

func (m *model) applyCall(d deed, got result) error {
	before := m.copied()
	p, err := m.call(d, got)
	status := d.done()
	if r, refused := errors.AsType[refusal](err); refused {
		// A call that is refused changes nothing, but what it asks an administrator for waits.
		asked := m.waits
		*m, status = *before, r.status
		maps.Copy(m.waits, asked)
	} else if errors.Is(err, errAccepted) {
		status = 202
	}
	if got.status != status {
		return fmt.Errorf("%s was answered %d instead of %d: %s", d, got.status, status, got.text)
	}
	switch {
	case d.kind == find && status == 200:
		want := 0
		if p != nil {
			want = 1
		}
		if got.found != want {
			return fmt.Errorf("%s found %d instead of %d", d, got.found, want)
		}
	case p != nil && got.shown != p.shown().String():
		return fmt.Errorf("%s was answered with %s instead of %s", d, got.shown, p.shown())
	}
	calls := m.sources[d.by].calls
	switch {
	case status == 202:
		calls[provisioning.Held]++
	case status >= 400:
		calls[provisioning.Refused]++
	case d.kind != find:
		calls[provisioning.Done]++
	}
	return nil
}

// call is what a source's call does, and the person whom its answer shows.
func (m *model) call(d deed, got result) (*personModel, error) {
	if m.sources[d.by].stopped {
		return nil, errNotNow
	}
	switch d.kind {
	case create:
		return m.create(d, got.id)
	case put, patchPerson:
		return m.put(d)
	case remove:
		return nil, m.remove(d.by, d.id)
	case find:
		for _, p := range m.kept(d.by) {
			if p.address == d.wish.address {
				return p, nil
			}
		}
		return nil, nil //nolint:nilnil // Nobody is found, and nothing went wrong.
	default: // the others are about a group
	}
	return nil, m.callGroup(d, got.id)
}

func (m *model) create(d deed, id string) (*personModel, error) {
	org := m.sources[d.by].org
	if there := m.at(org, d.wish.address); there != nil {
		if there.keeper != d.by && there.role != directory.Owner {
			m.wait(d.by, provisioning.AdoptPerson, there.id, waitModel{email: there.address, external: d.wish.external})
		}
		return nil, errTwice
	}
	p := &personModel{
		id: id, org: org, keeper: d.by, role: directory.Member, address: d.wish.address, external: d.wish.external,
		said: d.wish.said, name: d.wish.said.name(d.wish.address), outBy: nobody, goneBy: nobody,
	}
	active := d.wish.active == nil || *d.wish.active
	switch {
	case m.shutOutHere(org, p.address):
		if p.outAt = m.now; active {
			m.wait(d.by, provisioning.LetInAgain, p.id, waitModel{email: p.address})
		}
	case !active:
		p.outAt, p.outBy, p.bornOut = m.now, d.by, true
	}
	m.people = append(m.people, p)
	return p, nil
}

// shutOutHere reports whether somebody who can be restored had an address, and had been shut out by
// hand when they were deleted.
func (m *model) shutOutHere(org int, address string) bool {
	return slices.ContainsFunc(m.people, func(p *personModel) bool {
		return p.org == org && p.address == address && p.gone() && !m.erased(p) && p.outBy == nobody && p.outAt.Before(p.goneAt)
	})
}

// name is what people here see of what was said.
func (s spoken) name(address string) spoken {
	return spoken{display: s.whole(address), given: s.given, family: s.family}
}

// put gives a person what the source says of them, as far as a source may.
func (m *model) put(d deed) (*personModel, error) {
	p := m.person(d.id)
	if p == nil || p.keeper != d.by || p.gone() {
		return nil, errUnknown
	}
	w := d.of(p)
	active := *w.active
	if says := d.wish.address; d.kind == put && says == p.address || d.kind == patchPerson && d.field == "userName" && d.value == p.address {
		m.overtaken(d.by, provisioning.ChangeAddress, p.id)
	}
	if p.role == directory.Owner {
		if !active && !p.out() {
			m.wait(d.by, provisioning.ShutOutOwner, p.id, waitModel{email: p.address})
			return nil, errNever
		}
		p.said = w.said
		return p, nil
	}
	if says := d.wish.active; d.kind == put && says != nil && !*says || d.kind == patchPerson && d.field == "active" && !active {
		m.overtaken(d.by, provisioning.LetInAgain, p.id) // it says the opposite by now
	}
	if w.String() == p.shown().String() {
		return p, nil
	}
	goes := !active && !p.out()
	if goes {
		m.shutOut(d.by, p)
	}
	if w.address != p.address {
		if err := m.readdress(d.by, p, w.address); err != nil && !goes { // who goes keeps theirs
			return nil, err
		}
	}
	p.name, p.said, p.external = w.said.name(w.address), w.said, w.external
	switch {
	case !active || !p.out():
	case p.outBy != d.by:
		m.wait(d.by, provisioning.LetInAgain, p.id, waitModel{email: p.address})
	default:
		p.comeIn()
		m.overtaken(d.by, provisioning.DeletePerson, p.id)
	}
	return p, nil
}

func (m *model) shutOut(source int, p *personModel) {
	p.outAt, p.outBy, p.bornOut = m.now, source, false
	m.brake(source)
}

func (p *personModel) comeIn() { p.outAt, p.outBy, p.bornOut = time.Time{}, nobody, false }

// readdress gives a person another address: at once if they cannot sign in yet or are members within
// proven domains; for anybody else an administrator is asked.
func (m *model) readdress(source int, p *personModel, address string) error {
	_, domain, _ := strings.Cut(address, "@")
	switch {
	case p.wayIn && (p.org != 0 || domain != m.domain):
		return errBad
	case p.wayIn && p.role != directory.Member:
		m.wait(source, provisioning.ChangeAddress, p.id, waitModel{email: address})
		return nil
	case m.at(p.org, address) != nil:
		return errTwice
	}
	p.address = address
	return nil
}

func (m *model) remove(source int, id string) error {
	p := m.person(id)
	switch {
	case p == nil || p.keeper != source || p.gone():
		return errUnknown
	case p.role == directory.Owner:
		m.wait(source, provisioning.ShutOutOwner, p.id, waitModel{email: p.address})
		return errNever
	}
	m.overtaken(source, provisioning.LetInAgain, p.id)
	more := 1
	if p.takenBy(source, m.now.Add(-time.Hour)) {
		more = 0
	}
	if m.beyond(source, more) {
		if !p.out() {
			m.shutOut(source, p)
		}
		m.wait(source, provisioning.DeletePerson, p.id, waitModel{email: p.address})
		return errAccepted
	}
	if p.goneAt, p.goneBy = m.now, source; !p.out() {
		p.outAt, p.outBy = m.now, source
	} // who was out already stays out by whom they were
	m.brake(source)
	return nil
}

// shutOutBy reports whether a source shut a person out after a time. Who was made as somebody who is
// out was never in.
func (p *personModel) shutOutBy(source int, since time.Time) bool {
	return p.outBy == source && p.outAt.After(since) && !p.bornOut
}

// takenBy reports whether a source shut a person out or deleted them after a time.
func (p *personModel) takenBy(source int, since time.Time) bool {
	return p.shutOutBy(source, since) || p.goneBy == source && p.goneAt.After(since)
}

// beyond reports whether more people away are more than ten and more than a fifth. What was beyond
// once stays so until an administrator has decided.
func (m *model) beyond(source, more int) bool {
	if _, told := m.waits[waitKey{source, provisioning.WholeBatch, "batch"}]; told {
		return true
	}
	for _, p := range m.people {
		if p.takenBy(source, m.now.Add(-time.Hour)) {
			more++
		}
	}
	return more > 10 && more*5 > m.size(source)
}

// size counts whom a source keeps, and whom it kept within the hour.
func (m *model) size(source int) (n int) {
	for _, p := range m.people {
		if p.keeper == source && (!p.gone() || p.goneAt.After(m.now.Add(-time.Hour))) {
			n++
		}
	}
	return n
}

func (m *model) brake(source int) {
	if m.beyond(source, 0) {
		m.wait(source, provisioning.WholeBatch, "batch", waitModel{since: m.now.Add(-time.Hour)})
	}
}
