package oidc

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"parvis/internal/jose"
	"parvis/internal/upstream"
)

// Expected is what a token must match.
type Expected struct {
	Issuer     string
	Tenant     string // empty where the issuer has none
	ClientID   string
	Algorithms []string
	Keys       Keys
	Now        time.Time

	// For ID tokens only.
	Nonce       string
	Since       time.Time // the person must have proved who they are after this; zero if they need not
	ACR         []string  // one of them is demanded, if there are any
	AccessToken string    // the one that came beside the ID token
}

// expects returns what c's tokens must match.
func (c Connection) expects(p Provider, keys Keys, now time.Time) Expected {
	return Expected{Issuer: c.issuer(), Tenant: c.Tenant, ClientID: c.ClientID, Algorithms: c.algorithms(p), Keys: keys, Now: now}
}

const (
	mostToken = 64 << 10         // bytes; one with two hundred groups has about ten thousand
	mostAge   = 10 * time.Minute // of a token that was just made for us
	mostText  = 255              // bytes of a subject (OIDC Core §2, sub)
)

// Judge returns what an ID token says of a person, or the check that it failed (OIDC
// Core §3.1.3.7).
func Judge(idToken string, want Expected) (upstream.Assertion, upstream.Trace, error) {
	var t upstream.Trace
	claims, err := judge(&t, idToken, want)
	if err != nil {
		return upstream.Assertion{}, t, err
	}
	return assertion(claims), t, nil
}

func judge(t *upstream.Trace, idToken string, want Expected) (object, error) {
	claims, algorithm, err := open(t, idToken, want, "JWT", true)
	if err != nil {
		return object{}, err
	}
	for _, check := range []func() error{
		func() error { return requireAddressed(t, claims, want) },
		func() error { return requireNow(t, claims, want.Now) },
		func() error { return requireNonce(t, claims, want.Nonce) },
		func() error { return requireAuthentication(t, claims, want) },
		func() error { return requireAccessToken(t, claims, algorithm, want.AccessToken) },
		func() error { return requireSubject(t, "subject", claims) },
	} {
		if err := check(); err != nil {
			return object{}, err
		}
	}
	return claims, nil
}

// open checks the signature and the type of a token, and reads its claims. If optional, a
// token may leave the type out.
func open(t *upstream.Trace, token string, want Expected, kind string, optional bool) (claims object, algorithm string, err error) {
	allowed := jose.Known(want.Algorithms)
	read, refused := jose.Rules{Longest: mostToken, Algorithms: allowed, Type: func(typ string) bool {
		return optional && typ == "" || strings.EqualFold(strings.TrimPrefix(typ, "application/"), kind)
	}}.Read(token)
	var payload []byte
	if refused == nil {
		payload, refused = read.Verify(want.Keys.list)
	}
	keyID := ""
	if read.KeyID != nil {
		keyID = *read.KeyID
	}
	for _, c := range []struct {
		check           jose.Refusal
		expected, found string
	}{
		{jose.Form, "header.payload.signature", lengths(token)},
		{jose.Type, kind, shown(read.Type)},
		{jose.Algorithm, strings.Join(allowed, ", "), shown(read.Algorithm)},
		{jose.Critical, "", "crit"},
		{jose.UnknownKey, strings.Join(want.Keys.ids(), ", "), shown(keyID)},
		{jose.Signature, "", ""},
	} {
		good := !errors.Is(refused, c.check)
		if good && c.check == jose.Critical {
			continue // there is nothing to show
		}
		if err := t.Require(string(c.check), good, c.expected, c.found); err != nil {
			return object{}, "", err
		}
	}
	claims, err = parseObject(payload)
	return claims, read.Algorithm, t.Require("claims", err == nil && refused == nil, "JSON", "")
}

// lengths shows the form of a token without its content.
func lengths(token string) string {
	var list []string
	for _, p := range strings.SplitN(token[:min(len(token), mostToken+1)], ".", 11) {
		list = append(list, strconv.Itoa(len(p)))
	}
	return strings.Join(list[:min(len(list), 10)], ".")
}

func requireAddressed(t *upstream.Trace, claims object, want Expected) error {
	issuer, _ := claims.text("iss")
	if err := t.Require("issuer", issuer == want.Issuer && issuer != "", want.Issuer, claims.found("iss")); err != nil {
		return err
	}
	if want.Tenant != "" {
		tenant, _ := claims.text("tid")
		if err := t.Require("tenant", tenant == want.Tenant, want.Tenant, claims.found("tid")); err != nil {
			return err
		}
	}
	audience := claims.texts("aud")
	if err := t.Require("audience", slices.Contains(audience, want.ClientID) && want.ClientID != "", want.ClientID, claims.found("aud")); err != nil {
		return err
	}
	if len(audience) > 1 || claims.has("azp") {
		party, _ := claims.text("azp")
		return t.Require("authorized_party", party == want.ClientID, want.ClientID, claims.found("azp"))
	}
	return nil
}

