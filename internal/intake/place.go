package intake

import (
	"context"
	"errors"
	"time"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/intake/dump"
	"parvis/internal/naming"
)

// place is an organization into which people come.
type place struct {
	directory.Organization
	why   *fault.Error // why nobody comes into it; nil if they may
	fresh bool         // a rehearsal did not make it
}

// errRehearsed rolls a rehearsal back.
var errRehearsed = errors.New("only a rehearsal")

// settle finds or makes the organizations of the file.
func (r *run) settle(ctx context.Context, src *Source) error {
	if r.Organization != "" {
		p, err := r.place(ctx, r.Organization)
		if err == nil && p.why != nil {
			err = p.why
		}
		return err
	}
	for _, o := range src.Organizations {
		p, err := r.bring(ctx, src, o)
		if err != nil {
			return err
		}
		r.places[naming.OrganizationKey(o.ShortName)] = p
	}
	return nil
}

// place returns the organization with a short name that a line or the operator wrote.
func (r *run) place(ctx context.Context, name string) (*place, error) {
	key := naming.OrganizationKey(name)
	if p, known := r.places[key]; known {
		return p, nil
	}
	o, err := directory.OrganizationByName(ctx, r.DB, name)
	p := &place{Organization: o}
	if errors.Is(err, directory.ErrNotFound) {
		p.why, err = ErrOrganization.With("Name", name), nil
	}
	r.places[key] = p
	return p, err
}

// bring returns an organization of the file. One of the same name that another made is somebody
// else's: nobody comes into it unless the operator says so.
func (r *run) bring(ctx context.Context, src *Source, o dump.Organization) (*place, error) {
	existing, err := directory.OrganizationByName(ctx, r.DB, o.ShortName)
	if errors.Is(err, directory.ErrNotFound) {
		return r.make(ctx, o)
	}
	if err != nil {
		return nil, err
	}
	p := &place{Organization: existing}
	var by, digest string
	var undone db.Time
	made, err := r.DB.One(ctx, db.Into(&by, &digest, &undone), `
		select i.id, i.digest, i.undone_at
		from import_organizations o
		join imports i on i.id = o.import_id
		where o.org_id = $1`, string(existing.ID))
	switch {
	case err != nil:
		return nil, err
	case made && time.Time(undone).IsZero() && digest == src.digest, r.Existing:
	case made && !time.Time(undone).IsZero() && !existing.SuspendedAt.IsZero():
		return p, r.reopen(ctx, existing)
	default:
		p.why = ErrOrganizationExists.With("Name", o.ShortName)
	}
	return p, nil
}

// make makes an organization, or finds out whether it could be made.
func (r *run) make(ctx context.Context, o dump.Organization) (*place, error) {
	p := &place{Organization: directory.Organization{DisplayName: o.Name, ShortName: o.ShortName, Language: r.Language}, fresh: r.dry}
	var err error
	if r.Free != nil {
		err = r.Free(ctx, o.Name, o.ShortName)
	}
	if err == nil {
		err = r.DB.Update(ctx, func(tx *db.Tx) error {
			made, err := directory.CreateOrganization(ctx, tx, directory.Operator(), directory.NewOrganization{
				DisplayName: o.Name, ShortName: o.ShortName, Language: r.Language,
			})
			if err != nil {
				return err
			}
			if r.dry {
				return errRehearsed
			}
			p.Organization = made
			_, err = tx.Exec(ctx, `insert into import_organizations (org_id, import_id) values ($1, $2)`, string(made.ID), r.id)
			return err
		})
	}
	r.made = r.made || err == nil
	if errors.Is(err, errRehearsed) || errors.As(err, &p.why) {
		err = nil
	}
	return p, err
}

// reopen opens an organization that an import made which was undone.
func (r *run) reopen(ctx context.Context, o directory.Organization) error {
	if r.dry {
		return nil
	}
	r.made = true
	return r.DB.Update(ctx, func(tx *db.Tx) error {
		if err := directory.Resume(ctx, tx, directory.Operator(), o.ID); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `update import_organizations set import_id = $1 where org_id = $2`, r.id, string(o.ID))
		return err
	})
}
