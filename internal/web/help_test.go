package web_test

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/idptest"
	"parvis/internal/limit"
	"parvis/internal/signin"
)

// helped returns an organization with an owner, Olga, an administrator, Adam, and one person on
// the helpdesk, Hedy, in which a second step is required by now.
func helped(t *testing.T) (*idptest.Server, directory.Organization) {
	t.Helper()
	s := idptest.Start(t, idptest.Named)
	org := s.Organization(t, "Meridian Freight", "meridian")
	s.Join(t, org, "olga@meridian.example", "Olga", directory.Owner)
	s.Join(t, org, "adam@meridian.example", "Adam", directory.Administrator)
	s.Join(t, org, "hedy@meridian.example", "Hedy", directory.Helpdesk)
	s.SecondStep(t, org, required())
	return s, org
}

// lettersAbout counts the letters to an address that ask for help with somebody's second step.
func lettersAbout(t *testing.T, s *idptest.Server, email string) int {
	t.Helper()
	n := 0
	for _, l := range s.LettersTo(t, email) {
		if strings.Contains(l.Subject, idptest.Sentence(t, "mail.help_asked.subject", "Person", "Ana", "Organization", "Meridian Freight")) {
			n++
		}
	}
	return n
}

// Journeys 5.7.
func TestICantUseAnyOfTheseNamesWhomToAsk(t *testing.T) {
	t.Parallel()
	s, org := helped(t)
	withApp(t, s, org, ana, directory.Member)
	b, page := asked(t, s, ana)
	with := page.URL.Path + "?with=help"
	idptest.Want(t, page, idptest.Link(with), idptest.ShowsNot("Adam"))
	names := []idptest.Check{
		idptest.Status(200), idptest.Link(page.URL.Path + "?with=app"), idptest.Says("web.second.help_administrators", "Organization", "Meridian Freight"),
		idptest.Shows("Olga"), idptest.Shows("Adam"), idptest.ShowsNot("Hedy"), idptest.ShowsNot("adam@"), idptest.Says("web.second.help_tell"),
		idptest.SaysNot("web.second.help_owner", "Organization", "Meridian Freight"),
	}
	idptest.Want(t, b.Get(with), append(names, idptest.SaysNot("page.ask_help"))...)
	s.Update(t, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, `update organizations set contact = $1 where id = $2`, "the desk, +44 20 7946 0000", string(org.ID))
		return err
	})
	idptest.Want(t, b.Get(with), append(names, idptest.Shows("the desk, +44 20 7946 0000"))...)
}

func TestAdministratorsAreToldThatSomebodyIsStuckAndNotAgainAndAgain(t *testing.T) {
	t.Parallel()
	s, org := helped(t)
	withApp(t, s, org, ana, directory.Member)
	told := func(letters int, when string) {
		t.Helper()
		b, page := asked(t, s, ana)
		page = b.Get(page.URL.Path + "?with=help").Form("main").Submit("help")
		idptest.Want(t, page, idptest.Status(200), idptest.Says("web.second.help_told"), idptest.Shows("Adam"), idptest.SaysNot("web.second.help_tell_hint"))
		for email, want := range map[string]int{"olga@meridian.example": letters, "adam@meridian.example": letters, "hedy@meridian.example": 0, ana: 0} {
			if n := lettersAbout(t, s, email); n != want {
				t.Errorf("%s: %d letters to %s, want %d", when, n, email, want)
			}
		}
	}
	told(1, "first")
	link := s.Link(t, "adam@meridian.example", "/o/meridian/admin/people/")
	user := userOf(t, s, org.ID, ana)
	if want := "/o/meridian/admin/people/" + string(user.ID); link != want {
		t.Errorf("the letter leads to %s, want %s", link, want)
	}
	told(2, "at once again")
	told(2, "a third time")
	if !strings.Contains(s.Log.String(), "help asked for too often") {
		t.Error("the log says nothing of the limit")
	}
	s.Clock.Advance(time.Hour + time.Second)
	told(3, "an hour later")
	var recorded int
	if _, err := s.DB.One(t.Context(), db.Into(&recorded), `
		select count(*) from audit_events where org_id = $1 and action = 'second_step.help_asked' and actor = 'anonymous' and target = $2`,
		string(org.ID), string(user.ID)); err != nil || recorded != 3 {
		t.Errorf("%d of 3 are in the audit log, %v", recorded, err)
	}

	s.Clock.Advance(24 * time.Hour)
	for range signin.PerNetworkHelp.Free {
		if _, err := limit.Take(t.Context(), s.DB, s.Site.SignIn.Limits.Key(signin.PerNetworkHelp, limit.From(audit.Origin{Network: "127.0.0.1"}))); err != nil {
			t.Fatal(err)
		}
	}
	told(3, "a network that asked for many")
}

func TestNobodyIsToldBeforeTheFirstFactor(t *testing.T) {
	t.Parallel()
	s, org := helped(t)
	withApp(t, s, org, ana, directory.Member)
	b := s.Browser(t)
	page := b.Get("/o/meridian/account")
	if !strings.HasPrefix(page.URL.Path, "/sign-in/att_") {
		t.Fatalf("no attempt began: %s", page.URL)
	}
	idptest.Want(t, b.Get(page.URL.Path+"?with=help"), idptest.Status(200), idptest.ShowsNot("Adam"))
	idptest.Want(t, b.Post(page.URL.Path, url.Values{"do": {"help"}, "email": {ana}}), idptest.ShowsNot("Adam"))

	_, page = asked(t, s, ana)
	idptest.Want(t, s.Browser(t).Post(page.URL.Path, url.Values{"do": {"help"}}), idptest.ShowsNot("Adam"))
	if n := lettersAbout(t, s, "adam@meridian.example"); n != 0 {
		t.Errorf("%d letters", n)
	}
}

// People who could not reset the second step are not asked: only another owner may reset an
// owner's, and only the operator that of the only owner.
func TestOnlyThoseAreAskedWhoMayResetIt(t *testing.T) {
	t.Parallel()
	s, org := helped(t)
	const olaf = "olaf@meridian.example"
	withApp(t, s, org, olaf, directory.Owner) // called Ana
	b, page := asked(t, s, olaf)
	page = b.Get(page.URL.Path + "?with=help")
	idptest.Want(t, page, idptest.Shows("Olga"), idptest.ShowsNot("Adam"))
	page.Form("main").Submit("help")
	if n := lettersAbout(t, s, "adam@meridian.example"); n != 0 {
		t.Errorf("%d letters to an administrator", n)
	}
	if n := lettersAbout(t, s, "olga@meridian.example"); n != 1 {
		t.Errorf("%d letters to the other owner", n)
	}

	s.Update(t, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, `update users set role = 'administrator' where org_id = $1 and email_key = 'olga@meridian.example'`, string(org.ID))
		return err
	})
	page = b.Get(page.URL.Path + "?with=help")
	idptest.Want(t, page, idptest.Says("web.second.help_owner", "Organization", "Meridian Freight"), idptest.ShowsNot("Olga"), idptest.SaysNot("web.second.help_tell"))
	b.Post(page.URL.Path, url.Values{"do": {"help"}})
	idptest.Want(t, b.Get(page.URL.Path+"?with=help&told"), idptest.SaysNot("web.second.help_told"))
}
