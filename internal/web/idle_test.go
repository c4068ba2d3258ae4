package web_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/idptest"
	"parvis/internal/session"
)

// The end by idleness says so, fills in the address, and leads on to the page that was wanted.
func TestIdleEndSaysSoAndLeadsOn(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Meridian Freight", "meridian")
	for swept, sweep := range map[string]func(){
		"before the sweep": func() {},
		"after it": func() {
			if err := s.Site.Sessions.Sweep(t.Context(), s.DB); err != nil {
				t.Fatal(err)
			}
		},
	} {
		b := s.Join(t, org, strings.Fields(swept)[0]+"@meridian.example", "Ana", directory.Member)
		email := strings.Fields(swept)[0] + "@meridian.example"
		s.Clock.Advance(session.Idle)
		sweep()
		away := []idptest.Check{
			idptest.Status(200), idptest.Says("web.sign_in.away", "Wait", "20 days"), idptest.Input("email", email), idptest.NoField("organization"),
		}
		for _, path := range []string{"/", "/o/meridian", "/o/meridian/home"} {
			idptest.Want(t, b.Get(path), append(away, idptest.Path("/o/meridian"))...)
		}
		p := idptest.Want(t, b.Get("/o/meridian/account/sessions?x=1"), away...)
		// Another browser learns nothing.
		q := s.Browser(t).Get("/o/meridian/account/sessions")
		idptest.Want(t, q, idptest.SaysNot("web.sign_in.away", "Wait", "20 days"), idptest.Input("email", ""))
		if strings.Contains(q.Body, email) {
			t.Errorf("%s: the address is shown to another browser", swept)
		}
		// A wrong password keeps the address and says what is wrong instead.
		p = idptest.Want(t, p.Form("main").Fill("password", "wrong").Submit(""), idptest.Status(422), idptest.SaysNot("web.sign_in.away", "Wait", "20 days"), idptest.Input("email", email))
		p = p.Form("main").Fill("password", idptest.Password).Submit("")
		if p.URL.RequestURI() != "/o/meridian/account/sessions?x=1" {
			t.Errorf("%s: it leads on to %s (%d): %s", swept, p.URL, p.Status, p.Text())
		}
	}
}

func TestIdleEndNamesTheOrganizationsOwnTime(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Meridian Freight", "meridian")
	b := s.Join(t, org, "ana@meridian.example", "Ana", directory.Member)
	s.Update(t, func(ctx context.Context, tx *db.Tx) error {
		return session.SetRules(ctx, tx, directory.Operator(), org.ID, session.Rules{Idle: 30 * time.Minute, Absolute: session.Absolute})
	})
	s.Clock.Advance(30 * time.Minute)
	idptest.Want(t, b.Get("/o/meridian/home"), idptest.Says("web.sign_in.away", "Wait", "30 minutes"), idptest.Input("email", "ana@meridian.example"))
}

// Only the end by idleness says so. People who signed out, whose session was ended or whose
// password has changed since are not shown their address: somebody else may sit there.
func TestOtherEndsOfASessionShowNoAddress(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Meridian Freight", "meridian")
	wait := []any{"Wait", "20 days"}
	out := s.Join(t, org, "ana@meridian.example", "Ana", directory.Member)
	out.Get("/o/meridian/home").Form("sign-out").Submit("")
	gone := s.Join(t, org, "bo@meridian.example", "Bo", directory.Member)
	left := s.Join(t, org, "cy@meridian.example", "Cy", directory.Member)
	s.Clock.Advance(session.Idle)
	link := resetLink(t, s, "cy@meridian.example")
	idptest.Want(t, s.Browser(t).Get(link).Form("main").Fill("password", another).Fill("repetition", another).Submit(""), idptest.Path("/o/meridian/home"))
	s.Update(t, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, `update users set deactivated_at = $1, state = 'deactivated' where org_id = $2 and email_key = $3`, db.Time(tx.Now()), string(org.ID), "bo@meridian.example")
		return err
	})
	for email, b := range map[string]*idptest.Browser{"ana@meridian.example": out, "bo@meridian.example": gone, "cy@meridian.example": left} {
		p := idptest.Want(t, b.Get("/o/meridian"), idptest.Status(200), idptest.Input("email", ""))
		if strings.Contains(p.Body, email) {
			t.Errorf("%s is shown", email)
		}
	}
	idptest.Want(t, out.Get("/o/meridian"), idptest.SaysNot("web.sign_in.away", wait...))
}
