package op_test

import (
	"context"
	"errors"
	"testing"

	"parvis/internal/application"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/i18n"
)

// No two applications that one person can see look alike, and a refusal reveals nothing about
// applications of other organizations.
func TestApplicationsDoNotLookAlike(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.register(w.org.ID, application.Web, settings(func(s *application.Settings) { s.Name = "Web" }))
	named := func(name string) application.Settings {
		return settings(func(s *application.Settings) { s.Name = name })
	}
	// In this order, since a name of the operator's binds the organizations that come after it.
	for _, c := range []struct {
		title string
		org   directory.OrgID
		s     application.Settings
		fault string
	}{
		{"the installation's name", w.org.ID, named("Collaborate / Communicate"), "op.field.looks_like"},
		{"one Cyrillic letter", w.org.ID, named("W\u0435b"), "op.field.looks_like"},
		{"a title", w.org.ID, settings(func(s *application.Settings) { s.Name, s.Titles = "Other", map[i18n.Tag]string{"fr": "W\u0435b"} }), "op.field.looks_like"},
		{"the same name", w.org.ID, named("web"), "op.field.name_taken"},
		{"the neighbour's", w.other.ID, named("Web"), ""},
		{"an organization's, by the operator", "", named("Web"), ""},
		{"its own title", w.org.ID, settings(func(s *application.Settings) { s.Name, s.Titles = "Desk", map[i18n.Tag]string{"fr": "Desk"} }), ""},
		{"the neighbour's, after the operator's", w.other.ID, named("W\u0435b"), "op.field.looks_like"},
	} {
		err := w.DB.Update(t.Context(), func(tx *db.Tx) error {
			_, _, err := application.Register(t.Context(), tx, directory.Operator(), w.URL, application.Application{OrgID: c.org, Kind: application.Web, Settings: c.s})
			return err
		})
		f, refused := errors.AsType[*fault.Error](err)
		switch {
		case c.fault == "" && err != nil:
			t.Errorf("%s: %v", c.title, err)
		case c.fault != "" && (!refused || f.Key != c.fault):
			t.Errorf("%s: %v, want %s", c.title, err, c.fault)
		}
	}
	w.Update(t, func(ctx context.Context, tx *db.Tx) error { // the name that it has already stays
		_, err := application.Change(ctx, tx, directory.Operator(), w.URL, first.Application, settings(func(s *application.Settings) { s.Name, s.Asks = "Web", true }))
		return err
	})
}

func TestRolesAreCleanedAsNamesAre(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for title, role := range map[string]string{
		"direction": "ad\u202emin", "zero width": "ad\u200bmin", "tag": "admin\U000e0041", "line": "ad\nmin", "empty": "", "space": " ",
	} {
		err := w.DB.Update(t.Context(), func(tx *db.Tx) error {
			_, _, err := application.Register(t.Context(), tx, directory.Operator(), w.URL, application.Application{OrgID: w.org.ID, Kind: application.Web, Settings: settings(func(s *application.Settings) {
				s.Roles = []application.RoleOf{{Group: "grp_1", Role: role}}
			})})
			return err
		})
		if f, refused := errors.AsType[*fault.Error](err); !refused || f.Key != "op.field.roles" {
			t.Errorf("%s: %v, want op.field.roles", title, err)
		}
	}
	// A role is cleaned like a name: one form of each character, single spaces.
	c := w.register(w.org.ID, application.Web, settings(func(s *application.Settings) {
		s.Roles = []application.RoleOf{{Group: w.group("Crew"), Role: " Chef  d\u2019e\u0301quipe "}}
	}))
	if got := c.Settings.Roles[0].Role; got != "Chef d\u2019\u00e9quipe" {
		t.Errorf("kept as %q", got)
	}
}
