package app_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"parvis/internal/db"
	"parvis/internal/dbtest"
)

var update = flag.Bool("update", false, "write what journeys cost on this database into docs/scale.md")

const paper = "../../docs/scale.md"

// heads are those of the table of what journeys cost: of SQLite, and from firstOfPostgres on of PostgreSQL.
var heads = []string{"journey", "memory", "SQLite: statements", "transactions", "of which wait for the disk, do not", "PostgreSQL: statements", "transactions", "round trips"}

const (
	firstOfSQLite   = 2
	firstOfPostgres = 5
)

// cells are what a cost is in the table, on this database.
func (c cost) cells(sqlite bool) (first int, cells []string) {
	if sqlite {
		return firstOfSQLite, []string{fmt.Sprint(len(c.statements)), fmt.Sprint(c.all), fmt.Sprintf("%d, %d", c.durable, c.lax)}
	}
	return firstOfPostgres, []string{fmt.Sprint(len(c.statements)), fmt.Sprint(c.all), fmt.Sprint(c.trips)}
}

// least runs a journey a few times and returns the cheapest: the first run prepares statements, and
// on a busy machine a second may pass, after which nothing is remembered.
func (w *world) least(run func(w *world)) cost {
	w.t.Helper()
	var least *cost
	for range 4 {
		w.afterwards()
		run(w)
		if c := w.cost; least == nil || c.trips+len(c.statements) < least.trips+len(least.statements) {
			least = &c
		}
	}
	return *least
}

