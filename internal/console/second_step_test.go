package console_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"parvis/internal/administration"
	"parvis/internal/credential"
	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/i18n"
	"parvis/internal/idptest"
	"parvis/internal/naming"
	"parvis/internal/secret"
	"parvis/internal/signin"
)

func (w *world) secondStepOf(t *testing.T, role directory.Role) string {
	t.Helper()
	return "/o/alpha/admin/people/" + w.idOf(t, w.alpha.ID, "users", string(role)+"@alpha.example") + "/second-step"
}

// factors returns what somebody of alpha has.
func (w *world) factors(t *testing.T, email string) credential.Factors {
	t.Helper()
	owner := credential.Owner{OrgID: w.alpha.ID, UserID: directory.UserID(w.idOf(t, w.alpha.ID, "users", email))}
	f, err := w.Site.SignIn.Authenticators.FactorsOf(t.Context(), w.DB, owner)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// giveCodes makes ten recovery codes for somebody of alpha.
func (w *world) giveCodes(t *testing.T, email string) {
	t.Helper()
	owner := credential.Owner{OrgID: w.alpha.ID, UserID: directory.UserID(w.idOf(t, w.alpha.ID, "users", email))}
	set, err := w.Site.SignIn.Passwords.NewRecoveryCodes(t.Context(), credential.Source{Name: "test"}, owner)
	if err != nil {
		t.Fatal(err)
	}
	w.Update(t, func(ctx context.Context, tx *db.Tx) error { return credential.SetRecoveryCodes(ctx, tx, set) })
}

// R-REC-08, journeys 5.7: an administrator resets a person's second step: devices, codes and
// sessions are removed, the person gets a letter, the log keeps the reason, and the next
// sign-in enrols again before anything else.
func TestREC8AnAdministratorResetsALostSecondStep(t *testing.T) {
	t.Parallel()
	w := start(t)
	const email = "member@alpha.example"
	member, secret := w.withApp(t, email)
	w.giveCodes(t, email)
	w.SecondStep(t, w.alpha.Organization, signin.SecondStepRules{RequiredFrom: w.Clock.Now(), Tolerance: 1})
	half := signIn(w.Browser(t), "alpha", email) // an attempt that waits for its second step
	b := w.alpha.browsers[directory.Administrator]
	person := strings.TrimSuffix(w.secondStepOf(t, directory.Member), "/second-step")
	p := seen(t, b.Get(person), 200)
	idptest.Want(expect.Case(t, "the person's page says"), p,
		idptest.Says("console.second.recovery", "Count", 10), idptest.ShowsNot("A telephone with a name"))
	if !p.Says(idptest.Sentence(t, "console.second.apps", "Count", 1) + ", " + idptest.Sentence(t, "console.second.unused")) {
		t.Errorf("the person's page says %s", p.Text())
	}
	if !slices.Contains(p.Links(), w.secondStepOf(t, directory.Member)) {
		t.Fatalf("no way to reset on %v", p.Links())
	}
	p = seen(t, b.Get(w.secondStepOf(t, directory.Member)), 200)
	idptest.Want(expect.Case(t, "the page says"), p,
		idptest.Says("console.second.reset_check", "Name", "Person member of alpha"), idptest.Says("console.second.reset_enrols"))
	const reason = "Lost her phone; known by sight, ticket 4711 <b>"
	form := p.Form("main").Fill("reason", reason)
	w.Clock.Advance(11 * time.Minute)
	letters := len(w.LettersTo(t, email))
	p = proveByEnrolling(t, w, form.Submit(""))
	if back := p.Form("main").Values.Get("reason"); back != reason || len(w.factors(t, email).Apps) != 1 {
		t.Fatalf("after the proof the reason is %q", back)
	}
	w.Clock.Advance(time.Second)
	p = seen(t, p.Form("main").Submit(""), 200)
	idptest.Want(t, p,
		idptest.Path(person), idptest.Says("console.second.reset_done", "Name", "Person member of alpha"),
		idptest.Says("console.person.enrols"), idptest.SaysNot("console.second.recovery"), idptest.ShowsNot("recovery code"))
	if slices.Contains(p.Links(), w.secondStepOf(t, directory.Member)) {
		t.Error("what is gone is offered to be reset")
	}

	if f := w.factors(t, email); f.Any() || f.Recovery != 0 {
		t.Errorf("left are %+v", f)
	}
	if p := member.Get("/o/alpha/home"); isHome(p) {
		t.Error("a session is still open")
	}
	if p := half.Form("main").Fill("code", idptest.Code(secret, w.Clock.Now())).Submit(""); isHome(p) || p.Has("input", "name", "device") {
		t.Errorf("the attempt from before goes on: %s: %s", p.URL, p.Text())
	}
	got := w.LettersTo(t, email)
	if len(got) != letters+1 || !strings.Contains(got[0].Text, idptest.Sentence(t, "mail.second_step_reset.what",
		"When", "22 November 2026, 09:11 UTC", "Administrator", "Person administrator of alpha", "Organization", "Alpha Freight")) || strings.Contains(got[0].Text, "4711") {
		t.Errorf("%d letters: %s", len(got)-letters, got[0].Text)
	}
	e := w.events(t, w.alpha.ID, "second_step.reset")
	if len(e) != 1 {
		t.Fatalf("recorded as %+v", e)
	}
	expect.Equal(t, "reason", e[0].After["reason"], reason)
	expect.Equal(t, "ActorName", e[0].ActorName, "Person administrator of alpha")
	expect.Equal(t, "TargetName", e[0].TargetName, "Person member of alpha")
	expect.Equal(t, "apps", e[0].Before["apps"], 1.0)
	expect.Equal(t, "recovery_codes", e[0].Before["recovery_codes"], 10.0)
	expect.Equal(t, "passkeys", e[0].Before["passkeys"], 0.0)
	if e[0].Origin.Network == "" {
		t.Errorf("recorded as %+v", e)
	}
	idptest.Want(expect.Case(t, "the log shows"), seen(t, b.Get("/o/alpha/admin/audit/"+e[0].ID), 200),
		idptest.Says("audit.action.second_step.reset"), idptest.Shows(reason), idptest.Says("audit.field.apps"))

	again := w.Browser(t)
	p = signIn(again, "alpha", email)
	if !enrols(p) || isHome(again.Get("/o/alpha/home")) {
		t.Fatalf("the next sign-in comes to %s", p.URL)
	}
	if p, other := w.EnrolApp(t, p, "New phone"); !isHome(p) || other == secret {
		t.Errorf("enrolled again and at %s", p.URL)
	}
}

// Where single sign-on is the only way in there is no password to write a letter about: the
// second step is removed all the same, and the letter says how the person signs in.
func TestREC8ASecondStepIsResetWhereSingleSignOnIsTheOnlyWayIn(t *testing.T) {
	t.Parallel()
	w := start(t)
	const email = "member@alpha.example"
	w.withApp(t, email)
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, `update organizations set federated_since = $1 where id = $2`, db.Time(tx.Now()), string(w.alpha.ID))
		return err
	})
	p := w.alpha.browsers[directory.Administrator].Get(w.secondStepOf(t, directory.Member))
	idptest.Want(t, p, idptest.Status(200), idptest.Field("reason"))
	letters := len(w.LettersTo(t, email))
	p = p.Form("main").Fill("reason", "Left the company's telephone in a train").Submit("")
	idptest.Want(t, p, idptest.Status(200), idptest.Path(strings.TrimSuffix(w.secondStepOf(t, directory.Member), "/second-step")))
	if f := w.factors(t, email); f.Any() {
		t.Errorf("left are %+v", f)
	}
	got := w.LettersTo(t, email)
	if len(got) != letters+1 {
		t.Fatalf("%d letters, want the one that says so", len(got)-letters)
	}
	catalogue, err := i18n.Load()
	if err != nil {
		t.Fatal(err)
	}
	if said := catalogue.In("en").Text("mail.second_step_reset.federated"); !strings.Contains(strings.Join(strings.Fields(got[0].Text), " "), said) {
		t.Errorf("the letter does not say %q: %s", said, got[0].Text)
	}
}

