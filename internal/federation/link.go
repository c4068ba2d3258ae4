package federation

import (
	"context"
	"errors"
	"slices"
	"strings"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/domain"
	"parvis/internal/i18n"
	"parvis/internal/mail"
	"parvis/internal/naming"
	"parvis/internal/session"
	"parvis/internal/signin"
	"parvis/internal/upstream"
)

// The checks of who may come in.
const (
	checkLasting    = "lasting_subject" // the subject is the same the next time
	checkActive     = "active"          // the user is not deactivated or deleted
	checkConfirmed  = "owner_confirmed" // an owner comes in only where an owner confirmed what the connection trusts
	checkSamePerson = "same_person"     // who is signed in, and nobody else, proves it again
	checkInvitation = "invitation"      // still good
	checkEmail      = "email"           // one address, and it is one
	checkVouched    = "email_verified"  // the provider says, or the administrator said for it, that it is the person's
	checkDomain     = "domain"          // and of a domain that the organization has proven
	checkKnown      = "known"           // somebody here, or people are made as they come
	checkSecond     = "second_subject"  // nobody whom the connection knows by another name already
	checkProof      = "own_proof"       // an owner or administrator proved it by what they had before
	checkLetter     = "letter"          // who is invited to more than membership opened the letter's link
)

// entrance is how somebody comes: in which language, and whether they saw whom the answer
// is about and went on. proved are the users whom this browser proved to be just now.
type entrance struct {
	language  i18n.Tag
	confirmed bool
	rehearsed bool // it is a test: what a person would prove or have approved first is waived
	proved    []directory.UserID
}

// proveFirst asks an owner or administrator, whom a provider names for the first time,
// to prove by what they had before that it is them.
type proveFirst struct{ user directory.User }

func (proveFirst) Error() string {
	return "an owner or administrator proves a new link by what they had before"
}

// Arrival is how somebody who came in is known.
type Arrival string

// The arrivals.
const (
	ArrivedLinked  Arrival = "linked"  // by the subject, which came before
	ArrivedKnown   Arrival = "known"   // by the address, and linked from now on
	ArrivedInvited Arrival = "invited" // and a member from now on
	ArrivedNew     Arrival = "new"     // made by the connection
)

// admit finds whom an answer is about, makes the user or the link where the connection
// may, or names the check that keeps the person out. Every look-up names the
// organization of the connection: what a provider asserts reaches nobody elsewhere.
func (h *Hub) admit(ctx context.Context, tx *db.Tx, a *answer, attempt signin.Attempt, how entrance) (directory.Candidate, error) {
	c := a.Connection
	user, linked, err := linkedUser(ctx, tx, a)
	switch {
	case err != nil:
		return directory.Candidate{}, err
	case linked:
		// By the provider's stable subject, whatever address it says now (R-RPO-05).
		a.Arrival = ArrivedLinked
		if err := a.Trace.Require(checkActive, user.Closed() == nil, "", ""); err != nil {
			return directory.Candidate{}, err
		}
		if user, err = mapRole(ctx, tx, a, user); err != nil {
			return directory.Candidate{}, err
		}
	case attempt.UserID != "":
		// Proving it again links nobody.
		return directory.Candidate{}, a.Trace.Require(checkSamePerson, false, "", a.who())
	default:
		if user, err = h.link(ctx, tx, a, attempt, how); err != nil {
			return directory.Candidate{}, err
		}
	}
	if attempt.UserID != "" {
		if err := a.Trace.Require(checkSamePerson, user.ID == attempt.UserID, "", ""); err != nil {
			return directory.Candidate{}, err
		}
	}
	if user.Role == directory.Owner && !how.rehearsed {
		if err := a.Trace.Require(checkConfirmed, !a.Connection.ConfirmedAt.IsZero(), "", ""); err != nil {
			return directory.Candidate{}, err
		}
	}
	if missing := a.Assertion.Missing; missing.Name != "" {
		missing.Waived = true
		a.Trace.Checks = append(a.Trace.Checks, missing)
	}
	org, err := directory.OrganizationByID(ctx, tx, c.OrgID)
	return directory.Candidate{User: user, Organization: org}, err
}

// need requires what a person cannot come in without. Where that did not come because
// the provider did not answer, the refusal says so.
func (a *answer) need(check string, ok, absent bool, expected, found string) error {
	if missing := a.Assertion.Missing; !ok && absent && missing.Name != "" {
		check, expected, found = missing.Name, missing.Expected, missing.Found
	}
	return a.Trace.Require(check, ok, expected, found)
}

