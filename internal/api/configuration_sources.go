package api

import (
	"cmp"
	"context"
	"reflect"

	"parvis/internal/api/form"
	"parvis/internal/db"
	"parvis/internal/federation"
	"parvis/internal/naming"
	"parvis/internal/provisioning"
)

// configuredSources are the directories that keep people here, without what people decide about
// them: a source that a configuration makes only watches, and has a brake and no token.
var configuredSources = things[form.ConfiguredSource]{
	part: part{name: "sources", kind: "source", blank: blank[form.ConfiguredSource], fold: naming.Fold},
	of:   func(c *form.Configuration) *[]form.ConfiguredSource { return &c.Sources },
	id:   func(s form.ConfiguredSource) string { return s.ID },
	read: func(ctx context.Context, r db.Reader, x *call) ([]form.ConfiguredSource, error) {
		all, err := provisioning.Sources(ctx, r, x.Actor, x.org())
		if err != nil {
			return nil, err
		}
		connections, err := federation.ConnectionsOf(ctx, r, x.Actor, x.org())
		names := map[string]string{}
		for _, c := range connections {
			names[c.ID] = c.Name
		}
		return short(all, func(s provisioning.Source) form.ConfiguredSource {
			return form.ConfiguredSource{ID: s.ID, Name: s.Name, Provider: string(s.Provider), Connection: optional(cmp.Or(names[s.ConnectionID], s.ConnectionID)), Invites: s.Invites}
		}).Items, err
	},
	make: func(ctx context.Context, tx *db.Tx, x *call, now form.ConfiguredSource) error {
		n, err := x.configuredSource(ctx, tx, "", form.ConfiguredSource{}, now)
		if err == nil {
			_, err = x.server.Sources.Create(ctx, tx, x.Actor, x.org(), n, true)
		}
		return err
	},
	change: func(ctx context.Context, tx *db.Tx, x *call, was, now form.ConfiguredSource) error {
		s, err := provisioning.SourceByID(ctx, tx, x.Actor, x.org(), was.ID)
		if err != nil {
			return err
		}
		n, err := x.configuredSource(ctx, tx, s.ConnectionID, was, now)
		if err == nil {
			err = x.changeSource(ctx, tx, was.ID, s.Settings(), n)
		}
		return err
	},
	remove: func(ctx context.Context, tx *db.Tx, x *call, was form.ConfiguredSource) error {
		_, err := deleteSource(ctx, tx, x, at{ID: was.ID})
		return err
	},
	freshRemoval: true,
}

// configuredSource returns what a configuration chooses of a source whose people come in by a
// connection. A connection that was removed has no name: its id stands for it, so that nobody reads it as
// any, and keeps it where it is the source's own. Sent to another source, it is no connection.
func (x *call) configuredSource(ctx context.Context, r db.Reader, connection string, was, now form.ConfiguredSource) (provisioning.Settings, error) {
	n := provisioning.Settings{Name: now.Name, Provider: provisioning.Provider(now.Provider), ConnectionID: connection, Invites: now.Invites}
	if reflect.DeepEqual(was.Connection, now.Connection) {
		return n, nil
	}
	n.ConnectionID = ""
	if now.Connection == nil {
		return n, nil
	}
	all, err := federation.ConnectionsOf(ctx, r, x.Actor, x.org())
	if err != nil {
		return n, err
	}
	for _, c := range all {
		if naming.Fold(c.Name) == naming.Fold(*now.Connection) {
			n.ConnectionID = c.ID
			return n, nil
		}
	}
	return n, wrong{pointer: "/connection", why: provisioning.ErrConnection}
}
