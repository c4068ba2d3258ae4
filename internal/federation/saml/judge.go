package saml

import (
	"cmp"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/beevik/etree"

	"parvis/internal/upstream"
)

const (
	success = "urn:oasis:names:tc:SAML:2.0:status:Success"
	bearer  = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
)

// A Verdict is a response that was believed. Its caller remembers the assertion's id until the
// assertion is too old to be believed again (R-SML-07).
type Verdict struct {
	upstream.Assertion
	AssertionID string
	Issued      time.Time // zero if it does not say
	Until       time.Time
}

// Judge judges the SAMLResponse that a provider had a browser post to us. The trace says what
// was looked at, even if the error is an upstream.Refusal.
func Judge(response string, e Expectation) (Verdict, upstream.Trace, error) {
	return judge(response, e, allowed)
}

func judge(response string, e Expectation, a algorithms) (Verdict, upstream.Trace, error) {
	var t upstream.Trace
	document, err := decode(response)
	if err != nil {
		return Verdict{}, t, note(&t, "document", err)
	}
	root, err := parseMessage(document, nil)
	if err := note(&t, "document", err); err != nil {
		return Verdict{}, t, err
	}
	if err := envelope(&t, root, e); err != nil {
		return Verdict{}, t, err
	}
	assertion, err := signed(&t, root, e, a)
	if err != nil {
		return Verdict{}, t, err
	}
	v, err := believe(&t, assertion, e)
	if err != nil {
		return Verdict{}, t, err
	}
	return v, t, nil
}

// envelope checks the Response around the assertion. It can refuse and say why, but nothing is
// taken from it.
func envelope(t *upstream.Trace, root *etree.Element, e Expectation) error {
	found := name(root) + " " + attr(root, "Version")
	good := found == "samlp:Response 2.0" && attr(root, "ID") != ""
	if err := requireAll(t, of("Response", upstream.Check{Name: "structure", OK: good, Expected: "samlp:Response 2.0 ID", Found: found})); err != nil {
		return err
	}
	if err := shape(root, "saml:Issuer ?", "ds:Signature ?", "samlp:Extensions ?", "samlp:Status 1", "saml:Assertion *", "saml:EncryptedAssertion *"); err != nil {
		return note(t, "structure", err)
	}
	assertions := len(children(root, "saml:Assertion")) + len(children(root, "saml:EncryptedAssertion"))
	return requireAll(t,
		status(root),
		of("Response", equal("issuer", e.Connection.EntityID, plain(one(root, "saml:Issuer")))),
		equal("destination", e.ServiceProvider.ACS, attr(root, "Destination")), // Bindings §3.5.5.2
		issued(root, e),
		of("Response", e.answered(root)),
		upstream.Check{Name: "assertion_count", OK: assertions == 1, Expected: "1", Found: fmt.Sprint(assertions)},
	)
}

// answered checks that a response answers our request or, where that is allowed, none.
func (e Expectation) answered(el *etree.Element) upstream.Check {
	if e.RequestID != "" {
		return equal("in_response_to", e.RequestID, attr(el, "InResponseTo"))
	}
	return upstream.Check{Name: "unsolicited", OK: e.Connection.AllowUnsolicited && !has(el, "InResponseTo"), Found: attr(el, "InResponseTo")}
}

// status checks the status, and shows all of the provider's codes and its message (Core §3.2.2).
func status(root *etree.Element) upstream.Check {
	code := one(root, "samlp:Status", "samlp:StatusCode")
	check := upstream.Check{Name: "status", OK: attr(code, "Value") == success, Expected: success}
	var said []string
	for ; code != nil; code = one(code, "samlp:StatusCode") {
		said = append(said, attr(code, "Value"))
	}
	check.Found = strings.TrimSpace(strings.Join(said, " ") + " " + plain(one(root, "samlp:Status", "samlp:StatusMessage")))
	return check
}

// issued separates a provider's clock that is ahead of ours from every other fault.
func issued(root *etree.Element, e Expectation) upstream.Check {
	at, ok := when(root, "IssueInstant")
	return upstream.Check{Name: "clock", OK: ok && !at.After(e.Now.Add(e.Connection.tolerance())), Expected: e.until(), Found: apart(root, "IssueInstant", e.Now)}
}

