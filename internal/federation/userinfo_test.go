package federation_test

import (
	"slices"
	"testing"
	"time"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/federation"
	"parvis/internal/idptest"
	"parvis/internal/upstream"
)

// mapsGroups maps the group Desk to helpdesk, and admits people nobody invited.
func mapsGroups(c *federation.Connection) error {
	c.Mapping.Roles = []federation.GroupRole{{Group: "Desk", Role: directory.Helpdesk}}
	return creates(c)
}

// latest returns the newest trace of the organization.
func (w *world) latest() federation.Trace {
	w.t.Helper()
	var id string
	var of int
	found, err := w.DB.One(w.t.Context(), db.Into(&id, &of), `select min(id), count(*) from upstream_traces where org_id = $1
		and at = (select max(at) from upstream_traces where org_id = $1)`, string(w.org.ID))
	// Two of the same instant have no order: a test lets time pass between them.
	if err != nil || !found || of != 1 {
		w.t.Fatalf("%d newest traces: %v", of, err)
	}
	trace, err := federation.TraceOf(w.t.Context(), w.DB, w.org.ID, id)
	if err != nil {
		w.t.Fatal(err)
	}
	return trace
}

// UserInfo is asked for what the ID token lacks. Its failure refuses only a person who cannot come in
// without it.
func TestClaimsComeFromUserInfoToo(t *testing.T) {
	w := start(t)
	i := w.issuer(nil)
	i.announce = map[string]any{"userinfo_endpoint": i.URL + "/userinfo"}
	w.allow(i.host())
	c := w.oidcConnection(w.org, i, mapsGroups)
	home := idptest.Path("/o/alpha/home")

	i.userInfo = map[string]any{"sub": "lin", "name": "Lin Wei", "groups": []string{"Desk"}}
	lin := map[string]any{"sub": "lin", "email": "lin@alpha.example", "email_verified": true}
	idptest.Want(t, w.enterOIDC(w.Browser(t), i, c, lin), home, idptest.Shows("Lin Wei"))
	if role := w.user(w.org, "lin@alpha.example").Role; role != directory.Helpdesk {
		t.Errorf("the role is %s: the groups are lost", role)
	}
	if trace := w.latest(); !slices.ContainsFunc(trace.Checks, func(c upstream.Check) bool { return c.Name == "userinfo_subject" && c.OK }) {
		t.Errorf("that UserInfo was asked is not shown: %+v", trace.Checks)
	}

	// The address is verified only in UserInfo.
	i.userInfo = map[string]any{"sub": "eva", "email_verified": true}
	idptest.Want(t, w.enterOIDC(w.Browser(t), i, c, map[string]any{"sub": "eva", "email": "eva@alpha.example"}), home)
	i.userInfo = map[string]any{"sub": "tom", "email": "eva@alpha.example", "email_verified": true}
	b := w.Browser(t)
	w.refused(b, w.enterOIDC(b, i, c, map[string]any{"sub": "tom", "email": "tom@alpha.example"}), c, "email_verified")

	// UserInfo speaks of somebody else, or fails: a person who needs nothing of it comes in and keeps the
	// role, and the failure is shown.
	for _, answer := range []map[string]any{{"sub": "somebody else", "name": "Mallory", "groups": []string{}}, nil} {
		w.Clock.Advance(time.Second)
		i.userInfo = answer
		idptest.Want(t, w.enterOIDC(w.Browser(t), i, c, lin), home, idptest.Shows("Lin Wei"))
		if role := w.user(w.org, "lin@alpha.example").Role; role != directory.Helpdesk {
			t.Errorf("the role is %s after UserInfo failed", role)
		}
		trace := w.latest()
		if last := trace.Checks[len(trace.Checks)-1]; trace.Refused != "" || last.OK || !last.Waived {
			t.Errorf("that UserInfo failed is not shown: %+v", trace)
		}
	}
	// A person who needs it is refused for that reason.
	b = w.Browser(t)
	w.refused(b, w.enterOIDC(b, i, c, map[string]any{"sub": "zoe", "email": "zoe@alpha.example"}), c, "userinfo")
	b = w.Browser(t)
	w.refused(b, w.enterOIDC(b, i, c, map[string]any{"sub": "zoe"}), c, "userinfo")
	if n := w.rows(`select count(*) from users where org_id = $1`, string(w.org.ID)); n != 2 {
		t.Errorf("%d people, want lin and eva", n)
	}
}

// A provider that changes its key under the same name is refused for at most a minute.
func TestAKeyThatChangedUnderItsNameIsAskedFor(t *testing.T) {
	w := start(t)
	i := w.issuer(nil)
	w.allow(i.host())
	c := w.oidcConnection(w.org, i, creates)
	home := idptest.Path("/o/alpha/home")
	idptest.Want(t, w.enterOIDC(w.Browser(t), i, c, claimsOf("ada", ada)), home)
	i.rollover("one")
	b := w.Browser(t)
	w.refused(b, w.enterOIDC(b, i, c, claimsOf("ada", ada)), c, "signature")
	w.Clock.Advance(time.Minute)
	idptest.Want(t, w.enterOIDC(w.Browser(t), i, c, claimsOf("ada", ada)), home)
}
