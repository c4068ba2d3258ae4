package jose

import (
	"bytes"
	"crypto/ed25519"
	"strings"
	"testing"
)

// Of any text only the token that the key signed is believed, letter for letter.
func FuzzRead(f *testing.F) {
	// Always the same, so that findings are those of the next run too.
	key := Key{Key: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize)), KeyID: "a", Algorithm: "EdDSA", Use: "sig"}
	good, err := Sign(key, "at+jwt", map[string]string{"sub": "ann"})
	if err != nil {
		f.Fatal(err)
	}
	keys := public(key)
	f.Add(good)
	f.Add(strings.Replace(good, ".", "..", 1))
	f.Add(encode(`{"alg":"EdDSA","kid":"a","typ":"at+jwt"}`) + good[strings.Index(good, "."):])
	f.Add(encode(`{"alg":"none","typ":"at+jwt"}`) + ".e30.")
	f.Add(encode(`{"alg":"EdDSA","typ":"at+jwt","crit":["b64"],"jwk":{"kty":"OKP"}}`) + ".e30.eA")
	f.Fuzz(func(t *testing.T, text string) {
		var claims struct{ Sub string }
		_ = Unverified(text, 1000, &claims)
		token, err := rules("EdDSA").Read(text)
		if err != nil {
			return
		}
		if payload, err := token.Verify(keys); (err == nil) != (text == good) || err == nil && string(payload) != `{"sub":"ann"}` {
			t.Errorf("%q says %s, %v", text, payload, err)
		}
	})
}
