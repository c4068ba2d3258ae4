package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"parvis/internal/dbtest"
	"parvis/internal/loopback"
	"parvis/internal/mailbox"
	"parvis/internal/page"
)

// A patient is an installation on which a server runs.
type patient struct {
	dir, base, database string
	env                 []string
}

func newPatient(t *testing.T) patient {
	t.Helper()
	p := patient{dir: t.TempDir(), base: "http://localhost:" + loopback.Port()}
	p.database = filepath.Join(p.dir, "data", "parvis.db")
	p.env = environment("PARVIS_PUBLIC_ADDRESS=" + p.base)
	if onPostgres() {
		p.database = dbtest.Address(t)
		p.env = append(p.env, "PARVIS_DATABASE="+p.database)
	}
	return p
}

func (p patient) start(t *testing.T, args ...string) *process {
	t.Helper()
	return start(t, p.dir, p.base, p.env, args...)
}

// doctor returns its lines by check, and its exit code.
func (p patient) doctor(t *testing.T, more ...string) (map[string]string, int) {
	t.Helper()
	out, _, code := parvis(t, p.dir, append(p.env, more...), "doctor")
	lines := map[string]string{}
	for line := range strings.Lines(out) {
		if len(line) < 22 {
			t.Fatalf("a line that is none: %q in\n%s", line, out)
		}
		check := strings.TrimSpace(line[6:20])
		lines[check] += strings.TrimSpace(line[:4]) + " " + strings.TrimSpace(line[22:])
	}
	return lines, code
}

// wantLine wants the line of a check to begin with a mark, and to contain something.
func wantLine(t *testing.T, lines map[string]string, check, mark, says string) {
	t.Helper()
	if got := lines[check]; !strings.HasPrefix(got, mark+" ") || !strings.Contains(got, says) {
		t.Errorf("%s: got %q, want %s and %q", check, got, mark, says)
	}
}

func TestDoctorFindsNothingWrongWithAHealthyInstallation(t *testing.T) {
	p := newPatient(t)
	box, err := mailbox.Start(t.Context(), "127.0.0.1:0", mailbox.Options{Username: "parvis", Password: "hunter2"})
	if err != nil {
		t.Fatal(err)
	}
	p.env = append(p.env, "PARVIS_MAIL_ADDRESS="+box.Address(), "PARVIS_MAIL_TLS=none", "PARVIS_MAIL_FROM=no-reply@parvis.test",
		"PARVIS_MAIL_USERNAME=parvis")
	server := start(t, p.dir, p.base, append(p.env, "PARVIS_MAIL_PASSWORD=hunter2"))
	lines, code := p.doctor(t, "PARVIS_MAIL_PASSWORD=hunter2")
	if code != 0 {
		t.Errorf("exit code %d: %v", code, lines)
	}
	for _, check := range []string{"configuration", "data folder", "disk space", "database", "keys", "audit log", "public address", "proxy", "mail server"} {
		wantLine(t, lines, check, "ok", "")
	}
	wantLine(t, lines, "clock", "ok", "not compared")
	for _, line := range lines {
		if strings.Contains(line, "hunter2") {
			t.Errorf("doctor prints a password: %s", line)
		}
	}

	// First a wrong password, then no mail server.
	lines, code = p.doctor(t, "PARVIS_MAIL_PASSWORD=hunter3")
	wantLine(t, lines, "mail server", "FAIL", box.Address())
	if code != 1 {
		t.Errorf("exit code %d", code)
	}
	box.Close()
	lines, _ = p.doctor(t, "PARVIS_MAIL_PASSWORD=hunter2")
	wantLine(t, lines, "mail server", "FAIL", "connection refused")

	// A misspelt variable, a wrong setting.
	lines, _ = p.doctor(t, "PARVIS_MAIL_PASSWORD=hunter2", "PARVIS_PUBLIC_ADRESS=x")
	wantLine(t, lines, "configuration", "ok", "file: nonenote there is no variable PARVIS_PUBLIC_ADRESS")
	lines, code = p.doctor(t)
	wantLine(t, lines, "configuration", "FAIL", "[mail] needs both username and password")
	if code != 1 || len(lines) != 1 {
		t.Errorf("exit code %d, %v", code, lines)
	}
	if err := server.stop(); err != nil {
		t.Error(err)
	}
}

