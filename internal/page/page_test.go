package page

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/edge"
	"parvis/internal/i18n"
)

func FuzzForm(f *testing.F) {
	f.Add("email=a%40b.example&password=x")
	f.Add("email=a&email=b")
	f.Add("do=language&language=fr")
	f.Add("%zz")
	f.Add("a=%00")
	f.Fuzz(func(t *testing.T, body string) {
		r := httptest.NewRequest("POST", "/sign-in", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		v := &Visitor{Request: &edge.Request{W: httptest.NewRecorder(), R: r}, site: &Site{}, Form: &Form{}}
		if v.readForm(Fields{"email", "password"}) != nil {
			return
		}
		for name, values := range v.Form.values {
			if len(values) != 1 || strings.ContainsRune(values[0], 0) {
				t.Errorf("field %q came as %q", name, values)
			}
		}
		if _, kept := v.Form.withoutSecrets()["password"]; kept {
			t.Error("a password is kept")
		}
	})
}

// A database that goes away in the middle of a request is answered with 503 and a reference,
// and the process lives on (R-RES-04).
func TestDatabaseThatGoesAwayIsAnsweredWithAReference(t *testing.T) {
	d, _ := dbtest.Open(t)
	catalogue, err := i18n.Load()
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	s, err := New(Settings{Edge: edge.New(edge.Settings{DB: d, Base: &url.URL{Scheme: "https", Host: "parvis.example"}, Log: slog.New(slog.NewTextHandler(&log, nil))}), Catalogue: catalogue}, Templates())
	if err != nil {
		t.Fatal(err)
	}
	s.Anyone("GET /slow", func(v *Visitor) error {
		ctx, cancel := context.WithTimeout(v.R.Context(), time.Nanosecond)
		defer cancel()
		return d.Update(ctx, func(*db.Tx) error { return nil })
	})
	s.Anyone("GET /panic", func(*Visitor) error { panic("boom") })
	for path, want := range map[string]int{"/slow": 503, "/panic": 500} {
		r := httptest.NewRequest("GET", "https://parvis.example"+path, nil)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		body := w.Body.String()
		at := strings.Index(body, "req_")
		if w.Code != want || at < 0 || !strings.Contains(log.String(), body[at:at+14]) {
			t.Errorf("%s: %d, and the reference on the page is not in the log", path, w.Code)
		}
		if strings.Contains(body, "boom") || strings.Contains(body, "deadline") {
			t.Errorf("%s shows what is inside: %s", path, body)
		}
	}
}
