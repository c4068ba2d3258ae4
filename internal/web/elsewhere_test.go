package web_test

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/federation"
	"parvis/internal/idptest"
	"parvis/internal/secret"
)

// limitsOf returns every row that something was counted in.
func limitsOf(t *testing.T, s *idptest.Server) string { return dbtest.Dump(t, s.DB, "limits") }

// A name typed in the wrong region leads to the right one, whatever the form, the case and the kind
// of name, and nothing of the form is counted or kept before.
func TestANameOfAnotherRegionLeadsThereByItself(t *testing.T) {
	t.Parallel()
	eu, us := idptest.StartRegions(t)
	eu.Organization(t, "Alpha Works", "alpha")
	us.Organization(t, "Oméga Works", "omega")
	before := limitsOf(t, eu)
	for _, typed := range []string{"omega", " OMEGA ", "Oméga works", "ome\u0301ga  WORKS", "Oméga Works (omega)", "Omega"} {
		for path, values := range map[string]url.Values{
			"/sign-in":         {"organization": {typed}, "email": {"o+1@omega.example"}, "password": {"a secret"}},
			"/organization":    {"organization": {typed}, "region": {"eu"}},
			"/forgot-password": {"organization": {typed}, "email": {"o+1@omega.example"}, "region": {"eu"}},
		} {
			of := expect.Case(t, "%s with %q", path, typed)
			b := eu.Browser(t)
			b.Get("/sign-in") // for its cookie
			p := idptest.Want(of, b.Post(path, values), idptest.Says("page.lead"), idptest.SourceNot("a secret"))
			to := crossing(t, p)
			expect.Equal(of, "where it leads", to.Scheme+"://"+to.Host+to.Path, us.URL+path)
			expect.Equal(of, "its query", to.RawQuery, url.Values{"organization": {typed}}.Encode())
			if path != "/organization" {
				expect.Equal(of, "the address behind the #", handedOver(t, to), "o+1@omega.example")
			}
			if path == "/sign-in" {
				idptest.Want(of, us.Browser(t).Get(to.RequestURI()), idptest.Path("/o/omega"))
			}
		}
	}
	// A page of the other region's organization, asked for here.
	to := crossing(t, eu.Browser(t).Get("/o/omega"))
	idptest.Want(t, us.Browser(t).Get(to.RequestURI()), idptest.Path("/o/omega"))
	expect.Equal(t, "what was counted", limitsOf(t, eu), before)
	for _, s := range []*idptest.Server{eu, us} {
		if log := s.Log.String(); strings.Contains(log, "omega.example") || strings.Contains(log, "a secret") {
			t.Error("the log has what was typed")
		}
	}
}

// A name that is known here stays here, and one that nobody knows is said plainly, and counted.
func TestANameThatIsKnownHereStaysHere(t *testing.T) {
	t.Parallel()
	eu, us := idptest.StartRegions(t)
	for _, s := range []*idptest.Server{eu, us} {
		s.Organization(t, "Alpha Works", "alpha")
	}
	idptest.Want(t, eu.Browser(t).Get("/organization").Form("main").Fill("organization", "Alpha works").Submit(""), idptest.Path("/o/alpha"))
	idptest.Want(t, us.Browser(t).Get("/organization").Form("main").Fill("organization", "ALPHA").Submit(""), idptest.Path("/o/alpha"))
	p := idptest.Want(t, eu.Browser(t).Get("/organization").Form("main").Fill("organization", "omicron").Submit(""),
		idptest.Status(422), idptest.Says("signin.organization_unknown"), idptest.Input("organization", "omicron"))
	if p.Has("meta", "http-equiv", "refresh") {
		t.Error("it leads away")
	}
	if limitsOf(t, eu) == "" {
		t.Error("a name that nobody knows was not counted")
	}
}

// Somebody who typed an address where the name belongs has it in no question, no address, and no row.
func TestAnAddressIsNeverAskedAsAName(t *testing.T) {
	t.Parallel()
	eu, us := idptest.StartRegions(t)
	us.Organization(t, "o@omega.example", "omega")
	for _, typed := range []string{"o@omega.example", "o＠omega.example"} {
		idptest.Want(t, eu.Browser(t).Get("/organization").Form("main").Fill("organization", typed).Submit(""),
			idptest.Status(422), idptest.Says("signin.organization_unknown"))
	}
	if strings.Contains(us.Log.String(), "/regions/question") {
		t.Error("the other region was asked")
	}
	// Nor does it reach the other region's server where the person chose the region.
	for _, typed := range []string{"o@omega.example", "o＠omega.example"} {
		to := crossing(t, eu.Browser(t).Get("/organization").Form("main").Fill("organization", typed).Fill("region", "us").Submit(""))
		if to.RawQuery != "" || to.EscapedFragment() != (url.Values{"organization": {typed}}).Encode() {
			t.Errorf("it leads to %s", to)
		}
	}
}

