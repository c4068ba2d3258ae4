package api

import (
	"context"
	"net/http"
	"time"

	"parvis/internal/access"
	"parvis/internal/administration"
	"parvis/internal/api/form"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/i18n"
)

var peopleOperations = []*operation{
	reads(operation{ID: "users.list", Path: "/users", Scope: access.ReadPeople, Role: directory.Auditor}, listUsers),
	user.gets(operation{ID: "users.get", Path: "/users/{id}", Scope: access.ReadPeople, Role: directory.Auditor}),
	user.patches(operation{ID: "users.change", Path: "/users/{id}", Scope: access.WritePeople, Role: directory.Helpdesk}),
	userDeed("users.delete", http.MethodDelete, "", "delete"),
	userDeed("users.deactivate", http.MethodPost, "/deactivate", "deactivate"),
	userDeed("users.reactivate", http.MethodPost, "/reactivate", "reactivate"),
	userDeed("users.restore", http.MethodPost, "/restore", "restore"),
	userDeed("users.end_sessions", http.MethodPost, "/end-sessions", "end-sessions"),
	userDeed("users.send_reset", http.MethodPost, "/send-reset", "reset"),
	userDeed("users.demand_password", http.MethodPost, "/demand-password", "new-password"),
	does(operation{ID: "users.change_role", Method: http.MethodPost, Path: "/users/{id}/role", Scope: access.WritePeople, Role: directory.Administrator, Fresh: true},
		deed[withBody[form.RoleChange], form.User]{do: changeRole, show: showUser}),
	does(operation{ID: "users.reset_second_step", Method: http.MethodPost, Path: "/users/{id}/reset-second-step", Scope: access.WritePeople, Role: directory.Helpdesk, Fresh: true},
		deed[withBody[form.Reason], form.User]{do: resetSecondStep, show: showUser}),
	does(operation{ID: "users.change_email", Method: http.MethodPost, Path: "/users/{id}/change-email", Scope: access.WritePeople, Role: directory.Administrator, Fresh: true},
		deed[withBody[form.EmailChange], form.User]{first: countEmailChange, do: changeEmail, show: showUser}),
	together(operation{ID: "users.batch", Path: "/users/batch", Scope: access.WritePeople, Role: directory.Helpdesk, Fresh: true}, batch),
}

// withBody is an object and what is sent about it.
type withBody[T any] struct {
	ID   string `path:"id"`
	Body T
}

// listed is what a list of people may be filtered by.
type listed struct {
	listing
	Text       string    `query:"q"`
	Email      string    `query:"email"`
	State      string    `query:"state" enum:"active deactivated deleted"`
	Role       string    `query:"role" enum:"owner administrator helpdesk auditor member"`
	Group      string    `query:"group"`
	SecondStep string    `query:"second_step" enum:"none app passkey both"`
	WayIn      string    `query:"way_in" enum:"password passkey provider none"`
	Before     time.Time `query:"last_sign_in_before"`
	Changed    time.Time `query:"changed_after"`
	Sort       string    `query:"sort" enum:"name last joined"`
	Descending bool      `query:"descending"`
}

func listUsers(ctx context.Context, r db.Reader, x *call, in listed) (form.Page[form.User], error) {
	q := administration.Query{Sort: administration.Sort(in.Sort), Down: in.Descending, Filter: administration.Filter{
		Text: in.Text, State: administration.State(in.State), Role: directory.Role(in.Role), Group: in.Group, OnlyUsers: true,
		SecondStep: directory.SecondStep(in.SecondStep), WayIn: administration.WayIn(in.WayIn), SignedInBefore: in.Before, ChangedAfter: in.Changed,
	}}
	if in.Email != "" {
		if q.Filter != (administration.Filter{OnlyUsers: true}) {
			return form.Page[form.User]{}, wrong{name: "email", why: errEmailAlone}
		}
		if err := x.Actor.MayRead(ctx, r, x.org()); err != nil {
			return form.Page[form.User]{}, err
		}
		all, err := directory.Addressed(ctx, r, x.org(), []string{in.Email})
		return short(all, ofUser), err
	}
	page, err := x.people(ctx, r, in.listing, q)
	if err != nil {
		return form.Page[form.User]{}, err
	}
	out := form.Page[form.User]{Items: make([]form.User, 0, len(page.Lines)), Next: page.next, Count: page.count}
	for _, l := range page.Lines {
		out.Items = append(out.Items, ofUser(*l.User))
	}
	return out, nil
}

