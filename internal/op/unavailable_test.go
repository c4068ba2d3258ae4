package op_test

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"parvis/internal/application"
	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/edge"
	"parvis/internal/idptest"
	"parvis/internal/secret"
)

// remembered is longer than answers are believed that no database confirms.
const remembered = 1500 * time.Millisecond

// surfaces are requests of every kind that needs the database: pages with and without a sign-in,
// the console, and endpoints. Each may be sent many times.
type surfaces struct {
	*world
	machine, books client
	tokens         reply
	visitor        *idptest.Browser // nobody is signed in there
	tried          int
}

func newSurfaces(w *world) *surfaces {
	s := &surfaces{world: w, books: w.books(), visitor: w.Browser(w.t)}
	s.visitor.Get("/o/meridian") // sets the cookie that every form needs
	s.machine = w.register(w.org.ID, application.Machine, application.Settings{Name: "Robot", Auth: application.Secret, OwnBehalf: true})
	s.tokens = w.enter(w.bo, s.books)
	return s
}

// answered is the answer of a page or an endpoint.
type answered struct {
	reply
	page *idptest.Page // nil for an endpoint
}

func ofPage(p *idptest.Page) answered {
	return answered{reply{Status: p.Status, Header: p.Header, Body: p.Body}, p}
}

// reading returns requests that write no row.
func (s *surfaces) reading() map[string]func() answered {
	return map[string]func() answered{
		"an organization's page": func() answered { return ofPage(s.visitor.Get("/o/meridian")) },
		"one's own account":      func() answered { return ofPage(s.bo.Get("/o/meridian/account")) },
		"the console":            func() answered { return ofPage(s.ana.Get("/o/meridian/admin/people")) },
		"a return from a provider": func() answered {
			return ofPage(s.visitor.Get("/federation/con_aaaaaaaaaaaaaaaaaaaaaaaaaa/callback?state=x&code=y"))
		},
		"an invitation": func() answered { return ofPage(s.visitor.Get("/invitation/" + secret.NewToken().Reveal())) },
		"/userinfo":     func() answered { return answered{s.userInfo(s.tokens.text("access_token")), nil} },
	}
}

// writing returns requests that write, if only a count.
func (s *surfaces) writing() map[string]func() answered {
	call := func(c client, path string, form url.Values) func() answered {
		return func() answered { return answered{s.call(c, path, form), nil} }
	}
	return map[string]func() answered{
		"a sign-in": func() answered {
			s.tried++ // another address each time, so that none is tried too often
			return ofPage(s.visitor.Post("/o/meridian", url.Values{"email": {fmt.Sprintf("nobody%d@meridian.example", s.tried)}, "password": {idptest.Password}}))
		},
		"an invitation by the console": func() answered {
			s.tried++
			return ofPage(s.ana.Post("/o/meridian/admin/people/invite", url.Values{
				"email": {fmt.Sprintf("guest%d@meridian.example", s.tried)}, "name": {""}, "role": {"member"}, "invited_language": {"en"},
			}))
		},
		"/authorize":  func() answered { return ofPage(authorize(s.bo, s.books.request())) },
		"/token":      call(s.machine, "/token", url.Values{"grant_type": {"client_credentials"}}),
		"/introspect": call(s.machine, "/introspect", url.Values{"token": {s.tokens.text("access_token")}}),
		"/par":        call(s.books, "/par", s.books.request()),
	}
}

// wantUnavailable requires the answer of RFC 9110 §15.6.4: for people with the next step, and for
// applications with the error that their libraries know (RFC 6749 §5.2).
func (s *surfaces) wantUnavailable(what string, a answered) {
	s.t.Helper()
	if a.Status != http.StatusServiceUnavailable {
		s.t.Errorf("%s: answered %d, want 503: %.300s", what, a.Status, a.Body)
		return
	}
	if want := strconv.Itoa(int(edge.ComeBack.Seconds())); a.Header.Get("Retry-After") != want {
		s.t.Errorf("%s: Retry-After is %q, want %s", what, a.Header.Get("Retry-After"), want)
	}
	if a.page != nil {
		idptest.Want(s.t, a.page, idptest.Says("page.unavailable"))
		return
	}
	if got := a.text("error"); got != "temporarily_unavailable" {
		s.t.Errorf("%s: the error is %q: %s", what, got, a.Body)
	}
	if got := a.Header.Get("Cache-Control"); got != "no-store" {
		s.t.Errorf("%s: Cache-Control is %q", what, got)
	}
}