func requireNow(t *upstream.Trace, claims object, now time.Time) error {
	expires, ok := claims.time("exp")
	if err := t.Require("expires", ok && now.Before(expires.Add(tolerance)), "> "+at(now), when(claims, "exp")); err != nil {
		return err
	}
	issued, ok := claims.time("iat")
	recent := ok && !issued.After(now.Add(tolerance)) && now.Before(issued.Add(mostAge+tolerance))
	if err := t.Require("issued", recent, "≈ "+at(now), when(claims, "iat")); err != nil {
		return err
	}
	if claims.has("nbf") {
		from, ok := claims.time("nbf")
		return t.Require("not_before", ok && !from.After(now.Add(tolerance)), "≤ "+at(now), when(claims, "nbf"))
	}
	return nil
}

// requireNonce shows neither nonce, since both are secrets while the attempt lasts.
func requireNonce(t *upstream.Trace, claims object, want string) error {
	nonce, _ := claims.text("nonce")
	return t.Require("nonce", nonce == want && want != "", "", "")
}

func requireAuthentication(t *upstream.Trace, claims object, want Expected) error {
	proved, said := claims.time("auth_time")
	if said || !want.Since.IsZero() {
		good := said && !proved.After(want.Now.Add(tolerance)) && !proved.Before(want.Since.Add(-tolerance))
		expected := "≤ " + at(want.Now)
		if !want.Since.IsZero() {
			expected = at(want.Since) + " … " + at(want.Now)
		}
		if err := t.Require("authenticated", good, expected, when(claims, "auth_time")); err != nil {
			return err
		}
	}
	if len(want.ACR) > 0 {
		acr, _ := claims.text("acr")
		return t.Require("acr", slices.Contains(want.ACR, acr), strings.Join(want.ACR, ", "), claims.found("acr"))
	}
	return nil
}

// requireAccessToken checks that the access token belongs to the ID token (OIDC Core §3.1.3.6).
func requireAccessToken(t *upstream.Trace, claims object, algorithm, token string) error {
	if !claims.has("at_hash") || token == "" {
		return nil
	}
	var sum []byte
	switch {
	case strings.HasSuffix(algorithm, "256"):
		s := sha256.Sum256([]byte(token))
		sum = s[:]
	case strings.HasSuffix(algorithm, "384"):
		s := sha512.Sum384([]byte(token))
		sum = s[:]
	default:
		s := sha512.Sum512([]byte(token))
		sum = s[:]
	}
	said, _ := claims.text("at_hash")
	return t.Require("access_token_hash", said == base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2]), "", "")
}

// requireSubject requires a subject that is ASCII, not empty and not too long.
func requireSubject(t *upstream.Trace, check string, claims object) error {
	subject, ok := claims.text("sub")
	ok = ok && subject != "" && len(subject) <= mostText && !strings.ContainsFunc(subject, func(r rune) bool { return r < ' ' || r > '~' })
	return t.Require(check, ok, "ASCII, 1–255", claims.found("sub"))
}

func at(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// when returns a time as it is shown, or whatever stands in its place.
func when(claims object, name string) string {
	if t, ok := claims.time(name); ok {
		return at(t)
	}
	return claims.found(name)
}

// notAttributes are the protocol's own claims, which say nothing of a person.
var notAttributes = strings.Fields("iss sub aud exp iat nbf jti nonce auth_time acr amr azp at_hash c_hash s_hash sid")

// assertion returns what judged claims say.
func assertion(claims object) upstream.Assertion {
	a := upstream.Assertion{AMR: claims.texts("amr"), Attributes: attributes(claims), EmailVerified: verified(claims)}
	a.Issuer, _ = claims.text("iss")
	a.Subject, _ = claims.text("sub")
	a.ACR, _ = claims.text("acr")
	a.SessionIndex, _ = claims.text("sid")
	a.AuthTime, _ = claims.time("auth_time")
	return a
}

// verified reports whether the provider vouches for the address: only the JSON boolean
// true beside a text does so (R-RPO-05).
func verified(claims object) bool {
	_, ok := claims.text("email")
	return ok && claims.isTrue("email_verified")
}

// attributes returns the claims with plain values. A claim whose name differs from email
// only by case is left out: the provider vouches for email, and readers that ignore case
// would take the other.
func attributes(claims object) (list []upstream.Attribute) {
	for _, name := range claims.names {
		_, plain := claims.text(name)
		email := strings.EqualFold(name, "email")
		if slices.Contains(notAttributes, name) || email && (name != "email" || !plain) {
			continue
		}
		if values := values(claims.members[name]); len(values) > 0 {
			list = append(list, upstream.Attribute{Name: shown(name), Values: values})
		}
	}
	return list
}

// values returns the values of a text, a number, a boolean or a list of them, and nothing
// that is nested.
func values(raw json.RawMessage) (list []string) {
	var value any
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.UseNumber()
	if d.Decode(&value) != nil {
		return nil
	}
	all, isList := value.([]any)
	if !isList {
		all = []any{value}
	}
	for _, one := range all {
		switch one := one.(type) {
		case string:
			list = append(list, shown(one))
		case json.Number, bool:
			list = append(list, fmt.Sprint(one))
		default:
			return nil
		}
	}
	return list
}
