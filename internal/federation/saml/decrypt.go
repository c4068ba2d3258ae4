package saml

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rsa"
	"encoding/base64"
	"errors"

	"github.com/beevik/etree"

	"parvis/internal/secret"
)

// undecipherable is the one answer to everything wrong with encrypted content (R-SML-09).
var undecipherable = finding{check: "decryption"}

// blockCiphers are those of XML Encryption §5.2, by identifier. CBC does not detect changes,
// so the connection must allow it.
var blockCiphers = map[string]struct {
	keyBytes int
	cbc      bool
}{
	"http://www.w3.org/2009/xmlenc11#aes128-gcm":  {16, false},
	"http://www.w3.org/2009/xmlenc11#aes192-gcm":  {24, false},
	"http://www.w3.org/2009/xmlenc11#aes256-gcm":  {32, false},
	"http://www.w3.org/2001/04/xmlenc#aes128-cbc": {16, true},
	"http://www.w3.org/2001/04/xmlenc#aes192-cbc": {24, true},
	"http://www.w3.org/2001/04/xmlenc#aes256-cbc": {32, true},
}

// The digests and mask functions of RSA-OAEP (XML Encryption §5.5.2). SHA-1 is safe here, where
// nothing depends on collisions, and most providers know no other.
var (
	oaepDigests = map[string]crypto.Hash{
		"":                                       crypto.SHA1,
		"http://www.w3.org/2000/09/xmldsig#sha1": crypto.SHA1,
		"http://www.w3.org/2001/04/xmlenc#sha256": crypto.SHA256,
	}
	oaepMasks = map[string]crypto.Hash{
		"": crypto.SHA1,
		"http://www.w3.org/2009/xmlenc11#mgf1sha1":   crypto.SHA1,
		"http://www.w3.org/2009/xmlenc11#mgf1sha256": crypto.SHA256,
	}
)

const (
	oaepMGF1P = "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p"
	oaep      = "http://www.w3.org/2009/xmlenc11#rsa-oaep"
	aes256GCM = "http://www.w3.org/2009/xmlenc11#aes256-gcm"
)

// decrypt replaces an EncryptedAssertion by the assertion in it, and returns that. Only a fault
// that the message shows openly, of its algorithms, gets an error of its own.
func (k Keys) decrypt(encrypted *etree.Element, allowCBC bool) (assertion *etree.Element, cbc bool, err error) {
	data := one(encrypted, "xenc:EncryptedData")
	// The one key is inside, or beside the data and found by a RetrievalMethod.
	wrapped := append(children(one(data, "ds:KeyInfo"), "xenc:EncryptedKey"), children(encrypted, "xenc:EncryptedKey")...)
	if len(wrapped) != 1 {
		return nil, false, undecipherable
	}
	transport, err := transport(one(wrapped[0], "xenc:EncryptionMethod"))
	if err != nil {
		return nil, false, err
	}
	algorithm := attr(one(data, "xenc:EncryptionMethod"), "Algorithm")
	block, known := blockCiphers[algorithm]
	if !known || block.cbc && !allowCBC {
		return nil, false, finding{"encryption", aes256GCM, algorithm}
	}
	plain, err := open(block.cbc, k.contentKey(cipherValue(wrapped[0]), transport, block.keyBytes), cipherValue(data))
	if err != nil {
		return nil, block.cbc, undecipherable
	}
	assertion, err = parseMessage(plain, encrypted.Parent())
	if err != nil {
		return nil, block.cbc, undecipherable
	}
	parent := encrypted.Parent()
	parent.RemoveChild(encrypted)
	parent.AddChild(assertion) // XML Encryption §4.4: its prefixes may be declared around it
	if name(assertion) != "saml:Assertion" {
		return nil, block.cbc, undecipherable
	}
	return assertion, block.cbc, nil
}

// transport reads how the key was wrapped. Only RSA-OAEP counts: PKCS#1 v1.5 would make us an oracle.
func transport(method *etree.Element) (*rsa.OAEPOptions, error) {
	algorithm := attr(method, "Algorithm")
	digest, digestKnown := oaepDigests[attr(one(method, "ds:DigestMethod"), "Algorithm")]
	mask, maskKnown := oaepMasks[attr(one(method, "xenc11:MGF"), "Algorithm")]
	if algorithm != oaep && algorithm != oaepMGF1P || !digestKnown || !maskKnown || one(method, "xenc:OAEPparams") != nil {
		return nil, finding{"encryption", oaepMGF1P, algorithm}
	}
	if algorithm == oaepMGF1P { // its mask is fixed
		mask = crypto.SHA1
	}
	return &rsa.OAEPOptions{Hash: digest, MGFHash: mask}, nil
}

// contentKey tries each of our keys. If none fits it returns a random one, so that a wrong key
// fails in the same way as wrong content.
func (k Keys) contentKey(wrapped []byte, transport *rsa.OAEPOptions, size int) []byte {
	key := secret.Bytes(size)
	for _, pair := range k {
		if unwrapped, err := pair.private.Decrypt(nil, wrapped, transport); err == nil && len(unwrapped) == size {
			key = unwrapped
		}
	}
	return key
}

var errNotOpened = errors.New("not opened")

func open(cbc bool, key, sealed []byte) ([]byte, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	if cbc {
		return openCBC(block, sealed)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil || len(sealed) < aead.NonceSize() {
		return nil, errNotOpened
	}
	return aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], nil)
}

func openCBC(block cipher.Block, sealed []byte) ([]byte, error) {
	n := block.BlockSize()
	if len(sealed) < 2*n || len(sealed)%n != 0 {
		return nil, errNotOpened
	}
	plain := make([]byte, len(sealed)-n)
	cipher.NewCBCDecrypter(block, sealed[:n]).CryptBlocks(plain, sealed[n:])
	padding := int(plain[len(plain)-1]) // only the last byte is defined (XML Encryption §5.2)
	if padding < 1 || padding > n {
		return nil, errNotOpened
	}
	return plain[:len(plain)-padding], nil
}

func cipherValue(el *etree.Element) []byte {
	encoded, _ := text(one(el, "xenc:CipherData", "xenc:CipherValue"))
	b, err := base64.StdEncoding.DecodeString(squeeze(encoded))
	if err != nil {
		return nil // opens nothing
	}
	return b
}
