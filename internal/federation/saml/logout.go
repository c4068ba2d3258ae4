package saml

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"net/url"
	"strings"
	"time"

	"github.com/beevik/etree"

	"parvis/internal/upstream"
)

const (
	partialLogout    = "urn:oasis:names:tc:SAML:2.0:status:PartialLogout"
	responder        = "urn:oasis:names:tc:SAML:2.0:status:Responder"
	unknownPrincipal = "urn:oasis:names:tc:SAML:2.0:status:UnknownPrincipal"
)

// Logout is a message of the single logout profile (Profiles §4.4) that was believed. Its caller
// remembers a request's id until the request is too old to be believed again.
type Logout struct {
	Answer bool // it answers a request of ours; else it is a request, and must be answered
	ID     string
	Until  time.Time

	Subject        string   // of a request: encoded as an Assertion's, for SameSubject
	Within         string   // of a request: a text that occurs in every subject it may mean
	NameID         string   // of a request: as it came
	SessionIndexes []string // of a request; none means every session of the subject
	Partial        bool     // of an answer: the provider did not reach everybody
}

// LogoutRequest asks the provider to end a person's session. subject is that of an Assertion.
func LogoutRequest(c Connection, sp ServiceProvider, k Keys, r Request, subject, sessionIndex string) (Message, error) {
	id, err := parseSubject(subject)
	if err != nil {
		return Message{}, err
	}
	m := message("samlp:LogoutRequest", r.ID, c.SLO.Location, sp.EntityID, r.Now)
	el := m.CreateElement("saml:NameID")
	el.CreateAttr("Format", id.format)
	if id.qualifier != "" {
		el.CreateAttr("NameQualifier", id.qualifier)
	}
	el.SetText(id.value)
	if sessionIndex != "" {
		m.CreateElement("samlp:SessionIndex").SetText(sessionIndex)
	}
	return k.send(m, true, "SAMLRequest", c.SLO.Binding, c.SLO.Location, r.RelayState)
}

// LogoutResponse answers the provider's request. If done is false the request named nobody here,
// and the response is no success, so that the provider can tell its people (Core §3.2.2.2).
func LogoutResponse(c Connection, sp ServiceProvider, k Keys, r Request, l Logout, done bool) (Message, error) {
	m := message("samlp:LogoutResponse", r.ID, c.SLO.response(), sp.EntityID, r.Now)
	m.CreateAttr("InResponseTo", l.ID)
	code := m.CreateElement("samlp:Status").CreateElement("samlp:StatusCode")
	if done {
		code.CreateAttr("Value", success)
	} else {
		code.CreateAttr("Value", responder)
		code.CreateElement("samlp:StatusCode").CreateAttr("Value", unknownPrincipal)
	}
	return k.send(m, true, "SAMLResponse", c.SLO.Binding, c.SLO.response(), r.RelayState)
}

// JudgeLogoutForm judges the SAMLRequest or SAMLResponse of a posted logout form.
func JudgeLogoutForm(value string, e Expectation) (Logout, upstream.Trace, error) {
	var t upstream.Trace
	document, err := decode(value)
	if err != nil {
		return Logout{}, t, note(&t, "document", err)
	}
	root, err := parseMessage(document, nil)
	if err := note(&t, "document", err); err != nil {
		return Logout{}, t, err
	}
	pinned, err := e.Connection.pinned()
	if err != nil {
		return Logout{}, t, note(&t, "certificate", err)
	}
	verified, by, err := verify(root, pinned, allowed)
	if err := note(&t, "signature", err); err != nil {
		return Logout{}, t, err
	}
	l, err := believeLogout(&t, verified, by, e)
	return l, t, err
}

// JudgeLogoutQuery judges a logout message in the raw query of an address.
func JudgeLogoutQuery(rawQuery string, e Expectation) (Logout, upstream.Trace, error) {
	var t upstream.Trace
	q, err := readQuery(rawQuery)
	if err != nil {
		return Logout{}, t, note(&t, "document", err)
	}
	pinned, err := e.Connection.pinned()
	if err != nil {
		return Logout{}, t, note(&t, "certificate", err)
	}
	by, err := q.verify(pinned)
	if err := note(&t, "signature", err); err != nil {
		return Logout{}, t, err
	}
	deflated, err := decode(q.value)
	if err != nil {
		return Logout{}, t, note(&t, "document", err)
	}
	document, err := inflate(deflated)
	if err != nil {
		return Logout{}, t, note(&t, "document", err)
	}
	root, err := parseMessage(document, nil)
	if err := note(&t, "document", err); err != nil {
		return Logout{}, t, err
	}
	l, err := believeLogout(&t, root, by, e)
	return l, t, err
}

// query is what the redirect binding carries (Bindings §3.4.4.1).
type query struct{ value, algorithm, signature, signed string }

