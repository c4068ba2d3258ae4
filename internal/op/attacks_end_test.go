package op_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"parvis/internal/application"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/idptest"
	"parvis/internal/provisioning"
	"parvis/internal/session"
)

// receiver is an application's back channel, on loopback.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	heard  []string // logout tokens
	wait   chan struct{}
}

// receiver starts a receiver that answers with this status.
func (w *world) receiver(status int) *receiver {
	w.t.Helper()
	r := &receiver{status: status}
	r.Server = httptest.NewServer(http.HandlerFunc(func(answer http.ResponseWriter, q *http.Request) {
		r.mu.Lock()
		r.heard = append(r.heard, q.PostFormValue("logout_token"))
		status, wait := r.status, r.wait
		r.mu.Unlock()
		if wait != nil {
			<-wait
		}
		answer.WriteHeader(status)
	}))
	w.t.Cleanup(r.Close)
	return r
}

// times returns how many logout tokens it received.
func (r *receiver) times() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.heard)
}

// token returns the logout token with this number.
func (r *receiver) token(t testing.TB, i int) string {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.heard) <= i {
		t.Fatalf("it was told %d times", len(r.heard))
	}
	return r.heard[i]
}

// sweep does what a node does each second.
func (w *world) sweep() {
	w.t.Helper()
	begun := time.Now()
	if err := w.Site.Sessions.SweepVoid(w.t.Context(), w.DB); err != nil {
		w.t.Fatal(err)
	}
	if err := w.Provider.Sweep(w.t.Context(), w.DB); err != nil {
		w.t.Fatal(err)
	}
	if took := time.Since(begun); took > 5*time.Second {
		w.t.Errorf("the sweep took %s", took)
	}
}

// signOut does what the button at the top of every page does.
func (w *world) signOut(b *idptest.Browser) {
	w.t.Helper()
	if p := b.Post("/o/"+w.org.ShortName+"/sign-out", nil); p.Status >= http.StatusBadRequest {
		w.t.Fatalf("signing out: %d %s", p.Status, p.Text())
	}
}

// userOf returns the id of a user of an organization.
func (w *world) userOf(org directory.Organization, email string) directory.UserID {
	w.t.Helper()
	var id directory.UserID
	if found, err := w.DB.One(w.t.Context(), db.Into(&id), `select id from users where org_id = $1 and email_key = $2`, string(org.ID), email); err != nil || !found {
		w.t.Fatalf("%s is not there: %v", email, err)
	}
	return id
}

// device lets a device in as the person of a browser, and returns its device code.
func (w *world) device(b *idptest.Browser, c client) string {
	w.t.Helper()
	r := w.call(c, "/device_authorization", url.Values{"scope": {"openid email"}})
	if p := b.Get("/device?user_code=" + r.text("user_code")).Form("main").Submit("allow"); p.Status != http.StatusOK || !p.URL.Query().Has("done") {
		w.t.Fatalf("the device was not let in at %s (%d): %s", p.URL, p.Status, p.Text())
	}
	return r.text("device_code")
}

func byDevice(code string) url.Values {
	return url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "device_code": {code}}
}

