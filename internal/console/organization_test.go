package console_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/idptest"
)

// Journeys 1.2: the link works for as long as the organization says, from 1 hour to 30 days;
// another organization's setting stays.
func TestInvitationsLiveAsLongAsTheOrganizationSays(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Administrator]
	form := b.Get("/o/alpha/admin/organization").Form("main")
	for _, bad := range []string{"59m", "721h", "-1h", "soon", ""} {
		if p := form.Fill("invitation_lifetime", bad).Submit(""); p.Status != 422 || !p.Has("select", "aria-invalid", "true") {
			t.Errorf("%q: %d", bad, p.Status)
		}
	}
	if p := form.Fill("invitation_lifetime", "1h0m0s").Submit(""); p.Status != 200 || p.Form("main").Values.Get("invitation_lifetime") != "1h0m0s" {
		t.Fatalf("%d: %s", p.Status, p.Text())
	}
	b.Get("/o/alpha/admin/people/invite").Form("main").Fill("email", "soon@alpha.example").Submit("")
	link := w.LinkTo(t, "soon@alpha.example", 0)
	w.Clock.Advance(time.Hour - time.Microsecond)
	if p := w.Browser(t).Get(link); p.Status != 200 {
		t.Errorf("within the hour: %d", p.Status)
	}
	w.Clock.Advance(time.Microsecond)
	if p := w.Browser(t).Get(link); p.Status != 410 {
		t.Errorf("after the hour: %d", p.Status)
	}
	beta, err := directory.OrganizationByID(t.Context(), w.DB, w.beta.ID)
	if err != nil || beta.InvitationLifetime != directory.InvitationLifetime {
		t.Errorf("beta's links live %v (%v)", beta.InvitationLifetime, err)
	}
}

const organizationPath = "/o/alpha/admin/organization"

// saying changes one field of what alpha says about itself.
func (w *world) saying(t *testing.T, field, value string) *idptest.Page {
	t.Helper()
	b := w.alpha.browsers[directory.Owner]
	return seen(t, b.Get(organizationPath).Form("main").Fill(field, value).Submit(""), 200)
}

// People who may enter a contact for help are asked for one, on the first page, until one is
// set.
func TestConsoleAsksForAContactUntilOneIsSet(t *testing.T) {
	t.Parallel()
	w := start(t)
	const missing = "console.organization.contact_missing"
	first := func(role directory.Role) *idptest.Page { return w.alpha.browsers[role].Get("/o/alpha/admin") }
	for _, role := range []directory.Role{directory.Owner, directory.Administrator} {
		idptest.Want(t, first(role), idptest.Status(200), idptest.Says(missing), idptest.Link(organizationPath))
	}
	for _, role := range []directory.Role{directory.Helpdesk, directory.Auditor} {
		idptest.Want(t, first(role), idptest.Status(200), idptest.SaysNot(missing))
	}
	w.saying(t, "contact", "help@alpha.example")
	idptest.Want(t, first(directory.Owner), idptest.Status(200), idptest.SaysNot(missing))
	w.saying(t, "contact", "")
	idptest.Want(t, first(directory.Owner), idptest.Says(missing))
}

// Journeys 9.8.
func TestOrganizationSaysWhoItIs(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Administrator]
	form := b.Get(organizationPath).Form("main").
		Fill("organization", "Alpha  Freight & Söhne").Fill("people_language", "fr").
		Fill("contact", "Lin Wei, help@alpha.example")
	p := seen(t, form.Submit(""), 200)
	if p.URL.Path != organizationPath || !p.Says(idptest.Sentence(t, "console.organization.saved")) {
		t.Fatalf("at %s: %s", p.URL, p.Text())
	}
	if p.Form("main").Values.Get("organization") != "Alpha Freight & Söhne" {
		t.Errorf("the name is %q", p.Form("main").Values.Get("organization"))
	}
	if language := b.Get("/o/alpha/admin/people/invite").Form("main").Values.Get("invited_language"); language != "fr" {
		t.Errorf("an invitation starts in %q", language)
	}
	for _, path := range []string{"/o/alpha", "/o/alpha/home/nothing"} {
		p := w.Browser(t).Get(path)
		if path == "/o/alpha" && (!p.Says("Alpha Freight & Söhne") || !slices.Contains(p.Links(), "mailto:help@alpha.example")) {
			t.Errorf("%s does not say whom to ask: %s", path, p.Text())
		}
	}
	if p := b.Get(organizationPath + "?x"); !p.Has("option", "value", "fr") || p.Form("main").Values.Get("people_language") != "fr" {
		t.Error("the language is forgotten")
	}
	member := w.alpha.browsers[directory.Member]
	if p := member.Get(organizationPath); p.Status != 403 || !slices.Contains(p.Links(), "mailto:help@alpha.example") {
		t.Errorf("where something goes wrong nobody is named: %d %s", p.Status, p.Text())
	}
	events := w.events(t, w.alpha.ID, "organization.changed")
	if len(events) != 1 || fmt.Sprint(events[0].Before) != "map[contact: language:en name:Alpha Freight]" ||
		fmt.Sprint(events[0].After) != "map[contact:Lin Wei, help@alpha.example language:fr name:Alpha Freight & Söhne]" {
		t.Errorf("recorded: %v", events)
	}
	// Sending it again changes nothing and records nothing.
	seen(t, b.Get(organizationPath).Form("main").Submit(""), 200)
	if n := len(w.events(t, w.alpha.ID, "organization.changed")); n != 1 {
		t.Errorf("%d changes are recorded", n)
	}
}

