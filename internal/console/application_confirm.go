package console

import (
	"context"
	"slices"

	"parvis/internal/application"
	"parvis/internal/db"
	"parvis/internal/page"
)

// asking returns the application in the path, and where the page that asks about it leads back.
func (s asks) askingAbout(v *page.Viewer) (application.Placed, confirmation, error) {
	a, err := application.ByID(v.R.Context(), s.site.DB, v.User.AsActor(), v.User.OrgID, applicationIn(v))
	c := confirmation{Back: v.Path("admin/applications", string(a.ID)), Grave: true}
	if a.Users > 0 {
		c.Affects = []string{v.Text("console.confirm.users", "Count", a.Users)}
	}
	return a, c, err
}

// application asks before an application is removed.
func (s asks) application(v *page.Viewer) (bool, error) {
	if v.Form.Asked() != "remove" {
		return false, nil
	}
	a, c, err := s.askingAbout(v)
	if err != nil {
		return false, err
	}
	c.Title, c.Button = v.Text("console.confirm.remove", "Name", a.Settings.Name), v.Text("console.application.remove")
	c.Follows = []string{v.Text("console.application.remove_what")}
	if a.Kind == application.Link {
		c.Follows = []string{v.Text("console.application.remove_link_what")}
	}
	return s.confirm(v, c, removesApplication(v))
}

func removesApplication(v *page.Viewer) func(context.Context, *db.Tx) error {
	ctx := v.R.Context()
	return toApplication(v, func(tx *db.Tx, a application.Application) error {
		return application.Remove(ctx, tx, v.User.AsActor(), a)
	})
}

// place asks before an application is forbidden.
func (s asks) place(v *page.Viewer) (bool, error) {
	if application.Standing(v.Form.Get("standing")) != application.Forbidden {
		return false, nil
	}
	a, c, err := s.askingAbout(v)
	if err != nil || a.Place.Standing == application.Forbidden {
		return false, err
	}
	c.Title, c.Button = v.Text("console.confirm.forbid", "Name", a.Settings.Name), v.Text("console.confirm.forbid_do")
	c.Follows = []string{v.Text("console.confirm.forbid_what")}
	return s.confirm(v, c, places(v))
}

// places returns what a form decides about the application in the path.
func places(v *page.Viewer) func(context.Context, *db.Tx) error {
	place := application.Placement{Standing: application.Standing(v.Form.Get("standing")), Audience: application.Audience(v.Form.Get("audience"))}
	if place.Audience == application.SomeGroups {
		place.Groups = v.Form.All("group[]")
	}
	ctx := v.R.Context()
	return toApplication(v, func(tx *db.Tx, a application.Application) error {
		return application.Place(ctx, tx, v.User.AsActor(), v.User.OrgID, a, place)
	})
}

// secrets asks before a secret is removed. Another one beside it harms nobody.
func (s asks) secrets(v *page.Viewer) (bool, error) {
	do := v.Form.Asked()
	if do != "remove" && do != "add" {
		return false, nil
	}
	ctx := v.R.Context()
	a, c, err := s.askingAbout(v)
	if err != nil {
		return false, err
	}
	c.Affects = nil
	if do == "add" {
		c.Light, c.Grave, c.Title, c.Button = true, false, v.Text("console.confirm.secret_add", "Name", a.Settings.Name), v.Text("console.application.secret_add")
		return s.confirm(v, c)
	}
	kept, err := application.Secrets(ctx, s.site.DB, v.User.AsActor(), a.Application)
	if err != nil {
		return false, err
	}
	c.Title, c.Button = v.Text("console.confirm.secret", "Name", a.Settings.Name), v.Text("console.application.secret_remove")
	if i := slices.IndexFunc(kept, func(k application.KeptSecret) bool { return k.ID == v.Form.Get("secret") }); i >= 0 {
		used := v.Text("console.application.secret_unused")
		if k := kept[i]; !k.UsedAt.IsZero() {
			used = v.Text("console.application.secret_used", "When", v.DateTime(k.UsedAt))
		}
		c.Affects = []string{v.Text("console.application.secret_made", "When", v.DateTime(kept[i].CreatedAt)) + ", " + used + "."}
	}
	c.Follows = []string{v.Text("console.confirm.secret_what")}
	return s.confirm(v, c, removesSecret(v))
}

func removesSecret(v *page.Viewer) func(context.Context, *db.Tx) error {
	ctx := v.R.Context()
	return toApplication(v, func(tx *db.Tx, a application.Application) error {
		return application.RemoveSecret(ctx, tx, v.User.AsActor(), a, v.Form.Get("secret"))
	})
}
