package saml_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"hash"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"

	"parvis/internal/federation/saml"
)

const (
	xmlenc   = "http://www.w3.org/2001/04/xmlenc#"
	xmlenc11 = "http://www.w3.org/2009/xmlenc11#"
)

// envelope says how a test encrypts, and what it spoils before signing.
type envelope struct {
	content   string // algorithm; aes256-gcm if empty
	transport string // rsa-oaep-mgf1p if empty
	digest    string
	mask      string
	to        []byte // certificate
	spoilKey  func([]byte) []byte
	spoil     func([]byte) []byte
	xml       func(string) string // of the EncryptedAssertion
}

func encryptKey(t testing.TB, public *rsa.PublicKey, v envelope, key []byte) []byte {
	t.Helper()
	digest := map[string]func() hash.Hash{"": sha1.New, "http://www.w3.org/2001/04/xmlenc#sha256": sha256.New}[v.digest]
	if v.transport == xmlenc+"rsa-1_5" {
		em := bytes.Repeat([]byte{1}, public.Size()) // RFC 8017 §7.2.1
		em[0], em[1], em[len(em)-len(key)-1] = 0, 2, 0
		copy(em[len(em)-len(key):], key)
		return rawRSA(public, em)
	}
	return encryptOAEP(digest(), map[string]func() hash.Hash{"": sha1.New, xmlenc11 + "mgf1sha1": sha1.New, xmlenc11 + "mgf1sha256": sha256.New}[v.mask](), public, key)
}

// encryptOAEP is RFC 8017 §7.1.1 by hand: the standard library uses one hash for both purposes.
func encryptOAEP(digest, mask hash.Hash, public *rsa.PublicKey, message []byte) []byte {
	k, h := public.Size(), digest.Size()
	em := make([]byte, k)
	seed, db := em[1:1+h], em[1+h:]
	copy(db, digest.Sum(nil))
	db[len(db)-len(message)-1] = 1
	copy(db[len(db)-len(message):], message)
	rand.Read(seed)
	mgf1(db, mask, seed)
	mgf1(seed, mask, db)
	return rawRSA(public, em)
}

func rawRSA(public *rsa.PublicKey, em []byte) []byte {
	c := new(big.Int).Exp(new(big.Int).SetBytes(em), big.NewInt(int64(public.E)), public.N)
	return c.FillBytes(make([]byte, len(em)))
}

func mgf1(out []byte, h hash.Hash, seed []byte) {
	for i, done := 0, 0; done < len(out); i++ {
		h.Reset()
		h.Write(seed)
		h.Write([]byte{byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)})
		for _, b := range h.Sum(nil) {
			if done < len(out) {
				out[done] ^= b
				done++
			}
		}
	}
}

// encrypted returns the response with its assertion encrypted.
func encrypted(t testing.TB, response string, v envelope) string {
	t.Helper()
	return edited(t, response, func(root *etree.Element) {
		assertion := root.FindElement("./Assertion")
		d := etree.NewDocument()
		d.SetRoot(assertion.Copy())
		plain, err := d.WriteToBytes()
		if err != nil {
			t.Fatal(err)
		}
		root.RemoveChild(assertion)
		e := etree.NewDocument()
		if err := e.ReadFromString(v.seal(t, plain)); err != nil {
			t.Fatal(err)
		}
		root.AddChild(e.Root())
	})
}

