package op_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"parvis/internal/application"
	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/idptest"
	"parvis/internal/scim/document"
	"parvis/internal/secret"
)

// running starts a server whose clock is the real one, and which sweeps as it does in production.
func running(t *testing.T) *world {
	t.Helper()
	w := worldOn(t, idptest.StartOn(t, dbtest.OpenAt(t, dbtest.Address(t)), nil, secret.NewKeys()))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.Run(ctx)
	}()
	t.Cleanup(func() { stop(); <-ended })
	return w
}

// directoryOf returns how the customer's directory of an organization calls.
func (w *world) directoryOf(org directory.Organization) func(status int, method, path, body string) reply {
	w.t.Helper()
	id := w.Directory(w.t, org).ID
	var token string
	w.Update(w.t, func(ctx context.Context, tx *db.Tx) (err error) {
		_, token, err = w.Sources.Issue(ctx, tx, directory.Operator(), org.ID, id)
		return err
	})
	return func(status int, method, path, body string) reply {
		w.t.Helper()
		r, err := http.NewRequestWithContext(w.t.Context(), method, w.URL+"/scim/v2/"+id+path, strings.NewReader(body))
		if err != nil {
			w.t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/scim+json")
		r.Header.Set("Authorization", "Bearer "+token)
		got := w.do(r)
		if got.Status != status {
			w.t.Fatalf("%s %s: %d %s", method, path, got.Status, got.Body)
		}
		return got
	}
}

// Somebody shut out by a customer's directory, as Entra says it, is refused by the check of their
// session, by UserInfo, introspection and refresh, and the application is told, all within five
// seconds on a clock that nobody moves. Their colleague notices nothing.
func TestWhomADirectoryShutsOutIsRefusedWithinFiveSeconds(t *testing.T) {
	t.Parallel()
	w := running(t)
	heard := w.receiver(http.StatusOK)
	c := w.register("", application.Web, settings(func(s *application.Settings) { s.BackChannel = heard.URL }))
	call := w.directoryOf(w.org)
	browsers, tokens, ids := map[string]*idptest.Browser{}, map[string]reply{}, map[string]string{}
	for _, name := range []string{"eve", "kim"} {
		email := name + "@meridian.example"
		ids[name] = call(http.StatusCreated, "POST", "/Users", `{"schemas":["`+document.UserURI+`"],"userName":"`+email+`","displayName":"`+name+`","active":true}`).text("id")
		b := stopping(w.Browser(t))
		p := b.Get(w.LinkTo(t, email, 0)).Form("main").Fill("password", idptest.Password).Fill("repetition", idptest.Password).Submit("")
		if p.URL.Path != "/o/meridian/home" {
			t.Fatalf("%s came to %s: %s", name, p.URL, p.Text())
		}
		browsers[name], tokens[name] = b, w.enter(b, c)
		w.wantAlive(name+" before", c, tokens[name])
	}

	call(http.StatusOK, "PATCH", "/Users/"+ids["eve"], `{"schemas":["`+document.PatchURI+`"],"Operations":[{"op":"Replace","path":"active","value":"False"}]}`)
	shutOut, refresh := time.Now(), tokens["eve"].text("refresh_token")
	open := func() (all []string) {
		if p := browsers["eve"].Get("/o/meridian/home"); p.URL.Path == "/o/meridian/home" {
			all = append(all, "the session")
		}
		if r := w.userInfo(tokens["eve"].text("access_token")); r.Status != http.StatusUnauthorized {
			all = append(all, "UserInfo")
		}
		if w.active(c, tokens["eve"].text("access_token")) || w.active(c, refresh) {
			all = append(all, "introspection")
		}
		if r := w.refresh(c, refresh); r.Status == http.StatusOK {
			all, refresh = append(all, "refresh"), r.text("refresh_token")
		}
		if heard.times() == 0 {
			all = append(all, "the application, which was not told")
		}
		return all
	}
	for left := open(); len(left) > 0; left = open() {
		if took := time.Since(shutOut); took > 5*time.Second {
			t.Fatalf("after %s these still take whom the directory shut out: %s", took, strings.Join(left, ", "))
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Logf("shut out everywhere after %s", time.Since(shutOut))
	if told := w.claims(heard.token(t, 0), "logout+jwt"); told["sub"] != w.claims(tokens["eve"].text("id_token"), "JWT")["sub"] {
		t.Errorf("the application was told of %v", told)
	}
	w.wantAlive("who was not shut out", c, tokens["kim"])
	if p := browsers["kim"].Get("/o/meridian/home"); p.URL.Path != "/o/meridian/home" {
		t.Errorf("who was not shut out comes to %s", p.URL)
	}
}
