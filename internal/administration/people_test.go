package administration_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"parvis/internal/administration"
	"parvis/internal/administration/sheet"
	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
)

// howMany is more people than are counted, without the deleted ones too. They differ in everything by which a list is sorted or
// filtered.
const howMany = 11_000

// listed is a line as the test knows it.
type listed struct {
	id, key, state, role, step string
	password, linked           bool
	signed, created            int64
}

func manyPeople(t *testing.T) (*db.DB, directory.OrgID) {
	t.Helper()
	d, _ := dbtest.Open(t)
	fill(t, d, "org_a")
	dbtest.ByHand(t, d)
	analyze(t, d)
	return d, "org_a"
}

// fill inserts the people with what is theirs: every 40th is of the group, every 50th has a role.
func fill(t *testing.T, d *db.DB, org directory.OrgID) {
	t.Helper()
	people := fmt.Sprintf(`with recursive n(i) as (select 1 union all select i + 1 from n where i < %d) `, howMany)
	for _, statement := range []string{
		`insert into organizations (id, short_name, short_name_key, short_name_skeleton, display_name, display_name_skeleton, language, contact, invitation_lifetime, created_at)
		values ($1, 'a', 'a', 'a', 'A', 'a', 'en', '', 1, 1)`,
		`insert into users (org_id, id, email, email_key, display_name, search_key, role, language, time_zone, created_at, generation, last_sign_in_at, deactivated_at, deleted_at)
		` + people + `select $1, 'usr_' || cast(100000 + (i * 7919) % 90001 as text), 'e' || i, 'e' || i, 'n', 'name ' || cast(100 + i % 97 as text) || ' e' || i,
			case when i % 50 = 1 then 'helpdesk' when i % 50 = 2 then 'auditor' when i % 400 = 3 then 'owner' else 'member' end,
			'en', '', 1000 + i % 501, 1, case when i % 3 = 0 then null else 5000 + i % 211 end,
			case when i % 20 in (4, 5) then 9 end, case when i % 20 = 5 then 9 end from n`,
		`insert into invitations (org_id, id, email, email_key, display_name, search_key, role, language, token_hash, letter_id, created_at, expires_at)
		with recursive n(i) as (select 1 union all select i + 1 from n where i < 120) select $1, 'inv_' || cast(1000 + i as text), 'v' || i, 'v' || i, '', 'name ' || cast(100 + i % 60 as text) || ' v' || i,
			case when i % 10 = 0 then 'auditor' else 'member' end, 'en', 'h' || i, 'l', 1000 + i, 1 from n`,
		`insert into groups (org_id, id, name, name_key, created_at) values ($1, 'grp_a', 'A', 'a', 1), ($1, 'grp_all', 'All', 'all', 1)`,
		`insert into members (org_id, group_id, user_id, added_at) select org_id, 'grp_all', id, 1 from users where org_id = $1`,
		`insert into members (org_id, group_id, user_id, added_at) select org_id, 'grp_a', id, 1 from users where org_id = $1 and created_at % 40 = 0`,
		`insert into passwords (org_id, user_id, hash, set_at, failures) select org_id, id, 'x', 1, 0 from users where org_id = $1 and created_at % 4 > 0`,
		`insert into totp_seeds (org_id, id, user_id, name, seed, bound_to, last_step, created_at, confirmed_at) select org_id, 'app_' || id, id, '', '', '', 0, 1, 1 from users where org_id = $1 and created_at % 5 = 0`,
		`insert into passkeys (org_id, id, user_id, name, credential_id, user_handle, record, created_at) select org_id, 'key_' || id, id, '', id, '', '{}', 1 from users where org_id = $1 and created_at % 7 = 0`,
		`insert into connections (org_id, id, protocol, provider, name, position, shown, settings, vouches, creates, mapping, state, created_at, changed_at, warned)
		values ($1, 'con', 'saml', 'okta', 'Okta', 1, true, '{}', false, false, '{}', 'on', 1, 1, 0)`,
		`insert into identities (org_id, connection_id, issuer, subject, user_id, email, created, created_at, used_at) select org_id, 'con', 'i', id, id, '', false, 1, 1 from users where org_id = $1 and created_at % 11 = 0`,
	} {
		dbtest.Do(t, d, statement, string(org))
	}
}