// linkedUser finds the user of a subject: by connection, issuer and subject, byte by byte
// (R-SML-08, R-RPO-04).
func linkedUser(ctx context.Context, tx *db.Tx, a *answer) (directory.User, bool, error) {
	var user directory.User
	found, err := tx.One(ctx, user.Targets(), `
		select `+directory.UserColumns+`
		from identities i
		join users u on u.org_id = i.org_id and u.id = i.user_id
		where i.org_id = $1 and i.connection_id = $2 and i.issuer = $3 and i.subject = $4`,
		string(a.Connection.OrgID), a.Connection.ID, a.Assertion.Issuer, a.Assertion.Subject)
	if err != nil || !found {
		return directory.User{}, false, err
	}
	_, err = tx.Exec(ctx, `
		update identities set used_at = $1, email = $2
		where org_id = $3 and connection_id = $4 and issuer = $5 and subject = $6`,
		db.Time(tx.Now()), a.Connection.Mapping.email(a.Assertion), string(a.Connection.OrgID), a.Connection.ID, a.Assertion.Issuer, a.Assertion.Subject)
	return user, true, err
}

// link finds or makes the user of a subject that came for the first time.
func (h *Hub) link(ctx context.Context, tx *db.Tx, a *answer, attempt signin.Attempt, how entrance) (directory.User, error) {
	c := a.Connection
	// A transient NameID names somebody for one session only (Core §8.3.8).
	if err := a.Trace.Require(checkLasting, a.Assertion.Format != transientFormat, "", a.Assertion.Format); err != nil {
		return directory.User{}, err
	}
	said := c.Mapping.email(a.Assertion)
	if attempt.InvitationID != "" {
		return h.joinInvited(ctx, tx, a, attempt.InvitationID, said, how)
	}
	address, err := naming.ParseAddress(said)
	if err := a.need(checkEmail, err == nil, said == "", "", said); err != nil {
		return directory.User{}, err
	}
	vouched, word := c.vouchedFor(a.Assertion, said)
	if err := a.need(checkVouched, vouched, word == said, "email_verified: true", word); err != nil {
		return directory.User{}, err
	}
	held, err := domain.Holds(ctx, tx, c.OrgID, address)
	if err != nil {
		return directory.User{}, err
	}
	if err := a.Trace.Require(checkDomain, held, "", address.Domain); err != nil {
		return directory.User{}, err
	}
	known, err := directory.Candidates(ctx, tx, address, c.OrgID, 1)
	if err != nil {
		return directory.User{}, err
	}
	if len(known) == 1 {
		a.Arrival = ArrivedKnown
		return known[0].User, h.linkKnown(ctx, tx, a, known[0].User, how)
	}
	closed, err := directory.AddressTaken(ctx, tx, c.OrgID, address)
	if err != nil {
		return directory.User{}, err
	}
	if err := a.Trace.Require(checkActive, !closed, "", ""); err != nil {
		return directory.User{}, err // nobody who was shut out comes back this way (R-RPO-08)
	}
	invited, err := directory.InvitationsTo(ctx, tx, address, c.OrgID)
	if err != nil {
		return directory.User{}, err
	}
	if len(invited) == 1 && invited[0].Invitation.Usable(tx.Now()) == nil {
		// Whoever runs the provider can say this address. It makes nobody more than a
		// member: that takes the link that was sent to the person.
		if err := a.Trace.Require(checkLetter, how.rehearsed || invited[0].Invitation.Role == directory.Member, "", said); err != nil {
			return directory.User{}, err
		}
		how.confirmed = true
		return h.joinInvited(ctx, tx, a, invited[0].Invitation.ID, said, how)
	}
	if err := a.Trace.Require(checkKnown, c.Creates, "", said); err != nil {
		return directory.User{}, err
	}
	a.Arrival = ArrivedNew
	user, err := directory.CreateFederated(ctx, tx, directory.User{
		OrgID: c.OrgID, Email: said, Name: c.Mapping.name(a.Assertion, "", said), Role: c.role(a.Assertion), Language: how.language, TimeZone: a.TimeZone,
	}, c.Name)
	if err != nil {
		return directory.User{}, err
	}
	return user, keepIdentity(ctx, tx, a, user, said, true)
}

// joinInvited accepts an invitation with a provider in place of a password. Where the
// provider says another address, the person sees both first (decision 0032).
func (h *Hub) joinInvited(ctx context.Context, tx *db.Tx, a *answer, id, said string, how entrance) (directory.User, error) {
	c := a.Connection
	inv, err := directory.InvitationByID(ctx, tx, directory.System(c.OrgID), c.OrgID, id)
	if err == nil {
		err = inv.Usable(tx.Now())
	}
	if err := a.Trace.Require(checkInvitation, err == nil, "", ""); err != nil {
		return directory.User{}, err
	}
	if !how.confirmed && !strings.EqualFold(said, inv.Email) {
		return directory.User{}, errOtherAddress
	}
	a.Arrival = ArrivedInvited
	user, err := directory.AcceptInvitationOf(ctx, tx, inv, directory.User{
		ID: directory.NewUserID(), Name: c.Mapping.name(a.Assertion, inv.Name, inv.Email), Language: how.language, TimeZone: a.TimeZone,
	})
	if errors.Is(err, directory.ErrInvitationUsed) {
		return directory.User{}, a.Trace.Require(checkInvitation, false, "", "")
	}
	if err != nil {
		return directory.User{}, err
	}
	return user, keepIdentity(ctx, tx, a, user, said, false)
}

