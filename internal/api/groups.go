package api

import (
	"context"
	"net/http"

	"parvis/internal/access"
	"parvis/internal/administration"
	"parvis/internal/api/form"
	"parvis/internal/db"
	"parvis/internal/directory"
)

var groupOperations = []*operation{
	reads(operation{ID: "groups.list", Path: "/groups", Scope: access.ReadGroups, Role: directory.Auditor}, listGroups),
	does(operation{ID: "groups.create", Method: http.MethodPost, Path: "/groups", Scope: access.WriteGroups, Role: directory.Administrator, status: http.StatusCreated},
		deed[struct{ Body form.GroupSettings }, form.Group]{do: createGroup, show: showGroup}),
	group.gets(operation{ID: "groups.get", Path: "/groups/{id}", Scope: access.ReadGroups, Role: directory.Auditor}),
	group.patches(operation{ID: "groups.rename", Path: "/groups/{id}", Scope: access.WriteGroups, Role: directory.Administrator}),
	does(operation{ID: "groups.delete", Method: http.MethodDelete, Path: "/groups/{id}", Scope: access.WriteGroups, Role: directory.Administrator},
		deed[at, form.Group]{do: deleteGroup}),
	reads(operation{ID: "groups.members", Path: "/groups/{id}/members", Scope: access.ReadGroups, Role: directory.Auditor}, listMembers),
	does(operation{ID: "groups.add_member", Method: http.MethodPut, Path: "/groups/{id}/members/{user}", Scope: access.WriteGroups, Role: directory.Administrator},
		deed[member, form.Group]{do: addMember}),
	does(operation{ID: "groups.remove_member", Method: http.MethodDelete, Path: "/groups/{id}/members/{user}", Scope: access.WriteGroups, Role: directory.Administrator},
		deed[member, form.Group]{do: removeMember}),
}

// member is a person in a group.
type member struct {
	ID   string `path:"id"`
	User string `path:"user"`
}

func ofGroup(g directory.Group) form.Group {
	return form.Group{ID: g.ID, GroupSettings: form.GroupSettings{Name: g.Name}, Members: g.Members, CreatedAt: g.CreatedAt.UTC()}
}

func listGroups(ctx context.Context, r db.Reader, x *call, _ struct{}) (form.Page[form.Group], error) {
	all, err := directory.Groups(ctx, r, x.Actor, x.org())
	return short(all, ofGroup), err
}

func showGroup(ctx context.Context, r db.Reader, x *call, id string) (form.Group, error) {
	g, err := directory.GroupByID(ctx, r, x.Actor, x.org(), id)
	return ofGroup(g), err
}

var group = document[form.GroupSettings, form.Group]{
	read: func(ctx context.Context, r db.Reader, x *call, at at) (form.GroupSettings, error) {
		g, err := showGroup(ctx, r, x, at.ID)
		return g.GroupSettings, err
	},
	write: func(ctx context.Context, tx *db.Tx, x *call, at at, was, now form.GroupSettings) error {
		if was == now {
			return x.Actor.MaySetRules(ctx, tx, x.org())
		}
		return directory.RenameGroup(ctx, tx, x.Actor, x.org(), at.ID, now.Name)
	},
	show: func(ctx context.Context, r db.Reader, x *call, at at) (form.Group, error) {
		return showGroup(ctx, r, x, at.ID)
	},
}

func createGroup(ctx context.Context, tx *db.Tx, x *call, in struct{ Body form.GroupSettings }) (string, error) {
	g, err := directory.CreateGroup(ctx, tx, x.Actor, x.org(), in.Body.Name)
	return g.ID, err
}

func deleteGroup(ctx context.Context, tx *db.Tx, x *call, in at) (string, error) {
	return in.ID, directory.DeleteGroup(ctx, tx, x.Actor, x.org(), in.ID)
}

type listedMembers struct {
	listing
	ID string `path:"id"`
}

func listMembers(ctx context.Context, r db.Reader, x *call, in listedMembers) (form.Page[form.User], error) {
	if _, err := showGroup(ctx, r, x, in.ID); err != nil {
		return form.Page[form.User]{}, err
	}
	page, err := x.people(ctx, r, in.listing, administration.Query{Filter: administration.Filter{Group: in.ID, OnlyUsers: true}})
	if err != nil {
		return form.Page[form.User]{}, err
	}
	out := form.Page[form.User]{Items: make([]form.User, 0, len(page.Lines)), Next: page.next, Count: page.count}
	for _, l := range page.Lines {
		out.Items = append(out.Items, ofUser(*l.User))
	}
	return out, nil
}

// addMember makes somebody a member, or leaves them one.
func addMember(ctx context.Context, tx *db.Tx, x *call, in member) (string, error) {
	_, err := directory.AddMembers(ctx, tx, x.Actor, x.org(), in.ID, []directory.UserID{directory.UserID(in.User)})
	return in.ID, err
}

func removeMember(ctx context.Context, tx *db.Tx, x *call, in member) (string, error) {
	_, err := directory.RemoveMembers(ctx, tx, x.Actor, x.org(), in.ID, []directory.UserID{directory.UserID(in.User)})
	return in.ID, err
}
