package db_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"parvis/internal/db"
	"parvis/internal/dbtest"
)

// asker asks a Recall, and knows whether the answer was remembered.
type asker struct {
	t      *testing.T
	d      *db.DB
	recall db.Recall[string, int]
	reads  int
}

func newAsker(t *testing.T, d *db.DB) *asker {
	d.Shadow = nil // these answers are numbers, and not what the database says
	return &asker{t: t, d: d}
}

func (a *asker) hear() {
	a.t.Helper()
	if err := a.d.Hear(a.t.Context()); err != nil {
		a.t.Fatal(err)
	}
}

// ask asks for what hangs on an id, and reports whether it was remembered.
func (a *asker) ask(id string) bool {
	a.t.Helper()
	before := a.reads
	_, err := a.recall.Ask(a.d, id, func() (int, []string, error) {
		a.reads++
		return a.reads, []string{id}, nil
	})
	if err != nil {
		a.t.Fatal(err)
	}
	return a.reads == before
}

// falls reports whether what hangs on an id is forgotten by a deed, which can be done many times.
func (a *asker) falls(id string, deed func()) bool {
	a.t.Helper()
	return a.tries(func() (string, func()) { return id, deed })
}

// tries is falls for deeds that can be done once: begin makes what each needs. What hangs on nothing
// shows that the memory was in use all the time: on a slow machine, a second may pass meanwhile.
func (a *asker) tries(begin func() (id string, deed func())) bool {
	a.t.Helper()
	for range soon {
		id, deed := begin()
		a.hear()
		a.ask(id)
		a.ask("control")
		if !a.ask(id) || !a.ask("control") {
			continue
		}
		deed()
		control, still := a.ask("control"), a.ask(id)
		if control && a.ask("control") {
			return !still
		}
	}
	a.t.Fatal("nothing is ever remembered")
	return false
}

// soon goes on for half a minute, every time a little later. While any transaction of the server goes on
// that began before, in whatever database, PostgreSQL names what was changed since then at each hearing
// again; where that is everything, nothing is remembered meanwhile.
func soon(yield func(int) bool) {
	until := time.Now().Add(30 * time.Second)
	for i := 0; time.Now().Before(until) && yield(i); i++ {
		time.Sleep(time.Duration(min(i, 50)) * time.Millisecond)
	}
}

// row is a row of a watched table: how it is made, changed and deleted, and the ids that it has.
type row struct {
	table, insert, update, remove string
	ids                           map[string]string
}

