package federation

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"

	"parvis/internal/directory"
	"parvis/internal/federation/saml"
	"parvis/internal/upstream"
)

// AddCertificate adds a certificate that the provider may sign with.
func AddCertificate(text string) Change {
	return func(c *Connection) error {
		certificate, err := saml.ParseCertificate([]byte(text))
		if err != nil {
			return refused("certificate", upstream.Trace{}, err)
		}
		switch {
		case c.Protocol != SAML:
			return directory.ErrNotFound
		case slices.Contains(fingerprints(c.SAML), saml.Fingerprint(certificate.Raw)):
			return ErrHasCertificate
		case len(c.SAML.Certificates) >= MostCertificates:
			return ErrManyCertificates.With("Most", MostCertificates)
		}
		c.SAML.Certificates = append(slices.Clone(c.SAML.Certificates), certificate.Raw)
		return nil
	}
}

// RemoveCertificate removes a certificate, except the last: without one nobody could sign in.
func RemoveCertificate(fingerprint string) Change {
	return func(c *Connection) error {
		left := slices.DeleteFunc(slices.Clone(c.SAML.Certificates), func(der []byte) bool { return saml.Fingerprint(der) == fingerprint })
		switch len(left) {
		case len(c.SAML.Certificates):
			return directory.ErrNotFound
		case 0:
			return ErrLastCertificate
		}
		c.SAML.Certificates = left
		return nil
	}
}

// Certificate is a certificate that the provider may sign with.
type Certificate struct {
	Subject, Fingerprint string
	From, Until          time.Time
}

// Certificates returns the certificates that the provider may sign with, the one that
// lasts longest first.
func (c Connection) Certificates() ([]Certificate, error) {
	var all []Certificate
	for _, der := range c.SAML.Certificates {
		one, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		all = append(all, Certificate{one.Subject.CommonName, saml.Fingerprint(der), one.NotBefore, one.NotAfter})
	}
	slices.SortFunc(all, func(a, b Certificate) int { return b.Until.Compare(a.Until) })
	return all, nil
}

// PEM returns the certificates that the provider may sign with as texts, in the order in which
// they are kept.
func (c Connection) PEM() []string {
	all := make([]string, 0, len(c.SAML.Certificates))
	for _, der := range c.SAML.Certificates {
		all = append(all, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	}
	return all
}

// Certify returns the change after which a connection has exactly these certificates: it adds
// those that are missing, and removes the others.
func (c Connection) Certify(texts []string) (Change, error) {
	var wrong []error
	var wanted []string
	var changes []Change
	for i, text := range texts {
		certificate, err := saml.ParseCertificate([]byte(text))
		if err != nil {
			err := refused(fmt.Sprintf("certificate/%d", i), upstream.Trace{}, err)
			wrong = append(wrong, err)
			continue
		}
		wanted = append(wanted, saml.Fingerprint(certificate.Raw))
		if !slices.Contains(fingerprints(c.SAML), wanted[len(wanted)-1]) {
			changes = append(changes, AddCertificate(text))
		}
	}
	for _, there := range fingerprints(c.SAML) {
		if !slices.Contains(wanted, there) {
			changes = append(changes, RemoveCertificate(there))
		}
	}
	return func(c *Connection) error {
		for _, what := range changes {
			if err := what(c); err != nil {
				return err
			}
		}
		return nil
	}, errors.Join(wrong...)
}