// ends are ways in which an application loses its grant for Bo. After the quiet ones it gets no
// logout token.
var ends = []struct {
	name  string
	do    func(ctx context.Context, w *world, tx *db.Tx, c client, group directory.Group) error
	by    func(w *world)
	quiet bool
	again bool // the application gets a new code without a page
}{
	{name: "signed out", by: func(w *world) { w.signOut(w.bo) }},
	{name: "signed out everywhere", by: func(w *world) { w.bo.Post("/o/meridian/sign-out", url.Values{"do": {"everywhere"}}) }},
	{name: "signed out of the browser", by: func(w *world) { w.bo.Post("/o/meridian/sign-out", url.Values{"do": {"browser"}}) }},
	{name: "signed out by an application", by: func(w *world) {
		var id string
		if _, err := w.DB.One(w.t.Context(), db.Into(&id), `select session_id from grants limit 1`); err != nil {
			w.t.Fatal(err)
		}
		w.bo.Get("/end-session").Form("main").Check("session", id).Submit("")
	}},
	{name: "deactivated", do: func(ctx context.Context, w *world, tx *db.Tx, _ client, _ directory.Group) error {
		return directory.Deactivate(ctx, tx, directory.Operator(), w.org.ID, w.userOf(w.org, "bo@meridian.example"))
	}},
	{name: "deactivated by a directory", do: func(ctx context.Context, w *world, tx *db.Tx, _ client, _ directory.Group) error {
		id := w.userOf(w.org, "bo@meridian.example")
		made, err := w.Sources.Create(ctx, tx, directory.Operator(), w.org.ID, provisioning.Settings{Name: "Staff list", Provider: "entra"}, true)
		if err != nil {
			return err
		}
		source := made.Actor()
		bo, err := directory.UserByID(ctx, tx, w.org.ID, id)
		if err == nil {
			err = directory.SetSource(ctx, tx, source, bo, source.ID, "")
		}
		if err == nil {
			err = directory.Deactivate(ctx, tx, source, w.org.ID, id)
		}
		return err
	}},
	{name: "deleted", do: func(ctx context.Context, w *world, tx *db.Tx, _ client, _ directory.Group) error {
		return directory.Delete(ctx, tx, directory.Operator(), w.org.ID, w.userOf(w.org, "bo@meridian.example"))
	}},
	{name: "suspended", do: func(ctx context.Context, w *world, tx *db.Tx, _ client, _ directory.Group) error {
		return directory.Suspend(ctx, tx, directory.Operator(), w.org.ID)
	}},
	{name: "forbidden", do: func(ctx context.Context, w *world, tx *db.Tx, c client, _ directory.Group) error {
		return application.Place(ctx, tx, directory.Operator(), w.org.ID, c.Application, application.Placement{Standing: application.Forbidden, Audience: application.Everyone})
	}},
	{name: "withdrawn", again: true, by: func(w *world) {
		var id string
		if _, err := w.DB.One(w.t.Context(), db.Into(&id), `select client_id from grants limit 1`); err != nil {
			w.t.Fatal(err)
		}
		w.bo.Post("/o/meridian/account/applications", url.Values{"client": {id}})
	}},
	{name: "out of the group", quiet: true, do: func(ctx context.Context, w *world, tx *db.Tx, _ client, g directory.Group) error {
		_, err := directory.RemoveMembers(ctx, tx, directory.Operator(), w.org.ID, g.ID, []directory.UserID{w.userOf(w.org, "bo@meridian.example")})
		return err
	}},
	{name: "without the group", quiet: true, do: func(ctx context.Context, w *world, tx *db.Tx, _ client, g directory.Group) error {
		return directory.DeleteGroup(ctx, tx, directory.Operator(), w.org.ID, g.ID)
	}},
}

// R-SES-08: after each of these ends all tokens of the application are dead, at once, on every
// node and before any sweep. The sweep then tells the application.
func TestOPR9AnEndIsFeltAtOnceAndEverywhere(t *testing.T) {
	t.Parallel()
	for _, end := range ends {
		t.Run(end.name, func(t *testing.T) {
			w := newWorld(t, named)
			other, heard := w.node(), w.receiver(http.StatusOK)
			c := w.register("", application.Web, settings(func(s *application.Settings) { s.Devices, s.BackChannel = true, heard.URL }))
			var g directory.Group
			w.Update(t, func(ctx context.Context, tx *db.Tx) (err error) {
				if g, err = directory.CreateGroup(ctx, tx, directory.Operator(), w.org.ID, "Readers"); err != nil {
					return err
				}
				if _, err = directory.AddMembers(ctx, tx, directory.Operator(), w.org.ID, g.ID, []directory.UserID{w.userOf(w.org, "bo@meridian.example")}); err != nil {
					return err
				}
				return application.Place(ctx, tx, directory.Operator(), w.org.ID, c.Application, application.Placement{Audience: application.SomeGroups, Groups: []string{g.ID}})
			})
			tokens, code, device := w.enter(w.bo, c), w.code(w.bo, c), w.device(w.bo, c)
			other.wantAlive("before", c, tokens)
			if end.do != nil {
				w.Update(t, func(ctx context.Context, tx *db.Tx) error { return end.do(ctx, w, tx, c, g) })
			} else {
				end.by(w)
			}
			for _, node := range []*world{other, w} {
				node.wantDead(end.name, c, tokens)
				node.wantError("the code", node.redeem(c, code), http.StatusBadRequest, "invalid_grant")
			}
			other.wantError("the device", other.call(c, "/token", byDevice(device)), http.StatusBadRequest, "invalid_grant")
			if got := answer(authorize(other.bo, c.request("prompt", "none"))); got.Has("code") != end.again {
				t.Errorf("asking anew gives %v", got)
			}
			if end.quiet {
				return
			}
			other.sweep()
			if n := heard.times(); n != 1 {
				t.Errorf("it was told %d times", n)
			}
		})
	}
}

