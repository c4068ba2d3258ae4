package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"parvis/internal/access"
	"parvis/internal/app"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/federation"
	"parvis/internal/federation/samltest"
	"parvis/internal/idptest"
	"parvis/internal/outbound"
)

// publisher is a provider's host: metadata at /metadata, discovery and keys of OpenID Connect. It
// counts how often it is asked.
type publisher struct {
	*httptest.Server
	asked int
}

func publish(t *testing.T, metadata *string) *publisher {
	t.Helper()
	p := &publisher{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.asked++
		switch r.URL.Path {
		case "/metadata":
			fmt.Fprint(w, *metadata) //nolint:errcheck // The test reads what became of it.
		case "/.well-known/openid-configuration":
			json.NewEncoder(w).Encode(map[string]any{ //nolint:errcheck // The same.
				"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/keys",
				"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"RS256"},
			})
		case "/keys":
			fmt.Fprint(w, `{"keys":[{"kty":"EC","crv":"P-256","kid":"one","use":"sig","alg":"ES256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}`) //nolint:errcheck // The same.
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(p.Close)
	return p
}

// atPublisher starts a server that may ask a host.
func atPublisher(t *testing.T, p *publisher) *world {
	t.Helper()
	w := &world{Server: idptest.Start(t, func(s *app.Settings) { s.Outbound = outbound.New([]string{strings.TrimPrefix(p.URL, "http://")}) })}
	w.wire = w.Browser(t).Client.Transport
	w.alpha = w.organization(t, "Alpha Freight", "alpha", directory.Owner, directory.Administrator, directory.Auditor, directory.Member)
	return w
}

// tested leaves behind what a test does that somebody passed.
func (w *world) tested(t *testing.T, id, tester string) {
	t.Helper()
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		if _, err := tx.Exec(ctx, `update connections set tested_at = $1 where org_id = $2 and id = $3`, db.Time(tx.Now()), string(w.alpha.ID), id); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `
			insert into upstream_traces (org_id, id, connection_id, at, tester, who, checks, claims, network, search_key)
			values ($1, $2, $3, $4, $5, '', '[]', '[]', '', '')`, string(w.alpha.ID), "trc_"+tester[:3]+id, id, db.Time(tx.Now()), tester)
		return err
	})
}

