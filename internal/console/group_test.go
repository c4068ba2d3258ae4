package console_test

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/idptest"
)

const groups = "/o/alpha/admin/groups"

// An administrator creates a group, finds people by name and by address, adds and removes them,
// renames the group and deletes it.
func TestGroupIsCreatedFilledRenamedAndDeleted(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Administrator]
	if !slices.Contains(seen(t, b.Get("/o/alpha/admin/people"), 200).Links(), groups) {
		t.Error("the administration does not lead there")
	}
	form := seen(t, b.Get(groups), 200).Form("main")
	for typed, says := range map[string]string{
		"": idptest.Sentence(t, "directory.name_missing"), " ": idptest.Sentence(t, "directory.name_missing"), "PEOPLE  of Alpha": idptest.Sentence(t, "directory.group_taken"), "a\u202eb": idptest.Sentence(t, "directory.name_invalid"),
		strings.Repeat("🦊x", 41): idptest.Sentence(t, "directory.group_name_long", "Most", "80"), "<b>\u200b</b>": idptest.Sentence(t, "directory.name_invalid"),
	} {
		p := seen(t, form.Fill("name", typed).Submit(""), 422)
		if !p.Says(says) || !p.Has("input", "aria-invalid", "true") || p.Form("main").Values.Get("name") != typed {
			t.Errorf("%q: %v: %s", typed, p.Form("main").Values, p.Text())
		}
	}
	p := seen(t, form.Fill("name", " Finance  & Tax ").Submit(""), 200)
	path := p.URL.Path
	idptest.Want(t, p, idptest.Says("console.group.is_created"), idptest.Shows("Finance & Tax"), idptest.Shows("0 members"), idptest.Says("console.group.empty"))
	if !strings.HasPrefix(path, groups+"/grp_") {
		t.Fatalf("created: %s %s", p.URL, p.Text())
	}
	if p := seen(t, b.Get(path), 200); p.Says("is created") || !slices.Contains(p.Links(), path+"/add") || !slices.Contains(p.Links(), groups) {
		t.Errorf("its page: %v %s", p.Links(), p.Text())
	}

	// People are found by a piece of the name or by the address; those who are only invited are
	// not.
	member, auditor := w.idOf(t, w.alpha.ID, "users", "member@alpha.example"), w.idOf(t, w.alpha.ID, "users", "auditor@alpha.example")
	p = seen(t, b.Get(path+"/add"), 200)
	for _, role := range directory.Roles {
		if !p.Says("Person " + string(role) + " of alpha") {
			t.Errorf("%s cannot be added: %s", role, p.Text())
		}
	}
	for search, found := range map[string]bool{"MEMBER@alpha.example": true, "pérson member": true, "waiting@alpha.example": false, "nobody": false, "%": false} {
		p := seen(t, b.Get(path+"/add?"+url.Values{"q": {search}}.Encode()), 200)
		idptest.Want(expect.Case(t, "%q", search), p, idptest.NoElement("input", "value", auditor))
		if p.Has("input", "value", member) != found || !found && !p.Says(idptest.Sentence(t, "console.group.no_match")) {
			t.Errorf("%q: %s", search, p.Text())
		}
	}
	idptest.Want(expect.Case(t, "nobody was added"), seen(t, p.Form("main").Submit(""), 422), idptest.Says("console.group.nobody"))
	p = seen(t, p.Form("main").Check("person[]", member).Check("person[]", auditor).Submit(""), 200)
	idptest.Want(t, p, idptest.Says("console.group.added"))
	idptest.Want(t, p,
		idptest.Path(path), idptest.Shows("2 members"), idptest.Shows("member@alpha.example"), idptest.Shows("auditor@alpha.example"),
		idptest.ShowsNot("owner@alpha.example"))
	if p := seen(t, b.Get(path+"?q=auditor"), 200); !p.Has("input", "value", auditor) || p.Has("input", "value", member) {
		t.Errorf("searched among the members: %s", p.Text())
	}
	if p := seen(t, b.Get(path+"/add"), 200); p.Has("input", "value", member) || !p.Says("owner@alpha.example") {
		t.Errorf("who can still be added: %s", p.Text())
	}
	person := seen(t, b.Get("/o/alpha/admin/people/"+member), 200)
	if !person.Says("Groups Finance & Tax Language") || !slices.Contains(person.Links(), path) {
		t.Errorf("the person's page: %s", person.Text())
	}
	if p := seen(t, b.Get("/o/alpha/admin/people/"+w.alpha.user), 200); !p.Says("Groups People of alpha Language") {
		t.Errorf("the owner's page: %s", p.Text())
	}

	idptest.Want(expect.Case(t, "nobody was removed"), seen(t, p.Form("selection").Submit("remove"), 422),
		idptest.Says("console.group.nobody"), idptest.Shows("2 members"))
	asked := p.Form("selection").Check("person[]", auditor).Submit("remove")
	idptest.Want(t, asked, idptest.Says("console.confirm.leave_group", "Count", 1, "Group", "Finance & Tax"), idptest.Shows("auditor@alpha.example"))
	p = presses(t, asked)
	idptest.Want(t, p, idptest.Says("console.group.removed"))
	if !p.Says("1 member ") || p.Has("input", "value", auditor) {
		t.Errorf("removed: %s", p.Text())
	}
	idptest.Want(expect.Case(t, "renamed to another's name"), seen(t, p.Form("main").Fill("name", "people of ALPHA").Submit("rename"), 422),
		idptest.Says("directory.group_taken"), idptest.Input("name", "people of ALPHA"), idptest.Shows("Finance & Tax"))
	p = seen(t, p.Form("main").Fill("name", "Money").Submit("rename"), 200)
	idptest.Want(t, p, idptest.Says("console.group.renamed"), idptest.Shows("Money"), idptest.Shows("1 member"))
	if p := seen(t, b.Get(groups), 200); !p.Says("Money 1 22 November") || p.Says("Finance & Tax") {
		t.Errorf("the list: %s", p.Text())
	}

	asked = p.Form("delete").Submit("delete")
	idptest.Want(t, asked, idptest.Says("console.confirm.group", "Group", "Money"), idptest.Says("console.confirm.members", "Count", 1), idptest.Element("button", "class", "button bad"))
	p = presses(t, asked)
	idptest.Want(t, p, idptest.Path(groups), idptest.Says("console.group.deleted"), idptest.ShowsNot("Money"))
	for _, gone := range []string{path, path + "/add"} {
		if p := b.Get(gone); p.Status != 404 {
			t.Errorf("%s of a deleted group: %d", gone, p.Status)
		}
	}
	if p := seen(t, b.Get("/o/alpha/admin/people/"+member), 200); !p.Says("Groups none") {
		t.Errorf("the person's page: %s", p.Text())
	}
	log := seen(t, b.Get("/o/alpha/admin/audit?q=group."), 200)
	for _, action := range []string{idptest.Sentence(t, "audit.action.group.created"), idptest.Sentence(t, "audit.action.group.renamed"), idptest.Sentence(t, "audit.action.group.deleted"), idptest.Sentence(t, "audit.action.group.member_added"), idptest.Sentence(t, "audit.action.group.member_removed")} {
		if !log.Says(action) {
			t.Errorf("the log lacks %q: %s", action, log.Text())
		}
	}
	if p := seen(t, b.Get("/o/alpha/admin/audit/"+w.events(t, w.alpha.ID, "group.member_removed")[0].ID), 200); !p.Says("Group Finance & Tax —") {
		t.Errorf("the entry: %s", p.Text())
	}
	idptest.Want(expect.Case(t, "the person's own activity"), seen(t, w.alpha.browsers[directory.Member].Get("/o/alpha/account/activity"), 200),
		idptest.Says("audit.action.group.member_added"))
}