func TestOrganizationNamesEveryFaultAndKeepsWhatWasTyped(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Owner]
	typed := url.Values{
		"organization": {"Веta Shipping"}, "short_name": {"b\u0435ta"}, "people_language": {"xx"},
		"contact": {strings.Repeat("x", 301)}, "invitation_lifetime": {"59m"},
	}
	p := seen(t, b.Post(organizationPath, typed), 422)
	for name, values := range typed {
		element := "input"
		if name == "people_language" || name == "invitation_lifetime" {
			element = "select"
		} else if got := p.Form("main").Values.Get(name); got != values[0] {
			t.Errorf("%s came back as %q", name, got)
		}
		if described := `<` + element + ` id="` + name + `"[^>]* aria-describedby="[^"]*` + name + `-error`; !regexp.MustCompile(described).MatchString(p.Body) {
			t.Errorf("nothing is said of %s", name)
		}
	}
	for what, tt := range map[string]struct{ field, value, says string }{
		"a neighbour's short name":          {"short_name", "beta", "is taken"},
		"in full-width letters":             {"short_name", "ｂｅｔａ", "is taken"},
		"in another case":                   {"short_name", "BETA", "is taken"},
		"with a homoglyph":                  {"short_name", "ветa", "one script"},
		"all in homoglyphs":                 {"short_name", "ВЕТА", "is taken"},
		"a neighbour's name":                {"organization", "beta  shipping", idptest.Sentence(t, "directory.organization_taken")},
		"with a Cyrillic letter":            {"organization", "Bеta Shipping", idptest.Sentence(t, "directory.organization_taken")},
		"with a zero-width space":           {"organization", "Beta\u200b Shipping", "hidden"},
		"turned about":                      {"organization", "Beta \u202egnippihS", "hidden"},
		"a reserved short name":             {"short_name", "admin", idptest.Sentence(t, "directory.short_name_reserved")},
		"no name":                           {"organization", " ", idptest.Sentence(t, "directory.name_missing")},
		"no short name":                     {"short_name", "", idptest.Sentence(t, "directory.short_name_missing")},
		"a contact that turns the writing":  {"contact", "help \u202e moc.elpmaxe", "hidden"},
		"a contact of signs":                {"contact", "!!!", "hidden"},
		"a contact longer than it may be":   {"contact", strings.Repeat("é", 301), idptest.Sentence(t, "directory.contact_long")},
		"a contact with another line in it": {"contact", "help\nBcc: x@evil.example", "one line"},
	} {
		t.Run(what, func(t *testing.T) {
			p := seen(t, b.Get(organizationPath).Form("main").Fill(tt.field, tt.value).Submit(""), 422)
			if !p.Says(tt.says) || p.Form("main").Values.Get(tt.field) != tt.value {
				t.Errorf("%q: %s", tt.value, p.Text())
			}
		})
	}
	if org, err := directory.OrganizationByID(t.Context(), w.DB, w.alpha.ID); err != nil || org.Profile() != w.alpha.Profile() {
		t.Errorf("alpha is now %+v (%v)", org, err)
	}
	for _, contact := range []string{"", strings.Repeat("é", 300)} {
		seen(t, b.Get(organizationPath).Form("main").Fill("contact", contact).Submit(""), 200)
	}
}

