package scim

import (
	"context"
	"errors"
	"net/http"
	"time"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/provisioning"
	"parvis/internal/scim/document"
)

func (s *Server) groupDeeds() deeds {
	return deeds{get: s.getGroup, create: s.createGroup, put: s.putGroup, patch: s.patchGroup, delete: s.deleteGroup, find: findGroups}
}

func (s *Server) getGroup(ctx context.Context, x *call, in input) (answer, error) {
	g, err := x.source.Group(ctx, s.DB, in.id)
	if err != nil {
		return answer{}, err
	}
	return x.groupAnswer(ctx, s.DB, g, in.show)
}

// groupAnswer answers with a group, with its members only where they are shown.
func (x *call) groupAnswer(ctx context.Context, r db.Reader, g provisioning.Group, show document.Show) (answer, error) {
	o, version := x.group(g)
	if show.Has("members") {
		members, err := x.members(ctx, r, g.ID)
		if err != nil {
			return answer{}, err
		}
		if len(members) > 0 {
			o["members"] = members
		}
	}
	return answer{status: http.StatusOK, body: show.Of(o), version: version, location: x.at("/Groups/" + g.ID)}, nil
}

// group is a group as it is shown, without its members.
func (x *call) group(g provisioning.Group) (document.Object, string) {
	version := x.server.version("group", g.Name, g.ExternalID, g.ChangedAt.UTC().Format(time.RFC3339Nano))
	o := document.Object{
		"schemas": []any{document.GroupURI}, "id": g.ID, "displayName": g.Name,
		"meta": x.meta(meta{"Group", "/Groups/" + g.ID, version, g.CreatedAt, g.ChangedAt}),
	}
	if g.ExternalID != "" {
		o["externalId"] = g.ExternalID
	}
	return o, version
}

const membersAtOnce = 1000

func (x *call) members(ctx context.Context, r db.Reader, group string) (all []any, err error) {
	for after := ""; ; {
		some, err := x.source.Members(ctx, r, group, after, membersAtOnce)
		if err != nil {
			return nil, err
		}
		for _, m := range some {
			all = append(all, document.Object{"value": m.ID, "$ref": x.at("/Users/" + m.ID), "type": "User"})
		}
		if len(some) < membersAtOnce {
			return all, nil
		}
		after = some[len(some)-1].ID
	}
}

func (s *Server) createGroup(ctx context.Context, x *call, in input) (answer, error) {
	c, err := x.wholeGroup(in)
	if err != nil {
		return answer{}, err
	}
	var a answer
	err = x.write(ctx, x.loggedAs(in.method, in.path), func(tx *db.Tx, source provisioning.Source) error {
		c, err := leaveOut(ctx, tx, source, c)
		if err != nil {
			return err
		}
		g, err := s.Sources.CreateGroup(ctx, tx, source, c)
		if err == nil {
			a, err = x.groupAnswer(ctx, tx, g, in.show)
		}
		return err
	})
	a.status = http.StatusCreated
	return a, err
}

func (x *call) wholeGroup(in input) (provisioning.GroupChange, error) {
	o, err := document.Group().Judge(in.sent, &x.notes)
	if err != nil {
		return provisioning.GroupChange{}, err
	}
	c, err := document.GroupOf(o)
	if body, _ := in.sent.(document.Object); document.Has(body, "members") && c.Members == nil {
		c.Members = &[]string{} // none, said in so many words
	}
	return provisioning.GroupChange(c), err
}

func (s *Server) putGroup(ctx context.Context, x *call, in input) (answer, error) {
	c, err := x.wholeGroup(in)
	if err != nil {
		return answer{}, err
	}
	var a answer
	err = x.changeGroup(ctx, in, c, func(tx *db.Tx, waits bool) error {
		g, err := x.source.Group(ctx, tx, in.id)
		if err == nil {
			a, err = x.groupAnswer(ctx, tx, g, in.show)
		}
		if waits {
			a.status = http.StatusAccepted
		}
		return err
	})
	return a, err
}

// patchGroup answers nothing: a group may be large, and nobody reads it again for one member.
func (s *Server) patchGroup(ctx context.Context, x *call, in input) (answer, error) {
	operations, err := document.Operations(in.sent)
	if err != nil {
		return answer{}, err
	}
	c, err := document.PatchGroup(operations, &x.notes)
	if err != nil {
		return answer{}, err
	}
	var a answer
	err = x.changeGroup(ctx, in, provisioning.GroupChange(c), func(_ *db.Tx, waits bool) error {
		a = held(waits)
		return nil
	})
	return a, err
}

func (x *call) changeGroup(ctx context.Context, in input, c provisioning.GroupChange, then func(*db.Tx, bool) error) error {
	return x.write(ctx, x.loggedAs(in.method, in.path), func(tx *db.Tx, source provisioning.Source) error {
		if err := x.unchanged(ctx, tx, source, in); err != nil {
			return err
		}
		c, err := leaveOut(ctx, tx, source, c)
		if err != nil {
			return err
		}
		waits, err := x.server.Sources.ChangeGroup(ctx, tx, source, in.id, c)
		if err != nil {
			return err
		}
		return then(tx, waits)
	})
}

// unchanged refuses to change a group that is no longer as the caller knows it.
func (x *call) unchanged(ctx context.Context, r db.Reader, source provisioning.Source, in input) error {
	if in.match == "" {
		return nil
	}
	g, err := source.Group(ctx, r, in.id)
	if err != nil {
		return err
	}
	if _, version := x.group(g); !fits(in.match, version) {
		return errChange
	}
	return nil
}

func (s *Server) deleteGroup(ctx context.Context, x *call, in input) (answer, error) {
	var waits bool
	err := x.write(ctx, x.loggedAs(in.method, in.path), func(tx *db.Tx, source provisioning.Source) (err error) {
		if err = x.unchanged(ctx, tx, source, in); err == nil {
			waits, err = s.Sources.DeleteGroup(ctx, tx, source, in.id)
		}
		return err
	})
	return held(waits), err
}

// leaveOut leaves people out of a change whom the source does not keep, for a source without a
// brake: test suites make members up. For every other source they are refused, by provisioning.
func leaveOut(ctx context.Context, r db.Reader, source provisioning.Source, c provisioning.GroupChange) (provisioning.GroupChange, error) {
	if source.Brake {
		return c, nil
	}
	keep := func(ids []string) (kept []string, err error) {
		for _, id := range ids {
			_, err := source.Person(ctx, r, id)
			if err == nil {
				kept = append(kept, id)
			} else if !errors.Is(err, directory.ErrNotFound) {
				return nil, err
			}
		}
		return kept, nil
	}
	var err error
	if c.Members != nil {
		var all []string
		all, err = keep(*c.Members)
		c.Members = &all
	}
	if err == nil {
		c.Add, err = keep(c.Add)
	}
	return c, err
}
