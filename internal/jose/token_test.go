package jose

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"
)

func newKey(t *testing.T, id string) Key {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return Key{Key: private, KeyID: id, Algorithm: "ES256", Use: "sig"}
}

func public(keys ...Key) []Key { return Public(keys).Keys }

func rules(algorithms ...string) Rules {
	return Rules{Longest: 1000, Algorithms: algorithms, Type: func(typ string) bool { return typ == "at+jwt" }}
}

func signed(t *testing.T, key Key) string {
	t.Helper()
	token, err := Sign(key, "at+jwt", map[string]string{"sub": "ann"})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func encode(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// The header is judged before any key: each line is one check, and its refusal.
func TestTheHeaderIsReadStrictly(t *testing.T) {
	good := `{"alg":"ES256","kid":"a","typ":"at+jwt"}`
	for name, c := range map[string]struct {
		token string
		want  error
	}{
		"good":                                  {encode(good) + ".e30.eA", nil},
		"two parts":                             {encode(good) + ".e30", Form},
		"four parts":                            {encode(good) + ".e30.eA.eA", Form},
		"too long":                              {encode(good) + ".e30." + strings.Repeat("x", 1000), Form},
		"a line inside":                         {encode(good) + ".e3\n0.eA", Form},
		"a return inside":                       {encode(good) + ".e30.eA\r", Form},
		"padding":                               {encode(good+" ") + "=.e30.eA", Form},
		"bits of the payload that nobody reads": {encode(good) + ".e31.eA", Form},
		"bits of the signature that nobody reads": {encode(good) + ".e30.eB", Form},
		"bits that nobody reads":                  {encode(good)[:len(encode(good))-1] + "R.e30.eA", Form},
		"no JSON":                                 {encode("{") + ".e30.eA", Form},
		"a list":                                  {encode("[]") + ".e30.eA", Form},
		"text behind":                             {encode(good+"{}") + ".e30.eA", Form},
		"alg twice":                               {encode(`{"alg":"none",`+good[1:]) + ".e30.eA", Form},
		"alg a number":                            {encode(strings.Replace(good, `"ES256"`, "1", 1)) + ".e30.eA", Form},
		"kid a number":                            {encode(strings.Replace(good, `"a"`, "1", 1)) + ".e30.eA", Form},
		"typ a number":                            {encode(strings.Replace(good, `"at+jwt"`, "1", 1)) + ".e30.eA", Form},
		"no UTF-8":                                {encode(strings.Replace(good, `"a"`, "\"\xff\"", 1)) + ".e30.eA", Form},
		"another type":                            {encode(strings.Replace(good, "at+jwt", "JWT", 1)) + ".e30.eA", Type},
		"typ in another case":                     {encode(strings.Replace(good, `"typ"`, `"TYP"`, 1)) + ".e30.eA", Type},
		"an algorithm that is not asked for":      {encode(strings.Replace(good, "ES256", "RS256", 1)) + ".e30.eA", Algorithm},
		"alg in another case":                     {encode(strings.Replace(good, `"alg"`, `"Alg"`, 1)) + ".e30.eA", Algorithm},
		"critical":                                {encode(`{"crit":["b64"],"b64":false,`+good[1:]) + ".e30.eA", Critical},
		"critical and empty":                      {encode(`{"crit":[],`+good[1:]) + ".e30.eA", Critical},
		"critical null":                           {encode(`{"crit":null,`+good[1:]) + ".e30.eA", Critical},
	} {
		if _, err := rules("ES256", "EdDSA").Read(c.token); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	// An algorithm that proves nothing is refused even if it is listed.
	for _, algorithm := range []string{"none", "None", "HS256", "RS1", "ES256K", ""} {
		token := encode(`{"alg":"`+algorithm+`","typ":"at+jwt"}`) + ".e30."
		if _, err := rules(algorithm).Read(token); !errors.Is(err, Algorithm) {
			t.Errorf("%q: %v", algorithm, err)
		}
	}
}

func TestOnlyAKeyThatMayHaveSignedVerifies(t *testing.T) {
	a, b := newKey(t, "a"), newKey(t, "b")
	unnamed := a
	unnamed.KeyID = ""
	changed := func(k Key, change func(*Key)) Key {
		change(&k)
		return k
	}
	for name, c := range map[string]struct {
		by   Key
		keys []Key
		want error
	}{
		"its key":                       {a, public(a), nil},
		"its key among others":          {a, public(b, a), nil},
		"no key":                        {a, nil, UnknownKey},
		"another key":                   {a, public(b), UnknownKey},
		"another key under its name":    {a, public(changed(b, func(k *Key) { k.KeyID = "a" })), Signature},
		"two under its name":            {a, public(changed(b, func(k *Key) { k.KeyID = "a" }), a), nil},
		"none is named, one fits":       {unnamed, public(a), nil},
		"none is named, two fit":        {unnamed, public(a, b), UnknownKey},
		"its key for another algorithm": {a, public(changed(a, func(k *Key) { k.Algorithm = "ES384" })), UnknownKey},
		"its key for encryption":        {a, public(changed(a, func(k *Key) { k.Use = "enc" })), UnknownKey},
		"its private key":               {a, []Key{a}, UnknownKey},
		"a secret":                      {a, []Key{{Key: []byte("secret"), KeyID: "a"}}, UnknownKey},
	} {
		token, err := rules("ES256").Read(signed(t, c.by))
		if err != nil {
			t.Fatal(err)
		}
		payload, err := token.Verify(c.keys)
		if !errors.Is(err, c.want) || (err == nil) != (string(payload) == `{"sub":"ann"}`) {
			t.Errorf("%s: %q and %v, want %v", name, payload, err, c.want)
		}
	}
}

func TestWhatATokenSaysUnproved(t *testing.T) {
	var said struct {
		Subject string `json:"sub"`
	}
	token := signed(t, newKey(t, "a"))
	if err := Unverified(token, 1000, &said); err != nil || said.Subject != "ann" {
		t.Errorf("%+v and %v", said, err)
	}
	for name, text := range map[string]string{
		"too long": token + strings.Repeat("x", 1000), "two parts": "e30.e30", "no JSON": "e30.e30x.x", "a member twice": "e30." + encode(`{"sub":"a","sub":"b"}`) + ".x",
	} {
		if err := Unverified(text, 1000, &said); err == nil {
			t.Errorf("%s is read", name)
		}
	}
}

// A registered set is refused for its first bad key; from a provider's set the good keys are taken.
func TestAKeySetGivesTheGoodKeysAndTheFirstRefusal(t *testing.T) {
	a, b := newKey(t, "a"), newKey(t, "b")
	text := func(keys ...Key) []byte {
		set, err := json.Marshal(KeySet{Keys: keys})
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	encrypts := public(b)[0]
	encrypts.Use = "enc"
	for name, c := range map[string]struct {
		text []byte
		good int
		want error
	}{
		"two":                {text(public(a, b)...), 2, nil},
		"a private one":      {text(a, public(b)[0]), 1, PrivateKey},
		"one for encryption": {text(encrypts, public(a)[0]), 1, KeyUse},
		"too many":           {text(public(a, b, a)...), 2, KeyCount},
		"none":               {text(), 0, KeySetForm},
		"no set":             {[]byte("[]"), 0, KeySetForm},
	} {
		keys, err := ParseKeySet(c.text, 2, []string{"ES256"})
		if !errors.Is(err, c.want) || len(keys) != c.good {
			t.Errorf("%s: %d keys and %v, want %d and %v", name, len(keys), err, c.good, c.want)
		}
	}
	if keys, err := ParseKeySet(text(public(a)...), 2, []string{"RS256", "EdDSA"}); !errors.Is(err, KeyKind) || keys != nil {
		t.Errorf("a key for other algorithms: %v and %v", keys, err)
	}
}

// A certificate beside a key is not checked, so nothing must trust it later.
func TestACertificateBesideAKeyIsNotKept(t *testing.T) {
	key := newKey(t, "a")
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public().Key, key.Key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	beside := key.Public()
	beside.Certificates = []*x509.Certificate{certificate}
	text, err := beside.MarshalJSON()
	if err != nil || !strings.Contains(string(text), "x5c") {
		t.Fatalf("%s: %v", text, err)
	}
	if kept, err := ParseKey(text, Algorithms); err != nil || kept.KeyID != "a" || len(kept.Certificates) > 0 {
		t.Errorf("%+v: %v", kept, err)
	}
}

func TestAKeySetIsFetchedAgainOnTime(t *testing.T) {
	s := Shelf{Fresh: time.Hour, Least: time.Minute}
	for _, c := range []struct {
		age     time.Duration
		lacking bool
		want    bool
	}{
		{0, false, false}, {0, true, false}, {time.Minute - 1, true, false}, {time.Minute, true, true}, {time.Minute, false, false},
		{time.Hour - 1, false, false}, {time.Hour, false, true}, {time.Hour, true, true}, {-time.Second, true, false},
	} {
		if got := s.Over(c.age, c.lacking); got != c.want {
			t.Errorf("at %s, lacking a key: %t: %t", c.age, c.lacking, got)
		}
	}
}
