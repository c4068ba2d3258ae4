package provisioning

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/domain"
	"parvis/internal/fault"
	"parvis/internal/mail"
	"parvis/internal/naming"
	"parvis/internal/secret"
)

// Kind says what an administrator is asked for.
type Kind string

// The kinds.
const (
	AdoptPerson   Kind = "adopt_person"   // the source named who is there already
	AdoptGroup    Kind = "adopt_group"    // the same for a group
	ChangeAddress Kind = "change_address" // of somebody with a role in the administration
	LetInAgain    Kind = "let_in_again"   // somebody here shut the person out
	DeletePerson  Kind = "delete_person"  // beyond the measure
	RemoveMembers Kind = "remove_members" // beyond the measure
	DeleteGroup   Kind = "delete_group"   // beyond the measure
	ShutOutOwner  Kind = "shut_out_owner" // was refused; there is only something to be read
	WholeBatch    Kind = "whole_batch"    // too many were shut out or deleted; agreeing brings them back
)

// Details are what is known beside the subject.
type Details struct {
	Email      string    `json:"email,omitempty"`
	ExternalID string    `json:"external_id,omitempty"`
	Members    []string  `json:"members,omitempty"` // ids of users to be removed
	Since      time.Time `json:"since,omitzero"`    // everybody who was shut out after that
}

// Waiting is something that a source asked for and that waits for an administrator.
type Waiting struct {
	ID      string // pwt_ and 26 characters
	Kind    Kind
	Subject string
	Name    string
	Details Details
	AskedAt time.Time
	LastAt  time.Time
	Times   int
}

// Grants reports whether agreeing does something; else there is only something to be read.
func (w Waiting) Grants() bool { return w.Kind != ShutOutOwner }

type waits struct {
	kind          Kind
	subject, name string
	details       Details
}

// waitFor notes that the call under way asks an administrator for something.
func (s Source) waitFor(kind Kind, subject, name string, details Details) {
	if s.record != nil {
		w := waits{kind, subject, name, details}
		s.record.waits = append(s.record.waits, w)
		s.record.did = append(s.record.did, w.reason())
	}
}

func (w waits) reason() fault.Reason {
	return reason("provisioning.did.waits."+string(w.kind), "Name", w.name, "Email", w.details.Email)
}

// wait stores what waits. Asked again, the same row waits, as it was asked last.
func (s *Service) wait(ctx context.Context, tx *db.Tx, source Source, w waits) error {
	var times int
	var before Details
	args := []any{string(source.OrgID), source.ID, string(w.kind), w.subject}
	if _, err := tx.One(ctx, append(db.Into(&times), db.JSON(&before)), `
		select times, details from source_waiting
		where org_id = $1 and source_id = $2 and kind = $3 and subject = $4 and settled_at is null`, args...); err != nil {
		return err
	}
	if w.kind == WholeBatch && times > 0 {
		w.details = before // it began when it began
	}
	w.details.Members = union(before.Members, w.details.Members)
	details, err := json.Marshal(w.details)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `
		insert into source_waiting (org_id, id, source_id, kind, subject, name, details, asked_at, last_at, times)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $8, 1)
		on conflict (org_id, source_id, kind, subject) where settled_at is null
		do update set name = excluded.name, details = excluded.details, last_at = excluded.last_at, times = source_waiting.times + 1`,
		string(source.OrgID), secret.NewID("pwt"), source.ID, string(w.kind), w.subject, w.name, string(details), db.Time(tx.Now())); err != nil {
		return fmt.Errorf("storing what %s waits for: %w", source.ID, err)
	}
	if times > 0 || source.State == Watching {
		return nil
	}
	switch w.kind {
	case ShutOutOwner:
		return s.tell(ctx, tx, source, mail.SourceParameters{What: mail.SourceShutsOutOwner, Person: w.name, Email: w.details.Email}, true)
	case WholeBatch:
		return s.alarm(ctx, tx, source)
	case AdoptPerson, AdoptGroup, ChangeAddress, LetInAgain, DeletePerson, RemoveMembers, DeleteGroup:
	}
	return nil
}

// overtake ends what a source waits for about a person or a group, of one kind or of any if kind is
// empty: what happened since leaves nothing to be decided.
func (s Source) overtake(ctx context.Context, tx *db.Tx, kind Kind, subject string) error {
	_, err := s.overtaken(ctx, tx, kind, subject)
	return err
}

// overtaken is overtake, and returns how much waited.
func (s Source) overtaken(ctx context.Context, tx *db.Tx, kind Kind, subject string) (int64, error) {
	n, err := tx.Exec(ctx, `
		update source_waiting set settled_at = $1, settled_by = source_id
		where org_id = $2 and source_id = $3 and subject = $4 and (kind = $5 or $5 = '') and settled_at is null`,
		db.Time(tx.Now()), string(s.OrgID), s.ID, subject, string(kind))
	if err != nil {
		return 0, fmt.Errorf("ending what %s waits for: %w", s.ID, err)
	}
	return n, nil
}

