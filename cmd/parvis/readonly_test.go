package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// A database that may only be read, such as a standby that somebody named by mistake, is said to be
// one: at the start, by doctor, and to nobody as a fault of theirs. What was running goes on by
// itself once it may be written again.
func TestADatabaseThatMayOnlyBeReadIsNamed(t *testing.T) {
	if !onPostgres() {
		t.Skip("on SQLite it is the disk: TestEverySurfaceSaysThatTheDiskTakesNothing")
	}
	p := newPatient(t)
	u, err := url.Parse(p.database)
	if err != nil {
		t.Fatal(err)
	}
	name, q := strings.TrimPrefix(u.Path, "/"), u.Query()
	q.Set("default_transaction_read_only", "off")
	u.RawQuery = q.Encode()
	only := func(read string) {
		t.Helper()
		execAll(t, u.String(), "alter database "+name+read,
			"select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()")
	}
	const readOnly, asBefore = " set default_transaction_read_only = on", " reset default_transaction_read_only"
	t.Cleanup(func() { only(asBefore) })
	s := p.start(t)
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	only(readOnly)
	_, says, code := parvis(t, p.dir, p.env, "serve", "--listen", "127.0.0.1:0")
	if code == 0 || !strings.Contains(says, "It may only be read") {
		t.Errorf("a start without an owner ends with %d and says %s", code, says)
	}
	only(asBefore)
	s = p.start(t)
	link, _, _ := parvis(t, p.dir, p.env, "setup-link")
	if _, err := s.out.Write([]byte(link)); err != nil {
		t.Fatal(err)
	}
	c := owner(t, s)
	only(readOnly)
	lines, _ := p.doctor(t)
	wantLine(t, lines, "database", "FAIL", "It may only be read")
	eventually := func(what string, want int, ask func() int) {
		t.Helper()
		for until := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			got := ask()
			if got == want {
				return
			}
			if time.Now().After(until) || got == http.StatusInternalServerError {
				t.Fatalf("%s: got %d, want %d\n%s", what, got, want, s.log)
			}
		}
	}
	invites := func() int {
		t.Helper()
		status, err := send(t, c, p.base+"/o/meridian/admin/people/invite", url.Values{"email": {"bo@meridian.test"}, "name": {""}, "role": {"member"}, "invited_language": {"en"}})
		if err != nil {
			t.Fatal(err)
		}
		return status
	}
	eventually("an invitation while it may only be read", http.StatusServiceUnavailable, invites)
	eventually("home while it may only be read", http.StatusOK, func() int { return get(t, c, p.base+"/o/meridian/home") })
	only(asBefore)
	eventually("an invitation afterwards", http.StatusSeeOther, invites)
	if err := s.stop(); err != nil {
		t.Error(err)
	}
}
