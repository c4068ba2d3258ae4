package api

import (
	"context"
	"time"

	"parvis/internal/access"
	"parvis/internal/api/form"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/i18n"
)

var meOperations = []*operation{
	reads(operation{ID: "me", Path: "/me", Role: directory.Member}, me),
}

// me says who calls, even to somebody who may do nothing else.
func me(ctx context.Context, r db.Reader, x *call, _ struct{}) (form.Me, error) {
	now, err := x.Actor.In(ctx, r, x.org())
	if err != nil {
		return form.Me{}, err
	}
	out := form.Me{
		Kind: string(now.Kind), ID: now.ID, Name: now.Name, Scopes: texts(x.Scopes), EndsAt: moment(x.Until), ProvedAt: moment(x.ProvedAt),
	}
	if x.org() == "" {
		return out, nil // an operator's machine
	}
	o, err := directory.OrganizationByID(ctx, r, x.org())
	if err != nil {
		return form.Me{}, err
	}
	role := string(now.Role)
	out.Role, out.Organization = &role, &form.Home{ID: string(o.ID), Name: o.DisplayName, ShortName: o.ShortName}
	if now.UserID != "" {
		id := string(now.UserID)
		out.UserID = &id
	}
	return out, nil
}

var organizationOperations = []*operation{
	organization.gets(operation{ID: "organization.get", Path: "/organization", Scope: access.ReadSettings, Role: directory.Auditor}),
	organization.patches(operation{ID: "organization.change", Path: "/organization", Scope: access.WriteSettings, Role: directory.Administrator, Fresh: true}),
}

var organization = document[form.OrganizationSettings, form.Organization]{
	first: func(ctx context.Context, x *call, _ at, was, now form.OrganizationSettings) error {
		if was.Name == now.Name && was.ShortName == now.ShortName {
			return nil
		}
		if err := x.Actor.MaySetRules(ctx, x.server.DB, x.org()); err != nil {
			return err
		}
		return x.server.Regions.Free(ctx, now.Name, now.ShortName)
	},
	read: func(ctx context.Context, r db.Reader, x *call, at at) (form.OrganizationSettings, error) {
		o, err := readOrganization(ctx, r, x)
		return o.OrganizationSettings, err
	},
	write: func(ctx context.Context, tx *db.Tx, x *call, _ at, _, now form.OrganizationSettings) error {
		_, err := directory.ChangeOrganization(ctx, tx, x.Actor, x.org(), directory.OrganizationProfile{
			DisplayName: now.Name, ShortName: now.ShortName, Language: i18n.Tag(now.Language), Contact: now.Contact,
			InvitationLifetime: seconds(now.InvitationLifetimeSeconds),
		})
		return err
	},
	show: func(ctx context.Context, r db.Reader, x *call, _ at) (form.Organization, error) {
		return readOrganization(ctx, r, x)
	},
}

func readOrganization(ctx context.Context, r db.Reader, x *call) (form.Organization, error) {
	if err := x.Actor.MayRead(ctx, r, x.org()); err != nil {
		return form.Organization{}, err
	}
	o, err := directory.OrganizationByID(ctx, r, x.org())
	return form.Organization{
		ID: string(o.ID), OrganizationSettings: form.OrganizationSettings{
			Name: o.DisplayName, ShortName: o.ShortName, Language: string(o.Language), Contact: o.Contact,
			InvitationLifetimeSeconds: whole(o.InvitationLifetime),
		},
		SingleSignOnOnly: o.FederatedOnly(), HasLogo: o.Logo != "", CreatedAt: o.CreatedAt.UTC(),
	}, err
}

// longest is more seconds than any of our lifetimes has, and few enough for a Duration.
const longest = 1 << 32

// seconds returns a duration as it was sent, or one that is longer than any rule allows.
func seconds(n int64) time.Duration {
	return time.Duration(max(-longest, min(n, longest))) * time.Second
}

func whole(d time.Duration) int64 { return int64(d / time.Second) }
