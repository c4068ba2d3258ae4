package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"parvis/internal/backup"
	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/federation"
	"parvis/internal/loopback"
	"parvis/internal/mailbox"
)

// An exam is one look of doctor at an installation, with what is wrong with it.
type exam struct {
	*ward
	args []string
	more []string // variables of doctor alone
	root string   // the authority that doctor trusts
}

// A ward is an installation in which all is well: somebody owns an organization, letters go out, and
// the operator's applications have addresses.
type ward struct {
	patient
	server *process
	box    *mailbox.Mailbox
	sender atomic.Bool // the mail server refuses the sender
	at     string      // where the server listens; base, unless something stands before it

	application string // where the operator's applications are
}

// admit makes one whose server listens at an address.
func admit(t *testing.T, p patient, at string) *ward {
	t.Helper()
	w := &ward{patient: p, at: at}
	box, err := mailbox.Start(t.Context(), "127.0.0.1:0", mailbox.Options{Username: "parvis", Password: "hunter2", Sender: func(string) error {
		if w.sender.Load() {
			return mailbox.Refuse(553, "not yours")
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	application := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(application.Close)
	w.box, w.application = box, application.URL
	w.env = append(w.env, "PARVIS_MAIL_ADDRESS="+box.Address(), "PARVIS_MAIL_TLS=none", "PARVIS_MAIL_FROM=no-reply@parvis.test",
		"PARVIS_MAIL_USERNAME=parvis", "PARVIS_MAIL_PASSWORD=hunter2", "PARVIS_OUTBOUND_ALLOW=127.0.0.1:1,"+strings.TrimPrefix(w.application, "http://"), "PARVIS_OPERATIONS_LISTEN=127.0.0.1:"+loopback.Port())
	if w.server, err = startServe(w.dir, w.at, w.env); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.server.kill() }) // whichever it is by then
	w.settle(t)
	return w
}

// settle gives it an organization with an owner.
func (w *ward) settle(t *testing.T) {
	t.Helper()
	const people = "email,email_verified,password_hash\nbo@meridian.test,true,$2b$04$abcdefghijklmnopqrstuuzKaDQNLm3pkEMQmCLd.7kjs4igbZVpK\n"
	if err := os.WriteFile(filepath.Join(w.dir, "people.csv"), []byte(people), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, application := range []string{"collaborate", "architect"} {
		w.run(t, "application", "set", application, "--redirect-uri", w.application+"/callback", "--address", w.application+"/")
	}
	w.run(t, "organization", "create", "Meridian Freight", "--short-name", "meridian", "--owner", "ana@meridian.test")
	w.run(t, "import", "people.csv", "--from", "csv", "--organization", "meridian", "--owner", "bo@meridian.test", "--no-letters")
}

// run runs a command that succeeds.
func (w *ward) run(t *testing.T, args ...string) {
	t.Helper()
	if _, errs, code := parvis(t, w.dir, w.env, args...); code != 0 {
		t.Fatalf("parvis %q: %d %s", args, code, errs)
	}
}

// again restarts the server with other settings, which doctor has too, until the test ends.
func (x *exam) again(t *testing.T, settings ...string) {
	t.Helper()
	restart := func(env []string) {
		if err := x.server.stop(); err != nil {
			t.Error(err)
		}
		p, err := startServe(x.dir, x.at, env)
		if err != nil {
			t.Fatal(err)
		}
		x.server = p
	}
	restart(append(slices.Clone(x.env), settings...))
	x.more = append(x.more, settings...)
	t.Cleanup(func() { restart(x.env) })
}

// look runs doctor as a program of its own, and returns its complaints by check.
func (x *exam) look(t *testing.T) map[string]string {
	t.Helper()
	program, err := exec.LookPath("parvis")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, append([]string{"doctor"}, x.args...)...)
	cmd.Dir, cmd.Env = x.dir, append(slices.Clone(x.env), x.more...)
	if x.root != "" {
		cmd.Env = append(cmd.Env, "SSL_CERT_FILE="+x.root)
	}
	out, err := cmd.Output()
	if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended {
		t.Fatal(err)
	}
	found, failed := map[string]string{}, false
	for line := range strings.Lines(string(out)) {
		if len(line) < 22 {
			t.Fatalf("a line that is none: %q in\n%s", line, out)
		}
		mark, check := strings.TrimSpace(line[:4]), strings.TrimSpace(line[6:20])
		if failed = failed || mark == "FAIL"; mark != "ok" {
			found[check] += mark + " " + strings.TrimSpace(line[22:])
		}
	}
	if !strings.Contains(string(out), "ok    configuration") && !failed {
		t.Errorf("it looked at nothing:\n%s", out)
	}
	if (err != nil) != failed {
		t.Errorf("it ended with %v and says\n%s", err, out)
	}
	return found
}

// clean wants doctor to complain of nothing.
func (x *exam) clean(t *testing.T) {
	t.Helper()
	if found := x.look(t); len(found) > 0 {
		t.Errorf("of what is well doctor says %v\n%s", found, x.server.log)
	}
}

// A row seeds what is wrong, and says which check alone finds it, how it marks it, and what it says is
// to be written or done.
type row struct {
	name  string
	seed  func(*testing.T, *exam)
	check string
	mark  string
	says  []string
}

// variables seeds settings that doctor alone has.
func variables(of ...string) func(*testing.T, *exam) {
	return func(_ *testing.T, x *exam) { x.more = of }
}

// statements seeds rows, and takes them back.
func statements(seed, undo string) func(*testing.T, *exam) {
	return func(t *testing.T, x *exam) {
		execAll(t, x.database, seed)
		t.Cleanup(func() { execAll(t, x.database, undo) })
	}
}

// What is wrong with the settings themselves ends the look: nothing is as it is meant to be.
func TestDoctorFindsEachWrongSetting(t *testing.T) {
	t.Parallel()
	w := &ward{patient: patient{dir: t.TempDir(), base: "http://localhost:1", env: environment("PARVIS_PUBLIC_ADDRESS=http://localhost:1")}}
	file := func(name string, text []byte) string {
		path := filepath.Join(w.dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	chain, _, err := newCertificate("id.your-company.com")
	_, another, err2 := newCertificate("id.your-company.com")
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	const address = "PARVIS_PUBLIC_ADDRESS=https://id.your-company.com"
	key := strings.Repeat("A", 43)
	regions := `PARVIS_REGIONS=[{"id":"eu","address":"http://localhost:1","name":{"en":"Europe"}},{"id":"us","address":"http://us.localhost:1","name":{"en":"Americas"}},
		{"id":"ap","address":"http://ap.localhost:1","name":{"en":"Asia"}}]`
	for _, r := range []struct {
		name string
		env  []string
		says string
	}{
		{"no origin", []string{"PARVIS_PUBLIC_ADDRESS="}, `public_address = "https://sign-in.your-company.com"`},
		{"an origin without encryption", []string{"PARVIS_PUBLIC_ADDRESS=http://id.your-company.com"}, "write https:// instead of http://"},
		{"the example's origin", []string{"PARVIS_PUBLIC_ADDRESS=https://id.example.com", "PARVIS_MAIL_FROM=no-reply@your-company.com"}, "public_address is only an example"},
		{"an origin with a path", []string{"PARVIS_PUBLIC_ADDRESS=https://id.your-company.com/sign-in"}, "public_address is not https:// and a name, with nothing after it"},
		{"open to the network without encryption", []string{address, "PARVIS_LISTEN=:8080"}, "set [tls] certificate and key, or name the proxy"},
		{"a certificate with another's key", []string{address, "PARVIS_TLS_CERTIFICATE=" + file("chain.pem", chain), "PARVIS_TLS_KEY=" + file("key.pem", another)}, "certificate and key are PEM files that belong together"},
		{"a certificate that cannot be read", []string{address, "PARVIS_TLS_CERTIFICATE=/nowhere/chain.pem", "PARVIS_TLS_KEY=" + file("key.pem", another)}, "[tls] cannot be used: /nowhere/chain.pem"},
		{"a certificate without a key", []string{address, "PARVIS_TLS_CERTIFICATE=" + file("chain.pem", chain)}, `key = "FILE"`},
		{"a proxy that is everybody", []string{address, "PARVIS_TRUSTED_PROXIES=0.0.0.0/0"}, "trusted_proxies has \"0.0.0.0/0\", which is everybody: then anybody could claim any address. Write the proxy's own"},
		{"a database elsewhere, unverified", []string{"PARVIS_DATABASE=postgres://parvis:secret@db.your-company.com/parvis"}, "add sslmode=verify-full"},
		{"no list of leaked passwords", []string{"PARVIS_BREACHED_PASSWORDS=/nowhere/breached.txt"}, "breached_passwords cannot be read: /nowhere/breached.txt"},
		{"lifetimes of a trial at a real address", []string{address, "PARVIS_LIFETIMES_SESSION_IDLE=1m"}, "[lifetimes] is for trying things out, where public_address is localhost: remove the section"},
		{"mail without encryption to another machine", []string{"PARVIS_MAIL_ADDRESS=mail.your-company.com:25", "PARVIS_MAIL_TLS=none", "PARVIS_MAIL_FROM=a@your-company.com"}, "only a mail server on this machine is used without TLS"},
		{"mail from nobody", []string{"PARVIS_MAIL_ADDRESS=mail.your-company.com:587"}, `from = "no-reply@your-company.com"`},
		{"a name without a password", []string{"PARVIS_MAIL_ADDRESS=mail.your-company.com:587", "PARVIS_MAIL_FROM=a@your-company.com", "PARVIS_MAIL_USERNAME=parvis"}, "[mail] needs both username and password (or password_file)"},
		{"profiles for everybody", []string{"PARVIS_OPERATIONS_LISTEN=:9797", "PARVIS_OPERATIONS_PPROF=on"}, "listen on 127.0.0.1, or turn pprof off"},
		{"one listener for both", []string{"PARVIS_OPERATIONS_LISTEN=127.0.0.1:1"}, "[operations] listen is where people are served: write another port"},
		{"a range of hosts to call", []string{"PARVIS_OUTBOUND_ALLOW=10.0.0.0/8"}, `write "idp.your-company.lan:443"`},
		{"logs for longer than allowed", []string{"PARVIS_RETENTION_AUDIT=9999"}, "[retention] audit is a number of days from 90 to 3653"},
		{"one key for two regions", []string{regions, "PARVIS_REGION=eu", "PARVIS_REGION_KEYS=us=" + key + " ap=" + key}, "each pair of regions needs a key of its own"},
		{"a region that is none", []string{regions, "PARVIS_REGION=uk"}, `region is "uk", which is not one of [[regions]]`},
		{"a secret twice", []string{regions, "PARVIS_REGION=eu", "PARVIS_REGION_KEYS=us=" + key, "PARVIS_REGION_KEYS_FILE=" + file("keys", []byte("us="+key))}, "region_keys and region_keys_file are both set: write one of them"},
	} {
		t.Run(r.name, func(t *testing.T) {
			row{check: "configuration", mark: "FAIL", says: []string{r.says}}.judge(t, &exam{ward: w, more: r.env})
		})
	}
}

// issue makes a certificate that signs itself, and returns its file and its key's.
func issue(t *testing.T, name string, from, until time.Time) (chain, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	about := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: from, NotAfter: until,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	raw, err := x509.CreateCertificate(rand.Reader, about, about, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	rawKey, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	chain, key = filepath.Join(dir, "chain.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{chain: {Type: "CERTIFICATE", Bytes: raw}, key: {Type: "PRIVATE KEY", Bytes: rawKey}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return chain, key
}

const aYear = 365 * 24 * time.Hour

// The first good set-up, bare; and what goes wrong with it.
func TestDoctorFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	w := admit(t, p, p.base)
	if !t.Run("bare", (&exam{ward: w}).clean) {
		return
	}
	t.Run("bare, as a service", func(t *testing.T) {
		me, err := user.Current()
		if err != nil {
			t.Fatal(err)
		}
		x := &exam{ward: w}
		systemd("[Service]\nReadWritePaths=DATA\nUser="+me.Username)(t, x)
		x.clean(t)
	})
	rows := slices.Concat(rowsOfAddress, rowsOfFiles, rowsOfMail, rowsOfRows, rowsOfMachine)
	if onPostgres() {
		rows = append(rows, rowsOfPostgres...)
	}
	if len(rows) < 30 {
		t.Errorf("only %d rows", len(rows))
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			x := &exam{ward: w}
			r.seed(t, x)
			r.judge(t, x)
		})
	}
	t.Run("and well again", func(t *testing.T) { (&exam{ward: w}).clean(t) })
}

// judge wants the check of the row, and no other, to complain, once.
func (r row) judge(t *testing.T, x *exam) {
	t.Helper()
	found := x.look(t)
	said := found[r.check]
	if len(found) != 1 || !strings.HasPrefix(said, r.mark+" ") {
		t.Errorf("doctor says %v, want %s of %s alone", found, r.mark, r.check)
	}
	if n := strings.Count(said, "FAIL ") + strings.Count(said, "note "); n != 1 {
		t.Errorf("of %s doctor says %d things, want 1: %s", r.check, n, said)
	}
	for _, says := range r.says {
		if !strings.Contains(said, says) {
			t.Errorf("of %s doctor says %q, want %q", r.check, said, says)
		}
	}
}

// elsewhere seeds something that answers at the public address and is not this installation.
func elsewhere(h http.HandlerFunc) func(*testing.T, *exam) {
	return func(t *testing.T, x *exam) {
		s := httptest.NewServer(h)
		t.Cleanup(s.Close)
		x.more = []string{"PARVIS_PUBLIC_ADDRESS=" + s.URL}
	}
}

var rowsOfAddress = []row{
	{"an origin that is in no DNS", variables("PARVIS_PUBLIC_ADDRESS=https://no-such-name.invalid"), "public address", "FAIL", []string{"Enter the name in DNS, or correct public_address"}},
	{"an origin at which nothing listens", variables("PARVIS_PUBLIC_ADDRESS=http://localhost:1"), "public address", "FAIL", []string{"Start 'parvis serve'", "or correct public_address"}},
	{"an origin that leads elsewhere", elsewhere(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://www.parvis.test/", http.StatusFound)
	}), "public address", "FAIL", []string{"to https://www.parvis.test/. Correct public_address"}},
	{"an origin of something else", elsewhere(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }), "public address", "FAIL", []string{"something other than parvis answers there, with status 200. Correct public_address"}},
	{"an origin of another installation", func(t *testing.T, x *exam) {
		other := newPatient(t)
		other.start(t)
		x.more = []string{"PARVIS_PUBLIC_ADDRESS=" + other.base}
	}, "public address", "FAIL", []string{"another installation", "Correct public_address, or what its name points to"}},
	{"a server that was started with another setting", variables("PARVIS_RETENTION_LETTERS=45"), "settings", "note", []string{"[retention] letters", "restart a server whose file changed"}},
	{"a misspelt variable", variables("PARVIS_MAIL_ADRESS=x"), "configuration", "note", []string{"there is no variable PARVIS_MAIL_ADRESS: 'parvis config' shows those that exist"}},
}

// opened opens a database as it is: nothing is migrated or checked.
func opened(t *testing.T, address string) *db.DB {
	t.Helper()
	d, err := db.Open(context.Background(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// statement runs one, whose values a row of texts has no room for.
func statement(t *testing.T, address, text string, args ...any) {
	t.Helper()
	d := opened(t, address)
	if err := d.Exec(context.Background(), func(func(...any) error) error { return nil }, text, args...); err != nil {
		t.Fatal(err)
	}
}

// data is the path of a file in the data folder.
func (w *ward) data(name string) string { return filepath.Join(w.dir, "data", name) }

// changed seeds what a function does to a file, and undoes it by another.
func changed(seed, undo func(x *exam) error) func(*testing.T, *exam) {
	return func(t *testing.T, x *exam) {
		if err := seed(x); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := undo(x); err != nil {
				t.Error(err)
			}
		})
	}
}

var rowsOfFiles = []row{
	{"a folder that others look into", changed(
		func(x *exam) error { return os.Chmod(x.data(""), 0o755) }, func(x *exam) error { return os.Chmod(x.data(""), 0o700) },
	), "data folder", "FAIL", []string{"chmod 700 data"}},
	{"keys that others read", changed(
		func(x *exam) error { return os.Chmod(x.data("keys"), 0o644) }, func(x *exam) error { return os.Chmod(x.data("keys"), 0o600) },
	), "keys", "FAIL", []string{"chmod 600 data/keys"}},
	{"no keys", changed(
		func(x *exam) error { return os.Rename(x.data("keys"), x.data("away")) }, func(x *exam) error { return os.Rename(x.data("away"), x.data("keys")) },
	), "keys", "FAIL", []string{"data/keys is missing. Restore it from a backup"}},
	{"a key that somebody put first by hand", func(t *testing.T, x *exam) {
		byHand(t, x.data("keys"))
	}, "keys", "note", []string{"was put first in data/keys by hand, and nothing is written with it: parvis keys use k_"}},
	{"keys of another installation", func(t *testing.T, x *exam) {
		before, err := os.ReadFile(x.data("keys"))
		if err != nil {
			t.Fatal(err)
		}
		other := newPatient(t)
		other.start(t)
		copied, err := os.ReadFile(filepath.Join(other.dir, "data", "keys"))
		if err := errors.Join(err, os.WriteFile(x.data("keys"), copied, 0o600)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := os.WriteFile(x.data("keys"), before, 0o600); err != nil {
				t.Error(err)
			}
		})
	}, "keys", "FAIL", []string{"data/keys are not the keys of this database. Restore those that belong to it"}},
	{"files of another user", func(t *testing.T, x *exam) {
		if os.Getuid() != 0 {
			t.Skip("only root gives files away")
		}
		path := x.data("left-behind")
		if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Chown(path, 65534, 65534)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Remove(path) })
	}, "data folder", "FAIL", []string{"1 file in it belong", "chown root data/left-behind"}},
	{"a disk without room", func(t *testing.T, x *exam) {
		folder := t.TempDir()
		if os.Getuid() != 0 || syscall.Mount("tmpfs", folder, "tmpfs", 0, "size=64m") != nil {
			t.Skip("only root mounts a small disk")
		}
		t.Cleanup(func() { _ = syscall.Unmount(folder, syscall.MNT_DETACH) })
		if err := errors.Join(os.CopyFS(folder, os.DirFS(x.data(""))), os.Chmod(folder, 0o700), os.Chmod(filepath.Join(folder, "keys"), 0o600)); err != nil {
			t.Fatal(err)
		}
		x.args = []string{"--data", folder}
	}, "disk space", "FAIL", []string{"make room, or nothing can be stored soon"}},
	{"a backup that is late", func(t *testing.T, x *exam) {
		folder := t.TempDir()
		if err := os.WriteFile(filepath.Join(folder, backup.Name(time.Now().Add(-40*time.Hour))), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		x.args = []string{"--backups", folder, "--every", "24h"}
	}, "backups", "FAIL", []string{"does 'parvis backup /", " --every 24h' run"}},
	{"no backup at all", func(t *testing.T, x *exam) { x.args = []string{"--backups", t.TempDir()} }, "backups", "FAIL", []string{"there is none in", "does 'parvis backup "}},
}

