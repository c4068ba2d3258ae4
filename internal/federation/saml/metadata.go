package saml

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/beevik/etree"
)

const (
	maxMetadata = 1 << 20
	protocol    = "urn:oasis:names:tc:SAML:2.0:protocol"
)

// Metadata is what a provider publishes of itself, as far as a Connection needs it.
type Metadata struct {
	EntityID                string
	SSO, SLO                []Endpoint          // by the bindings we speak, redirect first
	Certificates            []*x509.Certificate // expired ones too
	WantAuthnRequestsSigned bool
	NameIDFormats           []string
	ValidUntil              time.Time // zero if not given
}

// ParseMetadata reads the metadata of exactly one provider. Its addresses must be https; loopback also
// allows http to this machine. The error is an upstream.Refusal.
func ParseMetadata(b []byte, now time.Time, loopback bool) (Metadata, error) {
	if len(b) > maxMetadata {
		return Metadata{}, RefusedTooLarge
	}
	b = bytes.TrimPrefix(b, byteOrderMark)
	root, err := parse(b[len(declaration.Find(b)):])
	if err != nil {
		if f := (finding{}); errors.As(err, &f) && f.found == "<!DOCTYPE" {
			return Metadata{}, RefusedDoctype
		}
		return Metadata{}, RefusedNotXML
	}
	entity, err := provider(root)
	if err != nil {
		return Metadata{}, err
	}
	descriptor := one(entity, "md:IDPSSODescriptor")
	m := Metadata{EntityID: attr(entity, "entityID"), WantAuthnRequestsSigned: boolean(attr(descriptor, "WantAuthnRequestsSigned"))}
	if m.EntityID == "" {
		return Metadata{}, RefusedNoProvider
	}
	for el := descriptor; el != nil; el = el.Parent() { // what holds for the whole holds for its parts
		if until, ok := when(el, "validUntil"); ok && (m.ValidUntil.IsZero() || until.Before(m.ValidUntil)) {
			m.ValidUntil = until
		}
	}
	if !m.ValidUntil.IsZero() && !m.ValidUntil.After(now) {
		return Metadata{}, RefusedExpired
	}
	if m.SSO, err = endpoints(descriptor, "md:SingleSignOnService", loopback); err != nil {
		return Metadata{}, err
	}
	if len(m.SSO) == 0 {
		return Metadata{}, RefusedNoSSO
	}
	if m.SLO, err = endpoints(descriptor, "md:SingleLogoutService", loopback); err != nil {
		return Metadata{}, err
	}
	if m.Certificates, err = signingCertificates(descriptor); err != nil {
		return Metadata{}, err
	}
	for _, format := range children(descriptor, "md:NameIDFormat") {
		m.NameIDFormats = append(m.NameIDFormats, plain(format))
	}
	return m, nil
}

// provider finds the one entity that is an identity provider, among any number of others.
func provider(root *etree.Element) (*etree.Element, error) {
	var found []*etree.Element
	var walk func(el *etree.Element)
	walk = func(el *etree.Element) {
		for _, d := range children(el, "md:IDPSSODescriptor") {
			if name(el) == "md:EntityDescriptor" && slices.Contains(strings.Fields(attr(d, "protocolSupportEnumeration")), protocol) {
				found = append(found, el)
			}
		}
		for _, tag := range []string{"md:EntitiesDescriptor", "md:EntityDescriptor"} {
			for _, child := range children(el, tag) {
				walk(child)
			}
		}
	}
	walk(root)
	switch {
	case len(found) == 0:
		return nil, RefusedNoProvider
	case len(found) > 1 || one(found[0], "md:IDPSSODescriptor") == nil:
		return nil, RefusedTwoEntities
	}
	return found[0], nil
}

