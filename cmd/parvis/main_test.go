package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/idptest"
	"parvis/internal/loopback"
)

// The test binary is also the program: scripts and tests run it as 'parvis'.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"parvis":  func() { os.Exit(run(os.Args[1:], os.Environ(), os.Stdout, os.Stderr)) },
		"visitor": visitor,
	})
}

func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			commands := admins(t)
			maps.Copy(commands, map[string]func(*testscript.TestScript, bool, []string){
				"serve": scriptServe, "end": scriptEnd, "visit": scriptVisit, "link": scriptLink, "newer": scriptNewer,
				"certificate": scriptCertificate, "enrol": scriptEnrol, "secret": scriptSecret,
			})
			testscript.Run(t, testscript.Params{
				Files:               []string{file},
				RequireExplicitExec: true,
				Setup:               func(e *testscript.Env) error { return setUp(t, e) },
				Condition: func(name string) (bool, error) {
					switch name {
					case "postgres":
						return onPostgres(), nil
					case "root":
						return os.Getuid() == 0, nil
					}
					return false, fmt.Errorf("no condition %q", name)
				},
				Cmds: commands,
			})
		})
	}
}

func onPostgres() bool { return os.Getenv(dbtest.PostgresVariable) != "" }

// setUp gives a script a port, a browser and, on PostgreSQL, a database.
func setUp(t *testing.T, e *testscript.Env) error {
	port := loopback.Port()
	e.Setenv("PORT", port)
	e.Setenv("BASE", "http://localhost:"+port)
	if onPostgres() {
		e.Setenv("PARVIS_DATABASE", dbtest.Address(t))
	}
	jar, err := cookiejar.New(nil)
	e.Values["browser"] = &http.Client{Jar: jar, Timeout: 30 * time.Second}
	return err
}

func port(address string) string { return address[strings.LastIndex(address, ":")+1:] }

// A process is a server that runs as a program of its own.
type process struct {
	cmd      *exec.Cmd
	out, log *text
	ended    chan error
}

// text is what a process printed, readable while it prints.
type text struct {
	mu sync.Mutex
	b  strings.Builder
}

func (t *text) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.Write(p)
}

func (t *text) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.String()
}

// startServe starts 'parvis serve' and waits until base answers.
func startServe(dir, base string, env []string, args ...string) (*process, error) {
	path, err := exec.LookPath("parvis")
	if err != nil {
		return nil, err
	}
	return startProgram(path, dir, base, env, args...)
}

// startProgram does the same with a program of another version.
func startProgram(path, dir, base string, env []string, args ...string) (*process, error) {
	p := &process{cmd: exec.Command(path, append([]string{"serve"}, args...)...), out: &text{}, log: &text{}, ended: make(chan error, 1)}
	p.cmd.Dir, p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = dir, env, p.out, p.log
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { p.ended <- p.cmd.Wait() }()
	deadline := time.After(30 * time.Second)
	for {
		if strings.Contains(p.log.String(), `"msg":"serving"`) {
			if c, err := net.Dial("tcp", "127.0.0.1:"+port(base)); err == nil {
				return p, c.Close()
			}
		}
		select {
		case err := <-p.ended:
			return nil, fmt.Errorf("the server ended: %w\n%s", err, p.log)
		case <-deadline:
			return nil, errors.Join(fmt.Errorf("the server does not answer\n%s", p.log), p.cmd.Process.Kill())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// stop ends the process as an operator does.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return p.wait()
}

// wait waits for the process to end, however it ends.
func (p *process) wait() error { return <-p.ended }

func (p *process) kill() {
	if p.cmd.Process.Kill() == nil {
		p.wait() //nolint:errcheck // It was killed, so it does not end well.
	}
}

// serve [ARGUMENTS] starts a server at $BASE; its output goes to the files
// serve.out and serve.log when it stops.
func scriptServe(ts *testscript.TestScript, _ bool, args []string) {
	env := []string{"HOME=/no-home", "PATH=" + ts.Getenv("PATH")}
	for _, s := range (&configuration{}).list() {
		env = append(env, s.variable()+"="+ts.Getenv(s.variable()))
	}
	p, err := startServe(ts.MkAbs("."), ts.Getenv("BASE"), env, append([]string{"--public-address", ts.Getenv("BASE")}, args...)...)
	ts.Check(err)
	ts.Defer(p.kill)
	running.Store(ts, p)
	ts.Check(os.WriteFile(ts.MkAbs("serve.out"), []byte(p.out.String()), 0o600))
}

// running maps a script to its server, because testscript has no place for it.
var running sync.Map

func scriptEnd(ts *testscript.TestScript, neg bool, _ []string) {
	found, ok := running.LoadAndDelete(ts)
	if !ok {
		ts.Fatalf("no server runs")
	}
	p := found.(*process)
	if err := p.stop(); (err != nil) != neg {
		ts.Fatalf("the server ended with %v\n%s", err, p.log)
	}
	ts.Check(os.WriteFile(ts.MkAbs("serve.log"), []byte(p.log.String()), 0o600))
}

// visit STATUS URL [FIELD=VALUE...] opens a page or sends its form, follows redirects and
// stores the answer as the file page.
func scriptVisit(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 || neg {
		ts.Fatalf("usage: visit STATUS URL [FIELD=VALUE...]")
	}
	method, form := http.MethodGet, url.Values{}
	for _, field := range args[2:] {
		name, value, _ := strings.Cut(field, "=")
		form.Set(name, value)
		method = http.MethodPost
	}
	r, err := http.NewRequestWithContext(context.Background(), method, args[1], strings.NewReader(form.Encode()))
	ts.Check(err)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	w, err := ts.Value("browser").(*http.Client).Do(r)
	ts.Check(err)
	defer w.Body.Close()
	body, err := io.ReadAll(w.Body)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("page"), []byte(w.Request.URL.String()+"\n"+string(body)), 0o600))
	if fmt.Sprint(w.StatusCode) != args[0] {
		ts.Fatalf("%s %s: status %d\n%s", method, w.Request.URL, w.StatusCode, body)
	}
}

