package console_test

import (
	"testing"
	"time"

	"parvis/internal/directory"
)

// Journeys 1.2: the link lives as long as the organization says, from 1 hour to
// 30 days; the neighbour's setting stays.
func TestInvitationsLiveAsLongAsTheOrganizationSays(t *testing.T) {
	w := start(t)
	b := w.alpha.browsers[directory.Administrator]
	form := b.Get("/o/alpha/admin/organization").Form("main")
	for _, bad := range []string{"59m", "721h", "-1h", "soon", ""} {
		if p := form.Fill("invitation_lifetime", bad).Submit(""); p.Status != 422 || !p.Has("select", "aria-invalid", "true") {
			t.Errorf("%q: %d", bad, p.Status)
		}
	}
	if p := form.Fill("invitation_lifetime", "1h0m0s").Submit(""); p.Status != 200 || p.Form("main").Values.Get("invitation_lifetime") != "1h0m0s" {
		t.Fatalf("%d: %s", p.Status, p.Text())
	}
	b.Get("/o/alpha/admin/people/invite").Form("main").Fill("email", "soon@alpha.example").Submit("")
	link := w.LinkTo(t, "soon@alpha.example", 0)
	w.Clock.Advance(time.Hour - time.Microsecond)
	if p := w.Browser(t).Get(link); p.Status != 200 {
		t.Errorf("within the hour: %d", p.Status)
	}
	w.Clock.Advance(time.Microsecond)
	if p := w.Browser(t).Get(link); p.Status != 410 {
		t.Errorf("after the hour: %d", p.Status)
	}
	beta, err := directory.OrganizationByID(t.Context(), w.DB, w.beta.ID)
	if err != nil || beta.InvitationLifetime != directory.InvitationLifetime {
		t.Errorf("beta's links live %v (%v)", beta.InvitationLifetime, err)
	}
}
