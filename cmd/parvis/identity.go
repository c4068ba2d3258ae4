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
	// Same has a proof of each setting that all nodes have alike, by its name: only who has the keys, and
	// the same setting, finds the same.
	Same map[string]string `json:"same,omitempty"`
}

// longestNonce is more than doctor sends.
const longestNonce = 64

func mountIdentity(site *page.Site, keys secret.Keys, shared map[string]string) {
	site.Anyone("GET "+identityPath, func(v *page.Visitor) error {
		answer := identity{Parvis: true}
		answer.SeenAs, answer.Forwarded = site.Source(v.R)
		if nonce := v.R.URL.Query().Get("nonce"); nonce != "" && len(nonce) <= longestNonce {
			answer.Proof = identityProof(keys.Lookup.Current(), nonce)
			answer.Same = sameProofs(keys.Lookup.Current(), nonce, shared)
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
	return slices.ContainsFunc(keys.Lookup.All(), func(k secret.Key) bool {
		return hmac.Equal([]byte(i.Proof), []byte(identityProof(k, nonce)))
	})
}

// sameProofs proves settings as identityProof proves the keys.
func sameProofs(k secret.Key, nonce string, shared map[string]string) map[string]string {
	all, key := map[string]string{}, secret.MAC(k.Bytes, "parvis identity settings")
	for name, value := range shared {
		all[name] = base64.RawURLEncoding.EncodeToString(secret.MAC(key, nonce, name, value)[:12])
	}
	return all
}

// differs names the settings that an installation with these keys has otherwise. Of another version it
// names that alone: what that one has where nothing is set may be another thing.
func (i identity) differs(keys secret.Keys, nonce string, shared map[string]string) (names []string) {
	for _, k := range keys.Lookup.All() {
		if !hmac.Equal([]byte(i.Proof), []byte(identityProof(k, nonce))) {
			continue
		}
		ours := sameProofs(k, nonce, shared)
		if i.Same[versionName] != ours[versionName] {
			return []string{versionName}
		}
		for name, proof := range ours {
			if i.Same[name] != proof {
				names = append(names, name)
			}
		}
		for name := range i.Same {
			if ours[name] == "" {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names
}

// versionName stands for the version of the program among the settings that nodes have alike.
const versionName = "version"

// shared lists those settings, as they are in force, by their names. Secrets are left out. What is not set
// is listed too: which names there are would tell strangers what is.
func (c *configuration) shared() map[string]string {
	all := map[string]string{versionName: versionText()}
	for _, s := range c.settings {
		if !s.own && s.secret == "" {
			all[s.title()] = s.shown()
		}
	}
	return all
}
