package main

import (
	"crypto/hmac"
	"encoding/base64"
	"encoding/json"
	"slices"

	"parvis/internal/edge"
	"parvis/internal/page"
	"parvis/internal/secret"
)

// identityPath is where the server says who it is and how it sees the caller; doctor asks there
// through the public address. It tells strangers only their own address.
const identityPath = "/.well-known/parvis"

// identity is the answer at identityPath.
type identity struct {
	Parvis    bool            `json:"parvis"`
	Proof     string          `json:"proof,omitempty"` // shows somebody who has the keys that it is this installation
	SeenAs    string          `json:"seen_as"`
	Forwarded edge.Forwarding `json:"forwarded"`
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

// identityProof is an answer to a nonce that only somebody with the keys can give. The key is
// derived, so that an answer proves nothing anywhere else.
func identityProof(k secret.Key, nonce string) string {
	return base64.RawURLEncoding.EncodeToString(secret.MAC(secret.MAC(k.Bytes, "parvis identity"), nonce))
}

// isOurs reports whether an answer is from an installation with these keys.
func (i identity) isOurs(keys secret.Keys, nonce string) bool {
	return slices.ContainsFunc(keys.Lookup, func(k secret.Key) bool {
		return hmac.Equal([]byte(i.Proof), []byte(identityProof(k, nonce)))
	})
}