// until and from are the bounds of what counts as now.
func (e Expectation) until() string { return "≤ " + stamp(e.Now.Add(e.Connection.tolerance())) }
func (e Expectation) from() string  { return "> " + stamp(e.Now.Add(-e.Connection.tolerance())) }

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// apart shows a time of a message, and by how many seconds it is after now.
func apart(el *etree.Element, key string, now time.Time) string {
	if at, ok := when(el, key); ok {
		return fmt.Sprintf("%s (%+d s)", stamp(at), int(at.Sub(now).Seconds()))
	}
	return attr(el, key)
}

// signed finds the one assertion and returns it as it was signed: by its own signature, or by
// that of the response around it. Every signature that is present must verify.
func signed(t *upstream.Trace, root *etree.Element, e Expectation, a algorithms) (*etree.Element, error) {
	pinned, err := e.Connection.pinned()
	if err != nil {
		return nil, note(t, "certificate", err)
	}
	var by *x509.Certificate
	around := root // the verified response, where it is signed
	responseSigned := one(root, "ds:Signature") != nil
	if responseSigned {
		if around, by, err = verify(root, pinned, a); err != nil {
			return nil, note(t, "signature", err)
		}
		// The envelope is checked again, as it was signed.
		if err := envelope(new(upstream.Trace), around, e); err != nil {
			return nil, note(t, "signature", err)
		}
	}

	// The assertion's own signature is checked in the message as sent: canonicalization of the
	// response may have dropped namespaces that it needs.
	sent, read, cbc := one(root, "saml:Assertion"), one(around, "saml:Assertion"), false
	encrypted := one(around, "saml:EncryptedAssertion")
	if encrypted != nil {
		if sent, cbc, err = e.Keys.decrypt(encrypted, e.Connection.AllowCBC); err != nil {
			return nil, note(t, "decryption", err)
		}
		read = sent
	}
	assertionSigned := one(sent, "ds:Signature") != nil
	if assertionSigned {
		read, by, err = verify(sent, pinned, a)
		if err != nil && cbc && !responseSigned {
			// CBC let anybody change the content, so they must not learn whether it was well-formed.
			err = undecipherable
		}
		if err != nil {
			return nil, note(t, "signature", err)
		}
	}
	if encrypted != nil {
		if err := note(t, "decryption", nil); err != nil {
			return nil, err
		}
	}

	want := cmp.Or(e.Connection.WantSigned, Either)
	var were []string
	if responseSigned {
		were = append(were, string(Response))
	}
	if assertionSigned {
		were = append(were, string(Assertion))
	}
	enough := len(were) > 0 && (want == Either || slices.Contains(were, string(want)))
	if err := t.Require("signed", enough, string(want), strings.Join(were, " ")); err != nil {
		return nil, err
	}
	if err := note(t, "signature", nil); err != nil {
		return nil, err
	}
	expected, found := inDate(by, e.Now)
	if expected != "" {
		// We trust the key, not its dates, as long as the connection has it.
		t.Checks = append(t.Checks, upstream.Check{Name: "certificate_ended", Expected: expected, Found: found, Waived: true})
		return read, nil
	}
	return read, t.Require("certificate", true, "", found)
}

