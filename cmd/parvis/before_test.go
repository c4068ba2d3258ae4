package main

import (
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"parvis/internal/dbtest"
	"parvis/internal/expect"
	"parvis/internal/idptest"
	"parvis/internal/loopback"
)

// historyVariable, if it is set, makes the history of this repository necessary: ./check all and
// CI have it, and an archive of the source does not.
const historyVariable = "PARVIS_TEST_HISTORY"

// before builds the release before, of the commit that internal/db/testdata/release-before names.
// It is kept beside Go's own cache, since building it takes a minute.
func before(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	named, err := os.ReadFile(filepath.Join(root, "internal/db/testdata/release-before"))
	if err != nil {
		t.Fatal(err)
	}
	commit := strings.TrimSpace(string(named))
	if out, err := exec.Command("git", "-C", root, "cat-file", "-e", commit+"^{commit}").CombinedOutput(); err != nil {
		message := fmt.Sprintf("the release before, %s, is not in the history here: %v %s (a whole clone is needed, not a shallow one)", commit, err, out)
		if os.Getenv(historyVariable) != "" {
			t.Fatal(message)
		}
		t.Skip(message)
	}
	cache, err := exec.Command("go", "env", "GOCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(strings.TrimSpace(string(cache)), "parvis", "before-"+commit)
	if _, err := os.Stat(program); err == nil {
		return program
	}
	source := t.TempDir()
	for _, step := range []string{
		`git -C "$1" archive "$2" | tar -x -C "$3"`,
		`cd "$3" && CGO_ENABLED=0 go build -o "$4.new" ./cmd/parvis && mv "$4.new" "$4"`,
	} {
		if err := os.MkdirAll(filepath.Dir(program), 0o755); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("bash", "-euo", "pipefail", "-c", step, "_", root, commit, source, program).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", step, err, out)
		}
	}
	return program
}

// While nodes are replaced one by one, those of the release before serve on the new schema: who
// is signed in stays so on both, and who signs in gets in by either.
func TestTheReleaseBeforeServesOnTheNewSchema(t *testing.T) {
	t.Parallel()
	program := before(t)
	dir, base := t.TempDir(), "http://localhost:"+loopback.Port()
	env := environment()
	if onPostgres() {
		env = environment("PARVIS_DATABASE=" + dbtest.Empty(t))
	}
	old, err := startProgram(program, dir, base, env, "--public-address", base)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(old.kill)
	link := setupLink.FindString(old.out.String())
	c := browser(t)
	get(t, c, link)
	at, _, err := sendTo(c, link, url.Values{
		"organization": {"Meridian Freight"}, "short_name": {"meridian"}, "name": {"Ana"}, "email": {"ana@meridian.test"},
		"password": {testPassword}, "repetition": {testPassword},
	})
	if err != nil {
		t.Fatal(err)
	}
	at, body, err := sendTo(c, at, url.Values{"device": {"Phone"}, "kind": {"app"}})
	secret := idptest.SecretIn(body)
	if err != nil || secret == "" {
		t.Fatalf("the owner came to %s, %v\n%s", at, err, body)
	}
	if at, body, err = sendTo(c, at, url.Values{"code": {idptest.Code(secret, step(-1))}}); err != nil || !strings.Contains(at, "/codes") {
		t.Fatalf("the owner came to %s, %v\n%s", at, err, body)
	}
	rehearsed(t, program, dir, env)
	// The new version migrates while the old one serves.
	if out, errors, code := parvis(t, dir, env, "migrate"); code != 0 || !strings.Contains(out, "was brought from version") {
		t.Fatalf("migrating: %s%s", out, errors)
	}
	next := "http://localhost:" + loopback.Port()
	start(t, dir, next, env)
	for i, node := range []string{base, next} {
		t.Run(map[string]string{base: "old", next: "new"}[node], func(t *testing.T) {
			expect.Equal(t, "home of who was signed in", get(t, c, node+"/o/meridian/home"), http.StatusOK)
			expect.Equal(t, "the console", get(t, c, node+"/o/meridian/admin/people"), http.StatusOK)
			other := browser(t)
			get(t, other, node+"/o/meridian")
			at, body, err := sendTo(other, node+"/o/meridian", url.Values{"email": {"ana@meridian.test"}, "password": {testPassword}})
			if err != nil || !strings.Contains(at, "/sign-in/") {
				t.Fatalf("the password leads to %s, %v\n%s", at, err, body)
			}
			if at, body, err = sendTo(other, at, url.Values{"code": {idptest.Code(secret, step(i))}}); err != nil {
				t.Fatal(err)
			}
			if !strings.HasSuffix(at, "/o/meridian/home") {
				t.Errorf("the code leads to %s\n%s", at, body)
			}
		})
	}
	if strings.Contains(old.log.String(), `"level":"ERROR"`) {
		t.Errorf("the release before logged\n%s", old.log)
	}
}

// step is a time whose code is accepted now, so many codes from the one that is shown: each works
// once, and after it no earlier one.
func step(n int) time.Time {
	if left := 30 - time.Now().Unix()%30; left < 4 {
		time.Sleep(time.Duration(left) * time.Second) // the one before would be too old in a moment
	}
	return time.Now().Add(time.Duration(n) * 30 * time.Second)
}

func browser(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Jar: jar, Timeout: 30 * time.Second}
}

// rehearsed rehearses the migration of a database that is served.
func rehearsed(t *testing.T, program, dir string, env []string) {
	t.Helper()
	args := []string{"upgrade", "--rehearse"}
	refused := func(want string, more ...string) {
		t.Helper()
		if _, errors, code := parvis(t, dir, env, append(slices.Clone(args), more...)...); code == 0 || !strings.Contains(errors, want) {
			t.Errorf("with %v it ended with %d and said %s, want %q", more, code, errors, want)
		}
	}
	if !onPostgres() {
		refused("leave --on out", "--on", filepath.Join(t.TempDir(), "copy.db"))
	} else {
		refused("pg_dump")
		refused("pg_dump", "--on", filepath.Join(t.TempDir(), "copy.db"))
		refused("the database itself", "--on", strings.TrimPrefix(env[len(env)-1], "PARVIS_DATABASE="))
		refused("the copy is empty", "--on", dbtest.Empty(t))
		copied := dbtest.Empty(t)
		if out, err := exec.Command(program, "migrate", "--data", t.TempDir(), "--database", copied).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		args = append(args, "--on", copied)
	}
	files := func() int {
		all, err := filepath.Glob(filepath.Join(dir, "data", "parvis.db.*"))
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	before := files()
	out, errors, code := parvis(t, dir, env, args...)
	for _, want := range []string{"The copy was brought from version 12 to ", "\n  00025_webhooks.sql took ", "\nRows: ", "\n  table webhooks is new, with 0 rows\n", "\n  users.given_name is new\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("the rehearsal ended with %d and says nothing of %q:\n%s%s", code, want, out, errors)
		}
	}
	expect.Equal(t, "files beside the database", files(), before)
	if onPostgres() {
		if out, _, _ := parvis(t, dir, env, args...); !strings.Contains(out, "nothing to rehearse") {
			t.Errorf("a second time it says %s", out)
		}
	}
}
