package web

import (
	"errors"
	"fmt"
	"strings"

	"rsc.io/qr"

	"parvis/internal/credential"
	"parvis/internal/directory"
	"parvis/internal/page"
	"parvis/internal/signin"
)

// enrolPage is the step of somebody who needs a second step and has none.
type enrolPage struct {
	directory.Candidate
	Passkeys bool   // this installation takes them
	Path     string // of the attempt
	Device   string // the name that was chosen before
	App      appPage
	Options  string // for the browser's dialogue
}

// appPage shows the secret of an authenticator app.
type appPage struct {
	Name   string
	Secret string
	QR     qrCode
}

// showEnrolment shows the choice or what was chosen: the secret of the app that
// was begun, which a reload, a wrong code and a second tab leave as it is, or the
// way to the browser's dialogue in another language. Whatever goes wrong with a
// passkey comes back to the choice, with the name that was given.
func (s *Server) showEnrolment(v *page.Visitor, a signin.Attempt) error {
	ctx := v.R.Context()
	e, err := s.signIn.EnrollerOf(ctx, a)
	if err != nil {
		return err
	}
	p := enrolPage{Candidate: e.Candidate, Passkeys: s.signIn.Passkeys != nil, Path: "/sign-in/" + a.ID}
	pending, err := s.signIn.PendingApp(ctx, e)
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
		return s.showDialogue(v, p, e)
	}
	return v.Render("enrol", p)
}

// showDialogue leads to the browser's dialogue for a new passkey. It answers the
// form that named the device, so the name is in the page and nowhere else.
func (s *Server) showDialogue(v *page.Visitor, p enrolPage, e signin.Enroller) error {
	options, ceremony, err := s.signIn.Passkeys.BeginRegistration(v.R.Context(), s.site.DB, e.User, e.BoundTo, s.site.DB.Now())
	if err != nil {
		return err
	}
	p.Options = string(options)
	v.KeepCeremony(ceremony, credential.CeremonyLifetime)
	return v.Render("enrol-passkey", p)
}

func (s *Server) enrol(v *page.Visitor, a signin.Attempt) error {
	switch kind := v.Form.Get("kind"); {
	case v.Form.Has("code"):
		return s.enrolApp(v, a)
	case kind != withApp && (kind != withPasskey || s.signIn.Passkeys == nil):
		return s.otherStep(v, a)
	case v.Form.Do() == "back":
		return s.showEnrolment(v, a)
	case unanswered[v.Form.Do()] != nil:
		return unanswered[v.Form.Do()]
	case v.Form.Has("response"):
		return s.enrolPasskey(v, a)
	}
	ctx, device := v.R.Context(), v.Form.Get("device")
	e, err := s.signIn.EnrollerOf(ctx, a)
	if err != nil {
		return err
	}
	if v.Form.Get("kind") == withApp {
		if err := s.signIn.BeginApp(ctx, e, device); err != nil {
			return err
		}
		return v.Redirect("/sign-in/" + a.ID + "?with=" + withApp)
	}
	if _, err := directory.CleanName(device, "device"); err != nil {
		return err
	}
	return s.showDialogue(v, enrolPage{Candidate: e.Candidate, Passkeys: true, Path: "/sign-in/" + a.ID}, e)
}

func (s *Server) enrolApp(v *page.Visitor, a signin.Attempt) error {
	ctx := v.R.Context()
	browser, err := v.Browser(ctx)
	if err != nil {
		return err
	}
	opened, err := s.signIn.ConfirmApp(ctx, a, browser, v.Device(), v.Form.Get("code"))
	if errors.Is(err, credential.ErrNoPendingApp) {
		return s.otherStep(v, a) // there is nothing to confirm: the choice is next
	}
	if err != nil {
		return err
	}
	return v.Enter(opened)
}

func (s *Server) enrolPasskey(v *page.Visitor, a signin.Attempt) error {
	ctx := v.R.Context()
	browser, err := v.Browser(ctx)
	if err != nil {
		return err
	}
	ceremony, response, err := s.answer(v)
	if err != nil {
		return err
	}
	opened, err := s.signIn.AddPasskey(ctx, a, browser, v.Device(), ceremony, v.Form.Get("device"), response)
	if err != nil {
		return err
	}
	return v.Enter(opened)
}

func newAppPage(e credential.Enrolment) (appPage, error) {
	code, err := newQR(e.URI)
	return appPage{e.Name, e.Secret, code}, err
}

// qrCode is a QR code as one path of an SVG, in modules, with the quiet zone
// around it that readers need (ISO/IEC 18004 §9.1).
type qrCode struct {
	Size int
	Path string
}

const quietZone = 4

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
