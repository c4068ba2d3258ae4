package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"parvis/cmd/parvis/admin"
	"parvis/internal/access"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/federation/samltest"
	"parvis/internal/idptest"
)

// desk is an installation with somebody before a browser: where parvis admin opens an address, the
// person does there what is asked.
type desk struct {
	*idptest.Server
	t      *testing.T
	org    directory.Organization
	before map[string]int // how often actions were recorded when it began

	mu      sync.Mutex
	person  *idptest.Browser
	refuses bool
	asked   int // how often a browser was opened
}

// visitor is the program that parvis admin takes for a browser. It tells the desk.
func visitor() {
	w, err := http.Get(os.Getenv("DESK") + "?" + url.Values{"address": {os.Args[1]}}.Encode())
	if err == nil {
		err = w.Body.Close()
	}
	if err != nil {
		os.Exit(1)
	}
}

// newDesk starts an installation with Meridian: Ana, its owner, is at the desk; Bo and Eve are
// members. Lumen is Lin's.
func newDesk(t *testing.T) *desk {
	d := &desk{Server: idptest.Start(t), t: t}
	d.org = d.Organization(t, "Meridian Freight", "meridian")
	d.person = d.Join(t, d.org, "ana@meridian.example", "Ana Duarte", directory.Owner)
	d.Join(t, d.org, "bo@meridian.example", "Bo Rahn", directory.Member)
	d.Join(t, d.org, "eve@meridian.example", "Eve Roth", directory.Member)
	d.Join(t, d.Organization(t, "Lumen Health", "lumen"), "lin@lumen.example", "Lin Wei", directory.Owner)
	d.before = d.recorded(t)
	return d
}

// recorded counts what the organization's log has, by action.
func (d *desk) recorded(t *testing.T) map[string]int {
	t.Helper()
	all := map[string]int{}
	if err := d.DB.Rows(t.Context(), func(scan func(...any) error) error {
		var action string
		err := scan(&action)
		all[action]++
		return err
	}, `select action from audit_events where org_id = $1`, string(d.org.ID)); err != nil {
		t.Fatal(err)
	}
	return all
}

// ServeHTTP goes where the command sends the browser, signs in where that is asked, and answers.
func (d *desk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.FormValue("address") == "" {
		fmt.Fprintln(w, "This is a desk.")
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked++
	p := d.person.Get(r.FormValue("address"))
	if p.Has("input", "type", "password") {
		p = p.Form("main").Fill("password", idptest.Password).Submit("")
	}
	do := "allow"
	if d.refuses {
		do = "deny"
	}
	if strings.HasPrefix(p.URL.Path, "/authorize/consent") {
		p = p.Form("main").Submit(do)
	}
	// A page of ours sends no form elsewhere, so it leads on by a link.
	if i := slices.IndexFunc(p.Links(), func(to string) bool { return strings.HasPrefix(to, "http://127.0.0.1:") }); i >= 0 {
		p = d.person.Get(p.Links()[i])
	}
	if !p.Says("Go back to the terminal") {
		d.t.Errorf("the browser ended at %s: %s", p.URL, p.Text())
	}
}

// token makes an API token for somebody.
func (d *desk) token(t *testing.T, email string, scopes ...access.Scope) (text string) {
	t.Helper()
	found, err := directory.Addressed(t.Context(), d.DB, d.org.ID, []string{email})
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	d.Update(t, func(ctx context.Context, tx *db.Tx) (err error) {
		_, text, err = access.Issue(ctx, tx, found[0].AsActor(), d.org.ID, access.New{Name: "A script", Scopes: scopes})
		return err
	})
	return text
}

// documented is the page whose example is tried.
const documented = "../../docs/command.md"

// admins are the commands of scripts about parvis admin.
func admins(t *testing.T) map[string]func(*testscript.TestScript, bool, []string) {
	var d *desk
	return map[string]func(*testscript.TestScript, bool, []string){
		// installation starts one, and makes parvis admin trust it and open its browser.
		"installation": func(ts *testscript.TestScript, _ bool, _ []string) {
			d = newDesk(t)
			window := httptest.NewServer(d)
			ts.Defer(window.Close)
			ts.Setenv("BASE", d.URL)
			ts.Setenv("DESK", window.URL)
			ts.Setenv("BROWSER", "visitor")
			ts.Setenv("XDG_CONFIG_HOME", ts.MkAbs("config"))
			ts.Setenv("SSL_CERT_FILE", ts.MkAbs("trusted.pem"))
			ts.Check(os.WriteFile(ts.MkAbs("trusted.pem"), certificateOf(t, d.URL), 0o600))
			ts.Check(os.WriteFile(ts.MkAbs("token"), []byte(d.token(t, "ana@meridian.example", access.Scopes...)+"\n"), 0o600))
		},
		// example writes the file that docs/command.md shows.
		"example": func(ts *testscript.TestScript, _ bool, args []string) {
			text, err := os.ReadFile(documented)
			ts.Check(err)
			_, after, _ := strings.Cut(string(text), "```toml\n")
			file, _, found := strings.Cut(after, "```\n")
			if !found {
				ts.Fatalf("docs/command.md shows no file")
			}
			ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(file), 0o600))
		},
		// later moves the clock of the installation.
		"later": func(ts *testscript.TestScript, _ bool, args []string) {
			by, err := time.ParseDuration(args[0])
			ts.Check(err)
			d.Clock.Advance(by)
		},
		// crowd invites so many people.
		"crowd": func(ts *testscript.TestScript, _ bool, args []string) {
			number, err := strconv.Atoi(args[0])
			ts.Check(err)
			d.crowd(t, "crowd", number)
		},
		"devices": func(*testscript.TestScript, bool, []string) { d.devices(t) },
		"device":  func(ts *testscript.TestScript, _ bool, args []string) { d.device(ts, args) },
		// provider writes the metadata of a SAML provider into a file.
		"provider": func(ts *testscript.TestScript, _ bool, args []string) {
			ts.Check(os.WriteFile(ts.MkAbs(args[0]), samltest.New("https://idp.example", d.Clock.Now).Metadata(), 0o600))
		},
		// tested leaves behind what a test does that Ana passed, of each connection.
		"tested": func(_ *testscript.TestScript, _ bool, _ []string) {
			d.Update(t, func(ctx context.Context, tx *db.Tx) error {
				if _, err := tx.Exec(ctx, `update connections set tested_at = $1 where org_id = $2`, db.Time(tx.Now()), string(d.org.ID)); err != nil {
					return err
				}
				_, err := tx.Exec(ctx, `
					insert into upstream_traces (org_id, id, connection_id, at, tester, who, checks, claims, network, search_key)
					select c.org_id, c.id, c.id, $1, 'usr_of_ana', 'ana', '[]', '[]', '', '' from connections c where c.org_id = $2`, db.Time(tx.Now()), string(d.org.ID))
				return err
			})
		},
		// refuses has the person say no, or yes again.
		"refuses": func(_ *testscript.TestScript, neg bool, _ []string) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.refuses = !neg
		},
		// asked fails unless a browser was opened so often since the last time.
		"asked": func(ts *testscript.TestScript, _ bool, args []string) {
			d.mu.Lock()
			defer d.mu.Unlock()
			if got := strings.Repeat("I", d.asked); got != args[0] {
				ts.Fatalf("the browser was opened %q times", got)
			}
			d.asked = 0
		},
		// interrupt LINES ARGUMENTS runs parvis, presses Ctrl-C after so many lines, and stores the rest
		// as the files stdout and stderr do.
		"interrupt": scriptInterrupt,
		// seal has the server do what it does each second: the log gets what happened.
		"seal": func(ts *testscript.TestScript, _ bool, _ []string) { ts.Check(d.Sweep(t.Context())) },
		// follow ARGUMENTS runs parvis, has something happen once it says where it is, waits until it
		// shows that, presses Ctrl-C, and fails unless that is how it ends well.
		"follow": func(ts *testscript.TestScript, _ bool, args []string) {
			cmd := command(ts, args...)
			out, err := cmd.StdoutPipe()
			ts.Check(err)
			ts.Check(cmd.Start())
			defer time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() }).Stop() // and the test fails
			printed := bufio.NewScanner(out)
			for n := 0; printed.Scan(); n++ {
				if n == 0 {
					d.crowd(t, "late", 1)
					ts.Check(d.Sweep(t.Context()))
				}
				if strings.Contains(printed.Text(), "late0@meridian.example") {
					ts.Check(cmd.Process.Signal(os.Interrupt))
				}
			}
			if err := cmd.Wait(); err != nil {
				ts.Fatalf("it ended with %v", err)
			}
		},
		// recorded fails unless the log has an action so often.
		"recorded": func(ts *testscript.TestScript, _ bool, args []string) {
			if got := d.recorded(t)[args[1]] - d.before[args[1]]; strconv.Itoa(got) != args[0] {
				ts.Fatalf("%s is recorded %d times", args[1], got)
			}
		},
	}
}

