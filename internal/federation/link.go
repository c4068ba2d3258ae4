package federation

import (
	"cmp"
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
	"parvis/internal/provisioning"
	"parvis/internal/session"
	"parvis/internal/signin"
	"parvis/internal/upstream"
)

// The checks that decide who may come in.
const (
	checkLasting    = "lasting_subject"      // the subject will be the same the next time
	checkActive     = "active"               // the user is not deactivated or deleted
	checkConfirmed  = "owner_confirmed"      // an owner comes in only after an owner confirmed what the connection trusts
	checkSamePerson = "same_person"          // a session is proved again by its own person
	checkInvitation = "invitation"           // the invitation is still good
	checkEmail      = "email"                // there is one address, and it is well-formed
	checkVouched    = "email_verified"       // the provider, or the administrator for it, says that the address is the person's
	checkDomain     = "domain"               // the organization has proven the address's domain
	checkKnown      = "known"                // a user has the address, or the connection creates users
	checkSecond     = "second_subject"       // the connection does not know the user by another subject
	checkSource     = "directory_connection" // the directory that keeps the user names this connection, or none
	checkProof      = "own_proof"            // an owner or administrator proved a new link by an earlier credential
	checkLetter     = "letter"               // a person invited to more than membership opened the letter's link
)

// entrance says how somebody comes in: in which language, whether they saw the
// confirmation page and went on, and which users this browser has just proved to be.
type entrance struct {
	language  i18n.Tag
	confirmed bool
	rehearsed bool // it is a test: no proof and no approval is needed first
	proved    []directory.UserID
}

// proveFirst asks an owner or administrator to prove who they are by an earlier
// credential, because a provider names them for the first time.
type proveFirst struct{ user directory.User }

func (proveFirst) Error() string {
	return "an owner or administrator proves a new link by what they had before"
}

// Arrival is how a person who came in was recognized.
type Arrival string

// The arrivals.
const (
	ArrivedLinked  Arrival = "linked"  // by a subject that was linked before
	ArrivedKnown   Arrival = "known"   // by the address, and linked from now on
	ArrivedInvited Arrival = "invited" // by an invitation, and a member from now on
	ArrivedNew     Arrival = "new"     // created by the connection
)

// admit finds the user that an answer names, or makes the user or the link where the
// connection may, or names the check that keeps the person out. Every look-up names the
// connection's organization, so that a provider's assertion reaches nobody elsewhere.
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
		// Proving a session again makes no link.
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

// need requires something that a person cannot come in without. If it is absent because
// the provider did not answer UserInfo, the refusal says so.
func (a *answer) need(check string, ok, absent bool, expected, found string) error {
	if missing := a.Assertion.Missing; !ok && absent && missing.Name != "" {
		check, expected, found = missing.Name, missing.Expected, missing.Found
	}
	return a.Trace.Require(check, ok, expected, found)
}

// linkedUser finds the user linked to connection, issuer and subject, compared byte by
// byte (R-SML-08, R-RPO-04).
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

// link finds or makes the user for a subject that comes for the first time.
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
		return h.linkKnown(ctx, tx, a, known[0].User, how)
	}
	closed, err := directory.AddressTaken(ctx, tx, c.OrgID, address)
	if err != nil {
		return directory.User{}, err
	}
	if err := a.Trace.Require(checkActive, !closed, "", ""); err != nil {
		return directory.User{}, err // nobody who was deactivated comes back this way (R-RPO-08)
	}
	invited, err := directory.InvitationsTo(ctx, tx, address, c.OrgID)
	if err != nil {
		return directory.User{}, err
	}
	if len(invited) == 1 && invited[0].Invitation.Usable(tx.Now()) == nil {
		// Somebody who runs the provider could claim this address. So it makes nobody
		// more than a member; that takes the link in the letter.
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
	user, err := directory.CreateFederated(ctx, tx, a.newcomer("", said, how), c.Name)
	if err != nil {
		return directory.User{}, err
	}
	return user, keepIdentity(ctx, tx, a, user, said, true)
}

// newcomer is a person who comes for the first time, as far as the provider describes them.
func (a *answer) newcomer(invited, email string, how entrance) directory.User {
	m := a.Connection.Mapping
	given, family := parts(a.Assertion)
	return directory.User{
		OrgID: a.Connection.OrgID, Email: email, Name: m.name(a.Assertion, invited, email), GivenName: given, FamilyName: family,
		Role: a.Connection.role(a.Assertion), Language: how.language, TimeZone: a.TimeZone,
	}
}

