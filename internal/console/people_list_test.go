package console_test

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/idptest"
	"parvis/internal/naming"
	"parvis/internal/secret"
)

// The address of a page of the list names nobody, opens for no other list or organization, and
// the list is complete.
func TestThePlaceInTheListOfPeopleIsSealed(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		for i := range 110 {
			name, email := fmt.Sprintf("Zora %03d", i), fmt.Sprintf("z%03d@alpha.example", i)
			if _, err := tx.Exec(ctx, `
				insert into users (org_id, id, email, email_key, display_name, search_key, role, language, time_zone, created_at, generation)
				values ($1, $2, $3, $3, $4, $5, 'member', 'en', '', 1, 1)`, string(w.alpha.ID), secret.NewID("usr"), email, name, naming.SearchKey(name, email)); err != nil {
				return err
			}
		}
		return nil
	})
	b := w.alpha.browsers[directory.Owner]
	next := func(p *idptest.Page) string {
		for _, link := range p.Links() {
			if strings.Contains(link, "before=") {
				return link
			}
		}
		return ""
	}
	first := seen(t, b.Get("/o/alpha/admin/people?role=member"), 200)
	link := next(first)
	u, err := url.Parse(link)
	if err != nil || link == "" {
		t.Fatalf("no second page: %v", err)
	}
	place := u.Query().Get("before")
	for _, name := range []string{"zora", "z09", "usr_"} {
		if strings.Contains(strings.ToLower(link), name) {
			t.Errorf("the address %s has %q", link, name)
		}
	}
	second := seen(t, b.Get(link), 200)
	idptest.Want(t, first, idptest.Says("console.people.found", "Count", 112, "All", 116), idptest.Shows("Zora 097"), idptest.ShowsNot("Zora 098"))
	idptest.Want(t, second, idptest.Shows("Zora 098"), idptest.Shows("Zora 109"), idptest.ShowsNot("Zora 097"), idptest.Link("/o/alpha/admin/people?role=member"))
	for what, path := range map[string]string{
		"another filter": "/o/alpha/admin/people?before=" + place, "another order": "/o/alpha/admin/people?role=member&sort=-name&before=" + place,
		"changed": "/o/alpha/admin/people?role=member&before=x" + place, "made up": "/o/alpha/admin/people?role=member&before=1." + w.alpha.user,
	} {
		if p := b.Get(path); p.Status != 400 {
			t.Errorf("%s: %d, want 400", what, p.Status)
		}
	}
	if p := w.beta.browsers[directory.Owner].Get("/o/beta/admin/people?role=member&before=" + place); p.Status != 400 {
		t.Errorf("in another organization: %d, want 400", p.Status)
	}
}

// The heads of columns say how the list is sorted and sort it the other way; filters say what
// they found of how many; nothing but what is offered is taken.
func TestPeopleAreSortedAndFiltered(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.withApp(t, "helpdesk@alpha.example")
	b := w.alpha.browsers[directory.Owner]
	p := seen(t, b.Get("/o/alpha/admin/people"), 200)
	idptest.Want(t, p, idptest.Says("console.people.count", "Count", 6), idptest.Element("th", "aria-sort", "ascending"),
		idptest.Link("?sort=-name"), idptest.Link("?sort=-last"), idptest.Link("?sort=role"), idptest.Link("?sort=state"))
	p = seen(t, b.Get("/o/alpha/admin/people?sort=-last&second=app"), 200)
	idptest.Want(t, p, idptest.Says("console.people.found", "Count", 1, "All", 6), idptest.Element("th", "aria-sort", "descending"),
		idptest.Link("?second=app&sort=last"), idptest.Shows("helpdesk@alpha.example"), idptest.ShowsNot("auditor@alpha.example"))
	for query, want := range map[string]int{
		"way=password": 5, "way=provider": 0, "way=none": 0, "state=invited": 1, "role=auditor": 1, "second=none": 4, "last=2026-11-01": 0, "last=2026-12-31": 5,
		"group=" + w.alpha.group: 1, "group=" + w.beta.group: 0, "q=beta": 0, "q=alpha.example": 6,
	} {
		idptest.Want(t, seen(t, b.Get("/o/alpha/admin/people?"+query), 200), idptest.Says("console.people.found", "Count", want, "All", 6))
	}
	for query, want := range map[string]int{
		"sort=age": 400, "state=gone": 400, "second=sms": 400, "way=window": 400, "role=king": 400, "group=x": 400, "sort=--name": 400, "last=soon": 422,
	} {
		if p := b.Get("/o/alpha/admin/people?" + query); p.Status != want {
			t.Errorf("%s: %d, want %d", query, p.Status, want)
		}
	}
	idptest.Want(t, b.Get("/o/alpha/admin/people?q=nobody"), idptest.Status(200), idptest.Says("console.people.none"), idptest.Says("console.people.clear"))
	dbtest.ByHand(t, w.DB)
}
