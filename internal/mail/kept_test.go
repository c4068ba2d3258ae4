package mail

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/expect"
)

// Letters that ended go in time, and the log says how many; letters that wait stay, however old.
func TestLettersAreRemovedInTime(t *testing.T) {
	t.Parallel()
	d, clock := dbtest.Open(t)
	var log bytes.Buffer
	o := &Outbox{days: KeptByDefault, log: slog.New(slog.NewTextHandler(&log, nil))}
	if err := d.Update(t.Context(), func(tx *db.Tx) error {
		for id, next := range map[string]any{"let_sent": nil, "let_waits": int64(1)} {
			if _, err := tx.Exec(t.Context(), `insert into letters (org_id, id, kind, recipient, language, time_zone, created_at, ends_at, next_try_at, tries) values ('org_a', $1, 'x', 'ada@x.example', 'en', '', $2, null, $3, 1)`,
				id, db.Time(tx.Now()), next); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	left := func() string {
		t.Helper()
		if err := o.SweepKept(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, id := range []string{"let_sent", "let_waits"} {
			if strings.Contains(dbtest.Dump(t, d, "letters"), id) {
				ids = append(ids, id)
			}
		}
		return strings.Join(ids, " ")
	}
	clock.Advance(90 * 24 * time.Hour)
	expect.Equal(t, "after 90 days", left(), "let_sent let_waits")
	expect.Equal(t, "said then", log.String(), "")
	clock.Advance(24 * time.Hour)
	expect.Equal(t, "after 91 days", left(), "let_waits")
	expect.Equal(t, "said then", strings.Contains(log.String(), "removed\" letters=1 before="), true)
}
