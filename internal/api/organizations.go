package api

import (
	"cmp"
	"context"
	"errors"
	"net/http"

	"parvis/internal/access"
	"parvis/internal/api/form"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/i18n"
)

// organizationsOperations are the operator's. Their tokens are of no organization, and see nothing
// that is inside one.
var organizationsOperations = []*operation{
	reads(operation{ID: "organizations.list", Path: "/organizations", Scope: access.ReadInstallation, Role: directory.Owner}, listOrganizations),
	reads(operation{ID: "organizations.get", Path: "/organizations/{id}", Scope: access.ReadInstallation, Role: directory.Owner},
		func(ctx context.Context, r db.Reader, x *call, in at) (form.Tenant, error) {
			return showTenant(ctx, r, x, in.ID)
		}),
	does(operation{ID: "organizations.create", Method: http.MethodPost, Path: "/organizations", Scope: access.WriteInstallation, Role: directory.Owner, status: http.StatusCreated},
		deed[struct{ Body form.NewTenant }, form.Tenant]{first: freeElsewhere, do: createOrganization, show: showTenant}),
	does(operation{ID: "organizations.suspend", Method: http.MethodPost, Path: "/organizations/{id}/suspend", Scope: access.WriteInstallation, Role: directory.Owner},
		deed[at, form.Tenant]{do: stands(directory.Suspend), show: showTenant}),
	does(operation{ID: "organizations.resume", Method: http.MethodPost, Path: "/organizations/{id}/resume", Scope: access.WriteInstallation, Role: directory.Owner},
		deed[at, form.Tenant]{do: stands(directory.Resume), show: showTenant}),
}

func listOrganizations(ctx context.Context, r db.Reader, x *call, in listing) (form.Page[form.Tenant], error) {
	var after directory.OrgID
	most, err := x.begin(in, &after)
	if err == nil {
		err = x.Actor.MayRun(ctx, r)
	}
	if err != nil {
		return form.Page[form.Tenant]{}, err
	}
	all, err := directory.OrganizationsAfter(ctx, r, after, most+1)
	more := len(all) > most
	if more {
		all = all[:most]
	}
	out := short(all, ofTenant)
	if more {
		out.Next = x.next(all[most-1].ID)
	}
	return out, err
}

func ofTenant(o directory.Organization) form.Tenant {
	return form.Tenant{
		ID: string(o.ID), Name: o.DisplayName, ShortName: o.ShortName, Language: string(o.Language), CreatedAt: o.CreatedAt.UTC(), SuspendedAt: moment(o.SuspendedAt), DeletedAt: moment(o.DeletedAt),
	}
}

func showTenant(ctx context.Context, r db.Reader, x *call, id string) (form.Tenant, error) {
	if err := x.Actor.MayRun(ctx, r); err != nil {
		return form.Tenant{}, err
	}
	o, err := directory.OrganizationByID(ctx, r, directory.OrgID(id))
	return ofTenant(o), err
}

// freeElsewhere asks the other regions for the names, because no two organizations of a deployment
// may have one.
func freeElsewhere(ctx context.Context, x *call, in struct{ Body form.NewTenant }) error {
	if err := x.Actor.MayRun(ctx, x.server.DB); err != nil {
		return err
	}
	return x.server.Regions.Free(ctx, in.Body.Name, in.Body.ShortName, in.Body.Unreachable...)
}

// createOrganization makes an organization and invites its owner, as the operator's command does.
func createOrganization(ctx context.Context, tx *db.Tx, x *call, in struct{ Body form.NewTenant }) (string, error) {
	language := i18n.Tag(cmp.Or(in.Body.Language, "en"))
	o, err := directory.CreateOrganization(ctx, tx, x.Actor, directory.NewOrganization{DisplayName: in.Body.Name, ShortName: in.Body.ShortName, Language: language})
	if err != nil {
		return "", err
	}
	_, err = x.server.Administration.SignIn.Invites.Send(ctx, tx, x.Actor, o, directory.NewInvitation{Email: in.Body.OwnerEmail, Role: directory.Owner, Language: language})
	if why, ok := errors.AsType[*fault.Error](err); ok && why.Field == "email" {
		err = wrong{pointer: "/owner_email", why: why}
	}
	return string(o.ID), err
}

// stands makes a deed of what suspends or resumes an organization.
func stands(change func(context.Context, *db.Tx, directory.Actor, directory.OrgID) error) func(context.Context, *db.Tx, *call, at) (string, error) {
	return func(ctx context.Context, tx *db.Tx, x *call, in at) (string, error) {
		o, err := directory.OrganizationByID(ctx, tx, directory.OrgID(in.ID))
		if err == nil {
			err = change(ctx, tx, x.Actor, o.ID)
		}
		return in.ID, err
	}
}
