package session_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"parvis/internal/app"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/idptest"
	"parvis/internal/secret"
	"parvis/internal/session"
	"parvis/internal/signin"
)

func TestEleventhOrganizationOfABrowserEndsTheOneUnusedLongest(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	b := s.Browser(t)
	for i := range session.PerBrowser + 1 {
		s.Clock.Advance(time.Minute)
		org := s.Organization(t, fmt.Sprintf("Organization %c", 'A'+i), fmt.Sprintf("org-%c", 'a'+i))
		b.Get(s.Invite(t, org, "ana@parvis.example", "Ana", directory.Member)).Form("main").
			Fill("password", idptest.Password).Fill("repetition", idptest.Password).Submit("")
	}
	for i := range session.PerBrowser + 1 {
		path := fmt.Sprintf("/o/org-%c/home", 'a'+i)
		if open := b.Get(path).URL.Path == path; open != (i > 0) {
			t.Errorf("session %d is open: %v", i, open)
		}
	}
}

func TestOrganizationsRulesHoldForOpenSessionsAtOnce(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Alpha Works", "alpha")
	b := s.Join(t, org, "ana@alpha.example", "Ana", directory.Member)
	set := func(r session.Rules) error {
		return s.DB.Update(t.Context(), func(tx *db.Tx) error { return session.SetRules(t.Context(), tx, directory.Operator(), org.ID, r) })
	}
	for name, r := range map[string]session.Rules{
		"idle too short":     {Idle: session.ShortestIdle - 1, Absolute: session.Absolute},
		"idle too long":      {Idle: session.LongestIdle + 1, Absolute: session.Absolute},
		"absolute too short": {Idle: session.Idle, Absolute: session.ShortestAbsolute - 1},
		"absolute too long":  {Idle: session.Idle, Absolute: session.LongestAbsolute + 1},
	} {
		if set(r) == nil {
			t.Errorf("%s was taken", name)
		}
	}
	if err := set(session.Rules{Idle: session.ShortestIdle, Absolute: session.ShortestAbsolute}); err != nil {
		t.Fatal(err)
	}
	home := func() bool { return b.Get("/o/alpha/home").URL.Path == "/o/alpha/home" }
	for range 4 {
		s.Clock.Advance(session.ShortestIdle - time.Second)
		if !home() {
			t.Fatal("ended although it was in use")
		}
	}
	s.Clock.Advance(session.ShortestIdle)
	if home() {
		t.Error("five minutes without use did not end it")
	}
	c := s.Join(t, org, "ben@alpha.example", "Ben", directory.Member)
	for range 13 {
		s.Clock.Advance(session.ShortestIdle - time.Second)
		c.Get("/o/alpha/home")
	}
	if c.Get("/o/alpha/home").URL.Path == "/o/alpha/home" {
		t.Error("an hour did not end it")
	}
}

func TestPageViewIsAReadMostOfTheTime(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	b := s.Join(t, s.Organization(t, "Alpha Works", "alpha"), "ana@alpha.example", "Ana", directory.Member)
	seen := func() (at time.Time) {
		if _, err := s.DB.One(t.Context(), db.Into((*db.Time)(&at)), `select seen_at from sessions`); err != nil {
			t.Fatal(err)
		}
		return at
	}
	first := seen()
	s.Clock.Advance(59 * time.Second)
	b.Get("/o/alpha/home")
	if !seen().Equal(first) {
		t.Error("a page within the minute was written down")
	}
	s.Clock.Advance(time.Second)
	b.Get("/o/alpha/home")
	if !seen().Equal(s.Clock.Now()) {
		t.Error("a page after the minute was not written down")
	}
}