// A region that does not answer is offered only where nobody else knows the name, and delays nobody.
func TestADeadRegionIsAChoiceAndDelaysNobody(t *testing.T) {
	t.Parallel()
	eu, us := idptest.StartRegions(t)
	eu.Organization(t, "Alpha Works", "alpha")
	us.Dies()
	b := eu.Browser(t)
	p := idptest.Want(t, b.Get("/organization").Form("main").Fill("organization", "omega").Submit(""),
		idptest.Says("page.elsewhere_title"), idptest.Says("page.elsewhere_silent", "Organization", "omega"), idptest.Link("/organization?organization=omega"))
	if links := p.Links(); !slices.Contains(links, us.URL+"/organization?organization=omega") {
		t.Errorf("it leads to %v", links)
	}
	if limitsOf(t, eu) == "" {
		t.Error("a name that nobody may know was not counted")
	}
	// Who asked for a new password types another name on that page, with the address as it was.
	idptest.Want(t, b.Post("/forgot-password", url.Values{"organization": {"omega"}, "email": {"o@omega.example"}, "region": {"eu"}}),
		idptest.Says("page.elsewhere_title"), idptest.Link("/forgot-password?organization=omega#email=o%40omega.example"))
	idptest.Want(t, b.Get("/organization").Form("main").Fill("organization", "alpha").Submit(""), idptest.Path("/o/alpha"))
	// An address is not led anywhere, and the answer is the usual one.
	idptest.Want(t, signIn(b, "/sign-in", "nobody@omega.example", "wrong"), idptest.Status(422), idptest.Says("signin.failed"))
}

// Somebody who mistypes the name on the way to a page types it again and still comes there, although a
// region is dead.
func TestAMistypedNameDoesNotEndASignIn(t *testing.T) {
	t.Parallel()
	eu, us := idptest.StartRegions(t)
	eu.Join(t, eu.Organization(t, "Alpha Works", "alpha"), "ana@alpha.example", "Ana", directory.Member)
	us.Dies()
	b := eu.Browser(t)
	asked := b.Get("/o/alpha/account/sessions").URL.Path
	p := idptest.Want(t, b.Post(asked, url.Values{"email": {"ana@alpha.example"}, "password": {idptest.Password}, "organization": {"alpa"}}), idptest.Says("page.elsewhere_title"))
	back := asked + "?organization=alpa#email=ana%40alpha.example"
	if !slices.Contains(p.Links(), back) {
		t.Fatalf("it leads to %v", p.Links())
	}
	p = idptest.Want(t, b.Get(back), idptest.Input("organization", "alpa")).Form("main").Fill("organization", "alpha").Fill("email", "ana@alpha.example").Fill("password", idptest.Password).Submit("")
	idptest.Want(t, p, idptest.Status(200), idptest.Path("/o/alpha/account/sessions"))
}

// holds gives an organization a proven domain and a provider, as the rows say it.
func holds(t *testing.T, s *idptest.Server, org directory.Organization, domain string, only bool) {
	t.Helper()
	s.Update(t, func(ctx context.Context, tx *db.Tx) error {
		if c, err := s.Hub.Create(ctx, tx, directory.Operator(), org.ID, federation.New{Provider: federation.Generic, Protocol: federation.OIDC, Name: "Door"}); err != nil {
			return err
		} else if _, err := tx.Exec(ctx, `update connections set state = 'on' where org_id = $1 and id = $2`, string(org.ID), c.ID); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `insert into domains (org_id, id, domain_key, proof, created_at, proven_at, checked_at) values ($1, $2, $3, 'x', $4, $4, $4)`,
			string(org.ID), "dom_"+domain, domain, db.Time(tx.Now()))
		return err
	})
	if only {
		s.Update(t, func(ctx context.Context, tx *db.Tx) error {
			_, err := tx.Exec(ctx, `update organizations set federated_since = $1 where id = $2`, db.Time(tx.Now()), string(org.ID))
			return err
		})
	}
}

// An address of a domain that another region has proven leads there, even if nobody has it. A typed password
// is used here, unless a provider is the only way in there.
func TestAProvenDomainOfAnotherRegionLeadsThere(t *testing.T) {
	t.Parallel()
	eu, us := idptest.StartRegions(t)
	omega := us.Organization(t, "Omega Works", "omega")
	holds(t, us, omega, "omega.example", false)
	psi := us.Organization(t, "Psi Works", "psi")
	holds(t, us, psi, "psi.example", true)
	us.Clock.Advance(2 * time.Second)
	eu.Clock.Advance(2 * time.Second)
	before := limitsOf(t, eu)
	leads := func(email, password string) *idptest.Page { return signIn(eu.Browser(t), "/sign-in", email, password) }
	for _, of := range []struct{ email, password string }{{"o@omega.example", ""}, {"Anybody@OMEGA.example", ""}, {"p@psi.example", ""}, {"p@psi.example", "typed"}} {
		to := crossing(t, idptest.Want(t, leads(of.email, of.password), idptest.Says("page.lead")))
		if to.Scheme+"://"+to.Host+to.RequestURI() != us.URL+"/sign-in" || handedOver(t, to) != of.email {
			t.Errorf("%v leads to %s", of, to)
		}
	}
	expect.Equal(t, "what was counted", limitsOf(t, eu), before)
	idptest.Want(t, leads("o@omega.example", "typed"), idptest.Status(422), idptest.Says("signin.failed"))
	idptest.Want(t, leads("o@sub.omega.example", ""), idptest.Status(422))
}

