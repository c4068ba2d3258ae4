package main

import (
	"crypto/hmac"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/netip"
	"slices"

	"parvis/internal/audit"
	"parvis/internal/page"
	"parvis/internal/secret"
)

// identityPath is where the server says who it is and how it sees the caller:
// what doctor asks through the public address. It tells a stranger their own
// address and nothing else.
const identityPath = "/.well-known/parvis"

// identity is that answer.
type identity struct {
	Parvis    bool       `json:"parvis"`
	Proof     string     `json:"proof,omitempty"` // shows to whoever has the keys that it is this installation
	SeenAs    string     `json:"seen_as"`
	Forwarded forwarding `json:"forwarded"`
}

// forwarding is what became of the forwarding headers of a request.
type forwarding string

const (
	notForwarded  forwarding = "absent"   // it came directly, or through something that adds none
	believed      forwarding = "believed" // from a trusted proxy
	ignored       forwarding = "ignored"  // from somebody who is not trusted
	proxyIsSilent forwarding = "missing"  // from a trusted proxy that says nothing of the client
)

// longestNonce is more than doctor sends.
const longestNonce = 64

func mountIdentity(site *page.Site, proxies []netip.Prefix, keys secret.Keys) {
	site.Anyone("GET "+identityPath, func(v *page.Visitor) error {
		answer := identity{Parvis: true, SeenAs: audit.OriginOf(v.R.Context()).Network, Forwarded: forwardingOf(v.R, proxies)}
		if nonce := v.R.URL.Query().Get("nonce"); nonce != "" && len(nonce) <= longestNonce {
			answer.Proof = identityProof(keys.Lookup.Current(), nonce)
		}
		v.W.Header().Set("Content-Type", "application/json")
		json.NewEncoder(v.W).Encode(answer) //nolint:errcheck // The caller has gone.
		return nil
	})
}

func forwardingOf(r *http.Request, proxies []netip.Prefix) forwarding {
	trusted, says := isTrusted(r, proxies), forwarded(r)
	switch {
	case says && trusted:
		return believed
	case says:
		return ignored
	case trusted:
		return proxyIsSilent
	}
	return notForwarded
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
