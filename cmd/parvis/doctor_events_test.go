package main

import (
	"strings"
	"testing"
)

// Doctor names webhooks that nobody takes, the operator's as a failure, and directories that are
// silent or wait, each with what to do.
func TestDoctorLooksAfterWebhooksAndDirectories(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	p.env = append(p.env, "PARVIS_OUTBOUND_ALLOW=127.0.0.1:1")
	server := p.start(t)
	owner(t, server)
	if err := server.stop(); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) {
		t.Helper()
		if _, errs, code := parvis(t, p.dir, p.env, args...); code != 0 {
			t.Fatalf("%v: %s", args, errs)
		}
	}
	run("webhook", "add", "Alarm", "http://127.0.0.1:1/hook")
	run("webhook", "add", "Stock", "http://127.0.0.1:1/stock")
	run("webhook", "add", "Siem", "http://127.0.0.1:1/log")
	run("source", "create", "meridian", "Entra", "--provider", "entra", "--on")
	run("source", "create", "meridian", "Okta")
	lines, _ := p.doctor(t)
	if lines["webhooks"] != "" || lines["provisioning"] != "" {
		t.Errorf("of what is in order it says %q and %q", lines["webhooks"], lines["provisioning"])
	}
	execAll(t, p.database, `update webhooks set parked_at = 1700000000000000 where name <> 'Siem'`)
	execAll(t, p.database, `update webhooks set state = 'off', why = 'failing', parked_at = null where name = 'Siem'`)
	execAll(t, p.database, `delete from webhook_attempts where webhook_id in (select id from webhooks where name = 'Stock')`)
	execAll(t, p.database, `delete from webhook_secrets where webhook_id in (select id from webhooks where name = 'Stock')`)
	execAll(t, p.database, `update webhooks set org_id = (select id from organizations where short_name_key = 'meridian') where name = 'Stock'`)
	execAll(t, p.database, `update sources set created_at = 1700000000000000`)
	execAll(t, p.database, `update sources set used_at = 1700000000000000 where name = 'Entra'`)
	execAll(t, p.database, `
		insert into source_waiting (org_id, id, source_id, kind, subject, name, details, asked_at, last_at, times)
		select org_id, 'pwt_1', id, 'adopt_person', 'usr_1', 'Ben', '{}', 1, 1, 1 from sources where name = 'Okta'`)
	lines, code := p.doctor(t)
	if code != 1 {
		t.Errorf("exit code %d", code)
	}
	for check, wants := range map[string][]string{
		"webhooks": {
			"FAIL Alarm of yours (http://127.0.0.1:1/hook) took nothing since 2023-11-14 22:13:20 (unreachable); on 2023-11-17 22:13:20 it is turned off: look at the receiver",
			"FAIL Siem of yours (http://127.0.0.1:1/log)",
			"note Stock of meridian (http://127.0.0.1:1/stock) took nothing since 2023-11-14 22:13:20",
		},
		"provisioning": {
			"note Entra of meridian has not called since 2023-11-14 22:13:20: ",
			"note Okta of meridian never called since it was added on 2023-11-14: ",
			"note Okta of meridian has 1 waiting for an administrator",
		},
	} {
		for _, want := range wants {
			if !strings.Contains(lines[check], want) {
				t.Errorf("of %s it says %q, want %q", check, lines[check], want)
			}
		}
	}
}
