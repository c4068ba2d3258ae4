package web

import (
	"parvis/internal/credential"
	"parvis/internal/fault"
	"parvis/internal/page"
	"parvis/internal/signin"
)

// errNoScript says that the browser's dialogue never opened.
var errNoScript = fault.New(fault.Invalid, "web.passkey.no_script")

// unanswered maps what the script reports of a dialogue for a new passkey that ended without an
// answer.
var unanswered = map[string]*fault.Error{
	"cancelled": fault.New(fault.Invalid, "web.passkey.cancelled"),
	"known":     credential.ErrPasskeyKnown,
	"unable":    fault.New(fault.Invalid, "web.passkey.unable"),
}

// passkeyOptions gives the script of a sign-in page what the browser's dialogue needs. It is
// the same for everybody, and only the challenge is kept, sealed in a cookie (decision 0028).
func (s *Server) passkeyOptions(v *page.Visitor) error {
	if s.signIn.Passkeys == nil {
		return credential.ErrPasskeyRefused
	}
	options, ceremony, err := s.signIn.Passkeys.BeginAlone(s.site.DB.Now())
	if err != nil {
		return err
	}
	v.KeepCeremony(ceremony, credential.CeremonyLifetime)
	v.W.Header().Set("Content-Type", "application/json")
	_, _ = v.W.Write(options) // the browser may be gone
	return nil
}

// answer returns the answer of the browser's dialogue, and the ceremony it belongs to.
func (s *Server) answer(v *page.Visitor) (ceremony string, response []byte, err error) {
	ceremony, response = v.Ceremony(), []byte(v.Form.Get("response"))
	switch {
	case len(response) == 0:
		err = errNoScript
	case s.signIn.Passkeys == nil || len(response) > credential.LongestResponse:
		err = credential.ErrPasskeyRefused
	case ceremony == "":
		err = credential.ErrCeremonyOver
	}
	return ceremony, response, err
}

// provePasskey proves with a passkey alone, in place of address and password.
func (s *Server) provePasskey(v *page.Visitor, a signin.Attempt, organization string) error {
	ctx := v.R.Context()
	browser, err := v.Browser(ctx)
	if err != nil {
		return err
	}
	ceremony, response, err := s.answer(v)
	if err != nil {
		return err
	}
	opened, err := s.signIn.PasskeyAlone(ctx, signin.PasskeyProof{
		Browser: browser, Remembered: v.Remembered(), Attempt: a, Organization: organization, Ceremony: ceremony, Response: response,
	})
	if err != nil {
		return err
	}
	return v.Enter(opened)
}
