package console_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/idptest"
)

// What each role may open and send. The table contains all the console's permissions, and the
// routes are the site's own: a new route must be added here.
func TestEveryRouteForEveryRole(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := w.alpha
	readers := []directory.Role{directory.Owner, directory.Administrator, directory.Helpdesk, directory.Auditor}
	changers := []directory.Role{directory.Owner, directory.Administrator, directory.Helpdesk}
	administrators := []directory.Role{directory.Owner, directory.Administrator}
	auditors := []directory.Role{directory.Owner, directory.Administrator, directory.Auditor}
	allowed := map[string][]directory.Role{
		"GET /o/{org}/admin":                          readers,
		"GET /o/{org}/admin/people":                   readers,
		"GET /o/{org}/admin/people/{id}":              readers,
		"GET /o/{org}/admin/people/{id}/email":        {directory.Owner}, // the id is an owner's
		"POST /o/{org}/admin/people/{id}/email":       {directory.Owner},
		"GET /o/{org}/admin/people/{id}/second-step":  {directory.Owner}, // says that this is the owner
		"POST /o/{org}/admin/people/{id}/second-step": {directory.Owner},
		"GET /o/{org}/admin/people/invite":            changers,
		"POST /o/{org}/admin/people/invite":           changers,
		"GET /o/{org}/admin/people/invite/many":       changers,
		"POST /o/{org}/admin/people/invite/many":      changers,
		"GET /o/{org}/admin/people/invite/sample":     changers,
		"GET /o/{org}/admin/people/export":            readers,
		"POST /o/{org}/admin/people/export":           readers,
		"GET /o/{org}/admin/people/change":            changers, // leads to the list
		"POST /o/{org}/admin/people/change":           changers,
		"GET /o/{org}/admin/invitations/{id}":         readers,
		// An empty form is refused to people who may not change anything, and shown again to
		// people who may.
		"POST /o/{org}/admin/invitations/{id}":              changers,
		"GET /o/{org}/admin/organization":                   readers,
		"POST /o/{org}/admin/organization":                  {directory.Owner, directory.Administrator},
		"GET /o/{org}/admin/organization/logo":              readers,
		"POST /o/{org}/admin/organization/logo":             {directory.Owner, directory.Administrator},
		"GET /o/{org}/admin/rules/password":                 readers,
		"POST /o/{org}/admin/rules/password":                {directory.Owner, directory.Administrator},
		"GET /o/{org}/admin/rules/second-step":              readers,
		"POST /o/{org}/admin/rules/second-step":             {directory.Owner, directory.Administrator},
		"GET /o/{org}/admin/rules/sessions":                 readers,
		"POST /o/{org}/admin/rules/sessions":                {directory.Owner, directory.Administrator},
		"GET /o/{org}/admin/domains":                        readers,
		"POST /o/{org}/admin/domains":                       {directory.Owner, directory.Administrator},
		"GET /o/{org}/admin/domains/{id}":                   readers,
		"POST /o/{org}/admin/domains/{id}":                  {directory.Owner, directory.Administrator},
		"GET /o/{org}/admin/groups":                         readers,
		"POST /o/{org}/admin/groups":                        administrators,
		"GET /o/{org}/admin/groups/{id}":                    readers,
		"POST /o/{org}/admin/groups/{id}":                   administrators,
		"GET /o/{org}/admin/groups/{id}/add":                administrators,
		"POST /o/{org}/admin/groups/{id}/add":               administrators,
		"GET /o/{org}/admin/single-sign-on":                 readers,
		"POST /o/{org}/admin/single-sign-on":                administrators,
		"GET /o/{org}/admin/single-sign-on/add":             administrators,
		"POST /o/{org}/admin/single-sign-on/add":            administrators,
		"GET /o/{org}/admin/single-sign-on/only":            readers,
		"POST /o/{org}/admin/single-sign-on/only":           administrators,
		"GET /o/{org}/admin/single-sign-on/only/people":     readers,
		"GET /o/{org}/admin/single-sign-on/attempts":        readers,
		"GET /o/{org}/admin/single-sign-on/attempts/{id}":   readers,
		"POST /o/{org}/admin/single-sign-on/attempts/{id}":  administrators,
		"GET /o/{org}/admin/connections/{id}/links":         readers,
		"POST /o/{org}/admin/connections/{id}/links":        administrators,
		"GET /o/{org}/admin/people/{id}/export":             {directory.Owner}, // of an owner
		"POST /o/{org}/admin/people/{id}/export":            {directory.Owner},
		"GET /o/{org}/admin/people/{id}/links":              readers,
		"POST /o/{org}/admin/people/{id}/links":             administrators,
		"GET /o/{org}/admin/connections/{id}":               readers,
		"POST /o/{org}/admin/connections/{id}":              administrators,
		"GET /o/{org}/admin/connections/{id}/logo":          readers,
		"POST /o/{org}/admin/connections/{id}/logo":         administrators,
		"GET /o/{org}/admin/connections/{id}/link":          readers,
		"POST /o/{org}/admin/connections/{id}/link":         administrators,
		"GET /o/{org}/admin/connections/{id}/people":        readers,
		"POST /o/{org}/admin/connections/{id}/people":       administrators,
		"GET /o/{org}/admin/connections/{id}/metadata":      readers,
		"POST /o/{org}/admin/connections/{id}/metadata":     administrators,
		"GET /o/{org}/admin/connections/{id}/client":        readers,
		"POST /o/{org}/admin/connections/{id}/client":       administrators,
		"GET /o/{org}/admin/connections/{id}/certificates":  readers,
		"POST /o/{org}/admin/connections/{id}/certificates": administrators,
		"GET /o/{org}/admin/connections/{id}/details":       readers,
		"POST /o/{org}/admin/connections/{id}/details":      administrators,
		"GET /o/{org}/admin/applications":                   readers,
		"GET /o/{org}/admin/applications/add":               administrators,
		"POST /o/{org}/admin/applications/add":              administrators,
		"GET /o/{org}/admin/applications/{id}":              readers,
		"POST /o/{org}/admin/applications/{id}":             administrators,
		"GET /o/{org}/admin/applications/{id}/logo":         readers,
		"POST /o/{org}/admin/applications/{id}/logo":        administrators,
		"GET /o/{org}/admin/applications/{id}/place":        readers,
		"POST /o/{org}/admin/applications/{id}/place":       administrators,
		"GET /o/{org}/admin/applications/{id}/sign-in":      readers,
		"POST /o/{org}/admin/applications/{id}/sign-in":     administrators,
		"GET /o/{org}/admin/applications/{id}/tokens":       readers,
		"POST /o/{org}/admin/applications/{id}/tokens":      administrators,
		"GET /o/{org}/admin/applications/{id}/claims":       readers,
		"POST /o/{org}/admin/applications/{id}/claims":      administrators,
		"GET /o/{org}/admin/applications/{id}/secrets":      readers,
		"POST /o/{org}/admin/applications/{id}/secrets":     administrators,
		"GET /o/{org}/admin/applications/{id}/test":         readers,
		"GET /o/{org}/admin/access":                         readers,
		"POST /o/{org}/admin/access":                        {directory.Owner},
		"GET /o/{org}/admin/access/add":                     readers,
		"POST /o/{org}/admin/access/add":                    readers,
		"GET /o/{org}/admin/access/tokens/{id}":             readers,
		"POST /o/{org}/admin/access/tokens/{id}":            readers, // the button is not for all of them
		"GET /o/{org}/admin/access/machines/{id}":           readers,
		"POST /o/{org}/admin/access/machines/{id}":          administrators,
		"GET /o/{org}/admin/provisioning":                   readers,
		"GET /o/{org}/admin/provisioning/add":               administrators,
		"POST /o/{org}/admin/provisioning/add":              administrators,
		"GET /o/{org}/admin/provisioning/{id}":              readers,
		"POST /o/{org}/admin/provisioning/{id}":             administrators,
		"GET /o/{org}/admin/provisioning/{id}/settings":     readers,
		"POST /o/{org}/admin/provisioning/{id}/settings":    administrators,
		"GET /o/{org}/admin/provisioning/{id}/token":        readers,
		"POST /o/{org}/admin/provisioning/{id}/token":       administrators,
		"GET /o/{org}/admin/provisioning/{id}/calls":        readers,
		"GET /o/{org}/admin/provisioning/{id}/check":        administrators,
		"POST /o/{org}/admin/provisioning/{id}/check":       administrators,
		"GET /o/{org}/admin/webhooks":                       readers,
		"GET /o/{org}/admin/webhooks/add":                   administrators,
		"POST /o/{org}/admin/webhooks/add":                  administrators,
		"GET /o/{org}/admin/webhooks/{id}":                  readers,
		"POST /o/{org}/admin/webhooks/{id}":                 administrators,
		"GET /o/{org}/admin/webhooks/{id}/secret":           readers,
		"POST /o/{org}/admin/webhooks/{id}/secret":          administrators,
		"GET /o/{org}/admin/webhooks/{id}/headers":          readers,
		"POST /o/{org}/admin/webhooks/{id}/headers":         administrators,
		"GET /o/{org}/admin/audit":                          auditors,
		"GET /o/{org}/admin/audit/{id}":                     auditors,
		"GET /o/{org}/admin/audit/export":                   auditors,
		"POST /o/{org}/admin/audit/export":                  auditors,
		"GET /o/{org}/admin/audit/check":                    auditors,
		"GET /o/{org}/admin/audit/keeping":                  auditors,
		"POST /o/{org}/admin/audit/keeping":                 {directory.Owner},
		"POST /o/{org}/admin/audit/{id}":                    {directory.Owner},
	}
	routes := w.consoleRoutes()
	if len(routes) != len(allowed) {
		t.Errorf("the console has %d routes, this table %d: %v", len(routes), len(allowed), routes)
	}
	for _, route := range routes {
		for role, b := range a.browsers {
			want := 403
			if slices.Contains(allowed[route], role) {
				want = 200
				if strings.HasPrefix(route, "POST /o/{org}/admin/people/invite") || strings.HasPrefix(route, "POST /o/{org}/admin/organization") ||
					route == "POST /o/{org}/admin/audit/keeping" || route == "POST /o/{org}/admin/people/{id}/email" || route == "POST /o/{org}/admin/rules/sessions" ||
					route == "POST /o/{org}/admin/rules/second-step" || route == "POST /o/{org}/admin/domains" ||
					route == "POST /o/{org}/admin/groups" || route == "POST /o/{org}/admin/groups/{id}/add" {
					want = 422 // nothing was typed
				}
				if strings.Contains(route, "/access/tokens/") && role == directory.Helpdesk {
					want = 404 // it is not theirs
				}
				if route == "POST /o/{org}/admin/access/add" {
					want = 422
				}
				if strings.HasPrefix(route, "POST /o/{org}/admin/webhooks/") && !strings.HasSuffix(route, "/secret") && !strings.HasSuffix(route, "/headers") {
					want = 422 // no button was pressed, or nothing was typed
				}
				if route == "POST /o/{org}/admin/people/change" {
					want = 400 // no page sends it empty
				}
				if route == "POST /o/{org}/admin/provisioning/add" || strings.HasPrefix(route, "POST /o/{org}/admin/provisioning/{id}/") && !strings.HasSuffix(route, "/token") {
					want = 422
				}
				if route == "POST /o/{org}/admin/provisioning/{id}/token" {
					want = 409 // it has two
				}
				if route == "POST /o/{org}/admin/single-sign-on" {
					want = 404 // it names no connection
				}
				if strings.HasPrefix(route, "POST /o/{org}/admin/single-sign-on/") || strings.HasPrefix(route, "POST /o/{org}/admin/connections/") && !strings.HasSuffix(route, "/people") {
					want = 422
				}
				if strings.HasPrefix(route, "POST /o/{org}/admin/applications/") && !strings.HasSuffix(route, "/secrets") {
					want = 422 // no button of the secrets was pressed
				}
				if route == "POST /o/{org}/admin/single-sign-on/only" {
					want = 200 // no button was pressed
				}
				if route == "POST /o/{org}/admin/rules/password" {
					want = 400 // it names neither of both kinds of rules
				}
				if strings.HasPrefix(route, "POST ") && (strings.HasSuffix(route, "/links") || strings.HasSuffix(route, "/attempts/{id}")) {
					want = 404 // it names no link, and no link was refused to the attempt
				}
				if route == "POST /o/{org}/admin/people/{id}/links" && role == directory.Administrator {
					want = 403 // the person is an owner
				}
				if route == "POST /o/{org}/admin/people/{id}/second-step" {
					want = 409 // nobody resets their own
				}
			}
			if p := call(b, route, "alpha", a.idFor(route), url.Values{}); p.Status != want {
				t.Errorf("%s as %s: %d, want %d: %s", route, role, p.Status, want, p.Text())
			}
		}
		if p := call(w.Browser(t), route, "alpha", a.idFor(route), url.Values{}); !atDoor(p, "alpha") {
			t.Errorf("%s without a session leads to %s", route, p.URL)
		}
	}
	refused := w.events(t, a.ID, "request.refused")
	if len(refused) == 0 || refused[0].Result != audit.Refused || refused[0].Actor == audit.Anonymous {
		t.Errorf("refusals are not in the audit log: %v", refused)
	}
}