func TestGroupsForWhoMayOnlyRead(t *testing.T) {
	t.Parallel()
	w := start(t)
	for _, role := range []directory.Role{directory.Helpdesk, directory.Auditor} {
		b := w.alpha.browsers[role]
		if p := seen(t, b.Get(groups), 200); p.Has("form", "id", "main") || !p.Says("People of alpha 1 22 November") {
			t.Errorf("%s sees %s", role, p.Text())
		}
		p := seen(t, b.Get(groups+"/"+w.alpha.group), 200)
		idptest.Want(expect.Case(t, "%s sees", role), p, idptest.Shows("owner@alpha.example"), idptest.NoLink(groups+"/"+w.alpha.group+"/add"))
		idptest.Want(expect.Case(t, "%s", role), p, idptest.NoElement("form", "id", "main"), idptest.NoElement("form", "id", "selection"),
			idptest.NoElement("form", "id", "delete"), idptest.NoField("person[]"))
		before := w.rows(t, w.alpha.ID)
		for _, form := range []url.Values{{"do": {"rename"}, "name": {"Mine"}}, {"do": {"remove"}, "person[]": {w.alpha.user}}, {"do": {"delete"}, "confirmed": {"yes"}}} {
			if p := b.Post(groups+"/"+w.alpha.group, form); p.Status != 403 {
				t.Errorf("%s sends %v: %d", role, form, p.Status)
			}
		}
		after := w.rows(t, w.alpha.ID)
		if without(after, "request.refused") != without(before, "request.refused") {
			t.Errorf("%s changed something:\n%s\n--- before:\n%s", role, after, before)
		}
	}
}

