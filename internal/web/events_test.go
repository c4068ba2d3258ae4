package web_test

import (
	"slices"
	"testing"

	"parvis/internal/app"
	"parvis/internal/audit"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/idptest"
)

// events returns the events of an organization with an action, the newest first.
func events(t *testing.T, s *idptest.Server, org directory.OrgID, action audit.Action) []audit.Stored {
	t.Helper()
	p, err := audit.List(t.Context(), s.DB, audit.Query{OrgID: string(org), Action: action})
	if err != nil {
		t.Fatal(err)
	}
	return p.Events
}

// only returns the one event with an action.
func only(t *testing.T, s *idptest.Server, org directory.OrgID, action audit.Action) audit.Stored {
	t.Helper()
	all := events(t, s, org, action)
	if len(all) != 1 {
		t.Fatalf("%d events of %s", len(all), action)
	}
	return all[0]
}

// Somebody who is signed in to two organizations in one browser: each log has its own session.
func TestEventsHaveSessionMethodAndRegion(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t, func(a *app.Settings) { a.DB.Region = "eu" })
	alpha, beta := s.Organization(t, "Alpha Works", "alpha"), s.Organization(t, "Beta Works", "beta")
	b := s.Join(t, alpha, "ada@alpha.example", "Ada", directory.Member)
	s.Join(t, beta, "ada@beta.example", "Ada", directory.Member)
	signIn(b, "/o/beta", "ada@beta.example", idptest.Password)
	for _, org := range []directory.Organization{alpha, beta} {
		b.Get("/o/"+org.ShortName+"/account").Form("main").Fill("name", "Ada Wright").Submit("")
		b.Get("/o/" + org.ShortName + "/account/sessions").Form("everywhere").Submit("everywhere")
		done := slices.Collect(func(yield func(string) bool) {
			for _, e := range events(t, s, org.ID, "signin.done") {
				expect.Equal(t, "session of a sign-in", e.Session, e.Target)
				if !yield(e.Session) {
					return
				}
			}
		})
		for _, action := range []audit.Action{"user.profile_changed", "session.all_ended"} {
			e := only(t, s, org.ID, action)
			if !slices.Contains(done, e.Session) {
				t.Errorf("%s of %s has the session %q, the organization has %q", action, org.ShortName, e.Session, done)
			}
			expect.Equal(t, "method", e.Method, "pwd")
			expect.Equal(t, "region", e.Region, "eu")
		}
		accepted := events(t, s, org.ID, "invitation.accepted")[0]
		expect.Equal(t, "session before the first", accepted.Session, "")
		expect.Equal(t, "method of who was invited", accepted.Method, audit.ByLink)
	}
	signIn(s.Browser(t), "/o/alpha", "ada@alpha.example", "Guess 7 by 7 herons!")
	refused := only(t, s, alpha.ID, "signin.refused")
	expect.Equal(t, "what nobody proved", refused.Session+refused.Method, "")
}
