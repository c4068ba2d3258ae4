package main

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"parvis/cmd/parvis/keyring"
	"parvis/internal/dbtest"
	"parvis/internal/expect"
	"parvis/internal/i18n"
	"parvis/internal/loopback"
	"parvis/internal/secret"
)

// What an operator changes in the file and in those that it names is in force after SIGHUP, as far as the
// server can change it while it runs, and the log says what waits.
func TestAHangUpHasTheConfigurationReadAgain(t *testing.T) {
	dir := t.TempDir()
	base := "https://localhost:" + loopback.Port()
	env, memory := environment("PARVIS_AUDIT_PRINT=installation"), "off" // unlike what is in force unless set
	if onPostgres() {
		env, memory = environment("PARVIS_AUDIT_PRINT=installation", "PARVIS_DATABASE="+dbtest.Address(t)), "on"
	}
	config := filepath.Join(dir, "parvis.toml")
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	writeCertificate(t, filepath.Join(dir, "c"), filepath.Join(dir, "k"))
	tlsPart := "[tls]\ncertificate = \"c\"\nkey = \"k\"\n"
	write("parvis.toml", tlsPart)
	p := start(t, dir, base, env, "--config", config)
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // Which certificate it is, is what is asked.
	serial := func() string {
		t.Helper()
		r, err := c.Get(base + "/sign-in")
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		return r.TLS.PeerCertificates[0].SerialNumber.String()
	}
	hangUp := func(said string) {
		t.Helper()
		before := strings.Count(p.log.String(), said)
		if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		for until := time.Now().Add(30 * time.Second); strings.Count(p.log.String(), said) == before; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(until) {
				t.Fatalf("the log does not say %q:\n%s", said, p.log)
			}
		}
	}

	first := serial()
	writeCertificate(t, filepath.Join(dir, "c"), filepath.Join(dir, "k"))
	later := time.Now().Add(time.Hour) // two files of one moment look alike
	if err := os.Chtimes(filepath.Join(dir, "c"), later, later); err != nil {
		t.Fatal(err)
	}
	write("leaked", testPassword+"\n")
	write("parvis.toml", "breached_passwords = \"leaked\"\ndatabase_memory = \""+memory+"\"\n"+tlsPart)
	hangUp("configuration read again")
	second := serial()
	if second == first {
		t.Error("the renewed certificate is not used")
	}
	if !strings.Contains(p.log.String(), `"settings":"database_memory"`) {
		t.Errorf("the log does not name what waits for a restart:\n%s", p.log)
	}
	catalogue, err := i18n.Load()
	if err != nil {
		t.Fatal(err)
	}
	leaked := catalogue.In("en").Text("credential.reason.breached")
	if c.Jar, err = cookiejar.New(nil); err != nil {
		t.Fatal(err)
	}
	link := regexp.MustCompile(`https://\S+/setup/\S+`).FindString(p.out.String())
	create := func() string {
		t.Helper()
		expect.Equal(t, "status of the set-up link", get(t, c, link), http.StatusOK)
		_, body, err := sendTo(c, link, url.Values{
			"organization": {"Meridian Freight"}, "short_name": {"meridian"}, "name": {"Ana"}, "email": {"ana@meridian.test"},
			"password": {testPassword}, "repetition": {testPassword},
		})
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	if body := create(); !strings.Contains(body, leaked) {
		t.Errorf("a password of the new list is taken: %s", body)
	}

	for _, name := range []string{"nowhere", "."} { // the second can be opened, and is no list
		write("parvis.toml", "breached_passwords = \""+name+"\"\n"+tlsPart)
		hangUp("configuration not read again")
	}
	eventually(t, "password.list_unreadable of both lists", func() bool {
		return strings.Count(p.out.String(), `"password.list_unreadable"`) == 2
	})
	if body := create(); !strings.Contains(body, leaked) {
		t.Errorf("the list that was in force is not: %s", body)
	}

	write("parvis.toml", "[log]\nlevel = \"quiet\"\n[tls]\ncertificate = \"k\"\nkey = \"c\"\n")
	hangUp(`[log] level is \"debug\", \"info\"`)
	expect.Equal(t, "serial number after a bad file", serial(), second)

	write("parvis.toml", "[log]\nlevel = \"warn\"\n"+tlsPart+"[links]\nhelp = \"https://help.meridian.test\"\n")
	hangUp(`"settings":"[links] help`)
	before := p.log.String()
	if body := create(); strings.Contains(body, leaked) {
		t.Errorf("the list that was taken away is still in force: %s", body)
	}
	if err := p.stop(); err != nil {
		t.Error(err)
	}
	if after, _ := strings.CutPrefix(p.log.String(), before); strings.Contains(after, `"INFO"`) {
		t.Errorf("the level is not raised: %s", after)
	}
}

// systemd is told when the server answers, and when it begins to end.
func TestSystemdIsTold(t *testing.T) {
	dir, base := t.TempDir(), "http://localhost:"+loopback.Port()
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: filepath.Join(dir, "notify")})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	env := environment("NOTIFY_SOCKET=" + filepath.Join(dir, "notify"))
	if onPostgres() {
		env = append(env, "PARVIS_DATABASE="+dbtest.Address(t))
	}
	p := start(t, dir, base, env)
	told := func() string {
		t.Helper()
		text := make([]byte, 100)
		if err := socket.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := socket.Read(text)
		if err != nil {
			t.Fatal(err)
		}
		return string(text[:n])
	}
	expect.Equal(t, "said at the start", told(), "READY=1")
	expect.Equal(t, "status once it is ready", get(t, http.DefaultClient, base+"/sign-in"), http.StatusOK)
	if err := p.stop(); err != nil {
		t.Error(err)
	}
	expect.Equal(t, "said at the end", told(), "STOPPING=1")
}

// Root hands a secret to a service as a file that a group may read and nobody may change; a service that
// owns its keys keeps them from its group.
func TestKeysMayBeLentByRoot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	if err := keyring.Write(path, secret.NewKeys()); err != nil {
		t.Fatal(err)
	}
	for mode, lent := range map[os.FileMode]bool{0o400: true, 0o440: os.Geteuid() == 0, 0o460: false, 0o444: false, 0o450: false} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := keyring.Read(path); (err == nil) != lent {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
}