var rowsOfMail = []row{
	{"a mail server that is not there", func(t *testing.T, x *exam) { x.again(t, "PARVIS_MAIL_ADDRESS=127.0.0.1:1") }, "mail server", "FAIL", []string{"Correct address in [mail]"}},
	{"a mail server without STARTTLS", func(t *testing.T, x *exam) { x.again(t, "PARVIS_MAIL_TLS=starttls") }, "mail server", "FAIL", []string{"offers no STARTTLS. Correct tls in [mail]"}},
	{"a mail server that refuses the login", variables("PARVIS_MAIL_PASSWORD=hunter3"), "mail server", "FAIL", []string{"Correct username and password in [mail]"}},
	{"a sender that is not the mail server's", func(t *testing.T, x *exam) {
		x.sender.Store(true)
		t.Cleanup(func() { x.sender.Store(false) })
	}, "mail server", "FAIL", []string{"answered 553. Correct from in [mail], or let the mail server take letters from no-reply@parvis.test"}},
	{"letters that do not leave", func(t *testing.T, x *exam) {
		statement(t, x.database, `update letters set next_try_at = 4000000000000000, created_at = 1700000000000000, reply = null where recipient = $1`, "ana@meridian.test")
		t.Cleanup(func() {
			statement(t, x.database, `update letters set next_try_at = null where recipient = $1`, "ana@meridian.test")
		})
	}, "letters", "note", []string{"1 wait, the oldest since 2023-11-14", "does 'parvis serve' run"}},
	{"a name server that does not answer", variables("PARVIS_DNS_RESOLVER=127.0.0.1:1"), "name server", "FAIL", []string{"Correct resolver in [dns]"}},
}

