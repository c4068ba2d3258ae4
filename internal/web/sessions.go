package web

import (
	"context"
	"net/http"
	"strings"

	"parvis/internal/db"
	"parvis/internal/page"
	"parvis/internal/secret"
	"parvis/internal/session"
)

var (
	sessionsFields = page.Fields{"id"}
	signOutFields  = page.Fields{"page"}
)

// methodKeys are the catalogue keys of the methods by which a session was opened (RFC 8176).
var methodKeys = map[string]string{
	"pwd": "web.method.pwd",
	"otp": "web.method.otp",
	"hwk": "web.method.hwk",
}

func methods(s session.Session) []string {
	var keys []string
	for method := range strings.FieldsSeq(s.Methods) {
		if key := methodKeys[method]; key != "" {
			keys = append(keys, key)
		}
	}
	return keys
}

// sessionsPage lists where a user is signed in to this organization.
type sessionsPage struct {
	Open               []openSession
	Others             bool
	Ended, EndedOthers bool
}

type openSession struct {
	session.Session
	Methods []string // catalogue keys
	Here    bool
}

func (s account) showSessions(v *page.Viewer) error {
	own, err := s.site.Sessions.Own(v.R.Context(), s.site.DB, v.Visit, s.site.DB.Now())
	if err != nil {
		return err
	}
	p := sessionsPage{Ended: v.Just("ended"), EndedOthers: v.Just("ended-others")}
	for _, o := range own {
		here := o.ID == v.Session.ID
		p.Open = append(p.Open, openSession{o, methods(o), here})
		p.Others = p.Others || !here
	}
	v.FormIf(p.Others)
	return v.Render("account-sessions", p)
}

// endSessions ends another of the user's sessions, or all others.
func (s account) endSessions(v *page.Viewer) error {
	ctx := v.R.Context()
	switch id := v.Form.Get("id"); {
	case v.Form.Do() == "others":
		return v.Do(func(ctx context.Context, tx *db.Tx) error {
			_, err := s.site.Sessions.EndOthers(ctx, tx, v.Visit, session.EndedElsewhere)
			return err
		}, v.Path("account/sessions")+"?ended-others")
	case v.Form.Do() != "end":
		return s.showSessions(v)
	case !secret.IsID(id):
		return session.ErrOver
	case id == v.Session.ID:
		return s.leave(v, []session.Session{v.Session}, func(tx *db.Tx) error { return s.site.Sessions.End(ctx, tx, v.Visit, session.SignedOut) })
	default:
		return v.Do(func(ctx context.Context, tx *db.Tx) error {
			return s.site.Sessions.EndOne(ctx, tx, v.Visit, id)
		}, v.Path("account/sessions")+"?ended")
	}
}

// organizationsPage lists who is signed in to this browser.
type organizationsPage struct {
	Doors []door
	Left  bool
}

type door struct {
	session.Visit
	Methods []string // catalogue keys
	Here    bool
}

func (s account) showOrganizations(v *page.Viewer) error {
	visits, err := v.Visits(v.R.Context())
	if err != nil {
		return err
	}
	p := organizationsPage{Left: v.Just("left")}
	for _, visit := range visits {
		p.Doors = append(p.Doors, door{visit, methods(visit.Session), visit.Session.ID == v.Session.ID})
	}
	return v.Render("account-organizations", p)
}

// stay keeps a session open after its page warned of the end. The page stays as it is, with
// everything typed.
func (s account) stay(v *page.Viewer) error {
	if _, err := s.site.Sessions.Stay(v.R.Context(), s.site.DB, v.Visit); err != nil {
		return err
	}
	v.W.WriteHeader(http.StatusNoContent)
	return nil
}

// showSignOut asks first. It is for a form that was made by hand, or reloaded.
func (s account) showSignOut(v *page.Viewer) error { return v.Render("sign-out", nil) }

// signOut ends this session and leaves others alone, or ends all sessions in this browser, or
// all of this user everywhere.
func (s account) signOut(v *page.Viewer) error {
	ctx := v.R.Context()
	switch v.Form.Do() {
	case "everywhere":
		return s.leave(v, []session.Session{v.Session}, func(tx *db.Tx) error {
			_, err := s.site.Sessions.EndAll(ctx, tx, v.User.AsActor(), v.User, session.EndedElsewhere)
			return err
		})
	case "browser":
		visits, err := v.Visits(ctx)
		if err != nil {
			return err
		}
		ended := make([]session.Session, len(visits))
		for i, visit := range visits {
			ended[i] = visit.Session
		}
		return s.leave(v, ended, func(tx *db.Tx) error {
			for _, visit := range visits {
				if err := s.site.Sessions.End(ctx, tx, visit, session.SignedOut); err != nil {
					return err
				}
			}
			return nil
		})
	default:
		return s.leave(v, []session.Session{v.Session}, func(tx *db.Tx) error { return s.site.Sessions.End(ctx, tx, v.Visit, session.SignedOut) })
	}
}

// leave ends what the viewer has open and continues where the form leads, if somebody is still
// signed in to this browser, else at the organization's sign-in page. A page in between tells
// applications that listen in this browser.
func (s account) leave(v *page.Viewer, ended []session.Session, end func(*db.Tx) error) error {
	ctx := v.R.Context()
	frames, err := s.ask.Frames(ctx, ended...)
	if err != nil {
		return err
	}
	if err := s.site.DB.Update(ctx, end); err != nil {
		return err
	}
	left, err := v.Visits(ctx)
	if err != nil {
		return err
	}
	v.Forget(len(left) == 0)
	v.Load(frames)
	if answered, err := s.leaveProvider(v); answered || err != nil {
		return err
	}
	door := v.Organization.Path() + "?signed-out"
	if len(frames) > 0 {
		return s.ask.SignedOut(v.Visitor, door)
	}
	if len(left) == 0 {
		return v.Redirect(door)
	}
	return v.GoOn(door)
}
