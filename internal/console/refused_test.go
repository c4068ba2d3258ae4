package console_test

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"parvis/internal/application"
	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/idptest"
)

// A form is one POST of the server and the fields that it takes, as the list of inputs has
// them. TestInventoryListsEveryRouteAndForm keeps that list complete.
type form struct {
	path   string
	fields []string
}

func forms(t *testing.T) []form {
	t.Helper()
	text, err := os.ReadFile("../../docs/inventory.md")
	if err != nil {
		t.Fatal(err)
	}
	var all []form
	for _, m := range regexp.MustCompile("(?m)^\\| `POST (/[^`]*)` \\| ([^|]*) \\|").FindAllStringSubmatch(string(text), -1) {
		if m[2] == "anyone" || m[2] == "signed in" || m[2] == "console" {
			continue // the list of routes
		}
		f := form{path: m[1]}
		for _, name := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(m[2], -1) {
			f.fields = append(f.fields, name[1])
		}
		all = append(all, f)
	}
	return all
}

// buttons returns what the buttons of all pages send as do.
func buttons(t *testing.T) []string {
	t.Helper()
	all := []string{""}
	files, err := filepath.Glob("../*/templates/*.html")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`name="do" value="([a-z-]+)"`).FindAllStringSubmatch(string(text), -1) {
			all = append(all, m[1])
		}
	}
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(do string) bool { return do == "language" || do == "region" })
}

// plausible fills in a field as somebody would who knows what works elsewhere.
func plausible(name string, person string) string {
	switch name {
	case "password", "repetition":
		return "an entirely different passphrase"
	case "current_password":
		return idptest.Password
	case "email":
		return "moved@alpha.example"
	case "person[]", "break_glass[]":
		return person
	case "confirmed", "enabled":
		return "yes"
	case "kind":
		return "app"
	case "set", "next", "page", "everyone", "connection", "region", "response", "organization", "client":
		return ""
	case "role":
		return "member"
	case "invited_language", "preferred_language", "people_language":
		return "fr"
	case "audience":
		return "everyone"
	case "standing":
		return "forbidden"
	}
	return "Other " + name
}

// A form that was refused shows what was chosen, as it shows what was typed: each list of the console
// asks for it, or stands in a form whose refusal another page shows.
func TestListsShowWhatWasChosen(t *testing.T) {
	elsewhere := []string{
		"group", "action", "result", "by", "connection", "{{.Name}}", // filters, which the address has
		"deed", // its page asks first
	}
	files, err := filepath.Glob("templates/*.html")
	if err != nil {
		t.Fatal(err)
	}
	chosen := regexp.MustCompile(`\{\{if eq [^}]*\$line\b[^}]*\}\} selected`)
	count := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i, list := range strings.Split(string(text), "<select ")[1:] {
			list, _, _ = strings.Cut(list, "</select>")
			_, name, _ := strings.Cut(list, `name="`)
			name, _, _ = strings.Cut(name, `"`)
			before := strings.Split(string(text), "<select ")[i]
			if slices.Contains(elsewhere, name) {
				continue
			}
			count++
			typed := `$.Typed "` + name + `"`
			if !strings.Contains(list, typed) && !strings.Contains(before[max(0, len(before)-120):], typed) && !chosen.MatchString(list) {
				t.Errorf("%s: the list %q forgets what was chosen", file, name)
			}
		}
	}
	if count < 20 {
		t.Errorf("found %d lists of forms", count)
	}
}

// offers reports whether a page has a form that posts to path.
func offers(p *idptest.Page, path string) bool {
	root, err := html.Parse(strings.NewReader(p.Body))
	if err != nil {
		return false
	}
	for n := range root.Descendants() {
		if n.Data != "form" {
			continue
		}
		action := p.URL.Path
		for _, a := range n.Attr {
			if a.Key == "action" && a.Val != "" {
				action, _, _ = strings.Cut(a.Val, "?")
			}
		}
		if action == path {
			return true
		}
	}
	return false
}

