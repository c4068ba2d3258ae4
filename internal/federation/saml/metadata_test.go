package saml_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"encoding/xml"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	crewjam "github.com/crewjam/saml"

	"parvis/internal/expect"
	"parvis/internal/federation/saml"
	"parvis/internal/upstream"
)

// selfSigned makes a certificate in Base64.
func selfSigned(t testing.TB, private crypto.Signer, until time.Time) string {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: now.AddDate(-1, 0, 0), NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(der)
}

func TestMetadataOfAProvider(t *testing.T) {
	idp, _ := setting(t)
	m, err := saml.ParseMetadata(idp.Metadata(), now, false)
	if err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "EntityID", m.EntityID, "https://idp.test/metadata")
	expect.Equal(t, "number of SSO", len(m.SSO), 2)
	expect.Equal(t, "m.SSO[0]", m.SSO[0], (saml.Endpoint{Binding: saml.Redirect, Location: "https://idp.test/sso"}))
	expect.Equal(t, "number of SLO", len(m.SLO), 1)
	expect.Equal(t, "number of Certificates", len(m.Certificates), 1)
	if !bytes.Equal(m.Certificates[0].Raw, idp.Certificate.Raw) || m.WantAuthnRequestsSigned || !m.ValidUntil.After(now) {
		t.Errorf("%+v", m)
	}
	if m, err := saml.ParseMetadata([]byte(strings.ReplaceAll(string(idp.Metadata()), ` use="signing"`, "")), now, false); err != nil || len(m.Certificates) != 1 {
		t.Errorf("a key without a use is for every use: %v %+v", err, m)
	}
}

