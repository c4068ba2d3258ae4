package web_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/idptest"
)

// crossing returns the address to which the page about another region leads: it leads there by
// itself and by its link, to the same one.
func crossing(t *testing.T, p *idptest.Page) *url.URL {
	t.Helper()
	to := p.Links()[1] // after the brand
	if p.Status != 200 || !p.Has("meta", "content", "0; url="+to) {
		t.Fatalf("%d, no way to another region: %s", p.Status, p.Body)
	}
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// handedOver returns the e-mail address behind the #, as the page's script reads it.
func handedOver(t *testing.T, u *url.URL) string {
	t.Helper()
	values, err := url.ParseQuery(u.EscapedFragment())
	if err != nil || len(values) != 1 {
		t.Fatalf("%s hands over %v, %v", u, values, err)
	}
	return values.Get("email")
}

func TestAnotherRegionIsReachedFromEveryWayIn(t *testing.T) {
	t.Parallel()
	eu, us := idptest.StartRegions(t)
	eu.Organization(t, "Alpha Works", "alpha")
	us.Organization(t, "Omega Works", "omega")
	for _, path := range []string{"/organization", "/forgot-password"} {
		p := idptest.Want(t, eu.Browser(t).Get(path), idptest.Says("page.region_hint", "Region", "Europe"), idptest.Input("region", "eu"))
		f := p.Form("main").Fill("region", "us").Fill("organization", "Omega Works")
		if path == "/forgot-password" {
			f.Fill("email", "multi+1@omega.example")
		}
		to := crossing(t, f.Submit(""))
		if to.Scheme+"://"+to.Host+to.Path != us.URL+path || to.RawQuery != "organization=Omega+Works" {
			t.Errorf("%s: leads to %s", path, to)
		}
		there := us.Browser(t).Get(to.RequestURI())
		if path == "/organization" { // the question is answered already, so nobody is asked again
			idptest.Want(t, there, idptest.Path("/o/omega"))
			continue
		}
		idptest.Want(t, there, idptest.Input("organization", "Omega Works"), idptest.Input("region", "us"), idptest.Says("page.region_hint", "Region", "Americas"))
		if got := handedOver(t, to); got != "multi+1@omega.example" {
			t.Errorf("%s hands over %q", path, got)
		}
	}
	// A name that the other region does not know either is in the field there, to be corrected.
	to := crossing(t, eu.Browser(t).Get("/organization").Form("main").Fill("organization", "omicron").Fill("region", "us").Submit(""))
	idptest.Want(t, us.Browser(t).Get(to.RequestURI()), idptest.Status(422), idptest.Says("signin.organization_unknown"), idptest.Input("organization", "omicron"))
	// Without a name the region's page asks for it.
	to = crossing(t, eu.Browser(t).Get("/organization").Form("main").Fill("region", "us").Submit(""))
	idptest.Want(t, us.Browser(t).Get(to.RequestURI()), idptest.Status(200), idptest.Path("/organization"), idptest.Input("region", "us"))
	// The page of one organization is in that organization's region: it lists no regions
	// (decision 0038).
	idptest.Want(t, eu.Browser(t).Get("/o/alpha"), idptest.NoField("region"))
	idptest.Want(t, signIn(eu.Browser(t), "/o/alpha", "x@alpha.example", "wrong"), idptest.Status(422), idptest.NoField("region"))
	// The names of organizations are asked for in each region.
	for _, path := range []string{"/forgot-organization", "/forgot-organization?sent"} {
		if p := eu.Browser(t).Get(path); !slices.Contains(p.Links(), us.URL+"/forgot-organization") || slices.Contains(p.Links(), eu.URL+"/forgot-organization") {
			t.Errorf("%s leads to %v", path, p.Links())
		}
	}
	// After a failure everybody is offered the list, in their own language.
	b := eu.Browser(t)
	b.Header.Set("Accept-Language", "fr")
	idptest.Want(t, signIn(b, "/sign-in", "nobody@alpha.example", "wrong"), idptest.Status(422), idptest.Link("/organization"), idptest.NoField("region"))
	idptest.Want(t, b.Get("/organization"), idptest.Shows("Amériques"))
}

func TestOneRegionShowsNoList(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	s.Organization(t, "Alpha Works", "alpha")
	for _, path := range []string{"/organization", "/o/alpha", "/forgot-password", "/forgot-organization"} {
		if p := s.Browser(t).Get(path); p.Has("select", "name", "region") || p.Says("region") {
			t.Errorf("%s asks for a region", path)
		}
	}
	for path, v := range map[string]url.Values{
		"/organization": {"organization": {"alpha"}, "region": {"us"}},
		"/sign-in":      {"email": {"x@alpha.example"}, "password": {"wrong"}, "region": {"us"}},
	} {
		idptest.Want(t, s.Browser(t).Post(path, v), idptest.Status(400))
	}
}

func TestTEN11ARegionIsOneOfAFixedList(t *testing.T) {
	t.Parallel()
	eu, us := idptest.StartRegions(t)
	eu.Organization(t, "Alpha Works", "alpha")
	hostile := []string{
		"", " ", "US", "us ", "eu,us", "ap", us.URL, "//evil.test", "https://evil.test", "https:evil.test", `/\evil.test`, "us.evil.test",
		"us@evil.test", "us#", "us/../..", "javascript:alert(1)", "us\r\nLocation: https://evil.test", "us\t", "%75s", "ｕｓ",
	}
	for _, path := range []string{"/organization", "/forgot-password"} {
		for _, value := range hostile {
			b := eu.Browser(t)
			for _, button := range []string{"", "organization"} {
				p := b.Get(path).Form("main").Fill("organization", "alpha").Fill("region", value).Submit(button)
				if p.Status != 400 || p.Has("meta", "http-equiv", "refresh") || strings.Contains(p.Body, "evil.test") {
					t.Errorf("%s with region %q: %d %s", path, value, p.Status, p.Text())
				}
			}
		}
		v := url.Values{"email": {"x@alpha.example"}, "region": {"us", "eu"}}
		if p := eu.Browser(t).Post(path, v); p.Status != 400 {
			t.Errorf("%s with two regions: %d", path, p.Status)
		}
	}
	// What is handed over cannot make the address lead elsewhere, and nothing is handed over
	// that no form takes.
	for _, typed := range []string{`"><script>`, "a&organization=b#email=c", "//evil.test", "a b", "é", "'; url=https://evil.test"} {
		p := eu.Browser(t).Get("/forgot-password").Form("main").Fill("organization", typed).Fill("email", typed).Fill("region", "us").Submit("")
		to := crossing(t, p)
		of := expect.Case(t, "%q", typed)
		expect.Equal(of, `to.Scheme+"://"+to.Host+to.Path`, to.Scheme+"://"+to.Host+to.Path, us.URL+"/forgot-password")
		expect.Equal(of, "organization", to.Query().Get("organization"), typed)
		expect.Equal(of, "number of Query", len(to.Query()), 1)
		expect.Equal(of, "handedOver(t, to)", handedOver(t, to), typed)
		if got := us.Browser(t).Get(to.RequestURI()).Form("main").Values.Get("organization"); got != typed {
			t.Errorf("%q arrives as %q", typed, got)
		}
	}
	long := strings.Repeat("a", 600)
	p := eu.Browser(t).Get("/forgot-password").Form("main").Fill("organization", long).Fill("email", long).Fill("region", "us").Submit("")
	if to := crossing(t, p); to.RawQuery != "" || to.Fragment != "" {
		t.Errorf("a long text leads to %s", to)
	}
	for _, query := range []string{"%00", "%ff", long} {
		if got := us.Browser(t).Get("/forgot-password?organization=" + query).Form("main").Values.Get("organization"); got != "" {
			t.Errorf("%q arrives as %q", query, got)
		}
	}
}

// The page that asks for the region asks for no secret, and nothing of a form that
// chooses another is counted, carried or logged.
func TestTEN11AChoiceOfRegionCarriesNoSecretAndCountsNothing(t *testing.T) {
	t.Parallel()
	eu, us := idptest.StartRegions(t)
	org := eu.Organization(t, "Alpha Works", "alpha")
	eu.Join(t, org, "user-a@alpha.example", "A", directory.Member)
	b := eu.Browser(t)
	for range 8 { // more than are free
		idptest.Want(t, b.Get("/organization"), idptest.NoField("password"))
		crossing(t, b.Get("/organization").Form("main").Fill("organization", "nobody has this").Fill("region", "us").Submit(""))
		crossing(t, b.Get("/forgot-password").Form("main").Fill("email", "user-a@alpha.example").Fill("region", "us").Submit(""))
	}
	if p := signIn(b, "/sign-in", "user-a@alpha.example", idptest.Password); p.URL.Path != "/o/alpha/home" {
		t.Errorf("after choosing the other region: %d %s", p.Status, p.Text())
	}
	for name, s := range map[string]*idptest.Server{"eu": eu, "us": us} {
		for _, secret := range []string{"user-a%40", "user-a@"} {
			if strings.Contains(s.Log.String(), secret) {
				t.Errorf("%s logs %q", name, secret)
			}
		}
	}
}

// The same organization and address exist in both regions, and the browser sends both the same
// cookies, as it does to two ports of one host.
func TestTEN11NothingOfOneRegionIsWorthAnythingInAnother(t *testing.T) {
	t.Parallel()
	eu, us := idptest.StartRegions(t)
	alpha := eu.Organization(t, "Alpha Works", "alpha")
	us.Organization(t, "Alpha Works", "alpha")
	in := eu.Join(t, alpha, "user-a@alpha.example", "A", directory.Owner)
	there := us.Browser(t)
	for _, name := range []string{"__Host-parvis", "__Host-parvis-device"} {
		if in.Cookie(name) == "" {
			t.Fatalf("no cookie %s", name)
		}
		there.SetCookie(name, in.Cookie(name))
	}
	for _, path := range []string{"/o/alpha/home", "/o/alpha/account", "/o/alpha/admin/people"} {
		if p := idptest.Want(expect.Case(t, "%s opens", path), there.Get(path), idptest.Status(200), idptest.SaysNot("web.home.greeting")); !strings.HasPrefix(p.URL.Path, "/sign-in/") && p.URL.Path != "/o/alpha" {
			t.Errorf("%s opens %s: %s", path, p.URL, p.Text())
		}
	}
	// The other region's right password is a wrong one here, and nobody is known here.
	if p := signIn(there, "/o/alpha", "user-a@alpha.example", idptest.Password); p.Status != 422 {
		t.Errorf("eu's password in us: %d %s", p.Status, p.URL)
	}
	if p := in.Get("/o/alpha/home"); p.Status != 200 || !p.Says("Alpha Works · Europe") {
		t.Errorf("in its own region: %d %s", p.Status, p.Text())
	}

	link := eu.Invite(t, alpha, "user-b@alpha.example", "B", directory.Member)
	if p := us.Browser(t).Get(link); p.Status != 404 || p.Says("user-b") {
		t.Errorf("eu's invitation in us: %d %s", p.Status, p.Text())
	}
	v := url.Values{"name": {"B"}, "password": {idptest.Password}, "repetition": {idptest.Password}}
	b := us.Browser(t)
	b.Get("/sign-in")
	if p := b.Post(link, v); p.Status != 404 {
		t.Errorf("eu's invitation sent in us: %d", p.Status)
	}
	reset := resetLink(t, eu, "user-a@alpha.example")
	if p := us.Browser(t).Get(reset); p.Status != 410 || p.Says("user-a") {
		t.Errorf("eu's link for a new password in us: %d %s", p.Status, p.Text())
	}
	if p := b.Post(reset, url.Values{"password": {another}, "repetition": {another}}); p.Status != 410 {
		t.Errorf("eu's link for a new password sent in us: %d", p.Status)
	}
	// An attempt, which remembers a page, belongs to its own region too.
	p := eu.Browser(t).Get("/o/alpha/account")
	if !strings.HasPrefix(p.URL.Path, "/sign-in/") {
		t.Fatal(p.URL)
	}
	if p := us.Browser(t).Get(p.URL.Path); p.Status != 410 {
		t.Errorf("eu's attempt in us: %d", p.Status)
	}
	if sessions := dbtest.Dump(t, us.DB, "sessions"); strings.Contains(sessions, "usr_") {
		t.Errorf("us has sessions:\n%s", sessions)
	}
}

// An authenticator cookie decides about the letter for a new browser: another region's cookie makes no
// browser known.
func TestTEN11ADeviceOfOneRegionIsAStrangerInAnother(t *testing.T) {
	t.Parallel()
	eu, us := idptest.StartRegions(t)
	in := eu.Join(t, eu.Organization(t, "Alpha Works", "alpha"), "user-a@alpha.example", "A", directory.Member)
	us.Join(t, us.Organization(t, "Alpha Works", "alpha"), "user-a@alpha.example", "A", directory.Member)
	before := len(us.LettersTo(t, "user-a@alpha.example"))
	there := us.Browser(t)
	there.SetCookie("__Host-parvis-device", in.Cookie("__Host-parvis-device"))
	if p := signIn(there, "/o/alpha", "user-a@alpha.example", idptest.Password); p.URL.Path != "/o/alpha/home" {
		t.Fatalf("%d %s", p.Status, p.URL)
	}
	if letters := us.LettersTo(t, "user-a@alpha.example"); len(letters) != before+1 {
		t.Errorf("%d letters, want one about a new browser more than %d", len(letters), before)
	}
}

func TestNameOfARegionIsNoPassword(t *testing.T) {
	t.Parallel()
	eu, _ := idptest.StartRegions(t)
	link := eu.Invite(t, eu.Organization(t, "Alpha Works", "alpha"), "user-a@alpha.example", "A", directory.Member)
	join := func(password string) *idptest.Page {
		return eu.Browser(t).Get(link).Form("main").Fill("password", password).Fill("repetition", password).Submit("")
	}
	for _, password := range []string{"Amériques2026!", "Europe!2026", "Americas#1"} {
		if p := join(password); p.Status != 422 || !p.Says(idptest.Sentence(t, "credential.reason.service")) {
			t.Errorf("%s: %d %s", password, p.Status, p.Text())
		}
	}
	if p := join("Amériques rides 7 trams!"); p.Status != 200 {
		t.Errorf("in a phrase: %d %s", p.Status, p.Text())
	}
}
