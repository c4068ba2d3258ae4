package backup

import (
	"errors"
	"testing"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
)

// A restore must say what it does about every action that an export may name: it is decided in deeds.
func TestARestoreKnowsWhatToDoAboutEveryAction(t *testing.T) {
	seen := map[audit.Action]bool{}
	for _, d := range deeds {
		if seen[d.action] {
			t.Errorf("%s is listed twice", d.action)
		}
		seen[d.action] = true
		if _, known := audit.Actions[d.action]; !known {
			t.Errorf("the log has no action %s", d.action)
		}
		if d.why == "" {
			t.Errorf("%s has no reason", d.action)
		}
		if (d.does == nil) != (d.kind == passes) && d.action != "audit.erased" {
			t.Errorf("%s is %q, and does %v", d.action, d.kind, d.does)
		}
	}
	for action := range audit.Actions {
		if !seen[action] {
			t.Errorf("nobody decided what a restore does about %s since the backup: list it in deeds.go", action)
		}
	}
}

// Each deed is one that both databases understand, whether the event says something or nothing.
func TestEveryDeedCanBeDone(t *testing.T) {
	d, clock := dbtest.Open(t)
	dbtest.Do(t, d, `
		insert into organizations (id, short_name, short_name_key, short_name_skeleton, display_name, display_name_skeleton, language, contact,
			invitation_lifetime, created_at)
		values ('org_a', 'a', 'a', 'a', 'A', 'a', 'en', '', 0, 0)`)
	for _, fields := range []map[string]any{nil, {}, {
		"user": "usr_a", "group_id": "grp_a", "email": "a@b.example", "role": "member", "standing": "approved", "audience": "groups", "groups": []any{"grp_a"},
		"break_glass": []any{"usr_a"}, "preset": "modern", "minimum_length": 20.0, "required_from": "2026-01-01T00:00:00Z", "idle": "1m", "absolute": "1h", "held": true, "days": 30.0,
	}} {
		for _, deed := range deeds {
			if deed.does == nil {
				continue
			}
			e := Event{Org: "org_a", Target: "usr_a", Actor: "usr_b", Action: deed.action, At: clock.Now(), fields: fields}
			err := d.Update(t.Context(), func(tx *db.Tx) error {
				if _, err := deed.does(t.Context(), tx, e); err != nil {
					return err
				}
				return errUndone
			})
			if !errors.Is(err, errUndone) {
				t.Errorf("%s: %v", deed.action, err)
			}
		}
	}
}

var errUndone = errors.New("undone")

// A role is lowered and never raised, and of two that have nothing of each other a member stays.
func TestARoleIsOnlyLowered(t *testing.T) {
	for _, c := range []struct{ has, to, want directory.Role }{
		{directory.Owner, directory.Member, directory.Member}, {directory.Owner, directory.Auditor, directory.Auditor},
		{directory.Member, directory.Owner, directory.Member}, {directory.Administrator, directory.Owner, directory.Administrator},
		{directory.Helpdesk, directory.Auditor, directory.Member}, {directory.Auditor, directory.Helpdesk, directory.Member},
		{directory.Auditor, directory.Administrator, directory.Auditor}, {directory.Member, directory.Auditor, directory.Member},
		{directory.Helpdesk, directory.Member, directory.Member}, {directory.Owner, directory.Owner, directory.Owner},
	} {
		if got := lowered(c.has, c.to); got != c.want {
			t.Errorf("%s of the backup and %s since make %s, want %s", c.has, c.to, got, c.want)
		}
	}
}
