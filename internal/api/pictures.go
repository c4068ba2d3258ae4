package api

import (
	"context"
	"net/http"
	"reflect"
	"slices"

	"parvis/internal/access"
	"parvis/internal/application"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/federation"
	"parvis/internal/picture"
)

// logoOperations are about every logo that there is.
var logoOperations = slices.Concat(
	logo{
		area: "organization", path: "/organization", reads: access.ReadSettings, writes: access.WriteSettings,
		get: func(ctx context.Context, r db.Reader, x *call, _ string) ([]byte, error) {
			if err := x.Actor.MayRead(ctx, r, x.org()); err != nil {
				return nil, err
			}
			o, err := directory.OrganizationByID(ctx, r, x.org())
			if err != nil {
				return nil, err
			}
			return directory.Image(ctx, r, x.org(), o.Logo)
		},
		set: func(ctx context.Context, tx *db.Tx, x *call, _ string, to picture.PNG) error {
			return directory.SetLogo(ctx, tx, x.Actor, x.org(), to)
		},
	}.operations(),
	logo{
		area: "applications", path: "/applications/{id}", reads: access.ReadApplications, writes: access.WriteApplications,
		get: func(ctx context.Context, r db.Reader, x *call, id string) ([]byte, error) {
			a, err := x.applicationAt(ctx, r, id)
			if err != nil {
				return nil, err
			}
			return application.Logo(ctx, r, a.Application)
		},
		set: func(ctx context.Context, tx *db.Tx, x *call, id string, to picture.PNG) error {
			a, err := x.applicationAt(ctx, tx, id)
			if err != nil {
				return err
			}
			return application.SetLogo(ctx, tx, x.Actor, a.Application, to)
		},
	}.operations(),
	logo{
		area: "connections", path: "/connections/{id}", reads: access.ReadConnections, writes: access.WriteConnections,
		get: func(ctx context.Context, r db.Reader, x *call, id string) ([]byte, error) {
			c, err := federation.ConnectionOf(ctx, r, x.Actor, x.org(), id)
			if err != nil {
				return nil, err
			}
			return directory.Image(ctx, r, x.org(), c.Logo)
		},
		set: func(ctx context.Context, tx *db.Tx, x *call, id string, to picture.PNG) error {
			return x.server.Hub.SetLogo(ctx, tx, x.Actor, x.org(), id, to)
		},
	}.operations(),
)

// logo is a picture that stands for what a path names.
type logo struct {
	area, path    string
	reads, writes access.Scope
	get           func(ctx context.Context, r db.Reader, x *call, id string) ([]byte, error)
	set           func(ctx context.Context, tx *db.Tx, x *call, id string, to picture.PNG) error
}

func (l logo) operations() []*operation {
	write := operation{Path: l.path + "/logo", Scope: l.writes, Role: directory.Administrator, Fresh: true}
	put, remove := write, write
	put.ID, remove.ID, remove.Method = l.area+".set_logo", l.area+".remove_logo", http.MethodDelete
	return []*operation{
		sendsPicture(operation{ID: l.area + ".logo", Path: l.path + "/logo", Scope: l.reads, Role: directory.Auditor}, l.get),
		takesPicture(put, l.set),
		does(remove, deed[at, struct{}]{do: func(ctx context.Context, tx *db.Tx, x *call, in at) (string, error) {
			return in.ID, l.set(ctx, tx, x, in.ID, picture.PNG{})
		}}),
	}
}

// mostPicture is how many bytes a picture may have.
const mostPicture = 1 << 20

// pictureMedias are the types of a picture that is sent. What it is, its first bytes say.
var pictureMedias = []string{"image/png", "image/jpeg", "image/gif", "image/webp"}

// drawnMedia is the type of every picture once it is stored.
const drawnMedia = "image/png"

// takesPicture completes an operation that stores a logo, as we draw it.
func takesPicture(o operation, set func(ctx context.Context, tx *db.Tx, x *call, id string, to picture.PNG) error) *operation {
	o.Method, o.status, o.in, o.takes = http.MethodPut, http.StatusNoContent, reflect.TypeFor[at](), pictureMedias
	o.run = func(ctx context.Context, x *call) error {
		in, err := input[at](x)
		if err != nil {
			return err
		}
		content, err := x.content(mostPicture)
		if err == nil {
			err = x.Actor.MaySetRules(ctx, x.server.DB, x.org()) // drawing is work
		}
		if err != nil {
			return err
		}
		drawn, err := x.server.site.Draw(ctx, "", content, picture.Logo)
		if err != nil {
			return err
		}
		if err := x.change(ctx, func(tx *db.Tx) error { return set(ctx, tx, x, in.ID, drawn) }); err != nil {
			return err
		}
		return x.nothing()
	}
	return &o
}

// sendsPicture completes an operation that answers with a logo.
func sendsPicture(o operation, get func(ctx context.Context, r db.Reader, x *call, id string) ([]byte, error)) *operation {
	o.Method, o.status, o.in, o.files = http.MethodGet, http.StatusOK, reflect.TypeFor[at](), []string{drawnMedia}
	o.run = func(ctx context.Context, x *call) error {
		in, err := input[at](x)
		if err != nil {
			return err
		}
		content, err := get(ctx, x.server.DB, x, in.ID)
		if err != nil {
			return err
		}
		x.W.Header().Set("Content-Type", drawnMedia)
		x.W.Write(content) //nolint:errcheck // The caller is gone, which is no error of ours.
		return nil
	}
	return &o
}
