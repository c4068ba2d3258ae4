package web_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"parvis/internal/application"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/i18n"
	"parvis/internal/idptest"
	"parvis/internal/signin"
)

// links registers applications of an organization that are only links, which anybody may open.
func links(t *testing.T, s *idptest.Server, org directory.OrgID, names ...string) map[string]string {
	t.Helper()
	ids := map[string]string{}
	s.Update(t, func(ctx context.Context, tx *db.Tx) error {
		for _, name := range names {
			settings := application.Defaults(application.Link)
			settings.Name, settings.Address = name, "https://"+strings.ToLower(name)+".example/"
			c, _, err := application.Register(ctx, tx, directory.Operator(), "", application.Application{OrgID: org, Kind: application.Link, Settings: settings})
			if err != nil {
				return err
			}
			ids[name] = string(c.ID)
		}
		return nil
	})
	return ids
}

// opened records how often and when a person opened an application.
func opened(t *testing.T, s *idptest.Server, org directory.OrgID, user, id string, uses int, at time.Time) {
	t.Helper()
	s.Update(t, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, `insert into client_uses (org_id, client_id, user_id, uses, used_at) values ($1, $2, $3, $4, $5)`,
			string(org), id, user, uses, db.Time(at))
		return err
	})
}

// connect gives an application of the installation an address.
func connect(t *testing.T, s *idptest.Server, id string) {
	t.Helper()
	s.Update(t, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, `update clients set settings = replace(settings, '{"name"', '{"address":"https://`+id+`.example/","name"') where id = $1`, id)
		return err
	})
}

func userID(t *testing.T, s *idptest.Server, email string) (id string) {
	t.Helper()
	if found, err := s.DB.One(t.Context(), db.Into(&id), `select id from users where email = $1`, email); err != nil || !found {
		t.Fatalf("no %s: %v", email, err)
	}
	return id
}

// orderOf returns the names in the order in which a text has them. Each must be there once.
func orderOf(t *testing.T, text string, names ...string) []string {
	t.Helper()
	for _, name := range names {
		if n := strings.Count(text, name); n != 1 {
			t.Errorf("%s stands %d times in %s", name, n, text)
		}
	}
	slices.SortFunc(names, func(a, b string) int { return strings.Index(text, a) - strings.Index(text, b) })
	return names
}

// The line of the seed: Collaborate / Communicate first, then what the person used most.
func TestHomeOrdersApplicationsByUse(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Meridian Freight", "meridian")
	ana := s.Join(t, org, "ana@meridian.example", "Ana Duarte", directory.Member)
	lin := s.Join(t, org, "lin@meridian.example", "Lin Wei", directory.Member)
	ids := links(t, s, org.ID, "Wiki", "Books", "Zoo")
	connect(t, s, "collaborate")
	connect(t, s, "architect")
	all := []string{"Collaborate / Communicate", "Architect", "Books", "Wiki", "Zoo"}
	tiles := func(b *idptest.Browser) string {
		text := b.Get("/o/meridian/home").Text()
		if _, after, found := strings.Cut(text, idptest.Sentence(t, "web.home.lately")); found {
			text = after[strings.Index(after, "Collaborate"):]
		}
		return text
	}
	expect.Equal(t, "the order for a person without a habit", strings.Join(orderOf(t, tiles(ana), slices.Clone(all)...), ", "), strings.Join(all, ", "))
	idptest.Want(t, ana.Get("/o/meridian/home"), idptest.SaysNot("web.home.lately"), idptest.Shows("Architect Call flows and prompts"))

	user := userID(t, s, "ana@meridian.example")
	opened(t, s, org.ID, user, ids["Zoo"], 9, s.Clock.Now().Add(-48*time.Hour))
	opened(t, s, org.ID, user, ids["Books"], 2, s.Clock.Now().Add(-time.Hour))
	opened(t, s, org.ID, user, "architect", 3, s.Clock.Now().Add(-24*time.Hour))
	expect.Equal(t, "the order for a person with one", strings.Join(orderOf(t, tiles(ana), slices.Clone(all)...), ", "), "Collaborate / Communicate, Zoo, Architect, Books, Wiki")
	expect.Equal(t, "the order for another", strings.Join(orderOf(t, tiles(lin), slices.Clone(all)...), ", "), strings.Join(all, ", "))

	// What was opened last stands above, the last first.
	idptest.Want(t, ana.Get("/o/meridian/home"), idptest.Shows(idptest.Sentence(t, "web.home.lately")+" B Books Architect Z Zoo Collaborate"))
}