// peoplePage is a page of the list of people, as it is sent.
type peoplePage struct {
	administration.Page
	next  *string
	count *int
}

// people reads one page of the list that the console shows too.
func (x *call) people(ctx context.Context, r db.Reader, l listing, q administration.Query) (p peoplePage, err error) {
	if q.Most, err = x.begin(l, &q.After); err != nil {
		return p, err
	}
	q.Uncounted = !l.Count
	if p.Page, err = administration.People(ctx, r, x.Actor, x.org(), q); err != nil {
		return p, err
	}
	if p.Next.ID != "" {
		p.next = x.next(p.Next)
	}
	if l.Count {
		p.count = &p.Found
	}
	return p, nil
}

func ofUser(u directory.User) form.User {
	out := form.User{
		ID: string(u.ID), Email: u.Email, UserProfile: form.UserProfile{
			Name: u.Name, GivenName: u.GivenName, FamilyName: u.FamilyName, Language: string(u.Language), TimeZone: u.TimeZone,
		},
		Role: string(u.Role), State: "active", SecondStep: string(u.SecondStep), HasPassword: u.HasPassword, Linked: u.Linked,
		CreatedAt: u.CreatedAt.UTC(), ChangedAt: u.ChangedAt.UTC(), LastSignInAt: moment(u.LastSignInAt), DeactivatedAt: moment(u.DeactivatedAt), DeletedAt: moment(u.DeletedAt),
		SourceID: optional(u.SourceID), ExternalID: optional(u.ExternalID),
	}
	switch {
	case !u.DeletedAt.IsZero():
		out.State = "deleted"
	case !u.DeactivatedAt.IsZero():
		out.State = "deactivated"
	}
	return out
}

func showUser(ctx context.Context, r db.Reader, x *call, id string) (form.User, error) {
	if err := x.Actor.MayRead(ctx, r, x.org()); err != nil {
		return form.User{}, err
	}
	u, err := directory.UserByID(ctx, r, x.org(), directory.UserID(id))
	return ofUser(u), err
}

var user = document[form.UserProfile, form.User]{
	read: func(ctx context.Context, r db.Reader, x *call, at at) (form.UserProfile, error) {
		u, err := showUser(ctx, r, x, at.ID)
		return u.UserProfile, err
	},
	write: func(ctx context.Context, tx *db.Tx, x *call, at at, _, now form.UserProfile) error {
		return directory.ChangeProfile(ctx, tx, x.Actor, x.org(), directory.UserID(at.ID),
			directory.Profile{Name: now.Name, GivenName: now.GivenName, FamilyName: now.FamilyName, Language: i18n.Tag(now.Language), TimeZone: now.TimeZone})
	},
	show: func(ctx context.Context, r db.Reader, x *call, at at) (form.User, error) {
		return showUser(ctx, r, x, at.ID)
	},
}

// userDeed is a deed of the console's list, done to one person.
func userDeed(id, method, path, name string) *operation {
	d, known := administration.DeedNamed(name)
	if !known {
		panic("no deed is called " + name)
	}
	return does(operation{ID: id, Method: method, Path: "/users/{id}" + path, Scope: access.WritePeople, Role: directory.Helpdesk, Fresh: d.Grave},
		deed[at, form.User]{
			do: func(ctx context.Context, tx *db.Tx, x *call, in at) (string, error) {
				return in.ID, x.server.Administration.DoTo(ctx, tx, x.Actor, x.org(), d, directory.UserID(in.ID))
			},
			show: showUser,
		})
}

