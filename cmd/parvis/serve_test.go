package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/expect"
	"parvis/internal/loopback"
	"parvis/internal/mailbox"
)

const testPassword = "Seven zebras ride 9 trams!"

// environment returns the environment of a test's server.
func environment(more ...string) []string {
	return append([]string{"PATH=" + os.Getenv("PATH"), "HOME=/no-home"}, more...)
}

// start starts a server in a folder and ends it with the test.
func start(t *testing.T, dir, base string, env []string, args ...string) *process {
	t.Helper()
	p, err := startServe(dir, base, env, append([]string{"--public-address", base}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	return p
}

// parvis runs a command to its end, as a program of its own, and returns what it printed and its exit code.
func parvis(t *testing.T, dir string, env []string, args ...string) (out, errors string, code int) {
	t.Helper()
	program, err := exec.LookPath("parvis")
	if err != nil {
		t.Fatal(err)
	}
	var o, e text
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), program, args...) // also when the test has ended
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, env, &o, &e
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return o.String(), e.String(), cmd.ProcessState.ExitCode()
}

// send sends a form as a page of ours does, and returns the status.
func send(t *testing.T, c *http.Client, to string, form url.Values) (int, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, to, strings.NewReader(form.Encode()))
	if err != nil {
		return 0, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	w, err := c.Do(r)
	if err != nil {
		return 0, err
	}
	return w.StatusCode, w.Body.Close()
}

func get(t *testing.T, c *http.Client, from string) int {
	t.Helper()
	w, err := c.Get(from)
	if err != nil {
		t.Fatal(err)
	}
	w.Body.Close()
	return w.StatusCode
}

// owner uses the first link, and returns the client of an organization's owner.
func owner(t *testing.T, p *process) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	link := setupLink.FindString(p.out.String())
	if status := get(t, c, link); status != http.StatusOK {
		t.Fatalf("the first link %q is answered %d", link, status)
	}
	following := &http.Client{Jar: jar}
	at, body, err := sendTo(following, link, url.Values{
		"organization": {"Meridian Freight"}, "short_name": {"meridian"}, "name": {"Ana"}, "email": {"ana@meridian.test"},
		"password": {testPassword}, "repetition": {testPassword},
	})
	if err == nil {
		at, body, err = enrol(following, at)
	}
	if err != nil || !strings.HasSuffix(at, "/o/meridian/account/security/codes?next=%2Fo%2Fmeridian%2Fhome") {
		t.Fatalf("the owner came to %s, %v\n%s", at, err, body)
	}
	return c
}

// What was answered is stored: three times a server is killed while it writes, and nothing that
// it had confirmed is missing afterwards.
func TestAKilledServerLosesNothingThatItAnswered(t *testing.T) {
	dir, base := t.TempDir(), "http://localhost:"+loopback.Port()
	env := environment()
	if onPostgres() {
		env = environment("PARVIS_DATABASE=" + dbtest.Address(t))
	}
	p := start(t, dir, base, env)
	c := owner(t, p)
	var answered []string
	for round := range 3 {
		for i := 0; ; i++ {
			// Ten are answered first, however slow the machine is. The kill comes while one of the
			// next is written.
			if i == 10 {
				time.AfterFunc(rand.N(100*time.Millisecond), func() {
					if err := p.cmd.Process.Kill(); err != nil {
						t.Error(err)
					}
				})
			}
			address := fmt.Sprintf("p%d.%d@meridian.test", round, i)
			status, err := send(t, c, base+"/o/meridian/admin/people/invite", url.Values{
				"email": {address}, "name": {""}, "role": {"member"}, "invited_language": {"en"},
			})
			if err != nil && i < 10 {
				t.Fatal(err)
			}
			if err != nil {
				break // killed
			}
			if status != http.StatusSeeOther {
				t.Fatalf("inviting %s is answered %d\n%s", address, status, p.log)
			}
			answered = append(answered, address)
		}
		if err := p.wait(); err == nil {
			t.Fatal("the server was to be killed")
		}
		p = start(t, dir, base, env)
		if status := get(t, c, base+"/o/meridian/home"); status != http.StatusOK {
			t.Fatalf("after the restart the owner's home is answered %d", status)
		}
	}
	if err := p.stop(); err != nil {
		t.Errorf("the server ended with %v\n%s", err, p.log)
	}
	address := filepath.Join(dir, "data", "parvis.db")
	if onPostgres() {
		address = strings.TrimPrefix(env[len(env)-1], "PARVIS_DATABASE=")
	}
	kept := invited(t, address)
	for _, a := range answered {
		if !kept[a] {
			t.Errorf("the invitation of %s was answered and is gone", a)
		}
	}
	t.Logf("%d answered, %d kept", len(answered), len(kept))
}

// invited lists the addresses whose invitation has its letter.
func invited(t *testing.T, address string) map[string]bool {
	t.Helper()
	d := dbtest.OpenAt(t, address)
	kept := map[string]bool{}
	err := d.Rows(t.Context(), func(scan func(...any) error) error {
		var a string
		err := scan(&a)
		kept[a] = true
		return err
	}, `select i.email from invitations i join letters l on l.org_id = i.org_id and l.id = i.letter_id`)
	if err != nil {
		t.Fatal(err)
	}
	return kept
}

