package console

import (
	"context"

	"parvis/internal/db"
	"parvis/internal/federation"
	"parvis/internal/page"
)

// askingAt finds the connection that the path names, for a page that asks.
func (s asks) askingAt(v *page.Viewer, ask func(federation.Connection) (bool, error)) (asked bool, err error) {
	c, err := federation.ConnectionOf(v.R.Context(), s.site.DB, v.User.AsActor(), v.User.OrgID, v.ID())
	if err != nil {
		return false, err
	}
	return ask(c)
}

// connection asks before a deed to a connection. Testing it and turning it on are undone by one
// click.
func (s asks) connection(v *page.Viewer) (bool, error) {
	return s.askingAt(v, func(c federation.Connection) (bool, error) {
		q := confirmation{Back: v.Path("admin/connections", c.ID)}
		switch v.Form.Asked() {
		case "test", "test-change":
			q.Light, q.Title, q.Button = true, v.Text("console.confirm.test", "Name", c.Name), v.Text("console.sso.test")
			return s.confirm(v, q)
		case "on":
			q.Light, q.Title, q.Button = true, v.Text("console.confirm.turn_on", "Name", c.Name), v.Text("console.sso.turn_on")
			q.Follows = []string{v.Text("console.confirm.turn_on_what")}
			return s.confirm(v, q)
		case "off":
			q.Title, q.Button, q.Follows = v.Text("console.confirm.turn_off", "Name", c.Name), v.Text("console.sso.turn_off"), []string{v.Text("console.confirm.turn_off_what")}
			return s.askLeaving(v, c, q, s.Hub.TurnOff)
		case "remove":
			q.Title, q.Button, q.Follows = v.Text("console.confirm.remove", "Name", c.Name), v.Text("console.sso.remove"), []string{v.Text("console.sso.remove_what")}
			return s.askLeaving(v, c, q, s.Hub.Remove)
		case "confirm":
			q.Title, q.Button = v.Text("console.confirm.trust", "Name", c.Name), v.Text("console.trust.confirm")
			q.First, q.Follows = v.Text("console.confirm.trust_first"), []string{v.Text("console.confirm.trust_what")}
			return s.confirm(v, q, toConnection(v, c, seen(v, s.Hub.Confirm)))
		case "take", "discard":
			return s.askWaiting(v, c, q)
		}
		return false, nil
	})
}

// toConnection does a deed to a connection in a transaction.
func toConnection(v *page.Viewer, c federation.Connection, do connectionDeed) func(context.Context, *db.Tx) error {
	return func(ctx context.Context, tx *db.Tx) error {
		return do(ctx, tx, v.User.AsActor(), v.User.OrgID, c.ID)
	}
}

// askLeaving asks before nobody signs in by a connection any longer.
func (s asks) askLeaving(v *page.Viewer, c federation.Connection, q confirmation, do connectionDeed) (bool, error) {
	people, err := federation.PeopleAt(v.R.Context(), s.site.DB, v.User.OrgID, c.ID)
	if err != nil {
		return false, err
	}
	q.Affects, q.Grave, q.Sessions = []string{v.Text("console.confirm.linked", "Count", people)}, true, true
	return s.confirm(v, q, toConnection(v, c, do))
}

// askWaiting asks before the change that waits beside a connection is accepted or thrown away.
func (s asks) askWaiting(v *page.Viewer, c federation.Connection, q confirmation) (bool, error) {
	w, waiting, err := federation.Waiting(v.R.Context(), s.site.DB, c)
	if err != nil || !waiting {
		return false, err // the form's own handler says so
	}
	for _, change := range changesOf(w.Before, w.After) {
		q.Changes = append(q.Changes, ruleChange{Setting: change.Key, Name: change.Name, Before: dash(change.Before), After: dash(change.After)})
	}
	if v.Form.Asked() == "discard" {
		q.Title, q.Button = v.Text("console.confirm.discard", "Name", c.Name), v.Text("console.trust.discard")
		return s.confirm(v, q, toConnection(v, c, s.Hub.Discard))
	}
	q.Title, q.Button, q.Follows = v.Text("console.confirm.take", "Name", c.Name), v.Text("console.trust.take"), []string{v.Text("console.confirm.take_what")}
	return s.confirm(v, q, toConnection(v, c, seen(v, s.Hub.Take)))
}

// dash stands for what is empty.
func dash(text string) string {
	if text == "" {
		return "—"
	}
	return text
}

// setupLink asks before a setup link is withdrawn.
func (s asks) setupLink(v *page.Viewer) (bool, error) {
	if v.Form.Asked() != "withdraw" {
		return false, nil
	}
	return s.askingAt(v, func(c federation.Connection) (bool, error) {
		l, found, err := federation.SetupLinkOf(v.R.Context(), s.site.DB, v.User.OrgID, c.ID)
		if err != nil || !found {
			return false, err
		}
		return s.confirm(v, confirmation{
			Title: v.Text("console.confirm.withdraw_link", "Email", l.Email), Button: v.Text("console.setup.withdraw"),
			Follows: []string{v.Text("console.confirm.withdraw_what", "Email", l.Email)}, Back: v.Path("admin/connections", c.ID),
		}, toConnection(v, c, s.Hub.WithdrawSetupLink))
	})
}

// certificate asks about the removal of a certificate after fresh proof only: on a connection
// that is on it waits to be accepted, and elsewhere nobody depends on it.
func (s asks) certificate(v *page.Viewer) (bool, error) {
	if v.Form.Asked() != "remove" {
		return false, nil
	}
	return s.askingAt(v, func(c federation.Connection) (bool, error) {
		return s.confirm(v, confirmation{
			Light: true, Title: v.Text("console.confirm.certificate"), Button: v.Text("console.sso.certificate_remove"),
			Follows: []string{v.Form.Get("fingerprint")}, Back: v.Path("admin/connections", c.ID),
		})
	})
}

// arrange asks about another order after fresh proof only.
func (s asks) arrange(v *page.Viewer) (bool, error) {
	if !v.Form.Returned() {
		return false, nil
	}
	c, err := federation.ConnectionOf(v.R.Context(), s.site.DB, v.User.AsActor(), v.User.OrgID, v.Form.Get("connection"))
	if err != nil {
		return false, err
	}
	return s.confirm(v, confirmation{
		Light: true, Title: v.Text("console.sso.move_up_of", "Name", c.Name), Button: v.Text("console.sso.move_up"), Back: v.Path("admin/single-sign-on"),
	})
}
