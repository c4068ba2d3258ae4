package console

import (
	"context"
	"slices"

	"parvis/internal/credential"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/session"
)

// A deed is what can be done to a person, or to many at once.
type deed struct {
	Name   string // in forms
	Button string // catalogue keys: what it is called,
	What   string // what it does, said before it is done,
	Done   string // and what was done
	Grave  bool
	Role   directory.Role // of a change of role

	Wide bool                                               // can be done to everyone
	fits func(directory.User) bool                          // where a person's page offers it
	do   func(*Server, context.Context, *db.Tx, whom) error // asks for authority and does it
}

// whom a deed is done to, and by whom.
type whom struct {
	actor directory.Actor
	org   directory.Organization
	id    directory.UserID
}

// plainly is a deed that is one function of the directory.
func plainly(f func(context.Context, *db.Tx, directory.Actor, directory.OrgID, directory.UserID) error) func(*Server, context.Context, *db.Tx, whom) error {
	return func(_ *Server, ctx context.Context, tx *db.Tx, w whom) error {
		return f(ctx, tx, w.actor, w.org.ID, w.id)
	}
}

func active(u directory.User) bool      { return u.Closed() == nil }
func present(u directory.User) bool     { return u.DeletedAt.IsZero() }
func deactivated(u directory.User) bool { return present(u) && !active(u) }
func deleted(u directory.User) bool     { return !present(u) }

// deeds are all of them, in the order in which pages offer them.
var deeds = slices.Concat([]deed{
	{
		Name: "reset", Button: "console.deed.reset", What: "console.deed.reset_what", Done: "console.deed.reset_done", fits: active,
		do: func(s *Server, ctx context.Context, tx *db.Tx, w whom) error {
			return s.resets.SendTo(ctx, tx, w.actor, w.org, w.id)
		},
	},
	{
		Name: "new-password", Button: "console.deed.password", What: "console.deed.password_what", Done: "console.deed.password_done",
		Wide: true, fits: present,
		do: func(s *Server, ctx context.Context, tx *db.Tx, w whom) error {
			u, err := credential.DemandChange(ctx, tx, w.actor, w.org.ID, w.id)
			if err == nil {
				_, err = s.site.Sessions.EndAll(ctx, tx, w.actor, u, session.EndedByAdministrator)
			}
			return err
		},
	},
	{
		Name: "end-sessions", Button: "console.deed.sessions", What: "console.deed.sessions_what", Done: "console.deed.sessions_done",
		Wide: true, fits: active,
		do: func(s *Server, ctx context.Context, tx *db.Tx, w whom) error {
			u, err := directory.Governed(ctx, tx, w.actor, w.org.ID, w.id)
			if err == nil {
				err = u.Closed()
			}
			if err == nil {
				_, err = s.site.Sessions.EndAll(ctx, tx, w.actor, u, session.EndedByAdministrator)
			}
			return err
		},
	},
	{
		Name: "deactivate", Button: "console.deed.deactivate", What: "console.deed.deactivate_what", Done: "console.deed.deactivate_done",
		Grave: true, fits: active,
		do: plainly(directory.Deactivate),
	},
	{
		Name: "reactivate", Button: "console.deed.reactivate", What: "console.deed.reactivate_what", Done: "console.deed.reactivate_done",
		fits: deactivated,
		do:   plainly(directory.Reactivate),
	},
	{
		Name: "delete", Button: "console.deed.delete", What: "console.deed.delete_what", Done: "console.deed.delete_done", Grave: true,
		fits: present,
		do:   plainly(directory.Delete),
	},
	{
		Name: "restore", Button: "console.deed.restore", What: "console.deed.restore_what", Done: "console.deed.restore_done", fits: deleted,
		do: plainly(directory.Restore),
	},
}, roleDeeds())

func roleDeeds() []deed {
	var all []deed
	for _, role := range directory.Roles {
		all = append(all, deed{
			Name: "role-" + string(role), Button: "console.deed.role", What: "console.deed.role_what", Done: "console.deed.role_done",
			Role: role, fits: present,
			do: func(_ *Server, ctx context.Context, tx *db.Tx, w whom) error {
				return directory.ChangeRole(ctx, tx, w.actor, w.org.ID, w.id, role)
			},
		})
	}
	return all
}

// deedNamed finds a deed by its name in forms.
func deedNamed(name string) (deed, bool) {
	i := slices.IndexFunc(deeds, func(d deed) bool { return d.Name == name })
	if i < 0 {
		return deed{}, false
	}
	return deeds[i], true
}

// deedsFor are the deeds that somebody of a role may do to somebody, or to
// anybody where u is nil.
func deedsFor(by directory.Role, u *directory.User) (plain, roles []deed) {
	for _, d := range deeds {
		switch {
		case !invites(by), u != nil && (!by.Governs(u.Role) || !d.fits(*u)):
		case d.Role == "":
			plain = append(plain, d)
		case by.Governs(d.Role):
			roles = append(roles, d)
		}
	}
	return plain, roles
}
