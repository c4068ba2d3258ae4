package api

import (
	"context"
	"net/http"
	"reflect"
	"slices"

	"parvis/internal/access"
	"parvis/internal/api/form"
	"parvis/internal/application"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
)

var applicationOperations = []*operation{
	reads(operation{ID: "applications.list", Path: "/applications", Scope: access.ReadApplications, Role: directory.Auditor}, listApplications),
	does(operation{ID: "applications.register", Method: http.MethodPost, Path: "/applications", Scope: access.WriteApplications, Role: directory.Administrator, Fresh: true, status: http.StatusCreated},
		deed[struct{ Body form.NewApplication }, form.RegisteredApplication]{first: reachNew, do: register, show: showRegistered}),
	applicationSettings.gets(operation{ID: "applications.get", Path: "/applications/{id}", Scope: access.ReadApplications, Role: directory.Auditor}),
	applicationSettings.patches(operation{ID: "applications.change", Path: "/applications/{id}", Scope: access.WriteApplications, Role: directory.Administrator, Fresh: true}),
	does(operation{ID: "applications.remove", Method: http.MethodDelete, Path: "/applications/{id}", Scope: access.WriteApplications, Role: directory.Administrator, Fresh: true},
		deed[at, form.Application]{do: removeApplication}),
	reads(operation{ID: "applications.secrets", Path: "/applications/{id}/secrets", Scope: access.ReadApplications, Role: directory.Auditor}, listSecrets),
	does(operation{ID: "applications.add_secret", Method: http.MethodPost, Path: "/applications/{id}/secrets", Scope: access.WriteApplications, Role: directory.Administrator, Fresh: true, status: http.StatusCreated},
		deed[at, form.NewClientSecret]{do: addSecret, show: showSecret}),
	does(operation{ID: "applications.remove_secret", Method: http.MethodDelete, Path: "/applications/{id}/secrets/{secret}", Scope: access.WriteApplications, Role: directory.Administrator, Fresh: true},
		deed[atSecret, form.ClientSecret]{do: removeSecret}),
	placement.gets(operation{ID: "applications.placement", Path: "/applications/{id}/placement", Scope: access.ReadApplications, Role: directory.Auditor}),
	placement.puts(operation{ID: "applications.place", Path: "/applications/{id}/placement", Scope: access.WriteApplications, Role: directory.Administrator, Fresh: true}),
}

// applicationAt returns an application of the caller's organization, or of the installation.
func (x *call) applicationAt(ctx context.Context, r db.Reader, id string) (application.Placed, error) {
	return application.ByID(ctx, r, x.Actor, x.org(), application.ID(id))
}

func ofApplication(a application.Placed) form.Application {
	return form.Application{
		ID: string(a.ID), Kind: string(a.Kind), Own: a.OrgID != "", ApplicationSettings: ofSettings(a.Kind, a.Settings), Placement: ofPlacement(a.Place),
		HasLogo: a.HasLogo, Users: a.Users, LastUsedAt: moment(a.UsedAt), CreatedAt: a.CreatedAt.UTC(), ChangedAt: a.ChangedAt.UTC(), FailedSince: moment(a.FailedAt),
	}
}

func listApplications(ctx context.Context, r db.Reader, x *call, _ struct{}) (form.Page[form.Application], error) {
	all, err := application.Of(ctx, r, x.Actor, x.org())
	return short(all, ofApplication), err
}

func showApplication(ctx context.Context, r db.Reader, x *call, id string) (form.Application, error) {
	a, err := x.applicationAt(ctx, r, id)
	if err != nil {
		return form.Application{}, err
	}
	return ofApplication(a), nil
}

// applicationSettings is an application by its settings.
var applicationSettings = document[form.ApplicationSettings, form.Application]{
	first: func(ctx context.Context, x *call, at at, _, now form.ApplicationSettings) error {
		a, err := x.applicationAt(ctx, x.server.DB, at.ID)
		if err != nil {
			return err
		}
		return x.reaches(ctx, a.Application, now)
	},
	read: func(ctx context.Context, r db.Reader, x *call, at at) (form.ApplicationSettings, error) {
		a, err := x.applicationAt(ctx, r, at.ID)
		if err != nil {
			return form.ApplicationSettings{}, err
		}
		return ofSettings(a.Kind, a.Settings), nil
	},
	write: func(ctx context.Context, tx *db.Tx, x *call, at at, was, now form.ApplicationSettings) error {
		a, err := x.applicationAt(ctx, tx, at.ID)
		if err != nil {
			return err
		}
		to, err := settingsOf(a.Kind, now)
		switch {
		case err != nil:
			return err
		case a.OrgID == x.org() && reflect.DeepEqual(was, now):
			return x.Actor.MaySetRules(ctx, tx, x.org())
		}
		_, err = application.Change(ctx, tx, x.Actor, x.server.Base, a.Application, to)
		return err
	},
	show: func(ctx context.Context, r db.Reader, x *call, at at) (form.Application, error) {
		return showApplication(ctx, r, x, at.ID)
	},
}

// reaches refuses settings by which we would have to call an address that we never call. It asks
// for the role first, because looking up a name is counted.
func (x *call) reaches(ctx context.Context, a application.Application, sent form.ApplicationSettings) error {
	if err := x.Actor.MaySetRules(ctx, x.server.DB, x.org()); err != nil {
		return err
	}
	to, err := settingsOf(a.Kind, sent)
	if err != nil {
		return err
	}
	return x.server.Provider.Reach.Check(ctx, a, to)
}