func TestSweepRemovesWhatWasKeptLongEnough(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t, func(a *app.Settings) { a.Lifetimes.SessionIdle = time.Hour })
	b := s.Join(t, s.Organization(t, "Alpha Works", "alpha"), "ana@alpha.example", "Ana", directory.Member)
	b.Get("/o/alpha/home").Form("sign-out").Submit("")
	count := func(table string) (n int) {
		if _, err := s.DB.One(t.Context(), db.Into(&n), `select count(*) from `+table); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, step := range []struct {
		after              time.Duration
		sessions, browsers int
	}{{session.Kept - time.Microsecond, 1, 1}, {time.Microsecond, 0, 0}} {
		s.Clock.Advance(step.after)
		if err := s.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n, m := count("sessions"), count("browsers"); n != step.sessions || m != step.browsers {
			t.Errorf("%d sessions and %d browsers are left, want %d and %d", n, m, step.sessions, step.browsers)
		}
	}
}

// Void sessions are recorded as ended by the frequent sweep, and by the thorough one where the
// frequent one never ran.
func TestSweepsWriteDownWhatIsVoid(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Alpha Works", "alpha")
	reason := func(email string) (why string) {
		if _, err := s.DB.One(t.Context(), db.Into((*db.Text)(&why)), `
			select s.end_reason from sessions s
			join users u on u.org_id = s.org_id and u.id = s.user_id
			where u.email = $1`, email); err != nil {
			t.Fatal(err)
		}
		return why
	}
	s.Join(t, org, "stays@alpha.example", "Stays", directory.Member)
	for email, sweep := range map[string]func(context.Context, *db.DB) error{
		"often@alpha.example": s.Site.Sessions.SweepVoid, "thorough@alpha.example": s.Site.Sessions.Sweep,
	} {
		s.Join(t, org, email, "Goes", directory.Member)
		s.Update(t, func(ctx context.Context, tx *db.Tx) error {
			var id directory.UserID
			if _, err := tx.One(ctx, db.Into(&id), `select id from users where email = $1`, email); err != nil {
				return err
			}
			return directory.Deactivate(ctx, tx, directory.Operator(), org.ID, id)
		})
		if got := reason(email); got != "" {
			t.Fatalf("written down as %q before any sweep", got)
		}
		if err := sweep(t.Context(), s.DB); err != nil {
			t.Fatal(err)
		}
		if got := reason(email); got != string(session.Voided) {
			t.Errorf("%s is written down as %q", email, got)
		}
		s.Clock.Advance(time.Hour) // the frequent sweep does not look back so far
	}
	if got := reason("stays@alpha.example"); got != "" {
		t.Errorf("an open session is written down as %q", got)
	}
}

// A second node sees the end of a session at its next request, without a call.
func TestEndOfASessionHoldsOnEveryNode(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Alpha Works", "alpha")
	b := s.Join(t, org, "ana@alpha.example", "Ana", directory.Member)
	second := idptest.StartOn(t, s.DB, s.Clock, s.Keys)
	c := second.Browser(t)
	c.SetCookie("__Host-parvis", b.Cookie("__Host-parvis"))
	if c.Get("/o/alpha/home").URL.Path != "/o/alpha/home" {
		t.Fatal("the second node does not know the session")
	}
	s.Update(t, func(ctx context.Context, tx *db.Tx) error {
		return directory.Suspend(ctx, tx, directory.Operator(), org.ID)
	})
	if c.Get("/o/alpha/home").URL.Path == "/o/alpha/home" {
		t.Error("the second node still opens a suspended organization")
	}
}

