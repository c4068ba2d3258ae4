package provisioning

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/domain"
	"parvis/internal/fault"
	"parvis/internal/i18n"
	"parvis/internal/naming"
)

// The faults of what a source says of a person.
var (
	// ErrUniqueness answers a source that would make who is there already.
	ErrUniqueness = fault.New(fault.Conflict, "provisioning.uniqueness")
	// ErrOwner answers a source that would shut out an owner.
	ErrOwner = fault.New(fault.Denied, "provisioning.owner")
	// ErrOwnerStays answers an administrator who would hand an owner to a source.
	ErrOwnerStays = fault.New(fault.Conflict, "provisioning.owner_stays")
	// ErrAddressOutside answers a source that gives somebody who signs in an address of a domain
	// that the organization has not proven.
	ErrAddressOutside = fault.Field("email", "provisioning.address_outside")
	ErrDocument       = fault.New(fault.TooLarge, "provisioning.document_too_large")
)

// mostDocument is how many bytes of what was sent are kept.
const mostDocument = 64 << 10

// Person is what a source says of somebody.
type Person struct {
	Email      string
	Name       string // shown; empty to put it together
	GivenName  string
	FamilyName string
	ExternalID string
	Active     bool
	Language   i18n.Tag // used when the person is made; later it is theirs to choose
	TimeZone   string   // the same
	Document   []byte   // all that was sent, as JSON, to be read again
}

// profile returns the person's names, and what the person chose otherwise.
func (p Person) profile(chosen directory.Profile) directory.Profile {
	whole := strings.TrimSpace(p.GivenName + " " + p.FamilyName)
	local, _, _ := strings.Cut(p.Email, "@")
	chosen.Name, chosen.GivenName, chosen.FamilyName = cmp.Or(strings.TrimSpace(p.Name), whole, local), p.GivenName, p.FamilyName
	return chosen
}

// CreatePerson makes a person whom the source names. Nobody who is there already is attached by
// that: it is refused, and waits for an administrator (R-SCM-04).
func (s *Service) CreatePerson(ctx context.Context, tx *db.Tx, source Source, p Person) (Provisioned, error) {
	if len(p.Document) > mostDocument {
		return Provisioned{}, ErrDocument
	}
	org, err := directory.OrganizationByID(ctx, tx, source.OrgID)
	if err != nil {
		return Provisioned{}, err
	}
	chosen := directory.Profile{Language: p.Language, TimeZone: p.TimeZone}
	if !i18n.Known(chosen.Language) {
		chosen.Language = org.Language
	}
	if _, known := i18n.Zone(chosen.TimeZone); !known {
		chosen.TimeZone = ""
	}
	profile := p.profile(chosen)
	u, err := directory.Provision(ctx, tx, source.Actor(), directory.User{
		OrgID: source.OrgID, Email: p.Email, Name: profile.Name, GivenName: profile.GivenName, FamilyName: profile.FamilyName,
		Language: profile.Language, TimeZone: profile.TimeZone, ExternalID: p.ExternalID,
	})
	if errors.Is(err, directory.ErrAddressTaken) {
		return Provisioned{}, source.there(ctx, tx, p)
	}
	if err != nil {
		return Provisioned{}, err
	}
	source.did("created", "Name", u.Name, "Email", u.Email)
	if err := keepDocument(ctx, tx, u, p.Document); err != nil {
		return Provisioned{}, err
	}
	again, err := shutOutHere(ctx, tx, u)
	switch {
	case err != nil:
	case again:
		err = source.staysOut(ctx, tx, u, p.Active)
	case !p.Active:
		err = directory.Deactivate(ctx, tx, source.Actor(), source.OrgID, u.ID)
	default:
		err = s.invite(ctx, tx, source, directory.Candidate{User: u, Organization: org})
	}
	if err != nil {
		return Provisioned{}, err
	}
	return source.Person(ctx, tx, string(u.ID))
}