func TestDoctorFindsAWrongPublicAddress(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	server := p.start(t)
	if err := server.stop(); err != nil {
		t.Fatal(err)
	}
	lines, code := p.doctor(t)
	wantLine(t, lines, "public address", "FAIL", "nothing listens there. Start 'parvis serve'")
	if code != 1 {
		t.Errorf("exit code %d", code)
	}

	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }))
	defer elsewhere.Close()
	lines, _ = p.doctor(t, "PARVIS_PUBLIC_ADDRESS="+elsewhere.URL)
	wantLine(t, lines, "public address", "FAIL", "something other than parvis answers there, with status 200")

	leading := httptest.NewServer(http.RedirectHandler("https://www.parvis.test/", http.StatusFound))
	defer leading.Close()
	lines, _ = p.doctor(t, "PARVIS_PUBLIC_ADDRESS="+leading.URL)
	wantLine(t, lines, "public address", "FAIL", "it leads elsewhere, to https://www.parvis.test/")

	other := newPatient(t)
	other.start(t)
	lines, _ = p.doctor(t, "PARVIS_PUBLIC_ADDRESS="+other.base)
	wantLine(t, lines, "public address", "FAIL", "is answered by another installation")

	lines, _ = p.doctor(t, "PARVIS_PUBLIC_ADDRESS=https://no-such-name.invalid")
	wantLine(t, lines, "public address", "FAIL", "Enter the name in DNS")
}

// proxied puts a proxy in front of a server that listens elsewhere.
func proxied(t *testing.T, change func(*httputil.ProxyRequest)) (front, back string) {
	t.Helper()
	back = "127.0.0.1:" + loopback.Port()
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: back})
		r.Out.Host = r.In.Host
		r.SetXForwarded()
		change(r)
	}})
	t.Cleanup(proxy.Close)
	return "http://localhost:" + port(proxy.Listener.Addr().String()), back
}

func TestDoctorFindsAProxyThatIsNotTrusted(t *testing.T) {
	p := newPatient(t)
	var back string
	p.base, back = proxied(t, func(*httputil.ProxyRequest) {})
	p.env[2] = "PARVIS_PUBLIC_ADDRESS=" + p.base
	server := p.start(t, "--listen", back)
	lines, code := p.doctor(t)
	wantLine(t, lines, "public address", "ok", "is answered by this installation")
	wantLine(t, lines, "proxy", "FAIL", `write trusted_proxies = ["127.0.0.1"]`)
	if code != 1 {
		t.Errorf("exit code %d", code)
	}
	for range 3 {
		get(t, http.DefaultClient, p.base+"/sign-in")
	}
	if err := server.stop(); err != nil {
		t.Error(err)
	}
	if n := strings.Count(server.log.String(), "forwarding headers of an untrusted peer are ignored"); n != 1 {
		t.Errorf("the server warns %d times of the proxy, want once\n%s", n, server.log)
	}

	p.env = append(p.env, "PARVIS_TRUSTED_PROXIES=127.0.0.1")
	p.start(t, "--listen", back)
	lines, code = p.doctor(t)
	wantLine(t, lines, "proxy", "ok", "trusted, and says for whom it asks")
	if code != 0 {
		t.Errorf("exit code %d: %v", code, lines)
	}
}

func TestDoctorFindsAProxyThatNamesNoAddress(t *testing.T) {
	p := newPatient(t)
	var back string
	p.base, back = proxied(t, func(r *httputil.ProxyRequest) { r.Out.Header.Set("X-Forwarded-For", "unknown") })
	p.env[2] = "PARVIS_PUBLIC_ADDRESS=" + p.base
	p.env = append(p.env, "PARVIS_TRUSTED_PROXIES=127.0.0.1")
	p.start(t, "--listen", back)
	lines, code := p.doctor(t)
	wantLine(t, lines, "proxy", "FAIL", "but the client address that it writes cannot be read")
	if code != 1 {
		t.Errorf("exit code %d", code)
	}
}