// believe judges an assertion that was signed.
func believe(t *upstream.Trace, assertion *etree.Element, e Expectation) (Verdict, error) {
	subject, conditions, authn := one(assertion, "saml:Subject"), one(assertion, "saml:Conditions"), one(assertion, "saml:AuthnStatement")
	found := name(assertion) + " " + attr(assertion, "Version")
	good := found == "saml:Assertion 2.0" && attr(assertion, "ID") != ""
	if err := requireAll(t, of("Assertion", upstream.Check{Name: "structure", OK: good, Expected: "saml:Assertion 2.0 ID", Found: found})); err != nil {
		return Verdict{}, err
	}
	if err := shaped(t, assertion); err != nil {
		return Verdict{}, err
	}
	confirmation, err := confirmationOf(subject)
	if err := note(t, "confirmation", err); err != nil {
		return Verdict{}, err
	}
	context := plain(one(authn, "saml:AuthnContext", "saml:AuthnContextClassRef"))
	wanted := e.Connection.AuthnContext
	const data = "SubjectConfirmationData"
	checks := []upstream.Check{
		of("Assertion", equal("issuer", e.Connection.EntityID, plain(one(assertion, "saml:Issuer")))),
		audience(conditions, e),
		equal("recipient", e.ServiceProvider.ACS, attr(confirmation, "Recipient")), // Profiles §4.1.4.2
		of(data, e.answered(confirmation)),
		of("Conditions", e.begun(conditions)), of("Conditions", e.notOver("not_on_or_after", conditions)),
		of(data, e.notOver("not_on_or_after", confirmation)),
		{Name: "authn_context", OK: len(wanted) == 0 || slices.Contains(wanted, context), Expected: strings.Join(wanted, " "), Found: context},
	}
	// Optional values are checked only if they are present.
	if has(confirmation, "NotBefore") {
		checks = append(checks, of(data, e.begun(confirmation)))
	}
	if has(authn, "SessionNotOnOrAfter") {
		checks = append(checks, e.notOver("session_not_on_or_after", authn))
	}
	if err := requireAll(t, checks...); err != nil {
		return Verdict{}, err
	}
	id, err := readNameID(one(subject, "saml:NameID"), e)
	if err := note(t, "name_id", err); err != nil {
		return Verdict{}, err
	}
	attributes, err := attributesOf(assertion, e)
	if err := note(t, "attributes", err); err != nil {
		return Verdict{}, err
	}

	v := Verdict{AssertionID: attr(assertion, "ID"), Assertion: upstream.Assertion{
		Issuer: e.Connection.EntityID, Subject: id.subject(), Format: id.format, NameID: id.value,
		Attributes: attributes, ACR: context, SessionIndex: attr(authn, "SessionIndex"),
	}}
	v.Issued, _ = when(assertion, "IssueInstant")
	v.AuthTime, _ = when(authn, "AuthnInstant")
	v.SessionEnds, _ = when(authn, "SessionNotOnOrAfter")
	v.Until, _ = when(conditions, "NotOnOrAfter")
	if until, _ := when(confirmation, "NotOnOrAfter"); until.Before(v.Until) {
		v.Until = until
	}
	v.Until = v.Until.Add(e.Connection.tolerance())
	return v, nil
}

// shaped requires the parts that an assertion must have, and refuses any other.
func shaped(t *upstream.Trace, assertion *etree.Element) error {
	subject := one(assertion, "saml:Subject")
	for _, part := range []struct {
		check   string
		el      *etree.Element
		allowed []string
	}{
		// verify removes the Signature of an assertion with a signature of its own.
		{"structure", assertion, []string{"saml:Issuer 1", "ds:Signature ?", "saml:Subject 1", "saml:Conditions 1", "saml:Advice ?", "saml:AuthnStatement 1", "saml:AttributeStatement *"}},
		{"structure", subject, []string{"saml:NameID 1", "saml:SubjectConfirmation *"}},
		// A condition that we do not know may forbid what we are about to do (Core §2.5.1.1).
		{"structure", one(assertion, "saml:Conditions"), []string{"saml:AudienceRestriction *", "saml:OneTimeUse ?", "saml:ProxyRestriction ?"}},
		{"structure", one(assertion, "saml:AuthnStatement"), []string{"saml:SubjectLocality ?", "saml:AuthnContext 1"}},
	} {
		if part.el == subject && len(children(subject, "saml:NameID")) == 0 {
			return note(t, "name_id", finding{"name_id", "saml:NameID", encryptedName(subject)})
		}
		if err := shape(part.el, part.allowed...); err != nil {
			return note(t, part.check, err)
		}
	}
	return nil
}

// encryptedName returns the name of an encrypted NameID, or "" if there is none at all.
func encryptedName(subject *etree.Element) string {
	for _, el := range children(subject, "saml:EncryptedID") {
		return name(el)
	}
	return ""
}