// WEB-6: what an organization says is text wherever it stands.
func TestWEB6WhatAnOrganizationSaysIsText(t *testing.T) {
	t.Parallel()
	w := start(t)
	payload := `Alpha <img src=x onerror=alert(1)>"'&{{.}} https://evil.example/"onclick=alert(1)`
	w.saying(t, "contact", payload)
	for _, path := range []string{"/o/alpha", organizationPath, "/o/alpha/admin/audit"} {
		for _, b := range []*idptest.Browser{w.Browser(t), w.alpha.browsers[directory.Auditor]} {
			p := b.Get(path)
			if p.Has("img", "src", "x") || strings.Contains(p.Body, "<img src=x") || slices.ContainsFunc(p.Links(), func(l string) bool { return strings.Contains(l, "evil") }) {
				t.Errorf("%s runs or leads to what a contact holds", path)
			}
		}
	}
	if p := w.Browser(t).Get("/o/alpha"); !p.Says(payload) {
		t.Errorf("the contact is not shown as it is: %s", p.Text())
	}
}

// A former short name redirects for 90 days, forms and pages alike, and people who are signed
// in do not notice.
func TestFormerShortNameLeadsOnFor90Days(t *testing.T) {
	t.Parallel()
	w := start(t)
	member := w.alpha.browsers[directory.Member]
	oldTab := member.Get("/o/alpha/account").Form("main").Fill("name", "Renamed Meanwhile")
	typedTab := w.alpha.browsers[directory.Administrator].Get(organizationPath).Form("main").Fill("contact", "from an old tab")
	p := w.saying(t, "short_name", "North-Star")
	if p.URL.Path != "/o/North-Star/admin/organization" {
		t.Fatalf("after the change at %s", p.URL)
	}
	for _, name := range []string{"alpha", "ALPHA", "ａｌｐｈａ"} {
		if p := member.Get("/o/" + url.PathEscape(name) + "/account?saved"); p.Status != 200 || p.URL.RequestURI() != "/o/North-Star/account?saved=" {
			t.Errorf("%s leads to %s (%d)", name, p.URL, p.Status)
		}
	}
	if p := oldTab.Submit(""); p.Status != 200 || p.URL.Path != "/o/North-Star/account" || p.Form("main").Values.Get("name") != "Renamed Meanwhile" {
		t.Errorf("a form of an old tab: %d at %s", p.Status, p.URL)
	}
	// An old tab of the organization's own page sets the name again that it shows.
	if p := typedTab.Submit(""); p.Status != 200 || p.URL.Path != "/o/alpha/admin/organization" {
		t.Fatalf("taking back one's own name: %d at %s", p.Status, p.URL)
	}
	if p := member.Get("/o/north-star/home"); p.URL.Path != "/o/alpha/home" {
		t.Errorf("the name that was given up for one's own leads to %s", p.URL)
	}
	w.saying(t, "short_name", "North-Star")

	stranger := w.Browser(t)
	if p := stranger.Get("/o/alpha?x=y"); p.URL.RequestURI() != "/o/North-Star?x=y" || !p.Says("Alpha Freight") {
		t.Errorf("the bookmark leads to %s", p.URL)
	}
	signIn := url.Values{"email": {"member@alpha.example"}, "password": {idptest.Password}}
	if p := stranger.Post("/o/alpha", signIn); p.URL.Path != "/o/North-Star/home" {
		t.Errorf("signing in at an old tab leads to %s: %s", p.URL, p.Text())
	}
	named := w.Browser(t)
	named.Get("/sign-in")
	if p := named.Post("/sign-in", url.Values{"email": {"member@alpha.example"}, "password": {idptest.Password}, "organization": {" Alpha "}}); p.URL.Path != "/o/North-Star/home" {
		t.Errorf("signing in with the old name leads to %s: %s", p.URL, p.Text())
	}

	w.Clock.Advance(directory.FormerShortName - time.Second)
	late := w.Browser(t)
	if p := late.Get("/o/alpha"); p.URL.Path != "/o/North-Star" {
		t.Errorf("a second before the end it leads to %s", p.URL)
	}
	if _, err := w.take("alpha"); !errors.Is(err, directory.ErrShortNameTaken) {
		t.Errorf("a second before the end somebody else takes it: %v", err)
	}
	w.Clock.Advance(time.Second)
	if p := late.Get("/o/alpha"); p.Status != 404 || p.URL.Path != "/o/alpha" {
		t.Errorf("after the end: %d at %s", p.Status, p.URL)
	}
	gamma, err := w.take("alpha")
	if err != nil {
		t.Fatalf("after the end nobody else gets it: %v", err)
	}
	if p := late.Get("/o/alpha"); p.Status != 200 || !p.Says(gamma.DisplayName) {
		t.Errorf("the name leads to %s: %s", p.URL, p.Text())
	}
}

