package api

import (
	"cmp"
	"context"
	"net/http"

	"parvis/internal/access"
	"parvis/internal/api/form"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/federation"
	"parvis/internal/i18n"
	"parvis/internal/session"
)

var connectionOperations = []*operation{
	reads(operation{ID: "connections.list", Path: "/connections", Scope: access.ReadConnections, Role: directory.Auditor}, listConnections),
	does(operation{ID: "connections.create", Method: http.MethodPost, Path: "/connections", Scope: access.WriteConnections, Role: directory.Administrator, Fresh: true, status: http.StatusCreated},
		deed[struct{ Body form.NewConnection }, form.Connection]{do: createConnection, show: showConnection}),
	connection.gets(operation{ID: "connections.get", Path: "/connections/{id}", Scope: access.ReadConnections, Role: directory.Auditor}),
	connection.patches(operation{ID: "connections.change", Path: "/connections/{id}", Scope: access.WriteConnections, Role: directory.Administrator, Fresh: true, large: true}),
	does(operation{ID: "connections.delete", Method: http.MethodDelete, Path: "/connections/{id}", Scope: access.WriteConnections, Role: directory.Administrator, Fresh: true},
		deed[leaving, form.Connection]{do: deleteConnection}),
	does(operation{ID: "connections.turn_on", Method: http.MethodPost, Path: "/connections/{id}/turn-on", Scope: access.WriteConnections, Role: directory.Administrator, Fresh: true},
		deed[at, form.Connection]{do: turnOn, show: showConnection}),
	does(operation{ID: "connections.turn_off", Method: http.MethodPost, Path: "/connections/{id}/turn-off", Scope: access.WriteConnections, Role: directory.Administrator, Fresh: true},
		deed[leaving, form.Connection]{do: turnOff, show: showConnection}),
	reads(operation{ID: "connections.setup_link.get", Path: "/connections/{id}/setup-link", Scope: access.ReadConnections, Role: directory.Auditor},
		func(ctx context.Context, r db.Reader, x *call, in at) (form.SetupLink, error) {
			return showSetupLink(ctx, r, x, in.ID)
		}),
	does(operation{ID: "connections.setup_link.send", Method: http.MethodPost, Path: "/connections/{id}/setup-link", Scope: access.WriteConnections, Role: directory.Administrator, Fresh: true, status: http.StatusCreated},
		deed[withBody[form.NewSetupLink], form.SetupLink]{first: countSetupLink, do: sendSetupLink, show: showSetupLink}),
	does(operation{ID: "connections.setup_link.withdraw", Method: http.MethodDelete, Path: "/connections/{id}/setup-link", Scope: access.WriteConnections, Role: directory.Administrator, Fresh: true},
		deed[at, form.SetupLink]{do: withdrawSetupLink}),
	reads(operation{ID: "connections.attempts", Path: "/connections/{id}/attempts", Scope: access.ReadConnections, Role: directory.Auditor}, listAttempts),
}

// leaving is a connection by which nobody signs in any longer.
type leaving struct {
	at
	EndSessions bool `query:"end_sessions"` // those that its provider vouched for too
}

func listConnections(ctx context.Context, r db.Reader, x *call, _ struct{}) (form.Page[form.Connection], error) {
	all, err := federation.ConnectionsOf(ctx, r, x.Actor, x.org())
	out := form.Page[form.Connection]{Items: make([]form.Connection, 0, len(all))}
	for i, c := range all {
		shown, err := x.ofConnection(ctx, r, c, i+1)
		if err != nil {
			return out, err
		}
		out.Items = append(out.Items, shown)
	}
	return out, err
}

func showConnection(ctx context.Context, r db.Reader, x *call, id string) (form.Connection, error) {
	c, place, err := x.connection(ctx, r, id)
	if err != nil {
		return form.Connection{}, err
	}
	return x.ofConnection(ctx, r, c, place)
}