var rowsOfRows = []row{
	{"a database that was not migrated", func(t *testing.T, x *exam) {
		var last int
		if _, err := opened(t, x.database).One(t.Context(), []any{&last}, `select max(version_id) from migrations`); err != nil {
			t.Fatal(err)
		}
		statements(fmt.Sprintf(`delete from migrations where version_id = %d`, last), fmt.Sprintf(`insert into migrations (version_id, is_applied) values (%d, true)`, last))(t, x)
	}, "database", "FAIL", []string{"this program needs ", "run 'parvis migrate'"}},
	{"a database of a newer program", statements(`insert into migrations (version_id, is_applied) values (99999, true)`, `delete from migrations where version_id = 99999`), "database", "FAIL", []string{"a newer version of parvis: start that version, or restore the backup"}},
	{"an audit log that was altered", func(t *testing.T, x *exam) {
		d := opened(t, x.database)
		for until := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			var name string
			found, err := d.One(t.Context(), []any{&name}, `select actor_name from audit_events where leaf = 0 and org_id = ''`)
			if err == nil && found {
				statement(t, x.database, `update audit_events set actor_name = 'Eve' where leaf = 0 and org_id = ''`)
				t.Cleanup(func() {
					statement(t, x.database, `update audit_events set actor_name = $1 where leaf = 0 and org_id = ''`, name)
				})
				return
			}
			if time.Now().After(until) {
				t.Fatalf("nothing was sealed: %v", err)
			}
		}
	}, "audit log", "FAIL", []string{"Compare it with a backup", "docs/operations.md"}},
	{"an organization without an owner", func(t *testing.T, x *exam) {
		x.run(t, "organization", "create", "Lumen", "--short-name", "lumen", "--owner", "lin@lumen.test")
		execAll(t, x.database, `update organizations set created_at = 1700000000000000 where short_name_key = 'lumen'`)
		t.Cleanup(func() { x.run(t, "organization", "suspend", "lumen") })
	}, "owner", "note", []string{"lumen has no owner who can sign in", "parvis import FILE --from csv --organization lumen --owner ADDRESS"}},
	{"a webhook that nobody takes", func(t *testing.T, x *exam) {
		x.run(t, "webhook", "add", "Alarm", "http://127.0.0.1:1/hook")
		execAll(t, x.database, `update webhooks set parked_at = 1700000000000000`)
		t.Cleanup(func() {
			execAll(t, x.database, `delete from webhook_attempts`, `delete from webhook_secrets`, `delete from webhook_retries`, `delete from webhooks`)
		})
	}, "webhooks", "FAIL", []string{"look at the receiver, then 'parvis webhook test NAME'"}},
	{"a directory that fell silent", func(t *testing.T, x *exam) {
		x.run(t, "source", "create", "meridian", "Entra", "--provider", "entra", "--on")
		execAll(t, x.database, `update sources set created_at = 1700000000000000, used_at = 1700000000000000`)
		t.Cleanup(func() { execAll(t, x.database, `update sources set state = 'stopped'`) })
	}, "provisioning", "note", []string{"has not called since 2023-11-14", "makes another token"}},
	{"an application that is not told", statements(`
		insert into logouts (org_id, id, client_id, user_id, session_id, created_at, next_try_at, tries, tried_at, reply)
		values ('org', 'out', 'collaborate', 'user', 'session', 1000000, 1800000000000000, 1, 1700000000000000, '503 Service Unavailable')`,
		`delete from logouts`), "applications", "FAIL", []string{"it answered 503 Service Unavailable", "'parvis application show collaborate'"}},
	{"a provider whose certificate ends", func(t *testing.T, x *exam) {
		chain, _ := issue(t, "idp.meridian.test", time.Now().Add(-aYear), time.Now().Add(5*24*time.Hour))
		block, _ := pem.Decode([]byte(read(t, chain)))
		var c federation.Connection
		c.SAML.Certificates = [][]byte{block.Bytes}
		settings, err := json.Marshal(c.SAML)
		if err != nil {
			t.Fatal(err)
		}
		statement(t, x.database, `
			insert into connections (org_id, id, protocol, provider, name, position, shown, settings, vouches, creates, mapping, state, created_at, changed_at, tested_at, confirmed_at, warned)
			select id, 'con_1', 'saml', 'entra', 'Entra ID', 1, true, $1, false, false, '{}', 'on', 1, 1, 2, 2, 0 from organizations where short_name_key = 'meridian'`, string(settings))
		t.Cleanup(func() { execAll(t, x.database, `delete from connections`) })
	}, "single sign-on", "note", []string{"the last certificate of Entra ID of meridian ends on ", "add the next one on its page"}},
}