func TestDoctorFindsRegionsThatShareKeys(t *testing.T) {
	t.Parallel()
	eu, us := newPatient(t), newPatient(t)
	us.base = strings.Replace(us.base, "localhost", "us.localhost", 1)
	lost := "http://ap.localhost:" + loopback.Port()
	regions := fmt.Sprintf(`PARVIS_REGIONS=[{"id":"eu","address":%q,"name":{"en":"Europe"}},{"id":"us","address":%q,"name":{"en":"Americas"}},
		{"id":"ap","address":%q,"name":{"en":"Asia"}}]`, eu.base, us.base, lost)
	eu.env = append(eu.env, regions, "PARVIS_REGION=eu")
	us.env = append(us.env, regions, "PARVIS_REGION=us")
	us.env[2] = "PARVIS_PUBLIC_ADDRESS=" + us.base
	servers := []*process{eu.start(t), us.start(t)}
	lines, code := eu.doctor(t)
	wantLine(t, lines, "regions", "ok", "this is eu, one of 3")
	wantLine(t, lines, "regions", "ok", "us answers at "+us.base+", with keys of its own")
	wantLine(t, lines, "regions", "ok", "note no parvis answers this machine for ap at "+lost)
	if code != 0 {
		t.Errorf("exit code %d: %v", code, lines)
	}

	// Somebody who copies the data folder to begin a region copies its keys too.
	for _, s := range servers {
		if err := s.stop(); err != nil {
			t.Fatal(err)
		}
	}
	copied := newPatient(t)
	copied.base, copied.env = us.base, us.env
	data := filepath.Join(copied.dir, "data")
	if err := errors.Join(os.CopyFS(data, os.DirFS(filepath.Join(eu.dir, "data"))), os.Chmod(filepath.Join(data, "keys"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if onPostgres() {
		copied.env = append(slices.Clone(us.env), "PARVIS_DATABASE="+eu.database)
	}
	copied.start(t)
	lines, _ = eu.doctor(t)
	wantLine(t, lines, "regions", "ok", "FAIL us, at "+us.base+", has the keys of this region")
}

// Two regions that share a key understand each other, or doctor says which of the two is to do what.
func TestDoctorNamesWhatIsWrongBetweenRegions(t *testing.T) {
	t.Parallel()
	eu, us := newPatient(t), newPatient(t)
	us.base = strings.Replace(us.base, "localhost", "us.localhost", 1)
	list := fmt.Sprintf(`PARVIS_REGIONS=[{"id":"eu","address":%q,"name":{"en":"Europe"}},{"id":"us","address":%q,"name":{"en":"Americas"}}]`, eu.base, us.base)
	key, another := strings.Repeat("A", 43), strings.Repeat("B", 42)+"A"
	eu.env = append(eu.env, list, "PARVIS_REGION=eu", "PARVIS_REGION_KEYS=us="+key)
	us.env[2] = "PARVIS_PUBLIC_ADDRESS=" + us.base
	own := slices.Clone(us.env)
	eu.start(t)
	for _, c := range []struct {
		env  []string
		mark string
		want string
	}{
		{[]string{list, "PARVIS_REGION=us", "PARVIS_REGION_KEYS=eu=" + key}, "ok", "us answers at " + us.base + ", with keys of its own, and can be asked for names"},
		{[]string{list, "PARVIS_REGION=us", "PARVIS_REGION_KEYS=eu=" + another}, "FAIL", "us cannot be asked for names: it has another key for eu than this region for us"},
		{[]string{list, "PARVIS_REGION=us"}, "FAIL", "us cannot be asked for names: it shares no key with eu"},
		{[]string{strings.NewReplacer(`"eu"`, `"us"`, `"us"`, `"eu"`).Replace(list), "PARVIS_REGION=eu", "PARVIS_REGION_KEYS=us=" + key}, "FAIL", "us cannot be asked for names: the installation at " + us.base + " is eu too. Two regions have one id"},
		{[]string{strings.Replace(list, `"us"`, `"ap"`, 1), "PARVIS_REGION=ap", "PARVIS_REGION_KEYS=eu=" + key}, "FAIL", "us cannot be asked for names: the installation at " + us.base + " is ap"},
	} {
		us.env = append(slices.Clone(own), c.env...)
		server := us.start(t)
		lines, code := eu.doctor(t)
		wantLine(t, lines, "regions", "ok", c.mark+" "+c.want)
		if (code == 0) != (c.mark == "ok") {
			t.Errorf("%s: exit code %d", c.want, code)
		}
		if err := server.stop(); err != nil {
			t.Fatal(err)
		}
	}
	lines, _ := eu.doctor(t)
	wantLine(t, lines, "regions", "ok", "FAIL no parvis answers this machine for us at "+us.base)

	// Without the other region no organization is made, unless somebody says so; its names are compared later.
	create := func(more ...string) (string, string, int) {
		return parvis(t, eu.dir, eu.env, append([]string{"organization", "create", "Alpha Works", "--short-name", "alpha", "--owner", "ana@alpha.test"}, more...)...)
	}
	if _, said, code := create(); code == 0 || !strings.Contains(said, "--unreachable REGION") || !strings.Contains(said, "no answer from us") {
		t.Errorf("created without the other region: %d %s", code, said)
	}
	if _, said, code := create("--unreachable", "ap"); code == 0 || !strings.Contains(said, "none of the other regions") {
		t.Errorf("--unreachable ap: %d %s", code, said)
	}
	if _, said, code := create("--unreachable", "us"); code != 0 {
		t.Errorf("--unreachable us: %d %s", code, said)
	}
	us.env = append(slices.Clone(own), list, "PARVIS_REGION=us", "PARVIS_REGION_KEYS=eu="+key)
	us.start(t)
	// What a region tells may be a second old, so first somebody is led there by the new name.
	here := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, "127.0.0.1:"+port(us.base)) // whatever resolves us.localhost
	}}}
	for until := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		_, body, err := sendTo(here, us.base+page.OrganizationPath, url.Values{"organization": {"Alpha Works"}})
		if err == nil && strings.Contains(body, `content="0; url=`+eu.base) {
			break
		}
		if time.Now().After(until) {
			t.Fatalf("nobody is led to eu, %v: %s", err, body)
		}
	}
	if _, said, code := parvis(t, us.dir, us.env, "organization", "create", "Alpha works", "--short-name", "alpha-us", "--owner", "ana@alpha.test"); code == 0 ||
		!strings.Contains(said, "in the region eu has this name") {
		t.Errorf("a name of the other region: %d %s", code, said)
	}
}

