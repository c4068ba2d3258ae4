package console

import (
	"context"
	"slices"
	"time"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/federation"
	"parvis/internal/number"
	"parvis/internal/page"
	"parvis/internal/secret"
	"parvis/internal/session"
)

var (
	connectionsFields   = page.Fields{"connection"}
	addConnectionFields = page.Fields{"provider", "protocol", "name"}
)

// connectionsPage lists an organization's connections, in their order.
type connectionsPage struct {
	Rows      []connectionRow
	Only      bool // single sign-on is the only way in
	MayChange bool
	MayAdd    bool
	Removed   bool
	Most      int
}

type connectionRow struct {
	federation.Connection
	Chips []chip
	Ends  *shownCertificate // the certificate that lasts longest
	First bool
}

var stateChips = map[federation.State]chip{
	federation.Draft: {"console.sso.draft", ""},
	federation.On:    {"console.sso.on", "ok"},
	federation.Off:   {"console.sso.off", "warn"},
}

// connectionChips say whether people sign in by a connection, and whether it was tested as it
// is.
func connectionChips(c federation.Connection) []chip {
	chips := []chip{stateChips[c.State]}
	switch {
	case c.Tested():
		return append(chips, chip{"console.sso.tested", "ok"})
	case !c.TestedAt.IsZero():
		return append(chips, chip{"console.sso.changed_since", "warn"})
	case c.Complete():
		return append(chips, chip{"console.sso.untested", "warn"})
	}
	return append(chips, chip{"console.sso.incomplete", "warn"})
}

func (s *Server) showConnections(v *page.Viewer) error {
	all, err := federation.ConnectionsOf(v.R.Context(), s.site.DB, v.User.AsActor(), v.User.OrgID)
	if err != nil {
		return err
	}
	p := connectionsPage{
		Only: v.Organization.FederatedOnly(), MayChange: rules(v.User.Role), Removed: v.Just("removed"), Most: federation.MostConnections,
	}
	p.MayAdd = p.MayChange && len(all) < federation.MostConnections
	for i, c := range all {
		row := connectionRow{Connection: c, Chips: connectionChips(c), First: i == 0}
		certificates, err := c.Certificates()
		if err != nil {
			return err
		}
		if len(certificates) > 0 {
			shown := s.shownCertificate(certificates[0])
			row.Ends = &shown
		}
		p.Rows = append(p.Rows, row)
	}
	v.FormIf(p.MayChange && len(all) > 1) // a single one has no order
	return v.Render("console-connections", p)
}

func (s *Server) arrangeConnections(v *page.Viewer) error {
	id := v.Form.Get("connection")
	if !secret.IsID(id) {
		return directory.ErrNotFound
	}
	return v.Do(func(ctx context.Context, tx *db.Tx) error {
		return s.Hub.MoveUp(ctx, tx, v.User.AsActor(), v.User.OrgID, id)
	}, v.Path("admin/single-sign-on"))
}

// addConnectionPage asks for the product, and then for the protocol.
type addConnectionPage struct {
	Providers []federation.Provider
	Provider  federation.Provider // empty until it was chosen
}

func (s *Server) showAddConnection(v *page.Viewer) error {
	p := addConnectionPage{Providers: federation.Providers, Provider: federation.Provider(v.Form.Get("provider"))}
	if p.Provider == "" {
		p.Provider = federation.Provider(v.R.URL.Query().Get("provider"))
	}
	if !slices.Contains(federation.Providers, p.Provider) {
		p.Provider = ""
		v.NoForm()
	}
	return v.Render("console-add-connection", p)
}

func (s *Server) addConnection(v *page.Viewer) error {
	ctx := v.R.Context()
	var c federation.Connection
	if err := s.site.DB.Update(ctx, func(tx *db.Tx) (err error) {
		c, err = s.Hub.Create(ctx, tx, v.User.AsActor(), v.User.OrgID, federation.New{
			Provider: federation.Provider(v.Form.Get("provider")), Protocol: federation.Protocol(v.Form.Get("protocol")), Name: v.Form.Get("name"),
		})
		return err
	}); err != nil {
		return err
	}
	return v.Redirect(v.Path("admin/connections", c.ID))
}

// connectionDeed is something that the hub does to one connection.
type connectionDeed func(context.Context, *db.Tx, directory.Actor, directory.OrgID, string) error

// seen returns a deed to a connection as the form showed the connection.
func seen(v *page.Viewer, do func(context.Context, *db.Tx, directory.Actor, directory.OrgID, string, time.Time) error) connectionDeed {
	return func(ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.OrgID, id string) error {
		micros, ok := number.Parse(v.Form.Get("seen"))
		if !ok {
			micros = 0 // not a state that exists
		}
		return do(ctx, tx, actor, org, id, time.UnixMicro(int64(micros)))
	}
}

// leaving returns a deed after which nobody signs in by a connection. If the form says so it
// also ends the sessions that the provider vouched for, except the viewer's own.
func (s *Server) leaving(v *page.Viewer, do connectionDeed) connectionDeed {
	return func(ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.OrgID, id string) error {
		if err := do(ctx, tx, actor, org, id); err != nil || !v.Form.Has("sessions") {
			return err
		}
		_, err := s.site.Sessions.EndVouched(ctx, tx, session.Vouched{OrgID: org, ConnectionID: id, Kept: v.Session.ID})
		return err
	}
}

// did does the deed and leads to a page.
func (s *Server) did(v *page.Viewer, b bench, do connectionDeed, next string) error {
	return v.Do(func(ctx context.Context, tx *db.Tx) error {
		return do(ctx, tx, v.User.AsActor(), v.User.OrgID, b.connection.ID)
	}, next)
}

// turned does the deed and returns to the connection's page.
func (s *Server) turned(v *page.Viewer, b bench, do connectionDeed) error {
	return s.did(v, b, do, b.path("")+"?saved")
}
