package staff_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"parvis/cmd/parvis/demo/staff"
)

const token = "psc_secret-of-the-source"

// provider answers calls as a provider of SCIM does, and keeps what was sent.
type provider struct {
	mu      sync.Mutex
	calls   []string
	answers map[string]string // by method and path, in place of what it would answer
	found   string            // the id that looking for somebody finds
}

func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	var small strings.Builder
	for _, line := range strings.Split(string(body), "\n") {
		small.WriteString(strings.TrimSpace(line))
	}
	what := r.Method + " " + strings.TrimPrefix(r.URL.Path, "/scim/v2/src_1")
	if f := r.URL.Query().Get("filter"); f != "" {
		what += "?" + f
	}
	p.calls = append(p.calls, strings.TrimSpace(what+" "+small.String()))
	if r.Header.Get("Authorization") != "Bearer "+token || r.Method != http.MethodGet && r.Header.Get("Content-Type") != "application/scim+json" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if said, ok := p.answers[r.Method+" "+strings.TrimPrefix(r.URL.Path, "/scim/v2/src_1")]; ok {
		status, text, _ := strings.Cut(said, " ")
		w.WriteHeader(map[string]int{"503": 503, "404": 404, "409": 409}[status])
		fmt.Fprint(w, text)
		return
	}
	switch {
	case r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/Users") && p.found != "":
		fmt.Fprint(w, `{"totalResults":1,"Resources":[{"id":"`+p.found+`"}]}`)
	case r.Method == http.MethodGet:
		fmt.Fprint(w, `{"totalResults":0,"Resources":[]}`)
	case r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/Users"):
		p.found = "usr_1"
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, `{"id":"usr_1"}`)
	case r.Method == http.MethodPost:
		var sent struct{ DisplayName string }
		_ = json.Unmarshal(body, &sent)
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, `{"id":"grp_`+sent.DisplayName+`"}`)
	case strings.Contains(r.URL.Path, "/Groups/"):
		w.WriteHeader(http.StatusNoContent)
	default:
		fmt.Fprint(w, `{"id":"usr_1"}`)
	}
}

// said returns what was called since it was last asked.
func (p *provider) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := strings.Join(p.calls, "\n")
	p.calls = nil
	return all
}

func (p *provider) answer(call, with string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answers = maps.Clone(p.answers)
	if p.answers == nil {
		p.answers = map[string]string{}
	}
	if p.answers[call] = with; with == "" {
		delete(p.answers, call)
	}
}

// start runs a directory beside what it calls.
func start(t *testing.T) (string, *provider) {
	t.Helper()
	p := &provider{}
	remote := httptest.NewServer(p)
	t.Cleanup(remote.Close)
	var h http.Handler
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	var err error
	if h, err = staff.New(staff.Options{
		Company: "Meridian Freight", Address: server.URL, Departments: []string{"Drivers", "Dispatch"},
		People: []staff.Person{
			{ID: "1", Given: "Bea", Family: "Lindqvist", Email: "bea@meridian.example", Department: "Drivers"},
			{ID: "2", Given: "Jin", Family: "Park", Email: "jin@meridian.example", Department: "Drivers"},
		},
		SCIM: remote.URL + "/scim/v2/src_1", Token: token, Guide: "http://localhost:8080/guide",
		Client: remote.Client(), Log: slog.New(slog.DiscardHandler),
	}); err != nil {
		t.Fatal(err)
	}
	return server.URL, p
}

