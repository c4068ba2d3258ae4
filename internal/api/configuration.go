package api

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"reflect"
	"slices"

	"parvis/internal/access"
	"parvis/internal/api/form"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
)

var configurationOperations = []*operation{
	configuration.gets(operation{ID: "configuration.get", Path: "/configuration", Scope: access.ReadSettings, also: []access.Scope{access.ReadGroups, access.ReadConnections, access.ReadApplications, access.ReadWebhooks}, Role: directory.Auditor}),
	configures(operation{ID: "configuration.set", Path: "/configuration", Role: directory.Administrator}),
}

// configuration is the whole of what is set up, of one moment.
var configuration = document[form.Configuration, form.Configuration]{read: readConfiguration, show: readConfiguration}

func readConfiguration(ctx context.Context, r db.Reader, x *call, at at) (all form.Configuration, err error) {
	o, err := readOrganization(ctx, r, x)
	all.Organization = form.ConfiguredOrganization{ID: o.ID, OrganizationSettings: o.OrganizationSettings}
	if err == nil {
		all.Rules.Password, err = passwordRules.read(ctx, r, x, at)
	}
	if err == nil {
		all.Rules.SecondStep, err = secondStepRules.read(ctx, r, x, at)
	}
	if err == nil {
		all.Rules.Sessions, err = sessionRules.read(ctx, r, x, at)
	}
	if err == nil {
		all.Domains, err = configuredDomains.read(ctx, r, x)
	}
	if err == nil {
		all.Groups, err = configuredGroups.read(ctx, r, x)
	}
	if err == nil {
		all.Connections, err = configuredConnections.read(ctx, r, x)
	}
	if err == nil {
		all.Applications, err = configuredApplications.read(ctx, r, x)
	}
	if err == nil {
		all.Placements, err = configuredPlacements.read(ctx, r, x)
	}
	if err == nil {
		all.Sources, err = configuredSources.read(ctx, r, x)
	}
	if err == nil {
		all.Webhooks, err = configuredWebhooks.read(ctx, r, x)
	}
	return all, err
}

var (
	errForeign  = fault.New(fault.Conflict, "api.configuration_foreign")
	errNoSuchID = fault.Field("", "api.configuration_unknown")
	errNamed    = fault.Field("", "api.configuration_named")
	errUnclear  = fault.Field("", "api.configuration_unclear")
	errFixed    = fault.Field("", "api.configuration_fixed")
)

// planned is how a configuration may be sent.
type planned struct {
	Prune bool `query:"prune"` // delete what a section that is sent does not list
	Body  form.Configuration
}

// configures completes the operation that makes an organization what a configuration says: each
// deed as if it were called for itself, all of them in one transaction. Its dry run is the plan, and
// names the ETag that the deed wants.
func configures(o operation) *operation {
	o.Method, o.status, o.tagged, o.partly, o.large = http.MethodPut, http.StatusOK, true, true, true
	o.in, o.out = reflect.TypeFor[planned](), reflect.TypeFor[form.Plan]()
	o.run = func(ctx context.Context, x *call) error {
		var in planned
		if err := errors.Join(x.parameters(reflect.ValueOf(&in).Elem())...); err != nil {
			return err
		}
		body, err := x.body()
		if err != nil {
			return err
		}
		sent, ok := body.(object)
		if !ok {
			return wrong{why: errType.With("Type", "object")}
		}
		tag, err := x.ifMatch(!x.dry)
		if err == nil {
			err = x.mayConfigure(sent)
		}
		if err == nil {
			err = x.countCalls(ctx, sent, tag)
		}
		if err != nil {
			return err
		}
		var was, now form.Configuration
		if err := x.change(ctx, func(tx *db.Tx) (err error) {
			was, now, err = x.configure(ctx, tx, sent, tag, in.Prune)
			return err
		}); err != nil {
			return err
		}
		plan := form.Plan{Changes: x.differences(was, now)}
		if x.dry {
			now = was // it was rolled back
		}
		return x.tagged(now, plan)
	}
	return &o
}

// partsOfConfiguration says which scope writes which section.
var partsOfConfiguration = map[string]access.Scope{
	"organization": access.WriteSettings, "rules": access.WriteSettings, "domains": access.WriteSettings, "groups": access.WriteGroups,
	"connections": access.WriteConnections, "applications": access.WriteApplications, "placements": access.WriteApplications,
	"sources": access.WriteConnections, "webhooks": access.WriteWebhooks,
}

