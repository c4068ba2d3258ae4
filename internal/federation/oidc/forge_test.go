package oidc_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"parvis/internal/federation/oidc"
	"parvis/internal/upstream"
)

// now is the time at which every test takes place.
var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

const (
	issuer = "https://idp.your-company.com"
	client = "parvis"
	nonce  = "n-0S6_WzA2Mj"
)

// keys are a provider's keys, and weaker or foreign ones.
var keys = sync.OnceValue(func() (k struct {
	rsa, weak, foreign *rsa.PrivateKey
	ec                 *ecdsa.PrivateKey
	ed                 ed25519.PrivateKey
}) {
	k.rsa, k.weak, k.foreign = newRSA(2048), newRSA(1024), newRSA(2048)
	k.ec, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	_, k.ed, _ = ed25519.GenerateKey(rand.Reader)
	return k
})

func newRSA(bits int) *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		panic(err)
	}
	return k
}

// published returns a key set as a provider publishes it.
func published(t testing.TB, list ...jose.JSONWebKey) oidc.Keys {
	t.Helper()
	text, err := json.Marshal(jose.JSONWebKeySet{Keys: list})
	if err != nil {
		t.Fatal(err)
	}
	var k oidc.Keys
	if err := json.Unmarshal(text, &k); err != nil {
		t.Fatal(err)
	}
	k.FetchedAt = now
	return k
}

func ordinaryKeys(t testing.TB) oidc.Keys {
	return published(t, jose.JSONWebKey{Key: keys().rsa.Public(), KeyID: "rsa", Use: "sig"},
		jose.JSONWebKey{Key: keys().ec.Public(), KeyID: "ec"}, jose.JSONWebKey{Key: keys().ed.Public(), KeyID: "ed"})
}

func expected(t testing.TB) oidc.Expected {
	return oidc.Expected{
		Issuer: issuer, ClientID: client, Nonce: nonce, Now: now, Keys: ordinaryKeys(t),
		Algorithms: []string{"RS256", "PS256", "ES256", "EdDSA"},
	}
}

type object = map[string]any

// without removes a member in the changes of a case.
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

func ordinaryClaims() object {
	return object{
		"iss": issuer, "aud": client, "sub": "ann", "nonce": nonce, "exp": now.Add(time.Hour).Unix(), "iat": now.Unix(),
		"email": "ann@your-company.com", "email_verified": true,
	}
}

// sign makes a compact token with any header, rightly or wrongly signed.
func sign(t testing.TB, header object, payload []byte, key any) string {
	t.Helper()
	head, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	text := base64.RawURLEncoding.EncodeToString(head) + "." + base64.RawURLEncoding.EncodeToString(payload)
	sum := sha256.Sum256([]byte(text))
	var signature []byte
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
		r, s, signErr := ecdsa.Sign(rand.Reader, key, sum[:])
		err = signErr
		signature = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
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

func encode(t testing.TB, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// token returns the ordinary ID token with changes to its claims.
func token(t testing.TB, change object) string {
	t.Helper()
	return sign(t, object{"alg": "RS256", "kid": "rsa"}, encode(t, changed(ordinaryClaims(), change)), keys().rsa)
}

// wantRefusal requires that a judgement failed by one check, the last of its trace.
func wantRefusal(t *testing.T, check string, trace upstream.Trace, err error) {
	t.Helper()
	failed, _ := trace.Failed()
	if err != upstream.Refusal(check) || failed.Name != check || trace.Checks[len(trace.Checks)-1].Name != check { //nolint:errorlint // Nothing is wrapped.
		t.Errorf("%v by %+v, want %s", err, failed, check)
	}
}

func wantAccepted(t *testing.T, trace upstream.Trace, err error) {
	t.Helper()
	if failed, any := trace.Failed(); err != nil || any {
		t.Errorf("%v by %+v", err, failed)
	}
}

func jwkHeader(t testing.TB, key crypto.PublicKey) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(encode(t, jose.JSONWebKey{Key: key}), &v); err != nil {
		t.Fatal(err)
	}
	return v
}
