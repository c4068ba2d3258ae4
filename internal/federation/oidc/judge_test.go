package oidc_test

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"parvis/internal/expect"
	"parvis/internal/federation/oidc"
	"parvis/internal/upstream"
)

func TestAnIDTokenOfEachAlgorithmIsBelieved(t *testing.T) {
	for name, key := range map[string]struct {
		kid string
		key any
	}{"RS256": {"rsa", keys().rsa}, "PS256": {"rsa", keys().rsa}, "ES256": {"ec", keys().ec}, "EdDSA": {"ed", keys().ed}} {
		for _, header := range []object{
			{"alg": name, "kid": key.kid}, {"alg": name, "kid": key.kid, "typ": "JWT"}, {"alg": name}, // the only one that fits
			{"alg": name, "kid": key.kid, "x5t": "a name of its certificate"},
		} {
			said, trace, err := oidc.Judge(sign(t, header, encode(t, ordinaryClaims()), key.key), expected(t))
			wantAccepted(t, trace, err)
			of := expect.Case(t, "%s", name)
			expect.Equal(of, "Subject", said.Subject, "ann")
			expect.Equal(of, "Issuer", said.Issuer, issuer)
			if !said.EmailVerified || !slices.Equal(said.Values("email"), []string{"ann@your-company.com"}) {
				t.Errorf("%s: %+v", name, said)
			}
		}
	}
}

