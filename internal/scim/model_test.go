package scim_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"parvis/internal/expect"
	"parvis/internal/provisioning"
)

// model is what three directories with the same people should have made: two of one organization,
// and one of its neighbour.
type model struct {
	t       *testing.T
	w       *world
	seed    uint64
	sources []*source
	people  []map[string]*modelled // by source, by address
	groups  []string               // ids
	members []map[string]bool      // by source, addresses
	log     []string
}

type modelled struct {
	id, title string
	active    bool
}

// next returns a number below n, the same in every run.
func (m *model) next(n int) int {
	m.seed = m.seed*6364136223846793005 + 1442695040888963407
	return int(m.seed>>33) % n
}

// rival reports whether another source of the same organization keeps somebody with an address.
func (m *model) rival(at int, address string) bool {
	for i, s := range m.sources {
		if i != at && s.org.ID == m.sources[at].org.ID && m.people[i][address] != nil {
			return true
		}
	}
	return false
}

func (m *model) want(status int, at int, method, path, body string) reply {
	m.t.Helper()
	r := m.sources[at].call(m.t, method, path, body)
	if m.log = append(m.log, fmt.Sprint(at, " ", method, " ", path, " ", body, " ", r.status)); r.status != status {
		m.t.Fatalf("instead of %d: %s\n%s", status, r.text, strings.Join(m.log[max(0, len(m.log)-12):], "\n"))
	}
	return r
}

const everybody = 8

// step lets one directory make one change.
func (m *model) step() {
	m.w.Clock.Advance(20 * time.Minute) // so that the brake finds no batch
	at := m.next(len(m.sources))
	address := fmt.Sprintf("p%d@alpha.example", m.next(everybody))
	p := m.people[at][address]
	path := "/Users/usr_aaaaaaaaaaaaaaaaaaaaaaaaaa"
	status := func(ok int) int { return map[bool]int{true: ok, false: 404}[p != nil] }
	if p != nil {
		path = "/Users/" + p.id
	}
	switch m.next(9) {
	case 0, 1, 2:
		title := fmt.Sprint("T", m.next(5))
		body := user(address, `"title":"`+title+`"`, `"externalId":"x-`+address+`"`)
		if p != nil || m.rival(at, address) {
			m.want(409, at, "POST", "/Users", body)
			return
		}
		m.people[at][address] = &modelled{m.want(201, at, "POST", "/Users", body).id(), title, true}
	case 3:
		active, title := m.next(2) == 0, fmt.Sprint("T", m.next(5))
		m.want(status(200), at, "PUT", path, user(address, fmt.Sprintf(`"title":"%s","active":%v`, title, active)))
		if p != nil {
			p.active, p.title = active, title
		}
	case 4:
		active := m.next(2) == 0
		m.want(status(200), at, "PATCH", path, patch(fmt.Sprintf(`{"op":"Replace","path":"active","value":"%v"}`, active)))
		if p != nil {
			p.active = active
		}
	case 5:
		m.want(status(204), at, "DELETE", path, "")
		delete(m.people[at], address)
		delete(m.members[at], address)
	case 6, 7:
		m.member(at, address, p)
	case 8:
		id := m.want(200, at, "GET", "/Users?filter=externalId%20eq%20%22x-"+strings.ReplaceAll(address, "@", "%40")+"%22", "")
		expect.Equal(m.t, "found", len(id.resources()), map[bool]int{true: 1, false: 0}[p != nil])
	}
}

// member puts somebody into the source's group or takes them out.
func (m *model) member(at int, address string, p *modelled) {
	if p == nil {
		return
	}
	if group := "/Groups/" + m.groups[at]; m.next(2) == 0 {
		m.want(204, at, "PATCH", group, patch(`{"op":"Add","path":"members","value":[{"value":"`+p.id+`"}]}`))
		m.members[at][address] = true
	} else {
		m.want(204, at, "PATCH", group, patch(`{"op":"Remove","path":"members","value":[{"value":"`+p.id+`"}]}`))
		delete(m.members[at], address)
	}
}

// compare finds what is there and was not made, and the other way around.
func (m *model) compare() {
	for at, s := range m.sources {
		got, want := []string{}, []string{}
		for _, o := range s.must(m.t, 200, "GET", "/Users?attributes=userName,active,title,externalId", "").resources() {
			got = append(got, fmt.Sprint(o["userName"], o["id"], o["title"], o["active"], o["externalId"]))
		}
		for address, p := range m.people[at] {
			want = append(want, fmt.Sprint(address, p.id, p.title, p.active, "x-"+address))
		}
		slices.Sort(got)
		slices.Sort(want)
		members := []string{}
		list, _ := s.must(m.t, 200, "GET", "/Groups/"+m.groups[at], "").get("members").([]any)
		for _, one := range list {
			o, _ := one.(object)
			for address, p := range m.people[at] {
				if p.id == o["value"] {
					members = append(members, address)
				}
			}
		}
		slices.Sort(members)
		if named := slices.Sorted(maps.Keys(m.members[at])); !slices.Equal(got, want) || !slices.Equal(members, named) {
			m.t.Fatalf("source %d has %v and %v instead of %v and %v\n%s", at, got, members, want, named, strings.Join(m.log[max(0, len(m.log)-30):], "\n"))
		}
	}
}

// N12: the same people in two organizations are two users each, and of two directories of one
// organization only one has somebody, whatever order they call in. 10,000 steps, or as many as there
// is time for.
func TestDirectoriesWithTheSamePeopleAgainstAModel(t *testing.T) {
	t.Parallel()
	w := start(t)
	m := &model{t: t, w: w, seed: 15}
	m.sources = []*source{w.alpha, w.source(t, w.alpha.org, provisioning.On, false), w.beta}
	for i, s := range m.sources {
		m.people, m.members = append(m.people, map[string]*modelled{}), append(m.members, map[string]bool{})
		m.groups = append(m.groups, s.must(t, 201, "POST", "/Groups", group(fmt.Sprint("Group ", i))).id())
	}
	began := time.Now()
	n := 0
	for ; n < 10_000 && (os.Getenv("PARVIS_FULL") != "" || time.Since(began) < 3*time.Second); n++ {
		if m.step(); n%50 == 49 {
			m.compare()
		}
	}
	m.compare()
	t.Logf("%d steps", n)
}
