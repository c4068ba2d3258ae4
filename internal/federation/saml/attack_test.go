package saml_test

import (
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
	crewjam "github.com/crewjam/saml"
	dsig "github.com/russellhaering/goxmldsig"

	"parvis/internal/federation/saml"
	"parvis/internal/secret"
)

const evil = "mallory@evil.test"

// forged returns an unsigned copy of an element that names somebody else, with a new id.
func forged(el *etree.Element) *etree.Element {
	f := el.Copy()
	for _, s := range f.FindElements("//Signature") {
		s.Parent().RemoveChild(s)
	}
	f.CreateAttr("ID", "_forged")
	for _, id := range f.FindElements(".//NameID") {
		id.SetText(evil)
	}
	return f
}

func raw(t testing.TB, response string, change func(string) string) string {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(response)
	if err != nil {
		t.Fatal(err)
	}
	changed := change(string(b))
	if changed == string(b) {
		t.Fatal("nothing was changed")
	}
	return base64.StdEncoding.EncodeToString([]byte(changed))
}

func replace(old, with string) func(string) string {
	return func(s string) string { return strings.Replace(s, old, with, 1) }
}

func TestSML1UnsignedSelfSignedAndDowngraded(t *testing.T) {
	idp, e := setting(t)
	both := answer(t, idp, e, ann)
	signedAs := func(parts ...string) string { return resigned(t, idp, both, func(*etree.Element) {}, parts...) }
	assertion := signedAs("assertion")
	believed(t, assertion, e)
	stranger := secret.NewRSAKey()
	bySomebody := func(key *rsa.PrivateKey, method string) string {
		return edited(t, signedAs(), func(root *etree.Element) { sign(t, key, [][]byte{idp.Certificate.Raw}, root, method) })
	}
	reference := func(change func(reference *etree.Element)) string {
		return edited(t, assertion, func(root *etree.Element) { change(root.FindElement("//Reference")) })
	}
	for name, c := range map[string]struct {
		check, response string
		want            saml.Signed
	}{
		"nothing signed":                               {"signed", signedAs(), ""},
		"response signed, assertion asked":             {"signed", signedAs("response"), saml.Assertion},
		"assertion signed, response asked":             {"signed", assertion, saml.Response},
		"a stranger's key, our certificate in KeyInfo": {"signature", bySomebody(stranger, dsig.RSASHA256SignatureMethod), ""},
		"our own published certificate's key": {"signature", edited(t, signedAs(), func(root *etree.Element) {
			sign(t, stranger, [][]byte{e.Keys[0].Certificate}, root, dsig.RSASHA256SignatureMethod)
		}), ""},
		"SHA-1":                    {"algorithm", bySomebody(idp.Key, dsig.RSASHA1SignatureMethod), ""},
		"HMAC":                     {"algorithm", raw(t, assertion, replace(dsig.RSASHA256SignatureMethod, "http://www.w3.org/2000/09/xmldsig#hmac-sha1")), ""},
		"MD5":                      {"algorithm", raw(t, assertion, replace(dsig.RSASHA256SignatureMethod, "http://www.w3.org/2001/04/xmldsig-more#rsa-md5")), ""},
		"ECDSA":                    {"algorithm", raw(t, assertion, replace(dsig.RSASHA256SignatureMethod, dsig.ECDSASHA256SignatureMethod)), ""},
		"no algorithm":             {"algorithm", raw(t, assertion, replace(dsig.RSASHA256SignatureMethod, "")), ""},
		"digest SHA-1":             {"algorithm", raw(t, assertion, replace("http://www.w3.org/2001/04/xmlenc#sha256", "http://www.w3.org/2000/09/xmldsig#sha1")), ""},
		"inclusive canonicalizing": {"algorithm", raw(t, assertion, replace("http://www.w3.org/2001/10/xml-exc-c14n#", string(dsig.CanonicalXML10RecAlgorithmId))), ""},
		"canonicalizing with comments": {"algorithm", raw(t, assertion, func(s string) string {
			return strings.ReplaceAll(s, "http://www.w3.org/2001/10/xml-exc-c14n#", "http://www.w3.org/2001/10/xml-exc-c14n#WithComments")
		}), ""},
		"XPath transform": {"algorithm", reference(func(r *etree.Element) {
			x := r.FindElement("./Transforms").CreateElement("ds:Transform")
			x.CreateAttr("Algorithm", "http://www.w3.org/TR/1999/REC-xpath-19991116")
		}), ""},
		"XSLT instead": {"algorithm", reference(func(r *etree.Element) {
			r.FindElement("./Transforms/Transform").CreateAttr("Algorithm", "http://www.w3.org/TR/1999/REC-xslt-19991116")
		}), ""},
		"no transforms": {"structure", reference(func(r *etree.Element) { r.RemoveChild(r.FindElement("./Transforms")) }), ""},
		"one transform": {"algorithm", reference(func(r *etree.Element) {
			r.FindElement("./Transforms").RemoveChild(r.FindElement("./Transforms/Transform"))
		}), ""},
		"empty reference":   {"structure", reference(func(r *etree.Element) { r.CreateAttr("URI", "") }), ""},
		"no reference":      {"structure", reference(func(r *etree.Element) { r.Parent().RemoveChild(r) }), ""},
		"XPointer":          {"structure", reference(func(r *etree.Element) { r.CreateAttr("URI", "#xpointer(/)") }), ""},
		"two references":    {"structure", reference(func(r *etree.Element) { r.Parent().AddChild(r.Copy()) }), ""},
		"10,000 references": {"document", reference(func(r *etree.Element) { many(r, 10_000) }), ""},
		"two signatures": {"structure", edited(t, assertion, func(root *etree.Element) {
			s := root.FindElement("//Signature")
			s.Parent().InsertChildAt(s.Index(), s.Copy())
		}), ""},
		"no SignatureValue": {"structure", edited(t, assertion, func(root *etree.Element) {
			v := root.FindElement("//SignatureValue")
			v.Parent().RemoveChild(v)
		}), ""},
		"empty SignatureValue": {"signature", edited(t, assertion, func(root *etree.Element) { root.FindElement("//SignatureValue").SetText("") }), ""},
		"an Object inside": {"structure", edited(t, assertion, func(root *etree.Element) {
			root.FindElement("//Signature").CreateElement("ds:Object")
		}), ""},
		"another namespace of Signature": {"structure", raw(t, assertion, func(s string) string {
			return strings.Replace(s, `xmlns:ds="http://www.w3.org/2000/09/xmldsig#"`, `xmlns:ds="http://www.w3.org/2000/09/xmldsig"`, 1)
		}), ""},
		"a broken response signature around a good assertion": {"signature", edited(t, both, func(root *etree.Element) {
			root.FindElement("./Signature/SignatureValue").SetText("AAAA")
		}), ""},
		"a broken assertion signature in a good response": {"signature", edited(t, edited(t, assertion, func(root *etree.Element) {
			root.FindElement("//SignatureValue").SetText("AAAA")
		}), func(root *etree.Element) {
			sign(t, idp.Key, nil, root, dsig.RSASHA256SignatureMethod)
		}), ""},
		"changed after signing": {"signature", raw(t, assertion, replace(ann.NameID+"<", evil+"<")), ""},
	} {
		t.Run(name, func(t *testing.T) {
			e := e
			e.Connection.WantSigned = c.want
			refused(t, c.check, c.response, e)
		})
	}
	// The keys that a message carries are ignored, so a fault in them does not matter.
	believed(t, edited(t, assertion, func(root *etree.Element) { root.FindElement("//X509Certificate").SetText("@") }), e)
}

