package federation_test

import (
	"bytes"
	"compress/flate"
	"context"
	"encoding/base64"
	"io"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	crewjam "github.com/crewjam/saml"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/federation/samltest"
	"parvis/internal/session"
)

var requestID = regexp.MustCompile(` ID="([^"]+)"`)

// inflate reads what the redirect binding carries.
func inflate(t *testing.T, message string) string {
	t.Helper()
	deflated, err := base64.StdEncoding.DecodeString(message)
	if err != nil {
		t.Fatal(err)
	}
	document, err := io.ReadAll(flate.NewReader(bytes.NewReader(deflated)))
	if err != nil {
		t.Fatal(err)
	}
	return string(document)
}

// asked returns the AuthnRequest that an address carries.
func asked(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return inflate(t, u.Query().Get("SAMLRequest"))
}

func forced(t *testing.T, address string) bool {
	t.Helper()
	return strings.Contains(asked(t, address), `ForceAuthn="true"`)
}

func TestStepUpOfAFederatedSessionAsksTheProviderAnew(t *testing.T) {
	w := start(t)
	w.Join(t, w.org, ada, "Ada", directory.Member) // an owner would have to prove the first link
	idp := w.idp()
	c := w.samlConnection(w.org, idp, creates)
	b := w.Browser(t)
	address := w.begin(b, c)
	if forced(t, address) {
		t.Error("the first sign-in asks for fresh proof")
	}
	w.inside(w.answer(b, idp, c, address, person(ada)), w.org, "Ada")
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		return directory.ChangeRole(ctx, tx, directory.Operator(), w.org.ID, w.user(w.org, ada).ID, directory.Owner)
	})
	const page = "/o/alpha/admin/people/invite"
	form := b.Get(page).Form("main").Fill("email", "new@alpha.example")
	w.Clock.Advance(11 * time.Minute)
	proof := form.Submit("")
	if !strings.HasPrefix(proof.URL.Path, "/sign-in/") {
		t.Fatalf("it is not asked for proof: %d %s", proof.Status, proof.URL)
	}
	lead := func() string {
		address := toProvider(t, proof.Form("ways").Check("connection", c.ID).Submit(""))
		if !forced(t, address) {
			t.Fatal("the provider may let whoever sits there back in")
		}
		return address
	}
	since := func(ago time.Duration) samltest.User {
		u := person(ada)
		u.Change = func(a *crewjam.Assertion) { a.AuthnStatements[0].AuthnInstant = w.Clock.Now().Add(-ago) }
		return u
	}
	// A sign-in there before the request is no fresh proof, and neither is another person's.
	address = lead()
	if p := w.answer(b, idp, c, address, since(5*time.Minute)); p.Status != 403 || w.traceOf(w.org, p).Refused != "fresh" {
		t.Errorf("an old proof: %d %s %s", p.Status, p.URL, p.Text())
	}
	for _, other := range []string{"bob@alpha.example"} {
		if p := w.answer(b, idp, c, lead(), person(other)); p.Status != 403 || w.traceOf(w.org, p).Refused != "same_person" {
			t.Errorf("another person: %d %s %s", p.Status, p.URL, p.Text())
		}
	}
	if n := w.rows(`select count(*) from users where org_id = $1`, string(w.org.ID)); n != 1 {
		t.Error("proving it again made a user")
	}
	if p := b.Get(page).Form("main").Fill("email", "new@alpha.example").Submit(""); !strings.HasPrefix(p.URL.Path, "/sign-in/") {
		t.Error("it counts as proof")
	}
	p := w.answer(b, idp, c, lead(), since(0))
	if p.URL.Path != page || p.Form("main").Values.Get("email") != "new@alpha.example" {
		t.Fatalf("what was typed is gone: %d %s %s", p.Status, p.URL, p.Text())
	}
	if p := p.Form("main").Submit(""); p.Status != 200 || strings.HasPrefix(p.URL.Path, "/sign-in/") {
		t.Errorf("asked again: %d %s", p.Status, p.URL)
	}
	if n := w.sessions(); n != 2 { // Ada's from the invitation, and this one
		t.Errorf("%d sessions", n)
	}
}

