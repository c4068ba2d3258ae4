package console_test

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/idptest"
)

// must runs statements on an organization, whose id is the first argument of each.
func (w *world) must(t *testing.T, org directory.OrgID, statement string, args ...any) {
	t.Helper()
	dbtest.Do(t, w.DB, statement, append([]any{string(org)}, args...)...)
}

// counted stores counts of a day, so many days ago.
func (w *world) counted(t *testing.T, org directory.OrgID, ago int, action, result, about string, events int) {
	t.Helper()
	if events == 0 {
		return
	}
	w.must(t, org, `
		insert into audit_days (org_id, day, action, result, about, events)
		values ($1, $2, $3, $4, $5, $6)
		on conflict (org_id, day, action, result, about) do update set events = excluded.events`,
		db.Time(db.Day(w.Clock.Now()).AddDate(0, 0, -ago)), action, result, about, events)
}

// month stores a month of an organization of so many people.
func (w *world) month(t *testing.T, o organization, people int) {
	t.Helper()
	for ago := range 30 {
		day := db.Day(w.Clock.Now()).AddDate(0, 0, -ago)
		n := people * (70 + (ago*37)%23) / 100
		if day.Weekday() == time.Saturday || day.Weekday() == time.Sunday {
			n /= 6
		}
		if ago == 0 {
			n /= 2
		}
		for way, share := range map[string]int{"federated": 52, "password": 24, "passkey": 14, "invitation": 1, "reset": 1} {
			w.counted(t, o.ID, ago, "signin.done", "done", way, n*share/100)
		}
		for way, share := range map[string]int{"password": 5, "second_step": 2, "federated": 1} {
			w.counted(t, o.ID, ago, "signin.refused", "refused", way, n*share/100)
		}
		w.counted(t, o.ID, ago, "application.opened", "done", o.application, n*2)
		w.counted(t, o.ID, ago, "application.opened", "done", "collaborate", n*3)
		w.counted(t, o.ID, ago, "application.opened", "done", "architect", n/4)
		w.counted(t, o.ID, ago, "invitation.accepted", "done", "", n/40)
		w.must(t, o.ID, `
			insert into active_days (org_id, day, people) values ($1, $2, $3)
			on conflict (org_id, day) do update set people = excluded.people`, db.Time(day), n)
	}
}

// populate adds people by plain rows.
func (w *world) populate(t *testing.T, o organization, people int) {
	t.Helper()
	w.must(t, o.ID, `
		with recursive numbers(n) as (select 1 union all select n + 1 from numbers where n < `+fmt.Sprint(people)+`)
		insert into users (org_id, id, email, email_key, display_name, search_key, role, language, time_zone, created_at, generation)
		select cast($1 as text), 'usr_' || cast($2 as text) || n, 'person' || n || '@crowd.example', 'person' || n || '@crowd.example', 'Person ' || n, 'person ' || n, 'member', 'en', '', cast($3 as bigint), 1
		from numbers`, o.ShortName, db.Time(w.Clock.Now()))
}

// equip gives some people second steps, and some a provider instead of a password.
func (w *world) equip(t *testing.T, o organization) {
	t.Helper()
	w.must(t, o.ID, `
		insert into totp_seeds (org_id, id, user_id, name, seed, bound_to, last_step, created_at, confirmed_at)
		select org_id, 'app_' || id, id, 'Phone', '', '', 0, created_at, created_at from users where org_id = $1 and (id like '%1' or id like '%5' or id like '%7')`)
	w.must(t, o.ID, `
		insert into passkeys (org_id, id, user_id, name, credential_id, user_handle, record, created_at)
		select org_id, 'pk_' || id, id, 'Laptop', id, id, '{}', created_at from users where org_id = $1 and (id like '%5' or id like '%2' or id like '%3' or id like '%4')`)
	w.must(t, o.ID, `
		update users set second_step = case
			when id like '%5' then 'both'
			when id like '%1' or id like '%7' then 'app'
			when id like '%2' or id like '%3' or id like '%4' then 'passkey'
			else 'none' end
		where org_id = $1`)
	w.must(t, o.ID, `
		insert into identities (org_id, connection_id, issuer, subject, user_id, email, created, created_at, used_at)
		select org_id, $2, 'https://idp.example', id, id, email, true, created_at, created_at from users where org_id = $1 and id like 'usr_'||$3||'%9'`, o.connection, o.ShortName)
	w.must(t, o.ID, `update users set linked = true where org_id = $1 and id like 'usr_'||$2||'%9'`, o.ShortName)
}