func TestAssuranceIsWhatWasProvedAndDecaysUnderTheModernRules(t *testing.T) {
	proved := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		second, after, idle time.Duration // second: since the start of the session, below zero for never
		resumed             time.Duration // after the second factor, above zero if ever
		classic, modern     string
	}{
		"one factor":                      {second: -1, classic: session.OneFactor, modern: session.OneFactor},
		"one factor, long ago":            {second: -1, after: 100 * time.Hour, classic: session.OneFactor, modern: session.OneFactor},
		"two factors":                     {classic: session.TwoFactors, modern: session.TwoFactors},
		"two, an hour without use":        {after: time.Hour, idle: time.Hour, classic: session.TwoFactors, modern: session.TwoFactors},
		"two, longer without use":         {after: 2 * time.Hour, idle: time.Hour + 1, classic: session.TwoFactors, modern: session.OneFactor},
		"two, in use again after a pause": {after: 3 * time.Hour, resumed: 2 * time.Hour, classic: session.TwoFactors, modern: session.OneFactor},
		"two, for a day":                  {after: 24 * time.Hour, classic: session.TwoFactors, modern: session.TwoFactors},
		"two, for longer than a day":      {after: 24*time.Hour + 1, classic: session.TwoFactors, modern: session.OneFactor},
		"stepped up late":                 {second: 30 * time.Hour, after: time.Minute, classic: session.TwoFactors, modern: session.TwoFactors},
		"a clock that was set back":       {after: -time.Minute, classic: session.OneFactor, modern: session.OneFactor},
	} {
		now := proved.Add(c.after)
		s := session.Session{StartedAt: proved.Add(-c.second), SecondAt: proved, SeenAt: now.Add(-c.idle)}
		if c.second == -1 {
			s.SecondAt = time.Time{}
		}
		if c.resumed > 0 {
			s.ResumedAt = proved.Add(c.resumed)
		}
		if classic, modern := s.ACR(false, now), s.ACR(true, now); classic != c.classic || modern != c.modern {
			t.Errorf("%s: %s, %s under modern rules, want %s, %s", name, classic, modern, c.classic, c.modern)
		}
	}
}

// What the person proved recently allows what needs fresh proof, unless the token that was
// shown is superseded: it may be a copy.
func TestSES1ProofIsFreshWithinItsTimeAndForTheCurrentTokenOnly(t *testing.T) {
	proved := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	const within = 10 * time.Minute
	for name, c := range map[string]struct {
		superseded bool
		after      time.Duration
		fresh      bool
	}{
		"just now":                    {fresh: true},
		"as long ago as is allowed":   {after: within, fresh: true},
		"longer ago":                  {after: within + 1},
		"by a clock that was wrong":   {after: -within - 1},
		"by who shows a former token": {superseded: true},
	} {
		v := session.Visit{Browser: session.Browser{Superseded: c.superseded}, Session: session.Session{ProvedAt: proved, SecondAt: proved}}
		if got := v.Proved(within, proved.Add(c.after)); got != c.fresh {
			t.Errorf("a factor proved %s is fresh: %v, want %v", name, got, c.fresh)
		}
		if got := v.SecondProved(within, proved.Add(c.after)); got != c.fresh {
			t.Errorf("a second factor proved %s is fresh: %v, want %v", name, got, c.fresh)
		}
	}
}

// The same through a server: what Touch, Issue and Raise write is what ACR reads.
func TestAssuranceDecaysInAnOpenSession(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Alpha Works", "alpha")
	s.SecondStep(t, org, signin.SecondStepRules{RequiredFrom: s.Clock.Now(), Tolerance: 1})
	b := s.Browser(t)
	p := b.Get(s.Invite(t, org, "ana@alpha.example", "Ana", directory.Member)).Form("main").
		Fill("password", idptest.Password).Fill("repetition", idptest.Password).Submit("")
	s.EnrolApp(t, p, "Phone")
	acr := func() string {
		t.Helper()
		v, found, err := s.Site.Sessions.Find(t.Context(), s.DB, secret.ParseToken(b.Cookie("__Host-parvis")), "alpha", s.Clock.Now())
		if err != nil || found != session.Open {
			t.Fatal(found, err)
		}
		return v.Session.ACR(true, s.Clock.Now())
	}
	if got := acr(); got != session.TwoFactors {
		t.Errorf("after enrolling: %s", got)
	}
	for range 47 { // in use all day
		s.Clock.Advance(30 * time.Minute)
		b.Get("/o/alpha/home")
	}
	if got := acr(); got != session.TwoFactors {
		t.Errorf("in use, half an hour before a day is over: %s", got)
	}
	s.Clock.Advance(31 * time.Minute)
	if got := acr(); got != session.OneFactor {
		t.Errorf("after a day: %s", got)
	}
	if p := b.Get("/o/alpha/home"); p.URL.Path != "/o/alpha/home" {
		t.Errorf("the door closed: %s", p.URL)
	}
}
