package console_test

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/naming"
	"parvis/internal/secret"
)

// state is a page of the administration as the picture book shows it: its name there, its path
// below the administration, and what is sent to it, if anything is.
type state struct {
	name, path string
	form       url.Values
	status     int    // 200 if it is not given
	press      string // the button of the page's form that is pressed then, if any
}

// The states of the administration's pages. Those in which a page first changes stand last.
func administrationStates(o organization, language string) []state {
	many := url.Values{"deed": {"deactivate"}, "person[]": {o.user, o.others[0], o.others[1]}}
	return []state{
		{name: "front", path: ""},
		{name: "people", path: "/people"},
		{name: "people-nobody-found", path: "/people?q=nobody"},
		{name: "people-filtered", path: "/people?second=none&sort=-last"},
		{name: "people-narrow", path: "/people?way=password&last=2026-11-20&sort=role"},
		{name: "people-no-day", path: "/people?last=yesterday", status: 422},
		{name: "people-longest", path: "/people?q=" + strings.Repeat("b", 50)},
		{name: "change-too-many", path: "/people/change", form: url.Values{"deed": {"deactivate"}, "person[]": slices.Repeat([]string{o.user}, 1000)}, status: 409},
		{name: "person", path: "/people/" + o.others[0]},
		{name: "person-oneself", path: "/people/" + o.user},
		{name: "person-longest", path: "/people/" + o.others[len(o.others)-1]},
		{name: "person-email", path: "/people/" + o.others[0] + "/email"},
		{name: "person-email-refused", path: "/people/" + o.others[0] + "/email", form: url.Values{"email": {"lin@"}}, status: 422},
		{name: "person-export", path: "/people/" + o.others[0] + "/export"},
		{name: "person-second-step", path: "/people/" + o.others[0] + "/second-step"},
		{name: "invite", path: "/people/invite"},
		{name: "invite-refused", path: "/people/invite", form: url.Values{"email": {"lin@"}, "name": {"Lin Wei"}}, status: 422},
		{name: "invite-many", path: "/people/invite/many"},
		{name: "invite-many-nobody", path: "/people/invite/many", form: url.Values{"people": {""}, "do": {"preview"}}, status: 422},
		{name: "invite-many-no-columns", path: "/people/invite/many", form: url.Values{"people": {"first;last\nLin;Wei\n"}, "do": {"preview"}}, status: 422},
		{name: "invite-many-too-many", path: "/people/invite/many", form: url.Values{"people": {lines(501)}, "do": {"preview"}}, status: 422},
		{name: "invite-many-every-fate", path: "/people/invite/many", form: url.Values{"people": {everyFate}, "do": {"preview"}}},
		{name: "invite-many-none-possible", path: "/people/invite/many", form: url.Values{"people": {"email;role\nlin@;owner\n"}, "do": {"preview"}}, status: 422},
		{name: "invite-many-500", path: "/people/invite/many", form: url.Values{"people": {lines(500)}, "do": {"preview"}}},
		{name: "export", path: "/people/export"},
		{name: "export-filtered", path: "/people/export?q=lin&state=active"},
		{name: "export-nobody", path: "/people/export?q=nobody"},
		{name: "confirm-people", path: "/people/change", form: many},
		{name: "confirm-person", path: "/people/change", form: url.Values{"deed": {"end-sessions"}, "person[]": {o.others[0]}}},
		{name: "confirm-everyone", path: "/people/change", form: url.Values{"deed": {"new-password"}, "everyone": {"yes"}}},
		{name: "confirm-everyone-wrong", path: "/people/change", form: url.Values{"deed": {"new-password"}, "everyone": {"yes"}, "confirmed": {"yes"}, "number": {"12"}}, status: 422},
		{name: "confirm-nobody", path: "/people/change", form: url.Values{"deed": {"reactivate"}, "person[]": {o.others[0]}}, status: 409},
		{name: "confirm-withdraw", path: "/invitations/" + o.invitation, form: url.Values{"do": {"withdraw"}}},
		{name: "confirm-group", path: "/groups/" + o.group, form: url.Values{"do": {"delete"}}},
		{name: "confirm-group-leave", path: "/groups/" + o.group, form: url.Values{"do": {"remove"}, "person[]": {o.user}}},
		{name: "confirm-domain", path: "/domains/" + o.domain, form: url.Values{"do": {"remove"}}},
		{name: "confirm-connection", path: "/connections/" + o.connection, form: url.Values{"do": {"remove"}}},
		{name: "confirm-application", path: "/applications/" + o.application, form: url.Values{"do": {"remove"}}},
		{name: "confirm-application-forbid", path: "/applications/" + o.application + "/place", form: url.Values{"audience": {"everyone"}, "standing": {"forbidden"}}},
		{name: "confirm-rules-password", path: "/rules/password", form: url.Values{
			"preset": {"modern"}, "minimum_length": {"15"}, "maximum_length": {"400"}, "history": {"0"}, "reset_lifetime": {"30m0s"}, "do": {"review"},
		}},
		{name: "confirm-rules-second-step", path: "/rules/second-step", form: url.Values{"everyone": {"yes"}, "required_from": {"2026-12-24"}}},
		{name: "invitation", path: "/invitations/" + o.invitation},
		{name: "groups", path: "/groups"},
		{name: "group", path: "/groups/" + o.group},
		{name: "group-add", path: "/groups/" + o.group + "/add"},
		{name: "group-add-nobody-found", path: "/groups/" + o.group + "/add?q=nobody"},
		{name: "organization", path: "/organization"},
		{name: "organization-refused", path: "/organization", form: url.Values{"organization": {""}, "short_name": {"Meridian!"}}, status: 422},
		{name: "rules-password", path: "/rules/password"},
		{name: "rules-second-step", path: "/rules/second-step"},
		{name: "rules-sessions", path: "/rules/sessions"},
		{name: "domains", path: "/domains"},
		{name: "domain", path: "/domains/" + o.domain},
		{name: "single-sign-on", path: "/single-sign-on"},
		{name: "single-sign-on-add", path: "/single-sign-on/add"},
		{name: "single-sign-on-only", path: "/single-sign-on/only"},
		{name: "single-sign-on-only-people", path: "/single-sign-on/only/people"},
		{name: "attempts", path: "/single-sign-on/attempts"},
		{name: "attempt", path: "/single-sign-on/attempts/" + o.attempt},
		{name: "connection", path: "/connections/" + o.connection},
		{name: "applications", path: "/applications"},
		{name: "applications-add", path: "/applications/add"},
		{name: "applications-add-refused", path: "/applications/add", form: url.Values{"kind": {"web"}, "redirect_uris": {"http://books"}}, status: 422},
		{name: "application", path: "/applications/" + o.application},
		{name: "application-test", path: "/applications/" + o.application + "/test"},
		{name: "access", path: "/access"},
		{name: "access-add", path: "/access/add"},
		{name: "access-add-refused", path: "/access/add", form: url.Values{"name": {""}, "lasts": {"soon"}}, status: 422},
		{name: "access-made", path: "/access/add", form: url.Values{"name": {"Nightly export " + language}, "lasts": {"720h0m0s"}, "scope[]": {"parvis.people.read", "parvis.audit.read"}}},
		{name: "access-token", path: "/access/tokens/" + o.token},
		{name: "access-token-revoke", path: "/access/tokens/" + o.token, form: url.Values{"do": {"revoke"}}},
		{name: "access-machine", path: "/access/machines/" + o.machine},
		{name: "access-machine-refused", path: "/access/machines/" + o.machine, form: url.Values{"do": {"grant"}, "role": {"auditor"}, "lasts": {"720h0m0s"}, "scope[]": {"parvis.people.write"}}, status: 422},
		{name: "access-machine-end", path: "/access/machines/" + o.machine, form: url.Values{"do": {"end"}}},
		{name: "provisioning", path: "/provisioning"},
		{name: "provisioning-add", path: "/provisioning/add"},
		{name: "provisioning-add-refused", path: "/provisioning/add", form: url.Values{"name": {""}, "provider": {"nobody"}}, status: 422},
		{name: "provisioning-source", path: "/provisioning/" + o.source},
		{name: "provisioning-stop", path: "/provisioning/" + o.source, form: url.Values{"do": {"stop"}}},
		{name: "provisioning-delete", path: "/provisioning/" + o.source, form: url.Values{"do": {"delete"}}},
		{name: "provisioning-check", path: "/provisioning/" + o.source + "/check"},
		{name: "provisioning-check-refused", path: "/provisioning/" + o.source + "/check", form: url.Values{"method": {"GET"}, "path": {"/Me"}, "scim_body": {"{"}}, status: 422},
		{name: "provisioning-checked", path: "/provisioning/" + o.source + "/check", form: url.Values{"method": {"POST"}, "path": {"/Users"}, "scim_body": {`{"userName": "Lin@meridian.example", "password": "x", "shoe": 44}`}}},
		{name: "provisioning-calls", path: "/provisioning/" + o.source + "/calls"},
		{name: "webhooks", path: "/webhooks"},
		{name: "webhooks-add", path: "/webhooks/add"},
		{name: "webhooks-add-events", path: "/webhooks/add?kind=events"},
		{name: "webhooks-add-log", path: "/webhooks/add?kind=log"},
		{name: "webhooks-add-refused", path: "/webhooks/add", form: url.Values{"kind": {"log"}, "name": {""}, "address": {"http://hooks"}, "events": {"user.sneezed"}, "header[]": {"Host"}, "header_value[]": {"a"}}, status: 422},
		{name: "webhook", path: "/webhooks/" + o.webhook},
		{name: "webhook-failed", path: "/webhooks/" + o.webhook + "?failed"},
		{name: "webhook-parked", path: "/webhooks/" + o.hooks["parked"]},
		{name: "webhook-off", path: "/webhooks/" + o.hooks["off"]},
		{name: "webhook-log", path: "/webhooks/" + o.hooks["log"]},
		{name: "webhook-remove", path: "/webhooks/" + o.webhook, form: url.Values{"do": {"remove"}}},
		{name: "webhook-replay", path: "/webhooks/" + o.webhook, form: url.Values{"do": {"replay"}, "since": {"day"}}},
		{name: "webhook-rotate", path: "/webhooks/" + o.webhook + "/secret", form: url.Values{"scheme": {"v1"}}},
		{name: "webhook-rotated", path: "/webhooks/" + o.hooks["log"] + "/secret", form: url.Values{"scheme": {"v1a"}, "confirmed": {"yes"}}},
		{name: "audit", path: "/audit"},
		{name: "audit-nothing-found", path: "/audit?q=nothing"},
		{name: "audit-entry", path: "/audit/" + o.event},
		{name: "audit-export", path: "/audit/export"},
		{name: "audit-export-filtered", path: "/audit/export?q=lin&result=done&action=user.created&by=user&from=2026-11-01&to=2026-11-30"},
		{name: "audit-check", path: "/audit/check"},
		{name: "audit-keeping", path: "/audit/keeping"},
		{name: "invite-many-done", path: "/people/invite/many", form: url.Values{"people": {"kim." + language + "@meridian.example\nlin@\n"}, "do": {"preview"}}, press: "invite"},
		{name: "applications-added", path: "/applications/add", form: url.Values{
			"kind": {"web"}, "name": {"Timetable " + language}, "redirect_uris": {"https://" + language + ".timetable.example/callback"}, "address": {"https://timetable.example/"},
		}},
	}
}

