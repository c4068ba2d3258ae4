package web_test

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"parvis/internal/app"
	"parvis/internal/credential"
	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/idptest"
	"parvis/internal/session"
	"parvis/internal/signin"
)

// change changes a password in the user's own account.
func change(b *idptest.Browser, org, current, password string) *idptest.Page {
	return b.Get("/o/"+org+"/account/password").Form("main").
		Fill("current_password", current).Fill("password", password).Fill("repetition", password).Submit("")
}

// subjects returns the subjects of the letters to an address, the newest first.
func subjects(t *testing.T, s *idptest.Server, email string) string {
	t.Helper()
	var all []string
	for _, l := range s.LettersTo(t, email) {
		all = append(all, l.Subject)
	}
	return strings.Join(all, "\n")
}

// demand makes a user's next sign-in create a new password.
func demand(t *testing.T, s *idptest.Server, email string) {
	t.Helper()
	s.Update(t, func(ctx context.Context, tx *db.Tx) error {
		var org directory.OrgID
		var id directory.UserID
		if _, err := tx.One(ctx, db.Into(&org, &id), `select org_id, id from users where email_key = $1`, email); err != nil {
			return err
		}
		_, err := credential.DemandChange(ctx, tx, directory.Operator(), org, id)
		return err
	})
}

// Journeys 8.2.
func TestPWD5OnlyTheProperChangeWorksAndEndsTheOthers(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Alpha Works", "alpha")
	const email = "user-a@alpha.example"
	b := s.Join(t, org, email, "A", directory.Member)
	two, three := s.Browser(t), s.Browser(t)
	for _, other := range []*idptest.Browser{two, three} {
		signIn(other, "/o/alpha", email, idptest.Password)
	}
	link := resetLink(t, s, email)
	page := b.Get("/o/alpha/account/password")
	for _, want := range []string{idptest.Sentence(t, "web.change.since"), idptest.Sentence(t, "credential.rule.history", "Count", 10), idptest.Sentence(t, "web.change.what")} {
		if !page.Says(want) {
			t.Errorf("the page does not say %q: %s", want, page.Text())
		}
	}
	thief := two.Copy() // has a session and no password
	const path = "/o/alpha/account/password"
	for what, v := range map[string]url.Values{
		"without":     {"password": {another}, "repetition": {another}},
		"with empty":  {"current_password": {""}, "password": {another}, "repetition": {another}},
		"with wrong":  {"current_password": {"wrong"}, "password": {another}, "repetition": {another}},
		"with itself": {"current_password": {another}, "password": {another}, "repetition": {another}},
		// What is wrong with a new password is told only to somebody who gives the current one:
		// not even the history can be asked.
		"to the old": {"current_password": {"wrong"}, "password": {idptest.Password}, "repetition": {idptest.Password}},
	} {
		idptest.Want(expect.Case(t, "%s the current one", what), thief.Post(path, v),
			idptest.Status(422), idptest.Says("signin.current_wrong"),
			idptest.SaysNot("credential.reason.current"), idptest.SaysNot("credential.reason.history"))
	}
	if p := thief.Post(path, url.Values{"current_password": {idptest.Password}, "password": {another}, "repetition": {another}}); p.Status != 429 || p.Header.Get("Retry-After") == "" {
		t.Errorf("the sixth guess: %d", p.Status)
	}
	for what, v := range map[string]url.Values{
		"another field": {"current_password": {idptest.Password}, "password": {another}, "repetition": {another}, "user": {"usr_1"}},
		"renamed":       {"current": {idptest.Password}, "new_password": {another}},
	} {
		if p := b.Post(path, v); p.Status != 400 {
			t.Errorf("%s: %d", what, p.Status)
		}
	}
	// The owner's own browser is not slowed by the thief's guesses.
	form := b.Get(path).Form("main")
	p := form.Fill("current_password", idptest.Password).Fill("password", "short").Fill("repetition", "short").Submit("")
	idptest.Want(expect.Case(t, "a bad new one"), p,
		idptest.Status(422), idptest.Says("credential.reason.digit"), idptest.SourceNot(idptest.Password), idptest.SourceNot(`"short"`))
	p = p.Form("main").Fill("current_password", idptest.Password).Fill("password", another).Fill("repetition", idptest.Password).Submit("")
	idptest.Want(t, p, idptest.Status(422), idptest.Says("signin.repetition"))
	before := b.Cookie("__Host-parvis")
	form = p.Form("main").Fill("current_password", idptest.Password).Fill("password", another).Fill("repetition", another)
	p = form.Submit("")
	idptest.Want(t, p, idptest.URI(path+"?saved"), idptest.Says("web.change.saved"))
	if b.Cookie("__Host-parvis") == before {
		t.Error("the cookie is still the one from before")
	}
	for what, other := range map[string]*idptest.Browser{"another session": two, "a third": three, "the thief's": thief} {
		if at(other, "alpha") {
			t.Errorf("%s lives on", what)
		}
	}
	if p := s.Browser(t).Get(link); p.Status != 410 {
		t.Errorf("the reset link lives on: %d", p.Status)
	}
	s.Clock.Advance(session.SentTwice)
	if p := form.Submit(""); p.Status != 422 || !at(b, "alpha") { // sent twice, too late to count as one
		t.Errorf("sent twice: %d", p.Status)
	}
	if got := subjects(t, s, email); strings.Count(got, idptest.Sentence(t, "mail.password_changed.subject", "Organization", "Alpha Works")) != 1 {
		t.Errorf("letters: %s", got)
	}
	if log := dbtest.Dump(t, s.DB, "audit_events"); !strings.Contains(log, "password.changed") || strings.Contains(log, another) {
		t.Error("the audit log must say that it was changed, and not to what")
	}
	if p := signIn(s.Browser(t), "/o/alpha", email, another); p.URL.Path != "/o/alpha/home" {
		t.Errorf("the new password: %d", p.Status)
	}
}

