package saml

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
)

// algorithms are those that a signature may use (R-SML-02).
type algorithms struct {
	signature map[string]crypto.Hash
	digest    map[string]bool
}

// allowed is SHA-2 with RSA. goxmldsig does not know RSA-PSS, and does not read ECDSA values as
// XML signatures write them.
var allowed = algorithms{
	signature: map[string]crypto.Hash{
		dsig.RSASHA256SignatureMethod: crypto.SHA256,
		dsig.RSASHA384SignatureMethod: crypto.SHA384,
		dsig.RSASHA512SignatureMethod: crypto.SHA512,
	},
	digest: map[string]bool{
		"http://www.w3.org/2001/04/xmlenc#sha256":       true,
		"http://www.w3.org/2001/04/xmldsig-more#sha384": true,
		"http://www.w3.org/2001/04/xmlenc#sha512":       true,
	},
}

const (
	exclusive = "http://www.w3.org/2001/10/xml-exc-c14n#"
	enveloped = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
)

// verify returns what one of the pinned certificates signed of el, parsed again from the very
// bytes whose digest was compared. It ignores the certificate that the message carries.
func verify(el *etree.Element, pinned []*x509.Certificate, a algorithms) (*etree.Element, *x509.Certificate, error) {
	signature := one(el, "ds:Signature")
	if signature == nil {
		return nil, nil, finding{"signature", fingerprints(pinned), ""}
	}
	if err := checkSignature(el, signature, a); err != nil {
		return nil, nil, err
	}
	copied := detach(el)
	signature = one(copied, "ds:Signature")
	carried := carriedFingerprint(signature)
	for _, info := range children(signature, "ds:KeyInfo") {
		signature.RemoveChild(info)
	}
	value := one(signature, "ds:SignatureValue")
	value.SetText(squeeze(value.Text()))

	for _, certificate := range pinned {
		context := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{Roots: []*x509.Certificate{certificate}})
		// The key is pinned, however old its certificate: the dates are noted, not enforced.
		context.Clock = dsig.NewFakeClockAt(certificate.NotBefore)
		verified, err := context.Validate(copied)
		if err != nil || name(verified) != name(el) || attr(verified, "ID") != attr(el, "ID") {
			continue
		}
		return verified, certificate, nil
	}
	return nil, nil, finding{"signature", fingerprints(pinned), carried}
}

// checkSignature allows one form of signature (Core §5.4): a single reference, to the parent's
// ID, enveloped, with exclusive canonicalization.
func checkSignature(parent, signature *etree.Element, a algorithms) error {
	info := one(signature, "ds:SignedInfo")
	reference := one(info, "ds:Reference")
	transforms := one(reference, "ds:Transforms")
	for _, part := range []struct {
		el      *etree.Element
		allowed []string
	}{
		{signature, []string{"ds:SignedInfo 1", "ds:SignatureValue 1", "ds:KeyInfo ?"}},
		{info, []string{"ds:CanonicalizationMethod 1", "ds:SignatureMethod 1", "ds:Reference 1"}},
		{reference, []string{"ds:Transforms 1", "ds:DigestMethod 1", "ds:DigestValue 1"}},
		{transforms, []string{"ds:Transform *"}},
	} {
		if part.el == nil {
			return finding{"structure", "ds:Signature/ds:SignedInfo/ds:Reference/ds:Transforms", path(signature)}
		}
		if err := shape(part.el, part.allowed...); err != nil {
			return err
		}
	}
	id := attr(parent, "ID")
	if uri := attr(reference, "URI"); id == "" || uri != "#"+id {
		return finding{"structure", "URI=#" + id, "URI=" + uri}
	}
	var named []string
	for _, t := range transforms.ChildElements() {
		named = append(named, attr(t, "Algorithm"))
		if err := shape(t, "ec:InclusiveNamespaces ?"); err != nil {
			return err
		}
	}
	if found := strings.Join(named, " "); found != enveloped+" "+exclusive {
		return finding{"algorithm", enveloped + " " + exclusive, found}
	}
	if found := attr(one(info, "ds:CanonicalizationMethod"), "Algorithm"); found != exclusive {
		return finding{"algorithm", exclusive, found}
	}
	if found := attr(one(info, "ds:SignatureMethod"), "Algorithm"); a.signature[found] == 0 {
		return finding{"algorithm", dsig.RSASHA256SignatureMethod, found}
	}
	if found := attr(one(reference, "ds:DigestMethod"), "Algorithm"); !a.digest[found] {
		return finding{"algorithm", "http://www.w3.org/2001/04/xmlenc#sha256", found}
	}
	return nil
}

// detach copies an element with the namespaces in scope. The function of goxmldsig stops at a
// thousand elements, which people in many groups exceed.
func detach(el *etree.Element) *etree.Element {
	copied := el.Copy()
	declared := map[string]bool{}
	for scope := el; scope != nil; scope = scope.Parent() {
		for _, a := range scope.Attr {
			if a.Space != "xmlns" && a.FullKey() != "xmlns" || declared[a.FullKey()] {
				continue
			}
			declared[a.FullKey()] = true
			if scope != el {
				copied.CreateAttr(a.FullKey(), a.Value)
			}
		}
	}
	return copied
}

// sign inserts an enveloped signature after the Issuer, where the schema wants it.
func (k Keys) sign(message *etree.Element) error {
	context, err := dsig.NewSigningContext(k[0].private, [][]byte{k[0].Certificate})
	if err != nil {
		return err
	}
	context.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
	signature, err := context.ConstructSignature(message.Copy(), true)
	if err != nil {
		return err
	}
	message.InsertChildAt(one(message, "saml:Issuer").Index()+1, signature)
	return nil
}

// Fingerprint returns the SHA-256 of a certificate's DER, by which people compare certificates.
func Fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

func fingerprints(certificates []*x509.Certificate) string {
	all := make([]string, len(certificates))
	for i, c := range certificates {
		all[i] = Fingerprint(c.Raw)
	}
	return strings.Join(all, " ")
}

// carriedFingerprint returns that of the certificate in the message, which is shown, not trusted.
func carriedFingerprint(signature *etree.Element) string {
	for _, data := range children(one(signature, "ds:KeyInfo"), "ds:X509Data") {
		for _, c := range children(data, "ds:X509Certificate") {
			if der, err := base64.StdEncoding.DecodeString(squeeze(c.Text())); err == nil {
				return Fingerprint(der)
			}
		}
	}
	return ""
}

// pinned returns the connection's certificates. Their strength was checked when they were entered.
func (c Connection) pinned() ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for _, der := range c.Certificates {
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, finding{"certificate", "X.509", Fingerprint(der)}
		}
		all = append(all, certificate)
	}
	return all, nil
}

// inDate describes a certificate that verified. An expired one still counts, because many
// providers never renew theirs; then expected is the present time.
func inDate(certificate *x509.Certificate, now time.Time) (expected, found string) {
	if now.Before(certificate.NotBefore) || now.After(certificate.NotAfter) {
		expected = now.UTC().Format(time.RFC3339)
	}
	return expected, certificate.NotBefore.UTC().Format(time.DateOnly) + " – " + certificate.NotAfter.UTC().Format(time.DateOnly) + " " + Fingerprint(certificate.Raw)
}