func reachNew(ctx context.Context, x *call, in struct{ Body form.NewApplication }) error {
	return x.reaches(ctx, application.Application{OrgID: x.org(), Kind: application.Kind(in.Body.Kind)}, in.Body.ApplicationSettings)
}

func register(ctx context.Context, tx *db.Tx, x *call, in struct{ Body form.NewApplication }) (string, error) {
	k := application.Kind(in.Body.Kind)
	s, err := settingsOf(k, in.Body.ApplicationSettings)
	if err != nil {
		return "", err
	}
	a, secret, err := application.Register(ctx, tx, x.Actor, x.server.Base, application.Application{OrgID: x.org(), Kind: k, Settings: s})
	x.made(secret)
	return string(a.ID), err
}

// made keeps a secret that a deed made until the answer shows it. A dry run makes none.
func (x *call) made(secret string) {
	if x.secret = &secret; secret == "" || x.dry {
		x.secret = nil
	}
}

// showRegistered shows an application with its secret. When that was shown before, it says so in
// place of an answer without one.
func showRegistered(ctx context.Context, r db.Reader, x *call, id string) (form.RegisteredApplication, error) {
	a, err := x.applicationAt(ctx, r, id)
	if err == nil && x.again && a.HasSecrets() {
		err = errShown.With("Object", id)
	}
	if err != nil {
		return form.RegisteredApplication{}, err
	}
	return form.RegisteredApplication{Application: ofApplication(a), ClientSecret: x.secret}, nil
}

func removeApplication(ctx context.Context, tx *db.Tx, x *call, in at) (string, error) {
	a, err := x.applicationAt(ctx, tx, in.ID)
	if err != nil {
		return "", err
	}
	return in.ID, application.Remove(ctx, tx, x.Actor, a.Application)
}

// atSecret names a secret of an application.
type atSecret struct {
	ID     string `path:"id"`
	Secret string `path:"secret"`
}

func ofSecret(s application.KeptSecret) form.ClientSecret {
	return form.ClientSecret{ID: s.ID, CreatedAt: s.CreatedAt.UTC(), UsedAt: moment(s.UsedAt)}
}

func (x *call) secretsOf(ctx context.Context, r db.Reader, id string) ([]application.KeptSecret, error) {
	a, err := x.applicationAt(ctx, r, id)
	if err != nil {
		return nil, err
	}
	return application.Secrets(ctx, r, x.Actor, a.Application)
}

func listSecrets(ctx context.Context, r db.Reader, x *call, in at) (form.Page[form.ClientSecret], error) {
	all, err := x.secretsOf(ctx, r, in.ID)
	return short(all, ofSecret), err
}

func addSecret(ctx context.Context, tx *db.Tx, x *call, in at) (string, error) {
	a, err := x.applicationAt(ctx, tx, in.ID)
	if err != nil {
		return "", err
	}
	kept, secret, err := application.AddSecret(ctx, tx, x.Actor, a.Application)
	x.made(secret)
	return kept.ID, err
}

func showSecret(ctx context.Context, r db.Reader, x *call, id string) (form.NewClientSecret, error) {
	if x.again {
		return form.NewClientSecret{}, errShown.With("Object", id)
	}
	all, err := x.secretsOf(ctx, r, x.R.PathValue("id"))
	i := slices.IndexFunc(all, func(s application.KeptSecret) bool { return s.ID == id })
	if err != nil || i < 0 {
		return form.NewClientSecret{}, err
	}
	return form.NewClientSecret{ClientSecret: ofSecret(all[i]), Secret: x.secret}, nil
}

func removeSecret(ctx context.Context, tx *db.Tx, x *call, in atSecret) (string, error) {
	a, err := x.applicationAt(ctx, tx, in.ID)
	if err != nil {
		return "", err
	}
	return in.Secret, application.RemoveSecret(ctx, tx, x.Actor, a.Application, in.Secret)
}

// asRegistered is how the standing of an application is sent about which nothing was decided.
const asRegistered = "as_registered"

var errGroupsUnused = fault.Field("groups", "api.groups_unused")

func ofPlacement(p application.Placement) form.Placement {
	out := form.Placement{Standing: string(p.Standing), Audience: string(p.Audience), Groups: append([]string{}, p.Groups...)}
	if p.Standing == application.AsRegistered {
		out.Standing = asRegistered
	}
	return out
}

var placement = document[form.Placement, form.Placement]{
	read: showPlacement, show: showPlacement,
	write: func(ctx context.Context, tx *db.Tx, x *call, at at, _, now form.Placement) error {
		a, err := x.applicationAt(ctx, tx, at.ID)
		if err != nil {
			return err
		}
		p := application.Placement{Standing: application.Standing(now.Standing), Audience: application.Audience(now.Audience), Groups: now.Groups}
		if now.Standing == asRegistered {
			p.Standing = application.AsRegistered
		}
		if len(p.Groups) > 0 && p.Audience != application.SomeGroups {
			return errGroupsUnused
		}
		return application.Place(ctx, tx, x.Actor, x.org(), a.Application, p)
	},
}

func showPlacement(ctx context.Context, r db.Reader, x *call, at at) (form.Placement, error) {
	a, err := x.applicationAt(ctx, r, at.ID)
	if err != nil {
		return form.Placement{}, err
	}
	return ofPlacement(a.Place), nil
}