// crowd invites people.
func (d *desk) crowd(t *testing.T, name string, number int) {
	d.Update(t, func(ctx context.Context, tx *db.Tx) error {
		for n := range number {
			if _, err := d.Invitations.Send(ctx, tx, directory.Operator(), d.org, directory.NewInvitation{
				Email: fmt.Sprintf("%s%d@meridian.example", name, n), Role: directory.Member, Language: "en",
			}); err != nil {
				return err
			}
		}
		return nil
	})
}

// command returns parvis as a script runs it.
func command(ts *testscript.TestScript, args ...string) *exec.Cmd {
	path, err := exec.LookPath("parvis")
	ts.Check(err)
	cmd := exec.Command(path, args...)
	cmd.Dir = ts.MkAbs(".")
	for _, name := range []string{"XDG_CONFIG_HOME", "SSL_CERT_FILE"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	return cmd
}

func scriptInterrupt(ts *testscript.TestScript, _ bool, args []string) {
	lines, err := strconv.Atoi(args[0])
	ts.Check(err)
	cmd := command(ts, args[1:]...)
	said := &text{}
	cmd.Stderr = said
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	printed := bufio.NewScanner(out)
	for n := 0; printed.Scan(); n++ {
		if n == lines {
			ts.Check(cmd.Process.Signal(os.Interrupt))
		}
	}
	err = cmd.Wait()
	ts.Check(os.WriteFile(ts.MkAbs("said"), []byte(said.String()), 0o600))
	if ended, ok := errors.AsType[*exec.ExitError](err); !ok || ended.ExitCode() != 130 {
		ts.Fatalf("it ended with %v\n%s", err, said)
	}
}

// certificateOf returns the certificate of a server.
func certificateOf(t *testing.T, address string) []byte {
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	c, err := tls.Dial("tcp", u.Host, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // It is asked so that it can be trusted.
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.ConnectionState().PeerCertificates[0].Raw})
}

// The command asks for every scope that there is, and no other.
func TestTheCommandKnowsEveryScope(t *testing.T) {
	t.Parallel()
	var all []string
	for _, s := range access.Scopes {
		all = append(all, string(s))
	}
	got := admin.Scopes(false)
	slices.Sort(all)
	slices.Sort(got)
	if !slices.Equal(got, all) {
		t.Errorf("the command asks for %v, there are %v", got, all)
	}
}