// limited starts the server by a script, which may change what its process may do.
func limited(t *testing.T, x *exam, script string) {
	t.Helper()
	program, err := exec.LookPath("parvis")
	if err != nil {
		t.Fatal(err)
	}
	wrapper := filepath.Join(t.TempDir(), "limited")
	if err := os.WriteFile(wrapper, []byte("#!/bin/sh\n"+script+"\nexec "+program+" \"$@\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := x.server.stop(); err != nil {
		t.Error(err)
	}
	if x.server, err = startProgram(wrapper, x.dir, x.at, x.env); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := x.server.stop(); err != nil {
			t.Error(err)
		}
		if x.server, err = startServe(x.dir, x.at, x.env); err != nil {
			t.Fatal(err)
		}
	})
}

// systemd makes a systemctl that shows the unit of the packages, with the data folder of the exam and
// something added, as 'systemctl edit' does.
func systemd(added string) func(*testing.T, *exam) {
	return func(t *testing.T, x *exam) {
		unit := strings.Replace(read(t, "../../packaging/files/parvis.service"), "PARVIS_DATA=/var/lib/parvis", "PARVIS_DATA="+x.data(""), 1)
		folder := t.TempDir()
		text := "#!/bin/sh\ncat <<'END'\n" + unit + "\n" + strings.ReplaceAll(added, "DATA", x.data("")) + "\nEND\n"
		if err := os.WriteFile(filepath.Join(folder, "systemctl"), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
		x.more = []string{"PATH=" + folder + ":" + os.Getenv("PATH")}
	}
}

var rowsOfMachine = []row{
	{"too few open files", func(t *testing.T, x *exam) { limited(t, x, "ulimit -n 1024") }, "open files", "note", []string{"LimitNOFILE=65536", "'ulimit -n 65536'"}},
	{"metrics for everybody", variables("PARVIS_OPERATIONS_LISTEN=:1"), "operations", "note", []string{"health and metrics are open to the network", `listen = "127.0.0.1:1" in [operations]`}},
	{"a unit that may not write", systemd(""), "service", "FAIL", []string{"systemctl edit parvis", "ReadWritePaths=/"}},
	{"a unit of another user", systemd("[Service]\nReadWritePaths=DATA\nUser=somebody"), "service", "FAIL", []string{"runs as somebody: chown -R somebody: /"}},
}

// behind admits an installation that is asked through something else, at the address that is returned by
// front once it knows where the server listens.
func behind(t *testing.T, front func(back string) (base string), settings ...string) *ward {
	t.Helper()
	p, back := newPatient(t), "127.0.0.1:"+loopback.Port()
	p.base = front(back)
	p.env[2] = "PARVIS_PUBLIC_ADDRESS=" + p.base
	p.env = append(p.env, "PARVIS_LISTEN="+back)
	p.env = append(p.env, settings...)
	return admit(t, p, "http://"+back)
}

// A door is a proxy that can be told to do things wrong.
type door struct {
	mu      sync.Mutex // of what it is told
	rewrite func(*httputil.ProxyRequest)
	answer  func(*http.Response)
	most    int64
	backs   []string // asked in turn
	asked   atomic.Int64
}

func (o *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	rewrite, answer, most := o.rewrite, o.answer, o.most
	o.mu.Unlock()
	if most > 0 && r.ContentLength > most {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
		p.SetURL(&url.URL{Scheme: "http", Host: o.backs[int(o.asked.Add(1))%len(o.backs)]})
		p.Out.Host = p.In.Host
		p.SetXForwarded()
		if rewrite != nil {
			rewrite(p)
		}
	}}
	if answer != nil {
		proxy.ModifyResponse = func(w *http.Response) error { answer(w); return nil }
	}
	proxy.ServeHTTP(w, r)
}

