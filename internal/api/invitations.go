package api

import (
	"cmp"
	"context"
	"net/http"

	"parvis/internal/access"
	"parvis/internal/administration"
	"parvis/internal/api/form"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/i18n"
)

var invitationOperations = []*operation{
	reads(operation{ID: "invitations.list", Path: "/invitations", Scope: access.ReadPeople, Role: directory.Auditor}, listInvitations),
	reads(operation{ID: "invitations.get", Path: "/invitations/{id}", Scope: access.ReadPeople, Role: directory.Auditor},
		func(ctx context.Context, r db.Reader, x *call, in at) (form.Invitation, error) {
			return showInvitation(ctx, r, x, in.ID)
		}),
	does(operation{ID: "invitations.create", Method: http.MethodPost, Path: "/invitations", Scope: access.WritePeople, Role: directory.Helpdesk, status: http.StatusCreated},
		deed[struct{ Body form.NewInvitation }, form.Invitation]{first: countInvitation, do: invite, show: showInvitation}),
	does(operation{ID: "invitations.resend", Method: http.MethodPost, Path: "/invitations/{id}/resend", Scope: access.WritePeople, Role: directory.Helpdesk},
		deed[at, form.Invitation]{first: countResend, do: resend, show: showInvitation}),
	does(operation{ID: "invitations.withdraw", Method: http.MethodDelete, Path: "/invitations/{id}", Scope: access.WritePeople, Role: directory.Helpdesk},
		deed[at, form.Invitation]{do: withdraw}),
}

type listedInvitations struct {
	listing
	Text       string `query:"q"`
	Role       string `query:"role" enum:"owner administrator helpdesk auditor member"`
	Sort       string `query:"sort" enum:"name joined"`
	Descending bool   `query:"descending"`
}

func listInvitations(ctx context.Context, r db.Reader, x *call, in listedInvitations) (form.Page[form.Invitation], error) {
	page, err := x.people(ctx, r, in.listing, administration.Query{
		Sort: administration.Sort(in.Sort), Down: in.Descending,
		Filter: administration.Filter{Text: in.Text, Role: directory.Role(in.Role), State: administration.Invited},
	})
	if err != nil {
		return form.Page[form.Invitation]{}, err
	}
	out := form.Page[form.Invitation]{Items: make([]form.Invitation, 0, len(page.Lines)), Next: page.next, Count: page.count}
	for _, l := range page.Lines {
		out.Items = append(out.Items, x.ofInvitation(*l.Invitation))
	}
	return out, nil
}

func (x *call) ofInvitation(i directory.Invitation) form.Invitation {
	var by *string
	if id := string(i.By.UserID); id != "" {
		by = &id
	}
	return form.Invitation{
		ID: i.ID, Email: i.Email, Name: i.Name, Role: string(i.Role), Language: string(i.Language), State: string(i.State(x.server.DB.Now())),
		InvitedBy: by, CreatedAt: i.CreatedAt.UTC(), ExpiresAt: i.ExpiresAt.UTC(), OpenedAt: moment(i.OpenedAt),
	}
}

func showInvitation(ctx context.Context, r db.Reader, x *call, id string) (form.Invitation, error) {
	i, err := directory.InvitationByID(ctx, r, x.Actor, x.org(), id)
	return x.ofInvitation(i), err
}

func countInvitation(ctx context.Context, x *call, in struct{ Body form.NewInvitation }) error {
	if err := x.gives(directory.Role(cmp.Or(in.Body.Role, string(directory.Member)))); err != nil {
		return err
	}
	return x.server.Administration.CountInvitation(ctx, x.Actor, x.org(), in.Body.Email)
}

// gives wants a fresh proof of a person who gives a role with rights, as for a change of roles
// (R-SES-10).
func (x *call) gives(role directory.Role) error {
	if role == directory.Member {
		return nil
	}
	return x.fresh()
}

func invite(ctx context.Context, tx *db.Tx, x *call, in struct{ Body form.NewInvitation }) (string, error) {
	o, err := directory.OrganizationByID(ctx, tx, x.org())
	if err != nil {
		return "", err
	}
	i, err := x.server.Administration.SignIn.Invites.Send(ctx, tx, x.Actor, o, directory.NewInvitation{
		Email: in.Body.Email, Name: in.Body.Name, Role: directory.Role(cmp.Or(in.Body.Role, string(directory.Member))),
		Language: cmp.Or(i18n.Tag(in.Body.Language), o.Language),
	})
	return i.ID, err
}

func countResend(ctx context.Context, x *call, in at) error {
	old, err := directory.InvitationByID(ctx, x.server.DB, x.Actor, x.org(), in.ID)
	if err == nil {
		err = x.gives(old.Role)
	}
	if err != nil {
		return err
	}
	return x.server.Administration.CountInvitation(ctx, x.Actor, x.org(), old.Email)
}

func resend(ctx context.Context, tx *db.Tx, x *call, in at) (string, error) {
	o, err := directory.OrganizationByID(ctx, tx, x.org())
	if err != nil {
		return "", err
	}
	i, err := x.server.Administration.SignIn.Invites.Resend(ctx, tx, x.Actor, o, in.ID)
	return i.ID, err
}

func withdraw(ctx context.Context, tx *db.Tx, x *call, in at) (string, error) {
	return in.ID, x.server.Administration.SignIn.Invites.Withdraw(ctx, tx, x.Actor, x.org(), in.ID)
}
