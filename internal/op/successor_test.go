package op_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"parvis/internal/application"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/idptest"
)

// named registers an application under a chosen ID.
func (w *world) named(id application.ID, kind application.Kind, s application.Settings) client {
	w.t.Helper()
	var c client
	w.Update(w.t, func(ctx context.Context, tx *db.Tx) (err error) {
		c.Application, c.secret, err = application.Register(ctx, tx, directory.Operator(), w.URL, application.Application{ID: id, Kind: kind, Settings: s})
		return err
	})
	return c
}

// remove removes an application.
func (w *world) remove(c client) {
	w.t.Helper()
	w.Update(w.t, func(ctx context.Context, tx *db.Tx) error {
		return application.Remove(ctx, tx, directory.Operator(), c.Application)
	})
}

// OPR-9: tokens of a removed application mean nothing to a new one with the same ID, in the same
// second or later: as hints they sign nobody out or in.
func TestOPR9ARemovedApplicationMeansNothingToItsSuccessor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.named("books", application.Web, web())
	old := w.enter(w.bo, first)
	w.remove(first)
	second := w.named("books", application.Web, settings(func(s *application.Settings) { s.Name, s.Pairwise = "Other books", false }))
	own := w.enter(w.bo, second)
	if was, is := w.claims(old.text("id_token"), "JWT")["sid"], w.claims(own.text("id_token"), "JWT")["sid"]; was == is {
		t.Errorf("one session has one sid, %v, for both", is)
	}
	end := func(more string) *idptest.Page {
		return w.bo.Get("/end-session?id_token_hint=" + old.text("id_token") + more)
	}
	// The person is asked, as without a hint.
	idptest.Want(t, end(""), idptest.Path("/end-session/confirm"), idptest.Status(http.StatusOK))
	p := idptest.Want(t, end("&client_id=books&post_logout_redirect_uri=https://books.example/bye"), idptest.Path("/end-session/confirm"))
	if !in(w.bo) || p.Header.Get("Location") != "" {
		t.Error("a token of the removed application signed out")
	}
	wantPage(t, "an address of nobody", end("&post_logout_redirect_uri=https://books.example/bye"), http.StatusBadRequest)
	w.wantAlive("after that", second, own)
	// The old hint does not say who is expected either.
	if got := answer(authorize(w.bo, second.request("prompt", "none", "id_token_hint", old.text("id_token")))); got.Get("error") != "login_required" {
		t.Errorf("a hint of the removed application: %v", got)
	}
	if got := answer(authorize(w.bo, second.request("id_token_hint", old.text("id_token")))); !got.Has("code") {
		t.Errorf("it stands in the way: %v", got)
	}
	for what, r := range map[string]reply{
		"its access token":  w.userInfo(old.text("access_token")),
		"its refresh token": w.refresh(second, old.text("refresh_token")),
	} {
		if r.Status == http.StatusOK {
			t.Errorf("%s still gives %s", what, r.Body)
		}
	}

	// The new application's own hint works.
	if got := answer(authorize(w.bo, second.request("prompt", "none", "id_token_hint", own.text("id_token")))); !got.Has("code") {
		t.Errorf("its own hint: %v", got)
	}
	p = w.bo.Get("/end-session?id_token_hint=" + own.text("id_token") + "&post_logout_redirect_uri=https://books.example/bye")
	if to := p.Header.Get("Location"); to != "https://books.example/bye" || in(w.bo) {
		t.Errorf("its own hint leads to %q (%d): %s", to, p.Status, p.Text())
	}
}

// An application from before registrations had ids goes on with its tokens as hints. A new one
// with its ID does not.
func TestOPR9HintsFromBeforeGoOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.named("books", application.Web, web())
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, `update clients set registration = '' where id = 'books'`)
		return err
	})
	old := w.enter(w.bo, c).text("id_token")
	if sid, _ := w.claims(old, "JWT")["sid"].(string); strings.Contains(sid, ".") {
		t.Errorf("its sid changed: %s", sid)
	}
	if got := answer(authorize(w.bo, c.request("prompt", "none", "id_token_hint", old))); !got.Has("code") {
		t.Errorf("its hint: %v", got)
	}
	w.remove(c)
	next := w.named("books", application.Web, web())
	idptest.Want(t, w.bo.Get("/end-session?client_id=books&id_token_hint="+old), idptest.Path("/end-session/confirm"))
	w.enter(w.bo, next)
	w.remove(next)
	wantPage(t, "nobody's", w.bo.Get("/end-session?id_token_hint="+old), http.StatusBadRequest)
	if !in(w.bo) {
		t.Error("he was signed out")
	}
}

// The pairwise sub at an application without a host differs from the one at an earlier application
// with the same ID.
func TestOPR9APairwiseNameIsOfOneRegistration(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := settings(func(s *application.Settings) {
		s.RedirectURIs, s.Pairwise = []string{"http://localhost:9000/callback"}, true
	})
	first := w.named("books", application.Web, s)
	was := w.claims(w.enter(w.bo, first).text("id_token"), "JWT")["sub"]
	w.change(first, func(s *application.Settings) { s.Name = "Books again" })
	if is := w.claims(w.enter(w.bo, first).text("id_token"), "JWT")["sub"]; is != was {
		t.Errorf("a change of the name made %v of %v", is, was)
	}
	w.remove(first)
	if is := w.claims(w.enter(w.bo, w.named("books", application.Web, s)).text("id_token"), "JWT")["sub"]; is == was {
		t.Errorf("the successor knows him by the same name, %v", is)
	}
}