// everyFate is a file whose lines have every fate that a preview can show.
var everyFate = "Email;Name;Role;Language;Department\n" +
	"kim@meridian.example;Kim Novak;member;fr;Sales\n" +
	"lin@meridian.example;Lin Wei;;;\n" +
	"waiting@meridian.example;;;;\n" +
	"KIM@meridian.example;Kim again;;;\n" +
	"not an address;Nobody;member;en;\n" +
	"boss@meridian.example;The Boss;boss;en;\n" +
	"head@meridian.example;Head;owner;en;\n" +
	"worf@meridian.example;Worf;member;tlh;\n" +
	";;;;Nobody's line\n" +
	"lin@;Everything wrong;chief;tlh;;;more\n" +
	"hidden@meridian.example;A\u202eB;;;\n" +
	strings.Repeat("a", 64) + "@" + strings.Repeat(strings.Repeat("c", 59)+".", 3) + "x.example;" + strings.Repeat("國", 100) + ";auditor;;\n" +
	strings.Repeat("x", 400) + ";" + strings.Repeat("y", 400) + ";" + strings.Repeat("z", 400) + ";;\n"

// lines are so many lines of a file.
func lines(n int) string {
	text := ""
	for i := range n {
		text += fmt.Sprintf("person%03d@meridian.example;Person %03d\n", i, i)
	}
	return text
}