// What each journey sends to the database is what docs/scale.md says. Where it is meant to be
// otherwise, write the paper again on both databases, and look at the difference:
//
//	go test ./internal/app -run Journeys -update
//	PARVIS_TEST_POSTGRES=postgres://… go test ./internal/app -run Journeys -update
func TestJourneysCostWhatThePaperSays(t *testing.T) {
	w := newWorld(t)
	text, err := os.ReadFile(paper)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, _ := strings.Cut(string(text), "| "+strings.Join(heads, " | ")+" |\n")
	table, after, _ := strings.Cut(rest, "\n\n")
	said := map[string][]string{}
	for _, line := range strings.Split(table, "\n") {
		if cells := strings.Split(strings.Trim(line, "| "), " | "); len(cells) == len(heads) {
			said[cells[0]+" "+cells[1]] = cells
		}
	}
	lines := []string{"| " + strings.Join(heads, " | ") + " |", "|" + strings.Repeat("---|", len(heads))}
	for _, j := range journeys {
		for _, memory := range []string{"off", "on"} {
			w.DB.Remembers = memory == "on"
			first, cells := w.least(j.run).cells(w.DB.Path() != "")
			is := said[j.name+" "+memory]
			if is == nil {
				is = append([]string{j.name, memory}, slices.Repeat([]string{"?"}, len(heads)-2)...)
			}
			if now := is[first : first+len(cells)]; !*update && !slices.Equal(now, cells) {
				t.Errorf("%s, memory %s: it sends %q, and docs/scale.md says %q", j.name, memory, cells, now)
			}
			lines = append(lines, "| "+strings.Join(slices.Concat(is[:first], cells, is[first+len(cells):]), " | ")+" |")
		}
	}
	if *update {
		if err := os.WriteFile(paper, []byte(before+strings.Join(lines, "\n")+"\n\n"+after), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// scanned are statements of journeys that may read a whole table, named by a part of them, and why.
var scanned = map[string]string{
	"from password_costs": "a row for each cost in use, which are one or two",
	"from keys order by":  "a handful of keys, read once in a while",
}

// Whatever a journey asks, an index finds the rows of each table: a table that is read whole costs
// nothing in a test and seconds in a large organization.
func TestJourneysFindTheirRowsByAnIndex(t *testing.T) {
	w := newWorld(t)
	sent := map[string]dbtest.Sent{}
	for _, j := range journeys {
		w.afterwards()
		j.run(w)
		for _, s := range w.cost.statements {
			sent[strings.Join(strings.Fields(s.Text), " ")] = s
		}
	}
	if len(sent) < 60 {
		t.Errorf("only %d statements: this test looks past the others", len(sent))
	}
	used := map[string]bool{}
	plan := planSQLite
	if w.DB.Path() == "" {
		plan = planPostgres
		w.crowd()
	}
	for text, s := range sent {
		for _, whole := range plan(t, w.DB, s) {
			excused := false
			for part := range scanned {
				if strings.Contains(text, part) {
					used[part], excused = true, true
				}
			}
			if !excused {
				t.Errorf("%s\nreads all of %s", text, whole)

			}
		}
	}
	for part := range scanned {
		if !used[part] && w.DB.Path() != "" {
			t.Errorf("%q finds its rows by an index", part)
		}
	}
}

// crowd adds other organizations with their people. PostgreSQL decides by how large tables are.
func (w *world) crowd() {
	w.t.Helper()
	for _, statement := range []string{
		`insert into organizations (id, short_name, short_name_key, short_name_skeleton, display_name, display_name_skeleton, language, contact, invitation_lifetime, created_at)
			select 'org' || i, 'o' || i, 'o' || i, 'o' || i, 'O' || i, 'o' || i, 'en', '', 1, i from generate_series(1, 150) i`,
		`insert into users (org_id, id, email, email_key, display_name, search_key, role, language, time_zone, created_at, generation)
			select 'org' || (i % 150 + 1), 'usr' || i, i || '@x.example', i || '@x.example', '', 'p' || i, 'member', 'en', '', i, 1 from generate_series(1, 2000) i`,
		`insert into browsers (id, token_hash, rotated_at, created_at) select 'brw' || i, 'brw' || i, i, i from generate_series(1, 2000) i`,
		`insert into sessions (org_id, id, user_id, browser_id, generation, methods, started_at, proved_at, seen_at, network, agent)
			select 'org' || (i % 150 + 1), 'ses' || i, 'usr' || i, 'brw' || i, 1, '', i, i, i, '', '' from generate_series(1, 2000) i`,
		`insert into grants (org_id, id, client_id, user_id, session_id, scope, details, family_hash, refresh_hash, created_at, ends_at)
			select 'org' || (i % 150 + 1), 'gr' || i, '` + string(w.signed.ID) + `', 'usr' || i, 'ses' || i, '', '{}', 'f' || i, 'r' || i, i, i from generate_series(1, 2000) i`,
		`insert into invitations (org_id, id, email, email_key, display_name, search_key, role, language, token_hash, letter_id, created_at, expires_at)
			select 'org' || (i % 150 + 1), 'inv' || i, i || '@y.example', i || '@y.example', '', 'i' || i, 'member', 'en', 'inv' || i, '', i, i from generate_series(1, 2000) i`,
		`insert into clients (id, org_id, kind, settings, listens, created_at, changed_at)
			select 'a' || i, 'org' || (i % 150 + 1), 'web', '{}', false, i, i from generate_series(1, 2000) i`,
		`insert into client_organizations (org_id, client_id, standing, audience, groups)
			select 'org' || (i % 150 + 1), 'a' || i, '', 'everyone', '' from generate_series(1, 2000) i`,
		`insert into api_tokens (org_id, id, user_id, generation, token_hash, name, scopes, created_at, ends_at)
			select 'org' || (i % 150 + 1), 'tok' || i, 'usr' || i, 1, 'tok' || i, '', '', i, i from generate_series(1, 2000) i`,
		`insert into sources (org_id, id, name, provider, state, invites, brake, created_at)
			select 'org' || i, 'src' || i, '', '', 'on', false, false, i from generate_series(1, 150) i`,
		`insert into source_tokens (org_id, id, source_id, token_hash, created_at, ends_at)
			select 'org' || i, 'stk' || i, 'src' || i, 'stk' || i, i, i from generate_series(1, 150) i`,
		`insert into domains (org_id, id, domain_key, proof, created_at, proven_at)
			select 'org' || (i % 150 + 1), 'dom' || i, i || '.example', '', i, i from generate_series(1, 2000) i`,
		`analyze`,
	} {
		dbtest.Do(w.t, w.DB, statement)
	}
}

// planSQLite returns the tables that a statement reads whole.
func planSQLite(t *testing.T, d *db.DB, s dbtest.Sent) (whole []string) {
	t.Helper()
	made := []string{"CONSTANT"} // what the statement itself makes, and no table
	if err := d.Rows(t.Context(), func(scan func(...any) error) error {
		var step string
		err := scan(new(int), new(int), new(int), &step)
		words := strings.Fields(step)
		switch {
		case words[0] == "CO-ROUTINE" || words[0] == "MATERIALIZE":
			made = append(made, words[1])
		case words[0] == "SCAN" && !slices.Contains(made, words[1]) && !strings.Contains(step, "VALUES CLAUSE"):
			whole = append(whole, step)
		}
		return err
	}, "explain query plan "+s.Text, s.Args...); err != nil {
		t.Fatal(err)
	}
	return whole
}

// step is one of a plan of PostgreSQL.
type step struct {
	Kind  string `json:"Node Type"`
	Table string `json:"Relation Name"`
	Index string `json:"Index Name"`
	Cond  string `json:"Index Cond"`
	Plans []step
}

func (s step) whole() (all []string) {
	if s.Kind == "Seq Scan" || s.Index != "" && s.Cond == "" {
		all = append(all, s.Kind+" "+s.Table+" "+s.Index)
	}
	for _, p := range s.Plans {
		all = append(all, p.whole()...)
	}
	return all
}

// planPostgres is planSQLite for PostgreSQL, which reads small tables whole unless that is said to be
// dear.
func planPostgres(t *testing.T, d *db.DB, s dbtest.Sent) (whole []string) {
	t.Helper()
	var text string
	var plans []struct{ Plan step }
	err := d.View(t.Context(), func(tx *db.Tx) error {
		if _, err := tx.One(t.Context(), db.Into(new(string)), `select set_config('enable_seqscan', 'off', true)`); err != nil {
			return err
		}
		_, err := tx.One(t.Context(), db.Into(&text), "explain (format json) "+s.Text, s.Args...)
		return err
	})
	if err == nil {
		err = json.Unmarshal([]byte(text), &plans)
	}
	if err != nil {
		t.Fatalf("%s: %v", s.Text, err)
	}
	for _, p := range plans {
		whole = append(whole, p.Plan.whole()...)
	}
	return whole
}
