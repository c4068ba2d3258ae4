package saml_test

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/beevik/etree"
	crewjam "github.com/crewjam/saml"
	dsig "github.com/russellhaering/goxmldsig"

	"parvis/internal/expect"
	"parvis/internal/federation/saml"
	"parvis/internal/federation/samltest"
	"parvis/internal/upstream"
)

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// ours are two key pairs, the second for a rotation; making them takes long.
var ours = sync.OnceValue(func() saml.Keys {
	var keys saml.Keys
	for range 2 {
		k, err := saml.NewKeyPair(now, "parvis")
		if err != nil {
			panic(err)
		}
		keys = append(keys, k)
	}
	return keys
})

var ann = samltest.User{
	NameID: "ann@alpha.test", Format: saml.FormatEmailAddress, SessionIndex: "s-1",
	Attributes: map[string][]string{"groups": {"staff", "finance"}, "mail": {"ann@alpha.test"}},
}

// setting returns a provider, and what we expect of an answer to the request "_1".
func setting(t testing.TB) (*samltest.IdP, saml.Expectation) {
	t.Helper()
	idp := samltest.New("https://idp.test", func() time.Time { return now })
	m, err := saml.ParseMetadata(idp.Metadata(), now, false)
	if err != nil {
		t.Fatal(err)
	}
	return idp, saml.Expectation{
		Connection: saml.Connection{EntityID: m.EntityID, SSO: m.SSO[0], SLO: m.SLO[0], Certificates: [][]byte{m.Certificates[0].Raw}, SignRequests: true},
		ServiceProvider: saml.ServiceProvider{
			EntityID: "https://parvis.test/federation/con_1/metadata", ACS: "https://parvis.test/federation/con_1/acs", SLO: "https://parvis.test/federation/con_1/slo",
		},
		Keys: ours(), Reads: []string{"mail", "groups"}, RequestID: "_1", Now: now,
	}
}

func answer(t testing.TB, idp *samltest.IdP, e saml.Expectation, u samltest.User) string {
	t.Helper()
	metadata, err := saml.OurMetadata(e.Connection, e.ServiceProvider, e.Keys)
	if err != nil {
		t.Fatal(err)
	}
	request, err := saml.AuthnRequest(e.Connection, e.ServiceProvider, e.Keys, saml.Request{ID: "_1", RelayState: "r", Now: now})
	if err != nil {
		t.Fatal(err)
	}
	form, err := idp.Answer(metadata, request, u)
	if err != nil {
		t.Fatal(err)
	}
	if form.Address != e.ServiceProvider.ACS || form.RelayState != "r" {
		t.Fatalf("%+v", form)
	}
	return form.SAMLResponse
}

// edited returns a response whose document was changed after it was signed.
func edited(t testing.TB, response string, change func(root *etree.Element)) string {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(response)
	if err != nil {
		t.Fatal(err)
	}
	d := etree.NewDocument()
	if err := d.ReadFromBytes(b); err != nil {
		t.Fatal(err)
	}
	change(d.Root())
	if b, err = d.WriteToBytes(); err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(b)
}

// resigned returns a response that was changed and then signed by the provider: "response", "assertion" or both.
func resigned(t testing.TB, idp *samltest.IdP, response string, change func(root *etree.Element), parts ...string) string {
	t.Helper()
	unsigned := edited(t, response, func(root *etree.Element) {
		for _, s := range root.FindElements("//Signature") {
			s.Parent().RemoveChild(s)
		}
		change(root)
	})
	for _, part := range []string{"assertion", "response"} {
		if slices.Contains(parts, part) {
			unsigned = edited(t, unsigned, func(root *etree.Element) {
				el := root
				if part == "assertion" {
					el = root.FindElement("./Assertion")
				}
				sign(t, idp.Key, [][]byte{idp.Certificate.Raw}, el, dsig.RSASHA256SignatureMethod)
			})
		}
	}
	return unsigned
}

func sign(t testing.TB, key *rsa.PrivateKey, certificates [][]byte, el *etree.Element, method string) {
	t.Helper()
	context, err := dsig.NewSigningContext(key, certificates)
	if err != nil {
		t.Fatal(err)
	}
	if err := context.SetSignatureMethod(method); err != nil {
		t.Fatal(err)
	}
	context.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
	copied := el.Copy()
	for scope := el.Parent(); scope != nil; scope = scope.Parent() {
		for _, a := range scope.Attr {
			if a.Space == "xmlns" && copied.SelectAttr(a.FullKey()) == nil {
				copied.CreateAttr(a.FullKey(), a.Value)
			}
		}
	}
	signature, err := context.ConstructSignature(copied, true)
	if err != nil {
		t.Fatal(err)
	}
	at := 0
	if issuer := el.FindElement("./Issuer"); issuer != nil {
		at = issuer.Index() + 1
	}
	el.InsertChildAt(at, signature)
}

