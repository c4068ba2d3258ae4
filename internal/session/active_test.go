package session_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/idptest"
	"parvis/internal/session"
)

// active counts, and returns the days on which people of an organization were active.
func active(t *testing.T, s *idptest.Server, org directory.OrgID) string {
	t.Helper()
	sweepActive(t, s)
	days, err := session.ActiveSince(t.Context(), s.DB, org, time.UnixMicro(1))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, d := range days {
		lines = append(lines, fmt.Sprintf("%s: %d", d.Day.Format(time.DateOnly), d.People))
	}
	return fmt.Sprint(lines)
}

func rowsOf(t *testing.T, s *idptest.Server, table string) (n int) {
	t.Helper()
	if _, err := s.DB.One(t.Context(), db.Into(&n), `select count(*) from `+table); err != nil {
		t.Fatal(err)
	}
	return n
}

func sweepActive(t *testing.T, s *idptest.Server) {
	t.Helper()
	if err := session.SweepActive(t.Context(), s.DB); err != nil {
		t.Fatal(err)
	}
}

func TestAPersonIsActiveOnceADay(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	alpha, beta := s.Organization(t, "Alpha Works", "alpha"), s.Organization(t, "Beta Works", "beta")
	ana := s.Join(t, alpha, "ana@alpha.example", "Ana", directory.Member)
	ben := s.Join(t, alpha, "ben@alpha.example", "Ben", directory.Member)
	s.Join(t, beta, "cyn@beta.example", "Cyn", directory.Member)
	first := db.Day(s.Clock.Now())
	next := first.AddDate(0, 0, 1)
	expect.Equal(t, "the first day", active(t, s, alpha.ID), fmt.Sprintf("[%s: 2]", first.Format(time.DateOnly)))

	s.Clock.Advance(next.Add(-time.Microsecond).Sub(s.Clock.Now())) // the last moment of the day
	ana.Get("/o/alpha/home")
	expect.Equal(t, "the end of the first day", active(t, s, alpha.ID), fmt.Sprintf("[%s: 2]", first.Format(time.DateOnly)))
	for range 3 {
		s.Clock.Advance(2 * time.Minute)
		ana.Get("/o/alpha/home")
	}
	both := fmt.Sprintf("[%s: 2 %s: 1]", first.Format(time.DateOnly), next.Format(time.DateOnly))
	expect.Equal(t, "the second day", active(t, s, alpha.ID), both)
	expect.Equal(t, "rows of both organizations", rowsOf(t, s, "active_people"), 4)

	ben.Get("/o/alpha/home")
	both = fmt.Sprintf("[%s: 2 %s: 2]", first.Format(time.DateOnly), next.Format(time.DateOnly))
	for range 2 {
		expect.Equal(t, "both people, however often they are counted", active(t, s, alpha.ID), both)
	}
	expect.Equal(t, "the neighbour's day", active(t, s, beta.ID), fmt.Sprintf("[%s: 1]", first.Format(time.DateOnly)))
}

// A transaction that began before midnight ends after it, and a day on which no node ran is
// counted when one does.
func TestADayIsCountedUntilItsLastTransactionEnded(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	alpha := s.Organization(t, "Alpha Works", "alpha")
	s.Join(t, alpha, "ana@alpha.example", "Ana", directory.Member)
	s.Join(t, alpha, "ben@alpha.example", "Ben", directory.Member)
	first := db.Day(s.Clock.Now())
	active(t, s, alpha.ID)
	forget := func(after time.Duration) {
		t.Helper()
		s.Clock.Advance(first.AddDate(0, 0, 1).Add(after).Sub(s.Clock.Now()))
		s.Update(t, func(ctx context.Context, tx *db.Tx) error {
			_, err := tx.Exec(ctx, `delete from active_people where org_id = $1 and user_id = (select max(user_id) from active_people)`, string(alpha.ID))
			return err
		})
	}
	forget(session.Late - time.Microsecond)
	expect.Equal(t, "just after midnight", active(t, s, alpha.ID), fmt.Sprintf("[%s: 1]", first.Format(time.DateOnly)))
	s.Clock.Advance(48 * time.Hour)
	s.Join(t, alpha, "cyn@alpha.example", "Cyn", directory.Member)
	expect.Equal(t, "days later", active(t, s, alpha.ID), fmt.Sprintf("[%s: 1 %s: 1]", first.Format(time.DateOnly), db.Day(s.Clock.Now()).Format(time.DateOnly)))
}

func TestActivePeopleAreForgottenInTime(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	s.Join(t, s.Organization(t, "Alpha Works", "alpha"), "ana@alpha.example", "Ana", directory.Member)
	for _, step := range []struct {
		after        time.Duration
		people, days int
	}{{session.KeptPeople, 1, 1}, {24 * time.Hour, 0, 1}, {session.KeptDays, 0, 0}} {
		s.Clock.Advance(step.after)
		sweepActive(t, s)
		expect.Equal(t, fmt.Sprintf("people after another %s", step.after), rowsOf(t, s, "active_people"), step.people)
		expect.Equal(t, fmt.Sprintf("days after another %s", step.after), rowsOf(t, s, "active_days"), step.days)
	}
}

// A sweep that fails between its transactions removes nobody who is not counted yet.
func TestNobodyIsForgottenBeforeTheyAreCounted(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	s.Join(t, s.Organization(t, "Alpha Works", "alpha"), "ana@alpha.example", "Ana", directory.Member)
	s.Clock.Advance(session.KeptPeople + 24*time.Hour)
	refuse, allow := `alter table active_days add constraint refused check (people < 0) not valid`, `alter table active_days drop constraint refused`
	if s.DB.Path() != "" {
		refuse, allow = `create trigger refused before insert on active_days begin select raise(abort, 'refused'); end`, `drop trigger refused`
	}
	dbtest.Do(t, s.DB, refuse)
	t.Cleanup(func() { dbtest.Do(t, s.DB, allow) })
	if err := session.SweepActive(t.Context(), s.DB); err == nil {
		t.Fatal("the days were counted")
	}
	expect.Equal(t, "people", rowsOf(t, s, "active_people"), 1)
}

func TestSigningInAgainIsActivity(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	alpha := s.Organization(t, "Alpha Works", "alpha")
	s.Join(t, alpha, "ana@alpha.example", "Ana", directory.Member)
	first := db.Day(s.Clock.Now())
	s.Clock.Advance(24 * time.Hour)
	idptest.Want(t, s.Browser(t).Get("/sign-in").Form("main").Fill("email", "ana@alpha.example").Fill("password", idptest.Password).Submit(""), idptest.Status(200))
	expect.Equal(t, "days", active(t, s, alpha.ID), fmt.Sprintf("[%s: 1 %s: 1]", first.Format(time.DateOnly), first.AddDate(0, 0, 1).Format(time.DateOnly)))
}