func (v envelope) seal(t testing.TB, plain []byte) string {
	t.Helper()
	if v.content == "" {
		v.content = xmlenc11 + "aes256-gcm"
	}
	if v.transport == "" {
		v.transport = xmlenc + "rsa-oaep-mgf1p"
	}
	if v.to == nil {
		v.to = ours()[0].Certificate
	}
	bits := 256
	if i := strings.Index(v.content, "aes"); i >= 0 {
		if _, err := fmt.Sscanf(v.content[i:], "aes%d", &bits); err != nil {
			t.Fatal(err)
		}
	}
	key := make([]byte, bits/8)
	rand.Read(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	var sealed []byte
	if strings.HasSuffix(v.content, "-cbc") {
		n := aes.BlockSize - len(plain)%aes.BlockSize
		plain = append(slices.Clone(plain), make([]byte, n)...)
		plain[len(plain)-1] = byte(n)
		sealed = make([]byte, aes.BlockSize+len(plain))
		rand.Read(sealed[:aes.BlockSize])
		cipher.NewCBCEncrypter(block, sealed[:aes.BlockSize]).CryptBlocks(sealed[aes.BlockSize:], plain)
	} else {
		gcm, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			t.Fatal(err)
		}
		sealed = gcm.Seal(nil, nil, plain, nil)
	}
	certificate, err := x509.ParseCertificate(v.to)
	if err != nil {
		t.Fatal(err)
	}
	wrapped := encryptKey(t, certificate.PublicKey.(*rsa.PublicKey), v, key)
	if v.spoilKey != nil {
		wrapped = v.spoilKey(wrapped)
	}
	if v.spoil != nil {
		sealed = v.spoil(sealed)
	}
	method := func(tag, algorithm string) string {
		if algorithm == "" {
			return ""
		}
		return fmt.Sprintf(`<%s Algorithm="%s"/>`, tag, algorithm)
	}
	text := fmt.Sprintf(`<saml:EncryptedAssertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" xmlns:xenc="%s" xmlns:xenc11="%s" xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><xenc:EncryptedData Type="%sElement">%s<ds:KeyInfo><xenc:EncryptedKey><xenc:EncryptionMethod Algorithm="%s">%s%s</xenc:EncryptionMethod><xenc:CipherData><xenc:CipherValue>%s</xenc:CipherValue></xenc:CipherData></xenc:EncryptedKey></ds:KeyInfo><xenc:CipherData><xenc:CipherValue>%s</xenc:CipherValue></xenc:CipherData></xenc:EncryptedData></saml:EncryptedAssertion>`,
		xmlenc, xmlenc11, xmlenc, method("xenc:EncryptionMethod", v.content), v.transport, method("ds:DigestMethod", v.digest), method("xenc11:MGF", v.mask),
		base64.StdEncoding.EncodeToString(wrapped), base64.StdEncoding.EncodeToString(sealed))
	if v.xml != nil {
		text = v.xml(text)
	}
	return text
}

func TestEncryptedAssertionIsRead(t *testing.T) {
	idp, e := setting(t)
	response := resigned(t, idp, answer(t, idp, e, ann), func(*etree.Element) {}, "assertion")
	for name, v := range map[string]envelope{
		"AES-256-GCM":              {},
		"AES-128-GCM":              {content: xmlenc11 + "aes128-gcm"},
		"to the next key":          {to: ours()[1].Certificate},
		"SHA-256 with MGF1 SHA-1":  {digest: xmlenc + "sha256"},
		"OAEP of 1.1":              {transport: xmlenc11 + "rsa-oaep"},
		"OAEP of 1.1, SHA-256":     {transport: xmlenc11 + "rsa-oaep", digest: xmlenc + "sha256", mask: xmlenc11 + "mgf1sha256"},
		"OAEP of 1.1, MGF SHA-256": {transport: xmlenc11 + "rsa-oaep", mask: xmlenc11 + "mgf1sha256"},
	} {
		t.Run(name, func(t *testing.T) {
			if v := believed(t, encrypted(t, response, v), e); v.NameID != ann.NameID {
				t.Errorf("%+v", v)
			}
		})
	}
	// A response's signature covers its encrypted content, unless the assertion's own signature is demanded.
	around := edited(t, encrypted(t, resigned(t, idp, response, func(*etree.Element) {}), envelope{}), func(root *etree.Element) {
		sign(t, idp.Key, nil, root, dsig.RSASHA256SignatureMethod)
	})
	believed(t, around, e)
	e.Connection.WantSigned = saml.Assertion
	refused(t, "signed", around, e)
}

