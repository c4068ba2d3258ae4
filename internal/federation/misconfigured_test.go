package federation_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	crewjam "github.com/crewjam/saml"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/federation"
	"parvis/internal/federation/saml"
	"parvis/internal/federation/samltest"
	"parvis/internal/idptest"
)

// explained requires a refusal that explains itself: the person gets a sentence, a reference and a way
// on, the administrators get the check, and no secret is shown.
func (w *world) explained(b *idptest.Browser, p *idptest.Page, c federation.Connection, check string, secrets ...string) {
	w.t.Helper()
	trace := fmt.Sprintf("%+v", w.refused(b, p, c, check))
	for _, s := range append(secrets, clientSecret) {
		if s != "" && (strings.Contains(trace, s) || strings.Contains(w.Log.String(), s)) {
			w.t.Errorf("%s shows %.40s…", check, s)
		}
	}
}

// altered changes the document in a form after the provider signed it.
func altered(change func(string) string) func(samltest.Form) samltest.Form {
	return func(form samltest.Form) samltest.Form {
		document, err := base64.StdEncoding.DecodeString(form.SAMLResponse)
		if err != nil {
			panic(err)
		}
		form.SAMLResponse = base64.StdEncoding.EncodeToString([]byte(change(string(document))))
		return form
	}
}

func replaced(from, to string) func(samltest.Form) samltest.Form {
	return altered(func(document string) string { return regexp.MustCompile(from).ReplaceAllString(document, to) })
}