// R-TEN-06: nobody resets somebody above them, or themselves; helpdesk resets members only;
// nobody resets people of other organizations. The server refuses it whatever the page shows.
func TestREC8WhoMayResetWhom(t *testing.T) {
	t.Parallel()
	w := start(t)
	reason := url.Values{"reason": {"Asked in person"}, "confirmed": {"yes"}}
	allowed := map[directory.Role][]directory.Role{
		directory.Owner:         directory.Roles,
		directory.Administrator: {directory.Administrator, directory.Helpdesk, directory.Auditor, directory.Member},
		directory.Helpdesk:      {directory.Member},
	}
	for _, whom := range directory.Roles {
		email := "other-" + string(whom) + "@alpha.example"
		w.Join(t, w.alpha.Organization, email, "Other "+string(whom), whom)
		path := "/o/alpha/admin/people/" + w.idOf(t, w.alpha.ID, "users", email) + "/second-step"
		for by, b := range w.alpha.browsers {
			if !w.factors(t, email).Any() {
				w.withApp(t, email)
			}
			may := slices.Contains(allowed[by], whom)
			want := 403
			if may {
				want = 200
			}
			if p := b.Get(strings.TrimSuffix(path, "/second-step")); slices.Contains(p.Links(), path) != may {
				t.Errorf("%s is offered to reset %s: %v", by, whom, !may)
			}
			if p := b.Get(path); p.Status != want {
				t.Errorf("%s opens the page of %s: %d, want %d", by, whom, p.Status, want)
			}
			if p := b.Post(path, reason); p.Status != want {
				t.Errorf("%s resets %s: %d, want %d: %s", by, whom, p.Status, want, p.Text())
			}
			if gone := !w.factors(t, email).Any(); gone != may {
				t.Errorf("%s resets %s: the second step is gone: %v", by, whom, gone)
			}
		}
	}
	owner, _ := w.withApp(t, "owner@alpha.example")
	w.withApp(t, "member@alpha.example")
	before := w.rows(t, w.alpha.ID)
	if p := owner.Get(w.secondStepOf(t, directory.Owner)); p.Has("form", "id", "main") || !p.Says("This is you") {
		t.Errorf("an owner is offered to reset their own: %s", p.Text())
	}
	if p := owner.Post(w.secondStepOf(t, directory.Owner), reason); p.Status != 409 {
		t.Errorf("an owner resets their own: %d", p.Status)
	}
	neighbour := w.beta.browsers[directory.Owner]
	if p := neighbour.Post(w.secondStepOf(t, directory.Member), reason); !atDoor(p, "alpha") {
		t.Errorf("beta's owner is led to %s", p.URL)
	}
	under := strings.Replace(w.secondStepOf(t, directory.Member), "/o/alpha/", "/o/beta/", 1)
	if p := neighbour.Post(under, reason); p.Status != 404 {
		t.Errorf("alpha's member under beta: %d", p.Status)
	}
	if after := w.rows(t, w.alpha.ID); after != before || !w.factors(t, "member@alpha.example").Any() {
		t.Errorf("alpha changed:\n%s\n--- before:\n%s", after, before)
	}
}

