package application

import (
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"

	"parvis/internal/application/proof"
	"parvis/internal/application/redirect"
	"parvis/internal/audit"
	"parvis/internal/fault"
	"parvis/internal/i18n"
	"parvis/internal/naming"
)

// Bounds of what is registered. Each application sets its own lifetimes within these.
const (
	AccessLasts         = 5 * time.Minute
	ShortestAccess      = time.Minute
	LongestAccess       = 10 * time.Minute // R-OPR-06
	IDTokenLasts        = 10 * time.Minute
	ShortestIDToken     = time.Minute
	LongestIDToken      = time.Hour
	RefreshLasts        = 30 * 24 * time.Hour // since the authorization, however often it rotates
	ShortestRefresh     = time.Hour
	LongestRefresh      = 90 * 24 * time.Hour
	MostRedirectURIs    = 20
	MostLines           = 50 // of scopes, of claims, of roles
	MostSecrets         = 2
	MostPerOrganization = 200
)

// fields is what the audit log keeps of settings.
func (s Settings) fields() audit.Fields {
	var all audit.Fields
	text, err := json.Marshal(s)
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	if err != nil {
		panic(err) // settings are texts, numbers and lists of them
	}
	return all
}

var (
	claimName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_:/.-]{0,99}$`)
	scopeName = regexp.MustCompile(`^[a-z][a-z0-9_:./-]{0,99}$`)
)

// clean checks what was typed, and settles what follows from the kind.
func (s Settings) clean(k Kind, issuer string) (Settings, error) {
	if !slices.Contains(Kinds, k) {
		return s, fault.Field("kind", "op.field.kind")
	}
	var err error
	if s.Name, err = naming.CleanName(s.Name, "name"); err != nil {
		return s, err
	}
	if err := errors.Join(s.checkTile(k), s.checkTexts()); err != nil {
		return s, err
	}
	if k == Link {
		if s.Address == "" {
			return s, fault.Field("address", "op.field.address_missing")
		}
		return Settings{Name: s.Name, Titles: s.Titles, Descriptions: s.Descriptions, Address: s.Address, Auth: NoAuth}, nil
	}
	if s.Algorithm == "" {
		s.Algorithm = ES256
	}
	if s.Protection == PKCE {
		s.Protection = ""
	}
	if s.Auth != PrivateKey {
		s.Keys, s.KeysURL = nil, "" // nothing of it was judged, nor is it JSON for sure
	}
	s.Roles = slices.Clone(s.Roles)
	for i, r := range s.Roles {
		role, err := naming.CleanLine(r.Role, mostRole)
		if err != nil || r.Group == "" {
			return s, fault.Field("roles", "op.field.roles").With("Most", mostRole)
		}
		s.Roles[i].Role = role
	}
	return s, errors.Join(s.checkAddresses(k), s.checkAuth(k), s.checkScopes(k), s.checkLifetimes(), s.checkClaims(), s.checkIssuer(issuer))
}

// bad is a fault of a field that holds addresses, with why.
func bad(field, address string, err error) error {
	reason, ok := errors.AsType[redirect.Reason](err)
	if !ok {
		return err
	}
	return fault.Field(field, "op.address."+string(reason)).With("Address", address)
}

func (s Settings) checkTile(k Kind) error {
	if s.Address != "" {
		if err := redirect.CheckTile(s.Address); err != nil {
			return bad("address", s.Address, err)
		}
	}
	if s.InitiateURI != "" && k != Link {
		if err := redirect.CheckWeb(s.InitiateURI); err != nil {
			return bad("initiate_uri", s.InitiateURI, err)
		}
	}
	return nil
}

const (
	mostTitle       = 60
	mostDescription = 200
	mostRole        = 100 // characters of the name of a role, which stands in tokens
)

func (s Settings) checkTexts() error {
	for _, text := range []struct {
		field string
		all   map[i18n.Tag]string
		most  int
	}{{"title", s.Titles, mostTitle}, {"description", s.Descriptions, mostDescription}} {
		for _, one := range text.all {
			if clean, err := naming.CleanLine(one, text.most); err != nil || clean != one {
				return fault.Field(text.field, "op.field."+text.field).With("Most", text.most)
			}
		}
	}
	return nil
}

func (s Settings) checkAddresses(k Kind) error {
	if !slices.Contains([]Kind{Machine}, k) && len(s.RedirectURIs) == 0 && (s.Address != "" || s.InitiateURI != "") {
		return fault.Field("redirect_uris", "op.field.redirect_uris_missing")
	}
	if k == Machine && len(s.RedirectURIs) > 0 {
		return fault.Field("redirect_uris", "op.field.redirect_uris_machine")
	}
	if len(s.RedirectURIs) > MostRedirectURIs {
		return fault.Field("redirect_uris", "op.field.redirect_uris_many").With("Most", MostRedirectURIs)
	}
	sectors := map[string]bool{}
	for _, a := range s.RedirectURIs {
		if err := redirect.Check(a, k == Native); err != nil {
			return bad("redirect_uris", a, err)
		}
		sectors[Application{Settings: Settings{RedirectURIs: []string{a}}}.Sector()] = true
	}
	if s.Pairwise && len(sectors) > 1 {
		return fault.Field("pairwise", "op.field.pairwise")
	}
	if len(s.PostLogoutURIs) > MostRedirectURIs {
		return fault.Field("post_logout_uris", "op.field.redirect_uris_many").With("Most", MostRedirectURIs)
	}
	for _, a := range s.PostLogoutURIs {
		if err := redirect.Check(a, k == Native); err != nil {
			return bad("post_logout_uris", a, err)
		}
	}
	for field, a := range map[string]string{"back_channel": s.BackChannel, "front_channel": s.FrontChannel, "keys_url": s.KeysURL} {
		if a == "" {
			continue
		}
		if err := redirect.CheckWeb(a); err != nil {
			return bad(field, a, err)
		}
	}
	return nil
}

// checkAuth settles how a client proves who it is: what runs in hands of others keeps no
// secret (RFC 6749 §2.1).
func (s Settings) checkAuth(k Kind) error {
	public := k == SinglePage || k == Native
	switch {
	case !slices.Contains(AuthMethods, s.Auth), public && s.Auth != NoAuth, k == Machine && s.Auth == NoAuth:
		return fault.Field("auth", "op.field.auth")
	case s.Protection != "" && !slices.Contains(Protections, s.Protection):
		return fault.Field("code_protection", "op.field.code_protection")
	case s.Protection != "" && (s.Auth == NoAuth || k == Machine):
		// A public client has nothing else that protects its codes.
		return fault.Field("code_protection", "op.field.code_protection_public")
	case k == Machine && !s.OwnBehalf, public && s.OwnBehalf, s.OwnBehalf && s.Auth == NoAuth:
		return fault.Field("own_behalf", "op.field.own_behalf")
	case k == Machine && (s.Refreshes || s.Devices):
		return fault.Field("devices", "op.field.machine_grants")
	case !slices.Contains(Algorithms, s.Algorithm):
		return fault.Field("algorithm", "op.field.algorithm")
	case s.Auth != PrivateKey:
		return nil
	case s.KeysURL == "" && len(s.Keys) == 0:
		return fault.Field("keys", "op.field.keys_missing")
	case len(s.Keys) == 0:
		return nil
	}
	if _, err := proof.ParseKeySet(string(s.Keys)); err != nil {
		return fault.Field("keys", "op.field.keys").With("Reason", err.Error())
	}
	return nil
}

func (s Settings) checkScopes(k Kind) error {
	if len(s.Scopes) > MostLines {
		return fault.Field("scopes", "op.field.too_many").With("Most", MostLines)
	}
	for _, name := range s.Scopes {
		if name == "offline_access" {
			return fault.Field("scopes", "op.field.scopes_offline")
		}
		if !scopeName.MatchString(name) || k == Machine && slices.Contains(Scopes, name) {
			return fault.Field("scopes", "op.field.scopes").With("Scope", name)
		}
	}
	if k != Machine && !slices.Contains(s.Scopes, OpenID) {
		return fault.Field("scopes", "op.field.scopes_openid")
	}
	if s.Audience != "" && (len(s.Audience) > 200 || strings.ContainsAny(s.Audience, " \t\r\n\x00")) {
		return fault.Field("audience_claim", "op.field.audience_claim")
	}
	return nil
}

func (s Settings) checkLifetimes() error {
	for _, l := range []struct {
		field       string
		set         time.Duration
		least, most time.Duration
	}{
		{"access_for", s.AccessFor, ShortestAccess, LongestAccess},
		{"id_token_for", s.IDTokenFor, ShortestIDToken, LongestIDToken},
		{"refresh_for", s.RefreshFor, ShortestRefresh, LongestRefresh},
	} {
		if l.set != 0 && (l.set < l.least || l.set > l.most) {
			return fault.Field(l.field, "op.field.lifetime").With("Least", l.least, "Most", l.most)
		}
	}
	return nil
}

func (s Settings) checkClaims() error {
	switch {
	case len(s.Claims) > MostLines:
		return fault.Field("claims", "op.field.too_many").With("Most", MostLines)
	case len(s.Roles) > MostLines:
		return fault.Field("roles", "op.field.too_many").With("Most", MostLines)
	}
	for i, c := range s.Claims {
		same := func(other Claim) bool { return claimKey(other.Name) == claimKey(c.Name) }
		switch {
		case !claimName.MatchString(c.Name):
			return fault.Field("claims", "op.field.claims").With("Claim", c.Name)
		case Reserved(c.Name):
			return fault.Field("claims", "op.field.claims_reserved").With("Claim", c.Name)
		case slices.ContainsFunc(s.Claims[:i], same):
			return fault.Field("claims", "op.field.claims_twice").With("Claim", c.Name)
		case !slices.Contains(Sources, c.Source), len(c.Value) > 500:
			return fault.Field("claims", "op.field.claims_source").With("Claim", c.Name)
		}
	}
	return nil
}

// Algorithm is how a token is signed.
type Algorithm string

// The algorithms. RS256 is there because the specification wants it (OIDC Core §15.1)
// and some applications know nothing else.
const (
	ES256 Algorithm = "ES256"
	RS256 Algorithm = "RS256"
)

// Algorithms lists all, the one for everything new first.
var Algorithms = []Algorithm{ES256, RS256}

func (s Settings) SigningAlgorithm() Algorithm {
	if s.Algorithm == "" {
		return ES256
	}
	return s.Algorithm
}