func (w *world) connectionOf(t *testing.T, id string) federation.Connection {
	t.Helper()
	c, err := federation.ConnectionOf(t.Context(), w.DB, directory.Operator(), w.alpha.ID, id)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// quoted returns a text as JSON.
func quoted(text string) string {
	q, _ := json.Marshal(text)
	return string(q)
}

// A provider is set up over the API as in the console: metadata as text or by its address, what
// differs between providers, who may come in.
func TestAConnectionIsSetUp(t *testing.T) {
	t.Parallel()
	var metadata string
	host := publish(t, &metadata)
	w := atPublisher(t, host)
	metadata = string(samltest.New("https://idp.example", w.Clock.Now).Metadata())
	a := as{token: w.machine(t, "Robot", w.alpha.users[directory.Owner], directory.Administrator, access.ReadConnections, access.WriteConnections)}

	made := w.call(t, a, "POST", "/connections", `{"provider": "okta", "protocol": "saml", "name": "Okta"}`).want(t, 201)
	path := "/connections/" + made.field("id")
	expect.Equal(t, "the state of a new one", made.field("state"), "draft")
	expect.Equal(t, "a new one is complete", made.json["complete"], any(false))
	expect.Equal(t, "the place of a new one", made.json["position"], any(json.Number("2")))
	// What asks the provider is not tried only.
	w.call(t, a, "PATCH", path+"?dry_run=true", `{"saml": {"metadata_address": "`+host.URL+`/metadata"}}`).refused(t, 422, "api.dry_run_asks_others", "")
	if host.asked != 0 {
		t.Errorf("the provider was asked %d times by a dry run", host.asked)
	}
	got := w.call(t, a, "PATCH", path, `{"saml": {"metadata_address": "`+host.URL+`/metadata"}}`).want(t, 200)
	saml := got.json["saml"].(map[string]any)
	expect.Equal(t, "it is complete", got.json["complete"], any(true))
	expect.Equal(t, "their entity ID", saml["their_entity_id"], any("https://idp.example/metadata"))
	expect.Equal(t, "certificates", len(saml["certificates"].([]any)), 1)
	expect.Equal(t, "certificates that are shown", len(saml["their_certificates"].([]any)), 1)
	// The same address again asks nobody: nothing differs.
	asked := host.asked
	w.call(t, a, "PATCH", path, `{"saml": {"metadata_address": "`+host.URL+`/metadata"}}`).want(t, 200)
	if host.asked != asked {
		t.Error("what did not change was asked for again")
	}
	// A text asks nobody, so it can be tried.
	w.call(t, a, "PATCH", path+"?dry_run=true", `{"saml": {"metadata": `+quoted(metadata)+`}}`).want(t, 200)
	if c := w.connectionOf(t, made.field("id")); c.MetadataURL == "" {
		t.Error("a dry run changed it")
	}
	w.call(t, a, "PATCH", path, `{"saml": {"metadata": `+quoted(metadata)+`}}`).want(t, 200)
	w.call(t, a, "PATCH", path, `{"saml": {"metadata_address": null}}`).refused(t, 422, "api.type", "/saml/metadata_address")
	w.call(t, a, "PATCH", path, `{"saml": {"metadata": "not XML"}}`).want(t, 422)
	w.call(t, a, "PATCH", path, `{"oidc": {"issuer": "`+host.URL+`"}}`).refused(t, 422, "api.missing", "/oidc/client_id")

	// What providers differ in, who may come in, and the order.
	got = w.call(t, a, "PATCH", path, `{"name": "Okta of IT", "shown": false, "position": 1, "creates": true, "roles": [{"group": "Staff", "role": "helpdesk"}],
		"attributes": {"email": "mail"}, "saml": {"clock_tolerance_seconds": 30, "context": ["urn:oasis:names:tc:SAML:2.0:ac:classes:X509"], "unsolicited": true, "sign_requests": false}}`).want(t, 200)
	c := w.connectionOf(t, made.field("id"))
	expect.Equal(t, "name", c.Name, "Okta of IT")
	expect.Equal(t, "shown", c.Shown, false)
	expect.Equal(t, "creates", c.Creates, true)
	expect.Equal(t, "roles", len(c.Mapping.Roles), 1)
	expect.Equal(t, "attribute that is the address", c.Mapping.Email, "mail")
	expect.Equal(t, "attribute that was not sent", c.Mapping.Name, "name")
	expect.Equal(t, "tolerance", c.Tolerance(), 30*time.Second)
	expect.Equal(t, "unsolicited", c.SAML.AllowUnsolicited, true)
	expect.Equal(t, "signed requests", c.SAML.SignRequests, false)
	expect.Equal(t, "contexts", len(c.SAML.AuthnContext), 1)
	expect.Equal(t, "place", got.json["position"], any(json.Number("1")))
	for sent, at := range map[string]string{
		`{"position": 9}`: "/position", `{"name": ""}`: "/name", `{"saml": {"clock_tolerance_seconds": 600}}`: "/saml/clock_tolerance_seconds",
		`{"roles": [{"group": "Staff", "role": "owner"}]}`: "/roles/0/role", `{"saml": {"certificates": ["nonsense"]}}`: "/saml/certificates/0",
		`{"saml": {"want_signed": "nothing"}}`: "/saml/want_signed", `{"state": "on"}`: "/state", `{"saml": {"their_entity_id": "x"}}`: "/saml/their_entity_id",
		`{"attributes": {"email": "` + strings.Repeat("x", 1001) + `"}}`: "/attributes/email", `{"id": "con_other"}`: "/id",
	} {
		answer := w.call(t, a, "PATCH", path, sent)
		answer.refused(t, 422, answer.field("code"), at)
	}
	w.call(t, a, "PATCH", path, `{"saml": {"certificates": []}}`).refused(t, 409, "federation.last_certificate", "")

	// A change names the state that was read.
	read := w.call(t, a, "GET", path, "").want(t, 200)
	match := func(tag string) as { return as{token: a.token, more: map[string]string{"If-Match": tag}} }
	w.call(t, match(read.Header.Get("ETag")), "PATCH", path, `{"shown": true}`).want(t, 200)
	w.call(t, match(read.Header.Get("ETag")), "PATCH", path, `{"shown": false}`).refused(t, 412, "api.changed_since", "")

	w.call(t, a, "DELETE", path, "").want(t, 204)
	w.call(t, a, "GET", path, "").refused(t, 404, "directory.not_found", "")
}

// The secret of our client is written and never read, and is not sent to another provider than it
// was entered for.
func TestTheSecretOfAConnectionIsNeverRead(t *testing.T) {
	t.Parallel()
	host := publish(t, new(string))
	w := atPublisher(t, host)
	a := as{token: w.machine(t, "Robot", w.alpha.users[directory.Owner], directory.Administrator, access.ReadConnections, access.WriteConnections)}
	path := "/connections/" + w.alpha.ids["connections"]
	const secret = "a secret that nobody reads"
	w.call(t, a, "PATCH", path, `{"oidc": {"issuer": "`+host.URL+`", "client_id": "us"}}`).refused(t, 422, "federation.no_secret", "/oidc/client_secret")
	w.call(t, a, "PATCH", path, `{"oidc": {"client_id": "us"}}`).refused(t, 422, "federation.no_issuer", "/oidc/issuer")
	got := w.call(t, a, "PATCH", path, `{"oidc": {"issuer": "`+host.URL+`", "client_id": "us", "client_secret": "`+secret+`", "scopes": ["openid", "email"]}}`).want(t, 200)
	openID := got.json["oidc"].(map[string]any)
	if openID["has_secret"] != true || openID["authorization_endpoint"] != host.URL+"/authorize" || openID["their_keys"] != host.URL+"/keys" {
		t.Errorf("it became %s", got.text)
	}
	for _, read := range []string{string(got.text), string(w.call(t, a, "GET", path, "").text), string(w.call(t, a, "GET", "/connections", "").text)} {
		if strings.Contains(read, secret) || strings.Contains(read, "client_secret\"") {
			t.Errorf("the secret is read: %s", read)
		}
	}
	w.call(t, a, "PATCH", path, `{"oidc": {"client_id": "other"}}`).refused(t, 422, "federation.no_secret", "/oidc/client_secret")
	before := w.connectionOf(t, w.alpha.ids["connections"]).ChangedAt
	w.Clock.Advance(1e9)
	w.call(t, a, "PATCH", path, `{"oidc": {"scopes": ["email"]}}`).want(t, 200)
	if c := w.connectionOf(t, w.alpha.ids["connections"]); !c.ChangedAt.Equal(before) {
		t.Error("openid counts as a scope that was asked for")
	}
}

// What a connection that is on trusts changes by no token, neither at once nor beside it, and no
// provider is asked for it. Who may come in, and less trust, changes.
func TestATokenChangesNotWhatALiveConnectionTrusts(t *testing.T) {
	t.Parallel()
	var metadata string
	host := publish(t, &metadata)
	w := atPublisher(t, host)
	metadata = string(samltest.New("https://idp.example", w.Clock.Now).Metadata())
	theirs := samltest.New("https://thief.example", w.Clock.Now)
	theirs.Rollover()
	thief := string(theirs.Metadata())
	robot := as{token: w.machine(t, "Robot", w.alpha.users[directory.Owner], directory.Administrator, access.ReadConnections, access.WriteConnections)}
	owner := as{token: w.person(t, w.alpha.browsers[directory.Owner], access.ReadConnections, access.WriteConnections)}
	id := w.call(t, robot, "POST", "/connections", `{"provider": "generic", "protocol": "saml", "name": "Door"}`).want(t, 201).field("id")
	path := "/connections/" + id
	w.call(t, robot, "PATCH", path, `{"vouches": true, "saml": {"metadata": `+quoted(metadata)+`}}`).want(t, 200)
	w.call(t, robot, "POST", path+"/turn-on", "").refused(t, 409, "federation.untested", "")
	// A test behind a setup link may be the thief's, who sent it by the token.
	w.tested(t, id, "lnk_of_a_thief")
	w.call(t, robot, "POST", path+"/turn-on", "").refused(t, 409, "federation.tested_by_link", "")
	w.Clock.Advance(1e9)
	w.tested(t, id, string(w.alpha.users[directory.Administrator].ID))
	w.call(t, robot, "POST", path+"/turn-on?dry_run=true", "").want(t, 200)
	if got := w.call(t, robot, "POST", path+"/turn-on", "").want(t, 200); got.field("state") != "on" || got.json["confirmed"] != false {
		t.Errorf("turned on it is %s", got.text)
	}
	was := w.connectionOf(t, id)
	asked := host.asked
	w.Clock.Advance(1e9)
	for _, caller := range []as{robot, owner} {
		for _, sent := range []string{
			`{"saml": {"metadata": ` + quoted(thief) + `}}`, `{"saml": {"metadata_address": "` + host.URL + `/metadata"}}`,
			`{"saml": {"certificates": [` + quoted(was.PEM()[0]) + `, ` + quoted(certificateIn(t, w, thief)) + `]}}`,
			`{"saml": {"sign_requests": false}}`, `{"attributes": {"email": "other"}}`, `{"name": "Other", "saml": {"allow_cbc": true}}`,
		} {
			w.call(t, caller, "PATCH", path, sent).refused(t, 403, "federation.by_hand", "")
		}
	}
	c := w.connectionOf(t, id)
	_, waits, err := federation.Waiting(t.Context(), w.DB, c)
	if err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "a refused change waits", waits, false)
	expect.Equal(t, "name after a refused change", c.Name, "Door")
	expect.Equal(t, "time of the last change", c.ChangedAt, was.ChangedAt)
	expect.Equal(t, "questions to the provider", host.asked, asked)
	w.call(t, owner, "PATCH", path, `{"name": "Front door", "creates": true, "vouches": false}`).want(t, 200)
	if c := w.connectionOf(t, id); c.Name != "Front door" || !c.Creates || c.Vouches {
		t.Errorf("who may come in stays %+v", c)
	}
	w.call(t, robot, "DELETE", path, "").refused(t, 409, "federation.is_on", "")
	w.call(t, robot, "POST", path+"/setup-link", `{"email": "it@alpha.example"}`).refused(t, 409, "federation.is_on", "")
	if got := w.call(t, robot, "POST", path+"/turn-off?end_sessions=true", "").want(t, 200); got.field("state") != "off" {
		t.Errorf("turned off it is %s", got.text)
	}
	// Turning off, changing and turning on again is no way around: the change wants a test.
	w.call(t, robot, "PATCH", path, `{"saml": {"metadata": `+quoted(thief)+`}}`).want(t, 200)
	w.call(t, robot, "POST", path+"/turn-on", "").refused(t, 409, "federation.untested", "")
}

