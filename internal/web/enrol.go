package web

import (
	"errors"
	"fmt"
	"html/template"
	"net/url"
	"strings"

	"rsc.io/qr"

	"parvis/internal/credential"
	"parvis/internal/directory"
	"parvis/internal/naming"
	"parvis/internal/page"
	"parvis/internal/signin"
)

// enrolment says where an authenticator is enrolled: in a step of signing in, for somebody who needs an
// authenticator and has none, or in the user's own account.
type enrolment struct {
	signin.Enroller
	path    string // of its pages
	own     bool   // in the user's own account
	confirm func(code string) (signin.Opened, error)
	add     func(ceremony, name string, response []byte) (signin.Opened, error)
}

// ofAttempt returns the enrolment that an attempt waits for.
func (s *Server) ofAttempt(v *page.Visitor, a signin.Attempt) (enrolment, error) {
	ctx := v.R.Context()
	e, err := s.signIn.EnrollerOf(ctx, a)
	if err != nil {
		return enrolment{}, err
	}
	browser, err := v.Browser(ctx)
	return enrolment{
		Enroller: e, path: "/sign-in/" + a.ID,
		confirm: func(code string) (signin.Opened, error) {
			return s.signIn.ConfirmApp(ctx, a, browser, v.Remembered(), code)
		},
		add: func(ceremony, name string, response []byte) (signin.Opened, error) {
			return s.signIn.AddPasskey(ctx, a, browser, v.Remembered(), ceremony, name, response)
		},
	}, err
}

// here returns the enrolment in the user's own account.
func (s account) here(v *page.Viewer) enrolment {
	ctx := v.R.Context()
	back := func(o signin.Opened, err error) (signin.Opened, error) {
		if errors.Is(err, credential.ErrNoPendingApp) || errors.Is(err, credential.ErrCeremonyOver) {
			if again, gone := s.signIn.RepeatHere(ctx, v.Visit, repetition(v.Visitor)); gone == nil {
				o, err = again, nil // the same form, sent a moment earlier, came first
			}
		}
		o.Return = v.Path("account/security") + "?added"
		return o, err
	}
	return enrolment{
		Enroller: signin.EnrollerHere(v.Visit), path: v.Path("account/security/add"), own: true,
		confirm: func(code string) (signin.Opened, error) {
			return back(s.signIn.ConfirmAppHere(ctx, v.Visit, v.Remembered(), code))
		},
		add: func(ceremony, name string, response []byte) (signin.Opened, error) {
			return back(s.signIn.AddPasskeyHere(ctx, v.Visit, v.Remembered(), ceremony, name, response))
		},
	}
}

// showEnrolmentStep and enrolStep are a step of an attempt.
func (s *Server) showEnrolmentStep(v *page.Visitor, a signin.Attempt) error {
	e, err := s.ofAttempt(v, a)
	if err != nil {
		return err
	}
	return s.showEnrolment(v, e)
}

func (s *Server) enrolStep(v *page.Visitor, a signin.Attempt) error {
	e, err := s.ofAttempt(v, a)
	if err != nil {
		return err
	}
	return s.enrol(v, e)
}

// showAdd and add are the same in the user's own account.
func (s account) showAdd(v *page.Viewer) error { return s.showEnrolment(v.Visitor, s.here(v)) }

// add asks for fresh proof as a ProvedForm does, but not when the form is sent a second time:
// the browser lost the answer to the first, and with it the token that is fresh.
func (s account) add(v *page.Viewer) error {
	fresh, err := v.Fresh()
	if err != nil {
		return err
	}
	if fresh {
		return s.enrol(v.Visitor, s.here(v))
	}
	opened, err := s.signIn.RepeatHere(v.R.Context(), v.Visit, repetition(v.Visitor))
	if errors.Is(err, signin.ErrAttemptGone) {
		return v.ProveAgain()
	}
	opened.Return = v.Path("account/security") + "?added"
	return s.enrolled(v.Visitor, opened, err)
}

// enrolPage is a page of an enrolment.
type enrolPage struct {
	directory.Candidate
	Own      bool   // in the user's own account
	Passkeys bool   // this installation accepts them
	Path     string // of the enrolment
	Device   string // the name that was chosen before
	App      appPage
	Options  string // for the browser's dialogue
	Help     passkeyHelp
}

func (s *Server) enrolPage(e enrolment) enrolPage {
	return enrolPage{Candidate: e.Candidate, Own: e.own, Passkeys: s.signIn.Passkeys != nil, Path: e.path}
}

// appPage shows the secret of an authenticator app in three forms: for a camera, for an app on
// the same device, and for a keyboard.
type appPage struct {
	Name   string
	QR     qrCode
	URI    template.URL //nolint:forbidigo // See newAppPage.
	Groups []string     // the letters of the secret
}