func (o *door) tell(what func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	what()
}

// open has it listen on 127.0.0.2, which is this machine, but none of the addresses that it knows as its
// own: doctor compares clocks.
func (o *door) open(t *testing.T) (base string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &httptest.Server{Listener: l, Config: &http.Server{Handler: o}}
	s.Start()
	t.Cleanup(s.Close)
	return s.URL
}

func TestDoctorFindsWhatAProxyDoesWrong(t *testing.T) {
	t.Parallel()
	o := &door{}
	w := behind(t, func(back string) string { o.backs = []string{back}; return o.open(t) }, "PARVIS_TRUSTED_PROXIES=127.0.0.1")
	if !t.Run("nothing", (&exam{ward: w}).clean) {
		return
	}
	wrong := func(by func()) func(*testing.T, *exam) {
		return func(t *testing.T, _ *exam) {
			o.tell(by)
			t.Cleanup(func() { o.tell(func() { o.rewrite, o.answer, o.most = nil, nil, 0 }) })
		}
	}
	for _, r := range []row{
		{"it is not trusted", func(t *testing.T, x *exam) { x.again(t, "PARVIS_TRUSTED_PROXIES=127.0.0.9") }, "proxy", "FAIL", []string{`write trusted_proxies = ["127.0.0.1"]`}},
		{"it names no address", wrong(func() {
			o.rewrite = func(r *httputil.ProxyRequest) { r.Out.Header.Set("X-Forwarded-For", "unknown") }
		}), "proxy", "FAIL", []string{"let it write one IP address", "at the end of X-Forwarded-For"}},
		{"it asks under another name", wrong(func() { o.rewrite = func(r *httputil.ProxyRequest) { r.Out.Host = "backend" } }), "public address", "FAIL", []string{"Let it pass on the Host header as it came"}},
		{"it stops large bodies", wrong(func() { o.most = 1 << 20 }), "proxy", "FAIL", []string{"client_max_body_size 16m;"}},
		{"its clock is off", wrong(func() {
			o.answer = func(w *http.Response) {
				w.Header.Set("Date", time.Now().Add(-10*time.Minute).UTC().Format(http.TimeFormat))
			}
		}), "clock", "FAIL", []string{"ahead of the machine behind the public address. Set the time by NTP"}},
		{"it leads to a node of another version", wrong(func() {
			o.answer = func(w *http.Response) {
				text, _ := io.ReadAll(w.Body)
				text = regexp.MustCompile(`"version":"[^"]*"`).ReplaceAll(text, []byte(`"version":"AAAA"`))
				w.Body, w.ContentLength = io.NopCloser(strings.NewReader(string(text))), int64(len(text))
				w.Header.Set("Content-Length", strconv.Itoa(len(text)))
			}
		}), "version", "note", []string{"restart it, or run doctor of its version"}},
	} {
		t.Run(r.name, func(t *testing.T) {
			x := &exam{ward: w}
			r.seed(t, x)
			r.judge(t, x)
		})
	}
	t.Run("and nothing again", (&exam{ward: w}).clean)
}

