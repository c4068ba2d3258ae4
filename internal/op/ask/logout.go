package ask

import (
	"net/http"
	"net/url"
	"slices"

	"parvis/internal/db"
	"parvis/internal/op"
	"parvis/internal/page"
	"parvis/internal/session"
)

var confirmFields = page.Fields{"session"}

// endSession signs a person out for an application. If its id_token_hint names a session that
// is open here, that session ends at once; otherwise a page asks the person.
func (p *Pages) endSession(v *page.Visitor) error {
	form, err := url.ParseQuery(v.R.URL.RawQuery)
	if err != nil {
		return p.answerBad(v, &op.Mismatch{Key: "op.mismatch.query"})
	}
	l, err := p.ReadLeaving(v.R.Context(), form)
	if err != nil {
		return p.answerBad(v, err)
	}
	visits, err := p.leavingAs(v)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(visits, func(w session.Visit) bool { return p.IsOf(l, w) })
	switch {
	case i >= 0:
		return p.signOut(v, visits[i], l, true)
	case len(visits) == 0 || l.Hint.SID != "" && !slices.ContainsFunc(visits, func(w session.Visit) bool { return p.IsSame(l, w) }):
		return p.signedOut(v, l, true) // the session has ended already
	}
	return onward(v, op.EndSessionPath+"/confirm?"+form.Encode())
}

// leavingAs returns who is signed in here, and sets the page's language: that of the person
// who was chosen last, or else the one that the application asked for.
func (p *Pages) leavingAs(v *page.Visitor) ([]session.Visit, error) {
	visits, err := v.Visits(v.R.Context())
	v.Prefer(string(chosenLast(visits).User.Language), v.R.URL.Query().Get("ui_locales"))
	return visits, err
}

// postEndSession takes the request by POST. A form from another site brings no cookie, so the
// browser returns with a GET.
func (p *Pages) postEndSession(v *page.Visitor) error {
	v.R.Body = http.MaxBytesReader(v.W, v.R.Body, op.MaxBody)
	if err := v.R.ParseForm(); err != nil {
		return p.answerBad(v, &op.Mismatch{Key: "op.mismatch.query"})
	}
	return onward(v, op.EndSessionPath+"?"+v.R.PostForm.Encode())
}

// confirmPage asks whether to sign out.
type confirmPage struct {
	Title  string // of the application that asked; empty where none is named
	Visits []session.Visit
}

func (p *Pages) showConfirm(v *page.Visitor) error {
	l, err := p.ReadLeaving(v.R.Context(), v.R.URL.Query())
	if err != nil {
		return p.answerBad(v, err)
	}
	visits, err := p.leavingAs(v)
	if err != nil {
		return err
	}
	if len(visits) == 0 {
		return p.signedOut(v, l, false)
	}
	slices.SortStableFunc(visits, func(a, b session.Visit) int { return b.Session.ChosenAt().Compare(a.Session.ChosenAt()) })
	return v.Render("op-sign-out", confirmPage{l.Client.Title(v.Language()), visits})
}

func (p *Pages) confirm(v *page.Visitor) error {
	l, err := p.ReadLeaving(v.R.Context(), v.R.URL.Query())
	if err != nil {
		return p.answerBad(v, err)
	}
	visits, err := p.leavingAs(v)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(visits, func(w session.Visit) bool { return w.Session.ID == v.Form.Get("session") })
	if i < 0 {
		return p.signedOut(v, l, false)
	}
	return p.signOut(v, visits[i], l, false)
}

// signOut ends a session that an application asked to end. If the identity provider that
// vouched for it has a page for signing out, the browser goes there first.
func (p *Pages) signOut(v *page.Visitor, w session.Visit, l op.Leaving, direct bool) error {
	ctx := v.R.Context()
	frames, err := p.Frames(ctx, w.Session)
	if err == nil {
		err = p.DB.Update(ctx, func(tx *db.Tx) error { return p.Sessions.End(ctx, tx, w, session.SignedOut) })
	}
	if err != nil {
		return err
	}
	left, err := v.Visits(ctx)
	if err != nil {
		return err
	}
	v.Forget(len(left) == 0)
	v.Load(frames)
	if answered, err := p.signOutThere(v, w.Session, l.Address); answered || err != nil {
		return err
	}
	return p.signedOut(v, l, direct && len(frames) == 0)
}

// signedOut leads back to the application, or shows that the person is signed out.
func (p *Pages) signedOut(v *page.Visitor, l op.Leaving, direct bool) error {
	if l.Address != "" && direct && len(l.Address) <= mostLocation {
		http.Redirect(v.W, v.R, l.Address, http.StatusSeeOther)
		return nil
	}
	v.NoForm()
	if l.Address != "" {
		return v.Render("op-going", leadingTo(l.Client.Title(v.Language()), l.Address))
	}
	return p.SignedOut(v, "")
}

// signedOutPage leads on to Next by itself, unless it is empty.
type signedOutPage struct{ Next string }

// SignedOut shows the page whose frames tell applications, and which leads on to next.
func (p *Pages) SignedOut(v *page.Visitor, next string) error {
	v.NoForm()
	return v.Render("op-signed-out", signedOutPage{next})
}
