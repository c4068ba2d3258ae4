package proof_test

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"parvis/internal/application/proof"
	"parvis/internal/expect"
	"parvis/internal/jose"
)

const (
	client   = "app_aaaa"
	issuer   = "https://id.your-company.com"
	endpoint = issuer + "/token"
)

func keySet(t testing.TB, list ...object) []jose.Key {
	t.Helper()
	set, err := proof.ParseKeySet(string(encode(t, object{"keys": list})))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func expected(t testing.TB) proof.AssertionExpectation {
	return proof.AssertionExpectation{
		ClientID: client, Audiences: []string{issuer, endpoint}, Now: now,
		Keys: keySet(t, jwk(t, jose.Key{Key: keys().rsa.Public(), KeyID: "rsa", Use: "sig"}, nil), jwk(t, jose.Key{Key: keys().p256.Public(), KeyID: "p256"}, nil),
			jwk(t, jose.Key{Key: keys().p384.Public(), KeyID: "p384"}, nil), jwk(t, jose.Key{Key: keys().ed.Public(), KeyID: "ed"}, nil)),
	}
}

func ordinaryClaims() object {
	return object{"iss": client, "sub": client, "aud": issuer, "jti": "j1", "iat": now.Unix(), "exp": now.Add(time.Minute).Unix()}
}

// assertion returns a valid assertion with changed claims.
func assertion(t testing.TB, change object) string {
	t.Helper()
	return sign(t, object{"alg": "ES256", "kid": "p256"}, encode(t, changed(ordinaryClaims(), change)), keys().p256)
}

func TestAnAssertionOfEachAlgorithmIsBelieved(t *testing.T) {
	for name, key := range map[string]struct {
		kid string
		key any
	}{"RS256": {"rsa", keys().rsa}, "PS256": {"rsa", keys().rsa}, "ES256": {"p256", keys().p256}, "ES384": {"p384", keys().p384}, "EdDSA": {"ed", keys().ed}} {
		if !slices.Contains(proof.Algorithms, name) {
			t.Errorf("%s is not announced", name)
		}
		for _, header := range []object{
			{"alg": name, "kid": key.kid}, {"alg": name, "kid": key.kid, "typ": "JWT"}, {"alg": name, "typ": "client-authentication+jwt"}, // without kid: only one key fits
		} {
			token := sign(t, header, encode(t, ordinaryClaims()), key.key)
			id, until, err := proof.Assertion(token, expected(t))
			wantRefusal(t, err, "")
			if id != "j1" || !until.Equal(now.Add(2*time.Minute)) {
				t.Errorf("%s: %q until %s", name, id, until)
			}
			if c := proof.ClientOf(token); c != client {
				t.Errorf("%s is of %q", name, c)
			}
		}
	}
	if n := len(proof.Algorithms); n != 5 {
		t.Errorf("%d algorithms are announced", n)
	}
}

func TestOPR6ForgedAssertionsAreRefused(t *testing.T) {
	claims := encode(t, ordinaryClaims())
	der, err := x509.MarshalPKIXPublicKey(keys().rsa.Public())
	if err != nil {
		t.Fatal(err)
	}
	good := assertion(t, nil)
	parts := strings.Split(good, ".")
	other := base64.RawURLEncoding.EncodeToString(encode(t, changed(ordinaryClaims(), object{"sub": "app_bbbb"})))
	for name, c := range map[string]struct {
		token string
		check jose.Refusal
	}{
		"alg none":                     {sign(t, object{"alg": "none"}, claims, nil), jose.Algorithm},
		"alg None":                     {sign(t, object{"alg": "None", "kid": "rsa"}, claims, nil), jose.Algorithm},
		"no alg":                       {sign(t, object{"kid": "rsa"}, claims, keys().rsa), jose.Algorithm},
		"alg a number":                 {sign(t, object{"alg": 1, "kid": "rsa"}, claims, keys().rsa), jose.Form},
		"HS256 with the public key":    {sign(t, object{"alg": "HS256", "kid": "rsa"}, claims, der), jose.Algorithm},
		"HS256 with the secret":        {sign(t, object{"alg": "HS256"}, claims, []byte("the client's secret")), jose.Algorithm},
		"RS512":                        {sign(t, object{"alg": "RS512", "kid": "rsa"}, claims, keys().rsa), jose.Algorithm},
		"no signature":                 {parts[0] + "." + parts[1] + ".", jose.Signature},
		"a signature of another token": {parts[0] + "." + other + "." + parts[2], jose.Signature},
		"jwk of its own":               {sign(t, object{"alg": "ES256", "kid": "p256", "jwk": public(t, keys().evil.Public())}, claims, keys().evil), jose.Signature},
		"jwk of its own, no kid":       {sign(t, object{"alg": "ES256", "jwk": public(t, keys().evil.Public())}, claims, keys().evil), jose.Signature},
		"jku of its own":               {sign(t, object{"alg": "ES256", "kid": "evil", "jku": "https://evil.test/keys"}, claims, keys().evil), jose.UnknownKey},
		"unknown kid":                  {sign(t, object{"alg": "ES256", "kid": "new"}, claims, keys().p256), jose.UnknownKey},
		"empty kid":                    {sign(t, object{"alg": "ES256", "kid": ""}, claims, keys().p256), jose.UnknownKey},
		"kid a number":                 {sign(t, object{"alg": "ES256", "kid": 1}, claims, keys().p256), jose.Form},
		"another's key":                {sign(t, object{"alg": "ES256", "kid": "p256"}, claims, keys().evil), jose.Signature},
		"a key of another kind":        {sign(t, object{"alg": "ES256", "kid": "rsa"}, claims, keys().p256), jose.UnknownKey},
		"a key of another curve":       {sign(t, object{"alg": "ES384", "kid": "p256"}, claims, keys().p256), jose.UnknownKey},
		"critical extension":           {sign(t, object{"alg": "ES256", "kid": "p256", "crit": []string{"b64"}, "b64": false}, claims, keys().p256), jose.Critical},
		"critical null":                {sign(t, object{"alg": "ES256", "kid": "p256", "crit": nil}, claims, keys().p256), jose.Critical},
		"DPoP proof":                   {sign(t, object{"alg": "ES256", "kid": "p256", "typ": "dpop+jwt"}, claims, keys().p256), jose.Type},
		"access token":                 {sign(t, object{"alg": "ES256", "kid": "p256", "typ": "at+jwt"}, claims, keys().p256), jose.Type},
		"request object":               {sign(t, object{"alg": "ES256", "kid": "p256", "typ": "oauth-authz-req+jwt"}, claims, keys().p256), jose.Type},
		"JSON form":                    {`{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`, jose.Form},
		"white space":                  {" " + good, jose.Form},
		"a line at the end":            {good + "\n", jose.Form},
		"two tokens":                   {good + "." + good, jose.Form},
		"empty":                        {"", jose.Form},
		"dots":                         {strings.Repeat(".", 1<<20), jose.Form},
		"too long":                     {sign(t, object{"alg": "ES256", "kid": "p256"}, encode(t, changed(ordinaryClaims(), object{"x": strings.Repeat("x", 8<<10)})), keys().p256), jose.Form},
		"header with one member twice": {base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","alg":"ES256","kid":"p256"}`)) + "." + parts[1] + "." + parts[2], jose.Form},
	} {
		t.Run(name, func(t *testing.T) {
			id, until, err := proof.Assertion(c.token, expected(t))
			wantRefusal(t, err, c.check)
			if id != "" || !until.IsZero() {
				t.Errorf("it gives %q until %s", id, until)
			}
		})
	}
}

func TestOPR6ClaimsOfAssertionsThatDoNotFitAreRefused(t *testing.T) {
	second := func(d time.Duration) int64 { return now.Add(d).Unix() }
	for name, c := range map[string]struct {
		change object
		check  jose.Refusal
	}{
		"iss of another":              {object{"iss": "app_bbbb"}, proof.Issuer},
		"no iss":                      {object{"iss": without{}}, proof.Issuer},
		"iss a list":                  {object{"iss": []string{client}}, proof.Claims},
		"iss in capitals":             {object{"iss": strings.ToUpper(client)}, proof.Issuer},
		"sub of another":              {object{"sub": "app_bbbb"}, proof.Subject},
		"sub and iss of another":      {object{"sub": "app_bbbb", "iss": "app_bbbb"}, proof.Issuer},
		"no sub":                      {object{"sub": without{}}, proof.Subject},
		"aud of another":              {object{"aud": "https://evil.test"}, proof.Audience},
		"aud with a slash":            {object{"aud": issuer + "/"}, proof.Audience},
		"aud that begins alike":       {object{"aud": issuer + "/tokens"}, proof.Audience},
		"no aud":                      {object{"aud": without{}}, proof.Audience},
		"aud null":                    {object{"aud": nil}, proof.Audience},
		"aud empty":                   {object{"aud": []string{}}, proof.Audience},
		"aud empty text":              {object{"aud": ""}, proof.Audience},
		"aud ours and another's":      {object{"aud": []string{issuer, "https://evil.test"}}, proof.Audience},
		"aud another's and ours":      {object{"aud": []string{"https://evil.test", issuer}}, proof.Audience},
		"aud two of ours":             {object{"aud": []string{issuer, endpoint}}, proof.Audience},
		"aud with a number":           {object{"aud": []any{1}}, proof.Audience},
		"aud the client":              {object{"aud": client}, proof.Audience},
		"expired":                     {object{"exp": second(-time.Minute)}, proof.Expires},
		"lasts too long":              {object{"exp": second(6*time.Minute + time.Second)}, proof.Expires},
		"no exp":                      {object{"exp": without{}}, proof.Expires},
		"exp null":                    {object{"exp": nil}, proof.Expires},
		"exp a text":                  {object{"exp": "9999999999"}, proof.Claims},
		"exp beyond time":             {object{"exp": 1e300}, proof.Expires},
		"exp below zero":              {object{"exp": -1}, proof.Expires},
		"nbf to come":                 {object{"nbf": second(61 * time.Second)}, proof.NotBefore},
		"nbf beyond time":             {object{"nbf": 1e300}, proof.NotBefore},
		"iat to come":                 {object{"iat": second(61 * time.Second)}, proof.Issued},
		"iat beyond time":             {object{"iat": 1e300}, proof.Issued},
		"no jti":                      {object{"jti": without{}}, proof.TokenID},
		"jti empty":                   {object{"jti": ""}, proof.TokenID},
		"jti a number":                {object{"jti": 1}, proof.Claims},
		"jti too long":                {object{"jti": strings.Repeat("x", 256)}, proof.TokenID},
		"jti that does not print":     {object{"jti": "a\x00"}, proof.TokenID},
		"jti of another case":         {object{"jti": without{}, "JTI": "j1"}, proof.TokenID},
		"aud a list of one of ours":   {object{"aud": []string{endpoint}}, ""},
		"expired a moment ago":        {object{"exp": second(-59 * time.Second)}, ""},
		"lasts as long as it may":     {object{"exp": second(6 * time.Minute)}, ""},
		"nbf and iat of a fast clock": {object{"nbf": second(time.Minute), "iat": second(time.Minute)}, ""},
		"neither nbf nor iat":         {object{"iat": without{}}, ""},
		"a long jti":                  {object{"jti": strings.Repeat("x", 255)}, ""},
		"fractions":                   {object{"exp": float64(second(0)) + 0.5}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			id, until, err := proof.Assertion(assertion(t, c.change), expected(t))
			wantRefusal(t, err, c.check)
			if (err == nil) != (id != "") || err == nil && !until.After(now) {
				t.Errorf("it gives %q until %s", id, until)
			}
		})
	}
	for _, payload := range []string{`{"sub":"app_bbbb",` + string(encode(t, ordinaryClaims()))[1:], "[]", "", "{", `{"a":1}{}`} {
		_, _, err := proof.Assertion(sign(t, object{"alg": "ES256", "kid": "p256"}, []byte(payload), keys().p256), expected(t))
		wantRefusal(t, err, proof.Claims)
	}
	// Empty values never match.
	e := expected(t)
	e.ClientID = ""
	_, _, err := proof.Assertion(assertion(t, object{"iss": "", "sub": ""}), e)
	wantRefusal(t, err, proof.Issuer)
}

// An assertion is no longer valid when its id may be forgotten.
func TestOPR6AnAssertionDoesNotOutliveTheMemoryOfItsID(t *testing.T) {
	for _, ahead := range []time.Duration{-59 * time.Second, time.Minute, 6 * time.Minute} {
		token, e := assertion(t, object{"exp": now.Add(ahead).Unix()}), expected(t)
		_, until, err := proof.Assertion(token, e)
		wantRefusal(t, err, "")
		e.Now = until.Add(-time.Microsecond)
		_, _, err = proof.Assertion(token, e)
		wantRefusal(t, err, "")
		e.Now = until
		_, _, err = proof.Assertion(token, e)
		wantRefusal(t, err, proof.Expires)
	}
}

func TestOPR6KeysThatProveNothingAreNotTaken(t *testing.T) {
	claims := encode(t, ordinaryClaims())
	shared := []byte("0123456789abcdef0123456789abcdef")
	for name, c := range map[string]struct {
		keys  []jose.Key
		token string
		check jose.Refusal
	}{
		"weak RSA":               {[]jose.Key{{Key: keys().weak.Public(), KeyID: "k"}}, sign(t, object{"alg": "RS256", "kid": "k"}, claims, keys().weak), jose.UnknownKey},
		"for encryption":         {[]jose.Key{{Key: keys().rsa.Public(), KeyID: "k", Use: "enc"}}, sign(t, object{"alg": "RS256", "kid": "k"}, claims, keys().rsa), jose.UnknownKey},
		"for another algorithm":  {[]jose.Key{{Key: keys().rsa.Public(), KeyID: "k", Algorithm: "PS256"}}, sign(t, object{"alg": "RS256", "kid": "k"}, claims, keys().rsa), jose.UnknownKey},
		"its private half shown": {[]jose.Key{{Key: keys().rsa, KeyID: "k"}}, sign(t, object{"alg": "RS256", "kid": "k"}, claims, keys().rsa), jose.UnknownKey},
		"symmetric":              {[]jose.Key{{Key: shared, KeyID: "k"}}, sign(t, object{"alg": "HS256", "kid": "k"}, claims, shared), jose.Algorithm},
		"P-521":                  {[]jose.Key{{Key: keys().p521.Public(), KeyID: "k"}}, sign(t, object{"alg": "ES256", "kid": "k"}, claims, keys().p521), jose.UnknownKey},
		"none":                   {nil, sign(t, object{"alg": "RS256"}, claims, keys().rsa), jose.UnknownKey},
		"two fit, none is named": {[]jose.Key{{Key: keys().rsa.Public()}, {Key: keys().foreign.Public()}}, sign(t, object{"alg": "RS256"}, claims, keys().rsa), jose.UnknownKey},
		"two of one id, signed by a third": {[]jose.Key{{Key: keys().rsa.Public(), KeyID: "k"}, {Key: keys().foreign.Public(), KeyID: "k"}},
			sign(t, object{"alg": "RS256", "kid": "k"}, claims, newRSA(2048)), jose.Signature},
		"two of one id": {[]jose.Key{{Key: keys().foreign.Public(), KeyID: "k"}, {Key: keys().rsa.Public(), KeyID: "k"}},
			sign(t, object{"alg": "RS256", "kid": "k"}, claims, keys().rsa), ""},
		"another that does not fit": {[]jose.Key{{Key: keys().p256.Public()}, {Key: keys().rsa.Public()}}, sign(t, object{"alg": "RS256"}, claims, keys().rsa), ""},
	} {
		t.Run(name, func(t *testing.T) {
			e := expected(t)
			e.Keys = c.keys
			_, _, err := proof.Assertion(c.token, e)
			wantRefusal(t, err, c.check)
		})
	}
}

func TestWhoseAnAssertionSaysToBe(t *testing.T) {
	payload := func(text string) string { return "x." + base64.RawURLEncoding.EncodeToString([]byte(text)) + ".y" }
	for token, want := range map[string]string{
		payload(`{"sub":"app_x"}`): "app_x", payload(`{"sub":1}`): "", payload(`{}`): "", payload(`[]`): "", payload(`{"sub":"a","sub":"b"}`): "",
		payload(`{"sub":"a\u0000"}`): "", payload(`{"sub":"é"}`): "", payload(`{"sub":"` + strings.Repeat("x", 256) + `"}`): "",
		payload(`{"sub":"a"}`) + ".": "", "": "", "..": "", "a.b": "", "x.!.y": "", strings.Repeat(".", 1<<20): "", payload(`{"sub":"a"}`) + strings.Repeat("y", 8<<10): "",
	} {
		if got := proof.ClientOf(token); got != want {
			t.Errorf("%.40s: %q, want %q", token, got, want)
		}
	}
}

func TestKeySetsThatAreRegistered(t *testing.T) {
	p256 := jwk(t, jose.Key{Key: keys().p256.Public(), KeyID: "k", Use: "sig", Algorithm: "ES256"}, nil)
	var many []object
	for range 10 {
		many = append(many, p256)
	}
	set := func(list ...object) string { return string(encode(t, object{"keys": list})) }
	for name, c := range map[string]struct {
		text  string
		check jose.Refusal
	}{
		"one":               {set(p256), ""},
		"ten":               {set(many...), ""},
		"eleven":            {set(append(many, p256)...), jose.KeyCount},
		"none":              {`{"keys":[]}`, jose.KeyCount},
		"a key alone":       {string(encode(t, p256)), jose.KeySetForm},
		"PEM":               {"-----BEGIN PUBLIC KEY-----", jose.KeySetForm},
		"empty":             {"", jose.KeySetForm},
		"null":              {"null", jose.KeySetForm},
		"keys null":         {`{"keys":null}`, jose.KeySetForm},
		"keys twice":        {`{"keys":[],"keys":[]}`, jose.KeySetForm},
		"a key of text":     {`{"keys":["x"]}`, jose.KeySetForm},
		"a key of null":     {`{"keys":[null]}`, jose.KeyKind},
		"too long":          {set(p256) + strings.Repeat(" ", 16<<10), jose.KeySetLength},
		"private EC":        {set(p256, jwk(t, jose.Key{Key: keys().p256}, nil)), jose.PrivateKey},
		"private RSA":       {set(jwk(t, jose.Key{Key: keys().rsa}, nil)), jose.PrivateKey},
		"private Ed25519":   {set(jwk(t, jose.Key{Key: keys().ed}, nil)), jose.PrivateKey},
		"a factor alone":    {set(changed(public(t, keys().rsa.Public()), object{"p": "AQ"})), jose.PrivateKey},
		"d of null":         {set(changed(p256, object{"d": nil})), jose.PrivateKey},
		"symmetric":         {set(object{"kty": "oct", "k": "c2VjcmV0"}), jose.SymmetricKey},
		"for encryption":    {set(changed(p256, object{"use": "enc"})), jose.KeyUse},
		"signs only":        {set(changed(p256, object{"key_ops": []string{"sign"}})), jose.KeyUse},
		"verifies":          {set(changed(p256, object{"key_ops": []string{"verify"}})), ""},
		"no kind":           {set(object{"kid": "x"}), jose.KeyKind},
		"unknown kind":      {set(object{"kty": "XYZ"}), jose.KeyKind},
		"X25519":            {set(object{"kty": "OKP", "crv": "X25519", "x": strings.Repeat("A", 43)}), jose.KeyKind},
		"P-521":             {set(public(t, keys().p521.Public())), jose.KeyKind},
		"not on its curve":  {set(changed(p256, object{"x": strings.Repeat("A", 43)})), jose.KeyKind},
		"of HS256":          {set(changed(p256, object{"alg": "HS256"})), jose.KeyKind},
		"of RS512":          {set(changed(public(t, keys().rsa.Public()), object{"alg": "RS512"})), jose.KeyKind},
		"weak RSA":          {set(public(t, keys().weak.Public())), jose.WeakKey},
		"RSA, exponent one": {set(changed(public(t, keys().rsa.Public()), object{"e": "AQ"})), jose.KeyKind},
	} {
		t.Run(name, func(t *testing.T) {
			set, err := proof.ParseKeySet(c.text)
			wantRefusal(t, err, c.check)
			if (err == nil) != (len(set) > 0) || slices.ContainsFunc(set, func(k jose.Key) bool { return !k.IsPublic() }) {
				t.Errorf("%+v", set)
			}
		})
	}
}

// A token is read by our own parser of headers and by go-jose. What Wycheproof calls invalid must
// be refused.
func TestWycheproofSignatures(t *testing.T) {
	path := filepath.Join("..", "..", "..", "..", "shared", "data", "jose", "json_web_signature_test.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Skipf("left out: %s is missing beside the checkout", path)
	}
	var vectors struct {
		TestGroups []struct {
			Private, Public json.RawMessage
			Tests           []struct {
				ID      int `json:"tcId"`
				Comment string
				JWS     json.RawMessage
				Result  string
			}
		}
	}
	if err := json.Unmarshal(text, &vectors); err != nil {
		t.Fatal(err)
	}
	// Equal to a valid one (defects of the vectors), salts of another length, and unused bits;
	// none of them is another message (shared/data/README.md).
	harmless := []int{367, 370, 281, 282, 283, 284, 285, 286, 374}
	signed := 0
	for _, g := range vectors.TestGroups {
		key := g.Public
		if key == nil {
			key = g.Private
		}
		e := expected(t)
		if e.Keys, err = proof.ParseKeySet(`{"keys":[` + string(key) + `]}`); err != nil {
			continue
		}
		for _, v := range g.Tests {
			var compact string
			if json.Unmarshal(v.JWS, &compact) != nil {
				compact = string(v.JWS)
			}
			_, _, err := proof.Assertion(compact, e)
			if err != proof.Claims && err != proof.Issuer { //nolint:errorlint // Nothing is wrapped; these come after the signature.
				continue
			}
			signed++
			if v.Result != "valid" && !slices.Contains(harmless, v.ID) {
				t.Errorf("%d is believed: %s", v.ID, v.Comment)
			}
		}
	}
	if signed < 20 {
		t.Errorf("only %d are signed: this test looks past them", signed)
	}
}

// Of any input, only assertions of the client are accepted.
func FuzzAssertion(f *testing.F) {
	head := object{"alg": "EdDSA", "kid": "ed"}
	good := sign(f, head, encode(f, ordinaryClaims()), keys().ed)
	f.Add(good)
	f.Add(sign(f, object{"alg": "none"}, encode(f, ordinaryClaims()), nil))
	f.Add(sign(f, changed(head, object{"crit": []string{"x"}}), encode(f, ordinaryClaims()), keys().ed))
	f.Add(sign(f, head, encode(f, changed(ordinaryClaims(), object{"aud": []string{issuer, "https://evil.test"}})), keys().ed))
	f.Add(strings.Replace(good, ".", "..", 1))
	end := strings.LastIndex(good, ".")
	f.Add(good[:end-1] + string(good[end-1]+1) + good[end:]) // other last bits of the payload, which a lenient reader skips
	e := expected(f)
	if _, _, err := proof.Assertion(good, e); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, token string) {
		id, until, err := proof.Assertion(token, e)
		if err != nil {
			expect.Equal(t, "id of what is refused", id, "")
			expect.Equal(t, "end of what is refused", until, time.Time{})
			return
		}
		expect.Equal(t, "id", id, "j1")
		expect.Equal(t, "client", proof.ClientOf(token), client)
	})
}

