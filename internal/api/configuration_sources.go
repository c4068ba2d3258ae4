package api

import (
	"context"

	"parvis/internal/api/form"
	"parvis/internal/db"
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
		return short(all, func(s provisioning.Source) form.ConfiguredSource {
			return form.ConfiguredSource{ID: s.ID, SourceSettings: ofSourceSettings(s)}
		}).Items, err
	},
	make: func(ctx context.Context, tx *db.Tx, x *call, now form.ConfiguredSource) error {
		_, err := createSource(ctx, tx, x, struct{ Body form.NewSource }{form.NewSource(now.SourceSettings)})
		return err
	},
	change: func(ctx context.Context, tx *db.Tx, x *call, was, now form.ConfiguredSource) error {
		return source.write(ctx, tx, x, at{ID: was.ID}, was.SourceSettings, now.SourceSettings)
	},
	remove: func(ctx context.Context, tx *db.Tx, x *call, was form.ConfiguredSource) error {
		_, err := deleteSource(ctx, tx, x, at{ID: was.ID})
		return err
	},
	freshRemoval: true,
}
