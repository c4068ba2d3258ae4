package web

import (
	"context"

	"parvis/internal/application"
	"parvis/internal/db"
	"parvis/internal/op"
	"parvis/internal/page"
)

var applicationsFields = page.Fields{"client"}

// applicationsPage lists what the user has let each application know.
type applicationsPage struct {
	Given     []given
	Withdrawn bool
}

type given struct{ op.Given }

// Title returns the application's name in the language of the page.
func (g given) Title(f page.Frame) string { return g.Client.Title(f.Viewer.Language()) }

// ScopeKey returns the catalogue key of the sentence that describes a scope.
func (given) ScopeKey(scope string) string { return application.ScopeKey(scope) }

func (s account) showApplications(v *page.Viewer) error {
	all, err := s.ask.GivenBy(v.R.Context(), s.site.DB, v.Visit)
	if err != nil {
		return err
	}
	p := applicationsPage{Withdrawn: v.Just("withdrawn")}
	for _, g := range all {
		p.Given = append(p.Given, given{g})
	}
	v.FormIf(len(all) > 0)
	return v.Render("account-applications", p)
}

// withdraw takes back what the user let one application know.
func (s account) withdraw(v *page.Viewer) error {
	return v.Do(func(ctx context.Context, tx *db.Tx) error {
		return op.Withdraw(ctx, tx, v.Visit, application.ID(v.Form.Get("client")))
	}, v.Path("account/applications")+"?withdrawn")
}

// switchTo switches the browser to this organization, from the menu at the top of a page.
func (s account) switchTo(v *page.Viewer) error {
	return v.Done(s.ask.Switch(v.R.Context(), v.Visit), v.Path("home"))
}