// rows returns one row of each watched table, each after those that it refers to.
func rows(n int) []row {
	id := func(kind string) string { return fmt.Sprintf("%s_%d", kind, n) }
	org, user, browser, session, group, client, grant := id("org"), id("usr"), id("brw"), id("ses"), id("grp"), id("cli"), id("gr")
	all := []row{
		{table: "organizations", ids: map[string]string{"id": org},
			insert: `insert into organizations (id, short_name, short_name_key, short_name_skeleton, display_name, display_name_skeleton, language, contact, invitation_lifetime, created_at) values ('$org', '$org', '$org', '$org', '$org', '$org', 'en', '', 1, 1)`,
			update: `update organizations set suspended_at = 1 where id = '$org'`, remove: `delete from organizations where id = '$org'`},
		{table: "users", ids: map[string]string{"id": user},
			insert: `insert into users (org_id, id, email, email_key, display_name, search_key, role, language, time_zone, created_at, generation) values ('$org', '$user', '$user', '$user', '', '', 'member', 'en', '', 1, 1)`,
			update: `update users set generation = 2 where org_id = '$org' and id = '$user'`, remove: `delete from users where org_id = '$org' and id = '$user'`},
		{table: "browsers", ids: map[string]string{"id": browser},
			insert: `insert into browsers (id, token_hash, rotated_at, created_at) values ('$browser', '$browser', 1, 1)`,
			update: `update browsers set token_hash = 'other $browser' where id = '$browser'`, remove: `delete from browsers where id = '$browser'`},
		{table: "sessions", ids: map[string]string{"id": session, "browser_id": browser},
			insert: `insert into sessions (org_id, id, user_id, browser_id, generation, methods, started_at, proved_at, seen_at, network, agent) values ('$org', '$session', '$user', '$browser', 1, '', 1, 1, 1, '', '')`,
			update: `update sessions set ended_at = 1 where org_id = '$org' and id = '$session'`, remove: `delete from sessions where org_id = '$org' and id = '$session'`},
		{table: "session_rules", ids: map[string]string{"org_id": org},
			insert: `insert into session_rules (org_id, idle, absolute) values ('$org', 1, 1)`,
			update: `update session_rules set idle = 2 where org_id = '$org'`, remove: `delete from session_rules where org_id = '$org'`},
		{table: "groups", ids: map[string]string{"org_id": org},
			insert: `insert into groups (org_id, id, name, name_key, created_at) values ('$org', '$group', '', '$group', 1)`,
			update: `update groups set name = 'x' where org_id = '$org' and id = '$group'`, remove: `delete from groups where org_id = '$org' and id = '$group'`},
		{table: "members", ids: map[string]string{"user_id": user},
			insert: `insert into members (org_id, group_id, user_id, added_at) values ('$org', '$group', '$user', 1)`,
			update: `update members set added_at = 2 where org_id = '$org' and user_id = '$user'`, remove: `delete from members where org_id = '$org' and user_id = '$user'`},
		{table: "clients", ids: map[string]string{"id": client},
			insert: `insert into clients (id, kind, settings, listens, created_at, changed_at) values ('$client', 'web', '{}', false, 1, 1)`,
			update: `update clients set settings = '{"a":1}' where id = '$client'`, remove: `delete from clients where id = '$client'`},
		{table: "client_secrets", ids: map[string]string{"client_id": client},
			insert: `insert into client_secrets (client_id, id, hash, created_at) values ('$client', '$client', '$client', 1)`,
			update: `update client_secrets set used_at = 1 where client_id = '$client'`, remove: `delete from client_secrets where client_id = '$client'`},
		{table: "client_organizations", ids: map[string]string{"client_id": client},
			insert: `insert into client_organizations (org_id, client_id, standing, audience, groups) values ('$org', '$client', '', '', '')`,
			update: `update client_organizations set forbidden_at = 1 where org_id = '$org' and client_id = '$client'`, remove: `delete from client_organizations where org_id = '$org' and client_id = '$client'`},
		{table: "grants", ids: map[string]string{"id": grant},
			insert: `insert into grants (org_id, id, client_id, user_id, scope, details, created_at, ends_at) values ('$org', '$grant', '$client', '$user', '', '{}', 1, 1)`,
			update: `update grants set ended_at = 1 where org_id = '$org' and id = '$grant'`, remove: `delete from grants where org_id = '$org' and id = '$grant'`},
	}
	fill := strings.NewReplacer("$org", org, "$user", user, "$browser", browser, "$session", session, "$group", group, "$client", client, "$grant", grant)
	for i := range all {
		all[i].insert, all[i].update, all[i].remove = fill.Replace(all[i].insert), fill.Replace(all[i].update), fill.Replace(all[i].remove)
	}
	return all
}

