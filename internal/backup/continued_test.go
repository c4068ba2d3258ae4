package backup_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"parvis/internal/audit"
	"parvis/internal/backup"
	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/idptest"
	"parvis/internal/secret"
)

// kept is an installation whose organization's log was signed, with a backup of it.
type kept struct {
	installation
	org    directory.Organization
	people map[string]directory.User // by name
	file   []byte
}

// keep makes a backup, an hour after which its log goes on.
func keep(t *testing.T, names ...string) *kept {
	t.Helper()
	d, clock := dbtest.Open(t)
	keys := secret.NewKeys()
	k := &kept{installation: installation{Server: idptest.StartOn(t, d, clock, keys), keys: keys}, people: map[string]directory.User{}}
	k.org = k.Organization(t, "Meridian Freight", "meridian")
	for _, name := range names {
		role := directory.Member
		if name == "ana" {
			role = directory.Owner
		} else if name == "bo" {
			role = directory.Administrator
		}
		k.Join(t, k.org, name+"@meridian.example", strings.ToUpper(name[:1])+name[1:], role)
		found, err := directory.Addressed(t.Context(), d, k.org.ID, []string{name + "@meridian.example"})
		if err != nil || len(found) != 1 {
			t.Fatal(found, err)
		}
		k.people[name] = found[0]
	}
	k.other(t)
	k.seal(t)
	for _, org := range []string{"", string(k.org.ID)} {
		if _, err := k.Audit.Checkpoint(t.Context(), d, org); err != nil {
			t.Fatal(err)
		}
	}
	return k
}

// other makes an organization of which no export is kept.
func (k *kept) other(t *testing.T) {
	t.Helper()
	k.Join(t, k.Organization(t, "Lumen Health", "lumen"), "lin@lumen.example", "Lin Wei", directory.Owner)
}

func (k *kept) seal(t *testing.T) {
	t.Helper()
	if err := k.Audit.Sweep(t.Context(), k.DB); err != nil {
		t.Fatal(err)
	}
}

// since records events of the organization, each a second after the other, and seals them.
func (k *kept) since(t *testing.T, events ...audit.Event) {
	t.Helper()
	for _, e := range events {
		k.Clock.Advance(time.Second)
		if e.OrgID == "" {
			e.OrgID = string(k.org.ID)
		}
		if e.Actor == "" {
			e.Actor, e.ActorName = string(k.people["ana"].ID), "Ana"
		}
		k.Update(t, func(ctx context.Context, tx *db.Tx) error { return audit.Record(ctx, tx, e) })
	}
	k.seal(t)
}

func (k *kept) about(action audit.Action, name string, after audit.Fields) audit.Event {
	return audit.Event{Action: action, Target: string(k.people[name].ID), TargetName: name, After: after}
}

