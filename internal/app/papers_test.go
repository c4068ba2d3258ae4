package app_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"parvis/internal/app"
	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/idptest"
	"parvis/internal/limit"
	"parvis/internal/secret"
)

// R-DOC-02: each limiter of docs/limits.md, whose numbers are these, is driven over its threshold, to
// its longest wait and to where all is forgotten.
func TestEveryLimiterMakesWaitAsItsRowSays(t *testing.T) {
	t.Parallel()
	d, clock := dbtest.Open(t)
	limiter := limit.NewLimiter(secret.NewKeys().Lookup)
	for _, p := range app.Policies {
		k := limiter.Key(p, limit.Of("somebody"))
		take := func(what string, k limit.Key, wait time.Duration) {
			t.Helper()
			got, err := limit.Take(t.Context(), d, k)
			if err != nil {
				t.Fatal(err)
			}
			if got.Allowed != (wait == 0) || got.Wait != wait {
				t.Errorf("%s, %s: allowed %v, to wait %s; want %s", p.Name, what, got.Allowed, got.Wait, wait)
			}
		}
		take("as many as are free", k.Times(p.Free), 0)
		for wait := p.First; ; wait = min(2*wait, p.Most) {
			take("too early", k, wait)
			clock.Advance(wait)
			take("after the wait", k, 0)
			if wait == p.Most {
				break
			}
		}
		clock.Advance(p.Forget)
		take("once all is forgotten", k.Times(p.Free), 0)
	}
}

// ask sends a request as a browser does, to a server without a network between.
func ask(t *testing.T, s *idptest.Server, r *http.Request, cookie string) *httptest.ResponseRecorder {
	t.Helper()
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Cookie", "__Host-parvis-on=1; __Host-parvis="+cookie)
	w := httptest.NewRecorder()
	s.Site.ServeHTTP(w, r)
	return w
}

func post(t *testing.T, s *idptest.Server, path, form string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+path, strings.NewReader(form))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

// R-DOC-02: what a network does with links, and attempts that are stored.
func TestLinksAndAttemptsAreLimitedAsTheirRowsSay(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Alpha Works", "alpha")
	b := s.Join(t, org, "ana@alpha.example", "Ana", directory.Owner)
	link := s.Invite(t, org, "bo@alpha.example", "Bo", directory.Member)
	s.Clock.Advance(13 * time.Hour) // now the administration wants another proof
	policies := map[string]limit.Policy{}
	for _, p := range app.Policies {
		policies[p.Name] = p
	}
	get := func(path, cookie string) func() (bool, string) {
		return func() (bool, string) {
			w := ask(t, s, httptest.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+path, nil), cookie)
			return strings.HasPrefix(w.Header().Get("Location"), "/sign-in/att_"), ""
		}
	}
	for name, try := range map[string]func() (allowed bool, wait string){
		"link-network": func() (bool, string) {
			w := ask(t, s, post(t, s, link, url.Values{"name": {"Bo"}, "password": {idptest.Password}, "repetition": {"another"}}.Encode()), "")
			if w.Code != http.StatusUnprocessableEntity && w.Code != http.StatusTooManyRequests {
				t.Fatalf("a form behind a link is answered %d", w.Code)
			}
			return w.Code == http.StatusUnprocessableEntity, w.Header().Get("Retry-After")
		},
		"attempt-network": get("/o/alpha/account", ""),
		"attempt-user":    get("/o/alpha/admin/people", b.Cookie("__Host-parvis")),
	} {
		for i := range policies[name].Free {
			if allowed, _ := try(); !allowed {
				t.Fatalf("%s: try %d is refused", name, i+1)
			}
		}
		if allowed, wait := try(); allowed || name == "link-network" && wait != "1" {
			t.Errorf("%s: one too many is allowed: %v, to wait %q", name, allowed, wait)
		}
		s.Clock.Advance(policies[name].First)
		if allowed, _ := try(); !allowed {
			t.Errorf("%s: refused after the wait", name)
		}
		if allowed, wait := try(); allowed || name == "link-network" && wait != "2" {
			t.Errorf("%s: the next is allowed: %v, to wait %q", name, allowed, wait)
		}
	}
}

