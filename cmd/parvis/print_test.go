package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/loopback"
)

// A server prints what it seals as lines of JSON, with nothing that is known of people: everything,
// or what concerns no organization.
func TestServePrintsTheAuditLog(t *testing.T) {
	t.Parallel()
	dir, base := t.TempDir(), "http://localhost:"+loopback.Port()
	env, database := environment(), filepath.Join(dir, "data", "parvis.db")
	if onPostgres() {
		database = dbtest.Address(t)
		env = environment("PARVIS_DATABASE=" + database)
	}
	p := start(t, dir, base, append(env, "PARVIS_AUDIT_PRINT=all"))
	owner(t, p)
	all := awaitPrinted(t, p, "signin.done")
	next, organizations := map[string]float64{}, 0
	for _, e := range all {
		org, _ := e["organization"].(string)
		if e["sequence"] != next[org] {
			t.Errorf("%q has event %v where %v comes next", org, e["sequence"], next[org])
		}
		if next[org]++; org != "" {
			organizations++
		}
	}
	if organizations == 0 || next[""] == 0 {
		t.Errorf("%d events of the organization were printed, and %v of the installation", organizations, next[""])
	}
	if err := p.stop(); err != nil {
		t.Fatal(err)
	}
	for _, known := range []string{"Ana", "ana@meridian.test", "Meridian Freight", "127.0.0.1"} {
		for line := range strings.Lines(p.out.String()) {
			if strings.HasPrefix(line, "{") && strings.Contains(line, known) {
				t.Errorf("%s was printed: %s", known, line)
			}
		}
	}

	p = start(t, dir, base, append(env, "PARVIS_AUDIT_PRINT=installation"))
	run := func(args ...string) {
		t.Helper()
		if out, errs, code := parvis(t, dir, append(env, "PARVIS_PUBLIC_ADDRESS="+base), args...); code != 0 {
			t.Fatalf("%v: %s%s", args, out, errs)
		} else if strings.Contains(out, `"sequence"`) {
			t.Errorf("%v printed events: %s", args, out)
		}
	}
	run("organization", "suspend", "meridian")
	awaitSealed(t, database, "organization.suspended")
	run("rotate-keys")
	for _, e := range awaitPrinted(t, p, "key.created") {
		if e["organization"] != nil {
			t.Errorf("an organization's event was printed: %v", e)
		}
	}
}

// awaitSealed waits until a server has sealed an event, which it prints before it seals any later one.
func awaitSealed(t *testing.T, address, action string) {
	t.Helper()
	d, err := db.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for range 600 {
		var leaf int
		if sealed, err := d.One(t.Context(), db.Into(&leaf), `select leaf from audit_events where action = $1 and leaf is not null`, action); err != nil {
			t.Fatal(err)
		} else if sealed {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("no %s was sealed", action)
}

// awaitPrinted returns the events that a server printed, once one with an action is among them.
func awaitPrinted(t *testing.T, p *process, action string) (all []map[string]any) {
	t.Helper()
	for range 600 {
		all = nil
		found := false
		for line := range strings.Lines(p.out.String()) {
			if !strings.HasPrefix(line, "{") || !strings.HasSuffix(line, "\n") {
				continue
			}
			var e map[string]any
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			all, found = append(all, e), found || e["type"] == action
		}
		if found {
			return all
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("no %s was printed:\n%s\n%s", action, p.out, p.log)
	return nil
}