// enrol continues where visit ended, at the page that asks for a first second step, with an
// authenticator app, and stores the answer.
func scriptEnrol(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) > 0 || neg {
		ts.Fatalf("usage: enrol")
	}
	address, _, _ := strings.Cut(ts.ReadFile("page"), "\n")
	at, body, err := enrol(ts.Value("browser").(*http.Client), address)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("page"), []byte(at+"\n"+body), 0o600))
}

// enrol sets an authenticator app up at the page of an attempt, and returns where that leads.
func enrol(c *http.Client, address string) (at, body string, err error) {
	if at, body, err = sendTo(c, address, url.Values{"device": {"Phone"}, "kind": {"app"}}); err != nil {
		return at, body, err
	}
	return sendTo(c, at, url.Values{"code": {idptest.Code(idptest.SecretIn(body), time.Now())}})
}

// sendTo sends a form as a page of ours does and follows where it leads.
func sendTo(c *http.Client, address string, form url.Values) (at, body string, err error) {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return "", "", err
	}
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w, err := c.Do(r)
	if err != nil {
		return "", "", err
	}
	page, err := io.ReadAll(w.Body)
	return w.Request.URL.String(), string(page), errors.Join(err, w.Body.Close())
}

var setupLink = regexp.MustCompile(`http://localhost:\d+/setup/[A-Za-z0-9_-]{43}\b`)

// link NAME FILE sets a variable to the set-up link in a file.
func scriptLink(ts *testscript.TestScript, _ bool, args []string) {
	link := setupLink.FindString(ts.ReadFile(args[1]))
	if link == "" {
		ts.Fatalf("no link in %s:\n%s", args[1], ts.ReadFile(args[1]))
	}
	ts.Setenv(args[0], link)
}

// secret NAME FILE sets a variable to the client secret in a file.
func scriptSecret(ts *testscript.TestScript, _ bool, args []string) {
	found := clientSecret.FindString(ts.ReadFile(args[1]))
	if found == "" {
		ts.Fatalf("no secret in %s:\n%s", args[1], ts.ReadFile(args[1]))
	}
	ts.Setenv(args[0], found)
}

var clientSecret = regexp.MustCompile(`\bpcs_[A-Za-z0-9_-]{43}\b`)

// newer makes the database look as if a later program had made it.
func scriptNewer(ts *testscript.TestScript, _ bool, _ []string) {
	address := ts.Getenv("PARVIS_DATABASE")
	if address == "" {
		address = ts.MkAbs("data/parvis.db")
	}
	d, err := db.Open(context.Background(), address)
	ts.Check(err)
	ts.Check(d.Update(context.Background(), func(tx *db.Tx) error {
		_, err := tx.Exec(context.Background(), `insert into migrations (version_id, is_applied) values ($1, $2)`, 99999, true)
		return err
	}))
	ts.Check(d.Close())
}

// certificate NAME writes chain.pem and key.pem for a name.
func scriptCertificate(ts *testscript.TestScript, _ bool, args []string) {
	chain, key, err := newCertificate(args[0])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("chain.pem"), chain, 0o600))
	ts.Check(os.WriteFile(ts.MkAbs("key.pem"), key, 0o600))
}

// newCertificate makes a certificate that signs itself.
func newCertificate(name string) (chain, key []byte, err error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	about := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	raw, err := x509.CreateCertificate(rand.Reader, about, about, &k.PublicKey, k)
	if err != nil {
		return nil, nil, err
	}
	rawKey, err := x509.MarshalPKCS8PrivateKey(k)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: rawKey}), err
}