// certificateIn returns the certificate of some metadata, as it is sent.
func certificateIn(t *testing.T, w *world, metadata string) string {
	t.Helper()
	what, err := w.Hub.ReadMetadata(t.Context(), federation.Connection{}, federation.Metadata{Text: []byte(metadata)})
	if err != nil {
		t.Fatal(err)
	}
	c := federation.Connection{Protocol: federation.SAML}
	if err := what(&c); err != nil {
		t.Fatal(err)
	}
	return c.PEM()[0]
}

// A change that waits in the console keeps what it changes when a token changes something else.
func TestWhatWaitsBesideAConnectionStaysWhatItIs(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := as{token: w.machine(t, "Robot", w.alpha.users[directory.Owner], directory.Administrator, access.ReadConnections, access.WriteConnections)}
	metadata := string(samltest.New("https://idp.example", w.Clock.Now).Metadata())
	id := w.call(t, a, "POST", "/connections", `{"provider": "generic", "protocol": "saml", "name": "Door"}`).want(t, 201).field("id")
	path := "/connections/" + id
	w.call(t, a, "PATCH", path, `{"saml": {"metadata": `+quoted(metadata)+`}}`).want(t, 200)
	w.tested(t, id, string(w.alpha.users[directory.Administrator].ID))
	w.call(t, a, "POST", path+"/turn-on", "").want(t, 200)
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		_, err := w.Hub.Change(ctx, tx, federation.ByActor(w.alpha.users[directory.Administrator].AsActor()), w.alpha.ID, id, func(c *federation.Connection) error {
			c.Vouches, c.Mapping.Email = true, "mail"
			return nil
		})
		return err
	})
	got := w.call(t, a, "PATCH", path, `{"creates": true}`).want(t, 200)
	beside, waits, err := federation.Waiting(t.Context(), w.DB, w.connectionOf(t, id))
	if err != nil || !waits {
		t.Fatal(waits, err)
	}
	expect.Equal(t, "what waits vouches", beside.Vouches, true)
	expect.Equal(t, "what waits reads as the address", beside.Mapping.Email, "mail")
	expect.Equal(t, "what waits creates", beside.Creates, true)
	expect.Equal(t, "the answer says that a change waits", got.json["waits"], any(true))
	expect.Equal(t, "what is in force vouches", got.json["vouches"], any(false))
}

