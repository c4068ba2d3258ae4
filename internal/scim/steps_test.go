package scim_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"time"

	"parvis/internal/directory"
	"parvis/internal/provisioning"
)

// kind says what a step does.
type kind string

// What sources do.
const (
	create         kind = "create"
	put            kind = "put"
	patchPerson    kind = "patch"
	remove         kind = "delete"
	find           kind = "find"
	createGroup    kind = "create a group"
	renameGroup    kind = "rename a group"
	addMembers     kind = "add members"
	removeMembers  kind = "remove members"
	replaceMembers kind = "replace members"
	putGroup       kind = "put a group"
	deleteGroup    kind = "delete a group"
)

// What an owner does, and what happens.
const (
	agree        kind = "agree"
	dismiss      kind = "dismiss"
	adoptAll     kind = "adopt all members"
	turnOn       kind = "turn on"
	shutOut      kind = "shut out by hand"
	letIn        kind = "let in by hand"
	deletePerson kind = "delete by hand"
	restore      kind = "restore"
	promote      kind = "give a role"
	arrive       kind = "come by another door"
	found        kind = "make a group by hand"
	password     kind = "choose a password"
	month        kind = "a month later"
)

// step is chosen before it is known what there will be: its numbers choose among what is there.
type step struct {
	kind      kind
	by        int // a source, or one of the organization in which it is done
	who, n, k int
	after     time.Duration
	beside    *step // begun at the same time
}

// deed is a step of which everything is chosen.
type deed struct {
	kind         kind
	by, org      int
	id           string
	wish         wish
	field, value string // of a PATCH of a person
	name         string
	members      []string
	ask          provisioning.Kind
	role         directory.Role
}

// result is how a deed ended.
type result struct {
	status int
	id     string
	shown  string // a person, as wish says it
	found  int
	text   string
	err    error
}

// source reports whether it is a call of a source.
func (d deed) source() bool {
	return slices.Contains([]kind{
		create, put, patchPerson, remove, find, createGroup, renameGroup, addMembers, removeMembers, replaceMembers, putGroup, deleteGroup,
	}, d.kind)
}

func (d deed) String() string {
	who := fmt.Sprint("source ", d.by)
	if !d.source() {
		who = fmt.Sprint("an owner, about source ", d.by)
	}
	return strings.Join(strings.Fields(fmt.Sprintf("%s: %s %s %s %s %s %s %q %s %v", who, d.kind, d.id, d.ask, d.role, d.field, d.value, d.name, d.wish, d.members)), " ")
}

// done is the status of a call that does what it wants.
func (d deed) done() int {
	switch d.kind {
	case create, createGroup:
		return 201
	case put, patchPerson, putGroup, find:
		return 200
	default:
		return 204
	}
}

// of is all that a call would like of a person.
func (d deed) of(p *personModel) wish {
	now := p.shown()
	if d.kind == put {
		w := d.wish
		if w.active == nil {
			w.active = now.active
		}
		if w.external == "" {
			w.external = now.external
		}
		return w
	}
	switch d.field {
	case "active":
		active := d.value == "True"
		now.active = &active
	case "userName":
		now.address = d.value
	case "externalId":
		now.external = d.value
	case "displayName":
		now.said.display = d.value
	case "title":
		now.said.title = d.value
	case "name.givenName":
		now.said.given = d.value
	}
	return now
}

// request is a call of a source.
type request struct{ method, path, body string }

// request is the call as it is sent.
func (d deed) request() request {
	person, group := "/Users/"+d.id, "/Groups/"+d.id
	switch d.kind {
	case create:
		return request{"POST", "/Users", d.wish.body()}
	case put:
		return request{"PUT", person, d.wish.body()}
	case patchPerson:
		return request{"PATCH", person, patch(fmt.Sprintf(`{"op":"Replace","path":%q,"value":%q}`, d.field, d.value))}
	case remove:
		return request{"DELETE", person, ""}
	case createGroup:
		return request{"POST", "/Groups", strings.Replace(groupOf(d.name, d.members), "{", fmt.Sprintf(`{"externalId":%q,`, d.wish.external), 1)}
	case putGroup:
		return request{"PUT", group, groupOf(d.name, d.members)}
	case renameGroup:
		return request{"PATCH", group, patch(fmt.Sprintf(`{"op":"Replace","path":"displayName","value":%q}`, d.name))}
	case addMembers, removeMembers, replaceMembers:
		op := map[kind]string{addMembers: "Add", removeMembers: "Remove", replaceMembers: "Replace"}[d.kind]
		return request{"PATCH", group, patch(fmt.Sprintf(`{"op":%q,"path":"members","value":%s}`, op, listOf(d.members)))}
	case deleteGroup:
		return request{"DELETE", group, ""}
	default:
		return request{"GET", "/Users?filter=" + url.QueryEscape(fmt.Sprintf("userName eq %q", strings.ToUpper(d.wish.address))), ""}
	}
}