// inOrder gives an organization what an overview finds nothing wrong with.
func (w *world) inOrder(t *testing.T, o organization) {
	t.Helper()
	w.must(t, o.ID, `update organizations set contact = 'help@meridian.example' where id = $1`)
	w.must(t, o.ID, `delete from audit_days where org_id = $1`)
	w.must(t, o.ID, `update letters set sent_at = $2, next_try_at = null where org_id = $1 and next_try_at is not null`, db.Time(w.Clock.Now()))
	w.must(t, o.ID, `update connections set state = 'on', confirmed_at = $2 where org_id = $1`, db.Time(w.Clock.Now()))
	w.must(t, o.ID, `
		insert into identities (org_id, connection_id, issuer, subject, user_id, email, created, created_at, used_at)
		select org_id, $2, 'https://idp.example', id, id, email, false, created_at, created_at from users where org_id = $1 and role = 'owner'`, o.connection)
	w.must(t, o.ID, `update users set linked = true where org_id = $1 and role = 'owner'`)
}

// nothingInOrder lets all go wrong that an overview looks for.
func (w *world) nothingInOrder(t *testing.T, o organization, name string) {
	t.Helper()
	now := w.Clock.Now()
	w.must(t, o.ID, `update letters set created_at = $2 where org_id = $1 and next_try_at is not null`, db.Time(now.Add(-time.Hour)))
	w.must(t, o.ID, `update connections set state = 'on', name = $2, renewal = 'federation.renewal.unreachable' where org_id = $1`, name)
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		for i := range 3 {
			if err := w.trace(ctx, tx, o.ID, o.connection, fmt.Sprintf("req_%s%d", o.ShortName, i), "audience", ""); err != nil {
				return err
			}
		}
		return nil
	})
	w.must(t, o.ID, `
		insert into logouts (org_id, id, client_id, user_id, session_id, created_at, tries, tried_at, reply)
		values ($1, $2, $3, '', '', $4, 1, $4, '503')`, "out_"+o.ShortName, o.application, db.Time(now))
	w.must(t, o.ID, `
		insert into letters (org_id, id, kind, recipient, language, created_at, tries, bounced_at, reply)
		values ($1, $2, 'new_device', $3, 'en', $4, 1, $4, '550')`, "let_"+o.ShortName, string(directory.Owner)+"@"+o.ShortName+".example", db.Time(now))
	bounced := w.invitation(t, o.Organization, "gone@"+o.ShortName+".example", directory.Member)
	w.must(t, o.ID, `
		update letters set bounced_at = $2, next_try_at = null, reply = '550'
		where org_id = $1 and id = (select letter_id from invitations where org_id = $1 and id = $3)`, db.Time(now), bounced.ID)
}

var overviewStates = []struct {
	name    string
	prepare func(*testing.T, *world, organization)
	want    []idptest.Check
	not     []string
}{
	{"first-day", func(*testing.T, *world, organization) {}, []idptest.Check{
		idptest.Says("console.organization.contact_missing"), idptest.Says("console.overview.lone_self"),
	}, []string{"console.overview.in_order"}},
	{"in-order", func(t *testing.T, w *world, o organization) {
		w.inOrder(t, o)
		w.month(t, o, 1284)
		w.populate(t, o, 1283)
		w.equip(t, o)
	}, []idptest.Check{idptest.Says("console.overview.in_order")}, []string{"console.organization.contact_missing", "console.overview.lone_self"}},
	{"quiet-month", func(t *testing.T, w *world, o organization) { w.inOrder(t, o) },
		[]idptest.Check{idptest.Says("console.overview.no_sign_ins"), idptest.Says("console.overview.no_applications")}, nil},
	{"attention", func(t *testing.T, w *world, o organization) {
		w.month(t, o, 60)
		w.nothingInOrder(t, o, "Meridian’s provider")
	}, []idptest.Check{
		idptest.Says("console.overview.provider_refuses", "Name", "Meridian’s provider"), idptest.Says("console.overview.not_renewed", "Name", "Meridian’s provider"),
		idptest.Says("console.overview.not_told", "Name", "Books of attention"), idptest.Says("console.overview.not_arrived", "Count", 1),
		idptest.Says("console.overview.refusing", "Name", "Person owner of attention"), idptest.Says("console.overview.lone_self"),
		idptest.Says("console.organization.contact_missing"),
	}, []string{"console.overview.in_order"}},
	{"long-names", func(t *testing.T, w *world, o organization) {
		w.month(t, o, 9)
		w.nothingInOrder(t, o, strings.Repeat("國", 100))
		w.must(t, o.ID, `update users set display_name = $2 where org_id = $1`, strings.Repeat("M", 100))
		w.must(t, o.ID, `update clients set settings = replace(settings, $2, $3) where org_id = $1`, "Books of long-names", strings.Repeat("Donaudampfschifffahrt", 4))
	}, nil, nil},
	{"crowd", func(t *testing.T, w *world, o organization) {
		w.inOrder(t, o)
		w.populate(t, o, 12_000)
		w.equip(t, o)
		w.month(t, o, 100_000)
	}, nil, nil},
	{"kiritimati", func(t *testing.T, w *world, o organization) {
		w.month(t, o, 300)
		w.nothingInOrder(t, o, "Tabwakea")
		w.must(t, o.ID, `update users set time_zone = 'Pacific/Kiritimati' where org_id = $1`)
	}, nil, nil},
}

