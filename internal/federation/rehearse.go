package federation

import (
	"errors"
	"strings"

	"parvis/internal/db"
	"parvis/internal/page"
	"parvis/internal/signin"
	"parvis/internal/upstream"
)

// errRehearsed rolls a rehearsal's transaction back.
var errRehearsed = errors.New("rehearsed")

// rehearse admits the person that a test's answer names, as a sign-in from the
// organization's page would, and rolls everything back (decision 0043).
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

// passTest records that a test passed, and shows what came.
func (h *Hub) passTest(v *page.Visitor, a answer) error {
	ctx := v.R.Context()
	err := h.DB.Update(ctx, func(tx *db.Tx) error {
		// It covers the settings that it began with; after a later change another is needed.
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

// showTested sends the tester to the result: in the console, or behind the setup link.
func showTested(v *page.Visitor, a answer) error {
	if strings.HasPrefix(a.Request.Tester, setupPrefix) {
		return v.Redirect("/connection-setup/tested/" + v.Reference())
	}
	return v.Redirect(a.Organization.Path("admin", "single-sign-on", "attempts", v.Reference()))
}

// setupPrefix begins the id of a setup link.
const setupPrefix = "lnk_"