// shutOutHere reports whether somebody here shut out who had the address of u before, and was deleted
// since and can still be restored.
func shutOutHere(ctx context.Context, r db.Reader, u directory.User) (bool, error) {
	var former string
	// An index that begins with org_id looks as good to SQLite as the one by address, and leads to everybody
	// of the organization; what stands in a case is looked for in none.
	return r.One(ctx, db.Into(&former), `
		select id from users
		where case when org_id = $1 then deleted_at > $2 and deactivated_at < deleted_at and shut_out_by is null end
			and email_key = $3
		limit 1`, string(u.OrgID), db.Time(r.Now().Add(-directory.RestorableFor)), u.AddressKey())
}

// staysOut keeps somebody out whom a source makes again, as they were shut out here (decision 0095). That
// the source wants them in waits for an administrator.
func (s Source) staysOut(ctx context.Context, tx *db.Tx, u directory.User, wanted bool) error {
	s.did("stays_out", "Name", u.Name, "Email", u.Email)
	if wanted {
		s.waitFor(LetInAgain, string(u.ID), u.Name, Details{Email: u.Email})
	}
	return directory.Deactivate(ctx, tx, directory.System(s.OrgID), s.OrgID, u.ID)
}

// there answers a source that names somebody who is there already. Unless the source keeps them, or
// they are an owner, they wait to be handed over.
func (s Source) there(ctx context.Context, tx *db.Tx, p Person) error {
	found, err := directory.Addressed(ctx, tx, s.OrgID, []string{p.Email})
	if err != nil {
		return err
	}
	for _, u := range found {
		if u.SourceID != s.ID && u.Role != directory.Owner {
			s.waitFor(AdoptPerson, string(u.ID), u.Name, Details{Email: u.Email, ExternalID: p.ExternalID})
		}
	}
	return ErrUniqueness.With("Email", p.Email)
}

func keepDocument(ctx context.Context, tx *db.Tx, u directory.User, document []byte) error {
	if _, err := tx.Exec(ctx, `
		insert into provisioned (org_id, user_id, document)
		values ($1, $2, $3)
		on conflict (org_id, user_id) do update set document = excluded.document`, string(u.OrgID), string(u.ID), string(document)); err != nil {
		return fmt.Errorf("keeping what was sent of %s: %w", u.ID, err)
	}
	return nil
}

// PutPerson makes a person, whom the source read in this transaction, what the source says, as far
// as a source may. Whom it shuts out is out even if the rest is refused: the rest stays as it was then,
// and the answer shows it so.
func (s *Service) PutPerson(ctx context.Context, tx *db.Tx, source Source, was Provisioned, p Person) (Provisioned, error) {
	if was.User.Role == directory.Owner {
		return s.putOwner(ctx, tx, source, was, p)
	}
	u, out, err := s.begin(ctx, tx, source, was.User, p)
	if err != nil {
		return Provisioned{}, err
	}
	u, err = source.describe(ctx, tx, u, p)
	if _, refused := errors.AsType[*fault.Error](err); refused && out && was.User.DeactivatedAt.IsZero() {
		source.did("rest_kept", "Name", u.Name)
		err = nil
	}
	if err != nil {
		return Provisioned{}, err
	}
	if out && p.Active {
		if err := s.comeBack(ctx, tx, source, u); err != nil {
			return Provisioned{}, err
		}
	}
	return source.Person(ctx, tx, string(u.ID))
}

// describe keeps what a source says of a person beside their address and whether they are in. All of
// it is judged before any of it is stored.
func (s Source) describe(ctx context.Context, tx *db.Tx, u directory.User, p Person) (directory.User, error) {
	if len(p.Document) > mostDocument {
		return u, ErrDocument
	}
	if _, err := naming.ParseAddress(p.Email); err != nil {
		return u, err // the address stayed, so what was sent is not what is kept
	}
	if profile := p.profile(u.Profile()); profile != u.Profile() {
		if err := directory.ChangeProfile(ctx, tx, s.Actor(), s.OrgID, u.ID, profile); err != nil {
			return u, err
		}
		s.did("renamed", "Name", profile.Name)
		u.Name, u.GivenName, u.FamilyName = profile.Name, profile.GivenName, profile.FamilyName
	}
	if err := directory.SetSource(ctx, tx, s.Actor(), u, s.ID, p.ExternalID); err != nil {
		return u, err
	}
	return u, keepDocument(ctx, tx, u, p.Document)
}

