// Package secret makes, hashes and seals values that nobody may guess or read: tokens,
// identifiers, keys. Randomness comes from here alone: it is the only importer of
// crypto/rand, and of crypto/aes together with federation/saml.
package secret

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"hash"
	"log/slog"
	"regexp"
	"strings"
)

// redacted is what a Token looks like to anything that prints, logs or encodes it.
const redacted = "[secret]"

// tokenBytes is the randomness in a token: 256 bits (R-SES-01 asks for 128).
const tokenBytes = 32

// Purpose keeps one kind of secret from being accepted as another (R-CRY-04).
type Purpose string

// The purposes in use. The hash of a token for one purpose never matches that for another.
const (
	Browser     Purpose = "browser"
	Probe       Purpose = "browser without a token yet"
	Invitation  Purpose = "invitation"
	Bootstrap   Purpose = "bootstrap"
	Reset       Purpose = "reset"
	EmailChange Purpose = "email change"
	Disavowal   Purpose = "disavowal"
	Upstream    Purpose = "upstream state"
	Parked      Purpose = "upstream response"
	SetupLink   Purpose = "setup link"

	Code          Purpose = "authorization code"
	RefreshFamily Purpose = "refresh family"
	Refresh       Purpose = "refresh token"
	Pushed        Purpose = "pushed request"
	ClientSecret  Purpose = "client secret"
	DeviceCode    Purpose = "device code"
	UserCode      Purpose = "user code"
	APIToken      Purpose = "API token"
	SourceToken   Purpose = "source token"
)

// Token is a random value that proves something about its holder. It cannot be logged or
// encoded by accident: only Reveal returns its text.
type Token struct{ text string }

// NewToken makes a token of 256 random bits, 43 URL-safe characters.
func NewToken() Token {
	b := make([]byte, tokenBytes)
	rand.Read(b) // never fails since Go 1.24
	return Token{base64.RawURLEncoding.EncodeToString(b)}
}

// DeriveToken derives a token from parts by HMAC. The same parts give the same token.
func DeriveToken(key []byte, parts ...string) Token {
	return Token{base64.RawURLEncoding.EncodeToString(MAC(key, parts...))}
}

// ParseToken reads what a browser sent. It returns the zero Token, which equals nothing
// that is stored, for anything that cannot be one of our tokens.
func ParseToken(s string) Token {
	if len(s) != base64.RawURLEncoding.EncodedLen(tokenBytes) || strings.Trim(s, tokenAlphabet) != "" {
		return Token{}
	}
	return Token{s}
}

const tokenAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// IsZero reports whether there is no token.
func (t Token) IsZero() bool { return t.text == "" }

// Reveal returns the text, for a cookie or a link.
func (t Token) Reveal() string { return t.text }

// Hash returns what the database stores in place of t. SHA-256 is enough for 256 random
// bits. The purpose makes the hashes of equal texts of two kinds differ.
func (t Token) Hash(p Purpose) string {
	sum := sha256.Sum256([]byte("parvis " + string(p) + "\x00" + t.text))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func (t Token) String() string               { return redacted }
func (t Token) GoString() string             { return redacted }
func (t Token) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (t Token) MarshalText() ([]byte, error) { return []byte(redacted), nil }

var idEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// NewID makes an identifier from 128 random bits, with a prefix that says in logs what it
// identifies. An identifier is not secret: knowing one grants nothing (R-CRY-01).
func NewID(prefix string) string {
	var b [16]byte
	rand.Read(b[:])
	return idOf(prefix, b)
}

// NewIDs makes identifiers for rows that are inserted together. They begin alike, with 40 random bits,
// so that they stand beside each other in every index and few pages are written (decision 87); each has
// 88 random bits of its own.
func NewIDs(prefix string, n int) []string {
	var b [16]byte
	rand.Read(b[:])
	all := make([]string, n)
	for i := range all {
		rand.Read(b[5:])
		all[i] = idOf(prefix, b)
	}
	return all
}

func idOf(prefix string, b [16]byte) string {
	var text [48]byte // one allocation for most prefixes
	return string(idEncoding.AppendEncode(append(append(text[:0], prefix...), '_'), b[:]))
}

// Bytes returns n random bytes.
func Bytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// MAC returns the HMAC-SHA-256 of the parts under key. Each part is preceded by its length,
// so that two different lists of parts never give the same input.
func MAC(key []byte, parts ...string) []byte {
	m := hmac.New(sha256.New, key)
	for _, p := range parts {
		n := len(p)
		m.Write([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
		m.Write([]byte(p))
	}
	return m.Sum(nil)
}

// NewMAC returns an HMAC-SHA-256 under key of what is written to it, for what is too long for MAC.
func NewMAC(key []byte) hash.Hash { return hmac.New(sha256.New, key) }

// Equal reports whether two MACs are equal, in a time that does not tell where they differ.
func Equal(a, b []byte) bool { return hmac.Equal(a, b) }

// HMAC returns the HMAC-SHA-256 of a text as other programs compute it. For what only we verify,
// use MAC.
func HMAC(key, text []byte) []byte {
	m := hmac.New(sha256.New, key)
	m.Write(text)
	return m.Sum(nil)
}

// NewECKey makes a key on P-256, for ES256.
func NewECKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err) // cannot happen: the library has this curve
	}
	return key
}

// GenerateRSA makes the keys of NewRSAKey. Only idptest replaces it.
var GenerateRSA = rsa.GenerateKey

// NewRSAKey makes a key of 3072 bits, as strong as 128 bits of a symmetric one (R-CRY-02).
func NewRSAKey() *rsa.PrivateKey {
	key, err := GenerateRSA(rand.Reader, 3072)
	if err != nil {
		panic(err) // cannot happen: the library allows this size
	}
	return key
}

// validID matches every id that secret.NewID makes, and that of a request, which is the
// beginning of one, because people read it aloud.
var validID = regexp.MustCompile(`^([a-z]{3}_[a-z2-7]{26}|req_[a-z2-7]{10})$`)

// IsID reports whether a text can be one of our ids. Other texts are not looked up, so that no
// strange byte reaches a database.
func IsID(s string) bool { return validID.MatchString(s) }
