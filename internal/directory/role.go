package directory

import "slices"

// Role says what a user may do in its own organization.
type Role string

// The roles. An owner may do all that an administrator may, and is the only
// one who makes owners. Helpdesk looks after people who are members. An
// auditor reads everything and changes nothing.
const (
	Owner         Role = "owner"
	Administrator Role = "administrator"
	Helpdesk      Role = "helpdesk"
	Auditor       Role = "auditor"
	Member        Role = "member"
)

// Roles lists every role, the one with most rights first.
var Roles = []Role{Owner, Administrator, Helpdesk, Auditor, Member}

// Valid tells whether r is one of Roles.
func (r Role) Valid() bool { return slices.Contains(Roles, r) }

// ReadsConsole tells whether r sees the administration at all.
func (r Role) ReadsConsole() bool { return r.Valid() && r != Member }

// ReadsAudit tells whether r sees the audit log.
func (r Role) ReadsAudit() bool { return r == Owner || r == Administrator || r == Auditor }

// SetsRules reports whether r changes the rules of its organization, and what else concerns
// all of it.
func (r Role) SetsRules() bool { return r.Governs(Administrator) }

// LooksAfterPeople reports whether r invites people, and looks after those whom it could
// invite.
func (r Role) LooksAfterPeople() bool { return len(r.Grants()) > 0 }

// Grants lists the roles that r may give to others, highest first. Nobody gives
// a right that they do not hold (R-TEN-06), and helpdesk makes members only.
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

// Governs tells whether r may change a person who holds, or is invited to, the other role.
func (r Role) Governs(other Role) bool { return slices.Contains(r.Grants(), other) }