func TestASessionThatEndedByIdlenessAsksTheProviderAnew(t *testing.T) {
	w := start(t)
	idp := w.idp()
	c := w.samlConnection(w.org, idp, creates)
	b := w.session(idp, c, ada, "one")
	b.Get("/o/alpha/home").Form("sign-out").Submit("")
	if forced(t, w.begin(b, c)) {
		t.Error("after signing out it asks for fresh proof")
	}
	b = w.session(idp, c, ada, "two")
	w.Clock.Advance(session.Idle + time.Minute)
	w.outside(b, w.org)
	address := w.begin(b, c)
	if !forced(t, address) {
		t.Fatal("after idleness the provider may let whoever sits there back in")
	}
	u := person(ada)
	u.Change = func(a *crewjam.Assertion) { a.AuthnStatements[0].AuthnInstant = w.Clock.Now().Add(-time.Hour) }
	w.refused(b, w.answer(b, idp, c, address, u), c, "fresh")
	w.inside(w.answer(b, idp, c, w.begin(b, c), person(ada)), w.org, "Ada Lovelace")
}

// A session says of its factors what the provider said, and no more (R-RPO-06).
func TestASessionCarriesWhatTheProviderSaidOfFactors(t *testing.T) {
	w := start(t)
	idp := w.idp()
	i := w.issuer(nil)
	w.allow(i.host())
	s, o := w.samlConnection(w.org, idp, creates), w.oidcConnection(w.org, i, creates)
	carries := func(want string, second bool) {
		t.Helper()
		var methods string
		var at db.Time
		if _, err := w.DB.One(t.Context(), db.Into(&methods, &at), `select methods, second_at from sessions where ended_at is null`); err != nil {
			t.Fatal(err)
		}
		if methods != want || time.Time(at).IsZero() == second {
			t.Errorf("methods %q, second at %v; want %q, %v", methods, time.Time(at), want, second)
		}
		w.Update(t, func(ctx context.Context, tx *db.Tx) error {
			_, err := tx.Exec(ctx, `update sessions set ended_at = $1, end_reason = 'test' where org_id = $2`, db.Time(tx.Now()), string(w.org.ID))
			return err
		})
	}
	for _, said := range []struct {
		amr    any
		acr    string
		want   string
		second bool
	}{
		{nil, "", "", false},
		{[]string{"pwd"}, "", "pwd", false},
		{[]string{"pwd", "otp"}, "", "pwd otp", false}, // two methods that the provider does not call several factors
		{[]string{"pwd", "mfa"}, "", "pwd mfa", true},
		{[]string{"made-up", "MFA"}, "", "", false},
		{"mfa", "", "mfa", true},
		{nil, "https://refeds.org/profile/mfa", "mfa", true},
		{nil, "urn:x:mfa", "", false},
	} {
		claims := claimsOf("ada", ada)
		if said.amr != nil {
			claims["amr"] = said.amr
		}
		if said.acr != "" {
			claims["acr"] = said.acr
		}
		w.inside(w.enterOIDC(w.Browser(t), i, o, claims), w.org, "Ada Lovelace")
		carries(said.want, said.second)
	}
	for context, second := range map[string]bool{
		"urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport": false, "https://refeds.org/profile/mfa": true,
	} {
		u := person(ada)
		u.Change = func(a *crewjam.Assertion) { a.AuthnStatements[0].AuthnContext.AuthnContextClassRef.Value = context }
		w.inside(w.enter(w.Browser(t), idp, s, u), w.org, "Ada Lovelace")
		carries(map[bool]string{true: "mfa"}[second], second)
	}
}

func TestASessionEndsWhenTheProviderSays(t *testing.T) {
	w := start(t)
	idp := w.idp()
	c := w.samlConnection(w.org, idp, creates)
	b := w.Browser(t)
	u, until := person(ada), w.Clock.Now().Add(10*time.Minute)
	u.Change = func(a *crewjam.Assertion) { a.AuthnStatements[0].SessionNotOnOrAfter = &until }
	w.inside(w.enter(b, idp, c, u), w.org, "Ada Lovelace")
	w.Clock.Advance(10*time.Minute - time.Second)
	if !w.signedIn(b) {
		t.Error("it ended too soon")
	}
	w.Clock.Advance(time.Second)
	w.outside(b, w.org)
}