// without leaves out the lines that contain a word.
func without(rows, word string) string {
	return strings.Join(slices.DeleteFunc(strings.Split(rows, "\n"), func(line string) bool { return strings.Contains(line, word) }), "\n")
}

// TEN-1: nobody of another organization can be put into a group, removed from one, or named in
// an answer; and a form that names one is refused as a whole.
func TestTEN1GroupsTakeOnlyTheirOwnOrganizationsPeople(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Owner]
	before := w.rows(t, w.alpha.ID) + w.rows(t, w.beta.ID)
	member := w.idOf(t, w.alpha.ID, "users", "member@alpha.example")
	for _, path := range []string{groups + "/" + w.alpha.group, groups + "/" + w.alpha.group + "/add"} {
		for kind, test := range map[string]struct {
			id   string
			want int
		}{
			"another organization's": {w.beta.user, 404}, "nobody's": {"usr_aaaaaaaaaaaaaaaaaaaaaaaaaa", 404}, "an invitation": {w.alpha.invitation, 404},
			"no id": {"x", 404}, "empty": {"", 404}, "zero byte": {"usr_\x00", 400},
		} {
			if p := b.Post(path, url.Values{"do": {"remove"}, "person[]": {member, test.id}}); p.Status != test.want || p.Says("beta.example") {
				t.Errorf("%s, %s: %d, want %d: %s", path, kind, p.Status, test.want, p.Text())
			}
		}
		for _, extra := range []string{"org", "org_id", "group", "group_id", "id", "person", "role"} {
			if p := b.Post(path, url.Values{"do": {"remove"}, "person[]": {member}, extra: {string(w.beta.ID)}}); p.Status != 400 {
				t.Errorf("%s with a field %s: %d", path, extra, p.Status)
			}
		}
		many := url.Values{"do": {"remove"}}
		for range 201 {
			many.Add("person[]", member)
		}
		if p := b.Post(path, many); p.Status != 422 || !p.Says(idptest.Sentence(t, "console.change.too_many", "Most", 200)) {
			t.Errorf("%s with 201 people: %d", path, p.Status)
		}
		for query, want := range map[string]int{"q=%00": 400, "q=%ff": 400, "before=x": 400, "state=deleted": 400, "q=%25": 200, "typed=att_x": 200} {
			if p := b.Get(path + "?" + query); p.Status != want {
				t.Errorf("%s?%s: %d, want %d", path, query, p.Status, want)
			}
		}
	}
	if after := w.rows(t, w.alpha.ID) + w.rows(t, w.beta.ID); after != before {
		t.Errorf("changed:\n%s\n--- before:\n%s", after, before)
	}
}