// union returns what is in either list, each once.
func union(a, b []string) []string {
	have := map[string]bool{}
	var all []string
	for _, id := range append(append([]string(nil), a...), b...) {
		if !have[id] {
			have[id] = true
			all = append(all, id)
		}
	}
	return all
}

const waitingColumns = `id, kind, subject, name, details, asked_at, last_at, times`

func (w *Waiting) targets() []any {
	return db.Into(&w.ID, &w.Kind, &w.Subject, &w.Name, db.JSON(&w.Details), (*db.Time)(&w.AskedAt), (*db.Time)(&w.LastAt), &w.Times)
}

// WaitingFor lists what waits for an administrator, the newest first, at most so many.
func WaitingFor(ctx context.Context, r db.Reader, actor directory.Actor, source Source, most int) ([]Waiting, error) {
	if err := actor.MayRead(ctx, r, source.OrgID); err != nil {
		return nil, err
	}
	return db.List(ctx, r, (*Waiting).targets, `
		select `+waitingColumns+`
		from source_waiting
		where org_id = $1 and source_id = $2 and settled_at is null
		order by last_at desc, id
		limit $3`, string(source.OrgID), source.ID, most)
}

// CountWaiting counts what waits in an organization, by source.
func CountWaiting(ctx context.Context, r db.Reader, actor directory.Actor, org directory.OrgID) (map[string]int, error) {
	if err := actor.MayRead(ctx, r, org); err != nil {
		return nil, err
	}
	counts := map[string]int{}
	type count struct {
		source string
		n      int
	}
	all, err := db.List(ctx, r, func(c *count) []any { return db.Into(&c.source, &c.n) }, `
		select source_id, count(*) from source_waiting
		where org_id = $1 and settled_at is null
		group by source_id`, string(org))
	for _, c := range all {
		counts[c.source] = c.n
	}
	return counts, err
}

// ErrSettled answers who comes second.
var ErrSettled = fault.New(fault.Conflict, "provisioning.settled")

// Settle does what a source waits for, or dismisses it. Either way it no longer waits.
func (s *Service) Settle(ctx context.Context, tx *db.Tx, actor directory.Actor, of Source, id string, agreed bool) error {
	source, err := changeable(ctx, tx, actor, of.OrgID, of.ID)
	if err != nil {
		return err
	}
	var w Waiting
	found, err := tx.One(ctx, w.targets(), `
		update source_waiting set settled_at = $1, settled_by = $2
		where org_id = $3 and source_id = $4 and id = $5 and settled_at is null
		returning `+waitingColumns, db.Time(tx.Now()), actor.ID, string(source.OrgID), source.ID, id)
	if err == nil && !found {
		err = source.settled(ctx, tx, id)
	}
	if err != nil {
		return err
	}
	if agreed {
		if err := s.agree(ctx, tx, actor, source, w); err != nil {
			return err
		}
	}
	e := source.event(actor, "source.settled")
	e.After = audit.Fields{"kind": w.Kind, "subject": w.Subject, "agreed": agreed}
	return audit.Record(ctx, tx, e)
}

// settled returns ErrSettled for what waited once, and ErrNotFound for what never did.
func (s Source) settled(ctx context.Context, tx *db.Tx, id string) error {
	var at db.Time
	found, err := tx.One(ctx, db.Into(&at), `
		select settled_at from source_waiting
		where org_id = $1 and source_id = $2 and id = $3`, string(s.OrgID), s.ID, id)
	switch {
	case err != nil:
		return err
	case !found:
		return directory.ErrNotFound
	}
	return ErrSettled
}

// agree does what waits. What a source may not do by itself is done in the name of who agreed;
// what was only held, in the source's.
func (s *Service) agree(ctx context.Context, tx *db.Tx, actor directory.Actor, source Source, w Waiting) error {
	switch w.Kind {
	case AdoptPerson:
		return s.adopt(ctx, tx, actor, source, w)
	case AdoptGroup:
		g, err := directory.GroupByID(ctx, tx, actor, source.OrgID, w.Subject)
		if err != nil {
			return err
		}
		return errors.Join(source.from(ctx, tx, g.SourceID, g.ID), directory.SetGroupSource(ctx, tx, actor, g, source.ID, w.Details.ExternalID))
	case ChangeAddress:
		u, err := directory.Governed(ctx, tx, actor, source.OrgID, directory.UserID(w.Subject))
		if err != nil {
			return err
		}
		_, err = s.replaceAddress(ctx, tx, source, directory.Candidate{User: u}, w.Details.Email)
		return err
	case LetInAgain:
		u, err := directory.UserByID(ctx, tx, source.OrgID, directory.UserID(w.Subject))
		if err != nil {
			return err
		}
		org, err := directory.OrganizationByID(ctx, tx, source.OrgID)
		if err != nil {
			return err
		}
		return s.letIn(ctx, tx, actor, source, directory.Candidate{User: u, Organization: org})
	case DeletePerson:
		return directory.Delete(ctx, tx, actor, source.OrgID, directory.UserID(w.Subject))
	case RemoveMembers:
		return source.removeHeld(ctx, tx, w)
	case DeleteGroup:
		return directory.DeleteGroup(ctx, tx, source.Actor(), source.OrgID, w.Subject)
	case WholeBatch:
		return s.bringBack(ctx, tx, actor, source, w.Details.Since)
	case ShutOutOwner:
	}
	return nil
}

