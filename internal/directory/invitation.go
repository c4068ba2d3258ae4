package directory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/fault"
	"parvis/internal/i18n"
	"parvis/internal/lifetime"
	"parvis/internal/mail"
	"parvis/internal/naming"
	"parvis/internal/secret"
)

// The faults of invitations. Only somebody with the right token learns why a link does not work;
// everything else is ErrInvitationUnknown.
var (
	ErrInvitationUnknown   = fault.New(fault.NotFound, "directory.invitation_unknown")
	ErrInvitationUsed      = fault.New(fault.Gone, "directory.invitation_used")
	ErrInvitationExpired   = fault.New(fault.Gone, "directory.invitation_expired")
	ErrInvitationWithdrawn = fault.New(fault.Gone, "directory.invitation_withdrawn")
	ErrInvitationRefused   = fault.New(fault.Gone, "directory.invitation_refused")
	ErrInvitationReplaced  = fault.New(fault.Gone, "directory.invitation_replaced")
	ErrInvitationTaken     = fault.New(fault.Gone, "directory.invitation_taken")
	ErrAlreadyMember       = fault.Field("email", "directory.already_member")
	ErrAlreadyInvited      = fault.Field("email", "directory.already_invited")
	ErrRoleUnknown         = fault.Field("role", "directory.role_unknown")
	ErrRoleIsAnother       = fault.Field("role", "directory.role_is_another")
	ErrInvitedLanguage     = fault.Field("invited_language", "directory.language_unknown")
)

// Invitation is an offer to join an organization, sent to an address.
type Invitation struct {
	OrgID       OrgID
	ID          string
	Email       string
	Name        string // as the inviter wrote it; may be empty
	Role        Role
	Language    i18n.Tag
	By          Asker
	CreatedAt   time.Time
	ExpiresAt   time.Time
	OpenedAt    time.Time
	AcceptedAt  time.Time
	WithdrawnAt time.Time
	ReplacedAt  time.Time
	Letter      mail.Delivery

	// UserID is the user whom the invitation is to: one who has no way in and whom a customer's
	// directory named (decision 0066). Empty where it makes a user.
	UserID UserID

	letterID string
	taken    bool // a user has the address whom the invitation is not to
	rests    bool // that user has no way in and is shut out, and may be let in again
}

// RenewableFor is how long after an invitation was made the holder of its expired link can have
// a fresh one sent.
const RenewableFor = 60 * 24 * time.Hour

// Renewable reports whether the holder of the link may have a fresh one sent.
func (i Invitation) Renewable(now time.Time) bool {
	return i.State(now) == InvitationExpired && now.Before(i.CreatedAt.Add(RenewableFor))
}

// InvitationState is the state that a list shows.
type InvitationState string

// The states; an earlier one hides a later one.
const (
	InvitationAccepted  InvitationState = "accepted"
	InvitationWithdrawn InvitationState = "withdrawn"
	InvitationReplaced  InvitationState = "replaced"
	InvitationTaken     InvitationState = "taken"   // a user has changed their address to this one
	InvitationLapsed    InvitationState = "lapsed"  // the one who sent it may no longer invite
	InvitationBounced   InvitationState = "bounced" // the mail server refused its letter for good
	InvitationExpired   InvitationState = "expired"
	InvitationOpened    InvitationState = "opened"
	InvitationGivenUp   InvitationState = "given_up" // no mail server took its letter in time
	InvitationSent      InvitationState = "sent"
	InvitationWaiting   InvitationState = "waiting"
)

// State returns the state of the invitation now.
func (i Invitation) State(now time.Time) InvitationState {
	switch {
	case !i.AcceptedAt.IsZero():
		return InvitationAccepted
	case !i.WithdrawnAt.IsZero():
		return InvitationWithdrawn
	case !i.ReplacedAt.IsZero():
		return InvitationReplaced
	case i.taken:
		return InvitationTaken
	case !i.By.StillGoverns(i.Role):
		return InvitationLapsed
	case i.Letter.Refused():
		return InvitationBounced
	case !now.Before(i.ExpiresAt):
		return InvitationExpired
	case !i.OpenedAt.IsZero():
		return InvitationOpened
	case !i.Letter.SentAt.IsZero():
		return InvitationSent
	case !i.Letter.GivenUpAt.IsZero():
		return InvitationGivenUp
	}
	return InvitationWaiting
}