// A reset needs a reason of one line, which is kept in the form when it is refused.
func TestREC8AResetWantsAReason(t *testing.T) {
	t.Parallel()
	w := start(t)
	const email = "member@alpha.example"
	w.withApp(t, email)
	b, path := w.alpha.browsers[directory.Owner], w.secondStepOf(t, directory.Member)
	for _, reason := range []string{"", "   ", strings.Repeat("é", 301), "...", "turned \u202e around", "a\u0007b"} {
		p := seen(t, b.Get(path).Form("main").Fill("reason", reason).Submit(""), 422)
		idptest.Want(expect.Case(t, "%q", reason), p,
			idptest.Says("directory.reason", "Most", "300"), idptest.Element("input", "aria-invalid", "true"), idptest.Input("reason", reason))
	}
	if f := w.factors(t, email); len(f.Apps) != 1 || len(w.events(t, w.alpha.ID, "second_step.reset")) != 0 {
		t.Fatalf("something was reset: %+v", f)
	}
	long := strings.Repeat("é", 300)
	seen(t, b.Get(path).Form("main").Fill("reason", long).Submit(""), 200)
	if e := w.events(t, w.alpha.ID, "second_step.reset"); len(e) != 1 || e[0].After["reason"] != long {
		t.Errorf("recorded as %+v", e)
	}
}

