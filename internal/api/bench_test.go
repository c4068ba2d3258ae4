package api_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"parvis/internal/directory"
)

// BenchmarkOneUser is a call of GET /users/{id} without the network.
func BenchmarkOneUser(b *testing.B) {
	w := start(b)
	benchmark(b, w, "/users/"+w.alpha.ids["users"])
}

// BenchmarkPageOfUsers is a call of GET /users without the network.
func BenchmarkPageOfUsers(b *testing.B) { benchmark(b, start(b), "/users?limit=50") }

func benchmark(b *testing.B, w *world, path string) {
	for b.Loop() {
		w.Clock.Advance(1e9 / 40) // as fast as the limit allows
		r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, w.URL+"/api/v1"+path, nil)
		r.Header.Set("Authorization", "Bearer "+w.alpha.tokens[directory.Owner])
		got := httptest.NewRecorder()
		w.Site.ServeHTTP(got, r)
		if got.Code != http.StatusOK {
			b.Fatalf("answered %d: %s", got.Code, got.Body)
		}
	}
}
