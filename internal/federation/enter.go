package federation

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/page"
	"parvis/internal/session"
	"parvis/internal/signin"
	"parvis/internal/upstream"
)

// enter signs in the person that a believed answer names, and answers the browser.
// confirmed says that the person saw the confirmation page and went on. With an error,
// enter returns the answer with the checks that led to it.
func (h *Hub) enter(v *page.Visitor, b session.Browser, judged answer, confirmed bool) (answer, error) {
	ctx := v.R.Context()
	how, err := h.entrance(v, judged, confirmed)
	if err != nil {
		return judged, err
	}
	var a answer
	var opened signin.Opened
	err = h.DB.Update(ctx, func(tx *db.Tx) error {
		a = judged
		a.TimeZone = v.TimeZone()
		a.Trace.Checks = append([]upstream.Check(nil), judged.Trace.Checks...)
		attempt, err := h.SignIn.Load(ctx, tx, b, a.Request.AttemptID, tx.Now())
		if err != nil {
			return err
		}
		who, err := h.admit(ctx, tx, &a, attempt, how)
		if err != nil {
			return err
		}
		opened, err = h.SignIn.Vouch(ctx, tx, signin.Vouched{
			Browser: b, Remembered: v.Remembered(), Attempt: attempt.ID, Who: who, Proof: a.proof(),
		})
		if err != nil {
			return err
		}
		if err := keepSession(ctx, tx, a, opened); err != nil {
			return err
		}
		t := a.explained(v, "")
		t.UserID = who.User.ID
		return keepTrace(ctx, tx, t)
	})
	if err != nil {
		return a, err
	}
	return a, v.Enter(opened)
}

// keepSession stores the provider's names for a session, for single logout.
func keepSession(ctx context.Context, tx *db.Tx, a answer, opened signin.Opened) error {
	if opened.Session == "" {
		return nil // an existing session was raised, and is stored already
	}
	_, err := tx.Exec(ctx, `
		insert into upstream_sessions (org_id, session_id, connection_id, issuer, subject, session_index)
		values ($1, $2, $3, $4, $5, $6)`,
		string(a.Connection.OrgID), opened.Session, a.Connection.ID, a.Assertion.Issuer, a.Assertion.Subject, a.Assertion.SessionIndex)
	return err
}

// errOtherAddress has the person asked whether to go on, because the provider gives
// another address than the invited one.
var errOtherAddress = errors.New("the provider says another address than was invited")

// waiting is a believed answer until the person confirms it.
type waiting struct {
	Assertion upstream.Assertion `json:"assertion"`
	Checks    []upstream.Check   `json:"checks"`
	Prove     directory.UserID   `json:"prove,omitempty"` // the user that the person must first prove to be
}

// entrance lists the users that this browser has just proved to be: in a session, where
// the proof is fresh, or for this very answer.
func (h *Hub) entrance(v *page.Visitor, a answer, confirmed bool) (entrance, error) {
	found := entrance{language: v.Language(), confirmed: confirmed}
	if !confirmed {
		return found, nil // nobody is linked before they saw the page
	}
	ctx := v.R.Context()
	b, err := v.Browser(ctx)
	if err != nil {
		return entrance{}, err
	}
	if found.proved, err = h.SignIn.ProvedToLink(ctx, b, a.Connection.OrgID, a.Request.ID, h.DB.Now().Add(-page.ChangeProof)); err != nil {
		return entrance{}, err
	}
	visits, err := v.Visits(ctx)
	if err != nil {
		return entrance{}, err
	}
	for _, visit := range visits {
		if visit.User.OrgID != a.Connection.OrgID {
			continue
		}
		fresh, err := v.FreshIn(visit)
		if err != nil {
			return entrance{}, err
		}
		if fresh {
			found.proved = append(found.proved, visit.User.ID)
		}
	}
	return found, nil
}

// explainProof stores that somebody was asked to prove a new link, for the people who
// may approve it.
func (h *Hub) explainProof(v *page.Visitor, a answer) error {
	ctx := v.R.Context()
	if a.Trace.Require(checkProof, false, "", a.who()) == nil {
		return nil
	}
	return h.DB.Update(ctx, func(tx *db.Tx) error {
		if err := keepTrace(ctx, tx, a.explained(v, checkProof)); err != nil {
			return err
		}
		return a.keepWanted(ctx, tx, v.Reference())
	})
}

// askFirst stores a believed answer and shows the person what it says before they enter.
// That is so when nobody asked for it here, when it has another address than the invited
// one, or when the person must first prove who they are (decisions 0031, 0032 and 0044).
func (h *Hub) askFirst(v *page.Visitor, a answer, attempt string, prove directory.User) error {
	ctx := v.R.Context()
	q := a.Request
	if attempt == "" {
		begun, err := v.Begin(signin.Attempt{OrgID: a.Connection.OrgID, ConnectionID: a.Connection.ID, Return: a.Organization.Path("home")}, nil)
		if err != nil {
			return err
		}
		q = request{OrgID: a.Connection.OrgID, ConnectionID: a.Connection.ID, BrowserID: begun.BrowserID, AttemptID: begun.ID}
		if q, _, err = h.ask(ctx, q); err != nil {
			return err
		}
	}
	plain, err := json.Marshal(waiting{a.Assertion, a.Trace.Checks, prove.ID})
	if err != nil {
		return err
	}
	err = h.DB.Update(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(ctx, `
			update upstream_requests set ended_at = coalesce(ended_at, $1), answer = $2
			where org_id = $3 and id = $4`,
			db.Time(tx.Now()), h.asked.Seal(plain, requestRow(q.ID, "answer")), string(q.OrgID), q.ID)
		return err
	})
	if err != nil {
		return err
	}
	return v.Redirect(confirmPath(a.Connection, q))
}

