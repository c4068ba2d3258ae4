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

// DPoPExpectation is the request that a proof was made for.
type DPoPExpectation struct {
	Method      string
	URL         string // as clients know it
	AccessToken string // that came along; empty at the token endpoint
	Now         time.Time
}

// Proof is a DPoP proof that was believed.
type Proof struct {
	Thumbprint string // of the key (RFC 7638): cnf.jkt of what is bound to it
	ID         string // to be taken once for this key
	IssuedAt   time.Time
}

// Lasts is how long the id of a proof has to be remembered from when it came: one from
// a fast clock is good from a minute before its own time until a minute after.
const Lasts = 2 * tolerance

// DPoP judges the DPoP headers of a request (RFC 9449 §4.3). A nonce is not asked for,
// and not looked at.
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
	t.KeyID = nil // the key is the one that came along, whatever it is called
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
	case !isText(claims.ID):
		return Proof{}, TokenID
	case e.AccessToken != "" && claims.Hash != hash(e.AccessToken):
		return Proof{}, AccessToken
	}
	thumbprint, err := key.Thumbprint(crypto.SHA256)
	if err != nil {
		return Proof{}, PublicKey
	}
	return Proof{
		Thumbprint: base64.RawURLEncoding.EncodeToString(thumbprint), ID: claims.ID,
		IssuedAt: time.UnixMicro(int64(*claims.Issued * 1e6)).UTC(),
	}, nil
}

// hash is the claim ath of an access token.
func hash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// normal is the address of a request without what RFC 9449 §4.3 leaves out, query and
// fragment, in one spelling of what may be spelled in several (RFC 3986 §6.2.2.1,
// §6.2.3). A path with dots or needless escapes is none of ours; empty where it is no
// address.
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