// Each order of each filter is complete and in order, page by page, whether few or many are
// found, and says how many there are.
func TestPeopleAreListedInEveryOrderAndByEveryFilter(t *testing.T) {
	t.Parallel()
	d, org := manyPeople(t)
	all := reread(t, d, org)
	group := map[string]bool{}
	if err := d.Rows(t.Context(), func(scan func(...any) error) error {
		var id string
		err := scan(&id)
		group[id] = true
		return err
	}, `select user_id from members where org_id = $1 and group_id = 'grp_a'`, string(org)); err != nil {
		t.Fatal(err)
	}
	user := func(l listed) bool { return l.state == "active" || l.state == "deactivated" }
	type filter = administration.Filter
	for _, f := range []struct {
		f    filter
		fits func(listed) bool
	}{
		{filter{}, func(l listed) bool { return l.state != "deleted" }},
		{filter{Text: "NAME 10"}, func(l listed) bool { return l.state != "deleted" && strings.HasPrefix(l.key, "name 10") }},
		{filter{State: administration.Active}, func(l listed) bool { return l.state == "active" }},
		{filter{State: administration.Invited}, func(l listed) bool { return l.state == "invited" }},
		{filter{State: administration.Deleted}, func(l listed) bool { return l.state == "deleted" }},
		{filter{Role: directory.Auditor}, func(l listed) bool { return l.state != "deleted" && l.role == "auditor" }},
		{filter{Group: "grp_a"}, func(l listed) bool { return user(l) && group[l.id] }},
		{filter{Group: "grp_all"}, user},
		{filter{Outside: "grp_a"}, func(l listed) bool { return user(l) && !group[l.id] }},
		{filter{SecondStep: directory.NoSecondStep}, func(l listed) bool { return user(l) && l.step == "none" }},
		{filter{SecondStep: directory.StepByBoth}, func(l listed) bool { return user(l) && l.step == "both" }},
		{filter{WayIn: administration.ByPassword}, func(l listed) bool { return user(l) && l.password }},
		{filter{WayIn: administration.ByProvider}, func(l listed) bool { return user(l) && l.linked }},
		{filter{WayIn: administration.ByPasskey}, func(l listed) bool { return user(l) && !l.password && (l.step == "passkey" || l.step == "both") }},
		{filter{WayIn: administration.ByNothing}, func(l listed) bool {
			return user(l) && !l.password && !l.linked && (l.step == "none" || l.step == "app")
		}},
		{filter{SignedInBefore: time.UnixMicro(5100)}, func(l listed) bool { return user(l) && l.signed < 5100 }},
		{filter{Since: time.UnixMicro(1400)}, func(l listed) bool { return l.state != "deleted" && l.created >= 1400 }},
		{filter{WayIn: administration.ByNothing, SecondStep: directory.StepByBoth}, func(listed) bool { return false }},
	} {
		var fit []listed
		for _, l := range all {
			if f.fits(l) {
				fit = append(fit, l)
			}
		}
		for _, sort := range []administration.Sort{administration.ByName, administration.BySignIn, administration.ByRole, administration.ByState, administration.ByJoined} {
			for _, down := range []bool{false, true} {
				slices.SortFunc(fit, inOrder(sort, down))
				q := administration.Query{Filter: f.f, Sort: sort, Down: down}
				for n := 0; n == 0 || q.After.ID != "" && n < 3; n++ {
					p, err := administration.People(t.Context(), d, directory.Operator(), org, q)
					if err != nil {
						t.Fatalf("%+v: %v", q, err)
					}
					if want := min(len(fit), administration.MostCounted+1); n == 0 && p.Found != want {
						t.Errorf("%+v finds %d, want %d", q, p.Found, want)
					}
					want := fit[min(n*100, len(fit)):min(n*100+100, len(fit))]
					if got := idsOf(p.Lines); !slices.EqualFunc(got, want, func(id string, l listed) bool { return id == l.id }) {
						t.Fatalf("page %d of %+v: %d lines %v…, want %d like %v", n+1, q, len(got), got[:min(3, len(got))], len(want), want[:min(3, len(want))])
					}
					if more := (n+1)*100 < len(fit); more != (p.Next.ID != "") {
						t.Errorf("after page %d of %+v there is more: %v, want %v", n+1, q, !more, more)
					}
					q.After = p.Next
				}
			}
		}
	}
}

