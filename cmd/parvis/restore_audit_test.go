package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/loopback"
)

// call calls the API as the owner.
func (l *lived) call(method, path, body string) string {
	l.t.Helper()
	r, err := http.NewRequestWithContext(l.t.Context(), method, l.base+"/api/v1/"+path, strings.NewReader(body))
	if err != nil {
		l.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+l.token)
	r.Header.Set("Content-Type", "application/json")
	w, err := http.DefaultClient.Do(r)
	if err != nil {
		l.t.Fatal(err)
	}
	defer w.Body.Close()
	text, err := io.ReadAll(w.Body)
	if err != nil || w.StatusCode >= 300 {
		l.t.Fatalf("%s %s is answered %d, %v: %s", method, path, w.StatusCode, err, text)
	}
	return string(text)
}

// join invites somebody, who comes in with the test's password, and returns their id.
func (l *lived) join(name string) string {
	l.t.Helper()
	email := name + "@meridian.test"
	l.call(http.MethodPost, "invitations", fmt.Sprintf(`{"email":%q,"name":%q,"role":"member"}`, email, name))
	link := l.letter(email)
	c := browser(l.t)
	get(l.t, c, link)
	if to, body, err := sendTo(c, link, url.Values{"name": {name}, "password": {testPassword}, "repetition": {testPassword}}); err != nil || strings.Contains(to, "/invitation/") {
		l.t.Fatalf("%s came to %s, %v\n%s", name, to, err, body)
	}
	var found struct{ Items []struct{ ID, Email string } }
	text := l.call(http.MethodGet, "users", "")
	if err := json.Unmarshal([]byte(text), &found); err != nil {
		l.t.Fatal(err)
	}
	i := slices.IndexFunc(found.Items, func(u struct{ ID, Email string }) bool { return u.Email == email })
	if i < 0 {
		l.t.Fatalf("%s is not among %s", name, text)
	}
	return found.Items[i].ID
}

// change does something in the organization, as the operator.
func (l *lived) change(do func(ctx context.Context, tx *db.Tx, org directory.OrgID) error) {
	l.t.Helper()
	d, err := db.Open(l.t.Context(), l.database())
	if err != nil {
		l.t.Fatal(err)
	}
	defer d.Close()
	if err := d.Update(l.t.Context(), func(tx *db.Tx) error {
		org, err := directory.OrganizationByName(l.t.Context(), tx, "meridian")
		if err != nil {
			return err
		}
		return do(l.t.Context(), tx, org.ID)
	}); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lived) role(id string, to directory.Role) {
	l.t.Helper()
	l.change(func(ctx context.Context, tx *db.Tx, org directory.OrgID) error {
		return directory.ChangeRole(ctx, tx, directory.Operator(), org, directory.UserID(id), to)
	})
}

// opens tries a password, and returns the page to which it leads.
func (l *lived) opens(name, password string) (c *http.Client, to string) {
	l.t.Helper()
	c = browser(l.t)
	get(l.t, c, l.base+"/o/meridian")
	to, body, err := sendTo(c, l.base+"/o/meridian", url.Values{"email": {name + "@meridian.test"}, "password": {password}})
	if err != nil {
		l.t.Fatalf("%v\n%s", err, body)
	}
	return c, strings.TrimPrefix(to, l.base)
}

func (l *lived) write(name, text string) string {
	l.t.Helper()
	path := filepath.Join(l.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		l.t.Fatal(err)
	}
	return path
}

const newerPassword = "Nine otters cross 4 rivers!"