// atDoor reports whether somebody is asked to sign in to an organization.
func atDoor(p *idptest.Page, org string) bool {
	return strings.HasPrefix(p.URL.Path, "/sign-in/") || p.URL.Path == "/o/"+org
}

func (w *world) consoleRoutes() []string {
	var all []string
	for _, r := range w.Site.Routes() {
		if strings.Contains(r.Pattern, "/admin") {
			all = append(all, r.Pattern)
		}
	}
	return all
}

// idFor returns the organization's own id for a route's path.
func (o organization) idFor(route string) string {
	switch {
	case strings.Contains(route, "/invitations/"):
		return o.invitation
	case strings.Contains(route, "/audit/"):
		return o.event
	case strings.Contains(route, "/connections/"):
		return o.connection
	case strings.Contains(route, "/attempts/"):
		return o.attempt
	case strings.Contains(route, "/domains/"):
		return o.domain
	case strings.Contains(route, "/groups/"):
		return o.group
	case strings.Contains(route, "/access/tokens/"):
		return o.token
	case strings.Contains(route, "/access/machines/"):
		return o.machine
	case strings.Contains(route, "/provisioning/"):
		return o.source
	case strings.Contains(route, "/webhooks/"):
		return o.webhook
	case strings.Contains(route, "/applications/"):
		return o.application
	}
	return o.user
}

