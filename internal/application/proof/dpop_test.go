package proof_test

import (
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"parvis/internal/application/proof"
	"parvis/internal/expect"
	"parvis/internal/jose"
)

func atToken() proof.DPoPExpectation {
	return proof.DPoPExpectation{Method: "POST", URL: endpoint, Now: now}
}

func proofHeader(t testing.TB) object {
	return object{"alg": "ES256", "typ": "dpop+jwt", "jwk": public(t, keys().p256.Public())}
}

func proofClaims() object {
	return object{"jti": "j1", "htm": "POST", "htu": endpoint, "iat": now.Unix()}
}

func dpop(t testing.TB, change object) string {
	t.Helper()
	return sign(t, proofHeader(t), encode(t, changed(proofClaims(), change)), keys().p256)
}

// The two examples of RFC 9449 §4.1 and §7.1, with the thumbprint of §6.1.
func TestTheExamplesOfDPoPAreBelieved(t *testing.T) {
	const header = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5Ijoi" +
		"OVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19"
	for token, c := range map[string]struct {
		e  proof.DPoPExpectation
		id string
	}{
		header + ".eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ" +
			".2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg": {
			proof.DPoPExpectation{Method: "POST", URL: "https://server.example.com/token", Now: time.Unix(1562262616, 0)}, "-BwC3ESc6acc2lTc",
		},
		header + ".eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwi" +
			"YXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9" +
			".2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA": {
			proof.DPoPExpectation{Method: "GET", URL: "https://resource.example.org/protectedresource", AccessToken: "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU", Now: time.Unix(1562262618, 0)},
			"e1j3V_bKic8-LAEB",
		},
	} {
		got, err := proof.DPoP([]string{token}, c.e)
		wantRefusal(t, err, "")
		if got.Thumbprint != "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" || got.ID != c.id {
			t.Errorf("%+v", got)
		}
	}
}

func TestAProofOfEachAlgorithmIsBelieved(t *testing.T) {
	seen := map[string]bool{}
	for name, key := range map[string]crypto.Signer{"RS256": keys().rsa, "PS256": keys().foreign, "ES256": keys().p256, "ES384": keys().p384, "EdDSA": keys().ed} {
		header := object{"alg": name, "typ": "dpop+jwt", "jwk": public(t, key.Public()), "kid": "not looked at"}
		got, err := proof.DPoP([]string{sign(t, header, encode(t, proofClaims()), key)}, atToken())
		wantRefusal(t, err, "")
		if len(got.Thumbprint) != 43 {
			t.Fatalf("%s: %+v", name, got)
		}
		expect.Equal(expect.Case(t, "%s", name), "ID", got.ID, "j1")
		if seen[got.Thumbprint] {
			t.Errorf("%s: %+v", name, got)
		}
		seen[got.Thumbprint] = true
	}
}