// An export reads what it has counted without counting again, and misses nobody.
func TestAnExportOfMoreThanAreCountedIsWhole(t *testing.T) {
	t.Parallel()
	d, org := manyPeople(t)
	s, actor := administration.Service{DB: d}, directory.Operator()
	for _, sort := range []administration.Sort{administration.ByName, administration.ByRole} {
		q := administration.Query{Sort: sort}
		rows, err := administration.CountPeople(t.Context(), d, actor, org, q.Filter, 1_000_000)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if err := s.ExportPeople(t.Context(), actor, org, administration.Export{Query: q, Rows: rows, Into: sheet.NewTable(&b, ",")}); err != nil {
			t.Fatal(err)
		}
		var want []string
		all := reread(t, d, org)
		slices.SortFunc(all, inOrder(sort, false))
		for _, l := range all {
			if l.state != "deleted" {
				want = append(want, l.key[strings.LastIndex(l.key, " ")+1:])
			}
		}
		var got []string
		for line := range strings.Lines(b.String()) {
			address, _, _ := strings.Cut(line, ",")
			got = append(got, strings.Trim(address, `"`))
		}
		if got = got[1:]; rows != len(want) || !slices.Equal(got, want) {
			t.Errorf("by %s: %d counted, %d exported, want %d", sort, rows, len(got), len(want))
		}
	}
}

func reread(t *testing.T, d *db.DB, org directory.OrgID) []listed {
	t.Helper()
	all, err := db.List(t.Context(), d, func(l *listed) []any {
		return db.Into(&l.id, &l.key, &l.state, &l.role, &l.step, &l.password, &l.linked, &l.signed, &l.created)
	}, `
		select id, search_key, state, role, second_step, has_password, linked, signed_in_at, created_at from users where org_id = $1
		union all
		select id, search_key, 'invited', role, '', false, false, 0, created_at from invitations where org_id = $1`, string(org))
	if err != nil || len(all) != howMany+120 {
		t.Fatalf("%d lines, %v", len(all), err)
	}
	return all
}

func idsOf(lines []administration.Line) (ids []string) {
	for _, l := range lines {
		if l.User != nil {
			ids = append(ids, string(l.User.ID))
		} else {
			ids = append(ids, l.Invitation.ID)
		}
	}
	return ids
}

// inOrder compares two lines as a list is sorted.
func inOrder(sort administration.Sort, down bool) func(a, b listed) int {
	sign := 1
	if down {
		sign = -1
	}
	byName := func(a, b listed) int { return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.id, b.id)) }
	return func(a, b listed) int {
		switch sort {
		case administration.ByName:
		case administration.BySignIn:
			return sign * cmp.Or(cmp.Compare(a.signed, b.signed), cmp.Compare(a.id, b.id))
		case administration.ByJoined:
			return sign * cmp.Or(cmp.Compare(a.created, b.created), cmp.Compare(a.id, b.id))
		case administration.ByRole:
			at := func(l listed) int { return slices.Index(directory.Roles, directory.Role(l.role)) }
			return cmp.Or(sign*cmp.Compare(at(a), at(b)), byName(a, b))
		case administration.ByState:
			at := func(l listed) int { return slices.Index([]string{"active", "invited", "deactivated"}, l.state) }
			return cmp.Or(sign*cmp.Compare(at(a), at(b)), byName(a, b))
		}
		return sign * byName(a, b)
	}
}

// What stands in an address as a role or a state finds nobody, and never becomes SQL.
func TestAFilterIsNoSQL(t *testing.T) {
	t.Parallel()
	d, _ := dbtest.Open(t)
	org := directory.OrgID("org_a")
	for _, sort := range []administration.Sort{administration.ByName, administration.ByRole, administration.ByState} {
		for _, f := range []administration.Filter{{Role: "o'wner"}, {State: "'"}, {Group: "'"}, {Outside: "'"}, {Text: "'"}} {
			if p, err := administration.People(t.Context(), d, directory.System(org), org, administration.Query{Filter: f, Sort: sort}); err != nil || p.Found != 0 {
				t.Errorf("%+v by %s: %d found, %v", f, sort, p.Found, err)
			}
		}
	}
}