func do(t *testing.T, method, address string, form url.Values, header ...string) (status int, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
		r.Header.Set(header[i], header[i+1])
	}
	c := http.Client{CheckRedirect: func(_ *http.Request, via []*http.Request) error {
		if via[0].Method == http.MethodGet {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	w, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Body.Close()
	text, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.StatusCode, string(text)
}

func hired(person, to string) url.Values { return url.Values{"person": {person}, "hired": {to}} }

func changed(given, family, department string) url.Values {
	return url.Values{"person": {"1"}, "given": {given}, "family": {family}, "department": {department}}
}

const (
	lookUp = `GET /Users?userName eq "bea@meridian.example"`
	schema = `{"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations": [`
)

// step is a form and the calls that follow it.
type step struct {
	name, path string
	form       url.Values
	want       []string
}

func walk(t *testing.T, at string, p *provider, steps []step) {
	t.Helper()
	for _, s := range steps {
		if status, body := do(t, "POST", at+s.path, s.form); status != http.StatusOK {
			t.Fatalf("%s: answered %d: %s", s.name, status, body)
		}
		if got, want := p.said(), strings.Join(s.want, "\n"); got != want {
			t.Errorf("%s: it called\n%s\nnot\n%s", s.name, got, want)
		}
	}
}

func TestItCallsAsEntraDoes(t *testing.T) {
	at, p := start(t)
	walk(t, at, p, []step{
		{"hire", "/switch", hired("1", "true"), []string{
			lookUp,
			`POST /Users {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],"externalId": "1","userName": "bea@meridian.example","active": true,"displayName": "Bea Lindqvist","name": {"givenName": "Bea","familyName": "Lindqvist"},"emails": [{"primary": true,"type": "work","value": "bea@meridian.example"}]}`,
			`GET /Groups?displayName eq "Drivers"`,
			`POST /Groups {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"],"externalId": "drivers","displayName": "Drivers"}`,
			`PATCH /Groups/grp_Drivers ` + schema + `{"op": "Add","path": "members","value": [{"value": "usr_1"}]}]}`,
		}},
		{"the same form again", "/switch", hired("1", "true"), nil},
		{"rename", "/change", changed("Bea", "Berg", "Drivers"), []string{
			`PATCH /Users/usr_1 ` + schema + `{"op": "Replace","path": "displayName","value": "Bea Berg"},{"op": "Add","path": "name.givenName","value": "Bea"},{"op": "Replace","path": "name.familyName","value": "Berg"}]}`,
		}},
		{"move", "/change", changed("Bea", "Berg", "Dispatch"), []string{
			`PATCH /Groups/grp_Drivers ` + schema + `{"op": "Remove","path": "members","value": [{"value": "usr_1"}]}]}`,
			`GET /Groups?displayName eq "Dispatch"`,
			`POST /Groups {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"],"externalId": "dispatch","displayName": "Dispatch"}`,
			`PATCH /Groups/grp_Dispatch ` + schema + `{"op": "Add","path": "members","value": [{"value": "usr_1"}]}]}`,
		}},
		{"let go", "/switch", hired("1", "false"), []string{`PATCH /Users/usr_1 ` + schema + `{"op": "Replace","path": "active","value": "False"}]}`}},
		{"hire again", "/switch", hired("1", "true"), []string{lookUp, `PATCH /Users/usr_1 ` + schema + `{"op": "Replace","path": "active","value": "True"}]}`}},
	})
}

func TestItCallsAsOktaDoesOnceAsked(t *testing.T) {
	at, p := start(t)
	do(t, "POST", at+"/switch", hired("1", "true"))
	do(t, "POST", at+"/habits", url.Values{"okta": {"true"}})
	p.said()
	walk(t, at, p, []step{
		{"rename and move", "/change", changed("Bea", "Berg", "Dispatch"), []string{
			`PUT /Users/usr_1 {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],"id": "usr_1","externalId": "1","userName": "bea@meridian.example","displayName": "Bea Berg","name": {"givenName": "Bea","familyName": "Berg"},"emails": [{"primary": true,"type": "work","value": "bea@meridian.example"}]}`,
			`PATCH /Groups/grp_Drivers ` + schema + `{"op": "remove","path": "members[value eq \"usr_1\"]"}]}`,
			`GET /Groups?displayName eq "Dispatch"`,
			`POST /Groups {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"],"externalId": "dispatch","displayName": "Dispatch"}`,
			`PATCH /Groups/grp_Dispatch ` + schema + `{"op": "add","path": "members","value": [{"value": "usr_1"}]}]}`,
		}},
		{"let go", "/switch", hired("1", "false"), []string{`PATCH /Users/usr_1 ` + schema + `{"op": "replace","value": {"active": false}}]}`}},
		{"hire again", "/switch", hired("1", "true"), []string{lookUp, `PATCH /Users/usr_1 ` + schema + `{"op": "replace","value": {"active": true}}]}`}},
	})
}

func TestWhatWasNotTakenIsSentAgain(t *testing.T) {
	at, p := start(t)
	p.answer("POST /Users", `503 {"detail":"this source only watches"}`)
	_, body := do(t, "POST", at+"/switch", hired("1", "true"))
	for _, want := range []string{"503 Service Unavailable", "this source only watches", "Parvis has not taken this.", "Send again – Bea Lindqvist"} {
		if !strings.Contains(body, want) {
			t.Errorf("%q is not in\n%s", want, body)
		}
	}
	p.answer("POST /Users", "")
	if _, body = do(t, "POST", at+"/send", url.Values{"person": {"1"}}); strings.Contains(body, "Send again – Bea Lindqvist") || !strings.Contains(body, "Parvis has followed.") {
		t.Errorf("sent again, it shows\n%s", body)
	}
	// Who was deleted there is made again, and of who was never there nothing is sent.
	p.answer("PATCH /Users/usr_1", "404 {}")
	do(t, "POST", at+"/change", changed("Bea", "Berg", "Drivers"))
	p.found = ""
	p.said()
	do(t, "POST", at+"/send", url.Values{"person": {"1"}})
	if said := p.said(); !strings.HasPrefix(said, lookUp+"\nPOST /Users") || !strings.Contains(said, "Berg") {
		t.Errorf("who was deleted is sent as\n%s", said)
	}
	p.answer("POST /Users", "409 {}")
	do(t, "POST", at+"/switch", hired("2", "true"))
	p.found = ""
	p.said()
	if _, body = do(t, "POST", at+"/switch", hired("2", "false")); p.said() != "" || strings.Contains(body, "Send again") || !strings.Contains(body, "No call was needed") {
		t.Errorf("who was never there is let go with\n%s", body)
	}
}

func TestOtherSitesDoNothing(t *testing.T) {
	at, p := start(t)
	for _, path := range []string{"/switch", "/change", "/send", "/habits"} {
		for name, c := range map[string]struct {
			header []string
			want   int
		}{
			"a page of another site":    {[]string{"Sec-Fetch-Site", "cross-site"}, http.StatusForbidden},
			"a page of a neighbour":     {[]string{"Sec-Fetch-Site", "same-site"}, http.StatusForbidden},
			"an old browser":            {[]string{"Sec-Fetch-Site", "", "Origin", "http://evil.test"}, http.StatusForbidden},
			"a name made to point here": {[]string{"Host", "evil.test"}, http.StatusMisdirectedRequest},
		} {
			if status, _ := do(t, "POST", at+path, hired("1", "true"), c.header...); status != c.want {
				t.Errorf("%s, %s: answered %d, not %d", path, name, status, c.want)
			}
		}
	}
	if status, body := do(t, "GET", at, nil, "Host", "evil.test"); status != http.StatusTemporaryRedirect || strings.Contains(body, "Bea") {
		t.Errorf("under another name it shows %d: %s", status, body)
	}
	if said := p.said(); said != "" {
		t.Errorf("it called\n%s", said)
	}
}

func TestWrongNamesAreToldAndKept(t *testing.T) {
	at, p := start(t)
	for name, c := range map[string]struct {
		form url.Values
		want []string
	}{
		"no given name":          {changed(" ", "Typed", "Drivers"), []string{"Enter a given name", `value="Typed"`, `name="given" value="" autocomplete="off" aria-invalid="true"`}},
		"a family name too long": {changed("Typed", strings.Repeat("x", 61), "Drivers"), []string{"Enter a family name", `value="Typed"`}},
		"another department":     {changed("Typed", "Berg", "Kitchen"), []string{"Choose one of the departments", `value="Typed"`}},
		"nobody":                 {url.Values{"person": {"9"}}, []string{"Choose one of the people"}},
	} {
		status, body := do(t, "POST", at+"/change", c.form)
		if status != http.StatusUnprocessableEntity {
			t.Errorf("%s: answered %d", name, status)
		}
		for _, want := range c.want {
			if !strings.Contains(body, want) {
				t.Errorf("%s: %q is not in\n%s", name, want, body)
			}
		}
	}
	if _, body := do(t, "GET", at, nil); p.said() != "" || !strings.Contains(body, "Bea Lindqvist") {
		t.Errorf("something was changed:\n%s", body)
	}
}

func TestThePageSpeaksBothLanguagesAndNeverShowsTheToken(t *testing.T) {
	at, _ := start(t)
	do(t, "POST", at+"/switch", hired("1", "true"))
	for tag, want := range map[string]string{"fr-CA,fr": "Embauche – Bea Lindqvist", "de": "Hired – Bea Lindqvist"} {
		status, body := do(t, "GET", at, nil, "Accept-Language", tag)
		if status != http.StatusOK || !strings.Contains(body, want) || strings.Contains(body, token) {
			t.Errorf("%s: %d\n%s", tag, status, body)
		}
	}
}