// A server answers a moment before it sends letters.
func waitUntilLettersAreSent(t *testing.T, d *db.DB) {
	t.Helper()
	soon, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for sends := false; !sends; time.Sleep(10 * time.Millisecond) {
		var holder string
		var err error
		if sends, err = d.One(soon, db.Into(&holder), `select holder from leases where name = $1`, "letters"); err != nil {
			t.Fatal(err)
		}
	}
}

// The owner's link reaches the owner's mailbox and is printed nowhere.
func TestTheOwnerOfANewOrganizationGetsALetter(t *testing.T) {
	t.Parallel()
	dir, base := t.TempDir(), "http://localhost:"+loopback.Port()
	box, err := mailbox.Start(t.Context(), "127.0.0.1:0", mailbox.Options{Recipient: func(address string) error {
		if strings.HasPrefix(address, "gone@") {
			return mailbox.Refuse(550, "no such user")
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	env := environment("PARVIS_PUBLIC_ADDRESS="+base, "PARVIS_MAIL_ADDRESS="+box.Address(), "PARVIS_MAIL_TLS=none", "PARVIS_MAIL_FROM=no-reply@parvis.test")
	address := filepath.Join(dir, "data", "parvis.db")
	if onPostgres() {
		address = dbtest.Address(t)
		env = append(env, "PARVIS_DATABASE="+address)
	}
	p := start(t, dir, base, env)
	d := dbtest.OpenAt(t, address)
	waitUntilLettersAreSent(t, d)
	create := func(name, short, owner string) string {
		t.Helper()
		out, errors, code := parvis(t, dir, env, "organization", "create", name, "--short-name", short, "--owner", owner)
		if code != 0 || strings.Contains(out+errors, "/invitation/") {
			t.Fatalf("exit code %d, printed\n%s%s", code, out, errors)
		}
		return out
	}
	if out := create("Lumen Health", "lumen", "lin@lumen.test"); !strings.Contains(out, "The invitation to lin@lumen.test was sent.") {
		t.Errorf("printed %s", out)
	}
	if letters, err := box.Wait(t.Context(), "lin@lumen.test", 1); err != nil || !strings.HasPrefix(letters[0].Links[0], base+"/invitation/") {
		t.Errorf("got %v, %v", letters, err)
	}
	if out := create("Gone", "gone", "gone@lumen.test"); !strings.Contains(out, "was refused by the mail server (550): ") {
		t.Errorf("printed %s", out)
	}
	if err := p.stop(); err != nil {
		t.Error(err)
	}
	// A server that stopped long enough ago no longer counts.
	if err := d.Update(t.Context(), func(tx *db.Tx) error {
		_, err := tx.Exec(t.Context(), `update leases set ends_at = $1`, 0)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if out := create("Third Party", "third", "x@third.test"); !strings.Contains(out, "waits in the outbox: no server is running") {
		t.Errorf("printed %s", out)
	}
}

func TestServeSpeaksTLSAndTakesUpARenewedCertificate(t *testing.T) {
	dir, base := t.TempDir(), "https://localhost:"+loopback.Port()
	chain, key := filepath.Join(dir, "chain.pem"), filepath.Join(dir, "key.pem")
	roots := writeCertificate(t, chain, key)
	p := start(t, dir, base, environment("PARVIS_TLS_CERTIFICATE="+chain, "PARVIS_TLS_KEY="+key))
	client := func(c *tls.Config) *http.Client {
		return &http.Client{Transport: &http.Transport{TLSClientConfig: c, ForceAttemptHTTP2: true, DisableKeepAlives: true}}
	}
	w, err := client(&tls.Config{RootCAs: roots}).Get(base + "/sign-in")
	if err != nil {
		t.Fatal(err)
	}
	w.Body.Close()
	expect.Equal(t, "StatusCode", w.StatusCode, http.StatusOK)
	expect.Equal(t, "ProtoMajor", w.ProtoMajor, 2)
	expect.Equal(t, "Version", w.TLS.Version, tls.VersionTLS13)
	if w.Header.Get("Strict-Transport-Security") == "" {
		t.Errorf("status %d over HTTP/%d, TLS %x, %v", w.StatusCode, w.ProtoMajor, w.TLS.Version, w.Header)
	}
	for what, weak := range map[string]*tls.Config{
		"TLS 1.1":                         {RootCAs: roots, MaxVersion: tls.VersionTLS11},
		"a suite without forward secrecy": {RootCAs: roots, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_AES_256_GCM_SHA384}},
	} {
		if w, err := client(weak).Get(base); err == nil {
			w.Body.Close()
			t.Errorf("it speaks %s", what)
		}
	}
	if err := p.stop(); err != nil {
		t.Error(err)
	}
}

func writeCertificate(t *testing.T, chain, key string) *x509.CertPool {
	t.Helper()
	c, k, err := newCertificate("localhost")
	if err != nil {
		t.Fatal(err)
	}
	for path, content := range map[string][]byte{chain: c, key: k} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(c)
	return roots
}

func TestACertificateIsReadAgainAfterItsRenewal(t *testing.T) {
	d, clock := dbtest.Open(t)
	dir := t.TempDir()
	c := &certificate{chain: filepath.Join(dir, "c"), key: filepath.Join(dir, "k"), db: d, log: slog.New(logHandler(&text{}, true, slog.LevelInfo))}
	writeCertificate(t, c.chain, c.key)
	serial := func() string {
		t.Helper()
		pair, err := c.current()
		if err != nil {
			t.Fatal(err)
		}
		return pair.Leaf.SerialNumber.String()
	}
	first := serial()
	writeCertificate(t, c.chain, c.key)
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(c.chain, later, later); err != nil {
		t.Fatal(err)
	}
	if serial() != first {
		t.Error("the file is read at every connection")
	}
	clock.Advance(lookAgain)
	second := serial()
	if second == first {
		t.Error("the renewed certificate is not used")
	}
	if err := os.WriteFile(c.chain, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	clock.Advance(lookAgain)
	if serial() != second {
		t.Error("a file that cannot be read replaced the certificate")
	}
}

// A role that may change rows but not tables is enough for serve, once the owner of the tables
// has migrated (R-CFG-02).
func TestServeNeedsNoRightToAlterTables(t *testing.T) {
	if !onPostgres() {
		t.Skip("SQLite has no roles")
	}
	address := dbtest.Address(t)
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	role := "r_" + strings.TrimPrefix(u.Path, "/")
	execAll(t, address, "create role "+role+" login password 'secret'", "revoke create on schema public from public",
		"grant select, insert, update, delete on all tables in schema public to "+role)
	t.Cleanup(func() { execAll(t, address, "drop owned by "+role, "drop role "+role) })
	u.User = url.UserPassword(role, "secret")
	dir, base := t.TempDir(), "http://localhost:"+loopback.Port()
	env := environment("PARVIS_DATABASE=" + u.String())
	p := start(t, dir, base, env)
	if status := get(t, owner(t, p), base+"/o/meridian/home"); status != http.StatusOK {
		t.Errorf("home is answered %d\n%s", status, p.log)
	}
	if err := p.stop(); err != nil {
		t.Error(err)
	}
	if strings.Contains(p.log.String(), `"ERROR"`) {
		t.Errorf("the log has errors:\n%s", p.log)
	}
}

// execAll runs statements in one transaction, so that a server writes nothing between them.
func execAll(t *testing.T, address string, statements ...string) {
	t.Helper()
	d, err := db.Open(context.Background(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.Update(context.Background(), func(tx *db.Tx) error {
		for _, s := range statements {
			if _, err := tx.Exec(context.Background(), s); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// Somebody who closes the terminal that started a server, or sends a hang-up by habit so that it
// reads its settings again, ends nobody's sign-in.
func TestAHangUpEndsNoServer(t *testing.T) {
	dir, base := t.TempDir(), "http://localhost:"+loopback.Port()
	env := environment()
	if onPostgres() {
		env = environment("PARVIS_DATABASE=" + dbtest.Address(t))
	}
	p := start(t, dir, base, env)
	for range 3 {
		if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	expect.Equal(t, "status", get(t, http.DefaultClient, base+"/"), http.StatusOK)
	if err := p.stop(); err != nil {
		t.Error(err)
	}
}

// A unit that may not write to its folder, as with ProtectSystem=strict, ends with a sentence that says
// what to do, and leaves nothing behind.
func TestAServerWithoutRightsToItsFolderSaysSo(t *testing.T) {
	folder := t.TempDir()
	if os.Getuid() == 0 { // whom no mode keeps out
		if syscall.Mount("tmpfs", folder, "tmpfs", syscall.MS_RDONLY, "size=1m") != nil {
			t.Skip("this machine lets nobody mount")
		}
		defer func() { _ = syscall.Unmount(folder, syscall.MNT_DETACH) }()
	} else if err := os.Chmod(folder, 0o500); err != nil {
		t.Fatal(err)
	}
	for _, data := range []string{folder, filepath.Join(folder, "below")} {
		env := environment("PARVIS_PUBLIC_ADDRESS=http://localhost:"+loopback.Port(), "PARVIS_OPERATIONS_LISTEN=off")
		if onPostgres() {
			env = append(env, "PARVIS_DATABASE="+dbtest.Address(t))
		}
		out, errs, code := parvis(t, t.TempDir(), env, "serve", "--data", data)
		if code != exitFailed || out != "" {
			t.Errorf("a server without rights to %s ended with %d and said %s", data, code, out)
		}
		for _, says := range []string{"has no right to " + folder, "ReadWritePaths="} {
			if !strings.Contains(errs, says) {
				t.Errorf("a server without rights to %s said %s, want %q", data, errs, says)
			}
		}
	}
}
