// Package samltest runs an identity provider that we did not write, crewjam's, in process. It
// reads our metadata, takes a request, and answers with the form a browser would post.
package samltest

import (
	"bytes"
	"compress/flate"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	crewjam "github.com/crewjam/saml"
	dsig "github.com/russellhaering/goxmldsig"

	"parvis/internal/federation/saml"
	"parvis/internal/secret"
)

// IdP is one provider.
type IdP struct {
	Key         *rsa.PrivateKey // for what a test signs itself
	Certificate *x509.Certificate
	Encrypts    bool // to the first encryption key of our metadata, with AES-128-CBC, the only one it knows

	now func() time.Time
	idp *crewjam.IdentityProvider
}

// User is the person that a response names.
type User struct {
	NameID       string
	Format       string // empty for crewjam's default, transient
	SessionIndex string
	Attributes   map[string][]string
	Change       func(*crewjam.Assertion) // called last, before the assertion is signed
}

// Form is what the browser posts to us.
type Form struct{ Address, SAMLResponse, RelayState string }

// One key is enough for every provider of a test run, because making one takes long.
var key = sync.OnceValue(secret.NewRSAKey)

// New makes a provider whose addresses begin with address. The clock applies to every provider
// in the process, because crewjam has only one.
func New(address string, now func() time.Time) *IdP {
	crewjam.TimeNow = now
	at := func(path string) url.URL {
		u, err := url.Parse(address + path)
		if err != nil {
			panic(err)
		}
		return *u
	}
	p := &IdP{now: now, idp: &crewjam.IdentityProvider{
		SignatureMethod: dsig.RSASHA256SignatureMethod,
		MetadataURL:     at("/metadata"), SSOURL: at("/sso"), LogoutURL: at("/slo"),
		Logger: log.New(io.Discard, "", 0),
	}}
	p.certify(key())
	return p
}

// Rollover gives the provider another key, as its administrators do before a certificate ends.
func (p *IdP) Rollover() { p.certify(secret.NewRSAKey()) }

func (p *IdP) certify(key *rsa.PrivateKey) {
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "idp"}, NotBefore: p.now().Add(-time.Hour), NotAfter: p.now().Add(1000 * time.Hour)}
	der, err := x509.CreateCertificate(nil, template, template, key.Public(), key)
	if err != nil {
		panic(err) // a template of constants
	}
	if p.Certificate, err = x509.ParseCertificate(der); err != nil {
		panic(err)
	}
	p.Key, p.idp.Key, p.idp.Certificate = key, key, p.Certificate
}

// EntityID is the provider's name.
func (p *IdP) EntityID() string { return p.idp.MetadataURL.String() }

// Metadata is what the provider publishes.
func (p *IdP) Metadata() []byte {
	b, err := xml.MarshalIndent(p.idp.Metadata(), "", "  ")
	if err != nil {
		panic(err)
	}
	return b
}

// Answer signs in a user who came with our message, an address or a form.
func (p *IdP) Answer(ourMetadata []byte, m saml.Message, u User) (Form, error) {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, m.Address, nil)
	if m.Field != "" {
		form := url.Values{m.Field: {m.Value}, "RelayState": {m.RelayState}}
		r, err = http.NewRequestWithContext(context.Background(), http.MethodPost, m.Address, strings.NewReader(form.Encode()))
		if err == nil {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
	}
	if err != nil {
		return Form{}, err
	}
	if p.idp.ServiceProviderProvider, err = knows(ourMetadata); err != nil {
		return Form{}, err
	}
	request, err := crewjam.NewIdpAuthnRequest(p.idp, r)
	if err != nil {
		return Form{}, err
	}
	if err := request.Validate(); err != nil {
		return Form{}, err
	}
	return p.respond(request, u)
}