// A catalogued is a form of the catalogue of inputs, at a path of alpha's where what is named in it is
// nothing's name.
type catalogued struct {
	path   string
	fields []string
}

func catalogue(t *testing.T) (all []catalogued) {
	t.Helper()
	page, err := os.ReadFile("../../docs/inventory.md")
	if err != nil {
		t.Fatal(err)
	}
	_, inputs, _ := strings.Cut(string(page), "\n## Inputs\n")
	inputs, _, _ = strings.Cut(inputs, "\n## ")
	named, fields := regexp.MustCompile("`([^`]+)`"), 0
	for line := range strings.Lines(inputs) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 {
			continue
		}
		for _, m := range named.FindAllStringSubmatch(cells[1], -1) {
			path, ok := strings.CutPrefix(m[1], "POST ")
			if !ok {
				continue
			}
			f := catalogued{path: variable.ReplaceAllString(strings.ReplaceAll(path, "{org}", "alpha"), "x")}
			for _, name := range named.FindAllStringSubmatch(cells[2], -1) {
				f.fields = append(f.fields, name[1])
			}
			fields += len(f.fields)
			all = append(all, f)
		}
	}
	if len(all) < 80 || fields < 200 {
		t.Fatalf("only %d forms and %d fields are found: this test looks past them", len(all), fields)
	}
	return all
}

var variable = regexp.MustCompile(`\{[a-z]+\}`)

// R-DOC-03: each form of the catalogue, and each of its fields, is sent as none of them may be.
func TestEveryFormOfTheCatalogueRefusesWhatNoFieldMayHave(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	cookie := s.Join(t, s.Organization(t, "Alpha Works", "alpha"), "ana@alpha.example", "Ana", directory.Owner).Cookie("__Host-parvis")
	for _, f := range catalogue(t) {
		refused := func(form string) {
			t.Helper()
			if w := ask(t, s, post(t, s, f.path, form), cookie); w.Code != http.StatusBadRequest {
				t.Errorf("%s with %q is answered %d", f.path, form, w.Code)
			}
		}
		refused("is_owner=yes")
		for i, name := range f.fields {
			name, many := url.QueryEscape(name), strings.HasSuffix(name, "[]")
			refused(name + "=a%00b")
			if !many {
				refused(name + "=a&" + name + "=b")
			}
			if i == 0 {
				refused(name + "=%ff")
				refused(name + "=%zz")
			}
		}
	}
}

