package op_test

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"parvis/internal/application"
	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/expect"
	"parvis/internal/idptest"
)

// together calls do n times at once, and returns how often it reported true.
func together(n int, do func(int) bool) int {
	var group sync.WaitGroup
	var count atomic.Int32
	for i := range n {
		group.Go(func() {
			if do(i) {
				count.Add(1)
			}
		})
	}
	group.Wait()
	return int(count.Load())
}

// node starts another node of the same installation, for the same browsers.
func (w *world) node() *world {
	w.t.Helper()
	n := *w
	n.Server = idptest.StartOn(w.t, w.DB, w.Clock, w.Keys, idptest.Named)
	n.ana, n.bo = stopping(n.Browser(w.t)), stopping(n.Browser(w.t))
	n.ana.Client.Jar, n.bo.Client.Jar = w.ana.Client.Jar, w.bo.Client.Jar
	return &n
}

// count returns how many rows a table has.
func (w *world) count(table string) int { w.t.Helper(); return w.countWhere(table, "1 = 1") }

// countWhere returns how many rows of a table fit a condition.
func (w *world) countWhere(table, what string) (n int) {
	w.t.Helper()
	if _, err := w.DB.One(w.t.Context(), db.Into(&n), `select count(*) from `+table+` where `+what); err != nil {
		w.t.Fatal(err)
	}
	return n
}

// audited returns how often the audit log has this action with this result.
func (w *world) audited(action, result string) (n int) {
	w.t.Helper()
	if _, err := w.DB.One(w.t.Context(), db.Into(&n), `select count(*) from audit_events where action = $1 and result = $2`, action, result); err != nil {
		w.t.Fatal(err)
	}
	return n
}

// wantError requires that a call was refused in JSON, with this status and code.
func (w *world) wantError(what string, r reply, status int, code string) {
	w.t.Helper()
	of := expect.Case(w.t, "%s: %s", what, r.Body)
	expect.Equal(of, "Status", r.Status, status)
	expect.Equal(of, "error", r.text("error"), code)
	expect.Equal(of, "Content-Type", r.Header.Get("Content-Type"), "application/json")
	expect.Equal(of, "Cache-Control", r.Header.Get("Cache-Control"), "no-store")
	if r.text("access_token") != "" || r.text("refresh_token") != "" || r.text("id_token") != "" {
		w.t.Errorf("%s gave tokens: %s", what, r.Body)
	}
}

// active reports whether introspection calls a token active. For an inactive token it must say
// nothing else.
func (w *world) active(c client, token string) bool {
	w.t.Helper()
	r := w.call(c, "/introspect", url.Values{"token": {token}})
	if r.Status != http.StatusOK || r.JSON["active"] == false && strings.TrimSpace(r.Body) != `{"active":false}` {
		w.t.Errorf("introspection answers %d %s", r.Status, r.Body)
	}
	return r.JSON["active"] == true
}

// wantDead requires that these tokens no longer work anywhere.
func (w *world) wantDead(what string, c client, tokens reply) {
	w.t.Helper()
	w.wantError(what+": UserInfo", w.userInfo(tokens.text("access_token")), http.StatusUnauthorized, "invalid_token")
	if w.active(c, tokens.text("access_token")) || w.active(c, tokens.text("refresh_token")) {
		w.t.Errorf("%s: introspection calls a token active", what)
	}
	w.wantError(what+": refresh", w.refresh(c, tokens.text("refresh_token")), http.StatusBadRequest, "invalid_grant")
}

// wantAlive requires that these tokens work; it uses none up.
func (w *world) wantAlive(what string, c client, tokens reply) {
	w.t.Helper()
	if r := w.userInfo(tokens.text("access_token")); r.Status != http.StatusOK || !w.active(c, tokens.text("refresh_token")) {
		w.t.Errorf("%s: UserInfo says %d %s", what, r.Status, r.Body)
	}
}

// settings returns the settings of web, changed.
func settings(change func(*application.Settings)) application.Settings {
	s := web()
	change(&s)
	return s
}

// native returns the settings of an app on a phone.
func native() application.Settings {
	return settings(func(s *application.Settings) {
		s.Name, s.Auth, s.Asks = "Pocket", application.NoAuth, true
		s.RedirectURIs, s.PostLogoutURIs = []string{"com.example.pocket:/callback", "http://127.0.0.1/callback"}, nil
	})
}

// wantPage requires a page that explains, and that leads to no unregistered address.
func wantPage(t testing.TB, what string, p *idptest.Page, status int) {
	t.Helper()
	of := expect.Case(t, "%s", what)
	expect.Equal(of, "Status", p.Status, status)
	expect.Equal(of, "Location", p.Header.Get("Location"), "")
	if answer(p) != nil || strings.Contains(strings.ToLower(p.Body), `http-equiv="refresh"`) {
		t.Errorf("%s: %d to %q, %v: %s", what, p.Status, p.Header.Get("Location"), p.Links(), p.Text())
	}
}

// start is when every test begins.
var start = dbtest.Start

// named gives every server the same public address.
var named = idptest.Named
