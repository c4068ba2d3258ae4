package op_test

import (
	"net/http"
	"net/url"
	"testing"

	"parvis/internal/application"
)

// The first token may be requested before any key exists; the one writer of SQLite must not wait
// for itself then.
func TestTheFirstTokenOfAllIsAMachines(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.register("", application.Machine, application.Settings{Name: "Robot", Auth: application.Secret, OwnBehalf: true})
	r := w.call(c, "/token", url.Values{"grant_type": {"client_credentials"}})
	if r.Status != http.StatusOK {
		t.Fatalf("answered %d %s", r.Status, r.Body)
	}
	if got := w.claims(r.text("access_token"), "at+jwt"); got["sub"] != string(c.ID) {
		t.Errorf("the token says %v", got)
	}
}