// What changed since the backup holds where an export of the log is there, and for nobody else is
// anything lost.
func TestARestoreWithAnExportFromOutside(t *testing.T) {
	t.Parallel()
	l := live(t)
	bo, cyd := l.join("bo"), l.join("cyd")
	l.join("dee")
	l.join("eli")
	l.role(bo, directory.Administrator)
	l.sealed()
	export := func(name, org string) string {
		args := []string{"audit", "export", "--public-address", l.base}
		if org != "" {
			args = append(args, org)
		}
		return l.write(name, l.run(args...))
	}
	older := export("older.jsonl", "meridian")
	export("older-installation.jsonl", "")
	l.sealed()
	file := filepath.Join(l.dir, "x.backup")
	l.run("backup", file)

	l.change(func(ctx context.Context, tx *db.Tx, org directory.OrgID) error {
		return directory.Deactivate(ctx, tx, directory.Operator(), org, directory.UserID(cyd))
	})
	l.role(bo, directory.Member)
	if _, _, err := sendTo(browser(t), l.base+"/forgot-password", url.Values{"email": {"dee@meridian.test"}, "organization": {"meridian"}}); err != nil {
		t.Fatal(err)
	}
	link := l.reset("dee@meridian.test")
	c := browser(t)
	get(t, c, link)
	if to, body, err := sendTo(c, link, url.Values{"password": {newerPassword}, "repetition": {newerPassword}}); err != nil || strings.Contains(to, "/reset/") {
		t.Fatalf("the new password led to %s, %v\n%s", to, err, body)
	}
	l.sealed()
	meridian, installation := export("meridian.jsonl", "meridian"), export("installation.jsonl", "")
	filtered := l.write("filtered.jsonl", l.call(http.MethodGet, "events/export?action=signin.done", ""))
	if err := l.server.stop(); err != nil {
		t.Fatal(err)
	}

	l.refused(file, map[string]refusal{
		"a flipped bit":      {l.write("flipped.jsonl", strings.Replace(read(t, meridian), "user.deactivated", "user.reactivated", 1)), exitDamaged, "the audit export was damaged or altered since it was made: line "},
		"cut off":            {l.write("cut.jsonl", read(t, meridian)[:2000]), exitDamaged, "was damaged or altered"},
		"leaves entries out": {filtered, exitDamaged, "leaves out entries since the backup"},
		"older":              {older, exitForeign, "is older than the backup: it covers "},
		"of another place":   {l.write("foreign.jsonl", strings.ReplaceAll(read(t, meridian), "localhost:", "elsewhere:")), exitForeign, "it is of another installation"},
		"no export":          {l.write("none.jsonl", "hello\n"), exitDamaged, "it is no export of an audit log"},
		"no file":            {filepath.Join(l.dir, "absent"), exitFailed, "no such file"},
	})

	next := *l
	next.t = t
	next.dir, next.env = l.elsewhere(t)
	args := []string{"restore", file, "--audit", meridian, "--audit", installation, "--by", "Olga"}
	if out := next.run(append(args, "--check")...); !strings.Contains(out, "meridian.jsonl goes on with ") {
		t.Errorf("the check says %s", out)
	}
	out := next.run(args...)
	for _, line := range []string{`done again +user\.deactivated +` + cyd, `done again +user\.role_changed +` + bo, `void +password\.changed +usr_`} {
		if !regexp.MustCompile(line).MatchString(out) {
			t.Errorf("the restore does not list %s:\n%s", line, out)
		}
	}
	next.server = start(t, next.dir, next.base, next.env)
	for name, c := range map[string]struct {
		password string
		in       bool
	}{"bo": {testPassword, true}, "cyd": {testPassword, false}, "dee": {testPassword, false}, "eli": {testPassword, true}} {
		if _, to := next.opens(name, c.password); strings.HasSuffix(to, "/home") != c.in {
			t.Errorf("%s came to %s", name, to)
		}
	}
	member, _ := next.opens("bo", testPassword)
	if status := get(t, member, next.base+"/o/meridian/admin"); status == http.StatusOK {
		t.Error("the administration is open to whom it was closed")
	}
	if _, to := next.opens("dee", newerPassword); strings.HasSuffix(to, "/home") {
		t.Errorf("a password that the backup does not have led to %s", to)
	}
	expect.Equal(t, "session of before", strings.HasSuffix(at(t, l.session, l.base+"/o/meridian/home"), "/home"), false)
	if err := next.server.stop(); err != nil {
		t.Error(err)
	}
}

// reset waits for the letter with the link to a new password.
func (l *lived) reset(to string) string {
	l.t.Helper()
	for n := 1; ; n++ {
		letters, err := l.box.Wait(l.t.Context(), to, n)
		if err != nil {
			l.t.Fatal(err)
		}
		for _, letter := range letters {
			if link := linkIn.FindString(letter.Text); strings.Contains(link, "/reset/") {
				return link
			}
		}
	}
}

type refusal struct {
	export string
	code   int
	says   string
}

// refused restores with exports each of which is refused, and leaves nothing behind.
func (l *lived) refused(file string, all map[string]refusal) {
	l.t.Helper()
	for name, c := range all {
		dir, env := l.elsewhere(l.t)
		_, errors, code := parvis(l.t, dir, env, "restore", file, "--audit", c.export)
		if code != c.code || !strings.Contains(errors, c.says) || !strings.Contains(errors, "Nothing was written") {
			l.t.Errorf("an export that is %s ended with %d and said %s, want %d and %q", name, code, errors, c.code, c.says)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			l.t.Errorf("%s left %v, %v", name, left, err)
		}
	}
}

// A node on a new machine takes from one that serves what that knows of the audit log.
func TestANewNodeTakesTheRootsOfAnother(t *testing.T) {
	if !onPostgres() {
		t.Skip("SQLite has one node")
	}
	l := live(t)
	l.sealed()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "data", "keys"), []byte(read(t, filepath.Join(l.dir, "data", "keys"))), 0o600); err != nil {
		t.Fatal(err)
	}
	second := start(t, dir, "http://localhost:"+loopback.Port(), l.env)
	if !strings.Contains(second.log.String(), "took what another node knows") || strings.Contains(second.log.String(), "cannot tell") {
		t.Errorf("the new node says %s", second.log)
	}
	if roots := read(t, filepath.Join(dir, "data", "audit-roots")); !strings.Contains(roots, `"org_`) {
		t.Errorf("it keeps %s", roots)
	}
	if err := second.stop(); err != nil {
		t.Error(err)
	}
}