// The second good set-up: the nginx of docs/operations.md, where it is installed.
func TestDoctorBehindNginx(t *testing.T) {
	t.Parallel()
	program, err := exec.LookPath("nginx")
	if err != nil {
		t.Skip("nginx is not installed")
	}
	page := read(t, "../../docs/operations.md")
	block := regexp.MustCompile("(?s)```nginx\n(.*?)```").FindStringSubmatch(page)
	if block == nil {
		t.Fatal("docs/operations.md has no nginx")
	}
	chain, key := issue(t, "localhost", time.Now().Add(-time.Hour), time.Now().Add(aYear))
	at := loopback.Port()
	begin := func(t *testing.T, back string, change *strings.Replacer) {
		t.Helper()
		folder := t.TempDir()
		site := strings.NewReplacer("listen 443 ssl", "listen 127.0.0.1:"+at+" ssl", "sign-in.your-company.com", "localhost", "/etc/ssl/sign-in/chain.pem", chain,
			"/etc/ssl/sign-in/key.pem", key, "127.0.0.1:8080", back).Replace(change.Replace(block[1]))
		conf := "daemon off;\npid " + folder + "/pid;\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\n"
		if os.Getuid() == 0 {
			conf = "user root;\n" + conf
		}
		for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
			conf += kind + "_temp_path " + filepath.Join(folder, kind) + ";\n"
		}
		file := filepath.Join(folder, "nginx.conf")
		if err := os.WriteFile(file, []byte(conf+site+"}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		said := &text{}
		cmd := exec.CommandContext(t.Context(), program, "-p", folder, "-c", file)
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
		cmd.Stdout, cmd.Stderr = said, said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _, _ = cmd.Process.Signal(syscall.SIGTERM), cmd.Wait() })
		for until := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			if c, err := net.Dial("tcp", "127.0.0.1:"+at); err == nil {
				c.Close()
				return
			}
			if time.Now().After(until) {
				t.Fatalf("nginx does not listen: %s", said)
			}
		}
	}
	var back string
	w := behind(t, func(to string) string { back = to; return "https://localhost:" + at }, "PARVIS_TRUSTED_PROXIES=127.0.0.1")
	for _, r := range []struct {
		row
		change []string
	}{
		{row{name: "as docs/operations.md says"}, nil},
		{row{"without the size of bodies", nil, "proxy", "FAIL", []string{"In nginx write client_max_body_size 16m;"}}, []string{"client_max_body_size", "#"}},
		{row{"without the name", nil, "public address", "FAIL", []string{"Let it pass on the Host header as it came"}}, []string{"proxy_set_header Host", "#"}},
	} {
		t.Run(r.name, func(t *testing.T) {
			begin(t, back, strings.NewReplacer(r.change...))
			x := &exam{ward: w, root: chain}
			if r.check == "" {
				x.clean(t)
				w.judgeProxy(t, "127.0.0.1:"+at, chain)
				return
			}
			r.judge(t, x)
		})
	}
}

