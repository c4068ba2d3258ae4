package directory_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/expect"
)

// A statement counts invitations by state, and a page shows the state of each: they agree about
// every state that an open invitation can be in, and every kind of sender.
func TestInvitationsAreCountedByTheStateThatAPageShows(t *testing.T) {
	t.Parallel()
	h := open(t)
	o := h.organization("Alpha Works", "alpha")
	actors := map[string]directory.Actor{"operator": directory.Operator()}
	for _, r := range []directory.Role{directory.Owner, directory.Administrator, directory.Helpdesk} {
		actors[string(r)] = h.user(o, string(r)+"@alpha.example", r).AsActor()
	}
	change := func(statement string, args ...any) {
		t.Helper()
		if err := h.update(func(ctx context.Context, tx *db.Tx) error {
			_, err := tx.Exec(ctx, statement, append([]any{string(o.ID)}, args...)...)
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	now := h.DB.Now()
	past := db.Time(now.Add(-time.Hour))
	n := 0
	for _, actor := range actors {
		for _, role := range []directory.Role{directory.Member, directory.Administrator, directory.Owner} {
			for _, what := range []string{"nothing", "sent", "bounced", "given up", "opened", "expired", "taken"} {
				n++
				address := fmt.Sprintf("guest%d@alpha.example", n)
				inv, err := h.invite(actor, o, address, role)
				if err != nil {
					continue // this role may not invite to that one
				}
				letter := `update letters set next_try_at = null, ` + map[string]string{"sent": "sent_at", "opened": "sent_at", "bounced": "bounced_at", "given up": "given_up_at"}[what]
				switch what {
				case "sent", "bounced", "given up", "opened":
					change(letter+` = $2 where org_id = $1 and id = (select letter_id from invitations where org_id = $1 and id = $3)`, past, inv.ID)
				case "expired":
					change(`update invitations set expires_at = $2 where org_id = $1 and id = $3`, db.Time(now), inv.ID)
				case "taken":
					change(`update users set email = $2, email_key = $2 where org_id = $1 and id = $3`, address, string(actors["helpdesk"].UserID))
				}
				if what == "opened" {
					change(`update invitations set opened_at = $2 where org_id = $1 and id = $3`, past, inv.ID)
				}
			}
		}
	}
	compare := func(when string) {
		t.Helper()
		ids, err := db.List(t.Context(), h.DB, db.Value[string], `
			select id from invitations
			where org_id = $1 and accepted_at is null and withdrawn_at is null and replaced_at is null`, string(o.ID))
		if err != nil {
			t.Fatal(err)
		}
		all, err := directory.InvitationsByID(t.Context(), h.DB, o.ID, ids)
		if err != nil {
			t.Fatal(err)
		}
		shown := map[directory.InvitationState]int{}
		for _, inv := range all {
			shown[inv.State(now)]++
		}
		counted, err := directory.InvitationStates(t.Context(), h.DB, o.ID)
		if err != nil {
			t.Fatal(err)
		}
		expect.Equal(t, when, fmt.Sprint(counted), fmt.Sprint(shown))
		if len(shown) < 6 {
			t.Errorf("%s: only %v", when, shown)
		}
	}
	compare("as they were sent")
	change(`update users set role = 'helpdesk' where org_id = $1 and id = $2`, string(actors["administrator"].UserID))
	change(`update users set deactivated_at = $2, state = 'deactivated' where org_id = $1 and id = $3`, past, string(actors["helpdesk"].UserID))
	compare("after some of their senders lost the right")
}
