package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"parvis/internal/access"
	"parvis/internal/audit"
	"parvis/internal/backup"
	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/idptest"
	"parvis/internal/loopback"
	"parvis/internal/mailbox"
	"parvis/internal/rotation"
)

// lived is an installation whose owner holds one of each credential.
type lived struct {
	t       *testing.T
	dir     string
	base    string
	env     []string
	box     *mailbox.Mailbox
	server  *process
	session *http.Client
	totp    string
	codes   []string // recovery codes
	links   map[string]string
	token   string // for the API
	source  string // address of SCIM
	scim    string
	client  string
	secret  string
	kid     string
}

// elsewhere returns the environment of another place: an empty database.
func (l *lived) elsewhere(t *testing.T) (dir string, env []string) {
	t.Helper()
	env = environment("PARVIS_MAIL_ADDRESS="+l.box.Address(), "PARVIS_MAIL_TLS=none", "PARVIS_MAIL_FROM=no-reply@parvis.test")
	if onPostgres() {
		env = append(env, "PARVIS_DATABASE="+dbtest.Empty(t))
	}
	return t.TempDir(), env
}

func (l *lived) database() string {
	for _, e := range l.env {
		if address, found := strings.CutPrefix(e, "PARVIS_DATABASE="); found {
			return address
		}
	}
	return filepath.Join(l.dir, "data", "parvis.db")
}

// run runs a command that ends well.
func (l *lived) run(args ...string) string {
	l.t.Helper()
	out, errors, code := parvis(l.t, l.dir, l.env, args...)
	if code != 0 {
		l.t.Fatalf("%v ended with %d: %s%s", args, code, out, errors)
	}
	return out
}

var (
	recoveryCode = regexp.MustCompile(`<li><code>([^<]+)</code></li>`)
	linkIn       = regexp.MustCompile(`http://localhost:\d+/(invitation|reset)/[A-Za-z0-9_-]{43}`)
)

func live(t *testing.T) *lived {
	t.Helper()
	box, err := mailbox.Start(t.Context(), "127.0.0.1:0", mailbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(box.Close)
	l := &lived{t: t, base: "http://localhost:" + loopback.Port(), box: box, session: browser(t), links: map[string]string{}}
	l.dir, l.env = l.elsewhere(t)
	l.server = start(t, l.dir, l.base, l.env)
	l.links["set-up"] = setupLink.FindString(l.server.out.String())
	get(t, l.session, l.links["set-up"])
	at, body, err := sendTo(l.session, l.links["set-up"], url.Values{
		"organization": {"Meridian Freight"}, "short_name": {"meridian"}, "name": {"Ana"}, "email": {"ana@meridian.test"},
		"password": {testPassword}, "repetition": {testPassword},
	})
	if err == nil {
		at, body, err = sendTo(l.session, at, url.Values{"device": {"Phone"}, "kind": {"app"}})
	}
	if l.totp = idptest.SecretIn(body); err != nil || l.totp == "" {
		t.Fatalf("the owner came to %s, %v\n%s", at, err, body)
	}
	at, body, err = sendTo(l.session, at, url.Values{"code": {idptest.Code(l.totp, step(-1))}})
	if err == nil {
		at, body, err = sendTo(l.session, at, url.Values{})
	}
	for _, code := range recoveryCode.FindAllStringSubmatch(body, -1) {
		l.codes = append(l.codes, code[1])
	}
	if err != nil || len(l.codes) < 10 {
		t.Fatalf("the owner came to %s with %d codes, %v\n%s", at, len(l.codes), err, body)
	}
	l.hand()
	return l
}

// hand gives out what can be copied.
func (l *lived) hand() {
	t := l.t
	l.run("organization", "create", "Lumen Health", "--short-name", "lumen", "--owner", "lin@lumen.test", "--public-address", l.base)
	l.links["invitation"] = l.letter("lin@lumen.test")
	if _, _, err := sendTo(browser(t), l.base+"/forgot-password", url.Values{"email": {"ana@meridian.test"}, "organization": {"meridian"}}); err != nil {
		t.Fatal(err)
	}
	l.links["reset"] = l.letter("ana@meridian.test")
	lines := strings.Fields(l.run("source", "create", "meridian", "Entra", "--provider", "entra", "--on", "--public-address", l.base))
	l.source, l.scim = lines[0], lines[1]
	out := l.run("application", "add", "--name", "Payroll", "--kind", "machine")
	l.secret = clientSecret.FindString(out)
	l.client = regexp.MustCompile(`app_[a-z2-7]{26}`).FindString(out)
	l.token = l.issue()
	l.kid = l.keys()
	for what, status := range l.tried() {
		if status == http.StatusUnauthorized || status == http.StatusGone {
			t.Fatalf("before the restore, the %s is answered %d already: this test looks past it", what, status)
		}
	}
}

// letter waits for a letter with a link.
func (l *lived) letter(to string) string {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), 30*time.Second)
	defer cancel()
	for n := 1; ; n++ {
		letters, err := l.box.Wait(ctx, to, n)
		if err != nil {
			l.t.Fatalf("no letter with a link came to %s: %v", to, err)
		}
		for _, letter := range letters {
			if link := linkIn.FindString(letter.Text); link != "" {
				return link
			}
		}
	}
}