// WEB-6: a group's name is text wherever it stands.
func TestWEB6NamesOfGroupsAreText(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Owner]
	for _, name := range []string{`"><script>alert(1)</script>'{{7}}`, "مجموعة المالية 1", "👩🏽 équipe", `<img src=x onerror=alert(1)>`} {
		w.Clock.Advance(time.Second) // so that the log has an order
		p := seen(t, b.Get(groups).Form("main").Fill("name", name).Submit(""), 200)
		path := p.URL.Path
		seen(t, b.Get(path+"/add").Form("main").Check("person[]", w.alpha.user).Submit(""), 200)
		pages := []string{groups, path, path + "/add", "/o/alpha/admin/people/" + w.alpha.user, "/o/alpha/admin/audit?q=group.created", "/o/alpha/admin/audit/" + w.events(t, w.alpha.ID, "group.member_added")[0].ID}
		for _, page := range pages {
			p := seen(t, b.Get(page), 200)
			if strings.Contains(p.Body, "<img src=x") || strings.Contains(p.Body, "<script>alert") || !p.Says(name) {
				t.Errorf("%s: %s", page, p.Body)
			}
		}
		p = seen(t, b.Get(path), 200)
		if got := p.Form("main").Values.Get("name"); got != name {
			t.Errorf("%q comes back as %q", name, got)
		}
		if p := seen(t, p.Form("main").Fill("name", name+"\u202e").Submit("rename"), 422); p.Form("main").Values.Get("name") != name+"\u202e" || strings.Contains(p.Body, "<img src=x") {
			t.Errorf("refused: %s", p.Body)
		}
	}
}

// After a stale proof the typed text comes back, with the ticked people, on whichever page and
// by whichever search they were found.
func TestGroupComesBackFromTheProof(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Owner]
	var last directory.UserID
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		for i := range 60 { // newer than the people ticked below, so that these are on the next page
			u, err := directory.CreateFirstOwner(ctx, tx, directory.User{OrgID: w.alpha.ID, ID: directory.NewUserID(), Email: fmt.Sprintf("new%d@alpha.example", i), Name: "Newcomer", Language: "en"})
			if err != nil {
				return err
			}
			last = u.ID
		}
		return nil
	})
	path, member := groups+"/"+w.alpha.group, w.idOf(t, w.alpha.ID, "users", "member@alpha.example")

	create := b.Get(groups).Form("main").Fill("name", "Finance")
	add := b.Get(path+"/add?q=member").Form("main").Check("person[]", member)
	w.Clock.Advance(11 * time.Minute)
	p := proveAgain(t, create.Submit(""))
	if got := p.Form("main").Values.Get("name"); p.URL.Path != groups || got != "Finance" {
		t.Errorf("came back to %s with %q", p.URL, got)
	}
	w.Clock.Advance(11 * time.Minute)
	p = proveAgain(t, add.Submit(""))
	if got := p.Form("main").Values["person[]"]; p.URL.Path != path+"/add" || !slices.Equal(got, []string{member}) || !p.Says("member@alpha.example") {
		t.Fatalf("came back to %s with %v: %s", p.URL, got, p.Text())
	}
	p = seen(t, p.Form("main").Check("person[]", string(last)).Submit(""), 200)
	if !p.Says("3 members") {
		t.Errorf("added: %s", p.Text())
	}
	remove := p.Form("selection").Check("person[]", member)
	w.Clock.Advance(11 * time.Minute)
	p = proveAgain(t, remove.Submit("remove"))
	if got := p.Form("main").Values["person[]"]; !slices.Equal(got, []string{member}) || !p.Says("member@alpha.example") {
		t.Errorf("came back with %v: %s", got, p.Text())
	}
	if p := presses(t, p); !p.Says("2 members") {
		t.Errorf("removed: %s", p.Text())
	}
	sent := b.Get(path).Form("main").Fill("name", "Renamed")
	w.Clock.Advance(11 * time.Minute)
	idptest.Want(t, proveAgain(t, sent.Submit("rename")), idptest.Input("name", "Renamed"), idptest.Shows("People of alpha"))
	sent = b.Get(path).Form("delete")
	w.Clock.Advance(11 * time.Minute)
	idptest.Want(t, proveAgain(t, sent.Submit("delete")), idptest.Says("console.confirm.group", "Group", "People of alpha"))
}

// Members are on as many pages as it takes.
func TestMembersAreOnSeveralPages(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Owner]
	var all []directory.UserID
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		all = nil
		for i := range 70 {
			u, err := directory.CreateFirstOwner(ctx, tx, directory.User{OrgID: w.alpha.ID, ID: directory.NewUserID(), Email: fmt.Sprintf("p%d@alpha.example", i), Name: "Newcomer", Language: "en"})
			if err != nil {
				return err
			}
			all = append(all, u.ID)
		}
		return nil
	})
	g := w.group(t, w.alpha.ID, "Newcomers", all[:60]...)
	for start, want := range map[string]int{groups + "/" + g.ID: 60, groups + "/" + g.ID + "/add": 10 + len(directory.Roles), groups + "/" + g.ID + "?q=p1": 11} {
		found := map[string]int{}
		for path := start; path != ""; {
			p := seen(t, b.Get(path), 200)
			path = ""
			for _, link := range p.Links() {
				switch {
				case strings.Contains(link, "before="):
					path = link
				case strings.Contains(link, "/people/usr_"):
					found[link]++
				}
			}
		}
		if len(found) != want {
			t.Errorf("%s: %d people, want %d", start, len(found), want)
		}
	}
}