func call(b *idptest.Browser, route, org, id string, form url.Values) *idptest.Page {
	method, pattern, _ := strings.Cut(route, " ")
	path := strings.NewReplacer("{org}", org, "{id}", id).Replace(pattern)
	if method == "POST" {
		return b.Post(path, form)
	}
	return b.Get(path)
}

// TEN-1: whatever a role of alpha sends with an id of beta, it gets the answer for an id that
// does not exist, and nothing of beta is read or changed.
func TestForeignIdsLookAbsent(t *testing.T) {
	t.Parallel()
	w := start(t)
	foreign := map[string]string{"user": w.beta.user, "invitation": w.beta.invitation, "domain": w.beta.domain, "group": w.beta.group, "event": w.beta.event, "connection": w.beta.connection, "attempt": w.beta.attempt, "application": w.beta.application, "token": w.beta.token, "machine": w.beta.machine, "webhook": w.beta.webhook, "organization": string(w.beta.ID)}
	absent := map[string]string{
		"well formed": "usr_aaaaaaaaaaaaaaaaaaaaaaaaaa", "an invitation": "inv_aaaaaaaaaaaaaaaaaaaaaaaaaa",
		"no id": "x", "zero byte": "usr_%00", "not UTF-8": "%ff", "a quote": "'%20or%201=1--", "a folder": "..%2faudit", "of another kind": w.alpha.event[:4] + "aaaaaaaaaaaaaaaaaaaaaaaaaa",
	}
	forms := []url.Values{{}, {"do": {"resend"}}, {"do": {"withdraw"}}, {"do": {"withdraw"}, "confirmed": {"yes"}}, {"do": {"check"}}, {"do": {"remove"}, "confirmed": {"yes"}}, {"do": {"delete"}, "confirmed": {"yes"}}, {"do": {"rename"}, "name": {"Stolen"}}, {"do": {"remove"}, "person[]": {w.alpha.user}}, {"person[]": {w.alpha.user}},
		{"do": {"add"}}, {"do": {"remove"}, "secret": {"sec_aaaaaaaaaaaaaaaaaaaaaaaaaa"}, "confirmed": {"yes"}}, {"audience": {"everyone"}, "standing": {"forbidden"}}, {"do": {"replay"}, "since": {"all"}, "confirmed": {"yes"}}, {"header[]": {"X-A"}, "header_value[]": {"1"}},
		{"redirect_uris": {"https://evil.example/"}, "scope[]": {"email"}, "scopes": {""}}, {"access_for": {"5m0s"}, "id_token_for": {"10m0s"}, "refresh_for": {"720h0m0s"}, "algorithm": {"ES256"}},
		{"do": {"revoke"}, "confirmed": {"yes"}}, {"do": {"end"}, "confirmed": {"yes"}}, {"do": {"confirm"}}, {"do": {"grant"}, "scope[]": {"parvis.people.read"}, "role": {"auditor"}, "lasts": {"720h0m0s"}},
		{"claim[]": {"shoe"}, "source[]": {"email"}, "value[]": {""}}, {"name": {"Stolen"}, "address": {"https://evil.example/"}},
	}
	const nobody = "usr_bbbbbbbbbbbbbbbbbbbbbbbbbb"
	before := w.rows(t, w.beta.ID)
	for _, route := range w.consoleRoutes() {
		if !strings.Contains(route, "{id}") {
			continue
		}
		for role, b := range w.alpha.browsers {
			for i, form := range forms {
				want := call(b, route, "alpha", nobody, form)
				if want.Status != 404 && want.Status != 403 && want.Status != 400 { // 400: a field that the form does not have
					t.Fatalf("%s as %s for an id that nobody has: %d", route, role, want.Status)
				}
				tried := []map[string]string{foreign, absent}
				if i > 0 {
					tried = tried[:1] // what is no id is seen before the form is
				}
				if i > 0 && want.Status == http.StatusBadRequest {
					tried = []map[string]string{{"of the route": w.beta.idFor(route)}} // a form with such a field is refused before its id is read
				}
				for _, ids := range tried {
					for kind, id := range ids {
						got := call(b, route, "alpha", id, form)
						if got.Status != want.Status || masked(strings.ReplaceAll(got.Body, "/"+id, "/"+nobody)) != masked(want.Body) && readable(got) != readable(want) {
							t.Errorf("%s as %s with %s (%s): %d %q, want %d %q", route, role, id, kind, got.Status, readable(got), want.Status, readable(want))
						}
					}
				}
				if strings.HasPrefix(route, "GET") || want.Status == 403 { // a role that may not is refused before its form is read
					break
				}
			}
		}
	}
	// The ids that the form for many people names.
	for role, b := range w.alpha.browsers {
		if !slices.Contains([]directory.Role{directory.Owner, directory.Administrator, directory.Helpdesk}, role) {
			continue
		}
		for _, form := range []url.Values{{"deed": {"deactivate"}}, {"deed": {"role-member"}, "confirmed": {"yes"}}, {"deed": {"reset"}, "confirmed": {"yes"}}} {
			want := b.Post("/o/alpha/admin/people/change", with(form, "person[]", "usr_bbbbbbbbbbbbbbbbbbbbbbbbbb"))
			if want.Status != 404 {
				t.Fatalf("%v as %s for an id that nobody has: %d", form, role, want.Status)
			}
			for _, ids := range []map[string]string{foreign, absent} {
				for kind, id := range ids {
					if plain, err := url.PathUnescape(id); err == nil {
						id = plain
					}
					got := b.Post("/o/alpha/admin/people/change", with(form, "person[]", id))
					of := expect.Case(t, "%v as %s with %s (%s)", form, role, id, kind)
					if kind == "zero byte" || kind == "not UTF-8" {
						expect.Equal(of, "status", got.Status, 400)
						continue
					}
					expect.Equal(of, "status", got.Status, 404)
					expect.Equal(of, "page", readable(got), readable(want))
				}
			}
		}
	}
	if after := w.rows(t, w.beta.ID); after != before {
		t.Errorf("beta changed:\n%s\n--- before:\n%s", after, before)
	}
}