// Every door refuses the same passwords for the same reasons, and stores nothing.
func TestPWD3EveryDoorRefusesTheSame(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Alpha Works", "alpha")
	const email = "user-a@alpha.example"
	in := s.Join(t, org, email, "Berenike", directory.Member)
	invitation := s.Invite(t, org, "user-b@alpha.example", "Berenike", directory.Member)
	reset := resetLink(t, s, email)
	demand(t, s, email)
	asked := signIn(s.Browser(t), "/o/alpha", email, idptest.Password)
	doors := map[string]func(password string) *idptest.Page{
		"invitation": func(password string) *idptest.Page { return create(s.Browser(t).Get(invitation), password) },
		"reset":      func(password string) *idptest.Page { return create(s.Browser(t).Get(reset), password) },
		"asked":      func(password string) *idptest.Page { return create(asked, password) },
		"change":     func(password string) *idptest.Page { return change(in, "alpha", idptest.Password, password) },
	}
	told := regexp.MustCompile(`(?s)<div class="error" id="password-error">.*?</div>`)
	before := dbtest.Dump(t, s.DB, "passwords")
	for _, bad := range []string{"Sh0rt!", "nodigits at All!", "no capital 1!", "NO SMALL 1!", "NoSpecial1x", "Password1!", "aLPHA WORKS 2026!", "Berenike 2026!",
		"Parvis2026!", "x", "\tTabbed in 1 go!", strings.Repeat("Aa1! ", 81)} {
		want := ""
		for door, through := range doors {
			p := through(bad)
			got := told.FindString(p.Body)
			if want == "" {
				want = got
			}
			if p.Status != 422 || got == "" || got != want {
				t.Errorf("%s refuses %q with %d %s, others with %s", door, bad, p.Status, got, want)
			}
		}
	}
	for door, through := range doors { // one's own last passwords, at every door that compares with them
		if door == "invitation" {
			continue
		}
		if p := through(idptest.Password); p.Status != 422 || !strings.Contains(told.FindString(p.Body), "last 10 passwords") {
			t.Errorf("%s takes the last password: %d", door, p.Status)
		}
	}
	for path, v := range map[string]url.Values{
		reset:                        {"new": {another}, "repetition": {another}},
		asked.URL.Path:               {"password1": {another}, "repetition": {another}},
		"/o/alpha/account/password":  {"current_password": {idptest.Password}, "password_new": {another}},
		reset + "?password=" + "abc": {"repetition": {another}, "confirm": {another}},
	} {
		if p := in.Post(path, v); p.Status != 400 {
			t.Errorf("renamed fields at %s: %d", path, p.Status)
		}
	}
	if dbtest.Dump(t, s.DB, "passwords") != before {
		t.Error("something was stored")
	}
}

// Eleven changes, then the passwords again in reverse order: each door refuses the last ten and
// accepts the one before them (R-PWD-07).
func TestPWD7HistoryWalkedBackElevenChangesThroughEveryDoor(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	const email = "user-a@alpha.example"
	b := s.Join(t, s.Organization(t, "Alpha Works", "alpha"), email, "A", directory.Member)
	current := idptest.Password
	set := []string{current}
	for i := range 11 {
		next := fmt.Sprintf("%s %d", another, i)
		var p *idptest.Page
		switch i % 3 {
		case 0:
			p = change(b, "alpha", current, next)
		case 1:
			s.Clock.Advance(25 * time.Hour) // only this many letters are sent in a day
			p = create(b.Get(resetLink(t, s, email)), next)
		case 2:
			demand(t, s, email)
			b = s.Browser(t)
			p = create(signIn(b, "/o/alpha", email, current), next)
		}
		if p.Status != 200 || !at(b, "alpha") {
			t.Fatalf("change %d: %d %s", i, p.Status, p.Text())
		}
		current = next
		set = append(set, next)
	}
	s.Clock.Advance(25 * time.Hour)
	link := resetLink(t, s, email)
	for back, old := range set[2:] {
		for door, p := range map[string]*idptest.Page{"change": change(b, "alpha", current, old), "reset": create(s.Browser(t).Get(link), old)} {
			idptest.Want(expect.Case(t, "%s takes the password number %d of the last ten", door, back), p,
				idptest.Status(422), idptest.Says("credential.reason.history", "Count", 10))
		}
	}
	if p := create(s.Browser(t).Get(link), set[1]); p.Status != 200 {
		t.Errorf("the eleventh back is refused: %d %s", p.Status, p.Text())
	}
}

// Somebody who changes a password often enough must not get the first one back within a day;
// people who reset it, or have to create another, are not kept waiting.
func TestAVoluntaryChangeWaitsWhereTheHistoryIsFull(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	const email = "user-a@alpha.example"
	b := s.Join(t, s.Organization(t, "Alpha Works", "alpha"), email, "A", directory.Member)
	current, n := idptest.Password, 0
	next := func() string { n++; return fmt.Sprintf("%s %d", another, n) }
	for range 50 {
		typed := next()
		idptest.Want(t, change(b, "alpha", current, typed), idptest.Status(200))
		current = typed
	}
	s.Clock.Advance(time.Minute)
	p := change(b, "alpha", current, next())
	idptest.Want(t, p, idptest.Status(429), idptest.Says("credential.changed_often", "Count", 50, "Wait", "1 day"))
	if p.Header.Get("Retry-After") == "" {
		t.Error("it does not say when")
	}
	demand(t, s, email)
	b = s.Browser(t)
	typed := next()
	idptest.Want(t, create(signIn(b, "/o/alpha", email, current), typed), idptest.Status(200), idptest.Path("/o/alpha/home"))
	for range 2 {
		s.LettersTo(t, email) // one sweep does not send them all
	}
	idptest.Want(t, create(s.Browser(t).Get(resetLink(t, s, email)), next()), idptest.Status(200), idptest.Path("/o/alpha/home"))
}

