package api

import (
	"context"
	"errors"
	"net/http"
	"reflect"

	"parvis/internal/access"
	"parvis/internal/api/form"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/domain"
	"parvis/internal/fault"
)

var domainOperations = []*operation{
	reads(operation{ID: "domains.list", Path: "/domains", Scope: access.ReadSettings, Role: directory.Auditor}, listDomains),
	reads(operation{ID: "domains.get", Path: "/domains/{id}", Scope: access.ReadSettings, Role: directory.Auditor},
		func(ctx context.Context, r db.Reader, x *call, in at) (form.Domain, error) {
			return showDomain(ctx, r, x, in.ID)
		}),
	does(operation{ID: "domains.add", Method: http.MethodPost, Path: "/domains", Scope: access.WriteSettings, Role: directory.Administrator, status: http.StatusCreated},
		deed[struct{ Body form.NewDomain }, form.Domain]{do: addDomain, show: showDomain}),
	does(operation{ID: "domains.remove", Method: http.MethodDelete, Path: "/domains/{id}", Scope: access.WriteSettings, Role: directory.Administrator, Fresh: true},
		deed[at, form.Domain]{do: removeDomain}),
	checksDomain(operation{ID: "domains.check", Path: "/domains/{id}/check", Scope: access.WriteSettings, Role: directory.Administrator}),
}

func ofDomain(d domain.Domain) form.Domain {
	return form.Domain{ID: d.ID, Name: d.String(), State: string(d.State()), Record: d.Record(), RecordValue: d.Value(), ProvenAt: moment(d.ProvenAt)}
}

func listDomains(ctx context.Context, r db.Reader, x *call, _ struct{}) (form.Page[form.Domain], error) {
	all, err := domain.Of(ctx, r, x.Actor, x.org())
	return short(all, ofDomain), err
}

func showDomain(ctx context.Context, r db.Reader, x *call, id string) (form.Domain, error) {
	d, err := domain.ByID(ctx, r, x.Actor, x.org(), id)
	if err != nil {
		return form.Domain{}, err
	}
	return ofDomain(d), nil
}

func addDomain(ctx context.Context, tx *db.Tx, x *call, in struct{ Body form.NewDomain }) (string, error) {
	d, err := domain.Add(ctx, tx, x.Actor, x.org(), in.Body.Name)
	return d.ID, err
}

func removeDomain(ctx context.Context, tx *db.Tx, x *call, in at) (string, error) {
	return in.ID, domain.Remove(ctx, tx, x.Actor, x.org(), in.ID)
}

// errSpeaksToOthers refuses a dry run of what asks another host: it would do so all the same.
var errSpeaksToOthers = fault.New(fault.Invalid, "api.dry_run_asks_others")

// checksDomain looks up the record of a domain, and shows what came of it.
func checksDomain(o operation) *operation {
	o.Method, o.status, o.in, o.out = http.MethodPost, http.StatusOK, reflect.TypeFor[at](), reflect.TypeFor[form.Domain]()
	o.run = func(ctx context.Context, x *call) error {
		in, err := input[at](x)
		switch {
		case err != nil:
			return err
		case x.dry:
			return errSpeaksToOthers
		}
		// That the record is missing is told by the domain's state.
		err = x.server.Domains.Check(ctx, x.server.DB, x.Actor, x.org(), in.ID)
		if err != nil && !errors.Is(err, domain.ErrProofMissing) && !errors.Is(err, domain.ErrProofUnanswered) {
			return err
		}
		d, err := showDomain(ctx, x.server.DB, x, in.ID)
		if err != nil {
			return err
		}
		return x.answer(o.status, d)
	}
	return &o
}
