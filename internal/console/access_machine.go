package console

import (
	"context"
	"errors"

	"parvis/internal/access"
	"parvis/internal/application"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/page"
)

// machinePage shows what an application may do on its own behalf, and lets somebody change it.
type machinePage struct {
	shownMachine
	scopeChoices
	Roles     []directory.Role
	Now       directory.Role // chosen
	MayChange bool
	Saved     bool
	Confirmed bool
}

// machine returns the application in the path with its right, if it has one.
func (s callers) machine(v *page.Viewer) (shownMachine, error) {
	ctx, actor, id := v.R.Context(), v.User.AsActor(), applicationIn(v)
	a, err := application.ByID(ctx, s.site.DB, actor, v.User.OrgID, id)
	if err == nil && (a.OrgID != v.User.OrgID || !a.Settings.OwnBehalf) {
		err = application.ErrUnknown
	}
	if err != nil {
		return shownMachine{}, err
	}
	m, err := access.MachineByClient(ctx, s.site.DB, actor, v.User.OrgID, id)
	if errors.Is(err, directory.ErrNotFound) {
		return shownMachine{Machine: access.Machine{Client: id, Name: a.Settings.Name}}, nil
	}
	return withRight(v, m), err
}

func (s callers) showMachine(v *page.Viewer) error {
	m, err := s.machine(v)
	if err != nil {
		return err
	}
	p := machinePage{
		shownMachine: m, Roles: access.MachineRoles(v.User.Role), Now: m.Role,
		MayChange: rules(v.User.Role), Saved: v.Just("saved"), Confirmed: v.Just("confirmed-right"),
	}
	if p.Now == "" {
		p.Now = directory.Auditor // the one with which a mistake changes nothing
	}
	p.scopeChoices = offer(v, directory.Administrator, m.Scopes)
	v.FormIf(p.MayChange)
	return v.Render("console-machine", p)
}

// machineRight asks before a right is taken away.
func (s asks) machineRight(v *page.Viewer) (bool, error) {
	m, err := callers(s).machine(v)
	if err != nil {
		return false, err
	}
	c := confirmation{Back: v.Path("admin/access/machines", string(m.Client))}
	switch v.Form.Asked() {
	case "end":
		c.Title, c.Button, c.Grave = v.Text("console.confirm.machine", "Name", m.Name), v.Text("console.access.end"), true
		c.Follows = []string{v.Text("console.access.end_what")}
		return s.confirm(v, c, endsMachine(v))
	case "confirm":
		c.Light, c.Title, c.Button = true, v.Text("console.confirm.machine_confirm", "Name", m.Name), v.Text("console.access.confirm")
		c.Follows = []string{m.May}
		return s.confirm(v, c)
	}
	return false, nil
}

func endsMachine(v *page.Viewer) func(context.Context, *db.Tx) error {
	return func(ctx context.Context, tx *db.Tx) error {
		return access.EndMachine(ctx, tx, v.User.AsActor(), v.User.OrgID, applicationIn(v))
	}
}

func (s callers) changeMachine(v *page.Viewer) error {
	actor, org, id := v.User.AsActor(), v.User.OrgID, applicationIn(v)
	here := v.Path("admin/access/machines", string(id))
	switch v.Form.Asked() {
	case "end":
		return v.Do(endsMachine(v), v.Path("admin/access")+"?ended")
	case "confirm":
		return v.Do(func(ctx context.Context, tx *db.Tx) error {
			return access.ConfirmMachine(ctx, tx, actor, org, id)
		}, here+"?confirmed-right")
	case "grant":
		right := access.Right{Scopes: scopesIn(v.Form), Role: directory.Role(v.Form.Get("role")), Lasts: lastsIn(v.Form)}
		return v.Do(func(ctx context.Context, tx *db.Tx) error {
			_, err := access.GrantMachine(ctx, tx, actor, org, id, right)
			return err
		}, here+"?saved")
	}
	return s.showMachine(v)
}