func TestSeededMisconfigurationsOfSAMLAreExplained(t *testing.T) {
	w := start(t)
	w.Join(t, w.org, ada, "Ada", directory.Member)
	type assertion = crewjam.Assertion
	says := func(change func(*assertion)) func(*samltest.User) {
		return func(u *samltest.User) { u.Change = change }
	}
	const signature = `(?s)<(ds:)?Signature .*?</(ds:)?Signature>`
	for _, m := range []struct {
		name, check string
		here        federation.Change                  // wrong settings on our side,
		user        func(*samltest.User)               // wrong claims of the provider,
		idp         func(*samltest.IdP)                // wrong settings there,
		metadata    func(*samltest.IdP, string) string // wrong metadata of ours there,
		form        func(samltest.Form) samltest.Form  // or a change on the way
		wait        time.Duration
	}{
		{name: "the audience is another application", check: "audience", user: says(func(a *assertion) {
			a.Conditions.AudienceRestrictions[0].Audience.Value = "https://other.example/metadata"
		})},
		{name: "the provider's entity id was typed wrongly", check: "issuer", here: func(c *federation.Connection) error {
			c.SAML.EntityID = "https://idp.example/metadata/"
			return nil
		}},
		{name: "the ACS address is another", check: "recipient", user: says(func(a *assertion) {
			a.Subject.SubjectConfirmations[0].SubjectConfirmationData.Recipient = "https://other.example/acs"
		})},
		{name: "the destination is another", check: "destination", form: replaced(` Destination="[^"]*"`, ` Destination="https://other.example/acs"`)},
		{name: "the certificate was replaced there", check: "signature", idp: (*samltest.IdP).Rollover},
		{name: "its clock is ahead", check: "clock", form: altered(func(document string) string {
			at := regexp.MustCompile(` IssueInstant="[^"]*"`).FindStringIndex(document)
			return document[:at[0]] + ` IssueInstant="` + w.Clock.Now().Add(5*time.Minute).UTC().Format(time.RFC3339) + `"` + document[at[1]:]
		})},
		{name: "its clock is ahead in what it signs", check: "not_before", user: says(func(a *assertion) { a.Conditions.NotBefore = w.Clock.Now().Add(5 * time.Minute) })},
		{name: "its clock is behind", check: "not_on_or_after", user: says(func(a *assertion) { a.Conditions.NotOnOrAfter = w.Clock.Now().Add(-5 * time.Minute) })},
		{name: "the response is too old", check: "not_on_or_after", wait: 10 * time.Minute},
		{name: "the session there is over", check: "session_not_on_or_after", user: says(func(a *assertion) {
			over := w.Clock.Now().Add(-time.Hour)
			a.AuthnStatements[0].SessionNotOnOrAfter = &over
		})},
		{name: "no address is sent", check: "email", user: func(u *samltest.User) { delete(u.Attributes, "email") }},
		{name: "two addresses are sent", check: "email", user: func(u *samltest.User) { u.Attributes["email"] = []string{ada, "x@alpha.example"} }},
		{name: "the address is a name", check: "email", user: func(u *samltest.User) { u.Attributes["email"] = []string{"ada"} }},
		{name: "the mapping names another attribute", check: "email", here: func(c *federation.Connection) error {
			c.Mapping.Email = "mail"
			return nil
		}},
		{name: "nobody vouches for its addresses", check: "email_verified", here: func(c *federation.Connection) error {
			c.Vouches = false
			return nil
		}},
		{name: "the domain was not proven", check: "domain", user: func(u *samltest.User) { u.Attributes["email"] = []string{"ada@elsewhere.example"} }},
		{name: "nobody has the address", check: "known", user: func(u *samltest.User) { u.Attributes["email"] = []string{"unknown@alpha.example"} }},
		{name: "the NameID is transient", check: "lasting_subject", user: func(u *samltest.User) { u.Format = saml.FormatTransient }},
		{name: "the group of NameIDs is another application's", check: "name_id", user: says(func(a *assertion) { a.Subject.NameID.SPNameQualifier = "https://other.example" })},
		{name: "nothing is signed", check: "signed", form: replaced(signature, "")},
		{name: "the assertion alone is signed, and the response is wanted", check: "signed", here: func(c *federation.Connection) error {
			c.SAML.WantSigned = saml.Response
			return nil
		}, form: altered(func(document string) string {
			before, rest, _ := strings.Cut(document, "Assertion ")
			return regexp.MustCompile(signature).ReplaceAllString(before, "") + "Assertion " + rest
		})},
		{name: "it signs with SHA-1", check: "algorithm", form: replaced(`http://www.w3.org/2001/04/xmldsig-more#rsa-sha256`, `http://www.w3.org/2000/09/xmldsig#rsa-sha1`)},
		{name: "the person could not sign in there", check: "status", form: replaced(`status:Success`, `status:AuthnFailed`)},
		{name: "nobody was signed in there", check: "status", form: replaced(`status:Success`, `status:NoPassive`)},
		{name: "it encrypts to a key that is not ours", check: "decryption", here: func(c *federation.Connection) error {
			c.SAML.AllowCBC = true
			return nil
		}, idp: func(idp *samltest.IdP) { idp.Encrypts = true }, metadata: func(idp *samltest.IdP, ours string) string {
			return regexp.MustCompile(`(X509Certificate>)[^<]*<`).ReplaceAllString(ours, "${1}"+base64.StdEncoding.EncodeToString(idp.Certificate.Raw)+"<")
		}},
		{name: "it encrypts with CBC", check: "encryption", idp: func(idp *samltest.IdP) { idp.Encrypts = true }},
		{name: "the way of signing in is not the one that is wanted", check: "authn_context", here: func(c *federation.Connection) error {
			c.SAML.AuthnContext = []string{"https://refeds.org/profile/mfa"}
			return nil
		}},
		{name: "what comes is no document", check: "document", form: func(f samltest.Form) samltest.Form { f.SAMLResponse = "hello"; return f }},
	} {
		t.Run(m.name, func(t *testing.T) {
			w := &world{w.Server, t, w.dns, w.org}
			idp, u := w.idp(), person(ada)
			var here []federation.Change
			if m.here != nil {
				here = append(here, m.here)
			}
			c := w.samlConnection(w.org, idp, here...)
			defer w.remove(c)
			if m.idp != nil {
				m.idp(idp)
			}
			if m.user != nil {
				m.user(&u)
			}
			ours := string(w.metadata(c))
			if m.metadata != nil {
				ours = m.metadata(idp, ours)
			}
			b := w.Browser(t)
			form, err := idp.Answer([]byte(ours), saml.Message{Address: w.begin(b, c)}, u)
			if err != nil {
				t.Fatal(err)
			}
			if m.form != nil {
				form = m.form(form)
			}
			w.Clock.Advance(m.wait)
			document := form.SAMLResponse
			if len(document) < 20 {
				document = ""
			}
			w.explained(b, w.post(b, form), c, m.check, document, form.RelayState)
		})
	}
}

func (w *world) remove(c federation.Connection) {
	w.t.Helper()
	w.turnOff(c)
	w.Update(w.t, func(ctx context.Context, tx *db.Tx) error {
		return w.Hub.Remove(ctx, tx, directory.Operator(), c.OrgID, c.ID)
	})
}