// One keyboard writes é as one character, another as two: it is the same password.
func TestRepetitionIsComparedAsThePasswordIs(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	const email, composed, decomposed = "user-a@alpha.example", "caf\u00e9 au lait \u00e0 7 heures!", "cafe\u0301 au lait a\u0300 7 heures!"
	org := s.Organization(t, "Alpha Works", "alpha")
	b := s.Browser(t)
	form := func(p *idptest.Page, password, repetition string) *idptest.Page {
		return p.Form("main").Fill("password", password).Fill("repetition", repetition).Submit("")
	}
	invitation := b.Get(s.Invite(t, org, email, "A", directory.Member))
	idptest.Want(t, form(invitation, "Caf\u00e9 au lait 1!", "Cafe\u0301 au lait 1!"), idptest.Path("/o/alpha/home"))
	p := b.Get("/o/alpha/account/password")
	p = p.Form("main").Fill("current_password", "Cafe\u0301 au lait 1!").Fill("password", "C"+composed).Fill("repetition", "C"+decomposed).Submit("")
	idptest.Want(t, p, idptest.Status(200))
	idptest.Want(t, form(s.Browser(t).Get(resetLink(t, s, email)), "D"+decomposed, "D"+composed), idptest.Path("/o/alpha/home"))
	idptest.Want(t, form(s.Browser(t).Get(resetLink(t, s, email)), "E"+decomposed, "F"+composed), idptest.Status(422), idptest.Says("signin.repetition"))
}

// Somebody who guesses addresses learns nothing from what the answers cost, not even while
// every stored password still has an older cost than a new one. One hash costs 32 MiB here, so
// the memory allocated shows which cost was spent.
func TestENU1NobodyCostsWhatTheStoredPasswordsCost(t *testing.T) {
	s := idptest.Start(t)
	s.Join(t, s.Organization(t, "Alpha Works", "alpha"), "user-a@alpha.example", "A", directory.Member)
	s.Update(t, func(ctx context.Context, tx *db.Tx) error {
		from := fmt.Sprintf("$%s,", idptest.CheapHash)
		n, err := tx.Exec(ctx, `update passwords set hash = replace(hash, $1, '$m=32768,t=1,p=1,')`, from)
		if err == nil && n != 1 {
			err = fmt.Errorf("%d passwords", n)
		}
		return err
	})
	if err := credential.SweepCosts(t.Context(), s.DB); err != nil {
		t.Fatal(err)
	}
	for _, email := range []string{"user-a@alpha.example", "nobody@alpha.example", "nobody@elsewhere.example"} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		idptest.Want(t, signIn(s.Browser(t), "/o/alpha", email, another), idptest.Status(422), idptest.Says("signin.failed"))
		runtime.ReadMemStats(&after)
		if mib := (after.TotalAlloc - before.TotalAlloc) >> 20; mib < 32 || mib > 48 {
			t.Errorf("%s: %d MiB, want one hash of 32", email, mib)
		}
	}
}

// Eight browsers change one password at once, twelve times over: each time one of them
// succeeds, and the history holds exactly the passwords that were in force, in order.
func TestPWD7HistoryUnderEightConcurrentChanges(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	const email = "user-a@alpha.example"
	s.Join(t, s.Organization(t, "Alpha Works", "alpha"), email, "A", directory.Member)
	browsers := make([]*idptest.Browser, 8)
	for i := range browsers {
		browsers[i] = s.Browser(t)
	}
	current := idptest.Password
	set := []string{current}
	for round := range 12 {
		s.Clock.Advance(2 * time.Hour) // those who lost are slowed down, and that is forgotten by now
		forms, pages := make([]*idptest.Form, len(browsers)), make([]*idptest.Page, len(browsers))
		next := func(i int) string { return fmt.Sprintf("%s %d of %d", another, i, round) }
		for i, b := range browsers {
			if !at(b, "alpha") {
				signIn(b, "/o/alpha", email, current)
			}
			forms[i] = b.Get("/o/alpha/account/password").Form("main").
				Fill("current_password", current).Fill("password", next(i)).Fill("repetition", next(i))
		}
		var wg sync.WaitGroup
		for i := range forms {
			wg.Go(func() { pages[i] = forms[i].Submit("") })
		}
		wg.Wait()
		winner := -1
		for i, p := range pages {
			switch {
			case p.URL.RawQuery == "saved" && winner < 0:
				winner = i
			case p.Status == 422 || p.Status == 409 || p.Status == 200 && strings.HasPrefix(p.URL.Path, "/sign-in/"): // was told so, or was signed out meanwhile
			case p.Status == 200 && p.URL.Path == "/o/alpha": // only secrets had been typed, so there is no form to return to
			default:
				t.Fatalf("round %d: %d %s: %s", round, p.Status, p.URL, p.Text())
			}
		}
		if winner < 0 {
			t.Fatalf("round %d: nobody changed the password", round)
		}
		current = next(winner)
		set = append(set, current)
	}
	s.Clock.Advance(25 * time.Hour) // within a day more than ten are refused
	b := s.Browser(t)
	signIn(b, "/o/alpha", email, current)
	for _, old := range set[len(set)-10:] {
		idptest.Want(expect.Case(t, "%q is taken again", old), change(b, "alpha", current, old),
			idptest.Status(422), idptest.Says("credential.reason.history", "Count", 10))
	}
	if p := change(b, "alpha", current, set[len(set)-11]); p.URL.RawQuery != "saved" {
		t.Errorf("the eleventh back is refused: %d %s", p.Status, p.Text())
	}
}

