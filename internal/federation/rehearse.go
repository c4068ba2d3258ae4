package federation

import (
	"errors"
	"strings"

	"parvis/internal/db"
	"parvis/internal/page"
	"parvis/internal/signin"
	"parvis/internal/upstream"
)

// errRehearsed undoes what a rehearsal did.
var errRehearsed = errors.New("rehearsed")

// rehearse admits whom a test is about, as a sign-in from the organization's page
// would, and takes all of it back (decision 0043).
func (h *Hub) rehearse(v *page.Visitor, judged *answer) error {
	ctx := v.R.Context()
	var a answer
	err := h.DB.Update(ctx, func(tx *db.Tx) error {
		a = *judged
		a.Trace.Checks = append([]upstream.Check(nil), judged.Trace.Checks...)
		who, err := h.admit(ctx, tx, &a, signin.Attempt{OrgID: a.Connection.OrgID, ConnectionID: a.Connection.ID}, entrance{language: v.Language(), rehearsed: true})
		if err != nil {
			return err
		}
		a.Rehearsed = who
		return errRehearsed
	})
	*judged = a
	if errors.Is(err, errRehearsed) {
		return nil
	}
	judged.Arrival = ""
	return err
}

// passTest notes that a test passed, with what it covered, and shows what came.
func (h *Hub) passTest(v *page.Visitor, a answer) error {
	ctx := v.R.Context()
	err := h.DB.Update(ctx, func(tx *db.Tx) error {
		// Of the very settings that it was begun with: a change since asks for another.
		if a.Connection.Beside {
			if err := h.passBeside(ctx, tx, a); err != nil {
				return err
			}
		} else if _, err := tx.Exec(ctx, `
			update connections set tested_at = $1
			where org_id = $2 and id = $3 and changed_at <= $4`,
			db.Time(tx.Now()), string(a.Connection.OrgID), a.Connection.ID, db.Time(a.Request.CreatedAt)); err != nil {
			return err
		}
		return keepTrace(ctx, tx, a.explained(v, ""))
	})
	if err != nil {
		return err
	}
	return showTested(v, a)
}

// showTested leads whoever tested to what came of it: the console, or the setup link.
func showTested(v *page.Visitor, a answer) error {
	if strings.HasPrefix(a.Request.Tester, setupPrefix) {
		return v.Redirect("/connection-setup/tested/" + v.Reference())
	}
	return v.Redirect(a.Organization.Path("admin", "single-sign-on", "attempts", v.Reference()))
}

// setupPrefix begins the id of a setup link.
const setupPrefix = "lnk_"