// freight is an organization as customers have it, for pages that people look at.
func (w *world) freight(t *testing.T) organization {
	t.Helper()
	longest := strings.Repeat("國", 100)
	address := strings.Repeat("a", 64) + "@" + strings.Repeat(strings.Repeat("b", 59)+".", 3) + "x.example"
	o := w.organization(t, "Meridian Freight", "meridian", directory.Owner)
	w.asks(t, o)
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, `update users set display_name = 'Ada Lovelace' where org_id = $1 and id = $2`, string(o.ID), o.user)
		return err
	})
	for _, p := range []struct {
		name, email string
		role        directory.Role
	}{
		{"Lin Wei", "lin@meridian.example", directory.Administrator}, {"Chinedu Okafor", "chinedu@meridian.example", directory.Helpdesk},
		{"Sofia Marchetti", "sofia@meridian.example", directory.Auditor}, {"Tom Nilsson", "tom@meridian.example", directory.Member},
		{longest, address, directory.Member},
	} {
		w.Join(t, o.Organization, p.email, p.name, p.role)
		o.others = append(o.others, w.idOf(t, o.ID, "users", p.email))
	}
	w.crew(t, o.ID)
	o.hooks = w.receivers(t, o)
	return o
}

// crew adds people in every state and with every kind of second step.
func (w *world) crew(t *testing.T, org directory.OrgID) {
	t.Helper()
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		for i, name := range []string{
			"Amélie Fournier", "Bartosz Wiśniewski", "Camille Lefèvre", "Dmitri Volkov", "Elif Yılmaz", "Farah Haddad", "Göran Lindqvist", "Hana Tanaka",
			"Ines García", "Jürgen Vogt", "Kwame Mensah", "Ludmila Novak", "Mei Chen", "Noor van Dijk", "Olu Adeyemi", "Priya Raman", "Quentin Roche", "Rosa Conti",
		} {
			id, email := secret.NewID("usr"), strings.ReplaceAll(naming.SearchKey(name), " ", ".")+"@meridian.example"
			signed, gone := any(db.Time(tx.Now().Add(-time.Duration(i*i)*time.Hour))), any(nil)
			if i%6 == 5 {
				signed = nil
			}
			if i%7 == 3 {
				gone = db.Time(tx.Now())
			}
			if _, err := tx.Exec(ctx, `
				insert into users (org_id, id, email, email_key, display_name, search_key, role, language, time_zone, created_at, generation, last_sign_in_at, deactivated_at)
				values ($1, $2, $3, $3, $4, $5, 'member', 'en', '', $6, 1, $7, $8)`,
				string(org), id, email, name, naming.SearchKey(name, email), db.Time(tx.Now()), signed, gone); err != nil {
				return err
			}
			if i%3 > 0 {
				if _, err := tx.Exec(ctx, `
					insert into totp_seeds (org_id, id, user_id, name, seed, bound_to, last_step, created_at, confirmed_at)
					values ($1, $2, $3, '', '', '', 0, 1, 1)`, string(org), secret.NewID("app"), id); err != nil {
					return err
				}
			}
			if i%4 == 1 {
				if _, err := tx.Exec(ctx, `
					insert into passkeys (org_id, id, user_id, name, credential_id, user_handle, record, created_at)
					values ($1, $2, $3, '', $2, '', '{}', 1)`, string(org), secret.NewID("pk"), id); err != nil {
					return err
				}
			}
		}
		return nil
	})
	dbtest.ByHand(t, w.DB)
}

