package application

import (
	"cmp"
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"

	"parvis/internal/application/proof"
	"parvis/internal/audit"
	"parvis/internal/fault"
	"parvis/internal/naming"
)

// Bounds of settings. Each application may set its own lifetimes within them.
const (
	AccessLasts         = 5 * time.Minute
	ShortestAccess      = time.Minute
	LongestAccess       = 10 * time.Minute // R-OPR-06
	IDTokenLasts        = 10 * time.Minute
	ShortestIDToken     = time.Minute
	LongestIDToken      = time.Hour
	RefreshLasts        = 30 * 24 * time.Hour // since the authorization; rotation does not extend it
	ShortestRefresh     = time.Hour
	LongestRefresh      = 90 * 24 * time.Hour
	MostRedirectURIs    = 20
	MostLines           = 50 // scopes, claims, or roles
	MostSecrets         = 2
	MostPerOrganization = 200
	mostTitle           = 60
	mostDescription     = 200
	mostRole            = 100 // characters of a role, which tokens contain

	day = 24 * time.Hour
)

// fields returns what the audit log stores about settings.
func (s Settings) fields() audit.Fields {
	all := audit.Fields{}
	for _, t := range Table {
		if value := t.value(&s); !value.IsZero() {
			all[t.Name] = value.Interface()
		}
	}
	return all
}

var (
	claimName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_:/.-]*$`)
	scopeName = regexp.MustCompile(`^[a-z][a-z0-9_:./-]*$`)
)

// longestName is how many bytes the name of a claim or a scope may have. It is no part of the
// expressions, because one that counts to 100 takes 80 kB.
const longestName = 100

// clean returns s as it is stored, or an error that says what is wrong with it.
func (s Settings) clean(k Kind, issuer string) (Settings, error) {
	if !slices.Contains(Kinds, k) {
		return s, fault.Field("kind", "op.field.kind")
	}
	s = s.tidied(k)
	var err error
	if s.Name, err = naming.CleanName(s.Name, "name"); err != nil {
		return s, err
	}
	var all []error
	for _, t := range Table {
		all = append(all, t.judge(s, k))
	}
	return s, errors.Join(append(all, s.checkRedirects(k), s.checkAuth(k), s.checkScopes(k), s.checkClaims(), s.checkRoles(), s.checkIssuer(issuer))...)
}

func (s Settings) checkRedirects(k Kind) error {
	sectors := map[string]bool{}
	for _, a := range s.RedirectURIs {
		sectors[Application{Settings: Settings{RedirectURIs: []string{a}}}.Sector()] = true
	}
	switch {
	case slices.Contains(people, k) && len(sectors) == 0 && (s.Address != "" || s.InitiateURI != ""):
		return fault.Field("redirect_uris", "op.field.redirect_uris_missing")
	case k == Machine && len(sectors) > 0:
		return fault.Field("redirect_uris", "op.field.redirect_uris_machine")
	case s.Pairwise && len(sectors) > 1:
		return fault.Field("pairwise", "op.field.pairwise")
	}
	return nil
}

// checkAuth checks how a client authenticates. A client on somebody's own device cannot keep a
// secret (RFC 6749 §2.1).
func (s Settings) checkAuth(k Kind) error {
	public := k == SinglePage || k == Native
	switch {
	case public && s.Auth != NoAuth, k == Machine && s.Auth == NoAuth:
		return fault.Field("auth", "op.field.auth")
	case s.Protection != "" && (s.Auth == NoAuth || k == Machine):
		// A public client has nothing else that protects its codes.
		return fault.Field("code_protection", "op.field.code_protection_public")
	case k == Machine && !s.OwnBehalf, public && s.OwnBehalf, s.OwnBehalf && s.Auth == NoAuth:
		return fault.Field("own_behalf", "op.field.own_behalf")
	case k == Machine && (s.Refreshes || s.Devices):
		return fault.Field("devices", "op.field.machine_grants")
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
	for _, name := range s.Scopes {
		if name == "offline_access" {
			return fault.Field("scopes", "op.field.scopes_offline")
		}
		if strings.HasPrefix(name, ReservedScopes) {
			return fault.Field("scopes", "op.field.scopes_reserved").With("Scope", name)
		}
		if len(name) > longestName || !scopeName.MatchString(name) || k == Machine && slices.Contains(Scopes, name) {
			return fault.Field("scopes", "op.field.scopes").With("Scope", name)
		}
	}
	if s.Audience != "" && (len(s.Audience) > 200 || strings.ContainsAny(s.Audience, " \t\r\n\x00")) {
		return fault.Field("audience_claim", "op.field.audience_claim")
	}
	return nil
}

func (s Settings) checkClaims() error {
	for i, c := range s.Claims {
		same := func(other Claim) bool { return claimKey(other.Name) == claimKey(c.Name) }
		switch {
		case len(c.Name) > longestName || !claimName.MatchString(c.Name):
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

func (s Settings) checkRoles() error {
	for i, r := range s.Roles {
		role, err := naming.CleanLine(r.Role, mostRole)
		if err != nil || r.Group == "" {
			return fault.Field("roles", "op.field.roles").With("Most", mostRole)
		}
		s.Roles[i].Role = role // tidied made the list
	}
	return nil
}

// Algorithm is how a token is signed.
type Algorithm string

// The algorithms. RS256 exists because the specification requires it (OIDC Core §15.1) and
// some applications know no other.
const (
	ES256 Algorithm = "ES256"
	RS256 Algorithm = "RS256"
)

// Algorithms lists all, the default first.
var Algorithms = []Algorithm{ES256, RS256}

// SigningAlgorithm returns the algorithm of the application's tokens.
func (s Settings) SigningAlgorithm() Algorithm { return cmp.Or(s.Algorithm, ES256) }