func TestSML11MetadataImport(t *testing.T) {
	idp, _ := setting(t)
	good := string(idp.Metadata())
	signing := base64.StdEncoding.EncodeToString(idp.Certificate.Raw)
	sp, err := saml.OurMetadata(saml.Connection{}, saml.ServiceProvider{EntityID: "https://parvis.test", ACS: "https://parvis.test/acs", SLO: "https://parvis.test/slo"}, ours())
	if err != nil {
		t.Fatal(err)
	}
	entities := func(parts ...string) string {
		return `<md:EntitiesDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" validUntil="2026-11-22T13:00:00Z">` + strings.Join(parts, "") + `</md:EntitiesDescriptor>`
	}
	sharp := func(old, with string) string {
		changed := strings.ReplaceAll(good, old, with)
		if changed == good {
			t.Fatalf("%q is not in %s", old, good)
		}
		return changed
	}
	weak, curve := selfSigned(t, must(rsa.GenerateKey(rand.Reader, 1024)), now.AddDate(1, 0, 0)), selfSigned(t, must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)), now.AddDate(1, 0, 0))
	for name, c := range map[string]struct {
		refusal  upstream.Refusal // empty: it is taken
		document string
	}{
		"as it is":                {"", good},
		"a byte order mark":       {"", "\xEF\xBB\xBF" + good},
		"with comments":           {"", "<!-- of ours -->" + good},
		"among service providers": {"", entities(string(sp), good)},
		"in a group of a group":   {"", entities(entities(good))},
		"an expired certificate":  {"", sharp(signing, selfSigned(t, idp.Key, now.Add(-time.Minute)))},
		"50 MB":                   {saml.RefusedTooLarge, good + strings.Repeat(" ", 50<<20)},
		"not XML":                 {saml.RefusedNotXML, "hello"},
		"empty":                   {saml.RefusedNotXML, ""},
		"HTML":                    {saml.RefusedNotXML, "<html><br></html>"},
		"truncated":               {saml.RefusedNotXML, good[:len(good)/2]},
		"UTF-16":                  {saml.RefusedNotXML, "\xFF\xFE<\x00"},
		"deep":                    {saml.RefusedNotXML, strings.Repeat("<x>", 1000) + strings.Repeat("</x>", 1000)},
		"DOCTYPE":                 {saml.RefusedDoctype, `<!DOCTYPE x SYSTEM "http://127.0.0.1/">` + good},
		"two providers":           {saml.RefusedTwoEntities, entities(good, sharp("https://idp.test/metadata", "https://other.test"))},
		"the same provider twice": {saml.RefusedTwoEntities, entities(good, good)},
		"two descriptors":         {saml.RefusedTwoEntities, doubled(good)},
		"a service provider":      {saml.RefusedNoProvider, string(sp)},
		"none":                    {saml.RefusedNoProvider, entities()},
		"another namespace":       {saml.RefusedNoProvider, sharp("urn:oasis:names:tc:SAML:2.0:metadata", "urn:x")},
		"SAML 1.1 alone":          {saml.RefusedNoProvider, sharp(`protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol"`, `protocolSupportEnumeration="urn:oasis:names:tc:SAML:1.1:protocol"`)},
		"without a name":          {saml.RefusedNoProvider, sharp(`entityID="https://idp.test/metadata"`, "")},
		"no certificate":          {saml.RefusedNoCertificate, sharp(`use="signing"`, `use="encryption"`)},
		"an empty certificate":    {saml.RefusedCertificate, sharp(signing, "")},
		"a broken certificate":    {saml.RefusedCertificate, sharp(signing, "AAAA")},
		"a weak key":              {saml.RefusedWeakKey, sharp(signing, weak)},
		"an elliptic key":         {saml.RefusedWeakKey, sharp(signing, curve)},
		"http":                    {saml.RefusedAddress, sharp("https://idp.test/sso", "http://idp.test/sso")},
		"http to loopback":        {saml.RefusedAddress, sharp("https://idp.test/sso", "http://127.0.0.1/sso")},
		"http logout":             {saml.RefusedAddress, sharp("https://idp.test/slo", "http://idp.test/slo")},
		"a script":                {saml.RefusedAddress, sharp("https://idp.test/sso", "javascript:alert(1)")},
		"a name and password":     {saml.RefusedAddress, sharp("https://idp.test/sso", "https://a:b@idp.test/sso")},
		"no sign-in address":      {saml.RefusedNoSSO, sharp("SingleSignOnService", "SingleSignOnServic")},
		"sign-in by SOAP alone":   {saml.RefusedNoSSO, strings.ReplaceAll(sharp(saml.Redirect, "urn:x"), saml.POST, "urn:x")},
		"over":                    {saml.RefusedExpired, sharp(`validUntil="`, `validUntil="2026-11-22T11:59:00Z" was="`)},
		"over as a group":         {saml.RefusedExpired, strings.Replace(entities(good), "13:00", "11:00", 1)},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := saml.ParseMetadata([]byte(c.document), now, false)
			var refusal upstream.Refusal
			errors.As(err, &refusal)
			expect.Equal(t, "refusal", refusal, c.refusal)
			if err != nil && (refusal == "" || m.EntityID != "") {
				t.Errorf("%v %+v", err, m)
			}
			if err == nil && len(m.Certificates) == 0 {
				t.Error("taken without a certificate: nothing could be verified")
			}
		})
	}
	for address, ok := range map[string]bool{"http://127.0.0.1:8000/sso": true, "http://[::1]/sso": true, "http://idp.localhost/sso": true, "http://idp.test/sso": false, "http://10.0.0.1/sso": false} {
		if _, err := saml.ParseMetadata([]byte(sharp("https://idp.test/sso", address)), now, true); (err == nil) != ok {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestCertificatesAreTakenAsPeopleHaveThem(t *testing.T) {
	idp, _ := setting(t)
	der := idp.Certificate.Raw
	for name, b := range map[string][]byte{
		"DER": der, "Base64": []byte(base64.StdEncoding.EncodeToString(der)), "Base64 in lines": []byte(strings.ReplaceAll(base64.StdEncoding.EncodeToString(der), "A", "A\r\n ")),
		"PEM": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
	} {
		if c, err := saml.ParseCertificate(b); err != nil || !bytes.Equal(c.Raw, der) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOurMetadataHoldsBothKeys(t *testing.T) {
	_, e := setting(t)
	for _, signed := range []saml.Signed{saml.Either, saml.Response} {
		c := e.Connection
		c.WantSigned, c.NameIDFormat = signed, saml.FormatPersistent
		b, err := saml.OurMetadata(c, e.ServiceProvider, e.Keys)
		if err != nil {
			t.Fatal(err)
		}
		var d crewjam.EntityDescriptor
		if err := xml.Unmarshal(b, &d); err != nil {
			t.Fatal(err)
		}
		s := d.SPSSODescriptors[0]
		of := expect.Case(t, "%s", b)
		expect.Equal(of, "EntityID", d.EntityID, e.ServiceProvider.EntityID)
		expect.Equal(of, "*s.WantAssertionsSigned", *s.WantAssertionsSigned, (signed == saml.Either))
		expect.Equal(of, "s.AssertionConsumerServices[0].Location", s.AssertionConsumerServices[0].Location, e.ServiceProvider.ACS)
		expect.Equal(of, "s.SingleLogoutServices[0].Location", s.SingleLogoutServices[0].Location, e.ServiceProvider.SLO)
		expect.Equal(of, "number of KeyDescriptors", len(s.KeyDescriptors), 4)
		if !*s.AuthnRequestsSigned {
			t.Errorf("%s", b)
		}
		for i, k := range s.KeyDescriptors {
			if want := base64.StdEncoding.EncodeToString(e.Keys[i%2].Certificate); k.KeyInfo.X509Data.X509Certificates[0].Data != want || k.Use != [...]string{"signing", "encryption"}[i/2] {
				t.Errorf("key %d: %+v", i, k)
			}
		}
	}
}

func doubled(metadata string) string {
	start, end := strings.Index(metadata, "<IDPSSODescriptor"), strings.Index(metadata, "</IDPSSODescriptor>")+len("</IDPSSODescriptor>")
	return metadata[:end] + metadata[start:end] + metadata[end:]
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