// Accepted key sets hold few, strong and public keys, and can be read again as they are stored.
func FuzzParseKeySet(f *testing.F) {
	f.Add(string(encode(f, object{"keys": []object{public(f, keys().p256.Public()), public(f, keys().ed.Public())}})))
	f.Add(string(encode(f, object{"keys": []object{jwk(f, jose.Key{Key: keys().p256}, nil)}})))
	f.Add(string(encode(f, object{"keys": []object{jwk(f, jose.Key{Key: keys().rsa.Public(), KeyID: "é", Use: "sig"}, nil)}})))
	f.Fuzz(func(t *testing.T, text string) {
		set, err := proof.ParseKeySet(text)
		if err != nil {
			return
		}
		if len(set) == 0 || len(set) > 10 || slices.ContainsFunc(set, func(k jose.Key) bool { return !k.IsPublic() || !k.Valid() }) {
			t.Fatalf("%q gives %+v", text, set)
		}
		if again, err := proof.ParseKeySet(string(encode(t, jose.KeySet{Keys: set}))); err != nil || len(again) != len(set) {
			t.Fatalf("%q is kept as %s: %v", text, encode(t, set), err)
		}
	})
}

// What may have been issued before a restore is refused: whether it came in before is not remembered.
func TestAnAssertionOfBeforeARestoreIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change object
		since  time.Duration // from now
		check  jose.Refusal
	}{
		"issued more than a minute after":                  {nil, -time.Minute, ""},
		"issued within a minute, perhaps by a clock ahead": {nil, -time.Minute + time.Second, proof.Issued},
		"issued before":                       {nil, time.Second, proof.Issued},
		"without iat, which may be of before": {object{"iat": without{}}, -5*time.Minute + time.Second, proof.Issued},
		"without iat, which cannot be":        {object{"iat": without{}}, -5 * time.Minute, ""},
	} {
		e := expected(t)
		e.Since = now.Add(c.since)
		_, _, err := proof.Assertion(assertion(t, c.change), e)
		t.Run(name, func(t *testing.T) { wantRefusal(t, err, c.check) })
	}
}