func TestWhatAnIDTokenSaysIsReadAsItStands(t *testing.T) {
	want := expected(t)
	want.AccessToken, want.ACR, want.Since = "of this very answer", []string{"low", "high"}, now.Add(-time.Minute)
	sum := sha256.Sum256([]byte(want.AccessToken))
	payload := []byte(`{"iss":"` + issuer + `","zoneinfo":"Europe/Zurich","aud":["parvis","another"],"azp":"parvis","sub":"A|b c","nonce":"` + nonce + `",
		"exp":1795400000,"iat":` + string(encode(t, now.Unix())) + `.5,"nbf":` + string(encode(t, now.Unix())) + `,"auth_time":` + string(encode(t, now.Unix())) + `,
		"acr":"high","amr":["pwd","otp"],"sid":"s1","at_hash":"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `",
		"groups":["a","b\u0000"],"age":42,"staff":true,"address":{"country":"CH"},"mixed":[["x"]],"none":null,"name":"Zoë"}`)
	said, trace, err := oidc.Judge(sign(t, object{"alg": "ES256", "kid": "ec"}, payload, keys().ec), want)
	wantAccepted(t, trace, err)
	if !reflect.DeepEqual(said, upstream.Assertion{
		Issuer: issuer, Subject: "A|b c", ACR: "high", AMR: []string{"pwd", "otp"}, SessionIndex: "s1", AuthTime: now,
		Attributes: []upstream.Attribute{
			{Name: "zoneinfo", Values: []string{"Europe/Zurich"}}, {Name: "groups", Values: []string{"a", "b\uFFFD"}},
			{Name: "age", Values: []string{"42"}}, {Name: "staff", Values: []string{"true"}}, {Name: "name", Values: []string{"Zoë"}},
		},
	}) {
		t.Errorf("%+v", said)
	}
}

func TestRPO3ForgedSignaturesAreRefused(t *testing.T) {
	claims := encode(t, ordinaryClaims())
	public, err := x509.MarshalPKIXPublicKey(keys().rsa.Public())
	if err != nil {
		t.Fatal(err)
	}
	good := sign(t, object{"alg": "RS256", "kid": "rsa"}, claims, keys().rsa)
	parts := strings.Split(good, ".")
	encrypter, err := jose.NewEncrypter(jose.A128GCM, jose.Recipient{Algorithm: jose.RSA_OAEP, Key: keys().rsa.Public()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := encrypter.Encrypt(claims)
	if err != nil {
		t.Fatal(err)
	}
	encrypted, err := sealed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	another := base64.RawURLEncoding.EncodeToString(encode(t, changed(ordinaryClaims(), object{"sub": "bob"})))
	for name, c := range map[string]struct{ token, check string }{
		"alg none":                     {sign(t, object{"alg": "none"}, claims, nil), "algorithm"},
		"alg None":                     {sign(t, object{"alg": "None", "kid": "rsa"}, claims, nil), "algorithm"},
		"alg NONE, signed":             {sign(t, object{"alg": "NONE", "kid": "rsa"}, claims, keys().rsa), "algorithm"},
		"no alg":                       {sign(t, object{"kid": "rsa"}, claims, keys().rsa), "algorithm"},
		"alg a number":                 {sign(t, object{"alg": 1, "kid": "rsa"}, claims, keys().rsa), "token_form"}, // as for any token (decision 0050)
		"type a number":                {sign(t, object{"alg": "RS256", "kid": "rsa", "typ": 1}, claims, keys().rsa), "token_form"},
		"kid a number":                 {sign(t, object{"alg": "RS256", "kid": 1}, claims, keys().rsa), "token_form"},
		"header that is not UTF-8":     {base64.RawURLEncoding.EncodeToString([]byte("{\"alg\":\"RS256\",\"kid\":\"rsa\",\"x\":\"\xff\"}")) + "." + parts[1] + "." + parts[2], "token_form"},
		"critical null":                {sign(t, object{"alg": "RS256", "kid": "rsa", "crit": nil}, claims, keys().rsa), "critical"},
		"HS256 with the public key":    {sign(t, object{"alg": "HS256", "kid": "rsa"}, claims, public), "algorithm"},
		"HS256 with the secret":        {sign(t, object{"alg": "HS256"}, claims, []byte("the client's secret")), "algorithm"},
		"HS256 with an empty key":      {sign(t, object{"alg": "HS256"}, claims, []byte{}), "algorithm"},
		"an algorithm not pinned":      {sign(t, object{"alg": "RS512", "kid": "rsa"}, claims, keys().rsa), "algorithm"},
		"no signature":                 {parts[0] + "." + parts[1] + ".", "signature"},
		"a signature of another token": {parts[0] + "." + another + "." + parts[2], "signature"},
		"jwk of its own":               {sign(t, object{"alg": "RS256", "kid": "rsa", "jwk": jwkHeader(t, keys().foreign.Public())}, claims, keys().foreign), "signature"},
		"jwk of its own, no kid":       {sign(t, object{"alg": "RS256", "jwk": jwkHeader(t, keys().foreign.Public())}, claims, keys().foreign), "signature"},
		"jku of its own":               {sign(t, object{"alg": "RS256", "kid": "evil", "jku": "https://evil.test/keys"}, claims, keys().foreign), "key"},
		"x5u of its own":               {sign(t, object{"alg": "RS256", "kid": "evil", "x5u": "https://evil.test/chain"}, claims, keys().foreign), "key"},
		"unknown kid":                  {sign(t, object{"alg": "RS256", "kid": "new"}, claims, keys().rsa), "key"},
		"kid that is a path":           {sign(t, object{"alg": "RS256", "kid": "../../dev/null"}, claims, []byte{}), "key"},
		"another issuer's key":         {sign(t, object{"alg": "RS256", "kid": "rsa"}, claims, keys().foreign), "signature"},
		"a key of another kind":        {sign(t, object{"alg": "ES256", "kid": "rsa"}, claims, keys().ec), "key"},
		"critical extension":           {sign(t, object{"alg": "RS256", "kid": "rsa", "crit": []string{"b64"}, "b64": false}, claims, keys().rsa), "critical"},
		"access token":                 {sign(t, object{"alg": "RS256", "kid": "rsa", "typ": "at+jwt"}, claims, keys().rsa), "token_type"},
		"access token in full":         {sign(t, object{"alg": "RS256", "kid": "rsa", "typ": "application/at+jwt"}, claims, keys().rsa), "token_type"},
		"logout token":                 {sign(t, object{"alg": "RS256", "kid": "rsa", "typ": "logout+jwt"}, claims, keys().rsa), "token_type"},
		"JWE":                          {encrypted, "token_form"},
		"JSON form":                    {`{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`, "token_form"},
		"white space":                  {" " + good, "token_form"},
		"a line at the end":            {good + "\n", "token_form"},
		"two tokens":                   {good + "." + good, "token_form"},
		"empty":                        {"", "token_form"},
		"dots":                         {strings.Repeat(".", 1<<20), "token_form"},
		"absurd header":                {sign(t, object{"alg": "RS256", "kid": strings.Repeat("x", 1<<20)}, claims, keys().rsa), "token_form"},
		"too long":                     {sign(t, object{"alg": "RS256", "kid": "rsa"}, encode(t, changed(ordinaryClaims(), object{"x": strings.Repeat("x", 1<<16)})), keys().rsa), "token_form"},
		"header with one member twice": {base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","alg":"RS256"}`)) + "." + parts[1] + "." + parts[2], "token_form"},
	} {
		t.Run(name, func(t *testing.T) {
			said, trace, err := oidc.Judge(c.token, expected(t))
			wantRefusal(t, c.check, trace, err)
			if !reflect.DeepEqual(said, upstream.Assertion{}) {
				t.Errorf("it says %+v", said)
			}
		})
	}
}