// An owner signs in by a connection: no token turns it on before an owner confirmed it.
func TestATokenConfirmsNothing(t *testing.T) {
	t.Parallel()
	w := start(t)
	owner := w.alpha.users[directory.Owner]
	a := as{token: w.person(t, w.alpha.browsers[directory.Owner], access.ReadConnections, access.WriteConnections)}
	id := w.alpha.ids["connections"]
	w.tested(t, id, string(owner.ID))
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		if _, err := tx.Exec(ctx, `update users set linked = true where org_id = $1 and id = $2`, string(w.alpha.ID), string(owner.ID)); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `
			insert into identities (org_id, connection_id, issuer, subject, user_id, email, created, created_at, used_at)
			values ($1, $2, 'https://idp.example', 'sub', $3, $4, false, $5, $5)`, string(w.alpha.ID), id, string(owner.ID), owner.Email, db.Time(tx.Now()))
		return err
	})
	w.call(t, a, "POST", "/connections/"+id+"/turn-on", "").refused(t, 409, "federation.owners_turn", "")
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		return w.Hub.Confirm(ctx, tx, owner.AsActor(), w.alpha.ID, id, w.connectionOf(t, id).ChangedAt)
	})
	w.call(t, a, "POST", "/connections/"+id+"/turn-on", "").want(t, 200)
}

