package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"parvis/internal/access"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/edge"
	"parvis/internal/expect"
)

func TestATokenSaysWhoCalls(t *testing.T) {
	t.Parallel()
	w := start(t)
	owner := w.alpha.users[directory.Owner]
	got := w.call(t, as{token: w.alpha.tokens[directory.Owner]}, "GET", "/me", "").want(t, 200)
	if got.field("user_id") != string(owner.ID) {
		t.Errorf("the user is %q", got.field("user_id"))
	}
	if got.field("role") != "owner" {
		t.Errorf("the role is %q", got.field("role"))
	}
	if organization, _ := got.json["organization"].(map[string]any); organization["id"] != string(w.alpha.ID) {
		t.Errorf("the organization is %v", organization)
	}
}

func TestWhatIsNoTokenIsRefused(t *testing.T) {
	t.Parallel()
	w := start(t)
	token := w.alpha.tokens[directory.Owner]
	for name, a := range map[string]as{
		"none":              {},
		"another text":      {token: "pak_" + strings.Repeat("a", 43)},
		"no prefix":         {token: strings.TrimPrefix(token, "pak_")},
		"another scheme":    {more: map[string]string{"Authorization": "Basic " + token}},
		"a token in a form": {more: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}},
		"in a cookie":       {more: map[string]string{"Cookie": "access_token=" + token}},
	} {
		t.Run(name, func(t *testing.T) {
			got := w.call(t, a, "GET", "/users", "").want(t, 401)
			if !strings.HasPrefix(got.Header.Get("WWW-Authenticate"), "Bearer") {
				t.Errorf("the challenge is %q", got.Header.Get("WWW-Authenticate"))
			}
		})
	}
	t.Run("in the query", func(t *testing.T) {
		w.call(t, as{}, "GET", "/users?access_token="+url.QueryEscape(token), "").want(t, 401)
	})
	t.Run("twice", func(t *testing.T) {
		q, err := http.NewRequestWithContext(t.Context(), "GET", w.URL+"/api/v1/users", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		q.Header["Authorization"] = []string{"Bearer " + token, "Bearer " + token}
		response, err := w.wire.RoundTrip(q)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if response.StatusCode != 401 {
			t.Errorf("got %d", response.StatusCode)
		}
	})
}

