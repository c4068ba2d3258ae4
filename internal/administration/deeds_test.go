package administration_test

import (
	"context"
	"os"
	"strings"
	"testing"

	"parvis/internal/administration"
	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/expect"
)

// A deed that is added is grave or is not: this test asks which.
func TestGraveDeedsCloseAWayInOrGiveEveryRight(t *testing.T) {
	t.Parallel()
	var grave []string
	for _, d := range everyDeed() {
		if d.Grave {
			grave = append(grave, d.Name)
		}
	}
	expect.Equal(t, "grave", strings.Join(grave, " "), "deactivate delete role-owner")
}

// The first parts of a deed on many people are done. A later one must not be refused because those took the
// time of the request.
func TestEachPartOfADeedHasItsOwnTimeAtTheDatabase(t *testing.T) {
	t.Parallel()
	if os.Getenv(dbtest.PostgresVariable) == "" {
		t.Skip("on SQLite only the turn to write is waited for")
	}
	w := start(t)
	ctx := db.Answering(t.Context())
	sleep := func(ctx context.Context, seconds float64) error {
		_, err := w.DB.One(ctx, db.Into(new(int)), `select 1 from pg_sleep($1)`, seconds)
		return err
	}
	_, _ = sleep(ctx, 4), sleep(ctx, 4)
	if err := sleep(ctx, 1); !db.IsUnavailable(err) {
		t.Fatalf("the request has time left: %v", err)
	}
	var deactivate administration.Deed
	for _, d := range everyDeed() {
		if d.Name == "deactivate" {
			deactivate = d
		}
	}
	// Somebody else is at this person's row, so that the deed has to wait for longer than the request could.
	held := make(chan error)
	go func() {
		_, err := w.DB.One(t.Context(), db.Into(new(int)), `with held as (select id from users where org_id = $1 and id = $2 for update) select 1 from held, pg_sleep(2)`,
			w.org.ID, w.ana.ID)
		held <- err
	}()
	for n := 0; n == 0; {
		if _, err := w.DB.One(t.Context(), db.Into(&n), `select count(*) from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'`); err != nil {
			t.Fatal(err)
		}
	}
	fates, err := w.Site.Administration.Do(ctx, directory.Operator(), w.org.ID, administration.Task{Deed: deactivate, People: []directory.UserID{w.ana.ID}})
	if err != nil || len(fates) != 1 || !fates[0].Done() {
		t.Errorf("the next part: %+v, %v, want it done", fates, err)
	}
	if err := <-held; err != nil {
		t.Error(err)
	}
}
