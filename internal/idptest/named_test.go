package idptest_test

import (
	"testing"

	"parvis/internal/idptest"
)

func TestServerWithANameOffersPasskeys(t *testing.T) {
	s := idptest.Start(t, idptest.Named)
	if p := s.Browser(t).Get("/"); p.Status != 200 || p.URL.Host != "example.com" {
		t.Errorf("%s answers %d", p.URL, p.Status)
	}
	if s.Site.SignIn.Passkeys == nil {
		t.Error("a server with a name has no passkeys")
	}
	if idptest.Start(t).Site.SignIn.Passkeys != nil {
		t.Error("a server that is a number has passkeys")
	}
}