// Each change loses races on PostgreSQL against the others, and is run again.
func TestTwelvePeopleChangeTheirPasswordsAtOnce(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Alpha Works", "alpha")
	forms, pages := make([]*idptest.Form, 12), make([]*idptest.Page, 12)
	for round := range 3 {
		for i := range forms {
			b := s.Join(t, org, fmt.Sprintf("p%d-%d@alpha.example", round, i), "A", directory.Member)
			forms[i] = b.Get("/o/alpha/account/password").Form("main").
				Fill("current_password", idptest.Password).Fill("password", another).Fill("repetition", another)
		}
		var wg sync.WaitGroup
		for i := range forms {
			wg.Go(func() { pages[i] = forms[i].Submit("") })
		}
		wg.Wait()
		for _, p := range pages {
			idptest.Want(t, p, idptest.Status(200), idptest.Path("/o/alpha/account/password"))
		}
	}
}

// An administrator demanded a new password: the old one is proved, and opens only the page that
// replaces it (journeys 9.2, R-PWD-09, RST-7).
func TestAskedPasswordIsCreatedAtTheNextSignIn(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	const email = "user-a@alpha.example"
	elsewhere := s.Join(t, s.Organization(t, "Alpha Works", "alpha"), email, "A", directory.Member)
	demand(t, s, email)

	b := s.Browser(t)
	page := b.Get("/o/alpha/account/sessions").Form("main").Fill("email", email).Fill("password", "wrong").Submit("")
	idptest.Want(t, page, idptest.Status(422), idptest.SaysNot("web.asked.why")) // a wrong password does not learn of the demand
	sent := page.Form("main").Fill("password", idptest.Password)
	page = sent.Submit("")
	idptest.Want(t, page,
		idptest.Status(200), idptest.PathBegins("/sign-in/att_"), idptest.Says("web.asked.why", "Organization", "Alpha Works"),
		idptest.Says("credential.rule.history", "Count", 10), idptest.NoElement("input", "autocomplete", "current-password"))
	step := page.URL.Path
	for _, path := range []string{"/o/alpha/home", "/o/alpha/account/password"} {
		if p := b.Get(path); p.URL.Path == path {
			t.Errorf("%s is open before the new password", path)
		}
	}
	// Forms of other steps, of no step, and a half-filled form of this step lead back to this
	// step.
	for what, v := range map[string]url.Values{
		"signing in":  {"email": {email}, "password": {idptest.Password}},
		"both":        {"email": {email}, "password": {another}, "repetition": {another}},
		"half of it":  {"password": {another}},
		"nothing":     {},
		"elsewhere":   {"organization": {"alpha"}},
		"the proof":   {"email": {email}, "password": {idptest.Password}, "organization": {"alpha"}},
		"a language":  {"do": {"language"}, "language": {"en"}},
		"no password": {"password": {""}, "repetition": {""}},
	} {
		p := b.Post(step, v)
		want := map[bool]int{true: 422, false: 200}[what == "no password"]
		idptest.Want(expect.Case(t, "%s", what), p,
			idptest.Status(want), idptest.Path(step), idptest.Says("web.asked.why", "Organization", "Alpha Works"),
			idptest.NoElement("input", "name", "email"))
	}
	if p := s.Browser(t).Get(step); p.Status != 410 {
		t.Errorf("in another browser: %d", p.Status)
	}
	idptest.Want(expect.Case(t, "the same password again"), create(page, idptest.Password),
		idptest.Status(422), idptest.Says("credential.reason.history", "Count", 10))
	if !at(elsewhere, "alpha") {
		t.Error("an open session ended before anything was changed")
	}
	form := page.Form("main").Fill("password", another).Fill("repetition", another)
	if p := form.Submit(""); p.Status != 200 || p.URL.Path != "/o/alpha/account/sessions" {
		t.Fatalf("%d %s: %s", p.Status, p.URL, p.Text())
	}
	idptest.Want(t, form.Submit(""), idptest.Status(200), idptest.Path("/o/alpha/account/sessions")) // sent twice
	idptest.Want(t, sent.Submit(""), idptest.Status(422), idptest.NoField("repetition"))             // the step before it, with the old password
	if at(elsewhere, "alpha") {
		t.Error("a session from before lives on")
	}
	if p := signIn(s.Browser(t), "/o/alpha", email, another); p.URL.Path != "/o/alpha/home" {
		t.Errorf("it is asked for again: %d %s", p.Status, p.URL)
	}
}