// mayConfigure wants the scope of each section that is sent. An organization that is only named
// needs none.
func (x *call) mayConfigure(sent object) error {
	if x.org() == "" { // a token of the installation
		return errScope.With("Scope", string(access.WriteSettings))
	}
	for _, section := range slices.Sorted(maps.Keys(sent)) {
		named, _ := sent["organization"].(object)
		_, byID := named["id"]
		_, byName := named["short_name"]
		if section == "organization" && len(named) == 1 && (byID || byName) {
			continue
		}
		if scope, ok := partsOfConfiguration[section]; ok && !x.May(scope) {
			return errScope.With("Scope", string(scope))
		}
	}
	return nil
}

// countCalls counts what we will call because a configuration gives webhooks other addresses: the
// plan does not. It is counted ahead of the transaction, so that it stays counted.
func (x *call) countCalls(ctx context.Context, sent object, tag string) error {
	if _, ok := sent["webhooks"]; !ok || x.dry {
		return nil
	}
	var was, wanted form.Configuration
	if err := x.server.DB.View(ctx, func(tx *db.Tx) (err error) {
		if was, wanted, err = x.wanted(ctx, tx, sent, tag); err == nil {
			err = x.proved(x.steps(was, wanted, false))
		}
		return err
	}); err != nil {
		return err
	}
	return x.server.Webhooks.Count(ctx, x.org(), newAddresses(was, wanted))
}

// wanted returns what is, and what is to be.
func (x *call) wanted(ctx context.Context, r db.Reader, sent object, tag string) (was, wanted form.Configuration, err error) {
	if err := x.meant(ctx, r, sent); err != nil {
		return was, wanted, err
	}
	if err := x.Actor.MaySetRules(ctx, r, x.org()); err != nil {
		return was, wanted, err
	}
	if was, err = readConfiguration(ctx, r, x, at{}); err != nil {
		return was, wanted, err
	}
	if tag != "" && tag != x.etag(was) {
		return was, wanted, errPrecondition
	}
	whole, mistakes := combine(tree(was), sent)
	return was, wanted, errors.Join(append(mistakes, fill(reflect.ValueOf(&wanted).Elem(), whole, "")...)...)
}

// proved refuses a person who has not proved lately who they are, if a step wants that.
func (x *call) proved(steps []step) error {
	if slices.ContainsFunc(steps, func(s step) bool { return s.fresh }) {
		return x.fresh()
	}
	return nil
}

// configure does what makes the organization what was sent, and returns it before and after.
func (x *call) configure(ctx context.Context, tx *db.Tx, sent object, tag string, prune bool) (was, now form.Configuration, err error) {
	was, wanted, err := x.wanted(ctx, tx, sent, tag)
	if err != nil {
		return was, now, err
	}
	x.secrets, x.secretOf = map[string]string{}, map[string][]string{}
	steps := x.steps(was, wanted, prune)
	if err := x.proved(steps); err != nil {
		return was, now, err
	}
	if err := perform(ctx, tx, steps); err != nil {
		return was, now, err
	}
	now, err = readConfiguration(ctx, tx, x, at{})
	return was, now, err
}

// meant refuses a configuration of another organization. It looks for no other by what is sent: an
// organization that exists, and one that does not, are refused alike.
func (x *call) meant(ctx context.Context, r db.Reader, sent object) error {
	named, _ := sent["organization"].(object)
	id, byID := named["id"].(string)
	short, byName := named["short_name"].(string)
	switch {
	case byID && id != "":
		if id != string(x.org()) {
			return wrong{pointer: "/organization/id", why: errForeign}
		}
		return nil
	case !byName:
		return wrong{pointer: "/organization/short_name", why: errMissing}
	}
	own, err := directory.OrganizationByID(ctx, r, x.org())
	if err == nil && !own.Called(short) {
		err = wrong{pointer: "/organization/short_name", why: errForeign}
	}
	return err
}

// tree returns a form as it would be read back from JSON, whatever characters were once stored.
func tree(v any) object {
	value, _ := decodeJSON(written(v))
	return value.(object)
}