// A setup link is sent by letter, shown without what opens it, withdrawn, and counted.
func TestASetupLinkIsSentAndWithdrawn(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := as{token: w.machine(t, "Robot", w.alpha.users[directory.Owner], directory.Administrator, access.ReadConnections, access.WriteConnections)}
	path := "/connections/" + w.alpha.ids["connections"] + "/setup-link"
	w.call(t, a, "DELETE", path, "").want(t, 204)
	w.call(t, a, "GET", path, "").refused(t, 404, "directory.not_found", "")
	w.call(t, a, "POST", path, `{"email": "nobody", "language": "xx"}`).refused(t, 422, "directory.address_invalid", "/language")
	once := as{token: a.token, more: map[string]string{"Idempotency-Key": "one"}}
	first := w.call(t, once, "POST", path, `{"email": "it@alpha.example", "language": "fr"}`).want(t, 201)
	again := w.call(t, once, "POST", path, `{"email": "it@alpha.example", "language": "fr"}`).want(t, 201)
	if first.field("id") != again.field("id") || first.field("email") != "it@alpha.example" || first.json["works"] != true {
		t.Errorf("sent twice under a key: %s and %s", first.text, again.text)
	}
	if strings.Contains(string(first.text), "connection-setup") {
		t.Errorf("the link is shown: %s", first.text)
	}
	for range 5 {
		w.call(t, a, "POST", path, `{"email": "it@alpha.example"}`).want(t, 201)
	}
	w.call(t, a, "POST", path, `{"email": "it@alpha.example"}`).refused(t, 429, "administration.address_letters", "")
	w.call(t, a, "DELETE", path, "").want(t, 204)
}

// The attempts of a connection say what was wrong, in words.
func TestAttemptsSayWhatWasWrong(t *testing.T) {
	t.Parallel()
	w := start(t)
	id := w.alpha.ids["connections"]
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		for n := range 3 {
			if _, err := tx.Exec(ctx, `
				insert into upstream_traces (org_id, id, connection_id, at, refused, who, checks, claims, network, search_key)
				values ($1, $2, $3, $4, 'audience', 'ada@alpha.example', '[{"name":"audience","expected":"us","found":"them"}]', '[]', '', '')`,
				string(w.alpha.ID), fmt.Sprint("trc_", n), id, db.Time(tx.Now().Add(-time.Duration(n)*time.Minute))); err != nil {
				return err
			}
		}
		return nil
	})
	a := as{token: w.alpha.tokens[directory.Auditor]}
	page := w.call(t, a, "GET", "/connections/"+id+"/attempts?limit=2", "").want(t, 200)
	if len(page.items()) != 2 {
		t.Fatalf("the first page is %s", page.text)
	}
	one := page.items()[0]
	expect.Equal(t, "check", one["check"], any("audience"))
	expect.Equal(t, "detail", one["detail"], any(idptest.Sentence(t, "federation.check.audience")))
	expect.Equal(t, "advice", one["advice"], any(idptest.Sentence(t, "federation.fix.audience.oidc")))
	expect.Equal(t, "expected", one["expected"], any("us"))
	expect.Equal(t, "found", one["found"], any("them"))
	rest := w.call(t, a, "GET", "/connections/"+id+"/attempts?limit=2&cursor="+page.field("next"), "").want(t, 200)
	if len(rest.items()) != 1 || rest.json["next"] != nil {
		t.Errorf("the rest is %s", rest.text)
	}
}

// The reference shows what stands inside of the parts of a connection, and an example of a change
// that names only what changes.
func TestTheReferenceShowsWhatAConnectionIsMadeOf(t *testing.T) {
	t.Parallel()
	w := start(t)
	page := w.Browser(t).Get("/api")
	for _, part := range []string{"oidc.issuer", "oidc.client_secret", "saml.metadata_address", "saml.their_certificates[].until", "roles[].group", "attributes.email"} {
		expect.Equal(t, "the reference shows "+part, strings.Contains(page.Text(), part), true)
	}
	expect.Equal(t, "an example takes a part away", strings.Contains(page.Text(), `"oidc":null`), false)
	expect.Equal(t, "an example of a change", strings.Contains(page.Text(), `-d '{"name":"Bo Lind"}'`), true)
}