func TestRPO3NoAlgorithmThatProvesNothingCanBePinned(t *testing.T) {
	for _, algorithm := range []string{"none", "HS256", "RS1", "", "*"} {
		want := expected(t)
		want.Algorithms = []string{algorithm}
		_, trace, err := oidc.Judge(sign(t, object{"alg": algorithm}, encode(t, ordinaryClaims()), []byte{}), want)
		wantRefusal(t, "algorithm", trace, err)
	}
}

func TestRPO3KeysThatProveNothingAreNotTaken(t *testing.T) {
	claims := encode(t, ordinaryClaims())
	one := func(k jose.JSONWebKey) oidc.Keys { return published(t, k) }
	for name, c := range map[string]struct {
		keys  oidc.Keys
		token string
	}{
		"weak RSA":               {one(jose.JSONWebKey{Key: keys().weak.Public(), KeyID: "k"}), sign(t, object{"alg": "RS256", "kid": "k"}, claims, keys().weak)},
		"for encryption":         {one(jose.JSONWebKey{Key: keys().rsa.Public(), KeyID: "k", Use: "enc"}), sign(t, object{"alg": "RS256", "kid": "k"}, claims, keys().rsa)},
		"for another algorithm":  {one(jose.JSONWebKey{Key: keys().rsa.Public(), KeyID: "k", Algorithm: "PS256"}), sign(t, object{"alg": "RS256", "kid": "k"}, claims, keys().rsa)},
		"its private half shown": {one(jose.JSONWebKey{Key: keys().rsa, KeyID: "k"}), sign(t, object{"alg": "RS256", "kid": "k"}, claims, keys().rsa)},
		"symmetric":              {one(jose.JSONWebKey{Key: []byte("0123456789abcdef0123456789abcdef"), KeyID: "k"}), sign(t, object{"alg": "HS256", "kid": "k"}, claims, []byte("0123456789abcdef0123456789abcdef"))},
		"two fit, none is named": {published(t, jose.JSONWebKey{Key: keys().rsa.Public(), KeyID: "a"}, jose.JSONWebKey{Key: keys().foreign.Public(), KeyID: "b"}),
			sign(t, object{"alg": "RS256"}, claims, keys().rsa)},
	} {
		t.Run(name, func(t *testing.T) {
			want := expected(t)
			want.Keys = c.keys
			if _, _, err := oidc.Judge(c.token, want); err == nil {
				t.Error("it is believed")
			}
		})
	}
	// Either of two keys with one id may have signed, and no other.
	want := expected(t)
	want.Keys = published(t, jose.JSONWebKey{Key: keys().foreign.Public(), KeyID: "rsa"}, jose.JSONWebKey{Key: keys().rsa.Public(), KeyID: "rsa"})
	_, trace, err := oidc.Judge(token(t, nil), want)
	wantAccepted(t, trace, err)
	_, trace, err = oidc.Judge(sign(t, object{"alg": "RS256", "kid": "rsa"}, claims, newRSA(2048)), want)
	wantRefusal(t, "signature", trace, err)
}