func many(el *etree.Element, n int) {
	for range n {
		el.Parent().AddChild(&etree.Element{Space: el.Space, Tag: el.Tag})
	}
}

// The eight wrappings of Somorovsky and others, "On Breaking SAML" (2012), and variants.
func TestSML2Wrapping(t *testing.T) {
	idp, e := setting(t)
	both := answer(t, idp, e, ann)
	only := func(part string) string { return resigned(t, idp, both, func(*etree.Element) {}, part) }
	response, assertion := only("response"), only("assertion")
	take := func(el *etree.Element) *etree.Element { el.Parent().RemoveChild(el); return el }
	wrapResponse := func(change func(f, original, signature *etree.Element)) string {
		return edited(t, response, func(root *etree.Element) {
			original := root.Copy()
			signature := take(original.FindElement("./Signature"))
			*root = *forged(root)
			change(root, original, signature)
		})
	}
	wrapAssertion := func(change func(root, original, f *etree.Element)) string {
		return edited(t, assertion, func(root *etree.Element) {
			original := root.FindElement("./Assertion")
			change(root, original, forged(original))
		})
	}
	behindIssuer := func(el, signature *etree.Element) { el.InsertChildAt(1, signature) }
	for name, wrapped := range map[string]string{
		"XSW1": wrapResponse(func(f, original, signature *etree.Element) {
			signature.CreateElement("ds:Object").AddChild(original)
			behindIssuer(f, signature)
		}),
		"XSW1, straight in the Signature": wrapResponse(func(f, original, signature *etree.Element) {
			signature.AddChild(original)
			behindIssuer(f, signature)
		}),
		"XSW2": wrapResponse(func(f, original, signature *etree.Element) {
			behindIssuer(f, signature)
			behindIssuer(f, original)
		}),
		"XSW3":        wrapAssertion(func(root, original, f *etree.Element) { root.InsertChildAt(original.Index(), f) }),
		"XSW3, after": wrapAssertion(func(root, _, f *etree.Element) { root.AddChild(f) }),
		"XSW4": wrapAssertion(func(root, original, f *etree.Element) {
			f.AddChild(take(original))
			root.AddChild(f)
		}),
		"XSW5": wrapAssertion(func(root, original, f *etree.Element) {
			behindIssuer(f, take(original.FindElement("./Signature")))
			root.AddChild(f)
		}),
		"XSW6": wrapAssertion(func(root, original, f *etree.Element) {
			signature := take(original.FindElement("./Signature"))
			signature.AddChild(take(original))
			behindIssuer(f, signature)
			root.AddChild(f)
		}),
		"XSW7": wrapAssertion(func(root, original, f *etree.Element) {
			root.InsertChildAt(original.Index(), etree.NewElement("samlp:Extensions"))
			root.FindElement("./Extensions").AddChild(f)
		}),
		"XSW7, the same id": wrapAssertion(func(root, original, f *etree.Element) {
			f.CreateAttr("ID", original.SelectAttrValue("ID", ""))
			root.InsertChildAt(original.Index(), etree.NewElement("samlp:Extensions"))
			root.FindElement("./Extensions").AddChild(f)
		}),
		"XSW8": wrapAssertion(func(root, original, f *etree.Element) {
			signature := take(original.FindElement("./Signature"))
			signature.CreateElement("ds:Object").AddChild(take(original))
			behindIssuer(f, signature)
			root.AddChild(f)
		}),
		"XSW8, the same id": wrapAssertion(func(root, original, f *etree.Element) {
			f.CreateAttr("ID", original.SelectAttrValue("ID", ""))
			signature := take(original.FindElement("./Signature"))
			signature.CreateElement("ds:Object").AddChild(take(original))
			behindIssuer(f, signature)
			root.AddChild(f)
		}),
		"original in Advice": wrapAssertion(func(root, original, f *etree.Element) {
			f.CreateElement("saml:Advice").AddChild(take(original))
			root.AddChild(f)
		}),
		"original in an unknown element": wrapAssertion(func(root, original, f *etree.Element) {
			root.CreateElement("foo").AddChild(take(original))
			root.AddChild(f)
		}),
		"original in StatusDetail": wrapAssertion(func(root, original, f *etree.Element) {
			root.FindElement("./Status").CreateElement("samlp:StatusDetail").AddChild(take(original))
			root.AddChild(f)
		}),
		"forged assertion of another namespace": wrapAssertion(func(root, _, f *etree.Element) {
			f.CreateAttr("xmlns:saml", "urn:oasis:names:tc:SAML:1.0:assertion")
			root.AddChild(f)
		}),
		"an id under a prefix": wrapAssertion(func(root, original, _ *etree.Element) {
			f := forged(original)
			f.RemoveAttr("ID")
			f.CreateAttr("samlp:ID", original.SelectAttrValue("ID", ""))
			f.CreateAttr("ID", "_forged")
			behindIssuer(f, take(original.FindElement("./Signature")))
			root.RemoveChild(original)
			root.AddChild(f)
		}),
		"an id twice": wrapAssertion(func(root, original, _ *etree.Element) {
			root.InsertChildAt(original.Index(), etree.NewElement("samlp:Extensions"))
			root.FindElement("./Extensions").CreateElement("x").CreateAttr("ID", original.SelectAttrValue("ID", ""))
		}),
		"an id under a prefix elsewhere": wrapAssertion(func(root, original, _ *etree.Element) {
			root.InsertChildAt(original.Index(), etree.NewElement("samlp:Extensions"))
			root.FindElement("./Extensions").CreateElement("x").CreateAttr("samlp:ID", "_x")
		}),
		"two valid assertions of two people": edited(t, assertion, func(root *etree.Element) {
			u := ann
			u.NameID = "bob@alpha.test"
			_ = edited(t, resigned(t, idp, answer(t, idp, e, u), func(*etree.Element) {}, "assertion"), func(other *etree.Element) {
				root.AddChild(other.FindElement("./Assertion").Copy())
			})
		}),
	} {
		t.Run(name, func(t *testing.T) {
			if v, trace, err := saml.Judge(wrapped, e); err == nil {
				t.Errorf("accepted as %s", v.NameID)
			} else if failed, _ := trace.Failed(); !slices.Contains([]string{"structure", "assertion_count"}, failed.Name) {
				t.Errorf("refused only by %+v", failed) // it was read before its form was checked
			}
		})
	}
	believed(t, assertion, e)
	believed(t, response, e)
}