// all sends each request in turn, and deletes the counts of the limiters before.
func (s *surfaces) all(owner *db.DB, each func(what string, ask func() answered)) {
	for _, kind := range []map[string]func() answered{s.reading(), s.writing()} {
		for what, ask := range kind {
			dbtest.Do(s.t, owner, `delete from limits`)
			each(what, ask)
		}
	}
}

// If the database refuses connections or access to tables, the asker is not to blame (R-RES-04):
// each surface says so, and works again afterwards.
func TestEverySurfaceSaysThatTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	address := dbtest.Address(t)
	role := dbtest.NewRole(t, address)
	owner, d := dbtest.OpenAt(t, address), dbtest.OpenAt(t, role.Address)
	clock := dbtest.NewClock()
	d.Clock = clock.Now
	s := newSurfaces(worldOn(t, idptest.StartOn(t, d, clock, secret.NewKeys())))
	before := map[string]int{}
	s.all(owner, func(what string, ask func() answered) {
		if before[what] = ask().Status; before[what] >= 500 {
			t.Fatalf("%s: answered %d before anything is wrong", what, before[what])
		}
	})
	for _, death := range []struct {
		name      string
		kill, end func()
	}{
		{"its logins are refused", role.Shut, role.Admit},
		{"its rights are revoked", role.Revoke, role.Grant},
	} {
		death.kill()
		time.Sleep(remembered)
		s.all(owner, func(what string, ask func() answered) { s.wantUnavailable(what+" while "+death.name, ask()) })
		s.wantNo500(death.name)
		death.end()
		s.all(owner, func(what string, ask func() answered) {
			if got := ask(); got.Status != before[what] {
				t.Errorf("%s after %s: answered %d, before it %d: %.300s", what, death.name, got.Status, before[what], got.Body)
			}
		})
	}
}

// wantNo500 requests every route as an owner, and requires that none answers 500.
func (s *surfaces) wantNo500(death string) {
	s.t.Helper()
	in := strings.NewReplacer("{org}", "meridian", "{client}", string(s.books.ID), "{token}", secret.NewToken().Reveal(), "{$}", "")
	unavailable := 0
	for _, route := range s.Site.Routes() {
		method, path, ok := strings.Cut(in.Replace(route.Pattern), " ")
		if !ok {
			method, path = http.MethodPost, route.Pattern
		}
		p := (*idptest.Page)(nil)
		if method == http.MethodGet {
			p = s.ana.Get(path)
		} else {
			p = s.ana.Post(path, url.Values{})
		}
		switch {
		case p.Status == http.StatusServiceUnavailable && p.Header.Get("Retry-After") != "":
			unavailable++
		case p.Status >= 500:
			s.t.Errorf("%s while %s: answered %d, Retry-After %q: %.300s", route.Pattern, death, p.Status, p.Header.Get("Retry-After"), p.Body)
		}
	}
	if routes := len(s.Site.Routes()); unavailable < routes/2 {
		s.t.Errorf("while %s only %d of %d routes noticed", death, unavailable, routes)
	}
}

// If a connection ends while a request waits for a table, whichever it is, the answer says to come
// back, and the next request works.
func TestAConnectionThatIsEndedInMidStatementIsToldOnEverySurface(t *testing.T) {
	t.Parallel()
	if os.Getenv(dbtest.PostgresVariable) == "" {
		t.Skip("SQLite has no connection that could be ended")
	}
	address := dbtest.Address(t)
	owner, d := dbtest.OpenAt(t, address), dbtest.OpenAt(t, address)
	d.Remembers = false // every request reads the tables that it depends on
	clock := dbtest.NewClock()
	d.Clock = clock.Now
	s := newSurfaces(worldOn(t, idptest.StartOn(t, d, clock, secret.NewKeys())))
	var tables []string
	if err := owner.Rows(t.Context(), func(scan func(...any) error) error {
		var name string
		err := scan(&name)
		tables = append(tables, name)
		return err
	}, `select tablename from pg_tables where schemaname = current_schema()`); err != nil {
		t.Fatal(err)
	}
	ended := map[string]int{}
	for _, table := range tables {
		s.all(owner, func(what string, ask func() answered) {
			if a, waited := cutAt(t, owner, table, ask); waited {
				ended[what]++
				s.wantUnavailable(what+" cut at "+table, a)
			} else if a.Status >= 500 {
				t.Errorf("%s: answered %d though it never waited for %s: %.300s", what, a.Status, table, a.Body)
			}
		})
	}
	s.all(owner, func(what string, ask func() answered) {
		if ended[what] == 0 {
			t.Errorf("%s never waited for a table", what)
		}
		if a := ask(); a.Status >= 500 {
			t.Errorf("%s afterwards: answered %d: %.300s", what, a.Status, a.Body)
		}
	})
}