// take makes another organization of a short name, as its operator does.
func (w *world) take(short string) (o directory.Organization, err error) {
	ctx := context.Background()
	err = w.DB.Update(ctx, func(tx *db.Tx) (err error) {
		o, err = directory.CreateOrganization(ctx, tx, directory.Operator(), directory.NewOrganization{DisplayName: "Gamma " + short, ShortName: short, Language: "en"})
		return err
	})
	return o, err
}

// UNI-1: while a former short name redirects, nobody else gets one that looks like it.
func TestUNI1FormerShortNameIsNobodyElses(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.saying(t, "short_name", "north-star")
	for _, short := range []string{"alpha", "Alpha", "a1pha", "ａｌｐｈａ", "аӏрһа", "north-star", "n0rth-star"} {
		if _, err := w.take(short); !errors.Is(err, directory.ErrShortNameTaken) {
			t.Errorf("somebody else takes %q: %v", short, err)
		}
		form := w.beta.browsers[directory.Owner].Get("/o/beta/admin/organization").Form("main").Fill("short_name", short)
		if p := form.Submit(""); p.Status != 422 || !p.Says("is taken") {
			t.Errorf("the neighbour takes %q: %d", short, p.Status)
		}
	}
	// An organization may take its own former name again in any spelling, and another case is
	// the same name.
	for _, short := range []string{"a1pha", "A1PHA", "alpha"} {
		b := w.alpha.browsers[directory.Owner]
		p := b.Get(organizationPath).Form("main").Fill("short_name", short).Submit("")
		if p.Status != 200 || p.URL.Path != "/o/"+short+"/admin/organization" {
			t.Errorf("taking %q: %d at %s", short, p.Status, p.URL)
		}
	}
	if p := w.Browser(t).Get("/o/north-star"); p.URL.Path != "/o/alpha" {
		t.Errorf("the name before leads to %s", p.URL)
	}
}

func TestSuspendedOrganizationIsClosedUnderBothItsNames(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.saying(t, "short_name", "north-star")
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		return directory.Suspend(ctx, tx, directory.Operator(), w.alpha.ID)
	})
	member := w.alpha.browsers[directory.Member]
	for _, name := range []string{"alpha", "north-star"} {
		p := member.Get("/o/" + name + "/home")
		idptest.Want(expect.Case(t, "%s", name), p, idptest.Path("/o/north-star"), idptest.Says("web.sign_in.closed"))
	}
}

func TestSweepFreesShortNamesInTime(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.saying(t, "short_name", "north-star")
	kept := func() (n int) {
		if err := w.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := w.DB.One(t.Context(), db.Into(&n), `select count(*) from former_short_names`); err != nil {
			t.Fatal(err)
		}
		return n
	}
	w.Clock.Advance(directory.FormerShortName - time.Microsecond)
	if n := kept(); n != 1 {
		t.Errorf("%d names are kept before the end", n)
	}
	w.Clock.Advance(time.Microsecond)
	if n := kept(); n != 0 {
		t.Errorf("%d names are kept after it", n)
	}
}

// Of two organizations that want one name at once, one gets it.
func TestTwoOrganizationsTakeAShortNameAtOnceAndOneGetsIt(t *testing.T) {
	t.Parallel()
	w := start(t)
	forms := []*idptest.Form{
		w.alpha.browsers[directory.Owner].Get(organizationPath).Form("main").Fill("short_name", "gamma"),
		w.beta.browsers[directory.Owner].Get("/o/beta/admin/organization").Form("main").Fill("short_name", "gamma"),
	}
	status := make([]int, len(forms))
	var wg sync.WaitGroup
	for i, f := range forms {
		wg.Go(func() { status[i] = f.Submit("").Status })
	}
	wg.Wait()
	slices.Sort(status)
	if !slices.Equal(status, []int{200, 422}) {
		t.Errorf("answers: %v", status)
	}
}

// drawing is a PNG of one colour.
func drawing(t *testing.T, w, h int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, w, h))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

var logoPath = regexp.MustCompile(`/o/alpha/logo/(img_[a-z2-7]{26})`)