// Open reports whether nobody accepted, withdrew or replaced the invitation, so that it can be
// sent again or withdrawn.
func (i Invitation) Open() bool {
	return i.AcceptedAt.IsZero() && i.WithdrawnAt.IsZero() && i.ReplacedAt.IsZero()
}

// Usable returns nil while the link works, and otherwise tells its holder why it does not.
func (i Invitation) Usable(now time.Time) error {
	switch i.State(now) {
	case InvitationAccepted:
		return ErrInvitationUsed
	case InvitationWithdrawn, InvitationLapsed: // its holder is told the same for both
		return ErrInvitationWithdrawn
	case InvitationReplaced:
		return ErrInvitationReplaced
	case InvitationBounced:
		return ErrInvitationRefused
	case InvitationTaken:
		if i.rests {
			return ErrInvitationWithdrawn // a stranger with the link does not learn whom a directory shut out
		}
		return ErrInvitationTaken
	case InvitationExpired:
		return ErrInvitationExpired
	default:
		return nil
	}
}

// Invitations sends, renews and withdraws invitations.
type Invitations struct {
	Outbox    *mail.Outbox
	Base      string // the configured public address, without a slash at its end
	Lifetimes lifetime.Overrides

	at time.Time // when letters leave; zero for now
}

// NewInvitation is what an inviter enters.
type NewInvitation struct {
	Email    string
	Name     string // may be empty: the invited person then enters it
	Role     Role
	Language i18n.Tag
}

// clean returns what is stored of n, or a fault for every value that is wrong.
func (n NewInvitation) clean() (NewInvitation, naming.Address, error) {
	address, wrongAddress := naming.ParseAddress(n.Email)
	var wrongName, wrongRole, wrongLanguage error
	if n.Name = strings.TrimSpace(n.Name); n.Name != "" {
		n.Name, wrongName = naming.CleanName(n.Name, "name")
	}
	if !n.Role.Valid() {
		wrongRole = ErrRoleUnknown
	}
	if !i18n.Known(n.Language) {
		wrongLanguage = ErrInvitedLanguage
	}
	return n, address, errors.Join(wrongAddress, wrongName, wrongRole, wrongLanguage)
}

// judged is an invitation that may be sent.
type judged struct {
	actor   Actor // as it is now
	new     NewInvitation
	address naming.Address
	open    Invitation // is replaced, because it no longer works; without an id if there is none
}

// judge decides whether an actor may invite somebody, for Send and for MayInvite.
func judge(ctx context.Context, r db.Reader, actor Actor, org OrgID, n NewInvitation) (judged, error) {
	actor, err := actor.In(ctx, r, org)
	if err != nil {
		return judged{}, err
	}
	n, address, wrong := n.clean()
	switch {
	case n.Role.Valid() && !actor.Role.Governs(n.Role):
		return judged{}, ErrDenied
	case wrong != nil:
		return judged{}, wrong
	}
	user, known, err := ownerOf(ctx, r, org, address)
	switch {
	case err != nil:
		return judged{}, err
	case known && (user.HasWayIn() || user.Closed() != nil):
		return judged{}, ErrAlreadyMember
	case known && user.Role != n.Role:
		return judged{}, ErrRoleIsAnother // an invitation makes a way in, and changes nobody's rights
	}
	open, found, err := openInvitation(ctx, r, org, address)
	if err != nil {
		return judged{}, err
	}
	// An actor with fewer rights does not replace an invitation.
	if found && (open.Usable(r.Now()) == nil || !actor.Role.Governs(open.Role)) {
		return judged{}, ErrAlreadyInvited
	}
	if actor.Kind == KindSource {
		err = fewInvitations(ctx, r, org, address)
	}
	return judged{actor, n, address, open}, err
}

