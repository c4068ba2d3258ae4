package saml_test

import (
	"encoding/base64"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"

	"parvis/internal/expect"
	"parvis/internal/federation/saml"
	"parvis/internal/federation/samltest"
)

// query returns the query of a redirect's address, as a handler has it.
func query(t testing.TB, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.RawQuery
}

func refusedLogout(t testing.TB, check, raw string, e saml.Expectation) {
	t.Helper()
	l, trace, err := saml.JudgeLogoutQuery(raw, e)
	if failed, _ := trace.Failed(); err == nil || failed.Name != check || l.Subject != "" {
		t.Errorf("want %s, got %v %+v %+v", check, err, failed, l)
	}
}

func TestProviderEndsASession(t *testing.T) {
	idp, e := setting(t)
	u := ann
	u.Format = saml.FormatUnspecified
	v := believed(t, answer(t, idp, e, u), e)
	e.RequestID = ""
	raw := query(t, idp.LogoutRequest(e.ServiceProvider.SLO, "_l1", ann.NameID, "s-1"))
	l, trace, err := saml.JudgeLogoutQuery(raw, e)
	if err != nil {
		t.Fatalf("%v %+v %+v", err, l, trace.Checks)
	}
	expect.Equal(t, "ID", l.ID, "_l1")
	expect.Equal(t, "Subject", l.Subject, v.Subject)
	if l.Answer || !slices.Equal(l.SessionIndexes, []string{v.SessionIndex}) || !l.Until.After(now) {
		t.Fatalf("%v %+v %+v", err, l, trace.Checks)
	}
	// The answer goes to the provider's address for answers.
	e.Connection.SLO.Response = "https://idp.test/slo/done"
	m, err := saml.LogoutResponse(e.Connection, e.ServiceProvider, e.Keys, saml.Request{ID: "_a1", RelayState: "r", Now: now}, l, true)
	if err != nil || !strings.HasPrefix(m.Address, "https://idp.test/slo/done?SAMLResponse=") || !strings.Contains(m.Address, "&Signature=") {
		t.Errorf("%v %+v", err, m)
	}
}

// We end a session, and the provider, played here with our own code and its key, answers.
func TestWeEndASession(t *testing.T) {
	idp, e := setting(t)
	v := believed(t, answer(t, idp, e, ann), e)
	for _, binding := range []string{saml.Redirect, saml.POST} {
		e.Connection.SLO.Binding = binding
		m, err := saml.LogoutRequest(e.Connection, e.ServiceProvider, e.Keys, saml.Request{ID: "_1", RelayState: "r", Now: now}, v.Subject, v.SessionIndex)
		if err != nil {
			t.Fatal(err)
		}
		theirs := saml.Expectation{
			Connection:      saml.Connection{EntityID: e.ServiceProvider.EntityID, Certificates: [][]byte{e.Keys[0].Certificate}},
			ServiceProvider: saml.ServiceProvider{EntityID: e.Connection.EntityID, SLO: e.Connection.SLO.Location}, Now: now,
		}
		var l saml.Logout
		if binding == saml.POST {
			l, _, err = saml.JudgeLogoutForm(m.Value, theirs)
		} else {
			l, _, err = saml.JudgeLogoutQuery(query(t, m.Address), theirs)
		}
		if err != nil || l.Subject != v.Subject || !slices.Equal(l.SessionIndexes, []string{"s-1"}) {
			t.Errorf("%v %+v", err, l)
		}
	}
	const answerText = `<samlp:LogoutResponse xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="_a" Version="2.0" IssueInstant="2026-11-22T12:00:00Z" Destination="https://parvis.test/federation/con_1/slo" InResponseTo="_1"><saml:Issuer>https://idp.test/metadata</saml:Issuer><samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"></samlp:StatusCode></samlp:Status></samlp:LogoutResponse>`
	if l, _, err := saml.JudgeLogoutQuery(idp.SignQuery("SAMLResponse", answerText, "r"), e); err != nil || !l.Answer || l.Partial {
		t.Errorf("%v %+v", err, l)
	}
	partial := strings.Replace(answerText, "></samlp:StatusCode>", `><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:PartialLogout"/></samlp:StatusCode>`, 1)
	if l, _, err := saml.JudgeLogoutQuery(idp.SignQuery("SAMLResponse", partial, ""), e); err != nil || !l.Partial {
		t.Errorf("%v %+v", err, l)
	}
	refusedLogout(t, "in_response_to", idp.SignQuery("SAMLResponse", strings.Replace(answerText, `"_1"`, `"_2"`, 1), ""), e)
	refusedLogout(t, "status", idp.SignQuery("SAMLResponse", strings.Replace(answerText, "status:Success", "status:Responder", 1), ""), e)
}