func confirmPath(c Connection, q request) string { return "/federation/" + c.ID + "/confirm/" + q.ID }

// confirmPage says who would sign in, and where.
type confirmPage struct {
	Organization directory.Organization
	Connection   Connection
	Email        string // as the provider says
	Invited      string // the invited address, if it is another one
	Signed       []session.Visit
	Prove        *directory.User // the user that the person must first prove to be,
	Proved       bool            // and whether they have
	Issuer       string          // the provider's name for itself
}

// waits returns the answer that waits for this browser's confirmation. In a transaction,
// take removes it, so that it counts once.
func (h *Hub) waits(v *page.Visitor, r db.Reader, b session.Browser, take bool) (answer, error) {
	ctx := v.R.Context()
	var a answer
	var err error
	if a.Connection, a.Organization, err = connectionByID(ctx, r, v.R.PathValue("connection")); err != nil {
		return answer{}, err
	}
	var asked, sealed string
	found, err := r.One(ctx, append(requestTargets(&a.Request, &asked), &sealed), `
		select `+requestColumns+`, answer
		from upstream_requests
		where org_id = $1 and id = $2 and connection_id = $3 and browser_id = $4 and answer is not null and created_at > $5`,
		string(a.Connection.OrgID), v.R.PathValue("request"), a.Connection.ID, b.ID, db.Time(r.Now().Add(-RequestLasts)))
	if err == nil && (!found || b.ID == "") {
		err = signin.ErrAttemptGone
	}
	if err != nil {
		return answer{}, err
	}
	if tx, ok := r.(*db.Tx); ok && take {
		n, err := tx.Exec(ctx, `update upstream_requests set answer = null where org_id = $1 and id = $2 and answer is not null`,
			string(a.Request.OrgID), a.Request.ID)
		if err == nil && n == 0 {
			err = signin.ErrAttemptGone
		}
		if err != nil {
			return answer{}, err
		}
	}
	plain, err := h.asked.Open(sealed, requestRow(a.Request.ID, "answer"))
	if err != nil {
		return answer{}, err
	}
	var w waiting
	err = json.Unmarshal(plain, &w)
	a.Assertion, a.Trace.Checks, a.prove = w.Assertion, w.Checks, w.Prove
	if err == nil && a.Connection.ChangedAt.After(a.Request.CreatedAt) {
		err = signin.ErrAttemptGone // it was judged by settings that have changed since
	}
	return a, err
}

func (h *Hub) showConfirm(v *page.Visitor) error {
	ctx := v.R.Context()
	b, err := v.Browser(ctx)
	if err != nil {
		return err
	}
	a, err := h.waits(v, h.DB, b, false)
	if err != nil {
		return err
	}
	p := confirmPage{Organization: a.Organization, Connection: a.Connection, Email: a.who(), Issuer: a.Assertion.Issuer}
	attempt, err := h.SignIn.Load(ctx, h.DB, b, a.Request.AttemptID, h.DB.Now())
	if err != nil {
		return err
	}
	if attempt.InvitationID != "" {
		inv, err := directory.InvitationByID(ctx, h.DB, directory.System(a.Connection.OrgID), a.Connection.OrgID, attempt.InvitationID)
		if err != nil {
			return err
		}
		p.Invited = inv.Email
	}
	if a.prove != "" {
		user, err := directory.UserByID(ctx, h.DB, a.Connection.OrgID, a.prove)
		if err != nil {
			return err
		}
		now, err := h.entrance(v, a, true)
		if err != nil {
			return err
		}
		p.Prove, p.Proved = &user, slices.Contains(now.proved, user.ID)
	}
	if p.Signed, err = v.Visits(ctx); err != nil {
		return err
	}
	return v.Render("federation-confirm", p)
}

func (h *Hub) confirm(v *page.Visitor) error {
	b, err := v.Browser(v.R.Context())
	if err != nil {
		return err
	}
	a, err := h.waits(v, h.DB, b, false)
	if err != nil {
		return err
	}
	now, err := h.entrance(v, a, true)
	if err != nil {
		return err
	}
	if a.prove != "" && !slices.Contains(now.proved, a.prove) {
		return h.proveBefore(v, a)
	}
	err = h.DB.Update(v.R.Context(), func(tx *db.Tx) error {
		a, err = h.waits(v, tx, b, true)
		if err == nil && a.Connection.State != On {
			err = ErrOff
		}
		return err
	})
	if err != nil {
		return err
	}
	return h.enterOrAsk(v, b, a, true)
}

// proveBefore starts a sign-in in which the person proves to be a.prove, by an earlier
// link, a password or a passkey, and which leads back to the waiting answer. It opens no
// session, so our own credentials count even where single sign-on is the only way in.
func (h *Hub) proveBefore(v *page.Visitor, a answer) error {
	user, err := directory.UserByID(v.R.Context(), h.DB, a.Connection.OrgID, a.prove)
	if err != nil {
		return err
	}
	begun, err := v.Begin(signin.Attempt{
		OrgID: user.OrgID, UserID: user.ID, Generation: user.Generation, LinkRequest: a.Request.ID, Return: confirmPath(a.Connection, a.Request),
	}, nil)
	if err != nil {
		return err
	}
	return v.Redirect("/sign-in/" + begun.ID)
}
