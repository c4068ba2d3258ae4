package saml

import (
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"time"

	"parvis/internal/jose"
	"parvis/internal/secret"
	"parvis/internal/upstream"
)

// A KeyPair signs what we send and opens what was encrypted to us.
type KeyPair struct {
	private     *rsa.PrivateKey
	Certificate []byte // DER, for our metadata
}

// Keys are ours: the first one signs, all of them are published and decrypt. A key is rotated
// by publishing the next one behind it, and by putting that in front once providers know it.
type Keys []KeyPair

// ownLife is how long our certificates last. Providers that take them by hand look at that.
const ownLife = 10 * 365 * 24 * time.Hour

// NewKeyPair makes a key with a certificate that it signs itself: what counts is the key.
func NewKeyPair(now time.Time, name string) (KeyPair, error) {
	private := secret.NewRSAKey()
	template := &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(secret.Bytes(16)),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(ownLife),
	}
	der, err := x509.CreateCertificate(nil, template, template, private.Public(), private)
	if err != nil {
		return KeyPair{}, fmt.Errorf("certificate of a new key: %w", err)
	}
	return KeyPair{private, der}, nil
}

// Text is the form in which a pair is kept, sealed; ParseKeyPair reads it.
func (k KeyPair) Text() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(k.private)
	if err != nil {
		return nil, err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	return append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: k.Certificate})...), nil
}

// ParseKeyPair reads what Text wrote.
func ParseKeyPair(text []byte) (KeyPair, error) {
	key, rest := pem.Decode(text)
	certificate, _ := pem.Decode(rest)
	if key == nil || certificate == nil {
		return KeyPair{}, errors.New("key pair: not two PEM blocks")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(key.Bytes)
	if err != nil {
		return KeyPair{}, fmt.Errorf("key pair: %w", err)
	}
	private, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return KeyPair{}, errors.New("key pair: not RSA")
	}
	return KeyPair{private, certificate.Bytes}, nil
}

// Format keeps the key out of whatever is printed or logged (R-CRY-06).
func (k KeyPair) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "[key pair "+Fingerprint(k.Certificate)+"]")
}

// The refusals of certificates and metadata, named for the page that takes them.
const (
	RefusedTooLarge      upstream.Refusal = "metadata_too_large"
	RefusedNotXML        upstream.Refusal = "metadata_not_xml"
	RefusedDoctype       upstream.Refusal = "metadata_doctype"
	RefusedTwoEntities   upstream.Refusal = "metadata_two_entities"
	RefusedNoProvider    upstream.Refusal = "metadata_no_provider"
	RefusedExpired       upstream.Refusal = "metadata_expired"
	RefusedAddress       upstream.Refusal = "metadata_address"
	RefusedNoSSO         upstream.Refusal = "metadata_no_sso"
	RefusedNoCertificate upstream.Refusal = "metadata_no_certificate"
	RefusedCertificate   upstream.Refusal = "metadata_certificate"
	RefusedWeakKey       upstream.Refusal = "metadata_weak_key"
)

// ParseCertificate reads a provider's certificate as PEM, as bare Base64 or as DER. An RSA key of
// at least 2048 bits it must have; whether it is out of date is for people to know, not to forbid.
func ParseCertificate(b []byte) (*x509.Certificate, error) {
	if block, _ := pem.Decode(b); block != nil {
		b = block.Bytes
	} else if der, err := base64.StdEncoding.DecodeString(squeeze(string(b))); err == nil {
		b = der
	}
	certificate, err := x509.ParseCertificate(b)
	if err != nil {
		return nil, RefusedCertificate
	}
	if public, ok := certificate.PublicKey.(*rsa.PublicKey); !ok || !jose.Strong(public) {
		return nil, RefusedWeakKey
	}
	return certificate, nil
}