func TestSeededMisconfigurationsOfOpenIDConnectAreExplained(t *testing.T) {
	w := start(t)
	w.Join(t, w.org, ada, "Ada", directory.Member)
	hostile := w.issuer(nil)
	hostile.rollover("two")
	for _, m := range []struct {
		name, check string
		announce    map[string]any
		here        federation.Change
		claims      map[string]any
		token       func(*issuer, string) string // in place of the ordinary one
		provider    func(*issuer)
		query       []string
	}{
		{name: "the client is another", check: "audience", claims: map[string]any{"aud": "other"}},
		{name: "the token is for several clients", check: "authorized_party", claims: map[string]any{"aud": []string{"parvis", "other"}, "azp": "other"}},
		{name: "the client secret is another", check: "client", provider: func(i *issuer) { i.wants = "another secret" }},
		{name: "the redirect address is another", check: "token_request", provider: func(i *issuer) { clear(i.redeemed) }},
		{name: "the issuer is another", check: "issuer", claims: map[string]any{"iss": "https://other.example"}},
		{name: "the algorithm is not one that it announced", check: "algorithm", announce: map[string]any{"id_token_signing_alg_values_supported": []string{"RS256"}}},
		{name: "the nonce is another", check: "nonce", claims: map[string]any{"nonce": "other"}},
		{name: "there is no nonce", check: "nonce", claims: map[string]any{"nonce": nil}},
		{name: "the token endpoint is down", check: "token_request", provider: func(i *issuer) { i.down = true }},
		{name: "the key is not in its set", check: "key", token: func(_ *issuer, token string) string { return hostile.sign("JWT", claimsIn(token)) }},
		{name: "the key is another of that name", check: "signature", token: func(i *issuer, token string) string {
			i.rollover("one")
			return i.sign("JWT", claimsIn(token))
		}},
		{name: "its clock is behind", check: "expires", claims: map[string]any{"exp": w.Clock.Now().Add(-5 * time.Minute).Unix()}},
		{name: "its clock is ahead", check: "issued", claims: map[string]any{"iat": w.Clock.Now().Add(10 * time.Minute).Unix()}},
		{name: "userinfo is somebody else's", check: "userinfo_subject", claims: map[string]any{"email": nil, "email_verified": nil},
			provider: func(i *issuer) { i.userInfo = map[string]any{"sub": "eve", "email": ada, "email_verified": true} }},
		{name: "the address is not verified", check: "email_verified", claims: map[string]any{"email_verified": false}},
		{name: "no address is sent", check: "email", claims: map[string]any{"email": ""}},
		{name: "the way of signing in is not the one that is wanted", check: "acr", here: func(c *federation.Connection) error {
			c.OIDC.ACR = []string{"mfa"}
			return nil
		}},
		{name: "the person was refused there", check: "provider", query: []string{"error", "access_denied"}},
		{name: "who answers is not said", check: "callback_issuer", announce: map[string]any{"authorization_response_iss_parameter_supported": true}},
		{name: "there is no ID token", check: "id_token", token: func(*issuer, string) string { return "" }},
		{name: "the ID token is another thing", check: "token_type", token: func(i *issuer, token string) string { return i.sign("at+jwt", claimsIn(token)) }},
		{name: "the ID token is none", check: "token_form", token: func(*issuer, string) string { return "a.b" }},
	} {
		t.Run(m.name, func(t *testing.T) {
			w := &world{w.Server, t, w.dns, w.org}
			i := w.issuer(m.announce)
			i.announce = map[string]any{"userinfo_endpoint": i.URL + "/userinfo"}
			for name, value := range m.announce {
				i.announce[name] = value
			}
			w.allow(i.host())
			var here []federation.Change
			if m.here != nil {
				here = append(here, m.here)
			}
			c := w.oidcConnection(w.org, i, here...)
			defer w.remove(c)
			b := w.Browser(t)
			address := w.begin(b, c)
			claims := claimsOf("ada", ada)
			for name, value := range m.claims {
				if claims[name] = value; value == nil && name != "nonce" {
					delete(claims, name)
				}
			}
			code := i.code(address, claims)
			token := i.redeemed[code]
			if m.token != nil {
				i.redeemed[code] = m.token(i, token)
			}
			if m.provider != nil {
				m.provider(i)
			}
			w.explained(b, b.Get(back(c, address, code, m.query...)), c, m.check, code, token, "an access token")
		})
	}
}