func TestLogoIsShownReplacedAndTakenAway(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Administrator]
	upload := func(file []byte) *idptest.Page {
		return seen(t, b.Get(organizationPath).Form("upload").Choose(file).Submit(""), 200)
	}
	if p := upload(drawing(t, 1024, 256)); p.URL.Path != organizationPath || !logoPath.MatchString(p.Body) {
		t.Fatalf("at %s: %s", p.URL, p.Text())
	}
	door := w.Browser(t).Get("/o/alpha")
	path := logoPath.FindString(door.Body)
	logo := w.Browser(t).Get(path)
	shown, err := png.DecodeConfig(strings.NewReader(logo.Body))
	idptest.Want(t, logo, idptest.Status(200))
	if err != nil || shown.Width != 512 || shown.Height != 128 {
		t.Errorf("the logo: %d, %+v (%v)", logo.Status, shown, err)
	}
	for name, want := range map[string]string{
		"Content-Type": "image/png", "X-Content-Type-Options": "nosniff", "Cache-Control": "private, max-age=31536000, immutable",
	} {
		if got := logo.Header.Get(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	if csp := logo.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || !strings.HasSuffix(csp, "; sandbox") {
		t.Errorf("the policy is %s", csp)
	}
	if p := w.alpha.browsers[directory.Member].Get("/o/alpha/home"); !p.Has("img", "src", path) {
		t.Error("the logo is not at the top of a page")
	}

	again := logoPath.FindString(upload(drawing(t, 10, 10)).Body)
	if again == path {
		t.Error("another logo has the same address, though browsers keep it")
	}
	if p := w.Browser(t).Get(path); p.Status != 404 {
		t.Errorf("the old logo: %d", p.Status)
	}
	if n := w.images(t); n != 1 {
		t.Errorf("%d images are kept", n)
	}
	p := seen(t, b.Get(organizationPath).Form("upload").Submit("remove"), 200)
	if logoPath.MatchString(p.Body) || w.images(t) != 0 || w.Browser(t).Get(again).Status != 404 {
		t.Error("the logo is not gone")
	}
	if n := len(w.events(t, w.alpha.ID, "organization.logo_changed")); n != 3 {
		t.Errorf("%d of three changes are recorded", n)
	}
}

func (w *world) images(t *testing.T) (n int) {
	t.Helper()
	if _, err := w.DB.One(t.Context(), db.Into(&n), `select count(*) from images`); err != nil {
		t.Fatal(err)
	}
	return n
}

// A refused file leaves the logo as it was, and the field says why.
func TestWEB6LogosThatAreNoneAreRefused(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Owner]
	for what, file := range map[string][]byte{
		"SVG":         []byte(`<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`),
		"HTML":        []byte("<!doctype html><script>alert(1)</script>"),
		"nothing":     {},
		"a broken":    drawing(t, 100, 100)[:60],
		"1 MiB and 1": append(drawing(t, 10, 10), make([]byte, 1<<20)...),
		"too large":   drawing(t, 4097, 2048),
	} {
		p := seen(t, b.Get(organizationPath).Form("upload").Choose(file).Submit(""), 422)
		if !p.Has("input", "aria-invalid", "true") || !p.Has("div", "id", "logo-error") {
			t.Errorf("%s: nothing is said at the field: %s", what, p.Text())
		}
		if form := p.Form("main").Submit(""); form.Status != 200 || form.URL.Path != organizationPath {
			t.Errorf("%s: the other form goes to %s (%d)", what, form.URL, form.Status)
		}
	}
	if n := w.images(t); n != 0 {
		t.Errorf("%d images are kept", n)
	}
	polyglot := append(drawing(t, 10, 10), "<script>alert(1)</script>"...)
	path := logoPath.FindString(seen(t, b.Get(organizationPath).Form("upload").Choose(polyglot).Submit(""), 200).Body)
	if p := w.Browser(t).Get(path); p.Status != 200 || strings.Contains(p.Body, "script") {
		t.Errorf("a polyglot is served as it came (%d)", p.Status)
	}
}

