package main

import (
	"net/http"
	"syscall"
	"testing"
	"time"

	"parvis/internal/dbtest"
	"parvis/internal/loopback"
)

// What a command ends is over on a serving node a second later, though the node remembers who a
// cookie is; and at once on one that was stopped meanwhile, since it has heard nothing for a second.
func TestWhatACommandEndsIsForgottenByAServingNode(t *testing.T) {
	t.Parallel()
	dir, base := t.TempDir(), "http://localhost:"+loopback.Port()
	env := environment("PARVIS_PUBLIC_ADDRESS="+base, "PARVIS_DATABASE_MEMORY=on")
	if onPostgres() {
		env = append(env, "PARVIS_DATABASE="+dbtest.Address(t))
	}
	p := start(t, dir, base, env)
	c := owner(t, p)
	home := func() int { t.Helper(); return get(t, c, base+"/o/meridian/home") }
	command := func(what string) {
		t.Helper()
		if out, errs, code := parvis(t, dir, env, "organization", what, "meridian"); code != 0 {
			t.Fatalf("%s: %s%s", what, out, errs)
		}
	}
	warm := func() {
		t.Helper()
		for until := time.Now().Add(time.Second); time.Now().Before(until); {
			if status := home(); status != http.StatusOK {
				t.Fatalf("home is answered %d", status)
			}
		}
	}
	warm()
	command("suspend")
	time.Sleep(time.Second + 50*time.Millisecond)
	if status := home(); status == http.StatusOK {
		t.Error("a second after the organization was suspended, its person is let in")
	}
	command("resume")
	for until := time.Now().Add(time.Minute); home() != http.StatusOK; {
		if time.Now().After(until) {
			t.Fatal("the organization is open again, and its person is not let in")
		}
	}
	warm()
	pause := func(s syscall.Signal) {
		t.Helper()
		if err := p.cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	pause(syscall.SIGSTOP)
	command("suspend")
	time.Sleep(time.Second + 50*time.Millisecond)
	pause(syscall.SIGCONT)
	if status := home(); status == http.StatusOK {
		t.Error("a node that was stopped lets somebody in by what it remembers")
	}
}