// adopt hands a person to a source. Who governs nobody of that role cannot hand them over, and an
// owner is never a source's.
func (s *Service) adopt(ctx context.Context, tx *db.Tx, actor directory.Actor, source Source, w Waiting) error {
	u, err := directory.UserByID(ctx, tx, source.OrgID, directory.UserID(w.Subject))
	switch {
	case err != nil:
		return err
	case !u.DeletedAt.IsZero():
		return directory.ErrDeleted
	case u.Role == directory.Owner:
		return ErrOwnerStays
	}
	now, err := actor.In(ctx, tx, source.OrgID)
	if err == nil && !now.Role.Governs(u.Role) {
		err = directory.ErrDenied
	}
	if err != nil {
		return err
	}
	if err := source.from(ctx, tx, u.SourceID, string(u.ID)); err != nil {
		return err
	}
	return directory.SetSource(ctx, tx, actor, u, source.ID, w.Details.ExternalID)
}

// from ends what the former keeper of a person or a group waits for, who is the source's from now on.
func (s Source) from(ctx context.Context, tx *db.Tx, former, subject string) error {
	if former == "" || former == s.ID {
		return nil
	}
	return Source{OrgID: s.OrgID, ID: former}.overtake(ctx, tx, "", subject)
}

// AdoptMembers hands to a source all members with an address in a proven domain whom it waits for,
// and returns how many that were.
func (s *Service) AdoptMembers(ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.OrgID, id string) (adopted int, err error) {
	source, err := changeable(ctx, tx, actor, org, id)
	if err != nil {
		return 0, err
	}
	all, err := db.List(ctx, tx, (*Waiting).targets, `
		select `+waitingColumns+`
		from source_waiting
		where org_id = $1 and source_id = $2 and kind = $3 and settled_at is null
			and exists (select 1 from users u where u.org_id = source_waiting.org_id and u.id = source_waiting.subject and u.role = $4 and u.deleted_at is null)
		order by asked_at, id
		limit 1000`, string(org), source.ID, string(AdoptPerson), string(directory.Member))
	if err != nil {
		return 0, err
	}
	for _, w := range all {
		address, err := naming.ParseAddress(w.Details.Email)
		if err != nil {
			continue
		}
		if held, err := domain.Holds(ctx, tx, org, address); err != nil {
			return 0, err
		} else if !held {
			continue
		}
		if err := s.Settle(ctx, tx, actor, source, w.ID, true); err != nil {
			return 0, err
		}
		adopted++
	}
	return adopted, nil
}

// bringBack undoes what a source took away since a time, and stops it: its next call would say the
// same again.
func (s *Service) bringBack(ctx context.Context, tx *db.Tx, actor directory.Actor, source Source, since time.Time) error {
	org, err := directory.OrganizationByID(ctx, tx, source.OrgID)
	if err != nil {
		return err
	}
	all, err := db.List(ctx, tx, (*directory.User).Targets, `
		select `+directory.UserColumns+` from users u where u.org_id = $1 and `+takenSince+`
		order by coalesce(u.deleted_at, 0) desc, u.id`, // of several with one address, who had it last
		string(source.OrgID), source.ID, db.Time(since))
	if err != nil {
		return err
	}
	for _, u := range all {
		err := s.undo(ctx, tx, actor, source, directory.Candidate{User: u, Organization: org}, since)
		switch {
		case errors.Is(err, directory.ErrDenied): // whom this administrator does not govern stays as they are
		case errors.Is(err, directory.ErrAddressGotten), errors.Is(err, directory.ErrNotFound): // who cannot be restored stays deleted
		case err != nil:
			return err
		}
	}
	if source.State == Stopped {
		return nil
	}
	return source.turn(ctx, tx, actor, Stopped)
}

// undo gives a person whom a source shut out or deleted their standing from before the time since: who
// was out then stays out, and who had shut them out may let them in.
func (s *Service) undo(ctx context.Context, tx *db.Tx, actor directory.Actor, source Source, who directory.Candidate, since time.Time) error {
	u := who.User
	if !u.DeletedAt.IsZero() {
		if err := directory.Restore(ctx, tx, actor, source.OrgID, u.ID); err != nil {
			return err
		}
	}
	if !source.shutOutSince(u, since) {
		return nil
	}
	return s.letIn(ctx, tx, actor, source, who)
}