// The third good set-up: two nodes behind a balancer, on PostgreSQL where there is one.
func TestDoctorOfTwoNodes(t *testing.T) {
	t.Parallel()
	o := &door{}
	w := behind(t, func(back string) string { o.backs = []string{back}; return o.open(t) }, "PARVIS_TRUSTED_PROXIES=127.0.0.1", "PARVIS_DATABASE_MEMORY=on")
	second := w.patient
	second.dir = t.TempDir()
	data := filepath.Join(second.dir, "data")
	if err := errors.Join(os.Mkdir(data, 0o700), os.WriteFile(filepath.Join(data, "keys"), []byte(read(t, w.data("keys"))), 0o600)); err != nil {
		t.Fatal(err)
	}
	if !onPostgres() { // on SQLite both use one folder, which is for a moment only
		second.dir = w.dir
	}
	back := "127.0.0.1:" + loopback.Port()
	second.env = append(slices.Clone(w.env), "PARVIS_LISTEN="+back, "PARVIS_OPERATIONS_LISTEN=127.0.0.1:"+loopback.Port())
	o.backs = append(o.backs, back)
	for _, r := range []struct {
		row
		more []string
	}{
		{row{name: "alike"}, nil},
		{row{"with different settings", nil, "settings", "note", []string{"[links] help", "let all nodes have the same"}}, []string{"PARVIS_LINKS_HELP=https://help.parvis.test"}},
		{row{"of which one forgets sooner", nil, "settings", "note", []string{"[retention] audit"}}, []string{"PARVIS_RETENTION_AUDIT=400"}},
	} {
		t.Run(r.name, func(t *testing.T) {
			env := append(slices.Clone(second.env), r.more...)
			p, err := startServe(second.dir, "http://"+back, env)
			if err != nil {
				t.Fatal(err)
			}
			defer p.kill()
			x := &exam{ward: w}
			if r.check == "" {
				x.clean(t)
				alone := &ward{patient: second, server: p}
				alone.env = env
				(&exam{ward: alone}).clean(t)
				return
			}
			r.judge(t, x)
		})
	}
}

// Bare with TLS of its own; and certificates that are of no use.
func TestDoctorJudgesCertificates(t *testing.T) {
	t.Parallel()
	chain, key := issue(t, "localhost", time.Now().Add(-time.Hour), time.Now().Add(aYear))
	w := behind(t, func(back string) string { return "https://localhost:" + port(back) }, "PARVIS_TLS_CERTIFICATE="+chain, "PARVIS_TLS_KEY="+key)
	if !t.Run("a good one", (&exam{ward: w, root: chain}).clean) {
		return
	}
	if _, body := fetch(t, "http://"+strings.TrimPrefix(w.env[slices.IndexFunc(w.env, func(v string) bool { return strings.HasPrefix(v, "PARVIS_OPERATIONS_LISTEN=") })], "PARVIS_OPERATIONS_LISTEN=")+"/metrics"); !strings.Contains(body, "\nparvis_tls_certificate_not_after_timestamp_seconds 1") {
		t.Errorf("the end of the certificate is not among the metrics:\n%s", body)
	}
	of := func(name string, from, until time.Duration) func(*testing.T, *exam) {
		return func(t *testing.T, x *exam) {
			chain, key := issue(t, name, time.Now().Add(from), time.Now().Add(until))
			x.more = []string{"PARVIS_TLS_CERTIFICATE=" + chain, "PARVIS_TLS_KEY=" + key}
		}
	}
	for _, r := range []row{
		{"one that ended", of("localhost", -aYear, -time.Hour), "certificate", "FAIL", []string{"ended on ", "write both files of [tls]"}},
		{"one that ends soon", of("localhost", -aYear, 5*24*time.Hour), "certificate", "note", []string{"ends on ", "renew it"}},
		{"one that is not valid yet", of("localhost", time.Hour, aYear), "certificate", "FAIL", []string{"Set the time by NTP"}},
		{"one of another name", of("www.your-company.com", -time.Hour, aYear), "certificate", "FAIL", []string{`is for "www.your-company.com" and not for localhost`, "write both files of [tls]"}},
	} {
		t.Run(r.name, func(t *testing.T) {
			x := &exam{ward: w, root: chain}
			r.seed(t, x)
			r.judge(t, x)
		})
	}
	t.Run("one of an authority that is not known", func(t *testing.T) {
		row{"", nil, "public address", "FAIL", []string{"Use a certificate for exactly this name, with its whole chain, from an authority that this machine trusts"}}.judge(t, &exam{ward: w})
	})
}