// stored returns everything in the database except what every request may leave behind: counts,
// the log of refusals, attempts to prove something.
func (w *world) stored(t *testing.T) map[string]string {
	t.Helper()
	tables := `select name from sqlite_master where type = 'table' and name not like 'sqlite%'`
	if w.DB.Path() == "" {
		tables = `select table_name from information_schema.tables where table_schema = current_schema()`
	}
	var names []string
	if err := w.DB.Rows(t.Context(), func(scan func(...any) error) error {
		var name string
		err := scan(&name)
		names = append(names, name)
		return err
	}, tables); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, name := range names {
		switch name {
		case "audit_events", "audit_seals", "audit_logs", "audit_tiles", "audit_checkpoints", "audit_keys", "limits", "leases", "changes", "nodes", "attempts", "browsers", "replays", "upstream_traces":
		default:
			all[name] = dbtest.Dump(t, w.DB, name)
		}
	}
	return all
}

// A refusal is somebody at pages that refuse them.
type refusal struct {
	name  string
	b     *idptest.Browser
	pages string // the beginning of the paths to test
	short string // the value of {org} in them
	id    string // the value of {id}, {token}, {attempt} or {device}, if there is one
}

// What a page does not offer cannot be done by sending its form. Every POST is tried, with
// every button, where its GET shows no form that leads there.
func TestNoFormDoesWhatItsPageRefuses(t *testing.T) {
	t.Parallel()
	w := start(t, idptest.Named)
	all, dos := forms(t), buttons(t)
	if len(all) < 60 || len(dos) < 15 {
		t.Fatalf("%d forms and %d buttons were found", len(all), len(dos))
	}
	tried := 0
	for _, r := range w.refusals(t) {
		before := w.stored(t)
		for _, f := range all {
			path, ok := r.at(f.path)
			if !ok || offers(r.b.Get(path), path) {
				continue
			}
			for _, do := range dos {
				if do == "others" && f.path == "/o/{org}/account/sessions" {
					continue // with no session listed it still ends those opened since: nobody is refused that
				}
				values := url.Values{}
				for _, name := range f.fields {
					values.Set(name, plausible(name, w.alpha.user))
				}
				if do != "" {
					values.Set("do", do)
				}
				w.Update(t, func(ctx context.Context, tx *db.Tx) error {
					_, err := tx.Exec(ctx, `delete from limits`)
					return err
				})
				tried++
				if p := r.b.Post(path, values); p.Status >= 500 {
					t.Errorf("%s: POST %s with do=%q is answered %d", r.name, path, do, p.Status)
				}
			}
			after := w.stored(t)
			for table, was := range before {
				if after[table] != was {
					t.Errorf("%s: GET %s shows no form, and its POST changes %s", r.name, path, table)
				}
			}
			before = after
		}
	}
	if tried < 500 {
		t.Errorf("only %d requests were tried", tried)
	}
}

// at fills in a route's path, if it is one of the paths to test.
func (r refusal) at(route string) (string, bool) {
	rest, ok := strings.CutPrefix(route, r.pages)
	if i := strings.IndexByte(rest, '}'); ok && strings.HasPrefix(rest, "{") {
		rest, ok = r.id+rest[i+1:], r.id != ""
	}
	return strings.Replace(r.pages, "{org}", r.short, 1) + rest, ok && !strings.Contains(rest, "{")
}

