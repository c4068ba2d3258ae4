package web_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"parvis/internal/app"
	"parvis/internal/credential"
	"parvis/internal/directory"
	"parvis/internal/idptest"
	"parvis/internal/measure"
)

// BenchmarkPage requests a signed-in page and BenchmarkCheck one that is only checked, both
// without the network, for a profile; ./bench measures them over the network.
func BenchmarkPage(b *testing.B)  { benchmark(b, "/o/alpha/home", http.StatusOK) }
func BenchmarkCheck(b *testing.B) { benchmark(b, "/o/alpha/admin/people/change", http.StatusSeeOther) }

// The same with five users in one browser: the switcher costs a page one more statement, and a
// check nothing.
func BenchmarkPageAmongFive(b *testing.B) {
	benchmark(b, "/o/alpha/home", http.StatusOK, "beta", "gamma", "delta", "epsilon")
}
func BenchmarkCheckAmongFive(b *testing.B) {
	benchmark(b, "/o/alpha/admin/people/change", http.StatusSeeOther, "beta", "gamma", "delta", "epsilon")
}

func benchmark(b *testing.B, path string, status int, others ...string) {
	s := idptest.Start(b)
	in := s.Join(b, s.Organization(b, "Alpha Works", "alpha"), "ana@alpha.example", "Ana", directory.Owner)
	for _, name := range others {
		link := s.Invite(b, s.Organization(b, "Works of "+name, name), "ana@alpha.example", "Ana", directory.Member)
		in.Get(link).Form("main").Fill("password", idptest.Password).Fill("repetition", idptest.Password).Submit("")
	}
	r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, s.URL+path, nil)
	r.Header.Set("Cookie", "__Host-parvis="+in.Cookie("__Host-parvis"))
	for b.Loop() {
		w := httptest.NewRecorder()
		s.Site.ServeHTTP(w, r)
		if w.Code != status {
			b.Fatal(w.Code)
		}
	}
}

// BenchmarkMeasures does what is measured in a session check by itself, and says which part of the
// check that is; the limit is 2 %.
func BenchmarkMeasures(b *testing.B) {
	s := idptest.Start(b)
	in := s.Join(b, s.Organization(b, "Alpha Works", "alpha"), "ana@alpha.example", "Ana", directory.Owner)
	r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, s.URL+"/o/alpha/admin/people/change", nil)
	r.Header.Set("Cookie", "__Host-parvis="+in.Cookie("__Host-parvis"))
	statements := func() (n int) {
		s.DB.Measures.Statements(func(t *measure.Timer, _ ...string) { n += t.Count() })
		return n
	}
	const checks = 2000
	before, watch := statements(), measure.Start()
	for range checks {
		s.Site.ServeHTTP(httptest.NewRecorder(), r)
	}
	check, each := watch.Took()/checks, (statements()-before+checks-1)/checks
	var answers measure.By[measure.Counter]
	var took measure.By[measure.Timer]
	var statement measure.Timer
	watch = measure.Start()
	n := 0
	for b.Loop() {
		for range each {
			one := measure.Start()
			statement.Observe(one.Took())
		}
		answers.Of(measure.Labels{r.URL.Path, "3xx"}).Inc()
		took.Of(measure.Labels{r.URL.Path}).Observe(check)
		n++
	}
	b.ReportMetric(100*float64(watch.Took())/float64(n)/float64(check), "%-of-a-check")
	b.ReportMetric(float64(each), "statements")
}

// BenchmarkSignIn signs in with a password at the real cost of a hash.
// BenchmarkSignInBesideTheHash does so with a hash that costs next to nothing, which leaves the
// cost of our own code.
func BenchmarkSignIn(b *testing.B)              { signInBenchmark(b, credential.DefaultCost) }
func BenchmarkSignInBesideTheHash(b *testing.B) { signInBenchmark(b, idptest.CheapHash) }

func signInBenchmark(b *testing.B, cost credential.Cost) {
	s := idptest.Start(b, func(a *app.Settings) { a.Passwords = credential.Options{Cost: cost} })
	s.Join(b, s.Organization(b, "Alpha Works", "alpha"), "ana@alpha.example", "Ana", directory.Owner)
	form := url.Values{"email": {"ana@alpha.example"}, "password": {idptest.Password}}.Encode()
	for b.Loop() {
		r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, s.URL+"/sign-in", strings.NewReader(form))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		r.Header.Set("Cookie", "__Host-parvis-on=1")
		w := httptest.NewRecorder()
		s.Site.ServeHTTP(w, r)
		if w.Code != http.StatusSeeOther {
			b.Fatal(w.Code, w.Body.String())
		}
	}
}
