// Package directory keeps organizations, users and their roles, invitations, and the one link
// that makes the first owner of all.
//
// It owns organizations, users, groups and their members, invitations and bootstraps, pictures
// and logos, changes of addresses, and the links by which a person disowns what was done. Every
// statement names its organization. The listed exceptions are sweeps, and look-ups by a secret's
// hash, an address or its domain, which return the organization.
package directory

import (
	"time"

	"parvis/internal/i18n"
)

// OrgID identifies an organization, as org_ and 26 characters.
type OrgID string

// UserID identifies a user within its organization, as usr_ and 26 characters.
type UserID string

// Organization is a customer: the unit of isolation.
type Organization struct {
	ID                 OrgID
	ShortName          string // as shown and as in paths: /o/SHORT-NAME
	DisplayName        string
	Language           i18n.Tag      // of letters to people whose language is not known
	Contact            string        // where its people ask for help; may be empty
	Logo               string        // id of an image; empty for none
	InvitationLifetime time.Duration // from 1 hour to 30 days
	CreatedAt          time.Time
	SuspendedAt        time.Time // zero while it is open
	DeletedAt          time.Time // zero unless the operator deleted it; it is suspended too then
	FederatedSince     time.Time // since when single sign-on is the only way in; zero if it is not
}

// User is one person in one organization.
type User struct {
	OrgID         OrgID
	ID            UserID
	Email         string    // the canonical address
	EmailSince    time.Time // since when it is the address; zero for the first
	Name          string
	GivenName     string // may be empty
	FamilyName    string // may be empty
	Role          Role
	Language      i18n.Tag
	TimeZone      string // IANA name; empty is UTC
	Picture       string // id of an image; empty for none
	CreatedAt     time.Time
	LastSignInAt  time.Time // zero before the first
	DeactivatedAt time.Time // zero while active
	DeletedAt     time.Time // zero while not deleted; a deleted user is deactivated too

	// Generation counts how often everything was voided that this user had open: sessions,
	// attempts, links. What carries an earlier number no longer counts.
	Generation int
	// DisownedAt is when the person last said 'this was not me'. Browsers remembered before
	// that are strangers again.
	DisownedAt time.Time
	// BreakGlassSince is since when this user's passkeys work where single sign-on is the
	// only way in; zero if they do not.
	BreakGlassSince time.Time
	// ProfileSince is when the profile last changed; zero for the first one.
	ProfileSince time.Time

	SecondStep  SecondStep // which kind the user owns
	HasPassword bool
	Linked      bool // signs in by some provider

	// ChangedAt is when anything that the administration's API shows last changed, sign-ins aside.
	ChangedAt time.Time

	SourceID   string // the customer's directory that keeps this user here; empty for none
	ExternalID string // the id by which that directory knows the user; may be empty
	ShutOutBy  string // the source that deactivated the user; empty if somebody here did
}

// UpdatedAt returns when the address or the profile last changed, or the user was created.
func (u User) UpdatedAt() time.Time {
	last := u.CreatedAt
	for _, at := range []time.Time{u.EmailSince, u.ProfileSince} {
		if at.After(last) {
			last = at
		}
	}
	return last
}
