package op_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"parvis/internal/application"
)

// These benchmarks call endpoints without a network and serve for profiles. ./bench measures
// with a network.
func BenchmarkCode(b *testing.B) {
	w := newWorld(b)
	c := w.books()
	address, cookie := "/authorize?"+c.request().Encode(), "__Host-parvis="+w.bo.Cookie("__Host-parvis")
	for b.Loop() {
		r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, w.URL+address, nil)
		r.Header.Set("Cookie", cookie)
		to, err := url.Parse(w.serve(r, http.StatusSeeOther).Header().Get("Location"))
		if err != nil {
			b.Fatal(err)
		}
		w.serve(w.calling(c, "/token", url.Values{
			"grant_type": {"authorization_code"}, "code": {to.Query().Get("code")}, "redirect_uri": {callback}, "code_verifier": {verifier},
		}), http.StatusOK)
	}
}

func BenchmarkRefresh(b *testing.B) {
	w := newWorld(b)
	c := w.books()
	token := w.enter(w.bo, c).text("refresh_token")
	for b.Loop() {
		answer := w.serve(w.calling(c, "/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}), http.StatusOK)
		var got struct {
			Token string `json:"refresh_token"`
		}
		if err := json.Unmarshal(answer.Body.Bytes(), &got); err != nil || got.Token == token {
			b.Fatal(err, got)
		}
		token = got.Token
	}
}

func BenchmarkIntrospectionSigned(b *testing.B) { benchmarkIntrospection(b, false) }
func BenchmarkIntrospectionOpaque(b *testing.B) { benchmarkIntrospection(b, true) }

func benchmarkIntrospection(b *testing.B, opaque bool) {
	w, c, token := holding(b, opaque)
	for b.Loop() {
		answer := w.serve(w.calling(c, "/introspect", url.Values{"token": {token}}), http.StatusOK)
		if !strings.Contains(answer.Body.String(), `"active":true`) {
			b.Fatal(answer.Body)
		}
	}
}

func BenchmarkUserInfoSigned(b *testing.B) { benchmarkUserInfo(b, false) }
func BenchmarkUserInfoOpaque(b *testing.B) { benchmarkUserInfo(b, true) }

func benchmarkUserInfo(b *testing.B, opaque bool) {
	w, _, token := holding(b, opaque)
	r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, w.URL+"/userinfo", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	for b.Loop() {
		w.serve(r, http.StatusOK)
	}
}

func BenchmarkKeySet(b *testing.B)    { benchmarkDocument(b, "/jwks") }
func BenchmarkDiscovery(b *testing.B) { benchmarkDocument(b, "/.well-known/openid-configuration") }

func benchmarkDocument(b *testing.B, path string) {
	w := newWorld(b)
	r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, w.URL+path, nil)
	for b.Loop() {
		w.serve(r, http.StatusOK)
	}
}

// holding returns an application with an access token for Bo.
func holding(b *testing.B, opaque bool) (*world, client, string) {
	w := newWorld(b)
	s := web()
	s.Opaque = opaque
	c := w.register("", application.Web, s)
	return w, c, w.enter(w.bo, c).text("access_token")
}

func (w *world) calling(c client, path string, form url.Values) *http.Request {
	r := httptest.NewRequestWithContext(w.t.Context(), http.MethodPost, w.URL+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(url.QueryEscape(string(c.ID)), url.QueryEscape(c.secret))
	return r
}

func (w *world) serve(r *http.Request, status int) *httptest.ResponseRecorder {
	answer := httptest.NewRecorder()
	w.Site.ServeHTTP(answer, r)
	if answer.Code != status {
		w.t.Fatal(answer.Code, answer.Body)
	}
	return answer
}
