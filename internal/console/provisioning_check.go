package console

import (
	"parvis/internal/page"
	"parvis/internal/provisioning"
)

// sentFields are a call as an administrator writes it down. What a directory sends is about people:
// nothing but the answered page holds it.
var sentFields = page.Fields{"method", "path", "scim_body"}

// sentMethods are those that change something, as they are offered.
var sentMethods = []string{"POST", "PUT", "PATCH", "DELETE"}

// checkedPage asks for a call, and says what it would do.
type checkedPage struct {
	provisioning.Source
	Methods []string
	Body    string
	Checked *shownCall
}

// Nothing reports whether the call would be taken, and change nothing.
func (p checkedPage) Nothing() bool {
	return p.Checked.Outcome == provisioning.Done && len(p.Checked.Did) == 0
}

var checkChips = map[provisioning.Outcome]chip{
	provisioning.Done:    callChips[provisioning.Watched],
	provisioning.Held:    callChips[provisioning.Held],
	provisioning.Refused: {"console.provisioning.check.refused", "bad"},
}

func (s sources) showCheck(v *page.Viewer) error {
	source, err := provisioning.SourceByID(v.R.Context(), s.site.DB, v.User.AsActor(), v.User.OrgID, v.ID())
	if err != nil {
		return err
	}
	return v.Render("console-check-source", checkedPage{Source: source, Methods: sentMethods, Body: v.Form.Get("scim_body")})
}

func (s sources) check(v *page.Viewer) error {
	ctx, actor, org := v.R.Context(), v.User.AsActor(), v.User.OrgID
	source, err := provisioning.SourceByID(ctx, s.site.DB, actor, org, v.ID())
	if err != nil {
		return err
	}
	body := v.Form.Get("scim_body")
	c, err := s.Sources.Check(ctx, actor, org, source.ID, provisioning.Sent{Method: v.Form.Get("method"), Path: v.Form.Get("path"), Body: []byte(body)})
	if err != nil {
		return err
	}
	return v.Render("console-check-source", checkedPage{
		Source: source, Methods: sentMethods, Body: body, Checked: &shownCall{c, checkChips[c.Outcome], sentences(v, c.Did), sentences(v, c.Notes)},
	})
}