// issue makes an API token of the owner's.
func (l *lived) issue() (text string) {
	l.t.Helper()
	d, err := db.Open(l.t.Context(), l.database())
	if err != nil {
		l.t.Fatal(err)
	}
	defer d.Close()
	err = d.Update(l.t.Context(), func(tx *db.Tx) error {
		org, err := directory.OrganizationByName(l.t.Context(), tx, "meridian")
		if err != nil {
			return err
		}
		found, err := directory.Addressed(l.t.Context(), tx, org.ID, []string{"ana@meridian.test"})
		if err != nil || len(found) != 1 {
			return fmt.Errorf("%v %w", found, err)
		}
		_, text, err = access.Issue(l.t.Context(), tx, found[0].AsActor(), org.ID, access.New{Name: "A script", Scopes: access.Scopes})
		return err
	})
	if err != nil {
		l.t.Fatal(err)
	}
	return text
}

// keys returns the ids of the keys towards applications.
func (l *lived) keys() string {
	l.t.Helper()
	w, err := http.Get(l.base + "/jwks")
	if err != nil {
		l.t.Fatal(err)
	}
	defer w.Body.Close()
	body, err := io.ReadAll(w.Body)
	if err != nil {
		l.t.Fatal(err)
	}
	ids := regexp.MustCompile(`key_[a-z2-7]{26}`).FindAllString(string(body), -1)
	slices.Sort(ids)
	return strings.Join(ids, " ")
}

// tried tries what is no cookie and no factor, and returns how each is answered.
func (l *lived) tried() map[string]int {
	l.t.Helper()
	ask := func(method, to, bearer string, form url.Values) int {
		r, err := http.NewRequestWithContext(l.t.Context(), method, to, strings.NewReader(form.Encode()))
		if err != nil {
			l.t.Fatal(err)
		}
		if bearer != "" {
			r.Header.Set("Authorization", "Bearer "+bearer)
		}
		if form != nil {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.SetBasicAuth(l.client, l.secret)
		}
		w, err := (&http.Client{}).Do(r)
		if err != nil {
			l.t.Fatal(err)
		}
		w.Body.Close()
		return w.StatusCode
	}
	return map[string]int{
		"invitation":       ask(http.MethodGet, l.links["invitation"], "", nil),
		"reset link":       ask(http.MethodGet, l.links["reset"], "", nil),
		"token of the API": ask(http.MethodGet, l.base+"/api/v1/users", l.token, nil),
		"directory":        ask(http.MethodGet, l.source+"/Users", l.scim, nil),
		"client secret":    ask(http.MethodPost, l.base+"/token", "", url.Values{"grant_type": {"client_credentials"}}),
	}
}

