package web_test

import (
	"net/url"
	"testing"

	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/idptest"
)

// Somebody who has only the password must not be able to plant a second step for the day on
// which the owner enrols one.
func TestNoRecoveryCodesAreMadeWithoutADevice(t *testing.T) {
	t.Parallel()
	s, org := free(t)
	b := s.Join(t, org, ana, "Ana", directory.Member)
	idptest.Want(t, b.Get(security+"/codes"), idptest.Path(security))
	p := b.Post(security+"/codes", url.Values{"set": {""}})
	idptest.Want(t, p, idptest.Status(409), idptest.Says("signin.no_device"))
	if shown, rows := shownCodes(p), dbtest.Dump(t, s.DB, "recovery_codes"); len(shown) > 0 || rows != "" {
		t.Errorf("%d codes are shown, and stored is %q", len(shown), rows)
	}
}

func TestRecoveryCodesGoWithTheLastDevice(t *testing.T) {
	t.Parallel()
	s, org := free(t)
	b := s.Join(t, org, ana, "Ana", directory.Member)
	addApp(t, s, b, "Phone")
	addApp(t, s, b, "Tablet")
	left := makeCodes(t, b)
	idptest.Want(t, b.Get(deviceLink(t, b, "Tablet")), idptest.SaysNot("web.device.remove_codes"))
	b.Post(deviceLink(t, b, "Tablet"), url.Values{"device": {"Tablet"}, "do": {"remove"}})
	if dbtest.Dump(t, s.DB, "recovery_codes") == "" {
		t.Fatal("the codes went with a device that is not the last")
	}
	last := b.Get(deviceLink(t, b, "Phone"))
	idptest.Want(t, last, idptest.Says("web.device.remove_codes"))
	idptest.Want(t, last.Form("remove").Submit("remove"), idptest.Status(200), idptest.Path(security))
	if rows := dbtest.Dump(t, s.DB, "recovery_codes"); rows != "" {
		t.Fatalf("the last device left its codes: %s", rows)
	}
	addApp(t, s, b, "New phone")
	p := s.Browser(t)
	attempt := signIn(p, "/o/meridian", ana, idptest.Password)
	idptest.Want(t, p.Post(attempt.URL.Path+"?with=recovery", url.Values{"recovery_code": {left[0]}}), idptest.Status(422))
}

// Codes that exist without an authenticator, however they came about, end when the first
// authenticator is enrolled: the page after it offers new ones.
func TestFirstDeviceVoidsEarlierRecoveryCodes(t *testing.T) {
	t.Parallel()
	for name, add := range map[string]func(*idptest.Server, *idptest.Browser) *idptest.Page{
		"an app": func(s *idptest.Server, b *idptest.Browser) *idptest.Page {
			page := b.Get(security+"/add").Form("main").Fill("device", "Phone").Fill("kind", "app").Submit("")
			return page.Form("main").Fill("code", code(s, page.Secret())).Submit("")
		},
		"a passkey": func(s *idptest.Server, b *idptest.Browser) *idptest.Page {
			page := b.Get(security+"/add").Form("main").Fill("device", "Laptop").Fill("kind", "passkey").Submit("")
			return page.Form("main").Fill("response", string(s.Authenticator().Register(t, page.Options()))).Submit("")
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, org := free(t)
			b := s.Join(t, org, ana, "Ana", directory.Member)
			planted := recoveryCodes(t, s, userOf(t, s, org.ID, ana))
			idptest.Want(t, add(s, b), idptest.Status(200), idptest.Path(security+"/codes"), idptest.Says("web.codes.what"), idptest.SaysNot("web.codes.replaces"))
			p := s.Browser(t)
			attempt := signIn(p, "/o/meridian", ana, idptest.Password)
			idptest.Want(t, p.Post(attempt.URL.Path+"?with=recovery", url.Values{"recovery_code": {planted[0]}}), idptest.Status(422))
		})
	}
}