// Two browsers change one group at once: nothing is done twice, and the one that comes too late
// is told.
func TestTwoBrowsersChangeOneGroup(t *testing.T) {
	t.Parallel()
	w := start(t)
	one, two := w.alpha.browsers[directory.Owner], w.alpha.browsers[directory.Administrator]
	path, member := groups+"/"+w.alpha.group, w.idOf(t, w.alpha.ID, "users", "member@alpha.example")
	before := len(w.events(t, w.alpha.ID, "group.member_added"))
	for name, test := range map[string]struct {
		path  string
		fill  func(*idptest.Page) *idptest.Form
		do    string
		other int // what the one that is not first is answered
	}{
		"create": {groups, func(p *idptest.Page) *idptest.Form { return p.Form("main").Fill("name", "Finance") }, "", 422},
		"add":    {path + "/add", func(p *idptest.Page) *idptest.Form { return p.Form("main").Check("person[]", member) }, "", 200},
	} {
		forms := []*idptest.Form{test.fill(one.Get(test.path)), test.fill(two.Get(test.path))}
		answers := make([]int, len(forms))
		var wg sync.WaitGroup
		for i, f := range forms {
			wg.Go(func() { answers[i] = f.Submit(test.do).Status })
		}
		wg.Wait()
		slices.Sort(answers)
		if !slices.Equal(answers, []int{200, test.other}) {
			t.Errorf("%s: %v", name, answers)
		}
	}
	if n := len(w.events(t, w.alpha.ID, "group.member_added")) - before; n != 1 {
		t.Errorf("recorded %d times", n)
	}
	if p := seen(t, one.Get(path), 200); !p.Says("2 members") {
		t.Errorf("the members: %s", p.Text())
	}

	// Somebody who is deleted meanwhile is not added; a deleted group takes nobody.
	auditor := w.idOf(t, w.alpha.ID, "users", "auditor@alpha.example")
	late := one.Get(path+"/add").Form("main").Check("person[]", auditor)
	stale := one.Get(path).Form("main").Fill("name", "Finance 2")
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		return directory.Delete(ctx, tx, directory.Operator(), w.alpha.ID, directory.UserID(auditor))
	})
	idptest.Want(expect.Case(t, "adding somebody who was deleted"), seen(t, late.Submit(""), 409),
		idptest.Says("directory.user_deleted"), idptest.Shows("auditor@alpha.example"))
	presses(t, two.Get(path).Form("delete").Submit("delete"))
	for _, p := range []*idptest.Page{late.Submit(""), stale.Submit("rename")} {
		if p.Status != 404 {
			t.Errorf("of a group that is gone: %d %s", p.Status, p.Text())
		}
	}
}

func TestGroupsInFrench(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Owner]
	b.Post("/o/alpha/language", url.Values{"language": {"fr"}})
	p := seen(t, b.Get(groups), 200)
	idptest.Want(t, p, idptest.Lang("fr"), idptest.Shows("Groupes"), idptest.Shows("People of alpha 1 22 novembre"))
	idptest.Want(t, p.Form("main").Fill("name", "people of alpha").Submit(""), idptest.Status(422), idptest.Says("directory.group_taken"))
	p = seen(t, b.Get(groups+"/"+w.alpha.group+"/add"), 200)
	idptest.Want(t, seen(t, p.Form("main").Submit(""), 422), idptest.Says("console.group.nobody"))
	member := w.idOf(t, w.alpha.ID, "users", "member@alpha.example")
	idptest.Want(t, seen(t, p.Form("main").Check("person[]", member).Submit(""), 200),
		idptest.Says("console.group.added"), idptest.Shows("2 membres"), idptest.Says("console.group.delete"))
}
