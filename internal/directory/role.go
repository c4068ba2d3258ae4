package directory

import "slices"

// Role says what a user may do in their organization.
type Role string

// The roles. An owner may do everything that an administrator may, and only an owner makes owners.
// Helpdesk looks after members. An auditor reads everything and changes nothing.
const (
	Owner         Role = "owner"
	Administrator Role = "administrator"
	Helpdesk      Role = "helpdesk"
	Auditor       Role = "auditor"
	Member        Role = "member"
)

// Roles lists every role, the one with most rights first.
var Roles = []Role{Owner, Administrator, Helpdesk, Auditor, Member}

// Valid reports whether r is one of Roles.
func (r Role) Valid() bool { return slices.Contains(Roles, r) }

// ReadsConsole reports whether r sees the administration at all.
func (r Role) ReadsConsole() bool { return r.Valid() && r != Member }

// ReadsAudit reports whether r sees the audit log.
func (r Role) ReadsAudit() bool { return r == Owner || r == Administrator || r == Auditor }

// SetsRules reports whether r changes the rules of its organization and everything else that
// concerns all of it.
func (r Role) SetsRules() bool { return r.Governs(Administrator) }

// LooksAfterPeople reports whether r invites people and looks after those it could invite.
func (r Role) LooksAfterPeople() bool { return len(r.Grants()) > 0 }

// Grants lists the roles that r may give to others, highest first. Nobody gives a right that they
// do not have (R-TEN-06), and helpdesk makes only members.
func (r Role) Grants() []Role {
	switch r {
	case Owner:
		return Roles
	case Administrator:
		return []Role{Administrator, Helpdesk, Auditor, Member}
	case Helpdesk:
		return []Role{Member}
	case Auditor, Member:
	}
	return nil
}

// Governs reports whether r may change a person who has the other role, or is invited to it.
func (r Role) Governs(other Role) bool { return slices.Contains(r.Grants(), other) }