func TestACallUnderAnotherNameIsRefusedAndLedNowhere(t *testing.T) {
	t.Parallel()
	w := start(t)
	for _, method := range []string{"GET", "POST"} {
		q, err := http.NewRequestWithContext(t.Context(), method, w.URL+"/api/v1/users", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		q.Host = "elsewhere.example"
		q.Header.Set("Authorization", "Bearer "+w.alpha.tokens[directory.Owner])
		response, err := w.wire.RoundTrip(q)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusMisdirectedRequest {
			t.Errorf("%s: got %d, want 421", method, response.StatusCode)
		}
	}
}

func TestEverybodyIsListedByKey(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := as{token: w.alpha.tokens[directory.Auditor]}
	seen, path := map[string]bool{}, "/users?limit=2"
	for path != "" {
		page := w.call(t, a, "GET", path, "").want(t, 200)
		if len(page.items()) > 2 {
			t.Fatalf("a page has %d lines", len(page.items()))
		}
		for _, u := range page.items() {
			id := fmt.Sprint(u["id"])
			if seen[id] {
				t.Errorf("%s is listed twice", id)
			}
			seen[id] = true
		}
		path = ""
		if next := page.field("next"); next != "" {
			path = "/users?limit=2&cursor=" + url.QueryEscape(next)
		}
	}
	if len(seen) != len(directory.Roles) {
		t.Errorf("%d people are listed, want %d", len(seen), len(directory.Roles))
	}
	for _, u := range w.beta.users {
		if seen[string(u.ID)] {
			t.Errorf("a neighbour is listed: %s", u.ID)
		}
	}
	counted := w.call(t, a, "GET", "/users?limit=1&count=true&role=owner", "").want(t, 200)
	if n, _ := counted.json["count"].(json.Number); n.String() != "1" {
		t.Errorf("%v owners are counted", counted.json["count"])
	}
}

func TestACursorIsGoodForOneCallerAndOneQuery(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := as{token: w.alpha.tokens[directory.Owner]}
	next := url.QueryEscape(w.call(t, a, "GET", "/users?limit=1", "").want(t, 200).field("next"))
	for name, c := range map[string]struct {
		as
		path string
	}{
		"another query":        {a, "/users?limit=1&role=owner&cursor=" + next},
		"another list":         {a, "/invitations?limit=1&cursor=" + next},
		"another caller":       {as{token: w.alpha.tokens[directory.Auditor]}, "/users?limit=1&cursor=" + next},
		"another organization": {as{token: w.beta.tokens[directory.Owner]}, "/users?limit=1&cursor=" + next},
		"edited":               {a, "/users?limit=1&cursor=" + next + "A"},
		"made up":              {a, "/users?cursor=usr_1"},
	} {
		t.Run(name, func(t *testing.T) {
			w.call(t, c.as, "GET", c.path, "").refused(t, 422, "api.cursor", "cursor")
		})
	}
	w.Clock.Advance(25 * 3600e9)
	w.call(t, a, "GET", "/users?limit=1&cursor="+next, "").refused(t, 422, "api.cursor", "cursor")
}

func TestAChangeWithTheTagOfAnEarlierOneIsRefused(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := as{token: w.alpha.tokens[directory.Owner]}
	path := "/users/" + string(w.alpha.users[directory.Member].ID)
	tag := w.call(t, a, "GET", path, "").want(t, 200).Header.Get("ETag")
	first := as{token: a.token, more: map[string]string{"If-Match": tag}}
	changed := w.call(t, first, "PATCH", path, `{"name": "Ada Lind"}`).want(t, 200)
	if changed.field("name") != "Ada Lind" {
		t.Errorf("the name is %q", changed.field("name"))
	}
	if changed.field("language") != "en" {
		t.Errorf("what was not sent became %q", changed.field("language"))
	}
	w.call(t, first, "PATCH", path, `{"name": "Somebody Else"}`).refused(t, 412, "api.changed_since", "")
	second := as{token: a.token, more: map[string]string{"If-Match": changed.Header.Get("ETag")}}
	w.call(t, second, "PATCH", path, `{"name": "Ada Lovelace"}`).want(t, 200)
	if got := w.call(t, a, "GET", path, "").want(t, 200).field("name"); got != "Ada Lovelace" {
		t.Errorf("the name is %q", got)
	}
	for name, match := range map[string]string{"weak": `W/` + tag, "any": "*", "a list": tag + ", " + tag, "bare": strings.Trim(tag, `"`)} {
		t.Run(name, func(t *testing.T) {
			w.call(t, as{token: a.token, more: map[string]string{"If-Match": match}}, "PATCH", path, `{"name": "X"}`).refused(t, 400, "api.if_match_form", "")
		})
	}
}

func TestARequestRepeatedUnderItsKeyIsDoneOnce(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := as{token: w.alpha.tokens[directory.Owner], more: map[string]string{"Idempotency-Key": "first"}}
	const body = `{"email": "bo@alpha.example", "role": "member"}`
	var wg sync.WaitGroup
	answers := make([]answer, 8)
	for i := range answers {
		wg.Go(func() { answers[i] = w.call(t, a, "POST", "/invitations", body) })
	}
	wg.Wait()
	for _, one := range answers {
		one.want(t, 201)
		if string(one.text) != string(answers[0].text) {
			t.Errorf("one answer is %s, another %s", answers[0].text, one.text)
		}
	}
	if n := len(w.call(t, a, "GET", "/invitations?q=bo@", "").want(t, 200).items()); n != 1 {
		t.Errorf("%d invitations were made", n)
	}
	w.call(t, a, "POST", "/invitations", `{"email": "cy@alpha.example"}`).refused(t, 422, "api.other_request", "")
	other := as{token: w.beta.tokens[directory.Owner], more: a.more}
	w.call(t, other, "POST", "/invitations", `{"email": "bo@beta.example"}`).want(t, 201)
	for name, key := range map[string]string{"empty": "", "long": strings.Repeat("k", 256), "no text": "a\tb"} {
		t.Run(name, func(t *testing.T) {
			w.call(t, as{token: a.token, more: map[string]string{"Idempotency-Key": key}}, "POST", "/invitations", body).refused(t, 400, "api.idempotency_key", "")
		})
	}
	w.Clock.Advance(25 * 3600e9)
	w.call(t, a, "POST", "/invitations", body).refused(t, 422, "directory.already_invited", "/email")
}

func TestADryRunAnswersAsTheDeedAndChangesNothing(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := as{token: w.alpha.tokens[directory.Owner], more: map[string]string{"Idempotency-Key": "one"}}
	before := w.dump(t)
	const body = `{"email": "bo@alpha.example", "role": "member"}`
	dry := w.call(t, a, "POST", "/invitations?dry_run=true", body).want(t, 201)
	group := "/groups/" + w.alpha.ids["groups"]
	w.call(t, a, "PATCH", group+"?dry_run=true", `{"name": "Dispatch"}`).want(t, 200)
	w.call(t, a, "DELETE", group+"?dry_run=true", "").want(t, 204)
	w.call(t, a, "POST", "/invitations?dry_run=true", `{"email": "member@alpha.example"}`).refused(t, 422, "directory.already_member", "/email")
	if after := w.dump(t); after != before {
		t.Errorf("rows before: %s\nand after: %s", before, after)
	}
	done := w.call(t, a, "POST", "/invitations", body).want(t, 201)
	for name := range done.json {
		if name != "id" && fmt.Sprint(done.json[name]) != fmt.Sprint(dry.json[name]) {
			t.Errorf("%s is %v, and was %v in the dry run", name, done.json[name], dry.json[name])
		}
	}
}

// dump counts the rows of what API calls change, and sums up what they hold.
func (w *world) dump(t *testing.T) string {
	t.Helper()
	var text string
	for _, table := range []string{"users", "invitations", "groups", "members", "letters", "answers", "domains", "connections", "clients", "client_organizations", "session_rules", "audit_events"} {
		var n int
		var names string
		column := map[string]string{"groups": "max(name)", "connections": "max(name)", "clients": "max(settings)", "users": "max(display_name)"}[table]
		if column == "" {
			column = "''"
		}
		if _, err := w.DB.One(t.Context(), db.Into(&n, &names), `select count(*), `+column+` from `+table); err != nil {
			t.Fatal(err)
		}
		text += fmt.Sprintf("%s %d %s; ", table, n, names)
	}
	return text
}

func TestWhatIsSentIsReadStrictly(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := as{token: w.alpha.tokens[directory.Owner]}
	before := w.dump(t)
	for name, c := range map[string]struct {
		body   string
		status int
		code   string
		at     string
	}{
		"doubled key":             {`{"email": "a@alpha.example", "email": "b@alpha.example"}`, 422, "api.twice", "/email"},
		"changed case":            {`{"Email": "a@alpha.example"}`, 422, "", "/Email"},
		"unknown key":             {`{"email": "a@alpha.example", "admin": true}`, 422, "api.unknown_field", "/admin"},
		"read-only key":           {`{"email": "a@alpha.example", "state": "accepted"}`, 422, "api.unknown_field", "/state"},
		"missing key":             {`{}`, 422, "api.missing", "/email"},
		"trailing data":           {`{"email": "a@alpha.example"} {}`, 400, "api.not_json", ""},
		"half a pair":             {`{"email": "a@alpha.example", "name": "\ud800"}`, 422, "api.characters", "/name"},
		"NUL":                     {`{"email": "a@alpha.example", "name": "a\u0000"}`, 422, "api.characters", "/name"},
		"no UTF-8":                {"{\"email\": \"\xff\"}", 400, "api.not_json", ""},
		"a number":                {`{"email": 12}`, 422, "api.type", "/email"},
		"null":                    {`{"email": null}`, 422, "api.type", "/email"},
		"a list":                  {`[]`, 422, "api.type", ""},
		"unknown role":            {`{"email": "a@alpha.example", "role": "king"}`, 422, "api.one_of", "/role"},
		"depth":                   {`{"email": ` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + `}`, 400, "api.deep", ""},
		"one megabyte":            {`{"email": "` + strings.Repeat("a", 1<<20) + `"}`, 413, "api.body_large", ""},
		"no JSON":                 {`email=a@alpha.example`, 400, "api.not_json", ""},
		"an address that is none": {`{"email": "nobody"}`, 422, "", "/email"},
	} {
		t.Run(name, func(t *testing.T) {
			got := w.call(t, a, "POST", "/invitations", c.body)
			code := c.code
			if code == "" {
				code = got.field("code")
			}
			got.refused(t, c.status, code, c.at)
			if c.at != "" && strings.Contains(string(got.text), "a@alpha.example") {
				t.Errorf("the refusal repeats what was sent: %s", got.text)
			}
		})
	}
	for name, media := range map[string]string{"text": "text/plain", "a form": "application/x-www-form-urlencoded", "none": ""} {
		t.Run(name, func(t *testing.T) {
			w.call(t, as{token: a.token, more: map[string]string{"Content-Type": media}}, "POST", "/invitations", `{"email": "a@alpha.example"}`).refused(t, 415, "api.media_type", "")
		})
	}
	for name, c := range map[string]struct{ path, code, at string }{
		"unknown parameter": {"/users?offset=3", "api.parameter_unknown", "offset"},
		"parameter twice":   {"/users?role=owner&role=member", "api.twice", "role"},
		"too many":          {"/users?limit=201", "api.limit", "limit"},
		"no number":         {"/users?limit=ten", "api.type", "limit"},
		"more than fits":    {"/users?limit=1e999", "api.type", "limit"},
		"unknown state":     {"/users?state=invited", "api.one_of", "state"},
		"no time":           {"/users?last_sign_in_before=yesterday", "api.time", "last_sign_in_before"},
		"two selections":    {"/users?email=a%40alpha.example&role=owner", "api.email_alone", "email"},
		"NUL":               {"/users?q=%00", "api.characters", "q"},
		"dry run of a list": {"/users?dry_run=true", "api.parameter_unknown", "dry_run"},
	} {
		t.Run(name, func(t *testing.T) { w.call(t, a, "GET", c.path, "").refused(t, 422, c.code, c.at) })
	}
	if after := w.dump(t); after != before {
		t.Errorf("rows before: %s\nand after: %s", before, after)
	}
}

func TestWhatIsNotThereIsAProblemToo(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := as{token: w.alpha.tokens[directory.Owner]}
	w.call(t, a, "GET", "/nothing", "").refused(t, 404, "api.nowhere", "")
	got := w.call(t, a, "PUT", "/users", "{}")
	got.refused(t, 405, "api.method", "")
	if got.Header.Get("Allow") != "GET" {
		t.Errorf("Allow is %q", got.Header.Get("Allow"))
	}
	w.call(t, as{token: a.token, more: map[string]string{"X-HTTP-Method-Override": "DELETE"}}, "POST", "/users/usr_1", "").refused(t, 405, "api.method", "")
}

func TestTooManyCallsHaveToWait(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := as{token: w.alpha.tokens[directory.Owner]}
	for range 100 {
		w.call(t, a, "GET", "/me", "").want(t, 200)
	}
	got := w.call(t, a, "GET", "/me", "")
	got.refused(t, 429, "api.pace", "")
	if got.Header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After is %q", got.Header.Get("Retry-After"))
	}
	expect.Equal(t, "refusals that those who watch see", w.Site.Edge.Refusals(edge.OfCaller).Value(), 1.)
	w.call(t, as{token: w.alpha.tokens[directory.Auditor]}, "GET", "/me", "").want(t, 200)
	w.Clock.Advance(1e9)
	w.call(t, a, "GET", "/me", "").want(t, 200)
}

func TestARefusalIsInTheCallersLanguageAndRecorded(t *testing.T) {
	t.Parallel()
	w := start(t)
	weak := as{token: w.token(t, w.alpha.users[directory.Owner], access.ReadGroups), more: map[string]string{"Accept-Language": "fr"}}
	got := w.call(t, weak, "GET", "/users", "")
	got.refused(t, 403, "api.scope", "")
	if got.field("detail") == w.call(t, as{token: weak.token}, "GET", "/users", "").field("detail") {
		t.Errorf("the sentence is the same in two languages: %s", got.field("detail"))
	}
	if !strings.Contains(got.Header.Get("WWW-Authenticate"), `scope="parvis.people.read"`) {
		t.Errorf("the challenge is %q", got.Header.Get("WWW-Authenticate"))
	}
	var n int
	if _, err := w.DB.One(t.Context(), db.Into(&n), `select count(*) from audit_events where action = $1 and org_id = $2`, "request.refused", string(w.alpha.ID)); err != nil || n != 2 {
		t.Errorf("%d refusals are recorded (%v)", n, err)
	}
}