func TestOfALargeKeySetTheFirstHundredAreTaken(t *testing.T) {
	var list []jose.JSONWebKey
	for n := range 100 {
		list = append(list, jose.JSONWebKey{Key: keys().ec.Public(), KeyID: fmt.Sprint(n)})
	}
	want := expected(t)
	want.Keys = published(t, append(list, jose.JSONWebKey{Key: keys().ec.Public(), KeyID: "100"})...)
	for kid, check := range map[string]string{"0": "", "99": "", "100": "key"} {
		_, trace, err := oidc.Judge(sign(t, object{"alg": "ES256", "kid": kid}, encode(t, ordinaryClaims()), keys().ec), want)
		if check == "" {
			wantAccepted(t, trace, err)
		} else {
			wantRefusal(t, check, trace, err)
		}
	}
}

func TestKeysSurviveBeingKept(t *testing.T) {
	want := expected(t)
	text := encode(t, want.Keys)
	want.Keys = oidc.Keys{}
	if err := json.Unmarshal(text, &want.Keys); err != nil || !want.Keys.FetchedAt.Equal(now) {
		t.Fatal(want.Keys.FetchedAt, err)
	}
	_, trace, err := oidc.Judge(token(t, nil), want)
	wantAccepted(t, trace, err)
}

func TestRPO3ClaimsThatDoNotFitAreRefused(t *testing.T) {
	second := func(d time.Duration) int64 { return now.Add(d).Unix() }
	for name, c := range map[string]struct {
		change object
		check  string
	}{
		"iss of another":                      {object{"iss": "https://evil.test"}, "issuer"},
		"iss with a slash":                    {object{"iss": issuer + "/"}, "issuer"},
		"iss in capitals":                     {object{"iss": strings.ToUpper(issuer)}, "issuer"},
		"no iss":                              {object{"iss": without{}}, "issuer"},
		"iss a list":                          {object{"iss": []string{issuer}}, "issuer"},
		"aud of another client":               {object{"aud": "another"}, "audience"},
		"aud that begins alike":               {object{"aud": client + "2"}, "audience"},
		"no aud":                              {object{"aud": without{}}, "audience"},
		"aud empty":                           {object{"aud": []string{}}, "audience"},
		"aud with a number":                   {object{"aud": []any{client, 1}}, "audience"},
		"aud with null":                       {object{"aud": []any{client, nil}}, "audience"},
		"aud an object":                       {object{"aud": object{client: client}}, "audience"},
		"two audiences, nobody authorized":    {object{"aud": []string{client, "another"}}, "authorized_party"},
		"two audiences, the other authorized": {object{"aud": []string{client, "another"}, "azp": "another"}, "authorized_party"},
		"azp of another":                      {object{"azp": "another"}, "authorized_party"},
		"azp null":                            {object{"azp": nil}, "authorized_party"},
		"expired":                             {object{"exp": second(-time.Minute)}, "expires"},
		"no exp":                              {object{"exp": without{}}, "expires"},
		"exp null":                            {object{"exp": nil}, "expires"},
		"exp a text":                          {object{"exp": "9999999999"}, "expires"},
		"exp beyond time":                     {object{"exp": 1e300}, "expires"},
		"exp below zero":                      {object{"exp": -1}, "expires"},
		"iat to come":                         {object{"iat": second(61 * time.Second)}, "issued"},
		"iat long ago":                        {object{"iat": second(-11 * time.Minute)}, "issued"},
		"no iat":                              {object{"iat": without{}}, "issued"},
		"nbf to come":                         {object{"nbf": second(61 * time.Second)}, "not_before"},
		"nbf a text":                          {object{"nbf": "0"}, "not_before"},
		"nonce of another":                    {object{"nonce": "another"}, "nonce"},
		"no nonce":                            {object{"nonce": without{}}, "nonce"},
		"nonce a list":                        {object{"nonce": []string{nonce}}, "nonce"},
		"auth_time to come":                   {object{"auth_time": second(time.Hour)}, "authenticated"},
		"at_hash of another":                  {object{"at_hash": "77QmUPtjPfzWtF2AnpK9RQ"}, "access_token_hash"},
		"at_hash null":                        {object{"at_hash": nil}, "access_token_hash"},
		"no sub":                              {object{"sub": without{}}, "subject"},
		"sub empty":                           {object{"sub": ""}, "subject"},
		"sub null":                            {object{"sub": nil}, "subject"},
		"sub a number":                        {object{"sub": 1}, "subject"},
		"sub a list":                          {object{"sub": []string{"ann"}}, "subject"},
		"sub too long":                        {object{"sub": strings.Repeat("x", 256)}, "subject"},
		"sub that does not print":             {object{"sub": "ann\x00"}, "subject"},
		"sub beyond ASCII, which looks alike": {object{"sub": "аnn"}, "subject"},
	} {
		t.Run(name, func(t *testing.T) {
			want := expected(t)
			want.AccessToken = "token"
			_, trace, err := oidc.Judge(token(t, c.change), want)
			wantRefusal(t, c.check, trace, err)
			for _, one := range trace.Checks {
				if strings.Contains(one.Found+one.Expected, nonce) {
					t.Errorf("the trace shows the nonce: %+v", one)
				}
			}
		})
	}
	// The clocks may differ by a minute.
	for _, change := range []object{{"exp": second(-59 * time.Second)}, {"iat": second(time.Minute)}, {"nbf": second(time.Minute)}, {"sub": strings.Repeat("x", 255)}} {
		_, trace, err := oidc.Judge(token(t, change), expected(t))
		wantAccepted(t, trace, err)
	}
	ambiguous := `{"sub":"bob",` + string(encode(t, ordinaryClaims()))[1:]
	for _, payload := range []string{ambiguous, "[]", "null", "", "{", `{"a":1}{}`, "{\"sub\":\"\xff\"}"} {
		_, trace, err := oidc.Judge(sign(t, object{"alg": "RS256", "kid": "rsa"}, []byte(payload), keys().rsa), expected(t))
		wantRefusal(t, "claims", trace, err)
	}
	// An empty expectation never matches.
	for name, spoil := range map[string]func(*oidc.Expected){
		"issuer": func(e *oidc.Expected) { e.Issuer = "" }, "audience": func(e *oidc.Expected) { e.ClientID = "" }, "nonce": func(e *oidc.Expected) { e.Nonce = "" },
	} {
		want := expected(t)
		spoil(&want)
		change := object{map[string]string{"issuer": "iss", "audience": "aud", "nonce": "nonce"}[name]: ""}
		_, trace, err := oidc.Judge(token(t, change), want)
		wantRefusal(t, name, trace, err)
	}
}

