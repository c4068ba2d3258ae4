package web_test

import (
	"bytes"
	"image"
	"image/png"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/idptest"
)

func drawing(t *testing.T, w, h int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, w, h))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

var picturePath = regexp.MustCompile(`/o/alpha/picture/img_[a-z2-7]{26}`)

// Journeys 8.1: the pages use what the person chose.
func TestProfileKeepsTheTimeZoneAndPagesUseIt(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Alpha Works", "alpha")
	b := s.Join(t, org, "user-a@alpha.example", "Ana Duarte", directory.Owner)
	written := regexp.MustCompile(`<time datetime="[^"]*">([^<]*)</time>`)
	at := func() string {
		m := written.FindStringSubmatch(b.Get("/o/alpha/account/sessions").Body)
		if m == nil {
			t.Fatal("the page has no instant")
		}
		return m[1]
	}
	utc := s.Clock.Now().UTC()
	if got := at(); !strings.HasSuffix(got, utc.Format("15:04")+" UTC") {
		t.Errorf("without a choice: %q", got)
	}
	if p := b.Get("/o/alpha/account"); !p.Has("select", "data-suggest-zone", "") || strings.Contains(p.Body, "data-time-zone") {
		t.Error("the browser's time zone is not offered")
	}
	for _, chosen := range [][2]string{{"Europe/Paris", "CET"}, {"America/Sao_Paulo", "UTC-03"}, {"Asia/Kolkata", "IST"}, {"UTC", "UTC"}} {
		zone, name := chosen[0], chosen[1]
		p := b.Get("/o/alpha/account").Form("main").Fill("time_zone", zone).Submit("")
		if p.Status != 200 || p.Form("main").Values.Get("time_zone") != zone || !p.Has("html", "data-time-zone", zone) {
			t.Fatalf("%s: %d: %s", zone, p.Status, p.Text())
		}
		location, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		if got := at(); !strings.HasSuffix(got, utc.In(location).Format("15:04")+" "+name) {
			t.Errorf("%s: %q", zone, got)
		}
	}
	// A refused value is named, and nothing else that was typed is lost.
	for _, zone := range []string{"Local", "Mars/Olympus", "../etc/passwd", "europe/paris"} {
		p := b.Post("/o/alpha/account", url.Values{"name": {"Ana D."}, "preferred_language": {"en"}, "time_zone": {zone}})
		if p.Status != 422 || !p.Has("select", "aria-invalid", "true") || p.Form("main").Values.Get("name") != "Ana D." {
			t.Errorf("%q: %d: %v", zone, p.Status, p.Form("main").Values)
		}
	}
	p := b.Post("/o/alpha/account", url.Values{"name": {""}, "preferred_language": {"en"}, "time_zone": {"Asia/Tokyo"}})
	if p.Status != 422 || p.Form("main").Values.Get("time_zone") != "Asia/Tokyo" {
		t.Errorf("the time zone is lost with a wrong name: %d: %v", p.Status, p.Form("main").Values)
	}
	// Choosing a language changes neither.
	b.Get("/o/alpha/account").Form("main").Fill("language", "fr").Submit("language")
	if p := b.Get("/o/alpha/account"); p.Form("main").Values.Get("time_zone") != "UTC" || p.Lang() != "fr" {
		t.Errorf("after a change of language: %v", p.Form("main").Values)
	}
}

// Journeys 1.3: a language chosen before signing in is kept, in every browser.
func TestLanguageChosenAtSignInIsKept(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	s.Join(t, s.Organization(t, "Alpha Works", "alpha"), "user-a@alpha.example", "Ana", directory.Member)
	b := s.Browser(t)
	p := b.Get("/o/alpha").Form("main").Fill("language", "fr").Submit("language")
	if p.Lang() != "fr" {
		t.Fatalf("the way in speaks %q", p.Lang())
	}
	p = p.Form("main").Fill("email", "user-a@alpha.example").Fill("password", idptest.Password).Submit("")
	idptest.Want(t, p, idptest.Path("/o/alpha/home"))
	if p.Lang() != "fr" {
		t.Errorf("home speaks %q", p.Lang())
	}
	if p := signIn(s.Browser(t), "/o/alpha", "user-a@alpha.example", idptest.Password); p.Lang() != "fr" {
		t.Errorf("another browser speaks %q", p.Lang())
	}
}