// begin shuts a person out whom the source shuts out, and then gives them the address that it says.
// Shutting out comes first and letting in last, so that nobody who cannot come in gets a letter; and
// it is done even if the address is refused, or was taken away. It reports whether they are out.
func (s *Service) begin(ctx context.Context, tx *db.Tx, source Source, u directory.User, p Person) (directory.User, bool, error) {
	goes := !p.Active && u.DeactivatedAt.IsZero()
	if goes {
		if err := s.shutOut(ctx, tx, source, u); err != nil {
			return u, true, err
		}
		u.DeactivatedAt = tx.Now()
		if p.Email == "" {
			return u, true, nil
		}
	}
	now, err := s.setAddress(ctx, tx, source, u, p.Email)
	if _, refused := errors.AsType[*fault.Error](err); refused && goes {
		source.did("address_kept", "Name", u.Name, "Email", p.Email)
		now, err = u, nil
	}
	return now, !u.DeactivatedAt.IsZero(), err
}

// putOwner keeps an owner as they are: who became one leaves the source's hands. Only what would
// shut them out is refused, and told to the owners.
func (s *Service) putOwner(ctx context.Context, tx *db.Tx, source Source, was Provisioned, p Person) (Provisioned, error) {
	if !p.Active && was.User.DeactivatedAt.IsZero() {
		return Provisioned{}, source.refuseOwner(was.User)
	}
	if len(p.Document) > mostDocument {
		return Provisioned{}, ErrDocument
	}
	source.did("owner_kept", "Name", was.User.Name)
	was.Document = p.Document
	return was, keepDocument(ctx, tx, was.User, p.Document)
}

func (s Source) refuseOwner(u directory.User) error {
	s.waitFor(ShutOutOwner, string(u.ID), u.Name, Details{Email: u.Email})
	return ErrOwner.With("Name", u.Name)
}

// setAddress gives a person another address: a member within proven domains at once, anybody else
// once an administrator agrees, and who cannot sign in yet in any case.
func (s *Service) setAddress(ctx context.Context, tx *db.Tx, source Source, u directory.User, email string) (directory.User, error) {
	address, err := naming.ParseAddress(email)
	if err != nil || address.Key == u.AddressKey() {
		return u, err
	}
	if u.HasWayIn() {
		held, err := domain.Holds(ctx, tx, source.OrgID, address)
		switch {
		case err != nil:
			return u, err
		case !held:
			return u, ErrAddressOutside
		case u.Role != directory.Member:
			source.waitFor(ChangeAddress, string(u.ID), u.Name, Details{Email: address.Text})
			return u, nil
		}
	}
	return s.replaceAddress(ctx, tx, source, directory.Candidate{User: u}, address.Text)
}

func (s *Service) replaceAddress(ctx context.Context, tx *db.Tx, source Source, who directory.Candidate, email string) (directory.User, error) {
	org, err := directory.OrganizationByID(ctx, tx, source.OrgID)
	if err != nil {
		return who.User, err
	}
	who.Organization = org
	now, err := s.Emails.Set(ctx, tx, source.Actor(), who, email)
	if err != nil {
		return who.User, err
	}
	source.did("moved", "Name", now.Name, "Email", now.Email)
	if now.Closed() == nil {
		err = s.invite(ctx, tx, source, directory.Candidate{User: now, Organization: org})
	}
	return now, err
}