func TestFreshProofAndStrengthAreDemanded(t *testing.T) {
	want := expected(t)
	want.Since, want.ACR = now.Add(-2*time.Minute), []string{"high"}
	for name, c := range map[string]struct {
		change object
		check  string
	}{
		"no auth_time":     {object{"acr": "high"}, "authenticated"},
		"proved before":    {object{"acr": "high", "auth_time": now.Add(-4 * time.Minute).Unix()}, "authenticated"},
		"auth_time a text": {object{"acr": "high", "auth_time": "1795348800"}, "authenticated"},
		"no acr":           {object{"auth_time": now.Unix()}, "acr"},
		"lower acr":        {object{"auth_time": now.Unix(), "acr": "low"}, "acr"},
		"several acr":      {object{"auth_time": now.Unix(), "acr": []string{"high"}}, "acr"},
	} {
		t.Run(name, func(t *testing.T) {
			_, trace, err := oidc.Judge(token(t, c.change), want)
			wantRefusal(t, c.check, trace, err)
		})
	}
	_, trace, err := oidc.Judge(token(t, object{"acr": "high", "auth_time": now.Add(-time.Minute).Unix()}), want)
	wantAccepted(t, trace, err)
}

func TestEntrasTenantIsTheOneThatWasNamed(t *testing.T) {
	const tenant = "9122040d-6c67-4c5b-b112-36a304b66dad"
	want := expected(t)
	want.Tenant = tenant
	for _, change := range []object{nil, {"tid": "another"}, {"tid": []string{tenant}}} {
		_, trace, err := oidc.Judge(token(t, change), want)
		wantRefusal(t, "tenant", trace, err)
	}
	_, trace, err := oidc.Judge(token(t, object{"tid": tenant}), want)
	wantAccepted(t, trace, err)
}

