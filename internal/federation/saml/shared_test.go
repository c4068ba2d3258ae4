package saml

import (
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"parvis/internal/upstream"
)

// sharedSAML holds 107 documents of other projects, outside the checkout.
const sharedSAML = "../../../../shared/data/saml"

type sample struct {
	File          string
	Expected      string
	Check         string
	Isolated      bool
	Needs         []string
	Subject       string
	Certificate   string
	DecryptionKey string `json:"decryption_key"`
	IdPEntityID   string `json:"idp_entity_id"`
	Audience      string
	Recipient     string
	RequestID     string            `json:"request_id"`
	ValidAt       time.Time         `json:"valid_at"`
	NeverReturn   map[string]string `json:"never_return"`
}

// lenient also allows SHA-1, in this file alone: nearly all samples are that old, and would be refused
// for it whatever else is wrong with them.
var lenient = algorithms{
	signature: map[string]crypto.Hash{"http://www.w3.org/2000/09/xmldsig#rsa-sha1": crypto.SHA1},
	digest:    map[string]bool{"http://www.w3.org/2000/09/xmldsig#sha1": true},
}

func init() {
	for id, hash := range allowed.signature {
		lenient.signature[id] = hash
	}
	for id := range allowed.digest {
		lenient.digest[id] = true
	}
}

func sharedFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(sharedSAML, name))
	if os.IsNotExist(err) {
		t.Skipf("left out: the shared data is not at %s", sharedSAML)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func samples(t testing.TB) []sample {
	t.Helper()
	var index struct{ Documents []sample }
	if err := json.Unmarshal(sharedFile(t, "index.json"), &index); err != nil {
		t.Fatal(err)
	}
	if len(index.Documents) != 107 {
		t.Fatalf("%d samples", len(index.Documents))
	}
	return index.Documents
}

func (s sample) expectation(t testing.TB) Expectation {
	t.Helper()
	e := Expectation{
		Connection:      Connection{EntityID: s.IdPEntityID, AllowUnsolicited: true, AllowCBC: slices.Contains(s.Needs, "cbc")},
		ServiceProvider: ServiceProvider{EntityID: s.Audience, ACS: s.Recipient},
		RequestID:       s.RequestID, Now: s.ValidAt,
	}
	if s.Certificate != "" {
		block, _ := pem.Decode(sharedFile(t, s.Certificate))
		e.Connection.Certificates = [][]byte{block.Bytes}
	}
	if s.DecryptionKey != "" {
		var key struct{ DER []byte }
		if err := json.Unmarshal(sharedFile(t, s.DecryptionKey), &key); err != nil {
			t.Fatal(err)
		}
		private, err := x509.ParsePKCS1PrivateKey(key.DER)
		if err != nil {
			t.Fatal(err)
		}
		e.Keys = Keys{{private: private}}
	}
	return e
}

func encode(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// refusedBy are our names for the checks of the samples with a single fault.
var refusedBy = map[string]string{
	"signature_algorithm": "algorithm", "confirmation_not_on_or_after": "not_on_or_after", "destination": "destination",
	"name_id": "name_id", "assertion_issuer": "structure", "response_issuer": "issuer", "authn_statement": "structure",
	"conditions": "structure", "duplicate_attribute": "attributes", "sp_name_qualifier": "name_id", "doctype": "document",
	"unsigned": "signed", "comment_in_value": "document", "version": "structure", "confirmation_not_before": "not_before", "well_formed": "document",
}

func TestSharedDocuments(t *testing.T) {
	accepted := 0
	for _, s := range samples(t) {
		t.Run(s.File, func(t *testing.T) {
			document := encode(sharedFile(t, s.File))
			e := s.expectation(t)
			v, trace, err := judge(document, e, lenient)
			switch expected := s.Expected; {
			case slices.Contains(s.Needs, "3des"), slices.Contains(s.Needs, "rsa_pkcs1v15_encryption"):
				expected = "reject"
				fallthrough
			case expected == "reject":
				if err == nil {
					t.Errorf("accepted as %q", v.NameID)
				}
			case expected == "accept" && err != nil:
				t.Errorf("%v %+v", err, trace.Checks)
			}
			if err == nil {
				accepted++
				if v.NameID != s.Subject || v.AssertionID == "" || !v.Until.After(e.Now) {
					t.Errorf("%+v", v)
				}
			}
			failed, isRefusal := trace.Failed()
			if err != nil && (!isRefusal || err.Error() != upstream.Refusal(failed.Name).Error()) {
				t.Errorf("%v with %+v", err, trace.Checks)
			}
			if err != nil && s.Isolated && refusedBy[s.Check] != failed.Name {
				t.Errorf("%s: refused by %+v", s.Check, failed)
			}
			for _, never := range s.NeverReturn {
				if v.NameID == never || slices.ContainsFunc(v.Attributes, func(a upstream.Attribute) bool { return slices.Contains(a.Values, never) }) {
					t.Errorf("%q was returned", never)
				}
			}

			// With the real rules SHA-1 is refused, and nothing is accepted that the lenient rules refused.
			_, _, strictErr := Judge(document, e)
			if strictErr == nil && (err != nil || slices.Contains(s.Needs, "sha1")) {
				t.Error("accepted in earnest")
			}
			if strictErr != nil && err == nil && !slices.Contains(s.Needs, "sha1") {
				t.Errorf("in earnest: %v", strictErr)
			}
			// Without their switches, neither CBC nor unsolicited responses are accepted.
			e.Connection.AllowCBC, e.Connection.AllowUnsolicited = false, false
			if _, _, err := judge(document, e, lenient); err == nil && (slices.Contains(s.Needs, "cbc") || s.RequestID == "") {
				t.Error("accepted without the switch")
			}
		})
	}
	if accepted < 25 {
		t.Errorf("only %d accepted", accepted)
	}
}

// Parses exports parseMessage to the fuzz target.
func Parses(b []byte) error {
	_, err := parseMessage(b, nil)
	return err
}