func listOf(members []string) string {
	all := []object{}
	for _, id := range members {
		all = append(all, object{"value": id})
	}
	text, err := json.Marshal(all)
	if err != nil {
		panic(err) // texts always encode
	}
	return string(text)
}

func groupOf(name string, members []string) string { return group(name, members...) }

func (w wish) body() string {
	var more []string
	for name, value := range map[string]string{"externalId": w.external, "displayName": w.said.display, "title": w.said.title} {
		if value != "" {
			more = append(more, fmt.Sprintf("%q:%q", name, value))
		}
	}
	if w.said.given+w.said.family != "" {
		more = append(more, fmt.Sprintf(`"name":{"givenName":%q,"familyName":%q}`, w.said.given, w.said.family))
	}
	if w.active != nil {
		more = append(more, fmt.Sprintf(`"active":%v`, *w.active))
	}
	return user(w.address, more...)
}

// wished is a person as a source sees them.
func wished(o object) wish {
	text := func(o object, name string) string { s, _ := o[name].(string); return s }
	name, _ := o["name"].(object)
	active, _ := o["active"].(bool)
	return wish{text(o, "userName"), text(o, "externalId"), &active,
		spoken{text(o, "displayName"), text(name, "givenName"), text(name, "familyName"), text(o, "title")}}
}

// steps chooses so many steps by chance: first both organizations fill, then all sources change
// what they like, each fourth time beside another, and now and then do the same to many.
func steps(r *rand.Rand, n int) (all []step) {
	many := func(k kind, by, n int) {
		first := r.IntN(100)
		for i := range n {
			all = append(all, step{kind: k, by: by, who: first + i, n: r.IntN(60), k: r.IntN(60), after: time.Duration(1+r.IntN(5)) * time.Second})
		}
	}
	for by := range 3 {
		many(create, by, 20)
	}
	for len(all) < n {
		one := chosen(r)
		switch chance := r.IntN(100); {
		case chance < 4:
			many([]kind{create, create, remove, shutOutAll}[r.IntN(4)], r.IntN(3), 8+r.IntN(12))
			continue
		case chance < 34:
			beside := chosen(r)
			one.beside = &beside
		}
		all = append(all, one)
	}
	return all[:n]
}

// shutOutAll is a PATCH of active to False.
const shutOutAll kind = "shut out"

// often is how often a kind of step is chosen, beside the others.
var often = map[kind]int{
	create: 14, put: 12, patchPerson: 26, remove: 5, find: 3, createGroup: 3, renameGroup: 2, addMembers: 8, removeMembers: 4, replaceMembers: 4,
	putGroup: 2, deleteGroup: 2, agree: 14, dismiss: 4, adoptAll: 1, turnOn: 8, shutOut: 2, letIn: 2, deletePerson: 1, restore: 2, promote: 7,
	arrive: 3, found: 1, password: 8, month: 1,
}

// kinds has each kind as often as it is chosen.
var kinds = func() (all []kind) {
	for k, n := range often {
		for range n {
			all = append(all, k)
		}
	}
	slices.Sort(all)
	return all
}()

func chosen(r *rand.Rand) step {
	s := step{kind: kinds[r.IntN(len(kinds))], by: r.IntN(3), who: r.IntN(1000), n: r.IntN(1000), k: r.IntN(1000)}
	switch chance := r.IntN(10); {
	case chance < 7:
		s.after = time.Duration(1+r.IntN(120)) * time.Second
	case chance < 9:
		s.after = time.Duration(1+r.IntN(20)) * time.Minute
	default:
		s.after = time.Duration(1+r.IntN(180)) * time.Minute
	}
	return s
}
