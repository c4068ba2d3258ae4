package op

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"

	"parvis/internal/application"
	"parvis/internal/db"
	"parvis/internal/jose"
	"parvis/internal/page"
	"parvis/internal/session"
)

var confirmFields = page.Fields{"session"}

// leaving is a request to sign out, understood (OIDC RP-Initiated Logout §2).
type leaving struct {
	client  application.Application // zero where none is named
	hint    hinted                  // zero where there was none
	address string                  // to go to afterwards; empty where none was asked for
}

// readLeaving understands it. The address is one that this very client registered;
// whoever it was sent to by a mistake gets a page (§3).
func (p *Provider) readLeaving(ctx context.Context, form url.Values) (leaving, error) {
	for _, values := range form {
		if len(values) > 1 {
			return leaving{}, &Mismatch{Key: "op.mismatch.twice"}
		}
	}
	var l leaving
	id := form.Get("client_id")
	if text := form.Get("id_token_hint"); text != "" {
		var err error
		l.hint, err = p.readHint(ctx, text)
		if errors.Is(err, errRetired) {
			// Its key is gone: it says nothing any more, and the person is asked. A hint of ours
			// names its client even so.
			var said hinted
			_ = jose.Unverified(text, mostOwn, &said) // where that cannot be read, it names nobody
			l.hint, err = hinted{Audience: said.Audience}, nil
		}
		if errors.Is(err, errNotOurs) || err == nil && id != "" && id != l.hint.Audience {
			return leaving{}, &Mismatch{Key: "op.mismatch.id_token_hint"}
		}
		if err != nil {
			return leaving{}, err
		}
		id = l.hint.Audience
	}
	if id != "" {
		var err error
		l.client, err = application.Registered(ctx, p.DB, id)
		if errors.Is(err, application.ErrUnknown) {
			return leaving{}, &Mismatch{Key: "op.mismatch.unknown_client"}
		}
		if err != nil {
			return leaving{}, err
		}
		if l.hint.SID != "" && !l.hint.of(l.client) {
			// The hint was made for an application that was removed, so it does not name the one
			// that has its ID now; only client_id can do that. The person is asked.
			if l.hint = (hinted{}); form.Get("client_id") == "" {
				l.client = application.Application{}
			}
		}
	}
	to := form.Get("post_logout_redirect_uri")
	switch {
	case to == "":
	case l.client.ID == "":
		return leaving{}, &Mismatch{Key: "op.mismatch.post_logout_client"}
	case !slices.Contains(l.client.Settings.PostLogoutURIs, to):
		return leaving{}, &Mismatch{Key: "op.mismatch.post_logout", Args: map[string]any{"Sent": to[:min(len(to), mostText)]}, Client: l.client.Settings.Name}
	case form.Get("state") != "":
		l.address = withQuery(to, url.Values{"state": {form.Get("state")}})
	default:
		l.address = to
	}
	return l, nil
}

// endSession is where an application sends a browser to sign out. With an ID token of
// its own for a session that is open here that ends at once; otherwise the person says.
func (p *Provider) endSession(v *page.Visitor) error {
	form, err := url.ParseQuery(v.R.URL.RawQuery)
	if err != nil {
		return p.answerBad(v, &Mismatch{Key: "op.mismatch.query"})
	}
	l, err := p.readLeaving(v.R.Context(), form)
	if err != nil {
		return p.answerBad(v, err)
	}
	visits, err := p.leavingAs(v)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(visits, func(w session.Visit) bool { return p.isOf(l, w) })
	switch {
	case i >= 0:
		return p.signOut(v, visits[i], l, true)
	case len(visits) == 0 || l.hint.SID != "" && !slices.ContainsFunc(visits, func(w session.Visit) bool { return p.isSame(l, w) }):
		return p.signedOut(v, l, true) // it has ended already
	}
	return onward(v, endSessionPath+"/confirm?"+form.Encode())
}