// MayInvite returns nil if Send would invite, and otherwise every fault that keeps it from that.
func MayInvite(ctx context.Context, r db.Reader, actor Actor, org OrgID, n NewInvitation) error {
	_, err := judge(ctx, r, actor, org, n)
	return err
}

// Send invites an address into an organization. It stores the invitation and its letter in one
// transaction, and replaces an open invitation that no longer works.
func (s *Invitations) Send(ctx context.Context, tx *db.Tx, actor Actor, org Organization, n NewInvitation) (Invitation, error) {
	j, err := judge(ctx, tx, actor, org.ID, n)
	if err != nil {
		return Invitation{}, err
	}
	if j.open.ID != "" {
		if err := s.kill(ctx, tx, j.open, "replaced_at"); err != nil {
			return Invitation{}, err
		}
	}
	inv, err := s.insert(ctx, tx, j.actor, org, Invitation{OrgID: org.ID, Email: j.address.Text, Name: j.new.Name, Role: j.new.Role, Language: j.new.Language})
	if err != nil {
		return Invitation{}, err
	}
	e := inv.event(j.actor, "invitation.sent")
	if j.open.ID != "" {
		e.Before = audit.Fields{"email": j.open.Email, "name": j.open.Name, "role": j.open.Role, "language": j.open.Language}
	}
	return inv, audit.Record(ctx, tx, e)
}

// Resend replaces an open invitation by a fresh one, and ends the older link.
func (s *Invitations) Resend(ctx context.Context, tx *db.Tx, actor Actor, org Organization, id string) (Invitation, error) {
	old, err := s.open(ctx, tx, actor, org.ID, id)
	if err == nil && old.taken {
		err = ErrInvitationTaken
	}
	if err != nil {
		return Invitation{}, err
	}
	return s.replace(ctx, tx, actor, org, old)
}

// Renew sends a fresh letter to the invited address when the holder of an expired link asks for
// one. It renews no withdrawn or used link.
func (s *Invitations) Renew(ctx context.Context, tx *db.Tx, token secret.Token) (Invitation, error) {
	old, org, err := InvitationByToken(ctx, tx, token)
	if err != nil {
		return Invitation{}, err
	}
	if !old.Renewable(tx.Now()) {
		if err := old.Usable(tx.Now()); err != nil {
			return Invitation{}, err
		}
		return Invitation{}, ErrInvitationUnknown // the link works: there is nothing to renew
	}
	holder := Anonymous()
	holder.Name = old.Email
	return s.replace(ctx, tx, holder, org, old)
}

func (s *Invitations) replace(ctx context.Context, tx *db.Tx, actor Actor, org Organization, old Invitation) (Invitation, error) {
	if err := s.kill(ctx, tx, old, "replaced_at"); err != nil {
		return Invitation{}, err
	}
	inv, err := s.insert(ctx, tx, actor, org, old)
	if err != nil {
		return Invitation{}, err
	}
	return inv, audit.Record(ctx, tx, inv.event(actor, "invitation.resent"))
}

// Withdraw ends an open invitation.
func (s *Invitations) Withdraw(ctx context.Context, tx *db.Tx, actor Actor, org OrgID, id string) error {
	inv, err := s.open(ctx, tx, actor, org, id)
	if err != nil {
		return err
	}
	if err := s.kill(ctx, tx, inv, "withdrawn_at"); err != nil {
		return err
	}
	return audit.Record(ctx, tx, inv.event(actor, "invitation.withdrawn"))
}

// open returns an invitation that actor may still change.
func (s *Invitations) open(ctx context.Context, tx *db.Tx, actor Actor, org OrgID, id string) (Invitation, error) {
	inv, err := invitationByID(ctx, tx, org, id)
	if err != nil {
		return Invitation{}, err
	}
	if _, err := actor.over(ctx, tx, org, inv.Role); err != nil {
		return Invitation{}, err
	}
	if !inv.Open() {
		return Invitation{}, inv.Usable(tx.Now())
	}
	return inv, nil
}

