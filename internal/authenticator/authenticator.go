// Package authenticator imitates a browser with its authenticator, for tests. It creates
// passkeys and signs challenges, correctly or with the mistakes that a test asks for.
package authenticator

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"maps"
	"slices"
	"testing"

	"github.com/go-webauthn/webauthn/protocol/webauthncbor"

	"parvis/internal/secret"
)

// Flags of authenticator data (WebAuthn L3 §6.1).
const (
	Present        byte = 1 << 0
	Verified       byte = 1 << 2
	BackupEligible byte = 1 << 3
	BackedUp       byte = 1 << 4

	attested byte = 1 << 6
)

// Algorithms of keys, from the IANA registry of COSE.
const (
	ES256 = -7
	EdDSA = -8
	ES384 = -35
	RS256 = -257
)

// Authenticator is an authenticator in a browser that shows a page. Its fields determine the
// answers and may be changed between two answers.
type Authenticator struct {
	Origin    string         // of the page
	RPID      string         // the relying party id, whose hash is signed
	Flags     byte           // in the signed data
	Counter   uint32         // in the next answer, which increments it; zero stays zero
	Algorithm int            // of new keys
	IDBytes   int            // length of new ids
	AAGUID    [16]byte       // the model that it claims to be
	Client    map[string]any // members of the client data that are added or replaced
	Format    string         // of the attestation
	Statement map[string]any // of the attestation
	Key       map[int]any    // members of a new passkey's COSE_Key that are replaced
	Passkeys  []*Passkey     // newest first
}

// Passkey is a passkey that the authenticator created.
type Passkey struct {
	ID     []byte
	Handle []byte // the user handle in each answer; left out if empty

	algorithm int
	key       crypto.Signer
}

// New returns an authenticator that verifies its user and has a counter. Its page has this
// origin, and the relying party id is the host of the origin.
func New(origin, rpID string) *Authenticator {
	return &Authenticator{
		Origin: origin, RPID: rpID, Flags: Present | Verified, Counter: 1,
		Algorithm: ES256, IDBytes: 32, Format: "none", Statement: map[string]any{},
	}
}

// base64URL encodes bytes as the browser's JSON does (WebAuthn L3 §5.1.8).
type base64URL []byte

func (b base64URL) MarshalText() ([]byte, error) {
	return []byte(base64.RawURLEncoding.EncodeToString(b)), nil
}

func (b *base64URL) UnmarshalText(t []byte) (err error) {
	*b, err = base64.RawURLEncoding.DecodeString(string(t))
	return err
}

// Register creates a passkey for creation options, as navigator.credentials.create does. It
// ignores the excluded credentials and the requested algorithms.
func (a *Authenticator) Register(t testing.TB, options []byte) []byte {
	t.Helper()
	var o struct {
		Challenge string `json:"challenge"`
		User      struct {
			ID base64URL `json:"id"`
		} `json:"user"`
	}
	read(t, options, &o)
	p := &Passkey{ID: secret.Bytes(a.IDBytes), Handle: o.User.ID, algorithm: a.Algorithm, key: newKey(t, a.Algorithm)}
	a.Passkeys = slices.Insert(a.Passkeys, 0, p)

	made := binary.BigEndian.AppendUint16(slices.Clone(a.AAGUID[:]), uint16(len(p.ID))) //nolint:gosec // A test's own size.
	made = slices.Concat(made, p.ID, a.publicKey(t, p))
	client := a.clientData(t, "webauthn.create", o.Challenge)
	object := encode(t, map[string]any{"fmt": a.Format, "attStmt": a.Statement, "authData": a.data(a.Flags|attested, made)})
	return write(t, map[string]any{
		"id": base64URL(p.ID), "rawId": base64URL(p.ID), "type": "public-key", "clientExtensionResults": map[string]any{},
		"response": map[string]any{"clientDataJSON": base64URL(client), "attestationObject": base64URL(object), "transports": []string{"internal"}},
	})
}