// confirmationOf returns the data of the one bearer confirmation (Profiles §4.1.4.2).
func confirmationOf(subject *etree.Element) (*etree.Element, error) {
	var data []*etree.Element
	var methods []string
	for _, c := range children(subject, "saml:SubjectConfirmation") {
		methods = append(methods, attr(c, "Method"))
		if attr(c, "Method") == bearer {
			data = append(data, one(c, "saml:SubjectConfirmationData"))
		}
	}
	if len(data) != 1 || data[0] == nil {
		return nil, finding{"confirmation", bearer + " saml:SubjectConfirmationData", strings.Join(methods, " ")}
	}
	return data[0], nil
}

// audience requires that each restriction names us among its audiences (Core §2.5.1.4).
func audience(conditions *etree.Element, e Expectation) upstream.Check {
	restrictions := children(conditions, "saml:AudienceRestriction")
	check := upstream.Check{Name: "audience", OK: len(restrictions) > 0, Expected: e.ServiceProvider.EntityID}
	var found []string
	for _, r := range restrictions {
		var named []string
		for _, a := range children(r, "saml:Audience") {
			named = append(named, plain(a))
		}
		check.OK = check.OK && e.ServiceProvider.EntityID != "" && slices.Contains(named, e.ServiceProvider.EntityID)
		found = append(found, named...)
	}
	check.Found = strings.Join(found, " ")
	return check
}

// begun checks a NotBefore, notOver a NotOnOrAfter.
func (e Expectation) begun(el *etree.Element) upstream.Check {
	from, ok := when(el, "NotBefore")
	return upstream.Check{Name: "not_before", OK: ok && !from.After(e.Now.Add(e.Connection.tolerance())),
		Expected: e.until(), Found: apart(el, "NotBefore", e.Now)}
}

func (e Expectation) notOver(check string, el *etree.Element) upstream.Check {
	key := "NotOnOrAfter"
	if check == "session_not_on_or_after" {
		key = "SessionNotOnOrAfter"
	}
	end, ok := when(el, key)
	return upstream.Check{Name: check, OK: ok && end.After(e.Now.Add(-e.Connection.tolerance())),
		Expected: e.from(), Found: apart(el, key, e.Now)}
}

// attributesOf reads what the provider says of the person. It joins attributes with exactly
// the same name and format, because common products send one for each role. For an attribute
// that we read something from, it refuses a second one whose name differs only by case, and a
// value that is not just text: both could be read in two ways (R-SML-05). Other attributes are
// not judged.
func attributesOf(assertion *etree.Element, e Expectation) ([]upstream.Attribute, error) {
	reads := func(name string) bool {
		return slices.ContainsFunc(e.Reads, func(r string) bool { return strings.EqualFold(r, name) })
	}
	var all []upstream.Attribute
	var formats []string
	for _, statement := range children(assertion, "saml:AttributeStatement") {
		if err := shape(statement, "saml:Attribute *"); err != nil {
			return nil, finding{"attributes", "saml:Attribute", path(statement)}
		}
		for _, el := range children(statement, "saml:Attribute") {
			a, format := upstream.Attribute{Name: attr(el, "Name")}, attr(el, "NameFormat")
			for _, child := range el.ChildElements() {
				value, ok := attributeValue(child)
				if !ok && reads(a.Name) {
					return nil, finding{"attributes", "saml:AttributeValue", a.Name}
				}
				if ok {
					a.Values = append(a.Values, value)
				}
			}
			same, read := -1, reads(a.Name)
			for i, other := range all {
				switch {
				case other.Name == a.Name && formats[i] == format:
					same = i
				case read && strings.EqualFold(other.Name, a.Name):
					return nil, finding{"attributes", other.Name + " " + formats[i], a.Name + " " + format}
				}
			}
			if same >= 0 {
				all[same].Values = append(all[same].Values, a.Values...)
			} else {
				all, formats = append(all, a), append(formats, format)
			}
		}
	}
	return all, nil
}

// attributeValue returns a text, or that of the one NameID in an eduPersonTargetedID.
func attributeValue(el *etree.Element) (string, bool) {
	if name(el) != "saml:AttributeValue" {
		return "", false
	}
	if inner := one(el, "saml:NameID"); inner != nil && len(el.ChildElements()) == 1 && strings.TrimSpace(el.Text()+inner.Tail()) == "" {
		el = inner
	}
	return text(el)
}
