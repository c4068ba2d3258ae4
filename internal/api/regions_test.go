package api_test

import (
	"testing"

	"parvis/internal/access"
	"parvis/internal/directory"
	"parvis/internal/idptest"
)

// No program takes a name that another region has. Where that cannot be asked, only the operator goes
// on, by naming it; a change of something else asks nobody.
func TestANameIsNewInEveryRegion(t *testing.T) {
	t.Parallel()
	eu, us := idptest.StartRegions(t)
	w := &world{Server: eu, wire: eu.Browser(t).Client.Transport}
	w.alpha = w.organization(t, "Alpha Freight", "alpha", directory.Owner, directory.Member)
	us.Organization(t, "Omega Works", "omega")
	owner := as{token: w.person(t, w.alpha.browsers[directory.Owner], access.ReadSettings, access.WriteSettings)}
	operator := as{token: w.acts(t, w.operator(t, directory.Administrator, access.OperatorScopes...), "")}
	create := func(name, short, unreachable string) answer {
		return w.call(t, operator, "POST", "/organizations",
			`{"name": "`+name+`", "short_name": "`+short+`", "owner_email": "olga@gamma.example", "unreachable": [`+unreachable+`]}`)
	}
	change := func(body string) answer { return w.call(t, owner, "PATCH", "/organization", body) }

	create("OMEGA works", "gamma", "").refused(t, 422, "region.name_taken", "/name")
	create("Gamma Rail", "omega", "").refused(t, 422, "region.short_name_taken", "/short_name")
	change(`{"name": "OMEGA works"}`).refused(t, 422, "region.name_taken", "/name")
	change(`{"short_name": "omega"}`).refused(t, 422, "region.short_name_taken", "/short_name")
	change(`{"name": "Alpha Rail"}`).want(t, 200)

	us.Dies()
	create("Gamma Rail", "gamma", "").refused(t, 422, "region.unasked", "/short_name")
	create("Gamma Rail", "gamma", `"ap"`).refused(t, 422, "region.unasked", "/short_name")
	change(`{"name": "Alpha Air"}`).refused(t, 422, "region.unasked", "/short_name")
	change(`{"contact": "it@alpha.example"}`).want(t, 200)
	create("Gamma Rail", "gamma", `"us"`).want(t, 201)
}