// Where two other regions know a name, the page asks which; where one of them knows it, a third that
// does not answer is not waited for and not offered.
func TestTwoRegionsThatKnowANameAreAQuestion(t *testing.T) {
	t.Parallel()
	all := idptest.StartManyRegions(t, "eu", "us", "ap")
	eu, us, ap := all[0], all[1], all[2]
	us.Organization(t, "Omega Works", "omega")
	us.Organization(t, "Psi Works", "psi")
	ap.Organization(t, "Omega Bakery", "omega")
	b := eu.Browser(t)
	p := idptest.Want(t, b.Post("/forgot-password", url.Values{"organization": {"omega"}, "email": {"o@omega.example"}, "region": {"eu"}}),
		idptest.Says("page.elsewhere_title"), idptest.Says("page.elsewhere_several", "Organization", "omega"))
	for _, s := range []*idptest.Server{us, ap} {
		if links := p.Links(); !slices.Contains(links, s.URL+"/forgot-password?organization=omega#email=o%40omega.example") {
			t.Errorf("it leads to %v", links)
		}
	}
	if links := p.Links(); !slices.Contains(links, "/forgot-password?organization=omega#email=o%40omega.example") {
		t.Errorf("the form is not among %v", links)
	}
	if slices.ContainsFunc(p.Links(), func(l string) bool { return strings.HasPrefix(l, eu.URL) }) || p.Has("meta", "http-equiv", "refresh") {
		t.Errorf("it leads by itself, or here: %v", p.Links())
	}
	ap.Dies()
	if to := crossing(t, b.Post("/organization", url.Values{"organization": {"psi"}, "region": {"eu"}})); to.Scheme+"://"+to.Host != us.URL {
		t.Errorf("it leads to %s", to)
	}
}

// Nobody takes in one region a name that an organization of another region has: not the operator by the
// set-up page, not an administrator by the console.
func TestANewNameIsAskedOfEveryRegion(t *testing.T) {
	t.Parallel()
	eu, us := idptest.StartRegions(t)
	us.Organization(t, "Omega Works", "omega")
	alpha := eu.Organization(t, "Alpha Works", "alpha")
	owner := eu.Join(t, alpha, "ana@alpha.example", "Ana", directory.Owner)
	settings := func() *idptest.Form { return owner.Get("/o/alpha/admin/organization").Form("main") }
	idptest.Want(t, settings().Fill("organization", "OMEGA works").Submit(""), idptest.Status(422), idptest.Says("region.name_taken", "Region", "us"), idptest.Input("organization", "OMEGA works"))
	idptest.Want(t, settings().Fill("short_name", "omega").Submit(""), idptest.Status(422), idptest.Says("region.short_name_taken", "Region", "us"))
	idptest.Want(t, settings().Fill("contact", "Ask Ana").Submit(""), idptest.Status(200))
	us.Dies()
	idptest.Want(t, settings().Fill("contact", "Ask Bob").Submit(""), idptest.Status(200)) // no name is new
	idptest.Want(t, settings().Fill("organization", "Alpha Bakery").Submit(""), idptest.Status(422), idptest.Says("region.unasked", "Regions", "us"))
}

// The first organization of an installation is refused a name that another region has, and made although
// the other region is not there yet.
func TestTheFirstOrganizationAsksTooButWaitsForNobody(t *testing.T) {
	t.Parallel()
	eu, us := idptest.StartRegions(t)
	us.Organization(t, "Omega Works", "omega")
	var token secret.Token
	eu.Update(t, func(ctx context.Context, tx *db.Tx) (err error) {
		token, err = directory.NewBootstrap(ctx, tx, time.Hour)
		return err
	})
	b := eu.Browser(t)
	found := func(short string) *idptest.Page {
		return b.Get("/setup/"+token.Reveal()).Form("main").Fill("organization", "Alpha Works").Fill("short_name", short).Fill("name", "Ana").
			Fill("email", "ana@alpha.example").Fill("password", idptest.Password).Fill("repetition", idptest.Password).Submit("")
	}
	idptest.Want(t, found("omega"), idptest.Status(422), idptest.Says("region.short_name_taken", "Region", "us"))
	us.Dies()
	if p := found("alpha"); !strings.HasPrefix(p.URL.Path, "/o/alpha") && !strings.HasPrefix(p.URL.Path, "/sign-in/") {
		t.Errorf("%d %s: %s", p.Status, p.URL, p.Text())
	}
}
