package api_test

import (
	"context"
	"net/http"
	"net/url"
	"testing"
	"time"

	"parvis/internal/db"
	"parvis/internal/directory"
)

// A program asks who changed since it last asked, and finds everybody of whom anything is another
// now, the deleted among them, and nobody else.
func TestAListSaysWhoChangedSince(t *testing.T) {
	t.Parallel()
	w := start(t)
	owner := as{token: w.person(t, w.alpha.browsers[directory.Owner], "parvis.people.read", "parvis.people.write")}
	path := "/users/" + w.alpha.ids["users"]
	member := w.alpha.users[directory.Member]
	for _, change := range []struct{ what, method, path, body string }{
		{"the name", "PATCH", "", `{"name": "Bo Lind"}`},
		{"the role", "POST", "/role", `{"role": "helpdesk"}`},
		{"shut out", "POST", "/deactivate", ""},
		{"let in again", "POST", "/reactivate", ""},
		{"deleted", "DELETE", "", ""},
		{"restored", "POST", "/restore", ""},
	} {
		w.Clock.Advance(time.Second)
		since := url.QueryEscape(w.Clock.Now().Format(time.RFC3339Nano))
		w.Clock.Advance(time.Second)
		got := w.call(t, owner, change.method, path+change.path, change.body)
		if got.StatusCode >= http.StatusBadRequest {
			t.Fatalf("%s: %d %s", change.what, got.StatusCode, got.text)
		}
		state := ""
		if change.what == "deleted" {
			state = "&state=deleted"
		}
		found := w.call(t, owner, "GET", "/users?changed_after="+since+state, "").want(t, 200).items()
		if len(found) != 1 || found[0]["id"] != string(member.ID) {
			t.Errorf("after a change of %s: %v", change.what, found)
		}
	}

	w.Clock.Advance(time.Second)
	since := url.QueryEscape(w.Clock.Now().Format(time.RFC3339Nano))
	if found := w.call(t, owner, "GET", "/users?changed_after="+since, "").want(t, 200).items(); len(found) != 0 {
		t.Errorf("nobody changed, but %v", found)
	}
	w.Clock.Advance(time.Second)
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		return directory.KeepSecondStep(ctx, tx, w.alpha.ID, member.ID, directory.NoSecondStep)
	})
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		g, err := directory.Groups(ctx, tx, directory.System(w.alpha.ID), w.alpha.ID)
		if err == nil {
			_, err = directory.AddMembers(ctx, tx, directory.System(w.alpha.ID), w.alpha.ID, g[0].ID, []directory.UserID{member.ID, w.alpha.users[directory.Auditor].ID})
		}
		return err
	})
	for _, more := range []string{"", "&group=" + w.alpha.ids["groups"], "&sort=joined&descending=true", "&count=true"} {
		if found := w.call(t, owner, "GET", "/users?changed_after="+since+more, "").want(t, 200).items(); len(found) != 1 {
			t.Errorf("the second step is another, but with %q: %v", more, found)
		}
	}
	w.call(t, owner, "GET", "/users?changed_after=yesterday", "").refused(t, 422, "api.time", "changed_after")
}