// readQuery takes each parameter once. It joins the octets that were signed as they were written,
// because encoding them again might give other octets.
func readQuery(raw string) (query, error) {
	written, values := map[string]string{}, map[string]string{}
	for pair := range strings.SplitSeq(raw, "&") {
		key, value, _ := strings.Cut(pair, "=")
		decoded, err := url.QueryUnescape(value)
		if _, twice := values[key]; err != nil || twice {
			return query{}, document("", key)
		}
		written[key], values[key] = pair, decoded
	}
	field := "SAMLRequest"
	if written[field] == "" {
		field = "SAMLResponse"
	}
	if _, both := values["SAMLResponse"]; values[field] == "" || both && field == "SAMLRequest" {
		return query{}, document("SAMLRequest | SAMLResponse", "")
	}
	if encoding, ok := values["SAMLEncoding"]; ok && encoding != "urn:oasis:names:tc:SAML:2.0:bindings:URL-Encoding:DEFLATE" {
		return query{}, document("DEFLATE", encoding)
	}
	signed := written[field]
	for _, key := range []string{"RelayState", "SigAlg"} {
		if pair, ok := written[key]; ok {
			signed += "&" + pair
		}
	}
	return query{values[field], values["SigAlg"], values["Signature"], signed}, nil
}

func (q query) verify(pinned []*x509.Certificate) (*x509.Certificate, error) {
	if q.signature == "" {
		return nil, finding{"signature", fingerprints(pinned), ""}
	}
	hash := allowed.signature[q.algorithm]
	if hash == 0 {
		return nil, finding{"algorithm", "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256", q.algorithm}
	}
	signature, err := base64.StdEncoding.DecodeString(squeeze(q.signature))
	if err != nil {
		return nil, finding{"signature", "Base64", err.Error()}
	}
	h := hash.New()
	h.Write([]byte(q.signed))
	sum := h.Sum(nil)
	for _, certificate := range pinned {
		if public, ok := certificate.PublicKey.(*rsa.PublicKey); ok && rsa.VerifyPKCS1v15(public, hash, sum, signature) == nil {
			return certificate, nil
		}
	}
	return nil, finding{"signature", fingerprints(pinned), ""}
}

// believeLogout judges a message whose signature was verified (R-SML-10).
func believeLogout(t *upstream.Trace, root *etree.Element, by *x509.Certificate, e Expectation) (Logout, error) {
	expected, found := inDate(by, e.Now)
	kind := name(root) + " " + attr(root, "Version")
	isAnswer := kind == "samlp:LogoutResponse 2.0"
	at, _ := when(root, "IssueInstant")
	fresh := issued(root, e)
	fresh.OK = fresh.OK && at.After(e.Now.Add(-e.Connection.tolerance()))
	if err := requireAll(t,
		upstream.Check{Name: "certificate", OK: true, Expected: expected, Found: found},
		upstream.Check{Name: "structure", OK: attr(root, "ID") != "" && (isAnswer || kind == "samlp:LogoutRequest 2.0"), Expected: "samlp:LogoutRequest 2.0 | samlp:LogoutResponse 2.0", Found: kind},
		equal("issuer", e.Connection.EntityID, plain(one(root, "saml:Issuer"))),
		equal("destination", e.ServiceProvider.SLO, attr(root, "Destination")),
		fresh,
	); err != nil {
		return Logout{}, err
	}
	l := Logout{Answer: isAnswer, ID: attr(root, "ID"), Until: at.Add(e.Connection.tolerance())}
	if isAnswer {
		l.Partial = attr(one(root, "samlp:Status", "samlp:StatusCode", "samlp:StatusCode"), "Value") == partialLogout
		return l, requireAll(t, equal("in_response_to", e.RequestID, attr(root, "InResponseTo")), status(root))
	}
	if err := note(t, "structure", shape(root, "saml:Issuer 1", "ds:Signature ?", "samlp:Extensions ?", "saml:NameID 1", "samlp:SessionIndex *")); err != nil {
		return Logout{}, err
	}
	if has(root, "NotOnOrAfter") {
		if err := requireAll(t, e.notOver("not_on_or_after", root)); err != nil {
			return Logout{}, err
		}
	}
	id, err := readNameID(one(root, "saml:NameID"), e)
	if err := note(t, "name_id", err); err != nil {
		return Logout{}, err
	}
	l.Subject, l.NameID = id.subject(), strings.TrimSpace(id.value)
	l.Within = nameID{value: l.NameID}.subject()
	l.Within = strings.TrimSuffix(strings.TrimPrefix(l.Within, `["","","`), `"]`)
	for _, index := range children(root, "samlp:SessionIndex") {
		l.SessionIndexes = append(l.SessionIndexes, plain(index))
	}
	return l, nil
}