func TestRPO4OnlyTheBooleanTrueVouchesForAnAddress(t *testing.T) {
	for name, c := range map[string]object{
		"absent": {"email_verified": without{}}, "false": {"email_verified": false}, "a text": {"email_verified": "true"}, "one": {"email_verified": 1},
		"a list": {"email_verified": []bool{true}}, "null": {"email_verified": nil}, "another case": {"email_verified": without{}, "Email_Verified": true},
		"no address": {"email": without{}}, "several addresses": {"email": []string{"ann@your-company.com", "admin@your-company.com"}},
		"Entra's own claim": {"email_verified": without{}, "xms_edov": true},
	} {
		said, trace, err := oidc.Judge(token(t, c), expected(t))
		wantAccepted(t, trace, err)
		if said.EmailVerified {
			t.Errorf("%s vouches", name)
		}
	}
	// A claim whose name differs by case, which people may set, is not taken for the address.
	said, _, _ := oidc.Judge(token(t, object{"EMAIL": "admin@your-company.com", "Email": []string{"admin@your-company.com"}}), expected(t))
	if got := said.Values("email"); !slices.Equal(got, []string{"ann@your-company.com"}) {
		t.Errorf("the address is %q", got)
	}
}

func TestRPO5SubjectsAreKeptByteByByte(t *testing.T) {
	for _, sub := range []string{"ann", "Ann", "ANN ", " ann", "1", "ann@your-company.com", "user_00000000000000000000000000"} {
		said, trace, err := oidc.Judge(token(t, object{"sub": sub}), expected(t))
		wantAccepted(t, trace, err)
		if said.Subject != sub {
			t.Errorf("%q became %q", sub, said.Subject)
		}
	}
}

func TestLogoutTokens(t *testing.T) {
	event := object{"http://schemas.openid.net/event/backchannel-logout": object{}}
	claims := object{"iss": issuer, "aud": client, "iat": now.Unix(), "exp": now.Add(2 * time.Minute).Unix(), "jti": "j1", "sid": "s1", "sub": "ann", "events": event}
	head := object{"alg": "RS256", "kid": "rsa", "typ": "logout+jwt"}
	for name, c := range map[string]struct {
		header, change object
		check          string
	}{
		"ordinary":               {nil, nil, ""},
		"session alone":          {nil, object{"sub": without{}}, ""},
		"person alone":           {nil, object{"sid": without{}}, ""},
		"type in full":           {object{"typ": "application/logout+jwt"}, nil, ""},
		"no type":                {object{"typ": without{}}, nil, "token_type"},
		"type of an ID token":    {object{"typ": "JWT"}, nil, "token_type"},
		"unsigned":               {object{"alg": "none"}, nil, "algorithm"},
		"another issuer's":       {nil, object{"iss": "https://evil.test"}, "issuer"},
		"for another client":     {nil, object{"aud": "another"}, "audience"},
		"expired":                {nil, object{"exp": now.Add(-time.Hour).Unix()}, "expires"},
		"no exp":                 {nil, object{"exp": without{}}, "expires"},
		"made long ago":          {nil, object{"iat": now.Add(-time.Hour).Unix()}, "issued"},
		"no events":              {nil, object{"events": without{}}, "events"},
		"another event":          {nil, object{"events": object{"http://schemas.openid.net/event/other": object{}}}, "events"},
		"an event that is none":  {nil, object{"events": object{"http://schemas.openid.net/event/backchannel-logout": true}}, "events"},
		"events as a list":       {nil, object{"events": []string{"http://schemas.openid.net/event/backchannel-logout"}}, "events"},
		"with a nonce":           {nil, object{"nonce": nonce}, "no_nonce"},
		"with a nonce of null":   {nil, object{"nonce": nil}, "no_nonce"},
		"of nobody":              {nil, object{"sid": without{}, "sub": without{}}, "subject"},
		"of a number":            {nil, object{"sub": 1}, "subject"},
		"without an id":          {nil, object{"jti": without{}}, "token_id"},
		"with an id of a number": {nil, object{"jti": 1}, "token_id"},
	} {
		t.Run(name, func(t *testing.T) {
			token := sign(t, changed(head, c.header), encode(t, changed(claims, c.change)), keys().rsa)
			l, trace, err := oidc.JudgeLogoutToken(token, expected(t))
			if c.check != "" {
				wantRefusal(t, c.check, trace, err)
				return
			}
			wantAccepted(t, trace, err)
			expect.Equal(t, "ID", l.ID, "j1")
			if l.Session == "" && l.Subject == "" || !l.Until.After(now) {
				t.Errorf("%+v", l)
			}
		})
	}
	if _, trace, err := oidc.JudgeLogoutToken(token(t, nil), expected(t)); err == nil {
		t.Errorf("an ID token logs out: %+v", trace)
	}
}

