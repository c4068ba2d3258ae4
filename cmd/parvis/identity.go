package main

import (
	"crypto/hmac"
	"encoding/base64"
	"encoding/json"
	"slices"

	"parvis/internal/page"
	"parvis/internal/secret"
)

// identityPath is where the server says who it is and how it sees the caller:
// what doctor asks through the public address. It tells a stranger their own
// address and nothing else.
const identityPath = "/.well-known/parvis"

// identity is that answer.
type identity struct {
	Parvis    bool            `json:"parvis"`
	Proof     string          `json:"proof,omitempty"` // shows to whoever has the keys that it is this installation
	SeenAs    string          `json:"seen_as"`
	Forwarded page.Forwarding `json:"forwarded"`
}

// longestNonce is more than doctor sends.
const longestNonce = 64

func mountIdentity(site *page.Site, keys secret.Keys) {
	site.Anyone("GET "+identityPath, func(v *page.Visitor) error {
		answer := identity{Parvis: true}
		answer.SeenAs, answer.Forwarded = site.Source(v.R)
		if nonce := v.R.URL.Query().Get("nonce"); nonce != "" && len(nonce) <= longestNonce {
			answer.Proof = identityProof(keys.Lookup.Current(), nonce)
		}
		v.W.Header().Set("Content-Type", "application/json")
		json.NewEncoder(v.W).Encode(answer) //nolint:errcheck // The caller has gone.
		return nil
	})
}

// identityProof is what only somebody with the keys can answer to a nonce. The
// key is derived, so that an answer proves nothing anywhere else.
func identityProof(k secret.Key, nonce string) string {
	return base64.RawURLEncoding.EncodeToString(secret.MAC(secret.MAC(k.Bytes, "parvis identity"), nonce))
}

// isOurs tells whether an answer is from an installation with these keys.
func (i identity) isOurs(keys secret.Keys, nonce string) bool {
	return slices.ContainsFunc(keys.Lookup, func(k secret.Key) bool {
		return hmac.Equal([]byte(i.Proof), []byte(identityProof(k, nonce)))
	})
}
