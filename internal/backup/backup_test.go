package backup_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"

	"parvis/internal/audit"
	"parvis/internal/backup"
	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/idptest"
	"parvis/internal/secret"
)

func quiet(int64, int64) {}

// installation is one with an owner and a member of Meridian, and an owner of Lumen.
type installation struct {
	*idptest.Server
	keys secret.Keys
	ana  *idptest.Browser
}

func newInstallation(t *testing.T) installation {
	t.Helper()
	d, clock := dbtest.Open(t)
	keys := secret.NewKeys()
	i := installation{Server: idptest.StartOn(t, d, clock, keys), keys: keys}
	org := i.Organization(t, "Meridian Freight", "meridian")
	i.ana = i.Join(t, org, "ana@meridian.example", "Ana Duarte", directory.Owner)
	i.Join(t, org, "bo@meridian.example", "Bo <Rahn> & “Söhne”", directory.Administrator)
	i.Join(t, i.Organization(t, "Lumen Health", "lumen"), "lin@lumen.example", "Lin Wei", directory.Owner)
	if err := i.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	return i
}

func (i installation) backup(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := backup.Write(t.Context(), i.DB, i.keys, &b, backup.Writing{Program: "test", Progress: quiet}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func source(b []byte) backup.Source {
	return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
}

// place returns an empty database: of the kind under test, or SQLite.
func place(t *testing.T, lite bool, clock *dbtest.Clock) *db.DB {
	t.Helper()
	address := filepath.Join(t.TempDir(), "parvis.db")
	if os.Getenv(dbtest.PostgresVariable) != "" && !lite {
		address = dbtest.Empty(t)
	}
	d, err := db.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	d.Clock = clock.Now
	t.Cleanup(func() { d.Close() })
	return d
}

func (i installation) restore(t *testing.T, d *db.DB, b []byte, asOfBackup bool) {
	t.Helper()
	made, err := backup.Check(source(b), i.keys)
	if err == nil {
		err = backup.Restore(t.Context(), d, source(b), made, i.how(asOfBackup))
	}
	if err != nil {
		t.Fatal(err)
	}
	epoch, err := audit.EpochOf(t.Context(), d, i.keys.Sealing)
	if err != nil {
		t.Fatal(err)
	}
	d.Restored = epoch.At
}

func (i installation) how(asOfBackup bool) backup.How {
	return backup.How{Keys: i.keys, By: "root@test", AsOfBackup: asOfBackup, Progress: quiet}
}

func content(t *testing.T, d *db.DB) db.Content {
	t.Helper()
	c, err := d.Content(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// What nothing is done with comes back as it was, in either database.
func TestWhatARestoreKeepsIsAsItWas(t *testing.T) {
	i := newInstallation(t)
	b := i.backup(t)
	before := content(t, i.DB)
	for _, lite := range []bool{true, false} {
		d := place(t, lite, i.Clock)
		i.restore(t, d, b, true)
		after := content(t, d)
		for _, table := range []string{"organizations", "passwords", "password_history", "images", "groups", "members", "clients", "client_organizations", "provisioned", "identities", "replays"} {
			expect.Equal(t, table, after[table].Rows, before[table].Rows)
			for column, sum := range before[table].Columns {
				if column == "listens" {
					continue // each database writes a boolean in its own way
				}
				expect.Equal(t, table+"."+column, after[table].Columns[column], sum)
			}
		}
		for _, column := range []string{"id", "email", "display_name", "role", "state", "second_step", "created_at"} {
			expect.Equal(t, "users."+column, after["users"].Columns[column], before["users"].Columns[column])
		}
		expect.Equal(t, "events", after["audit_events"].Rows, before["audit_events"].Rows+3) // each log has one more
		for _, table := range []string{"sessions", "browsers", "attempts", "grants", "keys", "federation_keys", "client_secrets", "api_tokens", "recovery_codes", "leases"} {
			expect.Equal(t, table, after[table].Rows, 0)
		}
		if before["sessions"].Rows == 0 || before["keys"].Rows == 0 {
			t.Error("there was nothing to void: this test looks past it")
		}
	}
}

// Who was signed in is not; by the password, and only as of the backup, the same person is again.
func TestWithoutTheOperatorsWordNothingOpens(t *testing.T) {
	i := newInstallation(t)
	b := i.backup(t)
	i.Clock.Advance(time.Hour)
	for name, asOfBackup := range map[string]bool{"as of the backup": true, "without a word": false} {
		d := place(t, false, i.Clock)
		i.restore(t, d, b, asOfBackup)
		s := idptest.StartOn(t, d, i.Clock, i.keys)
		old := s.Browser(t)
		there, err := url.Parse(i.URL)
		if err != nil {
			t.Fatal(err)
		}
		cookies := i.ana.Client.Jar.Cookies(there)
		if len(cookies) < 2 {
			t.Fatalf("Ana has %v: this test looks past them", cookies)
		}
		for _, c := range cookies {
			old.SetCookie(c.Name, c.Value)
		}
		if p := old.Get("/o/meridian/home"); strings.HasSuffix(p.URL.Path, "/home") && p.Status == 200 {
			t.Errorf("%s: the session opens %s", name, p.URL)
		}
		fresh := s.Browser(t)
		fresh.Get("/o/meridian")
		p := fresh.Post("/o/meridian", map[string][]string{"email": {"ana@meridian.example"}, "password": {idptest.Password}})
		in := strings.Contains(p.URL.Path, "/sign-in/") || strings.HasSuffix(p.URL.Path, "/home")
		if in != asOfBackup {
			t.Errorf("%s: the password leads to %s\n%s", name, p.URL, p.Text())
		}
		counted := map[string]int{"users where state = 'active'": 3, "organizations where suspended_at is null": 2, "users where role = 'administrator'": 1}
		if !asOfBackup {
			counted = map[string]int{"users where state = 'active'": 2, "organizations where suspended_at is null": 0, "users where role = 'administrator'": 0}
		}
		for what, want := range counted {
			var n int
			if _, err := d.One(t.Context(), db.Into(&n), `select count(*) from `+what); err != nil {
				t.Fatal(err)
			}
			expect.Equal(t, name+": "+what, n, want)
		}
	}
}

// Each log begins an epoch, whose first leaf is in the log of its own organization alone, says how
// far the log was, and verifies.
func TestEveryLogBeginsAnEpoch(t *testing.T) {
	i := newInstallation(t)
	b := i.backup(t)
	d := place(t, false, i.Clock)
	i.restore(t, d, b, true)
	logs := audit.NewLogs(audit.Settings{Sealing: i.keys.Sealing, Host: "id.example", Since: d.Restored})
	if err := logs.Sweep(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	orgs := 0
	if err := d.Rows(t.Context(), func(scan func(...any) error) error {
		var org, target, after string
		var leaf int64
		if err := scan(&org, &target, &after, &leaf); err != nil {
			return err
		}
		var said struct {
			Size  int64
			By    string
			Epoch string
		}
		if err := json.Unmarshal([]byte(after), &said); err != nil {
			return err
		}
		orgs++
		expect.Equal(t, "target", target, org)
		expect.Equal(t, "size of the log before", said.Size, leaf)
		expect.Equal(t, "who", said.By, "root@test")
		return nil
	}, `select org_id, target, after, leaf from audit_events where action = 'audit.restored'`); err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "logs", orgs, 3)
	if _, err := logs.Check(t.Context(), d); err != nil {
		t.Error(err)
	}
	c, err := logs.Checkpoint(t.Context(), d, "")
	if want := "id.example/audit/" + d.Restored.Format("20060102T150405Z"); err != nil || !strings.HasPrefix(c.Note, want+"\n") {
		t.Errorf("the checkpoint of the installation is %q, %v; want %s", c.Note, err, want)
	}
}

// The first leaf of an epoch is its first, however much waited to be sealed.
func TestAllThatWaitsIsSealedBeforeAnEpochBegins(t *testing.T) {
	d, clock := dbtest.Open(t)
	i := installation{keys: secret.NewKeys()}
	if err := d.Update(t.Context(), func(tx *db.Tx) error {
		for range 5100 {
			if err := audit.Record(t.Context(), tx, audit.Event{OrgID: "org_a", Actor: audit.System, ActorName: audit.System, Action: "test.done"}); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	clock.Advance(time.Hour)
	if err := backup.Adopt(t.Context(), d, i.how(true)); err != nil {
		t.Fatal(err)
	}
	if waits, _, err := audit.Unsealed(t.Context(), d); err != nil || waits != 2 {
		t.Errorf("%d events wait to be sealed in the epoch, and the first of two logs should, %v", waits, err)
	}
}

// Owners read on their first page when and by whom it was restored, and nobody else does.
func TestOwnersReadThatItWasRestored(t *testing.T) {
	i := newInstallation(t)
	b := i.backup(t)
	i.Clock.Advance(time.Hour)
	d := place(t, false, i.Clock)
	i.restore(t, d, b, true)
	s := idptest.StartOn(t, d, i.Clock, i.keys)
	org, err := directory.OrganizationByName(t.Context(), d, "meridian")
	if err != nil {
		t.Fatal(err)
	}
	owner, other := s.Join(t, org, "olga@meridian.example", "Olga", directory.Owner), s.Join(t, org, "hal@meridian.example", "Hal", directory.Administrator)
	for _, page := range []string{"home", "admin"} {
		idptest.Want(t, owner.Get("/o/meridian/"+page), idptest.Status(200), idptest.Shows("root@test"))
		if p := other.Get("/o/meridian/" + page); p.Status != 200 || p.Says("root@test") {
			t.Errorf("an administrator reads %s", p.Text())
		}
	}
	i.Clock.Advance(31 * 24 * time.Hour)
	later := s.Join(t, org, "lea@meridian.example", "Lea", directory.Owner)
	for _, page := range []string{"home", "admin"} {
		if p := later.Get("/o/meridian/" + page); p.Status != 200 || p.Says("root@test") {
			t.Errorf("after a month it says %s", p.Text())
		}
	}
}

// Nothing is believed of a file that is not exactly what was written.
func TestADamagedOrForeignBackupIsRefused(t *testing.T) {
	i := newInstallation(t)
	b := i.backup(t)
	for at := 0; at < len(b); at += 1 + len(b)/150 {
		bad := slices.Clone(b)
		bad[at] ^= 4
		_, err := backup.Check(source(bad), i.keys)
		refusals := []error{backup.ErrDamaged, backup.ErrNone, backup.ErrForeign, backup.ErrNewer}
		if !slices.ContainsFunc(refusals, func(r error) bool { return errors.Is(err, r) }) {
			t.Errorf("a flipped bit at %d of %d is answered by %v", at, len(b), err)
		}
	}
	for name, c := range map[string]struct {
		file []byte
		keys secret.Keys
		want error
	}{
		"cut":                  {b[:len(b)-1], i.keys, backup.ErrDamaged},
		"cut to the head":      {b[:60], i.keys, backup.ErrDamaged},
		"with something more":  {append(slices.Clone(b), 'x'), i.keys, backup.ErrDamaged},
		"empty":                {nil, i.keys, backup.ErrNone},
		"of something else":    {[]byte("SQLite format 3\x00 and so on"), i.keys, backup.ErrNone},
		"of a later form":      {[]byte("parvis-backup 2\n{}\n"), i.keys, backup.ErrNewer},
		"of another's keys":    {b, secret.NewKeys(), backup.ErrForeign},
		"with a later key too": {b, secret.Keys{Sealing: secret.NewRing(append([]secret.Key{secret.NewKey()}, i.keys.Sealing.All()...)...)}, nil},
	} {
		if _, err := backup.Check(source(c.file), c.keys); !errors.Is(err, c.want) {
			t.Errorf("a backup %s is answered by %v, want %v", name, err, c.want)
		}
	}
}

func TestABackupOfANewerSchemaIsRefused(t *testing.T) {
	i := newInstallation(t)
	if err := i.DB.Update(t.Context(), func(tx *db.Tx) error {
		_, err := tx.Exec(t.Context(), `insert into migrations (version_id, is_applied) values ($1, $2)`, 99999, true)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := backup.Check(source(i.backup(t)), i.keys); !errors.Is(err, backup.ErrNewer) {
		t.Errorf("it is answered by %v", err)
	}
}

// What is served is not written over, and what a restore left that was cut short is not served.
func TestARestoreWantsAnEmptyPlace(t *testing.T) {
	i := newInstallation(t)
	b := i.backup(t)
	made, err := backup.Check(source(b), i.keys)
	if err != nil {
		t.Fatal(err)
	}
	before := content(t, i.DB)
	if err := backup.Restore(t.Context(), i.DB, source(b), made, i.how(true)); !errors.Is(err, backup.ErrOccupied) {
		t.Errorf("an installation is answered by %v", err)
	}
	expect.Equal(t, "rows", content(t, i.DB).Total(), before.Total())

	d := place(t, false, i.Clock)
	cut := errors.New("cut")
	reads := 0
	bad := func() (io.ReadCloser, error) {
		reads++
		return io.NopCloser(io.MultiReader(bytes.NewReader(b[:len(b)/2]), failing{cut})), nil
	}
	if err := backup.Restore(t.Context(), d, bad, made, i.how(true)); err == nil || reads == 0 {
		t.Errorf("half a file is answered by %v after %d reads", err, reads)
	}
	i.restore(t, d, b, true) // what is left is no obstacle
	if note, err := db.ReadNote(t.Context(), d, backup.Unfinished); err != nil || note != "" {
		t.Errorf("the note %q stayed, %v", note, err)
	}
}

// Of restores into one place at the same moment one succeeds, and the others say why they did not, with
// nothing of theirs in it.
func TestOfSeveralRestoresAtOnceOneSucceeds(t *testing.T) {
	i := newInstallation(t)
	b := i.backup(t)
	made, err := backup.Check(source(b), i.keys)
	if err != nil {
		t.Fatal(err)
	}
	address := filepath.Join(t.TempDir(), "parvis.db")
	if os.Getenv(dbtest.PostgresVariable) != "" {
		address = dbtest.Empty(t)
	}
	const many = 4
	var wg sync.WaitGroup
	ended := make([]error, many)
	for n := range many {
		d, err := db.Open(t.Context(), address) // each as another process
		if err != nil {
			t.Fatal(err)
		}
		d.Clock = i.Clock.Now
		t.Cleanup(func() { d.Close() })
		wg.Go(func() { ended[n] = backup.Restore(t.Context(), d, source(b), made, i.how(true)) })
	}
	wg.Wait()
	succeeded := 0
	for _, err := range ended {
		if err == nil {
			succeeded++
		} else if !errors.Is(err, backup.ErrAtOnce) && !errors.Is(err, backup.ErrOccupied) {
			t.Errorf("one of several ended with %v", err)
		}
	}
	expect.Equal(t, "restores that succeeded", succeeded, 1)
	d, err := db.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if note, err := db.ReadNote(t.Context(), d, backup.Unfinished); err != nil || note != "" {
		t.Errorf("the note %q stayed, %v", note, err)
	}
}

// On a machine whose clock is behind, what was proved until the backup would be taken again.
func TestARestoreWantsAClockThatIsRight(t *testing.T) {
	i := newInstallation(t)
	b := i.backup(t)
	made, err := backup.Check(source(b), i.keys)
	if err != nil {
		t.Fatal(err)
	}
	d := place(t, false, i.Clock)
	behind := func() time.Time { return i.Clock.Now().Add(-2 * time.Second) }
	d.Clock = behind
	if err := backup.Restore(t.Context(), d, source(b), made, i.how(true)); !errors.Is(err, backup.ErrClock) {
		t.Errorf("a restore is answered by %v", err)
	}
	if empty, err := d.Empty(t.Context()); err != nil || !empty {
		t.Errorf("the place is empty: %v, %v", empty, err)
	}
	d.Clock = i.Clock.Now
	i.restore(t, d, b, true)
	d.Clock = behind
	if err := backup.Adopt(t.Context(), d, i.how(true)); !errors.Is(err, backup.ErrClock) {
		t.Errorf("an adoption is answered by %v", err)
	}
}

// Tables and views of extensions or of Litestream are neither copied nor emptied.
func TestTablesOfOthersAreLeftAlone(t *testing.T) {
	i := newInstallation(t)
	d := place(t, false, i.Clock)
	for _, statement := range []string{
		`create table _litestream_seq (id bigint, seq bigint)`,
		`insert into _litestream_seq (id, seq) values (1, 2)`,
		`create view loads as select 1.5 as many`,
	} {
		dbtest.Do(t, d, statement)
	}
	i.restore(t, d, i.backup(t), true)
	var rows int
	if _, err := d.One(t.Context(), db.Into(&rows), `select count(*) from _litestream_seq`); err != nil || rows != 1 {
		t.Errorf("%d rows of another's table are left, %v", rows, err)
	}
	var b bytes.Buffer
	if _, err := backup.Write(t.Context(), d, i.keys, &b, backup.Writing{Program: "test", Progress: quiet}); err != nil {
		t.Fatal(err)
	}
	i.restore(t, place(t, true, i.Clock), b.Bytes(), true)
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// A backup is of one moment, whatever is written meanwhile, and keeps nobody from writing.
func TestABackupUnderLoadIsWhole(t *testing.T) {
	i := newInstallation(t)
	ctx, stop := context.WithCancel(t.Context())
	var load sync.WaitGroup
	for range 3 {
		load.Go(func() {
			b := i.Browser(t)
			b.Get("/o/meridian")
			for ctx.Err() == nil {
				b.Post("/o/meridian", map[string][]string{"email": {"bo@meridian.example"}, "password": {idptest.Password}})
			}
		})
	}
	var all [][]byte
	for range 5 {
		all = append(all, i.backup(t))
	}
	stop()
	load.Wait()
	for _, b := range all {
		d := place(t, false, i.Clock)
		i.restore(t, d, b, true) // foreign keys hold
		if _, err := audit.NewLogs(audit.Settings{Sealing: i.keys.Sealing, Host: "id.example", Since: d.Restored}).Check(t.Context(), d); err != nil {
			t.Error(err)
		}
	}
}

func TestFilesAreSealedAndOpenedByWhomTheyAreFor(t *testing.T) {
	dir := t.TempDir()
	path := func(name, text string) string {
		p := filepath.Join(dir, name)
		if text != "" {
			if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return p
	}
	own, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	another, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	var to, by, stranger, phrase, guess, none backup.Lock
	for _, e := range []error{
		to.Recipients(path("recipients", "# the safe\n"+own.Recipient().String()+"\n")), by.Identities(path("identity", own.String()+"\n")),
		stranger.Identities(path("another", another.String()+"\n")), phrase.Passphrase(path("phrase", "nine trams ride seven zebras\n")),
		guess.Passphrase(path("guess", "nine trams ride eight zebras\n")),
	} {
		if e != nil {
			t.Fatal(e)
		}
	}
	if err := none.Passphrase(path("short", "zebras\n")); !errors.Is(err, backup.ErrShort) {
		t.Errorf("a short passphrase is answered by %v", err)
	}
	const text = "what was written, which is long enough"
	for name, c := range map[string]struct {
		seal, open backup.Lock
		want       error
	}{
		"its own":               {to, by, nil},
		"another identity":      {to, stranger, backup.ErrNotYours},
		"nothing named":         {to, none, backup.ErrLocked},
		"a passphrase":          {phrase, phrase, nil},
		"a wrong passphrase":    {phrase, guess, backup.ErrNotYours},
		"plain":                 {none, none, nil},
		"plain, with a lock":    {none, by, nil},
		"a passphrase for none": {to, phrase, backup.ErrNotYours},
	} {
		file := path(strings.ReplaceAll(name, " ", "-")+".sealed", "")
		if err := backup.Create(file, c.seal, func(w io.Writer) error { _, err := io.WriteString(w, text); return err }); err != nil {
			t.Fatal(err)
		}
		raw, err := os.ReadFile(file)
		if err != nil || c.seal.Encrypts() == strings.Contains(string(raw), text) {
			t.Errorf("%s: stored as %q, %v", name, raw, err)
		}
		in, err := c.open.Open(file)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if err != nil {
			continue
		}
		got, err := io.ReadAll(in)
		if err != nil || string(got) != text {
			t.Errorf("%s: read %q, %v", name, got, err)
		}
		if err := in.Close(); err != nil {
			t.Error(err)
		}
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has the mode %v, %v", name, info.Mode(), err)
		}
	}
}

func TestHalfAFileHasNoName(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.backup")
	lost := errors.New("lost")
	if err := backup.Create(file, backup.Lock{}, func(io.Writer) error { return lost }); !errors.Is(err, lost) {
		t.Error(err)
	}
	if left, err := os.ReadDir(filepath.Dir(file)); err != nil || len(left) != 0 {
		t.Errorf("%v are left, %v", left, err)
	}
}

// A file that is there under the name of the half one is not written into.
func TestNobodyElseReadsABackup(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.backup")
	theirs, err := os.OpenFile(file+".parvis-part", os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	if err := backup.Create(file, backup.Lock{}, func(to io.Writer) error { _, err := io.WriteString(to, "keys"); return err }); err != nil {
		t.Fatal(err)
	}
	if read, err := io.ReadAll(theirs); err != nil || len(read) > 0 {
		t.Errorf("somebody else reads %q, %v", read, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("it has the mode %v, %v", info.Mode(), err)
	}
}

// Two that write the same file do not write into each other's: the slower one is refused.
func TestTwoBackupsAtOnceOfOneName(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.backup")
	write := func(text string) func(io.Writer) error {
		return func(to io.Writer) error { _, err := io.WriteString(to, text); return err }
	}
	err := backup.Create(file, backup.Lock{}, func(to io.Writer) error {
		if err := write("half ")(to); err != nil {
			return err
		}
		if err := backup.Create(file, backup.Lock{}, write("the faster one")); err != nil {
			t.Error(err)
		}
		return write("of the slower one")(to)
	})
	if !errors.Is(err, fs.ErrExist) {
		t.Errorf("the slower one: %v", err)
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "the faster one" {
		t.Errorf("the file has %q, %v", text, err)
	}
	if left, err := os.ReadDir(filepath.Dir(file)); err != nil || len(left) != 1 {
		t.Errorf("%v are left, %v", left, err)
	}
}

// What a backup that was killed left is removed by the next one into that folder; what one writes at the
// moment stays, and so does what belongs to no backup.
func TestWhatAKilledBackupLeftIsRemoved(t *testing.T) {
	dir := t.TempDir()
	own := backup.Name(dbtest.Start)
	moved := backup.Name(dbtest.Start.AddDate(0, 0, 1))
	stays := []string{"x.download.123.parvis-part", "y.backup.00.part", "y.backup.parvis-part", "y.backup.1a.parvis-part", "z.backup.keys", moved, moved + backup.KeysSuffix}
	for _, name := range append([]string{"x.backup.123.parvis-part", "x.backup.keys.4.parvis-part", "mine.5.parvis-part", own + ".6.parvis-part", own + backup.KeysSuffix, moved + ".7.parvis-part"}, stays...) {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	running := filepath.Join(dir, "running.backup")
	err := backup.Create(running, backup.Lock{}, func(to io.Writer) error {
		removed, err := backup.Tidy(filepath.Join(dir, "mine"))
		expect.Equal(t, "removed", len(removed), 6)
		return err
	})
	if err != nil {
		t.Errorf("a backup that was written meanwhile ended with %v", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, e := range entries {
		left = append(left, e.Name())
	}
	want := slices.Sorted(slices.Values(append(stays, "running.backup")))
	expect.Equal(t, "left", strings.Join(left, " "), strings.Join(want, " "))
}

func TestTheNewestBackupsStay(t *testing.T) {
	dir, last := t.TempDir(), dbtest.Start.AddDate(0, 0, 4)
	write := func(name string) {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var want []string
	for day := range 5 {
		name := backup.Name(dbtest.Start.AddDate(0, 0, day))
		write(name)
		write(name + backup.KeysSuffix)
		if want = append(want, name); day >= 3 {
			want = append(want, name+backup.KeysSuffix)
		}
	}
	want = slices.Delete(want, 0, 3)
	// None of these is one of them, or late: what a clock that was ahead made is not thinned, and takes
	// nobody's place.
	others := []string{"parvis-by-hand.backup", "parvis-20200101T000000Z.backup.txt", backup.Name(last.AddDate(1, 0, 0))}
	for _, name := range others {
		write(name)
	}
	removed, err := backup.Thin(dir, 2, last)
	expect.Equal(t, "removed", strings.Join(removed, " "), strings.Join([]string{backup.Name(dbtest.Start), backup.Name(dbtest.Start.AddDate(0, 0, 1)), backup.Name(dbtest.Start.AddDate(0, 0, 2))}, " "))
	if err != nil {
		t.Error(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range left {
		names = append(names, e.Name())
	}
	want = slices.Sorted(slices.Values(append(want, others...)))
	expect.Equal(t, "left", strings.Join(names, " "), strings.Join(want, " "))
	if _, newest, err := backup.Kept(dir, last); err != nil || !newest.Equal(last) {
		t.Errorf("the newest is of %s, %v", newest, err)
	}
	if removed, err := backup.Thin(dir, 1, dbtest.Start.AddDate(0, 0, -1)); err != nil || len(removed) > 0 {
		t.Errorf("by a clock that is behind %v were removed, %v", removed, err)
	}
}
