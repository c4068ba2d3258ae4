package saml

import (
	"bytes"
	"compress/flate"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
)

// maxRelayState is the limit of Bindings §3.4.3, and enough for a reference.
const maxRelayState = 80

var (
	errRelayState = errors.New("relay state is longer than 80 bytes")
	errNoAddress  = errors.New("the provider has no address for this message")
	errNoKey      = errors.New("no key to sign with")
)

// A Message is what a browser carries to a provider: an address to go to with the redirect
// binding, and otherwise a form to post there.
type Message struct {
	Address    string
	Field      string // SAMLRequest or SAMLResponse; empty with the redirect binding
	Value      string
	RelayState string
}

// Request is what differs from one AuthnRequest to the next.
type Request struct {
	ID         string // an xs:ID, so the first character is no digit
	RelayState string
	ForceAuthn bool
	Now        time.Time
}

// AuthnRequest asks the connection's provider to authenticate the person (Core §3.4.1).
func AuthnRequest(c Connection, sp ServiceProvider, k Keys, r Request) (Message, error) {
	m := message("samlp:AuthnRequest", r.ID, c.SSO.Location, sp.EntityID, r.Now)
	m.CreateAttr("AssertionConsumerServiceURL", sp.ACS)
	m.CreateAttr("ProtocolBinding", POST)
	if r.ForceAuthn {
		m.CreateAttr("ForceAuthn", "true")
	}
	policy := m.CreateElement("samlp:NameIDPolicy")
	policy.CreateAttr("AllowCreate", "true")
	if c.NameIDFormat != "" {
		policy.CreateAttr("Format", c.NameIDFormat)
	}
	if len(c.AuthnContext) > 0 {
		requested := m.CreateElement("samlp:RequestedAuthnContext")
		requested.CreateAttr("Comparison", "exact")
		for _, class := range c.AuthnContext {
			requested.CreateElement("saml:AuthnContextClassRef").SetText(class)
		}
	}
	return k.send(m, c.SignRequests, "SAMLRequest", c.SSO.Binding, c.SSO.Location, r.RelayState)
}

// message begins one of our messages with what all of them have.
func message(tag, id, destination, issuer string, now time.Time) *etree.Element {
	m := etree.NewDocument().CreateElement(tag)
	m.CreateAttr("xmlns:samlp", "urn:oasis:names:tc:SAML:2.0:protocol")
	m.CreateAttr("xmlns:saml", "urn:oasis:names:tc:SAML:2.0:assertion")
	m.CreateAttr("ID", id)
	m.CreateAttr("Version", "2.0")
	m.CreateAttr("IssueInstant", now.UTC().Format("2006-01-02T15:04:05.000Z"))
	m.CreateAttr("Destination", destination)
	m.CreateElement("saml:Issuer").SetText(issuer)
	return m
}

// send signs a message, if asked to, and encodes it for the binding.
func (k Keys) send(m *etree.Element, signed bool, field, binding, location, relayState string) (Message, error) {
	switch {
	case len(relayState) > maxRelayState:
		return Message{}, errRelayState
	case location == "":
		return Message{}, errNoAddress
	case signed && len(k) == 0:
		return Message{}, errNoKey
	case signed && binding == POST:
		if err := k.sign(m); err != nil {
			return Message{}, err
		}
	}
	var document bytes.Buffer
	m.WriteTo(&document, &etree.WriteSettings{})
	if binding == POST {
		return Message{location, field, base64.StdEncoding.EncodeToString(document.Bytes()), relayState}, nil
	}
	query, err := k.query(signed, field, document.Bytes(), relayState)
	if err != nil {
		return Message{}, err
	}
	separator := "?"
	if strings.Contains(location, "?") {
		separator = "&"
	}
	return Message{Address: location + separator + query}, nil
}

// query returns the query of the redirect binding (Bindings §3.4.4.1). Its signature covers the
// octets as they are written.
func (k Keys) query(signed bool, field string, document []byte, relayState string) (string, error) {
	var deflated bytes.Buffer
	w, err := flate.NewWriter(&deflated, flate.BestCompression)
	if err != nil {
		return "", err
	}
	if _, err := w.Write(document); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	query := field + "=" + url.QueryEscape(base64.StdEncoding.EncodeToString(deflated.Bytes()))
	if relayState != "" {
		query += "&RelayState=" + url.QueryEscape(relayState)
	}
	if !signed {
		return query, nil
	}
	query += "&SigAlg=" + url.QueryEscape(dsig.RSASHA256SignatureMethod)
	sum := sha256.Sum256([]byte(query))
	signature, err := rsa.SignPKCS1v15(nil, k[0].private, crypto.SHA256, sum[:])
	if err != nil {
		return "", err
	}
	return query + "&Signature=" + url.QueryEscape(base64.StdEncoding.EncodeToString(signature)), nil
}
