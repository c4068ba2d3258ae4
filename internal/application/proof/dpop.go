package proof

import (
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"strings"
	"time"

	"parvis/internal/jose"
)

// DPoPExpectation is the request against which a proof is checked.
type DPoPExpectation struct {
	Method      string
	URL         string // as clients know it
	AccessToken string // of the request; empty at the token endpoint
	Now         time.Time
	Since       time.Time // as in AssertionExpectation
}

// Proof is a valid DPoP proof.
type Proof struct {
	Thumbprint string // of the key (RFC 7638): cnf.jkt of tokens that are bound to it
	ID         string // to accept only once for this key
}

// Lasts is how long the id of a proof has to be remembered after it arrived. A proof is valid
// from a minute before the time in it, for clients with a fast clock, to a minute after.
const Lasts = 2 * tolerance

// DPoP checks the DPoP headers of a request (RFC 9449 §4.3). It neither requires nor checks a
// nonce.
func DPoP(headers []string, e DPoPExpectation) (Proof, error) {
	if len(headers) != 1 {
		return Proof{}, OneProof
	}
	t, err := parse(headers[0], "dpop+jwt")
	if err != nil {
		return Proof{}, err
	}
	key, err := jose.ParseKey(t.Key, []string{t.Algorithm})
	if err != nil {
		return Proof{}, PublicKey
	}
	t.KeyID = nil // the key is the one in the header, under any name
	var claims struct {
		ID     string   `json:"jti"`
		Method string   `json:"htm"`
		URL    string   `json:"htu"`
		Issued *seconds `json:"iat"`
		Hash   string   `json:"ath"`
	}
	if err := verify(t, []jose.Key{key}, &claims); err != nil {
		return Proof{}, err
	}
	now, slack := at(e.Now), seconds(tolerance.Seconds())
	target := normal(e.URL)
	switch {
	case claims.Method != e.Method || e.Method == "":
		return Proof{}, Method
	case normal(claims.URL) != target || target == "":
		return Proof{}, URL
	case claims.Issued == nil || *claims.Issued < now-slack || *claims.Issued >= now+slack:
		return Proof{}, Issued
	case before(*claims.Issued, e.Since):
		return Proof{}, Issued
	case !isText(claims.ID):
		return Proof{}, TokenID
	case e.AccessToken != "" && claims.Hash != hash(e.AccessToken):
		return Proof{}, AccessToken
	}
	thumbprint, err := key.Thumbprint(crypto.SHA256)
	if err != nil {
		return Proof{}, PublicKey
	}
	return Proof{Thumbprint: base64.RawURLEncoding.EncodeToString(thumbprint), ID: claims.ID}, nil
}

// hash returns the claim ath for an access token.
func hash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// normal returns the address of a request in one spelling (RFC 3986 §6.2.2.1, §6.2.3), without
// query and fragment (RFC 9449 §4.3). It leaves dots and escapes in a path as they are, because
// our own paths have none. It returns an empty text if the address cannot be read.
func normal(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.User != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return ""
	}
	usual := map[string]string{"https": ":443", "http": ":80"}[u.Scheme]
	host := strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(u.Host), usual), ":")
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	return u.Scheme + "://" + host + path
}