func TestTheOverviewInEveryState(t *testing.T) {
	t.Parallel()
	w := start(t)
	for _, s := range overviewStates {
		o := w.organization(t, "Company "+s.name, s.name, directory.Owner)
		s.prepare(t, w, o)
		b, path := o.browsers[directory.Owner], "/o/"+s.name
		for _, language := range []string{"en", "fr"} {
			b.Post(path+"/account", url.Values{"do": {"language"}, "language": {language}})
			p := b.Get(path + "/admin")
			idptest.Want(t, p, append(s.want, idptest.Status(200), idptest.Says("console.overview.days"))...)
			for _, key := range s.not {
				idptest.Want(t, p, idptest.SaysNot(key))
			}
			p.Keep(t, "admin/overview-"+s.name)
		}
	}
}

// What people really do is counted, and each number leads to just the entries that it counts.
func TestNumbersOfTheOverviewLeadToWhatTheyCount(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.must(t, w.alpha.ID, `update users set time_zone = 'Pacific/Kiritimati' where org_id = $1`) // where it is tomorrow
	member := "member@alpha.example"
	for _, password := range []string{idptest.Password, idptest.Password, "a wrong one", "a wrong one", "a wrong one"} {
		w.Clock.Advance(time.Minute)
		w.Browser(t).Get("/o/alpha").Form("main").Fill("email", member).Fill("password", password).Submit("")
	}
	if err := w.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, number := range []struct {
		query string
		want  int
	}{
		{"action=signin.done", 7}, {"action=signin.done&way=invitation", 5}, {"action=signin.done&way=password", 2},
		{"action=signin.refused", 3}, {"action=signin.refused&way=password", 3}, {"action=invitation.accepted", 5},
	} {
		asked, err := url.ParseQuery(number.query)
		if err != nil {
			t.Fatal(err)
		}
		p := w.alpha.browsers[directory.Auditor].Get("/o/alpha/admin")
		found := ""
		for _, link := range p.Links() {
			u, err := url.Parse(link)
			if err != nil || u.Path != "/o/alpha/admin/audit" {
				continue
			}
			q := u.Query()
			if q.Get("action") == asked.Get("action") && q.Get("way") == asked.Get("way") && q.Get("from") != q.Get("to") {
				found = link
			}
		}
		if found == "" {
			t.Errorf("no link for %s", number.query)
			continue
		}
		list := w.alpha.browsers[directory.Auditor].Get(found)
		idptest.Want(t, list, idptest.Status(200), idptest.Says("console.audit.in_utc"))
		expect.Equal(t, "entries of "+number.query, strings.Count(list.Body, "<tr>")-1, number.want)
		if !strings.Contains(p.Body, fmt.Sprintf(">%d<", number.want)) && !strings.Contains(p.Text(), fmt.Sprint(number.want)) {
			t.Errorf("the overview does not say %d for %s", number.want, number.query)
		}
	}
	today := db.Day(w.Clock.Now()).Format(time.DateOnly)
	day := w.alpha.browsers[directory.Auditor].Get("/o/alpha/admin/audit?action=signin.refused&zone=utc&from=" + today + "&to=" + today)
	expect.Equal(t, "entries of the day in UTC", strings.Count(day.Body, "<tr>")-1, 3)
	idptest.Want(t, w.alpha.browsers[directory.Auditor].Get("/o/alpha/admin/audit?way=by-foot"), idptest.Status(400))
}

// Somebody who may not read the audit log gets the numbers without links into it, and the neighbour
// gets nothing of either.
func TestTheOverviewShowsEachRoleWhatItMayOpen(t *testing.T) {
	t.Parallel()
	w := start(t)
	if err := w.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	into := func(role directory.Role) (n int) {
		p := w.alpha.browsers[role].Get("/o/alpha/admin")
		idptest.Want(t, p, idptest.Status(200), idptest.Says("console.overview.sign_ins"))
		for _, link := range p.Links() {
			if strings.Contains(link, "/admin/audit?") {
				n++
			}
		}
		return n
	}
	expect.Equal(t, "links of helpdesk into the audit log", into(directory.Helpdesk), 0)
	expect.Equal(t, "an auditor has such links", into(directory.Auditor) > 0, true)
	idptest.Want(t, w.alpha.browsers[directory.Member].Get("/o/alpha/admin"), idptest.Status(403))
	idptest.Want(t, w.beta.browsers[directory.Owner].Get("/o/alpha/admin"), idptest.SaysNot("console.overview.sign_ins"))
}
