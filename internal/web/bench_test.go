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