// joinInvited accepts an invitation with a provider in place of a password. If the
// provider gives another address, the person sees both first (decision 0032).
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
	joining := a.newcomer(inv.Name, inv.Email, how)
	joining.ID = cmp.Or(inv.UserID, directory.NewUserID())
	a.vouches(ctx, joining.ID)
	user, err := directory.AcceptInvitationOf(ctx, tx, inv, joining)
	if errors.Is(err, directory.ErrInvitationUsed) {
		return directory.User{}, a.Trace.Require(checkInvitation, false, "", "")
	}
	if err != nil {
		return directory.User{}, err
	}
	if inv.UserID != "" {
		return linkFirst(ctx, tx, a, user)
	}
	return user, keepIdentity(ctx, tx, a, user, said, false)
}

// linkFirst links a user who had no way in. At their first arrival they get the role of their groups
// as if the connection had created them, because until now no administrator knew them.
func linkFirst(ctx context.Context, tx *db.Tx, a *answer, user directory.User) (directory.User, error) {
	first := user.LastSignInAt.IsZero()
	if err := keepIdentity(ctx, tx, a, user, a.Connection.Mapping.email(a.Assertion), first); err != nil {
		return directory.User{}, err
	}
	role, another := a.role(user)
	if !first || !another {
		return user, nil
	}
	return directory.SetMappedRole(ctx, tx, user, role, a.Connection.Name)
}

// vouches lets the log have what the provider said in what the user does in this request.
func (a *answer) vouches(ctx context.Context, user directory.UserID) {
	audit.Admitted(ctx, audit.Admission{Actor: string(user), Method: cmp.Or(strings.Join(methodsOf(a.Assertion), " "), audit.ByProvider)})
}

func keepIdentity(ctx context.Context, tx *db.Tx, a *answer, user directory.User, said string, created bool) error {
	a.vouches(ctx, user.ID)
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

// linkKnown links the user who has the address that a provider gives. A second subject
// of the same connection waits for approval: the provider may have given the address of
// somebody who left to another person. An owner or administrator first proves who they
// are by an earlier credential, or is approved by somebody who governs them, because the
// people who run a provider could claim any address (decision 0044).
func (h *Hub) linkKnown(ctx context.Context, tx *db.Tx, a *answer, user directory.User, how entrance) (directory.User, error) {
	said := a.Connection.Mapping.email(a.Assertion)
	second, err := tx.One(ctx, db.Into(new(string)), `
		select user_id from identities
		where org_id = $1 and connection_id = $2 and user_id = $3
		limit 1`, string(user.OrgID), a.Connection.ID, string(user.ID))
	if err != nil {
		return directory.User{}, err
	}
	by, err := provisioning.ComesInBy(ctx, tx, user)
	if err != nil {
		return directory.User{}, err
	}
	theirs := by == "" || by == a.Connection.ID
	if how.rehearsed {
		if second {
			a.Trace.Checks = append(a.Trace.Checks, upstream.Check{Name: checkSecond, Found: said, Waived: true})
		}
		if !theirs {
			a.Trace.Checks = append(a.Trace.Checks, upstream.Check{Name: checkSource, Found: said, Waived: true})
		}
		return user, nil
	}
	a.wanted = wanted{user}
	if err := a.Trace.Require(checkSecond, !second, "", said); err != nil {
		return directory.User{}, err
	}
	if err := a.Trace.Require(checkSource, theirs, "", said); err != nil {
		return directory.User{}, err
	}
	if user.Role == directory.Owner || user.Role == directory.Administrator {
		if !slices.Contains(how.proved, user.ID) {
			return directory.User{}, proveFirst{user}
		}
		if user.Role == directory.Owner && a.Connection.ConfirmedAt.IsZero() {
			// An owner with fresh proof accepts what this provider says of them.
			if err := h.setConfirmed(ctx, tx, user.AsActor(), a.Connection); err != nil {
				return directory.User{}, err
			}
			a.Connection.ConfirmedAt = tx.Now()
		}
	}
	a.wanted = wanted{}
	if !user.HasWayIn() {
		return linkFirst(ctx, tx, a, user)
	}
	if err := keepIdentity(ctx, tx, a, user, said, false); err != nil {
		return directory.User{}, err
	}
	return user, h.tellLinked(ctx, tx, a.linkTo(user, said), mail.AccountLinked)
}

// proof returns what a session keeps of the answer: only what the provider said that the
// person did (R-RPO-06).
func (a answer) proof() session.Proof {
	methods := methodsOf(a.Assertion)
	return session.Proof{
		Methods: methods, Second: slices.Contains(methods, "mfa"), ConnectionID: a.Connection.ID, Until: a.Assertion.SessionEnds,
	}
}

// strong are the values by which providers name authentication with several factors.
var strong = []string{
	"http://schemas.microsoft.com/claims/multipleauthn", "https://refeds.org/profile/mfa",
	"urn:oasis:names:tc:SAML:2.0:ac:classes:MobileTwoFactorContract", "urn:oasis:names:tc:SAML:2.0:ac:classes:TimeSyncToken",
	"http://schemas.openid.net/pape/policies/2007/06/multi-factor",
}

// standard are the methods of RFC 8176 §2; we take any of them from a provider.
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
