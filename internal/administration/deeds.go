package administration

import (
	"context"
	"errors"
	"slices"

	"parvis/internal/credential"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/session"
)

// Deed is something that can be done to one person, or to many at once.
type Deed struct {
	Name     string
	Role     directory.Role // the role that it gives, if it gives one
	Everyone bool           // can be done to everyone
	Grave    bool           // closes somebody's way in or gives every right, so that its button is red

	fits func(directory.User) bool // reports whether there is anything for it to do
	do   do
}

// do does a deed to a person, if the actor has the authority.
type do func(*Service, context.Context, *db.Tx, directory.Actor, directory.OrgID, directory.UserID) error

// plainly adapts a directory function to a deed.
func plainly(f func(context.Context, *db.Tx, directory.Actor, directory.OrgID, directory.UserID) error) do {
	return func(_ *Service, ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.OrgID, id directory.UserID) error {
		return f(ctx, tx, actor, org, id)
	}
}

func active(u directory.User) bool      { return u.Closed() == nil }
func present(u directory.User) bool     { return u.DeletedAt.IsZero() }
func deactivated(u directory.User) bool { return present(u) && !active(u) }
func deleted(u directory.User) bool     { return !present(u) }
func hasPassword(u directory.User) bool { return present(u) && u.HasPassword }

// open reports whether u is let in, or may be by the source that shut them out.
func open(u directory.User) bool { return active(u) || u.OnlyShutOutBySource() }

// deeds are all deeds, in the order in which they are offered.
var deeds = slices.Concat([]Deed{
	{Name: "reset", fits: active, do: sendReset},
	{Name: "new-password", Everyone: true, fits: hasPassword, do: demandPassword},
	{Name: "end-sessions", Everyone: true, fits: active, do: endSessions},
	{Name: "deactivate", Grave: true, fits: open, do: plainly(directory.Deactivate)},
	{Name: "reactivate", fits: deactivated, do: reactivate},
	{Name: "delete", Grave: true, fits: present, do: plainly(directory.Delete)},
	{Name: "restore", fits: deleted, do: plainly(directory.Restore)},
}, roleDeeds())

func roleDeeds() []Deed {
	var all []Deed
	for _, role := range directory.Roles {
		all = append(all, Deed{Name: "role-" + string(role), Role: role, Grave: role == directory.Owner, fits: present, do: plainly(
			func(ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.OrgID, id directory.UserID) error {
				return directory.ChangeRole(ctx, tx, actor, org, id, role)
			})})
	}
	return all
}

func sendReset(s *Service, ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.OrgID, id directory.UserID) error {
	o, err := directory.OrganizationByID(ctx, tx, org)
	if err != nil {
		return err
	}
	return s.SignIn.Resets.SendTo(ctx, tx, actor, o, id)
}

func demandPassword(s *Service, ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.OrgID, id directory.UserID) error {
	u, err := credential.DemandChange(ctx, tx, actor, org, id)
	if err == nil {
		_, err = s.SignIn.Sessions.EndAll(ctx, tx, actor, u, session.EndedByAdministrator)
	}
	return err
}

func endSessions(s *Service, ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.OrgID, id directory.UserID) error {
	u, err := directory.Governed(ctx, tx, actor, org, id)
	if err == nil {
		err = u.Closed()
	}
	if err == nil {
		_, err = s.SignIn.Sessions.EndAll(ctx, tx, actor, u, session.EndedByAdministrator)
	}
	return err
}

func reactivate(s *Service, ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.OrgID, id directory.UserID) error {
	if err := directory.Reactivate(ctx, tx, actor, org, id); err != nil {
		return err
	}
	u, err := directory.UserByID(ctx, tx, org, id)
	if err != nil || u.EmailSince.IsZero() {
		return err
	}
	o, err := directory.OrganizationByID(ctx, tx, org)
	if err != nil {
		return err
	}
	return s.SignIn.Emails.Returned(ctx, tx, directory.Candidate{User: u, Organization: o})
}

// DeedNamed finds a deed by its name.
func DeedNamed(name string) (Deed, bool) {
	i := slices.IndexFunc(deeds, func(d Deed) bool { return d.Name == name })
	if i < 0 {
		return Deed{}, false
	}
	return deeds[i], true
}

