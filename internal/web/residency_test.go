package web_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/idptest"
	"parvis/internal/region"
)

// tablesOf names every table of a database.
func tablesOf(t *testing.T, s *idptest.Server) (all []string) {
	t.Helper()
	query := `select name from sqlite_master where type = 'table' and name not like 'sqlite_%'`
	if s.DB.Path() == "" {
		query = `select table_name from information_schema.tables where table_schema = current_schema()`
	}
	if err := s.DB.Rows(t.Context(), func(scan func(...any) error) error {
		var name string
		err := scan(&name)
		all = append(all, name)
		return err
	}, query); err != nil || len(all) < 40 {
		t.Fatalf("%d tables (%v)", len(all), err)
	}
	return all
}

// dump returns everything that a region keeps: its database and its log.
func dump(t *testing.T, s *idptest.Server) string {
	t.Helper()
	var all strings.Builder
	for _, table := range tablesOf(t, s) {
		fmt.Fprintf(&all, "== %s\n%s\n", table, dbtest.Dump(t, s.DB, table))
	}
	return all.String() + s.Log.String()
}

// ids are those of people, sessions, browsers and whatever else belongs to somebody.
var ids = regexp.MustCompile(`\b(usr|ses|brw|inv|org|att|ltr)_[a-z2-7]{26}\b`)

// aDay has somebody of a region do what people do in a day, and in the other region what people do
// who are in the wrong one. It returns what the other region may not have.
func aDay(t *testing.T, home, wrong *idptest.Server, short, mail string) (secrets []string) {
	t.Helper()
	org := home.Organization(t, "The "+short+" works", short)
	address, name, password := "somebody."+short+"@"+mail, "Somebody of "+short, "Nine "+short+" zebras ride 4 trams!"
	b := home.Browser(t)
	p := b.Get(home.Invite(t, org, address, name, directory.Owner)).Form("main").Fill("name", name).Fill("password", password).Fill("repetition", password).Submit("")
	if !strings.HasSuffix(p.URL.Path, "/home") {
		t.Fatal(p.URL, p.Text())
	}
	b.Get(org.Path("account"))
	b.Get(org.Path("admin/people"))
	signIn(home.Browser(t), "/sign-in", address, password)
	signIn(home.Browser(t), "/sign-in", address, "a wrong password")
	holds(t, home, org, mail, false)
	for _, s := range []*idptest.Server{home, wrong} { // what is known is read again
		s.Clock.Advance(2 * time.Second)
	}
	there := wrong.Browser(t)
	there.Get("/sign-in")
	for _, v := range []url.Values{
		{"email": {address}, "password": {password}},
		{"email": {address}, "password": {""}},
		{"email": {address}, "password": {password}, "organization": {short}},
		{"email": {address}, "password": {password}, "organization": {address}},
	} {
		there.Post("/sign-in", v)
	}
	there.Get("/o/" + short)
	for _, named := range []string{short, "The " + short + " works", address} {
		there.Post("/organization", url.Values{"organization": {named}, "region": {wrong.Here()}})
		there.Post("/forgot-password", url.Values{"email": {address}, "organization": {named}, "region": {wrong.Here()}})
		to := crossing(t, there.Post("/organization", url.Values{"organization": {named}, "region": {home.Here()}}))
		home.Browser(t).Get(to.RequestURI()) // as a browser asks: without what is behind the #
	}
	there.Post("/forgot-password", url.Values{"email": {address}})
	there.Post("/forgot-organization", url.Values{"email": {address}})
	token := b.Cookie("__Host-parvis")
	return append([]string{address, url.QueryEscape(address), strings.Split(address, "@")[0], name, password, token}, slices.Compact(slices.Sorted(slices.Values(ids.FindAllString(dump(t, home), -1))))...)
}

// Nothing of one region's people is ever in the other: not in what passes between the two, not in its
// database, not in its log. Nor is anything of somebody who typed an address in the wrong
// region, once the questions there have been answered.
func TestResidencyOfPeople(t *testing.T) {
	t.Parallel()
	eu, us := idptest.StartRegions(t)
	var passed []string
	for _, s := range []*idptest.Server{eu, us} {
		s.Watch(func(r *http.Request, asked, answered string) {
			if r.ProtoMajor > 1 {
				return // a browser's: servers ask by HTTP/1.1
			}
			passed = append(passed, fmt.Sprint(r.Method, " ", r.URL, " ", r.Header, "\n", asked, "\n", answered))
			if r.URL.String() != region.Path || len(r.Cookies()) > 0 {
				t.Errorf("%s %s passed between the regions", r.Method, r.URL)
			}
		})
	}
	of := map[*idptest.Server][]string{eu: aDay(t, eu, us, "zanzibar", "zanzibar.example"), us: aDay(t, us, eu, "quetzal", "quetzal.example")}
	for _, s := range []*idptest.Server{eu, us} {
		s.Clock.Advance(time.Minute)
		if err := s.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if len(passed) < 20 {
		t.Fatalf("only %d questions: this test looks past them", len(passed))
	}
	traffic := strings.Join(passed, "\n\n")
	for home, wrong := range map[*idptest.Server]*idptest.Server{eu: us, us: eu} {
		kept := dump(t, wrong)
		if len(of[home]) < 12 {
			t.Errorf("only %d secrets: %q", len(of[home]), of[home])
		}
		for _, secret := range of[home] {
			if !strings.Contains(dump(t, home), secret) && ids.MatchString(secret) {
				t.Errorf("%q is nowhere at home: this test looks for nothing", secret)
			}
			if i := strings.Index(kept, secret); i >= 0 {
				t.Errorf("the other region keeps %q: %s", secret, kept[max(0, i-200):min(len(kept), i+100)])
			}
			if strings.Contains(traffic, secret) {
				t.Errorf("%q passed between the regions", secret)
			}
		}
	}
	for _, name := range []string{"zanzibar", "quetzal"} {
		if strings.Contains(traffic, name) {
			t.Errorf("the name %s passed between the regions in clear", name)
		}
	}
}
