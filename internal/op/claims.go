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

// subject returns the sub of a grant for its client: the user's id, or a pseudonym for each
// sector (OIDC Core §8.1). A grant without a person has the client's own id.
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

// pseudonym returns a name that reveals nothing about its parts; the same parts give the same
// name.
func (p *Provider) pseudonym(parts ...string) string {
	return base64.RawURLEncoding.EncodeToString(secret.MAC(p.pairwise, parts...)[:20])
}

// needsGroups reports whether the claims of a grant depend on groups.
func (h holder) needsGroups() bool {
	return slices.Contains(h.Scope, application.GroupsInfo) || len(h.client.Settings.Roles) > 0 ||
		slices.ContainsFunc(h.client.Settings.Claims, func(c application.Claim) bool { return c.Source == "groups" })
}

// about returns the claims about a person that the scope of h allows, as they are now.
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
		for claim, value := range map[string]string{"given_name": u.GivenName, "family_name": u.FamilyName, "zoneinfo": u.TimeZone} {
			if value != "" {
				all[claim] = value
			}
		}
	}
	if asked(application.EmailInfo) {
		// Every address is verified: a user has it only once a letter to it was opened, or an
		// identity provider of its proven domain vouched for it. People sign in with it, so it
		// is preferred_username too.
		all["email"], all["email_verified"], all["preferred_username"] = u.Email, true, u.Email
	}
	if asked(application.GroupsInfo) {
		all["groups"] = groups
	}
	if asked(application.RolesInfo) {
		all["roles"] = h.roles()
	}
	for _, c := range s.Claims {
		// No new registration may use a reserved name, but an old one may. And no claim reveals
		// more than the person was asked for (R-OPR-09).
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

// scopeOf returns the scope that an application needs for a claim from this source.
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
	return application.OpenID // which every ID token needs
}

// roles returns the roles that the person's groups have in this application.
func (h holder) roles() []string {
	roles := []string{}
	for _, r := range h.client.Settings.Roles {
		if slices.Contains(h.groups, r.Group) && !slices.Contains(roles, r.Role) {
			roles = append(roles, r.Role)
		}
	}
	return roles
}

// groupNames returns the names of the person's groups. An application that is only for some
// groups learns only those.
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

// idToken returns a signed ID token: who signed in, when and how, and in which organization.
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

// idClaims returns the claims of an ID token without at_hash and nonce, which belong to one
// answer.
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

// half returns the left half of a hash, as at_hash needs it (OIDC Core §3.1.3.6). Both of our
// signature algorithms use SHA-256.
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

// isVerifier reports whether s is 43 to 128 unreserved characters (RFC 7636 §4.1).
func isVerifier(s string) bool {
	const unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
	return len(s) >= 43 && len(s) <= 128 && strings.Trim(s, unreserved) == ""
}