// R-INP-01: whatever a form or an address has, it goes to the database beside the statement and never
// in it.
func TestINJ4NothingThatIsSentIsPartOfAStatement(t *testing.T) {
	t.Parallel()
	const sent = `zq9'x"--` // of no name and no constant
	d, clock := dbtest.Open(t)
	var mu sync.Mutex
	statements, beside := 0, 0
	d.Sent = func(text string, args []any) {
		mu.Lock()
		defer mu.Unlock()
		if strings.Contains(strings.ToLower(text), "zq9") {
			t.Errorf("a statement has what was sent: %s", text)
		}
		statements++
		for _, arg := range args {
			if strings.Contains(fmt.Sprint(arg), "zq9") {
				beside++
			}
		}
	}
	s := idptest.StartOn(t, d, clock, secret.NewKeys())
	cookie := s.Join(t, s.Organization(t, "Alpha Works", "alpha"), "ana@alpha.example", "Ana", directory.Owner).Cookie("__Host-parvis")
	asks := func(r *http.Request) {
		t.Helper()
		if w := ask(t, s, r, cookie); w.Code >= 500 {
			t.Errorf("%s %.80s is answered %d", r.Method, r.URL, w.Code)
		}
	}
	for _, f := range catalogue(t) {
		form := url.Values{}
		for _, name := range f.fields {
			form.Set(name, sent)
		}
		if !slices.Contains([]string{"/o/alpha/sign-out", "/o/alpha/account/not-me", "/o/alpha/account/sessions"}, f.path) { // the others come as an owner
			asks(post(t, s, f.path, form.Encode()))
		}
	}
	query := url.Values{}
	for _, name := range []string{"q", "state", "role", "sort", "group", "result", "before", "after", "action", "actor", "from", "until", "typed", "done", "next"} {
		query.Set(name, sent)
	}
	for _, r := range s.Site.Routes() {
		if path, ok := strings.CutPrefix(r.Pattern, "GET "); ok {
			path = variable.ReplaceAllString(strings.ReplaceAll(strings.TrimSuffix(path, "{$}"), "{org}", "alpha"), url.PathEscape(sent))
			asks(httptest.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+path+"?"+query.Encode(), nil))
			asks(httptest.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+path+"?q="+url.QueryEscape(sent), nil))
		}
	}
	for _, sort := range []string{"last", "-role", "state", "joined"} { // an order has parts of its own
		asks(httptest.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/o/alpha/admin/people?sort="+sort+"&role="+url.QueryEscape(sent)+"&state="+url.QueryEscape(sent), nil))
	}
	if w := ask(t, s, httptest.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/o/alpha/home", nil), cookie); w.Code != http.StatusOK {
		t.Errorf("its owner is signed out: %d", w.Code)
	}
	mu.Lock()
	defer mu.Unlock()
	if statements < 500 || beside < 10 {
		t.Errorf("%d statements were sent, with it beside %d times: this test looks past them", statements, beside)
	}
}

// R-AUT-01: the database is asked the same, in the same order, for everybody whose password is wrong. With
// one hash each (TestEveryVerifyCostsExactlyOneHash) nothing is left that takes longer for one than for another.
func TestENU1FailedSignInsAskTheDatabaseTheSame(t *testing.T) {
	t.Parallel()
	d, clock := dbtest.Open(t)
	var mu sync.Mutex
	var asked []string
	d.Sent = func(text string, _ []any) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, strings.Join(strings.Fields(text), " "))
	}
	s := idptest.StartOn(t, d, clock, secret.NewKeys())
	org := s.Organization(t, "Alpha Works", "alpha")
	for _, name := range []string{"warm", "wrong", "out", "off", "gone"} {
		s.Join(t, org, name+"@alpha.example", "A", directory.Member)
	}
	s.Invite(t, org, "invited@alpha.example", "I", directory.Member)
	for name, change := range map[string]string{
		"out":  `update users set deactivated_at = $1, state = 'deactivated' where email_key = $2 and org_id = $3`,
		"gone": `update users set deleted_at = $1, state = 'deleted' where email_key = $2 and org_id = $3`,
		"off":  `update passwords set failures = 100, disabled_at = $1 where user_id = (select id from users where email_key = $2) and org_id = $3`,
	} {
		s.Update(t, func(ctx context.Context, tx *db.Tx) error {
			_, err := tx.Exec(ctx, change, db.Time(tx.Now()), name+"@alpha.example", string(org.ID))
			return err
		})
	}
	var first []string
	for _, name := range []string{"warm", "wrong", "nobody", "out", "off", "gone", "invited"} {
		mu.Lock()
		asked = nil
		mu.Unlock()
		form := url.Values{"email": {name + "@alpha.example"}, "password": {"a guess"}}
		if w := ask(t, s, post(t, s, "/o/alpha", form.Encode()), ""); w.Code != http.StatusUnprocessableEntity {
			t.Fatalf("%s is answered %d", name, w.Code)
		}
		mu.Lock()
		switch got := asked; {
		case name == "warm": // what is remembered is asked first
		case first == nil:
			if first = got; len(first) < 4 {
				t.Fatalf("only %q is asked: this test looks past it", first)
			}
		default:
			expect.Equal(t, name, strings.Join(got, "\n"), strings.Join(first, "\n"))
		}
		mu.Unlock()
	}
}
