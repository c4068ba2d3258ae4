package web_test

import (
	"slices"
	"strings"
	"testing"

	"parvis/internal/idptest"
	"parvis/internal/secret"
)

// A parameter that comes twice may be read one way by us and another way by a proxy before us.
// Every page refuses it, except those whose address another program writes: there the protocol
// has an answer of its own.
func TestEveryPageRefusesAParameterThatComesTwice(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	s.Organization(t, "Alpha Works", "alpha")
	b := s.Browser(t)
	programs := []string{
		"GET /assets/{name}", // not a page
		"GET /authorize", "GET /end-session",
		"GET /federation/{connection}/callback", "GET /federation/{connection}/signed-out", "GET /federation/{connection}/start",
	}
	in := strings.NewReplacer("{org}", "alpha", "{token}", secret.NewToken().Reveal(), "{$}", "", "{name}", "parvis.css")
	for _, r := range s.Site.Routes() {
		path, get := strings.CutPrefix(r.Pattern, "GET ")
		if !get || r.Access != "anyone" {
			continue
		}
		p := b.Get(in.Replace(path) + "?colour=red&colour=blue")
		if slices.Contains(programs, r.Pattern) {
			idptest.Want(t, p, idptest.SaysNot("page.query_malformed"))
			continue
		}
		if p.Status != 400 {
			t.Errorf("%s: answered %d, want 400: %s", r.Pattern, p.Status, p.Text())
			continue
		}
		idptest.Want(t, p, idptest.Says("page.query_malformed"))
	}
	// Once is no mistake, whether or not the page knows the parameter.
	for _, path := range []string{"/sign-in?colour=red", "/o/alpha?colour=red&shape=round", "/help/passkeys?colour=red"} {
		idptest.Want(t, b.Get(path), idptest.Status(200))
	}
}
