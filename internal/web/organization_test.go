package web_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"parvis/internal/directory"
	"parvis/internal/idptest"
)

// Decision 0038: wherever an organization is asked for, its display name is accepted too.
func TestOrganizationIsNamedByItsDisplayNameToo(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Meridian Freight", "meridian")
	s.Join(t, org, "ana@meridian.example", "Ana", directory.Member)
	s.Join(t, s.Organization(t, "Lumen Health", "lumen"), "ana@meridian.example", "Ana", directory.Member)
	for _, name := range []string{
		"Meridian Freight", "meridian", " MERIDIAN  freight ", "Ｍeridian\u00a0Freight", "MERIDIAN", "Meridian Freight (meridian)",
	} {
		b := s.Browser(t)
		p := signIn(b, "/sign-in", "ana@meridian.example", "wrong").Form("main").Fill("organization", name).Fill("password", idptest.Password).Submit("")
		if p.URL.Path != "/o/meridian/home" {
			t.Errorf("signing in to %q: %d %s", name, p.Status, p.Text())
		}
		b = s.Browser(t)
		idptest.Want(t, b.Get("/organization").Form("main").Fill("organization", name).Submit("organization"), idptest.Path("/o/meridian"))
		idptest.Want(t, b.Get("/organization?organization="+url.QueryEscape(name)), idptest.Path("/o/meridian"))
		idptest.Want(t, b.Get("/sign-in?organization="+url.QueryEscape(name)), idptest.Path("/o/meridian"))
		idptest.Want(t, b.Get("/o/"+url.PathEscape(name)), idptest.Status(200), idptest.Shows("Meridian Freight"))
		p = b.Get("/forgot-password?organization=" + url.QueryEscape(name))
		idptest.Want(t, p, idptest.Input("organization", name))
		before := len(s.LettersTo(t, "ana@meridian.example"))
		p = idptest.Want(t, p.Form("main").Fill("email", "ana@meridian.example").Submit(""), idptest.Says("web.forgot.sent"))
		if letters := s.LettersTo(t, "ana@meridian.example"); len(letters) != before+1 || !strings.Contains(letters[0].Text, "Meridian Freight") {
			t.Errorf("%q: %d letters, want one more than %d, of Meridian Freight", name, len(letters), before)
		}
		for _, link := range p.Links() {
			if strings.HasPrefix(link, "/o/") {
				idptest.Want(t, b.Get(link), idptest.Status(200), idptest.Shows("Meridian Freight"))
			}
		}
		s.Clock.Advance(49 * time.Hour) // only a limited number is free in a day
	}
	// A page behind the session is reached by the display name too.
	idptest.Want(t, signIn(s.Browser(t), "/o/Meridian%20Freight/account", "ana@meridian.example", idptest.Password), idptest.Path("/o/meridian/account"))
	for _, unknown := range []string{"Freight", "Meridian Freight (lumen)", "Meridian-Freight"} {
		idptest.Want(t, s.Browser(t).Get("/organization").Form("main").Fill("organization", unknown).Submit("organization"),
			idptest.Status(422), idptest.Says("signin.organization_unknown"), idptest.Input("organization", unknown))
		idptest.Want(t, s.Browser(t).Get("/o/"+url.PathEscape(unknown)), idptest.Status(404), idptest.Says("signin.organization_unknown"))
	}
}