func changeRole(ctx context.Context, tx *db.Tx, x *call, in withBody[form.RoleChange]) (string, error) {
	return in.ID, directory.ChangeRole(ctx, tx, x.Actor, x.org(), directory.UserID(in.ID), directory.Role(in.Body.Role))
}

func resetSecondStep(ctx context.Context, tx *db.Tx, x *call, in withBody[form.Reason]) (string, error) {
	o, err := directory.OrganizationByID(ctx, tx, x.org())
	if err != nil {
		return "", err
	}
	return in.ID, x.server.Administration.SignIn.ResetSecondStep(ctx, tx, x.Actor, o, directory.UserID(in.ID), in.Body.Reason)
}

func countEmailChange(ctx context.Context, x *call, in withBody[form.EmailChange]) error {
	u, err := directory.UserByID(ctx, x.server.DB, x.org(), directory.UserID(in.ID))
	if err != nil {
		return err
	}
	return x.server.Administration.SignIn.CountEmailChange(ctx, x.Actor, u, in.Body.Email)
}

func changeEmail(ctx context.Context, tx *db.Tx, x *call, in withBody[form.EmailChange]) (string, error) {
	o, err := directory.OrganizationByID(ctx, tx, x.org())
	if err != nil {
		return "", err
	}
	u, err := directory.UserByID(ctx, tx, x.org(), directory.UserID(in.ID))
	if err != nil {
		return "", err
	}
	return in.ID, x.server.Administration.SignIn.Emails.Request(ctx, tx, x.Actor, directory.Candidate{User: u, Organization: o}, in.Body.Email)
}

// consoleDeeds are the names of deeds in a batch, and what the console calls them.
var consoleDeeds = map[string]string{
	"deactivate": "deactivate", "reactivate": "reactivate", "delete": "delete", "restore": "restore",
	"end_sessions": "end-sessions", "send_reset": "reset", "demand_password": "new-password",
}

var (
	errEmailAlone    = fault.Field("", "api.email_alone")
	errNobody        = fault.Field("user_ids", "api.nobody")
	errBoth          = fault.Field("user_ids", "api.both")
	errManyAtOnce    = fault.Field("user_ids", "api.many_at_once")
	errNotToEveryone = fault.Field("everyone", "api.not_to_everyone")
)

// batch does a deed to up to administration.AtOnce people in one transaction, or to everyone.
func batch(ctx context.Context, x *call, in form.Batch) (form.Fates, error) {
	d, _ := administration.DeedNamed(consoleDeeds[in.Deed])
	task := administration.Task{Deed: d, Everyone: in.Everyone, Number: in.Number, Dry: x.dry}
	switch {
	case in.Everyone && len(in.UserIDs) > 0:
		return form.Fates{}, errBoth
	case in.Everyone && !d.Everyone:
		return form.Fates{}, errNotToEveryone
	case !in.Everyone && len(in.UserIDs) == 0:
		return form.Fates{}, errNobody
	case len(in.UserIDs) > administration.AtOnce:
		return form.Fates{}, errManyAtOnce.With("Most", administration.AtOnce)
	}
	for _, id := range in.UserIDs {
		task.People = append(task.People, directory.UserID(id))
	}
	fates, err := x.server.Administration.Do(ctx, x.Actor, x.org(), task)
	if err != nil {
		return form.Fates{}, err
	}
	out := form.Fates{Items: make([]form.Fate, 0, len(fates)), Done: administration.Ready(fates)}
	for _, f := range fates {
		one := form.Fate{UserID: string(f.User.ID), Name: f.User.Name, Done: f.Done()}
		if !one.Done {
			detail := x.sentence(f.Reason)
			one.Code, one.Detail = &f.Reason.Key, &detail
		}
		out.Items = append(out.Items, one)
	}
	return out, nil
}