func (k *kept) export(t *testing.T, q audit.Query) string {
	t.Helper()
	var b bytes.Buffer
	always := func(context.Context, db.Reader) error { return nil }
	if err := k.Audit.Export(t.Context(), k.DB, audit.Export{Query: q, Into: &b, Again: always}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func (k *kept) whole(t *testing.T) string { return k.export(t, audit.Query{OrgID: string(k.org.ID)}) }

func (k *kept) judge(t *testing.T, exports ...string) ([]*backup.Continued, error) {
	t.Helper()
	logs, err := backup.LogsOf(source(k.file), k.keys)
	if err != nil {
		t.Fatal(err)
	}
	var all []backup.Export
	for _, text := range exports {
		all = append(all, backup.Export{Name: "export.jsonl", Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }})
	}
	return logs.Continue(all)
}

// restored restores the backup with exports, and returns the place.
func (k *kept) restored(t *testing.T, exports ...string) (*db.DB, []*backup.Continued) {
	t.Helper()
	continued, err := k.judge(t, exports...)
	if err != nil {
		t.Fatal(err)
	}
	made, err := backup.Check(source(k.file), k.keys)
	if err != nil {
		t.Fatal(err)
	}
	k.Clock.Advance(time.Hour)
	d := place(t, false, k.Clock)
	how := k.how(false)
	how.Continued = continued
	if err := backup.Restore(t.Context(), d, source(k.file), made, how); err != nil {
		t.Fatal(err)
	}
	return d, continued
}

func value(t *testing.T, d *db.DB, query string, args ...any) string {
	t.Helper()
	var v string
	if _, err := d.One(t.Context(), db.Into(&v), query, args...); err != nil {
		t.Fatal(err)
	}
	return v
}

// credentials gives people passkeys and links, by connections that are on.
func (k *kept) credentials(t *testing.T) {
	t.Helper()
	org, eli, gus := string(k.org.ID), string(k.people["eli"].ID), string(k.people["gus"].ID)
	k.Update(t, func(ctx context.Context, tx *db.Tx) (err error) {
		do := func(statement string, args ...any) {
			if err == nil {
				_, err = tx.Exec(ctx, statement, args...)
			}
		}
		for id, user := range map[string]string{"pky_a": gus, "pky_b": eli} {
			do(`insert into passkeys (org_id, id, user_id, name, credential_id, user_handle, record, created_at) values ($1, $2, $3, 'Key', $2, 'h', '{}', 0)`, org, id, user)
			do(`update users set second_step = 'passkey' where org_id = $1 and id = $2`, org, user)
			do(`update users set linked = $1 where org_id = $2 and id = $3`, true, org, user)
		}
		for id, position := range map[string]int{"con_a": 1, "con_b": 2} {
			do(`insert into connections (org_id, id, protocol, provider, name, position, shown, settings, vouches, creates, mapping, state, created_at, changed_at, tested_at, confirmed_at, warned)
				values ($1, $2, 'oidc', 'other', $2, $3, $4, '{}', $4, $4, '{}', 'on', 0, 0, 1, 1, 0)`, org, id, position, false)
		}
		for _, user := range []string{eli, gus} {
			do(`insert into identities (org_id, connection_id, issuer, subject, user_id, email, created, created_at, used_at) values ($1, 'con_a', 'i', $2, $2, '', $3, 0, 0)`, org, user, false)
		}
		return err
	})
}

// What the log has since the backup holds, for those whom it names; nobody else of the organization
// loses anything, and an organization without an export does.
func TestWhatAnExportNamesIsDoneAgainOrVoid(t *testing.T) {
	k := keep(t, "ana", "bo", "cyd", "dee", "eli", "fay", "gus", "hal")
	k.credentials(t)
	k.file = k.backup(t)
	k.since(t,
		audit.Event{Action: "device.removed", Target: "pky_a"},
		audit.Event{Action: "identity.unlinked", Target: "con_a", After: audit.Fields{"user": k.people["eli"].ID, "email": "eli@idp.example"}},
		audit.Event{Action: "connection.changed", Target: "con_b", After: audit.Fields{"issuer": "https://other.example"}},
		audit.Event{Action: "connection.turned_off", Target: "con_a", After: audit.Fields{"state": "off"}},
		audit.Event{Action: "connection.turned_on", Target: "con_a", After: audit.Fields{"state": "on"}},
		k.about("user.deactivated", "cyd", audit.Fields{"state": "deactivated"}),
		k.about("password.changed", "dee", audit.Fields{"by": "themselves"}),
		k.about("user.role_changed", "bo", audit.Fields{"role": "helpdesk"}),
		k.about("user.role_changed", "eli", audit.Fields{"role": "owner"}),
		k.about("user.email_changed", "fay", audit.Fields{"email": "fay@new.example", "requested_by": "x"}),
		k.about("user.deactivated", "gus", audit.Fields{"state": "deactivated"}),
		k.about("user.reactivated", "gus", audit.Fields{"state": "active"}),
		k.about("user.erased", "hal", nil),
		audit.Event{Action: "session_rules.changed", Target: string(k.org.ID), After: audit.Fields{"idle": "5m0s", "absolute": "1h0m0s"}},
		audit.Event{Action: "password_rules.changed", Target: string(k.org.ID), After: audit.Fields{"preset": "classic", "minimum_length": 20, "digit": false, "history": 12, "reset_lifetime": "10m0s"}},
		audit.Event{Action: "signin.refused", Result: audit.Refused},
	)
	d, continued := k.restored(t, k.whole(t), k.export(t, audit.Query{}))
	org := string(k.org.ID)
	user := func(name, column string) string {
		return value(t, d, `select `+column+` from users where org_id = $1 and id = $2`, org, string(k.people[name].ID))
	}
	password := func(name string) string {
		return value(t, d, `select 'has' from passwords where org_id = $1 and user_id = $2`, org, string(k.people[name].ID))
	}
	for about, c := range map[string]struct{ got, want string }{
		"who was shut out":           {user("cyd", "state"), "deactivated"},
		"whose password changed":     {password("dee"), ""},
		"who else has one":           {password("eli"), "has"},
		"who was lowered":            {user("bo", "role"), "helpdesk"},
		"who was raised":             {user("eli", "role"), "member"},
		"who has another address":    {user("fay", "email"), "fay@new.example"},
		"who was out and in again":   {user("gus", "state"), "active"},
		"who was erased":             {user("hal", "id"), ""},
		"a passkey that was removed": {value(t, d, `select id from passkeys where id = 'pky_a'`), ""},
		"another":                    {value(t, d, `select id from passkeys where id = 'pky_b'`), "pky_b"},
		"second step of eli":         {user("eli", "second_step"), "passkey"},
		"links to the provider":      {value(t, d, `select user_id from identities where connection_id = 'con_a'`), string(k.people["gus"].ID)},
		"a changed connection":       {value(t, d, `select state from connections where id = 'con_b' and tested_at is null and confirmed_at is null`), "off"},
		"one that is as it was":      {value(t, d, `select state from connections where id = 'con_a' and tested_at is not null`), "on"},
		"the owner":                  {user("ana", "state"), "active"},
		"the organization":           {value(t, d, `select 'suspended' from organizations where id = $1 and suspended_at is not null`, org), ""},
		"the other organization":     {value(t, d, `select 'suspended' from organizations where short_name = 'lumen' and suspended_at is not null`), "suspended"},
		"the other's password":       {value(t, d, `select 'has' from passwords where org_id <> $1`, org), ""},
		"how long sessions last":     {value(t, d, `select cast(idle as text) from session_rules where org_id = $1`, org), "300000000"},
		"how long passwords are":     {value(t, d, `select cast(minimum_length as text) from password_rules where org_id = $1 and digit`, org), "20"},
		"that somebody was erased":   {value(t, d, `select 'again' from audit_events where org_id = $1 and action = 'user.erased' and leaf is null`, org), "again"},
		"that nothing is unfinished": {value(t, d, `select value from installation where name = 'restoring'`), ""},
	} {
		expect.Equal(t, about, c.got, c.want)
	}
	var done []string
	for _, i := range continued[0].Done {
		done = append(done, string(i.Action))
	}
	expect.Equal(t, "what was done", strings.Join(done, " "), "device.removed identity.unlinked connection.changed user.deactivated password.changed user.role_changed user.email_changed user.erased session_rules.changed password_rules.changed")
	entry := value(t, d, `select after from audit_events where org_id = $1 and action = 'audit.restored'`, org)
	if !strings.Contains(entry, `"voided":["connection.changed con_b","password.changed `+string(k.people["dee"].ID)+`"]`) || !strings.Contains(entry, "user.deactivated "+string(k.people["cyd"].ID)) || strings.Contains(entry, "cyd") {
		t.Errorf("the entry says %s", entry)
	}
	epoch, err := audit.EpochOf(t.Context(), d, k.keys.Sealing)
	if err != nil {
		t.Fatal(err)
	}
	logs := audit.NewLogs(audit.Settings{Sealing: k.keys.Sealing, Host: "id.example", Since: epoch.At})
	if err := logs.Sweep(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "the first of the epoch", value(t, d, `
		select action from audit_events e join audit_epochs x on x.org_id = e.org_id and x.first = e.leaf where e.org_id = $1`, org), "audit.restored")
	if _, err := logs.Check(t.Context(), d); err != nil {
		t.Error(err)
	}
}

// An owner comes from Home to what was done: each in words, people by their names.
func TestAnOwnerReadsWhatWasDoneAgain(t *testing.T) {
	k := keep(t, "ana", "bo", "cyd", "dee")
	k.file = k.backup(t)
	k.since(t, k.about("user.deactivated", "cyd", audit.Fields{"state": "deactivated"}), k.about("password.changed", "dee", audit.Fields{"by": "themselves"}),
		k.about("user.role_changed", "bo", audit.Fields{"role": "member"}))
	d, _ := k.restored(t, k.whole(t), k.export(t, audit.Query{}))
	epoch, err := audit.EpochOf(t.Context(), d, k.keys.Sealing)
	if err != nil {
		t.Fatal(err)
	}
	d.Restored = epoch.At
	s := idptest.StartOn(t, d, k.Clock, k.keys)
	owner := s.Join(t, k.org, "olga@meridian.example", "Olga", directory.Owner)
	id := value(t, d, `select id from audit_events where org_id = $1 and action = 'audit.restored'`, string(k.org.ID))
	for _, language := range []string{"en", "fr"} {
		dbtest.Do(t, d, `update users set language = '`+language+`'`)
		home := owner.Get("/o/meridian/home")
		idptest.Want(t, home, idptest.Status(200), idptest.Shows("root@test"))
		home.Keep(t, "restored-home")
		owner.Get("/o/meridian/admin").Keep(t, "restored-overview")
		log := owner.Get("/o/meridian/admin/audit?q=audit.restored")
		idptest.Want(t, log, idptest.Status(200))
		log.Keep(t, "restored-log")
		entry := owner.Get("/o/meridian/admin/audit/" + id)
		for _, name := range []string{"Bo", "Cyd", "Dee"} {
			idptest.Want(t, entry, idptest.Status(200), idptest.Shows(name))
		}
		entry.Keep(t, "restored-entry")
	}
	// Nobody else reads it, and nobody of an organization whose log does not say what was done.
	young := s.Organization(t, "Northwind", "northwind")
	for path, b := range map[string]*idptest.Browser{
		"/o/northwind/home":  s.Join(t, young, "nora@northwind.example", "Nora", directory.Owner),
		"/o/northwind/admin": s.Join(t, young, "nils@northwind.example", "Nils", directory.Owner),
		"/o/meridian/home":   s.Join(t, k.org, "adam@meridian.example", "Adam", directory.Administrator),
		"/o/meridian/admin":  s.Join(t, k.org, "abe@meridian.example", "Abe", directory.Administrator),
	} {
		idptest.Want(t, b.Get(path), idptest.Status(200), idptest.ShowsNot("root@test"))
	}
}

// Where single sign-on was the only way in already, the owners who come in otherwise are those whom the log
// named last.
func TestAnOwnerWhoBreaksGlassNoMoreDoesNotAfterARestore(t *testing.T) {
	k := keep(t, "ana", "bo", "cyd", "eli", "gus")
	k.credentials(t)
	dbtest.Do(t, k.DB, `update users set role = 'owner' where email in ('bo@meridian.example', 'cyd@meridian.example')`)
	dbtest.Do(t, k.DB, `update users set break_glass_since = 1 where email in ('ana@meridian.example', 'bo@meridian.example')`)
	dbtest.Do(t, k.DB, `update organizations set federated_since = 1 where short_name = 'meridian'`)
	k.file = k.backup(t)
	k.since(t, audit.Event{Action: "single_sign_on.only", Target: string(k.org.ID), After: audit.Fields{"break_glass": []directory.UserID{k.people["ana"].ID, k.people["cyd"].ID}}})
	d, continued := k.restored(t, k.whole(t))
	for name, want := range map[string]string{"ana": "breaks", "bo": "", "cyd": "breaks", "eli": ""} {
		expect.Equal(t, name, value(t, d, `select 'breaks' from users where id = $1 and break_glass_since is not null`, string(k.people[name].ID)), want)
	}
	expect.Equal(t, "that it is listed", continued[0].Done[0].Action, audit.Action("single_sign_on.only"))
	expect.Equal(t, "since when", value(t, d, `select cast(federated_since as text) from organizations where id = $1`, string(k.org.ID)), "1")
}

// Without the installation's log nobody knows what applications of all organizations trust.
func TestApplicationsOfAllAreShutWithoutTheInstallationsLog(t *testing.T) {
	k := keep(t, "ana")
	k.file = k.backup(t)
	k.since(t, k.about("signin.done", "ana", nil))
	shared := value(t, k.DB, `select cast(count(*) as text) from clients where org_id is null`)
	if shared == "0" {
		t.Fatal("there is no application: this test looks past it")
	}
	forbidden := `select cast(count(*) as text) from client_organizations where standing = 'forbidden' and org_id = $1`
	d, _ := k.restored(t, k.whole(t))
	expect.Equal(t, "without it", value(t, d, forbidden, string(k.org.ID)), shared)
	d, _ = k.restored(t, k.whole(t), k.export(t, audit.Query{}))
	expect.Equal(t, "with it", value(t, d, forbidden, string(k.org.ID)), "0")
}

// An organization that was deleted since is deleted again, and its own log says so once, whichever log
// the export is of: without that nothing of it is removed.
func TestADeletionThatIsDoneAgainStandsInTheOrganizationsLog(t *testing.T) {
	k := keep(t, "ana")
	k.file = k.backup(t)
	deleted := audit.Event{Action: "organization.deleted", Actor: audit.Operator, ActorName: audit.Operator, Target: string(k.org.ID)}
	k.since(t, deleted)
	k.Update(t, func(ctx context.Context, tx *db.Tx) error { return audit.Record(ctx, tx, deleted) }) // in the installation's
	k.seal(t)
	for name, exports := range map[string][]string{
		"its own log": {k.whole(t)}, "the installation's": {k.export(t, audit.Query{})}, "both": {k.whole(t), k.export(t, audit.Query{})},
	} {
		d, _ := k.restored(t, exports...)
		expect.Equal(t, name+": deleted", value(t, d, `select 'deleted' from organizations where id = $1 and deleted_at is not null`, string(k.org.ID)), "deleted")
		expect.Equal(t, name+": its log", value(t, d, `select cast(count(*) as text) from audit_events where org_id = $1 and action = 'organization.deleted'`, string(k.org.ID)), "1")
	}
}

// A second step that was demanded since, and then no more, is not demanded: the last entry counts.
func TestWhatWasDemandedForAWhileIsNotDemandedAgain(t *testing.T) {
	k := keep(t, "ana")
	k.file = k.backup(t)
	at := k.Clock.Now()
	off := audit.Fields{"privileged": true, "tolerance": 1, "passwordless": false}
	on := audit.Fields{"privileged": true, "tolerance": 1, "passwordless": false, "required_from": at}
	changed := audit.Event{Action: "second_step_rules.changed", Target: string(k.org.ID), Before: off, After: on}
	again := changed
	again.Before, again.After = on, off
	k.since(t, changed, again)
	d, _ := k.restored(t, k.whole(t))
	const demanded = `select 'demanded' from second_step_rules where org_id = $1 and required_from is not null`
	expect.Equal(t, "in the end", value(t, d, demanded, string(k.org.ID)), "")
	k.since(t, changed)
	d, _ = k.restored(t, k.whole(t))
	expect.Equal(t, "in the end, again", value(t, d, demanded, string(k.org.ID)), "demanded")
}

// Nobody gains by leaving out of a file what an entry changed, as if it had been erased.
func TestWhatWasLeftOutOfAnExportCountsAsTheStrictest(t *testing.T) {
	k := keep(t, "ana", "bo", "fay")
	k.file = k.backup(t)
	k.since(t, k.about("user.role_changed", "bo", audit.Fields{"role": "owner"}), k.about("user.email_changed", "fay", audit.Fields{"email": "fay@new.example"}))
	dbtest.Do(t, k.DB, `update audit_events set target_name = '', before = '', after = '', of_salt = '' where action in ('user.role_changed', 'user.email_changed')`)
	d, _ := k.restored(t, k.whole(t))
	expect.Equal(t, "role", value(t, d, `select role from users where id = $1`, string(k.people["bo"].ID)), "member")
	expect.Equal(t, "state", value(t, d, `select state from users where id = $1`, string(k.people["fay"].ID)), "deactivated")
}

// What waited to be sealed when the backup was made is in it already.
func TestWhatWaitedToBeSealedIsNotDoneAgain(t *testing.T) {
	k := keep(t, "ana", "dee")
	k.Update(t, func(ctx context.Context, tx *db.Tx) error {
		e := k.about("password.changed", "dee", audit.Fields{"by": "themselves"})
		e.OrgID, e.Actor = string(k.org.ID), e.Target
		return audit.Record(ctx, tx, e)
	})
	k.file = k.backup(t)
	k.since(t, k.about("signin.done", "ana", nil))
	d, _ := k.restored(t, k.whole(t))
	expect.Equal(t, "password", value(t, d, `select 'has' from passwords where user_id = $1`, string(k.people["dee"].ID)), "has")
}

// An export must be signed by the log's key, and go on from the backup without a gap.
func TestAnExportThatDoesNotContinueTheBackupIsRefused(t *testing.T) {
	k := keep(t, "ana", "bo")
	before := k.whole(t)
	k.since(t, k.about("signin.done", "ana", nil))
	k.file = k.backup(t)
	k.since(t, k.about("user.deactivated", "bo", audit.Fields{"state": "deactivated"}), k.about("signin.done", "ana", nil), k.about("signin.done", "ana", nil))
	good := k.whole(t)
	lines := strings.SplitAfter(good, "\n")
	another := keep(t, "ana")
	flip := func(text, from, to string) string {
		if !strings.Contains(text, from) {
			t.Fatalf("%q is not there", from)
		}
		return strings.Replace(text, from, to, 1)
	}
	k2 := *k
	k.since(t, audit.Event{Action: "signin.done", Actor: audit.System})
	newer := func() string {
		k2.since(t, audit.Event{Action: "future.done", Actor: audit.System})
		defer dbtest.Do(t, k2.DB, `update audit_events set action = 'signin.done' where action = 'future.done'`)
		return k2.whole(t)
	}
	for name, c := range map[string]struct {
		exports []string
		want    error
	}{
		"the whole":               {[]string{good}, nil},
		"with a flipped word":     {[]string{flip(good, "user.deactivated", "user.reactivated")}, backup.ErrExportAltered},
		"with another checkpoint": {[]string{flip(good, lines[0], strings.SplitAfter(before, "\n")[0])}, backup.ErrExportAltered},
		"cut":                     {[]string{strings.Join(lines[:len(lines)-2], "")}, backup.ErrExportAltered},
		"without a line":          {[]string{flip(good, lines[len(lines)-3], "")}, backup.ErrExportAltered},
		"of another":              {[]string{another.whole(t)}, backup.ErrExportForeign},
		"older":                   {[]string{before}, backup.ErrExportOlder},
		"filtered":                {[]string{k.export(t, audit.Query{OrgID: string(k.org.ID), Action: "signin.done"})}, backup.ErrExportFiltered},
		"up to a time":            {[]string{k.export(t, audit.Query{OrgID: string(k.org.ID), Until: k.Clock.Now().Add(-2 * time.Second)})}, backup.ErrExportFiltered},
		"of nothing":              {[]string{k.export(t, audit.Query{OrgID: string(k.org.ID), Action: "user.erased"})}, backup.ErrExportFiltered},
		"twice":                   {[]string{good, good}, backup.ErrExportTwice},
		"no export":               {[]string{"hello\n"}, backup.ErrExportAltered},
		"empty":                   {[]string{""}, backup.ErrExportAltered},
		"with a newer action":     {[]string{newer()}, backup.ErrExportNewer},
	} {
		if _, err := k.judge(t, c.exports...); !errors.Is(err, c.want) {
			t.Errorf("an export %s is answered by %v, want %v", name, err, c.want)
		}
	}
}

// A log that was made again beside the backup has the same key, and other entries.
func TestAnExportOfAnotherTreeIsRefused(t *testing.T) {
	k := keep(t, "ana")
	k.since(t, k.about("signin.done", "ana", nil))
	k.file = k.backup(t)
	dbtest.Do(t, k.DB, `update audit_events set leaf = null`)
	for _, table := range []string{"audit_logs", "audit_tiles", "audit_checkpoints"} {
		dbtest.Do(t, k.DB, `delete from `+table)
	}
	dbtest.Do(t, k.DB, `delete from audit_events where action = 'signin.done'`)
	forger := *k
	forger.Server = idptest.StartOn(t, k.DB, k.Clock, k.keys)
	forged := audit.NewLogs(audit.Settings{Sealing: k.keys.Sealing, Host: k.Site.Base.Host})
	for range 4 {
		k.Clock.Advance(time.Second)
		k.Update(t, func(ctx context.Context, tx *db.Tx) error {
			return audit.Record(ctx, tx, audit.Event{OrgID: string(k.org.ID), Actor: audit.System, Action: "signin.done"})
		})
	}
	if err := forged.Sweep(t.Context(), k.DB); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := forged.Export(t.Context(), k.DB, audit.Export{Query: audit.Query{OrgID: string(k.org.ID)}, Into: &b, Again: func(context.Context, db.Reader) error { return nil }}); err != nil {
		t.Fatal(err)
	}
	if _, err := k.judge(t, b.String()); !errors.Is(err, backup.ErrExportApart) {
		t.Errorf("it is answered by %v", err)
	}
}

// After a restore a log has another key. An export of before it does not go on from what was restored,
// not even while the first entry of the new epoch waits to be sealed.
func TestAnExportOfAnEarlierEpochIsRefused(t *testing.T) {
	k := keep(t, "ana")
	k.file = k.backup(t)
	k.since(t, k.about("signin.done", "ana", nil))
	old := k.whole(t)
	d, _ := k.restored(t, old)
	var b bytes.Buffer
	if _, err := backup.Write(t.Context(), d, k.keys, &b, backup.Writing{Program: "test", Progress: quiet}); err != nil {
		t.Fatal(err)
	}
	k.file = b.Bytes()
	if _, err := k.judge(t, old); !errors.Is(err, backup.ErrExportForeign) {
		t.Errorf("it is answered by %v", err)
	}
	logs, err := backup.LogsIn(t.Context(), d, k.keys)
	if err != nil {
		t.Fatal(err)
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(old)), nil }
	if _, err := logs.Continue([]backup.Export{{Name: "export.jsonl", Open: open}}); !errors.Is(err, backup.ErrExportForeign) {
		t.Errorf("an adoption answers %v", err)
	}
}

