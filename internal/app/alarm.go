package app

import (
	"context"
	"errors"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/mail"
)

// alarm returns what writes to the operator that an audit log was altered; nil without an address.
func (s Settings) alarm(outbox *mail.Outbox) func(context.Context, string) error {
	if s.Operator == "" {
		return nil
	}
	return func(ctx context.Context, id string) error {
		return s.DB.Update(ctx, func(tx *db.Tx) error {
			p := mail.LogAlteredParameters{ID: id, Host: s.Base.Host}
			org, err := directory.OrganizationByID(ctx, tx, directory.OrgID(id))
			if err != nil && !errors.Is(err, directory.ErrNotFound) { // that of the installation is of none
				return err
			}
			p.Organization = org.DisplayName
			_, err = outbox.Put(ctx, tx, mail.Letter{Recipient: s.Operator, Language: "en", Parameters: p})
			return err
		})
	}
}