// TEN-1: neither another organization nor people who may only read can change what an
// organization says, and no address shows another organization's image.
func TestTEN1OrganizationIsItsOwnPeoplesAlone(t *testing.T) {
	t.Parallel()
	w := start(t)
	owner := w.alpha.browsers[directory.Owner]
	logo := logoPath.FindStringSubmatch(seen(t, owner.Get(organizationPath).Form("upload").Choose(drawing(t, 8, 8)).Submit(""), 200).Body)[1]
	seen(t, owner.Get("/o/alpha/account").Form("upload").Choose(drawing(t, 9, 9)).Submit(""), 200)
	picture := regexp.MustCompile(`/o/alpha/picture/(img_[a-z2-7]{26})`).FindStringSubmatch(owner.Get("/o/alpha/account").Body)[1]
	neighbour := w.beta.browsers[directory.Owner]
	for path, want := range map[string]int{
		"/o/alpha/logo/" + logo:                        200,
		"/o/beta/logo/" + logo:                         404,
		"/o/alpha/logo/" + picture:                     404,
		"/o/beta/picture/" + picture:                   404,
		"/o/beta/picture/" + logo:                      404,
		"/o/alpha/logo/img_aaaaaaaaaaaaaaaaaaaaaaaaaa": 404,
		"/o/alpha/logo/%00":                            404,
		"/o/beta/picture/%ff":                          404,
		"/o/beta/picture/" + strings.ToUpper(picture):  404,
		"/o/nobody/logo/" + logo:                       404,
	} {
		if p := neighbour.Get(path); p.Status != want {
			t.Errorf("%s: %d, want %d", path, p.Status, want)
		}
	}
	if p := neighbour.Get("/o/alpha/picture/" + picture); !atDoor(p, "alpha") || strings.HasPrefix(p.Body, "\x89PNG") {
		t.Errorf("the neighbour sees a picture: %d at %s", p.Status, p.URL)
	}
	if p := w.alpha.browsers[directory.Member].Get("/o/alpha/picture/" + picture); p.Status != 200 || p.Header.Get("Cache-Control") != "no-store" || p.Header.Get("Content-Type") != "image/png" {
		t.Errorf("a colleague sees %d %v", p.Status, p.Header)
	}

	before := w.rows(t, w.alpha.ID)
	form := owner.Get(organizationPath).Form("main").Fill("contact", "changed").Values
	if p := neighbour.Post(organizationPath, form); !atDoor(p, "alpha") {
		t.Errorf("the neighbour sends alpha's form: %d at %s", p.Status, p.URL)
	}
	if p := neighbour.Upload(organizationPath+"/logo", "logo", drawing(t, 7, 7), nil); !atDoor(p, "alpha") {
		t.Errorf("the neighbour sends a logo: %d at %s", p.Status, p.URL)
	}
	if p := w.Browser(t).Upload("/o/alpha/account/picture", "picture", drawing(t, 7, 7), nil); !atDoor(p, "alpha") {
		t.Errorf("a stranger sends a picture: %d at %s", p.Status, p.URL)
	}
	if after := w.rows(t, w.alpha.ID); after != before {
		t.Errorf("alpha changed:\n%s\n--- before:\n%s", after, before)
	}
	for _, role := range []directory.Role{directory.Helpdesk, directory.Auditor, directory.Member} {
		b := w.alpha.browsers[role]
		if p := b.Post(organizationPath, form); p.Status != 403 {
			t.Errorf("%s changes what alpha says: %d", role, p.Status)
		}
		if p := b.Upload(organizationPath+"/logo", "logo", drawing(t, 7, 7), nil); p.Status != 403 {
			t.Errorf("%s changes the logo: %d", role, p.Status)
		}
	}
	for _, extra := range []string{"org_id", "id", "logo", "suspended_at"} {
		if p := owner.Post(organizationPath, with(form, extra, string(w.beta.ID))); p.Status != 400 {
			t.Errorf("a field %s: %d", extra, p.Status)
		}
	}
	if org, err := directory.OrganizationByID(t.Context(), w.DB, w.alpha.ID); err != nil || org.Contact != "" || org.Logo != logo {
		t.Errorf("alpha is now %+v (%v)", org, err)
	}
}

// An upload waits for fresh proof like every change; the file is then chosen again.
func TestLogoNeedsAFreshProof(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Owner]
	form := b.Get(organizationPath).Form("upload").Choose(drawing(t, 8, 8))
	w.Clock.Advance(11 * time.Minute)
	p := proveAgain(t, form.Submit(""))
	idptest.Want(expect.Case(t, "after the proof"), p, idptest.Status(200), idptest.Path(organizationPath+"/logo"), idptest.Says("page.returned"))
	if w.images(t) != 0 {
		t.Errorf("after the proof: %d at %s: %s", p.Status, p.URL, p.Text())
	}
	seen(t, p.Form("upload").Choose(drawing(t, 8, 8)).Submit(""), 200)
	if w.images(t) != 1 {
		t.Error("the logo was not taken")
	}
}