// Unasked signs in a user without a request of ours.
func (p *IdP) Unasked(ourMetadata []byte, relayState string, u User) (Form, error) {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, p.idp.SSOURL.String(), nil)
	if err != nil {
		return Form{}, err
	}
	known, err := knows(ourMetadata)
	if err != nil {
		return Form{}, err
	}
	descriptor := known.SPSSODescriptors[0]
	return p.respond(&crewjam.IdpAuthnRequest{
		IDP: p.idp, HTTPRequest: r, RelayState: relayState, Now: p.now(),
		ServiceProviderMetadata: &known.EntityDescriptor, SPSSODescriptor: &descriptor, ACSEndpoint: &descriptor.AssertionConsumerServices[0],
	}, u)
}

func (p *IdP) respond(r *crewjam.IdpAuthnRequest, u User) (Form, error) {
	if !p.Encrypts {
		r.SPSSODescriptor.KeyDescriptors = nil
	}
	session := &crewjam.Session{CreateTime: p.now(), ExpireTime: p.now().Add(time.Hour), Index: u.SessionIndex, NameID: u.NameID, NameIDFormat: u.Format}
	for name, values := range u.Attributes {
		a := crewjam.Attribute{Name: name}
		for _, v := range values {
			a.Values = append(a.Values, crewjam.AttributeValue{Type: "xs:string", Value: v})
		}
		session.CustomAttributes = append(session.CustomAttributes, a)
	}
	if err := (crewjam.DefaultAssertionMaker{}).MakeAssertion(r, session); err != nil {
		return Form{}, err
	}
	if u.Change != nil {
		u.Change(r.Assertion)
	}
	form, err := r.PostBinding()
	return Form{form.URL, form.SAMLResponse, form.RelayState}, err
}

// LogoutRequest returns the address of ours where the provider sends a browser to end a session.
func (p *IdP) LogoutRequest(slo, id, nameID, sessionIndex string) string {
	document := fmt.Sprintf(`<samlp:LogoutRequest xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="%s" Version="2.0" IssueInstant="%s" Destination="%s"><saml:Issuer>%s</saml:Issuer><saml:NameID>%s</saml:NameID><samlp:SessionIndex>%s</samlp:SessionIndex></samlp:LogoutRequest>`,
		id, p.now().UTC().Format(time.RFC3339), slo, p.EntityID(), nameID, sessionIndex)
	return slo + "?" + p.SignQuery("SAMLRequest", document, "")
}

// SignQuery returns the signed query of the redirect binding for a document.
func (p *IdP) SignQuery(field, document, relayState string) string {
	var deflated bytes.Buffer
	w, err := flate.NewWriter(&deflated, flate.DefaultCompression)
	if err != nil {
		panic(err)
	}
	_, _ = w.Write([]byte(document)) // a buffer takes everything
	_ = w.Close()
	query := field + "=" + url.QueryEscape(base64.StdEncoding.EncodeToString(deflated.Bytes()))
	if relayState != "" {
		query += "&RelayState=" + url.QueryEscape(relayState)
	}
	query += "&SigAlg=" + url.QueryEscape(dsig.RSASHA256SignatureMethod)
	sum := sha256.Sum256([]byte(query))
	signature, err := rsa.SignPKCS1v15(nil, p.Key, crypto.SHA256, sum[:])
	if err != nil {
		panic(err)
	}
	return query + "&Signature=" + url.QueryEscape(base64.StdEncoding.EncodeToString(signature))
}

// known is the service provider that the provider knows.
type known struct{ crewjam.EntityDescriptor }

func knows(ourMetadata []byte) (*known, error) {
	k := &known{}
	return k, xml.Unmarshal(ourMetadata, &k.EntityDescriptor)
}

// GetServiceProvider finds us by our name.
func (k *known) GetServiceProvider(_ *http.Request, id string) (*crewjam.EntityDescriptor, error) {
	if id != k.EntityID {
		return nil, os.ErrNotExist
	}
	return &k.EntityDescriptor, nil
}
