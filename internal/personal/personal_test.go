package personal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/expect"
)

// secrets are names of columns that have what opens something, or what that is compared with.
var secrets = regexp.MustCompile(`\b\w*(hash|seed|secret|sealed|token|record|parameters|form|key)\b`)

// Every table, and every column of a table of which something is given, is given or held for a reason:
// it is decided in tables.go.
func TestEveryColumnIsGivenOrHeld(t *testing.T) {
	d, _ := dbtest.Open(t)
	columns := dbtest.Columns(t, d)
	listed := map[string]bool{}
	for _, k := range tables {
		if listed[k.table] {
			t.Errorf("%s is listed twice", k.table)
		}
		listed[k.table] = true
		if columns[k.table] == nil {
			t.Errorf("there is no table %s", k.table)
		}
		if k.where == "" {
			expect.Equal(expect.Case(t, "%s", k.table), "a reason and nothing else", k.why != "" && k.gives+k.holds == "", true)
			continue
		}
		if secret := secrets.FindString(k.gives); secret != "" {
			t.Errorf("%s gives %s, which looks like a secret", k.table, secret)
		}
		if k.holds != "" && k.why == "" {
			t.Errorf("%s holds %s without a reason", k.table, k.holds)
		}
		named := strings.Fields(k.gives + " " + k.holds)
		for _, c := range columns[k.table] {
			switch n := slices.Index(named, c.Name); {
			case n >= 0:
				named = slices.Delete(named, n, n+1)
			case !withheld[c.Name]:
				t.Errorf("nobody decided whether %s.%s is given: list it in tables.go", k.table, c.Name)
			}
		}
		if len(named) > 0 {
			t.Errorf("%s has no %s, or lists it twice", k.table, named)
		}
	}
	for name := range columns {
		if !listed[name] {
			t.Errorf("nobody decided what of %s is given: list it in tables.go", name)
		}
	}
}

// The numbers that are no instants.
var numbers = strings.Fields("failures fresh line line tries tries tries times uses")

// What is an instant is written as one.
func TestInstantsAreKnown(t *testing.T) {
	d, _ := dbtest.Open(t)
	columns := dbtest.Columns(t, d)
	for _, k := range tables {
		for _, c := range columns[k.table] {
			if c.Kind == "bigint" && slices.Contains(strings.Fields(k.gives), c.Name) && instants.MatchString(c.Name) == slices.Contains(numbers, c.Name) {
				t.Errorf("%s.%s is neither an instant nor a number", k.table, c.Name)
			}
		}
	}
}

// file is what a test reads of a file.
type file struct {
	UserID string `json:"user_id"`
	Tables map[string][]map[string]any
	Events []map[string]any
}