// leavingAs returns who is signed in here. The page gets the language of the person who
// was chosen last, or else the one that the application asked for.
func (p *Provider) leavingAs(v *page.Visitor) ([]session.Visit, error) {
	visits, err := v.Visits(v.R.Context())
	v.Prefer(string(chosenLast(visits).User.Language), v.R.URL.Query().Get("ui_locales"))
	return visits, err
}

// isOf reports whether the hint was made for this session.
func (p *Provider) isOf(l leaving, w session.Visit) bool {
	return l.hint.SID != "" && l.hint.SID == p.sid(l.client, w.Session.ID)
}

// isSame reports whether a session belongs to the person whom the hint names. They signed
// in again since the hint was made, so they are asked.
func (p *Provider) isSame(l leaving, w session.Visit) bool {
	return l.hint.Organization.ID == w.Session.OrgID && l.hint.Subject == p.subjectOf(l.client, w.Session.OrgID, w.User.ID)
}

// postEndSession takes the same by a form from another site, which brings no cookie: the
// browser comes back with a GET.
func (p *Provider) postEndSession(v *page.Visitor) error {
	v.R.Body = http.MaxBytesReader(v.W, v.R.Body, maxBody)
	if err := v.R.ParseForm(); err != nil {
		return p.answerBad(v, &Mismatch{Key: "op.mismatch.query"})
	}
	return onward(v, endSessionPath+"?"+v.R.PostForm.Encode())
}

// confirmPage asks whether to sign out.
type confirmPage struct {
	Title  string // of the application that asked; empty where none is named
	Visits []session.Visit
}

func (p *Provider) showConfirm(v *page.Visitor) error {
	l, err := p.readLeaving(v.R.Context(), v.R.URL.Query())
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
	return v.Render("op-sign-out", confirmPage{l.client.Title(v.Language()), visits})
}

func (p *Provider) confirm(v *page.Visitor) error {
	l, err := p.readLeaving(v.R.Context(), v.R.URL.Query())
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

// signOut ends a session that an application asked to end. Where the identity provider
// that vouched for it has a page for that, it comes first.
func (p *Provider) signOut(v *page.Visitor, w session.Visit, l leaving, direct bool) error {
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
	if answered, err := p.SignOut(v, w.Session, l.address); answered || err != nil {
		return err
	}
	return p.signedOut(v, l, direct && len(frames) == 0)
}

// signedOut goes back to the application, or says that it is done.
func (p *Provider) signedOut(v *page.Visitor, l leaving, direct bool) error {
	if l.address != "" && direct && len(l.address) <= mostLocation {
		http.Redirect(v.W, v.R, l.address, http.StatusSeeOther)
		return nil
	}
	v.NoForm()
	if l.address != "" {
		return v.Render("op-going", leadingTo(l.client.Title(v.Language()), l.address))
	}
	return p.SignedOut(v, "")
}

// signedOutPage goes on by itself where Next says so.
type signedOutPage struct{ Next string }

// SignedOut is the page that tells applications by its frames, and goes on.
func (p *Provider) SignedOut(v *page.Visitor, next string) error {
	v.NoForm()
	return v.Render("op-signed-out", signedOutPage{next})
}

// Frames are the addresses by which a browser tells applications that sessions of it end
// (OIDC Front-Channel Logout §3): those that were opened from them and want it so.
func (p *Provider) Frames(ctx context.Context, ended ...session.Session) ([]string, error) {
	var all []string
	for _, s := range ended {
		err := p.DB.Rows(ctx, func(scan func(...any) error) error {
			var w application.Row
			if err := scan(w.Targets()...); err != nil {
				return err
			}
			c, err := w.Read()
			if err == nil && c.Settings.FrontChannel != "" {
				all = append(all, withQuery(c.Settings.FrontChannel, url.Values{"iss": {p.Base}, "sid": {p.sid(c, s.ID)}}))
			}
			return err
		}, `
			select `+application.Columns+`
			from clients c
			where c.id in (select g.client_id from grants g where g.org_id = $1 and g.session_id = $2)`, string(s.OrgID), s.ID)
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}