// at returns where a page leads to.
func at(t *testing.T, c *http.Client, page string) string {
	t.Helper()
	w, err := c.Get(page)
	if err != nil {
		t.Fatal(err)
	}
	w.Body.Close()
	return w.Request.URL.Path
}

// From outside: a backup under load, restored elsewhere and served at the same address, opens nothing
// to people who hold something of before; the password opens only where the operator says so.
func TestARestoreRevivesNothing(t *testing.T) {
	t.Parallel()
	l := live(t)
	phrase := filepath.Join(l.dir, "phrase")
	if err := os.WriteFile(phrase, []byte("nine trams ride seven zebras\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(l.dir, "parvis.backup")
	ctx, stop := context.WithCancel(t.Context())
	var load sync.WaitGroup
	load.Go(func() {
		c := browser(t)
		get(t, c, l.base+"/o/meridian")
		// As many as nobody is made to wait for, however long the backup takes.
		for n := 0; n < 10 && ctx.Err() == nil; n++ {
			sendTo(c, l.base+"/o/meridian", url.Values{"email": {"bo@meridian.test"}, "password": {testPassword}}) //nolint:errcheck // Load.
		}
	})
	l.run("backup", file, "--passphrase-file", phrase)
	stop()
	load.Wait()
	if err := l.server.stop(); err != nil {
		t.Fatal(err)
	}
	for name, word := range map[string][]string{"as of the backup": {"--as-of-backup"}, "without a word": nil} {
		t.Run(name, func(t *testing.T) {
			next := *l
			next.t = t
			next.dir, next.env = l.elsewhere(t)
			next.run(append([]string{"restore", file, "--passphrase-file", phrase, "--by", "Olga"}, word...)...)
			next.server = start(t, next.dir, next.base, next.env)
			next.nothingOpens(word != nil)
			if err := next.server.stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

func (l *lived) nothingOpens(asOfBackup bool) {
	t := l.t
	if to := at(t, l.session, l.base+"/o/meridian/home"); strings.HasSuffix(to, "/home") {
		t.Errorf("the session of before is at %s", to)
	}
	expect.Equal(t, "set-up link", get(t, browser(t), l.links["set-up"]), http.StatusGone)
	for what, status := range l.tried() {
		want := http.StatusUnauthorized
		switch {
		case what == "invitation" && !asOfBackup:
			want = http.StatusNotFound // its organization is suspended
		case what == "invitation", what == "reset link":
			want = http.StatusGone
		}
		expect.Equal(t, what, status, want)
	}
	if kid := l.keys(); kid == "" || kid == l.kid || slices.ContainsFunc(strings.Fields(kid), func(k string) bool { return strings.Contains(l.kid, k) }) {
		t.Errorf("the signing keys are %q, and were %q", kid, l.kid)
	}
	c := browser(t)
	get(t, c, l.base+"/o/meridian")
	to, body, err := sendTo(c, l.base+"/o/meridian", url.Values{"email": {"ana@meridian.test"}, "password": {testPassword}})
	if err != nil || strings.Contains(to, "/sign-in/") != asOfBackup {
		t.Errorf("the password leads to %s, %v\n%s", to, err, body)
	}
	if !asOfBackup {
		return
	}
	// What the app shows around now may have been used before the restore; recovery codes are void.
	for _, code := range []string{idptest.Code(l.totp, time.Now()), idptest.Code(l.totp, time.Now().Add(-30*time.Second))} {
		if to, _, err := sendTo(c, to, url.Values{"code": {code}}); err != nil || strings.HasSuffix(to, "/home") {
			t.Errorf("a code of around the restore leads to %s, %v", to, err)
		}
	}
	if to, _, err := sendTo(c, to+"?with=recovery", url.Values{"recovery_code": {l.codes[0]}}); err != nil || strings.HasSuffix(to, "/home") {
		t.Errorf("a recovery code leads to %s, %v", to, err)
	}
}

// A backup that is not what was written is refused with a sentence and a status of its own, and
// leaves nothing behind.
func TestBadBackupsAreRefused(t *testing.T) {
	t.Parallel()
	l := live(t)
	l.run("backup", "good.backup")
	if err := l.server.stop(); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(filepath.Join(l.dir, "good.backup"))
	if err != nil {
		t.Fatal(err)
	}
	file := func(name string, content []byte) string {
		path := filepath.Join(l.dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	flipped := slices.Clone(good)
	flipped[len(flipped)/2] ^= 1
	keys := filepath.Join(l.dir, "good.backup.keys")
	another := t.TempDir()
	parvis(t, another, environment(), "serve", "--public-address", "http://example.com") // refused, and makes nothing
	foreign := file("foreign.keys", []byte(regexp.MustCompile(`"id": "k_`).ReplaceAllString(read(t, keys), `"id": "k_x`)))
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"a flipped bit":        {[]string{file("flipped.backup", flipped), "--keys", keys}, exitDamaged, "was damaged or altered since it was made; or its keys, which are in a file of their own, were. Nothing was written"},
		"cut off":              {[]string{file("cut.backup", good[:len(good)-40]), "--keys", keys}, exitDamaged, "was damaged or altered"},
		"no backup":            {[]string{file("none.backup", []byte("hello")), "--keys", keys}, exitDamaged, "this is no backup that 'parvis backup' made"},
		"a newer version":      {[]string{file("newer.backup", []byte("parvis-backup 2\n{}\n")), "--keys", keys}, exitNewer, "by a newer version of parvis"},
		"another installation": {[]string{filepath.Join(l.dir, "good.backup"), "--keys", foreign}, exitForeign, "of another installation, whose keys are others than these"},
		"no keys":              {[]string{file("alone.backup", good)}, exitFailed, "there are no keys at"},
		"no file":              {[]string{filepath.Join(l.dir, "absent"), "--keys", keys}, exitFailed, "no such file"},
	} {
		dir, env := l.elsewhere(t)
		out, errors, code := parvis(t, dir, env, append([]string{"restore"}, c.args...)...)
		if code != c.code || !strings.Contains(errors, c.says) || out != "" {
			t.Errorf("%s ended with %d and said %s%s, want %d and %q", name, code, out, errors, c.code, c.says)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%s left %v, %v", name, left, err)
		}
	}
	if _, errors, code := parvis(t, l.dir, l.env, "restore", "good.backup"); code != exitOccupied || !strings.Contains(errors, "there is an installation here already") {
		t.Errorf("a restore over an installation ended with %d and said %s", code, errors)
	}
	for _, mistyped := range [][]string{
		{"backup", "x.backup", "--keep", "14"},
		{"import", "good.backup", "--from", "csv", "--role", "boss=owner", "--public-address", l.base},
		{"import", "good.backup", "--from", "csv", "--per-minute", "0", "--public-address", l.base},
		{"import", "good.backup", "--from", "csv", "--language", "tlh", "--public-address", l.base},
	} {
		if _, said, code := parvis(t, l.dir, l.env, mistyped...); code != exitUsage {
			t.Errorf("%v ended with %d and said %s", mistyped, code, said)
		}
	}
	dir, env := l.elsewhere(t)
	var codes [3]int
	var said [3]string
	var at sync.WaitGroup
	for i := range codes {
		at.Go(func() {
			_, said[i], codes[i] = parvis(t, dir, env, "restore", filepath.Join(l.dir, "good.backup"), "--as-of-backup")
		})
	}
	at.Wait()
	for i, code := range codes {
		if code == exitOccupied && !strings.Contains(said[i], backup.ErrAtOnce.Error()) && !strings.Contains(said[i], backup.ErrOccupied.Error()) {
			t.Errorf("one of three restores at once said %s", said[i])
		}
	}
	slices.Sort(codes[:])
	expect.Equal(t, "what three restores at once ended with", codes, [3]int{0, exitOccupied, exitOccupied})
	if err := os.WriteFile(filepath.Join(l.dir, "data", "keys"), []byte(read(t, foreign)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, errors, code := parvis(t, l.dir, l.env, "backup", "other.backup"); code != exitFailed || !strings.Contains(errors, "are not the keys of this database") {
		t.Errorf("a backup with another's keys ended with %d and said %s", code, errors)
	}
	if made, err := filepath.Glob(filepath.Join(l.dir, "other.backup*")); err != nil || len(made) > 0 {
		t.Errorf("it left %v, %v", made, err)
	}
}

// A first start on a database into which somebody restores at the same moment must not give it keys: those
// of the backup come.
func TestAServerDoesNotBeginWhereARestoreIsUnderWay(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	env, address := environment(), filepath.Join(dir, "data", "parvis.db")
	if os.Getenv(dbtest.PostgresVariable) != "" {
		address = dbtest.Address(t)
		env = environment("PARVIS_DATABASE=" + address)
	} else if err := os.Mkdir(filepath.Dir(address), 0o700); err != nil {
		t.Fatal(err)
	}
	d := dbtest.OpenAt(t, address)
	if err := d.Update(t.Context(), func(tx *db.Tx) error { return tx.SetNote(t.Context(), backup.Unfinished, "another process") }); err != nil {
		t.Fatal(err)
	}
	base := "http://localhost:" + loopback.Port()
	p, err := startServe(dir, base, env, "--public-address", base)
	if err == nil {
		p.kill()
		t.Fatal("it serves")
	}
	if !strings.Contains(err.Error(), backup.ErrAtOnce.Error()) {
		t.Errorf("it says %v, want %q", err, backup.ErrAtOnce)
	}
	if made, err := filepath.Glob(filepath.Join(dir, "data", "keys*")); err != nil || len(made) > 0 {
		t.Errorf("it left %v, %v", made, err)
	}
	var notes int
	if _, err := d.One(t.Context(), db.Into(&notes), `select count(*) from installation where name = $1`, rotation.Note); err != nil || notes != 0 {
		t.Errorf("the database knows %d keys, %v, want none", notes, err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// sealed waits until the server has sealed what was recorded. Twice, because a node notes a root a moment
// after it stored it.
func (l *lived) sealed() {
	l.t.Helper()
	d, err := db.Open(l.t.Context(), l.database())
	if err != nil {
		l.t.Fatal(err)
	}
	defer d.Close()
	for until, seen := time.Now().Add(30*time.Second), 0; seen < 2; time.Sleep(100 * time.Millisecond) {
		n, _, err := audit.Unsealed(l.t.Context(), d)
		if err != nil || time.Now().After(until) {
			l.t.Fatalf("%d events wait to be sealed, %v", n, err)
		}
		if seen++; n > 0 {
			seen = 0
		}
	}
}

// A database that was put back by hand is not served until it was adopted, whether a server runs or
// starts.
func TestADatabaseThatWasPutBackIsNotServed(t *testing.T) {
	t.Parallel()
	l := live(t)
	if onPostgres() {
		t.Skip("a copy of PostgreSQL is put back in TestARunningServerNoticesAnOlderDatabase")
	}
	if err := l.server.stop(); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(l.dir, "data")
	old := read(t, filepath.Join(data, "parvis.db"))
	l.server = start(t, l.dir, l.base, l.env)
	l.run("organization", "create", "Other", "--short-name", "other", "--owner", "eve@other.test", "--public-address", l.base)
	l.run("organization", "suspend", "lumen")
	l.sealed()
	if err := l.server.stop(); err != nil {
		t.Fatal(err)
	}
	for _, end := range []string{"-wal", "-shm"} {
		os.Remove(filepath.Join(data, "parvis.db"+end)) //nolint:errcheck // Often there is none.
	}
	if err := os.WriteFile(filepath.Join(data, "parvis.db"), []byte(old), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := startServe(l.dir, l.base, l.env, "--public-address", l.base); err == nil || !strings.Contains(err.Error(), "parvis restore --adopt") {
		t.Fatalf("a server on it ended with %v", err)
	}
	for _, command := range [][]string{
		{"organization", "create", "Late", "--short-name", "late", "--owner", "eve@late.test", "--public-address", l.base},
		{"organization", "suspend", "lumen"},
		{"source", "create", "meridian", "Entra", "--provider", "entra", "--public-address", l.base},
		{"keys", "add", "data"},
		{"audit", "export", "--public-address", l.base},
	} {
		if _, said, code := parvis(t, l.dir, l.env, command...); code != exitFailed || !strings.Contains(said, "parvis restore --adopt") {
			t.Errorf("%v on it ended with %d and said %s", command, code, said)
		}
	}
	for _, command := range [][]string{{"organization", "list"}, {"keys", "list"}, {"application", "list"}} {
		l.run(command...)
	}
	if out := l.run("restore", "--adopt", "--as-of-backup", "--by", "Olga"); !strings.Contains(out, "may be served again") {
		t.Errorf("adopting says %s", out)
	}
	for _, deed := range []string{"suspend", "resume"} { // what this node knows is of before
		l.run("organization", deed, "lumen")
	}
	l.server = start(t, l.dir, l.base, l.env)
	l.nothingOpens(true)
	l.sealed()
	out, _, _ := parvis(t, l.dir, l.env, "doctor", "--public-address", l.base)
	if !strings.Contains(out, " are intact") {
		t.Errorf("doctor says %s", out)
	}
	l.run("organization", "suspend", "lumen") // what it knows is of the new log
	if err := l.server.stop(); err != nil {
		t.Fatal(err)
	}
	l.server = start(t, l.dir, l.base, l.env) // and again
}

// A server that runs while an older state is put in place ends by itself.
func TestARunningServerNoticesAnOlderDatabase(t *testing.T) {
	t.Parallel()
	l := live(t)
	l.sealed()
	execAll(t, l.database(), `delete from audit_tiles`, `delete from audit_events`, `delete from audit_checkpoints`, `delete from audit_logs`)
	ended := make(chan error, 1)
	go func() { ended <- l.server.wait() }()
	select {
	case err := <-ended:
		if err == nil || !strings.Contains(l.server.log.String(), "put back by hand") {
			t.Errorf("it ended with %v\n%s", err, l.server.log)
		}
	case <-time.After(30 * time.Second):
		t.Errorf("it goes on\n%s", l.server.log)
	}
	if _, err := startServe(l.dir, l.base, l.env, "--public-address", l.base); err == nil || !strings.Contains(err.Error(), "parvis restore --adopt") {
		t.Errorf("another start ended with %v", err)
	}
}

// With --every the first backup comes at once, the next in time, and an interrupt ends it well.
func TestBackupsAreMadeAgainAndAgain(t *testing.T) {
	t.Parallel()
	l := live(t)
	program, err := exec.LookPath("parvis")
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(l.dir, "backups")
	kept := func() int {
		all, err := filepath.Glob(filepath.Join(folder, "parvis-*.backup"))
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	run := func(until func() bool) {
		t.Helper()
		cmd := exec.Command(program, "backup", folder, "--every", "1h", "--keep", "2")
		cmd.Dir, cmd.Env = l.dir, l.env
		said := &text{}
		cmd.Stdout, cmd.Stderr = said, said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(30 * time.Second); !until() && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		}
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("it ended with %v: %s", err, said)
		}
	}
	run(func() bool { return kept() == 1 })
	expect.Equal(t, "backups", kept(), 1)
	soon := time.Now().Add(time.Second)
	run(func() bool { return time.Now().After(soon) })
	expect.Equal(t, "backups after another start", kept(), 1)
}