func TestSML4CommentsAndMixedContentInValues(t *testing.T) {
	idp, e := setting(t)
	u := ann
	u.NameID = "admin@alpha.test.evil.test"
	response := answer(t, idp, e, u)
	for name, part := range map[string]string{
		"comment": "<!-- -->", "empty comment": "<!---->", "CDATA": "<![CDATA[]]>", "processing instruction": "<?x?>",
	} {
		for where, text := range map[string]string{"name id": "admin@alpha.test", "attribute": "fina"} {
			t.Run(name+" in "+where, func(t *testing.T) {
				// Canonicalization drops comments, so the signature is still valid.
				refused(t, "document", raw(t, response, replace(text, text+part)), e)
			})
		}
	}
	within := func(path string) func(*etree.Element) {
		return func(root *etree.Element) { root.FindElement(path).CreateElement("saml:b").SetText("x") }
	}
	for name, c := range map[string]struct {
		check  string
		change func(root *etree.Element)
	}{
		"an element in the name id":   {"name_id", within("//NameID")},
		"an element in an attribute":  {"attributes", within("//AttributeValue")},
		"an element in the audience":  {"audience", within("//Audience")},
		"an element in the issuer":    {"issuer", within("./Assertion/Issuer")},
		"an element among attributes": {"attributes", within("//AttributeStatement")},
		"an empty name id":            {"name_id", func(root *etree.Element) { root.FindElement("//NameID").SetText(" \n") }},
		"a long name id":              {"name_id", func(root *etree.Element) { root.FindElement("//NameID").SetText(strings.Repeat("x", 1025)) }},
		"two name ids": {"structure", func(root *etree.Element) {
			s := root.FindElement("//Subject")
			s.AddChild(s.FindElement("./NameID").Copy())
		}},
		"no name id": {"name_id", func(root *etree.Element) {
			s := root.FindElement("//Subject")
			s.RemoveChild(s.FindElement("./NameID"))
		}},
		"a name id for others": {"name_id", func(root *etree.Element) {
			root.FindElement("//NameID").CreateAttr("SPNameQualifier", "https://other.test")
		}},
		"an attribute twice, in another format": {"attributes", func(root *etree.Element) {
			s := root.FindElement("//AttributeStatement")
			second := s.FindElement("./Attribute").Copy()
			second.CreateAttr("NameFormat", "urn:oasis:names:tc:SAML:2.0:attrname-format:uri")
			s.AddChild(second)
		}},
		"an attribute twice, in another case": {"attributes", func(root *etree.Element) {
			s := root.FindElement("//AttributeStatement")
			second := s.FindElement("./Attribute").Copy()
			second.CreateAttr("Name", strings.ToUpper(second.SelectAttrValue("Name", "")))
			s.AddChild(second)
		}},
	} {
		t.Run(name, func(t *testing.T) { refused(t, c.check, resigned(t, idp, response, c.change, "assertion"), e) })
	}

	// Attributes that nothing is read from are not judged; values that came in parts are joined.
	e.Reads = []string{"groups"}
	v := believed(t, resigned(t, idp, response, func(root *etree.Element) {
		s := root.FindElement("//AttributeStatement")
		mail, groups := s.FindElement("./Attribute[@Name='mail']"), s.FindElement("./Attribute[@Name='groups']")
		for _, format := range []string{"", "urn:oasis:names:tc:SAML:2.0:attrname-format:uri"} {
			second := mail.Copy()
			second.CreateAttr("Name", "MAIL")
			second.CreateAttr("NameFormat", format)
			second.FindElement("./AttributeValue").CreateElement("saml:b").SetText("x")
			s.AddChild(second)
		}
		for _, value := range []string{"sales", "desk"} {
			part := groups.Copy()
			part.RemoveChild(part.FindElement("./AttributeValue"))
			part.FindElement("./AttributeValue").SetText(value)
			s.AddChild(part)
		}
	}, "assertion"), e)
	if got := v.Values("groups"); !slices.Equal(got, []string{"staff", "finance", "sales", "desk"}) {
		t.Errorf("the groups are %v", got)
	}
}