func TestOPR15ProofsThatProveNothingAreRefused(t *testing.T) {
	claims := encode(t, proofClaims())
	good := dpop(t, nil)
	parts := strings.Split(good, ".")
	private := jwk(t, jose.Key{Key: keys().p256}, nil)
	for name, c := range map[string]struct {
		headers []string
		check   jose.Refusal
	}{
		"none":                        {nil, proof.OneProof},
		"two":                         {[]string{good, good}, proof.OneProof},
		"two in one":                  {[]string{good + ", " + good}, jose.Form},
		"empty":                       {[]string{""}, jose.Form},
		"white space":                 {[]string{" " + good}, jose.Form},
		"too long":                    {[]string{dpop(t, object{"x": strings.Repeat("x", 8<<10)})}, jose.Form},
		"no type":                     {[]string{sign(t, changed(proofHeader(t), object{"typ": without{}}), claims, keys().p256)}, jose.Type},
		"JWT":                         {[]string{sign(t, changed(proofHeader(t), object{"typ": "JWT"}), claims, keys().p256)}, jose.Type},
		"a client assertion":          {[]string{sign(t, changed(proofHeader(t), object{"typ": "client-authentication+jwt"}), claims, keys().p256)}, jose.Type},
		"alg none":                    {[]string{sign(t, changed(proofHeader(t), object{"alg": "none"}), claims, nil)}, jose.Algorithm},
		"HS256 with a key of its own": {[]string{sign(t, changed(proofHeader(t), object{"alg": "HS256", "jwk": object{"kty": "oct", "k": "c2VjcmV0"}}), claims, []byte("secret"))}, jose.Algorithm},
		"critical extension":          {[]string{sign(t, changed(proofHeader(t), object{"crit": []string{"x"}}), claims, keys().p256)}, jose.Critical},
		"no key":                      {[]string{sign(t, changed(proofHeader(t), object{"jwk": without{}, "kid": "p256"}), claims, keys().p256)}, proof.PublicKey},
		"key null":                    {[]string{sign(t, changed(proofHeader(t), object{"jwk": nil}), claims, keys().p256)}, proof.PublicKey},
		"key by address":              {[]string{sign(t, changed(proofHeader(t), object{"jwk": without{}, "jku": "https://evil.test/keys"}), claims, keys().p256)}, proof.PublicKey},
		"symmetric key":               {[]string{sign(t, changed(proofHeader(t), object{"jwk": object{"kty": "oct", "k": "c2VjcmV0"}}), claims, keys().p256)}, proof.PublicKey},
		"private key":                 {[]string{sign(t, changed(proofHeader(t), object{"jwk": private}), claims, keys().p256)}, proof.PublicKey},
		"weak key":                    {[]string{sign(t, object{"alg": "RS256", "typ": "dpop+jwt", "jwk": public(t, keys().weak.Public())}, claims, keys().weak)}, proof.PublicKey},
		"key for encryption":          {[]string{sign(t, changed(proofHeader(t), object{"jwk": changed(public(t, keys().p256.Public()), object{"use": "enc"})}), claims, keys().p256)}, proof.PublicKey},
		"key of another kind":         {[]string{sign(t, changed(proofHeader(t), object{"alg": "RS256"}), claims, keys().rsa)}, proof.PublicKey},
		"key of another":              {[]string{sign(t, proofHeader(t), claims, keys().evil)}, jose.Signature},
		"no signature":                {[]string{parts[0] + "." + parts[1] + "."}, jose.Signature},
		"claims of another proof":     {[]string{parts[0] + "." + strings.Split(dpop(t, object{"jti": "j2"}), ".")[1] + "." + parts[2]}, jose.Signature},
		"key with one member twice":   {[]string{base64.RawURLEncoding.EncodeToString([]byte(`{"typ":"dpop+jwt","alg":"ES256","jwk":{"kty":"EC","kty":"RSA"}}`)) + "." + parts[1] + "." + parts[2]}, proof.PublicKey},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := proof.DPoP(c.headers, atToken())
			wantRefusal(t, err, c.check)
			if got != (proof.Proof{}) {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestOPR15ProofsOfAnotherRequestAreRefused(t *testing.T) {
	second := func(d time.Duration) int64 { return now.Add(d).Unix() }
	for name, c := range map[string]struct {
		change object
		check  jose.Refusal
	}{
		"another method":             {object{"htm": "GET"}, proof.Method},
		"method in small letters":    {object{"htm": "post"}, proof.Method},
		"no method":                  {object{"htm": without{}}, proof.Method},
		"another address":            {object{"htu": issuer + "/userinfo"}, proof.URL},
		"another host":               {object{"htu": "https://evil.test/token"}, proof.URL},
		"another scheme":             {object{"htu": strings.Replace(endpoint, "https", "http", 1)}, proof.URL},
		"another port":               {object{"htu": issuer + ":8443/token"}, proof.URL},
		"http's port":                {object{"htu": issuer + ":80/token"}, proof.URL},
		"a slash more":               {object{"htu": endpoint + "/"}, proof.URL},
		"path in capitals":           {object{"htu": issuer + "/TOKEN"}, proof.URL},
		"path alone":                 {object{"htu": "/token"}, proof.URL},
		"somebody before the host":   {object{"htu": "https://me@id.your-company.com/token"}, proof.URL},
		"no address":                 {object{"htu": without{}}, proof.URL},
		"an address that is none":    {object{"htu": "https://[/token"}, proof.URL},
		"a list of addresses":        {object{"htu": []string{endpoint}}, proof.Claims},
		"made before":                {object{"iat": second(-61 * time.Second)}, proof.Issued},
		"to come":                    {object{"iat": second(time.Minute)}, proof.Issued},
		"no time":                    {object{"iat": without{}}, proof.Issued},
		"time null":                  {object{"iat": nil}, proof.Issued},
		"time a text":                {object{"iat": "1795348800"}, proof.Claims},
		"beyond time":                {object{"iat": 1e300}, proof.Issued},
		"no jti":                     {object{"jti": without{}}, proof.TokenID},
		"jti empty":                  {object{"jti": ""}, proof.TokenID},
		"jti too long":               {object{"jti": strings.Repeat("x", 256)}, proof.TokenID},
		"jti that does not print":    {object{"jti": "a\x00"}, proof.TokenID},
		"another spelling":           {object{"htu": "HTTPS://ID.your-company.com:443/token"}, ""},
		"with query and fragment":    {object{"htu": endpoint + "?x=1#y"}, ""},
		"a minute ago":               {object{"iat": second(-time.Minute)}, ""},
		"a fast clock":               {object{"iat": second(59 * time.Second)}, ""},
		"a nonce, which nobody asks": {object{"nonce": "x"}, ""},
		"an ath, which nobody asks":  {object{"ath": "x"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := proof.DPoP([]string{dpop(t, c.change)}, atToken())
			wantRefusal(t, err, c.check)
		})
	}
	for _, payload := range []string{`{"htm":"GET",` + string(encode(t, proofClaims()))[1:], "[]", "", "{"} {
		_, err := proof.DPoP([]string{sign(t, proofHeader(t), []byte(payload), keys().p256)}, atToken())
		wantRefusal(t, err, proof.Claims)
	}
	// Empty values never match.
	for _, spoil := range []func(*proof.DPoPExpectation){func(e *proof.DPoPExpectation) { e.Method = "" }, func(e *proof.DPoPExpectation) { e.URL = "" }} {
		e := atToken()
		spoil(&e)
		if _, err := proof.DPoP([]string{dpop(t, object{"htm": e.Method, "htu": e.URL})}, e); err == nil {
			t.Errorf("believed for %+v", e)
		}
	}
	e := atToken()
	e.URL += "?organization=alpha"
	_, err := proof.DPoP([]string{dpop(t, nil)}, e)
	wantRefusal(t, err, "")
	e.URL = issuer
	_, err = proof.DPoP([]string{dpop(t, object{"htu": issuer + "/"})}, e)
	wantRefusal(t, err, "")
}

func TestOPR15AProofIsForTheAccessTokenBesideIt(t *testing.T) {
	hash := func(token string) string {
		sum := sha256.Sum256([]byte(token))
		return base64.RawURLEncoding.EncodeToString(sum[:])
	}
	e := atToken()
	e.AccessToken = "of this very request"
	for name, c := range map[string]struct {
		change object
		check  jose.Refusal
	}{
		"it":             {object{"ath": hash(e.AccessToken)}, ""},
		"another":        {object{"ath": hash("another")}, proof.AccessToken},
		"none":           {nil, proof.AccessToken},
		"empty":          {object{"ath": ""}, proof.AccessToken},
		"null":           {object{"ath": nil}, proof.AccessToken},
		"the token":      {object{"ath": e.AccessToken}, proof.AccessToken},
		"half":           {object{"ath": hash(e.AccessToken)[:22]}, proof.AccessToken},
		"with a padding": {object{"ath": hash(e.AccessToken) + "="}, proof.AccessToken},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := proof.DPoP([]string{dpop(t, c.change)}, e)
			wantRefusal(t, err, c.check)
		})
	}
}

// A key has the same thumbprint in every spelling.
func TestOPR15AThumbprintIsTheKeysAndNotItsSpellings(t *testing.T) {
	key := public(t, keys().rsa.Public())
	n, err := base64.RawURLEncoding.DecodeString(key["n"].(string))
	if err != nil {
		t.Fatal(err)
	}
	var thumbprints []string
	for _, change := range []object{nil, {"n": base64.RawURLEncoding.EncodeToString(append([]byte{0}, n...))}, {"kid": "x", "use": "sig", "alg": "RS256"}} {
		got, err := proof.DPoP([]string{sign(t, object{"alg": "RS256", "typ": "dpop+jwt", "jwk": changed(key, change)}, encode(t, proofClaims()), keys().rsa)}, atToken())
		wantRefusal(t, err, "")
		thumbprints = append(thumbprints, got.Thumbprint)
	}
	if thumbprints[0] != thumbprints[1] || thumbprints[0] != thumbprints[2] {
		t.Errorf("%q", thumbprints)
	}
}

// A proof is no longer valid when its id may be forgotten, however early it came.
func TestOPR15AProofDoesNotOutliveTheMemoryOfItsID(t *testing.T) {
	e := atToken()
	token := []string{dpop(t, object{"iat": now.Add(59 * time.Second).Unix()})}
	e.Now = now.Add(-time.Second + time.Microsecond) // the first moment at which it is valid
	_, err := proof.DPoP(token, e)
	wantRefusal(t, err, "")
	e.Now = e.Now.Add(proof.Lasts)
	_, err = proof.DPoP(token, e)
	wantRefusal(t, err, proof.Issued)
}

// Of any input, only proofs by the holder of the key are accepted.
func FuzzDPoP(f *testing.F) {
	head := object{"alg": "EdDSA", "typ": "dpop+jwt", "jwk": public(f, keys().ed.Public())}
	good := sign(f, head, encode(f, proofClaims()), keys().ed)
	f.Add(good)
	f.Add(sign(f, changed(head, object{"alg": "none"}), encode(f, proofClaims()), nil))
	f.Add(sign(f, changed(head, object{"jwk": jwk(f, jose.Key{Key: keys().ed}, nil)}), encode(f, proofClaims()), keys().ed))
	f.Add(sign(f, head, encode(f, changed(proofClaims(), object{"htu": "https://evil.test/"})), keys().ed))
	f.Add(sign(f, head, encode(f, proofClaims()), keys().evil))
	want, err := proof.DPoP([]string{good}, atToken())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, header string) {
		got, err := proof.DPoP([]string{header}, atToken())
		if err != nil {
			expect.Equal(t, "what is read of a refused proof", got, proof.Proof{})
			return
		}
		expect.Equal(t, "proof", got, want)
	})
}

// As for assertions: whether it came in before a restore is not remembered.
func TestAProofOfBeforeARestoreIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		since time.Duration // from now, when it is issued
		check jose.Refusal
	}{
		"issued more than a minute after":                  {-time.Minute, ""},
		"issued within a minute, perhaps by a clock ahead": {-time.Minute + time.Second, proof.Issued},
		"issued before": {time.Second, proof.Issued},
	} {
		e := atToken()
		e.Since = now.Add(c.since)
		_, err := proof.DPoP([]string{sign(t, object{"alg": "ES256", "typ": "dpop+jwt", "jwk": public(t, keys().p256.Public())}, encode(t, proofClaims()), keys().p256)}, e)
		t.Run(name, func(t *testing.T) { wantRefusal(t, err, c.check) })
	}
}