// DeedsFor lists the deeds that a user with role by may do to u, or to anybody if u is nil.
// It returns those that give a role separately.
func DeedsFor(by directory.Role, u *directory.User) (plain, roles []Deed) {
	for _, d := range deeds {
		switch {
		case !by.LooksAfterPeople(), u != nil && (!by.Governs(u.Role) || !d.fits(*u)):
		case d.Role == "":
			plain = append(plain, d)
		case by.Governs(d.Role):
			roles = append(roles, d)
		}
	}
	return plain, roles
}

// AtOnce is how many people one transaction changes.
const AtOnce = 200

// Fate is what happens, or would happen, to one person.
type Fate struct {
	User   directory.User
	Reason *fault.Error // why the deed is not done; nil if it is
}

// Done reports whether the deed is done.
func (f Fate) Done() bool { return f.Reason == nil }

// errPreview rolls a preview back.
var errPreview = errors.New("only a preview")

// Task is a deed and the people to whom it is done. A dry run does it and rolls each transaction
// back, so that it finds what the deed would refuse.
type Task struct {
	Deed     Deed
	People   []directory.UserID
	Everyone bool // to everyone in the organization in place of People
	Number   int  // to how many of everyone, as the person who asks for it typed it
	Dry      bool
}

// ErrNumber refuses a task for everyone whose number is missing or wrong: it names the right one.
var ErrNumber = fault.Field("number", "directory.people_number")

// Do does a task, AtOnce people in each transaction, and returns what happened to each person. It
// stops with ErrNotFound at a person who is not in the organization. A task for everyone is judged
// as a whole before anything is done: unless it states to how many people it would be done now, it
// is done to nobody.
func (s *Service) Do(ctx context.Context, actor directory.Actor, org directory.OrgID, task Task) ([]Fate, error) {
	if !task.Everyone {
		return s.each(ctx, actor, org, task)
	}
	var err error
	if task.People, err = everyone(ctx, s.DB, actor, org); err != nil {
		return nil, err
	}
	really := !task.Dry
	task.Dry = true
	fates, err := s.each(ctx, actor, org, task)
	if err != nil || !really {
		return fates, err
	}
	if n := Ready(fates); n == 0 || n != task.Number {
		return nil, ErrNumber.With("Count", n)
	}
	task.Dry = false
	return s.each(ctx, actor, org, task)
}

// Ready counts the people to whom a deed is done.
func Ready(fates []Fate) (n int) {
	for _, f := range fates {
		if f.Done() {
			n++
		}
	}
	return n
}

func (s *Service) each(ctx context.Context, actor directory.Actor, org directory.OrgID, task Task) ([]Fate, error) {
	var fates []Fate
	for some := range slices.Chunk(task.People, AtOnce) {
		var these []Fate
		// Each part waits for the database as a request of its own does: there are many, and the first
		// are done.
		err := s.DB.Update(db.Answering(ctx), func(tx *db.Tx) error {
			these = make([]Fate, 0, len(some))
			for _, id := range some {
				f, err := s.doTo(ctx, tx, actor, org, task.Deed, id)
				if err != nil {
					return err
				}
				these = append(these, f)
			}
			if task.Dry {
				return errPreview
			}
			return nil
		})
		if err != nil && !errors.Is(err, errPreview) {
			return nil, err
		}
		fates = append(fates, these...)
	}
	return fates, nil
}

// DoTo does a deed to one person, in the caller's transaction.
func (s *Service) DoTo(ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.OrgID, d Deed, id directory.UserID) error {
	return d.do(s, ctx, tx, actor, org, id)
}

func (s *Service) doTo(ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.OrgID, d Deed, id directory.UserID) (Fate, error) {
	u, err := directory.UserByID(ctx, tx, org, id)
	if err != nil {
		return Fate{}, err
	}
	f := Fate{User: u}
	err = d.do(s, ctx, tx, actor, org, id)
	if err != nil && (!errors.As(err, &f.Reason) || f.Reason.Kind == fault.NotFound) {
		return Fate{}, err
	}
	return f, nil
}