// Among a few applications nobody looks for the one that was opened last; among many there is
// a search, and what it found stands alone.
func TestHomeWithFewAndManyApplications(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Meridian Freight", "meridian")
	b := s.Join(t, org, "ana@meridian.example", "Ana Duarte", directory.Member)
	idptest.Want(expect.Case(t, "none"), b.Get("/o/meridian/home"), idptest.Says("web.home.none"), idptest.SaysNot("web.home.search_button"))

	ids := links(t, s, org.ID, "Wiki", "Books", "Zoo")
	opened(t, s, org.ID, userID(t, s, "ana@meridian.example"), ids["Zoo"], 1, s.Clock.Now())
	idptest.Want(expect.Case(t, "three"), b.Get("/o/meridian/home?q=zoo"),
		idptest.SaysNot("web.home.none"), idptest.SaysNot("web.home.lately"), idptest.SaysNot("web.home.search_button"), idptest.Shows("Books"))

	links(t, s, org.ID, "Atlas", "Basin", "Canal", "Delta", "Estuary", "Fjord")
	idptest.Want(expect.Case(t, "nine"), b.Get("/o/meridian/home"), idptest.Says("web.home.lately"), idptest.Says("web.home.search_button"), idptest.Says("web.home.account"))
	idptest.Want(expect.Case(t, "one of nine"), b.Get("/o/meridian/home?q=FJ"),
		idptest.Shows("Fjord"), idptest.ShowsNot("Basin"), idptest.SaysNot("web.home.lately"), idptest.SaysNot("web.home.account"), idptest.Says("web.home.all"))
	idptest.Want(expect.Case(t, "none of nine"), b.Get("/o/meridian/home?q=river"), idptest.Says("web.home.none_found", "Query", "river"), idptest.SaysNot("web.home.none"))
}

func TestHomeGreetsByTheClockOfThePerson(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t) // it is 9 o'clock in London
	org := s.Organization(t, "Meridian Freight", "meridian")
	b := s.Join(t, org, "ana@meridian.example", "Ana Duarte", directory.Member)
	greets := func(zone, language, key string) {
		t.Helper()
		s.Update(t, func(ctx context.Context, tx *db.Tx) error {
			_, err := tx.Exec(ctx, `update users set time_zone = $1, language = $2 where org_id = $3`, zone, language, string(org.ID))
			return err
		})
		p := b.Get("/o/meridian/home")
		if want := idptest.SentenceIn(t, i18n.Tag(language), key, "Name", "Ana Duarte"); !p.Says(want) {
			t.Errorf("%q in %s is not greeted with %q: %s", zone, language, want, p.Text())
		}
	}
	for zone, key := range map[string]string{
		"":                   "web.home.greeting",
		"nowhere":            "web.home.greeting",
		"America/New_York":   "web.home.night",
		"America/Sao_Paulo":  "web.home.morning",
		"Europe/London":      "web.home.morning",
		"Asia/Kolkata":       "web.home.afternoon",
		"Asia/Tokyo":         "web.home.evening",
		"Pacific/Kiritimati": "web.home.night", // 23 o'clock of the same day
	} {
		greets(zone, "en", key)
	}
	greets("Pacific/Kiritimati", "fr", "web.home.night")
	b.SetCookie("__Host-parvis-zone", "Asia/Kolkata")
	greets("", "en", "web.home.afternoon")
	greets("Asia/Tokyo", "en", "web.home.evening")
}

// What waits for the person is one line: the most urgent.
func TestHomeSaysWhatWaits(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Meridian Freight", "meridian")
	b := s.Join(t, org, "ana@meridian.example", "Ana Duarte", directory.Administrator)
	home := func(what string, checks ...idptest.Check) {
		t.Helper()
		idptest.Want(expect.Case(t, "%s", what), b.Get("/o/meridian/home"), checks...)
	}
	second, email := idptest.Says("web.home.second_step_next"), idptest.Says("web.home.email", "Email", "duarte@meridian.example")
	home("nothing", idptest.NoElement("p", "class", "waits"))

	idptest.Want(t, b.Get("/o/meridian/account/email").Form("main").Fill("email", "duarte@meridian.example").Submit(""), idptest.Status(200))
	home("an address", email, idptest.Link("/o/meridian/account/email"))

	from := s.Clock.Now().AddDate(0, 0, 9)
	s.SecondStep(t, org, signin.SecondStepRules{RequiredFrom: from, Tolerance: 1})
	home("a deadline comes first", idptest.Says("web.home.second_step_from", "When", "1 December 2026"), idptest.Link("/o/meridian/account/security/add"),
		idptest.SaysNot("web.home.email", "Email", "duarte@meridian.example"))
	s.SecondStep(t, org, signin.SecondStepRules{Privileged: true, RequiredFrom: from, Tolerance: 1})
	home("the role needs it already", second)

	addApp(t, s, b, "Phone")
	home("done: the address is next", email, idptest.SaysNot("web.home.second_step_next"))
	by(t, s, `update email_changes set replaced_at = created_at where org_id = $1`, org.ID)
	home("no change any more: codes are last", idptest.Says("web.codes.missing"), idptest.Link("/o/meridian/account/security/codes"))
	makeCodes(t, b)
	home("nothing is left", idptest.NoElement("p", "class", "waits"))

	lin := s.Join(t, org, "lin@meridian.example", "Lin Wei", directory.Member)
	idptest.Want(expect.Case(t, "a member"), lin.Get("/o/meridian/home"), idptest.Says("web.home.second_step_from", "When", "1 December 2026"))
	by(t, s, `update organizations set federated_since = created_at where id = $1`, org.ID)
	idptest.Want(expect.Case(t, "a provider answers for the factors"), lin.Get("/o/meridian/home"), idptest.NoElement("p", "class", "waits"))
}

// by changes the rows of an organization by hand.
func by(t *testing.T, s *idptest.Server, statement string, org directory.OrgID) {
	t.Helper()
	s.Update(t, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, statement, string(org))
		return err
	})
}
