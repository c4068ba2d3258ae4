package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"parvis/internal/backup"
	"parvis/internal/expect"
)

// repeating is what 'parvis backup --every' does in a folder, with an interval that the command refuses.
func repeating(t *testing.T, p patient, folder string, every time.Duration, keep int) (out, errs *text, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out, errs = &text{}, &text{}
	program := &program{ctx: ctx, environ: p.env, out: out, err: errs}
	plan, err := storageFlags{Data: filepath.Join(p.dir, "data")}.plan(program)
	if err != nil {
		t.Fatal(err)
	}
	d, err := openDatabase(ctx, plan, false)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- writing{program: program, plan: plan, db: d, keys: true}.repeat(folder, every, keep) }()
	return out, errs, func() {
		t.Helper()
		cancel()
		if err := errors.Join(<-ended, d.Close()); err != nil {
			t.Error(err)
		}
	}
}

// backupsIn lists the backups in a folder, the oldest first.
func backupsIn(t *testing.T, folder string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(folder, "parvis-*.backup"))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// eventually waits for what happens by itself.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for until := time.Now().Add(60 * time.Second); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("it did not happen: " + what)
		}
	}
}

// One backup after another is made, exactly as many stay as were asked for, what goes is named, and what
// stays can be restored.
func TestOneBackupFollowsAnother(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	if err := p.start(t).stop(); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(p.dir, "backups")
	made := map[string]bool{}
	out, errs, stop := repeating(t, p, folder, time.Second, 2)
	eventually(t, "five backups", func() bool {
		for _, path := range backupsIn(t, folder) {
			made[path] = true
		}
		return len(made) >= 5
	})
	eventually(t, "thinning", func() bool { return strings.Count(out.String(), "Removed ") >= 3 })
	stop()
	left := backupsIn(t, folder)
	expect.Equal(t, "backups left", len(left), 2)
	for path := range made {
		if gone := strings.Contains(out.String(), "Removed "+path+": --keep is 2.\n"); gone == slices.Contains(left, path) {
			t.Errorf("%s is named as removed: %v, and it is there: %v", path, gone, !gone)
		}
	}
	for _, path := range left {
		if out, errs, code := parvis(t, p.dir, environment(), "restore", path, "--check", "--data", "elsewhere"); code != 0 || !strings.Contains(out, " holds 0 organizations") {
			t.Errorf("%s ended with %d: %s%s", path, code, out, errs)
		}
	}
	if keys, err := filepath.Glob(filepath.Join(folder, "*"+backup.KeysSuffix)); err != nil || len(keys) != 2 {
		t.Errorf("there are the keys %v, %v", keys, err)
	}
	if strings.Contains(errs.String(), "parvis:") {
		t.Errorf("it complains: %s", errs)
	}
}

// A backup that fails removes nothing: the only good one stays.
func TestABackupThatFailsRemovesNothing(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	if err := p.start(t).stop(); err != nil {
		t.Fatal(err)
	}
	folder, keys := filepath.Join(p.dir, "backups"), filepath.Join(p.dir, "data", "keys")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	good := filepath.Join(folder, backup.Name(time.Now().Add(-time.Hour)))
	if out, errs, code := parvis(t, p.dir, p.env, "backup", good); code != 0 {
		t.Fatalf("%s%s", out, errs)
	}
	if err := os.Rename(keys, keys+".away"); err != nil {
		t.Fatal(err)
	}
	out, errs, stop := repeating(t, p, folder, time.Second, 1)
	eventually(t, "two tries", func() bool { return strings.Count(errs.String(), "the keys are missing") >= 2 })
	expect.Equal(t, "backups", fmt.Sprint(backupsIn(t, folder)), fmt.Sprint([]string{good}))
	if err := os.Rename(keys+".away", keys); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a backup", func() bool { return strings.Contains(out.String(), "Removed "+good) })
	stop()
	expect.Equal(t, "backups once it works again", len(backupsIn(t, folder)), 1)
}

// Backups of a clock that was ahead keep no other from being made, or from being kept.
func TestABackupOfTheFutureStopsNoOther(t *testing.T) {
	p := newPatient(t)
	if err := p.start(t).stop(); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(p.dir, "backups")
	future := filepath.Join(folder, backup.Name(time.Now().AddDate(1, 0, 0)))
	if err := errors.Join(os.Mkdir(folder, 0o700), os.WriteFile(future, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	out, _, stop := repeating(t, p, folder, time.Second, 1)
	eventually(t, "two backups", func() bool { return strings.Count(out.String(), "Removed ") >= 1 })
	stop()
	left := backupsIn(t, folder)
	if len(left) != 2 || left[1] != future || strings.Contains(out.String(), "Removed "+future) {
		t.Errorf("%v are left, and it said %s", left, out)
	}
}

// looked runs a command in a terminal, and returns what somebody sees there.
func looked(t *testing.T, p patient, args ...string) string {
	t.Helper()
	script, err := exec.LookPath("script") // of util-linux, which each Debian has
	if err != nil {
		t.Skip("there is no script(1) to make a terminal")
	}
	for i, arg := range args {
		args[i] = "'" + arg + "'"
	}
	cmd := exec.CommandContext(t.Context(), script, "--quiet", "--return", "--command", "parvis "+strings.Join(args, " "), "/dev/null")
	cmd.Dir, cmd.Env = p.dir, append(slices.Clone(p.env), "TERM=xterm")
	shown, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v ended with %v: %s", args, err, shown)
	}
	return string(shown)
}

// piped runs a command whose output nobody looks at.
func piped(t *testing.T, p patient, args ...string) string {
	t.Helper()
	program, err := exec.LookPath("parvis")
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = p.dir, p.env, &said, &said
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v ended with %v: %s", args, err, &said)
	}
	return said.String()
}

// Progress is shown on a terminal, and is in no file, pipe or journal.
func TestProgressIsForATerminal(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	server := p.start(t)
	if out, errs, code := parvis(t, p.dir, p.env, "organization", "create", "Meridian Freight", "--short-name", "meridian", "--owner", "ana@meridian.test"); code != 0 {
		t.Fatalf("%s%s", out, errs)
	}
	for _, name := range []string{"first", "second"} {
		if err := os.WriteFile(filepath.Join(p.dir, name+".csv"), []byte("email,email_verified\n"+name+"@meridian.test,true\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := server.stop(); err != nil {
		t.Fatal(err)
	}
	bare := p // to restore into an empty place, of SQLite whatever the other is
	bare.env = environment()
	for name, c := range map[string]struct {
		bar  string
		run  patient
		args func(place string) []string
	}{
		"import": {"\r1 people, ", p, func(place string) []string {
			return []string{"import", place + ".csv", "--from", "csv", "--organization", "meridian"}
		}},
		"backup":  {"\rBacking up [##############################] 100 % of ", p, func(place string) []string { return []string{"backup", place + ".backup"} }},
		"restore": {"\rRestoring [##############################] 100 % of ", bare, func(place string) []string { return []string{"restore", "made.backup", "--data", place} }},
	} {
		if name == "restore" {
			if out, errs, code := parvis(t, p.dir, p.env, "backup", "made.backup"); code != 0 {
				t.Fatalf("%s%s", out, errs)
			}
		}
		if shown := looked(t, c.run, c.args("first")...); !strings.Contains(shown, c.bar) {
			t.Errorf("%s shows %q, want %q", name, shown, c.bar)
		}
		if said := piped(t, c.run, c.args("second")...); strings.ContainsAny(said, "\r\x1b") || said == "" {
			t.Errorf("%s writes %q", name, said)
		}
	}
}