// The judge reads the header itself and leaves the rest to go-jose: it must not believe what Wycheproof
// calls invalid.
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
	// These equal a valid one (defects of the vectors), have salts of another length, or differ in bits
	// that nobody reads; none is another message (shared/data/README.md).
	harmless := []int{367, 370, 281, 282, 283, 284, 285, 286, 374}
	signed := 0
	for _, g := range vectors.TestGroups {
		key := g.Public
		if key == nil {
			key = g.Private
		}
		var k oidc.Keys
		if err := json.Unmarshal(slices.Concat([]byte(`{"keys":[`), key, []byte(`]}`)), &k); err != nil {
			t.Fatal(err)
		}
		for _, v := range g.Tests {
			var compact string
			if json.Unmarshal(v.JWS, &compact) != nil {
				compact = string(v.JWS)
			}
			want := expected(t)
			want.Keys, want.Algorithms = k, []string{"RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA"}
			_, trace, err := oidc.Judge(compact, want)
			verified := slices.ContainsFunc(trace.Checks, func(c upstream.Check) bool { return c.Name == "signature" && c.OK })
			if verified {
				signed++
			}
			if err == nil {
				t.Fatalf("%d (%s) is believed", v.ID, v.Comment)
			}
			if verified && v.Result == "invalid" && !slices.Contains(harmless, v.ID) {
				t.Errorf("%d (%s) is believed", v.ID, v.Comment)
			}
		}
	}
	if signed < 20 {
		t.Errorf("only %d are signed: this test looks past them", signed)
	}
}

// Whatever comes, only ann is signed in, and nothing breaks.
func FuzzJudge(f *testing.F) {
	good := token(f, nil)
	f.Add(good)
	f.Add(sign(f, object{"alg": "none"}, encode(f, ordinaryClaims()), nil))
	f.Add(sign(f, object{"alg": "ES256", "kid": "ec", "crit": []string{"x"}}, encode(f, ordinaryClaims()), keys().ec))
	f.Add(strings.Replace(good, ".", "..", 1))
	want := expected(f)
	f.Fuzz(func(t *testing.T, token string) {
		said, trace, err := oidc.Judge(token, want)
		if _, failed := trace.Failed(); failed == (err == nil) {
			t.Errorf("%v beside %+v", err, trace)
		}
		if err != nil && !reflect.DeepEqual(said, upstream.Assertion{}) {
			t.Errorf("refused, and says %+v", said)
		}
		if err == nil {
			expect.Equal(t, "subject", said.Subject, "ann")
		}
	})
}

// Both in one run show what the judgement costs beside the signature.
func BenchmarkJudge(b *testing.B) {
	for name, token := range benchmarked(b) {
		b.Run(name, func(b *testing.B) {
			want := expected(b)
			for b.Loop() {
				if _, _, err := oidc.Judge(token, want); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkBareSignature(b *testing.B) {
	for name, token := range benchmarked(b) {
		b.Run(name, func(b *testing.B) {
			key := map[string]any{"RS256": keys().rsa.Public(), "ES256": keys().ec.Public()}[name]
			for b.Loop() {
				signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(name)})
				if err != nil {
					b.Fatal(err)
				}
				if _, err := signed.Verify(key); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func benchmarked(b *testing.B) map[string]string {
	b.Helper()
	return map[string]string{
		"RS256": token(b, nil),
		"ES256": sign(b, object{"alg": "ES256", "kid": "ec"}, encode(b, ordinaryClaims()), keys().ec),
	}
}
