package main

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"parvis/internal/access"
	"parvis/internal/db"
	"parvis/internal/directory"
)

// devices lets people in by a code, as an owner does in the console.
func (d *desk) devices(t *testing.T) {
	t.Helper()
	found, err := directory.Addressed(t.Context(), d.DB, d.org.ID, []string{"ana@meridian.example"})
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	d.Update(t, func(ctx context.Context, tx *db.Tx) error {
		return access.SetRules(ctx, tx, found[0].AsActor(), d.org.ID, access.Rules{Devices: true})
	})
}

var userCode = regexp.MustCompile(`^  ([A-Z]{4}-[A-Z]{4})$`)

// device CODE ANSWER ARGUMENTS runs parvis, answers for the code that it shows, or lets that end,
// and fails unless it ends with CODE. It keeps what was said in the file said.
func (d *desk) device(ts *testscript.TestScript, args []string) {
	cmd := command(ts, args[2:]...)
	said, err := cmd.StderrPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	defer time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() }).Stop() // and the test fails
	all := ""
	for lines := bufio.NewScanner(said); lines.Scan(); {
		all += lines.Text() + "\n"
		if code := userCode.FindStringSubmatch(lines.Text()); code != nil {
			d.answer(code[1], args[1])
		}
	}
	ended := cmd.Wait()
	got := 0
	if e, ok := errors.AsType[*exec.ExitError](ended); ok {
		got = e.ExitCode()
	}
	ts.Check(os.WriteFile(ts.MkAbs("said"), []byte(all), 0o600))
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("it ended with %v\n%s", ended, all)
	}
}

// answer does in the browser what a person does who has a code.
func (d *desk) answer(code, how string) {
	if how == "late" {
		d.Clock.Advance(time.Hour)
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.person.Get("/device").Form("main").Fill("user_code", code).Submit("")
	p.Form("main").Submit(how)
}
