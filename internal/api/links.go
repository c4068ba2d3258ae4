package api

import (
	"context"
	"net/http"

	"parvis/internal/access"
	"parvis/internal/api/form"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/federation"
)

var linkOperations = []*operation{
	reads(operation{ID: "users.links", Path: "/users/{id}/links", Scope: access.ReadPeople, Role: directory.Auditor}, listLinks),
	does(operation{ID: "users.unlink", Method: http.MethodDelete, Path: "/users/{id}/links/{link}", Scope: access.WritePeople, Role: directory.Administrator, Fresh: true},
		deed[atLink, form.Link]{do: unlink}),
}

func listLinks(ctx context.Context, r db.Reader, x *call, in at) (form.Page[form.Link], error) {
	u, err := showUser(ctx, r, x, in.ID)
	if err != nil {
		return form.Page[form.Link]{}, err
	}
	all, err := federation.LinksOf(ctx, r, x.org(), directory.UserID(u.ID))
	return short(all, ofLink), err
}

func ofLink(l federation.Link) form.Link {
	return form.Link{
		ID: l.ID(), Connection: form.Named{ID: l.Connection, Name: l.Provider}, Subject: l.Subject(), Email: l.Email,
		LinkedAt: l.LinkedAt.UTC(), LastUsedAt: moment(l.UsedAt),
	}
}

// atLink names a link of a user.
type atLink struct {
	ID   string `path:"id"`
	Link string `path:"link"`
}

func unlink(ctx context.Context, tx *db.Tx, x *call, in atLink) (string, error) {
	return in.Link, x.server.Hub.Unlink(ctx, tx, x.Actor, x.org(), directory.UserID(in.ID), in.Link)
}
