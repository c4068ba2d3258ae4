package proof_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"sync"
	"testing"
	"time"

	"parvis/internal/jose"
)

// now is when every test takes place.
var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// keys are those of an application, and weaker or foreign ones. The Ed25519 key is the same in each
// process and so are its signatures, so all processes of a fuzz run accept each other's inputs.
var keys = sync.OnceValue(func() (k struct {
	rsa, weak, foreign     *rsa.PrivateKey
	p256, p384, p521, evil *ecdsa.PrivateKey
	ed                     ed25519.PrivateKey
}) {
	k.rsa, k.weak, k.foreign = newRSA(2048), newRSA(1024), newRSA(2048)
	k.p256, k.p384, k.p521, k.evil = newEC(elliptic.P256()), newEC(elliptic.P384()), newEC(elliptic.P521()), newEC(elliptic.P256())
	k.ed = ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	return k
})

func newRSA(bits int) *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		panic(err)
	}
	return k
}

func newEC(c elliptic.Curve) *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		panic(err)
	}
	return k
}

type object = map[string]any

// without as the value of a change removes that member.
type without struct{}

func changed(base, change object) object {
	all := object{}
	for name, value := range base {
		all[name] = value
	}
	for name, value := range change {
		if all[name] = value; value == (without{}) {
			delete(all, name)
		}
	}
	return all
}

func encode(t testing.TB, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// sign makes a compact token with any header, valid or not.
func sign(t testing.TB, header object, payload []byte, key any) string {
	t.Helper()
	text := base64.RawURLEncoding.EncodeToString(encode(t, header)) + "." + base64.RawURLEncoding.EncodeToString(payload)
	sum := sha256.Sum256([]byte(text))
	var signature []byte
	var err error
	switch key := key.(type) {
	case nil:
	case []byte:
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(text))
		signature = mac.Sum(nil)
	case *rsa.PrivateKey:
		if header["alg"] == "PS256" {
			signature, err = rsa.SignPSS(rand.Reader, key, crypto.SHA256, sum[:], &rsa.PSSOptions{SaltLength: 32})
		} else {
			signature, err = rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
		}
	case *ecdsa.PrivateKey:
		size, digest := (key.Params().BitSize+7)/8, sum[:]
		if size == 48 {
			long := sha512.Sum384([]byte(text))
			digest = long[:]
		}
		r, s, signErr := ecdsa.Sign(rand.Reader, key, digest)
		err = signErr
		signature = append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
	case ed25519.PrivateKey:
		signature = ed25519.Sign(key, []byte(text))
	default:
		t.Fatalf("no key: %T", key)
	}
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// jwk returns a key as JSON, with changes.
func jwk(t testing.TB, key jose.Key, change object) object {
	t.Helper()
	var v object
	if err := json.Unmarshal(encode(t, key), &v); err != nil {
		t.Fatal(err)
	}
	return changed(v, change)
}

func public(t testing.TB, key crypto.PublicKey) object {
	t.Helper()
	return jwk(t, jose.Key{Key: key}, nil)
}

// wantRefusal requires that this check failed, or none if want is empty.
func wantRefusal(t *testing.T, err error, want jose.Refusal) {
	t.Helper()
	var refusal error // none
	if want != "" {
		refusal = want
	}
	if err != refusal { //nolint:errorlint // Nothing is wrapped.
		t.Errorf("%v, want %q", err, want)
	}
}