// shutOut shuts a person out, at once.
func (s *Service) shutOut(ctx context.Context, tx *db.Tx, source Source, u directory.User) error {
	if err := directory.Deactivate(ctx, tx, source.Actor(), source.OrgID, u.ID); err != nil {
		return err
	}
	source.did("shut_out", "Name", u.Name)
	return s.brake(ctx, tx, source)
}

// comeBack undoes that the source itself shut a person out.
func (s *Service) comeBack(ctx context.Context, tx *db.Tx, source Source, u directory.User) error {
	org, err := directory.OrganizationByID(ctx, tx, source.OrgID)
	if err != nil {
		return err
	}
	err = s.letIn(ctx, tx, source.Actor(), source, directory.Candidate{User: u, Organization: org})
	switch {
	case errors.Is(err, directory.ErrShutOutHere):
		source.waitFor(LetInAgain, string(u.ID), u.Name, Details{Email: u.Email})
		return nil // the person stays out, and the answer says so
	case err != nil:
		return err
	}
	return source.overtake(ctx, tx, DeletePerson, string(u.ID)) // whom the source wants back
}

// StaysOut hears from a source that somebody is out. If it had asked an administrator to let them in
// again, it no longer does, even if somebody here let them in meanwhile.
func (s Source) StaysOut(ctx context.Context, tx *db.Tx, u directory.User) error {
	return s.overtake(ctx, tx, LetInAgain, string(u.ID))
}

// KeepsAddress hears from a source which address somebody has. If it is theirs, the source no longer
// asks an administrator for another one, and the log has that as it has what an administrator decides.
func (s Source) KeepsAddress(ctx context.Context, tx *db.Tx, u directory.User, email string) error {
	address, err := naming.ParseAddress(email)
	if err != nil || address.Key != u.AddressKey() {
		return nil //nolint:nilerr // What is no address is judged where it would be stored.
	}
	n, err := s.overtaken(ctx, tx, ChangeAddress, string(u.ID))
	if err != nil || n == 0 {
		return err
	}
	s.did("address_again", "Name", u.Name, "Email", u.Email)
	e := s.event(s.Actor(), "source.settled")
	e.After = audit.Fields{"kind": ChangeAddress, "subject": string(u.ID), "agreed": false}
	return audit.Record(ctx, tx, e)
}

// letIn lets a person in again. Being shut out ended the invitation of who had no way in yet, so
// they are invited as somebody new is.
func (s *Service) letIn(ctx context.Context, tx *db.Tx, actor directory.Actor, source Source, who directory.Candidate) error {
	if err := directory.Reactivate(ctx, tx, actor, source.OrgID, who.User.ID); err != nil {
		return err
	}
	who.User.DeactivatedAt = time.Time{}
	source.did("let_in", "Name", who.User.Name)
	if err := s.Emails.Returned(ctx, tx, who); err != nil {
		return err
	}
	return s.invite(ctx, tx, source, who)
}

// DeletePerson deletes a person. Beyond the measure the person is only shut out, and the deletion
// waits for an administrator.
func (s *Service) DeletePerson(ctx context.Context, tx *db.Tx, source Source, id string) (held bool, err error) {
	p, err := source.Person(ctx, tx, id)
	if err != nil {
		return false, err
	}
	u := p.User
	if u.Role == directory.Owner {
		return false, source.refuseOwner(u)
	}
	if err := source.StaysOut(ctx, tx, u); err != nil {
		return false, err
	}
	beyond, err := source.beyondMeasure(ctx, tx, source.more(tx, u))
	if err != nil {
		return false, err
	}
	if beyond {
		if u.DeactivatedAt.IsZero() {
			if err := s.shutOut(ctx, tx, source, u); err != nil {
				return false, err
			}
		}
		source.waitFor(DeletePerson, string(u.ID), u.Name, Details{Email: u.Email})
		source.held()
		return true, nil
	}
	if err := directory.Delete(ctx, tx, source.Actor(), source.OrgID, u.ID); err != nil {
		return false, err
	}
	source.did("deleted", "Name", u.Name)
	return false, s.brake(ctx, tx, source)
}