func TestEveryPageOfTheAdministrationIsInTheBook(t *testing.T) {
	t.Parallel()
	w := start(t)
	o := w.freight(t)
	b := o.browsers[directory.Owner]
	shown, titles := o, map[string]string{}
	shown.user = o.others[0]
	for _, route := range w.consoleRoutes() {
		if strings.HasPrefix(route, "GET ") {
			if p := call(b, route, "meridian", shown.idFor(route), nil); p.Title() != "" { // others are files
				titles[p.Title()] = route
			}
		}
	}
	for _, language := range []string{"en", "fr"} {
		b.Post("/o/meridian/account", url.Values{"do": {"language"}, "language": {language}})
		for _, s := range administrationStates(o, language) {
			path := "/o/meridian/admin" + s.path
			p := b.Get(path)
			if s.form != nil {
				p = b.Post(path, s.form)
			}
			if s.press != "" {
				p = p.Form("main").Submit(s.press)
			}
			if s.status == 0 {
				s.status = 200
			}
			if p.Status != s.status || p.Lang() != language {
				t.Errorf("%s in %s: %d in %s, want %d: %s", s.name, language, p.Status, p.Lang(), s.status, p.Text())
			}
			delete(titles, p.Title())
			p.Keep(t, "admin/"+s.name)
		}
	}
	for title, route := range titles {
		t.Errorf("%s, which %s shows, is not in administrationStates", title, route)
	}
}