// kill ends an invitation by the column that says how, and withdraws its unsent letter.
func (s *Invitations) kill(ctx context.Context, tx *db.Tx, inv Invitation, column string) error {
	n, err := tx.Exec(ctx, `
		update invitations set `+column+` = $1
		where org_id = $2 and id = $3 and accepted_at is null and withdrawn_at is null and replaced_at is null`,
		db.Time(tx.Now()), string(inv.OrgID), inv.ID)
	if err != nil {
		return fmt.Errorf("ending invitation %s: %w", inv.ID, err)
	}
	if n == 0 { // another transaction was faster: return what it did
		now, err := invitationByID(ctx, tx, inv.OrgID, inv.ID)
		if err != nil {
			return err
		}
		return now.Usable(tx.Now())
	}
	return s.Outbox.Withdraw(ctx, tx, string(inv.OrgID), inv.letterID)
}

func (s *Invitations) insert(ctx context.Context, tx *db.Tx, actor Actor, org Organization, inv Invitation) (Invitation, error) {
	lasts := cmp.Or(s.Lifetimes.Invitation, org.InvitationLifetime)
	// An invitation renewed by its holder still names who invited, and when.
	by, created := actor.Asker(), tx.Now()
	if actor.Kind == KindAnonymous {
		by, created = inv.By, inv.CreatedAt
	}
	inviterName := ""
	if by.UserID != "" {
		u, err := UserByID(ctx, tx, org.ID, by.UserID)
		if err == nil {
			inviterName = u.Name
		} else if !errors.Is(err, ErrNotFound) {
			return Invitation{}, err
		}
	}
	address, err := naming.ParseAddress(inv.Email)
	if err != nil {
		return Invitation{}, err
	}
	token, leaves := secret.NewToken(), tx.Now()
	if s.at.After(leaves) {
		leaves = s.at
	}
	fresh := Invitation{
		OrgID: org.ID, ID: secret.NewID("inv"), Email: inv.Email, Name: inv.Name, Role: inv.Role, Language: inv.Language,
		By: by, CreatedAt: created, ExpiresAt: leaves.Add(lasts),
	}
	fresh.letterID, err = s.Outbox.Put(ctx, tx, mail.Letter{
		OrgID: string(org.ID), Recipient: fresh.Email, Language: fresh.Language, Leaves: s.at,
		Parameters: mail.InvitationParameters{
			Organization: org.DisplayName, Name: fresh.Name, Inviter: inviterName, Expires: fresh.ExpiresAt,
			Link:       s.Base + "/invitation/" + token.Reveal(),
			SignInPage: s.Base + org.Path(), Federated: org.FederatedOnly(),
		},
	})
	if err != nil {
		return Invitation{}, err
	}
	_, err = tx.Exec(ctx, `
		insert into invitations (org_id, id, email, email_key, display_name, search_key, role, language,
			token_hash, letter_id, invited_by, asked_kind, asked_right, created_at, expires_at)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
		string(fresh.OrgID), fresh.ID, fresh.Email, address.Key, fresh.Name, listKey(fresh.Name, fresh.Email),
		string(fresh.Role), string(fresh.Language), token.Hash(secret.Invitation), fresh.letterID,
		db.Text(by.UserID), string(by.Kind), db.Text(by.Right), db.Time(fresh.CreatedAt), db.Time(fresh.ExpiresAt))
	return fresh, err
}

func (i Invitation) event(actor Actor, action audit.Action) audit.Event {
	e := actor.Event(i.OrgID, action)
	e.Target, e.TargetName = i.ID, i.Email
	e.After = audit.Fields{"email": i.Email, "name": i.Name, "role": i.Role, "language": i.Language}
	return e
}