// What a database was that somebody put back by hand is known by the same export.
func TestAnAdoptionWithAnExport(t *testing.T) {
	k := keep(t, "ana", "cyd")
	k.file = k.backup(t)
	k.since(t, k.about("user.deactivated", "cyd", audit.Fields{"state": "deactivated"}))
	export := k.whole(t)
	d := place(t, false, k.Clock)
	i := installation{Server: k.Server, keys: k.keys}
	i.restore(t, d, k.file, true)
	// As the copy was: without the epoch that the restore began.
	dbtest.Do(t, d, `delete from installation where name = 'epoch'`)
	dbtest.Do(t, d, `delete from audit_epochs`)
	dbtest.Do(t, d, `delete from audit_events where action = 'audit.restored'`)
	logs, err := backup.LogsIn(t.Context(), d, k.keys)
	if err != nil {
		t.Fatal(err)
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(export)), nil }
	continued, err := logs.Continue([]backup.Export{{Name: "export.jsonl", Open: open}})
	if err != nil {
		t.Fatal(err)
	}
	k.Clock.Advance(time.Hour)
	how := k.how(false)
	how.Continued = continued
	if err := backup.Adopt(t.Context(), d, how); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"ana": "active", "cyd": "deactivated"} {
		expect.Equal(t, name, value(t, d, `select state from users where id = $1`, string(k.people[name].ID)), want)
	}
}

