package idptest_test

import (
	"net/http"
	"strings"
	"testing"

	"parvis/internal/directory"
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
		"status":   {idptest.Status(http.StatusOK), idptest.Status(http.StatusTeapot), "status 200, want 418"},
		"path":     {idptest.Path("/sign-in"), idptest.Path("/home"), "path /sign-in, want /home"},
		"says":     {idptest.Says("web.sign_in.title"), idptest.Says("console.group.added"), "does not say console.group.added"},
		"no key":   {idptest.SaysNot("console.group.added"), idptest.Says("web.no_such_key"), "no key web.no_such_key"},
		"no value": {idptest.Says("web.sign_in.title"), idptest.Says("web.sign_in.away"), "has a placeholder without a value"},
		"in full":  {idptest.SaysNot("page.signed_in_as"), idptest.Says("page.signed_in_as", "Name", "Ana"), "does not say page.signed_in_as"},
		"silent":   {idptest.SaysNot("console.group.added"), idptest.SaysNot("web.sign_in.title"), "says web.sign_in.title"},
		"source":   {idptest.Source("<form"), idptest.Source("<applet"), `has "<applet" in its source: false, want true`},
		"hidden":   {idptest.SourceNot("<applet"), idptest.SourceNot("<form"), `has "<form" in its source: true, want false`},
		"uri":      {idptest.URI("/sign-in"), idptest.URI("/sign-in?more"), "address /sign-in, want /sign-in?more"},
		"begins":   {idptest.PathBegins("/sign"), idptest.PathBegins("/home"), "path /sign-in, want /home…"},
		"header":   {idptest.Header("Cache-Control", "no-store"), idptest.Header("Cache-Control", "public"), `header Cache-Control is "no-store", want "public"`},
		"lang":     {idptest.Lang("en"), idptest.Lang("fr"), "language en, want fr"},
		"shows":    {idptest.ShowsNot("Meridian"), idptest.Shows("Meridian"), `does not show "Meridian"`},
		"input":    {idptest.Input("email", ""), idptest.Input("email", "ana@meridian.example"), `input[name=email] holds ""`},
		"field":    {idptest.Field("password"), idptest.Field("nothing"), "[name=nothing]: false, want true"},
		"unfield":  {idptest.NoField("nothing"), idptest.NoField("password"), "[name=password]: true, want false"},
		"link":     {idptest.Link("/forgot-password"), idptest.Link("/elsewhere"), "a[href=/elsewhere]: false, want true"},
		"part":     {idptest.LinkWith("forgot-pass"), idptest.LinkWith("elsewhere"), "a[href*=elsewhere]: false, want true"},
		"no part":  {idptest.NoLinkWith("elsewhere"), idptest.NoLinkWith("forgot-pass"), "a[href*=forgot-pass]: true, want false"},
		"element":  {idptest.Element("input", "name", "email"), idptest.Element("input", "name", "other"), "has input[name=other]: false, want true"},
	} {
		if wrong := c.holds(p); wrong != "" {
			t.Errorf("%s: a fact that holds: %s", name, wrong)
		}
		if wrong := c.fails(p); !strings.Contains(wrong, c.message) {
			t.Errorf("%s: %q, want %q", name, wrong, c.message)
		}
	}
}

// What is absent is absent with any value.
func TestSentencesAreAbsentWithAnyValue(t *testing.T) {
	s := idptest.Start(t)
	org := s.Organization(t, "Meridian Freight", "meridian")
	p := s.Join(t, org, "ana@meridian.example", "Ana", directory.Member).Get("/o/meridian/home")
	idptest.Want(t, p, idptest.Says("page.signed_in_as", "Name", "Ana"), idptest.SaysNot("page.signed_in_as", "Name", "Bo"))
	if wrong := idptest.SaysNot("page.signed_in_as")(p); !strings.Contains(wrong, `says page.signed_in_as: "Signed in as `) {
		t.Errorf("without a value: %q", wrong)
	}
	for text, want := range map[string]bool{"Signed  in as\nBo.": true, "Signed in as ": false, "signed in as Bo": false} {
		if got := idptest.Contains(t, text, "page.signed_in_as"); got != want {
			t.Errorf("%q contains the sentence: %t, want %t", text, got, want)
		}
	}
}