func keepIdentity(ctx context.Context, tx *db.Tx, a *answer, user directory.User, said string, created bool) error {
	l := a.linkTo(user, said)
	if err := keepLink(ctx, tx, l, created); err != nil {
		return err
	}
	return audit.Record(ctx, tx, l.event(user.AsActor(), "identity.linked"))
}

func (a *answer) linkTo(user directory.User, said string) Link {
	return Link{
		User: user, Connection: a.Connection.ID, Provider: a.Connection.Name, Issuer: a.Assertion.Issuer, Email: said,
		subject: a.Assertion.Subject, protocol: a.Connection.Protocol,
	}
}

// linkKnown links the user who has the address that a provider says. A second subject
// of the same connection waits for approval: the provider may have given the address of
// somebody who left to somebody else. An owner or administrator proves it by what they
// had before, or somebody who governs them approves it: whoever runs a provider could
// name any address (decision 0044).
func (h *Hub) linkKnown(ctx context.Context, tx *db.Tx, a *answer, user directory.User, how entrance) error {
	said := a.Connection.Mapping.email(a.Assertion)
	second, err := tx.One(ctx, db.Into(new(string)), `
		select user_id from identities
		where org_id = $1 and connection_id = $2 and user_id = $3
		limit 1`, string(user.OrgID), a.Connection.ID, string(user.ID))
	if err != nil {
		return err
	}
	if how.rehearsed {
		if second {
			a.Trace.Checks = append(a.Trace.Checks, upstream.Check{Name: checkSecond, Found: said, Waived: true})
		}
		return nil
	}
	a.wanted = wanted{user}
	if err := a.Trace.Require(checkSecond, !second, "", said); err != nil {
		return err
	}
	if user.Role == directory.Owner || user.Role == directory.Administrator {
		if !slices.Contains(how.proved, user.ID) {
			return proveFirst{user}
		}
		if user.Role == directory.Owner && a.Connection.ConfirmedAt.IsZero() {
			// It is an owner with fresh proof who says that this provider names them.
			if err := h.setConfirmed(ctx, tx, user.AsActor(), a.Connection); err != nil {
				return err
			}
			a.Connection.ConfirmedAt = tx.Now()
		}
	}
	a.wanted = wanted{}
	if err := keepIdentity(ctx, tx, a, user, said, false); err != nil {
		return err
	}
	return h.tellLinked(ctx, tx, a.linkTo(user, said), mail.AccountLinked)
}

// mapRole gives a user whom the connection made the role that its groups have now. Who
// was invited, or was here before, keeps the one that an administrator gave.
func mapRole(ctx context.Context, tx *db.Tx, a *answer, user directory.User) (directory.User, error) {
	c := a.Connection
	role := c.role(a.Assertion)
	if a.Assertion.Missing.Name != "" && len(a.Assertion.Values(c.Mapping.groupsName())) == 0 {
		return user, nil // the groups were not said: that is not to be in none
	}
	if len(c.Mapping.Roles) == 0 || user.Role == role || user.Role == directory.Owner {
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

// role is what the groups of somebody who came for the first time say: a member's
// unless the mapping names more, and never an owner's.
func (c Connection) role(a upstream.Assertion) directory.Role {
	groups := a.Values(c.Mapping.groupsName())
	for _, m := range c.Mapping.Roles {
		if m.Role != directory.Owner && m.Role.Valid() && slices.Contains(groups, m.Group) {
			return m.Role
		}
	}
	return directory.Member
}

// proof is what a session carries away: what the provider said that the person did, and
// no more (R-RPO-06).
func (a answer) proof() session.Proof {
	methods := methodsOf(a.Assertion)
	return session.Proof{
		Methods: methods, Second: slices.Contains(methods, "mfa"), ConnectionID: a.Connection.ID, Until: a.Assertion.SessionEnds,
	}
}

// strong are the names of providers for authentication with several factors.
var strong = []string{
	"http://schemas.microsoft.com/claims/multipleauthn", "https://refeds.org/profile/mfa",
	"urn:oasis:names:tc:SAML:2.0:ac:classes:MobileTwoFactorContract", "urn:oasis:names:tc:SAML:2.0:ac:classes:TimeSyncToken",
	"http://schemas.openid.net/pape/policies/2007/06/multi-factor",
}

// standard are the methods of RFC 8176 §2, of which a provider may name any.
var standard = strings.Fields("face fpt geo hwk iris kba mca mfa otp pin pop pwd rba retina sc sms swk tel user vbm wia")

func methodsOf(a upstream.Assertion) []string {
	var all []string
	for _, m := range a.AMR {
		if slices.Contains(standard, m) && !slices.Contains(all, m) {
			all = append(all, m)
		}
	}
	if !slices.Contains(all, "mfa") && (slices.Contains(strong, a.ACR) || slices.ContainsFunc(a.AMR, func(m string) bool { return slices.Contains(strong, m) })) {
		all = append(all, "mfa")
	}
	return all
}