// An end that no sweep saw, because no node ran for minutes, is found and told by the next one.
func TestOPR9AnEndThatNoSweepSawIsToldLater(t *testing.T) {
	t.Parallel()
	for _, end := range ends {
		if end.quiet {
			continue
		}
		t.Run(end.name, func(t *testing.T) {
			w := newWorld(t, named)
			heard := w.receiver(http.StatusOK)
			c := w.register("", application.Web, settings(func(s *application.Settings) { s.BackChannel = heard.URL }))
			w.enter(w.bo, c)
			if end.do != nil {
				w.Update(t, func(ctx context.Context, tx *db.Tx) error { return end.do(ctx, w, tx, c, directory.Group{}) })
			} else {
				end.by(w)
			}
			w.Clock.Advance(3 * time.Minute)
			if err := errors.Join(w.Site.Sessions.Sweep(t.Context(), w.DB), w.Provider.SweepGrants(t.Context(), w.DB)); err != nil {
				t.Fatal(err)
			}
			w.sweep()
			if n := heard.times(); n != 1 {
				t.Errorf("it was told %d times", n)
			}
		})
	}
}

// What an application held before it was forbidden stays ended when it is allowed again, even
// before a sweep.
func TestOPR9WhatWasForbiddenStaysEndedWhenItIsAllowedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, named)
	c := w.register("", application.Web, web())
	tokens := w.enter(w.bo, c)
	for _, standing := range []application.Standing{application.Forbidden, application.AsRegistered} {
		w.Update(t, func(ctx context.Context, tx *db.Tx) error {
			return application.Place(ctx, tx, directory.Operator(), w.org.ID, c.Application, application.Placement{Standing: standing, Audience: application.Everyone})
		})
		w.wantDead("standing "+string(standing), c, tokens)
	}
	w.Clock.Advance(time.Second)
	w.wantAlive("entered again", c, w.enter(w.bo, c))
}

// R-SES-03: an application that refreshes its tokens does not count as use of the session.
func TestOPR9RefreshingKeepsNoSessionOpen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.books()
	token := w.enter(w.bo, c).text("refresh_token")
	for day := time.Duration(0); day < session.Idle-24*time.Hour; day += 24 * time.Hour {
		w.Clock.Advance(24 * time.Hour)
		r := w.refresh(c, token)
		if w.userInfo(r.text("access_token")).Status != http.StatusOK {
			t.Fatalf("after %s: %d %s", day, r.Status, r.Body)
		}
		token = r.text("refresh_token")
	}
	w.Clock.Advance(24 * time.Hour)
	w.wantError("after 20 days without the person", w.refresh(c, token), http.StatusBadRequest, "invalid_grant")
}

// When an application is removed, all that it held ends.
func TestOPR9ARemovedApplicationHoldsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, named)
	other := w.node()
	c := w.books()
	tokens, code := w.enter(w.bo, c), w.code(w.bo, c)
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		return application.Remove(ctx, tx, directory.Operator(), c.Application)
	})
	other.wantError("UserInfo", other.userInfo(tokens.text("access_token")), http.StatusUnauthorized, "invalid_token")
	other.wantError("the code", other.redeem(c, code), http.StatusUnauthorized, "invalid_client")
	other.wantError("a refresh", other.refresh(c, tokens.text("refresh_token")), http.StatusUnauthorized, "invalid_client")
	wantPage(t, "asking anew", authorize(other.bo, c.request()), http.StatusBadRequest)
}