func TestSML5Conditions(t *testing.T) {
	idp, e := setting(t)
	response := answer(t, idp, e, ann)
	set := func(path, key, value string) func(*etree.Element) {
		return func(root *etree.Element) {
			el := root.FindElement(path)
			if el.RemoveAttr(key); value != "" {
				el.CreateAttr(key, value)
			}
		}
	}
	textOf := func(path, value string) func(*etree.Element) {
		return func(root *etree.Element) { root.FindElement(path).SetText(value) }
	}
	drop := func(path string) func(*etree.Element) {
		return func(root *etree.Element) { el := root.FindElement(path); el.Parent().RemoveChild(el) }
	}
	at := func(seconds int) string { return now.Add(time.Duration(seconds) * time.Second).Format(time.RFC3339) }
	const data, conditions, authn = "//SubjectConfirmationData", "//Conditions", "//AuthnStatement"
	for name, c := range map[string]struct {
		check  string // empty: it is believed
		change func(*etree.Element)
	}{
		"unchanged":         {"", func(*etree.Element) {}},
		"wrong audience":    {"audience", textOf("//Audience", "https://other.test")},
		"no audience":       {"audience", drop("//AudienceRestriction")},
		"empty restriction": {"audience", drop("//Audience")},
		"a second restriction for others": {"audience", func(root *etree.Element) {
			r := root.FindElement("//AudienceRestriction").Copy()
			r.FindElement("./Audience").SetText("https://other.test")
			root.FindElement(conditions).AddChild(r)
		}},
		"a first restriction for others": {"audience", func(root *etree.Element) {
			r := root.FindElement("//AudienceRestriction").Copy()
			r.FindElement("./Audience").SetText("https://other.test")
			root.FindElement(conditions).InsertChildAt(0, r)
		}},
		"others beside us in a restriction": {"", func(root *etree.Element) {
			root.FindElement("//AudienceRestriction").CreateElement("saml:Audience").SetText("https://other.test")
		}},
		"an unknown condition":          {"structure", func(root *etree.Element) { root.FindElement(conditions).CreateElement("saml:Condition") }},
		"used once":                     {"", func(root *etree.Element) { root.FindElement(conditions).CreateElement("saml:OneTimeUse") }},
		"no conditions":                 {"structure", drop(conditions)},
		"wrong destination":             {"destination", set(".", "Destination", "https://parvis.test/federation/con_2/acs")},
		"no destination":                {"destination", set(".", "Destination", "")},
		"destination with a slash":      {"destination", set(".", "Destination", e.ServiceProvider.ACS+"/")},
		"wrong recipient":               {"recipient", set(data, "Recipient", "https://parvis.test/federation/con_2/acs")},
		"no recipient":                  {"recipient", set(data, "Recipient", "")},
		"wrong issuer of the response":  {"issuer", textOf("./Issuer", "https://other.test")},
		"no issuer of the response":     {"issuer", drop("./Issuer")},
		"wrong issuer of the assertion": {"issuer", textOf("./Assertion/Issuer", "https://other.test")},
		"answers nothing":               {"in_response_to", set(".", "InResponseTo", "")},
		"answers another request":       {"in_response_to", set(".", "InResponseTo", "_2")},
		"confirmation answers nothing":  {"in_response_to", set(data, "InResponseTo", "")},
		"confirmation answers another":  {"in_response_to", set(data, "InResponseTo", "_2")},
		"begins in 60 s":                {"", set(conditions, "NotBefore", at(60))},
		"begins in 61 s":                {"not_before", set(conditions, "NotBefore", at(61))},
		"begins never":                  {"not_before", set(conditions, "NotBefore", "")},
		"begins at no time":             {"not_before", set(conditions, "NotBefore", "yesterday")},
		"ended 59 s ago":                {"", set(conditions, "NotOnOrAfter", at(-59))},
		"ended 60 s ago":                {"not_on_or_after", set(conditions, "NotOnOrAfter", at(-60))},
		"ends never":                    {"not_on_or_after", set(conditions, "NotOnOrAfter", "")},
		"confirmation ended":            {"not_on_or_after", set(data, "NotOnOrAfter", at(-60))},
		"confirmation ends never":       {"not_on_or_after", set(data, "NotOnOrAfter", "")},
		"confirmation begins later":     {"not_before", set(data, "NotBefore", at(61))},
		"session ended":                 {"session_not_on_or_after", set(authn, "SessionNotOnOrAfter", at(-60))},
		"session ends at no time":       {"session_not_on_or_after", set(authn, "SessionNotOnOrAfter", "soon")},
		"session ends later":            {"", set(authn, "SessionNotOnOrAfter", at(3600))},
		"issued 61 s ahead":             {"clock", set(".", "IssueInstant", at(61))},
		"issued never":                  {"clock", set(".", "IssueInstant", "")},
		"holder of key":                 {"confirmation", set("//SubjectConfirmation", "Method", "urn:oasis:names:tc:SAML:2.0:cm:holder-of-key")},
		"no confirmation":               {"confirmation", drop("//SubjectConfirmation")},
		"no confirmation data":          {"confirmation", drop(data)},
		"two bearer confirmations": {"confirmation", func(root *etree.Element) {
			c := root.FindElement("//SubjectConfirmation")
			c.Parent().AddChild(c.Copy())
		}},
		"no authentication":         {"structure", drop(authn)},
		"failure with an assertion": {"status", set("./Status/StatusCode", "Value", "urn:oasis:names:tc:SAML:2.0:status:Responder")},
		"success only below": {"status", func(root *etree.Element) {
			c := root.FindElement("./Status/StatusCode")
			c.AddChild(c.Copy())
			c.CreateAttr("Value", "urn:x")
		}},
		"no status":                {"structure", drop("./Status")},
		"no assertion":             {"assertion_count", drop("./Assertion")},
		"version 1.1":              {"structure", set(".", "Version", "1.1")},
		"assertion of version 1.1": {"structure", set("./Assertion", "Version", "1.1")},
		"an unknown statement":     {"structure", func(root *etree.Element) { root.FindElement("./Assertion").CreateElement("saml:Statement") }},
	} {
		for _, part := range []string{"assertion", "response"} {
			if name == "no assertion" && part == "assertion" {
				continue
			}
			t.Run(name+", "+part+" signed", func(t *testing.T) {
				r := resigned(t, idp, response, c.change, part)
				if c.check == "" {
					believed(t, r, e)
				} else if failed := refused(t, c.check, r, e); failed.Expected == "" && failed.Found == "" {
					t.Errorf("nothing to act upon: %+v", failed)
				}
			})
		}
	}

	second := "urn:oasis:names:tc:SAML:2.0:status:NoAuthnContext"
	failed := refused(t, "status", edited(t, response, func(root *etree.Element) {
		code := root.FindElement("./Status/StatusCode")
		code.CreateAttr("Value", "urn:oasis:names:tc:SAML:2.0:status:Responder")
		code.CreateElement("samlp:StatusCode").CreateAttr("Value", second)
		root.FindElement("./Status").CreateElement("samlp:StatusMessage").SetText("no second factor")
		drop("./Assertion")(root)
	}), e)
	if !strings.Contains(failed.Found, second) || !strings.Contains(failed.Found, "no second factor") {
		t.Errorf("%+v", failed)
	}
	failed = refused(t, "clock", edited(t, response, set(".", "IssueInstant", at(95))), e)
	if !strings.Contains(failed.Found, "(+95 s)") {
		t.Errorf("%+v", failed)
	}

	for _, tolerance := range []time.Duration{2 * time.Minute, time.Hour} { // more than two minutes are never tolerated
		e := e
		e.Connection.Tolerance = tolerance
		believed(t, resigned(t, idp, response, set(conditions, "NotBefore", at(120)), "assertion"), e)
		refused(t, "not_before", resigned(t, idp, response, set(conditions, "NotBefore", at(121)), "assertion"), e)
	}
	e.Connection.AuthnContext = []string{"urn:x:mfa", "urn:x:other"}
	refused(t, "authn_context", response, e)
	u := ann
	u.Change = func(a *crewjam.Assertion) {
		a.AuthnStatements[0].AuthnContext.AuthnContextClassRef.Value = "urn:x:mfa"
	}
	if v := believed(t, answer(t, idp, e, u), e); v.ACR != "urn:x:mfa" {
		t.Errorf("%+v", v)
	}
	e.RequestID = "_2" // an answer to another request, reused
	refused(t, "in_response_to", response, e)
}

