package provisioning

import (
	"context"
	"errors"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/naming"
)

// invite sends an invitation to a person without a way in, where the source does so and no
// connection of the organization would let them in.
func (s *Service) invite(ctx context.Context, tx *db.Tx, source Source, who directory.Candidate) error {
	u := who.User
	if !source.Invites || u.HasWayIn() {
		return nil
	}
	comesIn, err := s.comesIn(ctx, tx, source, u)
	if err != nil || comesIn {
		return err
	}
	_, err = s.Invitations.Send(ctx, tx, source.Actor(), who.Organization, directory.NewInvitation{Email: u.Email, Name: u.Name, Role: u.Role, Language: u.Language})
	switch {
	case errors.Is(err, directory.ErrAlreadyInvited):
		return nil
	case errors.Is(err, directory.ErrInvitedOften):
		source.did("invited_often", "Name", u.Name, "Email", u.Email)
		return nil
	case err == nil:
		source.did("invited", "Name", u.Name, "Email", u.Email)
	}
	return err
}

// Invites reports whether a user who has no way in yet is let in by an invitation: no connection would
// let them in, and the source that keeps them, if one does, sends invitations.
func (s *Service) Invites(ctx context.Context, r db.Reader, u directory.User) (bool, error) {
	var source Source
	if u.Provisioned() {
		var err error
		if source, err = sourceByID(ctx, r, u.OrgID, u.SourceID); err != nil || !source.Invites {
			return false, err
		}
	}
	comesIn, err := s.comesIn(ctx, r, source, u)
	return err == nil && !comesIn, err
}

// comesIn reports whether a connection would let a user of a source in who has no way in yet. Owners
// and administrators would have to prove more than they can (decision 0044).
func (s *Service) comesIn(ctx context.Context, r db.Reader, source Source, u directory.User) (bool, error) {
	address, err := naming.ParseAddress(u.Email)
	if err != nil || u.Role == directory.Owner || u.Role == directory.Administrator {
		return false, err
	}
	return s.ComesIn(ctx, r, u.OrgID, address, source.ConnectionID)
}

// ComesInBy returns the connection that the source of a user names for its people; empty if it names
// none, or none keeps the user.
func ComesInBy(ctx context.Context, r db.Reader, u directory.User) (connection string, err error) {
	if !u.Provisioned() {
		return "", nil
	}
	_, err = r.One(ctx, db.Into((*db.Text)(&connection)), `select connection_id from sources where org_id = $1 and id = $2`, string(u.OrgID), u.SourceID)
	return connection, err
}
