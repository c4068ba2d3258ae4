package edge_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"parvis/internal/dbtest"
	"parvis/internal/edge"
	"parvis/internal/expect"
)

// redirected returns what a browser gets that is led to an address, and what http.Redirect would
// have sent.
func redirected(to string) (got, want *httptest.ResponseRecorder) {
	r := httptest.NewRequest(http.MethodGet, "https://parvis.example/o/alpha/home", nil)
	got, want = httptest.NewRecorder(), httptest.NewRecorder()
	edge.New(edge.Settings{}).Request(got, r).Redirect(to, http.StatusSeeOther)
	http.Redirect(want, r, to, http.StatusSeeOther)
	return got, want
}

// Our own redirect leads where that of net/http leads, whatever the address.
func TestRedirectsLeadWhereNetHTTPLeads(t *testing.T) {
	for _, to := range []string{
		"/", "/o/alpha/home", "/o/alpha/home?a=b&c=%2f//..", "/o/alpha/../beta", "//elsewhere.example", "/a//b", "/a/./b", "/a/", "/a/..",
		"/o/é", "/a b", "", "home", "../x", "https://elsewhere.example/", "/a\r\nSet-Cookie: x", "/%zz", "/a#b", "/a?b=é", "/\x7f", "/a/.well",
	} {
		got, want := redirected(to)
		expect.Equal(t, "Location for "+to, got.Header().Get("Location"), want.Header().Get("Location"))
		expect.Equal(t, "status for "+to, got.Code, http.StatusSeeOther)
	}
	got, _ := redirected("/o/alpha/home")
	expect.Equal(t, "body", got.Body.String(), "")
}

func FuzzRedirect(f *testing.F) {
	for _, seed := range []string{"/", "/o/alpha/home", "//x", "/a/../b", "/é", "/a?b//c", "/a/.", "x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, to string) {
		got, want := redirected(to)
		expect.Equal(t, "Location", got.Header().Get("Location"), want.Header().Get("Location"))
	})
}

// What one handler does to its headers is not seen in the next answer, although all answers begin
// with the same ones.
func TestAnswersDoNotShareWhatIsChangedInThem(t *testing.T) {
	e := open(t)
	e.Handle("GET /change", "anyone", e.Serve(func(q *edge.Request) error {
		h := q.W.Header()
		h.Set("Cache-Control", "public")
		h.Add("X-Frame-Options", "SAMEORIGIN")
		h.Del("Referrer-Policy")
		return nil
	}))
	e.Handle("GET /plain", "anyone", e.Serve(func(*edge.Request) error { return nil }))
	first, then := ask(e, "/change"), ask(e, "/plain")
	expect.Equal(t, "what it set", first.Header().Get("Cache-Control"), "public")
	expect.Equal(t, "how many it added", len(first.Header().Values("X-Frame-Options")), 2)
	expect.Equal(t, "what it removed", first.Header().Get("Referrer-Policy"), "")
	for name, want := range map[string]string{
		"Cache-Control": "no-store", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "Content-Security-Policy": edge.Policy,
		"X-Content-Type-Options": "nosniff", "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
	} {
		values := then.Header().Values(name)
		expect.Equal(t, name, len(values), 1)
		expect.Equal(t, name, then.Header().Get(name), want)
	}
}

// Of two cookies of one name the first counts, as net/http has it.
func TestCookiesAreReadOnceAndTheFirstCounts(t *testing.T) {
	e := open(t)
	r := httptest.NewRequest(http.MethodGet, "https://parvis.example/", nil)
	r.Header["Cookie"] = []string{"__Host-a=1; other; __Host-a=2", `__Host-b="3"; a=4`}
	q := e.Request(httptest.NewRecorder(), r)
	for name, want := range map[string]string{"a": "1", "b": "3", "c": "", "other": ""} {
		expect.Equal(t, name, q.Cookie(name), want)
	}
}

// BenchmarkEdge is what every request costs before its handler, with a line of the log and a redirect.
func BenchmarkEdge(b *testing.B) {
	e := open(b)
	e.Handle("GET /o/{org}/home", "anyone", e.Serve(func(q *edge.Request) error {
		for _, name := range []string{"parvis", "parvis-language", "parvis"} {
			q.Cookie(name)
		}
		q.Redirect("/o/alpha/elsewhere", http.StatusSeeOther)
		return nil
	}))
	r := httptest.NewRequest(http.MethodGet, "https://parvis.example/o/alpha/home", nil)
	r.Header.Set("Cookie", "__Host-parvis=7PqQZk0tqPZ5u6Vtq0dSLZVqgSKZK3rJb0v3m5w2x1y; __Host-parvis-language=en")
	r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0")
	b.ReportAllocs()
	for b.Loop() {
		e.ServeHTTP(nowhere{}, r)
	}
}

// nowhere takes an answer and costs one map.
type nowhere struct{}

func (nowhere) Header() http.Header         { return http.Header{} }
func (nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (nowhere) WriteHeader(int)             {}

func open(t testing.TB) *edge.Edge {
	d, _ := dbtest.Open(t)
	return edge.New(edge.Settings{DB: d, Base: &url.URL{Scheme: "https", Host: "parvis.example"}, Log: slog.New(slog.NewJSONHandler(io.Discard, nil))}) //nolint:sloglint // The benchmark counts what a line costs.
}

func ask(e *edge.Edge, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	e.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "https://parvis.example"+path, nil))
	return w
}