func TestSML7BombsAndOddDocuments(t *testing.T) {
	idp, e := setting(t)
	response := answer(t, idp, e, ann)
	whole := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	before := func(prefix string) string { return raw(t, response, func(s string) string { return prefix + s }) }
	inside := func(attributes, content string) string {
		return edited(t, response, func(root *etree.Element) {
			root.InsertChildAt(0, etree.NewElement("samlp:Extensions"))
			x := root.FindElement("./Extensions").CreateElement("x")
			x.CreateAttr("y", attributes)
			x.SetText(content)
		})
	}
	deep := strings.Repeat("<x>", 40) + strings.Repeat("</x>", 40)
	var prefixes, attributes strings.Builder
	for i := range 40_000 / 16 {
		fmt.Fprintf(&prefixes, ` xmlns:p%d="u"`, i)
		fmt.Fprintf(&attributes, ` a%d=""`, i)
	}
	for name, document := range map[string]string{
		"external entity":                 before(`<!DOCTYPE r [<!ENTITY x SYSTEM "http://127.0.0.1/x">]>`),
		"external DTD":                    before(`<!DOCTYPE r SYSTEM "http://127.0.0.1/x">`),
		"billion laughs":                  before(`<!DOCTYPE r [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]>`),
		"unknown entity":                  raw(t, response, replace("ann@alpha.test<", "&x;<")),
		"another encoding":                before(`<?xml version="1.0" encoding="UTF-7"?>`),
		"XML 1.1":                         before(`<?xml version="1.1"?>`),
		"two declarations":                before(`<?xml version="1.0"?><?xml version="1.0"?>`),
		"stylesheet":                      before(`<?xml version="1.0"?><?xml-stylesheet href="x"?>`),
		"UTF-16":                          whole("\xFE\xFF\x00<"),
		"broken UTF-8":                    raw(t, response, replace("ann@", "ann\xC0\xAE@")),
		"NUL":                             raw(t, response, replace("ann@", "ann\x00@")),
		"text around":                     before("x"),
		"two roots":                       raw(t, response, func(s string) string { return s + "<x/>" }),
		"truncated":                       raw(t, response, func(s string) string { return s[:len(s)/2] }),
		"empty":                           "",
		"not XML":                         whole("hello"),
		"not Base64":                      "§§§",
		"an attribute twice":              raw(t, response, replace(` Version="2.0"`, ` Version="2.0" Version="2.0"`)),
		"an attribute twice by two names": raw(t, response, replace(` Version="2.0"`, ` Version="2.0" xmlns:p="u" xmlns:q="u" p:v="1" q:v="2"`)),
		"a prefix that is not declared":   raw(t, response, replace(` Version=`, ` nobody:v="" Version=`)),
		"an element of such a prefix":     raw(t, response, replace("<samlp:Status>", "<nobody:x/><samlp:Status>")),
		"a prefix taken away":             raw(t, response, replace(` Version=`, ` xmlns:p="" Version=`)),
		"a name that begins with a colon": raw(t, response, replace(` Version=`, ` :v="" Version=`)),
		"a name that ends with one":       raw(t, response, replace("<samlp:Status>", "<x:/><samlp:Status>")),
		"odd name":                        raw(t, response, replace(` Version=`, ` ::v="" Version=`)),
		"wrong end":                       raw(t, response, replace("</samlp:Response>", "</samlp:Respons>")),
		"deep":                            raw(t, response, replace("<samlp:Status>", deep+"<samlp:Status>")),
		"a large attribute":               inside(strings.Repeat("a", 200_000), ""),
		"a large text":                    inside("", strings.Repeat("a", 200_000)),
		"giant":                           strings.Repeat("A", 100<<20),
		"many prefixes":                   raw(t, response, replace(" Version=", prefixes.String()+" Version=")),
		"many attributes":                 raw(t, response, replace(" Version=", attributes.String()+" Version=")),
		"many elements":                   raw(t, response, replace("<samlp:Status>", strings.Repeat("<x/>", 12_000)+"<samlp:Status>")),
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			refused(t, "document", document, e)
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("refused after %s", took)
			}
		})
	}
	believed(t, before("\xEF\xBB\xBF<?xml version=\"1.0\" encoding=\"utf-8\" standalone='yes'?>\n"), e)
	// People may be in many groups.
	u := ann
	u.Attributes = map[string][]string{"groups": make([]string, 1200)}
	if v := believed(t, answer(t, idp, e, u), e); len(v.Values("groups")) != 1200 {
		t.Errorf("%d groups", len(v.Values("groups")))
	}
}