// There is nothing to reset for people who have no second step, or are deactivated or deleted;
// and of eight resets at once, one succeeds.
func TestREC8AResetHappensOnce(t *testing.T) {
	t.Parallel()
	w := start(t)
	const email = "member@alpha.example"
	b, path := w.alpha.browsers[directory.Owner], w.secondStepOf(t, directory.Member)
	refused := func(why string) {
		t.Helper()
		if p := seen(t, b.Get(path), 200); p.Has("form", "id", "main") || !p.Says(why) {
			t.Errorf("the page says %s, not %s", p.Text(), why)
		}
		if p := seen(t, b.Post(path, url.Values{"reason": {"Lost"}}), 409); strings.Count(p.Text(), why) != 1 {
			t.Errorf("the form says %s", p.Text())
		}
	}
	refused(idptest.Sentence(t, "signin.nothing_to_reset"))
	id := directory.UserID(w.idOf(t, w.alpha.ID, "users", email))
	w.withApp(t, email)
	for i, done := range []func(context.Context, *db.Tx, directory.Actor, directory.OrgID, directory.UserID) error{directory.Deactivate, directory.Delete} {
		w.Update(t, func(ctx context.Context, tx *db.Tx) error { return done(ctx, tx, directory.Operator(), w.alpha.ID, id) })
		refused([]string{"deactivated", "deleted"}[i])
	}
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		return errors.Join(directory.Restore(ctx, tx, directory.Operator(), w.alpha.ID, id), directory.Reactivate(ctx, tx, directory.Operator(), w.alpha.ID, id))
	})
	letters := len(w.LettersTo(t, email))
	var all sync.WaitGroup
	pages := make([]*idptest.Page, 8)
	for i := range pages {
		all.Go(func() {
			pages[i] = b.Post(path, url.Values{"reason": {fmt.Sprint("Caller ", i)}, "confirmed": {"yes"}})
		})
	}
	all.Wait()
	count := map[int]int{}
	for _, p := range pages {
		count[p.Status]++
	}
	if count[200] != 1 || count[409] != len(pages)-1 {
		t.Errorf("the answers are %v", count)
	}
	if n := len(w.LettersTo(t, email)) - letters; n != 1 || len(w.events(t, w.alpha.ID, "second_step.reset")) != 1 {
		t.Errorf("%d letters, %d events", n, len(w.events(t, w.alpha.ID, "second_step.reset")))
	}
}

// The list of people without a second step is paged and searched like the list of all people,
// and shows nobody else.
func TestPeopleWithoutASecondStepAreListed(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.withApp(t, "helpdesk@alpha.example")
	const many = 120
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		for i := range many {
			id := secret.NewID("usr")
			if _, err := tx.Exec(ctx, `
				insert into users (org_id, id, email, email_key, display_name, search_key, role, language, time_zone, generation, created_at)
				select org_id, $1, $2, $2, $3, $4, 'member', 'en', '', 0, created_at from users where org_id = $5 and id = $6`,
				id, fmt.Sprintf("p%03d@alpha.example", i), fmt.Sprintf("Ämne %03d", i),
				naming.SearchKey(fmt.Sprintf("Ämne %03d", i), ""), string(w.alpha.ID), w.alpha.user); err != nil {
				return err
			}
			// With the password of another row, which verifies nothing.
			if _, err := tx.Exec(ctx, `
				insert into passwords (org_id, user_id, hash, set_at, failures)
				select org_id, $1, hash, set_at, failures from passwords where org_id = $2 and user_id = $3`, id, string(w.alpha.ID), w.alpha.user); err != nil {
				return err
			}
		}
		return nil
	})
	dbtest.ByHand(t, w.DB)
	for role, b := range w.alpha.browsers {
		if !role.ReadsConsole() {
			continue
		}
		for query, want := range map[string]int{"": many + 4, "&q=AMNE+00": 10, "&q=owner": 1, "&q=helpdesk": 0, "&q=waiting": 0} {
			lines := map[string]bool{}
			for path := "/o/alpha/admin/people?second=none&state=active&way=password" + query; path != ""; {
				p := seen(t, b.Get(path), 200)
				path = ""
				for _, link := range p.Links() {
					switch {
					case strings.Contains(link, "before=") && !strings.HasPrefix(link, "?"):
						path = link
					case strings.Contains(link, "/admin/people/usr_"), strings.Contains(link, "/admin/invitations/"):
						if lines[link] {
							t.Errorf("%s: %s twice", query, link)
						}
						lines[link] = true
					}
				}
			}
			if len(lines) != want {
				t.Errorf("%s, %q: %d lines, want %d", role, query, len(lines), want)
			}
		}
	}
	if n, err := signin.WithoutSecondStep(t.Context(), w.DB, w.alpha.ID); err != nil || n.People != many+4 || n.Privileged != 2 {
		t.Errorf("counted %+v, %v", n, err)
	}
	if _, err := administration.People(t.Context(), w.DB, directory.System(w.beta.ID), w.alpha.ID, administration.Query{}); !errors.Is(err, directory.ErrNotFound) {
		t.Errorf("beta's owner lists alpha's people: %v", err)
	}
}