func TestAskedPasswordIsCreatedOnAnotherNodeInTimeAndNotAfterTheUserBeganAnew(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	const email = "user-a@alpha.example"
	in := s.Join(t, s.Organization(t, "Alpha Works", "alpha"), email, "A", directory.Member)
	demand(t, s, email)
	begin := func() (*idptest.Browser, *idptest.Page) {
		b := s.Browser(t)
		return b, signIn(b, "/o/alpha", email, idptest.Password)
	}
	b, page := begin()
	s.Clock.Advance(signin.AttemptLifetime)
	idptest.Want(t, create(page, another), idptest.Status(200), idptest.Field("email"), idptest.NoField("repetition"))
	if at(b, "alpha") {
		t.Error("an attempt that waited for a quarter of an hour opened the door")
	}
	// Everything that the user had open has ended, and the attempt too.
	b, page = begin()
	in.Get("/o/alpha/account/sessions").Form("everywhere").Submit("everywhere")
	if p := create(page, another); p.Status != 410 || at(b, "alpha") {
		t.Errorf("after everything was ended: %d", p.Status)
	}
	// Of eight tabs that create one at once, one succeeds; the others are led to the same
	// place.
	b, page = begin()
	changed := func() int {
		return strings.Count(subjects(t, s, email), idptest.Sentence(t, "mail.password_changed.subject", "Organization", "Alpha Works"))
	}
	before := changed()
	var wg sync.WaitGroup
	for i := range 8 {
		form := page.Form("main").Fill("password", fmt.Sprint(another, i)).Fill("repetition", fmt.Sprint(another, i))
		wg.Go(func() { form.Submit("") })
	}
	wg.Wait()
	if n := changed() - before; n != 1 {
		t.Errorf("%d of 8 created the password", n)
	}
	if !at(b, "alpha") {
		t.Error("nobody is in")
	}
	s.Clock.Advance(time.Hour) // what the losers typed counted as wrong guesses
	// A reset fulfils the demand too.
	demand(t, s, email)
	if p := create(s.Browser(t).Get(resetLink(t, s, email)), another); p.URL.Path != "/o/alpha/home" {
		t.Fatalf("%d %s", p.Status, p.URL)
	}
	if p := signIn(s.Browser(t), "/o/alpha", email, another); p.URL.Path != "/o/alpha/home" {
		t.Errorf("asked for again after a reset: %s", p.URL)
	}
	// The second node continues where the first one stopped.
	demand(t, s, email)
	b = s.Browser(t)
	page = signIn(b, "/o/alpha", email, another)
	node := idptest.StartOn(t, s.DB, s.Clock, s.Keys)
	c := node.Browser(t)
	c.SetCookie("__Host-parvis", b.Cookie("__Host-parvis"))
	if p := create(c.Get(page.URL.Path), idptest.Password+"!"); p.URL.Path != "/o/alpha/home" {
		t.Errorf("at another node: %d %s", p.Status, p.URL)
	}
}

// A hundred wrong passwords in a row turn the password off, and no page shows it: sessions
// stay, one letter is sent, and a reset gives a new password.
func TestBRU4AHundredFailuresEndThePasswordAndAResetBringsANewOne(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	const email = "user-a@alpha.example"
	open := s.Join(t, s.Organization(t, "Alpha Works", "alpha"), email, "A", directory.Member)
	stranger := s.Browser(t)
	var first, last string
	for i := range credential.MostFailures {
		p := signIn(stranger, "/o/alpha", email, fmt.Sprint("guess", i))
		if p.Status != 422 {
			t.Fatalf("guess %d: %d", i, p.Status)
		}
		if last = answer(p); first == "" {
			first = last
		}
		s.Clock.Advance(15 * time.Minute)
	}
	if p := signIn(stranger, "/o/alpha", email, idptest.Password); answer(p) != first || last != first {
		t.Errorf("the right password is answered otherwise:\n%s\nwant\n%s", answer(p), first)
	}
	got := subjects(t, s, email)
	if strings.Count(got, idptest.Sentence(t, "mail.password_disabled.subject", "Organization", "Alpha Works")) != 1 || strings.Count(got, idptest.Sentence(t, "mail.guessed.subject", "Organization", "Alpha Works")) != 1 {
		t.Errorf("letters: %s", got)
	}
	if !at(open, "alpha") {
		t.Error("an open session ended")
	}
	s.Clock.Advance(time.Hour)
	page := open.Get("/o/alpha/account/password")
	idptest.Want(expect.Case(t, "the account"), page,
		idptest.Says("web.change.disabled"), idptest.LinkWith("/forgot-password?organization=alpha"))
	if p := open.Post("/o/alpha/account/password", url.Values{"current_password": {idptest.Password}, "password": {another}, "repetition": {another}}); p.Status != 422 {
		t.Errorf("a closed password changes itself: %d", p.Status)
	}
	// The letter leads to the page that asks, the organization filled in.
	letter := s.Link(t, email, "/forgot-password")
	form := s.Browser(t).Get(letter).Form("main")
	if form.Values.Get("organization") != "alpha" {
		t.Errorf("the letter leads to %s", letter)
	}
	form.Fill("email", email).Submit("")
	if p := create(s.Browser(t).Get(s.Link(t, email, "/reset/")), another); p.URL.Path != "/o/alpha/home" {
		t.Fatalf("the reset: %d %s", p.Status, p.URL)
	}
	s.Clock.Advance(time.Hour)
	if p := signIn(s.Browser(t), "/o/alpha", email, another); p.URL.Path != "/o/alpha/home" {
		t.Errorf("the new password: %d", p.Status)
	}
}

