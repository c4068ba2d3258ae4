package op

import (
	"strings"
	"testing"
	"time"

	"parvis/internal/application"
	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
)

// To say how an application answers, the calls of seven days are not read: an index finds the
// last call and the waiting ones.
func TestHowAnApplicationAnswersIsFoundByAnIndex(t *testing.T) {
	t.Parallel()
	address := dbtest.Address(t)
	d := dbtest.OpenAt(t, address)
	var c application.Application
	if err := d.Update(t.Context(), func(tx *db.Tx) (err error) {
		s := application.Defaults(application.Web)
		s.Name, s.RedirectURIs = "Books", []string{"https://books.example/callback"}
		if c, _, err = application.Register(t.Context(), tx, directory.Operator(), "https://id.example", application.Application{Kind: application.Web, Settings: s}); err != nil {
			return err
		}
		// Five thousand sign-outs in fifty organizations, one a second; two wait to be told.
		_, err = tx.Exec(t.Context(), `
			with recursive n(i) as (select cast(1 as bigint) union all select i + 1 from n where i < 5000)
			insert into logouts (org_id, id, client_id, user_id, session_id, created_at, next_try_at, tries, told_at, tried_at, reply)
			select 'org' || (i % 50), 'out' || i, $1, 'user', 'session', i, case when i > 4998 then i + 9000000 end, 1,
				case when i <= 4998 then i * 1000000 end, i * 1000000, case when i <= 4998 then '204 No Content' else '500' end
			from n`, string(c.ID))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	want := Channel{TriedAt: time.UnixMicro(5000 * 1e6).UTC(), Reply: "500", Waiting: 1, NextTry: time.UnixMicro(9_005_000).UTC()}
	if got, err := ChannelOf(t.Context(), d, "org0", c.ID); err != nil || got != want {
		t.Errorf("the organization sees %+v, %v, not %+v", got, err, want)
	}
	want.Waiting, want.NextTry = 2, time.UnixMicro(9_004_999).UTC()
	if got, err := Channels(t.Context(), d); err != nil || got[c.ID] != want {
		t.Errorf("the operator sees %+v, %v, not %+v", got, err, want)
	}

	sqlite := !db.IsPostgres(address)
	explain, whole := "explain query plan ", []string{"SCAN l", "TEMP B-TREE"}
	if !sqlite {
		explain, whole = "explain ", []string{"Seq Scan on logouts", "Sort"}
		if err := d.Exec(t.Context(), func(func(...any) error) error { return nil }, `analyze logouts`); err != nil {
			t.Fatal(err)
		}
	}
	for _, one := range []struct {
		statement, index string
		args             []any
	}{
		{channelOf, " logouts_tried_of ", []any{"org0", string(c.ID)}},
		{channelsOfAll, " logouts_tried ", nil},
	} {
		var steps strings.Builder
		if err := d.Rows(t.Context(), func(scan func(...any) error) error {
			var step string
			targets := []any{&step}
			if sqlite {
				targets = []any{new(int), new(int), new(int), &step}
			}
			err := scan(targets...)
			steps.WriteString(step + "\n")
			return err
		}, explain+one.statement, one.args...); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(steps.String(), one.index) {
			t.Errorf("the last call is not found by%sin\n%s", one.index, steps.String())
		}
		if sqlite && !strings.Contains(steps.String(), " logouts_waiting ") {
			t.Errorf("those that wait are not found by logouts_waiting in\n%s", steps.String())
		}
		for _, all := range whole {
			if strings.Contains(steps.String(), all) {
				t.Errorf("%q: all that was told is read:\n%s", all, steps.String())
			}
		}
	}
}