// showEnrolment shows the choice of an authenticator, or what was chosen: the secret of the app that
// was begun, which a reload, a wrong code and a second tab leave as it is, or, in another
// language, the way to the browser's dialogue. Whatever goes wrong with a passkey leads back to
// the choice, with the name that was given.
func (s *Server) showEnrolment(v *page.Visitor, e enrolment) error {
	p := s.enrolPage(e)
	pending, err := s.signIn.PendingApp(v.R.Context(), e.Enroller)
	if err != nil && !errors.Is(err, credential.ErrNoPendingApp) {
		return err
	}
	p.Device = pending.Name
	switch {
	case v.R.URL.Query().Get("with") == withApp && err == nil:
		if p.App, err = newAppPage(pending); err != nil {
			return err
		}
		return v.Render("enrol-app", p)
	case p.Passkeys && v.Form.Has("response") && v.Form.Do() == "language":
		return s.showDialogue(v, e)
	}
	return v.Render("enrol", p)
}

// showDialogue leads to the browser's dialogue for a new passkey. It answers the form that
// named the authenticator, so the name is kept in the page and nowhere else.
func (s *Server) showDialogue(v *page.Visitor, e enrolment) error {
	options, ceremony, err := s.signIn.Passkeys.BeginRegistration(v.R.Context(), s.site.DB, e.User, e.BoundTo, s.site.DB.Now())
	if err != nil {
		return err
	}
	p := s.enrolPage(e)
	p.Options, p.Help = string(options), passkeyHelpFor(v.BrowserAndSystem())
	v.KeepCeremony(ceremony, credential.CeremonyLifetime)
	return v.Render("enrol-passkey", p)
}

func (s *Server) enrol(v *page.Visitor, e enrolment) error {
	switch kind := v.Form.Get("kind"); {
	case v.Form.Has("code"):
		return s.enrolApp(v, e)
	case kind != withApp && (kind != withPasskey || s.signIn.Passkeys == nil):
		return v.Redirect(e.path)
	case v.Form.Do() == "back":
		return s.showEnrolment(v, e)
	case unanswered[v.Form.Do()] != nil:
		return unanswered[v.Form.Do()]
	case v.Form.Has("response"):
		return s.enrolPasskey(v, e)
	}
	name := v.Form.Get("device")
	if v.Form.Get("kind") == withApp {
		return v.Done(s.signIn.BeginApp(v.R.Context(), e.Enroller, name), e.path+"?with="+withApp)
	}
	if _, err := naming.CleanName(name, "device"); err != nil {
		return err
	}
	return s.showDialogue(v, e)
}

func (s *Server) enrolApp(v *page.Visitor, e enrolment) error {
	opened, err := e.confirm(v.Form.Get("code"))
	if errors.Is(err, credential.ErrNoPendingApp) {
		return v.Redirect(e.path) // there is nothing to confirm: the choice is next
	}
	return s.enrolled(v, opened, err)
}

func (s *Server) enrolPasskey(v *page.Visitor, e enrolment) error {
	ceremony, response, err := s.answer(v)
	if err != nil {
		return err
	}
	opened, err := e.add(ceremony, v.Form.Get("device"), response)
	return s.enrolled(v, opened, err)
}

// enrolled continues after an authenticator was added: to the page that makes recovery codes, where the
// person has none, and from there to where signing in led.
func (s *Server) enrolled(v *page.Visitor, opened signin.Opened, err error) error {
	if err != nil {
		return err
	}
	return s.goOnToCodes(v, opened)
}

func (s *Server) goOnToCodes(v *page.Visitor, opened signin.Opened) error {
	if opened.Attempt == "" {
		codes, err := credential.RecoveryCodesLeft(v.R.Context(), s.site.DB, credential.Owner{OrgID: opened.User.OrgID, UserID: opened.User.ID})
		if err != nil {
			return err
		}
		if codes == 0 {
			opened.Return = opened.Organization.Path("account", "security", "codes") + "?" + url.Values{"next": {opened.Return}}.Encode()
		}
	}
	return v.Enter(opened)
}

func newAppPage(e credential.Enrolment) (appPage, error) {
	code, err := newQR(e.URI)
	// html/template lets only http, https and mailto through. We made this address ourselves,
	// and what people typed is escaped in it.
	return appPage{e.Name, code, template.URL(e.URI), strings.Fields(e.Secret)}, err //nolint:forbidigo // As said above.
}

// qrCode is a QR code as one path of an SVG, measured in modules, with the quiet zone around it
// that readers need (ISO/IEC 18004 §9.1).
type qrCode struct {
	Size int
	Path string
}

const (
	quietZone = 4
	// modulePixels is a whole number, so that every module is as large as its neighbour, and
	// large enough for a camera in front of an ordinary screen.
	modulePixels = 4
)

// Width returns how wide the code is shown, in pixels.
func (c qrCode) Width() int { return c.Size * modulePixels }

func newQR(text string) (qrCode, error) {
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		return qrCode{}, fmt.Errorf("drawing a QR code: %w", err)
	}
	var path strings.Builder
	for y := range code.Size {
		for x := 0; x < code.Size; x++ {
			from := x
			for x < code.Size && code.Black(x, y) {
				x++
			}
			if run := x - from; run > 0 {
				fmt.Fprintf(&path, "M%d %dh%dv1h-%dz", from+quietZone, y+quietZone, run, run)
			}
		}
	}
	return qrCode{code.Size + 2*quietZone, path.String()}, nil
}