func TestOneLetterADayTellsOfGuesses(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Alpha Works", "alpha")
	b := s.Join(t, org, "user-a@alpha.example", "A", directory.Member)
	s.Provision(t, org, "named@alpha.example", "N")
	flood := func() {
		for _, email := range []string{"user-a@alpha.example", "named@alpha.example", "nobody@alpha.example"} {
			for i := range signin.PerAddress.Free {
				if p := signIn(s.Browser(t), "/o/alpha", email, fmt.Sprint("guess", i)); p.Status != 422 {
					t.Fatalf("guess %d: %d", i, p.Status)
				}
				s.Clock.Advance(2 * time.Minute)
				if i > 8 {
					s.Clock.Advance(13 * time.Minute)
				}
			}
		}
		if err := s.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	count := func() int {
		return strings.Count(subjects(t, s, "user-a@alpha.example"), idptest.Sentence(t, "mail.guessed.subject", "Organization", "Alpha Works"))
	}
	flood()
	if n := count(); n != 1 {
		t.Errorf("%d letters after the first flood", n)
	}
	s.Clock.Advance(2 * time.Hour)
	flood()
	if n := count(); n != 1 {
		t.Errorf("%d letters after a second flood of the same day", n)
	}
	s.Clock.Advance(24 * time.Hour)
	flood()
	if n := count(); n != 2 {
		t.Errorf("%d letters after a flood of the next day", n)
	}
	if n := len(s.LettersTo(t, "nobody@alpha.example")); n != 0 {
		t.Errorf("%d letters to an address that nobody has", n)
	}
	if n := len(s.LettersTo(t, "named@alpha.example")); n != 0 {
		t.Errorf("%d letters to somebody who has nothing that could be guessed", n)
	}
	if !at(b, "alpha") {
		t.Error("the person's own session ended")
	}
}

// 'This was not me', from the letter about a new browser: sessions end, the password no longer
// signs in, administrators are told, and every browser is a stranger again.
func TestDisowningClosesTheDoor(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Alpha Works", "alpha")
	const email = "user-a@alpha.example"
	s.Join(t, org, "owner@alpha.example", "Olga", directory.Owner)
	s.Join(t, org, "helpdesk@alpha.example", "Hugo", directory.Helpdesk)
	own := s.Join(t, org, email, "Ana", directory.Member)
	s.Clock.Advance(time.Hour)
	thief := s.Browser(t)
	signIn(thief, "/o/alpha", email, idptest.Password)
	link := s.Link(t, email, "/not-me/")
	s.Clock.Advance(time.Minute)
	for range 3 { // a scanner
		page := s.Browser(t).Get(link)
		idptest.Want(t, page, idptest.Status(200), idptest.Shows("Ana"), idptest.Shows(email), idptest.Shows("Alpha Works"))
	}
	if !at(own, "alpha") || !at(thief, "alpha") {
		t.Fatal("opening the page did something")
	}
	if p := thief.Post(link, url.Values{"email": {"x@y.example"}}); p.Status != 400 {
		t.Errorf("another field: %d", p.Status)
	}
	form := s.Browser(t).Get(link).Form("main")
	page := form.Submit("")
	if page.Status != 200 || !strings.Contains(strings.Join(page.Links(), " "), "/forgot-password?organization=alpha") {
		t.Fatalf("%d %v %s", page.Status, page.Links(), page.Text())
	}
	if at(own, "alpha") || at(thief, "alpha") {
		t.Error("a session lives on")
	}
	if p := signIn(s.Browser(t), "/o/alpha", email, idptest.Password); p.Status != 422 {
		t.Errorf("the password still opens: %d", p.Status)
	}
	for _, again := range []*idptest.Page{form.Submit(""), s.Browser(t).Get(link), s.Browser(t).Get("/not-me/" + strings.Repeat("A", 43)), s.Browser(t).Get("/not-me/x")} {
		if again.Status != 410 || len(again.Links()) < 3 {
			t.Errorf("a dead link: %d %v", again.Status, again.Links())
		}
	}
	letters := s.LettersTo(t, "owner@alpha.example")
	if !strings.Contains(letters[0].Subject, idptest.Sentence(t, "mail.disowned.subject", "Person", "Ana", "Organization", "Alpha Works")) || !strings.HasPrefix(letters[0].Links[0], s.URL+"/o/alpha/admin/people/usr_") {
		t.Errorf("the owner got %q %v", letters[0].Subject, letters[0].Links)
	}
	if got := subjects(t, s, "helpdesk@alpha.example"); strings.Contains(got, "not me") {
		t.Errorf("helpdesk got %s", got)
	}
	// The person comes back by mail; their browser and the thief's are strangers.
	s.Clock.Advance(time.Minute)
	if p := create(s.Browser(t).Get(resetLink(t, s, email)), another); p.URL.Path != "/o/alpha/home" {
		t.Fatalf("the reset: %d %s", p.Status, p.URL)
	}
	for range signin.PerAddressAndNetwork.Free {
		signIn(s.Browser(t), "/o/alpha", email, "guess")
	}
	if p := signIn(thief, "/o/alpha", email, idptest.Password); p.Status != 429 {
		t.Errorf("the thief's browser still counts its tries alone: %d", p.Status)
	}
	s.Clock.Advance(2 * time.Hour)
	count := func() int {
		return strings.Count(subjects(t, s, email), idptest.Sentence(t, "mail.new_device.subject", "Organization", "Alpha Works"))
	}
	before := count()
	if p := signIn(own, "/o/alpha", email, another); p.URL.Path != "/o/alpha/home" || count() != before+1 {
		t.Errorf("signing in where one was known before: %s, %d letters more", p.URL, count()-before)
	}
	own.Get("/o/alpha/home").Form("sign-out").Submit("")
	if p := signIn(own, "/o/alpha", email, another); p.URL.Path != "/o/alpha/home" || count() != before+1 {
		t.Errorf("and again: %s, %d letters more", p.URL, count()-before)
	}
}

// The link works for 60 days, without a session, and only once when eight browsers open it.
func TestDisavowalWorksOnceAndForSixtyDays(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Alpha Works", "alpha")
	s.Join(t, org, "owner@alpha.example", "Olga", directory.Owner)
	const email = "user-a@alpha.example"
	s.Join(t, org, email, "Ana", directory.Member)
	newBrowser := func() string {
		s.Clock.Advance(time.Second)
		signIn(s.Browser(t), "/o/alpha", email, idptest.Password)
		return s.Link(t, email, "/not-me/")
	}
	old := newBrowser()
	s.Clock.Advance(directory.DisavowalLifetime - time.Microsecond)
	if p := s.Browser(t).Get(old); p.Status != 200 {
		t.Errorf("in its last microsecond: %d", p.Status)
	}
	s.Clock.Advance(time.Microsecond)
	if p := s.Browser(t).Get(old); p.Status != 410 {
		t.Errorf("at its end: %d", p.Status)
	}
	link := newBrowser()
	forms, statuses := make([]*idptest.Form, 8), make([]int, 8)
	node := idptest.StartOn(t, s.DB, s.Clock, s.Keys)
	for i := range forms {
		forms[i] = []*idptest.Server{s, node}[i%2].Browser(t).Get(link).Form("main")
	}
	var wg sync.WaitGroup
	for i := range forms {
		wg.Go(func() { statuses[i] = forms[i].Submit("").Status })
	}
	wg.Wait()
	done := 0
	for _, status := range statuses {
		switch status {
		case 200:
			done++
		case 410:
		default:
			t.Errorf("answered %d", status)
		}
	}
	if n := strings.Count(subjects(t, s, "owner@alpha.example"), idptest.Sentence(t, "mail.disowned.subject", "Person", "Ana", "Organization", "Alpha Works")); done != 1 || n != 1 {
		t.Errorf("%d of 8 worked, %d letters to the owner", done, n)
	}
}

// The address where password managers look.
func TestWellKnownPageLeadsToThePasswordOfTheOrganizationUsedLast(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	b := s.Browser(t)
	if p := b.Get("/.well-known/change-password"); p.URL.Path != "/sign-in" || p.Status != 200 {
		t.Errorf("signed out: %d %s", p.Status, p.URL)
	}
	for _, name := range []string{"alpha", "beta"} {
		org := s.Organization(t, strings.ToUpper(name)+" Works", name)
		s.Join(t, org, "user-a@alpha.example", "A", directory.Member)
		s.Clock.Advance(time.Hour)
		signIn(b, "/o/"+name, "user-a@alpha.example", idptest.Password)
		if p := b.Get("/.well-known/change-password"); p.URL.Path != "/o/"+name+"/account/password" {
			t.Errorf("signed in to %s: %s", name, p.URL)
		}
	}
	s.Clock.Advance(session.Idle)
	// After the end by idleness the organization's sign-in page says so, and leads on to that
	// page.
	idptest.Want(t, b.Get("/.well-known/change-password"), idptest.Says("web.sign_in.away", "Wait", "20 days"), idptest.Input("email", "user-a@alpha.example"))
}

// The letter about a new address brings the old one back, unless somebody else has it by now;
// the rest happens either way.
func TestDisowningBringsAChangedAddressBack(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Alpha Works", "alpha")
	for old, taken := range map[string]bool{"free@alpha.example": false, "taken@alpha.example": true} {
		b := s.Join(t, org, old, "Ana", directory.Member)
		moveEmail(t, s, b, "new-"+old)
		link := s.Link(t, old, "/not-me/")
		now := old
		if taken {
			s.Join(t, org, old, "Tom", directory.Member)
			now = "new-" + old
		}
		if p := s.Browser(t).Get(link).Form("main").Submit(""); p.Status != 200 || at(b, "alpha") {
			t.Errorf("%s: %d %s", old, p.Status, p.Text())
		}
		if p := create(s.Browser(t).Get(resetLink(t, s, now)), another); p.URL.Path != "/o/alpha/home" {
			t.Errorf("%s does not come back as %s: %d %s", old, now, p.Status, p.Text())
		}
	}
	if p := signIn(s.Browser(t), "/o/alpha", "taken@alpha.example", idptest.Password); p.URL.Path != "/o/alpha/home" {
		t.Errorf("who has the address now: %d", p.Status)
	}
}

// moveEmail changes the address of the person who is signed in to alpha in a browser, proof
// included.
func moveEmail(t *testing.T, s *idptest.Server, b *idptest.Browser, email string) {
	t.Helper()
	askEmail(b, "alpha", email)
	if p := s.Browser(t).Get(s.Link(t, email, "/email/")).Form("main").Submit(""); p.Status != 200 {
		t.Fatalf("moving to %s: %d %s", email, p.Status, p.Text())
	}
}

// A thief who moved an address cannot take it again: neither with a link sent to his mailbox
// about a further change, nor after an administrator moved it back.
func TestINV6AThiefsMailboxBringsNothingBack(t *testing.T) {
	t.Parallel()
	const alice, evil = "alice@alpha.example", "evil@evil.example"
	for name, repair := range map[string]func(t *testing.T, s *idptest.Server, org directory.OrgID, owner, thief *idptest.Browser){
		"she disowns it": func(t *testing.T, s *idptest.Server, _ directory.OrgID, _, thief *idptest.Browser) {
			askEmail(thief, "alpha", "evil2@evil.example")
			if p := s.Browser(t).Get(s.Link(t, alice, "/not-me/")).Form("main").Submit(""); p.Status != 200 {
				t.Fatalf("%d %s", p.Status, p.Text())
			}
		},
		"an administrator moves it back": func(t *testing.T, s *idptest.Server, org directory.OrgID, owner, _ *idptest.Browser) {
			id := lastEvent(t, s, org, "user.email_changed").Target
			if p := owner.Get("/o/alpha/admin/people/"+id+"/email").Form("main").Fill("email", alice).Submit(""); p.Status != 200 {
				t.Fatalf("%d %s", p.Status, p.Text())
			}
			if p := s.Browser(t).Get(s.Link(t, alice, "/email/")).Form("main").Submit(""); p.Status != 200 {
				t.Fatalf("%d %s", p.Status, p.Text())
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := idptest.Start(t)
			org := s.Organization(t, "Alpha Works", "alpha")
			owner := s.Join(t, org, "owner@alpha.example", "O", directory.Owner)
			thief := s.Join(t, org, alice, "Alice", directory.Member)
			moveEmail(t, s, thief, evil)
			repair(t, s, org.ID, owner, thief)
			if p := create(s.Browser(t).Get(resetLink(t, s, alice)), another); p.URL.Path != "/o/alpha/home" {
				t.Fatalf("she does not come back: %d %s", p.Status, p.Text())
			}
			tried := 0
			for _, l := range s.LettersTo(t, evil) {
				for _, link := range l.Links {
					if _, token, ok := strings.Cut(link, "/not-me/"); ok {
						tried++
						if p := s.Browser(t).Get("/not-me/" + token); p.Status == 200 {
							p.Form("main").Submit("")
						}
					}
				}
			}
			if tried == 0 {
				t.Fatal("the thief's mailbox has no link to try")
			}
			found := signIn(s.Browser(t), "/o/alpha", alice, another)
			if name == "she disowns it" && found.URL.Path != "/o/alpha/home" {
				t.Errorf("after the thief's links she is answered %d", found.Status)
			}
			if p := s.Browser(t).Get("/forgot-password").Form("main").Fill("email", evil).Submit(""); p.Status != 200 {
				t.Fatal(p.Status)
			}
			for _, l := range s.LettersTo(t, evil) {
				for _, link := range l.Links {
					if strings.Contains(link, "/reset/") {
						t.Errorf("the thief's mailbox gets a link that creates a password: %s", l.Subject)
					}
				}
			}
		})
	}
}

// Somebody who is already refused uses up nothing that others count on.
func TestBRU4RefusedTriesDoNotCountForOthers(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t, func(a *app.Settings) { a.Proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	s.Join(t, s.Organization(t, "Alpha Works", "alpha"), "user-a@alpha.example", "A", directory.Member)
	from := func(network string) *idptest.Browser {
		b := s.Browser(t)
		b.Header.Set("X-Forwarded-For", network)
		return b
	}
	for range 60 {
		signIn(from("203.0.113.1"), "/o/alpha", "user-a@alpha.example", "guess")
		from("203.0.113.1").Get("/forgot-password").Form("main").Fill("email", "user-a@alpha.example").Submit("")
	}
	if p := signIn(from("203.0.113.2"), "/o/alpha", "user-a@alpha.example", idptest.Password); p.URL.Path != "/o/alpha/home" {
		t.Errorf("another network is answered %d", p.Status)
	}
	before := len(s.LettersTo(t, "user-a@alpha.example"))
	from("203.0.113.2").Get("/forgot-password").Form("main").Fill("email", "user-a@alpha.example").Submit("")
	if n := len(s.LettersTo(t, "user-a@alpha.example")); n != before+1 {
		t.Errorf("another network's letter did not come: %d, then %d", before, n)
	}
}

// Strangers who ask for letter after letter cannot keep the owner from getting one in the
// browser that remembers the address.
func TestBRU4TheOwnersBrowserStillGetsALetter(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t, func(a *app.Settings) { a.Proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	owner := s.Join(t, s.Organization(t, "Alpha Works", "alpha"), "user-a@alpha.example", "A", directory.Member)
	for i := range 40 {
		b := s.Browser(t)
		b.Header.Set("X-Forwarded-For", fmt.Sprintf("203.0.113.%d", i))
		b.Get("/forgot-password").Form("main").Fill("email", "user-a@alpha.example").Submit("")
	}
	before := len(s.LettersTo(t, "user-a@alpha.example"))
	owner.Get("/forgot-password").Form("main").Fill("email", "user-a@alpha.example").Submit("")
	if n := len(s.LettersTo(t, "user-a@alpha.example")); n != before+1 {
		t.Errorf("%d letters, then %d", before, n)
	}
}

// A token that was planted or kept does not open an attempt in which something was proved
// since: otherwise its holder would create the password that the owner was asked for.
func TestSES1SupersededTokenDoesNotGoOnWithAnAttempt(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	s.Join(t, s.Organization(t, "Alpha Works", "alpha"), "user-a@alpha.example", "A", directory.Member)
	demand(t, s, "user-a@alpha.example")
	victim := s.Browser(t)
	attempt := victim.Get("/o/alpha/account")
	attacker := victim.Copy()
	step := attempt.Form("main").Fill("email", "user-a@alpha.example").Fill("password", idptest.Password).Submit("")
	if !step.Has("input", "name", "repetition") {
		t.Fatalf("the owner is at %s (%d): %s", step.URL, step.Status, step.Text())
	}
	// It shows where the attempt leads, as before, but neither the step nor the person.
	idptest.Want(t, attacker.Get(step.URL.Path), idptest.NoField("repetition"), idptest.Input("email", ""))
	idptest.Want(t, attacker.Post(step.URL.Path, url.Values{"password": {another}, "repetition": {another}}),
		idptest.NoField("repetition"), idptest.Input("email", ""))
	if at(attacker, "alpha") {
		t.Error("the planted token is in")
	}
	if p := create(step, another); !at(victim, "alpha") {
		t.Errorf("the owner: %d %s", p.Status, p.URL)
	}
}