func do(t *testing.T, d *db.DB, statements ...string) {
	t.Helper()
	ctx := t.Context()
	if err := d.Update(ctx, func(tx *db.Tx) error {
		for _, statement := range statements {
			if n, err := tx.Exec(ctx, statement); err != nil || n != 1 {
				return fmt.Errorf("%s: %d rows, %w", statement, n, err)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// Whatever writes a row of a watched table, what hangs on it is forgotten at once where it was
// written, and what hangs on anything else is not.
func TestEveryWriteOfAWatchedTableIsTold(t *testing.T) {
	t.Parallel()
	d, _ := dbtest.Open(t)
	a := newAsker(t, d)
	tables, added := db.Watched()
	if got := len(rows(0)); got != len(tables) {
		t.Fatalf("rows of %d tables are written, and %d are watched", got, len(tables))
	}
	// What an answer says of somebody changes when one of these rows comes into being.
	for _, table := range []string{"sessions", "session_rules", "members", "client_organizations"} {
		if len(added[table]) == 0 {
			t.Errorf("a new row of %s is told nobody", table)
		}
	}
	n := 0
	for i, like := range rows(0) {
		check := func(what string, columns []string, deed func(r row) string) {
			for _, column := range columns {
				if !a.tries(func() (string, func()) {
					n++
					all := rows(n) // those of another try are there already
					for _, r := range all[:i] {
						do(t, d, r.insert)
					}
					if what != "insert" {
						do(t, d, all[i].insert)
					}
					if all[i].ids[column] == "" {
						t.Fatalf("the row of %s has no %s", like.table, column)
					}
					return all[i].ids[column], func() { do(t, d, deed(all[i])) }
				}) {
					t.Errorf("%s %s: what hangs on its %s is still remembered", what, like.table, column)
				}
			}
		}
		check("insert", added[like.table], func(r row) string { return r.insert })
		check("update", tables[like.table], func(r row) string { return r.update })
		check("delete", tables[like.table], func(r row) string { return r.remove })
	}
}

// What a statement returns of its own reaches its caller, beside what is told.
func TestToldStatementsAnswerTheirCallers(t *testing.T) {
	t.Parallel()
	d, _ := dbtest.Open(t)
	a, ctx := newAsker(t, d), t.Context()
	all := rows(1)
	for _, r := range all[:2] {
		do(t, d, r.insert)
	}
	update := func(fn func(tx *db.Tx) error) func() {
		return func() {
			t.Helper()
			if err := d.Update(ctx, fn); err != nil {
				t.Error(err)
			}
		}
	}
	var email, id string
	if !a.falls("usr_1", update(func(tx *db.Tx) error {
		found, err := tx.One(ctx, db.Into(&email, &id), `update users set generation = generation + 1 where org_id = $1 returning email, id`, "org_1")
		if err == nil && (!found || email != "usr_1" || id != "usr_1") {
			err = fmt.Errorf("found %v: %q, %q", found, email, id)
		}
		return err
	})) {
		t.Error("One told nothing")
	}
	if !a.falls("usr_1", update(func(tx *db.Tx) error {
		var got []string
		err := tx.Rows(ctx, func(scan func(...any) error) error {
			var id string
			err := scan(&id)
			got = append(got, id)
			return err
		}, `update users set generation = generation + 1 where org_id = $1 returning id`, "org_1")
		if err == nil && !slices.Equal(got, []string{"usr_1"}) {
			err = fmt.Errorf("the rows are %q", got)
		}
		return err
	})) {
		t.Error("Rows told nothing")
	}
	rolledBack := errors.New("rolled back")
	if a.falls("usr_1", func() {
		if err := d.Update(ctx, func(tx *db.Tx) error {
			_, err := tx.Exec(ctx, `update users set generation = generation + 1 where org_id = $1`, "org_1")
			return errors.Join(err, rolledBack)
		}); !errors.Is(err, rolledBack) {
			t.Error(err)
		}
	}) {
		t.Error("what was rolled back was told")
	}
	// Everything falls if rows were not looked at, or too many changed.
	for name, fn := range map[string]func(tx *db.Tx) error{
		"rows that nobody looked at": func(tx *db.Tx) error {
			return tx.Rows(ctx, func(func(...any) error) error { return nil }, `update users set generation = generation + 1 where org_id = $1 returning id`, "org_1")
		},
		"a thousand rows": func(tx *db.Tx) error {
			for i := range 1001 {
				if _, err := tx.Exec(ctx, `insert into browsers (id, token_hash, rotated_at, created_at) values ($1, $1, 1, 1)`, fmt.Sprint(i, a.reads)); err != nil {
					return err
				}
			}
			_, err := tx.Exec(ctx, `update browsers set created_at = 2 where created_at = 1`)
			return err
		},
	} {
		a.hear()
		a.ask("control")
		update(fn)()
		a.hear()
		if a.ask("control") {
			t.Errorf("%s: something is still remembered", name)
		}
	}
}

// A change on one node is heard by the others: on PostgreSQL row by row, on SQLite, where another
// process is a command of the operator, as one that voids everything.
func TestNodesHearOfEachOther(t *testing.T) {
	t.Parallel()
	address := dbtest.Address(t)
	d, other := dbtest.OpenAt(t, address), dbtest.OpenAt(t, address)
	a := newAsker(t, d)
	for _, r := range rows(1)[:2] {
		do(t, other, r.insert)
	}
	n := 1
	change := func() {
		n++
		if err := other.Update(t.Context(), func(tx *db.Tx) error {
			_, err := tx.Exec(t.Context(), `update users set generation = $1 where org_id = $2`, n, "org_1")
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	if d.Path() != "" {
		if !slices.Contains(slices.Collect(remembering(a)), true) {
			t.Fatal("nothing is remembered")
		}
		change()
		a.hear()
		if a.ask("control") {
			t.Error("the other process changed the file, and something is still remembered")
		}
		return
	}
	if !a.falls("usr_1", func() { change(); a.hear() }) {
		t.Error("the other node's change was not heard")
	}
	if !a.falls("usr_1", func() { change(); change(); a.hear(); a.hear() }) {
		t.Error("the other node's changes were not heard")
	}
	if a.falls("usr_1", a.hear) {
		t.Error("a change that was heard before is heard again")
	}
}

// A transaction that began first and commits last is heard all the same.
func TestALateCommitIsHeard(t *testing.T) {
	t.Parallel()
	d, other := nodes(t)
	a, ctx := newAsker(t, d), t.Context()
	for i := range 2 {
		for _, r := range rows(i + 1)[:2] {
			do(t, other, r.insert)
		}
	}
	bump := func(org string) func(tx *db.Tx) error {
		return func(tx *db.Tx) error {
			_, err := tx.Exec(ctx, `update users set generation = generation + 1 where org_id = $1`, org)
			return err
		}
	}
	if !a.falls("usr_1", func() {
		began, end := make(chan struct{}), make(chan struct{})
		done := make(chan error)
		go func() {
			begins := sync.OnceFunc(func() { close(began) }) // Update may run this more than once
			done <- other.Update(ctx, func(tx *db.Tx) error {
				err := bump("org_1")(tx)
				begins()
				<-end
				return err
			})
		}()
		<-began
		if err := other.Update(ctx, bump("org_2")); err != nil {
			t.Error(err)
		}
		a.hear()
		close(end)
		if err := <-done; err != nil {
			t.Error(err)
		}
		a.hear()
	}) {
		t.Error("the transaction that committed last was not heard")
	}
}

// nodes are two nodes on one PostgreSQL.
func nodes(t *testing.T) (d, other *db.DB) {
	t.Helper()
	address := dbtest.Address(t)
	if !db.IsPostgres(address) {
		t.Skip("on SQLite one process serves")
	}
	return dbtest.OpenAt(t, address), dbtest.OpenAt(t, address)
}

// Nothing is remembered beside a process that watches other tables, and everything is forgotten
// after a silence, or when the server is another one or went back in time.
func TestNodesForgetWhatTheyCannotKnow(t *testing.T) {
	t.Parallel()
	d, other := nodes(t)
	a := newAsker(t, d)
	for what, forge := range map[string]func(){
		"a silence":          func() { d.HeardOf("", 0, 2*db.Believed) },
		"another server":     func() { d.HeardOf("of another time", 0, 0) },
		"a server gone back": func() { d.HeardOf("", 1_000_000, 0) },
	} {
		a.hear()
		a.ask("control")
		forge()
		a.hear()
		if a.ask("control") {
			t.Errorf("after %s something is still remembered", what)
		}
	}
	do(t, other, rows(1)[0].insert) // and so announces itself
	if !slices.Contains(slices.Collect(remembering(a)), true) {
		t.Error("beside a process that watches the same tables nothing is remembered")
	}
	dbtest.Do(t, other, `update nodes set watch = 'other'`)
	a.hear()
	if slices.Contains(slices.Collect(remembering(a)), true) {
		t.Error("beside a process that watches other tables something is remembered")
	}
	dbtest.Do(t, other, `update nodes set at = at - 61000000`)
	a.hear()
	if !slices.Contains(slices.Collect(remembering(a)), true) {
		t.Error("after a minute without that process nothing is remembered")
	}
}

// remembering asks a few times whether something is remembered.
func remembering(a *asker) func(func(bool) bool) {
	return func(yield func(bool) bool) {
		for range 20 {
			a.hear()
			a.ask("control")
			if !yield(a.ask("control")) {
				return
			}
		}
	}
}

// What every node has heard is deleted after a minute.
func TestHeardChangesAreSwept(t *testing.T) {
	t.Parallel()
	_, other := nodes(t)
	for _, r := range rows(1)[:2] {
		do(t, other, r.insert, r.update)
	}
	left := func() (n int) {
		if err := db.SweepChanges(t.Context(), other); err != nil {
			t.Fatal(err)
		}
		if _, err := other.One(t.Context(), db.Into(&n), `select count(*) from changes`); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if left() == 0 {
		t.Error("what was told just now is gone")
	}
	// More than one statement deletes.
	dbtest.Do(t, other, `insert into changes (xid, node, at, touched) select -i, '', $1, '' from generate_series(1, 2500) i`, time.Now().UnixMicro())
	dbtest.Do(t, other, `update changes set at = at - 61000000`)
	for until := time.Now().Add(time.Minute); left() != 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(until) { // until then another test may hold a transaction open that began before
			t.Fatal("rows of a minute ago are left")
		}
	}
}

// A question has the next hearing begun, also where a pooler stands between.
func TestAnswersAreSoonRemembered(t *testing.T) {
	t.Parallel()
	a := newAsker(t, dbtest.OpenAt(t, dbtest.Address(t)))
	for until := time.Now().Add(30 * time.Second); !a.ask("x"); time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("nothing is ever remembered")
		}
	}
}

// Nothing is remembered where it is turned off, or of what cannot be heard.
func TestNothingIsRememberedUnheard(t *testing.T) {
	t.Parallel()
	d := dbtest.OpenAt(t, dbtest.Address(t))
	a := newAsker(t, d)
	if a.ask("x"); a.ask("x") {
		t.Error("something is remembered before the first hearing")
	}
	d.Remembers = false
	a.hear()
	if a.ask("x"); a.ask("x") {
		t.Error("something is remembered though it is turned off")
	}
	d.Remembers = true
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.Hear(ended); err == nil {
		t.Error("it heard after the end")
	}
}

// Memory is bounded.
func TestRecallDropsTheOldest(t *testing.T) {
	t.Parallel()
	d := dbtest.OpenAt(t, dbtest.Address(t))
	a := newAsker(t, d)
	a.recall.Most = 4
	kept := map[string]bool{}
	for range soon {
		a.hear()
		clear(kept)
		for i := range 20 {
			a.ask(fmt.Sprint(i))
		}
		a.hear()
		for i := 19; i >= 0; i-- { // what is asked for and not remembered takes a place
			if a.ask(fmt.Sprint(i)) {
				kept[fmt.Sprint(i)] = true
			}
		}
		if len(kept) > 0 {
			break
		}
	}
	if len(kept) == 0 || len(kept) > 8 {
		t.Errorf("remembered are %v", slices.Sorted(maps.Keys(kept)))
	}
}
