package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"parvis/cmd/parvis/keyring"
	"parvis/internal/expect"
	"parvis/internal/idptest"
	"parvis/internal/loopback"
	"parvis/internal/secret"
)

var (
	addedKey  = regexp.MustCompile(`^(k_[a-z2-7]{8}) was added`)
	resetLink = regexp.MustCompile(`http://localhost:\d+/reset/[A-Za-z0-9_-]{43}`)
)

// reload has a server read its file of keys again.
func (p *process) reload(t *testing.T) {
	t.Helper()
	const said = "configuration read again"
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

// told runs a command that ends badly once the servers have changed over, and says why.
func (l *lived) told(says string, args ...string) {
	l.t.Helper()
	if out, errors, code := l.ends(args...); code == 0 || !strings.Contains(errors, says) {
		l.t.Errorf("%v ended with %d, and does not say %q: %s%s", args, code, says, out, errors)
	}
}

// settles runs a command once the servers have changed over, within seconds.
func (l *lived) settles(args ...string) string {
	l.t.Helper()
	out, errors, code := l.ends(args...)
	if code != 0 {
		l.t.Fatalf("%v ended with %d: %s%s", args, code, out, errors)
	}
	return out
}

// ends runs a command until it no longer asks to be tried again.
func (l *lived) ends(args ...string) (out, errors string, code int) {
	l.t.Helper()
	for until := time.Now().Add(30 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		out, errors, code = parvis(l.t, l.dir, l.env, args...)
		if code == 0 || !strings.Contains(errors, "try again") || time.Now().After(until) {
			return out, errors, code
		}
	}
}

// signsIn signs the owner in with the password and a code of the app.
func (l *lived) signsIn(base string, code time.Time) {
	l.t.Helper()
	c := browser(l.t)
	get(l.t, c, base+"/o/meridian")
	at, body, err := sendTo(c, base+"/o/meridian", url.Values{"email": {"ana@meridian.test"}, "password": {testPassword}})
	if err == nil && strings.Contains(at, "/sign-in/") {
		at, body, err = sendTo(c, at, url.Values{"code": {idptest.Code(l.totp, code)}})
	}
	if err != nil || !strings.HasSuffix(at, "/o/meridian/home") {
		l.t.Fatalf("the owner comes to %s, %v\n%s", at, err, body)
	}
}

// a receiver of webhooks keeps what was signed last.
type receiver struct {
	mu  sync.Mutex
	got http.Header
}

func (r *receiver) ServeHTTP(_ http.ResponseWriter, q *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = q.Header
}

// From outside (SEC-3): each key of DATA/keys is replaced while a server runs and a person clicks, and the
// one before is taken out. Everybody and everything gets in as before; a server with the old file starts
// no longer.
func TestSEC3KeysAreReplacedWhileAServerRuns(t *testing.T) {
	t.Parallel()
	l := live(t)
	hook := &receiver{}
	at := httptest.NewServer(hook)
	defer at.Close()
	l.env = append(l.env, "PARVIS_OUTBOUND_ALLOW="+strings.TrimPrefix(at.URL, "http://"))
	l.run("webhook", "add", "Alarm", at.URL, "--public-address", l.base)
	lin := browser(t)
	get(t, lin, l.links["invitation"])
	if _, _, err := sendTo(lin, l.links["invitation"], url.Values{"name": {"Lin"}, "password": {testPassword}, "repetition": {testPassword}}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(l.dir, "data", "keys")
	before, err := keyring.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	tried := l.tried()

	clicks, stop := context.WithCancel(t.Context())
	var people sync.WaitGroup
	people.Go(func() {
		for clicks.Err() == nil {
			if status := get(t, l.session, l.base+"/o/meridian/home"); status != http.StatusOK {
				t.Errorf("a person who is signed in is answered %d", status)
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	})
	for _, ring := range []string{"data", "pepper", "lookup"} {
		id := addedKey.FindStringSubmatch(l.run("keys", "add", ring))[1]
		l.told("does not know the key yet", "keys", "use", id)
		l.server.reload(t)
		l.run("keys", "use", id)
	}
	l.told("it is the key that everything new is written with", "keys", "retire", current(t, l, "lookup"), "--public-address", l.base)
	old := map[string]string{"data": before.Sealing.Current().ID, "pepper": before.Pepper.Current().ID, "lookup": before.Lookup.Current().ID}
	l.settles("keys", "retire", old["data"], "--leaked", "--public-address", l.base)
	l.told("what this key made: take it out then, or with --leaked", "keys", "retire", old["lookup"], "--public-address", l.base)
	l.signsIn(l.base, step(0)) // which moves the password
	l.told("it is needed for 1 passwords", "keys", "retire", old["pepper"], "--leaked", "--public-address", l.base)
	if out := l.settles("keys", "retire", old["pepper"], "--leaked", "--void", "--public-address", l.base); !strings.Contains(out, "of 2 people are void") {
		t.Errorf("taking the pepper out says %s", out)
	}
	l.settles("keys", "retire", old["lookup"], "--leaked", "--public-address", l.base)
	stop()
	people.Wait()

	l.restartedWith(t, before, path)
	l.signsIn(l.base, step(1))
	for what, status := range l.tried() {
		if what != "invitation" && what != "reset link" { // which were used, or another one was sent
			expect.Equal(t, what, status, tried[what])
		}
	}
	if out := l.run("webhook", "test", "Alarm", "--public-address", l.base); !strings.Contains(out, "took a signed test") || hook.got.Get("Webhook-Signature") == "" {
		t.Errorf("the webhook's secret does not sign: %s%v", out, hook.got)
	}
	l.resets(t, lin)
	if out := l.run("keys"); strings.Contains(out, old["data"]) || strings.Contains(out, old["pepper"]) || strings.Contains(out, old["lookup"]) {
		t.Errorf("a key that was taken out is still there:\n%s", out)
	}
	l.run("backup", "after.backup")
	l.run("doctor", "--public-address", l.base)
}

// current returns the key of a ring that writes.
func current(t *testing.T, l *lived, ring string) string {
	t.Helper()
	_, part, _ := strings.Cut(l.run("keys"), ring+": ")
	return regexp.MustCompile(`(k_\S+) +writes, since`).FindStringSubmatch(part)[1]
}

// restartedWith starts the server again, which fails with the keys of before.
func (l *lived) restartedWith(t *testing.T, before secret.Keys, path string) {
	t.Helper()
	if err := l.server.stop(); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, before.Text(), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if p, err := startServe(l.dir, l.base, l.env, "--public-address", l.base); err == nil {
		p.kill()
		t.Error("a server starts with the keys of before")
	} else if !strings.Contains(err.Error(), "Copy the file from another node") {
		t.Errorf("a server with the keys of before says %v", err)
	}
	if err := os.WriteFile(path, after, 0o600); err != nil {
		t.Fatal(err)
	}
	l.server = start(t, l.dir, l.base, l.env)
}

// resets creates a new password by the letter that came when the pepper was taken out; the one of before
// is answered as a wrong one.
func (l *lived) resets(t *testing.T, lin *http.Client) {
	t.Helper()
	get(t, lin, l.base+"/o/lumen")
	at, body, err := sendTo(lin, l.base+"/o/lumen", url.Values{"email": {"lin@lumen.test"}, "password": {testPassword}})
	if err != nil || strings.Contains(at, "/sign-in/") || !strings.Contains(body, `name="password"`) {
		t.Errorf("a void password leads to %s, %v\n%s", at, err, body)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	link := ""
	for n := 2; link == ""; n++ {
		letters, err := l.box.Wait(ctx, "lin@lumen.test", n)
		if err != nil {
			t.Fatalf("no letter with a new link came: %v", err)
		}
		for _, letter := range letters {
			if found := resetLink.FindString(letter.Text); found != "" {
				link = found
			}
		}
	}
	get(t, lin, link)
	at, body, err = sendTo(lin, link, url.Values{"password": {"Eight zebras ride 10 trams!"}, "repetition": {"Eight zebras ride 10 trams!"}})
	if err != nil || strings.Contains(at, "/reset/") {
		t.Errorf("the link leads to %s, %v\n%s", at, err, body)
	}
}

// Two nodes on one PostgreSQL: a key is not put in use while one of them does not know it, and both go on
// where the file of the second one still has a key that was taken out.
func TestSEC3TwoNodesChangeOverTogether(t *testing.T) {
	if !onPostgres() {
		t.Skip("SQLite has one node")
	}
	l := live(t)
	there, base := t.TempDir(), "http://localhost:"+loopback.Port()
	path, copied := filepath.Join(l.dir, "data", "keys"), filepath.Join(there, "data", "keys")
	cp := func() {
		t.Helper()
		text, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(copied, text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	roots, err := os.ReadFile(filepath.Join(l.dir, "data", "audit-roots")) // without it, it would ask the first one
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Dir(copied), 0o700); err != nil {
		t.Fatal(err)
	}
	cp()
	if err := os.WriteFile(filepath.Join(there, "data", "audit-roots"), roots, 0o600); err != nil {
		t.Fatal(err)
	}
	second := start(t, there, base, l.env)
	before := current(t, l, "data")
	id := addedKey.FindStringSubmatch(l.run("keys", "add", "data"))[1]
	l.server.reload(t)
	l.told("does not know the key yet", "keys", "use", id) // the second one
	l.signsIn(base, step(0))
	cp()
	second.reload(t)
	l.run("keys", "use", id)
	l.settles("keys", "retire", before, "--leaked", "--public-address", l.base)
	// The second node's file still has the key, and the node does not use it.
	for _, node := range []string{l.base, base} {
		expect.Equal(t, "home at "+node, get(t, l.session, node+"/o/meridian/home"), http.StatusOK)
	}
	l.signsIn(base, step(1))
	for _, p := range []*process{l.server, second} {
		if strings.Contains(p.log.String(), `"level":"ERROR"`) {
			t.Errorf("a node logged\n%s", p.log)
		}
	}
}

// byHand puts a new key first in a file of keys, as was done before there was a command, and takes it out when
// the test ends. It returns the key's id.
func byHand(t *testing.T, path string) string {
	t.Helper()
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := secret.ParseKeys(before)
	if err != nil {
		t.Fatal(err)
	}
	added := secret.NewKey()
	keys.Sealing.Take(append([]secret.Key{added}, keys.Sealing.All()...))
	if err := os.WriteFile(path, keys.Text(), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.WriteFile(path, before, 0o600); err != nil {
			t.Error(err)
		}
	})
	return added.ID
}

// Who replaced a key by writing the new one first is told at the start that the old one goes on writing, and
// how to mend it, once.
func TestAKeyThatWasPutFirstByHandIsNamedAtTheStart(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	const told = "nothing is written with it"
	said := func() string { // by a start, whose first words on keys come before its end
		t.Helper()
		server := p.start(t)
		if err := server.stop(); err != nil {
			t.Fatal(err)
		}
		return server.log.String()
	}
	expect.Equal(t, "whether a new installation says it", strings.Contains(said(), told), false)
	use := "parvis keys use " + byHand(t, filepath.Join(p.dir, "data", "keys"))
	log := said()
	expect.Equal(t, "whether the start says it", strings.Contains(log, told), true)
	expect.Equal(t, "whether it says what to run", strings.Contains(log, use), true)
	if out, errs, code := parvis(t, p.dir, p.env, strings.Fields(use)[1:]...); code != 0 {
		t.Fatalf("%s: %d %s%s", use, code, out, errs)
	}
	expect.Equal(t, "whether the next start says it", strings.Contains(said(), told), false)
}
