package op

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"slices"
	"strings"
	"time"

	"parvis/internal/application"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/secret"
)

// subject is what a client knows somebody by: the same for all, or another for each host
// (OIDC Core §8.1). A machine is its own.
func (p *Provider) subject(h holder) string {
	if h.UserID == "" {
		return string(h.ClientID)
	}
	return p.subjectOf(h.client, h.OrgID, h.UserID)
}

func (p *Provider) subjectOf(c application.Application, org directory.OrgID, user directory.UserID) string {
	if !c.Settings.Pairwise {
		return string(user)
	}
	return p.pseudonym("subject", c.Sector(), string(org), string(user))
}

// sid returns the name of a session for one client. It differs between clients, and between
// two registrations of one ID: the registration stands behind the dot (registrationOf).
func (p *Provider) sid(c application.Application, session string) string {
	sid := p.pseudonym("session", string(c.ID), session)
	if c.Registration == "" {
		return sid
	}
	return sid + "." + c.Registration
}

// registrationOf returns the registration for which a sid was made.
func registrationOf(sid string) string {
	_, registration, _ := strings.Cut(sid, ".")
	return registration
}

// pseudonym is a name that tells nothing, and is always the same for the same parts.
func (p *Provider) pseudonym(parts ...string) string {
	return base64.RawURLEncoding.EncodeToString(secret.MAC(p.pairwise, parts...)[:20])
}

// needsGroups reports whether the claims of a grant depend on groups.
func (h holder) needsGroups() bool {
	return slices.Contains(h.Scope, application.GroupsInfo) || len(h.client.Settings.Roles) > 0 ||
		slices.ContainsFunc(h.client.Settings.Claims, func(c application.Claim) bool { return c.Source == "groups" })
}

// about is what a scope lets an application know of a person, as it is now.
func (p *Provider) about(ctx context.Context, r db.Reader, h holder) (map[string]any, error) {
	u, s := h.visit.User, h.client.Settings
	all := map[string]any{}
	asked := func(scope string) bool { return slices.Contains(h.Scope, scope) }
	var groups []string
	if asked(application.GroupsInfo) || slices.ContainsFunc(s.Claims, func(c application.Claim) bool { return c.Source == "groups" }) {
		var err error
		if groups, err = p.groupNames(ctx, r, h); err != nil {
			return nil, err
		}
	}
	if asked(application.ProfileInfo) {
		all["name"], all["locale"], all["updated_at"] = u.Name, string(u.Language), u.UpdatedAt().Unix()
		if u.TimeZone != "" {
			all["zoneinfo"] = u.TimeZone
		}
	}
	if asked(application.EmailInfo) {
		// An address is a user's only once a letter to it was opened, or a provider of its
		// proven domain vouched for it.
		// preferred_username is the address, with which people sign in, so it is told only to
		// applications that may know the address.
		all["email"], all["email_verified"], all["preferred_username"] = u.Email, true, u.Email
	}
	if asked(application.GroupsInfo) {
		all["groups"] = groups
	}
	if asked(application.RolesInfo) {
		all["roles"] = h.roles()
	}
	for _, c := range s.Claims {
		// None is reserved that was registered; an older registration must not say who somebody
		// is either. And none tells more than the person was asked for (R-OPR-09).
		if application.Reserved(c.Name) || !asked(scopeOf(c.Source)) {
			continue
		}
		switch c.Source {
		case "name":
			all[c.Name] = u.Name
		case "email":
			all[c.Name] = u.Email
		case "role":
			all[c.Name] = string(u.Role)
		case "language":
			all[c.Name] = string(u.Language)
		case "groups":
			all[c.Name] = groups
		case "user_id":
			all[c.Name] = string(u.ID)
		case "organization":
			all[c.Name] = h.visit.Organization.ShortName
		case "fixed":
			all[c.Name] = c.Value
		}
	}
	return all, nil
}

// scopeOf is the scope under which a source may be told.
func scopeOf(source string) string {
	switch source {
	case "name", "language":
		return application.ProfileInfo
	case "email":
		return application.EmailInfo
	case "role":
		return application.RolesInfo
	case "groups":
		return application.GroupsInfo
	}
	return application.OpenID // which everybody has
}

// roles are those that a person's groups give in this application and in no other.
func (h holder) roles() []string {
	roles := []string{}
	for _, r := range h.client.Settings.Roles {
		if slices.Contains(h.groups, r.Group) && !slices.Contains(roles, r.Role) {
			roles = append(roles, r.Role)
		}
	}
	return roles
}

// groupNames are the names of the groups that an application may know: those that it is
// for, where it is for some, else all of the person's.
func (p *Provider) groupNames(ctx context.Context, r db.Reader, h holder) ([]string, error) {
	names := []string{}
	all, err := directory.GroupsOf(ctx, r, h.OrgID, h.UserID)
	for _, g := range all {
		if h.place.Audience != application.SomeGroups || slices.Contains(h.place.Groups, string(g.ID)) {
			names = append(names, g.Name)
		}
	}
	return names, err
}

// idToken tells an application who came in, how that was proved, and from where.
func (p *Provider) idToken(ctx context.Context, k key, h holder, accessToken string, now time.Time) (string, error) {
	claims, err := p.idClaims(ctx, p.DB, h, now)
	if err != nil {
		return "", err
	}
	claims["at_hash"] = half(accessToken)
	if h.Details.Nonce != "" {
		claims["nonce"] = h.Details.Nonce
	}
	return k.sign(idTokenType, claims)
}

// idClaims are what an ID token says, but for what ties it to one answer.
func (p *Provider) idClaims(ctx context.Context, r db.Reader, h holder, now time.Time) (map[string]any, error) {
	s := h.client.Settings
	claims := map[string]any{}
	if s.InIDToken {
		var err error
		if claims, err = p.about(ctx, r, h); err != nil {
			return nil, err
		}
	}
	claims["iss"], claims["sub"], claims["aud"] = p.Base, p.subject(h), string(h.ClientID)
	claims["iat"], claims["exp"] = now.Unix(), now.Add(p.idTokenLasts(s)).Unix()
	claims["auth_time"], claims["acr"], claims["amr"] = h.Details.AuthTime, h.Details.ACR, h.Details.AMR
	claims["sid"] = p.sid(h.client, h.SessionID)
	claims["org"] = h.organization()
	return claims, nil
}

// half is the left half of a hash, by which an ID token names what came with it (OIDC
// Core §3.1.3.6). Both of our algorithms hash with SHA-256.
func half(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// verifies reports whether a code verifier fits its challenge (RFC 7636 §4.6, S256 alone).
func verifies(verifier, challenge string) bool {
	if !isVerifier(verifier) {
		return false
	}
	sum := sha256.Sum256([]byte(verifier))
	return challenge != "" && subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(challenge)) == 1
}

// isVerifier is RFC 7636 §4.1: 43 to 128 unreserved characters.
func isVerifier(s string) bool {
	const unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
	return len(s) >= 43 && len(s) <= 128 && strings.Trim(s, unreserved) == ""
}
