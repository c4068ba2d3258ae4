package idptest_test

import (
	"net/http"
	"strings"
	"testing"

	"parvis/internal/idptest"
)

// Each check returns a message about a page that lacks the fact, and nothing about a page that
// has it.
func TestChecksNameTheFactThatDoesNotHold(t *testing.T) {
	s := idptest.Start(t)
	p := s.Browser(t).Get("/sign-in")
	for name, c := range map[string]struct {
		holds, fails idptest.Check
		message      string
	}{
		"status":  {idptest.Status(http.StatusOK), idptest.Status(http.StatusTeapot), "status 200, want 418"},
		"path":    {idptest.Path("/sign-in"), idptest.Path("/home"), "path /sign-in, want /home"},
		"says":    {idptest.Says("web.sign_in.title"), idptest.Says("console.group.added"), "does not say console.group.added"},
		"no key":  {idptest.SaysNot("console.group.added"), idptest.Says("web.no_such_key"), "no key web.no_such_key"},
		"silent":  {idptest.SaysNot("console.group.added"), idptest.SaysNot("web.sign_in.title"), "says web.sign_in.title"},
		"shows":   {idptest.ShowsNot("Meridian"), idptest.Shows("Meridian"), `does not show "Meridian"`},
		"input":   {idptest.Input("email", ""), idptest.Input("email", "ana@meridian.example"), `input[name=email] holds ""`},
		"field":   {idptest.Field("password"), idptest.Field("nothing"), "[name=nothing]: false, want true"},
		"unfield": {idptest.NoField("nothing"), idptest.NoField("password"), "[name=password]: true, want false"},
		"link":    {idptest.Link("/forgot-password"), idptest.Link("/elsewhere"), "a[href=/elsewhere]: false, want true"},
		"element": {idptest.Element("input", "name", "email"), idptest.Element("input", "name", "other"), "has input[name=other]: false, want true"},
	} {
		if wrong := c.holds(p); wrong != "" {
			t.Errorf("%s: a fact that holds: %s", name, wrong)
		}
		if wrong := c.fails(p); !strings.Contains(wrong, c.message) {
			t.Errorf("%s: %q, want %q", name, wrong, c.message)
		}
	}
}