// refused requires that the named check failed.
func refused(t testing.TB, check, response string, e saml.Expectation) upstream.Check {
	t.Helper()
	v, trace, err := saml.Judge(response, e)
	failed, _ := trace.Failed()
	var refusal upstream.Refusal
	if !errors.As(err, &refusal) || string(refusal) != check || failed.Name != check {
		t.Errorf("want %s, got %v %+v", check, err, failed)
	}
	if v.Subject != "" || v.NameID != "" || v.Attributes != nil {
		t.Errorf("refused, and yet returned %+v", v)
	}
	return failed
}

func believed(t testing.TB, response string, e saml.Expectation) saml.Verdict {
	t.Helper()
	v, trace, err := saml.Judge(response, e)
	if err != nil {
		t.Fatalf("%v %+v", err, trace.Checks)
	}
	return v
}

func TestResponseIsBelieved(t *testing.T) {
	idp, e := setting(t)
	for name, c := range map[string]struct {
		encrypted, post bool
		parts           []string
		want            saml.Signed
	}{
		"both signed":                   {},
		"response signed":               {parts: []string{"response"}},
		"response demanded and signed":  {parts: []string{"response"}, want: saml.Response},
		"assertion demanded and signed": {parts: []string{"assertion"}, want: saml.Assertion},
		"by a POST":                     {post: true},
		"encrypted":                     {encrypted: true},
	} {
		t.Run(name, func(t *testing.T) {
			e := e
			idp.Encrypts, e.Connection.AllowCBC, e.Connection.WantSigned = c.encrypted, c.encrypted, c.want
			defer func() { idp.Encrypts = false }()
			if c.post {
				e.Connection.SSO.Binding = saml.POST
			}
			response := answer(t, idp, e, ann)
			if c.parts != nil {
				response = resigned(t, idp, response, func(*etree.Element) {}, c.parts...)
			}
			v, trace, err := saml.Judge(response, e)
			if err != nil {
				t.Fatalf("%v %+v", err, trace.Checks)
			}
			expect.Equal(t, "issuer", v.Issuer, "https://idp.test/metadata")
			expect.Equal(t, "NameID", v.NameID, "ann@alpha.test")
			expect.Equal(t, "format", v.Format, saml.FormatEmailAddress)
			expect.Equal(t, "session", v.SessionIndex, "s-1")
			expect.Equal(t, "groups", strings.Join(v.Values("groups"), " "), "staff finance")
			expect.Equal(t, "verified address", v.EmailVerified, false)
			if !v.AuthTime.Equal(now) || v.ACR == "" || v.AssertionID == "" {
				t.Errorf("%+v", v)
			}
			if v.Until.Before(now) || v.Until.After(now.Add(10*time.Minute)) {
				t.Errorf("remembered until %s", v.Until)
			}
			var names []string
			for _, c := range trace.Checks {
				names = append(names, c.Name)
			}
			for _, must := range []string{"document", "status", "issuer", "destination", "in_response_to", "signed", "signature", "audience", "recipient", "not_on_or_after", "name_id"} {
				if !slices.Contains(names, must) {
					t.Errorf("the trace says nothing of %s", must)
				}
			}
		})
	}
}

func TestUnsolicitedResponseNeedsItsSwitch(t *testing.T) {
	idp, e := setting(t)
	metadata, err := saml.OurMetadata(e.Connection, e.ServiceProvider, e.Keys)
	if err != nil {
		t.Fatal(err)
	}
	form, err := idp.Unasked(metadata, "", ann)
	if err != nil {
		t.Fatal(err)
	}
	response := resigned(t, idp, form.SAMLResponse, func(root *etree.Element) {
		root.RemoveAttr("InResponseTo") // crewjam leaves it there, empty
		root.FindElement("//SubjectConfirmationData").RemoveAttr("InResponseTo")
	}, "assertion")
	refused(t, "in_response_to", response, e)
	answered := answer(t, idp, e, ann)
	e.RequestID = ""
	refused(t, "unsolicited", response, e)
	e.Connection.AllowUnsolicited = true
	if v := believed(t, response, e); v.NameID != ann.NameID {
		t.Errorf("%+v", v)
	}
	refused(t, "unsolicited", answered, e)
}

