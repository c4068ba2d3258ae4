package federation

import (
	"context"
	"slices"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/upstream"
)

// mapRole gives a user that the connection created the role of their groups now. A user
// who was invited, or existed before, keeps the role an administrator gave.
func mapRole(ctx context.Context, tx *db.Tx, a *answer, user directory.User) (directory.User, error) {
	c := a.Connection
	role, another := a.role(user)
	if !another {
		return user, nil
	}
	var created bool
	if _, err := tx.One(ctx, db.Into(&created), `
		select created from identities
		where org_id = $1 and connection_id = $2 and issuer = $3 and subject = $4`,
		string(c.OrgID), c.ID, a.Assertion.Issuer, a.Assertion.Subject); err != nil || !created {
		return user, err
	}
	return directory.SetMappedRole(ctx, tx, user, role, c.Name)
}

// role returns the role that a user's groups map to, and whether it is another than the user has.
// Missing groups do not mean membership in none.
func (a *answer) role(user directory.User) (role directory.Role, another bool) {
	c := a.Connection
	missing := a.Assertion.Missing.Name != "" && len(a.Assertion.Values(c.Mapping.groupsName())) == 0
	role = c.role(a.Assertion)
	return role, !missing && len(c.Mapping.Roles) > 0 && user.Role != role && user.Role != directory.Owner
}

// role returns the role that the person's groups map to: member if they map to none, and
// never owner.
func (c Connection) role(a upstream.Assertion) directory.Role {
	groups := a.Values(c.Mapping.groupsName())
	for _, m := range c.Mapping.Roles {
		if m.Role != directory.Owner && m.Role.Valid() && slices.Contains(groups, m.Group) {
			return m.Role
		}
	}
	return directory.Member
}