func TestPictureStandsForThePersonUntilItIsTakenAway(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Alpha Works", "alpha")
	b := s.Join(t, org, "user-a@alpha.example", "Ana Duarte", directory.Member)
	owner := s.Join(t, org, "user-o@alpha.example", "Olu", directory.Owner)
	upload := func(file []byte) *idptest.Page {
		return b.Get("/o/alpha/account").Form("upload").Choose(file).Submit("")
	}
	if p := b.Get("/o/alpha/home"); !p.Says("AD") || picturePath.MatchString(p.Body) {
		t.Errorf("without a picture initials do not stand for Ana: %s", p.Text())
	}
	p := upload(drawing(t, 800, 600))
	if p.Status != 200 || p.URL.RequestURI() != "/o/alpha/account?saved" {
		t.Fatalf("%d at %s: %s", p.Status, p.URL, p.Text())
	}
	path := picturePath.FindString(p.Body)
	if p := b.Get("/o/alpha/home"); !p.Has("img", "src", path) || p.Says("AD ") {
		t.Error("the picture is not at the top of a page")
	}
	for _, who := range []*idptest.Browser{b, owner} {
		p := who.Get(path)
		shown, err := png.DecodeConfig(strings.NewReader(p.Body))
		idptest.Want(t, p, idptest.Header("Content-Type", "image/png"), idptest.Header("Cache-Control", "no-store"))
		if err != nil || shown.Width != 128 || shown.Height != 96 {
			t.Errorf("the picture: %d, %+v, %v (%v)", p.Status, shown, p.Header, err)
		}
	}
	person := owner.Get("/o/alpha/admin/people?q=ana").Links()
	i := slices.IndexFunc(person, func(l string) bool { return strings.HasPrefix(l, "/o/alpha/admin/people/usr_") })
	if i < 0 || !owner.Get(person[i]).Has("img", "src", path) {
		t.Error("an administrator does not see the picture")
	}
	// Without a file, or with a file that is no picture, the page says so and the picture
	// stays.
	for _, file := range [][]byte{nil, []byte("<svg/>")} {
		if p := upload(file); p.Status != 422 || !p.Has("input", "aria-invalid", "true") || picturePath.FindString(p.Body) != path {
			t.Errorf("%q: %d: %s", file, p.Status, p.Text())
		}
	}
	again := picturePath.FindString(upload(drawing(t, 20, 20)).Body)
	if again == path || b.Get(path).Status != 404 || b.Get(again).Status != 200 {
		t.Error("another picture does not take the place of the first")
	}
	p = b.Get("/o/alpha/account").Form("upload").Submit("remove")
	var images, events int
	if _, err := s.DB.One(t.Context(), db.Into(&images, &events), `
		select (select count(*) from images), (select count(*) from audit_events where action = 'user.picture_changed')`); err != nil {
		t.Fatal(err)
	}
	if picturePath.MatchString(p.Body) || images != 0 || b.Get(again).Status != 404 {
		t.Error("the picture is not gone")
	}
	if events != 3 {
		t.Errorf("%d of three changes are recorded", events)
	}
	// Nothing of a file is kept or logged, not even its name.
	if strings.Contains(s.Log.String(), "picture.png") {
		t.Error("the name of a file is in the log")
	}
}

// A picture is fetched by a page and not by the person: it does not count as use of the
// session, and without a session it begins no attempt.
func TestFetchingAPictureIsNoUse(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Alpha Works", "alpha")
	b := s.Join(t, org, "user-a@alpha.example", "Ana Duarte", directory.Member)
	path := picturePath.FindString(b.Get("/o/alpha/account").Form("upload").Choose(drawing(t, 9, 9)).Submit("").Body)
	count := func() (attempts int, seen int64) {
		if _, err := s.DB.One(t.Context(), db.Into(&attempts, &seen), `select (select count(*) from attempts), (select max(seen_at) from sessions)`); err != nil {
			t.Fatal(err)
		}
		return attempts, seen
	}
	_, before := count()
	s.Clock.Advance(time.Hour)
	for _, who := range []*idptest.Browser{b, s.Browser(t)} {
		who.Header.Set("Sec-Fetch-Mode", "no-cors")
		who.Header.Set("Sec-Fetch-Dest", "image")
		who.Header.Set("Sec-Fetch-Site", "same-origin")
		who.Get(path)
	}
	if attempts, seen := count(); attempts != 0 || seen != before {
		t.Errorf("%d attempts, and the session was used %d µs later", attempts, seen-before)
	}
}

// New people begin with their browser's time zone, if its script named one that we know;
// otherwise it stays UTC, as the list of zones says.
func TestNewPeopleBeginWithTheirBrowsersTimeZone(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Meridian Freight", "meridian")
	for said, want := range map[string]string{"": "", "Europe/Paris": "Europe/Paris", "Mars/Olympus": "", "../etc/passwd": ""} {
		b := s.Browser(t)
		if said != "" {
			b.SetCookie("__Host-parvis-zone", said)
		}
		email := "ana" + strings.NewReplacer("/", "-", ".", "").Replace(said) + "@meridian.example"
		p := b.Get(s.Invite(t, org, email, "Ana", directory.Member)).Form("main").
			Fill("password", idptest.Password).Fill("repetition", idptest.Password).Submit("")
		idptest.Want(t, p, idptest.Path("/o/meridian/home"))
		idptest.Want(t, b.Get("/o/meridian/account"), idptest.Input("time_zone", want))
	}
}