func export(t *testing.T, d *db.DB, actor directory.Actor, org directory.OrgID, id directory.UserID) (file, string) {
	t.Helper()
	f, err := Collect(t.Context(), d, actor, org, id)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := f.Write(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	var read file
	if err := json.Unmarshal(b.Bytes(), &read); err != nil {
		t.Fatalf("%v in %s", err, b.String())
	}
	return read, b.String()
}

// everything puts a row into every table but those of the log, and returns the id of the member whose
// rows they are.
func everything(t *testing.T, d *db.DB, org string) string {
	t.Helper()
	id := dbtest.Everything(t, d, org, "audit_events", "audit_logs")
	dbtest.Do(t, d, `update users set role = 'member' where org_id = $1`, org)
	return id
}

// A person who has a row in every table gets all of it but the secrets, and nothing of the neighbour.
func TestEverythingOfAPersonIsExported(t *testing.T) {
	d, _ := dbtest.Open(t)
	id := everything(t, d, "org_alpha")
	everything(t, d, "org_beta")
	got, text := export(t, d, directory.System("org_alpha"), "org_alpha", directory.UserID(id))
	given := 0
	for _, k := range tables {
		if k.where == "" {
			expect.Equal(expect.Case(t, "%s", k.table), "rows", len(got.Tables[k.table]), 0)
			continue
		}
		given++
		rows := got.Tables[k.table]
		if len(rows) != 1 {
			t.Errorf("%s: %d rows, want 1", k.table, len(rows))
			continue
		}
		want := strings.Fields(k.gives)
		slices.Sort(want)
		expect.Equal(expect.Case(t, "%s", k.table), "columns", strings.Join(slices.Sorted(maps.Keys(rows[0])), " "), strings.Join(want, " "))
		for _, column := range append(strings.Fields(k.holds), slices.Collect(maps.Keys(withheld))...) {
			if secret := k.table + "." + column; strings.Contains(text, secret) && !strings.Contains(text, secret+"_") {
				t.Errorf("the file has %s", secret)
			}
		}
	}
	expect.Equal(t, "tables that give something", len(got.Tables), given)
	expect.Equal(t, "an instant", got.Tables["sessions"][0]["started_at"], any("1970-01-01T00:00:00.000001Z"))
	expect.Equal(t, "the neighbour", strings.Contains(text, "beta"), false)
	expect.Equal(t, "events", len(got.Events), 1)
	expect.Equal(t, "the deed itself", got.Events[0]["action"], any("user.exported"))
}

// Events are given as the activity page shows them: where somebody else acted it says not from where,
// and what the person did to others it says without the values.
func TestEventsOfOthersStayTheirs(t *testing.T) {
	d, clock := dbtest.Open(t)
	id := everything(t, d, "org_a")
	record := func(e audit.Event) {
		t.Helper()
		clock.Advance(1e9)
		e.OrgID = "org_a"
		ctx := audit.WithOrigin(t.Context(), audit.Origin{Network: "net-of-" + e.ActorName, Agent: "Lynx"})
		if err := d.Update(ctx, func(tx *db.Tx) error { return audit.Record(ctx, tx, e) }); err != nil {
			t.Fatal(err)
		}
	}
	record(audit.Event{Actor: "usr_boss", ActorName: "boss", Action: "user.profile_changed", Target: id, Before: audit.Fields{"name": "my-old-name"}})
	record(audit.Event{Actor: id, ActorName: "ada", Action: "user.profile_changed", Target: "usr_ben", TargetName: "Ben", Before: audit.Fields{"name": "bens-old-name"}})
	record(audit.Event{Actor: audit.Anonymous, ActorName: "stranger", Action: "signin.refused", Target: id})
	record(audit.Event{Actor: "usr_boss", ActorName: "boss", Action: "identity.linked", Target: "con_1", After: audit.Fields{"user": id, "email": "linked-address"}})
	record(audit.Event{Actor: "usr_boss", ActorName: "boss", Action: "user.created", Target: "usr_ben", TargetName: "nothing-of-mine"})
	record(audit.Event{Actor: id, ActorName: "ada", Action: "email_change.requested", Target: id, After: audit.Fields{"email": "ben@a.example"}})
	record(audit.Event{Actor: "usr_boss", ActorName: "boss", Action: "invitation.sent", Target: "inv_ben", TargetName: "ben@a.example", After: audit.Fields{"name": "invited-as-ben"}})
	for range perPage { // on the second page
		record(audit.Event{Actor: id, ActorName: "ada", Action: "signin.done"})
	}
	got, text := export(t, d, directory.System("org_a"), "org_a", directory.UserID(id))
	expect.Equal(t, "events", len(got.Events), 5+perPage+1)
	for has, want := range map[string]bool{
		"my-old-name": true, "bens-old-name": false, "Ben": true, "linked-address": true, "nothing-of-mine": false, "invited-as-ben": false,
		"net-of-ada": true, "net-of-stranger": true, "net-of-boss": false,
	} {
		expect.Equal(expect.Case(t, "%s", has), "in the file", strings.Contains(text, has), want)
	}
}

// A person who asks for a colleague's address as a new one learns nothing of the colleague by it.
func TestLettersToAnAddressThatWasNotProvedAreNotGiven(t *testing.T) {
	d, _ := dbtest.Open(t)
	id := directory.UserID(everything(t, d, "org_a"))
	for _, statement := range []string{
		`update email_changes set email = 'ben@a.example', proved_at = null where org_id = 'org_a'`,
		`update letters set recipient = 'ben@a.example' where org_id = 'org_a'`,
		`update setup_links set email = 'ben@a.example' where org_id = 'org_a'`,
	} {
		dbtest.Do(t, d, statement)
	}
	for _, proved := range []bool{false, true} {
		want := 0
		if proved {
			dbtest.Do(t, d, `update email_changes set proved_at = 1 where org_id = 'org_a'`)
			want = 1
		}
		got, _ := export(t, d, directory.System("org_a"), "org_a", id)
		for _, table := range []string{"letters", "setup_links"} {
			expect.Equal(expect.Case(t, "%s, proved %v", table, proved), "rows", len(got.Tables[table]), want)
		}
	}
}

func TestWhoMayExportAPerson(t *testing.T) {
	d, _ := dbtest.Open(t)
	id := directory.UserID(everything(t, d, "org_a"))
	actor := func(role directory.Role, user directory.UserID, org directory.OrgID) directory.Actor {
		a := directory.Actor{Kind: directory.KindUser, OrgID: org, ID: string(user), UserID: user, Role: role}
		a.Again = func(context.Context, db.Reader) (directory.Actor, error) { return a, nil }
		return a
	}
	for name, c := range map[string]struct {
		actor directory.Actor
		want  error
	}{
		"owner":                 {actor(directory.Owner, "usr_o", "org_a"), nil},
		"administrator":         {actor(directory.Administrator, "usr_o", "org_a"), nil},
		"helpdesk":              {actor(directory.Helpdesk, "usr_o", "org_a"), directory.ErrDenied},
		"auditor":               {actor(directory.Auditor, "usr_o", "org_a"), directory.ErrDenied},
		"another member":        {actor(directory.Member, "usr_o", "org_a"), directory.ErrDenied},
		"the person":            {actor(directory.Member, id, "org_a"), nil},
		"the neighbour's owner": {actor(directory.Owner, "usr_o", "org_b"), directory.ErrNotFound},
	} {
		if _, err := Collect(t.Context(), d, c.actor, "org_a", id); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	dbtest.Do(t, d, `update users set role = 'owner' where org_id = $1 and id = $2`, "org_a", string(id))
	for name, c := range map[string]struct {
		actor directory.Actor
		want  error
	}{
		"an owner by an owner":         {actor(directory.Owner, "usr_o", "org_a"), nil},
		"an owner by an administrator": {actor(directory.Administrator, "usr_o", "org_a"), directory.ErrDenied},
		"an owner by themselves":       {actor(directory.Owner, id, "org_a"), nil},
		"an owner by the operator":     {directory.Operator(), nil},
	} {
		if _, err := Collect(t.Context(), d, c.actor, "org_a", id); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if _, err := Collect(t.Context(), d, directory.System("org_a"), "org_a", "usr_nobody"); !errors.Is(err, directory.ErrNotFound) {
		t.Errorf("nobody: %v", err)
	}
}