var reference = regexp.MustCompile(`req_[a-z2-7]+`)

func masked(text string) string { return reference.ReplaceAllString(text, "REFERENCE") }

// readable takes far longer than masked of the page's source, which few pages differ in.
func readable(p *idptest.Page) string { return masked(p.Text()) }

// TEN-1 in every other place: beta's name in the path, its ids and addresses in filters and
// cursors, its id in fields.
func TestForeignIdsInQueriesAndFields(t *testing.T) {
	t.Parallel()
	w := start(t)
	before := w.rows(t, w.beta.ID)
	for role, b := range w.alpha.browsers {
		for _, route := range w.consoleRoutes() {
			p := call(b, route, "beta", w.beta.idFor(route), url.Values{"do": {"resend"}})
			if !atDoor(p, "beta") || p.Says("@beta.example") {
				t.Errorf("%s of beta as %s of alpha: %d at %s: %s", route, role, p.Status, p.URL, p.Text())
			}
		}
		if role == directory.Member {
			continue
		}
		lists := []string{"people"}
		if role.ReadsAudit() {
			lists = append(lists, "audit")
		}
		for _, list := range lists {
			for _, query := range []url.Values{
				{"q": {"beta.example"}}, {"q": {w.beta.user}}, {"q": {"%"}}, {"q": {"_"}}, {"q": {`\`}},
				{"before": {place(w.Clock.Now().Add(time.Hour), w.beta.user)}},
				{"before": {place(w.Clock.Now().Add(time.Hour), w.beta.event)}},
				{"org": {string(w.beta.ID)}}, {"org_id": {string(w.beta.ID)}},
			} {
				want := 200
				if list == "people" && query.Has("before") {
					want = 400 // a place in the list of people is sealed
				}
				p := seen(t, b.Get("/o/alpha/admin/"+list+"?"+query.Encode()), want)
				if strings.Contains(p.Body, "@beta.example") || strings.Contains(p.Body, "Beta Shipping") {
					t.Errorf("%s?%s as %s shows beta: %s", list, query.Encode(), role, p.Text())
				}
			}
		}
	}
	owner := w.alpha.browsers[directory.Owner]
	form := url.Values{"email": {"new@alpha.example"}, "name": {""}, "role": {"member"}, "invited_language": {"en"}}
	change := url.Values{"deed": {"deactivate"}, "person[]": {w.alpha.user}, "confirmed": {"yes"}}
	for _, extra := range []string{"org", "org_id", "organization", "id", "invited_by", "expires_at", "person", "deactivated_at", "password"} {
		if p := owner.Post("/o/alpha/admin/people/invite", with(form, extra, string(w.beta.ID))); p.Status != 400 {
			t.Errorf("a field %s: %d, want 400", extra, p.Status)
		}
		if p := owner.Post("/o/alpha/admin/people/change", with(change, extra, string(w.beta.ID))); p.Status != 400 {
			t.Errorf("a field %s of a change: %d, want 400", extra, p.Status)
		}
	}
	if after := w.rows(t, w.beta.ID); after != before {
		t.Errorf("beta changed:\n%s\n--- before:\n%s", after, before)
	}
}

func with(form url.Values, name, value string) url.Values {
	c := url.Values{name: {value}}
	for k, v := range form {
		c[k] = v
	}
	return c
}

func place(at time.Time, id string) string { return fmt.Sprint(at.UnixMicro(), ".", id) }

// INJ-4: whatever is in a list's address, the answer is the list or a 400.
func TestHostileQueries(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Owner]
	now := w.Clock.Now()
	for list, filter := range map[string]string{"people": "state", "audit": "result"} {
		for query, want := range map[string]int{
			"":                                   200,
			"q=" + strings.Repeat("é", 200):      200,
			"q=" + strings.Repeat("é", 201):      400,
			"q=%00":                              400,
			"q=%ff":                              400,
			"q='%3b+drop+table+users--":          200,
			"q=%25%25_%5c":                       200,
			filter + "=unknown":                  400,
			filter + "=":                         200,
			filter + "=%27":                      400,
			"before=" + place(now, w.alpha.user): 200,
			"before=" + place(now, "usr_"):       400,
			"before=" + place(now, w.alpha.user) + "x":                400,
			"before=" + place(time.UnixMicro(-5), w.alpha.user):       400,
			"before=99999999999999999999999." + w.alpha.user:          400,
			"before=9223372036854775807." + w.alpha.user:              200,
			"before=1." + w.alpha.user:                                200,
			"before=x":                                                400,
			"before=." + w.alpha.user:                                 400,
			"before=%00":                                              400,
			"before=" + place(now, strings.ToUpper(w.alpha.user)):     400,
			"before=" + place(now, w.alpha.user+"%27%20or%201=1--"):   400,
			"before=" + place(now, w.alpha.user) + "&before=nonsense": 400,
		} {
			if list == "people" && strings.HasPrefix(query, "before=") {
				want = 400 // a place in the list of people is sealed
			}
			p := b.Get("/o/alpha/admin/" + list + "?" + query)
			if p.Status != want {
				t.Errorf("%s?%s: %d, want %d", list, query, p.Status, want)
			}
			if found := gap.FindString(p.Text()); found != "" {
				t.Errorf("%s?%s shows a gap: %s", list, query, found)
			}
		}
	}
}

func TestAuditorLooksAndDoesNotTouch(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Auditor]
	before := w.stateOf(t, w.alpha.ID, w.alpha.invitation)
	people := seen(t, b.Get("/o/alpha/admin/people"), 200)
	if slices.Contains(people.Links(), "/o/alpha/admin/people/invite") {
		t.Error("an auditor is offered to invite")
	}
	p := seen(t, b.Get("/o/alpha/admin/invitations/"+w.alpha.invitation), 200)
	if p.Has("button", "value", "resend") || p.Has("button", "value", "withdraw") {
		t.Error("an auditor is offered buttons that would refuse")
	}
	for _, form := range []url.Values{{"do": {"resend"}}, {"do": {"withdraw"}, "confirmed": {"yes"}}} {
		if p := b.Post("/o/alpha/admin/invitations/"+w.alpha.invitation, form); p.Status != 403 {
			t.Errorf("%v: %d", form, p.Status)
		}
	}
	// A stale proof does not change the answer, nor does the language form.
	w.Clock.Advance(11 * time.Minute)
	if p := b.Post("/o/alpha/admin/invitations/"+w.alpha.invitation, url.Values{"do": {"resend"}}); p.Status != 403 {
		t.Errorf("after eleven minutes: %d", p.Status)
	}
	if after := w.stateOf(t, w.alpha.ID, w.alpha.invitation); after != before {
		t.Errorf("the invitation went from %s to %s", before, after)
	}
	auditor := w.idOf(t, w.alpha.ID, "users", "auditor@alpha.example")
	refused := slices.DeleteFunc(w.events(t, w.alpha.ID, "request.refused"), func(e audit.Stored) bool { return e.Actor != auditor })
	if len(refused) != 3 {
		t.Errorf("%d refusals of three are in the audit log", len(refused))
	}
}

func TestHelpdeskLooksAfterMembersOnly(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Helpdesk]
	p := seen(t, b.Get("/o/alpha/admin/people/invite"), 200)
	for _, role := range directory.Roles {
		if p.Has("option", "value", string(role)) != (role == directory.Member) {
			t.Errorf("helpdesk may choose %s: %v", role, role != directory.Member)
		}
	}
	for _, role := range directory.Roles {
		form := p.Form("main").Fill("email", "for-"+string(role)+"@alpha.example")
		form.Values.Set("role", string(role))
		want := 403
		if role == directory.Member {
			want = 200
		}
		if p := form.Submit(""); p.Status != want {
			t.Errorf("helpdesk invites %s: %d, want %d", role, p.Status, want)
		}
	}
	administrators := w.invitation(t, w.alpha.Organization, "chief@alpha.example", directory.Administrator)
	path := "/o/alpha/admin/invitations/" + administrators.ID
	if p := seen(t, b.Get(path), 200); p.Has("button", "value", "resend") || p.Has("button", "value", "withdraw") {
		t.Error("helpdesk is offered to change an administrator's invitation")
	}
	for _, form := range []url.Values{{"do": {"resend"}}, {"do": {"withdraw"}, "confirmed": {"yes"}}} {
		if p := b.Post(path, form); p.Status != 403 {
			t.Errorf("helpdesk sends %v: %d", form, p.Status)
		}
	}
	if state := w.stateOf(t, w.alpha.ID, administrators.ID); state != directory.InvitationWaiting {
		t.Errorf("the administrator's invitation is %s", state)
	}
	if links := b.Get("/o/alpha/admin/people/" + w.alpha.user).Links(); slices.ContainsFunc(links, func(l string) bool { return strings.Contains(l, "/audit") }) {
		t.Errorf("helpdesk is led to the audit log: %v", links)
	}
	if n := len(w.events(t, w.alpha.ID, "request.refused")); n != 6 {
		t.Errorf("%d refusals of six are in the audit log", n)
	}
}

// An older proof leads through fresh proof to the page that was asked for, and a form comes
// back as it was filled in (decision 0009).
func TestStaleProof(t *testing.T) {
	t.Parallel()
	t.Run("too old to change anything", func(t *testing.T) { testStaleProof(t, 11*time.Minute) })
	t.Run("too old to read anything", func(t *testing.T) { testStaleProof(t, 13*time.Hour) })
}

func testStaleProof(t *testing.T, after time.Duration) {
	w := start(t)
	b := w.alpha.browsers[directory.Owner]
	form := b.Get("/o/alpha/admin/people/invite").Form("main").
		Fill("email", "Lin@Alpha.example").Fill("name", "Đặng Linh").Fill("role", "auditor").Fill("invited_language", "fr")
	w.Clock.Advance(after)
	p := proveAgain(t, form.Submit(""))
	if p.URL.Path != "/o/alpha/admin/people/invite" || p.Status != 200 {
		t.Fatalf("after the proof: %d at %s", p.Status, p.URL)
	}
	back := p.Form("main")
	for name, want := range map[string]string{"email": "Lin@Alpha.example", "name": "Đặng Linh", "role": "auditor", "invited_language": "fr"} {
		if got := back.Values.Get(name); got != want {
			t.Errorf("%s came back as %q, want %q", name, got, want)
		}
	}
	if n := len(w.events(t, w.alpha.ID, "invitation.sent")); n != len(directory.Roles)+1 {
		t.Error("something was sent before the proof")
	}
	p = seen(t, back.Submit(""), 200)
	if !strings.HasPrefix(p.URL.Path, "/o/alpha/admin/invitations/") || !p.Says("Lin@alpha.example") || !p.Says("Auditor") {
		t.Fatalf("after sending: %s: %s", p.URL, p.Text())
	}

	withdraw := p.Form("main")
	w.Clock.Advance(11 * time.Minute)
	p = proveAgain(t, withdraw.Submit("withdraw"))
	idptest.Want(t, p, idptest.Says("console.confirm.returned"), idptest.Says("console.confirm.withdraw", "Email", "Lin@alpha.example"))
	idptest.Want(t, presses(t, p), idptest.Says("console.state.withdrawn"))

	resend := b.Get("/o/alpha/admin/invitations/" + w.alpha.invitation).Form("resend")
	w.Clock.Advance(11 * time.Minute)
	p = proveAgain(t, resend.Submit("resend"))
	idptest.Want(t, p, idptest.Says("console.confirm.returned"), idptest.Says("console.confirm.resend", "Email", "waiting@alpha.example"))
	if w.stateOf(t, w.alpha.ID, w.alpha.invitation) == directory.InvitationReplaced {
		t.Error("the proof alone sent it again")
	}
	idptest.Want(t, presses(t, p), idptest.Says("console.invitation.sent_to", "Email", "waiting@alpha.example"))
}

func TestReadingNeedsAProofWithinTwelveHoursAndAnHourOfUse(t *testing.T) {
	t.Parallel()
	for name, wait := range map[string]func(*world, *idptest.Browser){
		"idle for more than an hour": func(w *world, _ *idptest.Browser) { w.Clock.Advance(61 * time.Minute) },
		"used all day long": func(w *world, b *idptest.Browser) {
			for range 16 {
				w.Clock.Advance(46 * time.Minute)
				b.Get("/o/alpha/home")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t)
			b := w.alpha.browsers[directory.Administrator]
			seen(t, b.Get("/o/alpha/admin/audit"), 200)
			w.Clock.Advance(50 * time.Minute)
			if p := b.Get("/o/alpha/admin/audit?q=ana&result=done"); p.Status != 200 || p.URL.Path != "/o/alpha/admin/audit" {
				t.Fatalf("within the hour: %d at %s", p.Status, p.URL)
			}
			wait(w, b)
			b.Get("/o/alpha/home") // coming back proves nothing
			b.Get("/o/alpha/admin/audit")
			w.Clock.Advance(2 * time.Minute)
			p := proveAgain(t, b.Get("/o/alpha/admin/audit?q=ana&result=done"))
			if p.Status != 200 || p.URL.RequestURI() != "/o/alpha/admin/audit?q=ana&result=done" {
				t.Errorf("back at %s (%d)", p.URL, p.Status)
			}
		})
	}
}

// The next request sees a changed role, or that the person is deactivated.
func TestARoleChangesAtOnce(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Administrator]
	seen(t, b.Get("/o/alpha/admin/people/invite"), 200)
	id := w.idOf(t, w.alpha.ID, "users", "administrator@alpha.example")
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, `update users set role = 'member' where org_id = $1 and id = $2`, string(w.alpha.ID), id)
		return err
	})
	if p := b.Get("/o/alpha/admin/people"); p.Status != 403 {
		t.Errorf("a former administrator: %d", p.Status)
	}
}