func TestWhereTwoOrganizationsHaveANameOneQuestionAsksWhich(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	one := s.Organization(t, "Meridian Freight", "meridian")
	two := s.Organization(t, "Meridian", "meridian-air")
	s.Join(t, one, "ana@meridian.example", "Ana", directory.Member)
	s.Join(t, two, "bo@meridian.example", "Bo", directory.Member)
	asks := []idptest.Check{
		idptest.Status(422), idptest.Says("signin.organization_unclear"), idptest.Shows("meridian-air"),
		idptest.Element("input", "value", one.Distinct()), idptest.Element("input", "value", two.Distinct()),
	}
	// Everybody gets the same answer, even somebody with the right password.
	var answers []string
	for _, who := range [][2]string{{"ana@meridian.example", idptest.Password}, {"bo@meridian.example", "wrong"}, {"nobody@meridian.example", "wrong"}} {
		p := signIn(s.Browser(t), "/sign-in", "x@meridian.example", "wrong").Form("main").
			Fill("organization", " MERIDIAN ").Fill("email", who[0]).Fill("password", who[1]).Submit("")
		idptest.Want(t, p, append(asks, idptest.Input("email", who[0]))...)
		answers = append(answers, strings.ReplaceAll(p.Body, who[0], "x"))
	}
	if len(slices.Compact(answers)) != 1 {
		t.Error("the question depends on the person")
	}
	// The organization that was named is entered, after a wrong password too.
	for short, org := range map[string]directory.Organization{"meridian": one, "meridian-air": two} {
		email := map[string]string{"meridian": "ana@meridian.example", "meridian-air": "bo@meridian.example"}[short]
		b := s.Browser(t)
		p := signIn(b, "/sign-in", email, "wrong").Form("main").Fill("organization", "meridian").Fill("password", "wrong").Submit("")
		p = p.Form("main").Check("organization", org.Distinct()).Fill("password", "wrong").Submit("")
		idptest.Want(t, p, idptest.Status(422), idptest.Says("signin.failed"), idptest.Input("organization", org.Distinct()))
		idptest.Want(t, p.Form("main").Fill("password", idptest.Password).Submit(""), idptest.Path("/o/"+short+"/home"))
	}
	b := s.Browser(t)
	p := idptest.Want(t, b.Get("/organization").Form("main").Fill("organization", "Meridian").Submit("organization"), asks...)
	idptest.Want(t, p.Form("main").Check("organization", two.Distinct()).Submit("organization"), idptest.Path("/o/meridian-air"))
	p = idptest.Want(t, b.Get("/forgot-password").Form("main").Fill("email", "ana@meridian.example").Fill("organization", "Meridian").Submit(""), asks...)
	idptest.Want(t, p.Form("main").Check("organization", one.Distinct()).Submit(""), idptest.Says("web.forgot.sent"))
	resetLink(t, s, "ana@meridian.example")
	// The page of one organization asks nothing, because its path says which. The field is
	// filled in with that one alone.
	p = signIn(s.Browser(t), "/o/meridian", "ana@meridian.example", "wrong")
	idptest.Want(t, p, idptest.Status(422), idptest.Input("organization", one.Distinct()))
	idptest.Want(t, p.Form("main").Fill("password", idptest.Password).Submit(""), idptest.Path("/o/meridian/home"))
	// Nor does a page on the way back to one of its pages ask.
	p = signIn(s.Browser(t), "/o/meridian/account", "ana@meridian.example", "wrong")
	idptest.Want(t, p.Form("main").Fill("organization", "Meridian").Fill("password", idptest.Password).Submit(""), idptest.Path("/o/meridian/account"))
}

// The question comes after the same work as any other answer: it is counted, and costs a hash,
// so that nothing can be tried faster by it.
func TestBRU2TheQuestionWhichIsCounted(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	s.Organization(t, "Meridian Freight", "meridian")
	s.Organization(t, "Meridian", "meridian-air")
	b := s.Browser(t)
	p := b.Get("/sign-in")
	for range 6 {
		p = b.Post("/sign-in", url.Values{"email": {"nobody@meridian.example"}, "password": {"wrong"}, "organization": {"meridian"}})
	}
	idptest.Want(t, p, idptest.Status(429))
}

// An organization may not take a name by which another organization's people would be asked:
// only the operator, who answers for both, gives such a name (decision 0038).
func TestINP6OrganizationTakesNoNameOfAnotherInEitherField(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	s.Organization(t, "Meridian", "meridian-air")
	org := s.Organization(t, "Lumen Health", "lumen")
	s.Organization(t, "Lumen", "lumen-two") // by the operator
	b := s.Join(t, org, "lin@lumen.example", "Lin", directory.Owner)
	save := func(name, short string) *idptest.Page {
		return b.Get("/o/lumen/admin/organization").Form("main").Fill("organization", name).Fill("short_name", short).Submit("")
	}
	idptest.Want(t, save("Meridian-Air", "lumen"), idptest.Status(422), idptest.Says("directory.organization_taken"), idptest.Input("organization", "Meridian-Air"))
	idptest.Want(t, save("Lumen Health", "meridian"), idptest.Status(422), idptest.Says("directory.short_name_taken"))
	// The name that an organization has already stays, although the operator gave another one
	// the like.
	idptest.Want(t, save("Lumen Health and Care", "lumen"), idptest.Status(200))
}

// Journeys 2.2: one question, then the organization's sign-in page.
func TestMoreSignInOptionsAskOneQuestion(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	s.Organization(t, "Alpha Works", "alpha")
	b := s.Browser(t)
	p := b.Get("/sign-in")
	idptest.Want(t, p, idptest.Link("/organization"), idptest.NoField("organization"))
	p = idptest.Want(t, b.Get("/organization"), idptest.Says("web.organization_which"), idptest.Says("web.organization_hint"),
		idptest.Field("organization"), idptest.NoField("email"), idptest.NoField("password"), idptest.NoField("region"))
	idptest.Want(t, p.Form("main").Submit("organization"), idptest.Status(422), idptest.Says("web.organization_missing"), idptest.SaysNot("signin.organization_unknown"))
	idptest.Want(t, p.Form("main").Fill("organization", "alpha").Submit("organization"), idptest.Path("/o/alpha"), idptest.Link("/organization"))
	idptest.Want(t, b.Get("/sign-in?more"), idptest.Path("/organization")) // older bookmarks
}