func TestSubjectsDoNotCollideAndDefaultsAreLeftOut(t *testing.T) {
	idp, e := setting(t)
	seen := map[string]string{}
	for name, id := range map[string]crewjam.NameID{
		"plain":      {Value: "a"},
		"email":      {Value: "a", Format: saml.FormatEmailAddress},
		"persistent": {Value: "a", Format: saml.FormatPersistent},
		"qualified":  {Value: "a", Format: saml.FormatPersistent, NameQualifier: "x"},
		"quotes":     {Value: `a","x`, Format: saml.FormatPersistent},
		"case":       {Value: "A"},
		"space":      {Value: " a"},
	} {
		u := ann
		u.Change = func(a *crewjam.Assertion) { a.Subject.NameID = &id }
		v := believed(t, answer(t, idp, e, u), e)
		if other, taken := seen[v.Subject]; taken {
			t.Errorf("%s and %s are one: %s", name, other, v.Subject)
		}
		seen[v.Subject] = name
	}
	for _, id := range []crewjam.NameID{
		{Value: "a", Format: saml.FormatPersistent, NameQualifier: e.Connection.EntityID},
		{Value: "a", Format: saml.FormatPersistent, SPNameQualifier: e.ServiceProvider.EntityID},
	} {
		u := ann
		u.Change = func(a *crewjam.Assertion) { a.Subject.NameID = &id }
		if v := believed(t, answer(t, idp, e, u), e); seen[v.Subject] != "persistent" {
			t.Errorf("%+v is somebody else: %s", id, v.Subject)
		}
	}
}

func TestCertificatesRotateAndOneThatExpiredStillCounts(t *testing.T) {
	idp, e := setting(t)
	response := answer(t, idp, e, ann)
	own, other := e.Connection.Certificates[0], ours()[0].Certificate
	for _, pinned := range [][][]byte{{own, other}, {other, own}} {
		e.Connection.Certificates = pinned
		believed(t, response, e)
	}
	e.Connection.Certificates = [][]byte{other}
	failed := refused(t, "signature", response, e)
	if failed.Expected != saml.Fingerprint(other) || failed.Found != saml.Fingerprint(own) {
		t.Errorf("%+v", failed)
	}
	e.Connection.Certificates = nil
	refused(t, "signature", response, e)

	idp.Rollover()
	rolled := answer(t, idp, e, ann)
	e.Connection.Certificates = [][]byte{own}
	refused(t, "signature", rolled, e)
	e.Connection.Certificates = [][]byte{own, idp.Certificate.Raw}
	believed(t, rolled, e)
	believed(t, response, e)

	late := now.AddDate(1, 0, 0)
	response = answerAt(t, idp, e, late)
	e.Now = late
	_, trace, err := saml.Judge(response, e)
	i := slices.IndexFunc(trace.Checks, func(c upstream.Check) bool { return c.Name == "certificate_ended" })
	if err != nil {
		t.Fatalf("%v %+v", err, trace.Checks)
	}
	if i < 0 || trace.Checks[i].Expected == "" || !trace.Checks[i].Waived {
		t.Errorf("%v %+v", err, trace.Checks)
	}
}

// answerAt returns the answer of a provider whose clock differs.
func answerAt(t testing.TB, idp *samltest.IdP, e saml.Expectation, at time.Time) string {
	t.Helper()
	crewjam.TimeNow = func() time.Time { return at }
	defer func() { crewjam.TimeNow = func() time.Time { return now } }()
	metadata, err := saml.OurMetadata(e.Connection, e.ServiceProvider, e.Keys)
	if err != nil {
		t.Fatal(err)
	}
	request, err := saml.AuthnRequest(e.Connection, e.ServiceProvider, e.Keys, saml.Request{ID: "_1", RelayState: "r", Now: at})
	if err != nil {
		t.Fatal(err)
	}
	form, err := idp.Answer(metadata, request, ann)
	if err != nil {
		t.Fatal(err)
	}
	return form.SAMLResponse
}

