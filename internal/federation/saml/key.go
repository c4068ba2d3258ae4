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

// A KeyPair signs what we send and decrypts what was encrypted to us.
type KeyPair struct {
	private     *rsa.PrivateKey
	Certificate []byte // DER, for our metadata
}

// Keys are our key pairs: the first one signs; all of them are published and decrypt. To rotate,
// the next one is published behind the first, and moved to the front once providers know it.
type Keys []KeyPair

// ownLife is how long our certificates last, for providers that look at the dates.
const ownLife = 10 * 365 * 24 * time.Hour

// NewKeyPair makes a key with a self-signed certificate; only the key matters.
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

// Text returns the form in which a pair is stored, sealed; ParseKeyPair reads it.
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

// Format keeps the private key out of everything that is printed or logged (R-CRY-06).
func (k KeyPair) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "[key pair "+Fingerprint(k.Certificate)+"]")
}

// The refusals of certificates and metadata, named for the page where they are entered.
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

// ParseCertificate reads a provider's certificate as PEM, bare Base64 or DER. It requires an RSA key
// of at least 2048 bits. It takes an expired one, which is for people to judge.
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