// Assert signs the challenge in request options with the newest passkey that these allow, as
// navigator.credentials.get does.
func (a *Authenticator) Assert(t testing.TB, options []byte) []byte {
	t.Helper()
	var o struct {
		Allow []struct {
			ID base64URL `json:"id"`
		} `json:"allowCredentials"`
	}
	read(t, options, &o)
	for _, p := range a.Passkeys {
		allowed := len(o.Allow) == 0
		for _, other := range o.Allow {
			allowed = allowed || string(other.ID) == string(p.ID)
		}
		if allowed {
			return a.AssertWith(t, options, p)
		}
	}
	t.Fatalf("none of %d passkeys is allowed by %s", len(a.Passkeys), options)
	return nil
}

// AssertWith signs the challenge in request options with this passkey, whether or not they allow it.
func (a *Authenticator) AssertWith(t testing.TB, options []byte, p *Passkey) []byte {
	t.Helper()
	var o struct {
		Challenge string `json:"challenge"`
	}
	read(t, options, &o)
	client := a.clientData(t, "webauthn.get", o.Challenge)
	data := a.data(a.Flags, nil)
	hash := sha256.Sum256(client)
	response := map[string]any{
		"clientDataJSON": base64URL(client), "authenticatorData": base64URL(data),
		"signature": base64URL(p.sign(t, slices.Concat(data, hash[:]))),
	}
	if len(p.Handle) > 0 {
		response["userHandle"] = base64URL(p.Handle)
	}
	return write(t, map[string]any{
		"id": base64URL(p.ID), "rawId": base64URL(p.ID), "type": "public-key", "clientExtensionResults": map[string]any{}, "response": response,
	})
}

// clientData returns the client data that the browser signs for (WebAuthn L3 §5.8.1).
func (a *Authenticator) clientData(t testing.TB, kind, challenge string) []byte {
	all := map[string]any{"type": kind, "challenge": challenge, "origin": a.Origin, "crossOrigin": false}
	for name, value := range a.Client {
		all[name] = value
	}
	return write(t, all)
}

// data returns the authenticator data (WebAuthn L3 §6.1).
func (a *Authenticator) data(flags byte, made []byte) []byte {
	hash := sha256.Sum256([]byte(a.RPID))
	all := binary.BigEndian.AppendUint32(append(hash[:], flags), a.Counter)
	if a.Counter > 0 {
		a.Counter++
	}
	return append(all, made...)
}

func newKey(t testing.TB, algorithm int) crypto.Signer {
	var key crypto.Signer
	var err error
	switch algorithm {
	case ES256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), nil)
	case ES384:
		key, err = ecdsa.GenerateKey(elliptic.P384(), nil)
	case EdDSA:
		_, key, err = ed25519.GenerateKey(nil)
	case RS256:
		key, err = rsa.GenerateKey(nil, 2048)
	default:
		t.Fatalf("no key for algorithm %d", algorithm)
	}
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// publicKey returns the public key as a COSE_Key (RFC 9052 §7, RFC 9053 §7, RFC 8230 §4).
func (a *Authenticator) publicKey(t testing.TB, p *Passkey) []byte {
	key := map[int]any{3: p.algorithm}
	switch k := p.key.Public().(type) {
	case *ecdsa.PublicKey:
		point, err := k.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		n := len(point) / 2
		key[1], key[-1], key[-2], key[-3] = 2, 1, point[1:1+n], point[1+n:]
		if p.algorithm == ES384 {
			key[-1] = 2
		}
	case ed25519.PublicKey:
		key[1], key[-1], key[-2] = 1, 6, []byte(k)
	case *rsa.PublicKey:
		key[1], key[-1], key[-2] = 3, k.N.Bytes(), []byte{1, 0, 1}
	}
	maps.Copy(key, a.Key)
	return encode(t, key)
}

func (p *Passkey) sign(t testing.TB, message []byte) []byte {
	how := crypto.SignerOpts(crypto.SHA256)
	sum := sha256.Sum256(message)
	digest := sum[:]
	switch p.algorithm {
	case EdDSA:
		digest, how = message, crypto.Hash(0)
	case ES384:
		sum := sha512.Sum384(message)
		digest, how = sum[:], crypto.SHA384
	}
	signature, err := p.key.Sign(nil, digest, how)
	if err != nil {
		t.Fatal(err)
	}
	return signature
}

func read(t testing.TB, text []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatalf("options %s: %v", text, err)
	}
}

func write(t testing.TB, what any) []byte {
	t.Helper()
	b, err := json.Marshal(what)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func encode(t testing.TB, what any) []byte {
	t.Helper()
	b, err := webauthncbor.Marshal(what)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