// Our requests are read with code that is not ours: the standard library verifies the redirect binding's
// signature, goxmldsig that of the form.
func TestAuthnRequest(t *testing.T) {
	_, e := setting(t)
	c := e.Connection
	c.SSO.Location += "?tenant=1"
	c.NameIDFormat, c.AuthnContext = saml.FormatPersistent, []string{"urn:x:mfa"}
	m, err := saml.AuthnRequest(c, e.ServiceProvider, e.Keys, saml.Request{ID: "_1", RelayState: "r&=", ForceAuthn: true, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(m.Address)
	if err != nil || m.Field != "" {
		t.Fatal(err)
	}
	q := u.Query()
	if q.Get("tenant") != "1" || q.Get("RelayState") != "r&=" {
		t.Errorf("%s", m.Address)
	}
	raw := strings.TrimPrefix(u.RawQuery, "tenant=1&")
	signed, _, _ := strings.Cut(raw, "&Signature=")
	sum := sha256.Sum256([]byte(signed))
	signature, err := base64.StdEncoding.DecodeString(q.Get("Signature"))
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := saml.ParseCertificate(e.Keys[0].Certificate)
	if err != nil {
		t.Fatal(err)
	}
	if err := rsa.VerifyPKCS1v15(certificate.PublicKey.(*rsa.PublicKey), crypto.SHA256, sum[:], signature); err != nil {
		t.Error(err)
	}

	c.SSO.Binding = saml.POST
	m, err = saml.AuthnRequest(c, e.ServiceProvider, e.Keys, saml.Request{ID: "_1", RelayState: "r", ForceAuthn: true, Now: now})
	if err != nil || m.Field != "SAMLRequest" || m.Address != c.SSO.Location {
		t.Fatalf("%+v %v", m, err)
	}
	b, err := base64.StdEncoding.DecodeString(m.Value)
	if err != nil {
		t.Fatal(err)
	}
	d := etree.NewDocument()
	if err := d.ReadFromBytes(b); err != nil {
		t.Fatal(err)
	}
	context := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{Roots: []*x509.Certificate{certificate}})
	context.Clock = dsig.NewFakeClockAt(now)
	root, err := context.Validate(d.Root())
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"./Issuer": e.ServiceProvider.EntityID, "./RequestedAuthnContext[@Comparison='exact']/AuthnContextClassRef": "urn:x:mfa",
	} {
		if el := root.FindElement(path); el == nil || el.Text() != want {
			t.Errorf("%s: %s", path, b)
		}
	}
	for key, want := range map[string]string{"ID": "_1", "ForceAuthn": "true", "AssertionConsumerServiceURL": e.ServiceProvider.ACS, "Destination": c.SSO.Location, "IssueInstant": "2026-11-22T12:00:00.000Z"} {
		if got := root.SelectAttrValue(key, ""); got != want {
			t.Errorf("%s is %q", key, got)
		}
	}
	for name, try := range map[string]func() (saml.Message, error){
		"long relay state": func() (saml.Message, error) {
			return saml.AuthnRequest(c, e.ServiceProvider, e.Keys, saml.Request{ID: "_1", RelayState: strings.Repeat("r", 81), Now: now})
		},
		"no key": func() (saml.Message, error) {
			return saml.AuthnRequest(c, e.ServiceProvider, nil, saml.Request{ID: "_1", Now: now})
		},
		"no address": func() (saml.Message, error) {
			return saml.AuthnRequest(saml.Connection{}, e.ServiceProvider, nil, saml.Request{ID: "_1", Now: now})
		},
	} {
		if m, err := try(); err == nil {
			t.Errorf("%s: %+v", name, m)
		}
	}
}

func TestKeyPairComesBackAndIsNotPrinted(t *testing.T) {
	pair := ours()[0]
	text, err := pair.Text()
	if err != nil {
		t.Fatal(err)
	}
	again, err := saml.ParseKeyPair(text)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := again.Text(); err != nil || string(b) != string(text) {
		t.Errorf("%v", err)
	}
	if _, err := saml.ParseKeyPair(text[:len(text)/2]); err == nil {
		t.Error("half a pair was taken")
	}
	encoded, err := json.Marshal(pair)
	if err != nil {
		t.Fatal(err)
	}
	for _, printed := range []string{fmt.Sprintf("%v %+v %#v %s", pair, pair, pair, pair), string(encoded)} {
		if len(printed) > 3000 || strings.Contains(printed, "PRIVATE") {
			t.Errorf("%s", printed)
		}
	}
	certificate, err := saml.ParseCertificate(pair.Certificate)
	if err != nil || certificate.PublicKey.(*rsa.PublicKey).N.BitLen() != 3072 {
		t.Errorf("%v", err)
	}
}