func endpoints(descriptor *etree.Element, tag string, loopback bool) ([]Endpoint, error) {
	var all []Endpoint
	for _, binding := range []string{Redirect, POST} {
		for _, el := range children(descriptor, tag) {
			e := Endpoint{attr(el, "Binding"), attr(el, "Location"), attr(el, "ResponseLocation")}
			if e.Binding != binding {
				continue
			}
			if !goodAddress(e.Location, loopback) || e.Response != "" && !goodAddress(e.Response, loopback) {
				return nil, RefusedAddress
			}
			all = append(all, e)
			break // the first of a binding is the provider's own choice
		}
	}
	return all, nil
}

func goodAddress(text string, loopback bool) bool {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		return false
	}
	if u.Scheme == "http" && loopback {
		ip, err := netip.ParseAddr(u.Hostname())
		return err == nil && ip.IsLoopback() || u.Hostname() == "localhost" || strings.HasSuffix(u.Hostname(), ".localhost")
	}
	return u.Scheme == "https"
}

// signingCertificates returns the certificates for signing; a key without a use is for every use
// (Metadata §2.4.1.1). A bad one is refused, not left out: it could be the one that signs.
func signingCertificates(descriptor *etree.Element) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for _, key := range children(descriptor, "md:KeyDescriptor") {
		if use := attr(key, "use"); use != "" && use != "signing" {
			continue
		}
		for _, data := range children(one(key, "ds:KeyInfo"), "ds:X509Data") {
			for _, el := range children(data, "ds:X509Certificate") {
				certificate, err := ParseCertificate([]byte(plain(el)))
				if err != nil {
					return nil, err
				}
				if !slices.ContainsFunc(all, certificate.Equal) {
					all = append(all, certificate)
				}
			}
		}
	}
	if len(all) == 0 {
		return nil, RefusedNoCertificate
	}
	return all, nil
}

func boolean(s string) bool { return s == "true" || s == "1" }

// OurMetadata returns the metadata that describes us to the provider of one connection, which may
// still be a draft.
func OurMetadata(c Connection, sp ServiceProvider, k Keys) ([]byte, error) {
	d := etree.NewDocument()
	entity := d.CreateElement("md:EntityDescriptor")
	entity.CreateAttr("xmlns:md", "urn:oasis:names:tc:SAML:2.0:metadata")
	entity.CreateAttr("xmlns:ds", "http://www.w3.org/2000/09/xmldsig#")
	entity.CreateAttr("entityID", sp.EntityID)
	descriptor := entity.CreateElement("md:SPSSODescriptor")
	descriptor.CreateAttr("AuthnRequestsSigned", strconv.FormatBool(c.SignRequests))
	descriptor.CreateAttr("WantAssertionsSigned", strconv.FormatBool(c.WantSigned != Response))
	descriptor.CreateAttr("protocolSupportEnumeration", protocol)
	for _, use := range []string{"signing", "encryption"} {
		for _, pair := range k {
			key := descriptor.CreateElement("md:KeyDescriptor")
			key.CreateAttr("use", use)
			key.CreateElement("ds:KeyInfo").CreateElement("ds:X509Data").CreateElement("ds:X509Certificate").
				SetText(base64.StdEncoding.EncodeToString(pair.Certificate))
			if use == "encryption" {
				for _, algorithm := range []string{aes256GCM, "http://www.w3.org/2009/xmlenc11#aes128-gcm", oaepMGF1P} {
					key.CreateElement("md:EncryptionMethod").CreateAttr("Algorithm", algorithm)
				}
			}
		}
	}
	for _, binding := range []string{Redirect, POST} {
		slo := descriptor.CreateElement("md:SingleLogoutService")
		slo.CreateAttr("Binding", binding)
		slo.CreateAttr("Location", sp.SLO)
	}
	if c.NameIDFormat != "" {
		descriptor.CreateElement("md:NameIDFormat").SetText(c.NameIDFormat)
	}
	acs := descriptor.CreateElement("md:AssertionConsumerService")
	acs.CreateAttr("Binding", POST)
	acs.CreateAttr("Location", sp.ACS)
	acs.CreateAttr("index", "0")
	acs.CreateAttr("isDefault", "true")
	d.Indent(2)
	return d.WriteToBytes()
}