func TestDoctorFindsAProxyThatAltersRequests(t *testing.T) {
	p := newPatient(t)
	var back string
	p.base, back = proxied(t, func(r *httputil.ProxyRequest) { r.Out.Host = "backend" })
	p.env[2] = "PARVIS_PUBLIC_ADDRESS=" + p.base
	p.env = append(p.env, "PARVIS_TRUSTED_PROXIES=127.0.0.1")
	p.start(t, "--listen", back)
	lines, _ := p.doctor(t)
	wantLine(t, lines, "public address", "FAIL", "the proxy in front asks the server under another name")
}

func TestDoctorTellsOfRefusedLetters(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	box, err := mailbox.Start(t.Context(), "127.0.0.1:0", mailbox.Options{Recipient: func(address string) error {
		if strings.HasPrefix(address, "gone") {
			return mailbox.Refuse(550, "no such user, see https://mail.test/quoted")
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	p.env = append(p.env, "PARVIS_MAIL_ADDRESS="+box.Address(), "PARVIS_MAIL_TLS=none", "PARVIS_MAIL_FROM=no-reply@parvis.test")
	p.start(t)
	waitUntilLettersAreSent(t, dbtest.OpenAt(t, p.database))
	invite := func(short, owner, says string) {
		t.Helper()
		if out, _, _ := parvis(t, p.dir, p.env, "organization", "create", short, "--short-name", short, "--owner", owner); !strings.Contains(out, says) {
			t.Fatalf("printed %s, want %s", out, says)
		}
	}
	invite("lumen", "lin@lumen.test", "was sent")
	if lines, _ := p.doctor(t); lines["letters"] != "" {
		t.Errorf("of letters that were taken doctor says %q", lines["letters"])
	}
	invite("cobalt", "gone@cobalt.test", "was refused")
	invite("halden", "gone2@halden.test", "was refused")
	const says = "2 refused in the last 7 days, or not accepted yet, because the mail server answered 550: The mail server refuses the e-mail"
	lines, code := p.doctor(t)
	wantLine(t, lines, "letters", "note", says)
	if code != 0 {
		t.Errorf("exit code %d for what only a mail server's operator can mend", code)
	}
	if strings.Contains(lines["letters"], "quoted") || strings.Contains(lines["letters"], "gone") {
		t.Errorf("doctor repeats the server's words, or names somebody: %q", lines["letters"])
	}
	box.Close()
	lines, _ = p.doctor(t)
	wantLine(t, lines, "mail server", "FAIL", "connection refused")
	wantLine(t, lines, "letters", "note", says)
	execAll(t, p.database, fmt.Sprintf(`update letters set bounced_at = %d where bounced_at > 0`, time.Now().Add(-refusalsShown-time.Minute).UnixMicro()))
	if lines, _ = p.doctor(t); lines["letters"] != "" {
		t.Errorf("a week later doctor says %q", lines["letters"])
	}
}

// The name is that of the public address, not of the machine, which may not be in the DNS.
func TestTheMailServerIsGreetedByThePublicHost(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	heard := make(chan string, 1)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(c, "220 mail.test ESMTP\r\n")
			line, _ := bufio.NewReader(c).ReadString('\n') // empty if it was cut, which is not what the test wants
			fmt.Fprint(c, "421 4.3.2 closing\r\n")
			c.Close()
			heard <- strings.TrimSpace(line)
		}
	}()
	for address, want := range map[string]string{
		"https://sign-in.meridian.test":      "EHLO sign-in.meridian.test",
		"https://sign-in.meridian.test:8443": "EHLO sign-in.meridian.test",
		"https://192.0.2.7":                  "EHLO [192.0.2.7]",
		"https://[2001:db8::7]":              "EHLO [IPv6:2001:db8::7]",
	} {
		parvis(t, t.TempDir(), environment("PARVIS_PUBLIC_ADDRESS="+address, "PARVIS_MAIL_ADDRESS="+l.Addr().String(),
			"PARVIS_MAIL_TLS=none", "PARVIS_MAIL_FROM=no-reply@meridian.test"), "doctor")
		select {
		case got := <-heard:
			if got != want {
				t.Errorf("at %s the mail server heard %q, want %q", address, got, want)
			}
		case <-time.After(patience):
			t.Errorf("at %s the mail server heard nothing", address)
		}
	}
}

func TestDoctorLooksAfterWhatIsStored(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	lines, code := p.doctor(t)
	wantLine(t, lines, "data folder", "FAIL", "there is no folder data")
	wantLine(t, lines, "keys", "FAIL", "data/keys is missing")
	if code != 1 {
		t.Errorf("exit code %d", code)
	}
	if _, err := os.Stat(filepath.Join(p.dir, "data")); err == nil {
		t.Error("doctor made a data folder")
	}
	server := p.start(t)
	owner(t, server)
	for range 100 { // until a sweep has sealed something
		if lines, _ = p.doctor(t); !strings.Contains(lines["audit log"], " 0 sealed") {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	wantLine(t, lines, "audit log", "ok", " are intact")
	blind := p
	blind.dir = t.TempDir() // another machine: the keys, and nothing that a node knows
	if err := os.MkdirAll(filepath.Join(blind.dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(blind.dir, "data", "keys"), []byte(read(t, filepath.Join(p.dir, "data", "keys"))), 0o600); err != nil {
		t.Fatal(err)
	}
	if onPostgres() {
		lines, _ = blind.doctor(t)
		wantLine(t, lines, "audit log", "note", "it cannot tell whether an older database was put in place")
	}
	if err := os.Chmod(filepath.Join(p.dir, "data"), 0o750); err != nil {
		t.Fatal(err)
	}
	execAll(t, p.database, `update audit_events set actor_name = 'Eve' where leaf = 0`)
	lines, _ = p.doctor(t)
	wantLine(t, lines, "audit log", "FAIL", "the audit log was altered: event 0 ")
	wantLine(t, lines, "data folder", "FAIL", "chmod 700 data")
	execAll(t, p.database, `update clients set settings = replace(settings, '"algorithm"', '"audience":"`+p.base+`/","algorithm"') where id = 'architect'`)
	lines, _ = p.doctor(t)
	if want := "note Architect (architect) works as it was registered, but would be refused today: --audience: “" + p.base + "/” begins with the address of Parvis"; !strings.Contains(lines["applications"], want) {
		t.Errorf("of applications it says %q, want %q", lines["applications"], want)
	}
	execAll(t, p.database, `update installation set value = 'sealing x y' where name = 'keys'`)
	lines, _ = p.doctor(t)
	wantLine(t, lines, "keys", "FAIL", "are not the keys of this database")
	if err := server.stop(); err != nil {
		t.Error(err)
	}
}

// The operator is shown an application that does not accept the message that a session ended,
// and one that works and has no tile, which is not told to replace its redirect addresses.
func TestDoctorLooksAfterApplications(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	if err := p.start(t).stop(); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) string {
		t.Helper()
		out, errs, code := parvis(t, p.dir, p.env, append([]string{"application"}, args...)...)
		if code != 0 {
			t.Fatalf("parvis application %q: %d %s", args, code, errs)
		}
		return out
	}
	run("set", "architect", "--redirect-uri", "https://architect.example/callback")
	execAll(t, p.database, `
		insert into logouts (org_id, id, client_id, user_id, session_id, created_at, next_try_at, tries, tried_at, reply)
		values ('org', 'out', 'collaborate', 'user', 'session', 1000000, 1800000000000000, 1, 1700000000000000, '503 Service Unavailable')`)
	lines, _ := p.doctor(t)
	for _, want := range []string{
		"FAIL collaborate does not accept messages about ended sessions: failed at 2023-11-14 22:13:20: it answered 503 Service Unavailable; 1 waiting, next try at 2027-01-15 08:00:00.",
		"note Architect has no tile, since it has no address yet: parvis application set architect --address URL",
	} {
		if !strings.Contains(lines["applications"], want) {
			t.Errorf("of applications it says %q, want %q", lines["applications"], want)
		}
	}
	if shown, want := run("show", "collaborate"), "told of ended sessions  failed at 2023-11-14 22:13:20: it answered 503 Service Unavailable; 1 waiting"; !strings.Contains(shown, want) {
		t.Errorf("show says %q, want %q", shown, want)
	}
}

func TestDoctorFindsADatabaseThatItCannotWrite(t *testing.T) {
	if !onPostgres() {
		t.Skip("root writes every file; roles there are on PostgreSQL")
	}
	p := newPatient(t)
	if err := p.start(t).stop(); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(p.database)
	if err != nil {
		t.Fatal(err)
	}
	role := "r_" + strings.TrimPrefix(u.Path, "/")
	execAll(t, p.database, "create role "+role+" login password 'secret'", "grant select on all tables in schema public to "+role)
	t.Cleanup(func() { execAll(t, p.database, "drop owned by "+role, "drop role "+role) })
	u.User = url.UserPassword(role, "secret")
	lines, _ := p.doctor(t, "PARVIS_DATABASE="+u.String())
	wantLine(t, lines, "database", "FAIL", "it cannot be written")
	u.Host = "127.0.0.1:1"
	lines, _ = p.doctor(t, "PARVIS_DATABASE="+u.String())
	wantLine(t, lines, "database", "FAIL", "It does not answer")
}

func TestDoctorNamesWhatIsWrongWithPostgreSQL(t *testing.T) {
	if !onPostgres() {
		t.Skip("SQLite has neither logins nor connections")
	}
	p := newPatient(t)
	if err := p.start(t).stop(); err != nil {
		t.Fatal(err)
	}
	role := dbtest.NewRole(t, p.database)
	says := func(address, want string) {
		t.Helper()
		lines, _ := p.doctor(t, "PARVIS_DATABASE="+address)
		wantLine(t, lines, "database", "FAIL", want)
	}
	role.Revoke()
	says(role.Address, "A right is missing")
	role.Shut()
	says(role.Address, "refuses the login")
	silent, err := net.Listen("tcp", "127.0.0.1:0") // and nobody accepts
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	says("postgres://parvis@"+silent.Addr().String()+"/parvis", "does not answer")
}

func TestDoctorJudgesClocks(t *testing.T) {
	now := dbtest.Start
	tests := map[string]struct {
		other time.Time
		want  string
	}{
		"the same":     {now.Add(-time.Second), "ok    clock           agrees with the moon"},
		"we are ahead": {now.Add(-90 * time.Second), "FAIL  clock           this machine is 1m30s ahead of the moon."},
		"we lag":       {now.Add(time.Hour), "FAIL  clock           this machine is 1h0m0s behind the moon."},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var out text
			d := doctor{out: &out}
			d.compare(now, tt.other, "the moon")
			if !strings.HasPrefix(out.String(), tt.want) || (d.failed > 0) != strings.HasPrefix(tt.want, "FAIL") {
				t.Errorf("got %q, want %q", out.String(), tt.want)
			}
		})
	}
}