func TestSML9EncryptedAssertions(t *testing.T) {
	idp, e := setting(t)
	both := answer(t, idp, e, ann)
	unsigned := resigned(t, idp, both, func(*etree.Element) {})
	response := resigned(t, idp, both, func(*etree.Element) {}, "assertion")
	flip := func(at int) func([]byte) []byte {
		return func(b []byte) []byte {
			b = slices.Clone(b)
			b[(at+len(b))%len(b)] ^= 1
			return b
		}
	}
	cut := func(n int) func([]byte) []byte { return func(b []byte) []byte { return b[:n] } }
	cbc := xmlenc + "aes128-cbc"
	for name, c := range map[string]struct {
		check string
		v     envelope
		of    string
	}{
		"unsigned":               {"signed", envelope{}, unsigned},
		"PKCS#1 v1.5":            {"encryption", envelope{transport: xmlenc + "rsa-1_5"}, response},
		"Triple DES":             {"encryption", envelope{xml: replace("aes256-gcm", "tripledes-cbc")}, response},
		"CBC without the switch": {"encryption", envelope{content: cbc}, response},
		"no algorithm":           {"encryption", envelope{xml: replace(xmlenc11+"aes256-gcm", "")}, response},
		"an unknown mask":        {"encryption", envelope{transport: xmlenc11 + "rsa-oaep", xml: replace("</xenc:EncryptionMethod>", `<xenc11:MGF Algorithm="x"/></xenc:EncryptionMethod>`)}, response},
		"to somebody else":       {"decryption", envelope{to: idp.Certificate.Raw}, response},
		"a wrong tag":            {"decryption", envelope{spoil: flip(-1)}, response},
		"a wrong nonce":          {"decryption", envelope{spoil: flip(0)}, response},
		"shorter than a nonce":   {"decryption", envelope{spoil: cut(5)}, response},
		"shorter than a tag":     {"decryption", envelope{spoil: cut(20)}, response},
		"nothing":                {"decryption", envelope{spoil: cut(0)}, response},
		"a changed key":          {"decryption", envelope{spoilKey: flip(9)}, response},
		"a short key":            {"decryption", envelope{spoilKey: cut(10)}, response},
		"a key of another size":  {"decryption", envelope{xml: replace("aes256-gcm", "aes128-gcm")}, response},
		"no key":                 {"decryption", envelope{spoilKey: cut(0)}, response},
		"two keys": {"decryption", envelope{xml: func(s string) string {
			return strings.Replace(s, "</ds:KeyInfo>", "<xenc:EncryptedKey/></ds:KeyInfo>", 1)
		}}, response},
		"no data": {"decryption", envelope{xml: func(string) string {
			return `<saml:EncryptedAssertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"/>`
		}}, response},
		"not Base64": {"decryption", envelope{xml: replace("<xenc:CipherValue>", "<xenc:CipherValue>§")}, response},
	} {
		t.Run(name, func(t *testing.T) {
			failed := refused(t, c.check, encrypted(t, c.of, c.v), e)
			if c.check == "decryption" && (failed.Expected != "" || failed.Found != "") {
				t.Errorf("says what was wrong: %+v", failed)
			}
		})
	}
	for name, plain := range map[string]string{
		"not XML": "hello", "nothing": "", "another element": `<x/>`, "a response": "<samlp:Response/>",
		"an encrypted assertion": `<saml:EncryptedAssertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"/>`,
		"two elements":           `<x/><x/>`, "a DOCTYPE": `<!DOCTYPE x><x/>`, "a bomb": strings.Repeat("<x/>", 15_000),
	} {
		t.Run("holds "+name, func(t *testing.T) {
			refused(t, "decryption", edited(t, unsigned, func(root *etree.Element) {
				root.RemoveChild(root.FindElement("./Assertion"))
				d := etree.NewDocument()
				if err := d.ReadFromString(envelope{}.seal(t, []byte(plain))); err != nil {
					t.Fatal(err)
				}
				root.AddChild(d.Root())
			}), e)
		})
	}
	t.Run("beside a signed one", func(t *testing.T) {
		refused(t, "assertion_count", edited(t, encrypted(t, unsigned, envelope{}), func(root *etree.Element) {
			_ = edited(t, response, func(other *etree.Element) { root.AddChild(other.FindElement("./Assertion").Copy()) })
		}), e)
	})

	e.Connection.AllowCBC = true
	believed(t, encrypted(t, response, envelope{content: cbc}), e)
	for name, v := range map[string]envelope{
		"CBC, padding of nothing":     {content: cbc, spoil: cut(16)},
		"CBC, half a block":           {content: cbc, spoil: cut(40)},
		"CBC, cut":                    {content: cbc, spoil: cut(160)},
		"CBC, the last block":         {content: cbc, spoil: flip(-1)},
		"CBC, the first, well-formed": {content: cbc, spoil: flip(40)},
	} {
		t.Run(name, func(t *testing.T) { refused(t, "decryption", encrypted(t, response, v), e) })
	}
	// Well-formed but changed after it was signed: GCM's tag would detect it; CBC must not reveal it.
	changed := edited(t, response, func(root *etree.Element) { root.FindElement("//NameID").SetText(evil) })
	refused(t, "decryption", encrypted(t, changed, envelope{content: cbc}), e)
	refused(t, "signature", encrypted(t, changed, envelope{}), e)
	// If any change got another answer than its neighbour, it would be an oracle.
	whole := encrypted(t, response, envelope{content: cbc})
	for i := range 100 {
		r := raw(t, whole, func(s string) string {
			at := strings.LastIndex(s, "<xenc:CipherValue>") + len("<xenc:CipherValue>") + i*29
			with := byte('A')
			if s[at] == with {
				with = 'B'
			}
			return s[:at] + string(with) + s[at+1:]
		})
		refused(t, "decryption", r, e)
	}
}