// cutAt locks a table, sends a request, and ends the connection that waits for the table. It
// reports whether there was one.
func cutAt(t *testing.T, owner *db.DB, table string, ask func() answered) (a answered, waited bool) {
	t.Helper()
	done := make(chan answered, 1)
	err := owner.Update(t.Context(), func(tx *db.Tx) error {
		if _, err := tx.Exec(t.Context(), `lock table `+table+` in access exclusive mode`); err != nil {
			return err
		}
		go func() { done <- ask() }()
		for {
			select {
			case a = <-done:
				return nil
			case <-time.After(2 * time.Millisecond):
			}
			var n int
			if _, err := owner.One(t.Context(), db.Into(&n), `select count(*) from (select pg_terminate_backend(pid) from pg_stat_activity
				where datname = current_database() and wait_event_type = 'Lock') ended`); err != nil {
				return err
			}
			if n > 0 {
				waited, a = true, <-done
				return nil
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return a, waited
}

// If packets are dropped, nobody waits for long, and everything works again once they pass.
func TestEverySurfaceSaysInTenSecondsThatTheDatabaseIsSilent(t *testing.T) {
	t.Parallel()
	address, wire := dbtest.Wired(t)
	d := dbtest.OpenAt(t, address)
	clock := dbtest.NewClock()
	d.Clock = clock.Now
	first := newSurfaces(worldOn(t, idptest.StartOn(t, d, clock, secret.NewKeys())))
	second := *first // a browser sends one request after the other
	second.visitor = first.Browser(t)
	second.visitor.Get("/o/meridian")
	asks := first.reading()
	for what, ask := range second.writing() {
		if what != "an invitation by the console" && what != "/authorize" {
			asks[what] = ask
		}
	}
	delete(asks, "a return from a provider")
	delete(asks, "an invitation")
	type ended struct {
		what string
		answered
		took time.Duration
	}
	all := make(chan ended)
	wire.Silence()
	time.Sleep(remembered)
	for what, ask := range asks {
		go func() {
			began := time.Now()
			a := ask()
			all <- ended{what, a, time.Since(began)}
		}()
	}
	for range asks {
		e := <-all
		first.wantUnavailable(e.what+" while packets are dropped", e.answered)
		if e.took > 10*time.Second {
			t.Errorf("%s took %s, want 10 s at most", e.what, e.took)
		}
	}
	wire.Resume()
	for what, ask := range asks {
		for began := time.Now(); ; {
			a := ask()
			if a.Status < 500 {
				break
			}
			if took := time.Since(began); took > 15*time.Second {
				t.Fatalf("%s %s later: answered %d: %.300s", what, took, a.Status, a.Body)
			}
		}
	}
}

// If the disk is full or read-only, requests that write are refused, and others are answered.
func TestEverySurfaceSaysThatTheDiskTakesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if w.DB.Path() == "" {
		t.Skip("PostgreSQL's disk is not ours to fill")
	}
	s := newSurfaces(w)
	do := func(statement string) { t.Helper(); dbtest.Do(t, w.DB, statement) }
	do(`pragma query_only = 1`)
	for what, ask := range s.writing() {
		s.wantUnavailable(what+" on a read-only disk", ask())
	}
	for what, ask := range s.reading() {
		if a := ask(); a.Status >= 500 {
			t.Errorf("%s on a read-only disk: answered %d: %.300s", what, a.Status, a.Body)
		}
	}
	do(`pragma query_only = 0`)
	for what, ask := range s.writing() {
		if a := ask(); a.Status >= 500 {
			t.Errorf("%s afterwards: answered %d: %.300s", what, a.Status, a.Body)
		}
	}
}