// connection returns a connection with its place in the organization's order.
func (x *call) connection(ctx context.Context, r db.Reader, id string) (federation.Connection, int, error) {
	c, err := federation.ConnectionOf(ctx, r, x.Actor, x.org(), id)
	if err != nil {
		return c, 0, err
	}
	place, err := federation.PlaceOf(ctx, r, x.Actor, x.org(), id)
	return c, place, err
}

func createConnection(ctx context.Context, tx *db.Tx, x *call, in struct{ Body form.NewConnection }) (string, error) {
	c, err := x.server.Hub.Create(ctx, tx, x.Actor, x.org(), federation.New{
		Provider: federation.Provider(in.Body.Provider), Protocol: federation.Protocol(in.Body.Protocol), Name: in.Body.Name,
	})
	return c.ID, err
}

func deleteConnection(ctx context.Context, tx *db.Tx, x *call, in leaving) (string, error) {
	return in.ID, x.leave(ctx, tx, in, x.server.Hub.Remove)
}

func turnOn(ctx context.Context, tx *db.Tx, x *call, in at) (string, error) {
	return in.ID, x.server.Hub.TurnOnByToken(ctx, tx, x.Actor, x.org(), in.ID)
}

func turnOff(ctx context.Context, tx *db.Tx, x *call, in leaving) (string, error) {
	return in.ID, x.leave(ctx, tx, in, x.server.Hub.TurnOff)
}

// leave does a deed after which nobody signs in by a connection, and ends the sessions that are
// named with it.
func (x *call) leave(ctx context.Context, tx *db.Tx, in leaving, do func(context.Context, *db.Tx, directory.Actor, directory.OrgID, string) error) error {
	if err := do(ctx, tx, x.Actor, x.org(), in.ID); err != nil || !in.EndSessions {
		return err
	}
	_, err := x.server.site.Sessions.EndVouched(ctx, tx, session.Vouched{OrgID: x.org(), ConnectionID: in.ID})
	return err
}

func showSetupLink(ctx context.Context, r db.Reader, x *call, id string) (form.SetupLink, error) {
	if _, err := federation.ConnectionOf(ctx, r, x.Actor, x.org(), id); err != nil {
		return form.SetupLink{}, err
	}
	l, found, err := federation.SetupLinkOf(ctx, r, x.org(), id)
	if err == nil && !found {
		err = directory.ErrNotFound
	}
	return form.SetupLink{
		ID: l.ID, Email: l.Email, Letter: string(l.Letter.State()), Works: !l.Letter.Refused() && !l.Lapsed(),
		CreatedAt: l.CreatedAt.UTC(), ExpiresAt: l.ExpiresAt.UTC(), OpenedAt: moment(l.OpenedAt),
	}, err
}

func countSetupLink(ctx context.Context, x *call, in withBody[form.NewSetupLink]) error {
	if err := x.Actor.MaySetRules(ctx, x.server.DB, x.org()); err != nil {
		return err
	}
	if _, err := federation.ConnectionOf(ctx, x.server.DB, x.Actor, x.org(), in.ID); err != nil {
		return err
	}
	return x.server.Administration.CountInvitation(ctx, x.Actor, x.org(), in.Body.Email)
}

func sendSetupLink(ctx context.Context, tx *db.Tx, x *call, in withBody[form.NewSetupLink]) (string, error) {
	o, err := directory.OrganizationByID(ctx, tx, x.org())
	if err != nil {
		return "", err
	}
	return in.ID, x.server.Hub.SendSetupLink(ctx, tx, x.Actor, o, in.ID, in.Body.Email, cmp.Or(i18n.Tag(in.Body.Language), o.Language))
}

func withdrawSetupLink(ctx context.Context, tx *db.Tx, x *call, in at) (string, error) {
	return in.ID, x.server.Hub.WithdrawSetupLink(ctx, tx, x.Actor, x.org(), in.ID)
}