func (w *world) refusals(t *testing.T) []refusal {
	t.Helper()
	const people, invitations, applications = "/o/{org}/admin/people/", "/o/{org}/admin/invitations/", "/o/{org}/admin/applications/"
	owner, helpdesk, member := w.alpha.browsers[directory.Owner], w.alpha.browsers[directory.Helpdesk], w.alpha.browsers[directory.Member]
	id := func(email string) string { return w.idOf(t, w.alpha.ID, "users", email) }

	// Each has a person of its own, so that one that fails does not hide another.
	for _, name := range []string{"gone", "deleted", "plain"} {
		w.Join(t, w.alpha.Organization, name+"@alpha.example", name, directory.Member)
	}
	used := w.Invite(t, w.alpha.Organization, "used@alpha.example", "Used", directory.Member)
	w.Browser(t).Get(used).Form("main").Fill("password", idptest.Password).Fill("repetition", idptest.Password).Submit("")
	withdrawn := w.invitation(t, w.alpha.Organization, "withdrawn@alpha.example", directory.Member).ID
	ofOwner := w.invitation(t, w.alpha.Organization, "second.owner@alpha.example", directory.Owner).ID
	var installed string
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		operator, org := directory.Operator(), w.alpha.ID
		if err := w.Invitations.Withdraw(ctx, tx, operator, org, withdrawn); err != nil {
			return err
		}
		if err := directory.Deactivate(ctx, tx, operator, org, directory.UserID(id("gone@alpha.example"))); err != nil {
			return err
		}
		if err := directory.Delete(ctx, tx, operator, org, directory.UserID(id("deleted@alpha.example"))); err != nil {
			return err
		}
		s := application.Defaults(application.Web)
		s.Name, s.RedirectURIs, s.Address = "Installed", []string{"https://installed.example/callback"}, "https://installed.example/"
		c, _, err := application.Register(ctx, tx, operator, w.URL, application.Application{Kind: application.Web, Settings: s})
		installed = string(c.ID)
		return err
	})
	only := w.organization(t, "Gamma Only", "gamma", directory.Owner, directory.Member)
	disabled := w.organization(t, "Delta Disabled", "delta", directory.Owner, directory.Member)
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		if _, err := tx.Exec(ctx, `update organizations set federated_since = $1 where id = $2`, db.Time(tx.Now()), string(only.ID)); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `update passwords set disabled_at = $1 where org_id = $2`, db.Time(tx.Now()), string(disabled.ID))
		return err
	})
	const account, nobody = "/o/{org}/account", "aaaaaaaaaaaaaaaaaaaaaaaaaa"
	refusals := []refusal{
		{"a member without a device", member, account, "alpha", ""},
		{"a member, of a device that nobody has", member, account + "/security/", "alpha", "app_" + nobody},
		{"a member with a disabled password", disabled.browsers[directory.Member], account, "delta", ""},
		{"a member where single sign-on is the only way in", only.browsers[directory.Member], account, "gamma", ""},
		{"an owner where single sign-on is the only way in", only.browsers[directory.Owner], people, "gamma", only.user},
		{"an owner, of somebody deactivated", owner, people, "alpha", id("gone@alpha.example")},
		{"an owner, of somebody deleted", owner, people, "alpha", id("deleted@alpha.example")},
		{"an owner, of somebody without a device", owner, people, "alpha", id("plain@alpha.example")},
		{"an owner, of themselves", owner, people, "alpha", w.alpha.user},
		{"an owner, of an invitation that was withdrawn", owner, invitations, "alpha", withdrawn},
		{"an owner, of an invitation that was accepted", owner, invitations, "alpha", w.idOf(t, w.alpha.ID, "invitations", "used@alpha.example")},
		{"an owner, of the installation's application", owner, applications, "alpha", installed},
		{"an owner, with nothing to add or change", owner, "/o/{org}/admin/single-sign-on", "alpha", ""},
		{"a helpdesk, of an owner", helpdesk, people, "alpha", w.alpha.user},
		{"a helpdesk, of the invitation of an owner", helpdesk, invitations, "alpha", ofOwner},
		{"somebody with a link that was used", w.Browser(t), "/invitation/", "", strings.TrimPrefix(used, "/invitation/")},
		{"somebody with an attempt that nobody began", w.Browser(t), "/sign-in/", "", "att_" + nobody},
	}
	for _, link := range []string{
		"/invitation/", "/reset/", "/email/", "/not-me/", "/setup/", "/connection-setup/", "/connection-setup/client/", "/connection-setup/metadata/",
		"/connection-setup/certificates/", "/connection-setup/details/",
	} {
		refusals = append(refusals, refusal{"somebody with a link that nobody sent", w.Browser(t), link, "", "nobody"})
	}
	return refusals
}
