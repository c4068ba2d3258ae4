package company

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	crewjam "github.com/crewjam/saml"
	dsig "github.com/russellhaering/goxmldsig"
)

// samlServer serves the same people by SAML 2.0, with a library.
type samlServer struct {
	*server
	idp crewjam.IdentityProvider
}

func (s *server) samlProvider() (*samlServer, error) {
	key, err := rsa.GenerateKey(rand.Reader, 3072)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: s.Name},
		NotBefore: now().Add(-time.Hour), NotAfter: now().AddDate(1, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	own, err := url.Parse(s.Address)
	if err != nil {
		return nil, err
	}
	p := &samlServer{server: s}
	p.idp = crewjam.IdentityProvider{
		Key: key, Certificate: certificate, SignatureMethod: dsig.RSASHA256SignatureMethod,
		MetadataURL: *own.JoinPath("/saml/metadata"), SSOURL: *own.JoinPath("/saml/sso"),
		ServiceProviderProvider: p, SessionProvider: p, Logger: slog.NewLogLogger(s.Log.Handler(), slog.LevelWarn),
	}
	return p, nil
}

// saml serves with a provider that is made when it is first needed.
func saml(provider func() (*samlServer, error), serve func(*samlServer, http.ResponseWriter, *http.Request)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p, err := provider()
		if err != nil {
			http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
			return
		}
		serve(p, w, r)
	}
}

// metadata says what this provider can do: requests come by redirect, and identifiers
// are persistent.
func (p *samlServer) metadata(w http.ResponseWriter, r *http.Request) {
	m := p.idp.Metadata()
	role := &m.IDPSSODescriptors[0]
	role.SingleSignOnServices = role.SingleSignOnServices[:1]
	role.NameIDFormats = []crewjam.NameIDFormat{crewjam.PersistentNameIDFormat}
	text, err := xml.MarshalIndent(m, "", "  ")
	if err != nil {
		p.Log.ErrorContext(r.Context(), "metadata not written", "error", err.Error())
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/samlmetadata+xml")
	w.Write(text) //nolint:errcheck // The reader has gone.
}

func (p *samlServer) signIn(w http.ResponseWriter, r *http.Request) { p.idp.ServeSSO(w, r) }

// GetSession is called by the library to learn for whom it answers.
func (p *samlServer) GetSession(w http.ResponseWriter, r *http.Request, request *crewjam.IdpAuthnRequest) *crewjam.Session {
	anew := request.Request.ForceAuthn
	here, ok := p.who(w, r, anew != nil && *anew, "")
	if !ok {
		return nil
	}
	text := func(name string, values ...string) crewjam.Attribute {
		a := crewjam.Attribute{Name: name}
		for _, v := range values {
			a.Values = append(a.Values, crewjam.AttributeValue{Type: "xs:string", Value: v})
		}
		return a
	}
	return &crewjam.Session{
		CreateTime: here.since, ExpireTime: now().Add(sessionLife), Index: rand.Text(),
		NameID: here.person.Subject, NameIDFormat: string(crewjam.PersistentNameIDFormat),
		CustomAttributes: []crewjam.Attribute{
			text("email", here.person.Email), text("name", here.person.Name), text("groups", here.person.Groups...),
		},
	}
}

// GetServiceProvider is called by the library to learn who sent a request: a name is accepted
// if it is an address of the trusted origin, and the metadata there says the rest.
func (p *samlServer) GetServiceProvider(r *http.Request, id string) (*crewjam.EntityDescriptor, error) {
	if !strings.HasPrefix(id, p.Trusted+"/") {
		return nil, os.ErrNotExist
	}
	ctx, cancel := context.WithTimeout(r.Context(), 10*time.Second)
	defer cancel()
	ask, err := http.NewRequestWithContext(ctx, http.MethodGet, id, nil)
	if err != nil {
		return nil, err
	}
	got, err := p.Client.Do(ask)
	if err != nil {
		return nil, err
	}
	defer got.Body.Close()
	text, err := io.ReadAll(io.LimitReader(got.Body, 1<<20))
	if err != nil || got.StatusCode != http.StatusOK {
		return nil, errors.Join(err, fmt.Errorf("the metadata of %s was answered %d", id, got.StatusCode))
	}
	var m crewjam.EntityDescriptor
	if err := xml.Unmarshal(text, &m); err != nil {
		return nil, err
	}
	for i := range m.SPSSODescriptors {
		// The library encrypts only with CBC, which careful service providers have turned off;
		// so it does not encrypt.
		m.SPSSODescriptors[i].KeyDescriptors = nil
	}
	return &m, nil
}
