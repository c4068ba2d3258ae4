package saml_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"strings"
	"testing"

	validator "github.com/mattermost/xml-roundtrip-validator"

	"parvis/internal/federation/saml"
)

// FuzzJudge changes a valid response, and requires that no other person comes out of it. Each process
// signs with its own key, so an input is a change and not a document: where to cut, what to insert, and
// which piece of the document to repeat.
func FuzzJudge(f *testing.F) {
	idp, e := setting(f)
	document, err := base64.StdEncoding.DecodeString(answer(f, idp, e, ann))
	if err != nil {
		f.Fatal(err)
	}
	whole, err := json.Marshal(believed(f, base64.StdEncoding.EncodeToString(document), e).Assertion)
	if err != nil {
		f.Fatal(err)
	}
	n := len(document)
	place := func(s string) uint {
		i := bytes.Index(document, []byte(s))
		if i < 0 {
			f.Fatalf("no %s in %s", s, document)
		}
		return uint(i)
	}
	assertion := place("<saml:Assertion")
	f.Add(uint(0), uint(0), uint(0), uint(0), []byte(""))
	f.Add(place("ann@"), uint(3), uint(0), uint(0), []byte("bob"))
	f.Add(place("@alpha"), uint(0), uint(0), uint(0), []byte("<!---->"))
	f.Add(assertion, uint(0), assertion, uint(n)-assertion-18, []byte("<samlp:Extensions></samlp:Extensions>"))
	f.Add(assertion, uint(0), assertion, place("<saml:Subject>")-assertion, []byte("<saml:Assertion ID='x'>"))
	f.Add(place("<samlp:Status"), uint(0), place("<ds:Signature"), uint(400), []byte("\r\n"))
	f.Add(uint(0), uint(n), uint(0), uint(0), []byte("<?xml version='1.0'?><a xmlns:a=''/>"))
	f.Fuzz(func(t *testing.T, at, cut, from, length uint, with []byte) {
		at = min(at, uint(n))
		end := at + min(cut, uint(n)-at)
		from = min(from, uint(n))
		changed := bytes.Join([][]byte{document[:at], with, document[from : from+min(length, uint(n)-from)], document[end:]}, nil)
		v, trace, err := saml.Judge(base64.StdEncoding.EncodeToString(changed), e)
		if _, failed := trace.Failed(); failed != (err != nil) {
			t.Fatalf("%v %+v", err, trace.Checks)
		}
		if err != nil {
			return
		}
		if said, err := json.Marshal(v.Assertion); err != nil || !bytes.Equal(said, whole) {
			t.Errorf("%s became %s by\n%s", whole, said, changed)
		}
	})
}

// FuzzParseMessage requires that what passes survives being written and read again by another parser.
func FuzzParseMessage(f *testing.F) {
	for _, seed := range []string{"<a:b xmlns:a='u' a:c='1'>x&#13;&lt;</a:b>", "<a ::b=''/>", "<:a/>", "<a:/>", "<x :y=''/>", "<x y:=''/>", "<a b='\r\n\t&quot;'>]]</a>", "<a:999999/>", "<x y:9=''/>",
		"<a:b xmlns:a='u' a:c='1' z:c='1'>x>x&#13;&lt;</a:b>", "<a:b/>", "<x xmlns:a='u' xmlns:b='u' a:c='1' b:c='2'/>"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if saml.Parses(b) != nil || severalPrefixes(b) {
			return
		}
		if err := validator.Validate(bytes.NewReader(bytes.TrimPrefix(b, []byte("\xEF\xBB\xBF")))); err != nil {
			t.Errorf("%q: %v", b, err)
		}
	})
}

// severalPrefixes reports whether attributes of one element have several prefixes. The other parser
// takes a prefix for the namespace, and says of honest documents too that they do not survive.
func severalPrefixes(b []byte) bool {
	for d := xml.NewDecoder(bytes.NewReader(b)); ; {
		token, err := d.RawToken()
		if err != nil {
			return false
		}
		if el, ok := token.(xml.StartElement); ok {
			used := map[string]bool{}
			for _, a := range el.Attr {
				used[a.Name.Space] = true
			}
			delete(used, "")
			delete(used, "xmlns")
			if len(used) > 1 {
				return true
			}
		}
	}
}

// FuzzLogoutQuery requires that nothing ends without the provider's key.
func FuzzLogoutQuery(f *testing.F) {
	idp, e := setting(f)
	f.Add(query(f, idp.LogoutRequest(e.ServiceProvider.SLO, "_l", "ann", "s")))
	f.Add("SAMLRequest=%&SAMLRequest")
	e.Connection.Certificates = [][]byte{ours()[0].Certificate}
	f.Fuzz(func(t *testing.T, raw string) {
		if l, _, err := saml.JudgeLogoutQuery(raw, e); err == nil {
			t.Errorf("%+v by %s", l, raw)
		}
	})
}

func FuzzParseMetadata(f *testing.F) {
	idp, _ := setting(f)
	f.Add(idp.Metadata())
	f.Add([]byte(strings.ReplaceAll(string(idp.Metadata()), "https", "http")))
	f.Add([]byte("<!DOCTYPE x><x/>"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := saml.ParseMetadata(b, now, false)
		if err != nil {
			return
		}
		if m.EntityID == "" || len(m.Certificates) == 0 || len(m.SSO) == 0 {
			t.Errorf("%+v", m)
		}
		for _, e := range append(m.SSO, m.SLO...) {
			if !strings.HasPrefix(strings.ToLower(e.Location), "https://") {
				t.Errorf("%+v", e)
			}
		}
	})
}