func TestSML10LogoutMessages(t *testing.T) {
	idp, e := setting(t)
	other := samltest.New("https://idp.test", func() time.Time { return now })
	other.Rollover()
	slo := e.ServiceProvider.SLO
	const document = `<samlp:LogoutRequest xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="_l" Version="2.0" IssueInstant="2026-11-22T12:00:00Z" NotOnOrAfter="2026-11-22T12:05:00Z" Destination="https://parvis.test/federation/con_1/slo"><saml:Issuer>https://idp.test/metadata</saml:Issuer><saml:NameID>ann</saml:NameID></samlp:LogoutRequest>`
	good := idp.SignQuery("SAMLRequest", document, "r")
	if _, trace, err := saml.JudgeLogoutQuery(good, e); err != nil {
		t.Fatalf("%v %+v", err, trace.Checks)
	}
	signed := func(old, with string) string { return idp.SignQuery("SAMLRequest", replace(old, with)(document), "") }
	unsigned, _, _ := strings.Cut(good, "&SigAlg=")
	withoutSignature, _, _ := strings.Cut(good, "&Signature=")
	for name, c := range map[string]struct{ check, raw string }{
		"unsigned":                      {"signature", unsigned},
		"an algorithm alone":            {"signature", withoutSignature},
		"by a stranger":                 {"signature", other.SignQuery("SAMLRequest", document, "")},
		"relay state changed":           {"signature", strings.Replace(good, "RelayState=r", "RelayState=s", 1)},
		"relay state taken away":        {"signature", strings.Replace(good, "&RelayState=r", "", 1)},
		"relay state written otherwise": {"signature", strings.Replace(good, "RelayState=r", "RelayState=%72", 1)},
		"SHA-1":                         {"algorithm", strings.Replace(good, "xmldsig-more%23rsa-sha256", "xmldsig%23rsa-sha1", 1)},
		"a parameter twice":             {"document", good + "&" + unsigned},
		"request and response":          {"document", good + "&SAMLResponse=x"},
		"neither":                       {"document", "RelayState=r"},
		"another encoding":              {"document", good + "&SAMLEncoding=x"},
		"wrong escape":                  {"document", good + "&x=%zz"},
		"for another connection":        {"destination", signed("con_1", "con_2")},
		"without destination":           {"destination", signed(`Destination="https://parvis.test/federation/con_1/slo"`, "")},
		"from another provider":         {"issuer", signed("https://idp.test/metadata", "https://other.test")},
		"over":                          {"not_on_or_after", signed("12:05:00", "11:59:00")},
		"replayed after a minute":       {"clock", signed(`IssueInstant="2026-11-22T12:00:00Z"`, `IssueInstant="2026-11-22T11:59:00Z"`)},
		"from the future":               {"clock", signed(`IssueInstant="2026-11-22T12:00:00Z"`, `IssueInstant="2026-11-22T12:01:01Z"`)},
		"without instant":               {"clock", signed(`IssueInstant="2026-11-22T12:00:00Z"`, "")},
		"without a name":                {"structure", signed("<saml:NameID>ann</saml:NameID>", "")},
		"with an encrypted name":        {"structure", signed("<saml:NameID>ann</saml:NameID>", "<saml:EncryptedID/>")},
		"with a comment":                {"document", signed("ann", "ann<!-- -->")},
		"a response as a request":       {"structure", idp.SignQuery("SAMLRequest", strings.ReplaceAll(document, "LogoutRequest", "Response"), "")},
		"SML7 deflate bomb":             {"document", idp.SignQuery("SAMLRequest", strings.Repeat("<x>", 30<<20/3), "")},
		"SML7 giant":                    {"signature", "SAMLRequest=" + strings.Repeat("A", 10<<20)},
		"SML7 DOCTYPE":                  {"document", signed("<samlp:LogoutRequest", "<!DOCTYPE x><samlp:LogoutRequest")},
	} {
		t.Run(name, func(t *testing.T) {
			refusedLogout(t, c.check, c.raw, e)
		})
	}

	// In a posted message the signature is in the document; one over another element does not count.
	post := func(change func(root *etree.Element)) string {
		return edited(t, base64.StdEncoding.EncodeToString([]byte(document)), change)
	}
	whole := func(root *etree.Element) { sign(t, idp.Key, nil, root, dsig.RSASHA256SignatureMethod) }
	if l, trace, err := saml.JudgeLogoutForm(post(whole), e); err != nil || l.Subject == "" {
		t.Errorf("%v %+v", err, trace.Checks)
	}
	for name, c := range map[string]struct {
		check, value string
	}{
		"unsigned": {"signature", post(func(*etree.Element) {})},
		"changed":  {"signature", edited(t, post(whole), func(root *etree.Element) { root.FindElement("./NameID").SetText("bob") })},
		"an assertion's signature": {"structure", edited(t, answer(t, idp, e, ann), func(root *etree.Element) {
			signature := root.FindElement("./Assertion/Signature").Copy()
			*root = *etree.NewElement("x")
			_ = edited(t, post(func(*etree.Element) {}), func(l *etree.Element) { *root = *l.Copy() })
			root.InsertChildAt(1, signature)
		})},
		"a response":             {"structure", answer(t, idp, e, ann)},
		"not Base64":             {"document", "§"},
		"for another connection": {"destination", edited(t, base64.StdEncoding.EncodeToString([]byte(strings.Replace(document, slo, slo+"2", 1))), whole)},
	} {
		t.Run("posted "+name, func(t *testing.T) {
			l, trace, err := saml.JudgeLogoutForm(c.value, e)
			if failed, _ := trace.Failed(); err == nil || failed.Name != c.check || l.Subject != "" {
				t.Errorf("%v %+v", err, failed)
			}
		})
	}
}