// as gives doctor another address of the database.
func as(change func(*testing.T, *exam, *url.URL)) func(*testing.T, *exam) {
	return func(t *testing.T, x *exam) {
		u, err := url.Parse(x.database)
		if err != nil {
			t.Fatal(err)
		}
		change(t, x, u)
		x.more = append(x.more, "PARVIS_DATABASE="+u.String())
	}
}

// role gives doctor a role of its own, to which something is done.
func role(of func(*dbtest.Role, *exam)) func(*testing.T, *exam) {
	return func(t *testing.T, x *exam) {
		r := dbtest.NewRole(t, x.database)
		of(r, x)
		x.more = append(x.more, "PARVIS_DATABASE="+r.Address)
	}
}

var rowsOfPostgres = []row{
	{"a database server that is not there", as(func(_ *testing.T, _ *exam, u *url.URL) { u.Host = "127.0.0.1:1" }), "database", "FAIL", []string{"It does not answer: look whether it runs"}},
	{"a database that does not exist", as(func(_ *testing.T, _ *exam, u *url.URL) { u.Path = "/nothing" }), "database", "FAIL", []string{"It refuses the login: look at the name, the password and the database in its address"}},
	{"a role that may not log in", role(func(r *dbtest.Role, _ *exam) { r.Shut() }), "database", "FAIL", []string{"It refuses the login", "pg_hba.conf"}},
	{"a role without rights", role(func(r *dbtest.Role, _ *exam) { r.Revoke() }), "database", "FAIL", []string{"A right is missing: give the role of the address"}},
	{"a database that is only read", as(func(_ *testing.T, _ *exam, u *url.URL) {
		q := u.Query()
		q.Set("default_transaction_read_only", "on")
		u.RawQuery = q.Encode()
	}), "database", "FAIL", []string{"It may only be read: look whether the address leads to a standby"}},
	{"a role with too few connections", role(func(r *dbtest.Role, x *exam) { r.Limit(5) }), "database", "note", []string{"raise max_connections", "pool_max_conns=4"}},
	{"a pooler that allows no transactions", pooler("statement", "connect_query='set idle_in_transaction_session_timeout = 10000; set enable_seqscan = off; set jit = off'"), "database", "FAIL", []string{"write pool_mode = transaction"}},
	{"a pooler without an end of idle transactions", pooler("transaction", ""), "database", "note", []string{"see 'PgBouncer' in docs/operations.md"}},
}

// pooler puts PgBouncer before the server, where it is installed.
func pooler(mode, more string) func(*testing.T, *exam) {
	return func(t *testing.T, x *exam) {
		u, err := url.Parse(x.database)
		if err != nil {
			t.Fatal(err)
		}
		const program = "/usr/sbin/pgbouncer"
		if _, err := os.Stat(program); err != nil || u.Hostname() == "" {
			t.Skip("PgBouncer is not installed, or the server has no address")
		}
		folder, err := os.MkdirTemp("", "pooler")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(folder) })
		password, _ := u.User.Password()
		auth := "md5"
		if password == "" {
			auth = "trust"
		}
		at := loopback.Port()
		ini := fmt.Sprintf("[databases]\n* = host=%s port=%s %s\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = %s\nunix_socket_dir =\nauth_type = %s\nauth_file = %s/users\npool_mode = %s\n",
			u.Hostname(), u.Port(), more, at, auth, folder, mode)
		if err := errors.Join(os.Chmod(folder, 0o755), os.WriteFile(folder+"/users", fmt.Appendf(nil, "%q %q\n", u.User.Username(), password), 0o644),
			os.WriteFile(folder+"/ini", []byte(ini), 0o644)); err != nil {
			t.Fatal(err)
		}
		args := []string{program, folder + "/ini"}
		if os.Getuid() == 0 { // as whom it does not run
			args = append([]string{"setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"}, args...)
		}
		said := &text{}
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir, cmd.Stdout, cmd.Stderr = "/", said, said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
		for until := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			if c, err := net.Dial("tcp", "127.0.0.1:"+at); err == nil {
				c.Close()
				break
			}
			if time.Now().After(until) {
				t.Fatalf("PgBouncer does not listen: %s", said)
			}
		}
		u.Host = "127.0.0.1:" + at
		x.more = append(x.more, "PARVIS_DATABASE="+u.String())
	}
}

// docs/operations.md has a row for each check, and none for another.
func TestThePageNamesEveryCheck(t *testing.T) {
	files, err := filepath.Glob("doctor*.go")
	if err != nil {
		t.Fatal(err)
	}
	said, told := map[string]bool{}, map[string]bool{}
	for _, file := range append(files, "public.go") {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		for _, m := range regexp.MustCompile(`const check = "([^"]+)"|\.(?:ok|note|fail|compare)\("([^"]+)"`).FindAllStringSubmatch(read(t, file), -1) {
			said[m[1]+m[2]] = true
		}
	}
	page := read(t, "../../docs/operations.md")
	_, section, _ := strings.Cut(page, "\n## The doctor\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(section, -1) {
		told[m[1]] = true
	}
	for name := range said {
		if !told[name] {
			t.Errorf("docs/operations.md does not say what doctor finds as %q", name)
		}
	}
	for name := range told {
		if !said[name] {
			t.Errorf("docs/operations.md has a row for %q, which doctor does not look at", name)
		}
	}
	if len(said) < 20 {
		t.Errorf("only %d checks were found: this test looks past the others", len(said))
	}
}