// Where no owner would be left, those are owners whom the log made owners since; without any, the
// restore is refused.
func TestAnOrganizationKeepsAnOwner(t *testing.T) {
	k := keep(t, "ana", "bo", "cyd")
	k.file = k.backup(t)
	k.since(t, k.about("user.role_changed", "cyd", audit.Fields{"role": "owner"}), k.about("user.role_changed", "cyd", audit.Fields{"role": "member"}),
		k.about("user.role_changed", "bo", audit.Fields{"role": "owner"}), k.about("user.deactivated", "ana", audit.Fields{"state": "deactivated"}))
	d, _ := k.restored(t, k.whole(t))
	for name, want := range map[string]string{"ana": "owner deactivated", "bo": "owner active", "cyd": "member active"} {
		expect.Equal(t, name, value(t, d, `select role || ' ' || state from users where id = $1`, string(k.people[name].ID)), want)
	}

	k.since(t, k.about("user.deactivated", "bo", audit.Fields{"state": "deactivated"}))
	continued, err := k.judge(t, k.whole(t))
	if err != nil {
		t.Fatal(err)
	}
	made, err := backup.Check(source(k.file), k.keys)
	if err != nil {
		t.Fatal(err)
	}
	d = place(t, false, k.Clock)
	how := k.how(false)
	how.Continued = continued
	if err := backup.Restore(t.Context(), d, source(k.file), made, how); !errors.Is(err, backup.ErrOwnerless) {
		t.Errorf("it is answered by %v", err)
	}
	k.installation.restore(t, d, k.file, false) // what is left is no obstacle
}
